"""Formulas applied to arrays: all lengths around a vector and a chunk, layouts, numbers among the operands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels.cpu import streams
from tomograd.kernels.cpu.elementwise import CHUNK, elementwise, formula, number_if_repeated
from tomograd.testing.strategies import LAYOUTS, laid_out


@formula
def weighted(x, y, factor):
    return factor * x + y


@formula
def negated(x):
    return -x


@given(
    size=st.sampled_from([0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 5]),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_every_element_is_computed(size, dtype, layout):
    rng = np.random.default_rng(size)
    x, y = (laid_out(rng.standard_normal((size, 1)).astype(dtype), layout) for _ in range(2))
    result = elementwise(weighted, x, y, dtype(0.5))
    assert result.shape == x.shape and result.dtype == dtype
    np.testing.assert_array_equal(result, dtype(0.5) * x + y)


@pytest.mark.parametrize("size", [1, 33, CHUNK + 3, 40 * CHUNK + 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_arrive_past_the_caches(monkeypatch, size, dtype):
    monkeypatch.setattr(streams, "last_level_bytes", lambda: 0)
    monkeypatch.setattr(streams, "SMALL", 0)
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    np.testing.assert_array_equal(elementwise(negated, x), -x)


def test_an_array_that_repeats_one_number_counts_as_it():
    repeated = np.broadcast_to(np.float32(3), (4, 5))
    number = number_if_repeated(repeated)
    assert type(number) is np.float32 and number == 3
    for other in [repeated.copy(), np.broadcast_to(np.ones((4, 1)), (4, 5)), np.ones(()), np.broadcast_to(1.0, (0, 5))]:
        assert number_if_repeated(other) is other
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    np.testing.assert_array_equal(elementwise(weighted, number, x, np.float32(2)), 6 + x)


@pytest.mark.parametrize("size", [1, 17, CHUNK + 3])
def test_operands_are_only_read(size):
    x = np.arange(size, dtype=np.float32)
    x.flags.writeable = False
    np.testing.assert_array_equal(elementwise(negated, x), -x)
    np.testing.assert_array_equal(x, np.arange(size))
