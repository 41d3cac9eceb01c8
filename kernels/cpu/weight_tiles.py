"""The weight's gradient by register tiles: each tile is some input channels of a tap × some vectors of output channels,
summed over pixels.

    dweight[t, c, k] = Σ_p x[p·strides + t·dilation − before, c] · dy[p, k]

The tile kernel runs along rows of pixels: numbers of x are broadcast, vectors of dy are loaded where they lie. Rows of
pixels come in blocks of which x and dy stay in the L2 cache while all tiles pass over them. At the left and right edge
each tap simply leaves out the pixels that it does not reach.

With few input channels (1, 3) such a tile would be flat. There the windows of a block are copied to a scratch array
of the thread, padded with zeros, and a tile's rows run over kernel positions × channels as well.

Threads share either the pixels, each with sums of its own that are added in a fixed order at the end, or, where the
gradient is larger than the input, the tiles. Either way the result is the same at each run.
"""

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

from ..memory import empty
from .correlation import BEFORE, DILATION, INPUT, KERNEL, OUTPUT, STRIDES, Correlation, X, Y
from .launch import kernel, run, threads, unpack
from .output_tiles import (
    copy_windows,
    end_tap,
    first_tap,
    kernel_rows_inside,
    laid_out,
    rounded_up,
    row_position,
)
from .simd import Level, level, pointer_at, vector_of
from .tile_kernel import (
    ADD,
    ADVANCE,
    COLUMNS,
    FLAGS,
    GROUP_STEP,
    MASKED,
    OUT,
    OUT_STEP,
    SLOTS,
    TABLE,
    W_ADVANCE,
    W_POINTER,
    X_POINTER,
    TileKernel,
    address_of,
    call_tile_kernel,
    pixel_kernel,
    tile_kernel,
)
from .tiles import TileShape
from .tiling import LATENCY, gradient_tile

BLOCK_BYTES = 512 * 1024  # of x and dy that stay in the L2 cache while all tiles pass over them
SERIAL_CYCLES = 20_000  # below this a second thread does not pay
FEW_CHANNELS = 12  # below this, tiles run over kernel positions too

# What the driver finds where in a plan's layout.
(
    TILE_KERNEL, TILE_GROUPS, TILE_RUN, TILE_WIDTH, LANES_APART, COPIED, TAPS, KERNEL_ROWS, RUN, ROW_LENGTH,
    MAJOR_TILES, MINOR_TILES, BLOCKS, GROUPS, CHANNELS_IN, CHANNELS_OUT, WEIGHT_STEP, WEIGHT_GROUP, SEGMENTS, SEGMENT,
    ROWS, ROWS_AT_ONCE, TILES, PIXEL_PARTS, TILE_PARTS, SUMS_SIZE, DIRECT, PATCH_WIDTH, SCRATCH_SIZE, SLOTS_SIZE,
    LAYOUT_SIZE,
) = range(31)  # fmt: skip


