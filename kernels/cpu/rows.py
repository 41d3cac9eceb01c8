"""Reductions over the last axis and maps along it, in full SIMD lanes whether the rows are long or short.

A row of a thousand numbers fills registers by itself. Rows of 2 to 60 numbers, the class scores of a pixel, do not: as
many of them as a vector has lanes are transposed into a tile on the stack, one vector for each column, so that the
lanes run over rows. Either way numbers lie in *strips* of whole vectors: one wide row, or the columns of as many narrow
rows as there are lanes. What is known of a row (its maximum, say) is kept at the row's place in an array of BLOCK
numbers, and comes back as one lane of a vector, or in all lanes. A formula for blocks of rows goes like this:

    @formula
    def twice(vector, shape, width, first, rows, operands):
        x, y = operands
        size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
        room = scratch(x, TILE)
        numbers, at = block(vector, shape, x, first, rows, width, room)  # strip s begins at numbers[at + s · size]
        results, to = target(vector, shape, y, first, rows, width, room)               # and so do the results
        …                                                                # one loop over strips for each step
        finish(vector, shape, room, y, first, rows, width)

    y = map_rows(twice, empty_like(x), x)

Each step goes through all strips of a block before the next begins: steps of one strip wait for each other, those of
several strips overlap in the processor.

Widths up to FIXED are known at compile time. Beyond, they are not, so that all class counts share a kernel: groups of
columns are transposed, the last of which overlaps the one before where the width is no multiple.

A row's maximum leaves out NaN; it comes back with the first exponential.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .bodies import Constant, kernel, scratch, unpack
from .copying import contiguous
from .elementwise import Formula, apply
from .launch import run
from .mathematics import exp, exp_bounded, function, like, log
from .simd import (
    INT32,
    INT64,
    VectorType,
    finish_streams,
    first_lanes,
    lanes,
    largest_of,
    llvm_vector,
    load,
    load_part,
    load_value,
    maximum,
    prefetch,
    prefetch_to_write,
    select,
    splat,
    store,
    store_part,
    store_value,
    sum_of,
    vector_of,
)
from .streams import PAST_CACHES, past_caches, stream

NARROW = 47  # up to this width rows are transposed: beyond, few lanes of a row's vectors are idle
TILE = 2048 + 16  # numbers in a tile: two strips at least; and so many that tiles do not lie a multiple of 4 KiB apart
BLOCK = 128  # rows in a block, at most
WORK = 2048  # numbers in a block of wide rows, about: what one step leaves, the next finds in the first cache

WIDE = 0
PAST = 2**20  # wide rows whose results are stored past the caches
FIXED = 7  # widths up to this are known at compile time: then one of C columns takes C − 1 shuffles, else about 7
GROUP = 8  # columns that are transposed together where the width is not known


def as_rows(x: np.ndarray) -> tuple[int, int]:
    """x (…, C) as (rows, C)."""
    return math.prod(x.shape[:-1]), x.shape[-1]


def grain(width: int) -> int:
    """How many rows are worth a thread: about 8,000 numbers, each with an exponential."""
    return max(1, 8192 // max(width, 1))


def shape_argument(width: int, past: bool = False) -> Constant:
    """What a body knows of the rows at compile time: the width, if it is fixed; else the negative of how many columns
    are transposed at once; or that they are wide, and whether their results are stored past the caches."""
    if width > NARROW:
        return Constant(PAST if past and width <= WORK else WIDE)
    return Constant(width if width <= FIXED else -GROUP)


@intrinsic
def is_narrow(typing, shape):
    """True (at compile time) if rows of this shape are transposed."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(1), int(shape.number not in (WIDE, PAST)))

    return types.boolean(shape), generate


def _known_width(shape) -> int:
    """The width, if it is known at compile time, else 0."""
    return shape.number if 0 < shape.number < PAST else 0


@intrinsic
def _is_past(typing, shape):
    """True (at compile time) if the results of these rows are stored past the caches."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(1), int(shape.number == PAST))

    return types.boolean(shape), generate


@intrinsic
def _is_fixed(typing, shape):
    """True (at compile time) if the width is known at compile time."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(1), int(_known_width(shape) > 0))

    return types.boolean(shape), generate


