"""The gradient of max pooling: what each window chose takes its slope. Each number of the image has one owner, who adds
up the windows that lie over it in a fixed order."""

from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..memory import contiguous, empty
from ..reference import pooling as reference
from .lane_maps import load_wide
from .launch import kernel, run, unpack, value
from .mathematics import function
from .separable import (
    CUT_COLUMNS,
    PIECE,
    WHOLE_ROW,
    WORK,
    in_3d,
    next_block,
    pieces,
    position_steps,
    row_tables,
    without_shared,
)
from .simd import Vector, lanes, load, pointer_at, select, splat, store, vector_of
from .windows import ONE_WINDOW, in_three, known_sizes, windows_along


@kernel
def _scatter_tiles(begin, end, arguments):
    """dx for windows that tile the image: each window writes all its positions."""
    vector, k0, k1, k2, o1, o2, channels, dy, choice, dx = unpack(arguments)
    k0, k1, k2 = value(k0), value(k1), value(k2)
    zero = splat(vector, 0)
    for row in range(begin, end):
        b, plane = row % o1, row // o1  # plane = n · o0 + a
        corner = (plane * k0 * o1 + b) * k1 * o2 * k2 * channels
        for r in range(o2):
            at = (row * o2 + r) * channels
            c = 0
            while c < channels:
                slope, chosen = load(vector, dy, at + c), load_wide(vector, choice, at + c)
                for t0 in range(k0):
                    for t1 in range(k1):
                        line = corner + ((t0 * o1 * k1 + t1) * o2 + r) * k2 * channels
                        for t2 in range(k2):
                            here = select(chosen == (t0 * k1 + t1) * k2 + t2, slope, zero)
                            store(dx, line + t2 * channels + c, here)
                c = next_block(vector, c, channels)


@function
def _add_positions(vector, dy, choice, at, tap, first, last, degree, channels, starts, windows, taps, dx, to, more):
    """dx[to + r · channels + c] (+)= Σ dy[at + window + c], of the windows along the row that chose tap + theirs, over
    positions r and, in lanes, channels c. `degree`: how many windows, where it is the same for all positions."""
    zero = splat(vector, 0)
    for r in range(first, last):
        e, out, c, done = starts[r], to + r * channels, 0, 0
        number = degree if degree > 0 else starts[r + 1] - e
        while c < channels:
            total = zero
            for entry in range(e, e + number):
                here = at + windows[entry] + c
                chose = load_wide(vector, choice, here) == tap + taps[entry]
                total = total + select(chose, load(vector, dy, here), zero)
            if more:
                total = load(vector, dx, out + c) + without_shared(vector, total, c, done)
            store(dx, out + c, total)
            done, c = c + lanes(vector), next_block(vector, c, channels)


@function
def _add_piece(vector, dy, choice, at, tap, cut, channels, starts, windows, taps, dx, to, more):
    """The same for a piece of a row; the regular positions with loops of known length."""
    first, end, degree = cut[6], cut[7], cut[8]
    if degree > 3:
        first = end = cut[1]
    _add_positions(vector, dy, choice, at, tap, cut[0], first, 0, channels, starts, windows, taps, dx, to, more)
    if degree == 1:
        _add_positions(vector, dy, choice, at, tap, first, end, 1, channels, starts, windows, taps, dx, to, more)
    elif degree == 2:
        _add_positions(vector, dy, choice, at, tap, first, end, 2, channels, starts, windows, taps, dx, to, more)
    elif degree == 3:
        _add_positions(vector, dy, choice, at, tap, first, end, 3, channels, starts, windows, taps, dx, to, more)
    _add_positions(vector, dy, choice, at, tap, end, cut[1], 0, channels, starts, windows, taps, dx, to, more)


