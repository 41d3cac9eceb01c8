"""Windows that slide over channels-last images: which of them the border cuts, and how a kernel walks over them.

A row of outputs is a line of numbers, worked on in vectors: over channels, or, where channels are few, over numbers of
the row (see `lane_maps`). Lane l of a vector stands for one window, and tap t of all its windows lies t · dilation
positions further: so a vector needs one pattern for all taps.

A kernel is a walk, over channels or over numbers, with two functions that say what is done at a vector of windows:

    whole(vector, x, base, indices, mode, sizes, steps, y, other, to, spoiled) -> spoiled

for windows that lie in the image altogether, in loops whose lengths are known at compile time for common windows; and

    cut(vector, x, size, base, indices, mode, start2, taps, shape, steps, y, other, to, count)

for any. `whole` may find that it cannot do some lanes, and adds them to the mask `spoiled`: then its piece of the row
is done once more, by `cut`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes, pool_output_size
from .bodies import Constant, unpack, value
from .caches import last_level_bytes
from .lane_maps import COUNT, OUT, VECTOR_COLUMNS, Axis, LaneMap, lane_map, padded, pick, pick_inside
from .launch import run
from .mathematics import function
from .separable import CUT_COLUMNS, PIECE, WHOLE_ROW, WORK, pieces, position_steps
from .simd import Vector, any_of, first_lanes, lane_numbers, lanes, load, pointer_at, prefetch, vector_of

AHEAD = 1024  # numbers: how far behind a window is asked for what later ones read, where x takes half of the caches

# ---- plans -----------------------------------------------------------------------------------------------------------


def in_three(values: tuple, missing) -> tuple:
    """One entry for each of three spatial dimensions: arrays of fewer have leading dimensions of size 1."""
    return (*(missing,) * (3 - len(values)), *values)


def known_sizes(pool_size: Sizes) -> tuple:
    """The size of the window for the bodies: constants for common windows, which are unrolled, else numbers."""
    common = set(pool_size) in ({2}, {3}) and math.prod(pool_size) <= 9
    return tuple(map(Constant if common else int, in_three(pool_size, 1)))


@lru_cache(maxsize=256)
def _corners(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> Axis:
    """Where the windows along the last axis start (maybe in the padding): as the source, and as the value, but for
    windows that lie in the image altogether, which all have the value of the first of them."""
    o = pool_output_size((i,), (k,), (s,), (pair,), (d,))[0]
    start = np.arange(o) * s - pair[0]
    whole = (start >= 0) & (start + (k - 1) * d < i)
    return Axis(o, i, np.arange(o), start, np.where(whole, start[whole.argmax()], start))


@lru_cache(maxsize=256)
def windows_along(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> Axis:
    """The pooling windows along an axis as entries (window, position in the image), with the tap as value."""
    o = pool_output_size((i,), (k,), (s,), (pair,), (d,))[0]
    window, tap = (grid.ravel() for grid in np.meshgrid(np.arange(o), np.arange(k), indexing="ij"))
    position = window * s - pair[0] + tap * d
    inside = (position >= 0) & (position < i)
    return Axis(o, i, window[inside], position[inside], tap[inside])


ONE_WINDOW = windows_along(1, 1, 1, (0, 0), 1)


_IN_MEMORY, _IN_CACHE = Constant(True), Constant(False)

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
    (i0, i1, _), (o0, o1, _) = in_three(input_size, 1), in_three(output_size, 1)
    (s0, s1, _), (d0, d1, _) = in_three(strides, 1), in_three(dilation, 1)
    p0, p1, _ = in_three(tuple(before for before, _ in padding), 0)
    inputs = i2 * channels
    numbers = (i0, i1, i2, o0, o1, s0, s1, p0, p1, d0, d1, d2, channels, inputs, o2 * channels)
    steps_of_taps = (d0 * i1 * inputs, d1 * inputs, d2 * channels)
    geometry = np.array([*numbers, *steps_of_taps, len(cut), strides[-1] * channels], np.int64)
    return narrow, o0 * o1 * len(cut), (vector, *known_sizes(pool_size), geometry, cut, *tables)


def run_over_windows(
    over_numbers_body: Callable, over_channels_body: Callable, x: np.ndarray, y: np.ndarray, geometry: tuple, other
) -> None:
    """Runs one of two bodies over the windows of x: `geometry` is their size, strides, padding and dilation; y and
    `other` are as the functions of the walk take them."""
    narrow, items, arguments = _plan(x.shape[1:-1], *geometry, x.shape[-1], vector_of(x.dtype))
    grain = max(1, len(y) * items * WORK // (x.size + y.size))
    if narrow:
        x = padded(x, arguments[0])
        run(over_numbers_body, len(y) * items, grain, *arguments, x.size, x, y, other)
    else:
        ahead = _IN_MEMORY if x.nbytes + y.nbytes > last_level_bytes() // 2 else _IN_CACHE
        run(over_channels_body, len(y) * items, grain, *arguments, ahead, x.size, x, y, other)


# ---- walks -----------------------------------------------------------------------------------------------------------


@function
def place_of(item, pieces_of_row, rows, planes):
    """Of item = ((n · planes + a) · rows + b) · pieces_of_row + piece: piece, b, a, n."""
    row = item // pieces_of_row
    return item % pieces_of_row, row % rows, row // rows % planes, row // (rows * planes)


@function
def place_after(place, pieces_of_row, rows, planes):
    """The place of the next item, without a division: those would take as long as some dozens of vectors."""
    piece, b, a, sample = place
    piece += 1
    if piece == pieces_of_row:
        piece, b = 0, b + 1
        if b == rows:
            b, a = 0, a + 1
            if a == planes:
                a, sample = 0, sample + 1
    return piece, b, a, sample


@function
def _first_tap(start, dilation):
    """The first tap of a window that starts at `start` (negative: in the padding) to lie in the image."""
    return 0 if start >= 0 else (dilation - 1 - start) // dilation


@function
def _end_of_taps(start, dilation, taps, size):
    """One more than the last tap to lie in an image of `size` positions."""
    return taps if start + (taps - 1) * dilation < size else (size - start + dilation - 1) // dilation


@function
def _row_of_windows(place, g, k0, k1):
    """For a row of outputs: where the row of its windows' first taps begins, and their taps in the image along the
    first two axes."""
    i0, i1, s0, s1, p0, p1, d0, d1, inputs = g[0], g[1], g[5], g[6], g[7], g[8], g[9], g[10], g[13]
    _, b, a, sample = place
    start0, start1 = a * s0 - p0, b * s1 - p1
    corner = ((sample * i0 + start0) * i1 + start1) * inputs
    first0, end0 = _first_tap(start0, d0), _end_of_taps(start0, d0, k0, i0)
    return corner, first0, end0, _first_tap(start1, d1), _end_of_taps(start1, d1, k1, i1)


@function
def tap(vector, x, size, at, indices, mode):
    """A tap of a vector's windows."""
    if mode == RUN:
        return load(vector, x, at)
    if mode == SHUFFLED:
        return pick_inside(vector, x, at, indices)
    return pick(vector, x, size, at, indices)


