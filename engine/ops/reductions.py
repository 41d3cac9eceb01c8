"""Sums, means, extremes and orders along axes. axis: one, several, or None for all."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import functions as F
from ..functions.arguments import as_floating, normalize_axis
from ..tensor import Axis, Tensor, as_tensor, from_array, library_of
from .arrays import tensor_or_symbol


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x"""
    return F.sum(x, axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x / n; ValueError over no elements."""
    return F.mean(x, axis, keepdims)


def average(x: Any, axis: Axis = None, weights: Any = None) -> Tensor:
    """Σ w·x / Σ w. weights: of x's shape, or one for each place on the one axis; all equal if None."""
    if weights is None:
        return F.mean(x, axis)
    x, weights = tensor_or_symbol(x), tensor_or_symbol(weights)
    if weights.ndim == 1 and x.ndim > 1:
        if not isinstance(axis, (int, np.integer)):
            raise ValueError(f"average: weights of shape {weights.shape} for x of shape {x.shape}: give one axis")
        place = normalize_axis(axis, x.ndim)
        weights = F.reshape(weights, (1,) * place + (-1,) + (1,) * (x.ndim - 1 - place))
    weights = F.broadcast_to(weights, x.shape)
    return F.divide(F.sum(F.multiply(x, weights), axis), F.sum(weights, axis))


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π x"""
    return F.prod(x, axis, keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ (x − x̄)² / n"""
    return F.var(x, axis, keepdims=keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """√ of `var`"""
    return F.std(x, axis, keepdims=keepdims)


def moments(x: Any, axes: Axis, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """(mean, variance) over the axes"""
    return F.mean(x, axes, keepdims), F.var(x, axes, keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest; a tie's gradient goes to the first."""
    return F.max(x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest; a tie's gradient goes to the first."""
    return F.min(x, axis, keepdims)


amax, amin = max, min


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the first largest stands"""
    return F.argmax(x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the first smallest stands"""
    return F.argmin(x, axis, keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one is not 0"""
    return F.any(x, axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all are not 0"""
    return F.all(x, axis, keepdims)


def count_nonzero(x: Any, axis: Axis = None) -> Tensor:
    """How many are not 0"""
    array = as_tensor(x).array
    return from_array((array != 0).sum(axis=tuple(axis) if isinstance(axis, list) else axis))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ"""
    return F.logsumexp(x, axis, keepdims)


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """The places of the elements in ascending order along the axis (None: of the flattened tensor); equal ones in
    their order."""
    array = as_tensor(x).array
    return from_array(library_of(array).argsort(array, axis=axis, kind="stable"))


def sort(x: Any, axis: int = -1) -> Tensor:
    """The elements in ascending order along the axis"""
    return F.take_along_axis(x, argsort(x, axis), axis)


class TopK(NamedTuple):
    """What `top_k` gives."""

    values: Tensor
    indices: Tensor


def top_k(x: Any, k: int, sorted: bool = True) -> TopK:
    """The k largest along the last axis, the largest first whether `sorted` or not, and their places."""
    x = as_floating(x)
    if not x.ndim or not 0 <= k <= x.shape[-1]:
        raise ValueError(f"top_k: k = {k} of x of shape {x.shape}: expected 0 to its last axis")
    places = argsort(F.negative(x).array)[..., :k]
    return TopK(F.take_along_axis(x, places, -1), places)
