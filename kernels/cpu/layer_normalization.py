"""Layer normalisation: each row by itself, while it is in the first-level cache; read once from memory, written once.

The variance is the mean square distance from the mean, less the square of what rounding the mean was off. For γ and β
the rows of a block are added up one after the other; the blocks, whose size depends on the rows' width alone, are added
in double precision.
"""

import math

import numpy as np

from ..memory import empty, empty_like
from .bodies import kernel, unpack, value
from .channels import strip_of
from .launch import run
from .mathematics import function, like
from .simd import (
    Vector,
    finish_streams,
    first_lanes,
    fma,
    lanes,
    load,
    load_part,
    prefetch,
    select,
    splat,
    store,
    store_part,
    sum_of,
    to_float64,
    vector_of,
)
from .streams import LINE_BYTES, THROUGH_CACHES, past_caches, put

LONGEST = 16384  # numbers in a row that is worked on as a whole: what the second-level cache has room for
WORK = 8192  # numbers that are worth a thread
IN_BLOCK = 131072  # numbers in a block, about, of so many rows at least and at most:
LEAST_ROWS, MOST_ROWS = 32, 256


@function
def _sum(strip, x, at, width):
    total, j = splat(strip, 0), 0
    while j + lanes(strip) <= width:
        total = total + load(strip, x, at + j)
        j += lanes(strip)
    return sum_of(total + load_part(strip, x, at + j, width - j))


@function
def _distances(strip, x, at, width, center):
    """Σ (x − center) and Σ (x − center)² of a row."""
    total, j = splat(strip, 0), 0
    squares = total
    while j + lanes(strip) <= width:
        distance = load(strip, x, at + j) - center
        total, squares = total + distance, fma(distance, distance, squares)
        j += lanes(strip)
    among = first_lanes(strip, width - j)
    distance = select(among, load_part(strip, x, at + j, width - j) - center, splat(strip, 0))
    return sum_of(total + distance), sum_of(fma(distance, distance, squares))


@function
def _ask_ahead(register, strip, x, at):
    """Asks for a strip of the next row, while this one is computed: by itself the processor asks for no more than it is
    about to read."""
    for j in range(0, lanes(strip), lanes(register)):
        prefetch(x, at + j)


@kernel
def _normalize_rows(begin, end, arguments):
    register, strip, past, width, x, gamma, beta, epsilon, y, mean, variance = unpack(arguments)
    for row in range(begin, end):
        at, j = row * width, 0
        center = like(epsilon, _sum(strip, x, at, width) / width)
        rest, squares = _distances(strip, x, at, width, center)
        center, spread = like(epsilon, center + rest / width), like(epsilon, (squares - rest * rest / width) / width)
        mean[row], variance[row] = center, spread
        inverse = like(epsilon, 1.0) / like(epsilon, math.sqrt(spread + epsilon))
        while j + lanes(strip) <= width:
            _ask_ahead(register, strip, x, at + width + j)
            scale = load(strip, gamma, j) * inverse
            put(past, y, at + j, fma(load(strip, x, at + j) - center, scale, load(strip, beta, j)))
            j += lanes(strip)
        if j < width:
            scale = load_part(strip, gamma, j, width - j) * inverse
            distance = load_part(strip, x, at + j, width - j) - center
            store_part(y, at + j, fma(distance, scale, load_part(strip, beta, j, width - j)), width - j)
    if value(past):
        finish_streams()


@function
def _products(strip, dy, x, gamma, at, width, center):
    """Σ h and Σ h·(x − center) of a row, h = dy·γ."""
    total, j = splat(strip, 0), 0
    product = total
    while j + lanes(strip) <= width:
        h = load(strip, dy, at + j) * load(strip, gamma, j)
        total, product = total + h, fma(h, load(strip, x, at + j) - center, product)
        j += lanes(strip)
    among, rest = first_lanes(strip, width - j), width - j
    h = load_part(strip, dy, at + j, rest) * load_part(strip, gamma, j, rest)
    distance = select(among, load_part(strip, x, at + j, rest) - center, splat(strip, 0))
    return sum_of(total + h), sum_of(fma(h, distance, product))


@function
def _gradient_of(g, distance, gamma, inverse, tilt, offset):
    return fma(g * gamma, like(g, inverse), fma(distance, like(g, tilt), like(g, offset)))


