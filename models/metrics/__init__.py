"""Metrics under Keras 3's names: what a model is judged by, computed on arrays, batch by batch.

Scores are compared with probabilities' thresholds; metrics with a `from_logits` argument take logits directly. A
metric over no samples is an error, and NaN in the predictions is one too. The functions that give each sample's loss
are those of tomograd.losses.
"""

from __future__ import annotations

from typing import Any

from ...engine.absent import absent
from ...engine.config import constructor_arguments, make, serialize
from ...engine.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
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
)
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .base import (
    Mean,
    Metric,
    Sum,
    snake_case,
)
from .bootstrap import (
    Interval,
    bootstrap_interval,
    metric_interval,
)
from .confusion import (
    BalancedAccuracy,
    CohenKappa,
    ConfusionMatrix,
    MatthewsCorrelation,
    confusion_matrix,
)
from .correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from .detection import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    Specificity,
    TrueNegatives,
    TruePositives,
)
from .from_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from .operating_points import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from .ranking import (
    AUC,
    AveragePrecision,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from .regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)
from .segmentation import (
    BinaryIoU,
    Dice,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from .surface_distances import (
    average_surface_distance,
    hausdorff_distance,
)
from .surfaces import (
    AverageSurfaceDistance,
    HausdorffDistance,
)
from .wrapper import (
    MeanMetricWrapper,
)

__all__ = [
    "AUC",
    "Accuracy",
    "AveragePrecision",
    "AverageSurfaceDistance",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CohenKappa",
    "ConcordanceCorrelation",
    "ConfusionMatrix",
    "CosineSimilarity",
    "Dice",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "HausdorffDistance",
    "Hinge",
    "Interval",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Specificity",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "average_precision",
    "average_surface_distance",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "bootstrap_interval",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "confusion_matrix",
    "deserialize",
    "get",
    "hausdorff_distance",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "metric_interval",
    "pearson_correlation",
    "poisson",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

_CLASSES: tuple[type[Metric], ...] = (
    AUC,
    Accuracy,
    AveragePrecision,
    AverageSurfaceDistance,
    BalancedAccuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CohenKappa,
    ConcordanceCorrelation,
    ConfusionMatrix,
    CosineSimilarity,
    Dice,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    HausdorffDistance,
    Hinge,
    IoU,
    KLDivergence,
    LogCoshError,
    MatthewsCorrelation,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanIoU,
    MeanMetricWrapper,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    Poisson,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    Specificity,
    SpecificityAtSensitivity,
    SquaredHinge,
    Sum,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
_ALIASES: dict[str, type[Metric]] = {
    "bce": BinaryCrossentropy,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
}
NAMES: dict[str, type[Metric]] = {
    "binary_iou": BinaryIoU,
    "fbeta_score": FBetaScore,
    "logcosh": LogCoshError,
    "mean_iou": MeanIoU,
}
NAMES |= {cls.__name__: cls for cls in _CLASSES} | {snake_case(cls.__name__): cls for cls in _CLASSES}
NAMES |= _ALIASES | {alias.upper(): cls for alias, cls in _ALIASES.items()}


def get(identifier: Any, from_logits: bool = False) -> Metric:
    """The metric that a name ("auc", "AUC"), a configuration, a function of (y_true, y_pred) or a metric means.

    A metric made from a name is logged under it, as in Keras. `from_logits` is what it is told about the scores, if it
    asks. ValueError for other names.
    """
    if isinstance(identifier, str):
        cls = NAMES.get(identifier)
        if cls is None:
            raise ValueError(
                f"metric {identifier!r} is not known; known are: {', '.join(sorted(NAMES, key=str.lower))}"
            )
        return _from_name(identifier, cls, from_logits)
    if callable(identifier) and not isinstance(identifier, (Metric, type)):
        return MeanMetricWrapper(identifier)
    return make(identifier, Metric, NAMES, "metric")


def _from_name(name: str, cls: type[Metric], from_logits: bool) -> Metric:
    takes = constructor_arguments(cls)
    arguments: dict[str, Any] = {"from_logits": True} if from_logits and "from_logits" in takes else {}
    try:
        return cls(**arguments, name=name)  # type: ignore[call-arg]
    except TypeError as error:
        raise ValueError(f"metric {name!r} cannot be made from its name alone: {error}") from None


def deserialize(config: Any, custom_objects: dict[str, type[Metric]] | None = None) -> Metric:
    """The metric for a configuration as `serialize` writes it, or a name; `custom_objects` are looked up first.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    return make(config, Metric, NAMES | (custom_objects or {}), "metric")


__getattr__ = absent("metrics", __name__)
