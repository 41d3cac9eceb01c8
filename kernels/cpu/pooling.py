"""Max and average pooling: one pass, full SIMD lanes for any number of channels, each result written once by its owner.

A row of outputs is a line of numbers, worked on in vectors (see `lane_maps`). Lane l of a vector stands for one window,
and tap t of all its windows lies t · dilation positions further: so a vector needs one pattern for all taps. In
gradients each number of the image has one owner, who adds up the windows that lie over it in a fixed order.
"""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..memory import contiguous, empty
from ..reference import pooling as reference
from .channels import Lines, channel_sums
from .lane_maps import (
    COUNT,
    OUT,
    VECTOR_COLUMNS,
    Axis,
    LaneMap,
    get,
    lane_map,
    load_wide,
    padded,
    pick,
    pick_inside,
    put,
)
from .launch import Constant, kernel, run, unpack, value
from .mathematics import function
from .separable import (
    CUT_COLUMNS,
    PIECE,
    WHOLE_ROW,
    WORK,
    apply,
    in_3d,
    next_block,
    pieces,
    position_steps,
    row_tables,
    without_shared,
)
from .simd import (
    Vector,
    VectorType,
    lane_numbers,
    lanes,
    llvm_element,
    load,
    pointer_at,
    select,
    splat,
    store,
    vector_of,
)

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


@intrinsic
def exceeds(typing, here, best):
    """Whether `here` is larger, NaN being larger than every number, and the first NaN staying."""

    def generate(context, builder, signature, arguments):
        larger = builder.fcmp_unordered(">", *arguments)
        return builder.and_(larger, builder.fcmp_ordered("ord", arguments[1], arguments[1]))

    return VectorType(types.boolean, here.lanes)(here, best), generate


def _in_3d(values: tuple, missing) -> tuple:
    """One entry for each of three spatial dimensions: arrays of fewer have leading dimensions of size 1."""
    return (*(missing,) * (3 - len(values)), *values)


def _taps(pool_size: Sizes) -> tuple:
    """The size of the window for the bodies: constants for common windows, which are unrolled, else numbers."""
    common = set(pool_size) in ({2}, {3}) and math.prod(pool_size) <= 9
    return tuple(map(Constant if common else int, _in_3d(pool_size, 1)))


