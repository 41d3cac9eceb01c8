"""Batches made ready on a thread: the numbers of a run without it, errors where they belong, nothing left behind."""

import gc
import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import layers, no_grad, random
from tomograd.engine.tape import recording
from tomograd.models import Input, Sequential, callbacks, using_prefetch
from tomograd.models.data import ArraySource, IterableSource
from tomograd.models.feeding import Feed
from tomograd.models.prefetching import Ahead


def feeding():
    return [thread for thread in threading.enumerate() if thread.name == "tomograd-feed"]


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    gc.collect()
    for thread in feeding():
        thread.join(timeout=5)
    assert not feeding()


def network():
    random.seed(4)
    model = Sequential([Input((3,)), layers.Dense(4, activation="relu"), layers.Dropout(0.4), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


class Drawing:
    """Batches drawn from the stream that dropout draws from; the thread is made to run ahead of the steps."""

    def __init__(self, count=5):
        self.count = count

    def __iter__(self):
        for _ in range(self.count):
            x = random.generator().normal(shape=(6, 3))
            time.sleep(0.001)
            yield x, x[:, :1] + random.generator().uniform(shape=(6, 1))


def x_and_y():
    x = np.random.default_rng(1).standard_normal((23, 3)).astype(np.float32)
    return x, x[:, :1]


def sources():
    x, y = x_and_y()
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 20, 4)]
    return {
        "arrays": {"x": x, "y": y, "batch_size": 4},
        "drawing": {"x": Drawing()},
        "drawing, steps": {"x": Drawing(), "steps_per_epoch": 3},
        "endless": {"x": (pair for _ in itertools.count() for pair in Drawing()), "steps_per_epoch": 4},
        "generator": {"x": (batch for batch in itertools.cycle(batches)), "steps_per_epoch": 3},
    }


@pytest.mark.parametrize("kind", list(sources()))
def test_a_run_with_a_thread_is_the_run_without(kind):
    runs = []
    for depth in (0, 1, 5):
        model = network()
        with using_prefetch(depth):
            history = model.fit(**sources()[kind], epochs=3, verbose=0, validation_data=x_and_y()).history
        runs.append((history, [weight.tobytes() for weight in model.get_weights()], random.state()))
    assert runs[0] == runs[1] == runs[2]


def test_the_place_told_is_that_of_the_batches_taken():
    for steps, stop in itertools.product((None, 3), range(1, 6)):
        places = []
        for depth in (0, 4):
            random.seed(2)
            with using_prefetch(depth), Feed(ArraySource(np.arange(11), batch_size=2, shuffle=True), steps) as feed:
                stream = (batch for _ in range(3) for batch in feed.epoch())
                taken = [next(stream)[0].tolist() for _ in range(stop)]
                time.sleep(0.002)
                places.append((taken, feed.state(), random.state()))
        assert places[0] == places[1]


def test_loading_overlaps_with_the_steps():
    """Each batch takes as long to load as a step: together they take little more than one of the two."""

    class Slow:
        def __iter__(self):
            for _ in range(10):
                time.sleep(0.02)
                yield np.ones((1, 1)), np.ones((1, 1))

    def seconds(depth):
        start = time.perf_counter()
        with using_prefetch(depth), Feed(IterableSource(Slow())) as feed:
            for _ in feed.epoch():
                time.sleep(0.02)
        return time.perf_counter() - start

    assert seconds(2) < 0.8 * seconds(0)


def test_between_epochs_nothing_of_the_next_one_is_drawn():
    drawn = []

    def count():
        for number in itertools.count():
            drawn.append(number)
            yield np.ones((2, 3)), np.ones((2, 1))

    seen = []
    model, data = network(), count()
    at_end = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: (time.sleep(0.02), seen.append(len(drawn))))
    model.fit(data, steps_per_epoch=4, epochs=2, verbose=0, callbacks=[at_end])
    assert seen == [4, 8]
    model.fit(data, steps_per_epoch=2, verbose=0)  # it is the caller's, and goes on
    assert len(drawn) == 10


def test_an_error_in_the_thread_is_raised_by_fit():
    def broken():
        yield np.ones((2, 3)), np.ones((2, 1))
        yield np.ones((2, 3)), np.ones((2, 1))
        raise OSError("the disk is gone")

    steps = []
    counting = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    with pytest.raises(OSError, match="the disk is gone"):
        network().fit(broken(), verbose=0, callbacks=[counting])
    assert steps == [0, 1]
    assert not feeding()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
