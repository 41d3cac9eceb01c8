"""Losses over whole regions: how far predicted and true masks overlap (Dice, Tversky, focal Tversky)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import functions as F
from ..tensor import Tensor
from .base import Loss, of_one_shape, require_fractions


class _Overlap(Loss):
    """A loss over sums of whole regions: `axis` says over which axes the sums run, None over all, the batch too."""

    def __init__(self, reduction: str | None, name: str | None, axis: int | Sequence[int] | None, dtype: Any) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return of_one_shape(self.name, y_true, y_pred)

    def regions(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """x in the shape (…, positions, …), whose first and last axis count the regions, and the shape in which these
        stand. Only axes of a region that are no neighbours have to be moved."""
        axes = range(x.ndim) if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis
        if any(not -x.ndim <= axis < x.ndim for axis in axes):
            raise ValueError(f"{self.name}: axis = {self.axis!r} is out of range for y_pred of shape {x.shape}")
        summed = sorted({axis % x.ndim for axis in axes})
        kept = [axis for axis in range(x.ndim) if axis not in summed]
        before = len([axis for axis in kept if axis < min(summed, default=x.ndim)])
        order = [*kept[:before], *summed, *kept[before:]]
        moved = x if order == list(range(x.ndim)) else F.transpose(x, order)
        sizes = [math.prod(x.shape[axis] for axis in part) for part in (kept[:before], summed, kept[before:])]
        return F.reshape(moved, sizes), tuple(x.shape[axis] for axis in kept)


class Dice(_Overlap):
    """1 − (2·Σ p·t + smooth) / (Σ p + Σ t + smooth), p the predictions, t the targets, both probabilities.

    axis: the axes of the sums; None for all of them, one coefficient for the whole batch; (1, 2, 3) for one of each
    2-D image; (1, 2) for one of each image and class.

    Two decisions differ from Keras, which adds 1e-7 to the denominator: a region that is empty in both has the
    coefficient 1 (loss 0, Keras: 1), and `smooth`, 0 by default, is ours.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
        smooth: float = 0.0,
    ) -> None:
        super().__init__(reduction, name, axis, dtype)
        if not smooth >= 0.0:
            raise ValueError(f"{self.name}: smooth = {smooth!r}: expected a number of at least 0")
        self.smooth = smooth

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        (p, shape), (t, _) = self.regions(y_pred), self.regions(y_true)
        return 1.0 - F.reshape(F.dice(p, t, self.smooth), shape)


class Tversky(_Overlap):
    """1 − Σ p·t / (Σ p·t + alpha·Σ (1 − p)·t + beta·Σ p·(1 − t)), and 0 for a region empty in both.

    alpha weighs what was missed, beta what was predicted wrongly: the order of Keras's code (its argument names say the
    opposite). alpha = beta = 0.5 is Dice. axis as in Dice. (Salehi et al. 2017; Keras adds 1e-7 to the denominator.)
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "tversky",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, axis, dtype)
        self.alpha, self.beta = alpha, beta

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        require_fractions(self.name, y_true)
        (p, shape), (t, _) = self.regions(y_pred), self.regions(y_true)
        both = F.sum(p * t, 1)
        missed, wrong = F.sum((1.0 - p) * t, 1), F.sum(p * (1.0 - t), 1)
        total = both + self.alpha * missed + self.beta * wrong
        empty = total.array == 0
        index = F.where(empty, 1.0, both / F.where(empty, 1.0, total))
        return 1.0 - F.reshape(index, shape)


class FocalTversky(Tversky):
    """(1 − T)^(1/gamma), T the Tversky index Σ p·t / (Σ p·t + alpha·Σ (1 − p)·t + beta·Σ p·(1 − t)).

    gamma > 1 (4/3 as in the paper) keeps the slope up for regions that overlap well already; gamma 1 is Tversky. The
    defaults of alpha and beta, the paper's too, count what was missed more. A region that is hit exactly has loss 0
    and gradient 0, though the slope is infinite there. axis as in Dice. (Abraham and Khan, A novel focal Tversky loss
    function with improved attention U-Net for lesion segmentation, 2019.) Keras has none.
    """

    def __init__(
        self,
        alpha: float = 0.7,
        beta: float = 0.3,
        gamma: float = 4.0 / 3.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "focal_tversky",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(alpha, beta, reduction, name, axis, dtype)
        if not gamma > 0.0:
            raise ValueError(f"{self.name}: gamma = {gamma!r}: expected a positive number")
        self.gamma = gamma

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        loss = super().call(y_true, y_pred)
        some = loss.array > 0  # rounding may leave a little less than 0
        return F.where(some, F.where(some, loss, 1.0) ** (1.0 / self.gamma), 0.0)
