"""Register tiles as values: rows × columns of accumulators that stay in vector registers while products are added.

A tile is the one primitive under convolution, its gradients and the matrix product. Its shape is part of its type
(`TileShape`, a compile-time argument of a body), so that each shape is compiled by itself and LLVM keeps all of the
tile in registers. A row holds `vectors` vectors of `lanes` numbers; rows come in `groups` of `rows / groups`, which
only says how far apart their inputs lie in memory.

`accumulate` contains its loop: written in LLVM's language here rather than in Python around a single outer product, so
that the accumulators are plain loop variables and the addresses of the rows come from few bases. Where a step or a
count is given as a `Constant`, addresses become fixed displacements and short loops are unrolled.
"""

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from .launch import CompileTimeType, ConstantType
from .simd import (
    INT64,
    VectorType,
    fma_value,
    llvm_vector,
    load_value,
    mask_of_first,
    splat_value,
    store_value,
    vector_of,
)

UNROLLED = 256  # the most multiply-adds that a loop of constant length is unrolled to


class TileShape:
    """The launcher's side of a tile: `rows` × `width` numbers of `dtype`, an argument for `run`."""

    def __init__(self, dtype: np.dtype, rows: int, vectors: int, groups: int = 1):
        vector = vector_of(dtype)
        self.rows, self.vectors, self.width = rows, vectors, vectors * vector.lanes
        self.numba_type = TileShapeKind(vector.numba_type.element, vector.lanes, rows, vectors, groups)


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


def _assemble(builder, tile: _Tile, vectors: list):
    """The tile made of its vectors, row by row."""
    value = ir.Constant(ir.ArrayType(tile.vector, tile.size), ir.Undefined)
    for position, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, position)
    return value


def _vectors(builder, tile: _Tile, value) -> list:
    return [builder.extract_value(value, position) for position in range(tile.size)]


def _number(kind: types.Type, value):
    """A whole number that may have been given as a `Constant`."""
    return ir.Constant(INT64, kind.number) if isinstance(kind, ConstantType) else value


def _times(builder, number, factor: int):
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
        return _assemble(builder, tile, row * tile.rows)

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
        return _assemble(builder, tile, loaded)

    return tile(shape, pointer, types.intp), generate


def _store(builder, tile: TileType, value, pointer, index, step, masks) -> None:
    for r in range(tile.rows):
        row = builder.add(index, _times(builder, step, r))
        for j in range(tile.vectors):
            address = builder.gep(pointer, [builder.add(row, ir.Constant(INT64, j * tile.lanes))])
            store_value(
                builder, builder.extract_value(value, r * tile.vectors + j), address, masks[j] if masks else None
            )


@intrinsic
def store_tile(typing, tile, pointer, index, step):
    """pointer[index + r·step : … + width] = tile[r, :]."""

    def generate(context, builder, signature, arguments):
        _store(builder, tile, arguments[0], arguments[1], arguments[2], _number(step, arguments[3]), None)
        return context.get_dummy_value()

    return types.void(tile, pointer, types.intp, step), generate


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
        return _assemble(
            builder,
            tile,
            [
                builder.select(builder.fcmp_ordered("<", vector, zero), zero, vector)
                for vector in _vectors(builder, tile, arguments[0])
            ],
        )

    return tile(tile), generate


@intrinsic
def add_tiles(typing, tile, other):
    """tile + other."""

    def generate(context, builder, signature, arguments):
        pairs = zip(_vectors(builder, tile, arguments[0]), _vectors(builder, tile, arguments[1]), strict=True)
        return _assemble(builder, tile, [builder.fadd(a, b) for a, b in pairs])

    return tile(tile, tile), generate


def _row_addresses(builder, tile: _Tile, step, group_step) -> tuple[list, list[tuple]]:
    """(bases, rows): the input of row r is at bases[rows[r][0]] + rows[r][1]. Few bases: x86 has 15 address
    registers, and adds a register times 1, 2, 4 or 8, or a constant, for free in each load."""
    run = tile.rows // tile.groups
    together = run if isinstance(step, ir.Constant) else 3
    bases, found, addresses = [], {}, []
    for r in range(tile.rows):
        group, inner = divmod(r, run)
        key = group, inner // together
        if key not in found:
            found[key] = len(bases)
            bases.append(builder.add(_times(builder, group_step, group), _times(builder, step, inner)))
        addresses.append((found[key], _times(builder, step, inner % together)))
    return bases, addresses


