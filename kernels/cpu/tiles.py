"""Register tiles as values: rows × columns of accumulators that stay in vector registers while products are added.

A tile is the one primitive under convolution, its gradients and the matrix product. Its shape is part of its type
(`TileShape`, a compile-time argument of a body), so that each shape is compiled by itself and LLVM keeps all of the
tile in registers. A row holds `vectors` vectors of `lanes` numbers; rows come in `groups` of `rows / groups`, which
only says how far apart their inputs lie in memory.

`accumulate` contains its loop: written in LLVM's language here rather than in Python around a single outer product, so
that the accumulators are plain loop variables and the addresses of the rows come from few bases. Where a step or a
count is given as a `Constant`, addresses become fixed displacements and short loops are unrolled.
"""

import platform
from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .bodies import CompileTimeType, ConstantType
from .simd import (
    INT32,
    INT64,
    VectorType,
    call_intrinsic,
    fma_value,
    llvm_vector,
    load_value,
    mask_of_first,
    splat_value,
    store_value,
    stream_value,
    vector_of,
)

UNROLLED = 256  # the most multiply-adds that a loop of constant length is unrolled to
_VECTOR_REGISTERS = {"x86_64": "v", "amd64": "v", "aarch64": "w", "arm64": "w"}  # how LLVM's assembler calls them


class TileShape:
    """The launcher's side of a tile: `rows` × `width` numbers of `dtype`, an argument for `run`. `lanes`: of a vector,
    if not those of the machine's widest."""

    def __init__(self, dtype: np.dtype, rows: int, vectors: int, groups: int = 1, lanes: int | None = None):
        vector = vector_of(dtype)
        lanes = lanes or vector.lanes
        self.rows, self.vectors, self.width = rows, vectors, vectors * lanes
        self.numba_type = TileShapeKind(vector.numba_type.element, lanes, rows, vectors, groups)


class _Tile(types.Type):
    def __init__(self, element: types.Type, lanes: int, rows: int, vectors: int, groups: int):
        self.element, self.lanes, self.rows, self.vectors, self.groups = element, lanes, rows, vectors, groups
        super().__init__(name=f"{type(self).__name__}({element}, {lanes}, {rows}, {vectors}, {groups})")

    @property
    def parts(self) -> tuple:
        return self.element, self.lanes, self.rows, self.vectors, self.groups

    @property
    def vector(self) -> ir.VectorType:
        return llvm_vector(VectorType(self.element, self.lanes))

    @property
    def size(self) -> int:
        return self.rows * self.vectors


class TileShapeKind(_Tile, CompileTimeType):
    """The compile-time argument: a tile's shape, without data."""


class TileType(_Tile):
    """The value: all accumulators."""


register_model(TileShapeKind)(models.OpaqueModel)


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.size))


def assemble(builder, tile: _Tile, vectors: list):
    """The tile made of its vectors, row by row."""
    value = ir.Constant(ir.ArrayType(tile.vector, tile.size), ir.Undefined)
    for position, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, position)
    return value


def vectors_of(builder, tile: _Tile, value) -> list:
    """The vectors of a tile, row by row."""
    return [builder.extract_value(value, position) for position in range(tile.size)]


def _number(kind: types.Type, value):
    """A whole number that may have been given as a `Constant`."""
    return ir.Constant(INT64, kind.number) if isinstance(kind, ConstantType) else value


def times(builder, number, factor: int):
    """number · factor, folded where the number is a constant."""
    if isinstance(number, ir.Constant):
        return ir.Constant(INT64, number.constant * factor)
    return builder.mul(number, ir.Constant(INT64, factor))


def _column_masks(builder, tile: _Tile, columns) -> list:
    """For each vector of a row, the mask of those lanes that lie among the first `columns`."""
    return [
        mask_of_first(builder, builder.sub(columns, ir.Constant(INT64, j * tile.lanes)), tile.lanes)
        for j in range(tile.vectors)
    ]


