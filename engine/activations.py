"""Activation functions under Keras 3's names; `tg.activations`: those of `tg.functional`, or made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import functions as F
from .absent import absent
from .deferred import Deferred
from .functions import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from .layers.activations import get, name_of, relu, same_as
from .tensor import Tensor, as_tensor

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

hard_swish, swish = hard_silu, silu


def exponential(x: Any) -> Tensor:
    """eˣ"""
    return F.exp(x)


def linear(x: Any) -> Any:
    """x"""
    return x if isinstance(x, Deferred) else as_tensor(x)


same_as("exponential", exponential)
same_as("linear", linear)


def serialize(activation: Any) -> Any:
    """The name under which `get` finds the function. Raises NotImplementedError if it has none."""
    return name_of(activation)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize` named. custom_objects: further functions by name."""
    return (custom_objects or {})[config] if config in (custom_objects or {}) else get(config)


__getattr__ = absent("activations", __name__)
