"""Formulas applied to arrays: all lengths around a vector and a chunk, layouts, numbers among the operands."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LAYOUTS, laid_out

from tomograd.kernels.cpu.elementwise import CHUNK, elementwise, formula


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


@pytest.mark.parametrize("size", [1, 17, CHUNK + 3])
def test_operands_are_only_read(size):
    x = np.arange(size, dtype=np.float32)
    x.flags.writeable = False
    np.testing.assert_array_equal(elementwise(negated, x), -x)
    np.testing.assert_array_equal(x, np.arange(size))
