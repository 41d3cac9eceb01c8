"""Convolution 3×3 with stride 1 by Winograd's F(m×m, 3×3): forward, and with it the gradient of the input.

Per tile of m × m outputs, (m + 2)² products of channels instead of 9m² (`winograd_transforms` says how): 2.25 times
fewer for m = 2, 4 times for m = 4. The work goes by blocks of tiles: the windows of a block are transformed into
planes (tiles × channels), one for each point; each plane is multiplied by its own transformed weights with the register
tiles of `tile_kernel`; the products are transformed back into outputs, with bias and ReLU. A third dimension of the
kernel just makes the sums longer.

Weights are transformed in the same launch. Few of them each worker transforms once and keeps. Many would take longer
through main memory than the products: of them some output channels at a time are transformed for each block of tiles,
which then has many tiles.

The price is rounding errors that go by the tile, not by the output. With u the unit roundoff (6e-8 for float32) and
T = Σ over channels of (the largest |x| in the tile's window) · (Σ |w| over the nine taps), errors stay below 64·u·T for
m = 4 and 16·u·T for m = 2; tests hold them there, also where single weights or pixels are 10,000 times larger than the
others. (The direct sum's were seen to reach 24·u·T.) Where all numbers are of a size, the errors of m = 4 are on
average two to three times the direct sum's, those of m = 2 no larger. An output whose own window is all zeros need not
be exactly zero. Infinite inputs give NaN, since sums and differences of neighbours are taken; and a NaN, an infinity or
a huge number spoils all outputs of the tiles whose windows hold it (m = 2: only the outputs whose own windows hold it).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .bodies import (
    Constant,
    address_of,
    helper,
    kernel,
    unpack,
    value,
)
from .caches import too_large_for_caches
from .correlation import Correlation
from .launch import run, threads
from .output_tiles import SERIAL_CYCLES, laid_out, rounded_up
from .output_tiles import cycles as direct_cycles
from .simd import Level, finish_streams, lanes, level, load, pointer_at, store_part, vector_of
from .tile_kernel import (
    ADD,
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
    TileKernel,
    call_tile_kernel,
    tile_kernel,
)
from .tiles import TileShape
from .tiling import Choice, output_tile
from .winograd_filters import FILTERS_SIZE, FIRST_WEIGHT, GROUP_STEP, filter_numbers, transform_filters
from .winograd_tiles import (
    EDGE_CYCLES,
    FIELD_CHANNELS,
    FIELDS_SIZE,
    NEAR_BYTES,
    OF_TILES,
    PITCH,
    PLANE,
    SIZE_H,
    SIZE_W,
    STEP_D,
    STEP_GROUP,
    STEP_H,
    STEP_N,
    STEP_W,
    TAPS_D,
    TILES,
    X,
    Y,
    copied_pitch,
    fetch_tiles,
    fits,
    is_far,
    largest_tile,
    places_of,
    reading_cycles,
    tile_place,
    tiles_at_edges,
    tiles_of,
    transform_cycles,
    transform_tiles,
)
from .winograd_transforms import FILTER, MATRICES, OUTPUT, TAPS, WINDOW, transform_output
from .workspaces import claim, release, workspaces

BLOCKS_OF_TILES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # how many tiles a block may have, about
MOST_TILES = max(BLOCKS_OF_TILES)
PART_COLUMNS = 64  # output channels whose products wait side by side
MOST_INPUTS = 256  # whose weights are transformed at once, to be used while they are near
TURNING_CYCLES = 3  # to transpose a vector of weights
CALL_CYCLES = 10_000  # more than a call of the direct convolution whose weights need no packing
STREAMED = Constant(False), Constant(True)
KEPT_BYTES = 4 * 1024 * 1024  # of transformed weights that a worker may keep

# What the driver finds where in a plan's layout, after the numbers of x, of y, of the tiles and of the weights.
FILTERS = FIELDS_SIZE
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, BLOCKS, GROUPS, BLOCK_TILES, WORKSPACES, SPLITS, SPLIT_BLOCKS, PART_BLOCKS,
    PIECE, KEPT, M_BLOCK, U_PLANE, U_BLOCK, M_START, U_START, PATCH_START, SLOTS_SIZE, SCRATCH_SIZE, Y_START, FETCH,
    LAYOUT_SIZE,
) = range(FILTERS + FILTERS_SIZE, FILTERS + FILTERS_SIZE + 23)  # fmt: skip


# ---- bodies ----------------------------------------------------------------------------------------------------------


@helper
def _multiply(outputs, vector, x, v, u, m, slots, layout, tiles, blocks, depth, following):
    """m (points², block, tile, channel) = v · u, plane by plane, or is added to. Meanwhile memory is asked for the
    windows of the tiles from `following` on, if that is not 0: a window's pixels lie in many rows, and the caches' own
    prefetching does not see them coming."""
    v_plane, v_pitch, points = layout[X + PLANE], layout[X + PITCH], value(outputs) + TAPS - 1
    of_x, of_tiles = pointer_at(layout, X), pointer_at(layout, OF_TILES)
    for point in range(points * points):
        if following:
            end, all_points = following + layout[BLOCK_TILES], points * points
            fetch_tiles(outputs, points, vector, x, of_x, of_tiles, following, end, point, all_points)
        for block in range(blocks):
            slots[W_POINTER] = address_of(u, point * layout[U_PLANE] + block * layout[U_BLOCK])
            out = point * layout[Y + PLANE] + block * layout[M_BLOCK]
            tile = 0
            while tile < tiles:
                slots[X_POINTER] = address_of(v, point * v_plane + tile * v_pitch + depth)
                slots[OUT] = address_of(m, out + tile * layout[TILE_WIDTH])
                call_tile_kernel(layout[TILE_KERNEL], 1, slots)
                tile += layout[TILE_ROWS]


@helper
def _store_pixels(vector, patch, m, y, start, field, rows, columns, count):
    """The first rows × columns pixels of a patch of m × m vectors, `count` channels each, into y."""
    for i in range(rows):
        for j in range(columns):
            pixel = load(vector, patch, (m * i + j) * lanes(vector))
            store_part(y, start + i * field[STEP_H] + j * field[STEP_W], pixel, count)


@helper
def _transform_tile(
    outputs, vector, streamed, products, bias, floor, y, target, rows, columns, patch, field, layout, channels
):  # fmt: skip
    """`channels` channels of one tile of outputs, of which rows × columns exist, from their products."""
    plane, step_h, step_w, m = field[PLANE], field[STEP_H], field[STEP_W], value(outputs)
    k = 0
    while k < channels:
        count, constant = min(channels - k, lanes(vector)), pointer_at(bias, k)
        source = k // layout[TILE_WIDTH] * layout[M_BLOCK] + k % layout[TILE_WIDTH]
        if rows == m and columns == m and count == lanes(vector):
            transform_output(
                outputs, vector, streamed, products, source, plane, constant, floor, y, target + k, step_h, step_w
            )  # fmt: skip
        else:
            p_h, p_w = m * lanes(vector), lanes(vector)
            transform_output(outputs, vector, 0, products, source, plane, constant, floor, patch, 0, p_h, p_w)
            _store_pixels(vector, patch, m, y, target + k, field, rows, columns, count)
        k += lanes(vector)


@helper
def _transform_products(outputs, vector, streamed, m, bias, floor, y, patch, layout, first, last, start, channels):
    """`channels` outputs, from `start` on, of the tiles first … last, from their products."""
    size, field, tiles = value(outputs), pointer_at(layout, Y), pointer_at(layout, OF_TILES)
    for tile in range(first, last):
        n, depth, row, column = tile_place(tiles, tile)
        h, w = row * size, column * size
        target = start + n * field[STEP_N] + depth * field[STEP_D] + h * field[STEP_H] + w * field[STEP_W]
        rows, columns = min(size, field[SIZE_H] - h), min(size, field[SIZE_W] - w)
        products = pointer_at(m, (tile - first) * layout[TILE_WIDTH])
        _transform_tile(
            outputs, vector, streamed, products, bias, floor, y, target, rows, columns, patch, field, layout, channels
        )  # fmt: skip


@helper
def _prepare_slots(slots, layout):
    """What all tiles have in common."""
    slots[TABLE], slots[SLOTS], slots[SLOTS + 1] = address_of(slots, SLOTS), 0, 0
    slots[STEP], slots[W_ADVANCE], slots[COLUMNS] = layout[X + PITCH], layout[TILE_WIDTH], layout[TILE_WIDTH]
    slots[OUT_STEP] = layout[TILE_WIDTH]


@helper
def _filters(outputs, which, vector, weight, layout, group, block, end_block, first, last, v):
    """The transformed weights of some blocks of a group's output channels, for the inputs first … last."""
    numbers, width = pointer_at(layout, FILTERS), layout[TILE_WIDTH]
    own = pointer_at(weight, numbers[FIRST_WEIGHT] + group * numbers[GROUP_STEP])
    kept = (group * layout[BLOCKS] + block) * layout[U_BLOCK] if layout[KEPT] else 0
    transform_filters(
        outputs, which, vector, own, numbers, block * width, end_block * width, first, last,
        pointer_at(v, layout[U_START] + kept), layout[U_PLANE], layout[U_BLOCK], width,
        pointer_at(v, layout[PATCH_START]),
    )  # fmt: skip


