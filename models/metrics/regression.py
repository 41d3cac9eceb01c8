"""Errors of predicted numbers."""

from __future__ import annotations

import numpy as np

from .base import WeightedMean, same_shape


def _difference(metric: WeightedMean, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    y_true, y_pred = same_shape(metric, y_true, y_pred)
    return y_pred.astype(np.float64) - y_true


class MeanSquaredError(WeightedMean):
    """mean (y_pred − y_true)²."""

    def __init__(self, name: str = "mean_squared_error"):
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _difference(self, y_true, y_pred) ** 2


class RootMeanSquaredError(MeanSquaredError):
    """sqrt(mean (y_pred − y_true)²), the root taken over all samples together."""

    def __init__(self, name: str = "root_mean_squared_error"):
        super().__init__(name)

    def compute(self) -> float:
        return np.sqrt(super().compute())


class MeanAbsoluteError(WeightedMean):
    """mean |y_pred − y_true|."""

    def __init__(self, name: str = "mean_absolute_error"):
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(_difference(self, y_true, y_pred))
