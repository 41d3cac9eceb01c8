"""The loops of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.layers.symbolic import flatten, map_structure
from ..engine.sending import Sender
from .callbacks.base import Callback, CallbackList, History, Logs
from .callbacks.progress import ProgressBar
from .data import (
    ArraySource,
    Batch,
    Source,
    checked_class_weight,
    class_weights,
    is_list_of_batches,
    source_of,
    split_validation,
    step_data,
)
from .feeding import Feed
from .prefetching import DEPTH, depth_for
from .training_run import TrainingRun, numbers

if TYPE_CHECKING:
    from .model import Model


def fit(
    model: Model,
    x: Any,
    y: Any,
    batch_size: int | None,
    epochs: int,
    verbose: str | int,
    callbacks: Sequence[Callback] | None,
    validation_split: float,
    validation_data: Any,
    shuffle: bool,
    class_weight: dict[int, float] | None,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: int | Sequence[int],
) -> History:
    """See `Model.fit`."""
    model._require_compiled("fit")
    epochs, initial_epoch = _count("epochs", epochs), _count("initial_epoch", initial_epoch)
    class_weight = checked_class_weight(class_weight)
    looked_at = _validated_epochs(validation_freq)
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = split_validation(x, y, sample_weight, validation_split)
    labelled = model._loss is not None
    source = source_of(x, y, sample_weight, batch_size, shuffle, labelled, steps_per_epoch)
    feed = _feed(model, source, steps_per_epoch, _weighing(class_weight))
    validation = _validation_feed(
        model, validation_data, validation_batch_size or batch_size, validation_steps, labelled
    )
    every = None if validation is None else validation_freq
    listeners = _listeners(model, callbacks, verbose, feed, epochs=epochs, validation_freq=every, add_history=True)
    history = next(callback for callback in listeners.callbacks if isinstance(callback, History))

    def validate(epoch: int) -> Logs:
        if validation is None or not looked_at(epoch):
            return {}
        logs = _run_test(model, validation, listeners)
        return {f"val_{name}": value for name, value in logs.items()}

    model.stop_training = False
    model.history = history
    run = model.training_run = TrainingRun(model, feed, epochs, initial_epoch, listeners)
    try:
        with _receiving(model, feed, validation):
            run.run(validate)
    finally:
        model.training_run = None
        _close_bars(listeners)
    return history


def _feed(
    model: Model,
    source: Source,
    steps: int | None,
    prepare: Callable[[Batch], Batch] | None = None,
    once: bool = False,
) -> Feed:
    """The batches for a model; where it computes on a GPU, they are sent there while the step before runs."""
    depth = depth_for(max(source.ahead, DEPTH))
    if model.device == "cpu" or depth == 0 or not source.on_host:
        return Feed(source, steps, once, prepare)
    sender = Sender(model.device, depth)

    def send(batch: Batch) -> Batch:
        batch = batch if prepare is None else prepare(batch)
        x, others = flatten(batch[0]), flatten(batch[1:])
        kinds = [(leaf, model.dtype if leaf.dtype.kind == "f" else leaf.dtype) for leaf in filter(_can_be_sent, x)]
        sender.send([*kinds, *((leaf, leaf.dtype) for leaf in filter(_can_be_sent, others))])
        return batch

    feed = Feed(source, steps, once, send, depth)
    feed.sender = sender
    return feed


def _can_be_sent(leaf: Any) -> bool:
    """Whether it is an array of main memory, of numbers that a GPU knows."""
    return isinstance(leaf, np.ndarray) and leaf.dtype.char in "?bBhHiIlLqQefd" and leaf.dtype.isnative


@contextmanager
def _receiving(model: Model, *feeds: Feed | None) -> Iterator[None]:
    """Within it the model takes from these feeds what they sent to its GPU; at the end the feeds are closed."""
    before = model._senders
    model._senders = (*before, *[feed.sender for feed in feeds if feed is not None and feed.sender is not None])
    try:
        yield
    finally:
        model._senders = before
        for feed in feeds:
            if feed is not None:
                feed.close()


def _count(argument: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"{argument} {value!r} must be an integer of at least 0")
    return int(value)


def _weighing(class_weight: dict[int, float] | None) -> Callable[[Batch], Batch] | None:
    """What puts the weights of the classes into a batch."""
    if class_weight is None:
        return None
    return lambda batch: (batch[0], batch[1], class_weights(batch[1], class_weight, batch[2]))


def _validated_epochs(frequency: Any) -> Callable[[int], bool]:
    """Whether the validation data are looked at after epoch number `epoch` (from 0). Raises ValueError for what is
    neither a positive number of epochs nor a list of the epochs' numbers from 1."""
    if isinstance(frequency, int) and not isinstance(frequency, bool) and frequency >= 1:
        return lambda epoch: (epoch + 1) % frequency == 0
    if isinstance(frequency, (list, tuple, set, range)):
        return lambda epoch: epoch + 1 in frequency
    raise ValueError(f"validation_freq {frequency!r} must be a positive integer or a list of epochs, counted from 1")


