"""Losses of each number by itself on the GPU, and their gradients."""

from __future__ import annotations

from typing import Any

from ..interface import twin_of
from ..reference import losses as reference
from .copying import contiguous
from .cross_entropy import bounds
from .functions import Source, c_type
from .launching import empty, launch, pack_size
from .runtime import Array

_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
SOURCE = Source(
    "losses.cu",
    squared_error=_PACKS,
    squared_error_gradient=_PACKS,
    binary_cross_entropy=_PACKS,
    binary_cross_entropy_gradient=_PACKS,
    binary_cross_entropy_from_probabilities=_PACKS,
    binary_cross_entropy_from_probabilities_gradient=_PACKS,
)


@twin_of(reference.squared_error)
def squared_error(prediction: Array, target: Array) -> Array:
    return _loss("squared_error", prediction, target)


@twin_of(reference.squared_error_gradient)
def squared_error_gradient(dloss: Array, prediction: Array, target: Array) -> Array:
    return _gradient("squared_error_gradient", dloss, prediction, target)


@twin_of(reference.binary_cross_entropy)
def binary_cross_entropy(logits: Array, targets: Array) -> Array:
    return _loss("binary_cross_entropy", logits, targets)


@twin_of(reference.binary_cross_entropy_gradient)
def binary_cross_entropy_gradient(dloss: Array, logits: Array, targets: Array) -> Array:
    return _gradient("binary_cross_entropy_gradient", dloss, logits, targets)


@twin_of(reference.binary_cross_entropy_from_probabilities)
def binary_cross_entropy_from_probabilities(p: Array, targets: Array, epsilon: float) -> Array:
    return _loss("binary_cross_entropy_from_probabilities", p, targets, *bounds(p.dtype, epsilon))


@twin_of(reference.binary_cross_entropy_from_probabilities_gradient)
def binary_cross_entropy_from_probabilities_gradient(dloss: Array, p: Array, targets: Array, epsilon: float) -> Array:
    name = "binary_cross_entropy_from_probabilities_gradient"
    return _gradient(name, dloss, p, targets, *bounds(p.dtype, epsilon))


def _loss(name: str, x: Array, target: Array, *parameters: Any) -> Array:
    x, target = contiguous(x), contiguous(target)
    loss = empty(x.shape, x.dtype)
    n = pack_size(x, target, loss)
    launch(SOURCE(name, c_type(x.dtype), n), (x, target, loss, *parameters, x.size), -(-x.size // n))
    return loss


def _gradient(name: str, dloss: Array, x: Array, target: Array, *parameters: Any) -> Array:
    """One dloss that is repeated by strides of 0, as the gradient of a mean is, stays one number."""
    repeated = not any(dloss.strides)
    dloss, x, target = dloss if repeated else contiguous(dloss), contiguous(x), contiguous(target)
    dx = empty(x.shape, x.dtype)
    n = pack_size(x, target, dx, *(() if repeated else (dloss,)))
    arguments = dloss, repeated, x, target, dx, *parameters, x.size
    launch(SOURCE(name, c_type(x.dtype), n), arguments, -(-x.size // n))
    return dx
