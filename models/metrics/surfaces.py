"""The distances between the surfaces of true and predicted masks, as metrics over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import check_threshold, finite_scores, ratio, to_array
from .segmentation import MaskMetric
from .surface_distances import average_surface_distance, checked_spacing, hausdorff_distance


class SurfaceMetric(MaskMetric):
    """The mean over images, and over classes, of a distance between the surfaces of true and predicted mask.

    y_pred (N, *spatial, 1): the mask is y_pred > threshold, y_true holds 0 and 1 in that shape or (N, *spatial); with
    `from_logits` y_pred are logits, and the threshold still means a probability.
    y_pred (N, *spatial, C) against class indices (N, *spatial), or one-hot rows if `class_ids` is given: one class to a
    pixel, that of its largest score; of the classes in `class_ids`, None for all but class 0, the background.
    y_pred (N, *spatial) and y_true of that shape: give `spacing` as one number for each spatial axis, which tells this
    from channels; where it tells so, channels (N, *spatial, C) of 0 and 1 are masks each of its own.

    spacing: a pixel's size in mm, one number or one for each spatial axis in their order (as tomograd.imaging's
    Image.spacing has it); `update_state(…, spacing=…)` takes that of a
    batch, (D,) or one row for each image (N, D). Where both masks are empty the distance is 0 (nothing to find and
    nothing found); where one is, it is infinite, and `missed` is put in its place: "diagonal", that of the image, the
    largest distance that there can be, so that a miss is never dropped and never cheap; or a number of mm, infinity
    too. sample_weight (N,) weighs the images. `per_class()` gives the classes' means one by one.
    """

    additive = True
    running = False

    def __init__(
        self,
        spacing: float | Sequence[float],
        missed: float | str,
        threshold: float,
        from_logits: bool,
        class_ids: Sequence[int] | None,
        name: str | None,
        dtype: Any,
    ):
        if missed != "diagonal" and (isinstance(missed, str) or not missed >= 0):
            raise ValueError(f"{name}: missed = {missed!r}: expected 'diagonal' or a number of mm")
        self.spacing = spacing if np.ndim(spacing) == 0 else np.asarray(spacing, np.float64).tolist()
        checked_spacing(str(name), self.spacing, max(np.size(self.spacing), 1))
        self.missed, self.threshold, self.from_logits = missed, threshold, from_logits
        self.class_ids = None if class_ids is None else [int(index) for index in class_ids]
        self._limit = check_threshold(str(name), threshold, from_logits)
        super().__init__(dtype, name)

    def clear(self) -> None:
        self.totals = {"total": 0.0, "weight": 0.0}

    def chosen_classes(self, classes: int) -> np.ndarray:
        return np.arange(1, classes) if self.class_ids is None else np.array(self.class_ids)

    def distance(self, truth: np.ndarray, found: np.ndarray, spacing: Sequence[float]) -> float:
        """Between two masks (*spatial); infinite if one of them is empty."""
        raise NotImplementedError(f"{type(self).__name__} lacks distance")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, spacing: Any = None) -> None:
        spacing = self.spacing if spacing is None else to_array(spacing)
        truth, found = self._images(to_array(y_true), finite_scores(self, y_pred), np.shape(spacing)[-1:])
        if not truth.size:
            return
        axes = truth.ndim - 2
        rows = np.asarray(spacing, np.float64)
        if rows.ndim == 2 and len(rows) != len(truth):
            raise self.fail(f"spacing has {len(rows)} rows for {len(truth)} images")
        steps = [checked_spacing(self.name, rows[i] if rows.ndim == 2 else rows, axes) for i in range(len(truth))]  # type: ignore[arg-type]
        distances = np.array([self._of_image(*image) for image in zip(truth, found, steps, strict=True)])
        weights = self.image_weights(sample_weight, len(truth))
        self.totals["total"] = self.totals["total"] + (weights[:, None] * distances).sum(axis=0)
        self.totals["weight"] = self.totals["weight"] + np.full(truth.shape[-1], weights.sum())
        self.updates += 1

    def _images(self, y_true: np.ndarray, scores: np.ndarray, known: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Truth and decision as bool (N, *spatial, K); known: (the number of spatial axes,), or ()."""
        plain = bool(known) and scores.ndim == known[0] + 1
        if plain:
            y_true, scores = y_true.reshape(y_true.shape + (1,) * (y_true.ndim == scores.ndim)), scores[..., None]
        if scores.ndim < 3 or (known and scores.ndim != known[0] + 2):
            wanted = f", {known[0]} spatial axes" if known else ""
            raise self.fail(f"y_pred has shape {scores.shape}: expected (N, *spatial, C){wanted}")
        truth, found = self.masks(y_true, scores)
        if truth.ndim > scores.ndim:  # no class was chosen: each channel is a mask
            if scores.shape[-1] > 1 and not known:
                raise self.fail(
                    f"y_true and y_pred have shape {scores.shape}: is the last axis one of the image or of classes? "
                    "Give class_ids, or the spacing of each spatial axis"
                )
            truth, found = truth[..., 0], found[..., 0]
        return truth, found

    def _of_image(self, truth: np.ndarray, found: np.ndarray, steps: Sequence[float]) -> list[float]:
        diagonal = float(np.sqrt(sum(((size - 1) * step) ** 2 for size, step in zip(truth.shape, steps, strict=False))))
        missed = diagonal if self.missed == "diagonal" else float(self.missed)
        each = [self.distance(truth[..., index], found[..., index], steps) for index in range(truth.shape[-1])]
        return [missed if np.isinf(distance) else distance for distance in each]

    def per_class(self) -> np.ndarray:
        """The mean distance of each class that counts, (K,). Raises ValueError where nothing was seen."""
        if not self.updates:
            raise self.fail("has seen no samples")
        return ratio(self.totals["total"], self.totals["weight"], empty=np.nan)

    def compute(self) -> float:
        return np.mean(self.per_class())