@intrinsic
def columns(typing, shape, width):
    """The width, as a constant where it is one."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(INT64, _known_width(shape)) if _known_width(shape) else arguments[1]

    return types.intp(shape, types.intp), generate


@intrinsic
def _group(typing, vector, shape):
    """How many columns are transposed at once: no more than a vector has lanes."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(INT64, _group_size(vector, shape))

    return types.intp(vector, shape), generate


def _group_size(vector, shape) -> int:
    return min(-shape.number, vector.lanes) if shape.number < 0 else 1


@function
def strip_size(vector, shape, width):
    """Numbers in a strip."""
    return lanes(vector) * width if is_narrow(shape) else width


@function
def block_rows(vector, shape, width):
    """How many rows to take at a time."""
    if is_narrow(shape):
        return lanes(vector) * max(1, min(TILE // strip_size(vector, shape, width), BLOCK // lanes(vector)))
    return max(1, WORK // width)


@function
def strips_of(vector, shape, rows):
    """How many strips that many rows make."""
    return (rows + lanes(vector) - 1) // lanes(vector) if is_narrow(shape) else rows


@function
def within(vector, shape, place, size):
    """The place in a strip, or the last whole vector's where less than a vector follows (for maps, which may do the
    overlap twice)."""
    return place if is_narrow(shape) else min(place, size - lanes(vector))


@function
def known(vector, shape, array, strip):
    """What is known of the rows of a strip: a lane for each row, or the one number in all lanes."""
    if is_narrow(shape):
        return load(vector, array, strip * lanes(vector))
    return splat(vector, array[strip])


# ---- the loop over blocks --------------------------------------------------------------------------------------------


@kernel
def _blocks(begin, end, arguments):
    """Applies a formula to the rows begin ≤ i < end, a block at a time."""
    given = unpack(arguments)
    vector, shape, work, operands = given[0], given[1], given[2], given[4:]
    width, first = columns(shape, given[3]), begin
    rows_at_once = block_rows(vector, shape, width)
    while first < end:
        apply(work, (vector, shape, width, first, min(rows_at_once, end - first), operands))
        first += rows_at_once
    if _is_past(shape):
        finish_streams()


def map_rows(work: Formula, y: np.ndarray, x: np.ndarray, *operands: np.ndarray | np.floating) -> np.ndarray:
    """Applies a formula for blocks to the rows of x (…, C). Its operands are x, the others, and y, the result; where
    rows have no elements that is 0."""
    rows, width = as_rows(x)
    if not width:
        y.fill(0)
        return y
    operands = [contiguous(operand) if isinstance(operand, np.ndarray) else operand for operand in (x, *operands)]
    past = past_caches(y, *operands) is PAST_CACHES
    run(_blocks, rows, grain(width), vector_of(x.dtype), shape_argument(width, past), work, width, *operands, y)
    return y


# ---- transposition ---------------------------------------------------------------------------------------------------


def _offset(builder, pointer, index, constant: int):
    return builder.gep(pointer, [builder.add(index, ir.Constant(INT64, constant))])


def _shuffled(builder, a, b, indices: list[int]):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(indices)), indices))


def transposed(builder, vectors: list) -> list:
    """Vectors of G columns × rows that lie in blocks of G lanes: every block G × G is transposed, by exchanging lanes
    at distance 1, 2, 4 … It is its own inverse."""
    count, distance = vectors[0].type.count, 1
    while distance < len(vectors):
        low = [i if not i & distance else count + i - distance for i in range(count)]
        high = [i + distance if not i & distance else count + i for i in range(count)]
        for k in range(len(vectors)):
            if not k & distance:
                a, b = vectors[k], vectors[k | distance]
                vectors[k], vectors[k | distance] = (_shuffled(builder, a, b, way) for way in (low, high))
        distance *= 2
    return vectors


