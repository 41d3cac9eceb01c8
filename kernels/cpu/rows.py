"""Reductions over the last axis and maps along it, in SIMD whether the rows are long or short: for softmax and its kin.

A row of a thousand numbers fills registers by itself. Rows of 2 to 16 numbers, the class scores of a pixel, do not:
BLOCK of them at a time are transposed into a tile on the stack, where the lanes run over rows; their width is known at
compile time. A body goes like this, `shape` being `RowShape(width)`:

    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        tile, at = block(vector, shape, x, first, rows, width, room)   # the numbers: (room, 0) or (x, their index)
        …

What is known of row i of the block stands at index i of an array of BLOCK numbers.

(A helper function is compiled by itself before it is inlined, with a test at run time whether what it writes overlaps
what it reads; where it does, a loop is not vectorised. So no helper is given one array twice.)
"""

import math

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .launch import Constant
from .mathematics import exp, function, like
from .simd import INT32, INT64, VectorType, lanes, llvm_vector, load, load_value, max_of, select, store_value

NARROW = 16  # up to this width rows are transposed
BLOCK = 64  # rows at a time, if they are narrow: a multiple of every vector's lanes
TILE = NARROW * BLOCK

# Sums may be reordered, to run in lanes.
reduction = numba.njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"}, forceinline=True, nogil=True)


def as_rows(x: np.ndarray) -> tuple[int, int]:
    """x (…, C) as (rows, C)."""
    return math.prod(x.shape[:-1]), x.shape[-1]


