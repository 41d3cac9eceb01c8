"""Convolution by register tiles: each tile is some neighbouring pixels of an output row × some vectors of output
channels.

The input is read where it lies. Windows that reach beyond its top, bottom, front or back leave out the kernel's rows
that fall there. For tiles that reach beyond the left or right end of a row there are three ways, and a cost model: to
copy their windows, with zeros, to a scratch array of the thread; to copy whole rows, which then serve all tiles of a
chunk; or to add the taps that some pixels miss to a tile that lies some pixels further on. With channels last, kernel
width × input channels is one contiguous run of the input and of the packed weights, so that the inner loop is a single
one (`tiles.accumulate`) and there is no im2col. While a tile is computed, the caches are asked for what the next one
reads: its pixels lie in many rows, and the processor's own prefetching does not see them coming.

Three kinds of tile, of which the one that a cost model finds cheapest is taken (`tiling`):

- lanes over the output channels: each number of x is broadcast, and meets a vector of weights. The usual kind;
- lanes over the input (`tiles.accumulate_dots`): vectors of x meet vectors of weights, and the lanes are added at the
  end. For few output channels (a first layer's gradient, a last layer of two classes), which would leave lanes empty,
  and for weights that lie transposed;
- lanes over groups (`tiles.accumulate_apart`): depthwise convolution and narrow groups, several in one vector.

An output that is too large for the caches is stored past them: its lines would be read before they are written.

Several correlations of the same arrays, the phases of a transposed convolution, run in one launch.

Weights are packed in blocks of the tile's width. The order of the work keeps a block in the L2 cache while all tiles of
a chunk of the output use it; where a block is longer than that (a dense layer over 200,000 inputs) the depth is cut
in pieces, and the tiles of the chunk wait in memory between them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..memory import empty
from .caches import too_large_for_caches
from .correlation import BEFORE, DILATION, INPUT, KERNEL, NUMBERS, OUTPUT, STRIDES, Correlation, X, Y, side_by_side
from .launch import helper, kernel, run, threads, unpack
from .simd import Level, finish_streams, level, pointer_at, vector_of
from .tile_kernel import (
    COLUMNS,
    FLAGS,
    OUT,
    OUT_STEP,
    RELU,
    SLOTS,
    START,
    START_ROW,
    START_TILE,
    STEP,
    TABLE,
    W_ADVANCE,
    W_POINTER,
    W_STEP,
    X_POINTER,
    TileKernel,
    address_of,
    apart_kernel,
    call_tile_kernel,
    dot_kernel,
    tile_kernel,
)
from .tiles import TileShape
from .tiling import SCATTERED_CYCLES, TILE_OVERHEAD, apart_tile, dot_tile, output_tile, short_run_tile

BLOCK_BYTES = 384 * 1024  # of packed weights that stay in the L2 cache while a chunk of tiles uses them
CHUNK_CYCLES = 100_000  # of work in one chunk of tiles, over all blocks
SERIAL_CYCLES = 20_000  # below this a second thread does not pay
MOST_PASSES = 6  # so many tiles may read weights that are not packed
SHORT_RUN = 12  # runs up to this length are compiled by themselves, unrolled
LINE_BYTES = 64  # of a cache line
PACKING_CYCLES = 1  # to pack a weight
TRANSPOSING_CYCLES = 2  # and if an input channel's weights lie apart
NOWHERE = 1 << 32  # no number of rows
MOVED_CYCLES = 200  # that one more call of a tile's kernel takes, beside its loads and stores
STAGED_BYTES = 128 * 1024  # of copied rows that stay in the L2 cache beside a block of weights
COPIED_CYCLES = 40  # to begin and end the copy of one run of a window
LAUNCH_CYCLES = 2000  # that one more correlation takes in a launch
PACKING_GRAIN = 20_000  # weights that make a second thread worth its while


# ---- packing ---------------------------------------------------------------------------------------------------------

# What packing finds where, for each correlation: `Correlation.weight_numbers`, and then
(
    PACK_WIDTH, PACK_BLOCKS, PACK_LAST, PACK_LANES, PACK_RUN, PACK_TAP, PACK_START, PACK_END, PACK_SIZE,
) = range(18, 27)  # fmt: skip


@helper
def _pack_columns(weight, packed, source, target, columns, c_in, si, so, width, lanes, first):
    """`columns` output channels of a tap: the input channels are the positions `first` … of the run at `target`."""
    if lanes > 1:
        for j in range(columns):
            for c in range(c_in):
                i = first + c
                packed[target + (i // lanes * width + j) * lanes + i % lanes] = weight[source + c * si + j * so]
    elif so == 1:
        for c in range(c_in):
            for j in range(columns):
                packed[target + (first + c) * width + j] = weight[source + c * si + j]
    else:  # a transposition: many lines are asked for at once
        for c in range(c_in):
            for j in range(columns):
                packed[target + (first + c) * width + j] = weight[source + c * si + j * so]


@helper
def _clear_columns(packed, target, columns, c_in, width, lanes, first):
    """The same for weights that do not exist: zeros."""
    for i in range(first, first + c_in):
        for j in range(columns):
            packed[target + (i // lanes * width + j) * lanes + i % lanes] = 0


@kernel
def pack(begin, end, arguments):
    """weight → packed (group, block, row of taps, position in the run, block width), zeros beyond the last output
    channel; with lanes over the input (…, vector of the run, block width, lanes)."""
    weight, packed, every = unpack(arguments)
    phase = 0
    for item in range(begin, end):  # a tap of a block of a group, of one correlation after the other
        while item >= every[phase * PACK_SIZE + PACK_END]:
            phase += 1
        n = pointer_at(every, phase * PACK_SIZE)
        kh, kw, c_in, lanes, width = n[1], n[2], n[3], n[PACK_LANES], n[PACK_WIDTH]
        index = item - (n[PACK_END] - n[0] * kh * kw * n[PACK_BLOCKS] * n[5])
        tap, outer = index % (n[0] * kh * kw), index // (n[0] * kh * kw)
        block, group = outer % n[PACK_BLOCKS], outer // n[PACK_BLOCKS]
        in_run = n[PACK_RUN] // c_in
        target = n[PACK_START] + (outer * (n[0] * kh * kw // in_run) + tap // in_run) * n[PACK_TAP]
        first, channel = tap % in_run * c_in, min(block * width, n[PACK_LAST])
        columns = min(width, n[4] - channel)
        source = n[12] + group * n[11] + tap // (kh * kw) * n[6] + tap // kw % kh * n[7] + tap % kw * n[8]
        done = 0
        while done < columns:  # output pixel by output pixel, if channels are those of several
            pixel, k = (channel + done) // n[14], (channel + done) % n[14]
            count = min(n[14] - k, columns - done)
            weight_tap, there = n[15] - tap % kw * n[13] + pixel, target + done * lanes
            if n[13] == 1 or 0 <= weight_tap < n[16]:
                here = source + pixel * n[17] + k * n[10]
                _pack_columns(weight, packed, here, there, count, c_in, n[9], n[10], width, lanes, first)
            else:
                _clear_columns(packed, there, count, c_in, width, lanes, first)
            done += count
        _clear_columns(packed, target + columns * lanes, width - columns, c_in, width, lanes, first)


# ---- the driver ------------------------------------------------------------------------------------------------------

# What the driver finds where in the layout of each correlation, after `Correlation.numbers`.
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, APART, CHANNELS, PITCH, TAPS_W, WEIGHT_ADVANCE, WEIGHT_STEP, WEIGHT_TAP,
    WEIGHT_BLOCK, LAST_WEIGHT, WEIGHT_GROUP, WEIGHT_START, BIAS_BLOCK, BIAS_START, BLOCKS, LAST_CHANNEL, GROUPS,
    CHANNELS_OUT, TILES_PER_ROW, TILES, CHUNK, RUN, PIECE, ITEMS, PARTS, END_PART, PATCH_WIDTH, PATCH_SIZE,
    SCRATCH_SIZE, SLOTS_SIZE, FINISH, Y_START, WEIGHT_COLUMN, MOVES, SUMS_SIZE, SUMS_COLUMNS, ITEM_BYTES, NEXT_ROW,
    READ_D, READ_H, READ_W, STAGED_ROWS, STAGED_WIDTH, LAYOUT_SIZE,
) = range(NUMBERS, NUMBERS + 46)  # fmt: skip


@helper
def first_tap(origin, dilation):
    """The first k ≥ 0 with origin + k·dilation ≥ 0."""
    return 0 if origin >= 0 else (dilation - 1 - origin) // dilation


@helper
def end_tap(origin, dilation, taps, size):
    """The first k ≤ taps with origin + k·dilation ≥ size."""
    return 0 if origin >= size else min(taps, (size - origin + dilation - 1) // dilation)


@helper
def kernel_rows_inside(numbers, origin_d, origin_h):
    """(kd_begin, kd_end, kh_begin, kh_end): the kernel's rows that meet the input when the kernel starts at the
    origin."""
    return (
        first_tap(origin_d, numbers[DILATION]),
        end_tap(origin_d, numbers[DILATION], numbers[KERNEL], numbers[INPUT]),
        first_tap(origin_h, numbers[DILATION + 1]),
        end_tap(origin_h, numbers[DILATION + 1], numbers[KERNEL + 1], numbers[INPUT + 1]),
    )


@helper
def row_position(numbers, row):
    """(n, od, oh) of a row of output pixels."""
    row, oh = row // numbers[OUTPUT + 1], row % numbers[OUTPUT + 1]
    return row // numbers[OUTPUT], row % numbers[OUTPUT], oh


@helper
def _table_of(layout, columns):
    """Where in the slots the table for so many of the kernel's columns stands, behind those for fewer."""
    tables = columns - 1
    entries = tables if layout[TAPS_W] == 1 else columns * tables // 2
    return SLOTS + layout[KERNEL + 2] + 3 * (entries * layout[KERNEL] * layout[KERNEL + 1] + tables)


