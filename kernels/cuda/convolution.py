"""Convolution, its transpose and its weight's gradient on the GPU, in one to three dimensions: which kernel computes
what, on which tiles."""

from __future__ import annotations

import ctypes

import numpy as np

from ..geometry import Pairs, Sizes, conv_output_size
from ..interface import twin_of
from ..reference import convolution as reference
from . import correlation
from .copying import contiguous
from .correlation import Correlation
from .functions import Source, c_type, instances
from .launching import empty, launch, pack_size
from .runtime import Array

# Rows (pixels), columns (channels), and what of them a thread has.
WIDE, SLIM, SMALL = (128, 128, 8, 8), (128, 64, 8, 4), (64, 64, 8, 4)
NARROW, NARROWEST = (128, 32, 4, 4), (128, 16, 4, 2)
DOUBLE = (32, 32, 4, 2)
ENOUGH = 256  # tiles that fill a large GPU: fewer are made smaller

_TILES = [f"float, {', '.join(map(str, tile))}" for tile in (WIDE, SLIM, SMALL, NARROW, NARROWEST)]
_TILES += [f"double, {', '.join(map(str, DOUBLE))}"]
SOURCE = Source("convolution.cu", correlate=instances(tuple(_TILES), (False, True)))


class Options(ctypes.Structure):
    """What may be done 16 bytes at once, and whether negative sums become 0."""

    _fields_ = [(name, ctypes.c_bool) for name in ("pack_x", "pack_w", "pack_y", "relu")]


@twin_of(reference.conv)
def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
    activation: str | None = None,
) -> Array:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    kernel_size, c_in, c_out = weight.shape[:-2], x.shape[-1], weight.shape[-1]
    output_size = conv_output_size(x.shape[1:-1], kernel_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, c_out), x.dtype)
    work = correlation.of_convolution(
        len(x), x.shape[1:-1], output_size, kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    _correlate(work, x, weight, bias, y, relu=activation == "relu", transposed=False)
    return y


@twin_of(reference.conv_transpose)
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    output_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
) -> Array:
    kernel_size, c_in, c_out = weight.shape[:-2], weight.shape[-1], weight.shape[-2] * groups
    y = empty((len(x), *output_size, c_out), x.dtype)
    works = correlation.of_transpose(
        len(x), x.shape[1:-1], output_size, kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    for work in works:
        _correlate(work, x, weight, bias, y, relu=False, transposed=True)
    return y


def _correlate(
    work: Correlation, x: Array, weight: Array, bias: Array | None, y: Array, relu: bool, transposed: bool
) -> None:
    """Compute the part of y that `work` describes. `transposed`: the weights' input channels lie side by side."""
    if y.size == 0:
        return
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    n = 16 // x.dtype.itemsize
    side_by_side = work.c_in if transposed else work.c_out
    options = Options(
        pack_x=work.c_in % n == 0 and pack_size(x) == n,
        pack_w=side_by_side % n == 0 and pack_size(weight) == n,
        pack_y=work.c_out % n == 0 and pack_size(y) == n,
        relu=relu,
    )
    rows, columns, *of_thread = tile = _tile(work, x.dtype)
    threads = rows // of_thread[0] * (columns // of_thread[1])
    down, across = -(-work.most_pixels // rows), -(-work.c_out // columns)
    arguments = x, weight, bias, y, work, options, down, across
    function = SOURCE("correlate", c_type(x.dtype), *tile, transposed)
    shared = rows * 32 + 2 * 8 * (rows + columns + 2 * n) * x.dtype.itemsize
    launch(function, arguments, down * across * work.groups * work.all_phases * threads, threads, shared)


def _tile(work: Correlation, dtype: np.dtype) -> tuple[int, int, int, int]:
    """The largest tile of which there are enough and whose columns are not much more than the channels."""
    if dtype == np.float64:
        return DOUBLE
    if work.c_out <= 32:
        return NARROWEST if work.c_out <= 16 else NARROW
    rest = (work.c_out - 1) % 128 + 1  # channels in the last of the wide tiles
    if rest > 96 and _count(work, WIDE) >= ENOUGH:
        return WIDE
    return SLIM if _count(work, SLIM) >= ENOUGH else SMALL


def _count(work: Correlation, tile: tuple[int, int, int, int]) -> int:
    """How many tiles there are."""
    return -(-work.most_pixels // tile[0]) * -(-work.c_out // tile[1]) * work.groups * work.all_phases
