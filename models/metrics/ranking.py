"""The ROC and precision-recall curves and the areas under them, exact: from all scores, ties handled, not binned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import ratio
from .thresholds import Counts, RankingMetric, chosen_thresholds, even_thresholds, ranked


def roc_curve(
    y_true: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None, drop_intermediate: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The receiver operating characteristic: (false positive rate, true positive rate, thresholds).

    Point i is what "score ≥ thresholds[i] is positive" gives; the first, with threshold ∞, is (0, 0), the last (1, 1).
    Samples of equal score enter together. `drop_intermediate` leaves out points on a straight line between their
    neighbours: the curve and its area stay the same. Raises ValueError where only one class is present.
    """
    false_positives, true_positives, thresholds = _checked_counts(y_true, scores, sample_weight, "roc_curve")
    if drop_intermediate and thresholds.size > 2:
        bends = np.diff(false_positives, 2).astype(bool) | np.diff(true_positives, 2).astype(bool)
        kept = np.flatnonzero(np.r_[True, bends, True])
        false_positives, true_positives, thresholds = false_positives[kept], true_positives[kept], thresholds[kept]
    origin = np.zeros(1)
    false_rate = np.r_[origin, false_positives] / false_positives[-1]
    true_rate = np.r_[origin, true_positives] / true_positives[-1]
    return false_rate, true_rate, np.r_[np.inf, thresholds]


