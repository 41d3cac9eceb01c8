"""Convolution by register tiles: each tile is some neighbouring pixels of an output row × some vectors of output
channels.

The input is read where it lies. Windows that reach beyond its top, bottom, front or back leave out the kernel's rows
that fall there; only tiles that reach beyond the left or right edge copy their windows, with zeros, to a scratch
array of the thread. With channels last, kernel width × input channels is one contiguous run of the input and of the
packed weights, so that the inner loop is a single one (`tiles.accumulate`) and there is no im2col.

Weights are packed in blocks of the tile's width. The order of the work keeps a block in the L2 cache while all tiles of
a chunk of the output use it; where a block is longer than that (a dense layer over 200,000 inputs) the depth is cut
in pieces, and the tiles of the chunk wait in memory between them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np

from ..memory import empty
from .correlation import BEFORE, DILATION, INPUT, KERNEL, OUTPUT, STRIDES, Correlation, X, Y
from .launch import kernel, run, threads, unpack
from .simd import Level, level, pointer_at, vector_of
from .tile_kernel import (
    COLUMNS,
    FLAGS,
    LANEWISE,
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
    X_POINTER,
    TileKernel,
    address_of,
    call_tile_kernel,
    tile_kernel,
)
from .tiles import TileShape
from .tiling import TILE_OVERHEAD, output_tile

BLOCK_BYTES = 384 * 1024  # of packed weights that stay in the L2 cache while a chunk of tiles uses them
CHUNK_CYCLES = 100_000  # of work in one chunk of tiles, over all blocks
SERIAL_CYCLES = 20_000  # below this a second thread does not pay
MOST_PASSES = 6  # so many tiles may read weights that are not packed
SHORT_RUN = 12  # runs up to this length are compiled by themselves, unrolled


# ---- packing ---------------------------------------------------------------------------------------------------------


@kernel
def pack(begin, end, arguments):
    """weight → packed (group, block, tap, input channel, block width), zeros beyond the last output channel."""
    weight, packed, numbers, block_width, blocks = unpack(arguments)
    kd, kh, kw, c_in, c_out = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    sd, sh, sw, si, so, sg, start = (
        numbers[6],
        numbers[7],
        numbers[8],
        numbers[9],
        numbers[10],
        numbers[11],
        numbers[12],
    )
    taps = kd * kh * kw
    for item in range(begin, end):  # a tap of a block of a group
        tap, block, group = item % taps, item // taps % blocks, item // taps // blocks
        source = (
            start + group * sg + tap // (kh * kw) * sd + tap // kw % kh * sh + tap % kw * sw + block * block_width * so
        )
        target = item * c_in * block_width
        columns = min(block_width, c_out - block * block_width)
        if so == 1:
            for c in range(c_in):
                for j in range(columns):
                    packed[target + c * block_width + j] = weight[source + c * si + j]
        else:
            for first in range(0, c_in, 16):  # a transposition, in pieces that stay in the L1 cache
                for j in range(columns):
                    for c in range(first, min(first + 16, c_in)):
                        packed[target + c * block_width + j] = weight[source + c * si + j * so]
        if columns < block_width:
            for c in range(c_in):
                for j in range(columns, block_width):
                    packed[target + c * block_width + j] = 0


# ---- the driver ------------------------------------------------------------------------------------------------------

# What the driver finds where in a plan's layout.
(
    TILE_KERNEL, TILE_ROWS, TILE_WIDTH, LANES_APART, CHANNELS, PITCH, TAPS_W, WEIGHT_ADVANCE, WEIGHT_BLOCK,
    WEIGHT_GROUP, BLOCKS, GROUPS, CHANNELS_OUT, TILES_PER_ROW, TILES, CHUNK, RUN, PIECE, ITEMS, PARTS, PATCH_WIDTH,
    PATCH_SIZE, SCRATCH_SIZE, SLOTS_SIZE, FINISH, Y_START, LAYOUT_SIZE,
) = range(27)  # fmt: skip


@numba.njit(inline="always")
def first_tap(origin, dilation):
    """The first k ≥ 0 with origin + k·dilation ≥ 0."""
    return 0 if origin >= 0 else (dilation - 1 - origin) // dilation


@numba.njit(inline="always")
def end_tap(origin, dilation, taps, size):
    """The first k ≤ taps with origin + k·dilation ≥ size."""
    return 0 if origin >= size else min(taps, (size - origin + dilation - 1) // dilation)


@numba.njit(inline="always")
def kernel_rows_inside(numbers, origin_d, origin_h):
    """(kd_begin, kd_end, kh_begin, kh_end): the kernel's rows that meet the input when the kernel starts at the
    origin."""
    return (
        first_tap(origin_d, numbers[DILATION]),
        end_tap(origin_d, numbers[DILATION], numbers[KERNEL], numbers[INPUT]),
        first_tap(origin_h, numbers[DILATION + 1]),
        end_tap(origin_h, numbers[DILATION + 1], numbers[KERNEL + 1], numbers[INPUT + 1]),
    )


@numba.njit(inline="always")
def row_position(numbers, row):
    """(n, od, oh) of a row of output pixels."""
    row, oh = row // numbers[OUTPUT + 1], row % numbers[OUTPUT + 1]
    return row // numbers[OUTPUT], row % numbers[OUTPUT], oh


@numba.njit(inline="always")
def _list_taps(table, layout, numbers, kernel_rows, piece, x_d, x_h, x_w):
    """Fills the table with the taps of some kernel rows; x_d, x_h, x_w lead from tap to tap in the input. Returns how
    many."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    taps = 0
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            for kw in range(layout[TAPS_W]):
                position = (kd * numbers[KERNEL + 1] + kh) * layout[TAPS_W] + kw
                table[3 * taps] = kd * x_d + kh * x_h + kw * x_w
                table[3 * taps + 1] = position * layout[RUN] * layout[WEIGHT_ADVANCE]
                table[3 * taps + 2] = piece
                taps += 1
    return taps


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # not inlined: Numba's inlining is slow to compile
def copy_windows(x, source, numbers, kernel_rows, origin, patch, patch_width, pitch, channels):
    """The input pixels origin … origin + patch_width of each kernel row of a tile, zeros where there is no input."""
    kd_begin, kd_end, kh_begin, kh_end = kernel_rows
    pixel = numbers[X + 3]
    left = min(max(-origin, 0), patch_width)
    right = max(min(numbers[INPUT + 2] - origin, patch_width), left)
    for kd in range(kd_begin, kd_end):
        for kh in range(kh_begin, kh_end):
            row = source + kd * numbers[DILATION] * numbers[X + 1] + kh * numbers[DILATION + 1] * numbers[X + 2]
            target = (kd * numbers[KERNEL + 1] + kh) * patch_width * pitch
            for i in range(target, target + left * pitch):
                patch[i] = 0
            if pixel == channels and pitch == channels:
                for i in range(left * pitch, right * pitch):
                    patch[target + i] = x[row + i]
            else:
                for p in range(left, right):
                    for c in range(channels):
                        patch[target + p * pitch + c] = x[row + p * pixel + c]
            for i in range(target + right * pitch, target + patch_width * pitch):
                patch[i] = 0


