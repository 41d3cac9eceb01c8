"""The losses as functions, as in Keras: not reduced, one value for each example, position or region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor
from .cross_entropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from .distances import CategoricalHinge, Hinge, Huber, MeanAbsoluteError, MeanSquaredError, SquaredHinge
from .overlaps import Dice, Tversky


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """`BinaryCrossentropy`, not reduced."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`BinaryFocalCrossentropy`, not reduced."""
    loss = BinaryFocalCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis, None)
    return loss(y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """`CategoricalCrossentropy`, not reduced."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """`SparseCategoricalCrossentropy`, not reduced; 0 at ignored positions."""
    return SparseCategoricalCrossentropy(from_logits, ignore_class, None, axis)(y_true, y_pred)


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanSquaredError`, not reduced."""
    return MeanSquaredError(None)(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanAbsoluteError`, not reduced."""
    return MeanAbsoluteError(None)(y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """`Huber`, not reduced."""
    return Huber(delta, None)(y_true, y_pred)


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`Hinge`, not reduced."""
    return Hinge(None)(y_true, y_pred)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`SquaredHinge`, not reduced."""
    return SquaredHinge(None)(y_true, y_pred)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """`CategoricalHinge`, not reduced."""
    return CategoricalHinge(None)(y_true, y_pred)


def dice(y_true: Any, y_pred: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """`Dice`, not reduced: a value for each region."""
    return Dice(None, axis=axis)(y_true, y_pred)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: int | Sequence[int] | None = None
) -> Tensor:
    """`Tversky`, not reduced: a value for each region."""
    return Tversky(alpha, beta, None, axis=axis)(y_true, y_pred)
