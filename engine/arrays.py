"""Array arithmetic in reused memory, and on all threads where there is a kernel for it.

NumPy's own ufuncs do most of the arithmetic. Their results above some size are put into arrays of the caching allocator
(`kernels.memory`), as the kernels' results are: a fresh array of several MiB costs more in page faults than in
arithmetic. CuPy has a pool of its own: there only the kernels are used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..kernels import memory
from ..kernels.half_precision import is_bfloat16
from .device import computing_beside, say_how_full

_OF_MAIN_MEMORY = (np.ndarray, int, float, np.generic)
LARGE = memory.SMALLEST // 4  # elements: from here on the allocator's arrays are its own, even in float32
SHORT = 128  # numbers: rows of at most so many NumPy adds up one number after the other, at a high price for each row
MANY = 512  # rows: they take NumPy about as long as launching a kernel takes
LONG = 8 * LARGE  # numbers: to add them up, or two of each, takes NumPy about as long


def compute(ufunc: np.ufunc, x: Any, *others: Any) -> Any:
    """ufunc(x, *others) for arrays of one type, which is the result's type too."""
    size, on_host = x.size, type(x) is np.ndarray
    for other in others:
        size, on_host = max(size, other.size), on_host and type(other) is np.ndarray
    if not on_host:
        return apply(ufunc, x, *others)
    if size < LARGE or x.dtype.kind != "f":
        return ufunc(x, *others)
    shape = x.shape
    for other in others:
        if other.shape != shape:
            shape = np.broadcast_shapes(shape, other.shape)
    return ufunc(*[_of_rows(array, shape) for array in (x, *others)], out=memory.empty(shape, x.dtype))


def apply(ufunc: Any, *operands: Any) -> Any:
    """ufunc(*operands) for arrays that lie in one place. A number (an array without dimensions) may lie in main memory
    where others lie on a GPU: it goes there with the kernel.

    Raises TypeError for arrays in two places.
    """
    if all(isinstance(x, _OF_MAIN_MEMORY) for x in operands):
        return ufunc(*operands)
    try:
        with computing_beside(next(x for x in operands if not isinstance(x, _OF_MAIN_MEMORY))):
            return ufunc(*map(_as_operand, operands))
    except MemoryError as error:
        shapes = ", ".join(str(getattr(x, "shape", ())) for x in operands)
        say_how_full(error, f"{ufunc.__name__} of arrays of shapes {shapes}")
        raise


def _as_operand(x: Any) -> Any:
    """x where others lie on a GPU."""
    if not isinstance(x, np.ndarray):
        return x
    if x.ndim:
        raise TypeError(
            f"an array of shape {x.shape} lies in main memory, another operand on a GPU: move one of them with .to"
        )
    return x[()]


def _of_rows(x: Any, shape: tuple[int, ...]) -> Any:
    """x, which will broadcast to `shape`; written out where NumPy would otherwise begin anew for every short row."""
    if x.size > 1 and x.shape[-1] == 1 < shape[-1] <= SHORT:
        return filled(np.broadcast_to(x, shape))
    return x


def add(x: Any, y: Any, destination: Any = None) -> Any:
    """x + y for arrays of one type, put into `destination` if that is given, which may be one of them."""
    if destination is None and (x.size < LONG or x.shape != y.shape or x.dtype.kind != "f"):
        return compute(np.add, x, y)
    with computing_beside(x):
        if x.size < LONG:
            return np.add(x, y, out=destination)
        return kernels.of(x, y).add(filled(x), filled(y), destination)


