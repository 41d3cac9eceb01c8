"""How closely predictions follow the truth: the correlation of Pearson, and Lin's, which asks for equality too."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Metric, WeightedMean, finite_scores, ratio, same_shape, to_array


class PearsonCorrelation(WeightedMean):
    """The mean over samples of cov(t, p) / (σ_t σ_p), each taken along `axis`: 1 on a rising line, −1 on a falling one.

    y_true and y_pred (N, …, D). Where truth or prediction is constant there is no correlation: 0 (Keras: NaN, or noise
    of rounding). (K. Pearson, Notes on regression and inheritance in the case of two parents, 1895.)
    """

    def __init__(self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1):
        self.axis = axis
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        truth, found = (_scaled(x, self.axis) for x in _centred(self, y_true, y_pred))
        spread = np.sqrt((truth**2).sum(axis=self.axis)) * np.sqrt((found**2).sum(axis=self.axis))
        return ratio((truth * found).sum(axis=self.axis), spread, empty=0.0)


class ConcordanceCorrelation(WeightedMean):
    """The mean over samples of 2 cov(t, p) / (σ_t² + σ_p² + (mean t − mean p)²), each taken along `axis`.

    1 only where the prediction equals the truth; a constant equal to a constant truth is that too (Keras: 0).
    (L. Lin, A concordance correlation coefficient to evaluate reproducibility, 1989.)
    """

    def __init__(self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1):
        self.axis = axis
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        truth, found = _centred(self, y_true, y_pred)
        means = [x.mean(axis=self.axis, keepdims=True, dtype=np.float64) for x in (y_true.reshape(truth.shape), y_pred)]
        parts = _scaled(np.concatenate([truth, found, means[0] - means[1]], axis=self.axis), self.axis)
        size = truth.shape[self.axis]
        truth, found, shift = np.split(parts, [size, 2 * size], axis=self.axis)
        apart = (truth**2).mean(axis=self.axis) + (found**2).mean(axis=self.axis) + shift.take(0, self.axis) ** 2
        return ratio(2 * (truth * found).mean(axis=self.axis), apart, empty=1.0)


def _centred(metric: Any, y_true: np.ndarray, y_pred: np.ndarray) -> list[np.ndarray]:
    """Both less their means along the axis. A row of equal numbers is 0 to the last bit."""
    pair = same_shape(metric, y_true, y_pred)
    if isinstance(metric.axis, bool) or not isinstance(metric.axis, (int, np.integer)):
        raise metric.fail(f"axis {metric.axis!r} must be an integer")
    if not -pair[1].ndim <= metric.axis < pair[1].ndim:
        raise metric.fail(f"axis {metric.axis} is out of range for y_pred of shape {pair[1].shape}")
    first = [np.take(x, [0], axis=metric.axis) for x in pair]
    moved = [x.astype(np.float64) - start for x, start in zip(pair, first, strict=True)]
    return [x - x.mean(axis=metric.axis, keepdims=True) for x in moved]


def _scaled(x: np.ndarray, axis: int) -> np.ndarray:
    """x divided by the largest of each vector along the axis: no square leaves float64."""
    largest = np.abs(x).max(axis=axis, keepdims=True)
    return x / np.where(largest == 0, 1.0, largest)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> np.ndarray:
    """The correlation of each sample, as `PearsonCorrelation` averages it."""
    return _each(PearsonCorrelation(axis=axis), y_true, y_pred)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> np.ndarray:
    """The concordance of each sample, as `ConcordanceCorrelation` averages it."""
    return _each(ConcordanceCorrelation(axis=axis), y_true, y_pred)


def _each(metric: Metric, y_true: Any, y_pred: Any) -> np.ndarray:
    return metric.values(to_array(y_true), finite_scores(metric, y_pred))  # type: ignore[attr-defined]
