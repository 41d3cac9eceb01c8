"""Resizing on the GPU, by nearest neighbour or linear interpolation, and its transpose."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

from .. import reference
from ..geometry import Sizes
from ..interface import twin_of
from .copying import contiguous
from .functions import Source, c_type
from .launching import empty, launch_rows, pack_size
from .runtime import Array

LARGEST = 2**28  # positions of an axis: a kernel counts their halves, and a few more
MANY = 128  # output positions that read one input position: with more, the transpose goes axis by axis
_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
SOURCE = Source(
    "resize.cu",
    resize_nearest=_PACKS,
    resize_linear=_PACKS,
    resize_gradient=tuple(f"{pack}, {linear}" for pack in _PACKS for linear in ("false", "true")),
)


class Resize(ctypes.Structure):
    """The sizes as the kernels take them: three axes, those in front of one position if the image has fewer."""

    _fields_ = [("input", ctypes.c_int * 3), ("output", ctypes.c_int * 3), ("axes", ctypes.c_int)]

    @classmethod
    def of(cls, input_size: Sizes, output_size: Sizes) -> Resize:
        """Raises ValueError for an axis too long to be counted."""
        if max(*input_size, *output_size) > LARGEST:
            raise ValueError(f"size {input_size} to {output_size}: an axis on the GPU has at most {LARGEST}")
        front = (1,) * (3 - len(input_size))
        sizes = [(ctypes.c_int * 3)(*front, *size) for size in (input_size, output_size)]
        return cls(*sizes, len(input_size))


@twin_of(reference.resize)
def resize(x: Array, output_size: Sizes, method: str) -> Array:
    linear = _is_linear(method)
    x = contiguous(x)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    sizes = Resize.of(x.shape[1:-1], output_size)
    _over_rows("resize_linear" if linear else "resize_nearest", (), x, y, sizes)
    return y


@twin_of(reference.resize_gradient)
def resize_gradient(dy: Array, input_size: Sizes, method: str) -> Array:
    linear = _is_linear(method)
    dx, sizes = contiguous(dy), list(dy.shape[1:-1])
    if _readers(input_size, sizes, linear) <= MANY:
        return _transposed(dx, tuple(input_size), linear)
    for axis in sorted(range(len(sizes)), key=lambda axis: input_size[axis] / max(sizes[axis], 1)):
        before, after = len(dy) * math.prod(sizes[:axis]), math.prod(sizes[axis + 1 :]) * dy.shape[-1]
        dx = _transposed(dx.reshape(before, sizes[axis], after), (input_size[axis],), linear)
        sizes[axis] = input_size[axis]
    return dx.reshape(len(dy), *sizes, dy.shape[-1])


def _transposed(dy: Array, input_size: Sizes, linear: bool) -> Array:
    """The gradient for all axes of a contiguous dy at once."""
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    _over_rows("resize_gradient", (linear,), dy, dx, Resize.of(input_size, dy.shape[1:-1]))
    return dx


def _readers(input_size: Sizes, output_size: Sequence[int], linear: bool) -> int:
    """How many output positions read an input position at most, or a few more."""
    return math.prod(
        min(m, (1 + linear) * -(-m // max(n, 1)) + 1) for n, m in zip(input_size, output_size, strict=True)
    )


def _is_linear(method: str) -> bool:
    """Raises ValueError for a method that is unknown."""
    if method not in ("nearest", "bilinear"):
        raise ValueError(f'method = {method!r}: expected "nearest" or "bilinear"')
    return method == "bilinear"


def _over_rows(name: str, options: tuple[bool, ...], x: Array, y: Array, sizes: Resize) -> None:
    """Run a kernel over the rows of the array that it writes, y."""
    *_, row, channels = y.shape
    n = pack_size(x, y)
    n = n if channels % n == 0 else 1
    rows, packs = y.size // max(row * channels, 1), channels // n
    function = SOURCE(name, c_type(x.dtype), n, *options)
    launch_rows(function, (x, y, sizes, rows, packs), rows, row * packs)