@kernel
def _rows_gradient(begin, end, arguments):
    """Blocks of rows: dx, and for each block Σ dy·(x − mean)/σ and Σ dy, for γ and β."""
    register, strip, past, rows, in_block, width, dy, x, gamma, mean, variance, epsilon, dx, sums = unpack(arguments)
    for block in range(begin, end):
        dgamma, dbeta = 2 * block * width, (2 * block + 1) * width
        for j in range(dgamma, dgamma + 2 * width):
            sums[j] = 0
        for row in range(block * in_block, min(rows, (block + 1) * in_block)):
            at, center, j = row * width, mean[row], 0
            inverse = like(center, 1.0) / like(center, math.sqrt(variance[row] + epsilon))
            total, product = _products(strip, dy, x, gamma, at, width, center)
            tilt, offset = -(inverse * inverse * inverse) * (product / width), -inverse * (total / width)
            while j + lanes(strip) <= width:
                _ask_ahead(register, strip, x, at + width + j)
                _ask_ahead(register, strip, dy, at + width + j)
                g, distance = load(strip, dy, at + j), load(strip, x, at + j) - center
                put(past, dx, at + j, _gradient_of(g, distance, load(strip, gamma, j), inverse, tilt, offset))
                store(sums, dgamma + j, fma(g, distance * inverse, load(strip, sums, dgamma + j)))
                store(sums, dbeta + j, load(strip, sums, dbeta + j) + g)
                j += lanes(strip)
            if j < width:
                rest = width - j
                g, distance = load_part(strip, dy, at + j, rest), load_part(strip, x, at + j, rest) - center
                of_gamma, of_beta = load_part(strip, sums, dgamma + j, rest), load_part(strip, sums, dbeta + j, rest)
                gradient = _gradient_of(g, distance, load_part(strip, gamma, j, rest), inverse, tilt, offset)
                store_part(dx, at + j, gradient, rest)
                store_part(sums, dgamma + j, fma(g, distance * inverse, of_gamma), rest)
                store_part(sums, dbeta + j, of_beta + g, rest)
    if value(past):
        finish_streams()


@kernel
def _add_blocks(begin, end, arguments):
    """totals[j] = Σ sums[block, j], vector by vector."""
    vector, blocks, numbers, sums, totals = unpack(arguments)
    for v in range(begin, end):
        j, total = v * lanes(vector), to_float64(splat(vector, 0))
        for block in range(blocks):
            total = total + to_float64(load_part(vector, sums, block * numbers + j, numbers - j))
        store_part(totals, j, total, numbers - j)


def added_blocks(sums: np.ndarray) -> np.ndarray:
    """Sums of blocks (blocks, …), added in their order in double precision."""
    totals = np.empty(sums.shape[1:])
    vector, blocks = vector_of(sums.dtype), len(sums)
    items = -(-totals.size // vector.lanes)
    run(_add_blocks, items, 1 + WORK // (1 + blocks * vector.lanes), vector, blocks, totals.size, sums, totals)
    return totals


def _whole_lines(y: np.ndarray) -> bool:
    """Whether each row of y is a number of cache lines."""
    return y.shape[1] * y.itemsize % LINE_BYTES == 0


def _vectors(x: np.ndarray) -> tuple[Vector, Vector]:
    """One register, and as many as are worked on together."""
    register, strip = vector_of(x.dtype), strip_of(x.dtype)
    return register, strip if x.shape[1] >= strip.lanes else register


def layer_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, mean (rows,) and variance (rows,) of x (rows, width), C-contiguous as all arrays here, and not empty."""
    (rows, width), y = x.shape, empty_like(x)
    mean, variance = empty(rows, x.dtype), empty(rows, x.dtype)
    past = past_caches(y, x) if _whole_lines(y) else THROUGH_CACHES
    arguments = (past, width, x, gamma, beta, x.dtype.type(epsilon), y, mean, variance)
    run(_normalize_rows, rows, max(1, WORK // width), *_vectors(x), *arguments)
    return y, mean, variance


def layer_norm_gradient(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dx, dγ and dβ."""
    (rows, width), dx = x.shape, empty_like(x)
    in_block = min(max(IN_BLOCK // width, LEAST_ROWS), MOST_ROWS)
    sums = empty((-(-rows // in_block), 2, width), x.dtype)
    past = past_caches(dx, dy, x) if _whole_lines(dx) else THROUGH_CACHES
    arguments = (past, rows, in_block, width, dy, x, gamma, mean, variance, x.dtype.type(epsilon), dx, sums)
    run(_rows_gradient, len(sums), max(1, WORK // (in_block * width)), *_vectors(x), *arguments)
    dgamma, dbeta = added_blocks(sums).astype(x.dtype)
    return dx, dgamma, dbeta
