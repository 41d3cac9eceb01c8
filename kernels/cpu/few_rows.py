"""The product of a matrix of few rows, a dense layer with a small batch: as fast as the other matrix can be read.

A register tile that has one row or a few does little with each number that it loads, so here the large matrix, the
weights, is read once, in the order in which it lies in memory, and whatever it meets stays in the caches:

- weights (K, N): a few of their rows at a time, each number of which is multiplied by one of each row of x and added to
  the sums of all columns, which wait in the L1 cache;
- weights (N, K), transposed: some of their rows at a time, with lanes along the rows, as many sums at once.

The weights are cut into pieces of about equally much work. Where a piece has not the whole depth, its sums are partial
ones; they are added piece by piece in the end. The pieces depend on the shapes alone, so that results do not depend
on the number of threads.
"""

from dataclasses import dataclass

import numpy as np

from ..memory import empty
from .bodies import helper, kernel, scratch, unpack
from .launch import run
from .simd import (
    Level,
    Vector,
    fma,
    lanes,
    load,
    load_part,
    maximum,
    pointer_at,
    prefetch,
    splat,
    store,
    store_part,
    sum_of,
    vector_of,
)
from .tiles import TileShape, accumulate_dots, store_dots, zero_tile

ROWS = 8  # of the weights, that are read side by side
SEGMENT_BYTES = 4096  # of a row of the weights: shorter segments are read more slowly
AHEAD_BYTES = 16 * 1024  # that memory is asked for before they are needed
CHUNK_BYTES = 4096  # of transposed rows, that serve all rows of x before the next ones are read
PIECE_CYCLES = 20_000  # of work in a piece: below twice as much a second thread does not pay
BYTES_A_CYCLE = 10  # that one core reads of main memory
SUM_CYCLES = 1.5  # to multiply a vector of weights and add it to a row's sums
PRODUCT_CYCLES = 2  # to multiply a vector of a transposed row by one of x
DOT_CYCLES = 60  # to add the lanes of the sums of ROWS transposed rows
LEAST_DEPTH = 64  # of a piece, lest partial sums take longer than the sums
MOST_LANES = 64  # of any vector


# ---- bodies ----------------------------------------------------------------------------------------------------------

# What the bodies find where in the layout. Items are numbered by product, piece of the depth, block of columns.
(
    DEPTH, COLUMNS, PITCH, X_ROWS, PIECE, PIECES, BLOCK, BLOCKS, BATCH, HAS_BIAS, RELU, CHUNK, AHEAD, AHEAD_ROW,
    AHEAD_COLUMN, LAYOUT_SIZE,
) = range(16)  # fmt: skip


@helper
def _load(vector, pointer, index, count):
    """A vector, or what there is of one: `count` numbers."""
    if count >= lanes(vector):
        return load(vector, pointer, index)
    return load_part(vector, pointer, index, count)


@helper
def _finish(vector, sums, y, bias, layout, row, first, last):
    """y = the sum of all pieces' sums + bias, then maybe ReLU, for the columns first … last of a row. `sums` may be y
    itself where there is but one piece."""
    zero, step = splat(vector, 0), layout[BATCH] * layout[X_ROWS] * layout[PITCH]
    for j in range(first, last, lanes(vector)):
        count, at = last - j, row * layout[PITCH] + j
        total = _load(vector, sums, at, count)
        for piece in range(1, layout[PIECES]):
            total = total + _load(vector, sums, piece * step + at, count)
        if layout[HAS_BIAS]:
            total = total + _load(vector, bias, j, count)
        if layout[RELU]:
            total = maximum(zero, total)
        at = row * layout[COLUMNS] + j
        if count >= lanes(vector):
            store(y, at, total)
        else:
            store_part(y, at, total, count)


@helper
def _place(layout, item):
    """(product, piece, its first and last row of the depth, its first and last column) of an item."""
    block, rest = item % layout[BLOCKS], item // layout[BLOCKS]
    piece, product = rest % layout[PIECES], rest // layout[PIECES]
    begin, first = piece * layout[PIECE], block * layout[BLOCK]
    end, last = min(begin + layout[PIECE], layout[DEPTH]), min(first + layout[BLOCK], layout[COLUMNS])
    return product, piece, begin, end, first, last


