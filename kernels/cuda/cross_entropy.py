"""Cross-entropies of rows and their gradients on the GPU, from logits and from probabilities."""

from __future__ import annotations

import ctypes

import numpy as np

from ..interface import twin_of
from ..reference import losses as reference
from .copying import contiguous
from .functions import REAL, Source, c_type
from .launching import empty, launch, real
from .rows import SHAPES, launch_rows
from .runtime import Array, current

SOURCE = Source(
    "cross_entropy.cu",
    sparse_cross_entropy=SHAPES,
    sparse_cross_entropy_gradient=SHAPES,
    cross_entropy=SHAPES,
    cross_entropy_gradient=SHAPES,
    sparse_cross_entropy_from_probabilities=REAL,
    sparse_cross_entropy_from_probabilities_gradient=SHAPES,
    cross_entropy_from_probabilities=SHAPES,
    cross_entropy_from_probabilities_gradient=SHAPES,
)


class OfRows(ctypes.Structure):
    """An array of one number a row, as kernels take it: where it begins, and the stride in elements."""

    _fields_ = [("numbers", ctypes.c_void_p), ("stride", ctypes.c_longlong)]


def _of_rows(x: Array) -> OfRows:
    return OfRows(current().address(x), x.strides[0] // x.dtype.itemsize)


def _labels(labels: Array) -> Array:
    return labels.astype(np.int64, copy=False)


@twin_of(reference.sparse_cross_entropy)
def sparse_cross_entropy(logits: Array, labels: Array) -> Array:
    logits, labels = contiguous(logits), _labels(labels)
    loss = empty(logits.shape[:1], logits.dtype)
    launch_rows(SOURCE, "sparse_cross_entropy", logits.dtype, *logits.shape, (logits, _of_rows(labels), loss))
    return loss


@twin_of(reference.sparse_cross_entropy_gradient)
def sparse_cross_entropy_gradient(dloss: Array, logits: Array, labels: Array) -> Array:
    logits, labels = contiguous(logits), _labels(labels)
    dlogits = empty(logits.shape, logits.dtype)
    arguments = _of_rows(dloss), logits, _of_rows(labels), dlogits
    launch_rows(SOURCE, "sparse_cross_entropy_gradient", logits.dtype, *logits.shape, arguments)
    return dlogits


@twin_of(reference.cross_entropy)
def cross_entropy(logits: Array, targets: Array) -> Array:
    logits, targets = contiguous(logits), contiguous(targets)
    loss = empty(logits.shape[:1], logits.dtype)
    launch_rows(SOURCE, "cross_entropy", logits.dtype, *logits.shape, (logits, targets, loss))
    return loss


@twin_of(reference.cross_entropy_gradient)
def cross_entropy_gradient(dloss: Array, logits: Array, targets: Array) -> Array:
    logits, targets = contiguous(logits), contiguous(targets)
    dlogits = empty(logits.shape, logits.dtype)
    arguments = _of_rows(dloss), logits, targets, dlogits
    launch_rows(SOURCE, "cross_entropy_gradient", logits.dtype, *logits.shape, arguments)
    return dlogits


def bounds(dtype: np.dtype, epsilon: float) -> tuple:
    """ε and 1 − ε in an array's type, as a kernel's arguments."""
    return real(dtype, epsilon), real(dtype, 1 - epsilon)


@twin_of(reference.sparse_cross_entropy_from_probabilities)
def sparse_cross_entropy_from_probabilities(p: Array, labels: Array, epsilon: float) -> Array:
    p, labels = contiguous(p), _labels(labels)
    loss = empty(p.shape[:1], p.dtype)
    arguments = p, _of_rows(labels), loss, *bounds(p.dtype, epsilon), *p.shape
    launch(SOURCE("sparse_cross_entropy_from_probabilities", c_type(p.dtype)), arguments, len(p))
    return loss


@twin_of(reference.sparse_cross_entropy_from_probabilities_gradient)
def sparse_cross_entropy_from_probabilities_gradient(dloss: Array, p: Array, labels: Array, epsilon: float) -> Array:
    p, labels = contiguous(p), _labels(labels)
    dp = empty(p.shape, p.dtype)
    arguments, more = (_of_rows(dloss), p, _of_rows(labels), dp), bounds(p.dtype, epsilon)
    launch_rows(SOURCE, "sparse_cross_entropy_from_probabilities_gradient", p.dtype, *p.shape, arguments, *more)
    return dp


@twin_of(reference.cross_entropy_from_probabilities)
def cross_entropy_from_probabilities(p: Array, targets: Array, epsilon: float) -> Array:
    p, targets = contiguous(p), contiguous(targets)
    loss = empty(p.shape[:1], p.dtype)
    more = bounds(p.dtype, epsilon)
    launch_rows(SOURCE, "cross_entropy_from_probabilities", p.dtype, *p.shape, (p, targets, loss), *more)
    return loss


@twin_of(reference.cross_entropy_from_probabilities_gradient)
def cross_entropy_from_probabilities_gradient(dloss: Array, p: Array, targets: Array, epsilon: float) -> Array:
    p, targets = contiguous(p), contiguous(targets)
    dp = empty(p.shape, p.dtype)
    arguments, more = (_of_rows(dloss), p, targets, dp), bounds(p.dtype, epsilon)
    launch_rows(SOURCE, "cross_entropy_from_probabilities_gradient", p.dtype, *p.shape, arguments, *more)
    return dp
