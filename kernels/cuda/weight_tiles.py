"""The gradient of a convolution's weights as a product of matrices on the GPU, over parts of the pixels."""

from __future__ import annotations

import numpy as np

from .correlation import Correlation
from .functions import REAL, Source, c_type
from .launching import BYTES_AT_ONCE, THREADS, empty, launch, pack_size
from .runtime import Array

# Rows (taps × input channels), as many columns (output channels), and what of them a thread has.
WIDE, SMALL, NARROW, DOUBLE = (128, 8, 8), (64, 8, 4), (32, 4, 4), (32, 4, 2)
ENOUGH = 1 << 17  # threads that fill a large GPU
FEWEST_PIXELS = 256  # in a part
DEPTH = 8  # pixels in a slice
BYTES_OF_TERM = 24  # of shared memory, for where a row lies in a window
WARP = 32


def _spelled(number: str, tile: tuple[int, int, int]) -> str:
    """A tile's type in CUDA C."""
    side, *of_thread = tile
    return f"RegisterTile<{number}, {side}, {side}, {', '.join(map(str, of_thread))}>"


_TILES = [_spelled("float", tile) for tile in (WIDE, SMALL, NARROW)] + [_spelled("double", DOUBLE)]
SOURCE = Source("weight_tiles.cu", correlate_weights=tuple(_TILES), add_parts=(*REAL, "Half", "BFloat16"))


def correlate_weights(work: Correlation, x: Array, dy: Array, dweight: Array) -> None:
    """Compute dweight from contiguous arrays."""
    n = BYTES_AT_ONCE // x.dtype.itemsize
    packs = [
        channels % n == 0 and pack_size(array) == n
        for channels, array in ((work.c_in, x), (work.c_out, dy), (work.c_out, dweight))
    ]
    side, *of_thread = tile = _tile(work, x.dtype, all(packs))
    threads = side // of_thread[0] * (side // of_thread[1])
    down, across = -(-work.most_terms // side), -(-work.c_out // side)
    tiles = down * across * work.groups
    parts, pixels = parts_of(work.most_pixels, tiles * threads)
    results = dweight if parts == 1 else empty((parts, dweight.size), x.dtype)
    shared = side * BYTES_OF_TERM + 2 * DEPTH * 2 * (side + n) * x.dtype.itemsize
    arguments = x, dy, results, work, *packs, down, across, parts, pixels
    function = SOURCE("correlate_weights", _spelled(c_type(x.dtype), tile))
    launch(function, arguments, tiles * parts * threads, threads, shared)
    if parts > 1:
        add_parts(results, dweight)


def _tile(work: Correlation, dtype: np.dtype, packed: bool) -> tuple[int, int, int]:
    """The tile that is not much larger than the matrix of weights."""
    if dtype == np.float64:
        return DOUBLE
    smaller = min(work.most_terms, work.c_out)
    return WIDE if packed and smaller > 64 else SMALL if smaller > 32 else NARROW


def parts_of(pixels: int, threads: int) -> tuple[int, int]:
    """How many parts the pixels are cut in if each takes so many threads, and how many pixels are in a part. Nothing
    else has a say, so that results are the same on every GPU."""
    most = max(1, min(ENOUGH // threads, pixels // FEWEST_PIXELS))
    of_part = max(DEPTH, -(-pixels // (DEPTH * most)) * DEPTH)
    return max(1, -(-pixels // of_part)), of_part


def add_parts(parts: Array, total: Array) -> None:
    """total = parts[0] + parts[1] + …, always added in the same order."""
    arguments = parts, total, total.size, len(parts)
    function = SOURCE("add_parts", c_type(total.dtype))
    launch(function, arguments, -(-total.size // WARP) * THREADS, shared=THREADS * parts.dtype.itemsize)
