"""Where to set the threshold: one rate at the best threshold at which another is still high enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from .thresholds import Counts, RankingMetric, even_thresholds


class _AtLeast(RankingMetric):
    """The largest value of one rate over the thresholds at which another is at least so high; 0 if it is at none.

    Exact unless `num_thresholds` is given: over all distinct scores seen, which are stored (as in `AUC`), and "nothing
    is found". With num_thresholds (Keras's default is 200): over so many thresholds that part 0 … 1 evenly, which gives
    Keras's value; the scores must then be probabilities, or logits with from_logits. class_id: that channel of y_pred
    (…, C) alone, against y_true in that shape or class indices. NaN while only one class has been seen (Keras: 0).
    """

    def __init__(
        self,
        least: float,
        argument: str,
        num_thresholds: int | None,
        class_id: int | None,
        name: str | None,
        dtype: Any,
        from_logits: bool,
    ):
        owner = name or type(self).__name__
        if not 0 <= least <= 1:
            raise ValueError(f"{owner}: {argument} = {least!r} must lie in [0, 1]")
        self._least, self.num_thresholds = least, num_thresholds
        limits = None if num_thresholds is None else even_thresholds(owner, num_thresholds, 1)
        evenly = limits is None or limits.size > 1
        super().__init__(limits, evenly, name, dtype, class_id=class_id, from_logits=from_logits)

    def compute(self) -> float:
        (counts,) = self.counts()
        if counts is None:
            return np.nan
        held, wanted = self.rates(counts)
        return float(np.max(np.where(held >= self._least, wanted, 0.0), initial=0.0))

    def rates(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        """The rate that is asked for, and the one that is wanted."""
        raise NotImplementedError


class SensitivityAtSpecificity(_AtLeast):
    __doc__ = f"""The best sensitivity TP/(TP+FN) where the specificity TN/(TN+FP) is at least `specificity`.

    {_AtLeast.__doc__}"""

    def __init__(
        self,
        specificity: float,
        num_thresholds: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        self.specificity = specificity
        super().__init__(specificity, "specificity", num_thresholds, class_id, name, dtype, from_logits)

    def rates(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.specificity, counts.sensitivity


class SpecificityAtSensitivity(_AtLeast):
    __doc__ = f"""The best specificity TN/(TN+FP) where the sensitivity TP/(TP+FN) is at least `sensitivity`.

    {_AtLeast.__doc__}"""

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        self.sensitivity = sensitivity
        super().__init__(sensitivity, "sensitivity", num_thresholds, class_id, name, dtype, from_logits)

    def rates(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.sensitivity, counts.specificity


class PrecisionAtRecall(_AtLeast):
    __doc__ = f"""The best precision TP/(TP+FP) where the recall TP/(TP+FN) is at least `recall`.

    {_AtLeast.__doc__}"""

    def __init__(
        self,
        recall: float,
        num_thresholds: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        self.recall = recall
        super().__init__(recall, "recall", num_thresholds, class_id, name, dtype, from_logits)

    def rates(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.sensitivity, counts.precision


class RecallAtPrecision(_AtLeast):
    __doc__ = f"""The best recall TP/(TP+FN) where the precision TP/(TP+FP) is at least `precision`.

    {_AtLeast.__doc__}"""

    def __init__(
        self,
        precision: float,
        num_thresholds: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        self.precision = precision
        super().__init__(precision, "precision", num_thresholds, class_id, name, dtype, from_logits)

    def rates(self, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
        return counts.precision, counts.sensitivity
