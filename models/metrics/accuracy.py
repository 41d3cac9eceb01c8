"""Accuracies: the share of samples (or pixels) whose decision is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import (
    Metric,
    WeightedMean,
    as_binary,
    check_range,
    check_threshold,
    class_labels,
    finite_scores,
    same_shape,
    to_array,
)


class Accuracy(WeightedMean):
    """How often y_pred equals y_true, both given as labels of one shape."""

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        y_true, y_pred = same_shape(self, y_true, y_pred)
        return y_true == y_pred


class BinaryAccuracy(WeightedMean):
    """How often (y_pred > threshold) equals y_true, element by element; y_true holds 0 and 1.

    With `from_logits=True` y_pred are logits, and `threshold` still means a probability.
    """

    def __init__(
        self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5, from_logits: bool = False
    ):
        self.threshold, self.from_logits = threshold, from_logits
        self._limit = check_threshold(name, threshold, from_logits)
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        y_true, y_pred = same_shape(self, y_true, y_pred)
        return as_binary(self, y_true) == (y_pred > self._limit)


class CategoricalAccuracy(WeightedMean):
    """How often the largest entry of y_pred (…, C) stands where that of the one-hot y_true (…, C) does.

    Of equal entries the first counts. Probabilities and logits give the same result.
    """

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None):
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _rows_of_classes(self, y_true, y_pred).argmax(axis=-1) == y_pred.argmax(axis=-1)


class SparseCategoricalAccuracy(WeightedMean):
    """How often the largest entry of y_pred (…, C) stands at the class index y_true (…) or (…, 1).

    Of equal entries the first counts. Probabilities and logits give the same result.
    """

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None):
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _indices(self, y_true, y_pred) == y_pred.argmax(axis=-1)


class TopKCategoricalAccuracy(WeightedMean):
    """How often fewer than k entries of y_pred (…, C) are larger than that of the class of the one-hot y_true (…, C).

    A score that ties with the k-th largest is among the first k. Raises ValueError for k outside 1 … C.
    """

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None):
        self.k = _checked_k(name, k)
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return _among_first(self, _rows_of_classes(self, y_true, y_pred).argmax(axis=-1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(WeightedMean):
    """`TopKCategoricalAccuracy` against class indices y_true (…) or (…, 1).

    from_sorted_ids: y_pred (…, K) holds class indices instead, the best first; any of the first k may be right.
    """

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ):
        self.k, self.from_sorted_ids = _checked_k(name, k), from_sorted_ids
        super().__init__(dtype, name)

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        if not self.from_sorted_ids:
            return _among_first(self, _indices(self, y_true, y_pred), y_pred, self.k)
        _check_index_shape(self, y_true, y_pred)
        return (y_pred[..., : self.k] == y_true.reshape(y_pred.shape[:-1])[..., None]).any(axis=-1)


def _checked_k(name: str, k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"{name}: k = {k!r}: expected a whole number of at least 1")
    return int(k)


def _among_first(metric: Metric, labels: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    if k > scores.shape[-1]:
        raise metric.fail(f"k = {k}, but y_pred has {scores.shape[-1]} classes: every prediction would be right")
    own = np.take_along_axis(scores, labels[..., None], axis=-1)
    return np.count_nonzero(scores > own, axis=-1) < k


def _rows_of_classes(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    if y_true.shape != y_pred.shape or y_pred.ndim < 1:
        raise metric.fail(f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected equal shapes (…, C)")
    return y_true


def _indices(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    _check_index_shape(metric, y_true, y_pred)
    if y_pred.shape[-1] == 1:
        # One class: y_true (…, 1) may not be taken for rows of scores.
        check_range(metric, y_true, 1, "y_true")
        return y_true.reshape(y_pred.shape[:-1]).astype(np.int64)
    return class_labels(metric, y_true, y_pred)


def _check_index_shape(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> None:
    if y_pred.ndim < 1 or y_true.shape not in (y_pred.shape[:-1], y_pred.shape[:-1] + (1,)):
        raise metric.fail(
            f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected class indices of shape "
            f"{y_pred.shape[:-1]}"
        )


# -------------------------------------------------------------------------------- as functions, one value a sample


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> np.ndarray:
    """1 where `BinaryAccuracy` counts an element as right, 0 elsewhere; float32."""
    return _each(BinaryAccuracy(threshold=threshold), y_true, y_pred)


def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where `CategoricalAccuracy` counts a sample as right, 0 elsewhere; float32."""
    return _each(CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """1 where `SparseCategoricalAccuracy` counts a sample as right, 0 elsewhere; float32."""
    return _each(SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """1 where `TopKCategoricalAccuracy` counts a sample as right, 0 elsewhere; float32."""
    return _each(TopKCategoricalAccuracy(k), y_true, y_pred)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> np.ndarray:
    """1 where `SparseTopKCategoricalAccuracy` counts a sample as right, 0 elsewhere; float32."""
    return _each(SparseTopKCategoricalAccuracy(k, from_sorted_ids=from_sorted_ids), y_true, y_pred)


def _each(metric: WeightedMean, y_true: Any, y_pred: Any) -> np.ndarray:
    return metric.values(to_array(y_true), finite_scores(metric, y_pred)).astype(np.float32)
