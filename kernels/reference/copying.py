"""Elements in another place: copies of arrays of any strides, several arrays side by side, and the parts of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def copy(x: np.ndarray, destination: np.ndarray | None = None) -> np.ndarray:
    """x (any shape and strides) → its elements in a C-contiguous array of their own, in the machine's byte order.

    destination: an array of x's shape and type, of any strides, that shares no memory with x: the elements are written
    there, and it is returned.
    """
    if destination is None:
        return x.astype(x.dtype.newbyteorder("="), order="C")
    destination[...] = x
    return destination


def concatenate(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """One after another along an axis ≥ 0: shapes (…, nᵢ, …) → (…, Σ nᵢ, …). All have one type and agree elsewhere."""
    return np.concatenate(arrays, axis=axis)


def split(x: np.ndarray, sizes: Sequence[int], axis: int) -> tuple[np.ndarray, ...]:
    """The transpose of `concatenate`: x (…, Σ nᵢ, …) → copies (…, nᵢ, …) of its parts along an axis ≥ 0, for sizes
    nᵢ."""
    cuts = np.cumsum(sizes)[:-1]
    return tuple([part.copy(order="C") for part in np.split(x, cuts, axis)])
