"""How large the register tiles of a launch should be: a cost model of the processor's vector units."""

from functools import cache

from .simd import Level

MOST_ROWS = 14  # more rows need more address registers than x86 has
LATENCY = 4  # cycles from a multiply-add's operands to its result, on current processors
TILE_OVERHEAD = 40  # cycles to start and end a tile
MOST_VECTORS = 8  # in a row of a tile
MOST_MASKED = 6  # of those whose loads are masked: AVX-512 has seven masks


def _cycles(rows: int, vectors: int) -> float:
    """Cycles for one outer product of a tile: two multiply-adds and two numbers broadcast from the L1 cache a cycle,
    one vector of weights from the L2 cache, each accumulator once in LATENCY. Loads cost a little even where they do
    not wait."""
    loads = rows / 2 + vectors
    return max(rows * vectors / 2, loads, LATENCY) + loads / 32


def fits(rows: int, vectors: int, level: Level, masked: bool = False) -> bool:
    """True if the accumulators, a row of weights and one broadcast value fit in the registers. Masked loads are no
    operands of multiply-adds: LLVM needs a few registers more."""
    return rows * vectors + vectors + 1 <= level.registers - (4 if masked else 0)


@cache
def output_tile(pixels: int, vectors: int, depth: int, level: Level) -> tuple[int, int]:
    """(rows, vectors) of the tiles that cover `pixels` × `vectors` outputs, each a sum over `depth` products, in the
    fewest cycles. Tiles of a row may overlap, so all have one shape. Among equals, the larger tile reads fewer
    weights."""

    def cost(shape):
        rows, wide = shape
        tiles = -(-pixels // rows) * -(-vectors // wide)
        return tiles * (_cycles(rows, wide) * depth + rows * wide + TILE_OVERHEAD), -rows * wide

    shapes = [
        (rows, wide)
        for rows in range(1, min(MOST_ROWS, pixels) + 1)
        for wide in range(1, min(vectors, MOST_VECTORS) + 1)
        if fits(rows, wide, level)
    ]
    return min(shapes, key=cost)


@cache
def gradient_tile(kernel_rows: int, run: int, vectors: int, masked: bool, level: Level) -> tuple[int, int, int]:
    """(groups, rows in a group, vectors) of the tiles that cover a weight's gradient of `kernel_rows` × `run` rows,
    in the fewest cycles: part of one kernel row, or several whole ones. Rows lie at fixed distances, so there may be
    many. `masked`: the last vector is partial. Otherwise tiles are as wide as divides the row, so that none is."""

    def cost(shape):
        groups, rows, wide = shape
        tiles = -(-kernel_rows // groups) * -(-run // rows) * -(-vectors // wide)
        return tiles * (_cycles(groups * rows, wide) + 0.5), -groups * rows * wide

    row_shapes = [(1, rows) for rows in range(1, min(level.registers, run) + 1)]
    row_shapes += [(groups, run) for groups in range(2, min(level.registers // run, kernel_rows) + 1)]
    widths = [
        wide
        for wide in range(1, min(vectors, MOST_MASKED if masked else MOST_VECTORS) + 1)
        if masked or vectors % wide == 0
    ]
    shapes = [
        (groups, rows, wide)
        for groups, rows in row_shapes
        for wide in widths
        if fits(groups * rows, wide, level, masked)
    ]
    return min(shapes, key=cost)
