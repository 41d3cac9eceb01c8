"""Array arithmetic whose large results live in reused memory.

NumPy's own ufuncs do the arithmetic. Their results above some size are put into arrays of the caching allocator
(`kernels.memory`), as the kernels' results are: a fresh array of several MiB costs more in page faults than in
arithmetic. CuPy has a pool of its own: there this module changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import memory

LARGE = memory.SMALLEST // 4  # elements: from here on the allocator's arrays are its own, even in float32


def compute(ufunc: np.ufunc, x: Any, *others: Any) -> Any:
    """ufunc(x, *others) for arrays of one type, which is the result's type too."""
    size = x.size
    for other in others:
        size = max(size, other.size)
    if size < LARGE or type(x) is not np.ndarray or x.dtype.kind != "f":
        return ufunc(x, *others)
    shape = x.shape
    for other in others:
        if other.shape != shape:
            shape = np.broadcast_shapes(shape, other.shape)
    return ufunc(x, *others, out=memory.empty(shape, x.dtype))


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array of x's type, in its place (CPU or GPU), of another shape."""
    return memory.empty(shape, x.dtype) if type(x) is np.ndarray else np.empty_like(x, shape=shape, order="C")


def zeros_like(x: Any, shape: tuple[int, ...]) -> Any:
    """As empty_like, filled with zeros."""
    return memory.zeros(shape, x.dtype) if type(x) is np.ndarray else np.zeros_like(x, shape=shape, order="C")
