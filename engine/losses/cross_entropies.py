"""Cross-entropies: of two classes, of many, from class indices, and the focal kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functions as F
from ..arrays import total
from ..tensor import Array, Tensor, as_tensor
from .base import Loss, MeanLoss, require_examples, require_fractions, same_classes


class BinaryCrossentropy(MeanLoss):
    """−t·log p − (1 − t)·log(1 − p), the mean over the last axis; y_true and y_pred of one shape (N, …).

    from_logits: y_pred are logits z, p = σ(z), computed without overflow; otherwise probabilities, kept 1e-7 away from
    0 and 1. label_smoothing s: the targets become t·(1 − s) + s/2. axis: only the last, −1.

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
        self.label_smoothing = _smoothing(self.name, label_smoothing)
        self.axis = _last_axis(self.name, axis)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        targets = _smoothed(y_true, self.label_smoothing, 2)
        return F.binary_cross_entropy(y_pred, targets, from_logits=self.from_logits)


class BinaryFocalCrossentropy(MeanLoss):
    """(1 − p_t)^gamma times the binary cross-entropy, where p_t = t·p + (1 − t)·(1 − p) (Lin et al. 2017).

    apply_class_balancing: times t·alpha + (1 − t)·(1 − alpha) too. Other arguments as in BinaryCrossentropy; with
    from_logits the cross-entropy itself is computed from the logits.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(self.name, label_smoothing)
        self.axis = _last_axis(self.name, axis)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        targets = _smoothed(y_true, self.label_smoothing, 2)
        entropy = F.binary_cross_entropy(y_pred, targets, from_logits=self.from_logits)
        p = F.sigmoid(y_pred) if self.from_logits else y_pred
        missing = targets * (1.0 - p) + (1.0 - targets) * p  # 1 − p_t
        loss = missing**self.gamma * entropy
        if self.apply_class_balancing:
            loss = (targets * self.alpha + (1.0 - targets) * (1.0 - self.alpha)) * loss
        return loss


class CategoricalCrossentropy(Loss):
    """−Σ_c t_c·log p_c over the last axis: y_true and y_pred (N, …, C), y_true rows of probabilities (one-hot, say).

    from_logits: y_pred are logits, p = softmax; otherwise probabilities, which are divided by their sum and kept 1e-7
    away from 0 and 1. label_smoothing s: the targets become t·(1 − s) + s/C. axis: only the last, −1.
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
        self.label_smoothing = _smoothing(self.name, label_smoothing)
        self.axis = _last_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return same_classes(self.name, y_true, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        targets = _smoothed(y_true, self.label_smoothing, y_pred.shape[-1])
        predictions = y_pred if self.from_logits else _normalized(y_pred)
        return F.cross_entropy(predictions, targets, from_logits=self.from_logits)


class SparseCategoricalCrossentropy(Loss):
    """−log p[label]: y_true (N, …) or (N, …, 1) class indices, y_pred (N, …, C).

    from_logits: y_pred are logits, p = softmax; otherwise probabilities, which are divided by their sum and kept 1e-7
    away from 0 and 1. ignore_class: a label whose positions count neither in the sum nor in the number that it is
    divided by. axis: only the last, −1.

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
    ) -> None:
        super().__init__(name, reduction, dtype)
        if ignore_class is not None and (isinstance(ignore_class, bool) or int(ignore_class) != ignore_class):
            raise TypeError(f"{self.name}: ignore_class = {ignore_class!r}: expected an integer or None")
        self.from_logits = bool(from_logits)
        self.ignore_class = ignore_class
        self.axis = _last_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        require_examples(self.name, y_true, y_pred)
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = F.squeeze(y_true, -1)
        if y_pred.ndim < 2 or y_true.shape != y_pred.shape[:-1]:
            raise ValueError(
                f"{self.name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected class indices "
                "(N, …) or (N, …, 1) and predictions (N, …, C)"
            )
        return as_tensor(_whole_numbers(self.name, y_true.array)), y_pred

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        labels, valid = y_true.array, self.valid(y_true, y_pred)
        if valid is None:
            return self._cross_entropy(y_pred, labels)
        # The predictions at ignored positions must not matter, were they infinite or NaN: then they are replaced.
        # Finite logits (if their sum is finite, so are they) have a finite loss, whose slope will be 0.
        if not (self.from_logits and _finite_sum(y_pred.array)):
            y_pred = F.where(valid[..., None], y_pred, 1.0 / y_pred.shape[-1])
        return F.where(valid, self._cross_entropy(y_pred, labels * valid), 0.0)

    def _cross_entropy(self, predictions: Tensor, labels: Array) -> Tensor:
        predictions = predictions if self.from_logits else _normalized(predictions)
        return F.sparse_cross_entropy(predictions, labels, from_logits=self.from_logits)

    def valid(self, y_true: Tensor, y_pred: Tensor) -> Array | None:
        return None if self.ignore_class is None else y_true.array != self.ignore_class


# ------------------------------------------------------------------------------------------------------------ helpers


def _whole_numbers(name: str, labels: Array) -> Array:
    """Class indices as integers. Raises ValueError for fractions, NaN and infinities."""
    if labels.dtype.kind in "iu":
        return labels
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    if not (whole == labels).all():
        wrong = labels[whole != labels].ravel()[0]
        raise ValueError(f"{name}: y_true holds {wrong}: expected whole numbers, the indices of classes")
    return whole


def _finite_sum(x: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.isfinite(total(x, tuple(range(x.ndim)), False)))


def _smoothing(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}: label_smoothing = {value!r}: expected a number from 0 to 1")
    return value


def _smoothed(targets: Tensor, smoothing: float, classes: int) -> Tensor:
    return targets * (1.0 - smoothing) + smoothing / classes if smoothing else targets


def _normalized(probabilities: Tensor) -> Tensor:
    """Each row divided by its sum."""
    return probabilities / F.sum(probabilities, -1, keepdims=True)


def _last_axis(name: str, axis: int) -> int:
    if axis != -1:
        raise ValueError(f"{name}: axis = {axis!r} is not supported: the classes are the last axis, -1")
    return axis