@lru_cache(maxsize=256)
def _corners(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> Axis:
    """Where the windows along the last axis start (maybe in the padding): as the source, and as the value, but for
    windows that lie in the image altogether, which all have the value of the first of them."""
    o = pool_output_size((i,), (k,), (s,), (pair,), (d,))[0]
    start = np.arange(o) * s - pair[0]
    whole = (start >= 0) & (start + (k - 1) * d < i)
    return Axis(o, i, np.arange(o), start, np.where(whole, start[whole.argmax()], start))


# How the windows of a vector of lanes are read: as runs of numbers; by shuffles; by shuffles that look where they are
# in the array, with windows that the border cuts.
RUN, SHUFFLED, CUT = 0, 1, 2


def _ways(lane: LaneMap, whole: np.ndarray, channels: int) -> np.ndarray:
    """For each vector, 1 + how its windows are read; 0 if some may be cut."""
    last = lane.vectors[:-1, OUT] + lane.vectors[:-1, COUNT] - 1
    numbers = np.minimum(lane.vectors[:-1, OUT, None] + np.arange(lane.lanes), last[:, None])
    return np.where(
        whole[numbers // channels].all(1) & (lane.steps.degrees == 1) & (lane.vectors[:-1, COUNT] == lane.lanes),
        1 + np.where(lane.runs, RUN, SHUFFLED),
        0,
    )


@lru_cache(maxsize=256)
def _plan(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes, channels: int, vector: Vector
) -> tuple[bool, int, tuple]:
    """Whether the lanes run over numbers of a row, how many items of work a sample is, and what the bodies are told of
    the windows."""
    output_size = pool_output_size(input_size, pool_size, strides, padding, dilation)
    i2, k2, d2, o2 = input_size[-1], pool_size[-1], dilation[-1], output_size[-1]
    corners = _corners(i2, k2, strides[-1], padding[-1], d2)
    narrow, whole = channels < vector.lanes, (corners.source >= 0) & (corners.source + (k2 - 1) * d2 < i2)
    if narrow:
        lane = lane_map(corners, channels, vector)
        tables, steps, most = lane.tables, replace(lane.steps, degrees=_ways(lane, whole, channels)), PIECE
    else:
        first = np.maximum(0, -(corners.source // d2))  # the first tap in the image, and one beyond the last
        end = np.minimum(k2, -((corners.source - i2) // d2))
        tables = corners.source * channels, first, end
        steps = replace(position_steps(corners, channels), degrees=whole.astype(np.int64))
        most = PIECE * vector.lanes // channels
    cut = pieces(steps, most, WHOLE_ROW)
    (i0, i1, _), (o0, o1, _) = _in_3d(input_size, 1), _in_3d(output_size, 1)
    (s0, s1, _), (d0, d1, _) = _in_3d(strides, 1), _in_3d(dilation, 1)
    p0, p1, _ = _in_3d(tuple(before for before, _ in padding), 0)
    inputs = i2 * channels
    numbers = (i0, i1, i2, o0, o1, s0, s1, p0, p1, d0, d1, d2, channels, inputs, o2 * channels)
    steps_of_taps = (d0 * i1 * inputs, d1 * inputs, d2 * channels)
    geometry = np.array([*numbers, *steps_of_taps, len(cut), strides[-1] * channels], np.int64)
    return narrow, o0 * o1 * len(cut), (vector, *_taps(pool_size), geometry, cut, *tables)


def _run_over_windows(
    narrow_body, wide_body, x: np.ndarray, y: np.ndarray, geometry: tuple, choice: np.ndarray
) -> None:
    """Runs one of two bodies over the windows of x, with x, y and choice as its last arguments."""
    narrow, items, arguments = _plan(x.shape[1:-1], *geometry, x.shape[-1], vector_of(x.dtype))
    x, grain = padded(x, arguments[0]), max(1, len(y) * items * WORK // (x.size + y.size))
    run(narrow_body if narrow else wide_body, len(y) * items, grain, *arguments, x.size, x, y, choice)


@function
def _rows_of_windows(row, g, k0, k1):
    """For a row of outputs: where the row of its windows' first taps begins, and their taps in the image along the
    first two axes."""
    i0, i1, o0, o1, s0, s1, p0, p1, d0, d1, inputs = g[0], g[1], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[13]
    b, a, sample = row % o1, (row // o1) % o0, row // (o1 * o0)
    start0, start1 = a * s0 - p0, b * s1 - p1
    corner = ((sample * i0 + start0) * i1 + start1) * inputs
    first0, end0 = first_tap(start0, d0), end_of_taps(start0, d0, k0, i0)
    return corner, first0, end0, first_tap(start1, d1), end_of_taps(start1, d1, k1, i1)


@function
def _tap(vector, x, size, at, indices, mode):
    """A tap of a vector's windows."""
    if mode == RUN:
        return load(vector, x, at)
    if mode == SHUFFLED:
        return pick_inside(vector, x, at, indices)
    return pick(vector, x, size, at, indices)


# ---- max pooling -----------------------------------------------------------------------------------------------------


@function
def _max_of_taps(
    vector,
    x,
    size,
    base,
    indices,
    mode,
    start2,
    first0,
    end0,
    first1,
    end1,
    first2,
    end2,
    k1,
    k2,
    i2,
    d2,
    step0,
    step1,
    step2,
):
    """The largest numbers in the taps first … end of a vector's windows, and which taps they were in: the first tap in
    the image for nothing but −∞."""
    chosen = splat(start2, (first0 * k1 + first1) * k2 + first2)
    if mode == CUT:
        best = splat(vector, -np.inf)
        for t2 in range(k2):
            outside = start2 + t2 * d2 < 0
            chosen = select(outside, splat(start2, (first0 * k1 + first1) * k2 + t2 + 1), chosen)
    else:
        best = _tap(vector, x, size, base + first0 * step0 + first1 * step1 + first2 * step2, indices, mode)
    for t0 in range(first0, end0):
        for t1 in range(first1, end1):
            for t2 in range(first2, end2):
                here = _tap(vector, x, size, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                larger = exceeds(here, best)
                if mode == CUT:
                    position = start2 + t2 * d2
                    larger = larger & (position >= 0) & (position < i2)
                best = select(larger, here, best)
                chosen = select(larger, splat(chosen, (t0 * k1 + t1) * k2 + t2), chosen)
    return best, chosen


@function
def _put_max(vector, y, choice, at, best, chosen):
    store(y, at, best)
    store(choice, at, narrowed(chosen, choice))


@function
def _max_regular(vector, x, base, k0, k1, k2, step0, step1, step2, v, end, entries, indices, mode, y, choice, to):
    """Vectors v … end of a row, whose windows lie in the image, read in one way."""
    while v < end:
        at, offsets = base + entries[2 * v], load(vector, indices, entries[2 * v + 1])
        best, chosen = _max_of_taps(
            vector, x, 0, at, offsets, mode, offsets, 0, k0, 0, k1, 0, k2, k1, k2, 0, 0, step0, step1, step2
        )
        _put_max(vector, y, choice, to, best, chosen)
        v, to = v + 1, to + lanes(vector)


@kernel
def _max_pool_narrow(begin, end, arguments):
    vector, k0, k1, k2, g, cuts, vectors, entries, indices, values, size, x, y, choice = unpack(arguments)
    k0, k1, k2, i2, d2, pieces_of_row = value(k0), value(k1), value(k2), g[2], g[11], g[18]
    step0, step1, step2 = g[15], g[16], g[17]
    reach = (k0 - 1) * step0 + (k1 - 1) * step1 + (k2 - 1) * step2 + 2 * lanes(vector)
    for item in range(begin, end):  # item = ((n · o0 + a) · o1 + b) · pieces + piece
        cut, row = pointer_at(cuts, CUT_COLUMNS * (item % pieces_of_row)), item // pieces_of_row
        corner, first0, end0, first1, end1 = _rows_of_windows(row, g, k0, k1)
        to, first, last, mode = row * g[14], cut[6], cut[7], cut[8] - 1
        uncut = (end0 - first0 == k0) & (end1 - first1 == k1) & (corner >= 0) & (corner + cut[3] + reach <= size)
        if not uncut:
            first = last = cut[1]
        elif (mode == RUN) & (first < last):
            at = to + vectors[first * VECTOR_COLUMNS + OUT]
            _max_regular(
                vector, x, corner, k0, k1, k2, step0, step1, step2, first, last, entries, indices, RUN, y, choice, at
            )
        elif first < last:
            at = to + vectors[first * VECTOR_COLUMNS + OUT]
            _max_regular(
                vector,
                x,
                corner,
                k0,
                k1,
                k2,
                step0,
                step1,
                step2,
                first,
                last,
                entries,
                indices,
                SHUFFLED,
                y,
                choice,
                at,
            )
        v = cut[0]
        while v < cut[1]:
            if v == first:
                v = last
                if v == cut[1]:
                    break
            base, pattern = corner + entries[2 * v], entries[2 * v + 1]
            offsets, start2 = load(vector, indices, pattern), load(vector, values, pattern)
            best, chosen = _max_of_taps(
                vector, x, size, base, offsets, CUT, start2,
                first0, end0, first1, end1, 0, k2, k1, k2, i2, d2, step0, step1, step2,
            )  # fmt: skip
            put(vector, y, to, v, vectors, best)
            put(vector, choice, to, v, vectors, narrowed(chosen, choice))
            v += 1


@kernel
def _max_pool_wide(begin, end, arguments):
    vector, k0, k1, k2, g, cuts, starts, firsts, ends, _, x, y, choice = unpack(arguments)
    k0, k1, k2, channels, stride, pieces_of_row = value(k0), value(k1), value(k2), g[12], g[19], g[18]
    step0, step1, step2 = g[15], g[16], g[17]
    none = lane_numbers(vector)
    for item in range(begin, end):
        cut, row = pointer_at(cuts, CUT_COLUMNS * (item % pieces_of_row)), item // pieces_of_row
        corner, first0, end0, first1, end1 = _rows_of_windows(row, g, k0, k1)
        uncut, r, last = (end0 - first0 == k0) & (end1 - first1 == k1), cut[0], cut[1]
        first_whole, end_whole, to = cut[6], cut[7], row * g[14] + cut[4]
        while r < last:
            base = corner + starts[r]
            if uncut & (first_whole <= r) & (r < end_whole):  # loops that are known at compile time
                while r < end_whole:
                    c = 0
                    while c < channels:
                        best, chosen = _max_of_taps(
                            vector, x, 0, base + c, none, RUN, none,
                            0, k0, 0, k1, 0, k2, k1, k2, 0, 0, step0, step1, step2,
                        )  # fmt: skip
                        _put_max(vector, y, choice, to + c, best, chosen)
                        c = next_block(vector, c, channels)
                    r, base, to = r + 1, base + stride, to + channels
            else:
                c = 0
                while c < channels:
                    best, chosen = _max_of_taps(
                        vector, x, 0, base + c, none, RUN, none,
                        first0, end0, first1, end1, firsts[r], ends[r], k1, k2, 0, 0, step0, step1, step2,
                    )  # fmt: skip
                    _put_max(vector, y, choice, to + c, best, chosen)
                    c = next_block(vector, c, channels)
                r, to = r + 1, to + channels


@twin_of(reference.max_pool)
def max_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    x = contiguous(x)
    output_size = pool_output_size(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    choice = empty(y.shape, np.uint8 if math.prod(pool_size) <= 255 else np.int32)
    if y.size:
        _run_over_windows(_max_pool_narrow, _max_pool_wide, x, y, (pool_size, strides, padding, dilation_rate), choice)
    return y, choice


@function
def _chosen_of_taps(
    vector, x, size, base, indices, mode, chosen, first0, end0, first1, end1, first2, end2, k1, k2, step0, step1, step2
):
    """What the windows chose of the taps first … end."""
    found = splat(vector, 0)
    for t0 in range(first0, end0):
        for t1 in range(first1, end1):
            for t2 in range(first2, end2):
                here = _tap(vector, x, size, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                found = select(chosen == (t0 * k1 + t1) * k2 + t2, here, found)
    return found


@function
def _chosen_regular(vector, x, base, k0, k1, k2, step0, step1, step2, v, end, entries, indices, mode, y, choice, to):
    """Vectors v … end of a row, whose windows lie in the image, read in one way."""
    while v < end:
        at, offsets = base + entries[2 * v], load(vector, indices, entries[2 * v + 1])
        chosen = load_wide(vector, choice, to)
        found = _chosen_of_taps(
            vector, x, 0, at, offsets, mode, chosen, 0, k0, 0, k1, 0, k2, k1, k2, step0, step1, step2
        )
        store(y, to, found)
        v, to = v + 1, to + lanes(vector)


@kernel
def _gather_narrow(begin, end, arguments):
    vector, k0, k1, k2, g, cuts, vectors, entries, indices, _, size, x, y, choice = unpack(arguments)
    k0, k1, k2, pieces_of_row = value(k0), value(k1), value(k2), g[18]
    step0, step1, step2 = g[15], g[16], g[17]
    reach = (k0 - 1) * step0 + (k1 - 1) * step1 + (k2 - 1) * step2 + 2 * lanes(vector)
    for item in range(begin, end):
        cut, row = pointer_at(cuts, CUT_COLUMNS * (item % pieces_of_row)), item // pieces_of_row
        corner, first0, end0, first1, end1 = _rows_of_windows(row, g, k0, k1)
        to, first, last, mode = row * g[14], cut[6], cut[7], cut[8] - 1
        uncut = (end0 - first0 == k0) & (end1 - first1 == k1) & (corner >= 0) & (corner + cut[3] + reach <= size)
        if not uncut:
            first = last = cut[1]
        elif (mode == RUN) & (first < last):
            at = to + vectors[first * VECTOR_COLUMNS + OUT]
            _chosen_regular(
                vector, x, corner, k0, k1, k2, step0, step1, step2, first, last, entries, indices, RUN, y, choice, at
            )
        elif first < last:
            at = to + vectors[first * VECTOR_COLUMNS + OUT]
            _chosen_regular(
                vector,
                x,
                corner,
                k0,
                k1,
                k2,
                step0,
                step1,
                step2,
                first,
                last,
                entries,
                indices,
                SHUFFLED,
                y,
                choice,
                at,
            )
        v = cut[0]
        while v < cut[1]:
            if v == first:
                v = last
                if v == cut[1]:
                    break
            base, offsets = corner + entries[2 * v], load(vector, indices, entries[2 * v + 1])
            chosen = get(vector, choice, to, v, vectors)
            found = _chosen_of_taps(
                vector, x, size, base, offsets, CUT, chosen,
                first0, end0, first1, end1, 0, k2, k1, k2, step0, step1, step2,
            )  # fmt: skip
            put(vector, y, to, v, vectors, found)
            v += 1


@kernel
def _gather_wide(begin, end, arguments):
    vector, k0, k1, k2, g, cuts, starts, firsts, ends, _, x, y, choice = unpack(arguments)
    k0, k1, k2, channels, stride, pieces_of_row = value(k0), value(k1), value(k2), g[12], g[19], g[18]
    step0, step1, step2 = g[15], g[16], g[17]
    none = lane_numbers(vector)
    for item in range(begin, end):
        cut, row = pointer_at(cuts, CUT_COLUMNS * (item % pieces_of_row)), item // pieces_of_row
        corner, first0, end0, first1, end1 = _rows_of_windows(row, g, k0, k1)
        uncut, r, last = (end0 - first0 == k0) & (end1 - first1 == k1), cut[0], cut[1]
        first_whole, end_whole, to = cut[6], cut[7], row * g[14] + cut[4]
        while r < last:
            base = corner + starts[r]
            if uncut & (first_whole <= r) & (r < end_whole):
                while r < end_whole:
                    c = 0
                    while c < channels:
                        chosen = load_wide(vector, choice, to + c)
                        found = _chosen_of_taps(
                            vector, x, 0, base + c, none, RUN, chosen,
                            0, k0, 0, k1, 0, k2, k1, k2, step0, step1, step2,
                        )  # fmt: skip
                        store(y, to + c, found)
                        c = next_block(vector, c, channels)
                    r, base, to = r + 1, base + stride, to + channels
            else:
                c = 0
                while c < channels:
                    chosen = load_wide(vector, choice, to + c)
                    found = _chosen_of_taps(
                        vector, x, 0, base + c, none, RUN, chosen,
                        first0, end0, first1, end1, firsts[r], ends[r], k1, k2, step0, step1, step2,
                    )  # fmt: skip
                    store(y, to + c, found)
                    c = next_block(vector, c, channels)
                r, to = r + 1, to + channels


@twin_of(reference.max_pool_gather)
def max_pool_gather(
    x: np.ndarray, choice: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> np.ndarray:
    x, choice = contiguous(x), contiguous(choice)
    y = empty(choice.shape, x.dtype)
    if y.size:
        _run_over_windows(_gather_narrow, _gather_wide, x, y, (pool_size, strides, padding, dilation_rate), choice)
    return y


# ---- the gradient of max pooling -------------------------------------------------------------------------------------


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
def _windows_along(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> Axis:
    """The pooling windows along an axis as entries (window, position in the image), with the tap as value."""
    o = pool_output_size((i,), (k,), (s,), (pair,), (d,))[0]
    window, tap = (grid.ravel() for grid in np.meshgrid(np.arange(o), np.arange(k), indexing="ij"))
    position = window * s - pair[0] + tap * d
    inside = (position >= 0) & (position < i)
    return Axis(o, i, window[inside], position[inside], tap[inside])


ONE_WINDOW = _windows_along(1, 1, 1, (0, 0), 1)


@lru_cache(maxsize=256)
def _wide_plan(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes, channels: int, vector: Vector
) -> tuple[int, tuple]:
    """How many items of work a sample is, and what the body is told."""
    geometry, whole = zip(input_size, pool_size, strides, padding, dilation, strict=True), np.dtype(np.int64)
    axis_0, axis_1, axis_2 = in_3d([_windows_along(*one).transposed for one in geometry], ONE_WINDOW)
    starts, windows, taps = row_tables(whole, axis_2)
    # Short pieces: for all their windows together they stay in the first-level cache.
    cut = pieces(position_steps(axis_2, channels), PIECE // 4 * vector.lanes // channels, WHOLE_ROW)
    sizes = [axis_0.outputs, axis_1.outputs, axis_0.inputs, axis_1.inputs, *_in_3d(pool_size, 1)[1:]]
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
    (i0, i1, i2), (o0, o1, o2), (k0, k1, k2) = _in_3d(input_size, 1), _in_3d(output_size, 1), _in_3d(pool_size, 1)
    (s0, s1, s2), (d0, d1, d2) = _in_3d(strides, 1), _in_3d(dilation, 1)
    p0, p1, p2 = _in_3d(tuple(before for before, _ in padding), 0)
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
        o0, o1, o2 = _in_3d(tuple(output_size), 1)
        rows = samples * o0 * o1
        grain = max(1, rows * WORK // (dx.size + dy.size))
        run(_scatter_tiles, rows, grain, vector, *_taps(pool_size), o1, o2, channels, dy, choice, dx)
        return dx
    geometry = (input_size, pool_size, strides, padding, dilation_rate, channels)
    wide = channels >= vector.lanes
    items, arguments = _wide_plan(*geometry, vector) if wide else _narrow_plan(*geometry)
    grain = max(1, samples * items * WORK // (dx.size + 4 * dy.size))
    run(_scatter_wide if wide else _scatter_narrow, samples * items, grain, *arguments, dy, choice, dx)
    return dx


# ---- average pooling -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _average_axis(i: int, k: int, s: int, pair: tuple[int, int], count_include_pad: bool) -> Axis:
    """Averages over windows along one axis: the counts of several axes multiply."""
    axis = _windows_along(i, k, s, pair, 1)
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