def _listeners(
    model: Model,
    callbacks: Any,
    verbose: str | int,
    feed: Feed,
    epochs: int = 1,
    validation_freq: int | Sequence[int] | None = None,
    add_history: bool = False,
) -> CallbackList:
    """Whom a loop tells: the callbacks given, a progress bar if one is to be shown, and in training a History."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose {verbose!r} must be 'auto', 0, 1 or 2")
    params = {"epochs": epochs, "steps": feed.known_steps, "verbose": verbose, "validation_freq": validation_freq}
    return CallbackList(callbacks, add_history, bool(verbose), model, **params)


def _close_bars(listeners: CallbackList) -> None:
    for callback in listeners.callbacks:
        if isinstance(callback, ProgressBar):
            callback.close()


def _validation_feed(model: Model, data: Any, batch_size: int | None, steps: int | None, labelled: bool) -> Feed | None:
    if data is None:
        return None
    if isinstance(data, list) and not is_list_of_batches(data):
        data = tuple(data)  # [x, y]
    if not isinstance(data, tuple):
        return _feed(model, source_of(data, labelled=labelled), steps, once=True)
    if not 2 <= len(data) <= 3:
        raise ValueError(f"validation_data: expected (x, y) or (x, y, sample_weight), not a tuple of {len(data)}")
    x, y, sample_weight = (*data, None)[:3]
    source = source_of(x, y, sample_weight, batch_size, labelled=labelled, steps=steps)
    return _feed(model, source, steps, once=True)


def evaluate(
    model: Model,
    x: Any,
    y: Any,
    batch_size: int | None,
    verbose: str | int,
    sample_weight: Any,
    steps: int | None,
    callbacks: Sequence[Callback] | None,
) -> Logs:
    """See `Model.evaluate`."""
    source = source_of(x, y, sample_weight, batch_size, labelled=model._loss is not None, steps=steps)
    feed = _feed(model, source, steps, once=True)
    listeners = _listeners(model, callbacks, verbose, feed)
    try:
        with _receiving(model, feed):
            return _run_test(model, feed, listeners)
    finally:
        _close_bars(listeners)


def _run_test(model: Model, feed: Feed, listeners: CallbackList) -> Logs:
    """One pass with `test_step`; the metrics over all of it."""
    model.reset_metrics()
    model.stop_evaluating = False
    listeners.on_test_begin()
    done, logs = 0, {}
    for batch in feed.epoch():
        listeners.on_test_batch_begin(done)
        logs = numbers(model.test_step(step_data(*batch)))
        listeners.on_test_batch_end(done, logs)
        done += 1
        if model.stop_evaluating:
            break
    if not done:
        raise ValueError("the data gave no batch to evaluate on")
    logs = logs | model.metric_results()
    listeners.on_test_end(logs)
    return logs


def predict(
    model: Model,
    x: Any,
    batch_size: int | None,
    verbose: str | int,
    steps: int | None,
    callbacks: Sequence[Callback] | None,
) -> Any:
    """See `Model.predict`."""
    source = source_of(x, batch_size=batch_size, labelled=False, steps=steps)
    feed = _feed(model, source, steps, once=True)
    listeners = _listeners(model, callbacks, verbose, feed)
    outputs = _Outputs(_samples(source, feed))
    model.stop_predicting = False
    listeners.on_predict_begin()
    try:
        with _receiving(model, feed):
            for step, (batch, _, _) in enumerate(feed.epoch()):
                listeners.on_predict_batch_begin(step)
                result = model.predict_step(step_data(batch))
                outputs.add(result)
                listeners.on_predict_batch_end(step, {"outputs": result})
                if model.stop_predicting:
                    break
    finally:
        _close_bars(listeners)
    listeners.on_predict_end()
    return outputs.joined()


def _samples(source: Source, feed: Feed) -> int | None:
    """How many samples there will be, if that is known."""
    if not isinstance(source, ArraySource) or feed.known_steps is None:
        return None
    return min(source.samples, feed.known_steps * source.batch_size)


class _Outputs:
    """Batches of outputs, joined along the samples: written into place where the number of samples is known."""

    def __init__(self, samples: int | None) -> None:
        self.samples, self.done = samples, 0
        self._structure: Any = None
        self._parts: list[list[np.ndarray]] = []
        self._whole: list[np.ndarray] = []

    def add(self, outputs: Any) -> None:
        leaves = flatten(outputs)
        if not self._parts:
            self._structure = outputs if isinstance(outputs, (list, tuple, dict)) else None
            self._parts = [[] for _ in leaves]
            if self.samples is not None:
                self._whole = [np.empty((self.samples, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        for index, leaf in enumerate(leaves):
            if self._whole:
                self._whole[index][self.done : self.done + len(leaf)] = leaf
            else:
                self._parts[index].append(np.array(leaf))
        self.done += len(leaves[0])

    def joined(self) -> Any:
        if not self._parts:
            raise ValueError("the data gave no batch to predict for")
        whole = [array[: self.done] for array in self._whole]
        arrays: Iterator[np.ndarray] = iter(whole or [self._join(parts) for parts in self._parts])
        return next(arrays) if self._structure is None else map_structure(lambda _: next(arrays), self._structure)

    def _join(self, parts: list[np.ndarray]) -> np.ndarray:
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise ValueError(
                f"predict: the batches gave outputs of different shapes {sorted(shapes)}; predict them one by one"
            )
        return np.concatenate(parts)
