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

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .launch import ConstantType, helper, kernel, scratch, unpack, value
from .simd import INT64, VectorType, fma_value, lanes, llvm_vector, load_value, splat_value, store_value, stream_value

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
PATCH_SIZE = TAPS * TAPS * 16  # numbers of a filter's gradient, of the widest vectors


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


def operations(matrix: np.ndarray) -> int:
    """Additions and multiplications of matrix · tile · matrixᵀ, a fused one counted once."""
    one_side = sum(max(0, np.count_nonzero(row) - 1) + (1 not in row and -1 not in row) for row in matrix)
    return one_side * sum(matrix.shape)


# ---- products with tiles of vectors ----------------------------------------------------------------------------------


def _weighted_sum(builder, weights: np.ndarray, values: list):
    """Σ weights[i] · values[i], without the products by 0 and ±1."""
    terms = [(weight, value) for weight, value in zip(weights, values, strict=True) if weight]
    weight, total = terms.pop(next((i for i, term in enumerate(terms) if term[0] == 1), 0))
    if weight == -1:
        total = builder.fneg(total)
    elif weight != 1:
        total = builder.fmul(_number(builder, weight, total), total)
    for weight, term in terms:
        if abs(weight) == 1:
            total = builder.fadd(total, term) if weight > 0 else builder.fsub(total, term)
        else:
            total = fma_value(builder, _number(builder, weight, term), term, total)
    return total


def _number(builder, number: float, like):
    """The number in all lanes."""
    return splat_value(builder, ir.Constant(like.type.element, float(number)), like.type.count)


def _at(builder, index, row_step, column_step, i: int, j: int):
    """index + i·row_step + j·column_step."""
    row = builder.mul(row_step, ir.Constant(INT64, i))
    return builder.add(index, builder.add(row, builder.mul(column_step, ir.Constant(INT64, j))))


class _Grid:
    """The vectors at source[index + i·row_step + j·column_step]."""

    def __init__(self, builder, vector: VectorType, source, index, row_step, column_step):
        self.builder, self.kind, self.source = builder, llvm_vector(vector), source
        self.index, self.row_step, self.column_step = index, row_step, column_step

    def place(self, i: int, j: int):
        """Where vector (i, j) stands."""
        at = _at(self.builder, self.index, self.row_step, self.column_step, i, j)
        return self.builder.gep(self.source, [at])

    def column(self, weights: np.ndarray, j: int) -> list:
        """The vectors of a column, but those that no row of `weights` wants."""
        return [
            load_value(self.builder, self.place(i, j), self.kind) if np.any(wanted) else None
            for i, wanted in enumerate(weights.T)
        ]


def _transformed(builder, matrix: np.ndarray, rows: np.ndarray, grid: _Grid):
    """Row after row of matrix · grid · matrixᵀ, for those `rows` of the first matrix."""
    between = _Waiting(builder, grid.kind, len(rows), matrix.shape[1])
    for j in range(matrix.shape[1]):
        column = grid.column(rows, j)
        between.put(j, [_weighted_sum(builder, row, column) for row in rows])
    for r in range(len(rows)):
        line = between.row(r)
        yield [_weighted_sum(builder, row, line) for row in matrix]


class _Waiting:
    """rows × columns vectors between the two products: in registers if they are few, else in memory, column by column
    and row by row. Left to itself, LLVM begins the rows' sums early and spills many more."""

    def __init__(self, builder, kind: ir.VectorType, rows: int, columns: int):
        self.builder, self.rows, self.columns, self.room = builder, rows, columns, None
        self.values: dict[tuple[int, int], ir.Value] = {}
        if rows * columns > MOST_IN_REGISTERS:
            with builder.goto_entry_block():
                self.room = builder.alloca(kind, rows * columns)
            self.room.align = 64

    def _place(self, r: int, j: int):
        return self.builder.gep(self.room, [ir.Constant(INT64, r * self.columns + j)])

    def _fence(self) -> None:
        """Keeps the compiler from moving loads and stores across."""
        kind = ir.FunctionType(ir.VoidType(), [self.room.type])
        self.builder.asm(kind, "", "r,~{memory}", [self.room], True)

    def put(self, j: int, column: list) -> None:
        """Keeps a column."""
        for r, vector in enumerate(column):
            if self.room is None:
                self.values[r, j] = vector
            else:
                self.builder.store(vector, self._place(r, j))
        if self.room is not None:
            self._fence()

    def row(self, r: int) -> list:
        """A row, when all columns are there."""
        if self.room is None:
            return [self.values[r, j] for j in range(self.columns)]
        if r:
            self._fence()
        return [self.builder.load(self._place(r, j)) for j in range(self.columns)]


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

        def write(rows):
            grid = _Grid(builder, kind, source, index, row_step, column_step)
            for r, line in enumerate(_transformed(builder, matrix, rows, grid)):
                for c, vector in enumerate(line):
                    place = _at(builder, start, target_row, target_column, r, c)
                    store_value(builder, vector, builder.gep(target, [place]))

        if row == types.none:
            write(matrix)
        else:
            _switch(builder, number, [lambda r=r: write(matrix[r : r + 1]) for r in range(len(matrix))])
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
        grid = _Grid(builder, kind, source, index, row, plane)
        constant = load_value(builder, bias, llvm_vector(kind))
        least = splat_value(builder, floor, kind.lanes)
        for r, line in enumerate(_transformed(builder, matrix, matrix, grid)):
            for c, total in enumerate(line):
                total = builder.fadd(total, constant)
                total = builder.select(builder.fcmp_ordered("<", total, least), least, total)
                place = _at(builder, start, target_row, target_column, r, c)
                write(builder, total, builder.gep(target, [place]))
        return context.get_dummy_value()

    return types.void(outputs, vector, streamed, source, n, n, bias, floor, target, n, n, n), generate


