"""Average pooling, its transpose, and the average over all positions."""

import math
from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes
from ..interface import twin_of
from ..memory import contiguous, empty
from ..reference import pooling as reference
from .channels import Lines, channel_sums
from .lane_maps import Axis
from .launch import kernel, run, unpack
from .separable import apply
from .simd import lanes, load, store, vector_of
from .windows import windows_along


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


@kernel
def _position_sums(begin, end, arguments):
    """sums[k, j] = the sum of place j of all lines of chunk k."""
    vector, line, chunk_rows, chunks, positions, channels, x, sums = unpack(arguments)
    for k in range(begin, end):
        first = k % chunks * chunk_rows
        at = (k // chunks * positions + first) * channels
        stop = at + min(chunk_rows, positions - first) * channels
        for j in range(k * line, (k + 1) * line):
            sums[j] = 0
        while at < stop:
            number, j, total = min(line, stop - at), 0, k * line
            while j + lanes(vector) <= number:
                store(sums, total + j, load(vector, sums, total + j) + load(vector, x, at + j))
                j += lanes(vector)
            while j < number:
                sums[total + j] += x[at + j]
                j += 1
            at += line


def _average_of_all(x: np.ndarray) -> np.ndarray:
    """The average over all positions, (N, 1 …, C)."""
    x, positions = contiguous(x), math.prod(x.shape[1:-1])
    lines = Lines(len(x), positions, x.shape[-1], x.dtype)
    sums = empty((lines.count, 1, lines.lanes), x.dtype)
    if x.size:
        run(_position_sums, lines.count, lines.grain, vector_of(x.dtype), *lines.arguments, x, sums)
    averages = channel_sums(lines, sums) / positions
    return averages.astype(x.dtype).reshape(len(x), *(1,) * (x.ndim - 2), x.shape[-1])


@twin_of(reference.average_pool)
def average_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    if pool_size == x.shape[1:-1] and not any(map(any, padding)):
        return _average_of_all(x)
    return apply(_average_axes(x.shape[1:-1], pool_size, strides, padding, count_include_pad), x)


@twin_of(reference.average_pool_gradient)
def average_pool_gradient(
    dy: np.ndarray, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    axes = _average_axes(input_size, pool_size, strides, padding, count_include_pad)
    return apply([axis.transposed for axis in axes], dy)
