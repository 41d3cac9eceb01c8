"""The loops of `fit`, `evaluate` and `predict`, and the whole state of a training run, from which it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import checkpoints, random
from ..engine.checkpoints import CheckpointError
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.sending import Sender
from .callbacks.averages import SwapEMAWeights
from .callbacks.base import Callback, CallbackList, History, Logs, is_own
from .callbacks.checkpoints import BackupAndRestore
from .callbacks.progress import ProgressBar
from .callbacks.stopping import TerminateOnNaN
from .data import (
    ArraySource,
    Batch,
    NumberedSource,
    Source,
    checked_class_weight,
    class_weights,
    is_list_of_batches,
    source_of,
    split_validation,
)
from .feeding import Feed
from .metrics.base import to_array
from .prefetching import DEPTH, depth_for

if TYPE_CHECKING:
    from .model import Model


class TrainingRun:
    """Where a training stands: the epoch, the step in it, the place in the data; and how it goes on.

    `epoch` and `step` count what is done: they are 0 before the first step.
    """

    def __init__(self, model: Model, feed: Feed, epochs: int, initial_epoch: int, callbacks: CallbackList) -> None:
        self.model, self.feed, self.epochs, self.callbacks = model, feed, epochs, callbacks
        self.epoch, self.step = initial_epoch, 0
        self.steps = 0  # over all epochs
        self.tolerates_nan = any(isinstance(callback, TerminateOnNaN) for callback in callbacks.callbacks)
        self.logs: Logs = {}  # of the last epoch
        self.backup: BackupAndRestore | None = None  # which wants to write the state once all callbacks have been told
        self._loaded: tuple[dict[str, np.ndarray], dict[str, str], str] | None = None

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a backup that has not taken effect yet."""
        return self._loaded is not None

    def run(self, validate: Callable[[int], Logs]) -> None:
        """All epochs that are left. `validate` gives logs to add to an epoch's."""
        backups = [callback for callback in self.callbacks.callbacks if isinstance(callback, BackupAndRestore)]
        for backup in backups:  # before others begin to write: a backup of another run ends here
            backup.resume(self)
        self.callbacks.on_train_begin()
        self._restore()
        while self.epoch < self.epochs and not self.model.stop_training:
            self._run_epoch(validate)
        self._loaded = None
        for callback in self.callbacks.callbacks:
            if isinstance(callback, SwapEMAWeights):
                callback.put_back()
        self.model.optimizer.finalize_variable_values(self.model._trained.weights(self.model))
        self.callbacks.on_train_end(dict(self.logs))
        for backup in backups:  # after all else is done: until then a killed run can go on from it
            backup.finish()

    def _run_epoch(self, validate: Callable[[int], Logs]) -> None:
        epoch = self.epoch
        self.model.reset_metrics()
        self.callbacks.params["steps"] = self.feed.known_steps
        self.callbacks.on_epoch_begin(epoch)
        if self.step:  # within an epoch: what was done to begin it is undone
            self._restore()
        self._loaded = None
        logs: Logs = {}
        for batch in self.feed.epoch(self.step):
            self.callbacks.on_train_batch_begin(self.step)
            logs = _numbers(self.model.train_step(batch))
            self.step, self.steps = self.step + 1, self.steps + 1
            self.callbacks.on_train_batch_end(self.step - 1, logs)
            self._backup()
            if self.model.stop_training:
                break
        if not self.step:
            raise ValueError("the data gave no batch to train on")
        # What a train_step of the model's own reports is there as its last step told it.
        logs = logs | self.model.metric_results() | validate(epoch)
        self.epoch, self.step = epoch + 1, 0
        self.callbacks.on_epoch_end(epoch, logs)
        self.logs = logs
        self._backup()

    # --------------------------------------------------------------------------------------------------- its state

    def _backup(self) -> None:
        if self.backup is not None:
            backup, self.backup = self.backup, None
            backup.write(self)

    def save(self, path: str | os.PathLike[str], keep: str | os.PathLike[str] | None = None) -> None:
        """Write all that the rest of the run depends on. keep: the name under which the file before it goes on."""
        arrays: dict[str, np.ndarray] = {}
        model = self.model
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "steps": self.steps,
            "stop": model.stop_training,
            "logs": self.logs,
            "feed": self.feed.state(),
            "data": self._data(),
            "input_shape": list(_first_shape(model)),
            "loss": model.loss_tracker.state(),
            "losses": {} if model._loss is None else model._loss.state(),
            "own_metrics": {path: metric.state() for path, metric in model._own_metrics().items()},
            "metrics": None if model._metrics is None else model._metrics.state(),
            "callbacks": [[type(callback).__name__, callback.state()] for callback in self._remembering()],
        }
        written = _without_arrays(state, arrays, "run")
        weights, metadata = checkpoints.collect_state(model, model.optimizer, written)
        checkpoints.save(path, weights | arrays, metadata, keep)

    def read(self, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """What `save` wrote. Raises CheckpointError for a file that is missing or damaged."""
        return checkpoints.load(path, needs_digest=True)

    def load(self, arrays: dict[str, np.ndarray], metadata: dict[str, str], source: str) -> None:
        """Go on from what `read` gave; `source` names it. It takes effect when the callbacks have begun.

        Raises CheckpointError for the state of another run.
        """
        self._loaded = arrays, metadata, source
        self._check_same(self._read_state(metadata, source), source)
        self._restore_core()

    def _restore_core(self) -> dict[str, Any]:
        """Weights, optimizer and random state; returns the rest."""
        if self._loaded is None:
            raise RuntimeError("nothing was loaded")
        arrays, metadata, source = self._loaded
        extra = {key: array for key, array in arrays.items() if key.startswith("run/")}
        core = {key: array for key, array in arrays.items() if key not in extra}
        if not self.model.built:
            self.model.build((None, *self._read_state(metadata, source)["input_shape"][1:]))
        if self.model.optimizer is not None and not self.model.optimizer.built:
            self.model.optimizer.build(self.model._trained.weights(self.model))
        state = checkpoints.restore_state(core, metadata, self.model, self.model.optimizer, source)
        return _with_arrays(state, extra)

    def _restore(self) -> None:
        """Go to the place that was loaded, if one was."""
        if self._loaded is None:
            return
        state = self._restore_core()
        self.epoch, self.step, self.steps = state["epoch"], state["step"], state["steps"]
        self.model.stop_training, self.logs = state["stop"], state["logs"]
        self.model.loss_tracker.load_state(state["loss"])
        if self.model._loss is not None:
            self.model._loss.load_state(state["losses"])
        for path, metric in self.model._own_metrics().items():
            metric.load_state(state["own_metrics"][path])
        if self.model._metrics is not None:
            self.model._metrics.load_state(state["metrics"])
        for callback, (_, own) in zip(self._remembering(), state["callbacks"], strict=True):
            callback.load_state(own)
        self.feed.load_state(state["feed"])
        # Going to the place in the data has drawn random numbers: the state after the last step comes last.
        random.set_state(json.loads(self._loaded[1]["random"]))

    def _read_state(self, metadata: dict[str, str], source: str) -> dict[str, Any]:
        try:
            return json.loads(metadata["counters"])
        except (KeyError, ValueError):
            raise CheckpointError(f"{source}: holds no training run") from None

    def _check_same(self, state: dict[str, Any], source: str) -> None:
        """Raise CheckpointError for the backup of a run over other data or with other callbacks."""
        if "data" not in state:
            raise CheckpointError(f"{source}: holds no training run")
        names = [type(callback).__name__ for callback in self._remembering()]
        saved = [name for name, _ in state["callbacks"]]
        for what, then, now in (("data", state["data"], self._data()), ("callbacks", saved, names)):
            if then != now:
                raise CheckpointError(
                    f"{source}: is the backup of another run: its {what} were {then}, now they are {now}; start fit "
                    "with the same arguments, or remove the file"
                )

    def _remembering(self) -> list[Callback]:
        """The callbacks that have something to remember; the others may come and go."""
        return [callback for callback in self.callbacks.callbacks if is_own(callback, "state")]

    def _data(self) -> dict[str, Any]:
        source = self.feed.source
        if isinstance(source, ArraySource):
            return {"samples": source.samples, "batch_size": source.batch_size, "shuffle": source.shuffle}
        if isinstance(source, NumberedSource):
            return {"shuffle": source.shuffle, "steps_per_epoch": self.feed.steps_per_epoch}
        return {"steps_per_epoch": self.feed.steps_per_epoch}


def _numbers(logs: Logs) -> Logs:
    """Python's numbers, and arrays, in place of what a step of the model's own may give: Tensors, NumPy's numbers."""
    return {name: value if type(value) is float else _number(value) for name, value in logs.items()}


def _number(value: Any) -> Any:
    array = to_array(value)
    return float(array) if array.ndim == 0 and array.dtype.kind in "fiub" else array


def _first_shape(model: Model) -> Sequence[Any]:
    return model._notes.built_shape or ()


def _without_arrays(value: Any, arrays: dict[str, np.ndarray], path: str) -> Any:
    """`value` as JSON writes it; its arrays are put into `arrays` and named in their place."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"__array__": path}
    if isinstance(value, dict):
        return {key: _without_arrays(entry, arrays, f"{path}/{key}") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(entry, arrays, f"{path}/{index}") for index, entry in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]].copy()
        return {key: _with_arrays(entry, arrays) for key, entry in value.items()}
    return [_with_arrays(entry, arrays) for entry in value] if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------------------------- loops


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
        logs = _numbers(model.test_step(batch))
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
                result = model.predict_step(batch)
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