# ---- filters ---------------------------------------------------------------------------------------------------------


# What `transform_filters` finds where: the sizes of the filters, and the steps that lead through them.
(
    DEPTH, INPUTS, COLUMNS, BLOCKS, GROUP_STEP, BLOCK_STEP, DEPTH_STEP, ROW_STEP, COLUMN_STEP, INPUT_STEP, START,
    FILTER_NUMBERS,
) = range(12)  # fmt: skip


@helper
def _copy_filters(vector, weight, source, numbers, patch, count):
    """`count` filters side by side, and zeros for the rest of a vector."""
    for t in range(TAPS * TAPS):
        place = source + t // TAPS * numbers[ROW_STEP] + t % TAPS * numbers[COLUMN_STEP]
        for i in range(lanes(vector)):
            patch[t * lanes(vector) + i] = weight[place + i] if i < count else 0


@kernel
def transform_filters(begin, end, arguments):
    """weight → transformed (points², group, block of output channels, depth, input channel, width of a block): G g Gᵀ,
    zeros beyond the last output channel, for the items (group, block, depth, input channel). Output channels lie side
    by side in the weights; the points lie `plane` apart."""
    outputs, filters, vector, weight, transformed, width, plane, numbers = unpack(arguments)
    points, patch = value(outputs) + TAPS - 1, scratch(weight, PATCH_SIZE)
    for item in range(begin, end):
        outer, depth = item // numbers[INPUTS] // numbers[DEPTH], item // numbers[INPUTS] % numbers[DEPTH]
        group, block = outer // numbers[BLOCKS], outer % numbers[BLOCKS]
        source = numbers[START] + group * numbers[GROUP_STEP] + block * numbers[BLOCK_STEP]
        source += depth * numbers[DEPTH_STEP] + item % numbers[INPUTS] * numbers[INPUT_STEP]
        j = 0
        while j < width:
            count, target = numbers[COLUMNS] - block * width - j, item * width + j
            if count >= lanes(vector):
                transform(
                    outputs, filters, None, vector, weight, source + j, numbers[ROW_STEP], numbers[COLUMN_STEP],
                    transformed, target, points * plane, plane,
                )  # fmt: skip
            else:
                _copy_filters(vector, weight, source + j, numbers, patch, count)
                step = lanes(vector)
                transform(
                    outputs, filters, None, vector, patch, 0, TAPS * step, step,
                    transformed, target, points * plane, plane,
                )  # fmt: skip
            j += lanes(vector)


@helper
def _add_sums(sums, own, step, plane, points, parts, count):
    """`count` numbers of each point: those of all parts, `step` apart, are added to the first part's."""
    for part in range(1, parts):
        for point in range(points * points):
            target = own + point * plane
            other = target + part * step
            for k in range(count):
                sums[target + k] += sums[other + k]


@kernel
def gather_filter_gradients(begin, end, arguments):
    """dweight (outer, 3, 3, inner, group · K) = Gᵀ S G, where S (parts, points², group, block of columns, rows, width)
    is summed over the parts first, in their order; for the items (group, outer · inner), the first of S's rows."""
    outputs, gradients, vector, sums, dweight, outer, inner, channels, groups, rows, width, blocks, parts = unpack(
        arguments
    )
    points = value(outputs) + TAPS - 1
    plane, tap = groups * blocks * rows * width, inner * groups * channels
    patch = scratch(dweight, PATCH_SIZE)
    for item in range(begin, end):
        group, index = item // (outer * inner), item % (outer * inner)
        target = index // inner * TAPS * TAPS * tap + (index % inner * groups + group) * channels
        k = 0
        while k < channels:
            source = ((group * blocks + k // width) * rows + index) * width + k % width
            count = min(lanes(vector), channels - k)
            _add_sums(sums, source, points * points * plane, plane, points, parts, lanes(vector))
            if count == lanes(vector):
                transform(
                    outputs, gradients, None, vector, sums, source, points * plane, plane,
                    dweight, target + k, TAPS * tap, tap,
                )  # fmt: skip
            else:
                step = lanes(vector)
                transform(
                    outputs, gradients, None, vector, sums, source, points * plane, plane, patch, 0, TAPS * step, step
                )  # fmt: skip
                for t in range(TAPS * TAPS):
                    for i in range(count):
                        dweight[target + t * tap + k + i] = patch[t * step + i]
            k += lanes(vector)