@function
def _whole_vectors(whole, vector, x, corner, v, end, mode, entries, indices, sizes, steps, y, other, to):
    """`whole` at the vectors v … end of a row, which are read in one way. Whether it could do them all."""
    spoiled = first_lanes(vector, 0)
    while v < end:
        base, offsets = corner + entries[2 * v], load(vector, indices, entries[2 * v + 1])
        spoiled = whole(vector, x, base, offsets, mode, sizes, steps, y, other, to, spoiled)
        v, to = v + 1, to + lanes(vector)
    return not any_of(spoiled)


@function
def walk_over_numbers(whole, cut, begin, end, arguments):
    """Lanes over the numbers of a row of outputs."""
    vector, k0, k1, k2, g, cuts, vectors, entries, indices, values, size, x, y, other = unpack(arguments)
    k0, k1, k2, pieces_of_row = value(k0), value(k1), value(k2), g[18]
    sizes, shape, steps = (k0, k1, k2), (k1, k2, g[2], g[11]), (g[15], g[16], g[17])
    reach = (k0 - 1) * g[15] + (k1 - 1) * g[16] + (k2 - 1) * g[17] + 2 * lanes(vector)
    place, line = place_of(begin, pieces_of_row, g[4], g[3]), begin // pieces_of_row * g[14]
    for _ in range(begin, end):
        piece = pointer_at(cuts, CUT_COLUMNS * place[0])
        corner, first0, end0, first1, end1 = _row_of_windows(place, g, k0, k1)
        taps, to, first, last = (first0, end0, first1, end1, 0, k2), line, piece[6], piece[7]
        uncut = (end0 - first0 == k0) & (end1 - first1 == k1) & (corner >= 0) & (corner + piece[3] + reach <= size)
        done = uncut & (first < last)
        if done:
            at = to + vectors[first * VECTOR_COLUMNS + OUT]
            if piece[8] - 1 == RUN:
                done = _whole_vectors(
                    whole, vector, x, corner, first, last, RUN, entries, indices, sizes, steps, y, other, at
                )
            else:
                done = _whole_vectors(
                    whole, vector, x, corner, first, last, SHUFFLED, entries, indices, sizes, steps, y, other, at
                )
        v = piece[0]
        while v < piece[1]:
            if done & (v == first):
                v = last
                continue
            base, pattern = corner + entries[2 * v], entries[2 * v + 1]
            offsets, start2 = load(vector, indices, pattern), load(vector, values, pattern)
            at, count = to + vectors[v * VECTOR_COLUMNS + OUT], vectors[v * VECTOR_COLUMNS + COUNT]
            cut(vector, x, size, base, offsets, CUT, start2, taps, shape, steps, y, other, at, count)
            v += 1
        place = place_after(place, pieces_of_row, g[4], g[3])
        line += g[14] if place[0] == 0 else 0


