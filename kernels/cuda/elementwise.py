"""Functions of each number by itself on the GPU: the sum of two arrays, activations and their gradients."""

from __future__ import annotations

from ..interface import twin_of
from ..reference import activations as reference
from ..reference import arithmetic
from .copying import contiguous, copy
from .functions import Source, c_type, instances
from .launching import empty, is_contiguous, launch, pack_size, real
from .runtime import Array

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "gelu_tanh": "GELUTanh",
    "silu": "SiLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
}
_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
_OF_HALVES = ("Half, 1", "Half, 8", "BFloat16, 1", "BFloat16, 8")
_WHOLE = ("int, 1", "int, 4", "int64, 1", "int64, 2")
SOURCE = Source(
    "elementwise.cu",
    add=_PACKS + _OF_HALVES + _WHOLE,
    activation=instances(_PACKS, tuple(ACTIVATIONS.values())) + instances(_OF_HALVES, ("ReLU",)),
    activation_gradient=instances(_PACKS, tuple(ACTIVATIONS.values())) + instances(_OF_HALVES, ("ReLU",)),
)


@twin_of(arithmetic.add)
def add(x: Array, y: Array, destination: Array | None = None) -> Array:
    x, y = contiguous(x), contiguous(y)
    result = destination if destination is not None and is_contiguous(destination) else empty(x.shape, x.dtype)
    n = pack_size(x, y, result)
    launch(SOURCE("add", c_type(x.dtype), n), (x, y, result, x.size), -(-x.size // n))
    if destination is not None and result is not destination:
        copy(result, destination)
        return destination
    return result


@twin_of(reference.activation)
def activation(x: Array, name: str, parameter: float = 0.0) -> Array:
    function = _function(name)
    x = contiguous(x)
    y = empty(x.shape, x.dtype)
    n = pack_size(x, y)
    arguments = x, y, real(x.dtype, parameter), x.size
    launch(SOURCE("activation", c_type(x.dtype), n, function), arguments, -(-x.size // n))
    return y


@twin_of(reference.activation_gradient)
def activation_gradient(dy: Array, x: Array, name: str, parameter: float = 0.0) -> Array:
    function = _function(name)
    dy, x = contiguous(dy), contiguous(x)
    dx = empty(x.shape, x.dtype)
    n = pack_size(dy, x, dx)
    arguments = dy, x, dx, real(x.dtype, parameter), x.size
    launch(SOURCE("activation_gradient", c_type(x.dtype), n, function), arguments, -(-x.size // n))
    return dx


def _function(name: str) -> str:
    """The functor of an activation. Raises ValueError for another name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation name = {name!r}: expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
