"""Convolutions from a few input channels or to a few output channels on the GPU: first and last layers of networks."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from ..half_precision import is_half
from .correlation import Correlation
from .dense import sum_type
from .functions import Source, c_type
from .launching import BYTES_AT_ONCE, THREADS, launch, pack_size, real
from .runtime import Array

MOST = 4  # channels that are few
PIXELS, ACROSS = 4, 4  # pixels of a thread, threads that share them where inputs are few
MOST_LANES = 8  # threads that share them where outputs are: what they read at once is a line of the cache
MOST_SHARED = 48 * 1024  # bytes of weights that a block keeps

SOURCE = Source(
    "few_channels.cu",
    correlate_few_inputs=("float, 4", "float, 8", "double, 4", "Half, 4", "Half, 8", "BFloat16, 4", "BFloat16, 8"),
    correlate_few_outputs=(
        *("float, 1", "float, 2", "float, 3", "float, 4", "double, 4"),
        *("Half, 1", "Half, 4", "BFloat16, 1", "BFloat16, 4"),
    ),
)


def suits(works: Sequence[Correlation], x: Array) -> bool:
    """Whether there are few channels on one side, and the weights of a block fit in its shared memory."""
    work, n = works[0], _in_piece(x.dtype)
    packs = work.c_in % n == 0 and pack_size(x) >= n
    if work.groups > 1 or (work.c_in > MOST and (work.c_out > MOST or not packs)):
        return False
    return _shared(works, x.dtype) <= MOST_SHARED


def correlate(
    works: Sequence[Correlation], x: Array, weight: Array, bias: Array | None, y: Array, least: float
) -> None:
    """Compute y, which consists of these sums but is at least `least`, from contiguous arrays."""
    few_inputs = works[0].c_in <= MOST
    n = _in_piece(x.dtype)
    lanes = ACROSS if few_inputs else min(MOST_LANES, 1 << ((works[0].c_in // n).bit_length() - 1))
    channels = _channels(works[0], x.dtype)
    across = -(-works[0].c_out // (ACROSS * channels)) if few_inputs else 1
    name = "correlate_few_inputs" if few_inputs else "correlate_few_outputs"
    pack_y = works[0].c_out % n == 0 and pack_size(y) >= n
    for work in works:
        d, h, w = (work.along[axis][0].outputs for axis in range(3))
        down = -(-work.batch * d * h * -(-w // PIXELS) * lanes // THREADS)
        bound = real(x.dtype, least)
        more = (pack_y, bound, down, across) if few_inputs else (bound, down, ctypes.c_int(lanes))
        arguments, items = (x, weight, bias, y, work, *more), down * across * work.all_phases * THREADS
        launch(SOURCE(name, c_type(x.dtype), channels), arguments, items, shared=_shared(works, x.dtype))


def _in_piece(dtype: np.dtype) -> int:
    """Channels of which 16 bytes of weights are, or of sums."""
    return BYTES_AT_ONCE // sum_type(dtype).itemsize


def _channels(work: Correlation, dtype: np.dtype) -> int:
    """How many output channels a thread computes."""
    if work.c_in <= MOST:
        return 8 if dtype != np.float64 and work.c_out > 16 else 4
    return work.c_out if dtype == np.float32 or (is_half(dtype) and work.c_out == 1) else 4


def _shared(works: Sequence[Correlation], dtype: np.dtype) -> int:
    """Bytes of the weights that a block keeps."""
    columns = _channels(works[0], dtype) * (ACROSS if works[0].c_in <= MOST else 1)
    return max(work.most_terms for work in works) * columns * sum_type(dtype).itemsize