def grain(width: int) -> int:
    """How many rows are worth a thread: about 8,000 numbers, each with an exponential."""
    return max(1, 8192 // max(width, 1))


WIDE = -1


def shape_argument(width: int) -> Constant:
    """What a body knows of the rows at compile time: the width of narrow ones, or that they are wide."""
    return Constant(width if width <= NARROW else WIDE)


@intrinsic
def is_narrow(typing, shape):
    """True (at compile time) if rows of this shape are transposed."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(1), int(shape.number != WIDE))

    return types.boolean(shape), generate


@function
def rows_at_once(shape):
    """How many rows to take at a time: wide ones singly, so that they stay in the cache between two loops."""
    return BLOCK if is_narrow(shape) else 1


# ---- transposition ---------------------------------------------------------------------------------------------------


def _picked(builder, sources: list, wanted: list[tuple[int, int]]):
    """The vector whose lane l is lane wanted[l][1] of sources[wanted[l][0]]: one two-register shuffle for each
    source."""
    count = sources[0].type.count
    result = sources[0]
    placed = [lane if source == 0 else 0 for source, lane in wanted]
    for number in range(1, max(len(sources), 2)):
        other = sources[number] if number < len(sources) else result
        indices = [
            count + lane if source == number else (placed[l] if number == 1 else l)
            for l, (source, lane) in enumerate(wanted)
        ]
        result = builder.shuffle_vector(result, other, ir.Constant(ir.VectorType(INT32, count), indices))
    return result


@intrinsic
def _transpose_in(typing, vector, shape, x, index, tile, row):
    """tile[c · BLOCK + row + l] = x[index + l · width + c] for all lanes l and all columns c."""
    kind, count = VectorType(vector.element, vector.lanes), vector.lanes
    columns = max(shape.number, 0)

    def generate(context, builder, signature, arguments):
        _, _, x, index, tile, row = arguments
        lines = [
            load_value(builder, builder.gep(x, [builder.add(index, ir.Constant(INT64, k * count))]), llvm_vector(kind))
            for k in range(columns)
        ]
        for c in range(columns):
            column = _picked(builder, lines, [divmod(l * columns + c, count) for l in range(count)])
            store_value(builder, column, builder.gep(tile, [builder.add(row, ir.Constant(INT64, c * BLOCK))]))
        return context.get_dummy_value()

    return types.void(vector, shape, x, types.intp, tile, types.intp), generate


@intrinsic
def _transpose_out(typing, vector, shape, tile, row, y, index):
    """y[index + l · width + c] = tile[c · BLOCK + row + l] for all lanes l and all columns c."""
    kind, count = VectorType(vector.element, vector.lanes), vector.lanes
    columns = max(shape.number, 0)

    def generate(context, builder, signature, arguments):
        _, _, tile, row, y, index = arguments
        held = [
            load_value(builder, builder.gep(tile, [builder.add(row, ir.Constant(INT64, c * BLOCK))]), llvm_vector(kind))
            for c in range(columns)
        ]
        for k in range(columns):
            line = _picked(builder, held, [divmod(k * count + l, columns)[::-1] for l in range(count)])
            store_value(builder, line, builder.gep(y, [builder.add(index, ir.Constant(INT64, k * count))]))
        return context.get_dummy_value()

    return types.void(vector, shape, tile, types.intp, y, types.intp), generate


@function
def block(vector, shape, x, first, rows, width, room):
    """Where `rows` rows from row `first` on are to be read: (the room that they were transposed into, 0), or (x,
    index)."""
    start = first * width
    if not is_narrow(shape):
        return x, start
    if rows == BLOCK:
        for i in range(0, BLOCK, lanes(vector)):
            _transpose_in(vector, shape, x, start + i * width, room, i)
    else:
        for i in range(rows):
            for c in range(width):
                room[c * BLOCK + i] = x[start + i * width + c]
    return room, 0


@function
def target(shape, y, first, width, room):
    """Where results are to be written, before `finish`: (the room, 0) or (y, index)."""
    if is_narrow(shape):
        return room, 0
    return y, first * width


@function
def finish(vector, shape, room, y, first, rows, width):
    """Transposes the results of narrow rows from the room into y."""
    if not is_narrow(shape):
        return
    start = first * width
    if rows == BLOCK:
        for i in range(0, BLOCK, lanes(vector)):
            _transpose_out(vector, shape, room, i, y, start + i * width)
    else:
        for i in range(rows):
            for c in range(width):
                y[start + i * width + c] = room[c * BLOCK + i]


# ---- reductions ------------------------------------------------------------------------------------------------------


@function
def max_of_narrow(x, rows, width, result):
    """result[i] = max_c x[c · BLOCK + i]; −∞ for width 0, NaN if there is one."""
    for i in range(rows):
        result[i] = -math.inf
    for c in range(width):
        for i in range(rows):
            number = x[c * BLOCK + i]
            result[i] = number if (number > result[i]) | (number != number) else result[i]


@function
def larger(a, b):
    """The larger of two vectors in each lane; NaN if either is."""
    return select((a > b) | (a != a), a, b)


@function
def max_of_wide(vector, x, at, width):
    """max_c x[at + c], for at least as many columns as the vector has lanes; NaN if there is one."""
    largest, last = load(vector, x, at), width - lanes(vector)
    for c in range(lanes(vector), last, lanes(vector)):
        largest = larger(load(vector, x, at + c), largest)
    return max_of(larger(load(vector, x, at + last), largest))  # the last overlaps the one before


@reduction
def sum_of_exp(x, at, width, m):
    """Σ_c exp(x[at + c] − m)."""
    total = like(m, 0.0)
    for c in range(width):
        total += exp(x[at + c] - m)
    return total


@reduction
def sum_of(x, at, width):
    """Σ_c x[at + c]."""
    total = like(x[at], 0.0)
    for c in range(width):
        total += x[at + c]
    return total


@reduction
def sum_of_products(x, x_at, z, z_at, width):
    """Σ_c x[x_at + c] · z[z_at + c]."""
    total = like(x[x_at], 0.0)
    for c in range(width):
        total += x[x_at + c] * z[z_at + c]
    return total


@function
def partition(vector, narrow, x, at, rows, width, m, total):
    """m[i] = max_c x[i, c] and total[i] = Σ_c exp(x[i, c] − m[i]): what softmax and its kin are made of."""
    if narrow:
        max_of_narrow(x, rows, width, m)
        for i in range(rows):
            total[i] = 0
        for c in range(width):
            for i in range(rows):
                total[i] += exp(x[c * BLOCK + i] - m[i])
    else:
        m[0] = max_of_wide(vector, x, at, width)
        total[0] = sum_of_exp(x, at, width, m[0])


@function
def softmax_of_narrow(x, rows, width, m, total):
    """x[i, c] ← exp(x[i, c] − max) / Σ_c exp(x[i, c] − max); m and total are room for BLOCK numbers."""
    max_of_narrow(x, rows, width, m)
    for i in range(rows):
        total[i] = 0
    for c in range(width):
        for i in range(rows):
            e = exp(x[c * BLOCK + i] - m[i])
            x[c * BLOCK + i] = e
            total[i] += e
    for i in range(rows):
        total[i] = like(total[i], 1.0) / total[i]
    for c in range(width):
        for i in range(rows):
            x[c * BLOCK + i] *= total[i]