@helper
def _add_rows(vector, x, x_step, w, w_step, sums, pitch, rows, count):
    """sums[m] += x[m, :ROWS] · w[:ROWS, :count], a vector for each of the rows m of x."""
    w0, w1 = _load(vector, w, 0, count), _load(vector, w, w_step, count)
    w2, w3 = _load(vector, w, 2 * w_step, count), _load(vector, w, 3 * w_step, count)
    w4, w5 = _load(vector, w, 4 * w_step, count), _load(vector, w, 5 * w_step, count)
    w6, w7 = _load(vector, w, 6 * w_step, count), _load(vector, w, 7 * w_step, count)
    for m in range(rows):
        own = pointer_at(x, m * x_step)
        total = fma(splat(vector, own[0]), w0, load(vector, sums, m * pitch))
        total = fma(splat(vector, own[2]), w2, fma(splat(vector, own[1]), w1, total))
        total = fma(splat(vector, own[4]), w4, fma(splat(vector, own[3]), w3, total))
        total = fma(splat(vector, own[6]), w6, fma(splat(vector, own[5]), w5, total))
        store(sums, m * pitch, fma(splat(vector, own[7]), w7, total))


@helper
def _add_row(vector, x, x_step, w, sums, pitch, rows, count):
    """The same for one row of the weights."""
    weights = _load(vector, w, 0, count)
    for m in range(rows):
        store(sums, m * pitch, fma(splat(vector, x[m * x_step]), weights, load(vector, sums, m * pitch)))


@helper
def _add_segments(vector, x, x_step, w, w_step, sums, pitch, rows, columns, ahead, ahead_row, ahead_column):
    """`_add_rows` for `columns` columns. Memory is asked for what comes later, in its own order: these rows are read
    side by side, which the caches' own prefetching does not follow where they are short."""
    whole = columns // lanes(vector) * lanes(vector)
    for j in range(0, whole, lanes(vector)):
        for row in range(ROWS):
            prefetch(w, ahead + j * ahead_column + row * ahead_row)
        at, own = pointer_at(w, j), pointer_at(sums, j)
        _add_rows(vector, x, x_step, at, w_step, own, pitch, rows, lanes(vector))
    if whole < columns:
        at, own = pointer_at(w, whole), pointer_at(sums, whole)
        _add_rows(vector, x, x_step, at, w_step, own, pitch, rows, columns - whole)


@kernel
def stream(begin, end, arguments):
    """y (batch, rows of x, N) = x (batch, rows, K) · w (batch, K, N) + bias, for the items begin … end; of several
    pieces the sums (pieces, batch, rows, pitch) alone."""
    vector, x, w, bias, sums, y, layout = unpack(arguments)
    k, n, m, pitch = layout[DEPTH], layout[COLUMNS], layout[X_ROWS], layout[PITCH]
    ahead, ahead_row, ahead_column = layout[AHEAD], layout[AHEAD_ROW], layout[AHEAD_COLUMN]
    for item in range(begin, end):
        product, piece, start, bottom, first, last = _place(layout, item)
        row = (piece * layout[BATCH] + product) * m
        own = pointer_at(sums, row * pitch + first)
        for r in range(m):
            for j in range(0, last - first, lanes(vector)):
                store(own, r * pitch + j, splat(vector, 0))
        here, at = pointer_at(x, product * m * k), pointer_at(w, product * k * n + first)
        while start + ROWS <= bottom:
            numbers, rows = pointer_at(here, start), pointer_at(at, start * n)
            _add_segments(vector, numbers, k, rows, n, own, pitch, m, last - first, ahead, ahead_row, ahead_column)
            start += ROWS
        for i in range(start, bottom):
            numbers, rows = pointer_at(here, i), pointer_at(at, i * n)
            for j in range(0, last - first, lanes(vector)):
                _add_row(vector, numbers, k, pointer_at(rows, j), pointer_at(own, j), pitch, m, last - first - j)
        if layout[PIECES] == 1:
            for r in range(row, row + m):
                _finish(vector, sums, y, bias, layout, r, first, last)


@helper
def _dot(vector, x, x_at, w, w_at, count):
    """The sum of `count` products."""
    total, i = splat(vector, 0), 0
    while i < count:
        numbers = _load(vector, x, x_at + i, count - i)
        total = fma(numbers, _load(vector, w, w_at + i, count - i), total)
        i += lanes(vector)
    return sum_of(total)


@kernel
def stream_transposed(begin, end, arguments):
    """The same for w (batch, N, K)."""
    vector, shape, x, w, bias, sums, y, layout = unpack(arguments)
    k, n, m = layout[DEPTH], layout[COLUMNS], layout[X_ROWS]
    before = scratch(x, MOST_LANES)
    for item in range(begin, end):
        product, piece, top, bottom, first, last = _place(layout, item)
        row, whole = (piece * layout[BATCH] + product) * m, first + (last - first) // ROWS * ROWS
        for j in range(first, last, ROWS):
            for start in range(top, bottom, layout[CHUNK]):
                count = min(layout[CHUNK], bottom - start)
                for r in range(m):
                    x_at, at = (product * m + r) * k + start, (row + r) * layout[PITCH] + j
                    for i in range(min(ROWS, last - j)):
                        before[i] = 0 if start == top else sums[at + i]
                    w_at = (product * n + j) * k + start
                    if j < whole:
                        tile = accumulate_dots(zero_tile(shape), x, x_at, 0, w, w_at, k, lanes(vector), count)
                        store_dots(tile, before, 0, sums, at, ROWS)
                        continue
                    for i in range(last - j):
                        sums[at + i] = before[i] + _dot(vector, x, x_at, w, w_at + i * k, count)
        if layout[PIECES] == 1:
            for r in range(row, row + m):
                _finish(vector, sums, y, bias, layout, r, first, last)