@function
def blocks_of(vector, channels):
    """How many vectors cover the channels of a position, the last overlapping the one before rather than being cut."""
    return (channels + lanes(vector) - 1) // lanes(vector)


@function
def block_at(vector, block, channels):
    """The first channel of a vector. (Counted like this, no vector waits for where the one before it was.)"""
    return min(block * lanes(vector), channels - lanes(vector))


@function
def _whole_positions(whole, ahead, vector, x, base, positions, stride, channels, sizes, steps, y, other, to):
    """`whole` at all channels of windows side by side. Whether it could do them all."""
    none, spoiled = lane_numbers(vector), first_lanes(vector, 0)
    (_, k1, k2), (_, step1, step2) = sizes, steps
    for _ in range(positions):
        for block in range(blocks_of(vector, channels)):
            c = block_at(vector, block, channels)
            if value(ahead):
                for t1 in range(k1):
                    for t2 in range(k2):
                        prefetch(x, base + c + t1 * step1 + t2 * step2 + AHEAD)
            spoiled = whole(vector, x, base + c, none, RUN, sizes, steps, y, other, to + c, spoiled)
        base, to = base + stride, to + channels
    return not any_of(spoiled)


@function
def walk_over_channels(whole, cut, begin, end, arguments):
    """Lanes over channels."""
    vector, k0, k1, k2, g, cuts, starts, firsts, ends, ahead, size, x, y, other = unpack(arguments)
    k0, k1, k2, channels, pieces_of_row = value(k0), value(k1), value(k2), g[12], g[18]
    sizes, shape, steps = (k0, k1, k2), (k1, k2, g[2], g[11]), (g[15], g[16], g[17])
    none = lane_numbers(vector)
    place, line = place_of(begin, pieces_of_row, g[4], g[3]), begin // pieces_of_row * g[14]
    for _ in range(begin, end):
        piece = pointer_at(cuts, CUT_COLUMNS * place[0])
        corner, first0, end0, first1, end1 = _row_of_windows(place, g, k0, k1)
        r, first, last = piece[0], piece[6], piece[7]
        done = (end0 - first0 == k0) & (end1 - first1 == k1) & (first < last)
        if done:
            base, to = corner + starts[first], line + first * channels
            done = _whole_positions(
                whole, ahead, vector, x, base, last - first, g[19], channels, sizes, steps, y, other, to
            )
        while r < piece[1]:
            if done & (r == first):
                r = last
                continue
            taps, base, to = (first0, end0, first1, end1, firsts[r], ends[r]), corner + starts[r], line + r * channels
            for block in range(blocks_of(vector, channels)):
                c = block_at(vector, block, channels)
                cut(vector, x, size, base + c, none, RUN, none, taps, shape, steps, y, other, to + c, lanes(vector))
            r += 1
        place = place_after(place, pieces_of_row, g[4], g[3])
        line += g[14] if place[0] == 0 else 0
