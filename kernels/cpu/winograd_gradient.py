"""The weight's gradient of a 3×3 convolution with stride 1 by Winograd's method, the transpose of `winograd`.

For each point of the transformed tiles, S = Σ over tiles of (window at the point)ᵀ · (output gradient at the point), a
matrix product of channels × tiles × channels; then dw = Gᵀ S G. The tiles go by blocks. Of a block one row of points
after the other is transformed and multiplied, so that a row fits in the L2 cache with many tiles: the sums S, which may
be larger than the cache, are then read and written only once for many tiles. The work is divided by tiles, each part
with sums of its own, and by rows of points, whichever takes less time.

Errors are as those of the convolution (`winograd`), with T = Σ over tiles of (the largest |x| in the window) · (Σ |dy|
over the tile).
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from ..memory import empty
from . import winograd_deep_gradient as deep
from .bodies import (
    Constant,
    address_of,
    helper,
    kernel,
    unpack,
    value,
)
from .correlation import Correlation
from .gradient_tiles import product_kernel
from .launch import run, threads
from .output_tiles import laid_out, rounded_up
from .simd import Level, level, pointer_at, vector_of
from .tile_kernel import (
    ADD,
    ADVANCE,
    COLUMNS,
    FLAGS,
    OUT,
    OUT_STEP,
    SLOTS,
    TABLE,
    W_ADVANCE,
    W_POINTER,
    X_POINTER,
    TileKernel,
    call_tile_kernel,
)
from .tiling import gradient_tile
from .weight_tiles import BYTES_PER_CYCLE, SERIAL_CYCLES, tilings
from .winograd_filters import gather_filter_gradients
from .winograd_tiles import (
    EDGE_CYCLES,
    FIELDS_SIZE,
    OF_TILES,
    PITCH,
    PLANE,
    STEP_GROUP,
    STORE_CYCLES,
    TILES,
    X,
    Y,
    copied_pitch,
    fetch_tiles,
    fits,
    is_far,
    largest_tile,
    places_of,
    tiles_at_edges,
    tiles_of,
    transform_cycles,
    transform_tiles,
)
from .winograd_transforms import (
    FILTER_GRADIENT,
    MATRICES,
    OUTPUT_GRADIENT,
    TAPS,
    WINDOW,
)
from .workspaces import claim, release, workspaces

BLOCK_BYTES = 384 * 1024  # of a transformed row of a block of tiles, in the L2 cache
MOST_TILES = 256  # in a block
FEWEST_TILES = 32
GATHER_GRAIN = 20_000  # sums that make a second thread worth its while
MOST_ROUNDS = 4  # parts that each thread may have
CACHED_BYTES = 16 * 1024 * 1024  # of sums, beyond which they are taken to lie in main memory
CACHE_BYTES_PER_CYCLE = 64  # that all threads together read from their caches, about

# What the driver finds where in a plan's layout, after the numbers of x, of dy and of the tiles.
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, ROWS, BLOCKS, GROUPS, BLOCK_TILES, PIXEL_PARTS, ROW_PARTS, PARTS,
    WORKSPACES, D_START, PATCH_START, SLOTS_SIZE, SCRATCH_SIZE, SUMS_SIZE, Y_START, FETCH, LAYOUT_SIZE,
) = range(FIELDS_SIZE, FIELDS_SIZE + 19)  # fmt: skip


# ---- bodies ----------------------------------------------------------------------------------------------------------


@helper
def _add_point(v, d, sums, slots, layout, point):
    """sums[point] += vᵀ · d for the point that v and d hold."""
    size = layout[ROWS] * layout[TILE_WIDTH]
    own = point * layout[BLOCKS] * size
    i = 0
    while i < layout[ROWS]:
        slots[X_POINTER] = address_of(v, i)
        for block in range(layout[BLOCKS]):
            slots[W_POINTER] = address_of(d, block * layout[TILE_WIDTH])
            slots[OUT] = address_of(sums, own + block * size + i * layout[TILE_WIDTH])
            call_tile_kernel(layout[TILE_KERNEL], 1, slots)
        i += layout[TILE_ROWS]


@helper
def _prepare_slots(slots, layout):
    """What all tiles have in common."""
    slots[TABLE], slots[SLOTS], slots[SLOTS + 1] = address_of(slots, SLOTS), 0, 0
    slots[ADVANCE], slots[W_ADVANCE], slots[COLUMNS] = layout[X + PITCH], layout[Y + PITCH], layout[TILE_WIDTH]
    slots[OUT_STEP] = layout[TILE_WIDTH]


@helper
def _share(count, part, parts):
    """(first, end) of a part's share of `count`."""
    return count * part // parts, count * (part + 1) // parts


