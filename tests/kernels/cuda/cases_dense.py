"""The GPU's matrix product against the reference: all transposes, batches, sizes, types, layouts and precisions."""

import itertools

import numpy as np
import pytest
from halves import HALVES, require_one_rounding
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import precision, reference
from tomograd.testing import compare
from tomograd.testing.strategies import laid_out, layouts, random_array, seeds

side = st.sampled_from([0, 1, 2, 3, 7, 8, 13, 16, 33, 64, 100, 131])
TRANSPOSES = list(itertools.product([False, True], repeat=2))
DIGITS = {"tf32": 10, "bfloat16": 7}


def operands(rng, sides, batch=(), transposes=(False, False), dtype=np.float32, layout="contiguous", values="integers"):
    """a and b of those sides (m, k, n), each transposed or not, and the two flags, as matmul takes them."""
    m, k, n = sides
    a = random_array(rng, (*batch, *((k, m) if transposes[0] else (m, k))), dtype, values)
    b = random_array(rng, (*batch, *((n, k) if transposes[1] else (k, n))), dtype, values)
    return laid_out(a, layout), laid_out(b, layout), *transposes


@given(
    sides=st.tuples(side, side, side),
    batch=st.sampled_from([(), (0,), (1,), (3,)]),
    transposes=st.sampled_from(TRANSPOSES),
    bias=st.booleans(),
    activation=st.sampled_from([None, "relu"]),
    dtype=st.sampled_from([*HALVES, np.float32, np.float32, np.float64]),
    name=st.sampled_from(["float32", "tf32", "bfloat16"]),
    layout=layouts,
    seed=seeds,
)
def test_products_of_small_integers_are_exact(
    cuda, sides, batch, transposes, bias, activation, dtype, name, layout, seed
):
    rng = np.random.default_rng(seed)
    arguments = operands(rng, sides, batch, transposes, dtype, layout)
    b = laid_out(random_array(rng, sides[2:], dtype, "integers"), layout) if bias else None
    with precision(name):
        c = cuda.matmul(*arguments, b, activation)
    wide = [None if x is None else x.astype(np.float64) for x in (*arguments[:2], b)]
    expected = reference.matmul(*wide[:2], *transposes, wide[2], activation).astype(dtype)
    assert c.dtype == dtype and c.flags.c_contiguous
    np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize("sides", [(150, 70, 90), (3, 5000, 10), (1, 9000, 1), (129, 300, 65)])
@pytest.mark.parametrize("transposes", TRANSPOSES)
def test_float32_is_exact_unless_asked_for_less(cuda, sides, transposes):
    arguments = operands(np.random.default_rng(1), sides, (), transposes, values="normal")
    compare(cuda.matmul, reference.matmul, *arguments, terms=sides[1], random=True)
    with precision("tf32"):
        wide = arguments[0].astype(np.float64), arguments[1].astype(np.float64), *transposes
        compare(cuda.matmul, reference.matmul, *wide, terms=sides[1], random=True)  # float64 never is rounded


def rounded(x, digits):
    """x with so many binary digits after the point."""
    fraction, exponent = np.frexp(x)
    return np.rint(fraction * 2 ** (digits + 1)) * 2.0 ** (exponent - digits - 1)


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("sides", [(30, 70, 50), (130, 200, 3)])
def test_the_tensor_cores_round_the_factors_and_nothing_else(cuda, name, transposes, sides):
    arguments = operands(np.random.default_rng(2), sides, (), transposes, values="normal")

    def expected(a, b, *others):
        return reference.matmul(rounded(a, DIGITS[name]), rounded(b, DIGITS[name]), *others)

    with precision(name):
        compare(cuda.matmul, expected, *arguments, terms=sides[1])
        assert not np.array_equal(cuda.matmul(*arguments), reference.matmul(*arguments))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("transposes", TRANSPOSES)
@pytest.mark.parametrize("sides", [(33, 1100, 17), (1, 3, 2), (20, 8, 130)])
def test_halves_are_summed_in_float32_and_rounded_once(cuda, dtype, transposes, sides):
    rng = np.random.default_rng(3)
    a, b = (each.astype(dtype) for each in operands(rng, sides, (), transposes, values="normal")[:2])
    bias = rng.standard_normal(sides[2]).astype(dtype)
    wide = a.astype(np.float64), b.astype(np.float64), *transposes, bias.astype(np.float64)
    sizes = reference.matmul(*(np.abs(each) if isinstance(each, np.ndarray) else each for each in wide))
    c = cuda.matmul(a, b, *transposes, bias)
    require_one_rounding(c, reference.matmul(*wide), sizes, dtype, sides[1] + 1)


