"""Callback, what training tells it and when, and the callbacks that are only made of that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model

Logs = dict[str, Any]

EVENTS = tuple(
    f"on_{phase}_{edge}"
    for phase in ("epoch", "train", "test", "predict", "train_batch", "test_batch", "predict_batch")
    for edge in ("begin", "end")
)


class Callback:
    """What happens during `fit`, `evaluate` and `predict`: subclasses define the methods they need.

    `model` is the model; `params` holds "epochs", "steps" (None if not known), "verbose" and, in training,
    "validation_freq" (None without validation). `logs` are the numbers so far: at the end of a training step the loss
    and the metrics over the epoch up to here (without those that are too costly for that, such as AUC), at the end of
    an epoch all, the validation's under "val_…". Setting `model.stop_training = True` ends the training after the step.

    `state` and `load_state` carry what a callback has to remember into a backup of the run (see `BackupAndRestore`).
    """

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; not called when the training ends by an error."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a training step; `batch` counts from 0 in every epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training step."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation or a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After it."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of it."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of it."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of it."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of it."""

    def state(self) -> dict[str, Any]:
        """What the callback has to remember: nested dicts and lists of numbers, strings and arrays."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""


class CallbackList:
    """Several callbacks, told in order; events that no callback listens to cost nothing."""

    def __init__(self, callbacks: Iterable[Callback], model: Model, params: dict[str, Any]) -> None:
        self.callbacks, self.params = list(callbacks), params
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {callback!r}")
            callback.set_model(model)
            callback.set_params(params)
        self._listeners = {event: self._overriding(event) for event in EVENTS}

    def _overriding(self, event: str) -> list[Callable[..., None]]:
        plain = getattr(Callback, event)
        bound = [getattr(callback, event) for callback in self.callbacks]
        return [method for method in bound if getattr(method, "__func__", None) is not plain]

    def tell(self, event: str, *arguments: Any) -> None:
        """Call `event` of every callback that defines it."""
        for listener in self._listeners[event]:
            listener(*arguments)


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: …)`.

    Raises TypeError for an event that does not exist.
    """

    def __init__(self, **functions: Callable[..., None] | None) -> None:
        for event, function in functions.items():
            if event not in EVENTS:
                raise TypeError(f"LambdaCallback: unknown event {event!r}; known are: {', '.join(EVENTS)}")
            if function is not None:
                setattr(self, event, function)


class History(Callback):
    """What `fit` returns: `history[name]` lists a number's values at the end of each epoch, `epoch` the epochs."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def state(self) -> dict[str, Any]:
        return {"epoch": list(self.epoch), "history": {name: list(values) for name, values in self.history.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]


# -------------------------------------------------------------------------------------------------- a watched number

LARGER_IS_BETTER = ("accuracy", "acc", "precision", "recall", "f1", "auc", "dice", "iou")
SMALLER_IS_BETTER = ("loss", "error", "mse", "mae", "crossentropy")


class MonitorCallback(Callback):
    """A callback that follows one number of the logs and knows whether it became better.

    mode "min" or "max" says which way is better; "auto" knows it for losses, errors and the metrics of this package
    and asks (ValueError) for other names. NaN is never better.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.monitor, self.min_delta = monitor, abs(float(min_delta))
        self.mode = _direction(type(self).__name__, monitor, mode)
        self.best = self.worst

    @property
    def worst(self) -> float:
        return -math.inf if self.mode == "max" else math.inf

    def improved(self, value: float, best: float) -> bool:
        """Whether `value` beats `best` by more than `min_delta`."""
        return value - self.min_delta > best if self.mode == "max" else value + self.min_delta < best

    def watched(self, logs: Logs | None) -> float | None:
        """The number in `logs`; None in an epoch without validation. ValueError if the logs do not have it at all."""
        logs = logs or {}
        if self.monitor in logs:
            return float(logs[self.monitor])
        if self.monitor.startswith("val_") and (self.params.get("validation_freq") or 1) > 1:
            return None
        raise ValueError(
            f"{type(self).__name__}: monitor {self.monitor!r} is not among the logs: {', '.join(logs) or 'none'}"
        )


def _direction(owner: str, monitor: str, mode: str) -> str:
    if mode in ("min", "max"):
        return mode
    if mode != "auto":
        raise ValueError(f"{owner}: mode {mode!r} must be 'auto', 'min' or 'max'")
    words = monitor.lower()
    # "mean_squared_error" is an error though other names may hold "auc" or the like: errors first.
    if any(word in words for word in SMALLER_IS_BETTER):
        return "min"
    if any(word in words for word in LARGER_IS_BETTER):
        return "max"
    raise ValueError(f"{owner}: which way is {monitor!r} better? Give mode='min' or mode='max'")
