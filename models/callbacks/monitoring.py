"""A callback that watches one number: whether it is there, and which way it is better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.layers.symbolic import flatten
from ..metrics.base import Metric
from .base import Callback, Logs

if TYPE_CHECKING:
    from ..model import Model

# Parts of names, of metrics or of their classes. Errors are asked for first: "mean_squared_error" is one though other
# parts of a name may read like an accuracy.
SMALLER_IS_BETTER = (
    "loss", "error", "mse", "mae", "mape", "msle", "entropy", "hinge", "poisson", "divergence", "distance", "hausdorff",
    "false", "logcosh", "brier",
)  # fmt: skip
LARGER_IS_BETTER = (
    "accuracy", "acc", "precision", "recall", "f1", "fbeta", "auc", "dice", "iou", "jaccard", "specificity",
    "sensitivity", "kappa", "similarity", "correlation", "concordance", "r2", "true",
)  # fmt: skip


class MonitorCallback(Callback):
    """A callback that follows one number of the logs and knows whether it became better.

    mode "min" or "max" says which way is better; "auto" knows it for losses, errors and the metrics of this package, by
    the number's name or by the class of the metric that has this name, and asks (ValueError, before the training
    begins) for others. NaN is never better. (In Keras a first value of NaN stays the best for ever.)
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode {mode!r} must be 'auto', 'min' or 'max'")
        self.monitor, self.min_delta = monitor, abs(float(min_delta))
        self.mode = mode if mode != "auto" else _direction(monitor) or "auto"
        self.best = self.worst

    def set_model(self, model: Model) -> None:
        super().set_model(model)
        if self.mode != "auto":
            return
        found = [_direction(type(metric).__name__) for metric in _metrics_of(model) if self._watches(metric)]
        if not any(found):
            raise ValueError(
                f"{type(self).__name__}: which way is {self.monitor!r} better? Give mode='min' or mode='max'"
            )
        self.mode = next(filter(None, found))
        self.best = self.worst

    def _watches(self, metric: Metric) -> bool:
        name = self.monitor.removeprefix("val_")
        return name == metric.name or name.endswith(f"_{metric.name}")  # of several outputs: OUTPUT_METRIC

    @property
    def worst(self) -> float:
        return -math.inf if self.mode == "max" else math.inf

    def improved(self, value: float, best: float) -> bool:
        """Whether `value` beats `best` by more than `min_delta`."""
        return value - self.min_delta > best if self.mode == "max" else value + self.min_delta < best

    def watched(self, logs: Logs | None) -> float | None:
        """The number in `logs`; None in an epoch without validation.

        Raises ValueError if the logs do not have it at all (Keras warns and goes on without doing its work), or if it
        is one number for each class.
        """
        logs = logs or {}
        if self.monitor in logs:
            if np.ndim(logs[self.monitor]):
                raise ValueError(f"{type(self).__name__}: monitor {self.monitor!r} is an array, not one number")
            return float(logs[self.monitor])
        if self.monitor.startswith("val_") and (self.params.get("validation_freq") or 1) != 1:
            return None
        raise ValueError(
            f"{type(self).__name__}: monitor {self.monitor!r} is not among the logs: {', '.join(logs) or 'none'}"
        )


def _metrics_of(model: Model) -> list[Metric]:
    """The metrics that `compile` was given as objects."""
    compiled = model._metrics
    given = [] if compiled is None else flatten([compiled.given, compiled.weighted])
    return [metric for metric in given if isinstance(metric, Metric)]


def _direction(name: str) -> str | None:
    """ "min", "max", or None where the name does not tell."""
    words: Any = name.lower().replace("_", "")
    if any(part in words for part in SMALLER_IS_BETTER):
        return "min"
    return "max" if any(part in words for part in LARGER_IS_BETTER) else None
