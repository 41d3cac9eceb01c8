"""Convolution 3×3 with stride 1 by Winograd's F(m×m, 3×3): forward, and with it the gradient of the input.

Per tile of m × m outputs, (m + 2)² products of channels instead of 9m² (`winograd_transforms` says how): 2.25 times
fewer for m = 2, 4 times for m = 4. The work goes by blocks of tiles, small enough for the L2 cache: the windows of a
block are transformed into planes (tiles × channels), one for each point; each plane is multiplied by its own
transformed weights with the register tiles of `tile_kernel`; the products are transformed back into outputs, with bias
and ReLU. A third dimension of the kernel just makes the sums longer.

The price is rounding errors that go by the tile, not by the output. With u the unit roundoff (6e-8 for float32) and
T = Σ over channels of (the largest |x| in the tile's window) · (Σ |w| over the nine taps), errors stay below 64·u·T for
m = 4 and 16·u·T for m = 2; tests hold them there, also where single weights or pixels are 10,000 times larger than the
others. (The direct sum's were seen to reach 24·u·T.) Where all numbers are of a size, the errors of m = 4 are on
average two to three times the direct sum's, those of m = 2 no larger. An output whose own window is all zeros need not
be exactly zero. Infinite inputs give NaN, since sums and differences of neighbours are taken; and a NaN, an infinity or
a huge number spoils all outputs of the tiles whose windows hold it (m = 2: only the outputs whose own windows hold it).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..memory import empty
from .caches import too_large_for_caches
from .correlation import Correlation
from .launch import Constant, helper, kernel, run, threads, unpack, value
from .output_tiles import PACKING_CYCLES, PACKING_GRAIN, SERIAL_CYCLES, laid_out, pack, rounded_up
from .output_tiles import cycles as direct_cycles
from .simd import Level, finish_streams, lanes, level, pointer_at, vector_of
from .tile_kernel import (
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
    address_of,
    call_tile_kernel,
    tile_kernel,
)
from .tiles import TileShape
from .tiling import Choice, output_tile
from .winograd_tiles import (
    EDGE_CYCLES,
    FIELD_CHANNELS,
    FIELD_SIZE,
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
    TILES_SIZE,
    copied_pitch,
    fetch_tiles,
    fits,
    is_far,
    largest_tile,
    output_field,
    tile_place,
    tiles_at_edges,
    tiles_of,
    transform_cycles,
    transform_tiles,
    window_field,
)
from .winograd_transforms import FILTER, MATRICES, OUTPUT, TAPS, WINDOW, transform_filters, transform_output
from .workspaces import claim, release, workspaces

BLOCK_BYTES = 512 * 1024  # of transformed inputs and products of a block of tiles, in the L2 cache
MOST_TILES = 256  # in a block
FEWEST_TILES = 24  # they share the weights, which come from further away
PART_COLUMNS = 64  # output channels whose products wait side by side

# What the driver finds where in a plan's layout, after the numbers of x, of y and of the tiles.
X, Y, OF_TILES = 0, FIELD_SIZE, 2 * FIELD_SIZE
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, BLOCKS, GROUPS, BLOCK_TILES, ITEMS, WORKSPACES, SPLITS, SPLIT_BLOCKS,
    PART_BLOCKS, U_PLANE, U_BLOCK, M_START, PATCH_START, SLOTS_SIZE, SCRATCH_SIZE, Y_START, FETCH, LAYOUT_SIZE,
) = range(OF_TILES + TILES_SIZE, OF_TILES + TILES_SIZE + 20)  # fmt: skip


# ---- bodies ----------------------------------------------------------------------------------------------------------


@helper
def _multiply(outputs, vector, x, v, u, m, slots, layout, tiles, u_group, first_block, end_block, following):
    """m (points², tile, channel of the blocks) = v · u, plane by plane. Meanwhile memory is asked for the windows of
    the tiles from `following` on, if that is not 0: a window's pixels lie in many rows, and the caches' own prefetching
    does not see them coming."""
    v_plane, v_pitch, points = layout[X + PLANE], layout[X + PITCH], value(outputs) + TAPS - 1
    of_x, of_tiles = pointer_at(layout, X), pointer_at(layout, OF_TILES)
    for point in range(points * points):
        if following:
            end, all_points = following + layout[BLOCK_TILES], points * points
            fetch_tiles(outputs, points, vector, x, of_x, of_tiles, following, end, point, all_points)
        for block in range(first_block, end_block):
            slots[W_POINTER] = address_of(u, u_group + point * layout[U_PLANE] + block * layout[U_BLOCK])
            out = point * layout[Y + PLANE] + (block - first_block) * layout[TILE_WIDTH]
            tile = 0
            while tile < tiles:
                slots[X_POINTER] = address_of(v, point * v_plane + tile * v_pitch)
                slots[OUT] = address_of(m, out + tile * layout[Y + PITCH])
                call_tile_kernel(layout[TILE_KERNEL], 1, slots)
                tile += layout[TILE_ROWS]


@helper
def _store_pixels(vector, patch, m, y, start, field, rows, columns, count):
    """The first rows × columns pixels of a patch of m × m vectors, `count` channels each, into y."""
    for i in range(rows):
        for j in range(columns):
            target = start + i * field[STEP_H] + j * field[STEP_W]
            for k in range(count):
                y[target + k] = patch[(m * i + j) * lanes(vector) + k]


@helper
def _transform_tile(
    outputs, vector, streamed, products, source, bias, floor, y, target, rows, columns, patch, field, channels
):  # fmt: skip
    """`channels` channels of one tile of outputs, of which rows × columns exist, from their products."""
    plane, step_h, step_w, m = field[PLANE], field[STEP_H], field[STEP_W], value(outputs)
    k = 0
    while k < channels:
        count, constant = min(channels - k, lanes(vector)), pointer_at(bias, k)
        if rows == m and columns == m and count == lanes(vector):
            transform_output(
                outputs, vector, streamed, products, source + k, plane, constant, floor, y, target + k, step_h, step_w
            )  # fmt: skip
        else:
            p_h, p_w = m * lanes(vector), lanes(vector)
            transform_output(outputs, vector, 0, products, source + k, plane, constant, floor, patch, 0, p_h, p_w)
            _store_pixels(vector, patch, m, y, target + k, field, rows, columns, count)
        k += lanes(vector)


@helper
def _transform_products(
    outputs, vector, streamed, products, bias, floor, y, patch, field, tiles, first, last, start, channels
):  # fmt: skip
    """`channels` outputs, from `start` on, of the tiles first … last, from their products."""
    m = value(outputs)
    for tile in range(first, last):
        n, depth, row, column = tile_place(tiles, tile)
        h, w = row * m, column * m
        target = start + n * field[STEP_N] + depth * field[STEP_D] + h * field[STEP_H] + w * field[STEP_W]
        rows, columns = min(m, field[SIZE_H] - h), min(m, field[SIZE_W] - w)
        source = (tile - first) * field[PITCH]
        _transform_tile(
            outputs, vector, streamed, products, source, bias, floor, y, target, rows, columns, patch, field, channels
        )  # fmt: skip


@helper
def _prepare_slots(slots, layout):
    """What all tiles have in common."""
    depth = layout[X + TAPS_D] * layout[X + FIELD_CHANNELS]
    slots[TABLE], slots[SLOTS], slots[SLOTS + 1], slots[SLOTS + 2] = address_of(slots, SLOTS), 0, 0, depth
    slots[STEP], slots[W_ADVANCE], slots[COLUMNS] = layout[X + PITCH], layout[TILE_WIDTH], layout[TILE_WIDTH]
    slots[OUT_STEP], slots[FLAGS] = layout[Y + PITCH], 0


@helper
def _convolve_block(outputs, windows, vector, streamed, x, u, bias, floor, y, v, slots, layout, item):
    """A block of tiles for a group's outputs, or for some of them."""
    split, group = item % layout[SPLITS], item // layout[SPLITS] % layout[GROUPS]
    first = item // layout[SPLITS] // layout[GROUPS] * layout[BLOCK_TILES]
    of_x, of_y, tiles = pointer_at(layout, X), pointer_at(layout, Y), pointer_at(layout, OF_TILES)
    last = min(first + layout[BLOCK_TILES], tiles[TILES])
    products, patch = pointer_at(v, layout[M_START]), pointer_at(v, layout[PATCH_START])
    x_group, points = pointer_at(x, group * of_x[STEP_GROUP]), value(outputs) + TAPS - 1
    transform_tiles(outputs, windows, points, vector, None, x_group, v, patch, of_x, tiles, first, last)
    block = split * layout[SPLIT_BLOCKS]
    last_block = min(block + layout[SPLIT_BLOCKS], layout[BLOCKS])
    u_group = group * layout[BLOCKS] * layout[U_BLOCK]
    while block < last_block:
        end_block = min(block + layout[PART_BLOCKS], last_block)
        following = last if layout[FETCH] and block == split * layout[SPLIT_BLOCKS] and last < tiles[TILES] else 0
        _multiply(
            outputs, vector, x_group, v, u, products, slots, layout, last - first, u_group, block, end_block, following
        )  # fmt: skip
        channel = block * layout[TILE_WIDTH]
        channels = min(end_block * layout[TILE_WIDTH], of_y[FIELD_CHANNELS]) - channel
        constants = pointer_at(bias, group * of_y[FIELD_CHANNELS] + channel)
        start = layout[Y_START] + group * of_y[STEP_GROUP] + channel
        _transform_products(
            outputs, vector, streamed, products, constants, floor, y, patch, of_y, tiles, first, last, start, channels
        )  # fmt: skip
        block = end_block