@helper
def _sum_block(outputs, windows, gradients, vector, row, x, dy, sums, v, slots, layout, group, first, last, end):
    """Adds the products of the tiles first … last for one row of points, or for all of them. Meanwhile memory is asked
    for the tiles from `last` to `end`: a window's pixels lie in many rows, and the caches' own prefetching does not see
    them coming."""
    of_x, of_y, tiles = pointer_at(layout, X), pointer_at(layout, Y), pointer_at(layout, OF_TILES)
    d, patch, m = pointer_at(v, layout[D_START]), pointer_at(v, layout[PATCH_START]), value(outputs)
    size = m + TAPS - 1
    transform_tiles(outputs, windows, size, vector, row, x, v, patch, of_x, tiles, first, last)
    transform_tiles(outputs, gradients, m, vector, row, dy, d, patch, of_y, tiles, first, last)
    first_point, points = (0, size * size) if row is None else (row * size, size)
    for p in range(points):
        if last < end:
            fetch_tiles(outputs, size, vector, x, of_x, tiles, last, end, p, points)
            fetch_tiles(outputs, m, vector, dy, of_y, tiles, last, end, p, points)
        point = (first_point + p) * layout[GROUPS] + group
        _add_point(pointer_at(v, p * of_x[PLANE]), pointer_at(d, p * of_y[PLANE]), sums, slots, layout, point)


@helper
def _sum_part(outputs, windows, gradients, vector, whole, x, dy, sums, v, slots, layout, part):
    """A group's sums over some of the tiles, for some rows of points."""
    group, part = part % layout[GROUPS], part // layout[GROUPS]
    row_part, pixel_part = part % layout[ROW_PARTS], part // layout[ROW_PARTS]
    own = pointer_at(sums, pixel_part * layout[SUMS_SIZE])
    first, end = _share(layout[OF_TILES + TILES], pixel_part, layout[PIXEL_PARTS])
    first_row, end_row = _share(value(outputs) + TAPS - 1, row_part, layout[ROW_PARTS])
    x = pointer_at(x, group * layout[X + STEP_GROUP])
    dy = pointer_at(dy, layout[Y_START] + group * layout[Y + STEP_GROUP])
    slots[FLAGS] = 0
    while True:  # once even if there are no tiles, for the zeros
        last = min(first + layout[BLOCK_TILES], end)
        slots[SLOTS + 2] = last - first
        following = min(last + layout[BLOCK_TILES], end) if layout[FETCH] else last
        if value(whole):
            _sum_block(
                outputs, windows, gradients, vector, None, x, dy, own, v, slots, layout, group, first, last, following
            )  # fmt: skip
        else:
            for row in range(first_row, end_row):
                fetched = following if row == end_row - 1 else last
                _sum_block(
                    outputs, windows, gradients, vector, row, x, dy, own, v, slots, layout, group, first, last, fetched
                )  # fmt: skip
        first, slots[FLAGS] = last, ADD
        if first >= end:
            break


@kernel
def sum_over_tiles(begin, end, arguments):
    """The sums S of the parts begin … end of the work."""
    outputs, windows, gradients, vector, whole, x, dy, sums, scratch, taken, slots, layout = unpack(arguments)
    own = claim(taken, layout[WORKSPACES])
    own_slots = pointer_at(slots, own * layout[SLOTS_SIZE])
    v = pointer_at(scratch, own * layout[SCRATCH_SIZE])
    _prepare_slots(own_slots, layout)
    for part in range(begin, end):
        _sum_part(outputs, windows, gradients, vector, whole, x, dy, sums, v, own_slots, layout, part)
    release(taken, own)


# ---- plans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    outputs: int  # of a tile along one dimension
    whole: bool  # all points of a block at once, or row by row
    kernel: TileKernel
    layout: np.ndarray


def _row_cycles(matrix: np.ndarray) -> float:
    """About how many cycles it takes to transform a tile of vectors row by row, over all rows."""
    points, size = matrix.shape
    used = np.count_nonzero(matrix)
    return (used * size + points * (used - points)) / 2 + used * size / 2 + points**2 * STORE_CYCLES


