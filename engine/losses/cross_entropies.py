"""Cross-entropies: of two classes, of many, from class indices, and one that bears wrong labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functions as F
from ..arrays import total
from ..capture import capturing, check_input, derived
from ..functions.arguments import require_in_range
from ..tensor import Array, Tensor, as_tensor
from .base import Loss, MeanLoss, axis_last, checked_axis, require_examples, require_fractions, same_classes


class BinaryCrossentropy(MeanLoss):
    """−t·log p − (1 − t)·log(1 − p), the mean over `axis`; y_true and y_pred of one shape (N, …).

    from_logits: y_pred are logits z, p = σ(z), computed without overflow; otherwise probabilities, kept 1e-7 away from
    0 and 1. label_smoothing s: the targets become t·(1 − s) + s/2.

    Raises ValueError for targets outside 0 … 1.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = checked_smoothing(self.name, label_smoothing)
        self.axis = checked_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        y_true, y_pred = super().aligned(y_true, y_pred)
        return axis_last(self.name, self.axis, y_true), axis_last(self.name, self.axis, y_pred)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        targets = smoothed(y_true, self.label_smoothing, 2)
        return F.binary_cross_entropy(y_pred, targets, from_logits=self.from_logits)


class CategoricalCrossentropy(Loss):
    """−Σ_c t_c·log p_c: y_true and y_pred (N, …, C), y_true rows of probabilities (one-hot, say).

    from_logits: y_pred are logits, p = softmax; otherwise probabilities, which are divided by their sum and kept 1e-7
    away from 0 and 1. label_smoothing s: the targets become t·(1 − s) + s/C, where C is the size of `axis` (Keras takes
    that of the last one, whatever the axis). axis: that of the classes.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.label_smoothing = checked_smoothing(self.name, label_smoothing)
        self.axis = checked_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return classes_last(self.name, self.axis, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        targets = smoothed(y_true, self.label_smoothing, y_pred.shape[-1])
        predictions = y_pred if self.from_logits else normalized(y_pred)
        return F.cross_entropy(predictions, targets, from_logits=self.from_logits)


class SparseCategoricalCrossentropy(Loss):
    """−log p[label]: y_true (N, …) or (N, …, 1) class indices, y_pred (N, …, C).

    from_logits: y_pred are logits, p = softmax; otherwise probabilities, which are divided by their sum and kept 1e-7
    away from 0 and 1. ignore_class: a label whose positions count neither in the sum nor in the number that it is
    divided by. axis: that of the classes in y_pred, where y_true has none, or one of size 1. label_smoothing s, which
    Keras's has not: −(1 − s)·log p[label] − s/C·Σ_c log p_c.

    Raises ValueError for labels that are not whole numbers or lie outside 0 … C − 1.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits = bool(from_logits)
        self.ignore_class = checked_class(self.name, ignore_class)
        self.axis = checked_axis(self.name, axis)
        self.label_smoothing = checked_smoothing(self.name, label_smoothing)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return labels_of_rows(self.name, self.axis, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels, valid = y_true.array, self.valid(y_true, y_pred)
        if valid is None:
            return self._cross_entropy(y_pred, labels)
        # The predictions at ignored positions must not matter, were they infinite or NaN: then they are replaced.
        # Finite logits (if their sum is finite, so are they) have a finite loss, whose slope will be 0.
        if capturing() or not (self.from_logits and _finite_sum(y_pred.array)):
            y_pred = F.where(valid[..., None], y_pred, 1.0 / y_pred.shape[-1])
        kept = derived(labels * valid, labels, lambda host: host * (host != self.ignore_class))
        return F.where(valid, self._cross_entropy(y_pred, kept), 0.0)

    def _cross_entropy(self, predictions: Tensor, labels: Array) -> Tensor:
        predictions = predictions if self.from_logits else normalized(predictions)
        if self.label_smoothing:
            classes = predictions.shape[-1]
            targets = smoothed(F.one_hot(labels, classes, predictions.dtype), self.label_smoothing, classes)
            return F.cross_entropy(predictions, targets, from_logits=self.from_logits)
        return F.sparse_cross_entropy(predictions, labels, from_logits=self.from_logits)

    def valid(self, y_true: Tensor, y_pred: Tensor) -> Array | None:
        return None if self.ignore_class is None else y_true.array != self.ignore_class


class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 − p[label]^q)/q: y_true (N, …) or (N, …, 1) class indices, y_pred probabilities (N, …, C), 0 < q < 1.

    Between the cross-entropy (q → 0) and the absolute error (q = 1): the less a label is believed, the less it pulls,
    so that some wrong labels do less harm (Zhang and Sabuncu, Generalized cross entropy loss for training deep neural
    networks with noisy labels, 2018). At p = 0, where the slope is infinite, the gradient is 0. Labels (N, 1) are
    taken as (N,); Keras sets each of them against every row.
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if not 0.0 < q < 1.0:
            raise ValueError(f"{self.name}: q = {q!r}: expected a number between 0 and 1, neither of them")
        self.q = q

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return labels_of_rows(self.name, -1, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels = y_true.array
        require_in_range(self.name, "the class index", labels, y_pred.shape[-1], "classes")
        p = F.squeeze(F.take_along_axis(y_pred, labels[..., None], -1), -1)
        some = p.array > 0
        return (1.0 - F.where(some, F.where(some, p, 1.0) ** self.q, 0.0)) / self.q


# ------------------------------------------------------------------------------------------------------------ helpers


def classes_last(name: str, axis: int, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of classes, one shape for both, with the axis of the classes moved to the end."""
    if y_true.shape == y_pred.shape:
        y_true, y_pred = axis_last(name, axis, y_true), axis_last(name, axis, y_pred)
    return same_classes(name, y_true, y_pred)


def labels_of_rows(name: str, axis: int, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Class indices (N, …), whole numbers, and predictions (N, …, C), their axis of classes moved to the end."""
    require_examples(name, y_true, y_pred)
    given = y_true.shape, y_pred.shape
    y_pred = axis_last(name, axis, y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = F.squeeze(y_true, axis)
    if y_pred.ndim < 2 or y_true.shape != y_pred.shape[:-1]:
        raise ValueError(
            f"{name}: y_true has shape {given[0]}, y_pred {given[1]}: expected class indices (N, …) or (N, …, 1) and "
            "predictions (N, …, C)"
        )
    return as_tensor(whole_numbers(name, y_true.array)), y_pred


def whole_numbers(name: str, labels: Array) -> Array:
    """Class indices as integers. Raises ValueError for fractions, NaN and infinities."""
    if labels.dtype.kind in "iu":
        return labels
    with np.errstate(invalid="ignore"):
        whole = derived(labels.astype(np.int64), labels, lambda host: host.astype(np.int64))
    if check_input(labels, lambda host: whole_numbers(name, host)):
        return whole
    if not (whole == labels).all():
        wrong = labels[whole != labels].ravel()[0]
        raise ValueError(f"{name}: y_true holds {wrong}: expected whole numbers, the indices of classes")
    return whole


def _finite_sum(x: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.isfinite(total(x, tuple(range(x.ndim)), False)))


def checked_class(name: str, ignore_class: int | None) -> int | None:
    if ignore_class is not None and (isinstance(ignore_class, bool) or int(ignore_class) != ignore_class):
        raise TypeError(f"{name}: ignore_class = {ignore_class!r}: expected an integer or None")
    return ignore_class


def checked_smoothing(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}: label_smoothing = {value!r}: expected a number from 0 to 1")
    return value


def smoothed(targets: Tensor, smoothing: float, classes: int) -> Tensor:
    return targets * (1.0 - smoothing) + smoothing / classes if smoothing else targets


def normalized(probabilities: Tensor) -> Tensor:
    """Each row divided by its sum; zeros stay zeros."""
    whole = F.sum(probabilities, -1, keepdims=True)
    return probabilities / F.where(whole.array == 0, 1.0, whole)
