"""The ROC and precision-recall curves and the areas under them, exact: from all scores, ties handled, not binned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import Metric, as_binary, finite_scores, same_shape, spread_weight, to_array


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


def _counts(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """False and true positives (weighted) at or above each distinct score, falling; and those scores."""
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last_of_tie = np.r_[np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1]
    weight = np.ones(scores.size) if weights is None else weights[order]
    true_positives = np.cumsum(truth * weight)[last_of_tie]
    false_positives = np.cumsum(~truth * weight)[last_of_tie]
    return false_positives, true_positives, scores[last_of_tie]


def _checked_counts(y_true: Any, scores: Any, sample_weight: Any, caller: str) -> tuple[np.ndarray, ...]:
    metric = AUC(name=caller)
    metric.update_state(y_true, scores, sample_weight)
    counts = metric.counts()
    if counts is None:
        raise ValueError(f"{caller}: y_true must hold both classes, 0 and 1, with some weight each")
    return counts


def _roc_area(false_positives: np.ndarray, true_positives: np.ndarray) -> float:
    height = (true_positives + np.r_[0.0, true_positives[:-1]]) / 2
    width = np.diff(false_positives, prepend=0.0)
    return float(np.sum(width * height) / (false_positives[-1] * true_positives[-1]))


class AUC(Metric):
    """The area under the ROC curve (`curve="ROC"`) or the precision-recall curve ("PR": average precision).

    Exact: all scores seen are stored (5 bytes a float32 sample, 13 with weights) and ranked when `result` is asked
    for, so that ties count half and no threshold is chosen; Keras's AUC, with 200 thresholds, gives an approximation
    of it. Only the order of the scores matters: logits and probabilities serve alike. Elements of an array are
    samples: for masks that is pixels.

    The result is NaN while only one class has been seen (`roc_auc` and `average_precision` raise instead: within a
    training run the number is a report, not a reason to stop).
    """

    running = False

    def __init__(self, curve: str = "ROC", name: str = "auc"):
        if curve not in ("ROC", "PR"):
            raise ValueError(f"{name}: curve {curve!r} must be 'ROC' or 'PR'")
        self.curve = curve
        super().__init__(name)

    def clear(self) -> None:
        self.totals = {}
        self._batches: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = same_shape(self, to_array(y_true), finite_scores(self, y_pred))
        weights = None if sample_weight is None else spread_weight(self, sample_weight, scores.shape).ravel()
        scores = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
        self._batches.append((as_binary(self, truth).flatten(), scores.flatten(), weights))
        self.updates += scores.size > 0

    def _joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """All batches as one, kept so."""
        truth, scores, weights = zip(*self._batches, strict=True)
        joined = None
        if any(weight is not None for weight in weights):
            pairs = zip(truth, weights, strict=True)
            joined = np.concatenate([np.ones(part.size) if weight is None else weight for part, weight in pairs])
        self._batches = [(np.concatenate(truth), np.concatenate(scores), joined)]
        return self._batches[0]

    def counts(self) -> tuple[np.ndarray, ...] | None:
        """False and true positives at each distinct score, falling, and those scores; None with one class only."""
        if not self.updates:
            raise self.fail("has seen no samples")
        false_positives, true_positives, thresholds = _counts(*self._joined())
        if not false_positives[-1] > 0 or not true_positives[-1] > 0:
            return None
        # Samples of weight 0 at the top would be points with nothing in them.
        some = (true_positives > 0) | (false_positives > 0)
        return false_positives[some], true_positives[some], thresholds[some]

    def compute(self) -> float:
        counts = self.counts()
        if counts is None:
            return np.nan
        false_positives, true_positives, _ = counts
        if self.curve == "ROC":
            return _roc_area(false_positives, true_positives)
        precision = true_positives / (true_positives + false_positives)
        return np.sum(np.diff(true_positives, prepend=0.0) * precision) / true_positives[-1]

    def state(self) -> dict[str, np.ndarray]:
        if not self._batches:
            return {"updates": np.asarray(self.updates)}
        truth, scores, weights = self._joined()
        state = {"updates": np.asarray(self.updates), "truth": truth.copy(), "scores": scores.copy()}
        return state if weights is None else state | {"weights": weights.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.reset_state()
        self.updates = int(state["updates"])
        if "truth" in state:
            weights = np.array(state["weights"]) if "weights" in state else None
            self._batches = [(np.array(state["truth"], bool), np.array(state["scores"]), weights)]
