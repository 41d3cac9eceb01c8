"""Max pooling, which remembers what it chose, and reading from an array what was chosen in another."""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..memory import empty
from ..reference import pooling as reference
from .bodies import kernel
from .copying import contiguous
from .mathematics import function
from .simd import VectorType, llvm_element, load, load_part, maximum, select, splat, store, store_part
from .windows import CUT, run_over_windows, tap, walk_over_channels, walk_over_numbers


@intrinsic
def _narrowed(typing, numbers, pointer):
    """Whole numbers as narrow as the pointer's elements."""
    result = VectorType(pointer.dtype, numbers.lanes)

    def generate(context, builder, signature, arguments):
        kind = ir.VectorType(llvm_element(pointer.dtype), numbers.lanes)
        return builder.trunc(arguments[0], kind) if kind != arguments[0].type else arguments[0]

    return result(numbers, pointer), generate


@intrinsic
def _exceeds(typing, here, best):
    """Whether `here` is larger, NaN being larger than every number, and the first NaN staying."""

    def generate(context, builder, signature, arguments):
        larger = builder.fcmp_unordered(">", *arguments)
        return builder.and_(larger, builder.fcmp_ordered("ord", arguments[1], arguments[1]))

    return VectorType(types.boolean, here.lanes)(here, best), generate


@intrinsic
def _either_is_nan(typing, a, b):
    def generate(context, builder, signature, arguments):
        return builder.fcmp_unordered("uno", *arguments)

    return VectorType(types.boolean, a.lanes)(a, b), generate


# ---- the largest number of each window -------------------------------------------------------------------------------


@function
def _max_of_taps(vector, x, size, base, indices, mode, start2, taps, shape, steps):
    """The largest numbers in the taps of a vector's windows, and which taps they were in: the first tap in the image
    for nothing but −∞."""
    first0, end0, first1, end1, first2, end2 = taps
    k1, k2, i2, d2 = shape
    step0, step1, step2 = steps
    chosen = splat(start2, (first0 * k1 + first1) * k2 + first2)
    if mode == CUT:
        best = splat(vector, -np.inf)
        for t2 in range(k2):
            outside = start2 + t2 * d2 < 0
            chosen = select(outside, splat(start2, (first0 * k1 + first1) * k2 + t2 + 1), chosen)
    else:
        best = tap(vector, x, size, base + first0 * step0 + first1 * step1 + first2 * step2, indices, mode)
    for t0 in range(first0, end0):
        for t1 in range(first1, end1):
            for t2 in range(first2, end2):
                here = tap(vector, x, size, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                larger = _exceeds(here, best)
                if mode == CUT:
                    position = start2 + t2 * d2
                    larger = larger & (position >= 0) & (position < i2)
                best = select(larger, here, best)
                chosen = select(larger, splat(chosen, (t0 * k1 + t1) * k2 + t2), chosen)
    return best, chosen


@function
def _max_of_whole(vector, x, base, indices, mode, sizes, steps, y, choice, to, spoiled):
    """Without asking for NaN at each step, which would double the comparisons: the sum of the taps is NaN if one is (or
    with +∞ beside −∞, or as good as that: then `_max_of_cut` does the piece once more for nothing, but rightly)."""
    (k0, k1, k2), (step0, step1, step2) = sizes, steps
    best = total = tap(vector, x, 0, base, indices, mode)
    chosen = splat(indices, 0)
    for t0 in range(k0):
        for t1 in range(k1):
            for t2 in range(k2):
                number = (t0 * k1 + t1) * k2 + t2
                if number > 0:
                    here = tap(vector, x, 0, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                    chosen = select(here > best, splat(chosen, number), chosen)
                    best, total = maximum(here, best), total + here
    store(y, to, best)
    store(choice, to, _narrowed(chosen, choice))
    return spoiled | (total != total)


@function
def _max_of_cut(vector, x, size, base, indices, mode, start2, taps, shape, steps, y, choice, to, count):
    best, chosen = _max_of_taps(vector, x, size, base, indices, mode, start2, taps, shape, steps)
    store_part(y, to, best, count)
    store_part(choice, to, _narrowed(chosen, choice), count)


@kernel
def _max_over_numbers(begin, end, arguments):
    walk_over_numbers(_max_of_whole, _max_of_cut, begin, end, arguments)


@kernel
def _max_over_channels(begin, end, arguments):
    walk_over_channels(_max_of_whole, _max_of_cut, begin, end, arguments)


@twin_of(reference.max_pool)
def max_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    x = contiguous(x)
    output_size = pool_output_size(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    choice = empty(y.shape, np.uint8 if math.prod(pool_size) <= 255 else np.int32)
    if y.size:
        geometry = (pool_size, strides, padding, dilation_rate)
        run_over_windows(_max_over_numbers, _max_over_channels, x, y, geometry, choice)
    return y, choice


# ---- what was chosen -------------------------------------------------------------------------------------------------


@function
def _chosen_of_taps(vector, x, size, base, indices, mode, chosen, taps, k1, k2, steps):
    """What the windows chose of the taps."""
    first0, end0, first1, end1, first2, end2 = taps
    step0, step1, step2 = steps
    found = splat(vector, 0)
    for t0 in range(first0, end0):
        for t1 in range(first1, end1):
            for t2 in range(first2, end2):
                here = tap(vector, x, size, base + t0 * step0 + t1 * step1 + t2 * step2, indices, mode)
                found = select(chosen == (t0 * k1 + t1) * k2 + t2, here, found)
    return found


@function
def _chosen_of_whole(vector, x, base, indices, mode, sizes, steps, y, choice, to, spoiled):
    (k0, k1, k2), chosen = sizes, load(vector, choice, to)
    store(y, to, _chosen_of_taps(vector, x, 0, base, indices, mode, chosen, (0, k0, 0, k1, 0, k2), k1, k2, steps))
    return spoiled


@function
def _chosen_of_cut(vector, x, size, base, indices, mode, start2, taps, shape, steps, y, choice, to, count):
    chosen = load_part(vector, choice, to, count)
    found = _chosen_of_taps(vector, x, size, base, indices, mode, chosen, taps, shape[0], shape[1], steps)
    store_part(y, to, found, count)


@kernel
def _chosen_over_numbers(begin, end, arguments):
    walk_over_numbers(_chosen_of_whole, _chosen_of_cut, begin, end, arguments)


@kernel
def _chosen_over_channels(begin, end, arguments):
    walk_over_channels(_chosen_of_whole, _chosen_of_cut, begin, end, arguments)


@twin_of(reference.max_pool_gather)
def max_pool_gather(
    x: np.ndarray, choice: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> np.ndarray:
    x, choice = contiguous(x), contiguous(choice)
    y = empty(choice.shape, x.dtype)
    if y.size:
        geometry = (pool_size, strides, padding, dilation_rate)
        run_over_windows(_chosen_over_numbers, _chosen_over_channels, x, y, geometry, choice)
    return y
