"""Images seen through an affine map on the GPU, and the transpose."""

from __future__ import annotations

import ctypes

from .. import reference
from ..geometry import Sizes
from ..interface import twin_of
from .copying import contiguous
from .functions import Source, c_type, instances
from .launching import empty, launch_rows, pack_size, real
from .runtime import Array

FILL_MODES = ("constant", "nearest", "reflect", "wrap")  # as the kernels number them
_INSTANCES = instances(("float, 1", "float, 4", "double, 1", "double, 2"), (False, True))
SOURCE = Source("affine.cu", affine_transform=_INSTANCES, affine_transform_gradient=_INSTANCES)


class Affine(ctypes.Structure):
    """The sizes and the fill mode as the kernels take them."""

    _fields_ = [("output", ctypes.c_int * 3), ("input", ctypes.c_int * 3), ("mode", ctypes.c_int)]

    @classmethod
    def of(cls, output: Sizes, size: Sizes, fill_mode: str) -> Affine:
        """Raises ValueError for a fill mode that is unknown."""
        if fill_mode not in FILL_MODES:
            raise ValueError(f'fill_mode = {fill_mode!r}: expected "constant", "nearest", "reflect" or "wrap"')
        three = ctypes.c_int * 3
        return cls(three(1, *output), three(1, *size), FILL_MODES.index(fill_mode))


@twin_of(reference.affine_transform)
def affine_transform(
    x: Array, rows: Array, columns: Array, interpolation: str, fill_mode: str, fill_value: float
) -> Array:
    linear = _is_linear(interpolation)
    x, rows, columns = contiguous(x), contiguous(rows), contiguous(columns)
    sizes = Affine.of((rows.shape[1], columns.shape[1]), x.shape[1:3], fill_mode)
    y = empty((len(x), rows.shape[1], columns.shape[1], x.shape[-1]), x.dtype)
    _over_rows("affine_transform", linear, (x, rows, columns, y, sizes, real(x.dtype, fill_value)), x, y)
    return y


@twin_of(reference.affine_transform_gradient)
def affine_transform_gradient(
    dy: Array, rows: Array, columns: Array, input_size: Sizes, interpolation: str, fill_mode: str
) -> Array:
    linear = _is_linear(interpolation)
    dy, rows, columns = contiguous(dy), contiguous(rows), contiguous(columns)
    sizes = Affine.of(dy.shape[1:3], input_size, fill_mode)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    _over_rows("affine_transform_gradient", linear, (dy, rows, columns, dx, sizes), dy, dx)
    return dx


def _is_linear(interpolation: str) -> bool:
    """Raises ValueError for an interpolation that is unknown."""
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f'interpolation = {interpolation!r}: expected "nearest" or "bilinear"')
    return interpolation == "bilinear"


def _over_rows(name: str, linear: bool, arguments: tuple, read: Array, written: Array) -> None:
    """Run a kernel over the rows of the array that it writes."""
    *_, row, channels = written.shape
    n = pack_size(read, written)
    n = n if channels % n == 0 else 1
    rows, packs = written.size // max(row * channels, 1), channels // n
    function = SOURCE(name, c_type(written.dtype), n, linear)
    launch_rows(function, (*arguments, rows, packs), rows, row * packs)
