"""Precision, recall and F1: how many of the found are right, and how many of the right are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import (
    Metric,
    as_binary,
    check_threshold,
    class_labels,
    finite_scores,
    ratio,
    same_shape,
    spread_weight,
    to_array,
)

AVERAGES = (None, "micro", "macro", "weighted")


class CountingMetric(Metric):
    """Adds up true positives, false positives and false negatives: one count, one a threshold, or one a class."""

    def clear(self) -> None:
        self.totals = {"true_positives": 0.0, "false_positives": 0.0, "false_negatives": 0.0}

    def count(self, truth: np.ndarray, found: np.ndarray, weights: np.ndarray | None) -> None:
        """Add samples (S,) or, class by class, (S, C), both bool; weights (S,)."""
        weigh = np.count_nonzero if weights is None else _weighted_count(weights)
        self.totals["true_positives"] = self.totals["true_positives"] + weigh(truth & found, axis=0)
        self.totals["false_positives"] = self.totals["false_positives"] + weigh(~truth & found, axis=0)
        self.totals["false_negatives"] = self.totals["false_negatives"] + weigh(truth & ~found, axis=0)

    def count_classes(self, y_true: np.ndarray, scores: np.ndarray, sample_weight: Any) -> None:
        """Add samples of one class each, decided by the largest of their scores (…, C)."""
        if scores.ndim < 2 or scores.shape[-1] < 2:
            raise self.fail(f"y_pred has shape {scores.shape}: an average over classes needs (…, C) with C ≥ 2")
        labels, classes = class_labels(self, y_true, scores), np.arange(scores.shape[-1])
        weights = None if sample_weight is None else spread_weight(self, sample_weight, labels.shape).reshape(-1)
        decision = scores.argmax(axis=-1).reshape(-1, 1)
        self.count(labels.reshape(-1, 1) == classes, decision == classes, weights)
        self.updates += labels.size > 0

    def averaged(self, average: str | None) -> Any:
        """The value of each class (average None), or their mean."""
        totals = self.totals
        if average == "micro":
            return self.value(*(np.sum(totals[name]) for name in totals))
        values = self.value(**totals)
        if average is None:
            return values
        support = np.ones_like(values) if average == "macro" else totals["true_positives"] + totals["false_negatives"]
        return ratio((values * support).sum(), support.sum(), empty=0.0)

    def value(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} lacks value")


def _weighted_count(weights: np.ndarray) -> Any:
    return lambda mask, axis: np.tensordot(weights, mask.astype(np.float64), axes=(0, axis))


class ThresholdedMetric(CountingMetric):
    """Precision and Recall: counts at one or several thresholds, or class by class. See `Precision`."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        class_id: int | None,
        average: str | None,
        from_logits: bool,
        name: str,
    ):
        if average not in AVERAGES:
            raise ValueError(f"{name}: average {average!r} must be one of {AVERAGES}")
        if average is not None and (thresholds is not None or class_id is not None):
            raise ValueError(
                f"{name}: with average={average!r} the largest score decides: give neither thresholds nor class_id"
            )
        self.thresholds, self.class_id, self.average, self.from_logits = thresholds, class_id, average, from_logits
        levels = 0.5 if thresholds is None else thresholds
        self._limits = np.array([check_threshold(name, level, from_logits) for level in np.atleast_1d(levels)])
        self._scalar = np.ndim(levels) == 0
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = to_array(y_true), finite_scores(self, y_pred)
        if self.average is not None:
            self.count_classes(truth, scores, sample_weight)
            return
        if self.class_id is not None:
            truth, scores = self._one_class(truth, scores)
        truth, scores = same_shape(self, truth, scores)
        weights = None if sample_weight is None else spread_weight(self, sample_weight, scores.shape).reshape(-1)
        truth, scores = as_binary(self, truth).reshape(-1, 1), scores.reshape(-1, 1)
        # Compared in the scores' own type, as a Python float would be: a float32 0.2 is not above 0.2.
        limits = self._limits.astype(scores.dtype) if scores.dtype.kind == "f" else self._limits
        self.count(np.broadcast_to(truth, (truth.size, limits.size)), scores > limits, weights)
        self.updates += scores.size > 0

    def _one_class(self, truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The channel `class_id` of scores (…, C), and of a truth in that shape or of class indices."""
        if not 0 <= self.class_id < scores.shape[-1]:  # type: ignore[operator]
            raise self.fail(f"class_id {self.class_id} lies outside y_pred's {scores.shape[-1]} classes")
        if truth.shape == scores.shape:
            return truth[..., self.class_id], scores[..., self.class_id]
        return class_labels(self, truth, scores) == self.class_id, scores[..., self.class_id]

    def compute(self) -> Any:
        if self.average is not None:
            return self.averaged(self.average)
        values = self.value(**self.totals)
        return values[0] if self._scalar else values


class Precision(ThresholdedMetric):
    """true positives / (true positives + false positives), and 0 where nothing was found.

    Without `average`: every element of y_pred above a threshold (0.5) counts as found; y_true has its shape and holds
    0 and 1. Several thresholds give an array. `class_id` looks at that channel of y_pred (…, C) alone. With
    `from_logits=True` y_pred are logits; thresholds still mean probabilities.
    With `average` "micro", "macro" or "weighted": one class to a sample, that of its largest score in y_pred (…, C),
    against class indices or one-hot rows; the classes' values averaged as scikit-learn does.
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        class_id: int | None = None,
        average: str | None = None,
        from_logits: bool = False,
        name: str = "precision",
    ):
        super().__init__(thresholds, class_id, average, from_logits, name)

    def value(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        return ratio(true_positives, true_positives + false_positives, empty=0.0)


class Recall(ThresholdedMetric):
    """true positives / (true positives + false negatives), and 0 where there was nothing to find.

    Arguments as `Precision`.
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        class_id: int | None = None,
        average: str | None = None,
        from_logits: bool = False,
        name: str = "recall",
    ):
        super().__init__(thresholds, class_id, average, from_logits, name)

    def value(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        return ratio(true_positives, true_positives + false_negatives, empty=0.0)


class F1Score(CountingMetric):
    """2 TP / (2 TP + FP + FN), and 0 where nothing was to find and nothing found (as scikit-learn; see `Dice`).

    One score a sample or pixel, y_pred (N,) or (…, 1): found above `threshold` (None means 0.5); the result is a float.
    Several classes, y_pred (…, C): the class with the largest score if `threshold` is None, else all classes above it
    (several labels to a sample); an array of C values, or their "micro", "macro" or "weighted" `average`.
    With `from_logits=True` y_pred are logits; the threshold still means a probability.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        from_logits: bool = False,
        name: str = "f1_score",
    ):
        if average not in AVERAGES:
            raise ValueError(f"{name}: average {average!r} must be one of {AVERAGES}")
        self.average, self.threshold, self.from_logits = average, threshold, from_logits
        self._limit = check_threshold(name, 0.5 if threshold is None else threshold, from_logits)
        super().__init__(name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = to_array(y_true), finite_scores(self, y_pred)
        single = truth.shape == scores.shape[:-1] or scores.ndim < 2 or scores.shape[-1] == 1
        if scores.ndim >= 2 and scores.shape[-1] > 1 and self.threshold is None:
            self.count_classes(truth, scores, sample_weight)
            return
        truth, scores = same_shape(self, truth, scores)
        shape = (-1, 1 if single else scores.shape[-1])
        samples = scores.shape if single else scores.shape[:-1]
        weights = None if sample_weight is None else spread_weight(self, sample_weight, samples).reshape(-1)
        self.count(as_binary(self, truth).reshape(shape), scores.reshape(shape) > self._limit, weights)
        self.updates += scores.size > 0

    def compute(self) -> Any:
        values = self.averaged(self.average)
        return values[0] if np.shape(values) == (1,) else values

    def value(self, true_positives: Any, false_positives: Any, false_negatives: Any) -> Any:
        return ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives, empty=0.0)
