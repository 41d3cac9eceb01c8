"""How well masks overlap: Dice's coefficient and the intersection over union (Jaccard's index)."""

from __future__ import annotations

from collections.abc import Sequence
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
from .confusion import confusion_matrix


class MaskMetric(Metric):
    """What a mask is, in truth and prediction; see `Dice`."""

    class_ids: list[int] | None
    _limit: float

    def masks(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Truth and decision as bool (N, …, K), K = 1 or the classes that count."""
        several = (
            scores.ndim >= 2
            and scores.shape[-1] > 1
            and (y_true.shape in (scores.shape[:-1], scores.shape[:-1] + (1,)) or self.class_ids is not None)
        )
        if not several:
            y_true, scores = same_shape(self, y_true, scores)
            return as_binary(self, y_true)[..., None], (scores > self._limit)[..., None]
        chosen = self.chosen_classes(scores.shape[-1])
        check_range(self, chosen, scores.shape[-1], "class_ids")
        labels = class_labels(self, y_true, scores)
        return labels[..., None] == chosen, scores.argmax(axis=-1)[..., None] == chosen

    def chosen_classes(self, classes: int) -> np.ndarray:
        return np.arange(classes) if self.class_ids is None else np.array(self.class_ids)

    def image_weights(self, sample_weight: Any, images: int) -> np.ndarray:
        if sample_weight is None:
            return np.ones(images)
        given = to_array(sample_weight)
        if given.size != images:
            raise self.fail(
                f"sample_weight has shape {given.shape}: one weight an image is expected, ({images},); only Dice with "
                "average='pixels' takes a weight for each pixel"
            )
        return spread_weight(self, given.reshape(-1), (images,))


class Dice(MaskMetric):
    """Dice's coefficient 2 |A ∩ B| / (|A| + |B|) of the true and the predicted mask; empty against empty is 1.

    y_pred (N, *spatial) or (N, *spatial, 1): the mask is y_pred > threshold, y_true holds 0 and 1. With
    `from_logits=True` y_pred are logits; the threshold still means a probability.
    y_pred (N, *spatial, C) against class indices (N, *spatial): one class to a pixel, that of its largest score; the
    coefficients of the classes in `class_ids` (None: all) are averaged. One-hot y_true is taken so where `class_ids` is
    given; without, every channel is a mask of its own (several labels to a pixel), all pooled.

    average="image" (the default): the mean of the images' coefficients; sample_weight (N,) weighs the images. An image
    whose mask is missed altogether counts 0, it is never dropped.
    average="pixels": one coefficient over the pixels of all images; sample_weight weighs pixels.
    `per_class()` gives the classes' coefficients one by one.
    """

    additive = True

    def __init__(
        self,
        threshold: float = 0.5,
        from_logits: bool = False,
        average: str = "image",
        class_ids: Sequence[int] | None = None,
        name: str | None = "dice",
        dtype: Any = None,
    ):
        if average not in ("image", "pixels"):
            raise ValueError(f"{name}: average {average!r} must be 'image' or 'pixels'")
        self.threshold, self.from_logits, self.average = threshold, from_logits, average
        self.class_ids = None if class_ids is None else [int(index) for index in class_ids]
        self._limit = check_threshold(str(name), threshold, from_logits)
        super().__init__(dtype, name)

    def clear(self) -> None:
        self.totals = {"numerator": 0.0, "denominator": 0.0}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found = self.masks(to_array(y_true), finite_scores(self, y_pred))
        if truth.size == 0:
            return
        shape = (len(truth) if truth.ndim > 1 else 1, -1, truth.shape[-1])
        truth, found = truth.reshape(shape), found.reshape(shape)
        if self.average == "image":
            overlap, size = _sizes(truth, found, None)
            coefficients = ratio(2 * overlap, size, empty=1.0)
            weights = self.image_weights(sample_weight, len(truth))
            self.totals["numerator"] = self.totals["numerator"] + weights @ coefficients
            self.totals["denominator"] = self.totals["denominator"] + np.full(truth.shape[-1], weights.sum())
        else:
            overlap, size = _sizes(truth, found, self._pixel_weights(sample_weight, y_pred, truth.shape))
            self.totals["numerator"] = self.totals["numerator"] + 2 * overlap.sum(axis=0)
            self.totals["denominator"] = self.totals["denominator"] + size.sum(axis=0)
        self.updates += 1

    def per_class(self) -> np.ndarray:
        """The coefficient of each class that counts, (K,). Raises ValueError where nothing was seen."""
        if not self.updates:
            raise self.fail("has seen no samples")
        empty = np.nan if self.average == "image" else 1.0
        return ratio(self.totals["numerator"], self.totals["denominator"], empty=empty)

    def compute(self) -> float:
        return np.mean(self.per_class())

    def _pixel_weights(self, sample_weight: Any, y_pred: Any, shape: tuple[int, ...]) -> np.ndarray | None:
        if sample_weight is None:
            return None
        full = np.shape(to_array(y_pred))
        pixels = full[:-1] if int(np.prod(full)) != shape[0] * shape[1] else full
        return spread_weight(self, sample_weight, pixels).reshape(shape[0], shape[1], 1)


def _sizes(truth: np.ndarray, found: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """|A ∩ B| and |A| + |B| of each image and class: (N, K) from bool (N, pixels, K)."""
    if weights is None:
        both = np.count_nonzero(truth & found, axis=1)
        return both, np.count_nonzero(truth, axis=1) + np.count_nonzero(found, axis=1)
    return (weights * (truth & found)).sum(axis=1), (weights * truth).sum(axis=1) + (weights * found).sum(axis=1)


class IoU(Metric):
    """Intersection over union TP / (TP + FP + FN) of classes, over all pixels seen, averaged over `target_class_ids`.

    y_true and y_pred are class indices of one shape; with sparse_y_true=False or sparse_y_pred=False that one has an
    axis `axis` of `num_classes` scores, of which the largest counts. A class that neither truth nor prediction holds
    anywhere has no IoU and does not enter the average, as in Keras; where that is so for every target class, the
    result is 1: nothing to find and nothing found. `per_class()` gives the target classes' values one by one.
    ignore_class: pixels of this label, which may lie outside 0 … num_classes − 1, do not count.

    Any other index out of range is a ValueError (Keras leaves such pixels out), and weights are not rounded to whole
    numbers (as Keras does unless dtype is a floating type).
    """

    additive = True

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        self.num_classes, self.target_class_ids = int(num_classes), [int(index) for index in target_class_ids]
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        super().__init__(dtype, name)
        check_range(self, np.array(self.target_class_ids), self.num_classes, "target_class_ids")

    def clear(self) -> None:
        self.totals = {"confusion": np.zeros((self.num_classes, self.num_classes))}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth = self._indices(to_array(y_true), self.sparse_y_true, "y_true")
        found = self._indices(finite_scores(self, y_pred), self.sparse_y_pred, "y_pred")
        self.add(*same_shape(self, truth, found), sample_weight)

    def add(self, truth: np.ndarray, found: np.ndarray, sample_weight: Any) -> None:
        """Add class indices of one shape."""
        weights = None if sample_weight is None else spread_weight(self, sample_weight, found.shape)
        if self.ignore_class is not None:
            counted = truth != self.ignore_class
            weights = None if weights is None else weights[counted]
            truth, found = truth[counted], found[counted]
        check_range(self, truth, self.num_classes, "y_true")
        check_range(self, found, self.num_classes, "y_pred")
        self.totals["confusion"] = self.totals["confusion"] + confusion_matrix(truth, found, self.num_classes, weights)
        self.updates += found.size > 0

    def per_class(self) -> np.ndarray:
        """The IoU of each target class, NaN where it does not occur. Raises ValueError where nothing was seen."""
        if not self.updates:
            raise self.fail("has seen no samples")
        confusion = self.totals["confusion"]
        overlap = np.diag(confusion)
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - overlap
        return ratio(overlap, union, empty=np.nan)[self.target_class_ids]

    def compute(self) -> float:
        values = self.per_class()
        present = ~np.isnan(values)
        return float(np.mean(values[present])) if present.any() else 1.0

    def _indices(self, values: np.ndarray, sparse: bool, argument: str) -> np.ndarray:
        if not sparse:
            if not -values.ndim <= self.axis < values.ndim or values.shape[self.axis] != self.num_classes:
                raise self.fail(
                    f"{argument} has shape {values.shape}: expected {self.num_classes} classes along axis {self.axis}"
                )
            return values.argmax(axis=self.axis)
        if values.dtype.kind == "f" and (values != np.floor(values)).any():
            raise self.fail(f"{argument} must hold whole class indices; for scores set sparse_{argument}=False")
        return values.astype(np.int64)


class BinaryIoU(IoU):
    """`IoU` of background (0) and foreground (1): foreground is y_pred ≥ threshold, as in Keras; y_true holds 0 and 1.

    `target_class_ids` [0, 1] averages both, [1] is the foreground's alone. With `from_logits=True` y_pred are logits;
    the threshold still means a probability.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
    ):
        self.threshold, self.from_logits = threshold, from_logits
        self._limit = check_threshold(name or "binary_io_u", threshold, from_logits)
        super().__init__(2, target_class_ids, name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = same_shape(self, to_array(y_true), finite_scores(self, y_pred))
        self.add(as_binary(self, truth).astype(np.int64), (scores >= self._limit).astype(np.int64), sample_weight)


class MeanIoU(IoU):
    """`IoU` averaged over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        super().__init__(num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot y_true, and scores y_pred unless sparse_y_pred."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`OneHotIoU` averaged over all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
