"""Callback, what training tells it and when, and the callbacks that are only made of that."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...engine.layers.symbolic import flatten

if TYPE_CHECKING:
    from ..model import Model

Logs = dict[str, Any]

EVENTS = tuple(
    f"on_{phase}_{edge}"
    for phase in ("epoch", "train", "test", "predict", "train_batch", "test_batch", "predict_batch", "batch")
    for edge in ("begin", "end")
)
_OLDER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class Callback:
    """What happens during `fit`, `evaluate` and `predict`: subclasses define the methods they need.

    `model` is the model; `params` holds "epochs", "steps" (None if not known), "verbose" and, in training,
    "validation_freq" (None without validation). `logs` are the numbers so far: at the end of a training step the loss
    and the metrics over the epoch up to here (without those that are too costly for that, such as AUC), at the end of
    an epoch all, the validation's under "val_…", at the end of the training those of its last epoch, at the end of a
    step of `predict` {"outputs": …}, and else {}. All callbacks are given one dict: what one adds, the later ones see.

    Setting `model.stop_training`, `stop_evaluating` or `stop_predicting` to True ends the loop after the step.

    `state` and `load_state` carry what a callback has to remember into a backup of the run (see `BackupAndRestore`).
    """

    model: Any = None
    params: Any = None

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
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training step."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Keras's older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keras's older name of `on_train_batch_end`."""

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


class CallbackList(Callback):
    """Several callbacks as one, told in order; events that no callback listens to cost nothing.

    callbacks: a callback or (nested) lists of them. add_history, add_progbar: put a History and a ProgressBar at the
    end unless there is one. model, params: what they are to know; params are `Callback.params`. `fit`, `evaluate` and
    `predict` make such a list themselves; for loops of one's own it has every method that `Callback` has.

    Raises TypeError for what is no Callback.
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Any] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Model | None = None,
        **params: Any,
    ) -> None:
        from .progress import ProgressBar

        self.callbacks: list[Callback] = _flat(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: expected Callback objects, got {callback!r}")
        if add_history and not any(isinstance(callback, History) for callback in self.callbacks):
            self.callbacks.append(History())
        if add_progbar and not any(isinstance(callback, ProgressBar) for callback in self.callbacks):
            self.callbacks.append(ProgressBar(bar=params.get("verbose") != 2))
        self._listeners = {event: self._overriding(event) for event in EVENTS}
        self.set_params(params)
        if model is not None:
            self.set_model(model)

    def set_model(self, model: Model) -> None:
        self.model = model
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def _overriding(self, event: str) -> list[Callable[..., None]]:
        names = (event, _OLDER_NAMES.get(event, event))
        found = []
        for callback in self.callbacks:
            methods = [getattr(callback, name) for name in names if is_own(callback, name)]
            found += methods[:1]
        return found

    def tell(self, event: str, *arguments: Any) -> None:
        """Call `event` of every callback that defines it."""
        for listener in self._listeners[event]:
            listener(*arguments)


def _flat(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    return flatten(list(callbacks) if isinstance(callbacks, Iterable) else callbacks)


def is_own(callback: Callback, method: str) -> bool:
    """Whether the callback has a method of its own of this name."""
    return getattr(getattr(callback, method), "__func__", None) is not getattr(Callback, method)


def _tells(event: str) -> Callable[..., None]:
    counted = "batch" in event or "epoch" in event

    def tell_number(self: CallbackList, number: int, logs: Logs | None = None) -> None:
        self.tell(event, number, {} if logs is None else logs)

    def tell(self: CallbackList, logs: Logs | None = None) -> None:
        self.tell(event, {} if logs is None else logs)

    method = tell_number if counted else tell
    method.__name__, method.__doc__ = event, f"Tell all callbacks, as `Callback.{event}`."
    return method


for _event in EVENTS:
    setattr(CallbackList, _event, _tells(_event))


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: …)`.

    functions: those for any other event of `Callback`, by its name. Raises TypeError for an event that does not exist
    (which Keras takes and never calls).
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **functions: Callable[..., Any] | None,
    ) -> None:
        functions |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for event, function in functions.items():
            if event not in EVENTS:
                raise TypeError(f"LambdaCallback: unknown event {event!r}; known are: {', '.join(EVENTS)}")
            if function is not None:
                setattr(self, event, function)


class History(Callback):
    """What `fit` returns: `history[name]` lists a number's values at the end of each epoch, `epoch` the epochs.

    The model has it as `model.history`.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def set_model(self, model: Model) -> None:
        self._model = weakref.ref(model)  # the model holds its history: a ring of the two would keep its memory
        model.history = self

    @property
    def model(self) -> Any:
        """The model, as long as somebody else has it; a copy of the history knows of none."""
        reference = vars(self).get("_model")
        return None if reference is None else reference()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_model"}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def state(self) -> dict[str, Any]:
        return {"epoch": list(self.epoch), "history": {name: list(values) for name, values in self.history.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]
