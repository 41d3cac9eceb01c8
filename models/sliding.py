"""Prediction for images larger than memory allows at once: tile by tile, blended where tiles overlap.

The weights with which tiles are blended fall off to their borders as a Gaussian, as in F. Isensee et al., nnU-Net,
Nature Methods 2021: a pixel is best known by the tile in whose middle it lies.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .metrics.base import to_array

if TYPE_CHECKING:
    from .model import Model


def predict_tiled(
    model: Model, images: np.ndarray, tile: int | Sequence[int], overlap: float = 0.5, batch_size: int = 4
) -> np.ndarray:
    """The model's outputs (N, *spatial, K) for images (N, *spatial, C), computed on tiles of the size `tile`.

    A fully convolutional model (UNet) takes images of any size at once: `model.predict` is enough as long as memory
    is. overlap: the share of a tile that the next one covers again, 0 ≤ overlap < 1. Where the outputs are logits,
    logits are blended. Images smaller than a tile are one tile of their own size.

    Raises ValueError for a tile of the wrong number of sizes, an overlap out of range, or a model whose output has not
    the input's spatial size.
    """
    images = to_array(images)
    spatial = images.shape[1:-1]
    sizes = (tile,) * len(spatial) if isinstance(tile, int) else tuple(tile)
    if len(sizes) != len(spatial) or any(size < 1 for size in sizes):
        raise ValueError(
            f"tile {tile!r} does not fit images of shape {images.shape}: {len(spatial)} sizes are expected"
        )
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap {overlap!r} must be at least 0 and less than 1")
    sizes = tuple(min(size, whole) for size, whole in zip(sizes, spatial, strict=True))
    axes = [_starts(whole, size, overlap) for whole, size in zip(spatial, sizes, strict=True)]
    places = [
        (image, *(slice(start, start + size) for start, size in zip(corner, sizes, strict=True)))
        for image in range(len(images))
        for corner in itertools.product(*axes)
    ]
    return _blended(model, images, places, gaussian_window(sizes), batch_size)


def _blended(model: Model, images: np.ndarray, places: list, window: np.ndarray, batch_size: int) -> np.ndarray:
    if not places:
        raise ValueError(f"there are no images in an array of shape {images.shape}")
    total: np.ndarray | None = None
    weight = np.zeros((*images.shape[:-1], 1))
    for first in range(0, len(places), batch_size):
        batch = places[first : first + batch_size]
        outputs = model.predict_on_batch(np.stack([images[place] for place in batch]))
        if outputs.shape[1:-1] != window.shape[:-1]:
            raise ValueError(
                f"the model's output {outputs.shape} has not the spatial size of its input {window.shape[:-1]}"
            )
        if total is None:
            total = np.zeros((*images.shape[:-1], outputs.shape[-1]))
        for place, output in zip(batch, outputs, strict=True):
            total[place] += output * window
            weight[place] += window
    total /= weight
    return total.astype(outputs.dtype)


def _starts(whole: int, size: int, overlap: float) -> list[int]:
    """Where tiles begin along one axis: evenly spread, the first and the last at the borders."""
    step = max(int(size * (1 - overlap)), 1)
    count = -(-(whole - size) // step) + 1
    return [round(position) for position in np.linspace(0, whole - size, count)]


def gaussian_window(sizes: Sequence[int]) -> np.ndarray:
    """(*sizes, 1): exp(−½ Σ ((i − middle)/σ)²) with σ = size/8, and no less than 10⁻³, so that every pixel counts."""
    window = np.ones(())
    for size in sizes:
        distance = (np.arange(size) - (size - 1) / 2) / (size / 8)
        window = window[..., None] * np.exp(-0.5 * distance**2)
    return np.maximum(window, 1e-3)[..., None]