def _load_row(builder, tile: _Tile, pointer, masks=None) -> list:
    """The vectors of one row of `tile.vectors` vectors at `pointer`."""
    return [
        load_value(
            builder,
            builder.gep(pointer, [ir.Constant(INT64, j * tile.lanes)]),
            tile.vector,
            masks[j] if masks else None,
        )
        for j in range(tile.vectors)
    ]


# ---- shapes ----------------------------------------------------------------------------------------------------------


@intrinsic
def rows(typing, shape):
    """Rows of a tile of this shape, a compile-time constant."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(INT64, signature.args[0].rows)

    return types.intp(shape), generate


@intrinsic
def width(typing, shape):
    """Columns of a tile of this shape (vectors × lanes), a compile-time constant."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(INT64, signature.args[0].vectors * signature.args[0].lanes)

    return types.intp(shape), generate


# ---- memory ----------------------------------------------------------------------------------------------------------


@intrinsic
def zero_tile(typing, shape):
    """A tile of zeros."""
    tile = TileType(*shape.parts)

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.ArrayType(tile.vector, tile.size), None)

    return tile(shape), generate


@intrinsic
def repeat_row(typing, shape, pointer, index):
    """A tile whose rows are all pointer[index : index + width]: a bias."""
    tile = TileType(*shape.parts)

    def generate(context, builder, signature, arguments):
        row = _load_row(builder, tile, builder.gep(arguments[1], [arguments[2]]))
        return assemble(builder, tile, row * tile.rows)

    return tile(shape, pointer, types.intp), generate


@intrinsic
def load_tile(typing, shape, pointer, index):
    """The tile that `store_tile` wrote at pointer[index] with its rows one after another."""
    tile = TileType(*shape.parts)

    def generate(context, builder, signature, arguments):
        loaded = []
        for r in range(tile.rows):
            offset = builder.add(arguments[2], ir.Constant(INT64, r * tile.vectors * tile.lanes))
            loaded += _load_row(builder, tile, builder.gep(arguments[1], [offset]))
        return assemble(builder, tile, loaded)

    return tile(shape, pointer, types.intp), generate


def _store(builder, tile: TileType, value, pointer, index, step, masks, streamed=False) -> None:
    for r in range(tile.rows):
        row = builder.add(index, times(builder, step, r))
        for j in range(tile.vectors):
            address = builder.gep(pointer, [builder.add(row, ir.Constant(INT64, j * tile.lanes))])
            vector = builder.extract_value(value, r * tile.vectors + j)
            if streamed:
                stream_value(builder, vector, address)
            else:
                store_value(builder, vector, address, masks[j] if masks else None)


@intrinsic
def store_tile(typing, tile, pointer, index, step, streamed):
    """pointer[index + r·step : … + width] = tile[r, :]. With `Constant(True)` as `streamed` the caches are passed by,
    and each vector goes to a multiple of its size; `finish_streams` comes last."""
    past_caches = _is_true(streamed)

    def generate(context, builder, signature, arguments):
        number = _number(step, arguments[3])
        _store(builder, tile, arguments[0], arguments[1], arguments[2], number, None, past_caches)
        return context.get_dummy_value()

    return types.void(tile, pointer, types.intp, step, streamed), generate


@intrinsic
def fetch_tile(typing, ahead, streamed, shape, pointer, index, step):
    """With `Constant(True)` as `ahead`, asks for the lines that `store_tile` will write, unless it passes the caches
    by: stores that wait for lines would hold up those that come after them."""
    is_wanted = _is_true(ahead) and not _is_true(streamed)

    def generate(context, builder, signature, arguments):
        _, _, _, pointer, index, step = arguments
        for r in range(shape.rows if is_wanted else 0):
            row = builder.add(index, times(builder, step, r))
            for j in range(shape.vectors):
                address = builder.gep(pointer, [builder.add(row, ir.Constant(INT64, j * shape.lanes))])
                _fetch(builder, address, to_write=True)
        return context.get_dummy_value()

    return types.void(ahead, streamed, shape, pointer, types.intp, types.intp), generate


