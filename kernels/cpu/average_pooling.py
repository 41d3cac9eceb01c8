"""Average pooling, its transpose, and the average over all positions."""

import math
from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..memory import empty
from ..reference import pooling as reference
from .bodies import (
    Constant,
    either,
    kernel,
    scratch,
    unpack,
)
from .channel_sum import ROOM, WORK, add_rows, sums_over_positions
from .channels import Lines
from .copying import contiguous
from .covering import has_known_windows, reading, run_over_positions, walk_over_positions
from .lane_maps import Axis
from .launch import run, threads
from .mathematics import function
from .separable import apply
from .simd import (
    Vector,
    first_lanes,
    lanes,
    load,
    load_part,
    pointer_at,
    select,
    splat,
    store,
    store_part,
    to_float32,
    vector_of,
)
from .windows import CUT, run_over_windows, tap, walk_over_channels, walk_over_numbers, windows_along

_DOUBLE = np.zeros(1)  # an array of the type in which sums go on


@lru_cache(maxsize=256)
def _average_axis(i: int, k: int, s: int, pair: tuple[int, int], count_include_pad: bool) -> Axis:
    """Averages over windows along one axis: the counts of several axes multiply."""
    axis = windows_along(i, k, s, pair, 1)
    inside = np.bincount(axis.target, minlength=axis.outputs)
    count = np.full(axis.outputs, k) if count_include_pad else inside
    return Axis(axis.outputs, axis.inputs, axis.target, axis.source, 1 / count[axis.target])


