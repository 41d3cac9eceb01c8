"""Launches of kernels that go through rows of numbers: a row for a few lanes of a warp, or for a block."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from .functions import REAL, Source, c_type, instances
from .launching import launch

SHAPES = instances(REAL, ("Few", "Many"))  # the template arguments of such a kernel

HELD = 4  # numbers of a row in one lane, as in rows.cuh
WARP = 32
MOST_THREADS = 512  # in a block that has a row of many columns, Many::THREADS of rows.cuh
LEAST_THREADS = 64


def launch_rows(
    source: Source, name: str, dtype: np.dtype, rows: int, columns: int, arguments: Sequence[Any], *more: Any
) -> None:
    """Run kernel `name`<T, Few or Many> on arguments, rows, columns, lanes, more."""
    few = columns <= WARP * HELD
    function = source(name, c_type(dtype), "Few" if few else "Many")
    lanes = _power_of_two(-(-columns // HELD)) if few else WARP
    everything = (*arguments, rows, columns, ctypes.c_int(lanes), *more)
    if few:
        launch(function, everything, rows * lanes)
    else:
        threads = min(max(_power_of_two(-(-columns // HELD)), LEAST_THREADS), MOST_THREADS)
        launch(function, everything, rows * threads, threads, shared=WARP * np.dtype(dtype).itemsize)


def _power_of_two(least: int) -> int:
    """The smallest power of two that is not less."""
    return 1 << max(least - 1, 0).bit_length()
