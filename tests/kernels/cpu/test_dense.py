"""The CPU's matrix product against the reference: all transposes, batches, sizes, types and layouts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.testing import compare
from tomograd.testing.strategies import laid_out, random_array, seeds

side = st.sampled_from([0, 1, 2, 3, 7, 13, 16, 17, 33, 64, 100])


@given(
    sides=st.tuples(side, side, side),
    batch=st.sampled_from([(), (0,), (1,), (3,)]),
    transposes=st.tuples(st.booleans(), st.booleans()),
    bias=st.booleans(),
    activation=st.sampled_from([None, "relu"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(["contiguous", "transposed", "strided", "read-only"]),
    seed=seeds,
)
def test_matmul_equals_the_reference(sides, batch, transposes, bias, activation, dtype, layout, seed):
    rng = np.random.default_rng(seed)
    m, k, n = sides
    transpose_a, transpose_b = transposes

    def matrix(*shape):
        return laid_out(random_array(rng, shape, dtype, "integers"), layout)

    a = matrix(*batch, *((k, m) if transpose_a else (m, k)))
    b = matrix(*batch, *((n, k) if transpose_b else (k, n)))
    arguments = (a, b, transpose_a, transpose_b, matrix(n) if bias else None, activation)
    np.testing.assert_array_equal(cpu.matmul(*arguments), reference.matmul(*arguments))


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("k", [0, 13])
def test_all_options_together(batch, transpose_a, transpose_b, k):
    a = random_array(np.random.default_rng(0), (*batch, *((k, 7) if transpose_a else (7, k))), np.float32, "integers")
    b = random_array(np.random.default_rng(1), (*batch, *((17, k) if transpose_b else (k, 17))), np.float32, "integers")
    for bias in (None, np.arange(-8, 9, dtype=np.float32)):
        for activation in (None, "relu"):
            arguments = (a, b, transpose_a, transpose_b, bias, activation)
            np.testing.assert_array_equal(cpu.matmul(*arguments), reference.matmul(*arguments))


@pytest.mark.parametrize("k", [0, 3])
def test_relu_makes_no_zero_negative(k):
    """Not even where there is nothing to sum, and the bias stands alone."""
    a, b, bias = np.zeros((2, k), np.float32), np.zeros((k, 5), np.float32), np.full(5, -0.0, np.float32)
    assert not np.signbit(cpu.matmul(a, b, bias=bias, activation="relu")).any()


@pytest.mark.parametrize("sides", [(13, 20_011, 37), (3, 5000, 10), (200, 300, 128)])
@pytest.mark.parametrize("transpose_a", [False, True])
@given(seed=seeds)
@settings(max_examples=2)
def test_long_sums(sides, transpose_a, seed):
    rng = np.random.default_rng(seed)
    m, k, n = sides
    a, b = rng.standard_normal((k, m) if transpose_a else (m, k)), rng.standard_normal((k, n))
    for dtype in (np.float64, np.float32):
        arguments = a.astype(dtype), b.astype(dtype), transpose_a
        compare(cpu.matmul, reference.matmul, *arguments, terms=k, random=True)


def test_long_sums_of_weights_that_lie_in_rows():
    """Lanes run over the input: such blocks of channels overlap, and no sum is cut in pieces."""
    rng = np.random.default_rng(0)
    a, b = (random_array(rng, (rows, 50_000), np.float32, "integers") for rows in (40, 5))
    np.testing.assert_array_equal(cpu.matmul(a, b, False, True), reference.matmul(a, b, False, True))
