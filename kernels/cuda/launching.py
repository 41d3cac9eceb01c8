"""What every launcher does: arrays for results, arguments as kernels read them, the grid that a GPU holds."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .functions import Function
from .runtime import Array, as_argument, current

THREADS = 256  # in a block, where a kernel does not say otherwise: eight warps, a divisor of what a processor holds
BYTES_AT_ONCE = 16  # that one instruction of a thread moves


def empty(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """An array for a result, in C order, its contents undefined."""
    return current().empty(tuple(int(size) for size in shape), np.dtype(dtype))


def launch(function: Function, arguments: tuple[Any, ...], items: int, threads: int = THREADS, shared: int = 0) -> None:
    """Run a kernel whose threads go through `items` in a loop: as many blocks as the device holds, at most one thread
    an item. Nothing is launched for no items."""
    blocks = -(-items // threads)
    if blocks > 0:
        blocks = min(blocks, current().resident_blocks(function, threads, shared))
        launch_blocks(function, arguments, (blocks, 1, 1), (threads, 1, 1), shared)


def launch_rows(function: Function, arguments: tuple[Any, ...], rows: int, items: int) -> None:
    """Run a kernel whose threads go through `rows` of so many items each (see image_rows.cuh), on as many blocks as the
    device holds. A block is as wide as leaves fewest threads idle in a row, a warp at most, so that a thread finds out
    once where its row is and then has several items in it; and it takes several rows at a time."""
    if rows and items:
        across = min((8, 16, 32), key=lambda width: (-(-items // width) * width, -width))
        down = THREADS // across
        resident = current().resident_blocks(function, THREADS, 0)
        wide = min(-(-rows // down), resident)
        parts = max(1, min(resident // wide, -(-items // across), 65535))
        launch_blocks(function, arguments, (wide, parts, 1), (across, down, 1))


def launch_blocks(
    function: Function,
    arguments: tuple[Any, ...],
    grid: tuple[int, int, int],
    block: tuple[int, int, int],
    shared: int = 0,
) -> None:
    """Run a kernel on a grid of blocks. Nothing is launched for an empty grid."""
    if min(grid) > 0:
        current().launch(function, grid, block, shared, [as_argument(each) for each in arguments])


def real(dtype: np.dtype, value: float) -> Any:
    """A number in an array's type, as a kernel's argument."""
    return ctypes.c_double(value) if np.dtype(dtype) == np.float64 else ctypes.c_float(value)


def pack_size(*arrays: Array) -> int:
    """How many items of these arrays a thread may move at once: 16 bytes' worth where all of them begin at a multiple
    of 16 bytes, else 1."""
    largest = max(array.dtype.itemsize for array in arrays)
    aligned = all(current().address(array) % BYTES_AT_ONCE == 0 for array in arrays)
    return BYTES_AT_ONCE // largest if aligned else 1


def is_contiguous(array: Array) -> bool:
    """Whether an array lies in C order without gaps."""
    return bool(array.flags.c_contiguous)
