"""Convolutions of many narrow groups on the GPU, forward, transposed and in their weights, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence

from ..half_precision import is_half
from .correlation import Correlation
from .dense import sum_type
from .functions import Source, c_type
from .launching import BYTES_AT_ONCE, THREADS, empty, launch, pack_size, real
from .runtime import Array
from .weight_tiles import WARP, add_parts, parts_of

PIXELS = 4  # of a row that a thread computes
TERMS = 9  # weights of a channel that a thread sums
BYTES_OF_TERMS = 16 * 24  # of shared memory, for where they lie in a window
WIDEST = 8  # output channels of a group: more are worth a product of matrices

_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2", "Half, 1", "Half, 4", "BFloat16, 1", "BFloat16, 4")
SOURCE = Source("depthwise.cu", correlate_channels=_PACKS, correlate_channel_weights=_PACKS)


def suits(work: Correlation) -> bool:
    """Whether the groups are many and narrow."""
    return work.groups > 1 and work.c_out <= WIDEST


def correlate(
    works: Sequence[Correlation], x: Array, weight: Array, bias: Array | None, y: Array, least: float
) -> None:
    """Compute y, which consists of these sums but is at least `least`, from contiguous arrays."""
    for work in works:
        n = _pack(work, x, weight, y, *([] if bias is None else [bias]))
        across = -(-work.along[2][0].outputs // PIXELS)
        rows = work.batch * work.along[0][0].outputs * work.along[1][0].outputs
        items = work.groups * work.c_out // n * across * rows * work.all_phases
        arguments = x, weight, bias, y, work, real(x.dtype, least), items
        launch(SOURCE("correlate_channels", c_type(x.dtype), n), arguments, items, THREADS // 2)  # five blocks, not two


def correlate_weights(work: Correlation, x: Array, dy: Array, dweight: Array) -> None:
    """Compute dweight from contiguous arrays."""
    n = _pack(work, x, dy)
    items = -(-work.groups * work.c_out // (WARP * n)) * -(-work.most_terms // TERMS)
    parts, pixels = parts_of(work.most_pixels, items * THREADS)
    whole = parts == 1 and not is_half(x.dtype)  # halves are rounded by whoever adds the parts
    results = dweight if whole else empty((parts, dweight.size), sum_type(x.dtype))
    shared = BYTES_OF_TERMS + TERMS * THREADS * n * results.dtype.itemsize
    function = SOURCE("correlate_channel_weights", c_type(x.dtype), n)
    launch(function, (x, dy, results, work, parts, pixels), items * parts * THREADS, shared=shared)
    if not whole:
        add_parts(results, dweight)


def _pack(work: Correlation, *arrays: Array) -> int:
    """How many channels a thread takes at once where each is a group of its own, in and out: as many as 16 bytes have
    room for, of what they are summed in."""
    n = min(pack_size(*arrays), BYTES_AT_ONCE // sum_type(arrays[0].dtype).itemsize)
    return n if (work.c_in, work.c_out) == (1, 1) and work.groups % n == 0 else 1
