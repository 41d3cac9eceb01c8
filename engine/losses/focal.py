"""Focal cross-entropies: what is predicted well already counts for little, so that rare and hard cases are learnt.

T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, Focal loss for dense object detection, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..capture import constant
from ..functions.losses import EPSILON
from ..tensor import Tensor, as_tensor
from .base import Loss, MeanLoss, axis_last, checked_axis, require_fractions
from .cross_entropies import checked_smoothing, classes_last, normalized, smoothed

_SMALLEST = 1e-30  # below, (1 − p)^gamma times the cross-entropy is 0, but its slope may be infinite


class BinaryFocalCrossentropy(MeanLoss):
    """(1 − p_t)^gamma times the binary cross-entropy, where p_t = t·p + (1 − t)·(1 − p).

    apply_class_balancing: times t·alpha + (1 − t)·(1 − alpha) too. Other arguments as in BinaryCrossentropy; with
    from_logits the cross-entropy itself is computed from the logits (Keras: from the clipped sigmoid).
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
        self.alpha, self.gamma = alpha, _checked_gamma(self.name, gamma)
        self.from_logits = bool(from_logits)
        self.label_smoothing = checked_smoothing(self.name, label_smoothing)
        self.axis = checked_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        y_true, y_pred = super().aligned(y_true, y_pred)
        return axis_last(self.name, self.axis, y_true), axis_last(self.name, self.axis, y_pred)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        targets = smoothed(y_true, self.label_smoothing, 2)
        entropy = F.binary_cross_entropy(y_pred, targets, from_logits=self.from_logits)
        p = F.sigmoid(y_pred) if self.from_logits else y_pred
        rest = F.sigmoid(-y_pred) if self.from_logits else 1.0 - y_pred  # exact where p is nearly 1
        loss = _focus(targets * rest + (1.0 - targets) * p, self.gamma) * entropy
        if self.apply_class_balancing:
            loss = (targets * self.alpha + (1.0 - targets) * (1.0 - self.alpha)) * loss
        return loss


class CategoricalFocalCrossentropy(Loss):
    """−Σ_c alpha_c·(1 − p_c)^gamma·t_c·log p_c: y_true and y_pred (N, …, C), y_true rows of probabilities.

    alpha: a number, or one for each class. gamma 0 is the cross-entropy times alpha. from_logits: y_pred are logits,
    p = softmax, and log p is computed from them, so that a class of p → 0 keeps its gradient (Keras clips the softmax
    to 1e-7 … 1 − 1e-7); otherwise probabilities, which are divided by their sum and kept 1e-7 away from 0 and 1.
    label_smoothing and axis as in CategoricalCrossentropy.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha = alpha if np.ndim(alpha) == 0 else np.asarray(alpha, np.float64).tolist()
        self.gamma = _checked_gamma(self.name, gamma)
        self.from_logits = bool(from_logits)
        self.label_smoothing = checked_smoothing(self.name, label_smoothing)
        self.axis = checked_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        y_true, y_pred = classes_last(self.name, self.axis, y_true, y_pred)
        if np.ndim(self.alpha) and np.shape(self.alpha) != (y_pred.shape[-1],):
            raise ValueError(
                f"{self.name}: alpha has shape {np.shape(self.alpha)}: expected a number, or one for each of the "
                f"{y_pred.shape[-1]} classes"
            )
        return y_true, y_pred

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        targets = smoothed(y_true, self.label_smoothing, y_pred.shape[-1])
        if self.from_logits:
            log_p = F.log_softmax(y_pred)
            rest = -F.expm1(log_p)
        else:
            p = F.clip(normalized(y_pred), EPSILON, 1.0 - EPSILON)
            log_p, rest = F.log(p), 1.0 - p
        weights = self.alpha
        if np.ndim(weights):
            weights = as_tensor(constant(np.asarray(weights, y_pred.dtype), y_pred.array))
        entropy = -(targets * log_p) * weights
        return F.sum(_focus(rest, self.gamma) * entropy, -1)


def _focus(missing: Tensor, gamma: float) -> Tensor:
    """(1 − p)^gamma. Where 1 − p is 0 a gamma below 1 has an infinite slope: there it is held, with slope 0."""
    return F.maximum(missing, _SMALLEST) ** gamma if 0.0 < gamma < 1.0 else missing**gamma


def _checked_gamma(name: str, gamma: float) -> float:
    if not gamma >= 0.0:
        raise ValueError(f"{name}: gamma = {gamma!r}: expected a number of at least 0")
    return gamma
