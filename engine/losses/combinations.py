"""Dice and cross-entropy together: the usual loss of medical segmentation.

F. Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation, 2021, train
with their sum: the cross-entropy has a slope everywhere, the Dice loss does not care how small the object is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functions as F
from ..capture import derived
from ..tensor import Array, Tensor, as_tensor
from .base import Loss, of_one_shape, require_fractions
from .cross_entropies import checked_class, labels_of_rows, normalized


class DiceCrossentropy(Loss):
    """dice_weight · (1 − Dice) + crossentropy_weight · cross-entropy, one value for each image: (N,).

    Two classes in one score: y_pred (N, *spatial, 1), y_true of that shape or (N, *spatial), with values 0 … 1;
    p = σ(z), the binary cross-entropy, and the Dice coefficient of the foreground.
    C ≥ 2 classes: y_pred (N, *spatial, C), y_true class indices (N, *spatial) or (N, *spatial, 1), or rows of
    probabilities (one-hot, say) in y_pred's shape; p = softmax, the categorical cross-entropy, and the mean over the
    classes of their coefficients, without class 0 unless `include_background`.

    The cross-entropy is the mean over the image's positions, the coefficient (2·Σ p·t + smooth) / (Σ p + Σ t + smooth)
    is over them all: weights are therefore for images, (N,). smooth: with 1, an image without the object still
    teaches to predict little of it; with 0 the Dice part of such an image is the constant 1.
    ignore_class: a label (255, say) whose positions count neither in the sums nor in the mean, with class indices or 0
    and 1 as y_true; what is predicted there does not matter. An image of nothing else has the loss 0.
    from_logits: True unless y_pred are probabilities; these are kept 1e-7 away from 0 and 1 for the cross-entropy.

    Keras has none. Raises ValueError for shapes that do not fit, targets outside 0 … 1 and classes out of range.
    """

    def __init__(
        self,
        from_logits: bool = True,
        dice_weight: float = 1.0,
        crossentropy_weight: float = 1.0,
        include_background: bool = True,
        smooth: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "dice_crossentropy",
        dtype: Any = None,
        ignore_class: int | None = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.ignore_class = checked_class(self.name, ignore_class)
        for argument, value in (
            ("dice_weight", dice_weight), ("crossentropy_weight", crossentropy_weight), ("smooth", smooth),
        ):  # fmt: skip
            if not value >= 0.0:
                raise ValueError(f"{self.name}: {argument} = {value!r}: expected a number of at least 0")
        self.from_logits, self.include_background = bool(from_logits), bool(include_background)
        self.dice_weight, self.crossentropy_weight, self.smooth = dice_weight, crossentropy_weight, smooth

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Both as (N, positions, C), the truth as fractions."""
        if y_pred.ndim < 2:
            raise ValueError(f"{self.name}: y_pred has shape {y_pred.shape}: expected (N, *spatial, C), C = 1 or more")
        several = y_pred.shape[-1] > 1
        if several and y_true.shape in (y_pred.shape[:-1], (*y_pred.shape[:-1], 1)):
            labels = labels_of_rows(self.name, -1, y_true, y_pred)[0].array
            ignored = self._ignored(labels)
            if ignored is not None:
                labels = derived(labels * ~ignored, labels, lambda host: host * (host != self.ignore_class))
            y_true = F.one_hot(labels, y_pred.shape[-1], y_pred.dtype)
            return self._flat(y_true, y_pred, ignored)
        if several and self.ignore_class is not None:
            raise ValueError(f"{self.name}: ignore_class needs class indices, but y_true has shape {y_true.shape}")
        y_true, y_pred = of_one_shape(self.name, y_true, y_pred)
        ignored = self._ignored(y_true.array)
        checked = y_true
        if ignored is not None:
            checked = F.where(ignored, 0.0, y_true)
            derived(checked.array, y_true.array, lambda host: np.where(host == self.ignore_class, 0, host))
        require_fractions(self.name, checked)
        return self._flat(y_true, y_pred, ignored)

    def _flat(self, y_true: Tensor, y_pred: Tensor, ignored: Array | None) -> tuple[Tensor, Tensor]:
        """Both as (N, positions, C)."""
        channels = y_pred.shape[-1]
        shape = (y_pred.shape[0], math.prod(y_pred.shape[1:-1]), channels)
        if ignored is not None:
            # Marked by a truth of −1, which `call` takes back.
            y_true = F.where(ignored.reshape(*y_pred.shape[:-1], 1), -1.0, y_true)
        return F.reshape(y_true, shape), F.reshape(y_pred, shape)

    def _ignored(self, labels: Array) -> Array | None:
        return None if self.ignore_class is None else labels == self.ignore_class

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.ignore_class is None:
            dice, entropy = self._parts(y_true, y_pred, None)
            return self.dice_weight * dice + self.crossentropy_weight * F.mean(entropy, -1)
        kept = y_true.array[..., :1] >= 0
        dice, entropy = self._parts(F.where(kept, y_true, 0.0), F.where(kept, y_pred, 0.0), kept)
        count = kept.sum(axis=(1, 2))
        some = count > 0
        mean = F.sum(F.where(kept[..., 0], entropy, 0.0), -1) / as_tensor((count + ~some).astype(entropy.dtype))
        return F.where(some, self.dice_weight * dice + self.crossentropy_weight * mean, 0.0)

    def _parts(self, y_true: Tensor, y_pred: Tensor, kept: Array | None) -> tuple[Tensor, Tensor]:
        """1 − Dice of each image (N,), and the cross-entropy of each position (N, positions)."""
        if y_pred.shape[-1] == 1:
            p = F.sigmoid(y_pred) if self.from_logits else y_pred
            entropy = F.squeeze(F.binary_cross_entropy(y_pred, y_true, from_logits=self.from_logits), -1)
        else:
            p = F.softmax(y_pred) if self.from_logits else normalized(y_pred)
            scores = y_pred if self.from_logits else p
            entropy = F.cross_entropy(scores, y_true, from_logits=self.from_logits)
        if kept is not None:
            p = F.where(kept, p, 0.0)  # the truth is 0 there already
        overlap = F.dice(p, y_true, self.smooth)
        if overlap.shape[-1] > 1 and not self.include_background:
            overlap = overlap[:, 1:]
        return 1.0 - F.mean(overlap, -1), entropy
