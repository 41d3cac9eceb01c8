"""TrainingRun: where a training stands, epochs and steps from there, and its whole state, from which it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import checkpoints, random
from ..engine.checkpoints import CheckpointError
from .callbacks.averages import SwapEMAWeights
from .callbacks.base import Callback, CallbackList, Logs, is_own
from .callbacks.checkpoints import BackupAndRestore
from .callbacks.stopping import TerminateOnNaN
from .data import ArraySource, NumberedSource, step_data
from .feeding import Feed
from .metrics.base import to_array

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
        self.feed.remembers = bool(backups)
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
            logs = numbers(self.model.train_step(step_data(*batch)))
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


def numbers(logs: Logs) -> Logs:
    """Python's numbers, and arrays, in place of what a step of the model's own may give: Tensors, NumPy's numbers, and
    dicts of them, whose entries stand for themselves."""
    found: Logs = {}
    for name, value in logs.items():
        if isinstance(value, dict):
            found |= numbers(value)
        else:
            found[name] = value if type(value) is float else _number(value)
    return found


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
