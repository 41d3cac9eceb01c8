"""How large the register tiles of a launch should be: a cost model of the processor's vector units."""

from functools import cache
from typing import NamedTuple

from .simd import Level

MOST_ROWS = 14  # of tiles of channels apart; more rows need more address registers than x86 has
LATENCY = 4  # cycles from a multiply-add's operands to its result, on current processors
SCATTERED_CYCLES = 3  # to bring a cache line from the L2 cache where lines lie apart
ALONE = 2  # cycles more, for each tap and vector, where a pixel has to find out what lies inside the input
TILE_OVERHEAD = 40  # cycles to start and end a tile
MOST_SHUFFLED_ROWS = 6  # of tiles that shuffle what they read; with more LLVM spills
MOST_DOT_ROWS = 24  # of tiles with lanes over the input, whose weights need fewer
L1_BYTES = 32 * 1024  # of a processor's smallest cache, at least
LINE_CYCLES = 2  # to bring a cache line from the L2 cache, one after the other
DOT_CYCLES = 1.5  # to add the lanes of one vector: three instructions
MOST_VECTORS = 8  # in a row of a tile


def _cycles(rows: int, vectors: int) -> float:
    """Cycles for one outer product of a tile: two multiply-adds and two numbers broadcast from the L1 cache a cycle,
    one vector of weights from the L2 cache, each accumulator once in LATENCY. Loads cost a little even where they do
    not wait."""
    loads = rows / 2 + vectors
    return max(rows * vectors / 2, loads, LATENCY) + loads / 32


def fits(rows: int, vectors: int, level: Level) -> bool:
    """True if the accumulators, a row of weights and one broadcast value fit in the registers."""
    return rows * vectors + vectors + 1 <= level.registers


class Choice(NamedTuple):
    """A tile of `rows` pixels × `columns`, and about how many cycles it takes for a row of pixels."""

    rows: int
    columns: int
    cycles: float


