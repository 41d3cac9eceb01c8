"""The small matrices of Winograd's convolution F(m×m, 3×3), and their products with tiles of vectors.

m neighbouring outputs of a filter g of three numbers, y_i = d_i g₀ + d_{i+1} g₁ + d_{i+2} g₂, need 3m multiplications
as they stand, and m + 2 as

    y = Aᵀ [ (G g) ⊙ (Bᵀ d) ]:

d and g are taken as polynomials, evaluated at m + 1 points (and at infinity), multiplied there, and the product is
interpolated (Cook and Toom). In two dimensions both are done in turn, (m + 2)² products instead of 9m² for a tile of
m × m outputs:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A,     and from it the filter's gradient  dg = Gᵀ [ (A dY Aᵀ) ⊙ (Bᵀ d B) ] G.

The products ⊙ are summed over channels (or, for the gradient, over tiles): (m + 2)² matrix products, one for each point
of the transformed tile.

m = 2 takes the points 0, ±1. Its matrices hold 0, ±1 and ±½ alone, and each output keeps to its own window: y₀ is made
of d₀ d₁ d₂ alone and y₁ of d₁ d₂ d₃. m = 4 takes 0, ±¾ and ±1½ rather than the usual 0, ±1, ±2, whose rounding errors
were measured as twice as large; the numbers of B and A are still exact in binary. (Larger tiles lose too many digits.)

A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, CVPR 2016; S. Winograd: Arithmetic Complexity of
Computations, SIAM 1980; on the choice of points: B. Barabasz et al.: Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks, ACM Transactions on Mathematical Software 46, 2020.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .bodies import ConstantType
from .simd import INT64, VectorType, fma_value, llvm_vector, load_value, splat_value, store_value, stream_value
from .tiles import opaque, reorder_nothing

TAPS = 3  # of a filter, along one dimension
MOST_IN_REGISTERS = 16  # vectors, half of what the widest instruction sets have
POINTS = {2: (0, 1, -1), 4: (0, 0.75, -0.75, 1.5, -1.5)}  # for each m; infinity comes as the last


class Matrices(NamedTuple):
    """What a tile, a filter and their products are multiplied by from both sides; and for the gradients, transposed."""

    window: np.ndarray  # Bᵀ
    filter: np.ndarray  # G
    output: np.ndarray  # Aᵀ
    output_gradient: np.ndarray  # A
    filter_gradient: np.ndarray  # Gᵀ


WINDOW, FILTER, OUTPUT, OUTPUT_GRADIENT, FILTER_GRADIENT = range(5)


def _cook_toom(points: tuple[float, ...]) -> Matrices:
    """The matrices of the polynomials through `points` and infinity."""
    outputs = len(points) + 1 - TAPS + 1
    others = [[q for q in points if q != p] for p in points]
    weights = [np.prod([p - q for q in rest]) for p, rest in zip(points, others, strict=True)]
    window = np.zeros((len(points) + 1, len(points) + 1))
    for row, roots in zip(window, [*others, points], strict=True):
        row[: len(roots) + 1] = np.poly(roots)[::-1]
    filters = [[p**j / weight for j in range(TAPS)] for p, weight in zip(points, weights, strict=True)]
    output = [[p**i for p in points] + [float(i == outputs - 1)] for i in range(outputs)]
    g, a = np.array([*filters, [0.0] * (TAPS - 1) + [1.0]]), np.array(output)
    return Matrices(window, g, a, a.T, g.T)


MATRICES = {outputs: _cook_toom(points) for outputs, points in POINTS.items()}


# ---- sums ------------------------------------------------------------------------------------------------------------


class _Arithmetic:
    """Sums and products of vectors, as LLVM's instructions."""

    def __init__(self, builder):
        self.builder = builder

    def add(self, a, b):
        return self.builder.fadd(a, b)

    def subtract(self, a, b):
        return self.builder.fsub(a, b)

    def times(self, weight: float, vector):
        return self.builder.fmul(self._number(weight, vector), vector)

    def plus_times(self, total, weight: float, vector):
        return fma_value(self.builder, self._number(weight, vector), vector, total)

    def _number(self, number: float, like):
        """The number in all lanes."""
        return splat_value(self.builder, ir.Constant(like.type.element, float(number)), like.type.count)


class _Counter:
    """Counts them."""

    def __init__(self):
        self.count = 0

    def _one(self, *_):
        self.count += 1
        return 0

    add = subtract = times = plus_times = _one


def _plus(arithmetic, total, weight: float, vector):
    """total + weight · vector."""
    if abs(weight) == 1:
        return arithmetic.add(total, vector) if weight > 0 else arithmetic.subtract(total, vector)
    return arithmetic.plus_times(total, weight, vector)


