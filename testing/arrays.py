"""Arrays to test with: in every memory layout, of values that are easy, and of values that are hard."""

from __future__ import annotations

import numpy as np

LAYOUTS = ("contiguous", "transposed", "strided", "reversed", "read-only")


def random_array(rng: np.random.Generator, shape, dtype, values: str = "normal") -> np.ndarray:
    """An array of standard normal numbers, of the integers −4 … 4, or of integers of which no two are equal."""
    if values == "normal":
        return rng.standard_normal(shape).astype(dtype)
    if values == "integers":
        return rng.integers(-4, 5, shape).astype(dtype)
    if values == "distinct":
        size = int(np.prod(shape))
        return (rng.permutation(size) - size // 2).reshape(shape).astype(dtype)
    raise ValueError(f"values = {values!r}: expected 'normal', 'integers' or 'distinct'")


def counting_array(shape, dtype, values: str = "normal") -> np.ndarray:
    """As `random_array`, but to be read: 1, 2, 3 … , or −4 … 4 over and over."""
    count = np.arange(int(np.prod(shape)))
    if values == "integers":
        count = (count + 5) % 9 - 4
    return (count + (values == "normal")).reshape(shape).astype(dtype)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """A copy in another memory layout: one of `LAYOUTS`. An array without dimensions has but one, read-only or not.

    "transposed": Fortran's order. "strided": every second element of a larger array, full of NaN in between (for whole
    numbers, of ones). "reversed": negative strides in each dimension.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout = {layout!r}: expected one of {LAYOUTS}")
    if layout == "strided" and array.ndim:
        between = np.nan if array.dtype.kind == "f" else 1
        larger = np.full(tuple(2 * n for n in array.shape), between, array.dtype)
        view = larger[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    if layout == "reversed" and array.ndim:
        return np.flip(np.flip(array).copy(order="C"))
    copy = array.copy(order="F" if layout == "transposed" else "C")
    copy.flags.writeable = layout != "read-only"
    return copy


def extreme_numbers(dtype) -> list[float]:
    """Numbers at which a type's arithmetic overflows, underflows, or loses its sign: all finite, with both signs."""
    limits = np.finfo(dtype)
    sizes = [0.0, limits.smallest_subnormal, limits.tiny, limits.eps, 1.0, 1 / limits.eps, limits.max / 2, limits.max]
    return [float(sign * size) for size in sizes for sign in (1, -1)]