def total(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """x.sum(axis, keepdims=keepdims), the axes counted from the front.

    NumPy is slow where its inner loop is short, at sums over short rows and over positions of few channels; it adds up
    long sums on one thread; and those over positions one number after the other in the type of x, so that of a million
    float32 numbers only two digits may be right.
    """
    if is_bfloat16(x.dtype):  # NumPy adds them in their own eight digits: of a thousand ones it makes 256
        return total(x.astype(np.float32), axis, keepdims).astype(x.dtype)
    first, last = min(axis, default=0), max(axis, default=-1) + 1
    if not axis or x.dtype.char not in "fd" or x.size < LARGE:
        return x.sum(axis=axis, keepdims=keepdims)
    if 0 in x.strides:
        return _total_of_repeated(x, axis, keepdims)
    if last - first > len(axis):  # others stand between them
        sums = x
        for one in sorted(axis, reverse=True):
            sums = total(sums, (one,), True)
        return sums if keepdims else sums.reshape([n for i, n in enumerate(x.shape) if i not in axis])
    if not x.flags.c_contiguous:
        if x.size < LONG:
            return x.sum(axis=axis, keepdims=keepdims)
        x = kernels.of(x).copy(x)
    before, summed, after = (math.prod(x.shape[part]) for part in (slice(first), slice(first, last), slice(last, None)))
    long_blocks = after <= summed and summed * after >= LONG
    if long_blocks or (1 < after <= SHORT and summed >= MANY):
        backend = kernels.of(x)
        sums = np.stack([backend.channel_sum(block) for block in x.reshape(before, summed, after)])
    elif after == 1 and summed <= SHORT and before >= MANY:
        sums = kernels.of(x).matmul(x.reshape(before, summed), np.ones_like(x, shape=(summed, 1)))
    else:
        return x.sum(axis=axis, keepdims=keepdims)
    return sums.reshape([1 if i in axis else n for i, n in enumerate(x.shape) if keepdims or i not in axis])


def _total_of_repeated(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """total(x, axis, keepdims) of numbers that broadcasting repeats: a sum of equal ones is a product."""
    once = x[tuple([slice(None if stride else 1) for stride in x.strides])].copy()
    count = math.prod([x.shape[a] for a in axis if not x.strides[a]])
    sums = np.broadcast_to(total(once, axis, True), [1 if i in axis else n for i, n in enumerate(x.shape)])
    sums = sums * x.dtype.type(count)
    return sums if keepdims else sums.reshape([n for i, n in enumerate(x.shape) if i not in axis])


def where(condition: Any, x: Any, y: Any) -> Any:
    """np.where(condition, x, y) for x and y of one type.

    NumPy branches at every element, which is slow where the condition changes often: at the edges of masks and at the
    signs of activations. Large arrays are put together from their bits.
    """
    size = max(condition.size, x.size, y.size)
    if size < LARGE or type(condition) is not np.ndarray or x.dtype.char not in "fd":
        return apply(np.where, condition, x, y)
    chosen = memory.empty(np.broadcast_shapes(condition.shape, x.shape, y.shape), x.dtype)
    integer = np.dtype(f"i{x.itemsize}")
    bits, x_bits, y_bits = chosen.view(integer), x.view(integer), y.view(integer)
    np.negative(condition.view(np.int8), out=bits, dtype=integer)  # all ones where x is to be chosen, else none
    if y.size == 1 and not y_bits.any():
        np.bitwise_and(bits, x_bits, out=bits)
    else:
        np.bitwise_and(bits, np.bitwise_xor(x_bits, y_bits), out=bits)
        np.bitwise_xor(bits, y_bits, out=bits)
    return chosen


def filled(x: Any) -> Any:
    """x itself; numbers that broadcasting repeats along the last axes, or along all, are written out: kernels want
    whole arrays, and would copy such a one number by number."""
    if type(x) is not np.ndarray or x.size < LARGE or x.dtype.char not in "fd" or x.strides[-1]:
        return x
    repeated = x.ndim
    while repeated and not x.strides[repeated - 1]:
        repeated -= 1
    if not repeated:
        whole = memory.empty(x.shape, x.dtype)
        whole.fill(x.item(0))
        return whole
    rows = x[(slice(None),) * repeated + (0,) * (x.ndim - repeated)]
    if not rows.flags.c_contiguous:
        return x
    ones = np.ones((1, x.size // rows.size), x.dtype)
    return kernels.of(x).matmul(rows.reshape(-1, 1), ones).reshape(x.shape)


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """An array of x's type, in its place (CPU or GPU), of another shape."""
    if type(x) is np.ndarray:
        return memory.empty(shape, x.dtype)
    with computing_beside(x):
        return np.empty_like(x, shape=shape, order="C")


def zeros_like(x: Any, shape: tuple[int, ...]) -> Any:
    """As empty_like, filled with zeros."""
    if type(x) is np.ndarray:
        return memory.zeros(shape, x.dtype)
    with computing_beside(x):
        return np.zeros_like(x, shape=shape, order="C")
