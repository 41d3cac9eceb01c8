"""Losses that measure how far a prediction is off: squared, absolute, relative and logarithmic error, Huber, log-cosh;
and the hinge losses."""

from __future__ import annotations

import math
from typing import Any

from .. import functions as F
from ..capture import check_input
from ..functions.losses import EPSILON
from ..tensor import Array, Tensor
from .base import Loss, MeanLoss, same_classes


class MeanSquaredError(MeanLoss):
    """The mean over the last axis of (y_pred − y_true)²."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.squared_error(y_pred, y_true)


class MeanAbsoluteError(MeanLoss):
    """The mean over the last axis of |y_pred − y_true|; its gradient where they are equal is 0."""

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.abs(y_pred - y_true)


class MeanAbsolutePercentageError(MeanLoss):
    """The mean over the last axis of 100·|y_pred − y_true| / max(|y_true|, 1e-7).

    A target of 0 has no relative error: the 1e-7, which is Keras's, makes a huge number of it.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return 100.0 * F.abs((y_pred - y_true) / F.maximum(F.abs(y_true), EPSILON))


class MeanSquaredLogarithmicError(MeanLoss):
    """The mean over the last axis of (log(1 + y_pred) − log(1 + y_true))², negative numbers taken as 0.

    Exact for small numbers, where Keras takes 1e-7 for everything below that. The gradient is 0 where y_pred < 0.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.squared_error(F.log1p(F.maximum(y_pred, 0.0)), F.log1p(F.maximum(y_true, 0.0)))


class LogCosh(MeanLoss):
    """The mean over the last axis of log(cosh(e)), e = y_pred − y_true: nearly e²/2 for small e, |e| − log 2 for large.

    Exact for the smallest errors too, where Keras's e + softplus(−2e) − log 2 cancels to 0 or below it.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_pred - y_true
        near = abs(error.array) < 1.0
        # cosh e = 1 + 2·sinh²(e/2), where e^x − 1 gives the sinh; and cosh e = e^|e|·(1 + e^(−2|e|))/2 farther out.
        growth = F.expm1(0.5 * F.where(near, error, 0.0))
        sinh = 0.5 * (growth + growth / (growth + 1.0))
        distance = F.abs(error)
        return F.where(near, F.log1p(2.0 * F.square(sinh)), distance + F.log1p(F.exp(-2.0 * distance)) - math.log(2.0))


class Huber(MeanLoss):
    """The mean over the last axis of e²/2 where |e| ≤ delta, and delta·|e| − delta²/2 beyond; e = y_pred − y_true."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if not delta > 0.0:
            raise ValueError(f"{self.name}: delta = {delta!r}: expected a positive number")
        self.delta = delta

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_pred - y_true
        distance = F.abs(error)
        outside = self.delta * distance - 0.5 * self.delta**2
        return F.where(distance <= self.delta, 0.5 * error * error, outside)


class Hinge(MeanLoss):
    """The mean over the last axis of max(1 − t·y_pred, 0), with targets t of −1 or 1; targets of 0 and 1 are taken as
    −1 and 1."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "hinge", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.maximum(1.0 - _signed(self.name, y_true) * y_pred, 0.0)


class SquaredHinge(Hinge):
    """The mean over the last axis of max(1 − t·y_pred, 0)², with targets as in Hinge."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "squared_hinge", dtype: Any = None
    ) -> None:
        super().__init__(reduction, name, dtype)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.square(super().elementwise(y_true, y_pred))


class CategoricalHinge(Loss):
    """max(1 + max_c((1 − t_c)·y_c) − Σ_c t_c·y_c, 0): y_true (one-hot) and y_pred of one shape (N, …, C)."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = "categorical_hinge", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return same_classes(self.name, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        right = F.sum(y_true * y_pred, -1)
        wrong = F.max((1.0 - y_true) * y_pred, -1)
        return F.maximum(1.0 + wrong - right, 0.0)


def _signed(name: str, targets: Tensor) -> Tensor:
    """Targets of −1 and 1, from such or from 0 and 1, as a whole. (Keras passes on any others; here ValueError.)"""
    array = targets.array
    ones = array == 1
    if check_input(array, lambda host: _require_signs(name, host)):
        return F.where((ones | (array == 0)).all(), 2.0 * targets - 1.0, targets)
    if (ones | (array == 0)).all():
        return 2.0 * targets - 1.0
    _require_signs(name, array)
    return targets


def _require_signs(name: str, array: Array) -> None:
    ones = array == 1
    if not ((ones | (array == 0)).all() or (ones | (array == -1)).all()):
        raise ValueError(f"{name}: y_true must hold 0 and 1, or -1 and 1, and nothing else")
