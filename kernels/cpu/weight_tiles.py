"""The weight's gradient by register tiles: each tile is some input channels of a tap × some vectors of output channels,
summed over pixels.

    dweight[t, c, k] = Σ_p x[p·strides + t·dilation − before, c] · dy[p, k]

The tile kernel runs along rows of pixels: numbers of x are broadcast, vectors of dy are loaded where they lie. Rows of
pixels come in blocks of which x and dy stay in the L2 cache while all tiles pass over them. Meanwhile the tiles ask
memory for the next block, each for a share of it, a cache line with each pixel: so a block is there when its turn
comes, and reading main memory takes no time of its own as long as it is faster than the products. At the left and right
edge each tap simply leaves out the pixels that it does not reach. Three other arrangements, where they take fewer
cycles:

- copied: with few input channels (1, 3) such a tile would be flat. There the windows of a block are copied to a scratch
  array of the thread, padded with zeros, and a tile's rows run over kernel positions × channels as well.
- swapped: with few output channels (1, 2) vectors of dy would be nearly empty. There dy is broadcast, and the vectors
  are input channels.
- apart: in depthwise convolution and in narrow groups each vector holds the output channels of many groups, and a
  tile's rows run over kernel positions and the input channels of a group.

Threads share the pixels, each with sums of its own that are added in a fixed order at the end, or the tiles, or both.
Either way the result is the same at each run.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..memory import empty
from .bodies import address_of, helper, kernel, unpack
from .correlation import BEFORE, DILATION, INPUT, KERNEL, OUTPUT, STRIDES, Correlation, X, Y
from .gradient_tiles import ASK_STEP, ASKED, ASKING, ChannelPattern, channel_kernel, product_kernel
from .launch import run, threads
from .output_tiles import laid_out, rounded_up
from .simd import LINE_BYTES, Level, level, pointer_at, vector_of
from .tile_kernel import (
    ADD,
    ADVANCE,
    COLUMNS,
    FLAGS,
    GROUP_STEP,
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
)
from .tile_walk import copy_windows, end_tap, first_tap, kernel_rows_inside, row_position
from .tiling import channel_tile, gradient_tile

BLOCK_BYTES = 256 * 1024  # of x and dy that stay in the L2 cache while all tiles pass over them
LEAST_PIXELS = 256  # in a block: each block adds to all sums once, and those may not fit in the cache
MOST_BYTES = 768 * 1024  # but that much of x and dy at most
SERIAL_CYCLES = 20_000  # below this a second thread does not pay
SWAP_CYCLES = 4  # to write one number of a gradient that was computed transposed
FEW_CHANNELS = 12  # below this, tiles run over kernel positions too
BYTES_PER_CYCLE = 16  # that all threads together read from memory, about
ENTRY = 6  # numbers in a row's entry in the table, at most

PLAIN, COPIED, SWAPPED, APART = range(4)  # arrangements

# What the driver finds where in a plan's layout.
(
    TILE_KERNEL, ARRANGEMENT, TILE_GROUPS, TILE_RUN, TILE_WIDTH, TAPS, KERNEL_ROWS, RUN, ROW_LENGTH, MAJOR_TILES,
    MINOR_TILES, BLOCKS, LAST_BLOCK, GROUPS, CHANNELS_IN, CHANNELS, OUTPUTS, WEIGHT_STEP, WEIGHT_GROUP, SEGMENTS,
    SEGMENT, ROWS, ROWS_AT_ONCE, TILES, PIXEL_PARTS, TILE_PARTS, SUMS_SIZE, DIRECT, PATCH_WIDTH, SCRATCH_SIZE,
    SLOTS_SIZE, ASKS, LINE, LAYOUT_SIZE,
) = range(34)  # fmt: skip


@helper
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
            x_row += (begin * numbers[STRIDES + 2] + shift_w) * numbers[X + 3]
            y_row += begin * numbers[Y + 3]
            swapped = layout[ARRANGEMENT] == SWAPPED
            table[3 * count], table[3 * count + 1] = (y_row, x_row) if swapped else (x_row, y_row)
            table[3 * count + 2] = end - begin
            count += 1
    return count


@helper
def _list_kernel_rows(table, layout, numbers, kd, kernel_row, tap, first, last):
    """Fills the table with the pixels of rows first … last, for tiles of several kernel rows from `kernel_row` and
    several taps from `tap`; returns how many rows meet any kernel row."""
    shift_d = kd * numbers[DILATION] - numbers[BEFORE]
    shift_h = kernel_row * numbers[DILATION + 1] - numbers[BEFORE + 1]
    shift_w = tap * numbers[DILATION + 2] - numbers[BEFORE + 2]
    count = 0
    for unit in range(first, last):
        n, od, oh = row_position(numbers, unit // layout[SEGMENTS])
        begin = unit % layout[SEGMENTS] * layout[SEGMENT]
        i_d, i_h = od * numbers[STRIDES] + shift_d, oh * numbers[STRIDES + 1] + shift_h
        first_inside = first_tap(i_h, numbers[DILATION + 1])
        end_inside = end_tap(i_h, numbers[DILATION + 1], layout[TILE_GROUPS], numbers[INPUT + 1])
        if 0 <= i_d < numbers[INPUT] and first_inside < end_inside:
            origin = begin * numbers[STRIDES + 2] + shift_w
            entry = ENTRY * count
            table[entry] = n * numbers[X] + i_d * numbers[X + 1] + i_h * numbers[X + 2] + origin * numbers[X + 3]
            table[entry + 1] = n * numbers[Y] + od * numbers[Y + 1] + oh * numbers[Y + 2] + begin * numbers[Y + 3]
            table[entry + 2] = min(layout[SEGMENT], numbers[OUTPUT + 2] - begin)
            table[entry + 3] = origin
            table[entry + 4], table[entry + 5] = first_inside, end_inside
            count += 1
    return count


@helper
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


@helper
def _place(layout, index):
    """Of a tile: its tap (or for channels apart: depth of the kernel), group, first column, first kernel row, and first
    row within it."""
    block = index % layout[BLOCKS]
    minor = index // layout[BLOCKS] % layout[MINOR_TILES]
    major = index // layout[BLOCKS] // layout[MINOR_TILES] % layout[MAJOR_TILES]
    outer = index // layout[BLOCKS] // layout[MINOR_TILES] // layout[MAJOR_TILES]
    group, tap = outer % layout[GROUPS], outer // layout[GROUPS]
    column = min(block * layout[TILE_WIDTH], layout[LAST_BLOCK])
    kernel_row = min(major * layout[TILE_GROUPS], layout[KERNEL_ROWS] - layout[TILE_GROUPS])
    position = min(minor * layout[TILE_RUN], layout[RUN] - layout[TILE_RUN])
    return tap, group, column, kernel_row, position


@helper
def _in_gradient(layout, place):
    """Where in the gradient the first number of a tile goes."""
    tap, group, column, kernel_row, position = place
    if layout[ARRANGEMENT] == SWAPPED:
        return (tap * layout[CHANNELS_IN] + column) * layout[WEIGHT_STEP] + group * layout[WEIGHT_GROUP] + position
    row = (tap * layout[KERNEL_ROWS] + kernel_row) * layout[RUN] + position
    return row * layout[WEIGHT_STEP] + group * layout[WEIGHT_GROUP] + column


@helper
def _point_at_inputs(x, dy, scratch, slots, layout, numbers, place):
    """Fills the slots with where a tile's rows and columns start."""
    _, group, column, kernel_row, position = place
    arrangement = layout[ARRANGEMENT]
    if arrangement == SWAPPED:
        slots[X_POINTER] = address_of(dy, group * numbers[Y + 4] + position)
        slots[W_POINTER] = address_of(x, group * numbers[X + 4] + column)
        return
    slots[W_POINTER] = address_of(dy, group * numbers[Y + 4] + column)
    if arrangement == COPIED:
        slots[X_POINTER] = address_of(scratch, kernel_row * layout[ROW_LENGTH] + position)
    elif arrangement == APART:
        slots[X_POINTER] = address_of(x, column // layout[OUTPUTS] * layout[CHANNELS_IN])
    else:
        slots[X_POINTER] = address_of(x, group * numbers[X + 4] + position)


@helper
def _end_of_inputs(layout, numbers, unit):
    """Where x and dy end that row of pixels `unit` and those before it meet."""
    n, od, oh = row_position(numbers, unit // layout[SEGMENTS])
    end = (unit % layout[SEGMENTS] + 1) * layout[SEGMENT]
    i_d = od * numbers[STRIDES] - numbers[BEFORE] + (numbers[KERNEL] - 1) * numbers[DILATION]
    i_h = oh * numbers[STRIDES + 1] - numbers[BEFORE + 1] + (numbers[KERNEL + 1] - 1) * numbers[DILATION + 1]
    x_row = n * numbers[X] + i_d * numbers[X + 1] + i_h * numbers[X + 2]
    y_row = n * numbers[Y] + od * numbers[Y + 1] + oh * numbers[Y + 2]
    return x_row + end * numbers[STRIDES + 2] * numbers[X + 3], y_row + end * numbers[Y + 3]


@helper
def _asking(share, pixels, rows, line):
    """(rows of pixels, step from pixel to pixel) over which a tile asks for its share: of a cache line with each pixel,
    if these are enough."""
    rows = max(1, min(rows, share // (line * pixels)))
    return rows if share > 0 else 0, -(-share // (rows * pixels))


@helper
def _shares(layout, numbers, last, following, tiles):
    """How `tiles` share in asking memory for what the rows of pixels last … following will read: how many ask for dy,
    the others for x; where in either array the first one begins, and how far from it the next one does."""
    if not layout[ASKS] or last == following:
        return 0, 0, 0, 0, 0
    x_begin, y_begin = _end_of_inputs(layout, numbers, last - 1)
    x_end, y_end = _end_of_inputs(layout, numbers, following - 1)
    x_count, y_count = max(x_end - x_begin, 0), max(y_end - y_begin, 1)
    for_y = (tiles * y_count + (x_count + y_count) // 2) // (x_count + y_count)
    for_y = min(max(for_y, 1), tiles - 1) if tiles > 1 else for_y
    return for_y, y_begin, -(-y_count // max(for_y, 1)), x_begin, -(-x_count // max(tiles - for_y, 1))


@helper
def _pass_over(
    x, dy, dweight, sums, scratch, slots, layout, numbers, first, last, following, flags, tile_begin, tile_end
):  # fmt: skip
    """All tiles of a part over the block of pixel rows first … last, before that of last … following."""
    table = pointer_at(slots, SLOTS)
    listed, count = (-1, 0, 0), 0
    if layout[ARRANGEMENT] == COPIED:
        count = _copy_rows(x, scratch, table, layout, numbers, first, last)
    size = layout[TILE_GROUPS] * layout[TILE_RUN] * layout[TILE_WIDTH]
    for_y, y_asked, y_share, x_asked, x_share = _shares(layout, numbers, last, following, tile_end - tile_begin)
    y_asking, y_step = _asking(y_share, layout[SEGMENT], last - first, layout[LINE])
    x_asking, x_step = _asking(x_share, layout[SEGMENT], last - first, layout[LINE])
    for index in range(tile_begin, tile_end):
        place = _place(layout, index)
        tap, _, column, kernel_row, position = place
        if layout[ARRANGEMENT] == APART:
            if (tap, kernel_row, position) != listed:
                listed, kw = (tap, kernel_row, position), position // layout[CHANNELS_IN]
                count = _list_kernel_rows(table, layout, numbers, tap, kernel_row, kw, first, last)
        elif layout[ARRANGEMENT] != COPIED and tap != listed[0]:
            listed, count = (tap, 0, 0), _list_rows(table, layout, numbers, tap, first, last)
        _point_at_inputs(x, dy, scratch, slots, layout, numbers, place)
        slots[COLUMNS] = min(layout[TILE_WIDTH], layout[CHANNELS] - column)
        if index - tile_begin < for_y:
            slots[ASKED], slots[ASK_STEP] = address_of(dy, y_asked), y_step
            slots[FLAGS], y_asked = flags + ASKING * min(y_asking, count), y_asked + y_share
        else:
            slots[ASKED], slots[ASK_STEP] = address_of(x, x_asked), x_step
            slots[FLAGS], x_asked = flags + ASKING * min(x_asking, count), x_asked + x_share
        if layout[DIRECT]:
            slots[OUT], slots[OUT_STEP] = address_of(dweight, _in_gradient(layout, place)), layout[WEIGHT_STEP]
        else:
            slots[OUT], slots[OUT_STEP] = address_of(sums, index * size), layout[TILE_WIDTH]
        call_tile_kernel(layout[TILE_KERNEL], count, slots)


@helper
def _fill_steps(slots, layout, numbers):
    """Fills the slots with what all tiles have in common."""
    x_step, y_step = numbers[STRIDES + 2] * numbers[X + 3], numbers[Y + 3]
    swapped, apart = layout[ARRANGEMENT] == SWAPPED, layout[ARRANGEMENT] == APART
    slots[STEP] = numbers[X + 3]
    # Channels apart work out the steps by themselves, and want to know how many positions there are.
    slots[ADVANCE] = numbers[INPUT + 2] if apart else y_step if swapped else x_step
    slots[W_ADVANCE] = x_step if swapped else y_step
    slots[GROUP_STEP] = numbers[DILATION + 1] * numbers[X + 2] if apart else layout[ROW_LENGTH]
    slots[TABLE] = address_of(slots, SLOTS)


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
        own = pointer_at(slots, part * layout[SLOTS_SIZE])
        own_scratch = pointer_at(scratch, part * layout[SCRATCH_SIZE])
        own_sums = pointer_at(sums, pixel_part * layout[SUMS_SIZE])
        _fill_steps(own, layout, numbers)
        flags = 0
        while True:  # once even if there are no pixels, for the zeros
            last = min(first + layout[ROWS_AT_ONCE], end_row)
            following = min(last + layout[ROWS_AT_ONCE], end_row)
            _pass_over(
                x, dy, dweight, own_sums, own_scratch, own, layout, numbers, first, last, following, flags, tile_begin,
                tile_end,
            )  # fmt: skip
            first, flags = last, ADD
            if first >= end_row:
                break


@kernel
def add_parts(begin, end, arguments):
    """dweight from the sums of all parts, tile by tile, in the order of the parts."""
    sums, dweight, layout = unpack(arguments)
    tile_rows = layout[TILE_GROUPS] * layout[TILE_RUN]
    swapped = layout[ARRANGEMENT] == SWAPPED
    row_step, column_step = (1, layout[WEIGHT_STEP]) if swapped else (layout[WEIGHT_STEP], 1)
    for index in range(begin, end):
        place = _place(layout, index)
        columns = min(layout[TILE_WIDTH], layout[CHANNELS] - place[2])
        for r in range(tile_rows):
            source = (index * tile_rows + r) * layout[TILE_WIDTH]
            target = _in_gradient(layout, place) + r * row_step
            for part in range(1, layout[PIXEL_PARTS]):
                for j in range(source, source + columns):
                    sums[j] += sums[part * layout[SUMS_SIZE] + j]
            if swapped:
                for j in range(columns):
                    dweight[target + j * column_step] = sums[source + j]
            else:
                for j in range(columns):
                    dweight[target + j] = sums[source + j]


def _segments(correlation: Correlation, pixel_bytes: int) -> tuple[int, int]:
    """(segments in a row, pixels in a segment), so that a segment's x and dy fit in the L2 cache."""
    most = max(64, BLOCK_BYTES // pixel_bytes)
    segments = -(-correlation.output_size[2] // most)
    return segments, -(-correlation.output_size[2] // segments)


def _split(most_parts: int, cycles: float, rows: int, tiles: int, sums_bytes: int, input_bytes: int) -> tuple[int, int]:
    """(parts by pixels, parts by tiles) that take the least time: the longest part's work, and what goes through
    memory. Each part by pixels has sums of its own to add, each part by tiles reads the inputs anew."""

    def cost(parts):
        by_pixels, by_tiles = parts
        longest = -(-rows // by_pixels) * -(-tiles // by_tiles) / (rows * tiles)
        added = 2 * by_pixels * sums_bytes if by_pixels > 1 else 0
        return cycles * longest + (added + by_tiles * input_bytes) / BYTES_PER_CYCLE, by_pixels * by_tiles

    return min(
        ((p, t) for p in range(1, min(most_parts, rows) + 1) for t in {1, min(most_parts // p, tiles)}),
        key=cost,
    )


@dataclass(frozen=True)
class _Tiling:
    """A way to cut the gradient into tiles: tap by tap, `kernel_rows` × `run` rows, `columns` of each."""

    arrangement: int
    taps: int
    groups: int
    kernel_rows: int
    run: int
    columns: int
    shape: tuple[int, ...]  # groups, rows in a group, vectors, phases
    cycles: float  # for a pixel, over all taps and groups
    pattern: ChannelPattern | None = None  # of channels apart

    def kernel(self, dtype: np.dtype) -> TileKernel:
        """The tile kernel, compiled."""
        masked = self.columns % vector_of(dtype).lanes != 0
        if self.pattern is not None:
            return channel_kernel(dtype, self.pattern, self.shape[2], masked)
        return product_kernel(dtype, *self.shape, masked)


def _apart(correlation: Correlation, lanes: int, host: Level) -> _Tiling | None:
    """Channels that keep to their groups, if groups are narrow and lie side by side."""
    c, k, (kd, kh, kw) = correlation.channels_in, correlation.channels_out, correlation.kernel_size
    side_by_side = (correlation.x_strides[4], correlation.y_strides[4], correlation.weight_strides[5]) == (c, k, k)
    if correlation.groups == 1 or not side_by_side or c > k or lanes % k:
        return None
    vectors = -(-correlation.groups * k // lanes)
    stride, dilation = correlation.strides[2], correlation.dilation[2]
    found = channel_tile(correlation.output_size[2], kh, kw, c, vectors, stride, dilation, host)
    if found is None:
        return None
    (rows, taps, wide, pixels, phases), cycles = found
    pattern = ChannelPattern(rows, taps, stride, dilation, c, k, pixels, phases)
    shape = (rows, taps * c, wide, phases)
    return _Tiling(APART, kd, 1, kh, kw * c, correlation.groups * k, shape, kd * cycles, pattern)


def tilings(correlation: Correlation, dtype: np.dtype, host: Level) -> list[_Tiling]:
    """The arrangements that can compute a weight's gradient, each with its best tiles."""
    lanes, groups, taps = vector_of(dtype).lanes, correlation.groups, correlation.taps
    c, k, (kd, kh, kw) = correlation.channels_in, correlation.channels_out, correlation.kernel_size

    def tiling(arrangement, taps, kernel_rows, run, columns):
        shape, cycles = gradient_tile(kernel_rows, run, -(-columns // lanes), host)
        return _Tiling(arrangement, taps, groups, kernel_rows, run, columns, shape, taps * groups * cycles)

    found = [tiling(PLAIN, taps, 1, c, k), tiling(SWAPPED, taps, 1, k, c)]
    transposing = SWAP_CYCLES * groups * taps * c * k / max(1, correlation.rows * correlation.output_size[2])
    found[1] = replace(found[1], cycles=found[1].cycles + transposing)
    if correlation.joined_taps and c < FEW_CHANNELS and taps > 1:
        found.append(tiling(COPIED, 1, kd * kh, c * kw, k))
    apart = _apart(correlation, lanes, host)
    return [*found, apart] if apart is not None else found


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    tiling: _Tiling
    kernel: TileKernel
    layout: np.ndarray
    parts: int
    tiles: int
    sums_size: int  # of all parts by pixels; 0: a single pass writes the gradient itself
    scratch_size: int
    slots_size: int


@lru_cache(maxsize=1024)
def plan(correlation: Correlation, dtype: np.dtype, most_parts: int, host: Level) -> Plan:
    """How to compute a weight's gradient: tiles, blocks and parts."""
    c, k, kw = correlation.channels_in, correlation.channels_out, correlation.kernel_size[2]
    best = min(tilings(correlation, dtype, host), key=lambda tiling: tiling.cycles)
    pixels = correlation.rows * correlation.output_size[2]
    inputs = dtype.itemsize * pixels * correlation.groups * (c * min(correlation.strides[2], kw) + k)
    chosen, copied = best.kernel(dtype), best.arrangement == COPIED
    tile_groups, tile_run, wide, _ = best.shape
    width, tile_rows, lanes = chosen.shape.width, tile_groups * tile_run, chosen.shape.width // wide
    blocks, vectors = -(-best.columns // width), -(-best.columns // lanes)
    major, minor = -(-best.kernel_rows // tile_groups), -(-best.run // tile_run)
    tiles = best.taps * best.groups * major * minor * blocks
    sums_size = tiles * tile_rows * width

    # A tile reads few of x's channels but goes on with them through all of dy's: dy counts in full, x for what stays.
    x_channels = c * correlation.groups // 4 if best.taps > 1 else 0
    if copied:
        x_channels = best.kernel_rows * c * correlation.strides[2]
    pixel_bytes = dtype.itemsize * (x_channels + k * correlation.groups)
    segments, segment = _segments(correlation, pixel_bytes)
    rows = correlation.rows * segments
    cycles = pixels * best.cycles
    most_parts = int(max(1, min(most_parts, cycles // SERIAL_CYCLES)))
    pixel_parts, tile_parts = _split(most_parts, cycles, rows, tiles, dtype.itemsize * sums_size, inputs)
    rows_at_once = max(
        1, BLOCK_BYTES // (segment * pixel_bytes), min(LEAST_PIXELS, MOST_BYTES // pixel_bytes) // segment
    )
    rows_at_once = min(rows_at_once, -(-rows // pixel_parts))

    patch_width = (segment - 1) * correlation.strides[2] + kw
    scratch_size = rounded_up(rows_at_once * best.kernel_rows * patch_width * c, 64) if copied else 0
    slots_size = rounded_up(SLOTS + ENTRY * rows_at_once, 8)
    # Groups whose arrays lie apart (matrix products) are not asked for; nor is what a single tile reads in order.
    asks = best.pattern is None and correlation.y_strides[4] <= correlation.y_strides[3] and (tiles > 1 or copied)
    direct = pixel_parts == 1 and rows <= rows_at_once and best.arrangement != SWAPPED
    # fmt: off
    layout = {
        TILE_KERNEL: chosen.address, ARRANGEMENT: best.arrangement, TILE_GROUPS: tile_groups, TILE_RUN: tile_run,
        TILE_WIDTH: width, TAPS: best.taps, KERNEL_ROWS: best.kernel_rows, RUN: best.run,
        ROW_LENGTH: patch_width * c if copied else 0, MAJOR_TILES: major, MINOR_TILES: minor, BLOCKS: blocks,
        LAST_BLOCK: (vectors - wide) * lanes, GROUPS: best.groups, CHANNELS_IN: c, CHANNELS: best.columns,
        OUTPUTS: k, WEIGHT_STEP: correlation.weight_strides[3], WEIGHT_GROUP: correlation.weight_strides[5],
        SEGMENTS: segments, SEGMENT: segment, ROWS: rows, ROWS_AT_ONCE: rows_at_once, TILES: tiles,
        PIXEL_PARTS: pixel_parts, TILE_PARTS: tile_parts, SUMS_SIZE: sums_size, DIRECT: direct,
        PATCH_WIDTH: patch_width, SCRATCH_SIZE: scratch_size, SLOTS_SIZE: slots_size,
        ASKS: asks, LINE: LINE_BYTES // dtype.itemsize,
    }
    # fmt: on
    parts = pixel_parts * tile_parts
    sums = 0 if direct else pixel_parts * sums_size
    return Plan(best, chosen, laid_out(layout, LAYOUT_SIZE), parts, tiles, sums, scratch_size, slots_size)


def launch(correlation: Correlation, x: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> None:
    """The gradient of a correlation in its weight, which lies in order. All arrays C-contiguous."""
    if dweight.size == 0:
        return
    if correlation.rows * correlation.output_size[2] == 0:
        dweight[...] = 0
        return
    chosen = plan(correlation, x.dtype, threads(), level())
    sums = empty((chosen.sums_size,), x.dtype) if chosen.sums_size else dweight
    scratch = empty((chosen.parts * chosen.scratch_size,), x.dtype) if chosen.scratch_size else dweight
    slots = np.empty(chosen.parts * chosen.slots_size, np.int64)
    run(sum_over_pixels, chosen.parts, 1, x, dy, dweight, sums, scratch, slots, chosen.layout, correlation.numbers)
    if chosen.sums_size:
        run(add_parts, chosen.tiles, max(1, 20_000 * chosen.tiles // chosen.sums_size), sums, dweight, chosen.layout)
