"""Linear maps along the spatial axes that are sparse and separable: average pooling, resizing, and their transposes.

Along an axis, output o is a weighted sum of a few inputs i; in several dimensions the weights multiply:

    y[n, o, c] = Σ w₀[o₀, i₀] · w₁[o₁, i₁] · w₂[o₂, i₂] · x[n, i, c]

A map along an axis is a table of its entries (o, i, w), sorted by o. The transposed map, which the gradient needs, is
the same entries sorted by i: so gradients are gathered as well, each written once, by whoever owns it.

An output row is made in two steps: the input rows above each other are added up, whole rows at a time, into a row that
stays in the first-level cache; then the map along the last axis takes that row to the output. There the lanes run over
channels, or, where channels are few, over numbers of the row (see `lane_maps`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from ..memory import empty
from .bodies import (
    Constant,
    either,
    kernel,
    scratch,
    unpack,
    value,
)
from .copying import contiguous
from .lane_maps import (
    COUNT,
    FIRST,
    IDENTITY,
    OUT,
    VECTOR_COLUMNS,
    Axis,
    LaneMap,
    Steps,
    get,
    lane_map,
    padded,
    pick,
    pick_inside,
    put,
)
from .launch import run
from .mathematics import function
from .simd import (
    Vector,
    fma,
    lane_numbers,
    lanes,
    load,
    load_part,
    pointer_at,
    select,
    splat,
    store,
    store_part,
    vector_of,
)

ROOM = 4096  # numbers of the row between the two steps: half of a first-level cache, at most
BEHIND = 128  # numbers behind it: a window of two registers may begin at its last one
ROOM_AND_BEHIND = ROOM + BEHIND
PIECE = 256  # vectors of a row that are one item of work
WHOLE_ROW = 2**62
CUT_COLUMNS = 6  # see `pieces`
WORK = 16384  # numbers read or written that are worth a thread


# ---- tables ----------------------------------------------------------------------------------------------------------


def in_3d(axes: Sequence[Axis], identity: Axis = IDENTITY) -> tuple[Axis, Axis, Axis]:
    """One axis for each of three spatial dimensions: arrays of fewer have leading dimensions of size 1."""
    return (*(identity,) * (3 - len(axes)), *axes)


@lru_cache(maxsize=256)
def row_tables(dtype: np.dtype, *axes: Axis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sorted entries of axes, one after the other: starts, sources (int64), values as `dtype`."""
    starts, sources, values, before = [], [], [], 0
    for axis in axes:
        start, source, value = axis.sorted
        starts.append(start + before)
        sources.append(source)
        values.append(value)
        before += len(source)
    return np.concatenate(starts), np.concatenate(sources), np.concatenate(values).astype(dtype)


@lru_cache(maxsize=256)
def most_entries(axis: Axis) -> int:
    """The most entries that an output has."""
    return int(np.diff(axis.sorted[0]).max())


@lru_cache(maxsize=256)
def repeats(axis: Axis) -> np.ndarray:
    """For each output, whether it is the same as the one before."""
    starts, sources, values = axis.sorted
    same = np.zeros(axis.outputs, np.uint8)
    for o in range(1, axis.outputs):
        before, here = slice(starts[o - 1], starts[o]), slice(starts[o], starts[o + 1])
        same[o] = np.array_equal(sources[before], sources[here]) and np.array_equal(values[before], values[here])
    return same


# The columns of `pieces`: the first step and the end; the first number of the row that is read and the end; the same of
# what is written; and a range of steps among them that have all the same number of entries, and that number.
CUT_COLUMNS = 9
MOST_REGULAR = 4


def pieces(steps: Steps, most: int, room: int) -> np.ndarray | None:
    """A row cut into pieces of at most `most` steps, each of which reads at most `room` numbers: (pieces, CUT_COLUMNS);
    None if a single step reads more."""
    (first, end), (begins, ends), cut, begin = steps.read, steps.written, [], 0
    while begin < len(first):
        stop = min(begin + max(most, 1), len(first))
        low, high = np.minimum.accumulate(first[begin:stop]), np.maximum.accumulate(end[begin:stop])
        fits = high - low <= room
        number = len(fits) if fits.all() else int(fits.argmin())
        if number == 0:
            return None
        stop = begin + number
        read = (low[number - 1], max(low[number - 1], high[number - 1]))
        cut.append((begin, stop, *read, begins[begin], ends[stop - 1], *_regular(steps.degrees, begin, stop)))
        begin = stop
    return np.array(cut, np.int64)


