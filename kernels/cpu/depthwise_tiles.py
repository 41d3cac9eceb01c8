"""The innermost kernels of depthwise convolution: register tiles whose lanes run over channels.

A tile is some rows × some neighbouring pixels of the output, for one vector of channels. It takes as many taps of the
kernel at a time as registers hold weights, all nine of a 3 × 3 kernel. For these each vector of the input is loaded
once, for all outputs whose windows it is in: hardly more than one load to three multiply-adds, where a loop over taps
takes one to each.

Where a tile's pixels stand is told by tables of offsets from an address: one for each input pixel that the taps
meet, and one for each output. A tile inside the image and one at its edge run through the same code, without
a branch: the table of the latter says of each pixel outside where there are zeros, or room for what nobody wants.

Two kernels: `sum_windows` for the convolution and for its transpose, and `sum_taps` for the weight's gradient.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .bodies import (
    CompileTimeType,
    Constant,
    compiled,
    helper,
    kernel,
    unpack,
)
from .simd import (
    INT32,
    INT64,
    LINE_BYTES,
    fma_value,
    iota,
    lanes,
    load_value,
    mask_of_first,
    pointer_at,
    prefetch,
    splat_value,
    store_value,
    stream_value,
    vector_of,
)
from .tile_kernel import TileKernel
from .tiles import TileShape, TileType, assemble, emit_loop, repeat_row, vectors_of

# Where the kernels' arguments stand in the array that a driver fills; the first five are known at compile time.
(
    X_POINTER, X_TABLE, X_STEP, Y_POINTER, Y_TABLE, Y_STEP, W_POINTER, W_TABLE, BIAS, KERNEL_PIECES, CHANNELS, RELU,
    X_ASKED, X_LINES, X_AHEAD, X_FETCHED, Y_AHEAD,
) = range(5, 22)  # fmt: skip
SLOTS = 24
CHAINS = 8  # multiply-adds that may wait for each other side by side: latency × units of current processors


class WindowsKind(CompileTimeType):
    """The compile-time argument: which pixels a tile's outputs meet. See `Windows`."""

    def __init__(self, windows: "Windows"):
        self.windows = windows
        super().__init__(name=str(windows))


register_model(WindowsKind)(models.OpaqueModel)


