"""Losses: classes with Keras 3's names, arguments and defaults, over the fused functions of `functions.losses`.

    loss = BinaryCrossentropy(from_logits=True)(y_true, y_pred)

Each loss gives one value for each example (or each position of it: each pixel of a mask), these are weighted by
`sample_weight`, and `reduction` makes one number of them.

Shapes never broadcast silently. Where y_true and y_pred differ by one last axis of size 1, as (N,) and (N, 1) or
(N, H, W) and (N, H, W, 1), that axis is added; every other difference is an error. Where this departs from Keras it is
said at the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..absent import absent
from ..config import make
from .base import Loss
from .cross_entropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from .distances import CategoricalHinge, Hinge, Huber, MeanAbsoluteError, MeanSquaredError, SquaredHinge
from .functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_hinge,
    dice,
    hinge,
    huber,
    mean_absolute_error,
    mean_squared_error,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from .overlaps import Dice, Tversky

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Dice",
    "Hinge",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "dice",
    "get",
    "hinge",
    "huber",
    "mean_absolute_error",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

_NAMES: dict[str, type[Loss]] = {
    **{
        cls.__name__: cls
        for cls in (
            BinaryCrossentropy,
            BinaryFocalCrossentropy,
            CategoricalCrossentropy,
            CategoricalHinge,
            Dice,
            Hinge,
            Huber,
            MeanAbsoluteError,
            MeanSquaredError,
            SparseCategoricalCrossentropy,
            SquaredHinge,
            Tversky,
        )
    },
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "dice": Dice,
    "hinge": Hinge,
    "huber": Huber,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "squared_hinge": SquaredHinge,
    "tversky": Tversky,
}


def get(identifier: Any) -> Loss | Callable[..., Any] | None:
    """The loss for a name ("mse", "BinaryCrossentropy", …), a Loss, its configuration, a callable, or None.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    return make(identifier, Loss, _NAMES, "loss")


__getattr__ = absent("losses", __name__)
