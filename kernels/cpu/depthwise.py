"""Depthwise convolution: each output channel is a sum over the windows of one input channel. Its transpose and its
weight's gradient as well, in one to three dimensions.

The work goes by blocks of a few output rows; of such a block by tiles, from left to right, each for all channels
(`depthwise_tiles`). So memory is read and written in order, and rows that neighbouring output rows share are read once
for all of them. Of large arrays memory is asked ahead of time for what the next block reads. The phases of a transposed
convolution with strides, which write every second row and pixel, take turns in each block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import ceil

import numpy as np

from ..memory import ALIGNED_FROM, address_of_array, empty
from .bodies import address_of, helper, kernel, unpack
from .caches import last_level_bytes
from .correlation import BEFORE, DILATION, INPUT, KERNEL, NUMBERS, OUTPUT, STRIDES, Correlation, X, Y
from .depthwise_tiles import (
    BIAS,
    CHANNELS,
    KERNEL_PIECES,
    LINE_BYTES,
    RELU,
    SLOTS,
    W_POINTER,
    W_TABLE,
    X_AHEAD,
    X_ASKED,
    X_FETCHED,
    X_LINES,
    X_POINTER,
    X_STEP,
    X_TABLE,
    Y_AHEAD,
    Y_POINTER,
    Y_STEP,
    Y_TABLE,
    Windows,
    tap_kernel,
    window_kernel,
)
from .launch import PARTS_PER_THREAD, run, threads
from .output_tiles import laid_out, rounded_up
from .simd import Level, finish_streams, lanes, level, load, pointer_at, select, splat, store, vector_of
from .tile_kernel import TileKernel, call_tile_kernel
from .tiling import LINE_CYCLES

WORD = np.dtype(np.int64)  # of tables
SERIAL_CYCLES = 20_000  # of work that is worth a thread
CALL_CYCLES = 40  # to start a tile, for all channels
MEMORY_CYCLES = 400  # from asking main memory to its answer, about
LEAST_SUMMED = 64  # outputs that are worth a sum of their own, for each weight
EDGE_CYCLES = 1  # for each place in the table of a tile at an edge
VECTOR_CYCLES = 12  # to start and end a tile, for each vector of channels
SHAPES = [(rows, pixels) for rows in (1, 2, 4) for pixels in (1, 2, 4, 8, 16)]  # of tiles

# What the driver finds where in the layout of each correlation, after `Correlation.numbers`.
(
    TILE_KERNEL, ROWS, PIXELS, PIECE_ROWS, PIECE_TAPS, ALONG_H, ALONG_W, X_ROWS, X_PIXELS, ROW_PLACES, PLACES, INSIDE_X,
    INSIDE_Y, WEIGHTS, FIRST_INSIDE, END_INSIDE, TILES, Y_START, ASKS, TILES_AHEAD, AHEAD, FETCHES, LAYOUT_SIZE,
) = range(NUMBERS, NUMBERS + 23)  # fmt: skip
# And before them, of the whole launch.
(
    PHASES, BLOCKS, DEPTH, ITEMS, PARTS, ALL_CHANNELS, IS_RELU, ITEM_SIZE, TABLES, OWN_WEIGHTS, OWN_ROOM, VECTORS,
    HEADER,
) = range(13)  # fmt: skip


# ---- the driver ------------------------------------------------------------------------------------------------------


@helper
def _list_inputs(vector, table, layout, every, origin_d, origin_h, origin_w, nothing):
    """Fills a table of x for a tile whose windows start at the origin: as for one inside the image, but of pixels
    outside it `nothing`. The last vector of a row of the table goes beyond it, into the next one."""
    index, none, width = 0, splat(vector, nothing), layout[X_PIXELS]
    rows, span = layout[PIECE_ROWS] * layout[DILATION + 1], layout[PIECE_TAPS] * layout[DILATION + 2]
    for kd in range(layout[KERNEL]):
        d = origin_d + kd * layout[DILATION]
        for piece in range(layout[ALONG_H] * layout[ALONG_W]):
            first_h, first_w = origin_h + piece // layout[ALONG_W] * rows, origin_w + piece % layout[ALONG_W] * span
            for row in range(layout[X_ROWS]):
                h = first_h + every[layout[ROW_PLACES] + row]
                size = layout[INPUT + 2] if 0 <= d < layout[INPUT] and 0 <= h < layout[INPUT + 1] else 0
                for k in range(0, width, lanes(vector)):
                    w = load(vector, every, layout[PLACES] + k) + first_w
                    there = load(vector, every, layout[INSIDE_X] + index + k)
                    store(table, index + k, select((w >= 0) & (w < size), there, none))
                index += width


@helper
def _list_outputs(table, layout, oh, ow, size, nothing):
    """Fills a table of y for a tile at (oh, ow)."""
    for row in range(layout[ROWS]):
        for pixel in range(layout[PIXELS]):
            here = oh + row < layout[OUTPUT + 1] and ow + pixel < layout[OUTPUT + 2]
            place = (row * layout[Y + 2] + pixel * layout[Y + 3]) * size
            table[row * layout[PIXELS] + pixel] = place if here else nothing


@helper
def _item(every, item):
    """(n, od, block) of an item of the work."""
    outer = item // every[BLOCKS]
    return outer // every[DEPTH], outer % every[DEPTH], item % every[BLOCKS]


@helper
def _end_of_input(every, layout, item):
    """Where x ends that an item of the work and those before it meet."""
    n, od, block = _item(every, item)
    oh = min((block + 1) * layout[ROWS], layout[OUTPUT + 1]) - 1
    i_d = od * layout[STRIDES] - layout[BEFORE] + (layout[KERNEL] - 1) * layout[DILATION]
    i_h = oh * layout[STRIDES + 1] - layout[BEFORE + 1] + (layout[KERNEL + 1] - 1) * layout[DILATION + 1]
    return n * layout[X] + i_d * layout[X + 1] + min(i_h + 1, layout[INPUT + 1]) * layout[X + 2]


@helper
def _ask_for_next(x, slots, every, layout, item):
    """Lets the tiles of an item ask memory for what the next one will read of x, each vector of channels for its share:
    so many cache lines, which are returned."""
    begin, end = _end_of_input(every, layout, item), _end_of_input(every, layout, item + 1)
    slots[X_ASKED] = address_of(x, begin)
    return -(-max(end - begin, 0) * every[ITEM_SIZE] // (layout[TILES] * every[VECTORS] * LINE_BYTES))


@helper
def _block(vector, x, y, zeros, room, slots, every, layout, size, item):
    """The tiles of a block of rows."""
    n, od, block = _item(every, item)
    slots[X_LINES] = _ask_for_next(x, slots, every, layout, item) if layout[ASKS] else 0
    oh, rows, width = block * layout[ROWS], layout[ROWS], layout[PIXELS]
    origin_d = od * layout[STRIDES] - layout[BEFORE]
    origin_h = oh * layout[STRIDES + 1] - layout[BEFORE + 1]
    end_d = origin_d + (layout[KERNEL] - 1) * layout[DILATION]
    end_h = origin_h + (rows - 1) * layout[STRIDES + 1] + (layout[KERNEL + 1] - 1) * layout[DILATION + 1]
    inside = origin_d >= 0 and end_d < layout[INPUT] and origin_h >= 0 and end_h < layout[INPUT + 1]
    inside = inside and oh + rows <= layout[OUTPUT + 1]
    x_row = n * layout[X] + origin_d * layout[X + 1] + origin_h * layout[X + 2]
    y_row = layout[Y_START] + n * layout[Y] + od * layout[Y + 1] + oh * layout[Y + 2]
    y_table, x_table = pointer_at(slots, SLOTS), pointer_at(slots, SLOTS + rows * width)
    tile = 0
    while tile < layout[TILES]:
        origin_w = tile * width * layout[STRIDES + 2] - layout[BEFORE + 2]
        slots[X_POINTER] = address_of(x, x_row + origin_w * layout[X + 3])
        slots[Y_POINTER] = address_of(y, y_row + tile * width * layout[Y + 3])
        slots[X_TABLE], slots[Y_TABLE] = address_of(every, layout[INSIDE_X]), address_of(every, layout[INSIDE_Y])
        count = 1
        if inside and layout[FIRST_INSIDE] <= tile < layout[END_INSIDE]:
            count = layout[END_INSIDE] - tile
        else:
            slots[X_TABLE] = address_of(x_table, 0)
            nothing = address_of(zeros, 0) - slots[X_POINTER]
            _list_inputs(vector, x_table, layout, every, origin_d, origin_h, origin_w, nothing)
        if oh + rows > layout[OUTPUT + 1] or (tile + count) * width > layout[OUTPUT + 2]:
            slots[Y_TABLE] = address_of(y_table, 0)
            _list_outputs(y_table, layout, oh, tile * width, size, address_of(room, 0) - slots[Y_POINTER])
        call_tile_kernel(layout[TILE_KERNEL], count, slots)
        slots[X_ASKED] += count * every[VECTORS] * slots[X_LINES] * LINE_BYTES
        tile += count


@kernel
def visit_tiles(begin, end, arguments):
    """All tiles of the parts begin … end of the work. What of a tile lies outside y is written to a part's own `room`,
    or read from it."""
    vector, x, y, w, bias, zeros, room, slots, every = unpack(arguments)
    size = every[ITEM_SIZE]
    for part in range(begin, end):
        own, own_room = pointer_at(slots, part * every[TABLES]), pointer_at(room, part * every[OWN_ROOM])
        own[W_POINTER], own[BIAS] = address_of(w, part * every[OWN_WEIGHTS]), address_of(bias, 0)
        own[CHANNELS], own[RELU] = every[ALL_CHANNELS], every[IS_RELU]
        for item in range(part * every[ITEMS] // every[PARTS], (part + 1) * every[ITEMS] // every[PARTS]):
            _, od, block = _item(every, item)
            for phase in range(every[PHASES]):
                layout = pointer_at(every, HEADER + phase * LAYOUT_SIZE)
                if od < layout[OUTPUT] and block * layout[ROWS] < layout[OUTPUT + 1]:
                    own[W_TABLE] = address_of(every, layout[WEIGHTS])
                    own[KERNEL_PIECES] = layout[KERNEL] * layout[ALONG_H] * layout[ALONG_W]
                    own[X_STEP] = layout[PIXELS] * layout[STRIDES + 2] * layout[X + 3] * size
                    own[Y_STEP] = layout[PIXELS] * layout[Y + 3] * size
                    own[Y_AHEAD] = layout[TILES_AHEAD] * own[Y_STEP]
                    own[X_AHEAD], own[X_FETCHED] = address_of(every, layout[AHEAD]), layout[FETCHES]
                    _block(vector, x, y, zeros, own_room, own, every, layout, size, item)
    finish_streams()


# ---- plans -----------------------------------------------------------------------------------------------------------


def suits(correlation: Correlation) -> bool:
    """True if each group has one input and one output channel, side by side."""
    c = correlation
    alone = c.channels_in == c.channels_out == 1 and c.groups > 1 and c.pieces is None
    return alone and (c.x_strides[4], c.y_strides[4], c.weight_strides[5]) == (1, 1, 1)


def _together(correlation: Correlation, registers: int) -> tuple[int, int]:
    """(rows, taps of a row) of the kernel that tiles take at a time: divisors of all of them, so many that a third of
    the registers can hold their weights."""
    most, (_, kh, kw) = registers // 3, correlation.kernel_size
    taps = max(number for number in range(1, most + 1) if kw % number == 0)
    return max(number for number in range(1, most // taps + 1) if kh % number == 0), taps


def _windows(correlation: Correlation, rows: int, pixels: int, host: Level) -> Windows:
    """A tile's pattern. Where strides and dilation rates make no difference they are 1, so that few patterns are to be
    compiled."""
    together = _together(correlation, host.registers)
    strides = [s if number > 1 else 1 for s, number in zip(correlation.strides[1:], (rows, pixels), strict=True)]
    dilation = [d if number > 1 else 1 for d, number in zip(correlation.dilation[1:], together, strict=True)]
    return Windows(rows, pixels, *together, tuple(strides), tuple(dilation))


def _vector_cycles(correlation: Correlation, windows: Windows, host: Level) -> float:
    """About how many cycles a tile takes for one vector of channels: two multiply-adds, two loads and one store a
    cycle, and each row of the input once from the L2 cache for each block."""
    c, pieces = correlation, correlation.taps // windows.weights
    arithmetic = pieces * max(windows.outputs * windows.weights / 2, (len(windows.met) + windows.weights) / 2)
    rows = {row * c.strides[1] + kh * c.dilation[1] for row in range(windows.rows) for kh in range(c.kernel_size[1])}
    lines = c.kernel_size[0] * len(rows) * windows.pixels * min(c.strides[2], c.kernel_size[2])
    line_cycles = LINE_CYCLES * host.bytes / LINE_BYTES  # of what a vector is of a cache line
    return arithmetic + line_cycles * lines + 2 * windows.outputs + VECTOR_CYCLES


def _cycles(correlation: Correlation, windows: Windows, vectors: int, host: Level) -> float:
    """About how many cycles the tiles of one image plane take."""
    c, places = correlation, correlation.taps // windows.weights * len(windows.met)
    across, down = -(-c.output_size[2] // windows.pixels), -(-c.output_size[1] // windows.rows)
    at_edge = across * down - max(0, across - 2) * max(0, down - 2)
    each = vectors * _vector_cycles(c, windows, host) + CALL_CYCLES
    return across * down * each + at_edge * EDGE_CYCLES * places


def _choose(correlations: tuple[Correlation, ...], gradient: bool, vectors: int, host: Level) -> list[Windows]:
    """The tiles of each correlation, all of one size: that which takes the fewest cycles of those whose sums, and the
    other factors that stay, fit in the registers."""

    def patterns(shape: tuple[int, int]) -> list[Windows]:
        return [_windows(c, *shape, host) for c in correlations]

    def cost(windows: list[Windows]) -> float:
        return sum(_cycles(c, own, vectors, host) for c, own in zip(correlations, windows, strict=True))

    def fits(windows: Windows) -> bool:
        weights = windows.weights * (windows.phases if gradient else 1)
        # Where windows share little of what is loaded, LLVM loads early and needs registers for that.
        spare = 2 if windows.strides == (1, 1) else host.registers // 4
        return windows.outputs + weights + spare <= host.registers or windows.outputs == 1

    return min((tiles for tiles in map(patterns, SHAPES) if all(map(fits, tiles))), key=cost)


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a launch needs to know and that its arrays' addresses do not change."""

    kernels: tuple[TileKernel, ...]  # the layouts hold their addresses
    numbers: np.ndarray
    parts: int
    tables: int  # numbers in a part's tables, all told
    zeros: np.ndarray
    masked: bool