def _regular(degrees: np.ndarray, begin: int, stop: int) -> tuple[int, int, int]:
    """The longest run of equal degrees 1 … MOST_REGULAR in begin … stop: where it begins and ends, and its degree."""
    changes = np.flatnonzero(np.diff(degrees[begin:stop])) + 1
    first, end = np.concatenate([[0], changes]) + begin, np.concatenate([changes, [stop - begin]]) + begin
    length = np.where((degrees[first] > 0) & (degrees[first] <= MOST_REGULAR), end - first, 0)
    longest = int(length.argmax())
    if length[longest] == 0:
        return stop, stop, 0
    return first[longest], end[longest], degrees[first[longest]]


def position_steps(axis: Axis, channels: int) -> Steps:
    """A row made position by position."""
    first, end = np.full(axis.outputs, axis.inputs), np.zeros(axis.outputs, np.int64)
    np.minimum.at(first, axis.target, axis.source)
    np.maximum.at(end, axis.target, axis.source + 1)
    begins = np.arange(axis.outputs) * channels
    return Steps((first * channels, end * channels), (begins, begins + channels), np.diff(axis.sorted[0]))


def runs_where_regular(lane: LaneMap, cut: np.ndarray) -> bool:
    """Whether the vectors in the pieces' ranges of regular ones read nothing but runs of numbers."""
    starts = lane.vectors[:, FIRST]
    return all(lane.runs[starts[first] : starts[end]].all() for first, end in cut[:, 6:8])


@lru_cache(maxsize=256)
def _plan(axes: tuple[Axis, ...], channels: int, vector: Vector) -> tuple[Callable, int, tuple]:
    """The body of a map, how many items of work a sample is, and what the body is told."""
    axis_0, axis_1, axis_2 = in_3d(axes)
    starts, sources, weights = row_tables(vector.dtype, axis_0, axis_1)
    narrow, one = channels < vector.lanes, vector.dtype.type(1)
    if narrow:
        lane = lane_map(axis_2, channels, vector)
        tables, steps, most = lane.tables, lane.steps, PIECE
    else:
        along, source, weight = row_tables(vector.dtype, axis_2)
        tables = (along, source * channels, np.zeros(0, f"i{one.itemsize}"), weight)  # the third is for lanes alone
        steps, most = position_steps(axis_2, channels), PIECE * vector.lanes // channels
    cut, body = pieces(steps, most, ROOM), _separable
    if cut is None:
        one_row = most_entries(axis_0) * most_entries(axis_1) <= 1  # which needs no room
        cut, body = pieces(steps, most, WHOLE_ROW), _separable if one_row else _separable_without_room
    runs = narrow and runs_where_regular(lane, cut)
    sizes = [axis_0.inputs, axis_1.inputs, axis_0.outputs, axis_1.outputs, axis_2.inputs * channels]
    numbers = np.array([*sizes, axis_2.outputs * channels, len(cut), channels], np.int64)
    known = (vector, Constant(narrow), Constant(runs), one, numbers, cut, repeats(axis_1), starts, sources, weights)
    return body, axis_0.outputs * axis_1.outputs * len(cut), (*known, *tables)


# ---- bodies ----------------------------------------------------------------------------------------------------------


@function
def _add(vector, room, length, a, of_a, b, of_b, c, of_c, number):
    """room[j] = of_a · a[j] + of_b · b[j] + of_c · c[j] for the first `number` of the three."""
    step, j = lanes(vector), 0
    wa, wb, wc = splat(vector, of_a), splat(vector, of_b), splat(vector, of_c)
    while j + 2 * step <= length:
        total, next_total = wa * load(vector, a, j), wa * load(vector, a, j + step)
        if number > 1:
            total, next_total = fma(wb, load(vector, b, j), total), fma(wb, load(vector, b, j + step), next_total)
        if number > 2:
            total, next_total = fma(wc, load(vector, c, j), total), fma(wc, load(vector, c, j + step), next_total)
        store(room, j, total)
        store(room, j + step, next_total)
        j += 2 * step
    while j < length:
        total = wa * load_part(vector, a, j, length - j)
        if number > 1:
            total = fma(wb, load_part(vector, b, j, length - j), total)
        if number > 2:
            total = fma(wc, load_part(vector, c, j, length - j), total)
        store_part(room, j, total, length - j)
        j += step