@intrinsic
def store_tile_part(typing, tile, pointer, index, step, columns):
    """pointer[index + r·step : … + columns] = tile[r, :columns]; what lies beyond is not touched."""

    def generate(context, builder, signature, arguments):
        masks = _column_masks(builder, tile, arguments[4])
        _store(builder, tile, arguments[0], arguments[1], arguments[2], _number(step, arguments[3]), masks)
        return context.get_dummy_value()

    return types.void(tile, pointer, types.intp, step, types.intp), generate


# ---- arithmetic ------------------------------------------------------------------------------------------------------


@intrinsic
def relu_tile(typing, tile):
    """max(tile, 0); NaN stays."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(tile.vector, None)
        return assemble(
            builder,
            tile,
            [
                builder.select(builder.fcmp_ordered("<", vector, zero), zero, vector)
                for vector in vectors_of(builder, tile, arguments[0])
            ],
        )

    return tile(tile), generate


@intrinsic
def add_tiles(typing, tile, other):
    """tile + other."""

    def generate(context, builder, signature, arguments):
        pairs = zip(vectors_of(builder, tile, arguments[0]), vectors_of(builder, tile, arguments[1]), strict=True)
        return assemble(builder, tile, [builder.fadd(a, b) for a, b in pairs])

    return tile(tile, tile), generate


# A load takes once or twice any of these multiples of a step; where rows are many, more of them spare bases.
_MULTIPLES = [(1,), (1, 3, 4, 5)]


def _within_reach(multiples: Sequence[int]) -> dict[int, tuple[int, int]]:
    """{rows from a base: (multiple of the step, how many times)} for all rows that one load reaches."""
    return {multiple * times: (multiple, times) for times in (2, 1) for multiple in multiples} | {0: (0, 1)}


def _first_rows(rows: int, multiples: Sequence[int]) -> dict[int, int]:
    """{row: the row whose address is the base of its own}, few such rows."""
    firsts: dict[int, int] = {}
    for first in range(rows):
        if first not in firsts:
            firsts = {first + reach: first for reach in _within_reach(multiples)} | firsts
    return {row: firsts[row] for row in range(rows)}


def row_addresses(builder, tile: _Tile, step, group_step) -> tuple[list, list[tuple]]:
    """(bases, places): the input of row r is at bases[places[r][0]] + places[r][1]. Few bases: x86 has 15 address
    registers, and adds a register times 1, 2, 4 or 8, or a constant, for free in each load."""
    run, fixed = tile.rows // tile.groups, isinstance(step, ir.Constant)
    ways = [(multiples, _first_rows(run, multiples)) for multiples in _MULTIPLES]
    multiples, firsts = min(ways, key=lambda way: len(set(way[1].values())) * tile.groups + len(way[0]))
    if fixed:
        multiples, firsts = (1,), dict.fromkeys(range(run), 0)
    held = {multiple: times(builder, step, multiple) for multiple in multiples}
    if len(multiples) > 1:
        held = {multiple: opaque(builder, number) for multiple, number in held.items()}
    bases, addresses = {}, []
    for row in range(tile.rows):
        group, inner = divmod(row, run)
        first = firsts[inner]
        if (group, first) not in bases:
            start = times(builder, step, first)
            bases[group, first] = builder.add(times(builder, group_step, group), start) if tile.groups > 1 else start
        multiple, count = (1, inner) if fixed else _within_reach(multiples)[inner - first]
        offset = times(builder, held[multiple], count) if multiple else ir.Constant(INT64, 0)
        addresses.append((list(bases).index((group, first)), offset))
    return list(bases.values()), addresses


def opaque(builder, value):
    """The same pointer or number, of which LLVM knows nothing: so each keeps a register of its own, rather than being
    worked out from another one in each round. `convergent` keeps the loop from being unrolled, which takes more
    registers than there are."""
    kind = ir.FunctionType(value.type, [value.type])
    result = builder.asm(kind, "", "=r,0", [value], side_effect=False)
    result.attributes.add("convergent")
    return result


def reorder_nothing(builder, computed: Sequence = ()) -> None:
    """Keeps loads before it before it, and those after it after it; the vectors `computed` are computed before it. In
    unrolled code LLVM would otherwise load early, and once, what neighbouring pixels' windows have in common, and
    have no registers for it."""
    register = _VECTOR_REGISTERS.get(platform.machine().lower())
    computed = computed if register and computed and computed[0].type.count > 1 else ()
    kind = ir.FunctionType(ir.VoidType(), [vector.type for vector in computed])
    constraints = ",".join([*[register] * len(computed), "~{memory}"])
    builder.asm(kind, "", constraints, list(computed), side_effect=True)


def emit_loop(builder, tile: TileType, start, count, pointers: list, advances: list, body: Callable):
    """start, then `count` times the accumulators that `body(accumulators, pointers)` gives; pointers advance each time.
    A short constant count is unrolled."""
    initial = vectors_of(builder, tile, start)
    if isinstance(count, ir.Constant) and count.constant * tile.size <= UNROLLED:
        sums = initial
        for s in range(count.constant):
            steps = [times(builder, advance, s) for advance in advances]
            moved = [builder.gep(pointer, [step]) for pointer, step in zip(pointers, steps, strict=True)]
            sums = body(sums, moved)
        return assemble(builder, tile, sums)

    zero, one = ir.Constant(INT64, 0), ir.Constant(INT64, 1)
    before, loop, after = builder.block, builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.end")
    builder.cbranch(builder.icmp_signed(">", count, zero), loop, after)

    builder.position_at_end(loop)
    left = builder.phi(INT64)
    current = [builder.phi(pointer.type) for pointer in pointers]
    accumulators = [builder.phi(tile.vector) for _ in range(tile.size)]
    sums = body(accumulators, current)
    remaining = builder.sub(left, one)
    advanced = [
        opaque(builder, builder.gep(pointer, [advance])) for pointer, advance in zip(current, advances, strict=True)
    ]
    for phi, first, then in [
        (left, count, remaining),
        *zip(current, pointers, advanced, strict=True),
        *zip(accumulators, initial, sums, strict=True),
    ]:
        phi.add_incoming(first, before)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed(">", remaining, zero), loop, after)

    builder.position_at_end(after)
    finals = [builder.phi(tile.vector) for _ in range(tile.size)]
    for phi, first, then in zip(finals, initial, sums, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(then, loop)
    return assemble(builder, tile, finals)


def _fetch(builder, pointer, to_write: bool = False) -> None:
    """Asks for the cache line at `pointer`; where there is no memory that is no error."""
    options = [ir.Constant(INT32, option) for option in (int(to_write), 3, 1)]  # into the first cache, data
    address = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    call_intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), [address, *options])


def _is_true(kind) -> bool:
    """True for the type of `Constant(True)`."""
    return isinstance(kind, ConstantType) and bool(kind.number)


def _accumulate(builder, kinds, arguments):
    """The code of `accumulate` position after position of the run."""
    tile = kinds[0]
    start, x, x_index, _, _, _, w, w_index, _, _, _, _, following = arguments
    step, group_step, advance = (_number(kinds[i], arguments[i]) for i in (3, 4, 5))
    w_advance, count = (_number(kinds[i], arguments[i]) for i in (8, 9))
    bases, addresses = row_addresses(builder, tile, step, group_step)
    ahead = _is_true(kinds[11]) and not isinstance(count, ir.Constant)

    def outer_product(accumulators, pointers):
        weights = _load_row(builder, tile, pointers[len(bases)])
        if ahead:
            _fetch(builder, pointers[-1])
        sums = []
        for r, (base, offset) in enumerate(addresses):
            number = builder.load(builder.gep(pointers[base], [offset]))
            value = splat_value(builder, number, tile.lanes)
            sums += [
                fma_value(builder, value, weights[j], accumulators[r * tile.vectors + j]) for j in range(tile.vectors)
            ]
            if isinstance(count, ir.Constant):
                reorder_nothing(builder, sums[-tile.vectors :])
        return sums

    first = builder.gep(x, [x_index])
    pointers = [*(builder.gep(first, [base]) for base in bases), builder.gep(w, [w_index])]
    advances = [*[advance] * len(bases), w_advance]
    if ahead:  # in as many steps as there are positions over all that the next piece's rows span
        between = builder.sdiv(times(builder, step, tile.rows - 1), count)
        pointers.append(builder.gep(x, [following]))
        advances.append(builder.add(between, ir.Constant(INT64, 2)))
    return emit_loop(builder, tile, start, count, pointers, advances, outer_product)


def _accumulate_shared(builder, kinds, arguments):
    """The code of `accumulate` number after number of x, each loaded once for all rows whose windows hold it, while all
    weights of the run stay in registers. Step and count are constants, the advance is 1."""
    tile, step, count = kinds[0], kinds[3].number, kinds[9].number
    start, x, x_index, _, _, _, w, w_index, w_advance = arguments[:9]
    first, weight, sums = builder.gep(x, [x_index]), builder.gep(w, [w_index]), vectors_of(builder, tile, start)
    weights = [_load_row(builder, tile, builder.gep(weight, [times(builder, w_advance, s)])) for s in range(count)]
    for position in sorted({r * step + s for r in range(tile.rows) for s in range(count)}):
        number = builder.load(builder.gep(first, [ir.Constant(INT64, position)]))
        value = splat_value(builder, number, tile.lanes)
        rows_here = range(max(0, (position - count) // step + 1), min(position // step + 1, tile.rows))
        places = [r * tile.vectors + j for r in rows_here for j in range(tile.vectors)]
        for place in places:
            row, j = divmod(place, tile.vectors)
            sums[place] = fma_value(builder, value, weights[position - row * step][j], sums[place])
        reorder_nothing(builder, [sums[place] for place in places])
    return assemble(builder, tile, sums)


@intrinsic
def accumulate(
    typing, tile, x, x_index, step, group_step, advance, w, w_index, w_advance, count, shared, ahead, following
):
    """tile[r, :] += Σ_s x[x_index + row(r) + s·advance] · w[w_index + s·w_advance : … + width] for 0 ≤ s < count,

    where row(r) = (r mod run)·step + (r div run)·group_step with run = rows / groups. The steps, advances and the count
    may be `Constant`s. With `Constant(True)` as `shared`, what several rows read of x is loaded once: for a single
    group, a constant step and count, and registers for all weights. With `Constant(True)` as `ahead`, caches are asked
    for what the same sum reads of x when x_index is `following`: for an advance of 1 and a count that is not constant.
    """
    code = _accumulate_shared if _is_true(shared) else _accumulate

    def generate(context, builder, signature, arguments):
        return code(builder, signature.args, arguments)

    i = types.intp
    return tile(tile, x, i, step, group_step, advance, w, i, w_advance, count, shared, ahead, i), generate


@intrinsic
def accumulate_apart(typing, tile, inputs, outputs, x, x_index, step, w, w_index):
    """For channels that keep to their groups, `inputs` of x to `outputs` of the tile (`Constant`s; the lanes are a
    multiple of `outputs`):

    tile[r, j] += Σ_i x[x_index + r·step + (j div outputs)·inputs + i] · w[w_index + i·width + j]
    """
    c, k = inputs.number, outputs.number

    def generate(context, builder, signature, arguments):
        start, _, _, x, x_index, _, w, w_index = arguments
        step = _number(signature.args[5], arguments[5])
        bases, addresses = row_addresses(builder, tile, step, None)
        first, weight = builder.gep(x, [x_index]), builder.gep(w, [w_index])
        pointers = [builder.gep(first, [base]) for base in bases]
        span = tile.lanes // k * c  # of x, that one vector of the tile meets
        read = ir.VectorType(tile.vector.element, span)
        places = [[j // k * c + i for j in range(tile.lanes)] for i in range(c)]
        sums = vectors_of(builder, tile, start)
        for v in range(tile.vectors):
            weights = [
                load_value(
                    builder,
                    builder.gep(weight, [ir.Constant(INT64, (i * tile.vectors + v) * tile.lanes)]),
                    tile.vector,
                )
                for i in range(c)
            ]
            for r, (base, offset) in enumerate(addresses):
                address = builder.gep(pointers[base], [builder.add(offset, ir.Constant(INT64, v * span))])
                numbers = load_value(builder, address, read)
                for i in range(c):
                    indices = ir.Constant(ir.VectorType(ir.IntType(32), tile.lanes), places[i])
                    own = numbers if c == k == 1 else builder.shuffle_vector(numbers, numbers, indices)
                    position = r * tile.vectors + v
                    sums[position] = fma_value(builder, own, weights[i], sums[position])
        return assemble(builder, tile, sums)

    i = types.intp
    return tile(tile, inputs, outputs, x, i, step, w, i), generate


# ---- lanes over the input --------------------------------------------------------------------------------------------


def _divided(builder, number, divisor: int) -> tuple:
    """number // divisor and the remainder of a number ≥ 0, folded where the number is a constant."""
    if isinstance(number, ir.Constant):
        return tuple(ir.Constant(INT64, part) for part in divmod(number.constant, divisor))
    size = ir.Constant(INT64, divisor)
    return builder.udiv(number, size), builder.urem(number, size)