@numba.njit(inline="always")
def _output_row(x, x_row, y, y_row, patch, waiting, slots, layout, numbers, kernel_rows, taps, begin, column, count):
    """`count` tiles of a row from the tile `column`, for the piece of the depth that starts at `begin`. `taps`: how
    many the table lists for tiles inside the row and, after them, for those at its ends. Between pieces, sums are
    `waiting`."""
    tile_rows, tile_size = layout[TILE_ROWS], layout[TILE_ROWS] * layout[TILE_WIDTH]
    is_last = begin + layout[PIECE] >= layout[RUN]
    bias, columns = slots[START], slots[COLUMNS]
    slots[FLAGS] = (START_TILE if begin else START_ROW) | (layout[FINISH] if is_last else 0)
    slots[OUT_STEP] = numbers[Y + 3] if is_last else layout[TILE_WIDTH]
    slots[COLUMNS] = columns if is_last else layout[TILE_WIDTH]
    for i in range(count):
        ow = min((column + i) * tile_rows, numbers[OUTPUT + 2] - tile_rows)
        origin = ow * numbers[STRIDES + 2] - numbers[BEFORE + 2]
        source = x_row + origin * numbers[X + 3]
        at_end = origin < 0 or origin + layout[PATCH_WIDTH] > numbers[INPUT + 2]
        if at_end:
            channels = columns if layout[LANES_APART] else layout[CHANNELS]
            copy_windows(x, source, numbers, kernel_rows, origin, patch, layout[PATCH_WIDTH], layout[PITCH], channels)
        slots[X_POINTER] = address_of(patch, begin) if at_end else address_of(x, source + begin)
        slots[STEP] = numbers[STRIDES + 2] * (layout[PITCH] if at_end else numbers[X + 3])
        slots[TABLE] = address_of(slots, SLOTS + (3 * taps[0] if at_end else 0))
        if begin:
            slots[START] = address_of(waiting, i * tile_size)
        slots[OUT] = address_of(y, y_row + ow * numbers[Y + 3]) if is_last else address_of(waiting, i * tile_size)
        call_tile_kernel(layout[TILE_KERNEL], taps[1] if at_end else taps[0], slots)
    slots[START], slots[COLUMNS] = bias, columns