@helper
def _list_taps(table, layout, kernel_rows, columns, count, x_d, x_h, x_w):
    """Fills the table with the first columns of some kernel rows, `count` numbers each: those of a row together, if
    they are one run. x_d, x_h, x_w lead from tap to tap in the input. Returns how many entries."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    in_row, taps = 1 if layout[TAPS_W] == 1 else columns, 0
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            row = (kd * layout[KERNEL + 1] + kh) * layout[TAPS_W]
            for kw in range(in_row):
                table[3 * taps] = kd * x_d + kh * x_h + kw * x_w
                table[3 * taps + 1] = row * layout[WEIGHT_TAP] + kw * layout[WEIGHT_COLUMN]
                table[3 * taps + 2] = count
                taps += 1
    table[3 * taps] = table[0]  # what comes next, until someone knows
    return taps


@helper
def _list_tables(slots, layout, kernel_rows, piece):
    """Fills the tables for all columns of the kernel: in the input, in a copy of its windows, and if tiles are moved
    those for fewer columns. Returns how many kernel rows they hold."""
    x_d, x_h = layout[READ_D], layout[READ_H] * layout[DILATION + 1]
    x_w, columns = layout[READ_W] * layout[DILATION + 2], layout[KERNEL + 2]
    if layout[MOVES]:
        for some in range(1, columns):
            count = layout[PITCH] * (some if layout[TAPS_W] == 1 else 1)
            _list_taps(pointer_at(slots, _table_of(layout, some)), layout, kernel_rows, some, count, x_d, x_h, x_w)
    if layout[PATCH_SIZE]:
        table, x_h_copied = pointer_at(slots, _table_of(layout, columns + 1)), layout[PATCH_WIDTH] * layout[PITCH]
        x_d_copied, x_w_copied = layout[KERNEL + 1] * x_h_copied, layout[DILATION + 2] * layout[PITCH]
        _list_taps(table, layout, kernel_rows, columns, piece, x_d_copied, x_h_copied, x_w_copied)
    table = pointer_at(slots, _table_of(layout, columns))
    return _list_taps(table, layout, kernel_rows, columns, piece, x_d, x_h, x_w) // layout[TAPS_W]


@helper
def _copy_row(x, row, numbers, origin, copy, width, pitch, channels):
    """The pixels origin … origin + width of a row of x, zeros where there is no input."""
    pixel = numbers[X + 3]
    left = min(max(-origin, 0), width)
    right = max(min(numbers[INPUT + 2] - origin, width), left)
    for i in range(left * pitch):
        copy[i] = 0
    if pixel == channels and pitch == channels:
        for i in range(left * pitch, right * pitch):
            copy[i] = x[row + i]
    else:
        for p in range(left, right):
            for c in range(channels):
                copy[p * pitch + c] = x[row + p * pixel + c]
    for i in range(right * pitch, width * pitch):
        copy[i] = 0


@helper
def copy_windows(x, source, numbers, kernel_rows, origin, patch, patch_width, pitch, channels):
    """The input pixels origin … origin + patch_width of each kernel row of a tile, zeros where there is no input."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            row = source + kd * numbers[DILATION] * numbers[X + 1] + kh * numbers[DILATION + 1] * numbers[X + 2]
            copy = pointer_at(patch, (kd * numbers[KERNEL + 1] + kh) * patch_width * pitch)
            _copy_row(x, row, numbers, origin, copy, patch_width, pitch, channels)


