"""Rows added into rows that may be named several times, on the GPU: a block for each tile of the result, no atomics, so
that the sums are the same at every run."""

from __future__ import annotations

import ctypes

import numpy as np

from ..interface import twin_of
from ..reference import rows as reference
from .copying import contiguous
from .functions import REAL, Source, c_type
from .launching import empty, launch_blocks
from .runtime import Array, current

CHUNK = 256  # threads of a block, and indices that it looks at at once, as in row_sums.cu
TILES = 512  # of a large result: some for each processor; every tile reads all indices
MOST_ACROSS = 64  # blocks along a row
SOURCE = Source("row_sums.cu", row_ranges=("int64",), add_rows=REAL)


class RowSums(ctypes.Structure):
    """The sizes, as `add_rows` takes them."""

    _fields_ = [
        ("n", ctypes.c_longlong),
        ("count", ctypes.c_longlong),
        ("columns", ctypes.c_longlong),
        ("tile", ctypes.c_longlong),
        ("across", ctypes.c_int),
    ]


@twin_of(reference.add_rows)
def add_rows(x: Array, rows: Array, count: int) -> Array:
    (n, columns), y = x.shape, empty((count, x.shape[1]), x.dtype)
    if not y.size:
        return y
    x, rows = contiguous(x), contiguous(rows)
    across = min(CHUNK, 1 << (columns - 1).bit_length())
    tile = max(CHUNK // across, -(-count // TILES))
    chunks = -(-n // CHUNK)
    ranges = empty((2 * chunks,), np.dtype(np.int64))
    if chunks:
        _launch("row_ranges", "int64", chunks, 1, (rows, n, ranges), CHUNK // 32 * 8)
    sizes = RowSums(n, count, columns, tile, across)
    wide = min(-(-columns // across), MOST_ACROSS)
    _launch("add_rows", c_type(x.dtype), -(-count // tile), wide, (x, rows, ranges, y, sizes), CHUNK * 4 + CHUNK // 8)
    return y


def _launch(name: str, kind: str, blocks: int, wide: int, arguments: tuple, shared: int) -> None:
    """At most `blocks` blocks times `wide`, and no more than the device holds."""
    function = SOURCE(name, kind)
    blocks = min(blocks, max(1, current().resident_blocks(function, CHUNK, shared) // wide))
    launch_blocks(function, arguments, (blocks, wide, 1), (CHUNK, 1, 1), shared)
