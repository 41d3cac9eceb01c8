"""Launchers of the kernels in `probes.cu`, which only tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tomograd.kernels.cuda.functions import Source
from tomograd.kernels.cuda.launching import empty, launch_blocks
from tomograd.kernels.cuda.runtime import Array

SOURCE = Source(
    str(Path(__file__).parent / "probes.cu"),
    product_tf32=("float",),
    product_of_pairs=("float, true", "float, false"),
    rounded=("float",),
    copied=("float",),
)
_WARP, _ONE = (32, 1, 1), (1, 1, 1)


def product(a: Array, b: Array, precision: str) -> Array:
    """(16, K) · (K, 8) by one instruction of the tensor cores, K = 8 for TF32 and 16 for other types."""
    c = empty((16, 8), np.dtype(np.float32))
    if precision == "tf32":
        function = SOURCE("product_tf32", "float")
    else:
        function = SOURCE("product_of_pairs", "float", precision == "bfloat16")
    launch_blocks(function, (a, b, c), _ONE, _WARP)
    return c


def rounded(x: Array) -> tuple[Array, Array, Array]:
    """x rounded to TF32, bfloat16 and half precision."""
    results = tuple(empty(x.shape, x.dtype) for _ in range(3))
    launch_blocks(SOURCE("rounded", "float"), (x, *results, x.size), (4, 1, 1), (64, 1, 1))
    return results


def copied(x: Array, kept: Array, early: bool = False, waits: bool = True) -> Array:
    """The rows of x (threads, 4), the first `kept` bytes of each, by asynchronous copies."""
    y = empty(x.shape, x.dtype)
    launch_blocks(SOURCE("copied", "float"), (x, kept, y, early, waits), _ONE, (len(x), 1, 1), shared=32 * len(x))
    return y