@helper
def _stage_rows(x, source, layout, kernel_rows, origin_h, rows, staged):
    """Copies all rows of the input, with the padding beside them, that so many rows of outputs read, for those rows of
    the kernel's depth that meet the input: then no tile has to look where a row ends. `source`: where the first row
    would begin in x."""
    width, pitch = layout[STAGED_WIDTH], layout[PITCH]
    count = (rows - 1) * layout[STRIDES + 1] + (layout[KERNEL + 1] - 1) * layout[DILATION + 1] + 1
    for kd in range(kernel_rows[0], kernel_rows[1]):
        plane = source + kd * layout[DILATION] * layout[X + 1] - layout[BEFORE + 2] * layout[X + 3]
        for row in range(max(0, -origin_h), min(count, layout[INPUT + 1] - origin_h)):
            copy = pointer_at(staged, (kd * layout[STAGED_ROWS] + row) * width * pitch)
            _copy_row(x, plane + row * layout[X + 2], layout, -layout[BEFORE + 2], copy, width, pitch, pitch)


@helper
def _find_shifts(shifts, layout, origin):
    """By how many rows the tile at an end of a row must move for each tap, so that all its rows meet the input there;
    NOWHERE for taps that no row meets. False if for some tap it cannot move, or for none it may stay."""
    stride, rows, size = layout[STRIDES + 2], layout[TILE_ROWS], layout[INPUT + 2]
    can_move, can_stay = True, False
    for kw in range(layout[KERNEL + 2]):
        pixel = origin + kw * layout[DILATION + 2]
        first, end = max(-pixel, 0), min(size - pixel, rows)
        if stride > 1:  # divisions take long
            first, end = first_tap(pixel, stride), end_tap(pixel, stride, rows, size)
        shift = first if first > 0 else end - rows
        pixel += shift * stride
        if first >= end:
            shift = NOWHERE
        else:
            can_move &= (first == 0 or end == rows) and pixel >= 0 and pixel + (rows - 1) * stride < size
            can_stay |= shift == 0
        shifts[kw] = shift
    return can_move and can_stay


@helper
def _repeat_bias(sums, bias, first, end, width):
    """Rows first … end of a tile start from the bias."""
    for row in range(first, end):
        for j in range(width):
            sums[row * width + j] = bias[j]


@helper
def _sum_columns(x, source, weights, slots, layout, kernel_rows, first, end):
    """Runs the tile's kernel for some columns of some rows of its own kernel; x and weights: those of column 0."""
    columns = end - first
    slots[X_POINTER] = address_of(x, source + first * layout[DILATION + 2] * layout[X + 3])
    slots[W_POINTER] = weights + first * layout[WEIGHT_COLUMN] * layout[ITEM_BYTES]
    slots[TABLE] = address_of(slots, _table_of(layout, columns))
    call_tile_kernel(layout[TILE_KERNEL], kernel_rows if layout[TAPS_W] == 1 else kernel_rows * columns, slots)


@helper
def _output_moved(x, source, bias, sums, shifts, slots, layout, kernel_rows):
    """A tile at an end of a row, whose slots are filled but for the input and the table. Windows are not copied: taps
    that some of the tile's rows miss are added to all rows of a tile some pixels further on, of which the last or the
    first are then nobody's."""
    start, out, flags, out_step, columns = slots[START], slots[OUT], slots[FLAGS], slots[OUT_STEP], slots[COLUMNS]
    width, rows, weights = layout[TILE_WIDTH], layout[TILE_ROWS], slots[W_POINTER]
    own, pixel = pointer_at(sums, rows * width), layout[STRIDES + 2] * layout[X + 3]
    slots[OUT_STEP], slots[COLUMNS], slots[FLAGS] = width, layout[SUMS_COLUMNS], START_ROW
    first, end, whole, end_whole = 0, 0, 0, 0
    while first < layout[KERNEL + 2]:
        shift = shifts[first]
        while end < layout[KERNEL + 2] and shifts[end] == shift:
            end += 1
        if shift == 0:
            whole, end_whole = first, end
        elif shift != NOWHERE:
            slots[OUT] = address_of(own, shift * width)
            if slots[FLAGS] == START_TILE:
                slots[START] = slots[OUT]
            _sum_columns(x, source + shift * pixel, weights, slots, layout, kernel_rows, first, end)
            if slots[FLAGS] == START_ROW:
                _repeat_bias(own, bias, 0, shift, width)
                _repeat_bias(own, bias, rows + min(shift, 0), rows, width)
                slots[FLAGS] = START_TILE
        first = end
    slots[OUT], slots[OUT_STEP], slots[COLUMNS] = out, out_step, columns
    if slots[FLAGS] == START_TILE:
        slots[START], slots[FLAGS] = address_of(own, 0), flags + START_TILE - START_ROW
    else:
        slots[FLAGS] = flags
    _sum_columns(x, source, weights, slots, layout, kernel_rows, whole, end_whole)
    slots[START], slots[FLAGS], slots[W_POINTER] = start, flags, weights
    slots[TABLE] = address_of(slots, _table_of(layout, layout[KERNEL + 2]))