class HausdorffDistance(SurfaceMetric):
    """The largest distance, or with percentile=95 the robust one, between the surfaces of true and predicted mask, in
    mm: see tomograd.metrics.hausdorff_distance for the definition and `SurfaceMetric` for all else. Keras has none.

    y_pred (N, *spatial, 1) scores against y_true of 0 and 1, or (N, *spatial, C) against class indices (N, *spatial).
    """

    def __init__(
        self,
        percentile: float = 100.0,
        spacing: float | Sequence[float] = 1.0,
        missed: float | str = "diagonal",
        threshold: float = 0.5,
        from_logits: bool = False,
        class_ids: Sequence[int] | None = None,
        name: str | None = "hausdorff_distance",
        dtype: Any = None,
    ):
        if not 0 <= percentile <= 100:
            raise ValueError(f"{name}: percentile = {percentile!r}: expected 0 to 100")
        self.percentile = percentile
        super().__init__(spacing, missed, threshold, from_logits, class_ids, name, dtype)

    def distance(self, truth: np.ndarray, found: np.ndarray, spacing: Sequence[float]) -> float:
        return hausdorff_distance(truth, found, spacing, self.percentile)


class AverageSurfaceDistance(SurfaceMetric):
    """The average symmetric distance between the surfaces of true and predicted mask, in mm: see
    tomograd.metrics.average_surface_distance for the definition and `SurfaceMetric` for all else. Keras has none.

    y_pred (N, *spatial, 1) scores against y_true of 0 and 1, or (N, *spatial, C) against class indices (N, *spatial).
    """

    def __init__(
        self,
        spacing: float | Sequence[float] = 1.0,
        missed: float | str = "diagonal",
        threshold: float = 0.5,
        from_logits: bool = False,
        class_ids: Sequence[int] | None = None,
        name: str | None = "average_surface_distance",
        dtype: Any = None,
    ):
        super().__init__(spacing, missed, threshold, from_logits, class_ids, name, dtype)

    def distance(self, truth: np.ndarray, found: np.ndarray, spacing: Sequence[float]) -> float:
        return average_surface_distance(truth, found, spacing)