def _met(outputs: int, taps: int, stride: int, dilation: int) -> dict[int, list[tuple[int, int]]]:
    """For each position of the input that some neighbouring outputs meet, in order: (output, tap) that meet there."""
    found = {}
    for output in range(outputs):
        for tap in range(taps):
            found.setdefault(output * stride + tap * dilation, []).append((output, tap))
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Windows:
    """A tile of `rows` × `pixels` neighbouring outputs, and the `tap_rows` × `taps` of the kernel that it takes at a
    time. Strides and dilation rates are those of rows and of pixels."""

    rows: int
    pixels: int
    tap_rows: int
    taps: int
    strides: tuple[int, int]
    dilation: tuple[int, int]

    @cached_property
    def numba_type(self) -> WindowsKind:
        """What a body is compiled for."""
        return WindowsKind(self)

    @cached_property
    def row_places(self) -> dict[int, list[tuple[int, int]]]:
        """For each row of the input that is met, counted from the first: (row, row of taps) that meet there."""
        return _met(self.rows, self.tap_rows, self.strides[0], self.dilation[0])

    @cached_property
    def places(self) -> dict[int, list[tuple[int, int]]]:
        """For each position along a row of the input: (pixel, tap) that meet there."""
        return _met(self.pixels, self.taps, self.strides[1], self.dilation[1])

    @property
    def met(self) -> list[list[tuple[int, int]]]:
        """For each position of the input, row by row: (output, tap) that meet there, both numbered row by row."""
        return [
            [
                (row * self.pixels + pixel, tap_row * self.taps + tap)
                for row, tap_row in in_rows
                for pixel, tap in along_rows
            ]
            for in_rows in self.row_places.values()
            for along_rows in self.places.values()
        ]

    @property
    def outputs(self) -> int:
        """Of the tile."""
        return self.rows * self.pixels

    @property
    def weights(self) -> int:
        """That a tile takes at a time."""
        return self.tap_rows * self.taps

    @property
    def phases(self) -> int:
        """Accumulators that a weight needs for its sum over outputs not to wait for each product."""
        return min(-(-CHAINS // self.weights), self.outputs)


def _bytes(builder, pointer):
    return builder.bitcast(pointer, ir.IntType(8).as_pointer())


def _number_at(builder, table, index: int):
    return builder.load(builder.gep(table, [ir.Constant(INT64, index)]))


def _at(builder, pointer, offset, kind: ir.VectorType):
    """The pointer to a vector's first element, `offset` bytes behind a pointer to bytes."""
    return builder.bitcast(builder.gep(pointer, [offset]), kind.element.as_pointer())


def _mask(builder, tile, masked, columns):
    """The mask of the channels, if they are fewer than the lanes."""
    return mask_of_first(builder, columns, tile.lanes) if masked.number else None


@intrinsic
def add_windows(typing, tile, windows, masked, x, table, w, w_table, pieces, columns):
    """tile[output] += Σ x[its window] · w over `pieces` of the kernel. `table` holds for each of them and each position
    of the input the bytes from x to its vector; `w_table` for each of them and each weight the place of its vector."""
    pattern = windows.windows
    met = pattern.met

    def generate(context, builder, signature, arguments):
        start, _, _, x, table, w, w_table, pieces, columns = arguments
        mask, first = _mask(builder, tile, masked, columns), _bytes(builder, x)

        def products(accumulators, pointers):
            sums = list(accumulators)
            places = [_number_at(builder, pointers[1], tap) for tap in range(pattern.weights)]
            weights = [load_value(builder, builder.gep(w, [place]), tile.vector, mask) for place in places]
            for position, pairs in enumerate(met):
                offset = _number_at(builder, pointers[0], position)
                vector = load_value(builder, _at(builder, first, offset, tile.vector), tile.vector, mask)
                for output, tap in pairs:
                    sums[output] = fma_value(builder, vector, weights[tap], sums[output])
            return sums

        steps = [ir.Constant(INT64, len(met)), ir.Constant(INT64, pattern.weights)]
        return emit_loop(builder, tile, start, pieces, [table, w_table], steps, products)

    i = types.intp
    return tile(tile, windows, masked, x, table, w, w_table, i, i), generate


@intrinsic
def store_windows(typing, tile, masked, past_caches, floor, y, table, columns):
    """The tile's vectors, or the number `floor` where they are less (NaN stays), to where the table says, in bytes from
    y."""

    def generate(context, builder, signature, arguments):
        value, _, _, floor, y, table, columns = arguments
        mask, first = _mask(builder, tile, masked, columns), _bytes(builder, y)
        floor = splat_value(builder, context.cast(builder, floor, signature.args[3], tile.element), tile.lanes)
        for position, vector in enumerate(vectors_of(builder, tile, value)):
            offset = _number_at(builder, table, position)
            clipped = builder.select(builder.fcmp_ordered(">", floor, vector), floor, vector)
            place = _at(builder, first, offset, tile.vector)
            if past_caches.number:
                stream_value(builder, clipped, place)
            else:
                store_value(builder, clipped, place, mask)
        return context.get_dummy_value()

    return types.void(tile, masked, past_caches, floor, y, table, types.intp), generate


@intrinsic
def products(typing, shape, windows, masked, x, table, y, y_table, columns):
    """tile[phase, tap] = Σ x · y over the pairs of an input and an output of a tile that meet at this weight of a piece
    of the kernel."""
    tile, pattern = TileType(*shape.parts), windows.windows

    def generate(context, builder, signature, arguments):
        _, _, _, x, table, y, y_table, columns = arguments
        mask, x, y = _mask(builder, tile, masked, columns), _bytes(builder, x), _bytes(builder, y)

        def load(pointer, table, index):
            offset = _number_at(builder, table, index)
            return load_value(builder, _at(builder, pointer, offset, tile.vector), tile.vector, mask)

        sums, outputs = [ir.Constant(tile.vector, None)] * tile.size, {}
        for position, pairs in enumerate(pattern.met):
            vector = load(x, table, position)
            for output, tap in pairs:
                if output not in outputs:
                    outputs[output] = load(y, y_table, output)
                at = output % pattern.phases * pattern.weights + tap
                sums[at] = fma_value(builder, vector, outputs[output], sums[at])
        return assemble(builder, tile, sums)

    return tile(shape, windows, masked, x, table, y, y_table, types.intp), generate


@intrinsic
def add_taps(typing, tile, windows, masked, sums, table, begin, columns):
    """sums[table[tap] + lane] += the tile's sums of this tap, of all phases, in the lanes from `begin` on."""
    pattern = windows.windows

    def generate(context, builder, signature, arguments):
        value, _, _, sums, table, begin, columns = arguments
        mask, vectors = _mask(builder, tile, masked, columns), vectors_of(builder, tile, value)
        first = splat_value(builder, builder.trunc(begin, INT32), tile.lanes)
        wanted = builder.icmp_signed(">=", iota(INT32, tile.lanes), first)
        for tap in range(pattern.weights):
            total = vectors[tap]
            for phase in range(1, pattern.phases):
                total = builder.fadd(total, vectors[phase * pattern.weights + tap])
            total = builder.select(wanted, total, ir.Constant(tile.vector, None))
            pointer = builder.gep(sums, [_number_at(builder, table, tap)])
            before = load_value(builder, pointer, tile.vector, mask)
            store_value(builder, builder.fadd(before, total), pointer, mask)
        return context.get_dummy_value()

    return types.void(tile, windows, masked, sums, table, types.intp, types.intp), generate


@intrinsic
def _sizes(typing, windows):
    """(positions of the input, outputs, weights) of a pattern."""
    numbers = len(windows.windows.met), windows.windows.outputs, windows.windows.weights
    result = types.UniTuple(types.intp, len(numbers))

    def generate(context, builder, signature, arguments):
        return context.make_tuple(builder, result, [ir.Constant(INT64, number) for number in numbers])

    return result(windows), generate


@intrinsic
def _behind(typing, pointer, count):
    """The pointer `count` bytes behind a pointer."""

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(pointer)
        return builder.bitcast(builder.gep(_bytes(builder, arguments[0]), [arguments[1]]), kind)

    return pointer(pointer, types.intp), generate


@helper
def _ask(pointer, first, count):
    """Asks memory for the cache lines first … first + count from a pointer."""
    for line in range(first, first + count):
        prefetch(_behind(pointer, line * LINE_BYTES), 0)


@kernel
def sum_windows(begin, end, arguments):
    """The tiles begin … end of a row of tiles, each for all channels. The last vector of channels overlaps the one
    before rather than be partial, unless there is but one."""
    (
        vector, shape, windows, masked, past_caches, x, x_table, x_step, y, y_table, y_step, w, w_table, bias, pieces,
        channels, relu, x_asked, x_lines, _, _, _,
    ) = unpack(arguments)  # fmt: skip
    floor, asked = 0.0 if relu else -np.inf, 0
    for number in range(begin, end):
        x_tile, y_tile, c = _behind(x, number * x_step), _behind(y, number * y_step), 0
        while True:
            _ask(x_asked, asked * x_lines, x_lines)
            tile = add_windows(
                repeat_row(shape, bias, c), windows, masked, pointer_at(x_tile, c), x_table, pointer_at(w, c), w_table,
                pieces, channels,
            )  # fmt: skip
            store_windows(tile, masked, past_caches, floor, pointer_at(y_tile, c), y_table, channels)
            asked += 1
            if c + lanes(vector) >= channels:
                break
            c = min(c + lanes(vector), channels - lanes(vector))


@kernel
def sum_taps(begin, end, arguments):
    """The weight's gradient over the tiles begin … end of a row of tiles, added to what stands at w."""
    (
        vector, shape, windows, masked, _, x, x_table, x_step, y, y_table, y_step, w, w_table, _, pieces, channels, _,
        _, _, x_ahead, x_fetched, y_ahead,
    ) = unpack(arguments)  # fmt: skip
    positions, outputs, weights = _sizes(windows)
    for number in range(begin, end):
        x_tile, y_tile, c, done = _behind(x, number * x_step), _behind(y, number * y_step), 0, 0
        while True:
            x_here, y_here, sums = pointer_at(x_tile, c), pointer_at(y_tile, c), pointer_at(w, c)
            for i in range(x_fetched):
                prefetch(x_here, x_ahead[i])
            for piece in range(pieces):
                table = pointer_at(x_table, piece * positions)
                tile = products(shape, windows, masked, x_here, table, y_here, y_table, channels)
                add_taps(tile, windows, masked, sums, pointer_at(w_table, piece * weights), done - c, channels)
            if y_ahead:
                for i in range(outputs):
                    prefetch(_behind(y_here, y_table[i] + y_ahead), 0)
            done = c + lanes(vector)
            if done >= channels:
                break
            c = min(done, channels - lanes(vector))


def window_kernel(dtype: np.dtype, windows: Windows, masked: bool, past_caches: bool) -> TileKernel:
    """`sum_windows` for such tiles; `masked` if there are fewer channels than lanes. The bias is read in whole vectors.
    `past_caches`: outputs go to memory, not to the caches; vectors must fill cache lines, and the driver ends by
    `finish_streams`."""
    return _kernel(sum_windows, dtype, windows, windows.outputs, masked, past_caches)


def tap_kernel(dtype: np.dtype, windows: Windows, masked: bool) -> TileKernel:
    """`sum_taps` for such tiles; `masked` if there are fewer channels than lanes."""
    return _kernel(sum_taps, dtype, windows, windows.phases * windows.weights, masked)


def _kernel(body, dtype, windows: Windows, accumulators: int, masked: bool, past_caches: bool = False) -> TileKernel:
    data, table, shape = np.empty(1, dtype), np.empty(1, np.int64), TileShape(dtype, accumulators, 1)
    code = compiled(
        body, vector_of(dtype), shape, windows, Constant(masked), Constant(past_caches), data, table, 0, data, table, 0,
        data, table, data, 0, 0, 0, data, 0, table, 0, 0,
    )  # fmt: skip
    return TileKernel(shape, code.address, code)