def _added(*places: np.ndarray) -> np.ndarray:
    """The sums of one place each, in order, the last changing first."""
    return reduce(np.add.outer, places).ravel()


def _tables(correlation: Correlation, windows: Windows, itemsize: int) -> dict[int, np.ndarray]:
    """What the driver and the tiles look up: rows and positions that a tile meets, then for tiles inside an image the
    bytes to them and to the outputs, and the places of the weights."""
    c, rows, pixels = correlation, np.array(list(windows.row_places)), np.array(list(windows.places))
    together = 1, windows.tap_rows, windows.taps

    def pieces(steps) -> Iterator[np.ndarray]:
        """Along each dimension, where the pieces of the kernel begin."""
        return (np.arange(0, *pair) * step for *pair, step in zip(c.kernel_size, together, steps, strict=True))

    d, h, w = pieces(np.multiply(c.dilation, c.x_strides[1:4]))
    x = _added(d, h, w, rows * c.x_strides[2], pixels * c.x_strides[3])
    y = _added(np.arange(windows.rows) * c.y_strides[2], np.arange(windows.pixels) * c.y_strides[3])
    within = (np.arange(count) * step for count, step in zip(together, c.weight_strides[:3], strict=True))
    weights = c.weight_start + _added(*pieces(c.weight_strides[:3]), *within)
    return {ROW_PLACES: rows, PLACES: pixels, INSIDE_X: x * itemsize, INSIDE_Y: y * itemsize, WEIGHTS: weights}


