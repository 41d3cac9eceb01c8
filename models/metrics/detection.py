"""Counts of right and wrong decisions, and shares of them: precision, recall, specificity, F scores."""

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
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class CountingMetric(Metric):
    """Adds up true and false positives and negatives: one count, one a threshold, or one a class."""

    additive = True

    def clear(self) -> None:
        self.totals = dict.fromkeys(COUNTS, 0.0)

    def count(self, truth: np.ndarray, found: np.ndarray, weights: np.ndarray | None) -> None:
        """Add samples (S,) or, class by class, (S, C), both bool; weights (S,)."""
        weigh = np.count_nonzero if weights is None else _weighted_count(weights)
        for name, counted in zip(COUNTS, (truth & found, ~truth & found, ~truth & ~found, truth & ~found), strict=True):
            self.totals[name] = self.totals[name] + weigh(counted, axis=0)

    def count_classes(self, y_true: np.ndarray, scores: np.ndarray, sample_weight: Any) -> None:
        """Add samples of which the class of the largest score (…, C) is found; the truth class indices or 0 and 1."""
        if scores.ndim < 2 or scores.shape[-1] < 2:
            raise self.fail(f"y_pred has shape {scores.shape}: an average over classes needs (…, C) with C ≥ 2")
        classes = np.arange(scores.shape[-1])
        if y_true.shape == scores.shape:
            truth = as_binary(self, y_true).reshape(-1, classes.size)
        else:
            truth = class_labels(self, y_true, scores).reshape(-1, 1) == classes
        samples = scores.shape[:-1]
        weights = None if sample_weight is None else spread_weight(self, sample_weight, samples).reshape(-1)
        self.count(truth, scores.argmax(axis=-1).reshape(-1, 1) == classes, weights)
        self.updates += scores.size > 0

    def per_class(self) -> np.ndarray:
        """The value of each class, (C,), before they are averaged. Raises ValueError where nothing was seen, or where
        no classes were told apart."""
        if not self.updates:
            raise self.fail("has seen no samples")
        values = np.asarray(self.value(**self.totals))
        if not values.ndim or not self._classes_apart():
            raise self.fail("tells no classes apart: give an average, or scores of several classes")
        return values

    def _classes_apart(self) -> bool:
        return True

    def averaged(self, average: str | None) -> Any:
        """The value of each class (average None), or their mean."""
        totals = self.totals
        if average == "micro":
            return self.value(**{name: np.sum(totals[name]) for name in totals})
        values = self.value(**totals)
        if average is None:
            return values
        support = np.ones_like(values) if average == "macro" else totals["true_positives"] + totals["false_negatives"]
        return ratio((values * support).sum(), support.sum(), empty=0.0)

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} lacks value")


def _weighted_count(weights: np.ndarray) -> Any:
    return lambda mask, axis: np.tensordot(weights, mask.astype(np.float64), axes=(0, axis))


class ThresholdedMetric(CountingMetric):
    """Counts at one or several thresholds, of the first k classes, or class by class. See `Precision`."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        top_k: int | None = None,
        class_id: int | None = None,
        average: str | None = None,
        from_logits: bool = False,
        name: str | None = None,
        dtype: Any = None,
    ):
        owner = name or type(self).__name__
        if average not in AVERAGES:
            raise ValueError(f"{owner}: average {average!r} must be one of {AVERAGES}")
        if average is not None and not thresholds is class_id is top_k is None:
            raise ValueError(
                f"{owner}: with average={average!r} the largest score decides: give no thresholds, top_k or class_id"
            )
        if top_k is not None and (isinstance(top_k, bool) or int(top_k) != top_k or top_k < 1):
            raise ValueError(f"{owner}: top_k = {top_k!r}: expected a whole number of at least 1")
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.average, self.from_logits = average, from_logits
        if thresholds is None and top_k is not None:
            self._limits, self._scalar = np.array([-np.inf]), True
        else:
            levels = 0.5 if thresholds is None else thresholds
            self._limits = np.array([check_threshold(owner, level, from_logits) for level in np.atleast_1d(levels)])
            self._scalar = self._limits.size == 1
        super().__init__(dtype, name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = to_array(y_true), finite_scores(self, y_pred)
        if self.average is not None:
            self.count_classes(truth, scores, sample_weight)
            return
        if self.top_k is not None:
            truth, scores = self._first(truth, scores)
        if self.class_id is not None:
            truth, scores = self._one_class(truth, scores)
        truth, scores = same_shape(self, truth, scores)
        weights = None if sample_weight is None else spread_weight(self, sample_weight, scores.shape).reshape(-1)
        truth, scores = as_binary(self, truth).reshape(-1, 1), scores.reshape(-1, 1)
        # Compared in the scores' own type, as a Python float would be: a float32 0.2 is not above 0.2.
        limits = self._limits.astype(scores.dtype) if scores.dtype.kind == "f" else self._limits
        self.count(np.broadcast_to(truth, (truth.size, limits.size)), scores > limits, weights)
        self.updates += scores.size > 0

    def _first(self, truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The scores (…, C), −∞ but for the largest k of each row (of equal ones the first), and a truth in 0 and 1."""
        if scores.ndim < 2 or not 1 <= self.top_k <= scores.shape[-1]:  # type: ignore[operator]
            raise self.fail(f"top_k {self.top_k} needs y_pred (…, C) with at least so many classes, not {scores.shape}")
        order = np.argsort(-scores, axis=-1, kind="stable")[..., : self.top_k]
        kept = np.full(scores.shape, -np.inf, np.result_type(scores.dtype, np.float32))
        np.put_along_axis(kept, order, np.take_along_axis(scores, order, -1), -1)
        if truth.shape != scores.shape:
            truth = class_labels(self, truth, scores)[..., None] == np.arange(scores.shape[-1])
        return truth, kept

    def _one_class(self, truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The channel `class_id` of scores (…, C), and of a truth in that shape or of class indices."""
        if not scores.ndim or not 0 <= self.class_id < scores.shape[-1]:  # type: ignore[operator]
            raise self.fail(f"class_id {self.class_id} lies outside the classes of y_pred of shape {scores.shape}")
        if truth.shape == scores.shape:
            return truth[..., self.class_id], scores[..., self.class_id]
        return class_labels(self, truth, scores) == self.class_id, scores[..., self.class_id]

    def _classes_apart(self) -> bool:
        return self.average is not None

    def compute(self) -> Any:
        if self.average is not None:
            return self.averaged(self.average)
        values = np.broadcast_to(self.value(**self.totals), self._limits.shape)
        return values[0] if self._scalar else values


class Precision(ThresholdedMetric):
    """true positives / (true positives + false positives), and 0 where nothing was found.

    Without `average`: every element of y_pred above a threshold (0.5) counts as found; y_true has its shape and holds
    0 and 1. Several thresholds give an array. `top_k`: of each row of y_pred (…, C) only the k largest entries can be
    found, and are, unless thresholds are given too. `class_id` looks at that channel of y_pred (…, C) alone; with it,
    and with `top_k`, y_true may hold class indices. With `from_logits=True` y_pred are logits; thresholds still mean
    probabilities.
    With `average` "micro", "macro" or "weighted": one class to a sample, that of its largest score in y_pred (…, C),
    against class indices or one-hot rows; the classes' values averaged as scikit-learn does. `per_class()` gives them
    one by one.
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        average: str | None = None,
        from_logits: bool = False,
    ):
        super().__init__(thresholds, top_k, class_id, average, from_logits, name, dtype)

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        return ratio(true_positives, true_positives + false_positives, empty=0.0)


