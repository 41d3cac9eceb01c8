"""Convolution on the tensor cores: which tiles, and whether the sum is split."""

from __future__ import annotations

import ctypes

import numpy as np

from ..half_precision import is_half
from .correlation import Correlation
from .dense import OF_HALVES, ROUNDED, STEP_BYTES, add_splits, splits_of, sum_type
from .functions import Source, instances
from .launching import empty, launch_blocks, pack_size
from .runtime import Array

THREADS = 128
CORNER_BYTES = 16  # that a block knows of each pixel
# Rows × columns (output channels), and what a number of a tile costs: a large one reads less for each product.
COSTS = {(128, 128): 10, (128, 64): 12, (256, 32): 14}
ARITHMETICS = (*ROUNDED.values(), *OF_HALVES.values())
TILES = tuple(f"{m}, {n}" for m, n in COSTS)
SOURCE = Source(
    "convolution_tensor_cores.cu",
    correlate=instances(ARITHMETICS, TILES, (False, True)),
)


class Tiling(ctypes.Structure):
    """How a `correlate` is cut in blocks."""

    _fields_ = [
        *((name, ctypes.c_longlong) for name in ("down", "across", "splits", "depth")),
        *((name, ctypes.c_bool) for name in ("a_aligned", "b_aligned", "relu")),
    ]


def suits(work: Correlation, dtype: np.dtype, precision: str) -> bool:
    """Whether the tensor cores may compute this: numbers of 16 bits always, whatever their channels; float32 where the
    precision allows, and they are the best for it, as 16 bytes hold channels of one tap."""
    if is_half(dtype):
        return True
    return bool(dtype == np.float32 and precision in ROUNDED and work.c_in % 4 == 0 and work.c_out >= 8)


def arithmetic_for(dtype: np.dtype, precision: str) -> str:
    """How numbers of a type that `suits` are multiplied."""
    return OF_HALVES[dtype.name] if is_half(dtype) else ROUNDED[precision]


def tile_for(rows: int, columns: int) -> tuple[int, int]:
    """The tile that costs least, with the rows and columns of nobody that it has at the ends."""

    def cost(tile: tuple[int, int]) -> int:
        return COSTS[tile] * -(-rows // tile[0]) * tile[0] * -(-columns // tile[1]) * tile[1]

    return min(COSTS, key=cost)


def units_fit(channels: int, array: Array) -> bool:
    """Whether 16 bytes hold channels of one pixel or tap, and begin at a multiple of 16."""
    unit = pack_size(array)
    return unit > 1 and channels % unit == 0


def correlate(
    work: Correlation,
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    relu: bool,
    transposed: bool,
    precision: str,
    alone: bool,
) -> None:
    """Compute the part of y that `work` describes, all of y if it is `alone`, from contiguous arrays. `transposed`: the
    weights' input channels lie side by side."""
    m, n = tile_for(work.most_pixels, work.c_out)
    aligned = units_fit(work.c_in, x), units_fit(work.c_in if transposed else work.c_out, weight)
    down, across = -(-work.most_pixels // m), -(-work.c_out // n)
    blocks = down * across * work.groups * work.all_phases
    splits, depth = splits_of(work.most_terms, blocks, y.size, x.dtype.itemsize)
    if not alone:
        splits, depth = 1, max(1, work.most_terms)
    sums = empty((1, splits, *y.shape), sum_type(y.dtype)) if splits > 1 else y
    launch_blocks(
        SOURCE("correlate", arithmetic_for(x.dtype, precision), m, n, transposed),
        (x, weight, bias, y, sums, y.size, work, Tiling(down, across, splits, depth, *aligned, relu)),
        (blocks * splits, 1, 1),
        (THREADS, 1, 1),
        m * CORNER_BYTES + 3 * (m + n) * STEP_BYTES,
    )
    if splits > 1:
        add_splits(sums, bias, y, relu)
