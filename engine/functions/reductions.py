"""Reductions over axes, with NumPy's `axis` and `keepdims`.

max and min send their gradient to the first extreme value in row-major order over the reduced axes; NaN counts as
extreme. A mean, variance, maximum or minimum over no elements is an error; a sum over none is 0, a product 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kernels.half_precision import is_half
from ..arrays import compute, total
from ..device import computing_beside
from ..tensor import Array, Axis, Tensor, as_tensor, from_array, library_of
from .arguments import as_floating, normalize_axes, normalize_axis
from .broadcasting import Reduction, sum
from .indexing import TakeAlongAxis
from .shaping import concatenate, reshape, transpose

Gradient = tuple[Tensor]


class Mean(Reduction):
    def forward(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        self.input_shape = x.shape
        self.count = _count(x.shape, axis)
        wide = _wide(x)
        return (total(wide, axis, keepdims) / wide.dtype.type(self.count)).astype(x.dtype, copy=False)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (self.spread(cotangent / self.count, self.input_shape),)


class Var(Reduction):
    """d(Σ(x − x̄)²/(n − ddof)) = 2(x − x̄)/(n − ddof) dx: the mean's own change adds nothing, Σ(x − x̄) being 0."""

    def forward(self, x: Array, axis: tuple[int, ...], ddof: int, keepdims: bool) -> Array:
        self.save(x)
        return _variance(x, axis, ddof, keepdims)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        axis, ddof = self.parameters["axis"], self.parameters["ddof"]
        slope = self.spread(cotangent * (2 / (_count(x.shape, axis) - ddof)), x.shape)
        return (slope * (x - mean(x, axis, keepdims=True)),)


class Std(Reduction):
    """d s = (x − x̄)/((n − ddof)·s) dx, and 0 where s is 0."""

    def forward(self, x: Array, axis: tuple[int, ...], ddof: int, keepdims: bool) -> Array:
        s = library_of(x).asarray(np.sqrt(_variance(x, axis, ddof, keepdims)))
        self.save(x, s)
        return s

    def backward(self, cotangent: Tensor) -> Gradient:
        x, s = self.saved
        axis, ddof = self.parameters["axis"], self.parameters["ddof"]
        # The square root's infinite slope at 0 is kept out of the formula: it would make NaN of 0 · ∞.
        varied = from_array((s.array != 0).astype(s.dtype))
        slope = cotangent * varied / (s * (_count(x.shape, axis) - ddof) + (1 - varied))
        return (self.spread(slope, x.shape) * (x - mean(x, axis, keepdims=True)),)


def _variance(x: Array, axis: tuple[int, ...], ddof: int, keepdims: bool) -> Array:
    """Σ(x − x̄)²/(n − ddof), in two passes.

    NumPy's own adds rows up one after the other in the type of x: of a million float32 numbers around 10⁴ it finds so
    wrong a mean that the variance comes out tens of times too large.
    """
    wide, count = _wide(x), _count(x.shape, axis)
    number = wide.dtype.type
    distance = compute(np.subtract, wide, total(wide, axis, True) / number(count))
    square = total(np.multiply(distance, distance, out=distance), axis, keepdims)
    return (square / number(count - ddof)).astype(x.dtype, copy=False)


def _wide(x: Array) -> Array:
    """Numbers of 16 bits as float32: a sum of a thousand may be beyond the largest of them, or lose its digits."""
    return x.astype(np.float32) if is_half(x.dtype) else x


def _count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    return math.prod([shape[a] for a in axis])


