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


def confusion_matrix(
    y_true: np.ndarray, y_pred: np.ndarray, classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """(classes, classes): how many samples of true class i (row) were called j (column); weighted counts if asked."""
    pairs = y_true.reshape(-1).astype(np.int64) * classes + y_pred.reshape(-1)
    flat = None if weights is None else weights.reshape(-1)
    return np.bincount(pairs, flat, minlength=classes * classes).reshape(classes, classes).astype(np.float64)


class Dice(Metric):
    """Dice's coefficient 2 |A ∩ B| / (|A| + |B|) of the true and the predicted mask; empty against empty is 1.

    y_pred (N, *spatial) or (N, *spatial, 1): the mask is y_pred > threshold, y_true holds 0 and 1. With
    `from_logits=True` y_pred are logits; the threshold still means a probability.
    y_pred (N, *spatial, C) against class indices (N, *spatial): one class to a pixel, that of its largest score; the
    coefficients of the classes in `class_ids` (None: all) are averaged. One-hot y_true is taken so where `class_ids` is
    given; without, every channel is a mask of its own (several labels to a pixel), all pooled.

    average="image" (the default): the mean of the images' coefficients; sample_weight (N,) weighs the images. An image
    whose mask is missed altogether counts 0, it is never dropped.
    average="pixels": one coefficient over the pixels of all images; sample_weight weighs pixels.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        from_logits: bool = False,
        average: str = "image",
        class_ids: Sequence[int] | None = None,
        name: str = "dice",
    ):
        if average not in ("image", "pixels"):
            raise ValueError(f"{name}: average {average!r} must be 'image' or 'pixels'")
        self.threshold, self.from_logits, self.average = threshold, from_logits, average
        self.class_ids = None if class_ids is None else [int(index) for index in class_ids]
        self._limit = check_threshold(name, threshold, from_logits)
        super().__init__(name)

    def clear(self) -> None:
        self.totals = {"numerator": 0.0, "denominator": 0.0}

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found = self._masks(to_array(y_true), finite_scores(self, y_pred))
        if truth.size == 0:
            return
        if self.average == "image":
            overlap, size = _sizes(truth, found, None)
            coefficients = ratio(2 * overlap, size, empty=1.0).mean(axis=1)
            weights = np.ones(len(truth)) if sample_weight is None else self._image_weights(sample_weight, len(truth))
            self.totals["numerator"] += (coefficients * weights).sum()
            self.totals["denominator"] += weights.sum()
        else:
            overlap, size = _sizes(truth, found, self._pixel_weights(sample_weight, y_pred, truth.shape))
            self.totals["numerator"] = self.totals["numerator"] + 2 * overlap.sum(axis=0)
            self.totals["denominator"] = self.totals["denominator"] + size.sum(axis=0)
        self.updates += 1

    def compute(self) -> float:
        empty = np.nan if self.average == "image" else 1.0
        return np.mean(ratio(self.totals["numerator"], self.totals["denominator"], empty=empty))

    def _masks(self, y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Truth and decision as bool (N, pixels, K), K = 1 or the classes that count."""
        several = (
            scores.ndim >= 2
            and scores.shape[-1] > 1
            and (y_true.shape in (scores.shape[:-1], scores.shape[:-1] + (1,)) or self.class_ids is not None)
        )
        if not several:
            y_true, scores = same_shape(self, y_true, scores)
            shape = (scores.shape[0] if scores.ndim else 1, -1, 1) if scores.size else (0, 0, 1)
            return as_binary(self, y_true).reshape(shape), (scores > self._limit).reshape(shape)
        chosen = np.arange(scores.shape[-1]) if self.class_ids is None else np.array(self.class_ids)
        check_range(self, chosen, scores.shape[-1], "class_ids")
        labels = class_labels(self, y_true, scores)
        shape = (labels.shape[0], labels.size // max(labels.shape[0], 1), 1)
        return labels.reshape(shape) == chosen, scores.argmax(axis=-1).reshape(shape) == chosen

    def _image_weights(self, sample_weight: Any, images: int) -> np.ndarray:
        if np.size(to_array(sample_weight)) != images:
            raise self.fail(
                f"sample_weight has shape {np.shape(to_array(sample_weight))}: with average='image' one weight an "
                f"image is expected, ({images},); average='pixels' takes a weight for each pixel"
            )
        return spread_weight(self, to_array(sample_weight).reshape(-1), (images,))

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

    y_true and y_pred are class indices of one shape; with sparse_y_true=False or sparse_y_pred=False that one has a
    last axis of `num_classes` scores, of which the largest counts. A class that neither truth nor prediction holds
    anywhere has no IoU and does not enter the average, as in Keras; where that is so for every target class, the
    result is 1: nothing to find and nothing found.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        name: str = "iou",
    ):
        self.num_classes, self.target_class_ids = int(num_classes), [int(index) for index in target_class_ids]
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        super().__init__(name)
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
        self.totals["confusion"] = self.totals["confusion"] + confusion_matrix(truth, found, self.num_classes, weights)
        self.updates += found.size > 0

    def compute(self) -> float:
        confusion = self.totals["confusion"]
        overlap = np.diag(confusion)
        union = confusion.sum(axis=0) + confusion.sum(axis=1) - overlap
        present = [index for index in self.target_class_ids if union[index] > 0]
        return float(np.mean(overlap[present] / union[present])) if present else 1.0

    def _indices(self, values: np.ndarray, sparse: bool, argument: str) -> np.ndarray:
        if not sparse:
            if values.ndim < 1 or values.shape[-1] != self.num_classes:
                raise self.fail(f"{argument} has shape {values.shape}: expected (…, {self.num_classes})")
            return values.argmax(axis=-1)
        if values.dtype.kind == "f" and (values != np.floor(values)).any():
            raise self.fail(f"{argument} must hold whole class indices; for scores set sparse_{argument}=False")
        check_range(self, values, self.num_classes, argument)
        return values.astype(np.int64)


class BinaryIoU(IoU):
    """`IoU` of background (0) and foreground (1): foreground is y_pred > threshold; y_true holds 0 and 1.

    `target_class_ids` [0, 1] averages both, [1] is the foreground's alone. With `from_logits=True` y_pred are logits;
    the threshold still means a probability.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str = "binary_iou",
    ):
        self.threshold, self.from_logits = threshold, from_logits
        self._limit = check_threshold(name, threshold, from_logits)
        super().__init__(2, target_class_ids, name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, scores = same_shape(self, to_array(y_true), finite_scores(self, y_pred))
        self.add(as_binary(self, truth), scores > self._limit, sample_weight)


class MeanIoU(IoU):
    """`IoU` averaged over all classes."""

    def __init__(
        self, num_classes: int, sparse_y_true: bool = True, sparse_y_pred: bool = True, name: str = "mean_iou"
    ):
        super().__init__(num_classes, range(num_classes), sparse_y_true, sparse_y_pred, name)