@function
def _add_rows(vector, x, room, one, low, high, plane, i1, row, first0, end0, first1, end1, sources, weights):
    """room[j − low] = Σ weight · x[row, j] for low ≤ j < high, over the rows of the entries, three at a time."""
    length, number, some = high - low, 0, False
    a = b = c = room
    of_a = of_b = of_c = one
    for e0 in range(first0, end0):
        for e1 in range(first1, end1):
            here = pointer_at(x, ((plane + sources[e0]) * i1 + sources[e1]) * row + low)
            weight = weights[e0] * weights[e1]
            if number == 0:
                a, of_a = here, weight
            elif number == 1:
                b, of_b = here, weight
            else:
                c, of_c = here, weight
            number += 1
            if number == 3:  # the sum becomes the first of the next three
                _add(vector, room, length, a, of_a, b, of_b, c, of_c, 3)
                number, some, a, of_a = 1, True, room, one
    if number == 2:
        _add(vector, room, length, a, of_a, b, of_b, c, of_c, 2)
    elif (number == 1) & (not some):
        _add(vector, room, length, a, of_a, b, of_b, c, of_c, 1)
    elif number == 0:
        for j in range(length):
            room[j] = 0


@function
def next_block(vector, c, channels):
    """The first channel of the vector after the one at c: the last one overlaps the one before rather than be cut. Once
    there is none, `channels`."""
    return min(c + lanes(vector), channels - lanes(vector)) if c + lanes(vector) < channels else channels


@function
def without_shared(vector, numbers, c, done):
    """Zeros for the channels before `done`, which the vector at c shares with the one before: so that adding twice to
    the same number adds once."""
    if done <= c:
        return numbers
    return select(lane_numbers(vector) >= done - c, numbers, splat(vector, 0))


@function
def _wide(vector, row, at, scale, first, last, starts, sources, weights, channels, y, to, more):
    """y[to + r · channels + c] (+)= scale · Σ weight · row[at + source + c], over positions r and, in lanes, channels
    c; `more` says that y has a part of the sum."""
    for r in range(first, last):
        out, c, done = to + r * channels, 0, 0
        while c < channels:
            total = splat(vector, 0)
            for e in range(starts[r], starts[r + 1]):
                total = fma(splat(vector, weights[e]), load(vector, row, at + sources[e] + c), total)
            total = total * splat(vector, scale)
            store(y, out + c, load(vector, y, out + c) + without_shared(vector, total, c, done) if more else total)
            done, c = c + lanes(vector), next_block(vector, c, channels)


@function
def _wide_regular(vector, row, at, scale, first, last, degree, starts, sources, weights, channels, y, to):
    """The same for positions that have all `degree` entries."""
    if first < last:
        e, out, weigh = starts[first], to + first * channels, splat(vector, scale)
        for _ in range(first, last):
            a_0 = a_1 = a_2 = a_3 = pointer_at(row, at + sources[e])
            of_0 = of_1 = of_2 = of_3 = weigh * splat(vector, weights[e])
            if degree > 1:
                a_1, of_1 = pointer_at(row, at + sources[e + 1]), weigh * splat(vector, weights[e + 1])
            if degree > 2:
                a_2, of_2 = pointer_at(row, at + sources[e + 2]), weigh * splat(vector, weights[e + 2])
            if degree > 3:
                a_3, of_3 = pointer_at(row, at + sources[e + 3]), weigh * splat(vector, weights[e + 3])
            c = 0
            while c < channels:
                total = of_0 * load(vector, a_0, c)
                if degree > 1:
                    total = fma(of_1, load(vector, a_1, c), total)
                if degree > 2:
                    total = fma(of_2, load(vector, a_2, c), total)
                if degree > 3:
                    total = fma(of_3, load(vector, a_3, c), total)
                store(y, out + c, total)
                c = next_block(vector, c, channels)
            e, out = e + degree, out + channels


