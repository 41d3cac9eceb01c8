"""Images seen through an affine map: rotated, zoomed, shifted, sheared, with linear or nearest-neighbour interpolation.

An output pixel shows a place of the input, in pixels of the input, whose centres have whole numbers. An affine map of
(i, j) is a term of the row plus a term of the column, so places are given by two small tables; what is added of them
is the same number in every backend, and so is the choice of the pixels around it.
"""

from __future__ import annotations

import numpy as np

from ..geometry import Sizes

Neighbours = list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # (index, share, whether it lies inside) of each


def affine_transform(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, interpolation: str, fill_mode: str, fill_value: float
) -> np.ndarray:
    """x (N, H, W, C) → y (N, I, J, C) with y[n, i, j] = x at (v, h) = rows[n, i] + columns[n, j].

    rows (N, I, 2) and columns (N, J, 2) are float64: vertical and horizontal terms. interpolation:

        "nearest":   the pixel at (v, h) rounded to whole numbers, halves to even ones
        "bilinear":  Σ (1 − |v − a|)·(1 − |h − b|) · x[a, b]  over the four pixels around (v, h)

    fill_mode says what lies beyond the edges of a row a b c d:

        "constant":  k k k k | a b c d | k k k k,  k = fill_value
        "nearest":   a a a a | a b c d | d d d d
        "reflect":   d c b a | a b c d | d c b a
        "wrap":      a b c d | a b c d | a b c d

    Pixels whose share is 0 are not read: what is not finite there does not matter.
    """
    n = np.arange(len(x))[:, None, None]
    y = np.zeros((len(x), rows.shape[1], columns.shape[1], x.shape[-1]), x.dtype)
    for a, b, share, inside in corners(rows, columns, x.shape[1:3], interpolation, fill_mode):
        share = share[..., None].astype(x.dtype)
        pixels = np.where(inside[..., None], x[n, a, b], x.dtype.type(fill_value))
        y += share * np.where(share != 0, pixels, 0)
    return y


def affine_transform_gradient(
    dy: np.ndarray, rows: np.ndarray, columns: np.ndarray, input_size: Sizes, interpolation: str, fill_mode: str
) -> np.ndarray:
    """Gradient of `affine_transform` in x, its transpose: dy (N, I, J, C) → dx (N, *input_size, C), where each pixel
    adds up share · dy over the output pixels that read it."""
    n = np.arange(len(dy))[:, None, None]
    dx = np.zeros((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    for a, b, share, inside in corners(rows, columns, input_size, interpolation, fill_mode):
        read = inside & (share != 0)
        places = tuple(np.broadcast_to(each, read.shape)[read] for each in (n, a, b))
        np.add.at(dx, places, share[read, None].astype(dy.dtype) * dy[read])
    return dx


def corners(
    rows: np.ndarray, columns: np.ndarray, size: Sizes, interpolation: str, fill_mode: str
) -> list[tuple[np.ndarray, ...]]:
    """(a, b, share, inside), each (N, I, J), of the pixels that output pixels read."""
    v, h = (rows[:, :, None, axis] + columns[:, None, :, axis] for axis in (0, 1))
    return [
        (a, b, share_a * share_b, inside_a & inside_b)
        for a, share_a, inside_a in neighbours(v, size[0], interpolation, fill_mode)
        for b, share_b, inside_b in neighbours(h, size[1], interpolation, fill_mode)
    ]


def neighbours(place: np.ndarray, n: int, interpolation: str, fill_mode: str) -> Neighbours:
    """The pixels of an axis of n that places along it read. Raises ValueError for unknown names."""
    lower = np.floor(place).astype(np.int64)
    fraction = place - lower
    if interpolation == "nearest":
        up = (fraction > 0.5) | ((fraction == 0.5) & (lower % 2 == 1))
        pixels = [(lower + up, np.ones_like(fraction))]
    elif interpolation == "bilinear":
        pixels = [(lower, 1 - fraction), (lower + 1, fraction)]
    else:
        raise ValueError(f'interpolation = {interpolation!r}: expected "nearest" or "bilinear"')
    return [
        (folded(index, n, fill_mode), share, (fill_mode != "constant") | ((index >= 0) & (index < n)))
        for index, share in pixels
    ]


def folded(index: np.ndarray, n: int, fill_mode: str) -> np.ndarray:
    """The pixel of 0 … n − 1 that stands for one beyond the edges; any for "constant"."""
    if fill_mode in ("constant", "nearest"):
        return index.clip(0, n - 1)
    if fill_mode == "wrap":
        return index % n
    if fill_mode == "reflect":
        index = index % (2 * n)
        return np.minimum(index, 2 * n - 1 - index)
    raise ValueError(f'fill_mode = {fill_mode!r}: expected "constant", "nearest", "reflect" or "wrap"')
