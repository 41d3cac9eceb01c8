"""Data sets that draw from generators of their own: a run over one that is killed goes on bit for bit, or warns."""

import random as python_random
import warnings

import numpy as np
import pytest

from tomograd.engine import layers, random
from tomograd.models import Input, Sequential, callbacks
from tomograd.models.data_memory import give_back, memory_of, same_memory
from tomograd.models.prefetching import using_prefetch
from tomograd.models.pydataset import PyDataset

ROWS, BATCH = 14, 3
KINDS = {
    "generator": np.random.default_rng,
    "philox": lambda: np.random.Generator(np.random.Philox()),
    "old": np.random.RandomState,
    "python": python_random.Random,
}


class Killed(Exception):
    pass


class Shuffled(PyDataset):
    """Shuffles by an unseeded generator of its own, at the beginning, too, and changes the batches by it."""

    def __init__(self, kind="generator", noisy=True, as_list=False):
        super().__init__()
        self.own, self.noisy, self.scale = KINDS[kind](), noisy, 1.0
        self.order = list(range(ROWS)) if as_list else np.arange(ROWS)
        self.own.shuffle(self.order)

    def __len__(self):
        return -(-ROWS // BATCH)

    def __getitem__(self, number):
        rows = np.asarray(self.order)[number * BATCH : (number + 1) * BATCH, None]
        x = (np.sin(rows + np.arange(3.0)) * self.scale).astype(np.float32)
        if self.noisy:
            x = x * np.float32(self.own.uniform(0.9, 1.1))
        return x, x[:, :1]

    def on_epoch_end(self):
        self.own.shuffle(self.order)


class Scaled(Shuffled):
    """A number that it draws is no order: the methods bring it back, where nothing else draws."""

    def on_epoch_begin(self):
        self.scale = self.own.uniform(0.5, 1.5)


class WithHooks(Scaled):
    def get_state(self):
        return {"order": self.order, "scale": self.scale, "own": self.own.bit_generator.state}

    def set_state(self, state):
        self.order, self.scale = state["order"].copy(), state["scale"]
        self.own.bit_generator.state = state["own"]


class OfTheProcess(Shuffled):
    """As Keras's users write it."""

    def __init__(self):
        PyDataset.__init__(self)
        self.order, self.scale, self.noisy = np.arange(ROWS), 1.0, False
        self.on_epoch_end()

    def __getitem__(self, number):
        x, y = super().__getitem__(number)
        return x + np.float32(python_random.random()), y

    def on_epoch_end(self):
        np.random.shuffle(self.order)  # noqa: NPY002


class Iterated:
    """Draws a pass from an unseeded generator of its own."""

    def __init__(self):
        self.own = np.random.default_rng()

    def __iter__(self):
        for row in self.own.permutation(ROWS)[:5]:
            x = np.full((2, 3), np.sin(row) * self.own.uniform(), np.float32)
            yield x, x[:, :1]


def network():
    random.seed(1)
    model = Sequential([Input((3,)), layers.Dense(4), layers.Dropout(0.3), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


class KillAt(callbacks.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.training_run.steps == self.step:
            raise Killed


def broken_and_whole(make, folder, step, save_freq=1, **arguments):
    """What a run comes to, and what one does that is killed and gone on with over a new data set."""
    results = []
    data, model = make(), network()
    backup = callbacks.BackupAndRestore(folder / "unbroken", save_freq)
    first = memory_of(data)
    history = model.fit(data, epochs=4, verbose=0, callbacks=[backup], **arguments).history
    results.append((history, model.get_weights()))
    data, model = make(), network()
    give_back(data, first)  # begins as the other one did
    backup = callbacks.BackupAndRestore(folder / "broken", save_freq)
    with pytest.raises(Killed):
        model.fit(data, epochs=4, verbose=0, callbacks=[backup, KillAt(step)], **arguments)
    data, model = make(), network()
    np.random.seed(5)  # noqa: NPY002
    python_random.seed(5)
    history = model.fit(data, epochs=4, verbose=0, callbacks=[backup], **arguments).history
    results.append((history, model.get_weights()))
    return results


def require_the_same(results):
    (history, weights), (resumed, others) = results
    assert history == resumed
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


CASES = {
    **{kind: lambda kind=kind: Shuffled(kind) for kind in KINDS},
    "list": lambda: Shuffled("python", as_list=True),
    "still": lambda: Shuffled(noisy=False),
    "scaled": lambda: Scaled(noisy=False),
    "hooks": WithHooks,
    "process": OfTheProcess,
    "iterated": Iterated,
}


@pytest.mark.parametrize("step", [3, 12])
@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_goes_on_bit_for_bit(name, step, tmp_path):
    require_the_same(broken_and_whole(CASES[name], tmp_path, step))


@pytest.mark.parametrize("save_freq", [1, "epoch"])
@pytest.mark.parametrize("make", [Shuffled, WithHooks, Iterated])
def test_epochs_within_passes_and_backups_now_and_then(make, save_freq, tmp_path):
    for step in (4, 8):
        results = broken_and_whole(make, tmp_path / str(step), step, save_freq, steps_per_epoch=3)
        require_the_same(results)


def test_without_a_thread(tmp_path):
    with using_prefetch(0):
        require_the_same(broken_and_whole(Shuffled, tmp_path, 7))


def test_batches_are_made_again_only_if_making_them_draws(tmp_path):
    for noisy, expected in ((False, [1, 2, 3, 4]), (True, [0, 0, 1, 2, 3, 4])):
        made = []

        class Noting(Shuffled):
            def __getitem__(self, number, made=made):
                made.append(number)
                return super().__getitem__(number)

        backup = callbacks.BackupAndRestore(tmp_path / str(noisy), 1)
        with pytest.raises(Killed), using_prefetch(0):
            network().fit(Noting(noisy=noisy), epochs=1, shuffle=False, verbose=0, callbacks=[backup, KillAt(2)])
        made.clear()
        with using_prefetch(0):
            network().fit(Noting(noisy=noisy), epochs=1, shuffle=False, verbose=0, callbacks=[backup])
        assert made == expected


def test_what_cannot_be_brought_back_is_told(tmp_path):
    """Numbers that are drawn between draws for batches: neither order nor generator."""
    with pytest.warns(UserWarning, match=r"the data set Scaled is not as it was .*: scale\. .*get_state\(\)"):
        broken_and_whole(lambda: Scaled(noisy=True), tmp_path, 12)
    data, memory = Shuffled(), memory_of(Shuffled("old"))
    with pytest.warns(UserWarning, match="own"):
        give_back(data, memory)
    del data.order
    with pytest.warns(UserWarning, match="order"):
        give_back(data, memory_of(Shuffled()))
    with pytest.raises(ValueError, match="has no get_state and set_state"):
        give_back(data, memory_of(WithHooks()))


def test_nothing_is_told_of_what_is_as_it_was():
    data = Shuffled()
    data.seen, data.names = [1, 2], np.array(["b", "a", "c"])
    memory = memory_of(data)
    data.seen.append(3)
    data.names.sort()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        give_back(data, memory)
    assert data.seen == [1, 2, 3]
    assert data.names.tolist() == ["b", "a", "c"]
    assert not same_memory(memory, memory_of(data))


def test_a_state_that_no_file_holds_is_an_error(tmp_path):
    class Wrong(Shuffled):
        def get_state(self):
            return {"order": {1, 2}}

        def set_state(self, state):
            raise AssertionError

    with pytest.raises(TypeError, match=r"Wrong\.get_state\(\) gave \{1, 2\} of type set"):
        network().fit(Wrong(), verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    network().fit(Wrong(), verbose=0)  # asked for where it is kept
