"""Data sets that give their batches by number, as Keras's PyDataset."""

import threading

import numpy as np
import pytest

from tomograd.engine import layers, random
from tomograd.models import Input, Sequential, callbacks
from tomograd.models.data import IterableSource, NumberedSource, source_of
from tomograd.models.feeding import Feed
from tomograd.models.pydataset import PyDataset


class Rows(PyDataset):
    """Batches of two rows; notes what is asked of it."""

    def __init__(self, count=5, **arguments):
        super().__init__(**arguments)
        self.count, self.told, self.threads = count, [], set()

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        self.told.append(number)
        self.threads.add(threading.current_thread().name)
        x = np.full((2, 3), float(number), np.float32)
        return x, x[:, :1]

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


def network():
    random.seed(1)
    model = Sequential([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_every_epoch_has_all_batches_in_a_new_order_and_is_told_of():
    rows = Rows(8)
    network().fit(rows, epochs=2, verbose=0)
    first, second = rows.told[:10], rows.told[10:]
    for epoch in (first, second):
        assert (epoch[0], epoch[-1]) == ("begin", "end")
        assert sorted(epoch[1:-1]) == list(range(8))
    assert first != second
    assert rows.threads == {"tomograd-feed"}
    again = Rows(8)
    network().fit(again, epochs=2, verbose=0)
    assert again.told == rows.told
    in_order = Rows(3)
    network().fit(in_order, shuffle=False, verbose=0)
    assert in_order.told == ["begin", 0, 1, 2, "end"]


def test_evaluation_and_prediction_keep_the_order():
    model, rows = network(), Rows()
    x = np.repeat(np.arange(5.0), 2)[:, None] * np.ones((1, 3))
    assert model.evaluate(rows, verbose=0) == pytest.approx(model.evaluate(x, x[:, :1], batch_size=2, verbose=0))
    np.testing.assert_allclose(model.predict(rows), model.predict(x), rtol=1e-6)
    assert [told for told in rows.told if not isinstance(told, str)] == [0, 1, 2, 3, 4] * 2


def test_without_a_thread_without_an_end_and_with_steps():
    rows = Rows(workers=0)
    network().fit(rows, verbose=0)
    assert rows.threads == {"MainThread"}

    class Endless(Rows):
        num_batches = None

    endless = Endless()
    history = network().fit(endless, steps_per_epoch=3, epochs=2, verbose=0)
    assert history.epoch == [0, 1]
    assert [told for told in endless.told if not isinstance(told, str)][:6] == [0, 1, 2, 3, 4, 5]
    finite = Rows(3)
    network().fit(finite, steps_per_epoch=2, epochs=3, shuffle=False, verbose=0)
    assert finite.told == ["begin", 0, 1, "end", "begin", 2, 0, "end", "begin", 1, 2, "end"]


def test_a_constructor_that_calls_no_other_and_an_object_of_the_same_kind():
    class Bare(PyDataset):
        def __init__(self):
            self.x = np.ones((2, 3))

        def __len__(self):
            return 2

        def __getitem__(self, number):
            return self.x, self.x[:, :1]

    class Alike:
        def __len__(self):
            return 2

        def __getitem__(self, number):
            return np.ones((2, 3)), np.ones((2, 1))

    for data in (Bare(), Alike()):
        assert isinstance(source_of(data), NumberedSource)
        assert network().fit(data, verbose=0).history["loss"]
    assert isinstance(source_of([(np.ones((2, 3)), np.ones((2, 1)))]), IterableSource)
    assert [len(batch) for batch in Bare()] == [2, 2]


class Growing(Rows):
    """Changes itself at the end of every epoch, by a generator of its own."""

    def __init__(self):
        super().__init__()
        self.own = np.random.default_rng(0)
        self.scale = 1.0

    def __getitem__(self, number):
        x, y = super().__getitem__(number)
        return self.scale * x, y

    def on_epoch_end(self):
        self.scale = self.own.uniform(0.5, 1.5)


@pytest.mark.parametrize("step", [3, 5, 7, 11])
def test_a_run_over_one_goes_on_from_a_backup(step, tmp_path):
    class Killed(Exception):
        pass

    def kill(batch, logs):
        if model.training_run.steps == step:
            raise Killed

    def run(folder, *further):
        backup = callbacks.BackupAndRestore(tmp_path / folder, save_freq=1)
        return model.fit(Growing(), epochs=3, verbose=0, callbacks=[backup, *further]).history, model.get_weights()

    model = network()
    history, weights = run("whole")
    model = network()
    with pytest.raises(Killed):
        run("broken", callbacks.LambdaCallback(on_train_batch_end=kill))
    model = network()

    class LambdaCallback(callbacks.Callback):  # a listener of the same name, so that the runs are alike
        pass

    resumed, resumed_weights = run("broken", LambdaCallback())
    assert resumed == history
    assert all(np.array_equal(a, b) for a, b in zip(weights, resumed_weights, strict=True))


def test_what_is_not_supported_or_wrong_says_so():
    for arguments, message in (
        ({"workers": 4}, "workers = 4"),
        ({"use_multiprocessing": True}, "use_multiprocessing"),
        ({"max_queue_size": 0}, "max_queue_size = 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Rows(**arguments)
    with pytest.raises(ValueError, match="has no batches"):
        network().fit(Rows(0), verbose=0)
    with pytest.raises(ValueError, match="data set, which has its own y"):
        network().fit(Rows(), np.ones(3), verbose=0)
    with pytest.raises(NotImplementedError, match="__len__"):
        network().fit(PyDataset(), verbose=0)
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]


def test_more_steps_than_batches_end_an_evaluation_with_a_warning():
    model = network()
    with pytest.warns(UserWarning, match="ended after 5 batches; 9 were asked for"):
        found = model.evaluate(Rows(), steps=9, verbose=0)
    assert found == model.evaluate(Rows(), verbose=0)
    assert len(model.predict(Rows(), steps=2)) == 4
    assert len(model.predict(np.ones((10, 3)), batch_size=4, steps=2)) == 8
    with Feed(source_of(np.ones((10, 3)), labelled=False, steps=4), 4, once=True) as feed:
        assert [len(batch[0]) for batch in feed.epoch()] == [3, 3, 3, 1]


def test_validation_at_chosen_epochs_and_from_a_generator():
    model = network()
    x = np.ones((4, 3))
    for frequency, expected in ((1, 4), (3, 1), ([1, 4], 2), (range(2, 4), 2)):
        history = model.fit(x, x[:, :1], validation_data=(x, x[:, :1]), validation_freq=frequency, epochs=4, verbose=0)
        assert len(history.history["val_loss"]) == expected
    for wrong in (0, 1.5, "1"):
        with pytest.raises(ValueError, match="validation_freq"):
            model.fit(x, x[:, :1], validation_freq=wrong, verbose=0)
    drawn = []
    endless = ((x, x[:, :1]) for _ in iter(lambda: drawn.append(0), 1))
    model.fit(x, x[:, :1], validation_data=endless, validation_steps=2, epochs=3, verbose=0)
    assert len(drawn) == 6


def test_callbacks_end_evaluations_and_predictions_and_see_outputs():
    model, seen = network(), []
    stop = callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: setattr(model, "stop_evaluating", batch == 1),
        on_predict_batch_end=lambda batch, logs: (
            seen.append(logs["outputs"]),
            setattr(model, "stop_predicting", True),
        ),
    )
    rows = Rows()
    model.evaluate(rows, verbose=0, callbacks=[stop])
    assert model.predict(np.ones((6, 3)), batch_size=2, callbacks=[stop]).shape == (2, 1)
    assert seen[0].shape == (2, 1)
    assert rows.told[-1] != "end"
