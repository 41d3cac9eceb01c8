"""Errors of predicted numbers, and how much of the numbers' variance is predicted."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .base import Metric, WeightedMean, finite_scores, same_shape, spread_weight, to_array

AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


def _difference(metric: WeightedMean, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    y_true, y_pred = same_shape(metric, y_true, y_pred)
    return y_pred.astype(np.float64) - y_true


class MeanSquaredError(WeightedMean):
    """mean (y_pred − y_true)²."""

    def __init__(self, name: str = "mean_squared_error", dtype: Any = None):
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _difference(self, y_true, y_pred) ** 2


class RootMeanSquaredError(MeanSquaredError):
    """sqrt(mean (y_pred − y_true)²), the root taken over all samples together."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None):
        super().__init__(name, dtype)

    def compute(self) -> float:
        return np.sqrt(super().compute())


class MeanAbsoluteError(WeightedMean):
    """mean |y_pred − y_true|."""

    def __init__(self, name: str = "mean_absolute_error", dtype: Any = None):
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return np.abs(_difference(self, y_true, y_pred))


class R2Score(Metric):
    """1 − Σ w (y_pred − y_true)² / Σ w (y_true − mean)², the coefficient of determination, for each of D outputs.

    y_true and y_pred (N, D), or (N,) for one output; sample_weight (N,) or (N, D). class_aggregation: "uniform_average"
    of the outputs' scores; "variance_weighted_average", weighted by their sums of squares; None: all D of them.
    num_regressors p > 0: adjusted for so many predictors, 1 − (1 − R²)(n − 1)/(n − p − 1), where n is the number of
    samples (Keras counts the elements of y_true); with n ≤ p + 1 a warning says that it is not.

    An output whose truth is constant has the score 1 if it is predicted exactly and 0 if not (as scikit-learn; Keras
    NaN for the first). The squares are summed about a running mean, so that numbers far from 0 cancel nothing;
    they are float64, and finite for numbers up to 1e154.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ):
        if class_aggregation not in AGGREGATIONS:
            raise ValueError(f"{name}: class_aggregation {class_aggregation!r} must be one of {AGGREGATIONS}")
        if num_regressors < 0:
            raise ValueError(f"{name}: num_regressors = {num_regressors!r}: expected a number of at least 0")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        super().__init__(dtype, name)

    def clear(self) -> None:
        self.totals = {"samples": 0.0, "weight": 0.0, "mean": 0.0, "squares": 0.0, "residual": 0.0}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found = same_shape(self, to_array(y_true), finite_scores(self, y_pred))
        if truth.ndim not in (1, 2):
            raise self.fail(f"y_true has shape {truth.shape}: expected (N,) or (N, D)")
        weights = np.ones(1) if sample_weight is None else spread_weight(self, sample_weight, truth.shape)
        shape = (len(truth), truth.size // max(len(truth), 1))
        if not truth.size:
            return
        truth, found = truth.reshape(shape).astype(np.float64), found.reshape(shape).astype(np.float64)
        weights = np.broadcast_to(weights.reshape(-1, weights.shape[-1] if weights.ndim == 2 else 1), shape)
        totals, added = self.totals, weights.sum(axis=0)
        some = np.where(added == 0, 1.0, added)
        mean = (weights * truth).sum(axis=0) / some
        whole = totals["weight"] + added
        shift = mean - totals["mean"]
        part = added / np.where(whole == 0, 1.0, whole)
        # Chan, Golub and LeVeque, Updating formulae for computing sample variances, 1979.
        squares = (weights * (truth - mean) ** 2).sum(axis=0) + shift**2 * totals["weight"] * part
        self.totals = {
            "samples": totals["samples"] + len(truth),
            "weight": whole,
            "mean": totals["mean"] + shift * part,
            "squares": totals["squares"] + squares,
            "residual": totals["residual"] + (weights * (truth - found) ** 2).sum(axis=0),
        }
        self.updates += 1

    def compute(self) -> Any:
        squares, residual = self.totals["squares"], self.totals["residual"]
        constant = squares == 0
        scores = 1.0 - residual / np.where(constant, 1.0, squares)
        scores = np.where(constant, (residual == 0).astype(np.float64), scores)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation is not None:
            scores = np.average(scores, weights=np.where(constant.all(), 1.0, squares))
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores: Any) -> Any:
        samples = float(self.totals["samples"])
        left = samples - self.num_regressors - 1
        if left <= 0:
            warnings.warn(
                f"metric {self.name!r}: {samples:g} samples are too few to adjust for {self.num_regressors} regressors",
                stacklevel=4,
            )
            return scores
        return 1.0 - (1.0 - scores) * (samples - 1) / left
