"""Rows added into rows that may be named several times: each thread owns a part of the result, and goes through all
rows for what falls into it."""

import numpy as np

from ..interface import twin_of
from ..memory import empty
from ..reference import rows as reference
from .bodies import kernel, unpack
from .copying import contiguous
from .launch import run, threads

GRAIN = 32768  # elements that are worth a thread


@kernel
def _add_rows(begin, end, arguments):
    """For each part: the elements first ≤ p < last of the result, which may begin and end within a row."""
    x, rows, y, n, k, size, parts = unpack(arguments)
    for part in range(begin, end):
        first, last = part * size // parts, (part + 1) * size // parts
        for p in range(first, last):
            y[p] = 0
        for i in range(n):
            row, origin = rows[i] * k, i * k
            low, high = max(row, first), min(row + k, last)
            for p in range(low, high):
                y[p] += x[origin + p - row]


@twin_of(reference.add_rows)
def add_rows(x: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    if x.dtype.char not in "fd":
        return reference.add_rows(x, rows, count)
    x, (n, k) = contiguous(x), x.shape
    y = empty((count, k), x.dtype)
    parts = max(1, min(threads(), (x.size + y.size) // GRAIN))
    if y.size:
        run(_add_rows, parts, 1, x, contiguous(rows), y, n, k, y.size, parts)
    return y
