"""Convolutions and the phases of transposed ones as products of matrices on the GPU, tile by tile."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import inf

import numpy as np

from .correlation import Correlation
from .functions import Source, c_type, instances
from .launching import BYTES_AT_ONCE, empty, launch, pack_size, real
from .runtime import Array

Tile = tuple[int, int, int, int]  # rows (pixels), columns (channels), and what of them a thread has
WIDE, SLIM, SMALL = (128, 128, 8, 8), (128, 64, 8, 4), (64, 64, 8, 4)
NARROW, NARROWER, FEW = (128, 32, 4, 4), (128, 16, 4, 2), (256, 8, 4, 2)
DOUBLE = (32, 32, 4, 2)
ENOUGH = 256  # tiles that fill a large GPU: fewer are made smaller, or their terms are cut in parts
FEWEST_TERMS = 128  # in a part
DEPTH = 8  # terms in a slice
BYTES_OF_ROW = 32  # of shared memory, for where a row lies


def _spelled(number: str, tile: Tile) -> str:
    """A tile's type in CUDA C."""
    return f"RegisterTile<{number}, {', '.join(map(str, tile))}>"


_TILES = [_spelled("float", tile) for tile in (WIDE, SLIM, SMALL, NARROW, NARROWER, FEW)] + [_spelled("double", DOUBLE)]
SOURCE = Source(
    "output_tiles.cu",
    correlate=instances(tuple(_TILES), (False, True)),
    add_parts_of_terms=("float, 1", "float, 4", "double, 1", "double, 2"),
)


class Options(ctypes.Structure):
    """What may be done 16 bytes at once."""

    _fields_ = [(name, ctypes.c_bool) for name in ("pack_x", "pack_w", "pack_y")]


def correlate(
    works: Sequence[Correlation],
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    least: float,
    transposed: bool,
) -> None:
    """Compute y, which consists of these sums but is at least `least`, from contiguous arrays. `transposed`: it
    is the input channels of the weights that lie side by side."""
    n = BYTES_AT_ONCE // x.dtype.itemsize
    pack_x, pack_y = works[0].c_in % n == 0 and pack_size(x) == n, works[0].c_out % n == 0 and pack_size(y) == n
    pack_w = (works[0].c_in if transposed else works[0].c_out) % n == 0 and pack_size(weight) == n
    tile = _tile(works[0], x.dtype, pack_x and pack_w and pack_y)
    options = Options(pack_x, pack_w, pack_y)
    parts = 1 if len(works) > 1 else _parts(works[0], tile)
    if parts == 1:
        for work in works:
            _launch(work, tile, x, weight, bias, y, least, options, transposed)
    else:
        sums = empty((parts, *y.shape), y.dtype)
        _launch(works[0], tile, x, weight, None, sums, -inf, options, transposed, parts)
        n = n if pack_y else 1
        function = SOURCE("add_parts_of_terms", c_type(y.dtype), n)
        launch(function, (sums, bias, y, y.size, y.shape[-1], parts, real(y.dtype, least)), y.size // n)


def _launch(
    work: Correlation,
    tile: Tile,
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    least: float,
    options: Options,
    transposed: bool,
    parts: int = 1,
) -> None:
    """Compute the sums of one phase or more. If over several parts of the terms, y has one axis more in front."""
    rows, columns, *of_thread = tile
    threads = rows // of_thread[0] * (columns // of_thread[1])
    down, across = -(-work.most_pixels // rows), -(-work.c_out // columns)
    padding = 2 * BYTES_AT_ONCE // x.dtype.itemsize
    shared = rows * BYTES_OF_ROW + 2 * DEPTH * (rows + columns + padding) * x.dtype.itemsize
    bound = real(x.dtype, least)
    arguments = x, weight, bias, y, work, bound, options, down, across, parts, y.size // parts
    function = SOURCE("correlate", _spelled(c_type(x.dtype), tile), transposed)
    launch(function, arguments, _count(work, tile) * parts * threads, threads, shared)


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


def _parts(work: Correlation, tile: Tile) -> int:
    """How many parts the terms are cut in. Only shapes have a say, so that results are the same on every GPU."""
    if tile == WIDE:
        return 1
    return max(1, min(ENOUGH // _count(work, tile), work.most_terms // FEWEST_TERMS))


def _count(work: Correlation, tile: Tile) -> int:
    """How many tiles there are."""
    return -(-work.most_pixels // tile[0]) * -(-work.c_out // tile[1]) * work.groups * work.all_phases