def _weighted_sum(arithmetic, weights, values: list):
    """Σ weights[i] · values[i], without the products by 0 and 1."""
    terms = [(weight, value) for weight, value in zip(weights, values, strict=True) if weight]
    weight, total = terms.pop(next((i for i, term in enumerate(terms) if term[0] == 1), 0))
    if weight != 1:
        total = arithmetic.times(weight, total)
    for weight, term in terms:
        total = _plus(arithmetic, total, weight, term)
    return total


def _mirrored(a: np.ndarray, b: np.ndarray) -> bool:
    """True if a and b are the sum and the difference of two parts: they differ in some signs, and agree elsewhere."""
    return np.array_equal(np.abs(a), np.abs(b)) and bool(np.any((a == b) & (a != 0)) and np.any(a != b))


def _pairs(lines: np.ndarray) -> list[tuple[int, int]]:
    """The neighbouring lines that mirror each other: those of a point and of its negative."""
    return [(i, i + 1) for i in range(len(lines) - 1) if _mirrored(lines[i], lines[i + 1])]


def _sum_and_difference(arithmetic, a: np.ndarray, b: np.ndarray, values: list) -> tuple:
    """(a · values, b · values) of two that mirror each other: what they share is summed once."""
    odd = np.where(a == b, 0, a)
    even = _weighted_sum(arithmetic, a - odd, values)
    scales = [weight for weight in odd if weight and np.array_equal(odd / weight, (odd / weight).astype(np.float32))]
    scale = scales[0] if scales else 1  # exact, or none
    rest = _weighted_sum(arithmetic, odd / scale, values)
    return _plus(arithmetic, even, scale, rest), _plus(arithmetic, even, -scale, rest)


def _products(arithmetic, matrix: np.ndarray, rows: tuple[int, ...], values: list):
    """(row, Σ matrix[row, i] · values[i]) for these rows; pairs of values, and pairs of rows, that are used in one way
    but for their signs are added and subtracted once."""
    matrix, values = matrix[list(rows)], list(values)
    for i, j in _pairs(matrix.T):
        both = np.array([matrix[:, i] + matrix[:, j], matrix[:, i] - matrix[:, j]]) / 2
        a, b = values[i], values[j]
        values[i] = arithmetic.add(a, b) if both[0].any() else None
        values[j] = arithmetic.subtract(a, b) if both[1].any() else None
        matrix[:, [i, j]] = both.T
    paired = dict(_pairs(matrix))
    for r, row in enumerate(rows):
        if r in paired:
            both = _sum_and_difference(arithmetic, matrix[r], matrix[r + 1], values)
            yield from zip(rows[r : r + 2], both, strict=True)
        elif r - 1 not in paired:
            yield row, _weighted_sum(arithmetic, matrix[r], values)