def roc_auc(y_true: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """The area under the ROC curve: the chance that a random positive scores above a random negative, ties half.

    Raises ValueError where only one class is present.
    """
    false_positives, true_positives, _ = _checked_counts(y_true, scores, sample_weight, "roc_auc")
    return _roc_area(false_positives, true_positives)


def precision_recall_curve(
    y_true: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(precision, recall, thresholds), by falling threshold: point i is what "score ≥ thresholds[i]" gives.

    Raises ValueError where only one class is present.
    """
    false_positives, true_positives, thresholds = _checked_counts(
        y_true, scores, sample_weight, "precision_recall_curve"
    )
    return true_positives / (true_positives + false_positives), true_positives / true_positives[-1], thresholds


def average_precision(y_true: ArrayLike, scores: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores: the area under the precision-recall curve, without interpolation."""
    precision, recall, _ = precision_recall_curve(y_true, scores, sample_weight)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _checked_counts(y_true: Any, scores: Any, sample_weight: Any, caller: str) -> tuple[np.ndarray, ...]:
    """False and true positives at each distinct score, falling, and those scores."""
    metric = AUC(name=caller)
    metric.update_state(y_true, scores, sample_weight)
    if not metric.updates:
        raise metric.fail("has seen no samples")
    truth, values, weights = metric._joined()
    counts = ranked(truth[:, 0], values[:, 0], None if weights is None else weights[:, 0])
    false_positives, true_positives, thresholds = counts
    if not false_positives[-1] > 0 or not true_positives[-1] > 0:
        raise ValueError(f"{caller}: y_true must hold both classes, 0 and 1, with some weight each")
    # Samples of weight 0 at the top would be points with nothing in them.
    some = (true_positives > 0) | (false_positives > 0)
    return false_positives[some], true_positives[some], thresholds[some]


def _roc_area(false_positives: np.ndarray, true_positives: np.ndarray) -> float:
    height = (true_positives + np.r_[0.0, true_positives[:-1]]) / 2
    width = np.diff(false_positives, prepend=0.0)
    return float(np.sum(width * height) / (false_positives[-1] * true_positives[-1]))


def _steps(counts: Counts) -> float:
    """Average precision: Σ (Rₙ − Rₙ₋₁) Pₙ."""
    return float(np.sum(-np.diff(counts.sensitivity) * counts.precision[:-1]))


class AUC(RankingMetric):
    """The area under a curve: `curve="ROC"`, "PR" (precision over recall) or "PRGAIN" (their gains).

    Exact unless `num_thresholds` or `thresholds` are given: all scores seen are stored (5 bytes a float32 sample, 13
    with weights) and ranked when `result` is asked for, so that ties count half and no threshold is chosen. Only the
    order of the scores matters then: logits and probabilities serve alike. ROC: the chance that a random positive
    scores above a random negative. PR: the average precision Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores.
    With num_thresholds (Keras's default is 200), or inner `thresholds`: Keras's approximation of it, from counts at
    these thresholds, of probabilities; PR is then interpolated as Davis and Goadrich do (The relationship between
    precision-recall and ROC curves, 2006). "PRGAIN": Flach and Kull, Precision-recall-gain curves, 2015.

    summation_method: "interpolation" (trapezoids), "minoring" or "majoring", the lower or the upper sums.
    Elements of an array are samples: for masks that is pixels. With multi_label, y_pred (…, L) holds L labels, each has
    an area of its own, and the result is their mean, weighted by `label_weights` (L,); y_true may be class indices
    there. Without, label_weights weigh the elements of y_pred's last axis. num_labels: what L must be.
    from_logits: y_pred are logits; it matters where thresholds were given.

    The result is NaN while only one class has been seen (`roc_auc` and `average_precision` raise instead: within a
    training run the number is a report, not a reason to stop); labels without both classes are left out of the mean.
    (Keras: 0 for both.)
    """

    def __init__(
        self,
        num_thresholds: int | None = None,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ):
        owner = name or "auc"
        if str(curve).upper() not in ("ROC", "PR", "PRGAIN"):
            raise ValueError(f"{owner}: curve {curve!r} must be 'ROC', 'PR' or 'PRGAIN'")
        if str(summation_method).lower() not in ("interpolation", "minoring", "majoring"):
            raise ValueError(
                f"{owner}: summation_method {summation_method!r} must be 'interpolation', 'minoring' or 'majoring'"
            )
        if num_labels and not multi_label:
            raise ValueError(f"{owner}: num_labels is for multi_label=True")
        self.num_thresholds, self.curve, self.summation_method = num_thresholds, curve.upper(), summation_method.lower()
        self.thresholds = None if thresholds is None else [float(threshold) for threshold in thresholds]
        self.multi_label, self.num_labels = bool(multi_label), num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float64).tolist()
        limits, evenly = None, True
        if thresholds is not None:
            limits, evenly = chosen_thresholds(owner, thresholds)
        elif num_thresholds is not None:
            limits = even_thresholds(owner, num_thresholds, 2)
        if limits is not None:
            limits = np.r_[-1e-7, limits[1:-1], 1.0 + 1e-7]  # so that 0 and 1 lie between
        super().__init__(limits, evenly, name, dtype, labels_apart=self.multi_label, from_logits=from_logits)

    def weights(self, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        labels = shape[-1] if shape else 1
        if self.num_labels and labels != self.num_labels:
            raise self.fail(f"y_pred has {labels} labels, but num_labels is {self.num_labels}")
        weights = super().weights(sample_weight, shape)
        if self.label_weights is None:
            return weights
        if np.shape(self.label_weights) != (labels,):
            raise self.fail(f"label_weights has shape {np.shape(self.label_weights)}, but y_pred {labels} labels")
        if self.multi_label:
            return weights
        return np.broadcast_to(self.label_weights, shape) * (1.0 if weights is None else weights)

    def compute(self) -> float:
        counts = self.counts()
        areas = np.array([np.nan if label is None else self._area(label) for label in counts])
        known = ~np.isnan(areas)
        chosen = np.ones(areas.size)
        if self.multi_label and self.label_weights is not None:
            chosen = np.array(self.label_weights)
        return ratio((areas[known] * chosen[known]).sum(), chosen[known].sum(), empty=np.nan)

    def _area(self, counts: Counts) -> float:
        between = self.summation_method == "interpolation"
        if self.curve == "ROC":
            x, y = 1 - counts.specificity, counts.sensitivity
        elif self.curve == "PR":
            if between:
                return _steps(counts) if self._limits is None else _interpolated(counts)
            x, y = counts.sensitivity, counts.precision
        else:
            x, y = _gains(counts)
        height = (y[:-1] + y[1:]) / 2
        if not between:
            height = np.minimum(y[:-1], y[1:]) if self.summation_method == "minoring" else np.maximum(y[:-1], y[1:])
        return float(np.sum((x[:-1] - x[1:]) * height))


def _interpolated(counts: Counts) -> float:
    """Between two thresholds true positives are taken to rise in a line with all that is found, P = tp + fp: then
    precision is slope + intercept / P, and the area under it ∫ precision d tp = slope · (Δtp + intercept · Δ ln P)."""
    true, found = counts.true_positives, counts.true_positives + counts.false_positives
    gained, more = true[:-1] - true[1:], found[:-1] - found[1:]
    slope = ratio(gained, np.maximum(more, 0), empty=0.0)
    intercept = true[1:] - slope * found[1:]
    both = (found[:-1] > 0) & (found[1:] > 0)
    growth = np.log(np.where(both, found[:-1], 1.0) / np.where(both, found[1:], 1.0))
    return float(np.sum(slope * (gained + intercept * growth)) / counts.positives)


def _gains(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Recall gain (held at 0 from below) and precision gain: 1 − π/(1 − π) · FN/TP and 1 − π/(1 − π) · FP/TP."""
    true, odds = counts.true_positives, counts.positives / counts.negatives
    some, safe = true > 0, np.where(true > 0, true, 1.0)
    recall_gain = np.where(some, 1 - odds * (counts.positives - true) / safe, 0.0)
    return np.maximum(recall_gain, 0.0), np.where(some, 1 - odds * counts.false_positives / safe, 1.0)


class AveragePrecision(RankingMetric):
    """Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, falling: the area under the precision-recall curve without
    interpolation (which is too optimistic). Exact, from all scores, as in `AUC`; scikit-learn's
    average_precision_score.

    All elements of y_pred are samples; with multi_label, each label of y_pred (…, L) has a precision of its own (y_true
    may be class indices: each class against the rest), and `average` "macro" is their mean, "weighted" that by the
    positives of each, None all of them. NaN while only one class has been seen, and labels of which that is so are
    left out of the means. Keras has none.
    """

    def __init__(
        self,
        multi_label: bool = False,
        average: str | None = "macro",
        name: str | None = "average_precision",
        dtype: Any = None,
    ):
        if average not in (None, "macro", "weighted"):
            raise ValueError(f"{name}: average {average!r} must be 'macro', 'weighted' or None")
        self.multi_label, self.average = bool(multi_label), average
        super().__init__(None, True, name, dtype, labels_apart=self.multi_label)

    def compute(self) -> Any:
        counts = self.counts()
        values = np.array([np.nan if label is None else _steps(label) for label in counts])
        if not self.multi_label:
            return values[0]
        if self.average is None:
            return values
        known = [index for index, label in enumerate(counts) if label is not None]
        support = np.array([counts[index].positives for index in known])  # type: ignore[union-attr]
        weights = support if self.average == "weighted" else np.ones(len(known))
        return ratio((values[known] * weights).sum(), weights.sum(), empty=np.nan)
