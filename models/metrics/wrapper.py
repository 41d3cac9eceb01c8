"""Metrics from functions: the mean of what a function of truth and prediction gives for each sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import losses
from . import accuracy, correlation
from .base import WeightedMean, snake_case, to_array


class MeanMetricWrapper(WeightedMean):
    """The mean of a function `fn(y_true, y_pred, **kwargs) -> one value for each sample or element` of arrays.

    Only where fn is one of tomograd's own losses or metrics can a configuration be written: no code is saved.
    """

    def __init__(self, fn: Any, name: str | None = None, dtype: Any = None, **kwargs: Any):
        self.fn, self._arguments = fn, kwargs
        super().__init__(dtype, name or snake_case(getattr(fn, "__name__", type(fn).__name__)))

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        values = to_array(self.fn(y_true, y_pred, **self._arguments))
        if values.dtype.kind not in "fiub":
            raise self.fail(f"its function gave {values!r:.60}: expected numbers")
        return values

    def get_config(self) -> dict[str, Any]:
        known = getattr(self.fn, "__name__", "")
        if _functions().get(known) is not self.fn:
            raise NotImplementedError("a metric that is a function cannot be written into a file")
        return {"fn": known, "name": self.name, "dtype": self.dtype} | self._arguments

    @classmethod
    def from_config(cls, config: Any) -> MeanMetricWrapper:
        return cls(**{**config, "fn": _functions()[config["fn"]]})


def _functions() -> dict[str, Any]:
    """The functions of truth and prediction that have names."""
    found = {name: getattr(losses, name) for name in losses.__all__ if name.islower()}
    own = (accuracy, correlation)
    return found | {
        name: entry
        for module in own
        for name, entry in vars(module).items()
        if name.endswith(("_accuracy", "_correlation"))
    }
