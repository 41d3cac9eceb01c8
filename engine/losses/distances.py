"""Losses that measure how far a prediction is off: squared and absolute error, Huber; and the hinge losses."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from ..tensor import Tensor
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
    if (ones | (array == 0)).all():
        return 2.0 * targets - 1.0
    if not (ones | (array == -1)).all():
        raise ValueError(f"{name}: y_true must hold 0 and 1, or -1 and 1, and nothing else")
    return targets