@numba.njit(inline="always")
def _output_piece(x, x_block, y, y_block, scratch, slots, layout, numbers, first, last, begin):
    """The tiles first … last of a block, row after row, for the piece of the depth that starts at `begin`."""
    table, waiting = pointer_at(slots, SLOTS), pointer_at(scratch, layout[PATCH_SIZE])
    piece = min(layout[PIECE], layout[RUN] - begin)
    patch_h = layout[PATCH_WIDTH] * layout[PITCH]
    row, column, done = first // layout[TILES_PER_ROW], first % layout[TILES_PER_ROW], first
    listed, taps = (-1, 0, 0, 0), (0, 0)
    while done < last:
        n, od, oh = row_position(numbers, row)
        origin_d = od * numbers[STRIDES] - numbers[BEFORE]
        origin_h = oh * numbers[STRIDES + 1] - numbers[BEFORE + 1]
        kernel_rows = kernel_rows_inside(numbers, origin_d, origin_h)
        if kernel_rows != listed:
            listed = kernel_rows
            x_d, x_h = numbers[DILATION] * numbers[X + 1], numbers[DILATION + 1] * numbers[X + 2]
            x_w, patch_w = numbers[DILATION + 2] * numbers[X + 3], numbers[DILATION + 2] * layout[PITCH]
            inside = _list_taps(table, layout, numbers, kernel_rows, piece, x_d, x_h, x_w)
            table_at_end, patch_d = pointer_at(table, 3 * inside), numbers[KERNEL + 1] * patch_h
            at_end = _list_taps(table_at_end, layout, numbers, kernel_rows, piece, patch_d, patch_h, patch_w)
            taps = (inside, at_end)
        x_row = x_block + n * numbers[X] + origin_d * numbers[X + 1] + origin_h * numbers[X + 2]
        y_row = y_block + n * numbers[Y] + od * numbers[Y + 1] + oh * numbers[Y + 2]
        own = pointer_at(waiting, (done - first) * layout[TILE_ROWS] * layout[TILE_WIDTH])
        count = min(layout[TILES_PER_ROW] - column, last - done)
        _output_row(x, x_row, y, y_row, scratch, own, slots, layout, numbers, kernel_rows, taps, begin, column, count)
        row, column, done = row + 1, 0, done + count


@numba.njit(inline="always")
def _output_chunk(x, w, bias, y, scratch, slots, layout, numbers, item):
    """A block of output channels of a group for a chunk of tiles."""
    block, group = item % layout[BLOCKS], item // layout[BLOCKS] % layout[GROUPS]
    chunk = item // layout[BLOCKS] // layout[GROUPS]
    first, last = chunk * layout[CHUNK], min((chunk + 1) * layout[CHUNK], layout[TILES])
    channel = block * layout[TILE_WIDTH]
    x_block = group * numbers[X + 4] + (channel if layout[LANES_APART] else 0)
    y_block = layout[Y_START] + group * numbers[Y + 4] + channel
    w_block = group * layout[WEIGHT_GROUP] + block * layout[WEIGHT_BLOCK]
    slots[COLUMNS] = min(layout[TILE_WIDTH], layout[CHANNELS_OUT] - channel)
    slots[START] = address_of(bias, (group * layout[BLOCKS] + block) * layout[TILE_WIDTH])
    slots[W_ADVANCE] = layout[WEIGHT_ADVANCE]
    for begin in range(0, layout[RUN], layout[PIECE]):
        slots[W_POINTER] = address_of(w, w_block + begin * layout[WEIGHT_ADVANCE])
        _output_piece(x, x_block, y, y_block, scratch, slots, layout, numbers, first, last, begin)