@kernel
def convolve(begin, end, arguments):
    """y = bias + x ∗ w for 3×3 kernels, then maybe ReLU: the items begin … end of the work."""
    outputs, windows, vector, streamed, x, u, bias, floor, y, scratch, taken, slots, layout = unpack(arguments)
    own = claim(taken, layout[WORKSPACES])
    own_slots = pointer_at(slots, own * layout[SLOTS_SIZE])
    v = pointer_at(scratch, own * layout[SCRATCH_SIZE])
    _prepare_slots(own_slots, layout)
    for item in range(begin, end):
        _convolve_block(outputs, windows, vector, streamed, x, u, bias, floor, y, v, own_slots, layout, item)
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
    bias_size: int  # with the rest of the last vector
    aligned: bool  # all vectors of outputs, if y itself is
    transformed_size: int
    filters: int  # groups × blocks × depth × input channels
    filter_numbers: np.ndarray  # what `transform_filters` needs to know
    packing: np.ndarray | None  # None: the weights are transformed from where they lie
    packed_size: int
    cycles: float


def filter_cycles(correlation: Correlation, outputs: int, lanes: int) -> float:
    """About how many cycles it takes to pack and to transform the weights."""
    vectors = correlation.groups * correlation.weights / (TAPS * TAPS) / lanes
    packing = TAPS * TAPS * lanes * PACKING_CYCLES if correlation.weight_strides[4] != 1 else 0
    return vectors * (packing + transform_cycles(MATRICES[outputs], FILTER))


