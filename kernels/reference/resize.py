"""Resizing of images and volumes by nearest neighbour or linear interpolation: half-pixel centres, no antialias.

Pixel j of an axis of n pixels is the interval [j, j + 1), with its centre at j + ½. Output pixel o of an axis resized
from n to m has its centre at (o + ½)·n/m in input pixels. Resizing is linear and works on one axis after the other;
along an axis each output pixel is a weighted mean of one (nearest) or two (linear) input pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry import Sizes


def resize(x: np.ndarray, output_size: Sizes, method: str) -> np.ndarray:
    """Resize the spatial axes: x (N, *spatial, C) → y (N, *output_size, C).

    Along each axis, n pixels to m, with u = (o + ½)·n/m the centre of output pixel o:

        "nearest":   y[o] = x[⌊u⌋]
        "bilinear":  y[o] = (1 − f)·x[j] + f·x[j + 1],   j + f = clip(u − ½, 0, n − 1),   0 ≤ f < 1

    (bilinear in two dimensions, linear in one, trilinear in three). A pixel whose share is 0 is not read: what is not
    finite shows in the pixels between which it lies, and nowhere else. (In PyTorch 0·∞ = NaN also shows in those whose
    centre lies on its lower neighbour's: an image resized to its own size has NaN where it was infinite.)

    Raises ValueError for another method.
    """
    y: Any = x
    for axis, (n, m) in enumerate(zip(x.shape[1:-1], output_size, strict=True), start=1):
        y = sum(_part(share, y.take(index, axis), axis) for index, share in neighbours(n, m, method))
    return y


def resize_gradient(dy: np.ndarray, input_size: Sizes, method: str) -> np.ndarray:
    """Gradient of `resize`, its transpose: along each axis dx[j] = Σ share · dy[o] over the output pixels that read j.

    dy (N, *output, C) → dx (N, *input_size, C).
    """
    dx = dy
    for axis, (n, m) in enumerate(zip(input_size, dy.shape[1:-1], strict=True), start=1):
        gathered = np.zeros((n, *np.moveaxis(dx, axis, 0).shape[1:]), dy.dtype)
        for index, share in neighbours(n, m, method):
            read = share != 0
            part = _part(share[read], dx.compress(read, axis), axis)
            np.add.at(gathered, index[read], np.moveaxis(part, axis, 0))
        dx = np.moveaxis(gathered, 0, axis)
    return np.ascontiguousarray(dx)


def neighbours(n: int, m: int, method: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which of n input pixels each of m output pixels reads: a list of (index (m,), share (m,)); shares sum to 1."""
    o = np.arange(m)
    if method == "nearest":
        return [((2 * o + 1) * n // (2 * m), np.ones(m))]
    if method == "bilinear":
        position = (((2 * o + 1) * n - m) / (2 * m)).clip(0, n - 1)
        lower = position.astype(np.int64)
        fraction = position - lower
        return [(lower, 1 - fraction), (np.minimum(lower + 1, n - 1), fraction)]
    raise ValueError(f'method = {method!r}: expected "nearest" or "bilinear"')


def _part(share: np.ndarray, pixels: np.ndarray, axis: int) -> np.ndarray:
    """share · pixels along `axis`, in the pixels' type; nothing of a pixel whose share is 0."""
    along = share.astype(pixels.dtype).reshape([share.size if a == axis else 1 for a in range(pixels.ndim)])
    return along * np.where(along != 0, pixels, pixels.dtype.type(0))
