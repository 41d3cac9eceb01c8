"""The gradient of a convolution's weights on the tensor cores: which tiles, and how the sum over pixels is split."""

from __future__ import annotations

import numpy as np

from . import weight_tiles
from .convolution_tensor_cores import ARITHMETICS, THREADS, TILES, Tiling, arithmetic_for, tile_for, units_fit
from .correlation import Correlation
from .dense import STEP_BYTES, add_splits, splits_of, sum_type
from .functions import Source, instances
from .launching import empty, launch_blocks
from .runtime import Array

WINDOW_BYTES = 24  # that a block knows of each pixel of a step
SOURCE = Source("weight_tensor_cores.cu", correlate_weights=instances(ARITHMETICS, TILES))


def correlate_weights(work: Correlation, x: Array, dy: Array, dweight: Array, precision: str) -> None:
    """Compute dweight from contiguous arrays, where `convolution_tensor_cores.suits`."""
    m, n = tile_for(work.most_terms, work.c_out)
    itemsize = x.dtype.itemsize
    aligned = units_fit(work.c_in, x), units_fit(work.c_out, dy)
    down, across = -(-work.most_terms // m), -(-work.c_out // n)
    blocks = down * across * work.groups
    splits, depth = splits_of(work.most_pixels, blocks, dweight.size, itemsize)
    sums = empty((splits, dweight.size), sum_type(dweight.dtype)) if splits > 1 else dweight
    launch_blocks(
        SOURCE("correlate_weights", arithmetic_for(x.dtype, precision), m, n),
        (x, dy, dweight, sums, dweight.size, work, Tiling(down, across, splits, depth, *aligned, False)),
        (blocks * splits, 1, 1),
        (THREADS, 1, 1),
        2 * STEP_BYTES // itemsize * WINDOW_BYTES + 3 * (m + n) * STEP_BYTES,
    )
    if splits > 1 and dweight.dtype == np.float32:
        weight_tiles.add_parts(sums, dweight)
    elif splits > 1:
        add_splits(sums[None], None, dweight, False)
