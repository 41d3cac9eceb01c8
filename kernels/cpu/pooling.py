"""Max and average pooling: one pass, lanes over the channels, each result written once by whoever owns it.

Gradients are gathered, not scattered: each position of the image adds up the windows that lie over it, in a fixed
order. Where the windows tile the image exactly (2×2 windows with stride 2, say) a window writes all its positions
instead.
"""

import math
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..memory import contiguous, empty
from ..reference import pooling as reference
from .launch import Constant, kernel, run, unpack, value
from .mathematics import function
from .separable import IDENTITY, Axis, apply, block_start, tables, vector_for
from .simd import (
    VectorType,
    lane_numbers,
    lanes,
    llvm_element,
    load,
    select,
    splat,
    store,
)

GRAIN = 16384  # numbers read that are worth a thread


# ---- windows ---------------------------------------------------------------------------------------------------------


@function
def first_tap(start, dilation):
    """The first tap of a window that starts at `start` (negative: in the padding) to lie in the image."""
    return 0 if start >= 0 else (dilation - 1 - start) // dilation


@function
def end_of_taps(start, dilation, taps, size):
    """One more than the last tap to lie in an image of `size` positions."""
    return taps if start + (taps - 1) * dilation < size else (size - start + dilation - 1) // dilation


@intrinsic
def narrowed(typing, numbers, pointer):
    """Whole numbers as narrow as the pointer's elements."""
    result = VectorType(pointer.dtype, numbers.lanes)

    def generate(context, builder, signature, arguments):
        kind = ir.VectorType(llvm_element(pointer.dtype), numbers.lanes)
        return builder.trunc(arguments[0], kind) if kind != arguments[0].type else arguments[0]

    return result(numbers, pointer), generate


def _in_3d(values: tuple, missing) -> tuple:
    """One entry for each of three spatial dimensions: arrays of fewer have leading dimensions of size 1."""
    return (*(missing,) * (3 - len(values)), *values)


def _geometry(
    input_size: Sizes, output_size: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes, channels: int
) -> np.ndarray:
    """What the bodies are told, three numbers of each kind: sizes, strides, padding before, dilation; then the
    channels."""
    before = tuple(pair[0] for pair in padding)
    kinds = [_in_3d(input_size, 1), _in_3d(output_size, 1), _in_3d(strides, 1), _in_3d(before, 0), _in_3d(dilation, 1)]
    return np.array([*sum(kinds, ()), channels], np.int64)


@function
def unpacked(g):
    return g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]


def _taps(pool_size: Sizes) -> tuple:
    """The size of the window for the bodies: constants for common windows, which are unrolled, else numbers."""
    common = set(pool_size) in ({2}, {3}) and math.prod(pool_size) <= 9
    return tuple(map(Constant if common else int, _in_3d(pool_size, 1)))


