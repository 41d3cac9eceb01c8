"""The filters of Winograd's convolution: G g Gᵀ, and for their gradient the transpose of that.

Weights are transformed by those who multiply by them, as many at a time as stay in the L2 cache: transformed weights
take four times the memory of the weights, and on their way through main memory more time than the products.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .bodies import (
    helper,
    kernel,
    scratch,
    unpack,
    value,
)
from .correlation import Correlation
from .rows import transposed
from .simd import VectorType, lanes, llvm_vector, load, load_value, pointer_at, prefetch, store_part, store_value
from .winograd_transforms import TAPS, transform

PATCH_SIZE = TAPS * TAPS * 16  # numbers of a filter's gradient, of the widest vectors
AHEAD = 2  # vectors of weights that memory is asked for before they are wanted

# What `transform_filters` finds where: the channels of a group, and the steps that lead through the weights.
(
    INPUTS, OUTPUTS, DEPTH_STEP, ROW_STEP, COLUMN_STEP, INPUT_STEP, OUTPUT_STEP, GROUP_STEP, FIRST_WEIGHT,
    FILTERS_SIZE,
) = range(10)  # fmt: skip


def filter_numbers(correlation: Correlation) -> list[int]:
    """The numbers of the weights."""
    c = correlation
    return [c.channels_in, c.channels_out, *c.weight_strides, c.weight_start]


@intrinsic
def _transpose(typing, vector, source, index, step, target, at):
    """target[at + i·lanes + j] = source[index + j·step + i] for all lanes i and j."""
    kind, n = VectorType(source.dtype, vector.lanes), types.intp

    def generate(context, builder, signature, arguments):
        _, source, index, step, target, at = arguments
        held = []
        for _ in range(kind.lanes):
            held.append(load_value(builder, builder.gep(source, [index]), llvm_vector(kind)))
            index = builder.add(index, step)
        for line in transposed(builder, held):
            store_value(builder, line, builder.gep(target, [at]))
            at = builder.add(at, ir.Constant(at.type, kind.lanes))
        return context.get_dummy_value()

    return types.void(vector, source, n, n, target, n), generate


@helper
def _copy_filters(vector, weight, source, numbers, inputs, outputs, patch):
    """patch (3, 3, lanes of inputs, lanes of outputs) = the filters from `source` on of so many channels, zeros for
    what a vector holds beyond."""
    whole = inputs == lanes(vector) and outputs == lanes(vector) and numbers[INPUT_STEP] == 1
    for t in range(TAPS * TAPS):
        tap, at = source + t // TAPS * numbers[ROW_STEP] + t % TAPS * numbers[COLUMN_STEP], t * lanes(vector) ** 2
        if whole:
            for j in range(lanes(vector)):
                prefetch(weight, tap + j * numbers[OUTPUT_STEP] + AHEAD * lanes(vector))
            _transpose(vector, weight, tap, numbers[OUTPUT_STEP], patch, at)
        else:
            for i in range(inputs):
                for j in range(lanes(vector)):
                    place = tap + i * numbers[INPUT_STEP] + j * numbers[OUTPUT_STEP]
                    patch[at + i * lanes(vector) + j] = weight[place] if j < outputs else 0


@helper
def transform_filters(
    outputs, which, vector, weight, numbers, channel, end, first, last, u, plane, block, width, patch
):  # fmt: skip
    """u (points², block of `width` output channels, depth · input channel, output channel) = G g Gᵀ for the output
    channels channel … end of a group, zeros beyond the last, and the depth · input channels first … last. Points lie
    `plane` apart, blocks `block`."""
    n, start = lanes(vector), channel
    points = value(outputs) + TAPS - 1
    while channel < end:
        q, target = first, (channel - start) // width * block + (channel - start) % width
        while q < last:
            c = q % numbers[INPUTS]
            count, some = min(n, numbers[INPUTS] - c, last - q), min(n, numbers[OUTPUTS] - channel)
            source = q // numbers[INPUTS] * numbers[DEPTH_STEP] + c * numbers[INPUT_STEP]
            source += channel * numbers[OUTPUT_STEP]
            filters, step = pointer_at(weight, source), numbers[INPUT_STEP]
            row, column = numbers[ROW_STEP], numbers[COLUMN_STEP]
            if numbers[OUTPUT_STEP] != 1 or some < n:
                _copy_filters(vector, weight, source, numbers, count, some, patch)
                filters, row, column, step = pointer_at(patch, 0), TAPS * n * n, n * n, n
            for i in range(count):
                transform(
                    outputs, which, None, vector, filters, i * step, row, column, u, target, points * plane, plane
                )  # fmt: skip
                target += width
            q += count
        channel += n


@helper
def gather_filters(outputs, gradients, vector, sums, source, plane, dweight, target, tap, count, patch):
    """dweight[target + t·tap : … + count] = Gᵀ S G for the taps t of a vector of filters, whose sums lie `plane`
    apart."""
    points, step = value(outputs) + TAPS - 1, lanes(vector)
    to, at, row, column = dweight, target, TAPS * tap, tap
    if count < step:
        to, at, row, column = patch, 0, TAPS * step, step
    transform(outputs, gradients, None, vector, sums, source, points * plane, plane, to, at, row, column)
    if count < step:
        for t in range(TAPS * TAPS):
            store_part(dweight, target + t * tap, load(vector, patch, t * step), count)


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
            _add_sums(sums, source, points * points * plane, plane, points, parts, lanes(vector))
            gather_filters(
                outputs, gradients, vector, sums, source, plane, dweight, target + k, tap,
                min(lanes(vector), channels - k), patch,
            )  # fmt: skip
            k += lanes(vector)