@function
def _narrow(vector, row, size, at, scale, first, last, vectors, entries, indices, weights, y, to, more):
    """The same for vectors `first` … `last` of a map in lanes."""
    for v in range(first, last):
        total = splat(vector, 0)
        for e in range(vectors[v * VECTOR_COLUMNS + FIRST], vectors[(v + 1) * VECTOR_COLUMNS + FIRST]):
            weight = load(vector, weights, entries[2 * e + 1])
            here = pick(vector, row, size, at + entries[2 * e], load(vector, indices, entries[2 * e + 1]))
            total = select(weight != 0, fma(weight, here, total), total)
        total = splat(vector, scale) * total
        put(vector, y, to, v, vectors, get(vector, y, to, v, vectors) + total if more else total)


@function
def _narrow_regular(vector, row, at, scale, first, last, degree, runs, vectors, entries, indices, weights, y, to):
    """The same for vectors that have all `degree` entries, in which all lanes read, inside of the array."""
    e, out = vectors[first * VECTOR_COLUMNS + FIRST], to + vectors[first * VECTOR_COLUMNS + OUT]
    count, weigh = vectors[first * VECTOR_COLUMNS + COUNT], splat(vector, scale)
    for _ in range(first, last):
        total = splat(vector, 0)
        for entry in range(e, e + degree):
            base, pattern = at + entries[2 * entry], entries[2 * entry + 1]
            if runs:
                here = load(vector, row, base)
            else:
                here = pick_inside(vector, row, base, load(vector, indices, pattern))
            total = fma(load(vector, weights, pattern), here, total)
        if count == lanes(vector):
            store(y, out, weigh * total)
        else:
            store_part(y, out, weigh * total, count)
        e, out = e + degree, out + count


def _wide_row(narrow, runs, vector, row, size, at, scale, cut, channels, along, reads, indices, shares, y, to):
    """A piece of a row in lanes of channels: the regular positions with loops of known length, and those about them."""
    first, end, degree = cut[6], cut[7], cut[8]
    _wide(vector, row, at, scale, cut[0], first, along, reads, shares, channels, y, to, False)
    if degree == 1:
        _wide_regular(vector, row, at, scale, first, end, 1, along, reads, shares, channels, y, to)
    elif degree == 2:
        _wide_regular(vector, row, at, scale, first, end, 2, along, reads, shares, channels, y, to)
    elif degree == 3:
        _wide_regular(vector, row, at, scale, first, end, 3, along, reads, shares, channels, y, to)
    elif degree == 4:
        _wide_regular(vector, row, at, scale, first, end, 4, along, reads, shares, channels, y, to)
    _wide(vector, row, at, scale, end, cut[1], along, reads, shares, channels, y, to, False)


def _narrow_row(narrow, runs, vector, row, size, at, scale, cut, channels, along, reads, indices, shares, y, to):
    """A piece of a row in lanes of numbers."""
    first, end, degree, plain = cut[6], cut[7], cut[8], value(runs)
    if at + cut[3] + 2 * lanes(vector) > size:
        first = end = cut[1]
    _narrow(vector, row, size, at, scale, cut[0], first, along, reads, indices, shares, y, to, False)
    if first == end:
        degree = 0
    if degree == 1:
        _narrow_regular(vector, row, at, scale, first, end, 1, plain, along, reads, indices, shares, y, to)
    elif degree == 2:
        _narrow_regular(vector, row, at, scale, first, end, 2, plain, along, reads, indices, shares, y, to)
    elif degree == 3:
        _narrow_regular(vector, row, at, scale, first, end, 3, plain, along, reads, indices, shares, y, to)
    elif degree == 4:
        _narrow_regular(vector, row, at, scale, first, end, 4, plain, along, reads, indices, shares, y, to)
    _narrow(vector, row, size, at, scale, end, cut[1], along, reads, indices, shares, y, to, False)


def _wide_part(narrow, vector, row, size, at, scale, cut, channels, along, reads, indices, shares, y, to, more):
    _wide(vector, row, at, scale, cut[0], cut[1], along, reads, shares, channels, y, to, more)


def _narrow_part(narrow, vector, row, size, at, scale, cut, channels, along, reads, indices, shares, y, to, more):
    _narrow(vector, row, size, at, scale, cut[0], cut[1], along, reads, indices, shares, y, to, more)