@cache
def _groups(matrix_of: tuple[int, int]) -> list[tuple[int, ...]]:
    """The rows of a matrix that are computed together, so many that their sums over all columns stay in registers:
    pairs, or else rows that use the same sums or differences of columns."""
    matrix = MATRICES[matrix_of[0]][matrix_of[1]]
    most = max(1, MOST_IN_REGISTERS // matrix.shape[1])
    paired = _pairs(matrix)
    single = [row for row in range(len(matrix)) if all(row not in pair for pair in paired)]
    single.sort(key=lambda row: [abs(matrix[row, i] - matrix[row, j]) for i, j in _pairs(matrix.T)])
    units, groups = [*paired, *((row,) for row in single)], [()]
    for unit in units:
        if groups[-1] and len(groups[-1]) + len(unit) > most:
            groups.append(())
        groups[-1] += unit
    return groups


@cache
def operations(outputs: int, which: int) -> int:
    """Additions and multiplications of matrix · tile · matrixᵀ, a fused one counted once."""
    matrix, first, second = MATRICES[outputs][which], _Counter(), _Counter()
    rows, columns = matrix.shape
    for group in _groups((outputs, which)):
        list(_products(first, matrix, group, [0] * columns))
    list(_products(second, matrix, tuple(range(rows)), [0] * columns))
    return first.count * columns + second.count * rows


# ---- products with tiles of vectors ----------------------------------------------------------------------------------


class _Places:
    """The places at pointer[index + a·first_step + b·second_step]. LLVM would work out all offsets before the loop that
    a transformation stands in, and load each from the stack: so what a place has in common with those of the same `a`
    is hidden from it."""

    def __init__(self, builder, pointer, index, first_step, second_step):
        self.builder, self.pointer, self.index = builder, pointer, index
        self.first_step, self.second_step = first_step, second_step

    def base(self, a: int):
        """What the places of an `a` are counted from."""
        step = self.builder.mul(self.first_step, ir.Constant(INT64, a))
        return opaque(self.builder, self.builder.gep(self.pointer, [self.builder.add(self.index, step)]))

    def place(self, base, b: int):
        """The place that is `b` steps from a base."""
        return self.builder.gep(base, [self.builder.mul(self.second_step, ir.Constant(INT64, b))])


def _loaded(places: _Places, kind: ir.VectorType, column: int, wanted: np.ndarray) -> list:
    """The vectors of a column of a grid, but those that no row of the matrix `wanted` wants."""
    base = places.base(column)
    return [
        load_value(places.builder, places.place(base, row), kind) if np.any(weights) else None
        for row, weights in enumerate(wanted.T)
    ]


def _transformed(builder, matrix: np.ndarray, groups: list[tuple[int, ...]], kind: ir.VectorType, places: _Places):
    """Row by row of matrix · grid · matrixᵀ (row, (column, vector) …), group of rows after group: each loads the grid
    anew, which takes less than to store what registers cannot hold and to load it again."""
    arithmetic, (rows, columns) = _Arithmetic(builder), matrix.shape
    for group in groups:
        wanted, sums = matrix[list(group)], []
        for column in range(columns):
            vectors = _loaded(places, kind, column, wanted)
            sums.append(dict(_products(arithmetic, matrix, group, vectors)))
            reorder_nothing(builder, list(sums[-1].values()))  # else LLVM loads more than it has registers for
        for row in group:
            yield row, _products(arithmetic, matrix, tuple(range(rows)), [column[row] for column in sums])


@intrinsic
def transform(
    typing, outputs, which, row, vector, source, index, row_step, column_step, target, start, target_row, target_column
):
    """target[start + i·target_row + j·target_column] = (M g Mᵀ)[i, j], vectors all, where g stands at source[index +
    i·row_step + j·column_step] and M is the matrix `which` for tiles of `outputs`² (both `Constant`s). With a number
    for `row` that row alone, at target[start + j·target_column]; with None all of them."""
    matrix, kind, n = MATRICES[outputs.number][which.number], VectorType(source.dtype, vector.lanes), types.intp

    def generate(context, builder, signature, arguments):
        number, _, source, index, row_step, column_step, target, start, target_row, target_column = arguments[2:]

        def write(groups, first=0):
            grid = _Places(builder, source, index, column_step, row_step)
            result = _Places(builder, target, start, target_row, target_column)
            for r, line in _transformed(builder, matrix, groups, llvm_vector(kind), grid):
                base = result.base(r - first)
                for c, vector in line:
                    store_value(builder, vector, result.place(base, c))

        if row == types.none:
            write(_groups((outputs.number, which.number)))
        else:
            _switch(builder, number, [lambda r=r: write([(r,)], r) for r in range(len(matrix))])
        return context.get_dummy_value()

    row = types.none if isinstance(row, types.NoneType) else n
    return types.void(outputs, which, row, vector, source, n, n, n, target, n, n, n), generate


def _switch(builder, number, cases: list) -> None:
    """Emits the case of that number."""
    end = builder.append_basic_block("row.end")
    switch = builder.switch(number, end)
    for r, case in enumerate(cases):
        block = builder.append_basic_block(f"row.{r}")
        switch.add_case(ir.Constant(INT64, r), block)
        builder.position_at_end(block)
        case()
        builder.branch(end)
    builder.position_at_end(end)


@intrinsic
def transform_output(
    typing, outputs, vector, streamed, source, index, plane, bias, floor, target, start, target_row, target_column
):
    """target[start + i·target_row + j·target_column] = (Aᵀ g A)[i, j] + bias for a tile whose points lie `plane`
    apart; what is below `floor` becomes `floor` (NaN stays): 0 for ReLU, -inf for none. With `Constant(True)` as
    `streamed` the caches are passed by, and vectors go to multiples of their size."""
    matrix, kind, n = MATRICES[outputs.number].output, VectorType(source.dtype, vector.lanes), types.intp

    def generate(context, builder, signature, arguments):
        source, index, plane, bias, floor, target, start, target_row, target_column = arguments[3:]
        write = stream_value if isinstance(streamed, ConstantType) and streamed.number else store_value
        row = builder.mul(plane, ir.Constant(INT64, matrix.shape[1]))
        grid = _Places(builder, source, index, plane, row)
        result = _Places(builder, target, start, target_row, target_column)
        constant = load_value(builder, bias, llvm_vector(kind))
        least = splat_value(builder, floor, kind.lanes)
        for r, line in _transformed(builder, matrix, _groups((outputs.number, OUTPUT)), llvm_vector(kind), grid):
            base = result.base(r)
            for c, total in line:
                total = builder.fadd(total, constant)
                total = builder.select(builder.fcmp_ordered("<", total, least), least, total)
                write(builder, total, result.place(base, c))
        return context.get_dummy_value()

    return types.void(outputs, vector, streamed, source, n, n, bias, floor, target, n, n, n), generate
