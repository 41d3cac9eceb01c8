"""The weight's gradient of a 3×3 convolution by Winograd's method where few tiles meet many channels.

The sums S of `winograd_gradient` take four times the memory of the weights: in deep layers more than any cache holds,
and on their way to memory and back more time than the products. Here all tiles are summed at once, for some input
channels at a time: each worker transforms the output gradients of all tiles, once; then, block by block of input
channels, their windows; and from the sums over all tiles, some output channels at a time, at once the gradients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .bodies import (
    Constant,
    address_of,
    helper,
    kernel,
    scratch,
    unpack,
    value,
)
from .correlation import Correlation
from .gradient_tiles import product_kernel
from .launch import run
from .output_tiles import laid_out, rounded_up
from .simd import Level, lanes, pointer_at, vector_of
from .tile_kernel import (
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
from .tiling import TILE_OVERHEAD, gradient_tile
from .weight_tiles import SERIAL_CYCLES
from .winograd_filters import PATCH_SIZE, gather_filters
from .winograd_tiles import (
    EDGE_CYCLES,
    FIELD_CHANNELS,
    FIELD_SIZE,
    FIELDS_SIZE,
    OF_TILES,
    PITCH,
    PLANE,
    STEP_GROUP,
    TILES,
    X,
    Y,
    copied_pitch,
    places_of,
    reading_cycles,
    tiles_at_edges,
    tiles_of,
    transform_cycles,
    transform_tiles,
)
from .winograd_transforms import FILTER_GRADIENT, OUTPUT_GRADIENT, TAPS, WINDOW
from .workspaces import claim, release, workspaces

BLOCK_CHANNELS = 64  # of the inputs, about
PART_COLUMNS = 64  # output channels whose sums are computed side by side
MOST_TILES = 256  # with more, those of a point leave the L1 cache between two passes over them

# What the driver finds where in a plan's layout, after the numbers of x, of dy and of the tiles.
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, BLOCKS, PART_BLOCKS, COLUMN_BLOCKS, SUMS_BLOCK, SUMS_PLANE, GROUPS,
    WORKSPACES, D_START, SUMS_START, PATCH_START, SLOTS_SIZE, SCRATCH_SIZE, Y_START, LAYOUT_SIZE,
) = range(FIELDS_SIZE, FIELDS_SIZE + 17)  # fmt: skip
FIELD = SLOTS + 8  # where a worker's slots hold the numbers of x for a block of its channels


# ---- bodies ----------------------------------------------------------------------------------------------------------


@helper
def _prepare_slots(slots, layout):
    """What all tiles have in common."""
    slots[TABLE], slots[SLOTS], slots[SLOTS + 1], slots[SLOTS + 2] = address_of(slots, SLOTS), 0, 0, layout[OF_TILES]
    slots[ADVANCE], slots[W_ADVANCE], slots[COLUMNS] = layout[X + PITCH], layout[Y + PITCH], layout[TILE_WIDTH]
    slots[OUT_STEP], slots[FLAGS] = layout[TILE_WIDTH], 0
    for i in range(FIELD_SIZE):
        slots[FIELD + i] = layout[X + i]


@helper
def _sum_channels(v, d, sums, slots, layout, points, channels, first, end):
    """sums (points², block of columns, channel, column) = vᵀ · d for the blocks of columns first … end."""
    for point in range(points * points):
        i = 0
        while i < channels:
            slots[X_POINTER] = address_of(v, point * layout[X + PLANE] + i)
            for block in range(first, end):
                slots[W_POINTER] = address_of(d, point * layout[Y + PLANE] + block * layout[TILE_WIDTH])
                own = point * layout[SUMS_PLANE] + (block - first) * layout[SUMS_BLOCK] + i * layout[TILE_WIDTH]
                slots[OUT] = address_of(sums, own)
                call_tile_kernel(layout[TILE_KERNEL], 1, slots)
            i += layout[TILE_ROWS]


@helper
def _gather_channels(outputs, gradients, vector, sums, dweight, layout, group, channel, channels, first, end, patch):
    """The gradients of some input channels, for the blocks of columns first … end, from their sums."""
    of_all, width = layout[X + FIELD_CHANNELS], layout[TILE_WIDTH]
    last = min(end * width, layout[Y + FIELD_CHANNELS])
    row = layout[GROUPS] * layout[Y + FIELD_CHANNELS]
    for r in range(channels):
        target, k = (channel + r) * row + group * layout[Y + FIELD_CHANNELS], first * width
        while k < last:
            source = (k // width - first) * layout[SUMS_BLOCK] + r * width + k % width
            gather_filters(
                outputs, gradients, vector, sums, source, layout[SUMS_PLANE], dweight, target + k, of_all * row,
                min(lanes(vector), last - k), patch,
            )  # fmt: skip
            k += lanes(vector)


@helper
def _compute_block(outputs, windows, gradients, vector, x, dweight, v, slots, layout, group, block, patch):
    """The gradients of a block of a group's input channels."""
    of_all, tiles = layout[X + FIELD_CHANNELS], pointer_at(layout, OF_TILES)
    channel, end = block * of_all // layout[BLOCKS], (block + 1) * of_all // layout[BLOCKS]
    field, points, window = pointer_at(slots, FIELD), value(outputs) + TAPS - 1, pointer_at(v, layout[PATCH_START])
    field[FIELD_CHANNELS] = end - channel
    own = pointer_at(x, group * field[STEP_GROUP] + channel)
    transform_tiles(outputs, windows, points, vector, None, own, v, window, field, tiles, 0, tiles[TILES])
    d, sums, part = pointer_at(v, layout[D_START]), pointer_at(v, layout[SUMS_START]), 0
    while part < layout[COLUMN_BLOCKS]:
        last = min(part + layout[PART_BLOCKS], layout[COLUMN_BLOCKS])
        _sum_channels(v, d, sums, slots, layout, points, end - channel, part, last)
        _gather_channels(
            outputs, gradients, vector, sums, dweight, layout, group, channel, end - channel, part, last, patch
        )  # fmt: skip
        part = last


