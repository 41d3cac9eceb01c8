"""The innermost kernels of a weight's gradient: register tiles that sum products over pixels.

Two kinds. `sum_products`: numbers of one array, broadcast, times vectors of the other; every row meets every column.
And `sum_channels`, for depthwise and grouped convolution: lanes are output channels of many groups, and each lane meets
the input channels of its own group alone, which a shuffle brings to it.

Either runs over a table of rows of pixels. A tile of few accumulators would wait for each sum before it may go on with
it, so it works on several pixels at once (`phases`), whose sums are added at the end.
"""

import platform
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
    kernel,
    unpack,
)
from .simd import INT32, INT64, call_intrinsic, fma_value, load_value, mask_of_first, pointer_at, splat_value
from .tile_kernel import ADD, TileKernel
from .tiles import (
    TileShape,
    TileType,
    add_tiles,
    assemble,
    emit_loop,
    load_tile,
    row_addresses,
    store_tile,
    store_tile_part,
    times,
    vectors_of,
    width,
    zero_tile,
)

ASKED, ASK_STEP = 11, 5  # slots of `sum_products`, with which memory is asked for what comes later
ASKING = 16  # times the number of pieces over which it is, in the flags


def _kept(builder, mask):
    """The same mask, held in a register: LLVM would otherwise compare anew in each round of a loop. It is told nothing
    of where the mask comes from."""
    lanes = mask.type.count
    if lanes == 1 or platform.machine().lower() not in ("x86_64", "amd64"):
        return mask
    if lanes == 16:  # only AVX-512 has such masks, in registers of their own
        kind = ir.IntType(lanes)
        held = builder.asm(ir.FunctionType(kind, [kind]), "", "=^Yk,0", [builder.bitcast(mask, kind)], False)
        return builder.bitcast(held, mask.type)
    kind = ir.VectorType(ir.IntType({2: 64, 4: 32, 8: 32}[lanes]), lanes)
    held = builder.asm(ir.FunctionType(kind, [kind]), "", "=x,0", [builder.sext(mask, kind)], False)
    return builder.icmp_signed("<", held, ir.Constant(kind, None))


def _ask_for(builder, pointer) -> None:
    """Asks for the cache line at a pointer; an address beyond the array is no error."""
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    options = [ir.Constant(INT32, option) for option in (0, 3, 1)]  # to read, into all caches, data
    call_intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), [address, *options])


def _last_mask(builder, tile, columns):
    """Masks for the vectors of a row of which only the last may be partial."""
    beyond = builder.sub(columns, ir.Constant(INT64, (tile.vectors - 1) * tile.lanes))
    return [None] * (tile.vectors - 1) + [_kept(builder, mask_of_first(builder, beyond, tile.lanes))]


def _emit_products(builder, tile, shape, masked, arguments, asks: bool):
    """The code of `accumulate_products`, or of `accumulate_and_ask`."""
    start, x, x_index, group_step, advance, w, w_index, w_advance, count, columns, *asked = arguments
    single, number = TileType(*shape.parts), tile.rows // shape.rows
    masks = _last_mask(builder, single, columns) if masked.number else [None] * single.vectors
    bases, addresses = row_addresses(builder, single, ir.Constant(INT64, 1), group_step)

    def products(accumulators, pointers, pixels):
        sums = []
        for pixel in range(pixels):
            if asks:
                _ask_for(builder, builder.gep(pointers[-1], [times(builder, asked[1], pixel)]))
            row = builder.gep(pointers[len(bases)], [times(builder, w_advance, pixel)])
            weights = [
                load_value(builder, builder.gep(row, [ir.Constant(INT64, j * single.lanes)]), single.vector, mask)
                for j, mask in enumerate(masks)
            ]
            for r, (base, offset) in enumerate(addresses):
                at = builder.add(times(builder, advance, pixel), offset)
                value = splat_value(builder, builder.load(builder.gep(pointers[base], [at])), single.lanes)
                first = (pixel * single.rows + r) * single.vectors
                sums += [fma_value(builder, value, weights[j], accumulators[first + j]) for j in range(single.vectors)]
        return sums + accumulators[len(sums) :]

    first = builder.gep(x, [x_index])
    pointers = [*(builder.gep(first, [base]) for base in bases), builder.gep(w, [w_index]), *asked[:1]]
    advances = [*[advance] * len(bases), w_advance, *asked[1:]]
    together = ir.Constant(INT64, number)
    steps = builder.sdiv(count, together) if number > 1 else count
    sums = emit_loop(
        builder, tile, start, steps, pointers, [times(builder, step, number) for step in advances],
        lambda accumulators, current: products(accumulators, current, number),
    )  # fmt: skip
    if number > 1:  # the pixels that are left
        done = builder.mul(steps, together)
        pairs = zip(pointers, advances, strict=True)
        pointers = [builder.gep(pointer, [builder.mul(done, step)]) for pointer, step in pairs]
        sums = emit_loop(
            builder, tile, sums, builder.sub(count, done), pointers, advances,
            lambda accumulators, current: products(accumulators, current, 1),
        )  # fmt: skip
    return sums