@intrinsic
def accumulate_dots(typing, tile, x, x_index, step, w, w_index, w_step, w_advance, count):
    """tile[r, k, s mod lanes] += x[x_index + r·step + s] · w[w_index + k·w_step + (s div lanes)·w_advance + s mod
    lanes] for 0 ≤ s < count: the tile's vector k of row r holds the partial sums of one number, lane by lane. What lies
    beyond `count` is not touched. Steps, the advance and the count may be `Constant`s."""

    def generate(context, builder, signature, arguments):
        start, x, x_index, _, w, w_index, _, _, _ = arguments
        step, w_step, w_advance, count = (_number(signature.args[i], arguments[i]) for i in (3, 6, 7, 8))
        x_bases, x_rows = row_addresses(builder, tile, step, None)
        w_bases, w_rows = row_addresses(builder, TileType(tile.element, tile.lanes, tile.vectors, 1, 1), w_step, None)
        first, first_weight = builder.gep(x, [x_index]), builder.gep(w, [w_index])
        pointers = [builder.gep(first, [base]) for base in x_bases]
        pointers += [builder.gep(first_weight, [base]) for base in w_bases]
        advances = [ir.Constant(INT64, tile.lanes)] * len(x_bases) + [w_advance] * len(w_bases)

        def products(accumulators, current, mask=None):
            def vector_at(base, offset):
                return load_value(builder, builder.gep(current[base], [offset]), tile.vector, mask)

            weights = [vector_at(len(x_bases) + base, offset) for base, offset in w_rows]
            sums = []
            for r, (base, offset) in enumerate(x_rows):
                row = vector_at(base, offset)
                sums += [
                    fma_value(builder, row, weights[k], accumulators[r * tile.vectors + k]) for k in range(tile.vectors)
                ]
            return sums

        whole, rest = _divided(builder, count, tile.lanes)
        sums = emit_loop(builder, tile, start, whole, pointers, advances, products)
        pointers = [
            builder.gep(pointer, [builder.mul(whole, advance)])
            for pointer, advance in zip(pointers, advances, strict=True)
        ]
        mask = mask_of_first(builder, rest, tile.lanes)
        some = builder.zext(builder.icmp_signed(">", rest, ir.Constant(INT64, 0)), INT64)
        return emit_loop(
            builder, tile, sums, some, pointers, advances, lambda sums, current: products(sums, current, mask)
        )

    i = types.intp
    return tile(tile, x, i, step, w, i, w_step, w_advance, count), generate