def _cycles(correlation: Correlation, outputs: int, tile: Choice, block_tiles: int, lanes: int) -> float:
    """About how many cycles a convolution takes."""
    c, matrices = correlation, MATRICES[outputs]
    points, tiles, taps = outputs + TAPS - 1, tiles_of(c, outputs)[0], c.kernel_size[0]
    into, out_of = -(-c.channels_in // lanes) * taps, -(-c.channels_out // lanes)
    windows = into * (transform_cycles(matrices, WINDOW) + tiles_at_edges(c, outputs) * EDGE_CYCLES * points**2)
    products = points**2 * (tile.cycles / block_tiles + out_of * 0.5)
    results = out_of * transform_cycles(matrices, OUTPUT)
    return c.groups * tiles * (windows + products + results) + filter_cycles(c, outputs, lanes)


def _block_tiles(tiles: int, tile_bytes: int, rows: int, workers: int) -> int:
    """Tiles in a block: as many as the cache holds, in whole register tiles, and blocks enough for all workers."""
    most = min(MOST_TILES, max(FEWEST_TILES, BLOCK_BYTES // tile_bytes))
    blocks = -(-tiles // max(rows, most // rows * rows))
    if blocks < 8 * workers:
        blocks = rounded_up(blocks, workers)
    return min(rounded_up(-(-tiles // blocks), rows), rounded_up(tiles, rows))


@lru_cache(maxsize=1024)
def _plan(correlation: Correlation, outputs: int, dtype: np.dtype, workers: int, host: Level) -> Plan:
    """How to compute a correlation by tiles of outputs × outputs."""
    c, k, lanes = correlation.channels_in, correlation.channels_out, vector_of(dtype).lanes
    depth, points, tiles = correlation.kernel_size[0] * c, outputs + TAPS - 1, tiles_of(correlation, outputs)
    tile = output_tile(min(MOST_TILES, tiles[0]), -(-k // lanes), depth, host)
    cycles = _cycles(correlation, outputs, tile, min(MOST_TILES, tiles[0]), lanes)
    workers = int(max(1, min(workers, cycles // SERIAL_CYCLES)))
    shape = TileShape(dtype, tile.rows, tile.columns)
    blocks = -(-k // shape.width)
    part_blocks = min(blocks, max(1, PART_COLUMNS // shape.width))
    v_pitch, m_pitch = copied_pitch(depth, lanes), copied_pitch(part_blocks * shape.width, lanes)
    block_tiles = _block_tiles(tiles[0], points**2 * (v_pitch + m_pitch) * dtype.itemsize, shape.rows, workers)
    tile_blocks = -(-tiles[0] // block_tiles) * correlation.groups
    splits = min(blocks, -(-workers // tile_blocks))
    # Planes that began at equal places of the cache's sets would drive each other out: a few lines more.
    v_plane, m_plane = (block_tiles * pitch + 3 * lanes for pitch in (v_pitch, m_pitch))
    m_start, patch_start = points**2 * v_plane, points**2 * (v_plane + m_plane)
    u_block = depth * shape.width
    u_plane = correlation.groups * blocks * u_block + 3 * lanes
    code = tile_kernel(dtype, shape, advance=1)
    fields = [window_field(correlation, v_pitch, v_plane), output_field(correlation, m_pitch, m_plane), np.array(tiles)]
    # fmt: off
    layout = dict(enumerate(np.concatenate(fields))) | {
        TILE_KERNEL: code.address, TILE_ROWS: shape.rows, TILE_WIDTH: shape.width, BLOCKS: blocks,
        GROUPS: correlation.groups, BLOCK_TILES: block_tiles, ITEMS: tile_blocks * splits, WORKSPACES: workers,
        SPLITS: splits, SPLIT_BLOCKS: -(-blocks // splits), PART_BLOCKS: part_blocks, U_PLANE: u_plane,
        U_BLOCK: u_block, M_START: m_start, PATCH_START: patch_start, SLOTS_SIZE: SLOTS + 8,
        SCRATCH_SIZE: rounded_up(patch_start + points**2 * lanes, 16 * lanes), Y_START: correlation.y_start,
        FETCH: splits == correlation.groups == 1 and is_far(correlation, dtype),
    }
    # fmt: on
    steps = *correlation.y_strides, correlation.y_start, k
    return Plan(
        outputs,
        code,
        laid_out(layout, LAYOUT_SIZE),
        tile_blocks * splits,
        workers,
        layout[SCRATCH_SIZE],
        correlation.groups * k + lanes,
        not any(step % lanes for step in steps),
        points**2 * u_plane,
        *_filter_layout(correlation, shape.width, blocks),
        cycles,
    )


def _filter_layout(correlation: Correlation, width: int, blocks: int) -> tuple[int, np.ndarray, np.ndarray | None, int]:
    """(items, numbers of `transform_filters`, of `pack`, packed size): weights whose output channels do not lie side by
    side are packed first."""
    c, k, (depth, _, _) = correlation.channels_in, correlation.channels_out, correlation.kernel_size
    outer = correlation.groups * blocks
    if correlation.weight_strides[4] == 1:
        step_d, step_h, step_w, step_c, _, step_group = correlation.weight_strides
        steps, start = [step_group, width, step_d, step_h, step_w, step_c], correlation.weight_start
        return outer * depth * c, np.array([depth, c, k, blocks, *steps, start], np.int64), None, 0
    items, step = outer * correlation.taps, c * width
    packing = [*correlation.weight_numbers, width, blocks, (blocks - 1) * width, 1, c, step, 0, items]
    block = depth * TAPS * TAPS * step
    numbers = [depth, c, blocks * width, blocks, blocks * block, block, TAPS**2 * step, TAPS * step, step, width, 0]
    return outer * depth * c, np.array(numbers, np.int64), np.array(packing, np.int64), items * step


@lru_cache(maxsize=1024)
def _best(correlation: Correlation, dtype: np.dtype, workers: int, host: Level, largest: int) -> Plan | None:
    """The plan that takes the fewest cycles; None where the direct convolution does, or no tile fits."""
    if not fits(correlation, vector_of(dtype).lanes):
        return None
    plans = [_plan(correlation, outputs, dtype, workers, host) for outputs in MATRICES if outputs <= largest]
    best = min(plans, key=lambda plan: plan.cycles, default=None)
    return best if best and best.cycles < direct_cycles((correlation,), dtype, host) else None


def plan(correlation: Correlation, dtype: np.dtype) -> Plan | None:
    """How to compute a correlation, if it should be computed by this module."""
    return _best(correlation, dtype, threads(), level(), largest_tile())


# ---- the launcher ----------------------------------------------------------------------------------------------------


def _transformed_filters(weight: np.ndarray, chosen: Plan) -> np.ndarray:
    """The transformed weights: (points², group, block, depth · channel, tile width)."""
    width, points = chosen.kernel.shape.width, chosen.outputs + TAPS - 1
    if chosen.packing is not None:
        packed, items = empty((chosen.packed_size,), weight.dtype), int(chosen.packing[-1])
        run(pack, items, max(1, PACKING_GRAIN * items // packed.size), weight, packed, chosen.packing)
        weight = packed
    transformed, plane = empty((chosen.transformed_size,), weight.dtype), chosen.transformed_size // points**2
    constants = Constant(chosen.outputs), Constant(FILTER), vector_of(weight.dtype)
    grain = max(1, PACKING_GRAIN // (points**2 * width))
    run(transform_filters, chosen.filters, grain, *constants, weight, transformed, width, plane, chosen.filter_numbers)
    return transformed


def launch(
    chosen: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray, relu: bool = False
) -> None:
    """y = bias + correlation of x with weight, then maybe ReLU, by a plan. All arrays C-contiguous."""
    transformed = _transformed_filters(weight, chosen)
    padded = np.zeros(chosen.bias_size, y.dtype)
    if bias is not None:
        padded[: bias.size] = bias
    workers, items = chosen.workers, chosen.items
    scratch, taken = workspaces(workers, chosen.scratch_size, y.dtype)
    slots, floor = np.empty(workers * (SLOTS + 8), np.int64), y.dtype.type(0 if relu else -np.inf)
    streamed = Constant(chosen.aligned and too_large_for_caches(y))
    constants = Constant(chosen.outputs), Constant(WINDOW), vector_of(y.dtype), streamed
    grain = items if workers == 1 else 1
    run(convolve, items, grain, *constants, x, transformed, padded, floor, y, scratch, taken, slots, chosen.layout)