def _opaque(builder, pointer):
    """The same pointer, of which LLVM knows nothing: so each keeps a register of its own, rather than being worked
    out from another one in each round. `convergent` keeps the loop from being unrolled, which takes more registers
    than there are."""
    kind = ir.FunctionType(pointer.type, [pointer.type])
    result = builder.asm(kind, "", "=r,0", [pointer], side_effect=False)
    result.attributes.add("convergent")
    return result


def _loop(builder, tile: TileType, start, count, pointers: list, advances: list, body: Callable):
    """start, then `count` times the accumulators that `body(accumulators, pointers)` gives; pointers advance each time.
    A short constant count is unrolled."""
    initial = _vectors(builder, tile, start)
    if isinstance(count, ir.Constant) and count.constant * tile.size <= UNROLLED:
        sums = initial
        for s in range(count.constant):
            sums = body(
                sums,
                [
                    builder.gep(pointer, [_times(builder, advance, s)])
                    for pointer, advance in zip(pointers, advances, strict=True)
                ],
            )
        return _assemble(builder, tile, sums)

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
        _opaque(builder, builder.gep(pointer, [advance])) for pointer, advance in zip(current, advances, strict=True)
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
    return _assemble(builder, tile, finals)


def _accumulate(builder, kinds, arguments, columns=None):
    """The code of `accumulate` and `accumulate_part`."""
    tile = kinds[0]
    start, x, x_index, _, _, _, w, w_index, _, _ = arguments[:10]
    step, group_step, advance = (_number(kinds[i], arguments[i]) for i in (3, 4, 5))
    w_advance, count = (_number(kinds[i], arguments[i]) for i in (8, 9))
    bases, addresses = _row_addresses(builder, tile, step, group_step)
    masks = _column_masks(builder, tile, columns) if columns is not None else None

    def outer_product(accumulators, pointers):
        weights = _load_row(builder, tile, pointers[-1], masks)
        sums = []
        for r, (base, offset) in enumerate(addresses):
            number = builder.load(builder.gep(pointers[base], [offset]))
            value = splat_value(builder, number, tile.lanes)
            sums += [
                fma_value(builder, value, weights[j], accumulators[r * tile.vectors + j]) for j in range(tile.vectors)
            ]
        return sums

    first = builder.gep(x, [x_index])
    pointers = [*(builder.gep(first, [base]) for base in bases), builder.gep(w, [w_index])]
    return _loop(builder, tile, start, count, pointers, [*[advance] * len(bases), w_advance], outer_product)


@intrinsic
def accumulate(typing, tile, x, x_index, step, group_step, advance, w, w_index, w_advance, count):
    """tile[r, :] += Σ_s x[x_index + row(r) + s·advance] · w[w_index + s·w_advance : … + width] for 0 ≤ s < count,

    where row(r) = (r mod run)·step + (r div run)·group_step with run = rows / groups. The steps, advances and the count
    may be `Constant`s.
    """

    def generate(context, builder, signature, arguments):
        return _accumulate(builder, signature.args, arguments)

    i = types.intp
    return tile(tile, x, i, step, group_step, advance, w, i, w_advance, count), generate


@intrinsic
def accumulate_part(typing, tile, x, x_index, step, group_step, advance, w, w_index, w_advance, count, columns):
    """As `accumulate`, but of w only the first `columns` of each width are touched; the others count as zeros."""

    def generate(context, builder, signature, arguments):
        return _accumulate(builder, signature.args, arguments, arguments[10])

    i = types.intp
    return tile(tile, x, i, step, group_step, advance, w, i, w_advance, count, i), generate


