"""The reference matrix product against Python's exact integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels.reference import matmul
from tomograd.testing.strategies import LAYOUTS, float_types, laid_out, random_array, seeds

sides = st.integers(0, 7)


def exact_product(a, b):
    """Σ_k a[m][k]·b[k][n] in Python's integers."""
    rows = [[sum(int(p) * int(q) for p, q in zip(row, column, strict=True)) for column in b.T] for row in a]
    return np.array(rows, float).reshape(a.shape[0], b.shape[1])


@given(
    m=sides, k=sides, n=sides, dtype=float_types, seed=seeds, layout=st.sampled_from(LAYOUTS),
    transpose_a=st.booleans(), transpose_b=st.booleans(), biased=st.booleans(), batch=st.one_of(st.none(),
    st.integers(0, 3)),
)  # fmt: skip
def test_matmul_is_the_sum_of_products(m, k, n, dtype, seed, layout, transpose_a, transpose_b, biased, batch):
    rng = np.random.default_rng(seed)
    front = () if batch is None else (batch,)
    a = random_array(rng, (*front, m, k), dtype, "integers")
    b = random_array(rng, (*front, k, n), dtype, "integers")
    bias = random_array(rng, n, dtype, "integers") if biased else None
    if batch is None:
        expected = exact_product(a, b)
    else:
        expected = np.array([exact_product(p, q) for p, q in zip(a, b, strict=True)]).reshape(batch, m, n)
    expected = expected + (bias if biased else 0)
    a = laid_out(np.swapaxes(a, -1, -2) if transpose_a else a, layout)
    b = laid_out(np.swapaxes(b, -1, -2) if transpose_b else b, layout)
    c = matmul(a, b, transpose_a, transpose_b, bias)
    np.testing.assert_array_equal(c, expected)
    assert c.dtype == dtype
    np.testing.assert_array_equal(matmul(a, b, transpose_a, transpose_b, bias, "relu"), np.maximum(expected, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    c = matmul(np.ones((2, 3), dtype), np.ones((3, 4), dtype), bias=np.ones(4, dtype), activation="relu")
    assert c.dtype == dtype
    np.testing.assert_array_equal(c, 4)
