"""Layers that are given to other layers (a cell to RNN, a layer to TimeDistributed), as objects or on paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .base import Layer

Reader = Callable[[Mapping[str, Any]], Layer]

_reader: list[Reader] = []


def read_layers_with(reader: Reader) -> None:
    """From now on configurations of nested layers are read by `reader`: by one that knows more classes than these here,
    such as models and what a program registered."""
    _reader[:] = [reader]


def layer_of(value: Any, owner: str, argument: str) -> Layer:
    """The layer that was given, or that its configuration {"class_name": …, "config": {…}} describes.

    Raises TypeError for anything else.
    """
    if isinstance(value, Layer):
        return value
    if isinstance(value, Mapping) and "class_name" in value:
        from . import deserialize

        return _reader[0](value) if _reader else deserialize(value)
    raise TypeError(f"{owner}: {argument} = {value!r}: expected a layer")


def copy_of(layer: Layer, **changes: Any) -> Layer:
    """A new layer with this one's configuration, but for `changes`; its weights are its own."""
    config = {**layer.get_config(), **changes}
    return layer_of({"class_name": type(layer).__name__, "config": config}, layer.name, "layer")