def _average_axes(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> list[Axis]:
    each = zip(input_size, pool_size, strides, padding, strict=True)
    return [_average_axis(i, k, s, tuple(pair), count_include_pad) for i, k, s, pair in each]


def _rounded(single, numbers):
    return to_float32(numbers)


def _exact(single, numbers):
    return numbers


_in_precision = either(_rounded, _exact)


@kernel
def _averages(begin, end, arguments):
    """The averages of whole samples, a row of channels after the other added up as in `channel_sum`."""
    vector, double, single, positions, channels, factor, like, x, y = unpack(arguments)
    room, totals = scratch(x, ROOM), scratch(like, ROOM)
    for sample in range(begin, end):
        for column in range(0, channels, ROOM):
            width = min(ROOM, channels - column)
            for j in range(width):
                totals[j] = 0
            start = sample * positions * channels + column
            add_rows(vector, x, start, channels, 0, positions, width, room, totals, 0)
            for j in range(0, width, lanes(double)):
                mean = _in_precision(single, load_part(double, totals, j, width - j) * factor)
                store_part(y, sample * channels + column + j, mean, width - j)


def _average_of_all(x: np.ndarray) -> np.ndarray:
    """The average over all positions, (N, 1 …, C)."""
    x, channels, vector = contiguous(x), x.shape[-1], vector_of(x.dtype)
    y = empty((len(x), *(1,) * (x.ndim - 2), channels), x.dtype)
    if y.size and len(x) >= threads() and channels >= vector.lanes:
        single, double = Constant(x.dtype == np.float32), Vector(_DOUBLE.dtype, vector.lanes)
        positions = x.size // y.size
        numbers = (positions, channels, 1 / positions, _DOUBLE)
        run(_averages, len(x), 1 + WORK * len(x) // x.size, vector, double, single, *numbers, x, y)
    elif y.size:  # few samples are shared by the threads
        positions = x.size // y.size
        sums = sums_over_positions(x.reshape(len(x), positions, channels))
        np.multiply(sums, 1 / positions, out=y.reshape(sums.shape), casting="same_kind")
    return y


@kernel
def _repeat(begin, end, arguments):
    """Chunks of dx filled with the lines of their samples."""
    vector, line, chunk_rows, chunks, positions, channels, repeated, dx = unpack(arguments)
    for k in range(begin, end):
        first, own = k % chunks * chunk_rows, pointer_at(repeated, k // chunks * line)
        at = (k // chunks * positions + first) * channels
        stop = at + min(chunk_rows, positions - first) * channels
        while at < stop:
            number = min(line, stop - at)
            for j in range(0, number, lanes(vector)):
                if j + lanes(vector) <= number:
                    store(dx, at + j, load(vector, own, j))
                else:
                    store_part(dx, at + j, load_part(vector, own, j, number - j), number - j)
            at += line


def _spread_over_all(dy: np.ndarray, input_size: Sizes) -> np.ndarray:
    """The transpose of that."""
    dx, positions = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype), math.prod(input_size)
    if dx.size:
        lines = Lines(len(dy), positions, dy.shape[-1], dy.dtype)
        shares = dy.reshape(len(dy), dy.shape[-1]) * dy.dtype.type(1 / positions)
        run(_repeat, lines.count, lines.grain, vector_of(dy.dtype), *lines.arguments, lines.repeated(shares), dx)
    return dx


# ---- windows, directly -----------------------------------------------------------------------------------------------


@function
def _mean_of_whole(vector, x, base, indices, mode, sizes, steps, y, counted, to, spoiled):
    (k0, k1, k2), (step0, step1, step2), total = sizes, steps, splat(vector, 0)
    for t0 in range(k0):
        for t1 in range(k1):
            for t2 in range(k2):
                total = total + tap(vector, x, 0, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
    store(y, to, total * splat(vector, 1 / (k0 * k1 * k2)))
    return spoiled


@function
def _mean_of_cut(vector, x, size, base, indices, mode, start2, taps, shape, steps, y, counted, to, count):
    (first0, end0, first1, end1, first2, end2), (_, _, i2, d2), (step0, step1, step2) = taps, shape, steps
    rows, total, number = (end0 - first0) * (end1 - first1), splat(vector, 0), splat(vector, 0)
    for t2 in range(first2, end2):
        inside = first_lanes(vector, lanes(vector))
        if mode == CUT:
            position = start2 + t2 * d2
            inside = (position >= 0) & (position < i2)
        for t0 in range(first0, end0):
            for t1 in range(first1, end1):
                here = tap(vector, x, size, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                total = select(inside, total + here, total)
        number = select(inside, number + splat(vector, rows), number)
    if counted > 0:
        number = splat(vector, counted)
    store_part(y, to, total / number, count)


@kernel
def _mean_over_numbers(begin, end, arguments):
    walk_over_numbers(_mean_of_whole, _mean_of_cut, begin, end, arguments)


@kernel
def _mean_over_channels(begin, end, arguments):
    walk_over_channels(_mean_of_whole, _mean_of_cut, begin, end, arguments)


@function
def _share(vector, dy, scale, at, size):
    return reading(vector, dy, at, size) * splat(vector, scale)


@function
def _sum(vector, given, tap, total):
    return total + given


@kernel
def _spread(begin, end, arguments):
    walk_over_positions(_share, _sum, begin, end, arguments)


# ---- the kernels -----------------------------------------------------------------------------------------------------


@twin_of(reference.average_pool)
def average_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    if pool_size == x.shape[1:-1] and not any(map(any, padding)):
        return _average_of_all(x)
    if any(k > s for k, s in zip(pool_size, strides, strict=True)):  # sums of rows serve several windows
        return apply(_average_axes(x.shape[1:-1], pool_size, strides, padding, count_include_pad), x)
    x, dilation = contiguous(x), (1,) * len(pool_size)
    y = empty((len(x), *pool_output_size(x.shape[1:-1], pool_size, strides, padding, dilation), x.shape[-1]), x.dtype)
    if y.size:
        counted = math.prod(pool_size) if count_include_pad else 0
        run_over_windows(
            _mean_over_numbers, _mean_over_channels, x, y, (pool_size, strides, padding, dilation), counted
        )
    return y


@twin_of(reference.average_pool_gradient)
def average_pool_gradient(
    dy: np.ndarray, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    if pool_size == input_size and not any(map(any, padding)):
        return _spread_over_all(dy, input_size)
    alike = count_include_pad or not any(map(any, padding))  # all windows divide by the same number
    mostly_one = all(k < 2 * s for k, s in zip(pool_size, strides, strict=True))  # window over a position
    if not (alike and mostly_one and has_known_windows(pool_size, strides)):
        axes = _average_axes(input_size, pool_size, strides, padding, count_include_pad)
        return apply([axis.transposed for axis in axes], dy)
    dy = contiguous(dy)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    if dx.size:
        geometry, scale = (pool_size, strides, padding, (1,) * len(pool_size)), dy.dtype.type(1 / math.prod(pool_size))
        run_over_positions(_spread, dy, scale, dx, geometry)
    return dx