@numba.njit(inline="always")
def _list_rows(table, layout, numbers, tap, first, last):
    """Fills the table with the pixels of rows first … last that a tap reaches; returns how many rows have any."""
    kw = tap % numbers[KERNEL + 2]
    kh = tap // numbers[KERNEL + 2] % numbers[KERNEL + 1]
    kd = tap // numbers[KERNEL + 2] // numbers[KERNEL + 1]
    shift_d = kd * numbers[DILATION] - numbers[BEFORE]
    shift_h = kh * numbers[DILATION + 1] - numbers[BEFORE + 1]
    shift_w = kw * numbers[DILATION + 2] - numbers[BEFORE + 2]
    leftmost = first_tap(shift_w, numbers[STRIDES + 2])
    rightmost = end_tap(shift_w, numbers[STRIDES + 2], numbers[OUTPUT + 2], numbers[INPUT + 2])
    count = 0
    for unit in range(first, last):
        n, od, oh = row_position(numbers, unit // layout[SEGMENTS])
        segment = unit % layout[SEGMENTS]
        i_d, i_h = od * numbers[STRIDES] + shift_d, oh * numbers[STRIDES + 1] + shift_h
        begin = max(leftmost, segment * layout[SEGMENT])
        end = min(rightmost, (segment + 1) * layout[SEGMENT])
        if 0 <= i_d < numbers[INPUT] and 0 <= i_h < numbers[INPUT + 1] and begin < end:
            x_row = n * numbers[X] + i_d * numbers[X + 1] + i_h * numbers[X + 2]
            y_row = n * numbers[Y] + od * numbers[Y + 1] + oh * numbers[Y + 2]
            table[3 * count] = x_row + (begin * numbers[STRIDES + 2] + shift_w) * numbers[X + 3]
            table[3 * count + 1] = y_row + begin * numbers[Y + 3]
            table[3 * count + 2] = end - begin
            count += 1
    return count


@numba.njit(inline="always")
def _copy_rows(x, scratch, table, layout, numbers, first, last):
    """Copies the windows of rows first … last, zeros where there is no input, and fills the table with them."""
    size = layout[KERNEL_ROWS] * layout[ROW_LENGTH]
    for unit in range(first, last):
        n, od, oh = row_position(numbers, unit // layout[SEGMENTS])
        begin = unit % layout[SEGMENTS] * layout[SEGMENT]
        end = min(begin + layout[SEGMENT], numbers[OUTPUT + 2])
        origin_d, origin_h = od * numbers[STRIDES] - numbers[BEFORE], oh * numbers[STRIDES + 1] - numbers[BEFORE + 1]
        origin = begin * numbers[STRIDES + 2] - numbers[BEFORE + 2]
        kernel_rows = kernel_rows_inside(numbers, origin_d, origin_h)
        target = (unit - first) * size
        if kernel_rows != (0, numbers[KERNEL], 0, numbers[KERNEL + 1]):
            for i in range(target, target + size):
                scratch[i] = 0
        source = n * numbers[X] + origin_d * numbers[X + 1] + origin_h * numbers[X + 2] + origin * numbers[X + 3]
        patch, channels = pointer_at(scratch, target), layout[CHANNELS_IN]
        copy_windows(x, source, numbers, kernel_rows, origin, patch, layout[PATCH_WIDTH], channels, channels)
        y_row = n * numbers[Y] + od * numbers[Y + 1] + oh * numbers[Y + 2]
        table[3 * (unit - first)] = target
        table[3 * (unit - first) + 1] = y_row + begin * numbers[Y + 3]
        table[3 * (unit - first) + 2] = end - begin
    return last - first


@numba.njit(inline="always")
def _place(layout, index):
    """Of a tile: its tap, group, block, first row in a tap's rows as they lie in memory, first row in the gradient."""
    block = index % layout[BLOCKS]
    minor = index // layout[BLOCKS] % layout[MINOR_TILES]
    major = index // layout[BLOCKS] // layout[MINOR_TILES] % layout[MAJOR_TILES]
    outer = index // layout[BLOCKS] // layout[MINOR_TILES] // layout[MAJOR_TILES]
    group, tap = outer % layout[GROUPS], outer // layout[GROUPS]
    kernel_row = min(major * layout[TILE_GROUPS], layout[KERNEL_ROWS] - layout[TILE_GROUPS])
    position = min(minor * layout[TILE_RUN], layout[RUN] - layout[TILE_RUN])
    row = (tap * layout[KERNEL_ROWS] + kernel_row) * layout[RUN] + position
    return tap, group, block, kernel_row * layout[ROW_LENGTH] + position, row


@numba.njit(inline="always")
def _pass_over(x, dy, dweight, sums, scratch, slots, layout, numbers, first, last, flags, tile_begin, tile_end):
    """All tiles of a part over the block of pixel rows first … last."""
    table = pointer_at(slots, SLOTS)
    listed, count = -1, 0
    if layout[COPIED]:
        count = _copy_rows(x, scratch, table, layout, numbers, first, last)
    size = layout[TILE_GROUPS] * layout[TILE_RUN] * layout[TILE_WIDTH]
    for index in range(tile_begin, tile_end):
        tap, group, block, offset, row = _place(layout, index)
        channel = block * layout[TILE_WIDTH]
        if layout[COPIED]:
            slots[X_POINTER] = address_of(scratch, offset)
        else:
            if tap != listed:
                count = _list_rows(table, layout, numbers, tap, first, last)
                listed = tap
            slots[X_POINTER] = address_of(x, group * numbers[X + 4] + offset + (channel if layout[LANES_APART] else 0))
        slots[W_POINTER] = address_of(dy, group * numbers[Y + 4] + channel)
        slots[COLUMNS] = min(layout[TILE_WIDTH], layout[CHANNELS_OUT] - channel)
        slots[FLAGS] = flags
        if layout[DIRECT]:
            slots[OUT], slots[OUT_STEP] = (
                address_of(dweight, row * layout[WEIGHT_STEP] + group * layout[WEIGHT_GROUP] + channel),
                layout[WEIGHT_STEP],
            )
        else:
            slots[OUT], slots[OUT_STEP] = address_of(sums, index * size), layout[TILE_WIDTH]
        call_tile_kernel(layout[TILE_KERNEL], count, slots)


@kernel
def sum_over_pixels(begin, end, arguments):
    """The parts begin … end of the work: some tiles over some pixel rows, each part into sums of its own."""
    x, dy, dweight, sums, scratch, slots, layout, numbers = unpack(arguments)
    for part in range(begin, end):
        pixel_part, tile_part = part // layout[TILE_PARTS], part % layout[TILE_PARTS]
        tile_begin = tile_part * layout[TILES] // layout[TILE_PARTS]
        tile_end = (tile_part + 1) * layout[TILES] // layout[TILE_PARTS]
        first = pixel_part * layout[ROWS] // layout[PIXEL_PARTS]
        end_row = (pixel_part + 1) * layout[ROWS] // layout[PIXEL_PARTS]
        own_slots, own_scratch = (
            pointer_at(slots, part * layout[SLOTS_SIZE]),
            pointer_at(scratch, part * layout[SCRATCH_SIZE]),
        )
        own_sums = pointer_at(sums, pixel_part * layout[SUMS_SIZE])
        own_slots[ADVANCE] = numbers[STRIDES + 2] * numbers[X + 3]
        own_slots[GROUP_STEP] = layout[ROW_LENGTH]
        own_slots[W_ADVANCE] = numbers[Y + 3]
        own_slots[TABLE] = address_of(own_slots, SLOTS)
        flags = 0
        while True:  # once even if there are no pixels, for the zeros
            last = min(first + layout[ROWS_AT_ONCE], end_row)
            _pass_over(
                x,
                dy,
                dweight,
                own_sums,
                own_scratch,
                own_slots,
                layout,
                numbers,
                first,
                last,
                flags,
                tile_begin,
                tile_end,
            )
            first, flags = last, ADD
            if first >= end_row:
                break


@kernel
def add_parts(begin, end, arguments):
    """dweight from the sums of all parts, tile by tile, in the order of the parts."""
    sums, dweight, layout = unpack(arguments)
    tile_rows = layout[TILE_GROUPS] * layout[TILE_RUN]
    for index in range(begin, end):
        _, group, block, _, row = _place(layout, index)
        channel = block * layout[TILE_WIDTH]
        columns = min(layout[TILE_WIDTH], layout[CHANNELS_OUT] - channel)
        for r in range(tile_rows):
            source = (index * tile_rows + r) * layout[TILE_WIDTH]
            target = (row + r) * layout[WEIGHT_STEP] + group * layout[WEIGHT_GROUP] + channel
            for j in range(columns):
                total = sums[source + j]
                for part in range(1, layout[PIXEL_PARTS]):
                    total += sums[part * layout[SUMS_SIZE] + source + j]
                dweight[target + j] = total


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    kernel: TileKernel
    layout: np.ndarray
    parts: int
    tiles: int
    sums_size: int  # of all parts by pixels; 0: a single pass writes the gradient itself
    scratch_size: int
    slots_size: int


def _segments(correlation: Correlation, pixel_bytes: int) -> tuple[int, int]:
    """(segments in a row, pixels in a segment), so that a segment's x and dy fit in the L2 cache."""
    most = max(64, BLOCK_BYTES // pixel_bytes)
    segments = -(-correlation.output_size[2] // most)
    return segments, -(-correlation.output_size[2] // segments)


def _split(parts: int, rows: int, tiles: int, dweight_size: int, x_size: int) -> tuple[int, int]:
    """(parts by pixels, parts by tiles): what costs less memory traffic, sums to add or inputs read several times."""
    by_pixels = rows >= 2 * parts and (2 * parts * dweight_size <= (parts - 1) * x_size or tiles < 2 * parts)
    return (parts, 1) if by_pixels else (1, min(parts, tiles))


def _choose_kernel(
    correlation: Correlation, dtype: np.dtype, lanewise: bool, kernel_rows: int, run_length: int, host: Level
) -> tuple[TileKernel, int, int]:
    """The tile kernel that suits a weight's gradient best; the groups of its tiles, and the rows of a group."""
    lanes = vector_of(dtype).lanes
    vectors, masked = -(-correlation.channels_out // lanes), correlation.channels_out % lanes != 0
    if lanewise:
        return pixel_kernel(dtype, min(vectors, 4 if host.registers > 16 else 2)), 1, 1
    groups, rows, wide = gradient_tile(kernel_rows, run_length, vectors, masked, host)
    shape = TileShape(dtype, groups * rows, wide, groups)
    return tile_kernel(dtype, shape, step=1, mode=MASKED if masked else 0), groups, rows


@lru_cache(maxsize=1024)
def plan(correlation: Correlation, dtype: np.dtype, lanewise: bool, most_parts: int, host: Level) -> Plan:
    """How to compute a weight's gradient: tiles, blocks and parts."""
    c, k, (kd, kh, kw) = correlation.channels_in, correlation.channels_out, correlation.kernel_size
    copied = correlation.joined_taps and not lanewise and c < FEW_CHANNELS and correlation.taps > 1
    kernel_rows, run_length, taps = (kd * kh, c * kw, 1) if copied else (1, c, correlation.taps)
    chosen, tile_groups, tile_run = _choose_kernel(correlation, dtype, lanewise, kernel_rows, run_length, host)
    width, tile_rows = chosen.shape.width, tile_groups * tile_run
    blocks, major, minor = -(-k // width), -(-kernel_rows // tile_groups), -(-run_length // tile_run)
    tiles = taps * correlation.groups * major * minor * blocks
    sums_size = tiles * tile_rows * width

    # A tile reads few of x's channels but goes on with them through all of dy's: dy counts in full, x for what stays.
    x_channels = kernel_rows * c * correlation.strides[2] if copied else c * correlation.groups // 4 if taps > 1 else 0
    pixel_bytes = dtype.itemsize * (x_channels + k * correlation.groups)
    segments, segment = _segments(correlation, pixel_bytes)
    rows, pixels = correlation.rows * segments, correlation.rows * correlation.output_size[2]
    cycles = pixels * tiles * max(tile_rows * chosen.shape.vectors / 2, LATENCY)
    parts = int(max(1, min(most_parts, cycles // SERIAL_CYCLES)))
    pixel_parts, tile_parts = _split(parts, rows, tiles, sums_size, pixels * (c + k))
    rows_at_once = min(max(1, BLOCK_BYTES // (segment * pixel_bytes)), -(-rows // pixel_parts))

    patch_width = (segment - 1) * correlation.strides[2] + kw
    scratch_size = rounded_up(rows_at_once * kernel_rows * patch_width * c, 64) if copied else 0
    slots_size = rounded_up(SLOTS + 3 * rows_at_once, 8)
    direct = pixel_parts == 1 and rows <= rows_at_once
    # fmt: off
    layout = {
        TILE_KERNEL: chosen.address, TILE_GROUPS: tile_groups, TILE_RUN: tile_run, TILE_WIDTH: width,
        LANES_APART: lanewise, COPIED: copied, TAPS: taps, KERNEL_ROWS: kernel_rows, RUN: run_length,
        ROW_LENGTH: patch_width * c if copied else 0, MAJOR_TILES: major, MINOR_TILES: minor, BLOCKS: blocks,
        GROUPS: correlation.groups, CHANNELS_IN: c, CHANNELS_OUT: k, WEIGHT_STEP: correlation.weight_strides[3],
        WEIGHT_GROUP: correlation.weight_strides[5], SEGMENTS: segments, SEGMENT: segment, ROWS: rows,
        ROWS_AT_ONCE: rows_at_once, TILES: tiles, PIXEL_PARTS: pixel_parts, TILE_PARTS: tile_parts,
        SUMS_SIZE: sums_size, DIRECT: direct, PATCH_WIDTH: patch_width, SCRATCH_SIZE: scratch_size,
        SLOTS_SIZE: slots_size,
    }
    # fmt: on
    parts = pixel_parts * tile_parts
    sums = 0 if direct else pixel_parts * sums_size
    return Plan(chosen, laid_out(layout, LAYOUT_SIZE), parts, tiles, sums, scratch_size, slots_size)


def launch(
    correlation: Correlation, x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, lanewise: bool = False
) -> None:
    """The gradient of a correlation in its weight, which lies in order. All arrays C-contiguous. With `lanewise` each
    channel of x meets only its own channel of dy (depthwise)."""
    if dweight.size == 0:
        return
    if correlation.rows * correlation.output_size[2] == 0:
        dweight[...] = 0
        return
    chosen = plan(correlation, x.dtype, lanewise, threads(), level())
    sums = empty((chosen.sums_size,), x.dtype)
    scratch = empty((chosen.parts * chosen.scratch_size,), x.dtype)
    slots = empty((chosen.parts * chosen.slots_size,), np.int64)
    run(sum_over_pixels, chosen.parts, 1, x, dy, dweight, sums, scratch, slots, chosen.layout, correlation.numbers)
    if chosen.sums_size:
        run(add_parts, chosen.tiles, max(1, 20_000 * chosen.tiles // chosen.sums_size), sums, dweight, chosen.layout)
