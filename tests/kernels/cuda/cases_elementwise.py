"""Sums of arrays, activations and their gradients on the GPU against the reference in double precision."""

import numpy as np
import pytest
from halves import HALVES
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close_beside_one as close

from tomograd.kernels import ACTIVATION_NAMES, reference
from tomograd.testing.strategies import arrays, shapes

EXTREMES = [0.0, -0.0, 1e4, -1e4, 1e-30, -1e-30, 88.5, -88.5, 104.0, -104.0, 20.0, -20.0, np.inf, -np.inf, np.nan]


@given(x=arrays(shapes()), name=st.sampled_from(ACTIVATION_NAMES), parameter=st.sampled_from([0.0, 0.2, 1.0, 2.5]))
def test_activations_and_their_gradients(cuda, x, name, parameter):
    x = x * x.dtype.type(3)
    wide = x.astype(np.float64)
    y = cuda.activation(x, name, parameter)
    assert y.dtype == x.dtype and y.shape == x.shape
    close(y, reference.activation(wide, name, parameter))
    dy = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    dx = cuda.activation_gradient(dy, x, name, parameter)
    close(dx, reference.activation_gradient(dy.astype(np.float64), wide, name, parameter))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_extreme_inputs(cuda, name, dtype):
    x = np.array(EXTREMES * 5, dtype)
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        close(cuda.activation(x, name, 0.5), reference.activation(wide, name, 0.5))
        dx = cuda.activation_gradient(np.full_like(x, 2), x, name, 0.5)
        close(dx, reference.activation_gradient(np.full(x.shape, 2.0), wide, name, 0.5))


def test_an_activation_that_is_unknown(cuda):
    with pytest.raises(ValueError, match="activation name = 'gelo': expected one of relu"):
        cuda.activation(np.zeros(3, np.float32), "gelo")


@given(x=arrays(shapes()), dtype=st.sampled_from(HALVES))
def test_relu_and_sums_of_halves(cuda, x, dtype):
    x = x.astype(dtype)
    dy = np.random.default_rng(0).standard_normal(x.shape).astype(dtype)
    y, dx, sums = cuda.activation(x, "relu"), cuda.activation_gradient(dy, x, "relu"), cuda.add(x, dy)
    assert y.dtype == dx.dtype == sums.dtype == dtype
    np.testing.assert_array_equal(y, np.maximum(x, dtype.type(0)))
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, dtype.type(0)))
    np.testing.assert_array_equal(sums, (x.astype(np.float32) + dy.astype(np.float32)).astype(dtype))
    assert cuda.add(dy, x, destination=dy) is dy
    np.testing.assert_array_equal(dy, sums)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_relu_of_halves_that_are_not_finite(cuda, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0, -1] * 5, dtype)
    with np.errstate(invalid="ignore"):
        y = reference.activation(x.astype(float), "relu")
        slopes = reference.activation_gradient(np.ones(25), x.astype(float), "relu")
    np.testing.assert_array_equal(cuda.activation(x[1:], "relu").astype(float), y[1:])
    np.testing.assert_array_equal(cuda.activation_gradient(np.ones_like(x), x, "relu"), slopes)


@given(x=arrays(shapes()), seed=st.integers(0, 9))
def test_a_sum(cuda, x, seed):
    y = np.random.default_rng(seed).standard_normal(x.shape).astype(x.dtype)
    expected = x + y
    np.testing.assert_array_equal(cuda.add(x, y), expected)
    room = np.zeros((*x.shape, 2), x.dtype)[..., 0]
    assert cuda.add(x, y, destination=room) is room
    np.testing.assert_array_equal(room, expected)
    assert cuda.add(y, y, destination=y) is y


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_arrays_that_begin_in_the_middle_of_sixteen_bytes(cuda, offset):
    x = np.arange(100, dtype=np.float32)[offset : offset + 61]
    np.testing.assert_array_equal(cuda.add(x, x), 2 * x)