@cache
def output_tile(pixels: int, vectors: int, depth: int, level: Level) -> Choice:
    """The tiles, of some vectors of output channels, that cover `pixels` × `vectors` outputs, each a sum over `depth`
    products, in the fewest cycles. Tiles of a row may overlap, so all have one shape. Among equals, the larger tile
    reads fewer weights."""

    def cost(rows, wide):
        tiles = -(-pixels // rows) * -(-vectors // wide)
        return tiles * (_cycles(rows, wide) * depth + rows * wide + TILE_OVERHEAD)

    shapes = [
        Choice(rows, wide, cost(rows, wide))
        for rows in range(1, min(level.registers, pixels) + 1)
        for wide in range(1, min(vectors, MOST_VECTORS) + 1)
        if fits(rows, wide, level)
    ]
    return min(shapes, key=lambda tile: (tile.cycles, -tile.rows * tile.columns))


@cache
def short_run_tile(pixels: int, vectors: int, depth: int, length: int, step: int, level: Level) -> tuple[Choice, bool]:
    """As `output_tile`, where x is read in runs of so few numbers that their `length`, and the `step` from a pixel's to
    the next one's, are compiled in; and whether the weights of a run stay in registers, so that what windows share of x
    is loaded once. All rows' addresses come from one register, so there may be many rows."""

    def cost(shape):
        rows, wide, shared = shape
        cycles = _cycles(rows, wide) * depth
        if shared:
            loads = (rows - 1) * step + length + length * wide
            cycles = (max(rows * wide * length / 2, loads / 2, LATENCY * length) + loads / 32) * depth / length
        return -(-pixels // rows) * -(-vectors // wide) * (cycles + rows * wide + TILE_OVERHEAD)

    def registers(rows, wide, shared):
        numbers = 4 if wide == 1 and not shared else 1  # of x: where each meets one vector, LLVM loads early
        return rows * wide + wide * (length if shared else 1) + numbers

    shapes = [
        (rows, wide, shared)
        for rows in range(1, min(level.registers, pixels) + 1)
        for wide in range(1, min(vectors, MOST_VECTORS) + 1)
        for shared in ((False, True) if step < length else (False,))
        if registers(rows, wide, shared) <= level.registers
    ]
    rows, wide, shared = min(shapes, key=lambda shape: (cost(shape), -shape[0] * shape[1]))
    return Choice(rows, wide, cost((rows, wide, shared))), shared


@cache
def dot_tile(
    pixels: int,
    channels: int,
    steps: int,
    lanes: int,
    line_crossings: float,
    unshared: float,
    side_by_side: bool,
    level: Level,
) -> Choice:
    """The tiles, of some output channels with lanes over the input, that cover `pixels` × `channels` outputs in the
    fewest cycles. Each output sums `steps` vectors of products; `line_crossings` of the input's vectors lie in two
    cache lines and take two loads; `unshared` of them no other pixel has read before. `side_by_side`: neighbouring
    pixels' outputs touch, and are stored together."""

    def cost(rows, columns):
        size, tiles = rows * columns, -(-pixels // rows) * -(-channels // columns)
        loads = rows * (1 + line_crossings) + columns
        # Lines from the L2 cache: of x those that are new, of the weights all if they do not stay in the L1 cache.
        lines = rows * unshared + (columns if columns * steps * level.bytes > L1_BYTES / 2 else 0)
        step = max(size / 2, loads / 2, LINE_CYCLES * lines, LATENCY) + loads / 32
        stores = size / lanes if side_by_side and columns == channels else size
        return tiles * (steps * step + DOT_CYCLES * size + stores + TILE_OVERHEAD)

    shapes = [
        Choice(rows, columns, cost(rows, columns))
        for rows in range(1, min(MOST_DOT_ROWS, pixels) + 1)
        for columns in range(1, min(channels, MOST_VECTORS) + 1)
        if fits(rows, columns, level)
    ]
    return min(shapes, key=lambda tile: (tile.cycles, -tile.rows * tile.columns))


def _gradient_cycles(rows: int, vectors: int, phases: int) -> float:
    """Cycles for one pixel of a weight's gradient: as `_cycles`, but pixels lie apart in memory, so that each brings a
    cache line of x and one for each vector of dy from the L2 cache. Of `phases` pixels each has accumulators of its
    own."""
    loads, lines = (rows + vectors) / 2, vectors + 1
    return max(rows * vectors / 2, 1.2 * loads, SCATTERED_CYCLES * lines, LATENCY / phases) + loads / 32


def _phases(accumulators: int, temporaries: int, level: Level) -> int:
    """So many pixels at once that no accumulator waits for its last sum, as far as registers reach."""
    phases = 1
    while phases * accumulators < 2 * LATENCY and 2 * phases * accumulators + temporaries <= level.registers:
        phases *= 2
    return phases


@cache
def apart_tile(
    pixels: int, channels: int, kernel_rows: int, taps: int, inputs: int, outputs: int, lanes: int, level: Level
) -> Choice:
    """The tiles that cover `pixels` × `channels` outputs in the fewest cycles, whose channels keep to their groups of
    `inputs` and `outputs` channels. Neither tiles of a row nor those of the channels need divide them. A tile that is
    narrower than a pixel's channels reads the L2 cache in pieces, which no prefetcher foresees."""

    def cost(rows, wide):
        tiles = -(-pixels // rows) * -(-channels // (wide * lanes))
        loads = rows * wide * max(1, inputs / outputs) + wide * inputs
        shuffles = rows * wide * inputs if max(inputs, outputs) > 1 else 0
        tap = max(rows * wide * inputs / 2, (loads + shuffles) / 2, shuffles, LATENCY * inputs)
        line = LINE_CYCLES if wide * lanes >= channels else 3 * LINE_CYCLES
        return tiles * (taps * tap + kernel_rows * rows * wide * line + rows * wide + TILE_OVERHEAD)

    def registers(rows, wide):
        return rows * wide + 3 + (3 * inputs if inputs > 1 else 0)

    most_rows = MOST_ROWS if max(inputs, outputs) == 1 else MOST_SHUFFLED_ROWS
    shapes = [
        Choice(rows, wide, cost(rows, wide))
        for rows in range(1, min(most_rows, pixels) + 1)
        for wide in range(1, min(channels // lanes, MOST_VECTORS) + 1)
        if registers(rows, wide) <= level.registers
    ]
    return min(shapes, key=lambda tile: (tile.cycles, -tile.rows * tile.columns))


@cache
def gradient_tile(kernel_rows: int, run: int, vectors: int, level: Level) -> tuple[tuple[int, int, int, int], float]:
    """((groups, rows in a group, vectors, phases), cycles for a pixel) of the tiles that cover a weight's gradient of
    `kernel_rows` × `run` rows in the fewest cycles: part of one kernel row, or several whole ones. Rows lie at fixed
    distances, so there may be many. Tiles of a row may overlap."""

    def completed(groups, rows, wide):
        return groups, rows, wide, _phases(groups * rows * wide, wide + 1, level)

    def cost(shape):
        groups, rows, wide, phases = shape
        tiles = -(-kernel_rows // groups) * -(-run // rows) * -(-vectors // wide)
        return tiles * (_gradient_cycles(groups * rows, wide, phases) + 0.5), -groups * rows * wide

    row_shapes = [(1, rows) for rows in range(1, min(level.registers, run) + 1)]
    row_shapes += [(groups, run) for groups in range(2, min(level.registers // run, kernel_rows) + 1)]
    shapes = [
        completed(groups, rows, wide)
        for groups, rows in row_shapes
        for wide in range(1, min(vectors, MOST_VECTORS) + 1)
        if fits(groups * rows, wide, level)
    ]
    chosen = min(shapes, key=cost)
    return chosen, cost(chosen)[0]


@cache
def channel_tile(
    row: int, kernel_rows: int, taps: int, inputs: int, vectors: int, stride: int, dilation: int, level: Level
) -> tuple[tuple[int, int, int, int, int], float] | None:
    """((kernel rows, taps, vectors, pixels at once, phases), cycles for a pixel) of the tiles that cover the weight's
    gradient of channels that keep to their groups of `inputs`, in the fewest cycles: several whole kernel rows, or part
    of one. Pixels at once share what they load of x where their windows overlap; those of a `row` of pixels that are
    left over go one by one, as do those at its ends. None if a group has too many input channels."""

    def cost(shape):
        rows, width, wide, pixels, phases = shape
        positions = len({pixel * stride + tap * dilation for pixel in range(pixels) for tap in range(width)})
        loads = wide * (1 + rows * positions / pixels)
        shuffles = wide * rows * positions / pixels * inputs if inputs > 1 else 0
        cycles = max(rows * width * inputs * wide / 2, (loads + shuffles) / 2, loads, LATENCY / phases)
        alone = min(row, -(-(width - 1) * dilation // stride))
        alone += (row - alone) % pixels
        cycles += alone / row * (cycles + ALONE * width * wide)
        tiles = -(-kernel_rows // rows) * -(-taps // width) * -(-vectors // wide)
        return tiles * (cycles + loads / 32 + 0.5), -rows * width * wide

    def registers(rows, width, wide, pixels, phases):
        # LLVM loads early what it cannot load as an operand: a quarter of the registers at least.
        spare = max(pixels + 4 + (inputs if inputs > 1 else 0), level.registers // 4)
        return rows * width * inputs * wide * phases + spare

    shapes = [
        (rows, width, wide, phases * more, phases)
        for rows, width in [(1, width) for width in range(1, taps + 1)] + [(r, taps) for r in range(2, kernel_rows + 1)]
        for wide in range(1, min(vectors, MOST_VECTORS) + 1)
        for phases in (1, 2, 4)
        for more in (1, 2, 4)
        if registers(rows, width, wide, phases * more, phases) <= level.registers
    ]
    if not shapes:
        return None
    chosen = min(shapes, key=cost)
    return chosen, cost(chosen)[0]
