"""Shapes in structures: lists, tuples and dicts whose leaves are shapes, which are tuples themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        size is None or isinstance(size, (int, np.integer)) for size in value
    )


def map_shapes(function: Callable[[Any], Any], structure: Any) -> Any:
    """`map_structure` over shapes: the leaves are shapes, which are tuples themselves."""
    if is_shape(structure):
        return function(tuple(structure))
    if isinstance(structure, dict):
        return {key: map_shapes(function, entry) for key, entry in structure.items()}
    return type(structure)(map_shapes(function, entry) for entry in structure)


def all_shapes(structure: Any) -> list[tuple[int | None, ...]]:
    found: list[Any] = []
    map_shapes(found.append, structure)
    return found
