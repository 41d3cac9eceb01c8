"""Accuracies: the share of samples (or pixels) whose decision is right."""

from __future__ import annotations

import numpy as np

from .base import WeightedMean, as_binary, check_threshold, class_labels, same_shape


class Accuracy(WeightedMean):
    """How often y_pred equals y_true, both given as labels of one shape."""

    def __init__(self, name: str = "accuracy"):
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        y_true, y_pred = same_shape(self, y_true, y_pred)
        return y_true == y_pred


class BinaryAccuracy(WeightedMean):
    """How often (y_pred > threshold) equals y_true, element by element; y_true holds 0 and 1.

    With `from_logits=True` y_pred are logits, and `threshold` still means a probability.
    """

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5, from_logits: bool = False):
        self.threshold, self.from_logits = threshold, from_logits
        self._limit = check_threshold(name, threshold, from_logits)
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        y_true, y_pred = same_shape(self, y_true, y_pred)
        return as_binary(self, y_true) == (y_pred > self._limit)


class CategoricalAccuracy(WeightedMean):
    """How often the largest entry of y_pred (…, C) stands where that of the one-hot y_true (…, C) does.

    Of equal entries the first counts. Probabilities and logits give the same result.
    """

    def __init__(self, name: str = "categorical_accuracy"):
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if y_true.shape != y_pred.shape or y_pred.ndim < 1:
            raise self.fail(f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected equal shapes (…, C)")
        return y_true.argmax(axis=-1) == y_pred.argmax(axis=-1)


class SparseCategoricalAccuracy(WeightedMean):
    """How often the largest entry of y_pred (…, C) stands at the class index y_true (…) or (…, 1).

    Of equal entries the first counts. Probabilities and logits give the same result.
    """

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if y_pred.ndim < 1 or y_true.shape not in (y_pred.shape[:-1], y_pred.shape[:-1] + (1,)):
            raise self.fail(
                f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected class indices of shape "
                f"{y_pred.shape[:-1]}"
            )
        return class_labels(self, y_true, y_pred) == y_pred.argmax(axis=-1)
