"""The windows that lie over each position of an image, and sums over them: how the gradients of pooling walk.

Each number of the image has one owner, who reads from all windows over it, in a fixed order, and writes once. Along an
axis position i lies at tap t of window w where i + padding = stride · w + dilation · t: the windows over it, and their
taps, are arithmetic sequences.

Lanes run over channels, or, where channels are few, over the numbers of a row of windows: at a stride of 2 what these
give to their first positions and to their second ones is then shuffled together. What is added up is the kernel's own:

    read(vector, dy, other, at, size) -> given      what the windows at dy[at : at + lanes] have to give (`reading`),
    add(vector, given, tap, total) -> total         of which this is for their tap number `tap` (row-major).
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes
from .bodies import (
    Constant,
    either,
    scratch,
    unpack,
    value,
)
from .lane_maps import pick_inside
from .launch import run
from .mathematics import function
from .separable import PIECE, WORK
from .simd import Vector, finish_streams, lanes, load, load_part, pointer_at, splat, store, store_part, vector_of
from .streams import LINE_BYTES, THROUGH_CACHES, past_caches, put
from .windows import block_at, blocks_of, in_three, known_sizes, place_after, place_of, windows_along

FIRST_WINDOW, FIRST_TAP, WINDOWS, PHASE, COLUMNS = 0, 1, 2, 3, 4  # the columns of `_covering`
WITHIN = -1  # see `reading`
ROOM = 128  # numbers: two vectors at least
SIDE = 2  # of the squares of positions whose sums are taken together: a multiple of all strides known to the bodies


# ---- plans -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _covering(i: int, k: int, s: int, pair: tuple[int, int], d: int) -> np.ndarray:
    """For each position along an axis: the first window over it, its tap there, how many windows there are; and how far
    behind the start of one it lies, or −1 where a window is missing that would be there without a border."""
    starts, windows, taps = windows_along(i, k, s, tuple(pair), d).transposed.sorted
    first, count, phase = np.minimum(starts[:-1], len(windows) - 1), np.diff(starts), (np.arange(i) + pair[0]) % s
    whole = count == -(-(k - phase) // s)
    return np.stack([windows[first], taps[first], count, np.where(whole, phase, -1)], axis=1).astype(np.int64)


def _run_of_squares(covering: np.ndarray) -> tuple[int, int]:
    """The longest run of positions, a multiple of SIDE and from phase 0 on, over which no window is missing: the first
    and the end."""
    phase = covering[:, PHASE]
    first = int(np.argmax(phase == 0)) if (phase == 0).any() else len(phase)
    missing = np.flatnonzero(phase[first:] < 0)
    length = int(missing[0]) if len(missing) else len(phase) - first
    return first, first + length // SIDE * SIDE


def has_known_windows(pool_size: Sizes, strides: Sizes) -> bool:
    """Whether windows that are not dilated are known to the body at compile time."""
    return isinstance(known_sizes(pool_size)[0], Constant) and max(strides) <= SIDE


@lru_cache(maxsize=256)
def _plan(
    output_size: Sizes,
    input_size: Sizes,
    pool_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    channels: int,
    vector: Vector,
) -> tuple[int, tuple]:
    """How many items of work a sample is, and what the body is told."""
    (i0, i1, i2), (o0, o1, o2) = in_three(input_size, 1), in_three(output_size, 1)
    sizes, steps, dilation = in_three(pool_size, 1), in_three(strides, 1), in_three(dilation, 1)
    geometry = list(zip((i0, i1, i2), sizes, steps, in_three(padding, (0, 0)), dilation, strict=True))
    tables, common = [_covering(*axis) for axis in geometry], [math.gcd(s, d) for _, _, s, _, d in geometry]
    steps_of_windows = [d // g for d, g in zip(dilation, common, strict=True)]
    steps_of_taps = [s // g for s, g in zip(steps, common, strict=True)]
    known = has_known_windows(pool_size, strides) and set(dilation) == {1}
    length = max(1, PIECE * vector.lanes // (channels * SIDE)) * SIDE
    first, end = _run_of_squares(tables[2]) if known else (i2, i2)
    # Lines are taken in twos as well, from phase 0 on; so the first two may begin above the image.
    lines = 1 if sizes[1] == 1 else SIDE
    above = padding[-2][0] % steps[1] if lines == SIDE else 0
    groups, number = -(-(i1 + above) // lines), -(-i2 // length)
    numbers = [i0, i1, i2, o0, o1, o2 * channels, channels, *steps_of_windows, *steps_of_taps]
    numbers = np.array([*numbers, number, length, first, end, above, groups], np.int64)
    constants = [Constant(n) if known else n for n in (*sizes, *steps)]
    narrow = Constant(channels < vector.lanes)
    shuffles = _shuffles(channels, vector)
    return i0 * groups * number, (vector, narrow, *constants, numbers, np.concatenate(tables), shuffles)


def _shuffles(channels: int, vector: Vector) -> np.ndarray:
    """How whole positions with few channels are shuffled together from two vectors, by turns: for the lanes of two
    vectors, the lane of the two that they come from."""
    numbers, together = np.arange(2 * vector.lanes), vector.lanes // channels * channels
    position, channel = np.divmod(numbers, max(channels, 1))
    source = position // 2 * channels + channel + position % 2 * vector.lanes
    return np.where(numbers < 2 * together, source, 0).astype(f"i{vector.dtype.itemsize}")


def run_over_positions(body: Callable, dy: np.ndarray, other, dx: np.ndarray, geometry: tuple) -> None:
    """Runs a body over the positions of dx: `geometry` are the windows' size, strides, padding and dilation; dy and
    `other` are as the functions of the walk take them."""
    items, arguments = _plan(dy.shape[1:-1], dx.shape[1:-1], *geometry, dx.shape[-1], vector_of(dx.dtype))
    grain = max(1, len(dx) * items * WORK // (dx.size + dy.size))
    whole_lines = dx.shape[-1] * dx.itemsize % LINE_BYTES == 0
    past = past_caches(dx, dy, other) if whole_lines else THROUGH_CACHES
    run(body, len(dx) * items, grain, *arguments, past, dy.size, dy, other, dx)


# ---- the walk --------------------------------------------------------------------------------------------------------


@function
def reading(vector, pointer, at, size):
    """pointer[at : at + lanes], as far as it lies in the array of `size` numbers; WITHIN: it is known to."""
    if (size == WITHIN) | (at + lanes(vector) <= size):
        return load(vector, pointer, at)
    return load_part(vector, pointer, at, size - at)


@function
def _whole_sum(read, add, vector, dy, other, size, last, behind, geometry):
    """The sum at a position over which no window is missing, `behind` the start of a window: dy[last]."""
    (k0, k1, k2), (s0, s1, s2), (plane, line), channels, _ = geometry
    total = splat(vector, 0)
    last += behind[0] // s0 * plane + behind[1] // s1 * line + behind[2] // s2 * channels
    phase0, phase1, phase2 = behind[0] % s0, behind[1] % s1, behind[2] % s2
    for tap0 in range(phase0, k0, s0):
        for tap1 in range(phase1, k1, s1):
            for tap2 in range(phase2, k2, s2):
                at = last - tap0 // s0 * plane - tap1 // s1 * line - tap2 // s2 * channels
                total = add(vector, read(vector, dy, other, at, size), (tap0 * k1 + tap1) * k2 + tap2, total)
    return total


@function
def _square(read, add, vector, dy, other, size, last, phase0, geometry):
    """Four sums, of positions side by side in two lines, over which no window is missing (of what does not exist in one
    dimension, or at a stride of 1, the compiler sees that it is not used). They are all taken before they are written:
    so what several of them read is loaded once."""
    a = _whole_sum(read, add, vector, dy, other, size, last, (phase0, 0, 0), geometry)
    b = _whole_sum(read, add, vector, dy, other, size, last, (phase0, 0, 1), geometry)
    c = _whole_sum(read, add, vector, dy, other, size, last, (phase0, 1, 0), geometry)
    d = _whole_sum(read, add, vector, dy, other, size, last, (phase0, 1, 1), geometry)
    return a, b, c, d


def _squares_of_channels(
    narrow, read, add, vector, dy, other, size, last, squares, phase0, geometry, shuffles, past, dx, to
):
    """Squares side by side, lanes over channels."""
    (_, k1, _), strides, _, channels, row = geometry
    for _ in range(squares):
        for block in range(blocks_of(vector, channels)):
            j = block_at(vector, block, channels)
            a, b, c, d = _square(read, add, vector, dy, other, WITHIN, last + j, phase0, geometry)
            put(past, dx, to + j, a)
            put(past, dx, to + channels + j, b)
            if k1 > 1:
                put(past, dx, to + row + j, c)
                put(past, dx, to + row + channels + j, d)
        last, to = last + SIDE // strides[2] * channels, to + SIDE * channels


@function
def _put_by_turns(vector, room, shuffles, a, b, dx, to, count):
    """dx[to : to + 2 · count] = positions from a and b by turns."""
    store(room, 0, a)
    store(room, lanes(vector), b)
    for half in range(2):
        numbers = pick_inside(vector, room, 0, load(vector, shuffles, half * lanes(vector)))
        rest = 2 * count - half * lanes(vector)
        if rest >= lanes(vector):
            store(dx, to + half * lanes(vector), numbers)
        else:
            store_part(dx, to + half * lanes(vector), numbers, rest)


def _squares_of_numbers(
    narrow, read, add, vector, dy, other, size, last, squares, phase0, geometry, shuffles, past, dx, to
):
    """The same, lanes over the numbers of a row of windows: some whole windows at a time."""
    (_, k1, _), strides, _, channels, row = geometry
    room, some, left = scratch(dx, ROOM), lanes(vector) // channels * channels, squares * SIDE // strides[2] * channels
    while left > 0:
        count = min(some, left)
        a, b, c, d = _square(read, add, vector, dy, other, size, last, phase0, geometry)
        if strides[2] == 1:
            store_part(dx, to, a, count)
            if k1 > 1:
                store_part(dx, to + row, c, count)
        else:
            _put_by_turns(vector, room, shuffles, a, b, dx, to, count)
            if k1 > 1:
                _put_by_turns(vector, room, shuffles, c, d, dx, to + row, count)
        last, to, left = last + count, to + count * strides[2], left - count


_squares = either(_squares_of_numbers, _squares_of_channels)


@function
def _any_sum(read, add, vector, dy, other, size, first, tap, counts, steps, tap_steps):
    """The sum at a position with `counts` windows over it along each axis, the first at dy[first], for which it is
    `tap`."""
    (n0, n1, n2), (step0, step1, step2), (tap0, tap1, tap2), total = counts, steps, tap_steps, splat(vector, 0)
    for j0 in range(n0):
        for j1 in range(n1):
            at, here = first + j0 * step0 + j1 * step1, tap - j0 * tap0 - j1 * tap1
            for _ in range(n2):
                total = add(vector, read(vector, dy, other, at, size), here, total)
                at, here = at + step2, here - tap2
    return total


@function
def _any_position(narrow, read, add, vector, dy, other, size, at, tap, counts, steps, tap_steps, channels, dx, to):
    """That sum for all channels."""
    if value(narrow):
        total = _any_sum(read, add, vector, dy, other, size, at, tap, counts, steps, tap_steps)
        store_part(dx, to, total, channels)
    else:
        for block in range(blocks_of(vector, channels)):
            j = block_at(vector, block, channels)
            total = _any_sum(read, add, vector, dy, other, WITHIN, at + j, tap, counts, steps, tap_steps)
            store(dx, to + j, total)


@function
def walk_over_positions(read, add, begin, end, arguments):
    """Adds up what the windows over each position give, and writes it into the last argument."""
    vector, narrow, k0, k1, k2, s0, s1, s2, g, covering, shuffles, past, size, dy, other, dx = unpack(arguments)
    sizes, strides = (value(k0), value(k1), value(k2)), (value(s0), value(s1), value(s2))
    i0, i1, i2, o0, o1, line, channels, pieces_of_row, length = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[13], g[14]
    first_square, end_of_squares, above, groups = g[15], g[16], g[17], g[18]
    (_, k1, k2), row, together = sizes, i2 * channels, 1 if sizes[1] == 1 else SIDE
    geometry = sizes, strides, (o1 * line, line), channels, row
    steps, tap_steps = (g[7] * o1 * line, g[8] * line, g[9] * channels), (g[10] * k1 * k2, g[11] * k2, g[12])
    planes, rows, columns = covering, pointer_at(covering, COLUMNS * i0), pointer_at(covering, COLUMNS * (i0 + i1))
    place = place_of(begin, pieces_of_row, groups, i0)
    for _ in range(begin, end):
        piece, group, a, sample = place
        over0, top = pointer_at(planes, COLUMNS * a), group * together - above
        below = top + together
        begin_of_piece, end_of_piece = piece * length, min(piece * length + length, i2)
        left = max(begin_of_piece + (first_square - begin_of_piece) % SIDE, first_square)
        right = left + max(min(end_of_piece, end_of_squares) - left, 0) // SIDE * SIDE
        whole = (left < right) & (top >= 0) & (below <= i1) & (over0[PHASE] >= 0)
        for b in range(max(top, 0), min(below, i1)):
            whole = whole & (rows[COLUMNS * b + PHASE] >= 0)
        plane, start = (sample * o0 + over0[FIRST_WINDOW]) * o1, (sample * i0 + a) * i1
        for b in range(max(top, 0), min(below, i1)):
            over1, r = pointer_at(rows, COLUMNS * b), begin_of_piece
            first, tap = (plane + over1[FIRST_WINDOW]) * line, (over0[FIRST_TAP] * k1 + over1[FIRST_TAP]) * k2
            while r < end_of_piece:
                if whole & (r == left):
                    r = right
                    continue
                over = pointer_at(columns, COLUMNS * r)
                at, counts = first + over[FIRST_WINDOW] * channels, (over0[WINDOWS], over1[WINDOWS], over[WINDOWS])
                to, of = (start + b) * row + r * channels, tap + over[FIRST_TAP]
                _any_position(
                    narrow, read, add, vector, dy, other, size, at, of, counts, steps, tap_steps, channels, dx, to
                )
                r += 1
        if whole:
            over1, over = pointer_at(rows, COLUMNS * top), pointer_at(columns, COLUMNS * left)
            last0, last1 = over0[WINDOWS] - 1, over1[FIRST_WINDOW] + over1[WINDOWS] - 1
            last = (plane + last0 * o1 + last1) * line + (over[FIRST_WINDOW] + over[WINDOWS] - 1) * channels
            to, squares = (start + top) * row + left * channels, (right - left) // SIDE
            if over0[PHASE] == 0:
                _squares(narrow, read, add, vector, dy, other, size, last, squares, 0, geometry, shuffles, past, dx, to)
            elif strides[0] > 1:
                _squares(narrow, read, add, vector, dy, other, size, last, squares, 1, geometry, shuffles, past, dx, to)
        place = place_after(place, pieces_of_row, groups, i0)
    if value(past):
        finish_streams()