def test_what_ends_a_run_in_the_middle_ends_the_thread_and_closes_iterators(error):
    closed = []

    class Data:
        def __iter__(self):
            try:
                for _ in range(100):
                    yield random.generator().normal(shape=(2, 3)), np.ones((2, 1))
            finally:
                closed.append(threading.current_thread().name)

    def end(batch, logs):
        time.sleep(0.005)
        if error is not None:
            raise error
        model.stop_training = True

    model = network()
    stop = callbacks.LambdaCallback(on_train_batch_end=end)
    if error is None:
        model.fit(Data(), verbose=0, callbacks=[stop])
    else:
        with pytest.raises(error):
            model.fit(Data(), verbose=0, callbacks=[stop])
    assert not feeding()
    assert closed == ["tomograd-feed"]


def test_the_thread_computes_as_the_loop_does():
    """On the backend that was chosen, and without a tape if there is none."""
    seen = []

    class Data:
        def __iter__(self):
            for _ in range(3):
                seen.append((kernels.of(np.ones(1)).__name__, recording(), threading.current_thread().name))
                yield np.ones((2, 3)), np.ones((2, 1))

    model = network()
    model.fit(Data(), verbose=0)
    with kernels.using("cpu"), no_grad():
        model.evaluate(Data(), verbose=0)
    found = [(name.rpartition(".")[2], taped) for name, taped, _ in seen]
    assert found == [("reference", True)] * 3 + [("cpu", False)] * 3
    assert {thread for _, _, thread in seen} == {"tomograd-feed"}


class Marked:
    """Passes of numbered batches; some draw from tg.random, some do not."""

    def __init__(self, length, draws):
        self.length, self.draws = length, draws

    def __iter__(self):
        for number in range(self.length):
            drawn = random.generator().integers(0, 1000) if self.draws[number] else 0
            yield np.array([number]), np.array([int(drawn)])


@settings(max_examples=40)
@given(
    draws=st.lists(st.booleans(), min_size=1, max_size=6),
    steps=st.one_of(st.none(), st.integers(1, 8)),
    epochs=st.integers(1, 3),
    depth=st.integers(1, 4),
    stop=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_any_run_goes_on_from_any_place_with_a_thread_or_without(draws, steps, epochs, depth, stop, seed):
    """Between the batches the loop draws, too, as a step with dropout does."""

    def taken(feed, log, done=0):
        while feed._epochs < epochs:
            for x, y, _ in feed.epoch(done):
                log.append((int(x[0]), int(y[0]), int(random.generator().integers(0, 1000))))
                yield
            done = 0

    def new(depth):
        return using_prefetch(depth), Feed(IterableSource(Marked(len(draws), draws)), steps)

    random.seed(seed)
    whole = []
    unfed, feed = new(0)
    with unfed, feed:
        list(taken(feed, whole))
    random.seed(seed)
    log = []
    fed, feed = new(depth)
    with fed, feed:
        list(itertools.islice(taken(feed, log), stop))
        place, state = feed.state(), random.state()
    fed, feed = new(depth)
    with fed, feed:
        random.seed(99)
        feed.load_state(place)
        random.set_state(state)
        list(taken(feed, log, done=len(log) - feed._epochs * (steps or len(draws))))
    assert log == whole


def test_abandoned_feeds_and_threads_that_never_started():
    Ahead(iter([1]), 2).close()
    stream = Feed(IterableSource(Drawing(50))).epoch()
    next(stream)
    del stream
    gc.collect()


def test_a_feed_without_end_waits_for_room():
    made = []

    def numbers():
        for number in itertools.count():
            made.append(number)
            yield number

    ahead = Ahead(numbers(), 3)
    assert [next(ahead) for _ in range(4)] == [0, 1, 2, 3]
    time.sleep(0.02)
    assert len(made) <= 4 + 3
    ahead.close()
    assert next(ahead, "end") in (4, "end")


def test_evaluation_and_prediction_are_fed_so_too():
    model, (x, y) = network(), x_and_y()
    batches = [(x[i : i + 5], y[i : i + 5]) for i in range(0, 23, 5)]
    expected = model.evaluate(batches, verbose=0), model.predict(x)
    found = model.evaluate((batch for batch in batches), verbose=0), model.predict(batch[0] for batch in batches)
    assert expected[0] == found[0]
    np.testing.assert_allclose(expected[1], found[1], rtol=1e-6)