def _new_pixels(correlation: Correlation, windows: Windows, tiles: int) -> np.ndarray:
    """The pixels of x that a tile so many tiles on is the first to meet, counted in numbers from where this tile
    begins."""
    c = correlation
    last = [(size - 1) * dilation for size, dilation in zip(c.kernel_size, c.dilation, strict=True)]
    rows = np.arange(windows.rows * c.strides[1]) + last[1] - c.strides[1] + 1
    pixels = np.arange(windows.pixels * c.strides[2]) + last[2] - c.strides[2] + 1
    pixels += tiles * windows.pixels * c.strides[2]
    return last[0] * c.x_strides[1] + _added(rows * c.x_strides[2], pixels * c.x_strides[3])


def _layout(correlation: Correlation, windows: Windows) -> dict[int, int]:
    """What the driver needs to know of one correlation, but for its kernel and where its tables stand."""
    c, (_, kh, kw) = correlation, correlation.kernel_size
    step, reach = windows.pixels * c.strides[2], (windows.pixels - 1) * c.strides[2]
    last = reach + (kw - 1) * c.dilation[2] - c.before[2]  # position that the first tile meets
    # fmt: off
    return dict(enumerate(c.numbers)) | {
        ROWS: windows.rows, PIXELS: windows.pixels, PIECE_ROWS: windows.tap_rows, PIECE_TAPS: windows.taps,
        ALONG_H: kh // windows.tap_rows, ALONG_W: kw // windows.taps, X_ROWS: len(windows.row_places),
        X_PIXELS: len(windows.places), FIRST_INSIDE: -(-c.before[2] // step),
        END_INSIDE: min((c.input_size[2] - 1 - last) // step + 1, c.output_size[2] // windows.pixels),
        TILES: -(-c.output_size[2] // windows.pixels), Y_START: c.y_start,
    }
    # fmt: on


def _put(layout: dict[int, int], tables: dict[int, np.ndarray], position: int) -> np.ndarray:
    """A correlation's numbers, with the places of its tables, which begin at a position."""
    sizes = [table.size for table in tables.values()]
    places = zip(tables, position + np.cumsum([0, *sizes[:-1]]), strict=True)
    return laid_out(layout | dict(places), LAYOUT_SIZE)


@lru_cache(maxsize=1024)
def plan(
    correlations: tuple[Correlation, ...],
    dtype: np.dtype,
    relu: bool,
    gradient: bool,
    far: bool,
    past_caches: bool,
    workers: int,
    host: Level,
) -> Plan:
    """How to compute correlations of the same arrays, or (`gradient`) the gradient of one in its weight. `far`: arrays
    in main memory, which is asked for them ahead of time; `past_caches`: y is written there."""
    lanes, channels, batch = vector_of(dtype).lanes, correlations[0].groups, correlations[0].batch
    vectors, masked, spare = -(-channels // lanes), channels < lanes, vector_of(WORD).lanes
    chosen = _choose(correlations, gradient, vectors, host)
    kernels, layouts, tables, longest, cycles = [], [], [], 0, 0
    position = HEADER + LAYOUT_SIZE * len(correlations)
    for c, windows in zip(correlations, chosen, strict=True):
        kernels.append(
            tap_kernel(dtype, windows, masked) if gradient else window_kernel(dtype, windows, masked, past_caches)
        )
        layout, own = _layout(c, windows) | {TILE_KERNEL: kernels[-1].address}, _tables(c, windows, dtype.itemsize)
        longest = max(longest, own[INSIDE_X].size + own[INSIDE_Y].size)
        if far and gradient:
            ahead = ceil(2 * MEMORY_CYCLES / (vectors * _vector_cycles(c, windows, host)))
            own[AHEAD] = _new_pixels(c, windows, ahead)
            layout |= {TILES_AHEAD: ahead, FETCHES: own[AHEAD].size}
        layout[ASKS] = far and not gradient and not layouts  # the first of several correlations asks for all
        layouts.append(_put(layout, own, position + sum(table.size for table in tables)))
        tables += own.values()
        cycles += batch * c.output_size[0] * _cycles(c, windows, vectors, host)

    blocks = max(-(-c.output_size[1] // chosen[0].rows) for c in correlations)
    depth = max(c.output_size[0] for c in correlations)
    items = batch * depth * blocks
    parts = int(max(1, min(workers, items, cycles // SERIAL_CYCLES)))
    longest = rounded_up(SLOTS + longest + spare, 8)
    room = rounded_up(max(channels, lanes), LINE_BYTES // dtype.itemsize)
    header = {
        PHASES: len(correlations), BLOCKS: blocks, DEPTH: depth, ITEMS: items, PARTS: parts, ALL_CHANNELS: channels,
        IS_RELU: relu, ITEM_SIZE: dtype.itemsize, TABLES: longest, OWN_ROOM: 0 if gradient else room,
        OWN_WEIGHTS: correlations[0].taps * channels if gradient else 0,
        VECTORS: vectors,
    }  # fmt: skip
    numbers = np.concatenate([laid_out(header, HEADER), *layouts, *tables, np.zeros(spare, WORD)])
    return Plan(tuple(kernels), numbers, parts, longest, np.zeros(room, dtype), masked)


# ---- launchers -------------------------------------------------------------------------------------------------------


def _fills_lines(y: np.ndarray, channels: int) -> bool:
    """True if each vector of the output is a cache line."""
    whole = level().bytes == LINE_BYTES and channels * y.itemsize % LINE_BYTES == 0
    return whole and address_of_array(y) % LINE_BYTES == 0


def _far(x: np.ndarray, y: np.ndarray) -> bool:
    """True if the arrays are taken to lie in main memory: as in `caches` from half of the largest cache on, but of both
    together, which pass through the caches at the same pace."""
    return x.nbytes + y.nbytes >= last_level_bytes() // 2


def _run(chosen: Plan, x, y, w, bias, room) -> None:
    slots = np.empty(chosen.parts * chosen.tables, WORD)
    run(visit_tiles, chosen.parts, 1, vector_of(WORD), x, y, w, bias, chosen.zeros, room, slots, chosen.numbers)


def launch(
    correlations: tuple[Correlation, ...],
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    relu: bool = False,
) -> None:
    """As `output_tiles.launch`, for correlations that suit this module."""
    if y.size == 0 or not correlations:
        return
    far = _far(x, y)
    past_caches = far and _fills_lines(y, correlations[0].groups)
    most_parts = threads() * PARTS_PER_THREAD
    chosen = plan(correlations, y.dtype, relu, False, far, past_caches, most_parts, level())
    start = chosen.zeros
    if bias is not None:  # read in whole vectors
        start = np.append(bias, chosen.zeros) if chosen.masked else np.ascontiguousarray(bias)
    room = empty((max(ALIGNED_FROM // y.itemsize, chosen.parts * chosen.zeros.size),), y.dtype)
    _run(chosen, x, y, weight, start, room)


def _gradient_parts(dy: np.ndarray, dweight: np.ndarray) -> int:
    """In how many parts a gradient is summed at most: several a thread, as long as what they add at the end is little
    beside what they sum."""
    workers = threads()
    affordable = dy.size // (LEAST_SUMMED * dweight.size)
    return 1 if workers == 1 else max(workers, min(workers * PARTS_PER_THREAD, affordable))


def launch_gradient(correlation: Correlation, x: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> None:
    """As `weight_tiles.launch`, for a correlation that suits this module. Each part of the work has sums of its own,
    which are added in order."""
    chosen = plan((correlation,), x.dtype, False, True, _far(x, dy), False, _gradient_parts(dy, dweight), level())
    sums = np.zeros((chosen.parts, dweight.size), x.dtype)
    _run(chosen, x, dy, sums, chosen.zeros, chosen.zeros)
    np.sum(sums, axis=0, out=dweight.reshape(-1))
