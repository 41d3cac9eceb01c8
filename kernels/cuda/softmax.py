"""Softmax and its kin over the last axis, on the GPU."""

from __future__ import annotations

import math

from ..interface import twin_of
from ..reference import activations as reference
from .copying import contiguous
from .functions import Source
from .launching import empty
from .rows import SHAPES, launch_rows
from .runtime import Array

SOURCE = Source(
    "softmax.cu",
    softmax=SHAPES,
    softmax_gradient=SHAPES,
    log_softmax=SHAPES,
    log_softmax_gradient=SHAPES,
    logsumexp=SHAPES,
)


@twin_of(reference.softmax)
def softmax(x: Array) -> Array:
    return _of_rows("softmax", x)


@twin_of(reference.softmax_gradient)
def softmax_gradient(dy: Array, y: Array) -> Array:
    return _of_rows("softmax_gradient", dy, y)


@twin_of(reference.log_softmax)
def log_softmax(x: Array) -> Array:
    return _of_rows("log_softmax", x)


@twin_of(reference.log_softmax_gradient)
def log_softmax_gradient(dy: Array, y: Array) -> Array:
    return _of_rows("log_softmax_gradient", dy, y)


@twin_of(reference.logsumexp)
def logsumexp(x: Array) -> Array:
    x = contiguous(x)
    y = empty(x.shape[:-1], x.dtype)
    launch_rows(SOURCE, "logsumexp", x.dtype, y.size, x.shape[-1], (x, y))
    return y


def _of_rows(name: str, *inputs: Array) -> Array:
    """A kernel from arrays (…, C) to one of the same shape."""
    inputs = tuple(contiguous(each) for each in inputs)
    shape, dtype = inputs[0].shape, inputs[0].dtype
    result = empty(shape, dtype)
    launch_rows(SOURCE, name, dtype, math.prod(shape[:-1]), shape[-1], (*inputs, result))
    return result
