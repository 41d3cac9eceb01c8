"""Products of matrices with few rows against the reference: pieces and blocks of all sizes, by themselves and as
`matmul` chooses them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import dense, few_rows, simd
from tomograd.kernels.cpu.launch import threads, using_threads
from tomograd.testing import compare
from tomograd.testing.strategies import random_array, seeds

F32 = np.dtype(np.float32)


@given(
    batch=st.integers(1, 3),
    m=st.integers(1, 9),
    k=st.sampled_from([1, 2, 7, 8, 64, 131, 300, 1100]),
    n=st.sampled_from([1, 2, 3, 10, 16, 17, 33, 128, 1500]),
    transpose_b=st.booleans(),
    bias=st.booleans(),
    relu=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    piece_cycles=st.sampled_from([1, 500, 20_000]),
    seed=seeds,
)
@settings(max_examples=40)
def test_pieces_add_up_to_the_product(batch, m, k, n, transpose_b, bias, relu, dtype, piece_cycles, seed):
    rng = np.random.default_rng(seed)
    a = random_array(rng, (batch, m, k), dtype, "integers")
    b = random_array(rng, (batch, n, k) if transpose_b else (batch, k, n), dtype, "integers")
    offset = random_array(rng, (n,), dtype, "integers") if bias else None
    c = np.full((batch, m, n), np.nan, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_rows, "PIECE_CYCLES", piece_cycles)
        chosen = few_rows.plan(batch, m, k, n, transpose_b, bias, relu, np.dtype(dtype), simd.level())
    few_rows.launch(chosen, a, b, offset, c)
    expected = reference.matmul(a, b, False, transpose_b, offset, "relu" if relu else None)
    np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("m, k, n", [(1, 20_011, 128), (2, 5000, 37), (5, 2000, 300)])
def test_long_sums_are_right_and_do_not_depend_on_the_threads(m, k, n, transpose_b):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((n, k) if transpose_b else (k, n))
    bias = rng.standard_normal(n)
    compare(cpu.matmul, reference.matmul, a, b, False, transpose_b, bias, terms=k, random=True)
    single = [array.astype(np.float32) for array in (a, b, bias)]
    arguments = *single[:2], False, transpose_b, single[2]
    compare(cpu.matmul, reference.matmul, *arguments, terms=k, random=True)
    found = cpu.matmul(*arguments)
    for number in {1, threads()}:
        with using_threads(number):
            np.testing.assert_array_equal(cpu.matmul(*arguments), found)


@pytest.mark.parametrize("transpose_b", [False, True])
def test_what_is_not_a_number_stays_in_its_column(transpose_b):
    a, b = np.ones((1, 500), np.float32), np.ones((500, 40), np.float32)
    b[3, 5], b[7, 20], b[11, 39] = np.nan, np.inf, -np.inf
    product = cpu.matmul(a, b.T if transpose_b else b, False, transpose_b, None, "relu")[0]
    expected = np.full(40, 500, np.float32)
    expected[[5, 20, 39]] = np.nan, np.inf, 0
    np.testing.assert_array_equal(product, expected)


@pytest.mark.parametrize("m, k, n, transpose_b, expected", [
    (1, 186_624, 128, False, True),
    (8, 86_528, 128, False, True),
    (1, 128, 1, True, True),
    (64, 4096, 4096, False, False),
    (512, 768, 3072, True, False),
])  # fmt: skip
def test_the_cost_model_takes_them_for_few_rows_only(m, k, n, transpose_b, expected):
    with simd.using_level("avx2") as host:
        chosen = dense._plan_for_few_rows(1, m, k, n, transpose_b, False, False, F32, host)
    assert (chosen is not None) is expected