@intrinsic
def accumulate_products(
    typing, tile, shape, masked, x, x_index, group_step, advance, w, w_index, w_advance, count, columns
):
    """tile[phase, r, :] += Σ_s x[x_index + row(r) + s·advance] · w[w_index + s·w_advance : … + width] over those
    0 ≤ s < count whose phase it is; `shape` is that of one phase. Rows of a group lie side by side, groups `group_step`
    apart. With `masked`, of the last vector only what lies among the first `columns` is touched."""

    def generate(context, builder, signature, arguments):
        return _emit_products(builder, tile, shape, masked, [arguments[0], *arguments[3:]], asks=False)

    i = types.intp
    return tile(tile, shape, masked, x, i, i, i, w, i, i, i, i), generate


@intrinsic
def accumulate_and_ask(
    typing, tile, shape, masked, x, x_index, group_step, advance, w, w_index, w_advance, count, columns, asked, ask_step
):
    """The same; and memory is asked for asked[s·ask_step]."""

    def generate(context, builder, signature, arguments):
        return _emit_products(builder, tile, shape, masked, [arguments[0], *arguments[3:]], asks=True)

    i = types.intp
    return tile(tile, shape, masked, x, i, i, i, w, i, i, i, i, asked, i), generate


@intrinsic
def sum_phases(typing, tile, shape):
    """The sum of a tile's phases, as a tile of `shape`."""
    result = TileType(*shape.parts)

    def generate(context, builder, signature, arguments):
        vectors = vectors_of(builder, tile, arguments[0])
        sums = vectors[: result.size]
        for position in range(result.size, tile.size):
            sums[position % result.size] = builder.fadd(sums[position % result.size], vectors[position])
        return assemble(builder, result, sums)

    return result(tile, shape), generate


@kernel
def sum_products(begin, end, arguments):
    """One tile over the pieces begin … end of its table. Over the first of them memory is asked, a step further with
    each pixel, for what other tiles will need: so it comes while this one computes."""
    (
        shape, all_phases, _, advance, masked, ask_step, group_step, w_advance, x, w, table, asked, out, out_step,
        columns, flags,
    ) = unpack(arguments)  # fmt: skip
    tile, asking, done = zero_tile(all_phases), flags // ASKING, 0
    for t in range(begin, asking):
        x_index, w_index, count = table[3 * t], table[3 * t + 1], table[3 * t + 2]
        tile = accumulate_and_ask(
            tile, shape, masked, x, x_index, group_step, advance, w, w_index, w_advance, count, columns,
            pointer_at(asked, done), ask_step,
        )  # fmt: skip
        done += count * ask_step
    for t in range(asking, end):
        x_index, w_index, count = table[3 * t], table[3 * t + 1], table[3 * t + 2]
        tile = accumulate_products(
            tile, shape, masked, x, x_index, group_step, advance, w, w_index, w_advance, count, columns
        )
    total = sum_phases(tile, shape)
    if flags & ADD:
        total = add_tiles(total, load_tile(shape, out, 0))
    if columns == width(shape):
        store_tile(total, out, 0, out_step, 0)
    else:
        store_tile_part(total, out, 0, out_step, columns)


def product_kernel(dtype: np.dtype, groups: int, rows: int, vectors: int, phases: int, masked: bool) -> TileKernel:
    """`sum_products` for tiles of `groups` × `rows` rows."""
    data, table = np.empty(1, dtype), np.empty(1, np.int64)
    shape = TileShape(dtype, groups * rows, vectors, groups)
    all_phases = shape if phases == 1 else TileShape(dtype, groups * rows * phases, vectors, groups)
    code = compiled(
        sum_products, shape, all_phases, 0, 0, Constant(masked), 0, 0, 0, data, data, table, data, data,
        0, 0, 0,
    )  # fmt: skip
    return TileKernel(shape, code.address, code)


