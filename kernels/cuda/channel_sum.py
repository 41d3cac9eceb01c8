"""Sums over all positions, channel by channel, on the GPU: the gradient of a bias."""

from __future__ import annotations

from math import gcd

import numpy as np

from ..interface import twin_of
from ..reference import convolution as reference
from .copying import contiguous
from .functions import REAL, Source, c_type
from .launching import THREADS, empty, launch, pack_size
from .runtime import Array

WARP = 32
MOST_PARTS = 512  # blocks that fill a large GPU, and partial sums that one more block adds in no time
FEWEST_ROWS = 64  # in a part: eight for each warp of a block
_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2", "Half, 1", "Half, 8", "BFloat16, 1", "BFloat16, 8")
SOURCE = Source("channel_sum.cu", add_positions=_PACKS, add_partial_sums=(*REAL, "Half", "BFloat16"))


@twin_of(reference.channel_sum)
def channel_sum(dy: Array) -> Array:
    dy, channels = contiguous(dy), dy.shape[-1]
    total = empty((channels,), dy.dtype)
    if channels == 0:
        return total
    n, together = _row(channels, pack_size(dy))
    rows, across = -(-dy.size // (channels * together)), -(-channels * together // (WARP * n))
    most = max(1, min(MOST_PARTS // across, rows // FEWEST_ROWS))
    of_part = max(1, -(-rows // most))
    parts = max(1, -(-rows // of_part))
    partial = empty((parts, channels), np.dtype(np.float64))
    arguments = dy, partial, channels, dy.size, together, parts, of_part
    shared = THREADS * n * 8
    launch(SOURCE("add_positions", c_type(dy.dtype), n), arguments, across * parts * THREADS, shared=shared)
    add, items = SOURCE("add_partial_sums", c_type(dy.dtype)), -(-channels // WARP) * THREADS
    launch(add, (partial, total, channels, parts), items, shared=THREADS * 8)
    return total


def _row(channels: int, n: int) -> tuple[int, int]:
    """(how many numbers a thread reads at once, how many positions make a row): rows are whole packs of n, and fill a
    warp if they are of several positions."""
    least = n // gcd(channels, n)  # positions that are whole packs
    if channels * least > WARP * n:
        return (n, 1) if least == 1 else (1, max(1, WARP // channels))
    return n, WARP * n // (channels * least) * least
