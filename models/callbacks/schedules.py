"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from .base import Callback, Logs
from .monitoring import MonitorCallback


def _optimizer(callback: Callback) -> Any:
    optimizer = callback.model.optimizer
    if optimizer is None:
        raise ValueError(f"{type(callback).__name__}: the model has no optimizer: compile it first")
    return optimizer


class LearningRateScheduler(Callback):
    """Before each epoch set the learning rate to `schedule(epoch, learning_rate)`; logged as "learning_rate".

    A schedule of one argument is called as `schedule(epoch)`. Raises ValueError if it gives no finite number, or if the
    optimizer has a schedule of its own.
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = _optimizer(self)
        arguments = (epoch, float(optimizer.learning_rate))
        rate = self.schedule(*(arguments if _takes_two(self.schedule) else arguments[:1]))
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ValueError(f"LearningRateScheduler: the schedule gave {rate!r}, which is no number") from None
        if not math.isfinite(rate):
            raise ValueError(f"LearningRateScheduler: the schedule gave {rate}")
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate {rate:.3g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(_optimizer(self).learning_rate)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0, 0.0)
    except ValueError:  # built in, without a signature
        return True
    except TypeError:
        return False
    return True


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` when `monitor` has not become better for `patience` epochs.

    cooldown: epochs after a reduction in which nothing is counted. min_lr: the rate does not fall below it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor {factor!r} must lie in (0, 1)")
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = self.cooldown_counter = 0
        self.best = self.worst

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = _optimizer(self)
        if logs is not None:
            logs["learning_rate"] = float(optimizer.learning_rate)
        value = self.watched(logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improved(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and float(optimizer.learning_rate) > self.min_lr:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = _optimizer(self)
        optimizer.learning_rate = max(float(optimizer.learning_rate) * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"epoch {epoch + 1}: learning rate reduced to {float(optimizer.learning_rate):.3g}")

    def state(self) -> dict[str, Any]:
        return {"wait": self.wait, "cooldown_counter": self.cooldown_counter, "best": self.best}

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