@helper
def _products(outputs, which, vector, x, weight, v, slots, layout, tiles, group, block, end_block, following):
    """The products of a block of tiles for some blocks of a group's output channels."""
    depth, done = layout[X + TAPS_D] * layout[X + FIELD_CHANNELS], 0
    u, m = pointer_at(v, layout[U_START]), pointer_at(v, layout[M_START])
    while done < depth:
        last = min(done + layout[PIECE], depth)
        if not layout[KEPT]:
            _filters(outputs, which, vector, weight, layout, group, block, end_block, done, last, v)
        kept = (group * layout[BLOCKS] + block) * layout[U_BLOCK] if layout[KEPT] else 0
        slots[FLAGS], slots[SLOTS + 2] = (ADD if done else 0), last - done
        _multiply(
            outputs, vector, x, v, pointer_at(u, kept), m, slots, layout, tiles, end_block - block, done, following
        )  # fmt: skip
        done, following = last, 0


@helper
def _convolve_block(outputs, windows, filters, vector, streamed, x, weight, bias, floor, y, v, slots, layout, item):
    """A block of tiles for a group's outputs, or for some of them."""
    split, group = item % layout[SPLITS], item // layout[SPLITS] % layout[GROUPS]
    first = item // layout[SPLITS] // layout[GROUPS] * layout[BLOCK_TILES]
    of_x, of_y, tiles = pointer_at(layout, X), pointer_at(layout, Y), pointer_at(layout, OF_TILES)
    last = min(first + layout[BLOCK_TILES], tiles[TILES])
    m, patch = pointer_at(v, layout[M_START]), pointer_at(v, layout[PATCH_START])
    x_group, points = pointer_at(x, group * of_x[STEP_GROUP]), value(outputs) + TAPS - 1
    transform_tiles(outputs, windows, points, vector, None, x_group, v, patch, of_x, tiles, first, last)
    block = split * layout[SPLIT_BLOCKS]
    last_block = min(block + layout[SPLIT_BLOCKS], layout[BLOCKS])
    following = last if layout[FETCH] and last < tiles[TILES] else 0
    while block < last_block:
        end_block = min(block + layout[PART_BLOCKS], last_block)
        _products(
            outputs, filters, vector, x_group, weight, v, slots, layout, last - first, group, block, end_block,
            following,
        )  # fmt: skip
        channel = block * layout[TILE_WIDTH]
        channels = min(end_block * layout[TILE_WIDTH], of_y[FIELD_CHANNELS]) - channel
        constants = pointer_at(bias, group * of_y[FIELD_CHANNELS] + channel)
        start = layout[Y_START] + group * of_y[STEP_GROUP] + channel
        _transform_products(
            outputs, vector, streamed, m, constants, floor, y, patch, layout, first, last, start, channels
        )  # fmt: skip
        block, following = end_block, 0