_row_of_map = either(_narrow_row, _wide_row)
_part_of_map = either(_narrow_part, _wide_part)


@function
def _copy(vector, x, at, length, to):
    """x[to : to + length] = x[at : at + length]"""
    j = 0
    while j + lanes(vector) <= length:
        store(x, to + j, load(vector, x, at + j))
        j += lanes(vector)
    if j < length:
        store_part(x, to + j, load_part(vector, x, at + j, length - j), length - j)


@function
def _place(item, number, o0, o1):
    """Where an item of work is in the output: piece, row, and the row's plane, line and sample."""
    piece, row = item % number, item // number  # row = (n · o0 + p) · o1 + q
    return piece, row, row % o1, (row // o1) % o0, row // (o1 * o0)


@kernel
def _separable(begin, end, arguments):
    vector, narrow, runs, one, g, cuts, repeats, starts, sources, weights, along, reads, indices, shares, size, x, y = (
        unpack(arguments)
    )
    i0, i1, o0, o1, inputs, outputs, number, channels = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
    room = scratch(x, ROOM_AND_BEHIND)
    piece, row, q, p, sample = _place(begin, number, o0, o1)
    for item in range(begin, end):
        cut, to, plane = pointer_at(cuts, CUT_COLUMNS * piece), row * outputs, sample * i0
        first0, end0, first1, end1 = starts[p], starts[p + 1], starts[o0 + 1 + q], starts[o0 + 2 + q]
        rows = (end0 - first0) * (end1 - first1)
        if (repeats[q] != 0) & (item - number >= begin):
            _copy(vector, y, to + cut[4] - outputs, cut[5] - cut[4], to + cut[4])
        elif rows == 0:
            for j in range(to + cut[4], to + cut[5]):
                y[j] = 0
        else:
            source, length, at = x, size, ((plane + sources[first0]) * i1 + sources[first1]) * inputs
            scale = weights[first0] * weights[first1]
            if rows > 1:
                _add_rows(
                    vector, x, room, one, cut[2], cut[3],
                    plane, i1, inputs, first0, end0, first1, end1, sources, weights,
                )  # fmt: skip
                source, length, at, scale = room, ROOM_AND_BEHIND, -cut[2], one
            _row_of_map(
                narrow, runs, vector, source, length, at, scale, cut, channels, along, reads, indices, shares, y, to
            )
        piece += 1
        if piece == number:
            piece, row, q = 0, row + 1, q + 1
            if q == o1:
                q, p = 0, p + 1
                if p == o0:
                    p, sample = 0, sample + 1


@kernel
def _separable_without_room(begin, end, arguments):
    """Where a vector reads more than there is room for: one row after the other is added to the output."""
    vector, narrow, _, _, g, cuts, _, starts, sources, weights, along, reads, indices, shares, size, x, y = unpack(
        arguments
    )
    i0, i1, o0, o1, inputs, outputs, number, channels = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
    for item in range(begin, end):
        piece, row, q, p, sample = _place(item, number, o0, o1)
        cut, to = pointer_at(cuts, CUT_COLUMNS * piece), row * outputs
        first0, first1, more = starts[p], starts[o0 + 1 + q], False
        for e0 in range(first0, starts[p + 1]):
            for e1 in range(first1, starts[o0 + 2 + q]):
                at, scale = ((sample * i0 + sources[e0]) * i1 + sources[e1]) * inputs, weights[e0] * weights[e1]
                _part_of_map(
                    narrow, vector, x, size, at, scale, cut, channels, along, reads, indices, shares, y, to, more
                )
                more = True
        if not more:
            for j in range(to + cut[4], to + cut[5]):
                y[j] = 0


def apply(axes: Sequence[Axis], x: np.ndarray) -> np.ndarray:
    """The map along one to three spatial axes of x (N, *spatial, C)."""
    x = contiguous(x)
    outputs = [axis.outputs for axis in axes]
    y = empty((len(x), *outputs, x.shape[-1]), x.dtype)
    if y.size:
        body, items, arguments = _plan(tuple(axes), x.shape[-1], vector_of(x.dtype))
        flat = padded(x, arguments[0])
        grain = max(1, len(x) * items * WORK // (x.size + y.size))
        run(body, len(x) * items, grain, *arguments, flat.size, flat, y)
    return y