@helper
def _output_copied(x, source, patch, slots, layout, kernel_rows, listed, origin, begin):
    """A tile at an end of a row, whose slots are filled but for the input and the table, from a copy of its windows."""
    channels, step, table = layout[PITCH], slots[STEP], slots[TABLE]
    copy_windows(x, source, layout, kernel_rows, origin, patch, layout[PATCH_WIDTH], channels, channels)
    slots[X_POINTER], slots[STEP] = address_of(patch, begin), layout[STRIDES + 2] * channels
    slots[TABLE] = address_of(slots, _table_of(layout, layout[KERNEL + 2] + 1))
    call_tile_kernel(layout[TILE_KERNEL], listed * layout[TAPS_W], slots)
    slots[STEP], slots[TABLE] = step, table


@helper
def _output_row(x, x_row, y, y_row, bias, scratch, waiting, slots, layout, kernel_rows, listed, begin, column, count):
    """`count` tiles of a row from the tile `column`, for the piece of the depth that starts at `begin`. The tables list
    so many kernel rows. Between pieces, sums are `waiting`."""
    tile_rows, tile_size = layout[TILE_ROWS], layout[TILE_ROWS] * layout[TILE_WIDTH]
    is_last = begin + layout[PIECE] >= layout[RUN]
    start, columns, stride = slots[START], slots[COLUMNS], layout[STRIDES + 2]
    slots[FLAGS] = (START_TILE if begin else START_ROW) | (layout[FINISH] if is_last else 0)
    slots[OUT_STEP] = layout[Y + 3] if is_last else layout[TILE_WIDTH]
    slots[COLUMNS] = columns if is_last else layout[TILE_WIDTH]
    slots[STEP] = stride * layout[READ_W]
    table, taps = _table_of(layout, layout[KERNEL + 2]), listed * layout[TAPS_W]
    slots[TABLE], slots[table + 3 * taps] = address_of(slots, table), slots[table] + tile_rows * slots[STEP]
    for i in range(count):
        ow = min((column + i) * tile_rows, layout[OUTPUT + 2] - tile_rows)
        origin = ow * stride - layout[BEFORE + 2]
        source = x_row + origin * layout[READ_W]
        if begin:
            slots[START] = address_of(waiting, i * tile_size)
        slots[OUT] = address_of(y, y_row + ow * layout[Y + 3]) if is_last else address_of(waiting, i * tile_size)
        if layout[STAGED_ROWS] or (origin >= 0 and origin + layout[PATCH_WIDTH] <= layout[INPUT + 2]):
            if i + 1 == count:
                slots[table + 3 * taps] = slots[table] + layout[NEXT_ROW] - source + x_row
            slots[X_POINTER] = address_of(x, source + begin)
            call_tile_kernel(layout[TILE_KERNEL], taps, slots)
        elif layout[MOVES] and _find_shifts(pointer_at(slots, SLOTS), layout, origin):
            sums, shifts = pointer_at(scratch, layout[PATCH_SIZE]), pointer_at(slots, SLOTS)
            _output_moved(x, source, bias, sums, shifts, slots, layout, listed)
        else:
            _output_copied(x, source, scratch, slots, layout, kernel_rows, listed, origin, begin)
    slots[START], slots[COLUMNS] = start, columns


