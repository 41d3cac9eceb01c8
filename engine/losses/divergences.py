"""How far a predicted distribution is from the true one: the Kullback-Leibler divergence, and Poisson counts."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from ..functions.losses import EPSILON
from ..tensor import Tensor
from .base import Loss, MeanLoss, of_one_shape, require_fractions


class KLDivergence(Loss):
    """Σ_c t_c·log(t_c / p_c) over the last axis: y_true and y_pred (N, …, C), rows of probabilities.

    0·log 0 = 0: a class that does not occur adds nothing, and its prediction has no gradient (Keras takes 1e-7 for
    t = 0). p is kept 1e-7 away from 0, where the divergence is infinite; it is not held below 1, so that a softmax
    that rounds to 1 + 1e-7 keeps its gradient. (Kullback and Leibler, On information and sufficiency, 1951.)

    Raises ValueError for targets outside 0 … 1, which Keras moves there.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return of_one_shape(self.name, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        log_true = F.log(F.where(y_true.array > 0, y_true, 1.0))
        return F.sum(y_true * (log_true - F.log(F.maximum(y_pred, EPSILON))), -1)


class Poisson(MeanLoss):
    """The mean over the last axis of p − t·log(p + 1e-7): counts t, of which p > 0 are expected.

    It is the negative logarithm of the Poisson distribution's pᵗ·e⁻ᵖ/t!, less the constant log t!. The 1e-7 is Keras's:
    it keeps the loss finite at p = 0, and there its gradient still points to larger p. NaN for p < −1e-7, which are no
    counts: take an activation that gives none, as "softplus" or "exponential".
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "poisson", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred - y_true * F.log(y_pred + EPSILON)
