"""Products of vectors and matrices, and norms."""

from __future__ import annotations

import math
from typing import Any

from .. import functions as F
from ..tensor import Axis, Tensor
from .arrays import tensor_or_symbol


def matmul(x1: Any, x2: Any) -> Tensor:
    """x₁ @ x₂: (…, m, k) and (…, k, n) → (…, m, n)"""
    return F.matmul(x1, x2)


def dot(x1: Any, x2: Any) -> Tensor:
    """Σ over the last axis of x₁ and the last but one (the only one of a vector) of x₂; a product where one is a
    number."""
    x1, x2 = tensor_or_symbol(x1), tensor_or_symbol(x2)
    if not x1.ndim or not x2.ndim:
        return F.multiply(x1, x2)
    if x2.ndim <= 2:
        return F.matmul(x1, x2)
    rows = F.reshape(x1, (-1, x1.shape[-1]))
    columns = F.reshape(F.moveaxis(x2, -2, 0), (x2.shape[-2], -1))
    return F.reshape(F.matmul(rows, columns), (*x1.shape[:-1], *x2.shape[:-2], x2.shape[-1]))


def inner(x1: Any, x2: Any) -> Tensor:
    """Σ over the last axes of both"""
    x2 = tensor_or_symbol(x2)
    return dot(x1, F.swapaxes(x2, -1, -2) if x2.ndim > 1 else x2)


def outer(x1: Any, x2: Any) -> Tensor:
    """All products of an element of x₁ and one of x₂: (m,), (n,) → (m, n); others are flattened."""
    return F.multiply(F.reshape(x1, (-1, 1)), F.reshape(x2, (1, -1)))


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Einstein's sum: "ij,jk->ik" is a matrix product."""
    return F.einsum(subscripts, *operands)


def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along an axis, or of all of x: (Σ |x|^ord)^(1/ord), max |x| for ord = inf, √(Σ x²) for None.

    Over two axes, or all of a matrix, None and "fro" alone: norms of matrices are not here. Its gradient is that of the
    formula: NaN where all elements are 0. Raises ValueError for another ord.
    """
    x = tensor_or_symbol(x)
    axes = x.ndim if axis is None else 1 if isinstance(axis, int) else len(axis)
    if ord is None or (ord == "fro" and axes == 2) or (ord == 2 and axes == 1):
        return F.sqrt(F.sum(F.square(x), axis, keepdims))
    number = isinstance(ord, (int, float)) and not isinstance(ord, bool) and ord > 0
    if axes != 1 or not number:
        raise ValueError(f"norm: ord = {ord!r} over {axes} axes: expected None, a number above 0 (one axis) or 'fro'")
    if ord == math.inf:
        return F.max(F.abs(x), axis, keepdims)
    if ord == 1:
        return F.sum(F.abs(x), axis, keepdims)
    return F.power(F.sum(F.power(F.abs(x), ord), axis, keepdims), 1.0 / ord)


def normalize(x: Any, axis: Axis = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    """x / max(its norm of this order along the axis, ε). epsilon: 1e-7 if None."""
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: order = {order!r}: expected an integer of at least 1")
    epsilon = 1e-7 if epsilon is None else epsilon
    if order != 2:
        return F.divide(x, F.maximum(norm(x, order, axis, keepdims=True), epsilon))
    squares = F.sum(F.square(x), axis, keepdims=True)
    return F.divide(x, F.sqrt(F.maximum(squares, epsilon**2)))