class Recall(Precision):
    """true positives / (true positives + false negatives), and 0 where there was nothing to find.

    Arguments as `Precision`.
    """

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        return ratio(true_positives, true_positives + false_negatives, empty=0.0)


class Specificity(Precision):
    """true negatives / (true negatives + false positives), and 0 where there was nothing to leave out.

    Arguments as `Precision`. Keras has none.
    """

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        return ratio(true_negatives, true_negatives + false_positives, empty=0.0)


class _Count(ThresholdedMetric):
    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        super().__init__(thresholds, from_logits=from_logits, name=name, dtype=dtype)

    counted = ""

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        counts = (true_positives, false_positives, true_negatives, false_negatives)
        return counts[COUNTS.index(self.counted)]


class TruePositives(_Count):
    """How many elements above the threshold (0.5, or several) are 1 in y_true, or the sum of their weights."""

    counted = "true_positives"


class FalsePositives(_Count):
    """How many elements above the threshold (0.5, or several) are 0 in y_true, or the sum of their weights."""

    counted = "false_positives"


class TrueNegatives(_Count):
    """How many elements not above the threshold (0.5, or several) are 0 in y_true, or the sum of their weights."""

    counted = "true_negatives"


class FalseNegatives(_Count):
    """How many elements not above the threshold (0.5, or several) are 1 in y_true, or the sum of their weights."""

    counted = "false_negatives"


class FBetaScore(CountingMetric):
    """(1 + β²) TP / ((1 + β²) TP + β² FN + FP): recall counts β times as much as precision.

    0 where nothing was to find and nothing found (as scikit-learn; see `Dice`).
    One score a sample or pixel, y_pred (N,) or (…, 1): found above `threshold` (None means 0.5; in Keras everything is
    found then); the result is a float.
    Several classes, y_pred (…, C): the class with the largest score if `threshold` is None, else all classes above it
    (several labels to a sample); an array of C values, or their "micro", "macro" or "weighted" `average`.
    With `from_logits=True` y_pred are logits; the threshold still means a probability.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
        from_logits: bool = False,
    ):
        if average not in AVERAGES:
            raise ValueError(f"{name}: average {average!r} must be one of {AVERAGES}")
        if not beta > 0:
            raise ValueError(f"{name}: beta = {beta!r}: expected a positive number")
        self.average, self.beta, self.threshold, self.from_logits = average, beta, threshold, from_logits
        self._limit = check_threshold(str(name), 0.5 if threshold is None else threshold, from_logits)
        super().__init__(dtype, name)

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

    def value(self, true_positives: Any, false_positives: Any, true_negatives: Any, false_negatives: Any) -> Any:
        right, missed = (1 + self.beta**2) * true_positives, self.beta**2 * false_negatives
        return ratio(right, right + missed + false_positives, empty=0.0)


class F1Score(FBetaScore):
    """2 TP / (2 TP + FP + FN), `FBetaScore` with β = 1."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
        from_logits: bool = False,
    ):
        super().__init__(average, 1.0, threshold, name, dtype, from_logits)
