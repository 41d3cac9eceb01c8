"""The means of losses: metrics that say in a loss's own unit how far predictions are off."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import losses
from ...engine.tensor import as_tensor
from .base import WeightedMean, finite_scores, spread_weight, to_array


class LossMetric(WeightedMean):
    """The mean of a loss's values, computed in float64; positions that the loss leaves out do not count.

    (In Keras the positions of an ignored class count as zeros unless there are weights.)
    """

    def __init__(self, loss: losses.Loss, name: str | None, dtype: Any) -> None:
        self._loss = loss
        super().__init__(dtype, name)
        loss.name = f"metric {self.name!r}"  # in its errors

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        scores = finite_scores(self, y_pred)
        if not scores.size:
            return
        truth, found = self._loss.aligned(as_tensor(to_array(y_true)), as_tensor(scores.astype(np.float64)))
        values, valid = self._loss.call(truth, found).numpy(), self._loss.valid(truth, found)
        if valid is None:
            self.add(self.signed(values), sample_weight)
            return
        weights = np.ones(values.shape) if sample_weight is None else spread_weight(self, sample_weight, values.shape)
        self.add(self.signed(values), weights * valid)

    def signed(self, values: np.ndarray) -> np.ndarray:
        return values


class BinaryCrossentropy(LossMetric):
    """The mean of −t·log p − (1 − t)·log(1 − p): see tomograd.losses.BinaryCrossentropy."""

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ):
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name, dtype)


class CategoricalCrossentropy(LossMetric):
    """The mean of −Σ_c t_c·log p_c: see tomograd.losses.CategoricalCrossentropy."""

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ):
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing, axis), name, dtype)


class SparseCategoricalCrossentropy(LossMetric):
    """The mean of −log p[label] over the positions whose label is not `ignore_class`: see
    tomograd.losses.SparseCategoricalCrossentropy."""

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ):
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis), name, dtype)


class KLDivergence(LossMetric):
    """The mean of Σ_c t_c·log(t_c / p_c): see tomograd.losses.KLDivergence."""

    def __init__(self, name: str = "kl_divergence", dtype: Any = None):
        super().__init__(losses.KLDivergence(), name, dtype)


class Poisson(LossMetric):
    """The mean of p − t·log p: see tomograd.losses.Poisson."""

    def __init__(self, name: str = "poisson", dtype: Any = None):
        super().__init__(losses.Poisson(), name, dtype)


class Hinge(LossMetric):
    """The mean of max(1 − t·p, 0): see tomograd.losses.Hinge."""

    def __init__(self, name: str = "hinge", dtype: Any = None):
        super().__init__(losses.Hinge(), name, dtype)


class SquaredHinge(LossMetric):
    """The mean of max(1 − t·p, 0)²: see tomograd.losses.SquaredHinge."""

    def __init__(self, name: str = "squared_hinge", dtype: Any = None):
        super().__init__(losses.SquaredHinge(), name, dtype)


class CategoricalHinge(LossMetric):
    """The mean of max(1 + max_c((1 − t_c)·p_c) − Σ_c t_c·p_c, 0): see tomograd.losses.CategoricalHinge."""

    def __init__(self, name: str = "categorical_hinge", dtype: Any = None):
        super().__init__(losses.CategoricalHinge(), name, dtype)


class LogCoshError(LossMetric):
    """The mean of log(cosh(y_pred − y_true)): see tomograd.losses.LogCosh."""

    def __init__(self, name: str = "logcosh", dtype: Any = None):
        super().__init__(losses.LogCosh(), name, dtype)


class MeanAbsolutePercentageError(LossMetric):
    """The mean of 100·|y_pred − y_true| / max(|y_true|, 1e-7): see tomograd.losses.MeanAbsolutePercentageError."""

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: Any = None):
        super().__init__(losses.MeanAbsolutePercentageError(), name, dtype)


class MeanSquaredLogarithmicError(LossMetric):
    """The mean of (log(1 + y_pred) − log(1 + y_true))²: see tomograd.losses.MeanSquaredLogarithmicError."""

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: Any = None):
        super().__init__(losses.MeanSquaredLogarithmicError(), name, dtype)


class CosineSimilarity(LossMetric):
    """The mean of Σ t·p / (‖t‖·‖p‖) along `axis`: 1 for one direction, −1 for opposite ones, 0 against zeros.

    The loss of this name is its negative, here as in Keras.
    """

    def __init__(self, name: str = "cosine_similarity", dtype: Any = None, axis: int = -1):
        self.axis = axis
        super().__init__(losses.CosineSimilarity(axis), name, dtype)

    def signed(self, values: np.ndarray) -> np.ndarray:
        return -values
