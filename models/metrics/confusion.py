"""The confusion matrix, and measures of it that classes of different sizes do not flatter."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import (
    Metric,
    as_binary,
    check_range,
    check_threshold,
    class_labels,
    finite_scores,
    ratio,
    same_shape,
    spread_weight,
    to_array,
)

NORMALIZATIONS = (None, "true", "pred", "all")


def confusion_matrix(
    y_true: np.ndarray, y_pred: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """(classes, classes): how many samples of true class i (row) were called j (column); weighted counts if asked."""
    pairs = y_true.reshape(-1).astype(np.int64) * classes + y_pred.reshape(-1)
    flat = None if weights is None else weights.reshape(-1)
    return np.bincount(pairs, flat, minlength=classes * classes).reshape(classes, classes).astype(np.float64)


class ConfusionMetric(Metric):
    """Adds up a confusion matrix. What decides:

    y_pred (…, C) scores of C ≥ 2 classes: the largest, against class indices (…) or (…, 1) or one-hot rows.
    y_pred (…,) or (…, 1), one score each: class 1 above `threshold`, else class 0; with `from_logits` the scores are
    logits, and the threshold still means a probability. y_true holds 0 and 1.
    y_pred of a whole-number type: class indices, in y_true's shape; `num_classes` must be given.

    num_classes: None for that of the first batch. sample_weight: for each decision.
    """

    additive = True

    def __init__(self, num_classes: int | None, threshold: float, from_logits: bool, name: str | None, dtype: Any):
        if num_classes is not None and (
            isinstance(num_classes, bool) or int(num_classes) != num_classes or num_classes < 2
        ):
            raise ValueError(f"{name}: num_classes = {num_classes!r}: expected a whole number of at least 2, or None")
        self.num_classes, self.threshold, self.from_logits = num_classes, threshold, from_logits
        self._limit = check_threshold(str(name), threshold, from_logits)
        super().__init__(dtype, name)

    def clear(self) -> None:
        self.totals = {"confusion": np.zeros((self.num_classes or 0,) * 2)}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found, classes = self._decisions(to_array(y_true), finite_scores(self, y_pred))
        if not found.size:
            return
        known = self.num_classes or len(self.totals["confusion"]) or classes
        if classes != known:
            raise self.fail(f"y_pred has {classes} classes, but there were {known}")
        weights = None if sample_weight is None else spread_weight(self, sample_weight, found.shape)
        counted = confusion_matrix(truth, found, classes, weights)
        self.totals["confusion"] = self.totals["confusion"] + counted if self.updates else counted
        self.updates += 1

    def _decisions(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """The true and the found class of each sample, and how many classes there are."""
        if scores.dtype.kind in "iu":
            if self.num_classes is None:
                raise self.fail("y_pred holds whole numbers: for class indices give num_classes")
            y_true, scores = same_shape(self, y_true, scores)
            for values, argument in ((y_true, "y_true"), (scores, "y_pred")):
                if values.dtype.kind == "f" and (values != np.floor(values)).any():
                    raise self.fail(f"{argument} must hold whole class indices")
                check_range(self, values, self.num_classes, argument)
            return y_true.astype(np.int64), scores, self.num_classes
        if scores.ndim >= 2 and scores.shape[-1] > 1:
            return class_labels(self, y_true, scores), scores.argmax(axis=-1), scores.shape[-1]
        y_true, scores = same_shape(self, y_true, scores)
        return as_binary(self, y_true).astype(np.int64), (scores > self._limit).astype(np.int64), 2


class ConfusionMatrix(ConfusionMetric):
    """(C, C): how many samples of true class i (row) were found to be of class j (column), or the sum of their weights.

    normalize: "true" divides each row by its sum (what became of class i), "pred" each column, "all" by all samples;
    what is divided by 0 is 0. Other arguments, and what decides: see `ConfusionMetric`. Keras has none.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        normalize: str | None = None,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = "confusion_matrix",
        dtype: Any = None,
    ):
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"{name}: normalize {normalize!r} must be one of {NORMALIZATIONS}")
        self.normalize = normalize
        super().__init__(num_classes, threshold, from_logits, name, dtype)

    def compute(self) -> np.ndarray:
        counts = self.totals["confusion"]
        if self.normalize is None:
            return counts
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return ratio(counts, counts.sum(axis=axis, keepdims=True), empty=0.0)


