"""Vectors as values: every operation at every width against NumPy; masked loads and stores touch nothing else."""

import operator

import numpy as np
import pytest

from tomograd.kernels.cpu import simd
from tomograd.kernels.cpu.bodies import (
    Constant,
    compiled,
    kernel,
    unpack,
    value,
)
from tomograd.kernels.cpu.launch import run
from tomograd.kernels.cpu.simd import (
    absolute,
    any_of,
    apart,
    first_lanes,
    floor,
    fma,
    from_bits,
    lane_numbers,
    lanes,
    load,
    load_part,
    max_of,
    maximum,
    minimum,
    round_to_even,
    select,
    splat,
    sqrt,
    store,
    store_part,
    sum_of,
    to_bits,
    to_float32,
    to_float64,
    to_real,
    to_whole,
)

LEVELS = [name for name, level in simd.LEVELS.items() if level.bytes <= simd.host_level().bytes]
FLOATS = [np.float32, np.float64]
levels = pytest.mark.parametrize("level", LEVELS)
floats = pytest.mark.parametrize("dtype", FLOATS)


@kernel
def elementwise(begin, end, arguments):
    """Row k of y: what operation k makes of a, b and c, one vector each."""
    vector, a, b, c, y = unpack(arguments)
    n = lanes(vector)
    p, q, r = load(vector, a, 0), load(vector, b, 0), load(vector, c, 0)
    store(y, 0 * n, p + q)
    store(y, 1 * n, p - q)
    store(y, 2 * n, p * q)
    store(y, 3 * n, p / q)
    store(y, 4 * n, -p)
    store(y, 5 * n, 2 * p + 1)
    store(y, 6 * n, fma(p, q, r))
    store(y, 7 * n, maximum(p, q))
    store(y, 8 * n, minimum(p, q))
    store(y, 9 * n, select((p < q) & (q > 0), p, r))
    store(y, 10 * n, select((p <= q) | (q != r), p, r))
    store(y, 11 * n, sqrt(absolute(p)))
    store(y, 12 * n, floor(4 * p))
    store(y, 13 * n, round_to_even(p * 2))
    store(y, 14 * n, to_real(to_whole(9 * p)))
    store(y, 15 * n, from_bits(to_bits(p)))
    store(y, 16 * n, splat(vector, 0.5))
    store(y, 17 * n, to_real(lane_numbers(vector)))
    store(y, 18 * n, to_real((to_whole(16 * q) << 3) ^ (to_whole(16 * p) >> 1)))


def elementwise_in_numpy(a, b, c):
    whole = np.int32 if a.dtype == np.float32 else np.int64
    fused = (a.astype(np.longdouble) * b + c).astype(a.dtype)
    return [
        a + b,
        a - b,
        a * b,
        a / b,
        -a,
        2 * a + 1,
        fused,
        np.maximum(a, b),
        np.minimum(a, b),
        np.where((a < b) & (b > 0), a, c),
        np.where((a <= b) | (b != c), a, c),
        np.sqrt(np.abs(a)),
        np.floor(4 * a),
        np.rint(a * 2),
        np.trunc(9 * a),
        a,
        np.full_like(a, 0.5),
        np.arange(a.size).astype(a.dtype),
        (((16 * b).astype(whole) << 3) ^ ((16 * a).astype(whole) >> 1)).astype(a.dtype),
    ]


@levels
@floats
def test_every_operation_equals_numpy_at_every_width(level, dtype):
    rng = np.random.default_rng(0)
    with simd.using_level(level):
        vector = simd.vector_of(np.dtype(dtype))
        a, b, c = rng.standard_normal((3, vector.lanes)).astype(dtype)
        expected = np.array(elementwise_in_numpy(a, b, c))
        y = np.full_like(expected, np.nan)
        run(elementwise, 1, 1, vector, a, b, c, y)
    # Two roundings where the machine has no fused multiply-add, or where LLVM fused one that NumPy did not.
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@kernel
def reductions(begin, end, arguments):
    vector, x, y = unpack(arguments)
    v = load(vector, x, 0)
    y[0] = sum_of(v)
    y[1] = max_of(v)
    y[2] = sum_of(to_float64(v))
    y[3] = sum_of(to_float32(to_float64(v) * 2))
    y[4] = 1 if any_of(v > 100) else 0


