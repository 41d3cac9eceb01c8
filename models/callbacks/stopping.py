"""Callbacks that end the training: when it stops to improve, and when the loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .base import Callback, Logs
from .monitoring import MonitorCallback


class EarlyStopping(MonitorCallback):
    """Stop when `monitor` has not become better by more than `min_delta` for `patience` epochs.

    restore_best_weights: at the end put back a copy of the weights of the best epoch, also when all epochs were run.
    baseline: epochs that do not beat it count as waiting even when they are better than all before (though, as in
    Keras, none of these ends the training); the best weights are those of the best epoch even so.
    start_from_epoch: epochs to wait before watching.

    `stopped_epoch` is the epoch that ended the training (0: none did), `best_epoch` the one of the best value `best`
    (−1: none had a value; Keras says 0).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, -1
        self.best = self.worst
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.watched(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improved(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()  # copies: training goes on in the weights themselves
            if self.baseline is None or self.improved(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: {self.monitor} no longer improves; stopped")
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)
            if self.verbose:
                print(f"weights of epoch {self.best_epoch + 1} put back ({self.monitor} {self.best:.4g})")

    def state(self) -> dict[str, Any]:
        names = ("wait", "best", "best_epoch", "stopped_epoch", "best_weights")
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class TerminateOnNaN(Callback):
    """Stop quietly at the first loss that is NaN or infinite; the step that gave it changes no trained weight.

    raise_error: raise a RuntimeError instead, so that no callback's `on_train_end` is called (a backup of the run
    stays). Without this callback `fit` raises `NonFiniteLossError` there.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"step {batch + 1}: the loss is {loss}")
            print(f"step {batch + 1}: the loss is {loss}; training stopped")
            self.model.stop_training = True
