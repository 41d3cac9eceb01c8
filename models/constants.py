"""Constants of a graph of layers in its configuration: what a call was given beside symbols, as plain data.

Each is written as {kind: data}, in the types that JSON knows: "value" for numbers, strings, booleans and None; "slice"
for [start, stop, step], "ellipsis", "dtype" for its name, and "array" for an array's type, shape and numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.layers import activations
from ..engine.tensor import Tensor


def written_constant(value: Any) -> dict[str, Any]:
    """The value as {kind: data}. Raises NotImplementedError for what cannot be written."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if isinstance(value, np.generic):
        return {"value": value.item()}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return {"slice": [None if part is None else int(part) for part in parts]}
    if value is Ellipsis:
        return {"ellipsis": None}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, (np.generic, bool, int, float))):
        return {"dtype": np.dtype(value).name}
    if isinstance(value, Tensor):
        numbers = value.numpy()
        return {
            "array": {"dtype": numbers.dtype.name, "shape": list(numbers.shape), "numbers": numbers.ravel().tolist()}
        }
    if callable(value):
        return {"activation": activations.name_of(value)}
    raise NotImplementedError(
        f"a graph that holds {value!r} of type {type(value).__name__} cannot be written into a configuration"
    )


def _read_array(written: Any) -> Tensor:
    return Tensor(np.array(written["numbers"], written["dtype"]).reshape(written["shape"]))


# How each kind is read.
CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "activation": activations.get,
    "array": _read_array,
    "dtype": np.dtype,
    "ellipsis": lambda _: Ellipsis,
    "slice": lambda parts: slice(*parts),
    "value": lambda value: value,
}
