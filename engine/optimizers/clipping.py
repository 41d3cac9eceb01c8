"""Gradients held within bounds before a step. NaN stays NaN: no comparison lets one pass as small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import kernels
from ..tensor import Array, library_of


def clipped(
    gradients: list[Array], clipnorm: float | None, clipvalue: float | None, global_clipnorm: float | None
) -> list[Array]:
    """The gradients with no norm above `clipnorm`, no absolute value above `clipvalue`, or a norm of all of them
    together of at most `global_clipnorm`: whichever is not None."""
    if clipvalue is not None:
        return [library_of(gradient).asarray(gradient.clip(-clipvalue, clipvalue)) for gradient in gradients]
    if clipnorm is not None:
        norms = [kernels.of(gradient).squared_norm([gradient]) for gradient in gradients]
        return [_scaled(gradient, clipnorm, norm) for gradient, norm in zip(gradients, norms, strict=True)]
    if global_clipnorm is not None:
        total = sum(kernels.of(group[0]).squared_norm(group) for (group,) in alike(gradients))
        return [_scaled(gradient, global_clipnorm, total) for gradient in gradients]
    return gradients


def alike(arrays: Sequence[Array], *others: Sequence[Any]) -> list[tuple[list[Any], ...]]:
    """The arrays, and with them the entries of the other sequences, in groups of one type and one place."""
    groups: dict[Any, tuple[list[Any], ...]] = {}
    for entries in zip(arrays, *others, strict=True):
        array = entries[0]
        place = array.dtype if isinstance(array, np.ndarray) else (array.dtype, array.device.id)
        group = groups.setdefault(place, tuple([] for _ in entries))
        for gathered, entry in zip(group, entries, strict=True):
            gathered.append(entry)
    return list(groups.values())


def _scaled(gradient: Array, largest: float, squared_norm: float) -> Array:
    """The gradient times min(1, largest / norm), and NaN where the norm is NaN or infinite."""
    norm = math.sqrt(squared_norm)
    if norm <= largest:
        return gradient
    factor = gradient.dtype.type(largest / norm if math.isfinite(norm) else math.nan)
    return library_of(gradient).asarray(gradient * factor)  # NumPy makes a number of a scalar's product