# ---- channels that keep to their groups ------------------------------------------------------------------------------


class ChannelPatternKind(CompileTimeType):
    """The compile-time argument: which of a tile's rows meets what. See `ChannelPattern`."""

    def __init__(self, pattern: "ChannelPattern"):
        self.pattern = pattern
        super().__init__(name=str(pattern))


register_model(ChannelPatternKind)(models.OpaqueModel)


@dataclass(frozen=True)
class ChannelPattern:
    """A tile's rows are kernel rows × taps × input channels of a group; its columns `group_outputs` output channels of
    each of many groups. So many `pixels` at once share what they load where their windows overlap."""

    kernel_rows: int
    taps: int
    stride: int
    dilation: int
    group_inputs: int
    group_outputs: int
    pixels: int
    phases: int

    @cached_property
    def numba_type(self) -> ChannelPatternKind:
        """What a body is compiled for."""
        return ChannelPatternKind(self)

    @property
    def rows(self) -> int:
        """Rows of the tile."""
        return self.kernel_rows * self.taps * self.group_inputs

    @property
    def positions(self) -> dict[int, list[tuple[int, int]]]:
        """For each position of the input that the pixels' windows meet: (pixel, tap) that meet there."""
        found = {}
        for pixel in range(self.pixels):
            for tap in range(self.taps):
                found.setdefault(pixel * self.stride + tap * self.dilation, []).append((pixel, tap))
        return dict(sorted(found.items()))