@intrinsic
def accumulate_lanes(typing, tile, x, x_index, step, w, w_index, w_step, columns):
    """tile[r, j] += x[x_index + r·step + j] · w[w_index + r·w_step + j] for 0 ≤ j < columns: lane by lane, for
    depthwise convolution. What lies beyond the first `columns` of a row is not touched."""

    def generate(context, builder, signature, arguments):
        start, x, x_index, step, w, w_index, w_step, columns = arguments
        masks = _column_masks(builder, tile, columns)

        def load_rows(pointer, index, step):
            bases, addresses = _row_addresses(builder, tile, step, ir.Constant(INT64, 0))
            first = builder.gep(pointer, [index])
            starts = [builder.gep(first, [base]) for base in bases]
            return [
                vector
                for base, offset in addresses
                for vector in _load_row(builder, tile, builder.gep(starts[base], [offset]), masks)
            ]

        x_rows = load_rows(x, x_index, _number(signature.args[3], step))
        w_rows = load_rows(w, w_index, _number(signature.args[6], w_step))
        products = zip(x_rows, w_rows, _vectors(builder, tile, start), strict=True)
        return _assemble(builder, tile, [fma_value(builder, a, b, c) for a, b, c in products])

    i = types.intp
    return tile(tile, x, i, step, w, i, w_step, i), generate


@intrinsic
def accumulate_pixels(typing, tile, x, x_index, advance, w, w_index, w_advance, count, columns):
    """tile[s mod rows, j] += x[x_index + s·advance + j] · w[w_index + s·w_advance + j] for 0 ≤ s < count, 0 ≤ j <
    columns: sums lane by lane, one for each row, so that they need not wait for each other."""

    def generate(context, builder, signature, arguments):
        start, x, x_index, advance, w, w_index, w_advance, count, columns = arguments
        masks = _column_masks(builder, tile, columns)

        def products(accumulators, pointers, row_masks):
            sums = []
            for r in range(tile.rows):
                left = _load_row(builder, tile, builder.gep(pointers[0], [_times(builder, advance, r)]), row_masks[r])
                right = _load_row(
                    builder, tile, builder.gep(pointers[1], [_times(builder, w_advance, r)]), row_masks[r]
                )
                sums += [
                    fma_value(builder, a, b, accumulators[r * tile.vectors + j])
                    for j, (a, b) in enumerate(zip(left, right, strict=True))
                ]
            return sums

        size = ir.Constant(INT64, tile.rows)
        steps = builder.sdiv(count, size)
        advances = [_times(builder, advance, tile.rows), _times(builder, w_advance, tile.rows)]
        pointers = [builder.gep(x, [x_index]), builder.gep(w, [w_index])]
        sums = _loop(
            builder,
            tile,
            start,
            steps,
            pointers,
            advances,
            lambda accumulators, current: products(accumulators, current, [masks] * tile.rows),
        )
        # The last pixels, fewer than rows: rows beyond them are masked away.
        left_over = builder.srem(count, size)
        pointers = [
            builder.gep(pointer, [builder.mul(steps, step)]) for pointer, step in zip(pointers, advances, strict=True)
        ]
        nothing = ir.Constant(INT64, 0)
        row_masks = [
            _column_masks(
                builder,
                tile,
                builder.select(builder.icmp_signed(">", left_over, ir.Constant(INT64, r)), columns, nothing),
            )
            for r in range(tile.rows)
        ]
        return _assemble(builder, tile, products(_vectors(builder, tile, sums), pointers, row_masks))

    i = types.intp
    return tile(tile, x, i, i, w, i, i, i, i), generate


@intrinsic
def sum_rows(typing, tile):
    """The sum of the tile's rows, as a tile of one row."""
    result = TileType(tile.element, tile.lanes, 1, tile.vectors, 1)

    def generate(context, builder, signature, arguments):
        vectors = _vectors(builder, tile, arguments[0])
        sums = vectors[: tile.vectors]
        for position in range(tile.vectors, tile.size):
            j = position % tile.vectors
            sums[j] = builder.fadd(sums[j], vectors[position])
        return _assemble(builder, result, sums)

    return result(tile), generate
