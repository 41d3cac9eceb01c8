"""Batches sent to a GPU while it computes: the right numbers, in time, through buffers that are not used too early.

The pretended device makes copies late, and looks whether their sources have changed since.
"""

import threading

import numpy as np
import pretended_cupy
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import layers
from tomograd.engine.sending import Sender
from tomograd.models.prefetching import using_prefetch


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def group(number):
    rng = np.random.default_rng(number)
    return [rng.standard_normal((3, number + 1)), rng.integers(0, 9, 5), rng.random(number) < 0.5]


def sent(sender, arrays):
    sender.send([(array, array.dtype) for array in arrays])
    return arrays


class TestSender:
    def test_what_was_sent_arrives_group_by_group(self, cupy):
        sender, groups = Sender("cuda", ahead=2), []
        for number in range(11):  # each larger than the one before: the buffers grow
            groups.append(sent(sender, group(number)))
            if number >= 2:  # two are ahead
                for array in groups[number - 2]:
                    there = sender.arrived(array)
                    assert (there.device, there.dtype) == ("cuda:0", array.dtype)
                    np.testing.assert_array_equal(there.numpy(), array)

    def test_types_are_changed_on_the_way(self, cupy):
        sender, (x, labels, _) = Sender("cuda:1", ahead=1), group(4)
        sender.send([(x, np.float32), (labels, labels.dtype)])
        there = sender.arrived(x)
        assert (there.device, there.dtype) == ("cuda:1", np.float32)
        np.testing.assert_array_equal(there.numpy(), x.astype(np.float32))

    def test_the_senders_arrays_may_change_as_soon_as_they_were_sent(self, cupy):
        sender, (x, *_) = Sender("cuda", ahead=1), group(4)
        before = x.copy()
        sent(sender, [x])
        x[...] = 0
        np.testing.assert_array_equal(sender.arrived(x).numpy(), before)

    def test_what_was_not_sent_or_lies_too_long_back(self, cupy):
        sender = Sender("cuda", ahead=1)
        first = sent(sender, group(1))
        assert sender.arrived(first[0]) is not None
        assert sender.arrived(group(1)[0]) is None
        kept = [sent(sender, group(number)) for number in range(3)]
        assert sender.arrived(first[0]) is None
        assert len(sender._arrivals) == sum(map(len, kept))

    def test_a_full_gpu_is_explained(self, cupy):
        sender, array = Sender("cuda", ahead=1), np.ones(1000)
        with (
            pretended_cupy.room_for(5000),
            pytest.raises(MemoryError, match=r"shape \(1000,\), 8,000 bytes: the GPU has"),
        ):
            sent(sender, [array])
        sent(sender, [array])
        np.testing.assert_array_equal(sender.arrived(array).numpy(), array)


class TestThatThePretendedDeviceSees:
    def test_a_buffer_that_is_used_again_too_early(self, cupy, monkeypatch):
        monkeypatch.setattr(pretended_cupy.Event, "synchronize", lambda event: None)
        sender = Sender("cuda", ahead=1)
        for number in range(4):
            sent(sender, group(number))
        with pytest.raises(AssertionError, match="used again before it was copied"):
            sender._stream.synchronize()

    def test_a_copy_that_nobody_waited_for(self, cupy, monkeypatch):
        monkeypatch.setattr(pretended_cupy.Stream, "wait_event", lambda stream, event: None)
        sender = Sender("cuda", ahead=1)
        x, *_ = sent(sender, group(2))
        assert np.isnan(sender.arrived(x).numpy()).all()

    def test_memory_that_is_not_pinned(self, cupy):
        stream = cupy.cuda.Stream(non_blocking=True)
        with pytest.raises(AssertionError, match="not pinned"):
            cupy.empty(3).set(np.ones(3), stream=stream)


IMAGES = np.random.default_rng(0).standard_normal((22, 4, 4, 1))
LABELS = np.random.default_rng(1).integers(0, 3, 22)


def classifier():
    tg.random.seed(1)
    model = tg.models.Sequential(
        [layers.Input((4, 4, 1)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dropout(0.3), layers.Dense(3)]
    )
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss=loss, metrics=["accuracy"], weighted_metrics=["sparse_categorical_crossentropy"])
    return model


def fit(model, **options):
    tg.random.seed(2)
    weights = np.linspace(0.5, 1.5, len(LABELS))
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "validation_split": 0.25, **options}
    return model.fit(IMAGES, LABELS, sample_weight=weights, device="cuda", **options).history


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_training_has_the_numbers_of_one_without_a_thread(cupy, shuffle):
    model, other = classifier(), classifier()
    history = fit(model, shuffle=shuffle)
    evaluated, predicted = model.evaluate(IMAGES, LABELS, batch_size=5, verbose=0), model.predict(IMAGES, batch_size=5)
    assert model._senders == ()
    with using_prefetch(0):
        assert fit(other, shuffle=shuffle) == history
        assert other.evaluate(IMAGES, LABELS, batch_size=5, verbose=0) == evaluated
        np.testing.assert_array_equal(other.predict(IMAGES, batch_size=5), predicted)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_next_batch_is_sent_while_a_step_runs(cupy, monkeypatch):
    """Each step but the last waits, at its end, until the group of the next one was sent."""
    groups, lock = [], threading.Condition()
    send = Sender.send

    def note(sender, arrays):
        send(sender, arrays)
        with lock:
            groups.append(len(groups))
            lock.notify_all()

    class Wait(tg.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            with lock:
                assert lock.wait_for(lambda: len(groups) > min(batch + 1, 4), timeout=30)

    monkeypatch.setattr(Sender, "send", note)
    fit(classifier(), epochs=1, validation_split=0.0, batch_size=5, callbacks=[Wait()])
    assert len(groups) == 5


class Killed(Exception):
    pass


class KillAt(tg.callbacks.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.training_run.steps == self.step:
            raise Killed


@pytest.mark.parametrize("kill", [1, 2, 4, 5, 8])
def test_what_was_sent_ahead_is_no_part_of_a_backup(cupy, kill, tmp_path):
    def run(step, folder):
        model = classifier()
        backup = tg.callbacks.BackupAndRestore(folder, save_freq=1)
        return fit(model, shuffle=True, callbacks=[backup, KillAt(step)]), model.get_weights()

    expected, whole = run(None, tmp_path / "whole")
    with pytest.raises(Killed):
        run(kill, tmp_path / "broken")
    history, weights = run(None, tmp_path / "broken")
    assert history["loss"] == expected["loss"]
    for one, other in zip(weights, whole, strict=True):
        np.testing.assert_array_equal(one, other)
