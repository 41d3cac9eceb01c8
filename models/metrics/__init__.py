"""Metrics under Keras 3's names: what a model is judged by, computed on arrays, batch by batch.

Scores are compared with probabilities' thresholds; metrics with a `from_logits` argument take logits directly. A
metric over no samples is an error, and NaN in the predictions is one too.
"""

from __future__ import annotations

from typing import Any

from ...engine.absent import absent
from ...engine.config import constructor_arguments, make
from .accuracy import Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from .base import Mean, MeanMetricWrapper, Metric
from .bootstrap import Interval, bootstrap_interval
from .detection import F1Score, Precision, Recall
from .ranking import AUC, average_precision, precision_recall_curve, roc_auc, roc_curve
from .regression import MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from .segmentation import BinaryIoU, Dice, IoU, MeanIoU, confusion_matrix

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "Dice",
    "F1Score",
    "Interval",
    "IoU",
    "Mean",
    "MeanAbsoluteError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "average_precision",
    "bootstrap_interval",
    "confusion_matrix",
    "get",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
]

NAMES: dict[str, type[Metric]] = {
    cls.__name__: cls
    for cls in (
        Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, Precision, Recall, F1Score, AUC, Dice,
        IoU, BinaryIoU, MeanIoU, MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError, Mean,
    )
}  # fmt: skip
NAMES |= {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "auc": AUC,
    "dice": Dice,
    "binary_iou": BinaryIoU,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
}


def get(identifier: Any, from_logits: bool = False) -> Metric:
    """The metric that a name ("auc", "AUC"), a configuration, a function of (y_true, y_pred) or a metric means.

    `from_logits` is what a metric made from a name is told about the scores, if it asks. ValueError for other names.
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
    if name in ("mse", "mae"):
        arguments["name"] = name
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(f"metric {name!r} cannot be made from its name alone: {error}") from None


__getattr__ = absent("metrics", __name__)
