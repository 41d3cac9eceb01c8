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
from .correlation import Correlation, side_by_side
from .launch import run, threads
from .packing import PACKING_CYCLES, PACKING_GRAIN, TRANSPOSING_CYCLES, pack
from .simd import LINE_BYTES, Level, level, vector_of
from .tile_kernel import RELU, SLOTS, TileKernel, apart_kernel, dot_kernel, tile_kernel
from .tile_walk import (
    APART,
    BIAS_BLOCK,
    BIAS_START,
    BLOCKS,
    CHANNELS,
    CHANNELS_OUT,
    CHUNK,
    END_PART,
    FINISH,
    GROUPS,
    ITEM_BYTES,
    ITEMS,
    LAST_CHANNEL,
    LAST_WEIGHT,
    LAYOUT_SIZE,
    MOVES,
    NEXT_ROW,
    PARTS,
    PATCH_SIZE,
    PATCH_WIDTH,
    PIECE,
    PITCH,
    READ_D,
    READ_H,
    READ_W,
    RUN,
    SCRATCH_SIZE,
    SLOTS_SIZE,
    STAGED_ROWS,
    STAGED_WIDTH,
    SUMS_COLUMNS,
    SUMS_SIZE,
    TAPS_W,
    TILE_KERNEL,
    TILE_ROWS,
    TILE_WIDTH,
    TILES,
    TILES_PER_ROW,
    WEIGHT_ADVANCE,
    WEIGHT_BLOCK,
    WEIGHT_COLUMN,
    WEIGHT_GROUP,
    WEIGHT_START,
    WEIGHT_STEP,
    WEIGHT_TAP,
    Y_START,
    correlate,
)
from .tiles import TileShape
from .tiling import SCATTERED_CYCLES, TILE_OVERHEAD, apart_tile, dot_tile, output_tile, short_run_tile

BLOCK_BYTES = 384 * 1024  # of packed weights that stay in the L2 cache while a chunk of tiles uses them
CHUNK_CYCLES = 100_000  # of work in one chunk of tiles, over all blocks
SERIAL_CYCLES = 20_000  # below this a second thread does not pay
MOST_PASSES = 6  # so many tiles may read weights that are not packed
SHORT_RUN = 12  # runs up to this length are compiled by themselves, unrolled
MOVED_CYCLES = 200  # that one more call of a tile's kernel takes, beside its loads and stores
STAGED_BYTES = 128 * 1024  # of copied rows that stay in the L2 cache beside a block of weights
COPIED_CYCLES = 40  # to begin and end the copy of one run of a window
LAUNCH_CYCLES = 2000  # that one more correlation takes in a launch


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