@levels
@floats
@pytest.mark.parametrize("spoil", [None, 1000, np.nan])
def test_reductions(level, dtype, spoil):
    with simd.using_level(level):
        vector = simd.vector_of(np.dtype(dtype))
        x = np.random.default_rng(1).integers(-9, 10, vector.lanes).astype(dtype)
        if spoil is not None:
            x[vector.lanes // 2] = spoil
        y = np.zeros(5, dtype)
        run(reductions, 1, 1, vector, x, y)
    np.testing.assert_array_equal(y, np.array([x.sum(), x.max(), x.sum(), 2 * x.sum(), (x > 100).any()], dtype))


@kernel
def chosen_sums(begin, end, arguments):
    """y = x + z where x > 0, else x; z loaded apart or not."""
    vector, is_apart, x, z, y = unpack(arguments)
    a, b = load(vector, x, 0), load(vector, z, 0)
    if value(is_apart):
        b = apart(b)
    store(y, 0, select(a > 0, a + b, a))


@levels
@floats
def test_apart_changes_nothing_but_the_load(level, dtype):
    with simd.using_level(level):
        vector = simd.vector_of(np.dtype(dtype))
        x, z = np.random.default_rng(0).standard_normal((2, vector.lanes)).astype(dtype)
        y = np.empty_like(x)
        run(chosen_sums, 1, 1, vector, Constant(True), x, z, y)
    np.testing.assert_array_equal(y, np.where(x > 0, x + z, x))


@pytest.mark.skipif("avx512" not in LEVELS, reason="masked instructions that load")
def test_apart_keeps_a_load_out_of_a_masked_instruction():
    def masked_loads(is_apart):
        vector, x = simd.vector_of(np.dtype(np.float32)), np.ones(16, np.float32)
        assembly = compiled(chosen_sums, vector, Constant(is_apart), x, x, x).assembly()
        return [line for line in assembly.splitlines() if "{%k" in line and "(%" in line]

    with simd.using_level("avx512"):
        assert masked_loads(False) and not masked_loads(True)


@kernel
def copy_part(begin, end, arguments):
    vector, x, y, count = unpack(arguments)
    store_part(y, 1, load_part(vector, x, 0, count), count)
    store(y, lanes(vector) + 2, load_part(vector, x, 0, count))


@levels
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_masked_loads_and_stores_touch_only_their_part(level, dtype):
    with simd.using_level(level):
        vector = simd.vector_of(np.dtype(dtype))
        n = vector.lanes
        x = np.arange(1, n + 1).astype(dtype)
        for count in (-3, 0, 1, n // 2, n - 1, n, n + 5):
            y = np.full(2 * n + 3, 77, dtype)
            run(copy_part, 1, 1, vector, x, y, count)
            kept = min(max(count, 0), n)
            expected = np.full_like(y, 77)
            expected[1 : 1 + kept] = x[:kept]
            expected[n + 2 : 2 * n + 2] = np.where(np.arange(n) < kept, x, 0)
            np.testing.assert_array_equal(y, expected, err_msg=f"count {count}")


@kernel
def mask_and_propagate(begin, end, arguments):
    vector, x, y = unpack(arguments)
    v = load(vector, x, 0)
    zero = splat(vector, 0)
    store(y, 0, maximum(zero, v))
    store(y, lanes(vector), maximum(v, zero))
    store(y, 2 * lanes(vector), select(first_lanes(vector, 1), v, zero))


def test_maximum_keeps_nan_of_its_second_argument_only():
    vector = simd.vector_of(np.dtype(np.float32))
    x = np.full(vector.lanes, np.nan, np.float32)
    y = np.ones((3, vector.lanes), np.float32)
    run(mask_and_propagate, 1, 1, vector, x, y)
    assert np.isnan(y[0]).all()
    np.testing.assert_array_equal(y[1], 0)
    assert np.isnan(y[2, 0])
    np.testing.assert_array_equal(y[2, 1:], 0)


def test_widths_are_those_of_the_level():
    for name in LEVELS:
        with simd.using_level(name) as level:
            assert simd.vector_of(np.dtype(np.float32)).lanes == max(1, level.bytes // 4)
            assert simd.vector_of(np.dtype(np.float64)).lanes == max(1, level.bytes // 8)
    assert simd.level() == simd.host_level() or simd.level().bytes <= simd.host_level().bytes


def test_types_differ_with_the_width_so_that_caches_do_not_mix():
    kinds = set()
    for name in LEVELS:
        with simd.using_level(name) as level:
            kinds.add((level.bytes, str(simd.vector_of(np.dtype(np.float32)).numba_type)))
    assert len({kind for _, kind in kinds}) == len({size for size, _ in kinds})


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="TOMOGRAD_SIMD='mmx': expected one of avx512"), simd.using_level("mmx"):
        pass


def test_operators_leave_numbers_alone():
    """The typing of + and others on vectors must not catch anything else."""

    @kernel
    def numbers(begin, end, arguments):
        (y,) = unpack(arguments)
        y[0] = operator.add(y[0], 2) * 3 - (4 if y[0] < 1 else 0)

    y = np.array([0.5])
    run(numbers, 1, 1, y)
    assert y[0] == 3.5
