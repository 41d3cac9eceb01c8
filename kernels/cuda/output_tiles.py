"""Convolutions and the phases of transposed ones as products of matrices on the GPU, tile by tile."""

from __future__ import annotations

import ctypes

import numpy as np

from .correlation import Correlation
from .functions import Source, c_type, instances
from .launching import BYTES_AT_ONCE, launch, pack_size
from .runtime import Array

Tile = tuple[int, int, int, int]  # rows (pixels), columns (channels), and what of them a thread has
WIDE, SLIM, SMALL = (128, 128, 8, 8), (128, 64, 8, 4), (64, 64, 8, 4)
NARROW, NARROWER, FEW = (128, 32, 4, 4), (128, 16, 4, 2), (256, 8, 4, 2)
DOUBLE = (32, 32, 4, 2)
ENOUGH = 256  # tiles that fill a large GPU: fewer are made smaller
DEPTH = 8  # terms in a slice
BYTES_OF_ROW = 32  # of shared memory, for where a row lies


def _spelled(number: str, tile: Tile) -> str:
    """A tile's type in CUDA C."""
    return f"RegisterTile<{number}, {', '.join(map(str, tile))}>"


_TILES = [_spelled("float", tile) for tile in (WIDE, SLIM, SMALL, NARROW, NARROWER, FEW)] + [_spelled("double", DOUBLE)]
SOURCE = Source("output_tiles.cu", correlate=instances(tuple(_TILES), (False, True)))


class Options(ctypes.Structure):
    """What may be done 16 bytes at once, and whether negative sums become 0."""

    _fields_ = [(name, ctypes.c_bool) for name in ("pack_x", "pack_w", "pack_y", "relu")]


def correlate(
    work: Correlation, x: Array, weight: Array, bias: Array | None, y: Array, relu: bool, transposed: bool
) -> None:
    """Compute the part of y that `work` describes, from contiguous arrays. `transposed`: it is the input channels of
    the weights that lie side by side."""
    n = BYTES_AT_ONCE // x.dtype.itemsize
    side_by_side = work.c_in if transposed else work.c_out
    options = Options(
        pack_x=work.c_in % n == 0 and pack_size(x) == n,
        pack_w=side_by_side % n == 0 and pack_size(weight) == n,
        pack_y=work.c_out % n == 0 and pack_size(y) == n,
        relu=relu,
    )
    rows, columns, *of_thread = tile = _tile(work, x.dtype, options.pack_x and options.pack_w and options.pack_y)
    threads = rows // of_thread[0] * (columns // of_thread[1])
    down, across = -(-work.most_pixels // rows), -(-work.c_out // columns)
    shared = rows * BYTES_OF_ROW + 2 * DEPTH * (rows + columns + 2 * n) * x.dtype.itemsize
    arguments = x, weight, bias, y, work, options, down, across
    launch(
        SOURCE("correlate", _spelled(c_type(x.dtype), tile), transposed),
        arguments,
        _count(work, tile) * threads,
        threads,
        shared,
    )


def _tile(work: Correlation, dtype: np.dtype, packed: bool) -> Tile:
    """The largest tile of which there are enough, and whose columns are not many more than the channels."""
    if dtype == np.float64:
        return DOUBLE
    if work.c_out <= 32:
        return FEW if work.c_out <= 8 else NARROWER if work.c_out <= 16 else NARROW
    in_the_last = (work.c_out - 1) % 128 + 1  # channels, of the 128 of a wide tile
    if packed and in_the_last > 64 and _count(work, WIDE) >= ENOUGH:
        return WIDE
    return SLIM if _count(work, SLIM) >= ENOUGH else SMALL


def _count(work: Correlation, tile: Tile) -> int:
    """How many tiles there are."""
    return -(-work.most_pixels // tile[0]) * -(-work.c_out // tile[1]) * work.groups * work.all_phases
