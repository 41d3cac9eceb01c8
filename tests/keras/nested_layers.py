"""Layers within layers, described in plain data: made alike of Keras's layers by the generator, and of ours by tests.

["LSTM", {"units": 3}] is LSTM(3); a list in place of an argument is a layer in its turn, and a list of such lists is a
list of layers.
"""

from __future__ import annotations

from typing import Any


def build(layers: Any, description: list[Any], dtype: str) -> Any:
    """The layer that is described, of the module `layers`; every layer is of this type."""
    name, arguments = description
    given = {key: _of(layers, value, dtype) for key, value in arguments.items()}
    return getattr(layers, name)(**given, dtype=dtype)


def _of(layers: Any, value: Any, dtype: str) -> Any:
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        return [_of(layers, entry, dtype) for entry in value]
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[1], dict):
        return build(layers, value, dtype)
    return value