@kernel
def convolve(begin, end, arguments):
    """y = bias + x ∗ w for 3×3 kernels, then maybe ReLU: the items begin … end of the work."""
    outputs, windows, filters, vector, streamed, x, weight, bias, floor, y, scratch, taken, slots, layout = unpack(
        arguments
    )
    own = claim(taken, layout[WORKSPACES])
    own_slots = pointer_at(slots, own * layout[SLOTS_SIZE])
    v = pointer_at(scratch, own * layout[SCRATCH_SIZE])
    _prepare_slots(own_slots, layout)
    if layout[KEPT] and not taken[layout[WORKSPACES] + own]:
        depth = layout[X + TAPS_D] * layout[X + FIELD_CHANNELS]
        for group in range(layout[GROUPS]):
            _filters(outputs, filters, vector, weight, layout, group, 0, layout[BLOCKS], 0, depth, v)
        taken[layout[WORKSPACES] + own] = 1
    for item in range(begin, end):
        _convolve_block(
            outputs, windows, filters, vector, streamed, x, weight, bias, floor, y, v, own_slots, layout, item
        )  # fmt: skip
    release(taken, own)
    finish_streams()


# ---- plans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    outputs: int  # of a tile along one dimension
    kernel: TileKernel
    layout: np.ndarray
    items: int
    workers: int
    scratch_size: int
    no_bias: np.ndarray  # zeros, with the rest of the last vector
    whole: bool  # the output channels of a group are whole vectors
    aligned: bool  # all vectors of outputs, if y itself is
    constants: tuple  # which tiles and vectors the body is compiled for


