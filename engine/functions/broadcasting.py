"""Repeating and summing: broadcasting and the sum over axes, each the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import total
from ..tape import Function
from ..tensor import Array, Axis, Tensor, as_tensor
from .arguments import normalize_axes, normalize_axis
from .shaping import expand_dims, reshape

Gradient = tuple[Tensor]


class Reduction(Function):
    """A reduction over the axes `axis`, a tuple of axes counted from the front; `keepdims` keeps them with size 1."""

    def spread(self, reduced: Tensor, shape: tuple[int, ...]) -> Tensor:
        """What belongs to the result, repeated over the axes that were reduced."""
        axis = self.parameters["axis"]
        if not self.parameters["keepdims"]:
            reduced = reshape(reduced, tuple([1 if i in axis else n for i, n in enumerate(shape)]))
        return broadcast_to(reduced, shape)


class Sum(Reduction):
    def forward(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        self.input_shape = x.shape
        return total(x, axis, keepdims)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (self.spread(cotangent, self.input_shape),)


class BroadcastTo(Function):
    view = True

    def forward(self, x: Array, shape: tuple[int, ...]) -> Array:
        self.input_shape = x.shape
        return np.broadcast_to(x, shape)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (sum_to(cotangent, self.input_shape),)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ over the axes (None: all). Sums of integers and booleans are int64; a sum over nothing is 0."""
    x = as_tensor(x)
    return Sum()(x, axis=normalize_axes(axis, x.ndim), keepdims=keepdims)


def sum_to(x: Any, shape: tuple[int, ...]) -> Tensor:
    """The transpose of broadcast_to: x summed over the axes along which `shape` would be repeated to x's shape."""
    x = as_tensor(x)
    if x.array.shape == shape:
        return x
    new = x.ndim - len(shape)
    stretched = [i + new for i, n in enumerate(shape) if n == 1 and x.shape[i + new] != 1]
    x = sum(x, (*range(new), *stretched), keepdims=True)
    return reshape(x, shape)


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """x repeated to a larger shape by NumPy's broadcasting; a view that cannot be written to."""
    x = as_tensor(x)
    shape = tuple(shape)
    return x if x.array.shape == shape else BroadcastTo()(x, shape=shape)


def tile(x: Any, repetitions: int | Sequence[int]) -> Tensor:
    """x repeated as a whole, repetitions[i] times along axis i; axes are added in front as NumPy does."""
    x = as_tensor(x)
    counts = (repetitions,) if isinstance(repetitions, (int, np.integer)) else tuple(repetitions)
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    interleaved = [size for n in shape for size in (1, n)]
    repeated = [size for count, n in zip(counts, shape, strict=True) for size in (count, n)]
    spread = broadcast_to(reshape(x, interleaved), repeated)
    return reshape(spread, tuple([count * n for count, n in zip(counts, shape, strict=True)]))


def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Each element repeated `repeats` times in a row along an axis (None: in the flattened tensor)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis(axis, x.ndim)
    spread = broadcast_to(expand_dims(x, axis + 1), (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]))
    return reshape(spread, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))
