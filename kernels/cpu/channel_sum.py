"""Sums over positions, channel by channel: the gradient of a bias, and the average over all positions.

A run of whole positions is a row of numbers; rows are added up, eight at a time, into one row in the first-level cache.
After PARTIAL of them in the arrays' own precision the sum goes on in double precision.
"""

import math

import numpy as np

from ..interface import twin_of
from ..reference import convolution as reference
from .bodies import kernel, scratch, unpack
from .copying import contiguous
from .launch import run, threads
from .mathematics import function
from .simd import lanes, load, load_part, store, store_part, to_float64, vector_of

ROW = 512  # numbers in a row, about: a page or less for each of the eight that are read together
LONGEST = 2048  # numbers in a row of several positions, at most
ROOM = 2048  # numbers of the row that is summed into: a third of a first-level cache, at most
PARTIAL = 64  # rows added before the sum goes on in double precision
TOGETHER = 8  # rows added in one step
WORK = 50_000  # numbers that are worth a thread


@function
def _part(vector, x, at, width):
    """x[at : at + width], with zeros behind it."""
    return load(vector, x, at) if width >= lanes(vector) else load_part(vector, x, at, width)


@function
def _eight_rows(vector, x, at, row, width, room, fresh):
    """room[: width] (+)= the sum of eight rows."""
    for j in range(0, width, lanes(vector)):
        here, left = at + j, width - j
        a = _part(vector, x, here, left) + _part(vector, x, here + row, left)
        b = _part(vector, x, here + 2 * row, left) + _part(vector, x, here + 3 * row, left)
        c = _part(vector, x, here + 4 * row, left) + _part(vector, x, here + 5 * row, left)
        d = _part(vector, x, here + 6 * row, left) + _part(vector, x, here + 7 * row, left)
        total = (a + b) + (c + d)
        store(room, j, total if fresh else load(vector, room, j) + total)


@function
def _one_row(vector, x, at, width, room, fresh):
    for j in range(0, width, lanes(vector)):
        here = _part(vector, x, at + j, width - j)
        store(room, j, here if fresh else load(vector, room, j) + here)


@function
def _add_to_totals(vector, room, width, totals, to):
    for j in range(0, width, lanes(vector)):
        here = to_float64(load(vector, room, j))
        if j + lanes(vector) <= width:
            store(totals, to + j, load(vector, totals, to + j) + here)
        else:
            store_part(totals, to + j, load_part(vector, totals, to + j, width - j) + here, width - j)


@function
def add_rows(vector, x, start, row, first, end, width, room, totals, to):
    """totals[to : to + width] += the first `width` numbers of the rows first … end of x, which begin at `start` and lie
    `row` numbers apart."""
    r = first
    while r < end:
        last, fresh = min(r + PARTIAL, end), True
        while r < last:
            at = start + r * row
            if r + TOGETHER <= last:
                _eight_rows(vector, x, at, row, width, room, fresh)
                r += TOGETHER
            else:
                _one_row(vector, x, at, width, room, fresh)
                r += 1
            fresh = False
        _add_to_totals(vector, room, width, totals, to)


@kernel
def _sum_rows(begin, end, arguments):
    """For each part of each sample the sum of its rows. The last part has also what is less than a row."""
    vector, row, rows, numbers, parts, x, totals = unpack(arguments)
    room = scratch(x, ROOM)
    for item in range(begin, end):  # item = sample · parts + part
        part, start = item % parts, item // parts * numbers
        for j in range(item * row, (item + 1) * row):
            totals[j] = 0
        for column in range(0, row, ROOM):
            width, first, end_row = min(ROOM, row - column), part * rows // parts, (part + 1) * rows // parts
            add_rows(vector, x, start + column, row, first, end_row, width, room, totals, item * row + column)
        if part == parts - 1:
            for j in range(numbers - rows * row):
                totals[item * row + j] += x[start + rows * row + j]


def sums_over_positions(x: np.ndarray) -> np.ndarray:
    """Σ over positions of x (samples, positions, channels), C-contiguous and not empty: (samples, channels) float64."""
    (samples, positions, channels), vector = x.shape, vector_of(x.dtype)
    together = vector.lanes // math.gcd(channels, vector.lanes)  # positions that fill whole vectors
    together = together * max(1, ROW // (channels * together)) if channels * together <= LONGEST else 1
    together = min(together, positions)
    row, rows = channels * together, positions // together
    parts = max(1, min(threads() // samples, x.size // WORK, rows))
    totals = np.empty((samples, parts * together, channels))
    grain = max(1, WORK * samples * parts // x.size)
    run(_sum_rows, samples * parts, grain, vector, row, rows, positions * channels, parts, x, totals)
    return totals[:, 0] if parts * together == 1 else totals.sum(1)


@twin_of(reference.channel_sum)
def channel_sum(dy: np.ndarray) -> np.ndarray:
    if dy.size == 0:
        return np.zeros(dy.shape[-1], dy.dtype)
    return sums_over_positions(contiguous(dy).reshape(1, -1, dy.shape[-1]))[0].astype(dy.dtype)
