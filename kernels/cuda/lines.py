"""How arrays (samples, positions, channels) are cut into lines, chunks and strips: see sources/lines.cuh."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .functions import Function
from .launching import empty, launch, pack_size
from .runtime import Array

THREADS = 256  # in a block, as in lines.cuh
SHARES = 528  # chunks that a large array is cut into, or more: four blocks for each processor of an H100
LINES = (16, 256)  # in a chunk that is summed, at least and at most: a thread adds one number of each
MAPPED = 16  # lines in a chunk of a map: so many numbers a thread are worth looking up its channels
ROWS = 8  # lines that a kernel reads at once: chunks are multiples of it

Sizes = tuple[int, int, int]  # samples, positions, channels


class Lines(ctypes.Structure):
    """As kernels take it; sizes are counts of numbers."""

    _names = ("samples", "size", "channels", "pitch", "depth", "chunks", "strips", "backwards")
    _fields_ = [(name, ctypes.c_longlong) for name in _names]


def numbers_at_once(sizes: Sizes, *arrays: Array) -> int:
    """How many neighbouring numbers a thread may have: as many as alignment allows, if every sample begins at a
    multiple of them and so does each line."""
    samples, positions, channels = sizes
    n = pack_size(*arrays)
    aligned = samples == 1 or positions * channels % n == 0
    return n if aligned and (channels % n == 0 or math.lcm(channels, n) <= THREADS * n) else 1


def lines_to_sum(sizes: Sizes, n: int) -> Lines:
    """Lines in chunks that depend on nothing but the sizes, so that sums are the same on every device."""
    lines = _not_in_chunks(sizes, n)
    least, most = LINES
    return _cut(lines, min(max(-(-_count(lines) // SHARES), least), most))


def lines_to_map(sizes: Sizes, n: int) -> Lines:
    """Lines in short chunks, the last one first."""
    lines = _cut(_not_in_chunks(sizes, n), MAPPED)
    lines.backwards = 1
    return lines


def _not_in_chunks(sizes: Sizes, n: int) -> Lines:
    samples, positions, channels = sizes
    unit, most = math.lcm(channels, n), THREADS * n
    size = positions * channels
    if 0 < unit <= most:
        return Lines(samples, size, channels, unit * (most // unit), 1, 1, 1, 0)
    return Lines(samples, size, channels, channels, 1, 1, -(-channels // most), 0)


def _count(lines: Lines) -> int:
    """The lines of all samples, each strip counted by itself."""
    return lines.samples * lines.strips * -(-lines.size // max(lines.pitch, 1))


def _cut(lines: Lines, lines_of_chunk: int) -> Lines:
    lines.depth = -(-lines_of_chunk // ROWS) * ROWS
    lines.chunks = -(-lines.size // max(lines.depth * lines.pitch, 1))
    return lines


def launch_lines(function: Function, lines: Lines, arguments: Sequence[Any], shared: int = 0) -> None:
    """Run a kernel over all parts, its last argument the lines."""
    parts = lines.samples * lines.chunks * lines.strips
    launch(function, (*arguments, lines), parts * THREADS, THREADS, shared)


def partial_sums(function: Function, lines: Lines, quantities: int, n: int, arguments: Sequence[Any]) -> Array:
    """Run a kernel that adds up each part: sums (samples, chunks, quantities, channels) in double precision. Its last
    arguments are the sums and the lines."""
    partials = empty((lines.samples, lines.chunks, quantities, lines.channels), np.dtype(np.float64))
    room = quantities * THREADS * n * (4 if "float" in function.expression else 8)
    launch_lines(function, lines, (*arguments, partials), room)
    return partials


def launch_columns(function: Function, tables: int, columns: int, arguments: Sequence[Any]) -> None:
    """Run a kernel that adds up columns of tables, its last argument the number of columns in a block."""
    lanes = 1 << (min(max(columns, 1), 32) - 1).bit_length()
    blocks = tables * -(-columns // lanes)
    everything = (*arguments, ctypes.c_int(lanes))
    launch(function, everything, blocks * THREADS, THREADS, shared=THREADS * 8)
