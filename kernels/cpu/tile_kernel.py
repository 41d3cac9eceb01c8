"""The innermost kernel: one register tile, a sum of outer products over pieces of two arrays.

    tile[r, :] = start + Σ_t Σ_s x[x_offset(t) + row(r) + s·advance] · w[w_offset(t) + s·w_advance : … + width]

The pieces t (kernel taps for a convolution, rows of pixels for a weight's gradient) stand in a table of triples
(x offset, w offset, length). All of convolution, its gradients and the matrix product are this kernel under different
drivers. Only this small function is compiled for each shape of tile; the drivers, compiled once, call it by its address
and hand over its arguments in an array, as `launch.run` would.
"""

from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .bodies import (
    Constant,
    ConstantType,
    compiled,
    kernel,
    unpack,
)
from .simd import INT64
from .tiles import (
    TileShape,
    accumulate,
    accumulate_apart,
    accumulate_dots,
    add_tiles,
    fetch_tile,
    load_tile,
    relu_tile,
    repeat_row,
    store_dots,
    store_tile,
    store_tile_part,
    width,
    zero_tile,
)

# Where the kernel's arguments stand in the array that a driver fills. The first six are known at compile time or fixed.
LENGTH, STEP, ADVANCE, GROUP_STEP, W_ADVANCE = 1, 2, 3, 6, 7
W_STEP = GROUP_STEP  # in `sum_dots`
X_POINTER, W_POINTER, TABLE, START, OUT, OUT_STEP, COLUMNS, FLAGS = range(8, 16)
SLOTS = 16
START_ROW, START_TILE, RELU, ADD = (
    1,
    2,
    4,
    8,
)  # flags: the tile starts as a row, as a tile at START (else 0); how it ends


@intrinsic
def _length(typing, length, count):
    """`length` itself if it is a `Constant`, else `count`."""

    def generate(context, builder, signature, arguments):
        return arguments[0] if isinstance(length, ConstantType) else arguments[1]

    return (length if isinstance(length, ConstantType) else types.intp)(length, types.intp), generate


@kernel
def sum_tile(begin, end, arguments):
    """One tile over the pieces begin … end of its table."""
    (
        shape,
        length,
        step,
        advance,
        shared,
        streamed,
        ahead,
        w_advance,
        x,
        w,
        table,
        start,
        out,
        out_step,
        columns,
        flags,
    ) = unpack(arguments)
    if flags & START_ROW:
        tile = repeat_row(shape, start, 0)
    elif flags & START_TILE:
        tile = load_tile(shape, start, 0)
    else:
        tile = zero_tile(shape)
    fetch_tile(ahead, streamed, shape, out, 0, out_step)
    for t in range(begin, end):
        x_offset, w_offset, count = table[3 * t], table[3 * t + 1], _length(length, table[3 * t + 2])
        following = table[3 * t + 3]  # not read unless `ahead` is `Constant(True)`
        tile = accumulate(tile, x, x_offset, step, 0, advance, w, w_offset, w_advance, count, shared, ahead, following)
    if flags & ADD:
        tile = add_tiles(tile, load_tile(shape, out, 0))
    if flags & RELU:
        tile = relu_tile(tile)
    if columns == width(shape):
        store_tile(tile, out, 0, out_step, streamed)
    else:
        store_tile_part(tile, out, 0, out_step, columns)


@kernel
def sum_apart(begin, end, arguments):
    """One tile of channels that keep to their groups, over the taps begin … end of its table."""
    shape, inputs, step, outputs, _, _, _, _, x, w, table, start, out, out_step, _, flags = unpack(arguments)
    tile = repeat_row(shape, start, 0)
    for t in range(begin, end):
        tile = accumulate_apart(tile, inputs, outputs, x, table[3 * t], step, w, table[3 * t + 1])
    if flags & RELU:
        tile = relu_tile(tile)
    store_tile(tile, out, 0, out_step, 0)


@kernel
def sum_dots(begin, end, arguments):
    """One tile whose lanes run over the input, over the pieces begin … end of its table: W_STEP leads from one output
    channel's weights to the next one's, W_ADVANCE from one vector of them to the next. START: the bias, once for each
    row."""
    shape, _, step, _, _, _, w_step, w_advance, x, w, table, start, out, out_step, _, flags = unpack(arguments)
    tile = zero_tile(shape)
    for t in range(begin, end):
        count = table[3 * t + 2]
        tile = accumulate_dots(tile, x, table[3 * t], step, w, table[3 * t + 1], w_step, w_advance, count)
    store_dots(tile, start, flags & RELU, out, 0, out_step)


@dataclass(frozen=True, eq=False)
class TileKernel:
    """A compiled `sum_tile`: its address, and what keeps the code alive."""

    shape: TileShape
    address: int
    code: object


def tile_kernel(
    dtype: np.dtype,
    shape: TileShape,
    length: int | None = None,
    step: int | None = None,
    advance: int | None = None,
    shared: bool = False,
    streamed: bool = False,
    ahead: bool = False,
) -> TileKernel:
    """`sum_tile` for tiles of `shape`. A length, step or advance that is given is compiled in; the others are read
    from the slots. `shared`: what windows have in common is loaded once (see `accumulate`). `streamed`: whole tiles go
    past the caches (see `store_tile`). `ahead`: while a piece is summed, caches are asked for what the next one reads
    of x; behind the last piece the table has one more offset in x, where another tile begins; and before the first one
    for the lines that the tile is stored to."""
    data, table = np.empty(1, dtype), np.empty(1, np.int64)
    length, step, advance = (0 if number is None else Constant(number) for number in (length, step, advance))
    shared, streamed, ahead = (Constant(True) if wanted else 0 for wanted in (shared, streamed, ahead))
    code = compiled(
        sum_tile, shape, length, step, advance, shared, streamed, ahead, 0, data, data, table, data, data, 0, 0, 0
    )
    return TileKernel(shape, code.address, code)


def dot_kernel(dtype: np.dtype, rows: int, channels: int, step: int | None = None) -> TileKernel:
    """`sum_dots` for tiles of so many pixels and output channels. A step that is given is compiled in."""
    data, table, shape = np.empty(1, dtype), np.empty(1, np.int64), TileShape(dtype, rows, channels)
    number = 0 if step is None else Constant(step)
    code = compiled(sum_dots, shape, 0, number, 0, 0, 0, 0, 0, data, data, table, data, data, 0, 0, 0)
    return TileKernel(shape, code.address, code)


def apart_kernel(dtype: np.dtype, shape: TileShape, inputs: int, outputs: int) -> TileKernel:
    """`sum_apart` for groups of so many input and output channels."""
    data, table, inputs, outputs = np.empty(1, dtype), np.empty(1, np.int64), Constant(inputs), Constant(outputs)
    code = compiled(sum_apart, shape, inputs, 0, outputs, 0, 0, 0, 0, data, data, table, data, data, 0, 0, 0)
    return TileKernel(shape, code.address, code)


# ---- for drivers -----------------------------------------------------------------------------------------------------


@intrinsic
def call_tile_kernel(typing, address, pieces, slots):
    """Runs the kernel at `address` over the first `pieces` of its table, with the arguments in `slots`."""

    def generate(context, builder, signature, arguments):
        body = ir.FunctionType(ir.VoidType(), [INT64, INT64, INT64.as_pointer()])
        function = builder.inttoptr(arguments[0], body.as_pointer())
        builder.call(function, [ir.Constant(INT64, 0), arguments[1], arguments[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, slots), generate