class BalancedAccuracy(ConfusionMetric):
    """The mean over the classes that occur of their recalls: a constant prediction of C classes scores 1/C.

    `per_class()` gives the recalls one by one. adjusted: (value − 1/C) / (1 − 1/C), C the classes that occur: 0 for a
    constant prediction (or chance), 1 for a perfect one. Other arguments, and what decides: see `ConfusionMetric`.
    Keras has none. (Brodersen et al., The balanced accuracy and its posterior distribution, 2010; scikit-learn's
    balanced_accuracy_score.)
    """

    def __init__(
        self,
        num_classes: int | None = None,
        adjusted: bool = False,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = "balanced_accuracy",
        dtype: Any = None,
    ):
        self.adjusted = bool(adjusted)
        super().__init__(num_classes, threshold, from_logits, name, dtype)

    def per_class(self) -> np.ndarray:
        """The recall of each class, (C,), NaN for one that does not occur. Raises ValueError where nothing was seen."""
        if not self.updates:
            raise self.fail("has seen no samples")
        counts = self.totals["confusion"]
        return ratio(np.diag(counts), counts.sum(axis=1), empty=np.nan)

    def compute(self) -> float:
        recalls = self.per_class()
        occurs = ~np.isnan(recalls)
        if not occurs.any():
            return np.nan
        value, chance = np.mean(recalls[occurs]), 1 / np.count_nonzero(occurs)
        if not self.adjusted:
            return value
        return (value - chance) / (1 - chance) if chance < 1 else np.nan


class CohenKappa(ConfusionMetric):
    """1 − Σ w_ij O_ij / Σ w_ij E_ij: agreement beyond that of chance; O are the counts, E those of the same row and
    column sums if truth and prediction were independent.

    weights: None, every disagreement counts 1; "linear", |i − j|; "quadratic", (i − j)², for classes that have an
    order (grades of a disease). NaN while truth and prediction know only one and the same class: there is no chance
    that they differ. Other arguments, and what decides: see `ConfusionMetric`. Keras has none. (J. Cohen, A coefficient
    of agreement for nominal scales, 1960, and Weighted kappa, 1968; scikit-learn's cohen_kappa_score.)
    """

    def __init__(
        self,
        num_classes: int | None = None,
        weights: str | None = None,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = "cohen_kappa",
        dtype: Any = None,
    ):
        if weights not in (None, "linear", "quadratic"):
            raise ValueError(f"{name}: weights {weights!r} must be None, 'linear' or 'quadratic'")
        self.weights = weights
        super().__init__(num_classes, threshold, from_logits, name, dtype)

    def compute(self) -> float:
        counts = self.totals["confusion"]
        place = np.arange(len(counts))
        apart = np.abs(place[:, None] - place)
        cost = (apart > 0).astype(np.float64) if self.weights is None else apart ** (1 + (self.weights == "quadratic"))
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0))
        total = counts.sum()
        return 1 - ratio((cost * counts).sum() * total, (cost * expected).sum(), empty=np.nan)


class MatthewsCorrelation(ConfusionMetric):
    """The correlation of true and found classes: for two, (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)).

    For more classes Gorodkin's R_K. 0 where truth or prediction is always one class. Arguments, and what decides: see
    `ConfusionMetric`. Keras has none. (B. Matthews, Comparison of the predicted and observed secondary structure of T4
    phage lysozyme, 1975; J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient,
    2004; scikit-learn's matthews_corrcoef.)
    """

    def __init__(
        self,
        num_classes: int | None = None,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = "matthews_correlation",
        dtype: Any = None,
    ):
        super().__init__(num_classes, threshold, from_logits, name, dtype)

    def compute(self) -> float:
        counts = self.totals["confusion"]
        total, true, found = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
        together = np.trace(counts) * total - true @ found
        spread = np.sqrt(total**2 - true @ true) * np.sqrt(total**2 - found @ found)
        return ratio(together, spread, empty=0.0)