@helper
def _output_piece(x, x_block, y, y_block, bias, scratch, slots, layout, first, last, begin):
    """The tiles first … last of a block, row after row, for the piece of the depth that starts at `begin`."""
    waiting = pointer_at(scratch, layout[PATCH_SIZE] + layout[SUMS_SIZE])
    piece = min(layout[PIECE], layout[RUN] - begin)
    row, column, done = first // layout[TILES_PER_ROW], first % layout[TILES_PER_ROW], first
    listed, rows_listed, first_staged, end_staged = (-1, 0, 0, 0), 0, 0, 0
    while done < last:
        n, od, oh = row_position(layout, row)
        origin_d = od * layout[STRIDES] - layout[BEFORE]
        origin_h = oh * layout[STRIDES + 1] - layout[BEFORE + 1]
        kernel_rows = kernel_rows_inside(layout, origin_d, origin_h)
        if kernel_rows != listed:
            listed, rows_listed = kernel_rows, _list_tables(slots, layout, kernel_rows, piece)
        here, x_row = x, x_block + n * layout[X] + origin_d * layout[X + 1] + origin_h * layout[X + 2]
        if layout[STAGED_ROWS]:
            if row >= end_staged:
                rows = min(layout[OUTPUT + 1] - oh, (last - 1) // layout[TILES_PER_ROW] + 1 - row)
                _stage_rows(x, x_row, layout, kernel_rows, origin_h, rows, scratch)
                end_staged, first_staged = row + rows, origin_h
            here, x_row = scratch, (origin_h - first_staged) * layout[READ_H] + layout[BEFORE + 2] * layout[READ_W]
        y_row = y_block + n * layout[Y] + od * layout[Y + 1] + oh * layout[Y + 2]
        own = pointer_at(waiting, (done - first) * layout[TILE_ROWS] * layout[TILE_WIDTH])
        count = min(layout[TILES_PER_ROW] - column, last - done)
        _output_row(
            here, x_row, y, y_row, bias, scratch, own, slots, layout, kernel_rows, rows_listed, begin, column, count
        )
        row, column, done = row + 1, 0, done + count


@helper
def _output_chunk(x, w, bias, y, scratch, slots, layout, item):
    """A block of output channels of a group for a chunk of tiles."""
    block, group = item % layout[BLOCKS], item // layout[BLOCKS] % layout[GROUPS]
    chunk = item // layout[BLOCKS] // layout[GROUPS]
    first, last = chunk * layout[CHUNK], min((chunk + 1) * layout[CHUNK], layout[TILES])
    channel = min(block * layout[TILE_WIDTH], layout[LAST_CHANNEL])
    x_block = group * layout[X + 4] + (channel // layout[APART] * layout[CHANNELS] if layout[APART] else 0)
    y_block = layout[Y_START] + group * layout[Y + 4] + channel
    w_block = min(block * layout[WEIGHT_BLOCK], layout[LAST_WEIGHT])
    w_block += layout[WEIGHT_START] + group * layout[WEIGHT_GROUP]
    slots[COLUMNS] = min(layout[TILE_WIDTH], layout[CHANNELS_OUT] - channel)
    own_bias = pointer_at(bias, layout[BIAS_START] + (group * layout[BLOCKS] + block) * layout[BIAS_BLOCK])
    slots[START] = address_of(own_bias, 0)
    slots[W_ADVANCE], slots[W_STEP] = layout[WEIGHT_ADVANCE], layout[WEIGHT_STEP]
    begin = 0
    while begin < layout[RUN]:  # not a range: that would allow for a negative step
        slots[W_POINTER] = address_of(w, w_block + begin * layout[WEIGHT_ADVANCE])
        _output_piece(x, x_block, y, y_block, own_bias, scratch, slots, layout, first, last, begin)
        begin += layout[PIECE]


@kernel
def correlate(begin, end, arguments):
    """y = bias + Σ x · w over all taps, then maybe ReLU, for the parts begin … end of the work, one correlation after
    the other."""
    x, w, bias, y, scratch, slots, every = unpack(arguments)
    phase = 0
    for part in range(begin, end):
        while part >= every[phase * LAYOUT_SIZE + END_PART]:
            phase += 1
        layout = pointer_at(every, phase * LAYOUT_SIZE)
        own, own_slots = pointer_at(scratch, part * layout[SCRATCH_SIZE]), pointer_at(slots, part * layout[SLOTS_SIZE])
        share = part - layout[END_PART] + layout[PARTS]
        for item in range(share * layout[ITEMS] // layout[PARTS], (share + 1) * layout[ITEMS] // layout[PARTS]):
            _output_chunk(x, w, bias, y, own, own_slots, layout, item)
    finish_streams()


# ---- plans -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    kernels: tuple[TileKernel, ...]  # the layouts hold their addresses
    layouts: np.ndarray
    parts: int
    scratch_size: int
    slots_size: int
    packing: np.ndarray
    packing_items: int
    packed_size: int  # 0: the weights are used as they lie
    start: np.ndarray | None  # what the tiles start from, where there is no bias: zeros
    bias_places: np.ndarray | None  # else for each number that they start from its place in the bias; beyond it: 0
    bias_in_order: bool  # these places are the bias as it is, and then only places beyond


@dataclass(frozen=True)
class _Tiles:
    """The tiles of one correlation, and about how many cycles all of them take."""

    rows: int
    width: int  # output channels
    vectors: int  # of accumulators in a row
    cycles: float
    dot_lanes: int = 1  # more: lanes run over the input
    apart: int = 0  # output channels in a group, if each vector holds the channels of several groups
    shared: bool = False  # what windows have in common is loaded once

    @property
    def overlapping(self) -> bool:
        """True if the last block of channels begins within the one before rather than be partial."""
        return self.dot_lanes > 1 or self.apart > 0


def rounded_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def _run(correlation: Correlation) -> tuple[int, int]:
    """(numbers of x in a run, runs in a row of the kernel)."""
    c, kw = correlation.channels_in, correlation.kernel_size[2]
    return (kw * c, 1) if correlation.joined_taps else (c, kw)


def _has_short_runs(correlation: Correlation) -> bool:
    """True if runs are so short that they are compiled by themselves."""
    return correlation.joined_taps and _run(correlation)[0] <= SHORT_RUN


def _rows_of_weights(correlation: Correlation) -> bool:
    """True if each output channel's weights are one run in memory."""
    return correlation.taps == 1 and correlation.weight_strides[3] == 1 and correlation.pieces is None


def _packing_cycles(correlation: Correlation) -> float:
    """About how many cycles it takes to pack the weights of a group."""
    return correlation.weights * (PACKING_CYCLES if correlation.weight_strides[4] == 1 else TRANSPOSING_CYCLES)


def _lanes_over_output(correlation: Correlation, lanes: int, host: Level) -> _Tiles:
    depth = correlation.taps * correlation.channels_in
    vectors = -(-correlation.channels_out // lanes)
    pixels, shared = correlation.output_size[2], False
    if _has_short_runs(correlation):
        step = correlation.strides[2] * correlation.x_strides[3]
        choice, shared = short_run_tile(pixels, vectors, depth, _run(correlation)[0], step, host)
    else:
        choice = output_tile(pixels, vectors, depth, host)
    total = correlation.groups * (correlation.rows * choice.cycles + _packing_cycles(correlation))
    return _Tiles(choice.rows, choice.columns * lanes, choice.columns, total, shared=shared)


def _lanes_over_input(correlation: Correlation, lanes: int, itemsize: int, host: Level) -> _Tiles:
    run_length, runs = _run(correlation)
    steps = correlation.taps // (correlation.kernel_size[2] // runs) * -(-run_length // lanes)
    crossings = 0 if correlation.channels_in % lanes == 0 else lanes * itemsize / LINE_BYTES
    pixels, channels = correlation.output_size[2], correlation.channels_out
    side_by_side, (d, h, w) = correlation.y_strides[3] == channels, correlation.strides
    unshared = min(1, d * h * w / correlation.taps)
    rows, columns, cycles = dot_tile(pixels, channels, steps, lanes, crossings, unshared, side_by_side, host)
    packing = 0 if _rows_of_weights(correlation) else _packing_cycles(correlation)
    total = correlation.groups * (correlation.rows * cycles + packing)
    return _Tiles(rows, columns, columns, total, dot_lanes=lanes)


def _lanes_over_groups(correlation: Correlation, lanes: int, host: Level) -> _Tiles | None:
    """Of a correlation whose groups were put side by side; None if a vector cannot hold whole groups, or
    they have too many inputs."""
    inputs, outputs, channels = correlation.channels_in, correlation.pieces.channels, correlation.channels_out
    lanes = min(lanes, 1 << (channels.bit_length() - 1))
    if lanes % outputs:
        return None
    if 3 * inputs + 3 > host.registers:
        return None
    pixels, taps = correlation.output_size[2], correlation.taps
    kernel_rows = taps // correlation.kernel_size[2]
    rows, columns, cycles = apart_tile(pixels, channels, kernel_rows, taps, inputs, outputs, lanes, host)
    total = correlation.rows * cycles + PACKING_CYCLES * correlation.weights
    return _Tiles(rows, columns * lanes, columns, total, apart=outputs)


@lru_cache(maxsize=1024)
def _choose_tiles(correlation: Correlation, dtype: np.dtype, host: Level) -> tuple[Correlation, _Tiles]:
    """The tiles that take the fewest cycles: with lanes over the output channels, over the input, or over groups. The
    correlation, or the same with its groups side by side."""
    lanes = vector_of(dtype).lanes
    choices = [(correlation, _lanes_over_output(correlation, lanes, host))]
    if lanes > 1:
        choices.append((correlation, _lanes_over_input(correlation, lanes, dtype.itemsize, host)))
    in_order = correlation.x_strides[4], correlation.y_strides[4]
    if correlation.groups > 1 and in_order == (correlation.channels_in, correlation.channels_out):
        together = side_by_side(correlation)
        tiles = _lanes_over_groups(together, lanes, host)
        choices += [(together, tiles)] if tiles else []
    return min(choices, key=lambda choice: choice[1].cycles)


def cycles(correlations: tuple[Correlation, ...], dtype: np.dtype, host: Level) -> float:
    """About how many cycles the correlations take together."""
    return sum(_choose_tiles(correlation, dtype, host)[1].cycles + LAUNCH_CYCLES for correlation in correlations)


def _usable_in_place(correlation: Correlation, tiles: _Tiles, passes: int) -> bool:
    """True if the weights need no packing: they lie in order, no block is partial, and packing would hardly be
    repaid."""
    c, k, width = correlation.channels_in, correlation.channels_out, tiles.width
    if tiles.dot_lanes > 1:
        return _rows_of_weights(correlation)
    _, kh, kw = correlation.kernel_size
    in_order = correlation.weight_strides[:5] == (kh * kw * c * k, kw * c * k, c * k, k, 1)
    whole = k % width == 0 and (k == width or passes <= MOST_PASSES)
    plain = correlation.weight_start == 0 and correlation.groups == 1 and correlation.pieces is None
    return in_order and plain and whole


def _kernel_for(
    correlation: Correlation, dtype: np.dtype, tiles: _Tiles, layout: dict[int, int], streamed: bool
) -> TileKernel:
    """The compiled kernel of the tiles of a correlation. `streamed`: y is aligned, and too large for the caches."""
    if tiles.dot_lanes > 1:
        return dot_kernel(dtype, tiles.rows, tiles.width)
    shape = TileShape(dtype, tiles.rows, tiles.vectors, lanes=tiles.width // tiles.vectors)
    if tiles.apart:
        return apart_kernel(dtype, shape, correlation.channels_in, tiles.apart)
    lanes, waits = tiles.width // tiles.vectors, layout[PIECE] < layout[RUN]
    aligned = not any(place % lanes for place in (*correlation.y_strides, correlation.y_start))
    streamed = streamed and aligned and lanes > 1 and not waits
    if _has_short_runs(correlation):
        step = correlation.strides[2] * correlation.x_strides[3]
        return tile_kernel(
            dtype, shape, length=layout[RUN], step=step, advance=1, shared=tiles.shared, streamed=streamed
        )
    return tile_kernel(dtype, shape, advance=1, streamed=streamed, ahead=True)


def _divide(tile_cycles: float, tiles: int, blocks: int, pieces: int, most_parts: int) -> tuple[int, int]:
    """(tiles in a chunk, parts) for the work of `tiles` × `blocks`: enough chunks for all threads, long enough ones
    for the weights' way to the cache to be repaid."""
    parts = int(max(1, min(most_parts, tile_cycles * tiles * blocks // SERIAL_CYCLES)))
    if pieces > 1:  # a piece of the weights should serve many tiles, if only all threads have work
        chunk = min(64, tiles, tiles * blocks // parts)
    else:
        chunk = min(CHUNK_CYCLES / tile_cycles, 256, -(-tiles * blocks // (8 * parts)))
    chunk = max(1, int(chunk))
    return chunk, min(parts, -(-tiles // chunk) * blocks)


def _weights_layout(correlation: Correlation, tiles: _Tiles, run: int, blocks: int, in_place: bool) -> dict[int, int]:
    """Where the driver finds the weights."""
    width, depth = tiles.width, correlation.taps * correlation.channels_in
    last_channel = correlation.channels_out - width if tiles.overlapping else (blocks - 1) * width
    tap = rounded_up(run, tiles.dot_lanes) * width
    block = depth // run * tap
    if tiles.dot_lanes > 1 and in_place:
        step, group = correlation.weight_strides[4:6]
        return {WEIGHT_ADVANCE: tiles.dot_lanes, WEIGHT_STEP: step, WEIGHT_BLOCK: width * step,
                LAST_WEIGHT: last_channel * step, WEIGHT_GROUP: group, WEIGHT_START: correlation.weight_start,
                LAST_CHANNEL: last_channel}  # fmt: skip
    advance = correlation.weight_strides[3] if in_place else width * tiles.dot_lanes
    tap, block = (run * advance, width) if in_place else (tap, block)
    return {WEIGHT_ADVANCE: advance, WEIGHT_STEP: tiles.dot_lanes, WEIGHT_TAP: tap,
            WEIGHT_COLUMN: tap // correlation.kernel_size[2] if correlation.joined_taps else tap,
            WEIGHT_BLOCK: block, LAST_WEIGHT: (blocks - 1) * block, WEIGHT_GROUP: blocks * block,
            LAST_CHANNEL: last_channel}  # fmt: skip


def _cheapest(costs: dict[str, float]) -> str:
    """Which of the ways costs least."""
    return min(costs, key=lambda way: costs[way])


def _ends_of_rows(
    correlation: Correlation, tiles: _Tiles, pitch: int, chunk: int, whole: bool, itemsize: int
) -> dict[int, int]:
    """How tiles are computed that reach beyond a row's ends: by copying their windows, by moving them, or by copying
    all rows that a chunk of tiles reads (staging them), whichever takes the fewest cycles. `pitch`: channels of a copy;
    `whole`: the depth is not cut in pieces."""
    c, (kd, kh, kw) = correlation, correlation.kernel_size
    d, h, w, read = c.x_strides[1] * c.dilation[0], c.x_strides[2], c.x_strides[3], c.strides[1]
    lanes, pixels, reach = tiles.width // tiles.vectors, c.output_size[2], (kw - 1) * c.dilation[2] + 1
    patch_width = (tiles.rows - 1) * c.strides[2] + reach
    layout = {
        PATCH_WIDTH: patch_width, READ_D: d, READ_H: h, READ_W: w, NEXT_ROW: read * h - c.before[2] * w,
    }  # fmt: skip
    if not c.has_side_padding:
        return layout

    def copying(width: int) -> float:
        return kd * (width * pitch / lanes * SCATTERED_CYCLES + COPIED_CYCLES)

    per_row = -(-pixels // tiles.rows)
    origins = [min(tile * tiles.rows, pixels - tiles.rows) * c.strides[2] - c.before[2] for tile in range(per_row)]
    at_end = sum(origin < 0 or origin + patch_width > c.input_size[2] for origin in origins)
    calls = min(kw - 1, -(-max(c.before[2], 1) // c.dilation[2]))
    can_move = whole and tiles.dot_lanes == 1 and not tiles.apart and not _has_short_runs(c)
    rows = min(c.output_size[1], -(-(chunk - 1) // per_row) + 1)
    read_rows, staged_width = (
        (rows - 1) * c.strides[1] + (kh - 1) * c.dilation[1] + 1,
        (pixels - 1) * c.strides[2] + reach,
    )
    staged = kd * read_rows * staged_width * pitch
    can_stage = whole and staged * itemsize <= STAGED_BYTES
    costs = {
        "copied": at_end * kh * copying(patch_width),
        "moved": at_end * calls * (3 * tiles.rows * tiles.vectors + MOVED_CYCLES) if can_move else math.inf,
        "staged": read_rows / rows * copying(staged_width) if can_stage else math.inf,
    }
    way = _cheapest(costs)
    if way == "staged":
        row = staged_width * pitch
        return layout | {
            READ_D: read_rows * row, READ_H: row, READ_W: pitch, NEXT_ROW: read * row - c.before[2] * pitch,
            STAGED_ROWS: read_rows, STAGED_WIDTH: staged_width, PATCH_SIZE: staged,
        }  # fmt: skip
    sums = 3 * tiles.rows * tiles.width if way == "moved" else 0
    return layout | {MOVES: way == "moved", PATCH_SIZE: kd * kh * patch_width * pitch, SUMS_SIZE: sums}


def _work_layout(correlation: Correlation, dtype: np.dtype, tiles: _Tiles, most_parts: int) -> dict[int, int]:
    """How the work is cut in chunks and parts, and what memory a part needs."""
    run, runs = _run(correlation)
    c, (kd, kh, kw), width = correlation.channels_in, correlation.kernel_size, tiles.width
    blocks = -(-correlation.channels_out // width)
    depth, all_blocks = correlation.taps * c, blocks * correlation.groups
    tiles_per_row = -(-correlation.output_size[2] // tiles.rows)
    count = tiles_per_row * correlation.rows
    piece = run
    if depth * width * dtype.itemsize > 2 * BLOCK_BYTES and not tiles.overlapping:
        piece = min(run, max(64, BLOCK_BYTES // (width * dtype.itemsize * (depth // run))))
    tile_cycles = tiles.rows * tiles.vectors * (depth / tiles.dot_lanes / 2 + 2) + TILE_OVERHEAD
    pieces = -(-run // piece)
    chunk, parts = _divide(tile_cycles, count, all_blocks, pieces, most_parts)
    pitch = width // tiles.apart * c if tiles.apart else c
    ends = _ends_of_rows(correlation, tiles, pitch, chunk, pieces == 1, dtype.itemsize)
    waiting = chunk * tiles.rows * width if pieces > 1 else 0
    entries = kd * kh * (kw if runs == 1 else runs * (runs + 1) // 2)
    # fmt: off
    return ends | {
        BLOCKS: blocks, PITCH: pitch, TAPS_W: runs, TILES_PER_ROW: tiles_per_row, TILES: count, CHUNK: chunk,
        RUN: run, PIECE: piece, ITEMS: -(-count // chunk) * all_blocks, PARTS: parts, ITEM_BYTES: dtype.itemsize,
        SCRATCH_SIZE: ends.get(PATCH_SIZE, 0) + ends.get(SUMS_SIZE, 0) + waiting,
        SLOTS_SIZE: kw + 3 * (entries + kw + kd * kh * runs + 1),
    }
    # fmt: on


def _biases(correlation: Correlation) -> int:
    """How long the bias is."""
    is_pixels = correlation.pieces is not None and correlation.pieces.pixels > 1
    return correlation.groups * (correlation.pieces.channels if is_pixels else correlation.channels_out)


def _bias_places(correlation: Correlation, tiles: _Tiles, blocks: int) -> np.ndarray:
    """(groups, blocks, numbers): where in the bias stands what the tiles of a block start from; beyond its end: 0."""
    groups, channels, width = correlation.groups, correlation.channels_out, tiles.width
    first = np.arange(blocks)[:, None] * width
    if tiles.overlapping:
        first = np.minimum(first, channels - width)
    channel = first + np.arange(width)
    nothing = _biases(correlation)
    per_group = nothing // groups
    places = np.where(channel < channels, channel % per_group, nothing) + per_group * np.arange(groups)[:, None, None]
    if tiles.dot_lanes > 1:
        places = np.tile(places, tiles.rows)
        places = np.pad(places, [(0, 0), (0, 0), (0, -places.shape[2] % tiles.dot_lanes)], constant_values=nothing)
    return np.minimum(places, nothing)


def _packing_layout(correlation: Correlation, tiles: _Tiles, layout: dict[int, int]) -> list[int]:
    """What `pack` needs to know of one correlation, but for its place among others."""
    last = min(layout[LAST_CHANNEL], (layout[BLOCKS] - 1) * tiles.width)
    places = [layout[RUN], layout[WEIGHT_TAP], layout[WEIGHT_START]]
    return [*correlation.weight_numbers, tiles.width, layout[BLOCKS], last, tiles.dot_lanes, *places]


@lru_cache(maxsize=1024)
def plan(
    correlations: tuple[Correlation, ...],
    dtype: np.dtype,
    has_bias: bool,
    relu: bool,
    streamed: bool,
    most_parts: int,
    host: Level,
) -> Plan:
    """How to compute correlations of the same arrays: tiles, blocks, chunks and parts. `streamed`: y is aligned to
    vectors, and too large for the caches."""
    chosen = [_choose_tiles(correlation, dtype, host) for correlation in correlations]
    every = [(*choice, _work_layout(choice[0], dtype, choice[1], most_parts)) for choice in chosen]
    in_place = all(_usable_in_place(c, tiles, work[TILES] // work[PARTS]) for c, tiles, work in every)
    kernels, layouts, packing, places = [], [], [], []
    parts = items = packed_size = biases = 0
    for correlation, tiles, layout in every:
        kernels.append(_kernel_for(correlation, dtype, tiles, layout, streamed))
        own_places = _bias_places(correlation, tiles, layout[BLOCKS])
        parts += layout[PARTS]
        layout |= _weights_layout(correlation, tiles, layout[RUN], layout[BLOCKS], in_place)
        layout[SUMS_COLUMNS] = tiles.width + streamed  # so that sums are stored to where they are read from
        layout |= {
            TILE_KERNEL: kernels[-1].address, TILE_ROWS: tiles.rows, TILE_WIDTH: tiles.width, APART: tiles.apart,
            CHANNELS: correlation.channels_in, GROUPS: correlation.groups, CHANNELS_OUT: correlation.channels_out,
            Y_START: correlation.y_start, END_PART: parts, FINISH: RELU if relu else 0,
        }  # fmt: skip
        if has_bias:
            layout |= {BIAS_BLOCK: own_places.shape[2], BIAS_START: biases}
        biases += own_places.size
        places.append(own_places)
        if not in_place:
            layout[WEIGHT_START] = packed_size
            packed_size += correlation.groups * layout[WEIGHT_GROUP]
            items += correlation.groups * layout[BLOCKS] * correlation.taps
            packing.append([*_packing_layout(correlation, tiles, layout), items])
        layouts.append(laid_out(dict(enumerate(correlation.numbers)) | layout, LAYOUT_SIZE))
    layouts = np.stack(layouts)
    layouts[:, SCRATCH_SIZE] = scratch_size = rounded_up(int(layouts[:, SCRATCH_SIZE].max()), 64)
    layouts[:, SLOTS_SIZE] = slots_size = rounded_up(SLOTS + int(layouts[:, SLOTS_SIZE].max()), 8)
    longest, places = max(own.shape[2] for own in places), np.concatenate([own.ravel() for own in places])
    return Plan(
        tuple(kernels),
        layouts,
        parts,
        scratch_size,
        slots_size,
        np.array(packing, np.int64),
        items,
        packed_size,
        None if has_bias else np.zeros(longest, dtype),
        places if has_bias else None,
        _is_padded(places, _biases(correlations[0])),
    )


def _is_padded(places: np.ndarray, biases: int) -> bool:
    """True if places are those of all biases in order, and then only places beyond."""
    return np.array_equal(places[:biases], np.arange(biases)) and bool(np.all(places[biases:] == biases))


def laid_out(numbers: dict[int, int], size: int) -> np.ndarray:
    """The array in which a driver finds each number at its place."""
    layout = np.zeros(size, np.int64)
    for place, number in numbers.items():
        layout[place] = number
    return layout


# ---- the launcher ----------------------------------------------------------------------------------------------------


def _packed(weight: np.ndarray, chosen: Plan) -> np.ndarray:
    """The weights in blocks of the tiles' width."""
    packed = empty((chosen.packed_size,), weight.dtype)
    grain = max(1, PACKING_GRAIN * chosen.packing_items // chosen.packed_size)
    run(pack, chosen.packing_items, grain, weight, packed, chosen.packing)
    return packed


def _start(bias: np.ndarray | None, chosen: Plan) -> np.ndarray:
    """What the tiles start from."""
    if chosen.bias_places is None:
        return chosen.start
    if not chosen.bias_in_order:
        return np.append(bias, bias.dtype.type(0))[chosen.bias_places]
    if bias.size == chosen.bias_places.size and bias.flags.c_contiguous:
        return bias
    padded = np.zeros(chosen.bias_places.size, bias.dtype)
    padded[: bias.size] = bias
    return padded


def launch(
    correlations: tuple[Correlation, ...],
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    relu: bool = False,
) -> None:
    """y = bias + correlation of x with weight, then maybe ReLU, for each of the correlations, which write different
    parts of y. All arrays C-contiguous."""
    if y.size == 0 or not correlations:
        return
    chosen = plan(correlations, y.dtype, bias is not None, relu, too_large_for_caches(y), threads(), level())
    weights = _packed(weight, chosen) if chosen.packed_size else weight
    scratch = empty((chosen.parts * chosen.scratch_size,), y.dtype) if chosen.scratch_size else y
    slots = np.empty(chosen.parts * chosen.slots_size, np.int64)
    run(correlate, chosen.parts, 1, x, weights, _start(bias, chosen), y, scratch, slots, chosen.layouts)
