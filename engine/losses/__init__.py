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
from ..config import make, serialize
from .alignments import CTC
from .base import Loss
from .combinations import (
    DiceCrossentropy,
)
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
from .divergences import (
    KLDivergence,
    Poisson,
)
from .focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
)
from .functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    cosine_similarity,
    ctc,
    dice,
    dice_crossentropy,
    focal_tversky,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from .overlaps import (
    Dice,
    FocalTversky,
    Tversky,
)
from .similarities import (
    Circle,
    CosineSimilarity,
)

__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "DiceCrossentropy",
    "FocalTversky",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "dice_crossentropy",
    "focal_tversky",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

_CLASSES: tuple[type[Loss], ...] = (
    CTC,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    Circle,
    CosineSimilarity,
    Dice,
    DiceCrossentropy,
    FocalTversky,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
_ALIASES: dict[str, type[Loss]] = {
    "bce": BinaryCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy,
    "categorical_hinge": CategoricalHinge,
    "circle": Circle,
    "cosine_similarity": CosineSimilarity,
    "ctc": CTC,
    "dice": Dice,
    "dice_crossentropy": DiceCrossentropy,
    "focal_tversky": FocalTversky,
    "hinge": Hinge,
    "huber": Huber,
    "huber_loss": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "log_cosh": LogCosh,
    "logcosh": LogCosh,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
    "poisson": Poisson,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "squared_hinge": SquaredHinge,
    "tversky": Tversky,
}
_NAMES = {cls.__name__: cls for cls in _CLASSES} | _ALIASES
_NAMES |= {alias.upper(): _ALIASES[alias] for alias in ("bce", "kld", "mae", "mape", "mse", "msle")}


def get(identifier: Any) -> Loss | Callable[..., Any] | None:
    """The loss for a name ("mse", "BinaryCrossentropy", …), a Loss, its configuration, a callable, or None.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    return make(identifier, Loss, _NAMES, "loss")


def deserialize(name: Any, custom_objects: dict[str, type[Loss]] | None = None) -> Loss:
    """The loss for a configuration as `serialize` writes it, or a name; `custom_objects` are looked up first.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    return make(name, Loss, _NAMES | (custom_objects or {}), "loss")


__getattr__ = absent("losses", __name__)