@kernel
def add_pieces(begin, end, arguments):
    """y = Σ sums + bias, then maybe ReLU, for the rows begin … end of all products."""
    vector, sums, y, bias, layout = unpack(arguments)
    for row in range(begin, end):
        _finish(vector, sums, y, bias, layout, row, 0, layout[COLUMNS])


# ---- plans -----------------------------------------------------------------------------------------------------------


def memory_cycles(weights: int, dtype: np.dtype) -> float:
    """About how many cycles it takes to bring the weights from main memory."""
    return weights * dtype.itemsize / BYTES_A_CYCLE


def cycles(batch: int, m: int, k: int, n: int, transpose_b: bool, dtype: np.dtype, host: Level) -> float:
    """About how many cycles the product takes here."""
    width = max(1, host.bytes // dtype.itemsize)
    if transpose_b:
        groups, steps = -(-n // ROWS), -(-k // width)
        sums = batch * groups * m * (ROWS * steps * PRODUCT_CYCLES + DOT_CYCLES)
    else:
        sums = batch * k * -(-n // width) * m * SUM_CYCLES
    return max(sums, memory_cycles(batch * k * n, dtype))


@dataclass(frozen=True, eq=False)
class Plan:
    """How a product is cut into pieces."""

    vector: Vector
    shape: TileShape | None  # of the tiles where the weights are transposed
    layout: np.ndarray
    items: int
    grain: int
    sums_size: int  # 0: the sums are taken where the result stands
    adding_grain: int  # 0: there is but one piece


def plan(
    batch: int, m: int, k: int, n: int, transpose_b: bool, has_bias: bool, relu: bool, dtype: np.dtype, host: Level
) -> Plan:
    """Pieces of PIECE_CYCLES: of blocks of columns as wide as memory likes them, as deep as it takes."""
    vector = vector_of(dtype)
    number = cycles(1, m, k, n, transpose_b, dtype, host) / (k * n)  # cycles for a number of the weights
    size = max(1, int(PIECE_CYCLES / number))
    block = max(ROWS, size // k // ROWS * ROWS) if transpose_b else max(SEGMENT_BYTES // dtype.itemsize, vector.lanes)
    block = min(n, block)
    depth = -(-k // max(1, k // max(LEAST_DEPTH, size // block)))
    depth += -depth % max(ROWS, vector.lanes)
    pieces, blocks = -(-k // depth), -(-n // block)
    pitch = n if transpose_b else n + -n % vector.lanes
    layout = np.zeros(LAYOUT_SIZE, np.int64)
    layout[[DEPTH, COLUMNS, PITCH, X_ROWS, BATCH, HAS_BIAS, RELU]] = k, n, pitch, m, batch, has_bias, relu
    layout[[PIECE, PIECES, BLOCK, BLOCKS, CHUNK]] = depth, pieces, block, blocks, CHUNK_BYTES // dtype.itemsize
    layout[AHEAD] = ROWS * n * max(1, AHEAD_BYTES // (ROWS * block * dtype.itemsize))
    layout[[AHEAD_ROW, AHEAD_COLUMN]] = (vector.lanes, ROWS) if block == n else (n, 1)
    return Plan(
        vector,
        TileShape(dtype, 1, ROWS) if transpose_b else None,
        layout,
        batch * pieces * blocks,
        max(1, round(size / (min(depth, k) * block))),
        pieces * batch * m * pitch if pieces > 1 or pitch > n else 0,
        max(1, PIECE_CYCLES // (pieces * n)) if pieces > 1 else 0,
    )


def launch(chosen: Plan, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray) -> None:
    """y = x · w + bias, then maybe ReLU, all arrays C-contiguous."""
    sums = empty((chosen.sums_size,), y.dtype) if chosen.sums_size else y
    bias = y if bias is None else bias
    if chosen.shape is None:
        run(stream, chosen.items, chosen.grain, chosen.vector, x, w, bias, sums, y, chosen.layout)
    else:
        arguments = chosen.vector, chosen.shape, x, w, bias, sums, y, chosen.layout
        run(stream_transposed, chosen.items, chosen.grain, *arguments)
    if chosen.adding_grain:
        rows = y.size // y.shape[-1]
        run(add_pieces, rows, chosen.adding_grain, chosen.vector, sums, y, bias, chosen.layout)