@kernel
def compute_gradients(begin, end, arguments):
    """dweight for the items begin … end: blocks of input channels, group after group."""
    outputs, windows, of_outputs, gradients, vector, x, dy, dweight, memory, taken, slots, layout = unpack(arguments)
    own, patch = claim(taken, layout[WORKSPACES]), scratch(dweight, PATCH_SIZE)
    v, own_slots = pointer_at(memory, own * layout[SCRATCH_SIZE]), pointer_at(slots, own * layout[SLOTS_SIZE])
    of_y, tiles = pointer_at(layout, Y), pointer_at(layout, OF_TILES)
    d, window = pointer_at(v, layout[D_START]), pointer_at(v, layout[PATCH_START])
    _prepare_slots(own_slots, layout)
    for item in range(begin, end):
        group = item // layout[BLOCKS]
        if taken[layout[WORKSPACES] + own] != group + 1:  # its output gradients are not there yet
            start = pointer_at(dy, layout[Y_START] + group * of_y[STEP_GROUP])
            transform_tiles(
                outputs, of_outputs, value(outputs), vector, None, start, d, window, of_y, tiles, 0, tiles[TILES]
            )  # fmt: skip
            taken[layout[WORKSPACES] + own] = group + 1
        _compute_block(
            outputs, windows, gradients, vector, x, dweight, v, own_slots, layout, group, item % layout[BLOCKS], patch
        )  # fmt: skip
    release(taken, own)


# ---- plans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    outputs: int  # of a tile along one dimension
    kernel: TileKernel
    layout: np.ndarray
    items: int
    constants: tuple  # what the body is compiled for


@dataclass(frozen=True)
class Division:
    """How the work is cut, and about how many cycles it takes: what can be known before anything is compiled."""

    outputs: int
    tile: tuple[int, int, int, int]  # groups, rows in a group, vectors, phases
    blocks: int  # of input channels
    channels: int  # in the largest of them
    workers: int
    cycles: float  # of all workers together