def _row_grain(*numbers_of_a_row: int) -> int:
    return max(1, GRAIN // max(math.prod(numbers_of_a_row), 1))


# ---- max pooling -----------------------------------------------------------------------------------------------------


@function
def max_of_window(vector, x, corner, first0, end0, first1, end1, first2, end2, k1, k2, step0, step1, step2):
    """The largest numbers in the taps first … end of a window whose first tap is at `corner`, and which taps they
    were in."""
    zero = lane_numbers(vector) * 0
    at = corner + first0 * step0 + first1 * step1 + first2 * step2
    best, chosen = load(vector, x, at), splat(zero, (first0 * k1 + first1) * k2 + first2)
    for t0 in range(first0, end0):
        for t1 in range(first1, end1):
            for t2 in range(first2, end2):
                here = load(vector, x, corner + t0 * step0 + t1 * step1 + t2 * step2)
                # NaN is larger than every number, and the first NaN wins.
                larger = (here > best) | ((here != here) & (best == best))
                best = select(larger, here, best)
                chosen = select(larger, splat(zero, (t0 * k1 + t1) * k2 + t2), chosen)
    return best, chosen


@kernel
def _max_pool(begin, end, arguments):
    vector, k0, k1, k2, geometry, x, y, choice = unpack(arguments)
    i0, i1, i2, o0, o1, o2, s0, s1, s2, p0, p1, p2, d0, d1, d2, channels = unpacked(geometry)
    k0, k1, k2 = value(k0), value(k1), value(k2)
    step0, step1, step2 = d0 * i1 * i2 * channels, d1 * i2 * channels, d2 * channels
    for row in range(begin, end):  # row = (n · o0 + a) · o1 + b
        b, a, sample = row % o1, (row // o1) % o0, row // (o1 * o0)
        start0, start1 = a * s0 - p0, b * s1 - p1
        first0, end0 = first_tap(start0, d0), end_of_taps(start0, d0, k0, i0)
        first1, end1 = first_tap(start1, d1), end_of_taps(start1, d1, k1, i1)
        uncut = (end0 - first0 == k0) & (end1 - first1 == k1)
        for r in range(o2):
            start2 = r * s2 - p2
            first2, end2 = first_tap(start2, d2), end_of_taps(start2, d2, k2, i2)
            corner = (((sample * i0 + start0) * i1 + start1) * i2 + start2) * channels
            at = (row * o2 + r) * channels
            for block in range(0, channels, lanes(vector)):
                c = block_start(vector, block, channels)
                if uncut & (end2 - first2 == k2):  # loops that are known at compile time
                    best, chosen = max_of_window(
                        vector, x, corner + c, 0, k0, 0, k1, 0, k2, k1, k2, step0, step1, step2
                    )
                else:
                    best, chosen = max_of_window(
                        vector, x, corner + c, first0, end0, first1, end1, first2, end2, k1, k2, step0, step1, step2
                    )
                store(y, at + c, best)
                store(choice, at + c, narrowed(chosen, choice))


@twin_of(reference.max_pool)
def max_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    x, (samples, *input_size, channels) = contiguous(x), x.shape
    output_size = pool_output_size(tuple(input_size), pool_size, strides, padding, dilation_rate)
    y = empty((samples, *output_size, channels), x.dtype)
    choice = empty(y.shape, np.uint8 if math.prod(pool_size) <= 255 else np.int32)
    if y.size:
        geometry = _geometry(tuple(input_size), output_size, strides, padding, dilation_rate, channels)
        rows, grain = y.size // (output_size[-1] * channels), _row_grain(output_size[-1], channels, *pool_size)
        run(_max_pool, rows, grain, vector_for(x.dtype, channels), *_taps(pool_size), geometry, x, y, choice)
    return y, choice


@kernel
def _scatter_tiles(begin, end, arguments):
    """dx for windows that tile the image: each window writes all its positions."""
    vector, k0, k1, k2, o1, o2, channels, dy, choice, dx = unpack(arguments)
    k0, k1, k2 = value(k0), value(k1), value(k2)
    for row in range(begin, end):
        b, plane = row % o1, row // o1  # plane = n · o0 + a
        corner = (plane * k0 * o1 + b) * k1 * o2 * k2 * channels
        for r in range(o2):
            at = (row * o2 + r) * channels
            for block in range(0, channels, lanes(vector)):
                c = block_start(vector, block, channels)
                slope, chosen = load(vector, dy, at + c), load(vector, choice, at + c)
                zero = splat(vector, 0)
                for t0 in range(k0):
                    for t1 in range(k1):
                        line = corner + ((t0 * o1 * k1 + t1) * o2 + r) * k2 * channels
                        for t2 in range(k2):
                            here = select(chosen == (t0 * k1 + t1) * k2 + t2, slope, zero)
                            store(dx, line + t2 * channels + c, here)


@kernel
def _scatter(begin, end, arguments):
    """dx by gathering: for each position of the image, its (window, tap) pairs along each axis are in a table."""
    vector, i0, i1, i2, o0, o1, o2, k1, k2, channels, starts, windows, taps, dy, choice, dx = unpack(arguments)
    for row in range(begin, end):  # row = (n · i0 + a) · i1 + b
        b, a, sample = row % i1, (row // i1) % i0, row // (i1 * i0)
        for r in range(i2):
            first, last = starts[i0 + i1 + 2 + r], starts[i0 + i1 + 3 + r]
            for block in range(0, channels, lanes(vector)):
                c = block_start(vector, block, channels)
                zero = splat(vector, 0)
                total = zero
                for e0 in range(starts[a], starts[a + 1]):
                    for e1 in range(starts[i0 + 1 + b], starts[i0 + 2 + b]):
                        line = ((sample * o0 + windows[e0]) * o1 + windows[e1]) * o2
                        tap = (taps[e0] * k1 + taps[e1]) * k2
                        for e2 in range(first, last):
                            at = (line + windows[e2]) * channels
                            chosen = load(vector, choice, at + c)
                            slope = load(vector, dy, at + c)
                            total = total + select(chosen == tap + taps[e2], slope, zero)
                store(dx, (row * i2 + r) * channels + c, total)


@lru_cache(maxsize=64)
def _axis(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> tuple[Axis, np.ndarray]:
    """The pooling windows along an axis as entries (window, position in the image), and the tap of each entry."""
    o = (i + sum(pair) - (k - 1) * d - 1) // s + 1
    window, tap = (grid.ravel() for grid in np.meshgrid(np.arange(o), np.arange(k), indexing="ij"))
    position = window * s - pair[0] + tap * d
    inside = (position >= 0) & (position < i)
    axis = Axis(o, i, window[inside], position[inside], np.ones(np.count_nonzero(inside)))
    return axis, tap[inside]


@twin_of(reference.max_pool_scatter)
def max_pool_scatter(
    dy: np.ndarray,
    choice: np.ndarray,
    input_size: Sizes,
    pool_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
) -> np.ndarray:
    dy, choice, (samples, *output_size, channels) = contiguous(dy), contiguous(choice), dy.shape
    dx = empty((samples, *input_size, channels), dy.dtype)
    if not dx.size:
        return dx
    outputs, pool = _in_3d(tuple(output_size), 1), _in_3d(pool_size, 1)
    tiled = all(o * k == i for o, k, i in zip(output_size, pool_size, input_size, strict=True))
    if tiled and pool_size == strides and not any(map(any, padding)) and set(dilation_rate) == {1}:
        rows, grain = samples * outputs[0] * outputs[1], _row_grain(outputs[2], channels, *pool)
        vector = vector_for(dx.dtype, channels)
        run(_scatter_tiles, rows, grain, vector, *_taps(pool_size), *outputs[1:], channels, dy, choice, dx)
        return dx
    found = [_axis(*one) for one in zip(input_size, pool_size, strides, padding, dilation_rate, strict=True)]
    axes = [Axis(axis.inputs, axis.outputs, axis.source, axis.target, tap) for axis, tap in found]
    padded = (*(Axis(1, 1, IDENTITY.target, IDENTITY.source, np.zeros(1, np.int64)),) * (3 - len(axes)), *axes)
    starts, windows, taps = tables(padded)
    inputs = _in_3d(tuple(input_size), 1)
    rows, grain = samples * inputs[0] * inputs[1], _row_grain(inputs[2], channels, 2)
    numbers = (*inputs, *outputs, *pool[1:], channels)
    run(
        _scatter,
        rows,
        grain,
        vector_for(dx.dtype, channels),
        *numbers,
        starts,
        windows,
        taps.astype(np.int64),
        dy,
        choice,
        dx,
    )
    return dx


@kernel
def _gather(begin, end, arguments):
    geometry, offsets, x, choice, y = unpack(arguments)
    i0, i1, i2, o0, o1, o2, s0, s1, s2, p0, p1, p2, _, _, _, channels = unpacked(geometry)
    for row in range(begin, end):
        b, a, sample = row % o1, (row // o1) % o0, row // (o1 * o0)
        for r in range(o2):
            start = ((sample * i0 + a * s0 - p0) * i1 + b * s1 - p1) * i2 + r * s2 - p2
            at = (row * o2 + r) * channels
            for c in range(channels):
                y[at + c] = x[start * channels + offsets[choice[at + c]] + c]


@twin_of(reference.max_pool_gather)
def max_pool_gather(
    x: np.ndarray, choice: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> np.ndarray:
    x, choice, (_, *input_size, channels) = contiguous(x), contiguous(choice), x.shape
    y = empty(choice.shape, x.dtype)
    if y.size:
        output_size = choice.shape[1:-1]
        geometry = _geometry(tuple(input_size), output_size, strides, padding, dilation_rate, channels)
        # How far tap t of a window is from its start.
        steps = np.cumprod([channels, *input_size[:0:-1]])[::-1]
        offsets = sum(
            np.indices(pool_size)[axis] * d * step
            for axis, (d, step) in enumerate(zip(dilation_rate, steps, strict=True))
        )
        offsets = np.ascontiguousarray(offsets, np.int64).ravel()
        rows, grain = y.size // (output_size[-1] * channels), _row_grain(output_size[-1], channels)
        run(_gather, rows, grain, geometry, offsets, x, choice, y)
    return y


# ---- average pooling -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _average_axis(i: int, k: int, s: int, pair: tuple[int, int], count_include_pad: bool) -> Axis:
    """Averages over windows along one axis: the counts of several axes multiply."""
    axis, _ = _axis(i, k, s, pair, 1)
    inside = np.bincount(axis.target, minlength=axis.outputs)
    count = np.full(axis.outputs, k) if count_include_pad else inside
    return Axis(axis.outputs, axis.inputs, axis.target, axis.source, 1 / count[axis.target])


def _average_axes(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> list[Axis]:
    each = zip(input_size, pool_size, strides, padding, strict=True)
    return [_average_axis(i, k, s, tuple(pair), count_include_pad) for i, k, s, pair in each]


@twin_of(reference.average_pool)
def average_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    return apply(_average_axes(x.shape[1:-1], pool_size, strides, padding, count_include_pad), x)


@twin_of(reference.average_pool_gradient)
def average_pool_gradient(
    dy: np.ndarray, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    axes = _average_axes(input_size, pool_size, strides, padding, count_include_pad)
    return apply([axis.transposed() for axis in axes], dy)