def _not_empty(function: str, x: Tensor, axes: tuple[int, ...], at_least: int = 1) -> None:
    if _count(x.shape, axes) < at_least:
        raise ValueError(
            f"{function}: shape {x.shape} reduced over axes {axes} leaves {_count(x.shape, axes)} elements "
            f"to reduce; expected at least {at_least}"
        )


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes; of integers and booleans too it is floating (float32)."""
    x = as_floating(x)
    axes = normalize_axes(axis, x.ndim)
    _not_empty("mean", x, axes)
    return Mean()(x, axis=axes, keepdims=keepdims)


def var(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """The variance Σ(x − x̄)²/(n − ddof) over the axes. It is infinite where |x − x̄| is beyond 1.8e19 in float32."""
    x = as_floating(x)
    axes = normalize_axes(axis, x.ndim)
    _not_empty("var", x, axes, at_least=1 + ddof)
    return Var()(x, axis=axes, ddof=ddof, keepdims=keepdims)


def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """The standard deviation, √ of the variance; its gradient is 0 where all elements are equal.

    As NumPy's and PyTorch's it is infinite where the variance is, and 0 where |x − x̄| is below 1e-23 in float32.
    """
    x = as_floating(x)
    axes = normalize_axes(axis, x.ndim)
    _not_empty("std", x, axes, at_least=1 + ddof)
    return Std()(x, axis=axes, ddof=ddof, keepdims=keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π over the axes; its gradient is right at zeros too, since nothing is divided."""
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim)
    if not x.requires_grad:
        return from_array(x.array.prod(axis=axes, keepdims=keepdims))
    factors, result_shape = _reduced_last(x, axes, keepdims)
    while factors.shape[-1] != 1:  # multiply the first half with the second: log₂ n multiplications
        count = factors.shape[-1]
        if not count:
            return reshape(sum(factors, -1) + 1, result_shape)  # 1, and on the tape
        half = count // 2
        product = factors[..., :half] * factors[..., half : 2 * half]
        factors = concatenate([product, factors[..., 2 * half :]], axis=-1) if count % 2 else product
    return reshape(factors, result_shape)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes; a tie's gradient goes to the first."""
    return _extreme("max", np.argmax, x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes; a tie's gradient goes to the first."""
    return _extreme("min", np.argmin, x, axis, keepdims)


def _extreme(name: str, arg_extreme: Any, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = normalize_axes(axis, x.ndim)
    _not_empty(name, x, axes)
    if not x.requires_grad:
        with computing_beside(x.array):
            return from_array(getattr(x.array, name)(axis=axes, keepdims=keepdims))
    candidates, result_shape = _reduced_last(x, axes, keepdims)
    with computing_beside(x.array):
        first = np.expand_dims(arg_extreme(candidates.array, axis=-1), -1)
    return reshape(TakeAlongAxis()(candidates, indices=first, axis=candidates.ndim - 1), result_shape)


def _reduced_last(x: Tensor, axes: tuple[int, ...], keepdims: bool) -> tuple[Tensor, tuple[int, ...]]:
    """(x with the reduced axes as one last axis, in row-major order; the shape of the result)."""
    ordered = sorted(axes)
    kept = [i for i in range(x.ndim) if i not in axes]
    kept_shape = tuple([x.shape[i] for i in kept])
    if kept + ordered != list(range(x.ndim)):
        x_last = transpose(x, tuple(kept + ordered))
    else:
        x_last = x
    result_shape = tuple([1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else kept_shape
    return reshape(x_last, (*kept_shape, _count(x.shape, axes))), result_shape


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the first largest element stands along the axis (None: in the flattened tensor). Not differentiable."""
    return _position("argmax", np.argmax, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the first smallest element stands along the axis (None: in the flattened tensor). Not differentiable."""
    return _position("argmin", np.argmin, x, axis, keepdims)


def _position(name: str, arg_extreme: Any, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    if axis is not None:
        axis = normalize_axis(axis, x.ndim)
    _not_empty(name, x, normalize_axes(axis, x.ndim))
    with computing_beside(x.array):
        return from_array(arg_extreme(x.array, axis=axis, keepdims=keepdims))


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element over the axes is not zero. Not differentiable."""
    x = as_tensor(x)
    with computing_beside(x.array):
        return from_array(x.array.any(axis=normalize_axes(axis, x.ndim), keepdims=keepdims))


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements over the axes are not zero. Not differentiable."""
    x = as_tensor(x)
    with computing_beside(x.array):
        return from_array(x.array.all(axis=normalize_axes(axis, x.ndim), keepdims=keepdims))