def _spread(builder, vector, pattern: ChannelPattern, lanes: int) -> list:
    """For each input channel of a group: that channel of every group, once for each of the group's lanes."""
    c, k = pattern.group_inputs, pattern.group_outputs
    undefined = ir.Constant(vector.type, ir.Undefined)
    return [
        builder.shuffle_vector(
            vector, undefined, ir.Constant(ir.VectorType(INT32, lanes), [lane // k * c + i for lane in range(lanes)])
        )
        for i in range(c)
    ]


class _ChannelTile:
    """What both intrinsics below know of a tile: where its rows stand, and how to load."""

    def __init__(self, builder, tile: TileType, pattern: ChannelPattern, columns):
        self.builder, self.tile, self.pattern, self.columns = builder, tile, pattern, columns
        self.inputs = tile.lanes * pattern.group_inputs // pattern.group_outputs  # numbers of x that a vector meets
        self.x_vector = ir.VectorType(tile.vector.element, self.inputs)
        self.x_columns = columns
        if pattern.group_inputs != pattern.group_outputs:  # whole groups, so without a remainder
            groups = builder.udiv(columns, ir.Constant(INT64, pattern.group_outputs))
            self.x_columns = times(builder, groups, pattern.group_inputs)

    def accumulator(self, phase: int, kernel_row: int, tap: int, i: int, j: int) -> int:
        """Where an accumulator stands among the tile's vectors."""
        p = self.pattern
        row = ((phase * p.kernel_rows + kernel_row) * p.taps + tap) * p.group_inputs + i
        return row * self.tile.vectors + j

    def mask(self, columns, j: int, lanes: int):
        """The mask of a row's vector `j`."""
        return mask_of_first(self.builder, self.builder.sub(columns, ir.Constant(INT64, j * lanes)), lanes)

    def load(self, pointer, offset, j: int, kind: ir.VectorType, mask):
        """Vector `j` of a row at pointer + offset."""
        at = self.builder.add(offset, ir.Constant(INT64, j * kind.count))
        return load_value(self.builder, self.builder.gep(pointer, [at]), kind, mask)

    def pointers(self, x, index, group_step, first, end) -> list:
        """Where each kernel row starts. Those outside first … end are not to be read: the nearest inside stands in."""
        builder, starts = self.builder, []
        for row in range(self.pattern.kernel_rows):
            number, last = ir.Constant(INT64, row), builder.sub(end, ir.Constant(INT64, 1))
            number = builder.select(builder.icmp_signed("<", number, first), first, number)
            number = builder.select(builder.icmp_signed(">", number, last), last, number)
            starts.append(builder.gep(x, [builder.add(index, builder.mul(group_step, number))]))
        return starts


@intrinsic
def accumulate_inside(
    typing, tile, pattern, masked, x, x_index, pitch, group_step, w, w_index, w_advance, steps, first, end, columns
):
    """Adds `steps` times the products of `pattern.pixels` pixels whose windows lie inside the input: pixel p's window
    at tap t is x[x_index + kernel_row·group_step + (p·stride + t·dilation)·pitch : …]. Of the kernel rows only first …
    end are inside; what becomes of the others' sums does not matter."""
    p, is_masked = pattern.pattern, bool(masked.number)

    def generate(context, builder, signature, arguments):
        start, _, _, x, x_index, pitch, group_step, w, w_index, w_advance, steps, first, end, columns = arguments
        own, last = _ChannelTile(builder, tile, p, columns), tile.vectors - 1
        y_mask = _kept(builder, own.mask(columns, last, tile.lanes)) if is_masked else None
        x_mask = y_mask
        if is_masked and own.inputs != tile.lanes:
            x_mask = _kept(builder, own.mask(own.x_columns, last, own.inputs))

        def products(accumulators, pointers):
            sums = list(accumulators)
            for j in range(tile.vectors):
                of_x, of_y = (x_mask, y_mask) if j == last else (None, None)
                y = [
                    own.load(pointers[-1], times(builder, w_advance, pixel), j, tile.vector, of_y)
                    for pixel in range(p.pixels)
                ]
                for kernel_row in range(p.kernel_rows):
                    for position, met in p.positions.items():
                        offset = times(builder, pitch, position)
                        vector = own.load(pointers[kernel_row], offset, j, own.x_vector, of_x)
                        for i, spread in enumerate(_spread(builder, vector, p, tile.lanes)):
                            for pixel, tap in met:
                                at = own.accumulator(pixel % p.phases, kernel_row, tap, i, j)
                                sums[at] = fma_value(builder, spread, y[pixel], sums[at])
            return sums

        pointers = own.pointers(x, x_index, group_step, first, end)
        advances = [times(builder, pitch, p.pixels * p.stride)] * p.kernel_rows
        return emit_loop(
            builder, tile, start, steps, [*pointers, builder.gep(w, [w_index])],
            [*advances, times(builder, w_advance, p.pixels)], products,
        )  # fmt: skip

    i = types.intp
    return tile(tile, pattern, masked, x, i, i, i, w, i, i, i, i, i, i), generate


@intrinsic
def keep_rows(typing, tile, before, pattern, first, end):
    """The tile, but with the accumulators of `before` for kernel rows outside first … end."""
    p = pattern.pattern

    def generate(context, builder, signature, arguments):
        tile_now, tile_before, _, first, end = arguments
        pairs = zip(vectors_of(builder, tile, tile_now), vectors_of(builder, tile, tile_before), strict=True)
        in_phase, in_row = tile.size // p.phases, tile.size // p.phases // p.kernel_rows
        kept = []
        for position, (now, earlier) in enumerate(pairs):
            row = ir.Constant(INT64, position % in_phase // in_row)
            inside = builder.and_(builder.icmp_signed("<=", first, row), builder.icmp_signed("<", row, end))
            kept.append(builder.select(inside, now, earlier))
        return assemble(builder, tile, kept)

    return tile(tile, before, pattern, types.intp, types.intp), generate


@intrinsic
def accumulate_edges(
    typing, tile, pattern, x, x_index, pitch, group_step, w, w_index, w_advance, count, origin, size, first, end,
    columns,
):  # fmt: skip
    """As `accumulate_inside`, pixel by pixel, for `count` pixels whose windows may reach beyond the input's positions
    0 … size, the first window from position `origin`."""
    p = pattern.pattern

    def generate(context, builder, signature, arguments):
        start, _, x, x_index, pitch, group_step, w, w_index, w_advance, count = arguments[:10]
        origin, size, first, end, columns = arguments[10:]
        own, nothing = _ChannelTile(builder, tile, p, columns), ir.Constant(INT64, 0)

        def products(accumulators, pointers):
            sums, position = list(accumulators), builder.ptrtoint(pointers[-1], INT64)
            y = [
                own.load(pointers[-2], nothing, j, tile.vector, own.mask(columns, j, tile.lanes))
                for j in range(tile.vectors)
            ]
            for tap in range(p.taps):
                at_tap = builder.add(position, ir.Constant(INT64, tap * p.dilation))
                reached = builder.icmp_unsigned("<", at_tap, size)
                offset = times(builder, pitch, tap * p.dilation)
                inside = builder.select(reached, own.x_columns, nothing)
                for j in range(tile.vectors):
                    mask = own.mask(inside, j, own.inputs)
                    for kernel_row in range(p.kernel_rows):
                        vector = own.load(pointers[kernel_row], offset, j, own.x_vector, mask)
                        for i, spread in enumerate(_spread(builder, vector, p, tile.lanes)):
                            at = own.accumulator(0, kernel_row, tap, i, j)
                            sums[at] = fma_value(builder, spread, y[j], sums[at])
            return sums

        pointers = own.pointers(x, x_index, group_step, first, end)
        # The loop carries pointers; the position is carried as one.
        counter = builder.inttoptr(origin, ir.IntType(8).as_pointer())
        return emit_loop(
            builder, tile, start, count, [*pointers, builder.gep(w, [w_index]), counter],
            [*[times(builder, pitch, p.stride)] * p.kernel_rows, w_advance, ir.Constant(INT64, p.stride)], products,
        )  # fmt: skip

    i = types.intp
    return tile(tile, pattern, x, i, i, i, w, i, i, i, i, i, i, i, i), generate


@intrinsic
def _constants(typing, pattern):
    """(stride, span from a window's first position to its last, pixels, kernel rows) of a pattern."""
    p = pattern.pattern
    numbers = p.stride, (p.taps - 1) * p.dilation, p.pixels, p.kernel_rows
    result = types.UniTuple(types.intp, len(numbers))

    def generate(context, builder, signature, arguments):
        return context.make_tuple(builder, result, [ir.Constant(INT64, number) for number in numbers])

    return result(pattern), generate


@kernel
def sum_channels(begin, end, arguments):
    """One tile over the rows of pixels begin … end of its table."""
    (
        shape, all_phases, pitch, size, masked, pattern, group_step, w_advance, x, w, table, _, out, out_step, columns,
        flags,
    ) = unpack(arguments)  # fmt: skip
    stride, span, pixels, kernel_rows = _constants(pattern)
    tile = zero_tile(all_phases)
    for t in range(begin, end):
        x_index, w_index, count = table[6 * t], table[6 * t + 1], table[6 * t + 2]
        origin, first, last = table[6 * t + 3], table[6 * t + 4], table[6 * t + 5]
        left = min(count, (stride - 1 - origin) // stride if origin < 0 else 0)
        right = (size - 1 - span - origin) // stride + 1 if size > span + origin else 0
        steps = max(min(right, count) - left, 0) // pixels
        # At the left edge, then inside, then what is left.
        before = tile
        tile = accumulate_edges(
            tile, pattern, x, x_index, pitch, group_step, w, w_index, w_advance, left, origin, size, first, last,
            columns,
        )  # fmt: skip
        tile = accumulate_inside(
            tile, pattern, masked, x, x_index + left * stride * pitch, pitch, group_step, w, w_index + left * w_advance,
            w_advance, steps, first, last, columns,
        )  # fmt: skip
        done = left + steps * pixels
        tile = accumulate_edges(
            tile, pattern, x, x_index + done * stride * pitch, pitch, group_step, w, w_index + done * w_advance,
            w_advance, count - done, origin + done * stride, size, first, last, columns,
        )  # fmt: skip
        if last - first < kernel_rows:
            tile = keep_rows(tile, before, pattern, first, last)
    total = sum_phases(tile, shape)
    if flags & ADD:
        total = add_tiles(total, load_tile(shape, out, 0))
    if columns == width(shape):
        store_tile(total, out, 0, out_step, 0)
    else:
        store_tile_part(total, out, 0, out_step, columns)


def channel_kernel(dtype: np.dtype, pattern: ChannelPattern, vectors: int, masked: bool) -> TileKernel:
    """`sum_channels` for rows of so many vectors."""
    data, table = np.empty(1, dtype), np.empty(1, np.int64)
    shape = TileShape(dtype, pattern.rows, vectors)
    all_phases = shape if pattern.phases == 1 else TileShape(dtype, pattern.rows * pattern.phases, vectors)
    code = compiled(
        sum_channels, shape, all_phases, 0, 0, Constant(masked), pattern, 0, 0, data, data, table, data, data, 0, 0, 0
    )
    return TileKernel(shape, code.address, code)