def test_sums_of_float16_may_be_beyond_its_largest_number(cuda):
    eights = np.full((1, 1100), 8, np.float16)
    np.testing.assert_array_equal(cuda.matmul(eights[:, :1000], eights[:, :1000], False, True), 64000)
    np.testing.assert_array_equal(cuda.matmul(eights, eights, False, True), np.inf)


@pytest.mark.parametrize("name", ["float32", "tf32", "bfloat16"])
def test_infinities_and_nan_stay_in_their_rows_and_columns(cuda, name):
    a, b, bias = np.ones((5, 40), np.float32), np.ones((40, 6), np.float32), np.zeros(6, np.float32)
    a[1, 39], a[2, 0], b[7, 3], bias[5] = np.nan, np.inf, -np.inf, np.nan
    with precision(name), np.errstate(invalid="ignore"):
        for activation in (None, "relu"):
            c = cuda.matmul(a, b, bias=bias, activation=activation)
            np.testing.assert_array_equal(c, reference.matmul(a, b, bias=bias, activation=activation))


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("transposes", TRANSPOSES)
def test_tiles_of_128_columns(cuda, name, transposes):
    sides = 40, 37, 251
    arguments = operands(np.random.default_rng(7), sides, (), transposes)
    bias = np.arange(sides[2], dtype=np.float32)
    with precision(name):
        np.testing.assert_array_equal(cuda.matmul(*arguments, bias), reference.matmul(*arguments, bias))
    for dtype in HALVES:
        halves = arguments[0].astype(dtype), arguments[1].astype(dtype), *transposes
        np.testing.assert_array_equal(cuda.matmul(*halves), reference.matmul(*arguments).astype(dtype))


@pytest.mark.parametrize("offset", [1, 2, 3])
@pytest.mark.parametrize("name", ["float32", "tf32"])
def test_operands_that_begin_in_the_middle_of_sixteen_bytes(cuda, name, offset):
    rng = np.random.default_rng(4)
    numbers = random_array(rng, (2, 12 * 16 + offset), np.float32, "integers")
    a, b = numbers[0, offset:].reshape(12, 16), numbers[1, offset:].reshape(16, 12)
    with precision(name):
        np.testing.assert_array_equal(cuda.matmul(a, b), a @ b)


def test_parts_of_larger_matrices_are_read_where_they_lie(cuda, on_gpu):
    rng = np.random.default_rng(5)
    larger = random_array(rng, (3, 40, 50), np.float32, "integers")
    a, b = larger[:, 3:20, 7:18], larger[:, 20:, 5:16].swapaxes(1, 2)
    np.testing.assert_array_equal(cuda.matmul(a, b), a @ b)
    np.testing.assert_array_equal(cuda.matmul(a, b.swapaxes(1, 2), transpose_b=True), a @ b)
    if not on_gpu:
        from tomograd.kernels.cuda import runtime

        assert {function.file for function in runtime.current().launched[-2:]} == {"dense.cu"}


def test_the_same_bits_in_any_order(cuda, on_gpu):
    if on_gpu:
        return
    from emulated import Emulated

    from tomograd.kernels.cuda import runtime

    rng = np.random.default_rng(6)
    arguments = operands(rng, (70, 700, 40), values="normal")
    for name in ("float32", "tf32"):
        results = []
        for order, blocks in ((0, 3), (1, 1), (2, 7)):
            with runtime.use(Emulated(order, blocks)), precision(name):
                results.append(cuda.matmul(*arguments).tobytes())
        assert len(set(results)) == 1


def test_an_activation_that_is_unknown(cuda):
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="activation = 'gelu': expected None or \"relu\""):
        cuda.matmul(x, x, activation="gelu")


def test_a_type_that_is_not_floating(cuda):
    x = np.ones((2, 2), np.int32)
    with pytest.raises(TypeError, match="no CUDA kernel multiplies matrices of int32: expected float16, bfloat16"):
        cuda.matmul(x, x)
