"""What recurrent cells multiply states by: weights packed for register tiles, and the product of a few rows with them.

A step of a sequence is a product of the state with the recurrent weights, which stay the same for all steps: they are
packed once (a block of columns for each register tile, its gates side by side, so that whoever has the tile has all
gates of the same units) and come from the caches in every step. Every number is summed in the same order in a tile of
any height: how sequences and units are divided among threads changes no result.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..memory import empty
from .bodies import address_of, helper, kernel, unpack
from .launch import run
from .simd import Level, lanes, level, load, load_part, splat, store, store_part, vector_of
from .tile_kernel import (
    ADVANCE,
    COLUMNS,
    FLAGS,
    OUT,
    OUT_STEP,
    SLOTS,
    STEP,
    TABLE,
    W_ADVANCE,
    W_POINTER,
    X_POINTER,
    call_tile_kernel,
    tile_kernel,
)
from .tiles import TileShape

MOST_ROWS = 8  # of a tile
MOST = 0  # where kernels, an array of addresses by rows, have the rows of the largest
VECTORS = 4  # in a row of a tile that has no gates
ROOM = MOST_ROWS * VECTORS * 64  # numbers of any tile, with vectors of up to 64 lanes
ALL_SLOTS = SLOTS + 4  # and a table of one piece
PACKING_GRAIN = 64  # rows of packed weights that are worth a thread


# ---- packing ---------------------------------------------------------------------------------------------------------


@helper
def get(vector, pointer, index, count):
    """A vector, or what there is of one: `count` numbers, then zeros."""
    if count >= lanes(vector):
        return load(vector, pointer, index)
    return load_part(vector, pointer, index, count)


@helper
def put(vector, pointer, index, numbers, count):
    """Stores a vector, or the first `count` numbers of it."""
    if count >= lanes(vector):
        store(pointer, index, numbers)
    else:
        store_part(pointer, index, numbers, count)


@kernel
def _pack(begin, end, arguments):
    """packed[block, k, part, :] = weight[k, first + part · units + block · width :], for the items (block, k); zeros
    beyond the units."""
    vector, weight, packed, depth, columns, first, units, parts, width = unpack(arguments)
    for item in range(begin, end):
        block, k = item // depth, item % depth
        for part in range(parts):
            source, target = k * columns + first + part * units + block * width, (item * parts + part) * width
            for j in range(0, width, lanes(vector)):
                count = units - block * width - j
                store(packed, target + j, get(vector, weight, source + j, count) if count > 0 else splat(vector, 0))


@kernel
def _pack_transposed(begin, end, arguments):
    """packed[block, k, j] = weight[block · width + j, first + k], for the items (block, chunk of k); zeros beyond the
    units. A chunk stays in the first-level cache, though its lines are written one number at a time."""
    weight, packed, depth, columns, first, units, width, chunk = unpack(arguments)
    chunks = -(-depth // chunk)
    for item in range(begin, end):
        block, start = item // chunks, item % chunks * chunk
        for j in range(width):
            row, stop = block * width + j, min(start + chunk, depth)
            target, source = block * depth * width + j, row * columns + first
            if row < units:
                for k in range(start, stop):
                    packed[target + k * width] = weight[source + k]
            else:
                for k in range(start, stop):
                    packed[target + k * width] = 0


def packed_gates(weight: np.ndarray, first: int, parts: int) -> np.ndarray:
    """weight[:, first : first + parts · H] for tiles that have a vector of each of the parts, or VECTORS vectors of the
    only one: (blocks, H, parts, width)."""
    (units, columns), vector = weight.shape, vector_of(weight.dtype)
    width = vector.lanes * (VECTORS if parts == 1 else 1)
    blocks = -(-units // width)
    packed = empty((blocks, units, parts, width), weight.dtype)
    run(_pack, blocks * units, PACKING_GRAIN, vector, weight, packed, units, columns, first, units, parts, width)
    return packed


def packed_back(weight: np.ndarray, first: int, depth: int) -> np.ndarray:
    """The transpose of weight[:, first : first + depth], for tiles of VECTORS vectors: (blocks, depth, width)."""
    (units, columns), chunk = weight.shape, PACKING_GRAIN
    width = VECTORS * vector_of(weight.dtype).lanes
    blocks = -(-units // width)
    packed = empty((blocks, depth, width), weight.dtype)
    items = blocks * -(-depth // chunk)
    run(_pack_transposed, items, 4, weight, packed, depth, columns, first, units, width, chunk)
    return packed


# ---- products --------------------------------------------------------------------------------------------------------


@helper
def multiply(kernels, slots, rows, x, step, packed, room, depth, width):
    """room (rows, width) = the `rows` rows of x, which lie `step` numbers apart, times a block of packed weights
    (depth, width); zeros if there is no depth."""
    table = SLOTS
    slots[table], slots[table + 1], slots[table + 2], slots[table + 3] = 0, 0, depth, 0
    slots[STEP], slots[ADVANCE], slots[W_ADVANCE] = step, 1, width
    slots[X_POINTER], slots[W_POINTER] = address_of(x, 0), address_of(packed, 0)
    slots[TABLE], slots[OUT], slots[OUT_STEP] = address_of(slots, table), address_of(room, 0), width
    slots[COLUMNS], slots[FLAGS] = width, 0
    call_tile_kernel(kernels[rows], min(depth, 1), slots)


@helper
def part_of(total, parts, part):
    """Where part number `part` of `total` begins, if all are nearly equal."""
    return total * part // parts


def tile_rows(vectors: int, host: Level) -> int:
    """Rows of the largest tile with so many vectors in a row: the accumulators, a row of weights and a number of the
    state fill the registers."""
    return max(1, min(MOST_ROWS, (host.registers - vectors - 1) // vectors))


@lru_cache(maxsize=256)
def _kernels(dtype: np.dtype, vectors: int, heights: tuple[int, ...], host: Level) -> tuple[np.ndarray, list]:
    """Addresses of the tile kernels by rows, and what keeps them alive."""
    addresses, kept = np.zeros(MOST_ROWS + 1, np.int64), []
    addresses[MOST] = tile_rows(vectors, host)
    for rows in heights:
        kept.append(tile_kernel(dtype, TileShape(dtype, rows, vectors)))
        addresses[rows] = kept[-1].address
    return addresses, kept


def kernels_for(dtype: np.dtype, vectors: int, sequences: int, groups: int) -> np.ndarray:
    """Addresses of tile kernels by rows (and at MOST the rows of the largest) for all groups of a batch: each group is
    cut into nearly equal tiles."""
    sizes = {sequences // groups, -(-sequences // groups)}  # of groups that are nearly equal
    heights = {height for size in sizes for height in _heights(size, tile_rows(vectors, level()))}
    return _kernels(dtype, vectors, tuple(sorted(heights)), level())[0]


def _heights(size: int, most: int) -> Sequence[int]:
    """Rows of the tiles that a group of `size` sequences is cut into."""
    tiles = -(-size // most)
    return [size * (k + 1) // tiles - size * k // tiles for k in range(tiles)]