@kernel
def correlate(begin, end, arguments):
    """y = bias + Σ x · w over all taps, then maybe ReLU, for the parts begin … end of the work."""
    x, w, bias, y, scratch, slots, layout, numbers = unpack(arguments)
    for part in range(begin, end):
        own, own_slots = pointer_at(scratch, part * layout[SCRATCH_SIZE]), pointer_at(slots, part * layout[SLOTS_SIZE])
        for item in range(part * layout[ITEMS] // layout[PARTS], (part + 1) * layout[ITEMS] // layout[PARTS]):
            _output_chunk(x, w, bias, y, own, own_slots, layout, numbers, item)


# ---- the launcher ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    kernel: TileKernel
    layouts: tuple[np.ndarray, np.ndarray]  # without and with ReLU
    parts: int
    scratch_size: int
    slots_size: int
    blocks: int
    padded_channels: int  # of all groups
    packed_size: int  # 0: the weights are used as they lie


def rounded_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def _usable_in_place(correlation: Correlation, tile_width: int, passes: int, lanewise: bool) -> bool:
    """True if the weights need no packing: they lie in order, no block is partial, and packing would hardly be
    repaid."""
    c, k = correlation.channels_in, correlation.channels_out
    _, kh, kw = correlation.kernel_size
    in_order = correlation.weight_strides[:5] == (kh * kw * c * k, kw * c * k, c * k, k, 1)
    whole = k % tile_width == 0 and (k == tile_width or passes <= MOST_PASSES)
    return in_order and correlation.weight_start == 0 and correlation.groups == 1 and whole and not lanewise


def _choose_kernel(
    correlation: Correlation, dtype: np.dtype, lanewise: bool, run_length: int, host: Level
) -> TileKernel:
    """The tile kernel that suits a correlation best."""
    vectors = -(-correlation.channels_out // vector_of(dtype).lanes)
    depth = correlation.taps * correlation.channels_in
    shape = TileShape(dtype, *output_tile(correlation.output_size[2], vectors, depth, host))
    if lanewise:
        return tile_kernel(dtype, shape, length=1, advance=1, mode=LANEWISE)
    if correlation.joined_taps and run_length <= SHORT_RUN:
        step = correlation.strides[2] * correlation.x_strides[3]
        return tile_kernel(dtype, shape, length=run_length, step=step, advance=1)
    return tile_kernel(dtype, shape, advance=1)


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


@lru_cache(maxsize=1024)
def plan(correlation: Correlation, dtype: np.dtype, lanewise: bool, most_parts: int, host: Level) -> Plan:
    """How to compute a correlation: tiles, blocks, chunks and parts."""
    c, (kd, kh, kw) = correlation.channels_in, correlation.kernel_size
    joined = correlation.joined_taps and not lanewise
    run_length, taps_w = (kw * c, 1) if joined else (c, kw)
    depth = correlation.taps * c
    chosen = _choose_kernel(correlation, dtype, lanewise, run_length, host)
    tile_rows, width = chosen.shape.rows, chosen.shape.width
    blocks = -(-correlation.channels_out // width)
    tiles_per_row = -(-correlation.output_size[2] // tile_rows)
    tiles = tiles_per_row * correlation.rows
    piece = run_length
    if depth * width * dtype.itemsize > 2 * BLOCK_BYTES:
        piece = min(run_length, max(64, BLOCK_BYTES // (width * dtype.itemsize * (depth // run_length))))
    tile_cycles = tile_rows * chosen.shape.vectors * (depth / 2 + 2) + TILE_OVERHEAD
    pieces, all_blocks = -(-run_length // piece), blocks * correlation.groups
    chunk, parts = _divide(tile_cycles, tiles, all_blocks, pieces, most_parts)

    pitch = width if lanewise else c
    patch_width = (tile_rows - 1) * correlation.strides[2] + (kw - 1) * correlation.dilation[2] + 1
    patch_size = kd * kh * patch_width * pitch if correlation.has_side_padding else 0
    scratch_size = rounded_up(patch_size + (chunk * tile_rows * width if pieces > 1 else 0), 64)
    slots_size = rounded_up(SLOTS + 6 * kd * kh * taps_w, 8)
    in_place = _usable_in_place(correlation, width, tiles // parts, lanewise)
    # fmt: off
    layout = {
        TILE_KERNEL: chosen.address, TILE_ROWS: tile_rows, TILE_WIDTH: width, LANES_APART: lanewise, CHANNELS: c,
        PITCH: pitch, TAPS_W: taps_w, WEIGHT_ADVANCE: correlation.weight_strides[3] if in_place else width,
        WEIGHT_BLOCK: width if in_place else depth * width, WEIGHT_GROUP: blocks * depth * width, BLOCKS: blocks,
        GROUPS: correlation.groups, CHANNELS_OUT: correlation.channels_out, TILES_PER_ROW: tiles_per_row, TILES: tiles,
        CHUNK: chunk, RUN: run_length, PIECE: piece, ITEMS: -(-tiles // chunk) * all_blocks, PARTS: parts,
        PATCH_WIDTH: patch_width, PATCH_SIZE: patch_size, SCRATCH_SIZE: scratch_size, SLOTS_SIZE: slots_size,
        Y_START: correlation.y_start,
    }
    # fmt: on
    layouts = tuple(laid_out({**layout, FINISH: finish}, LAYOUT_SIZE) for finish in (0, RELU))
    packed_size = 0 if in_place else all_blocks * depth * width
    return Plan(chosen, layouts, parts, scratch_size, slots_size, blocks, all_blocks * width, packed_size)


def laid_out(numbers: dict[int, int], size: int) -> np.ndarray:
    """The array in which a driver finds each number at its place."""
    layout = np.zeros(size, np.int64)
    for place, number in numbers.items():
        layout[place] = number
    return layout


def _packed(correlation: Correlation, weight: np.ndarray, chosen: Plan) -> np.ndarray:
    """The weights in blocks of the tile's width."""
    packed = empty((chosen.packed_size,), weight.dtype)
    items = correlation.groups * chosen.blocks * correlation.taps
    grain = max(1, 20_000 * items // chosen.packed_size)
    width = chosen.kernel.shape.width
    run(pack, items, grain, weight, packed, correlation.weight_numbers, width, chosen.blocks)
    return packed


def _padded_bias(bias: np.ndarray | None, chosen: Plan, groups: int, dtype: np.dtype) -> np.ndarray:
    """The bias of each group, followed by zeros up to whole blocks."""
    if bias is not None and bias.size == chosen.padded_channels and bias.flags.c_contiguous:
        return bias
    padded = np.zeros((groups, chosen.padded_channels // groups), dtype)
    if bias is not None:
        per_group = bias.reshape(groups, -1)
        padded[:, : per_group.shape[1]] = per_group
    return padded


def launch(
    correlation: Correlation,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    relu: bool = False,
    lanewise: bool = False,
) -> None:
    """y = bias + correlation of x with weight, then maybe ReLU. All arrays C-contiguous. With `lanewise` each channel
    of x meets only its own channel of the weight (depthwise)."""
    if correlation.rows * correlation.output_size[2] * correlation.channels_out * correlation.groups == 0:
        return
    chosen = plan(correlation, y.dtype, lanewise, threads(), level())
    weights = _packed(correlation, weight, chosen) if chosen.packed_size else weight
    bias = _padded_bias(bias, chosen, correlation.groups, y.dtype)
    scratch = empty((chosen.parts * chosen.scratch_size,), y.dtype)
    slots = empty((chosen.parts * chosen.slots_size,), np.int64)
    layout = chosen.layouts[relu]
    run(correlate, chosen.parts, 1, x, weights, bias, y, scratch, slots, layout, correlation.numbers)