def _ways(c: Correlation, outputs: int, dtype: np.dtype, workers: int, host: Level) -> Iterator[Division]:
    """The ways to cut the work that may be worth their while."""
    lanes, points, tiles = vector_of(dtype).lanes, outputs + TAPS - 1, tiles_of(c, outputs)[0]
    vectors, edges = -(-c.channels_out // lanes), tiles_at_edges(c, outputs) * EDGE_CYCLES
    d_bytes = points**2 * tiles * c.channels_out * dtype.itemsize
    of_outputs = vectors * tiles * (transform_cycles(outputs, OUTPUT_GRADIENT) + edges * outputs**2)
    for wanted in {-(-c.channels_in // BLOCK_CHANNELS), -(-workers // c.groups)}:
        blocks = min(wanted, c.channels_in // lanes)
        channels = -(-c.channels_in // blocks)
        reads = reading_cycles(d_bytes, workers)
        reads += c.channels_out / PART_COLUMNS * reading_cycles(d_bytes / c.channels_out * channels, workers)
        tile, pixel = gradient_tile(1, channels, vectors, host)
        parts = -(-channels // tile[1]) * -(-vectors // tile[2])
        windows = -(-channels // lanes) * tiles * (transform_cycles(outputs, WINDOW) + edges * points**2)
        products = points**2 * (tiles * pixel + parts * TILE_OVERHEAD)
        results = channels * vectors * transform_cycles(outputs, FILTER_GRADIENT)
        item = windows + products + results + reads
        rounds = -(-blocks * c.groups // workers)
        cycles = workers * (rounds * item + of_outputs * min(c.groups, rounds))
        yield Division(outputs, tile, blocks, channels, workers, cycles)


@lru_cache(maxsize=1024)
def divided(correlation: Correlation, outputs: int, dtype: np.dtype, workers: int, host: Level) -> Division | None:
    """The best way to cut the work by input channels; None where this is out of the question."""
    if correlation.kernel_size[0] > 1 or tiles_of(correlation, outputs)[0] > MOST_TILES:
        return None

    def best(workers):
        return min(_ways(correlation, outputs, dtype, workers, host), key=lambda way: way.cycles)

    alone = best(1)
    workers = int(max(1, min(workers, alone.cycles // SERIAL_CYCLES)))
    return alone if workers == 1 else best(workers)


@lru_cache(maxsize=1024)
def plan(correlation: Correlation, way: Division, dtype: np.dtype) -> Plan:
    """How to compute the gradient, when it is known how the work is cut."""
    lanes, k, points = vector_of(dtype).lanes, correlation.channels_out, way.outputs + TAPS - 1
    _, rows, wide, _ = way.tile
    width, tiles = wide * lanes, tiles_of(correlation, way.outputs)[0]
    code, items = product_kernel(dtype, *way.tile, masked=False), way.blocks * correlation.groups
    column_blocks, padded_rows = -(-k // width), rounded_up(way.channels, rows)
    part_blocks = min(column_blocks, max(1, PART_COLUMNS // width))
    v_pitch = max(copied_pitch(way.channels, lanes), padded_rows)
    d_pitch = max(copied_pitch(k, lanes), column_blocks * width)
    v_plane, d_plane = (tiles * pitch + 3 * lanes for pitch in (v_pitch, d_pitch))
    sums_plane = part_blocks * padded_rows * width + 3 * lanes
    d_start, sums_start = points**2 * v_plane, points**2 * (v_plane + d_plane)
    patch_start = sums_start + points**2 * sums_plane
    # fmt: off
    layout = places_of(correlation, way.outputs, v_pitch, v_plane, d_pitch, d_plane) | {
        TILE_KERNEL: code.address, TILE_ROWS: rows, TILE_WIDTH: width, BLOCKS: way.blocks, PART_BLOCKS: part_blocks,
        COLUMN_BLOCKS: column_blocks, SUMS_BLOCK: padded_rows * width, SUMS_PLANE: sums_plane,
        GROUPS: correlation.groups, WORKSPACES: min(way.workers, items), D_START: d_start, SUMS_START: sums_start,
        PATCH_START: patch_start, SLOTS_SIZE: FIELD + FIELD_SIZE,
        SCRATCH_SIZE: rounded_up(patch_start + points**2 * lanes, 16 * lanes), Y_START: correlation.y_start,
    }
    # fmt: on
    kinds = WINDOW, OUTPUT_GRADIENT, FILTER_GRADIENT
    constants = Constant(way.outputs), *map(Constant, kinds), vector_of(dtype)
    return Plan(way.outputs, code, laid_out(layout, LAYOUT_SIZE), items, constants)


# ---- the launcher ----------------------------------------------------------------------------------------------------


def launch(chosen: Plan, x: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> None:
    """The gradient of a correlation in its weight, which lies in order, by a plan. All arrays C-contiguous."""
    layout = chosen.layout
    workers = int(layout[WORKSPACES])
    memory, taken = workspaces(workers, int(layout[SCRATCH_SIZE]), x.dtype)
    slots = np.empty(workers * int(layout[SLOTS_SIZE]), np.int64)
    grain = chosen.items if workers == 1 else 1
    run(compute_gradients, chosen.items, grain, *chosen.constants, x, dy, dweight, memory, taken, slots, layout)
