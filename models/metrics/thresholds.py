"""Scores ranked against thresholds: what curves and areas under them are made of, exactly or at chosen thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .base import Metric, as_binary, class_labels, finite_scores, same_shape, spread_weight, to_array


class Counts(NamedTuple):
    """What "score above the threshold is positive" gives at each threshold, the thresholds rising; weighted counts."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: float
    negatives: float

    @property
    def sensitivity(self) -> np.ndarray:
        return self.true_positives / self.positives

    @property
    def specificity(self) -> np.ndarray:
        return (self.negatives - self.false_positives) / self.negatives

    @property
    def precision(self) -> np.ndarray:
        """0 where nothing is found."""
        found = self.true_positives + self.false_positives
        return self.true_positives / np.where(found > 0, found, 1.0)


def ranked(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """False and true positives (weighted) at or above each distinct score, falling; and those scores."""
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last_of_tie = np.r_[np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1]
    weight = np.ones(scores.size) if weights is None else weights[order]
    true_positives = np.cumsum(truth * weight)[last_of_tie]
    false_positives = np.cumsum(~truth * weight)[last_of_tie]
    return false_positives, true_positives, scores[last_of_tie]


class RankingMetric(Metric):
    """Keeps all scores (exact), or counts them at fixed thresholds; of all elements together, or label by label.

    thresholds: rising probabilities, or None for exact; evenly: whether they part 0 … 1 evenly.
    """

    def __init__(
        self,
        thresholds: np.ndarray | None,
        evenly: bool,
        name: str | None,
        dtype: Any,
        *,
        class_id: int | None = None,
        labels_apart: bool = False,
        from_logits: bool = False,
    ):
        self.class_id, self.from_logits = class_id, from_logits
        self._limits, self._evenly, self._apart = thresholds, evenly, labels_apart
        self.running = self.additive = thresholds is not None
        super().__init__(dtype, name)

    def clear(self) -> None:
        self._batches: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
        empty = {"true_positives": 0.0, "false_positives": 0.0, "positives": 0.0, "negatives": 0.0}
        self.totals = {} if self._limits is None else empty

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores, weights = self._samples(to_array(y_true), finite_scores(self, y_pred), sample_weight)
        if not scores.size:
            return
        if self._limits is None:
            self._batches.append((truth, scores, weights))
        else:
            self._add(truth, scores, weights)
        self.updates += 1

    def _samples(self, truth: np.ndarray, scores: np.ndarray, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Copies as columns (S, L), bool and floating, one column unless the labels stand apart; weights likewise."""
        if self.class_id is not None:
            if scores.ndim < 2 or not 0 <= self.class_id < scores.shape[-1]:
                raise self.fail(f"class_id {self.class_id} lies outside the classes of y_pred of shape {scores.shape}")
            chosen = truth.shape == scores.shape
            truth = truth[..., self.class_id] if chosen else class_labels(self, truth, scores) == self.class_id
            scores = scores[..., self.class_id]
        if self._apart:
            if scores.ndim < 2:
                raise self.fail(f"y_pred has shape {scores.shape}: expected (…, L), a score for each label")
            if truth.shape != scores.shape:
                truth = class_labels(self, truth, scores)[..., None] == np.arange(scores.shape[-1])
        truth, scores = same_shape(self, truth, scores)
        columns = (-1, scores.shape[-1] if self._apart else 1)
        weights = self.weights(sample_weight, scores.shape)
        weights = None if weights is None else weights.reshape(columns).copy()
        scores = scores.astype(scores.dtype if scores.dtype.kind == "f" else np.float64)
        return as_binary(self, truth).reshape(columns).copy(), scores.reshape(columns), weights

    def weights(self, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        return None if sample_weight is None else spread_weight(self, sample_weight, shape)

    def _add(self, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray | None) -> None:
        """Count at the fixed thresholds."""
        limits: Any = self._limits
        scores = _sigmoid(scores) if self.from_logits else scores
        if scores.min() < 0 or scores.max() > 1:
            raise self.fail(
                f"y_pred holds values from {scores.min():g} to {scores.max():g}: thresholds need probabilities; for "
                "logits give from_logits=True"
            )
        if self._evenly:  # Keras's arithmetic, so that a score that equals a threshold falls where Keras puts it
            passed = np.ceil(scores * (limits.size - 1)).astype(np.int64) + (limits[0] < 0) * (scores == 0)
        else:
            passed = np.searchsorted(limits.astype(scores.dtype), scores, side="left")
        shape = (limits.size + 1, scores.shape[1])
        place = passed * shape[1] + np.arange(shape[1])  # the number of thresholds below the score, label by label
        weight = np.ones(scores.shape) if weights is None else weights
        for name, counted in (("positives", truth), ("negatives", ~truth)):
            each = np.bincount(place.ravel(), (weight * counted).ravel(), minlength=shape[0] * shape[1]).reshape(shape)
            above = np.cumsum(each[::-1], axis=0)[::-1]
            kind = "true_positives" if name == "positives" else "false_positives"
            self.totals[kind] = self.totals[kind] + above[1:]
            self.totals[name] = self.totals[name] + above[0]

    def counts(self) -> list[Counts | None]:
        """For each label; None for one of which only one class, or none, was seen with some weight."""
        if not self.updates:
            raise self.fail("has seen no samples")
        return self._exact_counts() if self._limits is None else self._fixed_counts()

    def _exact_counts(self) -> list[Counts | None]:
        truth, scores, weights = self._joined()
        found: list[Counts | None] = []
        for label in range(scores.shape[1]):
            weight = None if weights is None else weights[:, label]
            false, true, _ = ranked(truth[:, label], scores[:, label], weight)
            # Falling scores turned to rising ones; above them all nothing is found.
            true, false = np.r_[0.0, true][::-1], np.r_[0.0, false][::-1]
            found.append(Counts(true, false, true[0], false[0]) if true[0] > 0 and false[0] > 0 else None)
        return found

    def _fixed_counts(self) -> list[Counts | None]:
        totals = self.totals
        parts = [totals[name] for name in ("true_positives", "false_positives", "positives", "negatives")]
        return [
            Counts(true, false, positives, negatives) if positives > 0 and negatives > 0 else None
            for true, false, positives, negatives in zip(parts[0].T, parts[1].T, parts[2], parts[3], strict=True)
        ]

    def _joined(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """All batches as one, kept so."""
        truth, scores, weights = zip(*self._batches, strict=True)
        if len({part.shape[1] for part in scores}) > 1:
            raise self.fail(f"the batches have {sorted({part.shape[1] for part in scores})} labels")
        joined = None
        if any(weight is not None for weight in weights):
            pairs = zip(truth, weights, strict=True)
            joined = np.concatenate([np.ones(part.shape) if weight is None else weight for part, weight in pairs])
        self._batches = [(np.concatenate(truth), np.concatenate(scores), joined)]
        return self._batches[0]

    def state(self) -> dict[str, np.ndarray]:
        if self._limits is not None or not self._batches:
            return super().state()
        truth, scores, weights = self._joined()
        state = {"updates": np.asarray(self.updates), "truth": truth.copy(), "scores": scores.copy()}
        return state if weights is None else state | {"weights": weights.copy()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        self.reset_state()
        if self._limits is not None:
            super().load_state(state)
            return
        self.updates = int(state["updates"])
        if "truth" in state:
            # Of an array (S,), as states were before labels could stand apart, a column.
            kept = {name: np.array(state[name]).reshape(len(state[name]), -1) for name in state if name != "updates"}
            self._batches = [(kept["truth"].astype(bool), kept["scores"], kept.get("weights"))]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))


def even_thresholds(owner: str, count: int, least: int) -> np.ndarray:
    """`count` thresholds that part 0 … 1 evenly. Raises ValueError for fewer than `least`."""
    if isinstance(count, bool) or int(count) != count or count < least:
        raise ValueError(f"{owner}: num_thresholds = {count!r}: expected a whole number of at least {least}, or None")
    return np.arange(count) / (count - 1) if count > 1 else np.array([0.5])


def chosen_thresholds(owner: str, thresholds: Sequence[float]) -> tuple[np.ndarray, bool]:
    """0, those given, and 1, and whether they part 0 … 1 evenly. Raises ValueError for one outside 0 … 1."""
    inner = np.sort(np.asarray(thresholds, np.float64))
    if inner.ndim != 1 or not ((inner >= 0) & (inner <= 1)).all():
        raise ValueError(f"{owner}: thresholds = {thresholds!r}: expected numbers from 0 to 1")
    limits = np.r_[0.0, inner, 1.0]
    return limits, limits.size > 2 and np.allclose(limits, np.arange(limits.size) / (limits.size - 1), atol=1e-7)