@dataclass(frozen=True)
class _Division:
    """How the work is cut, and about how many cycles it takes: what can be known before anything is compiled."""

    tile: Choice  # of products
    block_tiles: int
    splits: int  # of the output channels
    kept: bool  # a worker transforms all weights, once; else for each block of tiles those that come next
    part_blocks: int  # of output channels, whose products wait side by side
    piece: int  # inputs whose weights are transformed at once
    workers: int
    cycles: float


def _filter_cycles(correlation: Correlation, outputs: int, lanes: int) -> float:
    """About how many cycles it takes to transform the weights of a group."""
    vectors = correlation.kernel_size[0] * correlation.channels_in * -(-correlation.channels_out // lanes)
    turning = TAPS * TAPS * TURNING_CYCLES if correlation.weight_strides[4] != 1 else 0
    return vectors * (turning + transform_cycles(outputs, FILTER))


def _tile_cycles(correlation: Correlation, outputs: int, lanes: int) -> tuple[float, float]:
    """About how many cycles it takes to transform the windows of a tile, and its outputs."""
    c, points = correlation, outputs + TAPS - 1
    into, out_of = c.kernel_size[0] * -(-c.channels_in // lanes), -(-c.channels_out // lanes)
    edges = tiles_at_edges(c, outputs) * EDGE_CYCLES * points**2
    return into * (transform_cycles(outputs, WINDOW) + edges), out_of * transform_cycles(outputs, OUTPUT)


def _ways(correlation: Correlation, outputs: int, tile: Choice, dtype: np.dtype, workers: int) -> Iterator[_Division]:
    """The ways to cut the work that may be worth their while."""
    c, lanes, points = correlation, vector_of(dtype).lanes, outputs + TAPS - 1
    tiles, depth = tiles_of(c, outputs)[0], c.kernel_size[0] * c.channels_in
    width, itemsize = tile.columns * lanes, dtype.itemsize
    blocks = -(-c.channels_out // width)
    part = min(blocks, max(1, PART_COLUMNS // width))
    piece = rounded_up(-(-depth // -(-depth // MOST_INPUTS)), lanes)
    filters, (windows, results) = _filter_cycles(c, outputs, lanes), _tile_cycles(c, outputs, lanes)
    weights = points**2 * depth * width * blocks * itemsize
    product = points**2 * tile.cycles / -(-min(MOST_TILES, tiles) // tile.rows)  # of a row of register tiles
    for target in BLOCKS_OF_TILES:
        block_tiles = min(rounded_up(-(-tiles // -(-tiles // target)), tile.rows), rounded_up(tiles, tile.rows))
        of_tiles = -(-tiles // block_tiles)
        inputs = points**2 * block_tiles * depth * itemsize
        for wanted in {1, min(blocks, -(-workers // of_tiles)), min(blocks, workers)}:
            splits = -(-blocks // -(-blocks // wanted))
            own = -(-blocks // splits) / blocks  # of the weights
            item = windows * block_tiles + own * (product * block_tiles / tile.rows + results * block_tiles)
            item += own * blocks / part * reading_cycles(inputs, workers)
            rounds = -(-of_tiles * splits * c.groups // workers)
            cycles = rounds * (item + own * filters)
            yield _Division(tile, block_tiles, splits, False, part, min(piece, depth), workers, cycles)
            if c.groups * weights <= KEPT_BYTES:
                reads = reading_cycles(own * weights, workers) if own * weights + inputs > 2 * NEAR_BYTES else 0
                cycles = rounds * (item + reads) + c.groups * filters
                yield _Division(tile, block_tiles, splits, True, part, depth, workers, cycles)


@lru_cache(maxsize=1024)
def _divided(correlation: Correlation, outputs: int, dtype: np.dtype, workers: int, host: Level) -> _Division:
    """The best way to cut the work into blocks of tiles of outputs × outputs."""
    vectors = -(-correlation.channels_out // vector_of(dtype).lanes)
    tiles, depth = tiles_of(correlation, outputs)[0], correlation.kernel_size[0] * correlation.channels_in
    tile = output_tile(min(MOST_TILES, tiles), vectors, depth, host)

    def best(workers):
        return min(_ways(correlation, outputs, tile, dtype, workers), key=lambda way: way.cycles)

    alone = best(1)
    workers = int(max(1, min(workers, alone.cycles // SERIAL_CYCLES)))
    return alone if workers == 1 else replace(best(workers), cycles=alone.cycles)


@lru_cache(maxsize=1024)
def _plan(correlation: Correlation, outputs: int, dtype: np.dtype, workers: int, host: Level) -> Plan:
    """How to compute a correlation by tiles of outputs × outputs."""
    way, lanes = _divided(correlation, outputs, dtype, workers, host), vector_of(dtype).lanes
    points, depth = outputs + TAPS - 1, correlation.kernel_size[0] * correlation.channels_in
    k = correlation.channels_out
    shape = TileShape(dtype, way.tile.rows, way.tile.columns)
    blocks, part = -(-k // shape.width), way.part_blocks
    code = tile_kernel(dtype, shape, advance=1)
    items = -(-tiles_of(correlation, outputs)[0] // way.block_tiles) * correlation.groups * way.splits
    workers = min(way.workers, items)
    # Planes that began at equal places of the cache's sets would drive each other out: a few lines more.
    v_pitch = copied_pitch(depth, lanes)
    v_plane, m_plane = (way.block_tiles * numbers + 3 * lanes for numbers in (v_pitch, part * shape.width))
    u_block = way.piece * shape.width
    u_plane = u_block * (correlation.groups * blocks if way.kept else part) + 3 * lanes
    m_start, u_start = points**2 * v_plane, points**2 * (v_plane + m_plane)
    patch_start = u_start + points**2 * u_plane
    # fmt: off
    layout = places_of(correlation, outputs, v_pitch, v_plane, shape.width, m_plane) | {
        FILTERS + place: number for place, number in enumerate(filter_numbers(correlation))
    } | {
        TILE_KERNEL: code.address, TILE_ROWS: shape.rows, TILE_WIDTH: shape.width, BLOCKS: blocks,
        GROUPS: correlation.groups, BLOCK_TILES: way.block_tiles, WORKSPACES: workers, SPLITS: way.splits,
        SPLIT_BLOCKS: -(-blocks // way.splits), PART_BLOCKS: part, PIECE: way.piece, KEPT: way.kept,
        M_BLOCK: way.block_tiles * shape.width, U_PLANE: u_plane, U_BLOCK: u_block, M_START: m_start, U_START: u_start,
        PATCH_START: patch_start, SLOTS_SIZE: SLOTS + 8,
        SCRATCH_SIZE: rounded_up(patch_start + max(points**2, TAPS**2 * lanes) * lanes, 16 * lanes),
        Y_START: correlation.y_start, FETCH: way.splits == correlation.groups == 1 and is_far(correlation, dtype),
    }
    # fmt: on
    aligned = not any(step % lanes for step in (*correlation.y_strides, correlation.y_start, k))
    constants = Constant(outputs), Constant(WINDOW), Constant(FILTER), vector_of(dtype)
    no_bias = np.zeros(correlation.groups * k + lanes, dtype)
    return Plan(outputs, code, laid_out(layout, LAYOUT_SIZE), items, workers, layout[SCRATCH_SIZE], no_bias,
                k % lanes == 0, aligned, constants)  # fmt: skip


@lru_cache(maxsize=1024)
def _best(correlation: Correlation, dtype: np.dtype, workers: int, host: Level, largest: int) -> Plan | None:
    """The plan that takes the fewest cycles; None where the direct convolution does, or no tile fits."""
    if not fits(correlation, vector_of(dtype).lanes):
        return None
    sizes = [outputs for outputs in MATRICES if outputs <= largest]
    cycles = {outputs: _divided(correlation, outputs, dtype, workers, host).cycles for outputs in sizes}
    best = min(cycles, key=cycles.__getitem__, default=None)
    more = CALL_CYCLES if correlation.weight_strides[4] == 1 else 0
    wins = best and cycles[best] + more < direct_cycles((correlation,), dtype, host)
    return _plan(correlation, best, dtype, workers, host) if wins else None


def plan(correlation: Correlation, dtype: np.dtype) -> Plan | None:
    """How to compute a correlation, if it should be computed by this module."""
    return _best(correlation, dtype, threads(), level(), largest_tile())


# ---- the launcher ----------------------------------------------------------------------------------------------------


def launch(
    chosen: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool = False
) -> None:
    """y = bias + correlation of x with weight, then maybe ReLU, by a plan. All arrays C-contiguous."""
    if bias is None:
        bias = chosen.no_bias
    elif not (chosen.whole and bias.flags.c_contiguous):
        bias = np.append(bias, chosen.no_bias[bias.size :])
    workers, items = chosen.workers, chosen.items
    scratch, taken = workspaces(workers, chosen.scratch_size, y.dtype)
    slots, floor = np.empty(workers * (SLOTS + 8), np.int64), y.dtype.type(0 if relu else -np.inf)
    streamed = STREAMED[chosen.aligned and too_large_for_caches(y)]
    grain = items if workers == 1 else 1
    run(convolve, items, grain, *chosen.constants, streamed, x, weight, bias, floor, y, scratch, taken, slots,
        chosen.layout)  # fmt: skip
