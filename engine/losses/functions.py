"""The losses as functions, as in Keras: not reduced, one value for each example, position or region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor
from .alignments import CTC
from .combinations import DiceCrossentropy
from .cross_entropies import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from .distances import (
    CategoricalHinge,
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    SquaredHinge,
)
from .divergences import KLDivergence, Poisson
from .focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from .overlaps import Dice, FocalTversky, Tversky
from .similarities import CosineSimilarity, circle_against


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


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """`CategoricalFocalCrossentropy`, not reduced."""
    return CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis, None)(y_true, y_pred)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Tensor:
    """`CategoricalGeneralizedCrossEntropy`, not reduced."""
    return CategoricalGeneralizedCrossEntropy(q, None)(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`SparseCategoricalCrossentropy`, not reduced; 0 at ignored positions."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, None, axis, label_smoothing=label_smoothing)
    return loss(y_true, y_pred)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """`KLDivergence`, not reduced."""
    return KLDivergence(None)(y_true, y_pred)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """`Poisson`, not reduced."""
    return Poisson(None)(y_true, y_pred)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """`CosineSimilarity`, not reduced: −1 for one direction."""
    return CosineSimilarity(axis, None)(y_true, y_pred)


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Tensor:
    """`Circle`, not reduced; 0 for rows without a value.

    ref_labels (M,) and ref_embeddings (M, D): what the rows of y_pred are compared with; None: y_pred itself.
    remove_diagonal then leaves out the pairs of equal places, as for references that begin with y_pred's own rows.
    """
    return circle_against(y_true, y_pred, ref_labels, ref_embeddings, remove_diagonal, gamma, margin)


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanSquaredError`, not reduced."""
    return MeanSquaredError(None)(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanAbsoluteError`, not reduced."""
    return MeanAbsoluteError(None)(y_true, y_pred)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanAbsolutePercentageError`, not reduced."""
    return MeanAbsolutePercentageError(None)(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """`MeanSquaredLogarithmicError`, not reduced."""
    return MeanSquaredLogarithmicError(None)(y_true, y_pred)


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """`LogCosh`, not reduced."""
    return LogCosh(None)(y_true, y_pred)


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


def ctc(y_true: Any, y_pred: Any) -> Tensor:
    """`CTC`, not reduced."""
    return CTC(None)(y_true, y_pred)


def dice(y_true: Any, y_pred: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """`Dice`, not reduced: a value for each region."""
    return Dice(None, axis=axis)(y_true, y_pred)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: int | Sequence[int] | None = None
) -> Tensor:
    """`Tversky`, not reduced: a value for each region."""
    return Tversky(alpha, beta, None, axis=axis)(y_true, y_pred)


def focal_tversky(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 4.0 / 3.0,
    axis: int | Sequence[int] | None = None,
) -> Tensor:
    """`FocalTversky`, not reduced: a value for each region."""
    return FocalTversky(alpha, beta, gamma, None, axis=axis)(y_true, y_pred)


def dice_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = True,
    dice_weight: float = 1.0,
    crossentropy_weight: float = 1.0,
    include_background: bool = True,
    smooth: float = 1.0,
    ignore_class: int | None = None,
) -> Tensor:
    """`DiceCrossentropy`, not reduced: a value for each image."""
    loss = DiceCrossentropy(
        from_logits, dice_weight, crossentropy_weight, include_background, smooth, None, ignore_class=ignore_class
    )
    return loss(y_true, y_pred)