def _cycles(correlation: Correlation, outputs: int, whole: bool, products: float, lanes: int) -> float:
    """About how many cycles it takes to transform all tiles, and to multiply them."""
    c, matrices, points = correlation, MATRICES[outputs], outputs + TAPS - 1
    into, out_of, edges = -(-c.channels_in // lanes), -(-c.channels_out // lanes), tiles_at_edges(c, outputs)
    passes = 1 if whole else points
    windows = transform_cycles(outputs, WINDOW) if whole else _row_cycles(matrices.window)
    gradients = transform_cycles(outputs, OUTPUT_GRADIENT) if whole else _row_cycles(matrices.output_gradient)
    windows += edges * EDGE_CYCLES * passes * points**2
    gradients += edges * EDGE_CYCLES * passes * outputs**2
    tile = c.kernel_size[0] * into * windows + out_of * gradients + points**2 * products
    return c.groups * tiles_of(c, outputs)[0] * tile


def _sums_cycles(size: int) -> float:
    """About how many cycles it takes to read and write sums of so many bytes, which may lie in main memory."""
    return 2 * size / (BYTES_PER_CYCLE if size > CACHED_BYTES else CACHE_BYTES_PER_CYCLE)


def _split(cycles: float, tiles: int, rows: int, groups: int, sums_bytes: int, workers: int) -> tuple[int, int, float]:
    """(parts by tiles, parts by rows of points, cycles) that take the least time of a thread: its share of the work,
    and of the sums that are added."""

    def cost(parts):
        by_tiles, by_rows = parts
        rounds = -(-by_tiles * by_rows * groups // workers)
        share = cycles / groups * (-(-tiles // by_tiles) / tiles) * (-(-rows // by_rows) / rows)
        return rounds * share + by_tiles * sums_bytes / BYTES_PER_CYCLE / workers, by_tiles * by_rows

    most = workers * MOST_ROUNDS
    choices = [
        (by_tiles, by_rows)
        for by_tiles in range(1, min(most, tiles) + 1)
        for by_rows in range(1, min(rows, most // by_tiles) + 1)
    ]
    best = min(choices, key=cost)
    return *best, cost(best)[0] * workers


@dataclass(frozen=True)
class _Division:
    """How the work is cut, and about how many cycles it takes: what can be known before anything is compiled."""

    tile: tuple[int, int, int, int]  # groups, rows in a group, vectors, phases
    planes: int  # points that are transformed at once
    v_pitch: int
    d_pitch: int
    rows: int  # of the sums of a point, in whole tiles
    columns: int
    block_tiles: int
    workers: int
    by_tiles: int
    by_rows: int
    cycles: float


@lru_cache(maxsize=1024)
def _divided(
    correlation: Correlation, outputs: int, whole: bool, dtype: np.dtype, workers: int, host: Level
) -> _Division:
    """How to cut the work into blocks of tiles of outputs × outputs, all points of a block at once or row by row."""
    c, k, lanes = correlation.channels_in, correlation.channels_out, vector_of(dtype).lanes
    depth, points, tiles = correlation.kernel_size[0] * c, outputs + TAPS - 1, tiles_of(correlation, outputs)[0]
    tile, products = gradient_tile(1, depth, -(-k // lanes), host)
    rows, columns = rounded_up(depth, tile[1]), rounded_up(k, tile[2] * lanes)
    v_pitch, d_pitch = max(copied_pitch(depth, lanes), rows), max(copied_pitch(k, lanes), columns)
    planes = points**2 if whole else points
    tile_numbers = planes * (v_pitch + d_pitch) + (0 if whole else outputs**2 * (depth + k))
    fewest = FEWEST_TILES // (2 if whole else 1)
    block_tiles = max(1, min(tiles, MOST_TILES, max(fewest, BLOCK_BYTES // (tile_numbers * dtype.itemsize))))
    sums_size = points**2 * correlation.groups * rows * columns
    sums_bytes, blocks = sums_size * dtype.itemsize, -(-tiles // block_tiles)
    work = _cycles(correlation, outputs, whole, products, lanes) + blocks * _sums_cycles(sums_bytes)
    workers = int(max(1, min(workers, work // SERIAL_CYCLES)))
    row_parts = 1 if whole else points
    by_tiles, by_rows, cycles = _split(work, tiles, row_parts, correlation.groups, sums_bytes, workers)
    cycles += sums_size / lanes / points**2 * transform_cycles(outputs, FILTER_GRADIENT)
    return _Division(
        tile, planes, v_pitch, d_pitch, rows, columns, block_tiles, workers, by_tiles, by_rows, cycles
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _plan(correlation: Correlation, outputs: int, whole: bool, dtype: np.dtype, workers: int, host: Level) -> Plan:
    """How to compute the gradient by tiles of outputs × outputs, all points of a block at once or row by row."""
    way, lanes = _divided(correlation, outputs, whole, dtype, workers, host), vector_of(dtype).lanes
    points, (_, rows, wide, _) = outputs + TAPS - 1, way.tile
    code = product_kernel(dtype, *way.tile, masked=False)
    v_plane, d_plane = (way.block_tiles * pitch + 3 * lanes for pitch in (way.v_pitch, way.d_pitch))
    d_start, patch_start = way.planes * v_plane, way.planes * (v_plane + d_plane)
    # fmt: off
    layout = places_of(correlation, outputs, way.v_pitch, v_plane, way.d_pitch, d_plane) | {
        TILE_KERNEL: code.address, TILE_ROWS: rows, TILE_WIDTH: wide * lanes, ROWS: way.rows,
        BLOCKS: way.columns // (wide * lanes), GROUPS: correlation.groups, BLOCK_TILES: way.block_tiles,
        PIXEL_PARTS: way.by_tiles, ROW_PARTS: way.by_rows, PARTS: way.by_tiles * way.by_rows * correlation.groups,
        WORKSPACES: way.workers, D_START: d_start, PATCH_START: patch_start, SLOTS_SIZE: SLOTS + 8,
        SCRATCH_SIZE: rounded_up(patch_start + points**2 * lanes, 16 * lanes),
        SUMS_SIZE: points**2 * correlation.groups * way.rows * way.columns,
        Y_START: correlation.y_start, FETCH: is_far(correlation, dtype),
    }
    # fmt: on
    return Plan(outputs, whole, code, laid_out(layout, LAYOUT_SIZE))


@lru_cache(maxsize=1024)
def _best(
    correlation: Correlation, dtype: np.dtype, workers: int, host: Level, largest: int
) -> Plan | deep.Plan | None:
    """The plan that takes the fewest cycles; None where the direct method does, or no tile fits."""
    pixels = correlation.rows * correlation.output_size[2]
    if pixels == 0 or not fits(correlation, vector_of(dtype).lanes):
        return None
    sizes = [outputs for outputs in MATRICES if outputs <= largest]
    found = {way: _divided(correlation, *way, dtype, workers, host).cycles for way in product(sizes, (False, True))}
    by_channels = [deep.divided(correlation, outputs, dtype, workers, host) for outputs in sizes]
    found |= {way: way.cycles for way in by_channels if way}
    direct = pixels * min(tiling.cycles for tiling in tilings(correlation, dtype, host))
    best = min(found, key=found.__getitem__, default=None)
    if best is None or found[best] >= direct:
        return None
    if isinstance(best, deep.Division):
        return deep.plan(correlation, best, dtype)
    return _plan(correlation, *best, dtype, workers, host)


def plan(correlation: Correlation, dtype: np.dtype) -> Plan | deep.Plan | None:
    """How to compute the gradient in the weight of a correlation, if it should be computed by this module."""
    return _best(correlation, dtype, threads(), level(), largest_tile())


# ---- the launcher ----------------------------------------------------------------------------------------------------


def launch(
    chosen: Plan | deep.Plan, correlation: Correlation, x: np.ndarray, dy: np.ndarray, dweight: np.ndarray
) -> None:
    """The gradient of a correlation in its weight, which lies in order, by a plan. All arrays C-contiguous."""
    if isinstance(chosen, deep.Plan):
        deep.launch(chosen, x, dy, dweight)
        return
    layout, outputs, vector = chosen.layout, chosen.outputs, vector_of(x.dtype)
    workers, by_tiles = int(layout[WORKSPACES]), int(layout[PIXEL_PARTS])
    sums = empty((by_tiles * int(layout[SUMS_SIZE]),), x.dtype)
    scratch, taken = workspaces(workers, int(layout[SCRATCH_SIZE]), x.dtype)
    slots = np.empty(workers * (SLOTS + 8), np.int64)
    parts = int(layout[PARTS])
    constants = Constant(outputs), Constant(WINDOW), Constant(OUTPUT_GRADIENT), vector, Constant(chosen.whole)
    run(sum_over_tiles, parts, parts if workers == 1 else 1, *constants, x, dy, sums, scratch, taken, slots, layout)
    c, k, depth = correlation.channels_in, correlation.channels_out, correlation.kernel_size[0]
    points, rows = outputs + TAPS - 1, correlation.groups * depth * c
    grain = max(1, GATHER_GRAIN // (points**2 * by_tiles * k))
    run(gather_filter_gradients, rows, grain, Constant(outputs), Constant(FILTER_GRADIENT), vector, sums,
        dweight, depth, c, k, correlation.groups, int(layout[ROWS]), int(layout[TILE_WIDTH]),
        int(layout[BLOCKS]), by_tiles)  # fmt: skip
