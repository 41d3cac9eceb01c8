"""Resizing by nearest neighbour or linear interpolation: a separable map (see `separable`), and its transpose."""

from functools import lru_cache

import numpy as np

from .. import reference
from ..geometry import Sizes
from ..interface import twin_of
from ..reference.resize import neighbours
from .doubling import can_double, double, halve
from .lane_maps import Axis
from .separable import apply


@lru_cache(maxsize=64)
def _axis(n: int, m: int, method: str) -> Axis:
    """n input pixels to m output pixels; entries of weight 0 are left out."""
    indices, shares = zip(*neighbours(n, m, method), strict=True)
    targets = np.tile(np.arange(m), len(indices))
    sources, weights = np.concatenate(indices), np.concatenate(shares)
    kept = weights != 0
    return Axis(m, n, targets[kept], sources[kept], weights[kept])


@twin_of(reference.resize)
def resize(x: np.ndarray, output_size: Sizes, method: str) -> np.ndarray:
    if method == "bilinear" and can_double(x.shape[1:-1], output_size, x.shape[-1], x.dtype):
        return double(x)
    return apply([_axis(n, m, method) for n, m in zip(x.shape[1:-1], output_size, strict=True)], x)


@twin_of(reference.resize_gradient)
def resize_gradient(dy: np.ndarray, input_size: Sizes, method: str) -> np.ndarray:
    if method == "bilinear" and can_double(input_size, dy.shape[1:-1], dy.shape[-1], dy.dtype):
        return halve(dy)
    pairs = zip(input_size, dy.shape[1:-1], strict=True)
    return apply([_axis(n, m, method).transposed for n, m in pairs], dy)