def _folded(builder, a, b, indices: Callable[[int], tuple[list[int], list[int]]]):
    """Half of a + the other half, beside the same of b: the lanes of (a, b) that are added to each other are
    `indices(lanes)`."""
    halves = indices(a.type.count)
    low, high = (
        builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(half)), half)) for half in halves
    )
    return builder.fadd(low, high)


def _folds(lanes: int, in_register: int) -> list[Callable]:
    """The steps that turn `lanes` vectors into one that holds their sums in order, each by shuffles that take one
    instruction: first within each register of 128 bits, of `in_register` lanes, then whole such registers."""

    def within(size):  # neighbouring pieces of `size` lanes, the first half of a register's with its second
        def indices(count):
            def half(offset):
                return [
                    register + offset + piece + lane + source
                    for register in range(0, count, in_register)
                    for piece in range(0, in_register // 2, size)
                    for source in (0, count)
                    for lane in range(size)
                ]

            return half(0), half(in_register // 2)

        return indices

    def between(partials):  # registers that are partial sums of the same numbers
        def indices(count):
            def half(offset):
                return [
                    source + first + offset + i
                    for source in (0, count)
                    for first in range(0, count, partials)
                    for i in range(partials // 2)
                ]

            return half(0), half(partials // 2)

        return indices

    steps = [within(1 << level) for level in range((in_register // 2).bit_length())]
    partials = lanes
    while partials > in_register:
        steps.append(between(partials))
        partials //= 2
    return steps


def _lane_sums(builder, tile: TileType, vectors: list) -> list:
    """The sum of the lanes of each vector, `lanes` sums in a vector, in order. About three instructions for each."""
    in_register = min(tile.lanes, 16 // (4 if str(tile.vector.element) == "float" else 8))
    sums = []
    for first in range(0, len(vectors), tile.lanes):
        level = vectors[first : first + tile.lanes]
        for indices in _folds(tile.lanes, in_register) if tile.lanes > 1 else []:
            level = [
                _folded(builder, level[i], level[min(i + 1, len(level) - 1)], indices) for i in range(0, len(level), 2)
            ]
        sums += level
    return sums


def _store_elements(builder, vectors: list, first: int, count: int, pointer) -> None:
    """pointer[:count] = the elements first … first + count of the vectors, taken as one long one."""
    lanes = vectors[0].type.count
    elements = [
        builder.extract_element(vectors[i // lanes], ir.Constant(INT64, i % lanes)) for i in range(first, first + count)
    ]
    packed = ir.Constant(ir.VectorType(vectors[0].type.element, count), ir.Undefined)
    for i, element in enumerate(elements):
        packed = builder.insert_element(packed, element, ir.Constant(INT64, i))
    store_value(builder, packed, pointer)


@intrinsic
def store_dots(typing, tile, bias, relu, pointer, index, step):
    """pointer[index + r·step + k] = bias[r·vectors + k] + the sum of the lanes of the tile's vector k of row r; its
    maximum with 0 if `relu` is not 0 (NaN stays). The bias is read in whole vectors."""

    def generate(context, builder, signature, arguments):
        value, bias, relu, pointer, index, step = arguments
        zero, is_relu = ir.Constant(tile.vector, None), builder.icmp_signed("!=", relu, ir.Constant(INT64, 0))
        sums = []
        for i, vector in enumerate(_lane_sums(builder, tile, vectors_of(builder, tile, value))):
            address = builder.gep(bias, [ir.Constant(INT64, i * tile.lanes)])
            total = builder.fadd(vector, load_value(builder, address, tile.vector))
            clipped = builder.select(builder.fcmp_ordered("<", total, zero), zero, total)
            sums.append(builder.select(is_relu, clipped, total))
        first = builder.gep(pointer, [index])
        side_by_side = builder.icmp_signed("==", step, ir.Constant(INT64, tile.vectors))
        with builder.if_else(side_by_side) as (one_run, row_by_row):
            with one_run:
                for position in range(0, tile.size, tile.lanes):
                    address = builder.gep(first, [ir.Constant(INT64, position)])
                    _store_elements(builder, sums, position, min(tile.lanes, tile.size - position), address)
            with row_by_row:
                for r in range(tile.rows):
                    address = builder.gep(first, [times(builder, step, r)])
                    _store_elements(builder, sums, r * tile.vectors, tile.vectors, address)
        return context.get_dummy_value()

    i = types.intp
    return types.void(tile, bias, i, pointer, i, i), generate