def _joined(builder, parts: list):
    """Vectors one after the other."""
    while len(parts) > 1:
        every = list(range(2 * parts[0].type.count))
        parts = [_shuffled(builder, a, b, every) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


@intrinsic
def _gather_group(typing, vector, shape, x, index, width, tile, at):
    """tile[at + c · lanes + l] = x[index + l · width + c] for all lanes l and the columns c of a group."""
    group, count = _group_size(vector, shape), vector.lanes
    part = llvm_vector(VectorType(vector.element, group))

    def generate(context, builder, signature, arguments):
        _, _, x, index, width, tile, at = arguments
        lines = []
        for row in range(count):
            start = builder.add(index, builder.mul(width, ir.Constant(INT64, row)))
            lines.append(load_value(builder, builder.gep(x, [start]), part))
        blocks = transposed(builder, [_joined(builder, lines[k::group]) for k in range(group)])
        for c, block in enumerate(blocks):
            store_value(builder, block, _offset(builder, tile, at, c * count))
        return context.get_dummy_value()

    return types.void(vector, shape, x, types.intp, types.intp, tile, types.intp), generate


@intrinsic
def _scatter_group(typing, vector, shape, tile, at, y, index, width):
    """y[index + l · width + c] = tile[at + c · lanes + l] for all lanes l and the columns c of a group."""
    group, count = _group_size(vector, shape), vector.lanes
    kind = llvm_vector(VectorType(vector.element, count))

    def generate(context, builder, signature, arguments):
        _, _, tile, at, y, index, width = arguments
        held = [load_value(builder, _offset(builder, tile, at, c * count), kind) for c in range(group)]
        blocks = transposed(builder, held)
        for row in range(count):
            lane = row // group * group
            line = _shuffled(builder, blocks[row % group], blocks[row % group], list(range(lane, lane + group)))
            start = builder.add(index, builder.mul(width, ir.Constant(INT64, row)))
            store_value(builder, line, builder.gep(y, [start]))
        return context.get_dummy_value()

    return types.void(vector, shape, tile, types.intp, y, types.intp, types.intp), generate


def _picked(builder, sources: list, wanted: list[tuple[int, int]]):
    """The vector whose lane l is lane wanted[l][1] of sources[wanted[l][0]]: one two-register shuffle for each source
    but one."""
    count = sources[0].type.count
    result = sources[0]
    placed = [lane if source == 0 else 0 for source, lane in wanted]
    for number in range(1, max(len(sources), 2)):
        other = sources[number] if number < len(sources) else result
        indices = [
            count + lane if source == number else (placed[l] if number == 1 else l)
            for l, (source, lane) in enumerate(wanted)
        ]
        result = _shuffled(builder, result, other, indices)
    return result


@intrinsic
def _gather_fixed(typing, vector, shape, x, index, tile, at):
    """tile[at + c · lanes + l] = x[index + l · width + c] for all lanes l and columns c of a known width."""
    kind, count, width = VectorType(vector.element, vector.lanes), vector.lanes, _known_width(shape) or 1

    def generate(context, builder, signature, arguments):
        _, _, x, index, tile, at = arguments
        lines = [load_value(builder, _offset(builder, x, index, k * count), llvm_vector(kind)) for k in range(width)]
        for c in range(width):
            column = _picked(builder, lines, [divmod(l * width + c, count) for l in range(count)])
            store_value(builder, column, _offset(builder, tile, at, c * count))
        return context.get_dummy_value()

    return types.void(vector, shape, x, types.intp, tile, types.intp), generate


@intrinsic
def _scatter_fixed(typing, vector, shape, tile, at, y, index):
    """y[index + l · width + c] = tile[at + c · lanes + l] for all lanes l and columns c of a known width."""
    kind, count, width = VectorType(vector.element, vector.lanes), vector.lanes, _known_width(shape) or 1

    def generate(context, builder, signature, arguments):
        _, _, tile, at, y, index = arguments
        held = [load_value(builder, _offset(builder, tile, at, c * count), llvm_vector(kind)) for c in range(width)]
        for k in range(width):
            line = _picked(builder, held, [divmod(k * count + l, width)[::-1] for l in range(count)])
            store_value(builder, line, _offset(builder, y, index, k * count))
        return context.get_dummy_value()

    return types.void(vector, shape, tile, types.intp, y, types.intp), generate


@function
def _transpose_strip(vector, shape, x, start, width, tile, at):
    """tile[at + c · lanes + l] = x[start + l · width + c] for all lanes and columns."""
    if _is_fixed(shape):
        _gather_fixed(vector, shape, x, start, tile, at)
    else:
        last = width - _group(vector, shape)
        for column in range(0, width, _group(vector, shape)):
            c = min(column, last)
            _gather_group(vector, shape, x, start + c, width, tile, at + c * lanes(vector))


@function
def _transpose_back(vector, shape, tile, at, y, start, width):
    """y[start + l · width + c] = tile[at + c · lanes + l] for all lanes and columns."""
    if _is_fixed(shape):
        _scatter_fixed(vector, shape, tile, at, y, start)
    else:
        last = width - _group(vector, shape)
        for column in range(0, width, _group(vector, shape)):
            c = min(column, last)
            _scatter_group(vector, shape, tile, at + c * lanes(vector), y, start + c, width)


@function
def block(vector, shape, x, first, rows, width, room):
    """Where `rows` rows from row `first` on are to be read: (the room that they were transposed into, 0), or (x,
    index). A last strip that is not full is transposed by way of another room, and ends with zeros."""
    if not is_narrow(shape):
        return x, first * width
    edge = scratch(x, TILE)
    size, at = strip_size(vector, shape, width), 0
    while at < rows * width:
        source, start, count = x, first * width + at, min(rows * width - at, size)
        if count < size:
            for j in range(count):
                edge[j] = x[start + j]
            for j in range(count, size):
                edge[j] = 0
            source, start = edge, 0
        for j in range(start + rows * width, start + rows * width + size, lanes(vector)):
            prefetch(x, j)
        _transpose_strip(vector, shape, source, start, width, room, at)
        at += size
    return room, 0


@function
def target(vector, shape, y, first, rows, width, room):
    """Where results are to be written, before `finish`: (the room, 0) or (y, index)."""
    if is_narrow(shape):
        for j in range(first * width, (first + rows) * width, lanes(vector)):
            prefetch_to_write(y, j)
        return room, 0
    return (room, 0) if _is_past(shape) else (y, first * width)


@function
def _stream_out(vector, room, y, to, count):
    """y[to : to + count] = room[: count], whole vectors past the caches."""
    j = min((lanes(vector) - to % lanes(vector)) % lanes(vector), count)
    if j > 0:
        store_part(y, to, load_part(vector, room, 0, j), j)
    while j + lanes(vector) <= count:
        stream(y, to + j, load(vector, room, j))
        j += lanes(vector)
    if j < count:
        store_part(y, to + j, load_part(vector, room, j, count - j), count - j)


@function
def finish(vector, shape, room, y, first, rows, width):
    """Takes results from the room into y: those of narrow rows are transposed."""
    if _is_past(shape):
        _stream_out(vector, room, y, first * width, rows * width)
    if is_narrow(shape):
        edge = scratch(y, TILE)
        size, at = strip_size(vector, shape, width), 0
        while at < rows * width:
            start, count = first * width + at, min(rows * width - at, size)
            if count < size:
                _transpose_back(vector, shape, room, at, edge, 0, width)
                for j in range(count):
                    y[start + j] = edge[j]
            else:
                _transpose_back(vector, shape, room, at, y, start, width)
            at += size


# ---- reductions of strips --------------------------------------------------------------------------------------------


@function
def only_last(vector, value, count):
    """The last `count` lanes, zeros before: what the last vector of a row adds to the sum of whole vectors."""
    return select(first_lanes(vector, lanes(vector) - count), like(value, 0.0), value)


@function
def ask_ahead(shape, x, at):
    """Asks for the cache line of a wide row that lies a block after x[at]. Spread over a step that computes, so that
    the next block comes meanwhile: by itself the processor asks for no more than it is about to read."""
    if not is_narrow(shape):
        prefetch(x, at + WORK)


@function
def max_of_strip(vector, shape, x, at, size):
    """The largest number of each row of a strip, for `known`."""
    a = load(vector, x, at)
    b, j = a, lanes(vector)
    while j + 2 * lanes(vector) <= size:
        a, b = maximum(load(vector, x, at + j), a), maximum(load(vector, x, at + j + lanes(vector)), b)
        j += 2 * lanes(vector)
    if j < size:
        a = maximum(load(vector, x, at + min(j, size - lanes(vector))), a)
        b = maximum(load(vector, x, at + size - lanes(vector)), b)  # may overlap the one before
    return maximum(a, b)


@function
def keep_max(vector, shape, largest, array, strip):
    """Keeps what `max_of_strip` found."""
    if is_narrow(shape):
        store(array, strip * lanes(vector), largest)
    else:
        array[strip] = largest_of(largest)


@function
def keep_sum(vector, shape, total, array, strip):
    """Keeps sums: those of each row's own lane, or of all lanes."""
    if is_narrow(shape):
        store(array, strip * lanes(vector), total)
    else:
        array[strip] = sum_of(total)


@function
def maxima(vector, shape, x, at, size, strips, m):
    """m[i] = max_c x[i, c] for each row of a block."""
    for strip in range(strips):
        keep_max(vector, shape, max_of_strip(vector, shape, x, at + strip * size, size), m, strip)


@function
def sums_of_exp(vector, shape, x, at, size, strips, m, total):
    """total[i] = Σ_c exp(x[i, c] − m[i]) for each row of a block."""
    for strip in range(strips):
        start, shift, terms, j = at + strip * size, known(vector, shape, m, strip), splat(vector, 0), 0
        while j + lanes(vector) <= size:
            ask_ahead(shape, x, start + j)
            terms = terms + exp(load(vector, x, start + j) - shift)
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            e = exp(load(vector, x, start + size - lanes(vector)) - shift)
            terms = terms + only_last(vector, e, size - j)
        keep_sum(vector, shape, terms, total, strip)


@function
def partition(vector, shape, x, at, size, strips, m, total):
    """m[i] = max_c x[i, c] and total[i] = Σ_c exp(x[i, c] − m[i]): what softmax and its kin are made of."""
    maxima(vector, shape, x, at, size, strips, m)
    sums_of_exp(vector, shape, x, at, size, strips, m, total)


@function
def logarithms(vector, rows, total):
    """total[i] ← ln total[i]."""
    for i in range(0, rows, lanes(vector)):
        store(total, i, log(load(vector, total, i)))


@function
def softmax_of_block(vector, shape, x, at, y, to, size, strips, rows, m, total):
    """y[i, c] = exp(x[i, c] − m[i]) for m[i] = max_c x[i, c], and total[i] = 1 / Σ_c y[i, c]."""
    maxima(vector, shape, x, at, size, strips, m)
    for strip in range(strips):
        start, shift, terms, j = strip * size, known(vector, shape, m, strip), splat(vector, 0), 0
        while j + lanes(vector) <= size:
            ask_ahead(shape, x, at + start + j)
            e = exp_bounded(load(vector, x, at + start + j) - shift)
            store(y, to + start + j, e)
            terms = terms + e
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            last = start + size - lanes(vector)
            e = exp_bounded(load(vector, x, at + last) - shift)
            store(y, to + last, e)
            terms = terms + only_last(vector, e, size - j)
        keep_sum(vector, shape, terms, total, strip)
    for i in range(0, rows, lanes(vector)):
        store(total, i, splat(vector, 1) / load(vector, total, i))


@function
def sums(vector, shape, x, at, size, strips, total):
    """total[i] = Σ_c x[i, c] for each row of a block."""
    for strip in range(strips):
        start, a, b, j = at + strip * size, splat(vector, 0), splat(vector, 0), 0
        while j + 2 * lanes(vector) <= size:
            a, b = a + load(vector, x, start + j), b + load(vector, x, start + j + lanes(vector))
            j += 2 * lanes(vector)
        if j + lanes(vector) <= size:
            a = a + load(vector, x, start + j)
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            b = b + only_last(vector, load(vector, x, start + size - lanes(vector)), size - j)
        keep_sum(vector, shape, a + b, total, strip)


@function
def scale_block(vector, shape, y, to, size, strips, factors):
    """y[i, c] ← factors[i] · y[i, c]."""
    for strip in range(strips):
        start, factor, j = to + strip * size, known(vector, shape, factors, strip), 0
        last = start + size - lanes(vector)
        kept = load(vector, y, last)  # may overlap the one before, which is then scaled already
        while j + lanes(vector) <= size:
            store(y, start + j, factor * load(vector, y, start + j))
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            store(y, last, factor * kept)