@kernel
def _scatter_wide(begin, end, arguments):
    """dx by gathering, in lanes over channels: for each position of the image, its (window, tap) pairs along each axis
    are in tables."""
    vector, g, cuts, starts, windows, taps, along, reads, along_taps, dy, choice, dx = unpack(arguments)
    i0, i1, o0, o1, k1, k2, inputs, outputs, number, channels = (
        g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9],
    )  # fmt: skip
    for item in range(begin, end):  # item = ((n · i0 + a) · i1 + b) · pieces + piece
        cut, row = pointer_at(cuts, CUT_COLUMNS * (item % number)), item // number
        b, a, plane, to = row % i1, (row // i1) % i0, row // (i1 * i0) * o0, row * outputs
        first0, end0, first1, end1 = starts[a], starts[a + 1], starts[i0 + 1 + b], starts[i0 + 2 + b]
        if (first0 == end0) | (first1 == end1):
            for j in range(to + cut[4], to + cut[5]):
                dx[j] = 0
        for e0 in range(first0, end0):
            for e1 in range(first1, end1):
                at, tap = ((plane + windows[e0]) * o1 + windows[e1]) * inputs, (taps[e0] * k1 + taps[e1]) * k2
                more = (e0 > first0) | (e1 > first1)
                _add_piece(vector, dy, choice, at, tap, cut, channels, along, reads, along_taps, dx, to, more)


@function
def _scatter_row(dy, choice, offsets, line, windows, corner, stride, channels, dx):
    """Adds the slopes of a row of windows to the numbers that they chose."""
    for r in range(windows):
        for j in range(line + r * channels, line + (r + 1) * channels):
            dx[corner + offsets[choice[j]]] += dy[j]
            corner += 1
        corner += stride - channels


@function
def _scatter_part_of_row(dy, choice, offsets, down_0, down_1, of, line, windows, corner, stride, channels, dx):
    """The same for what lies in a block of rows: `of` are its first plane and the end, first row and end, counted from
    where the windows start."""
    a0, a1, b0, b1 = of
    for r in range(windows):
        for j in range(line + r * channels, line + (r + 1) * channels):
            tap = choice[j]
            if (a0 <= down_0[tap]) & (down_0[tap] < a1) & (b0 <= down_1[tap]) & (down_1[tap] < b1):
                dx[corner + offsets[tap]] += dy[j]
            corner += 1
        corner += stride - channels


@function
def _windows_over(first, end, size, stride, padding, reach):
    """Which of `size` windows along an axis lie over positions first … end: the first and the end. They reach
    `reach` positions beyond their first."""
    return max(0, -((reach - first - padding) // stride)), min(size, -((-end - padding) // stride))


@kernel
def _scatter_narrow(begin, end, arguments):
    """Where lanes would be few: each item owns a block of rows of the image, and adds to its numbers, one by one, what
    the windows over it chose, in their order."""
    g, offsets, down_0, down_1, dy, choice, dx = unpack(arguments)
    i0, i1, inputs, o0, o1, o2, k0, k1, s0 = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    s1, stride2, p0, p1, p2, d0, d1, channels = g[9], g[10], g[11], g[12], g[13], g[14], g[15], g[16]
    planes, rows, blocks0, blocks1 = g[17], g[18], g[19], g[20]
    for item in range(begin, end):
        sample = item // (blocks0 * blocks1)
        a0, b0 = (item // blocks1) % blocks0 * planes, item % blocks1 * rows
        a1, b1 = min(a0 + planes, i0), min(b0 + rows, i1)
        for a in range(a0, a1):
            line = (sample * i0 + a) * i1
            for j in range((line + b0) * inputs, (line + b1) * inputs):
                dx[j] = 0
        first_p, end_p = _windows_over(a0, a1, o0, s0, p0, (k0 - 1) * d0)
        first_q, end_q = _windows_over(b0, b1, o1, s1, p1, (k1 - 1) * d1)
        for p in range(first_p, end_p):
            start0 = p * s0 - p0
            for q in range(first_q, end_q):
                start1 = q * s1 - p1
                corner = ((sample * i0 + start0) * i1 + start1) * inputs - p2
                line = ((sample * o0 + p) * o1 + q) * o2 * channels
                # Of taps beyond the image none was chosen.
                inside_0 = (max(start0, 0) >= a0) & (min(start0 + (k0 - 1) * d0, i0 - 1) < a1)
                inside_1 = (max(start1, 0) >= b0) & (min(start1 + (k1 - 1) * d1, i1 - 1) < b1)
                if inside_0 & inside_1:
                    if channels == 1:
                        _scatter_row(dy, choice, offsets, line, o2, corner, stride2, 1, dx)
                    else:
                        _scatter_row(dy, choice, offsets, line, o2, corner, stride2, channels, dx)
                else:
                    block = (a0 - start0, a1 - start0, b0 - start1, b1 - start1)
                    _scatter_part_of_row(
                        dy, choice, offsets, down_0, down_1, block, line, o2, corner, stride2, channels, dx
                    )


@lru_cache(maxsize=256)
def _wide_plan(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes, channels: int, vector: Vector
) -> tuple[int, tuple]:
    """How many items of work a sample is, and what the body is told."""
    geometry, whole = zip(input_size, pool_size, strides, padding, dilation, strict=True), np.dtype(np.int64)
    axis_0, axis_1, axis_2 = in_3d([windows_along(*one).transposed for one in geometry], ONE_WINDOW)
    starts, windows, taps = row_tables(whole, axis_2)
    # Short pieces: for all their windows together they stay in the first-level cache.
    cut = pieces(position_steps(axis_2, channels), PIECE // 4 * vector.lanes // channels, WHOLE_ROW)
    sizes = [axis_0.outputs, axis_1.outputs, axis_0.inputs, axis_1.inputs, *in_three(pool_size, 1)[1:]]
    numbers = np.array([*sizes, axis_2.inputs * channels, axis_2.outputs * channels, len(cut), channels], np.int64)
    tables = (*row_tables(whole, axis_0, axis_1), starts, windows * channels, taps)
    return axis_0.outputs * axis_1.outputs * len(cut), (vector, numbers, cut, *tables)


BLOCK = 32768  # numbers of the image in a block, about: they stay in the second-level cache


@lru_cache(maxsize=256)
def _narrow_plan(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes, channels: int
) -> tuple[int, tuple]:
    """How many blocks a sample has, and what the body is told."""
    output_size = pool_output_size(input_size, pool_size, strides, padding, dilation)
    (i0, i1, i2), (o0, o1, o2), (k0, k1, k2) = in_three(input_size, 1), in_three(output_size, 1), in_three(pool_size, 1)
    (s0, s1, s2), (d0, d1, d2) = in_three(strides, 1), in_three(dilation, 1)
    p0, p1, p2 = in_three(tuple(before for before, _ in padding), 0)
    inputs = i2 * channels
    # Several times as high as a window, so that few windows lie over two blocks; none does where they tile the image.
    rows = max(BLOCK // inputs, 4 * ((k1 - 1) * d1 + 1))
    rows = min(-(-rows // s1) * s1, i1)
    planes = max(1, BLOCK // (inputs * i1)) if rows == i1 else 1
    planes = min(-(-planes // s0) * s0, i0)
    blocks0, blocks1 = -(-i0 // planes), -(-i1 // rows)
    sizes = [i0, i1, inputs, o0, o1, o2, k0, k1, s0, s1, s2 * channels, p0, p1, p2 * channels, d0, d1, channels]
    down_0, down_1, along = (np.ravel(tap) * d for tap, d in zip(np.indices((k0, k1, k2)), (d0, d1, d2), strict=True))
    offsets = (down_0 * i1 + down_1) * inputs + along * channels
    numbers = np.array([*sizes, planes, rows, blocks0, blocks1], np.int64)
    return blocks0 * blocks1, (numbers, *(np.ascontiguousarray(table, np.int64) for table in (offsets, down_0, down_1)))


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
    dx, vector = empty((samples, *input_size, channels), dy.dtype), vector_of(dy.dtype)
    if not dx.size:
        return dx
    tiled = all(o * k == i for o, k, i in zip(output_size, pool_size, input_size, strict=True))
    if channels >= vector.lanes and tiled and pool_size == strides and set(dilation_rate) == {1}:
        o0, o1, o2 = in_three(tuple(output_size), 1)
        rows = samples * o0 * o1
        grain = max(1, rows * WORK // (dx.size + dy.size))
        run(_scatter_tiles, rows, grain, vector, *known_sizes(pool_size), o1, o2, channels, dy, choice, dx)
        return dx
    geometry = (input_size, pool_size, strides, padding, dilation_rate, channels)
    wide = channels >= vector.lanes
    items, arguments = _wide_plan(*geometry, vector) if wide else _narrow_plan(*geometry)
    grain = max(1, samples * items * WORK // (dx.size + 4 * dy.size))
    run(_scatter_wide if wide else _scatter_narrow, samples * items, grain, *arguments, dy, choice, dx)
    return dx
