"""The reference activations against SciPy and the mathematics; extreme inputs; derivatives."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close

from tomograd.kernels import ACTIVATION_NAMES
from tomograd.kernels.reference import (
    activation,
    activation_gradient,
    log_softmax,
    log_softmax_gradient,
    logsumexp,
    softmax,
    softmax_gradient,
)
from tomograd.testing import array_function, gradcheck
from tomograd.testing.strategies import arrays, float_types, shapes

PARAMETERS = {"leaky_relu": 0.3, "elu": 0.7}
EXTREMES = np.array([-1e4, -100.0, -20.0, 20.0, 100.0, 1e4])
CORNERED = {"relu", "leaky_relu", "elu", "selu"}  # the derivative jumps at 0 (elu: unless its alpha is 1)


def selu(x):
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return scale * x if x > 0 else scale * alpha * math.expm1(x)


TRUTH = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.3 * x,
    "elu": lambda x: x if x > 0 else 0.7 * math.expm1(x),
    "selu": selu,
    "gelu": lambda x: x * math.exp(scipy.special.log_ndtr(x)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * scipy.special.expit(x),
    "sigmoid": scipy.special.expit,
    "tanh": math.tanh,
    "softplus": lambda x: np.logaddexp(0, x),
}


def test_the_truths_cover_every_name():
    assert tuple(TRUTH) == ACTIVATION_NAMES


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values(name, dtype):
    x = np.concatenate([np.linspace(-12, 12, 241), [0.0, -0.0, 1e-6, -1e-6], EXTREMES]).astype(dtype)
    y = activation(x, name, PARAMETERS.get(name, 0.0))
    assert y.dtype == dtype
    truth = np.array([TRUTH[name](float(v)) for v in x])
    error = np.abs(y - truth) / (np.finfo(dtype).eps * np.maximum(np.abs(truth), 1e-6))
    if name == "gelu":
        assert error.max() <= 128  # on the left the exponential of −x²/2 magnifies the rounding of x/√2 by x²
    elif name == "gelu_tanh":
        assert error[x > -1].max() <= 8  # further left 1 + tanh(…) cancels, as the formula has it
        assert_close(y[np.abs(x) < 10], truth[np.abs(x) < 10], ulps=8, scale=1)
    else:
        assert error.max() <= 8


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_derivatives_are_those_of_central_differences(name):
    rng = np.random.default_rng(0)
    x = rng.uniform(-6, 6, 200)
    x = x[np.abs(x) > 1e-3]
    dy = rng.standard_normal(x.shape)
    parameter = PARAMETERS.get(name, 0.0)
    step = 1e-6
    slope = (activation(x + step, name, parameter) - activation(x - step, name, parameter)) / (2 * step)
    np.testing.assert_allclose(activation_gradient(dy, x, name, parameter), dy * slope, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_inputs_have_their_limits(name, dtype):
    x = EXTREMES.astype(dtype)
    y = activation(x, name, PARAMETERS.get(name, 0.0))
    gradient = activation_gradient(np.ones_like(x), x, name, PARAMETERS.get(name, 0.0))
    assert np.isfinite(y).all()
    assert np.isfinite(gradient).all()
    saturates = name in {"sigmoid", "tanh"}
    assert gradient[-1] == (0 if saturates else dtype(1.0507009873554805) if name == "selu" else 1)
    assert gradient[0] == (dtype(0.3) if name == "leaky_relu" else 0)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_values_and_derivatives_at_the_infinities_are_their_limits(name):
    parameter, ones = PARAMETERS.get(name, 0.0), np.ones(2)
    far, ends = np.array([-1e4, 1e4]), np.array([-np.inf, np.inf])
    limits = activation(far, name, parameter)
    limits[np.abs(limits) > 1000] *= np.inf
    np.testing.assert_array_equal(activation(ends, name, parameter), limits)
    gradient = activation_gradient(ones, ends, name, parameter)
    np.testing.assert_array_equal(gradient, activation_gradient(ones, far, name, parameter))


def test_without_a_parameter_it_is_zero():
    x = np.array([-2.0, 3.0])
    np.testing.assert_array_equal(activation(x, "leaky_relu"), [0, 3])
    np.testing.assert_array_equal(activation_gradient(x, x, "leaky_relu"), [0, 3])


def test_the_derivative_of_silu_far_on_the_left_has_all_its_digits():
    x = np.array([-50.0, -199.0, -300.0, -700.0])
    np.testing.assert_allclose(activation_gradient(np.ones(4), x, "silu"), np.exp(x) * (1 + x), rtol=1e-13)


@pytest.mark.parametrize("name", sorted(CORNERED))
def test_at_a_corner_the_derivative_is_the_left_one(name):
    zero = np.array([0.0, -0.0])
    left = activation_gradient(np.ones(2), np.full(2, -1e-300), name, 0.3)
    np.testing.assert_array_equal(activation_gradient(np.ones(2), zero, name, 0.3), left)
    if name == "relu":
        assert not left.any()


@given(arrays(shapes(), values="normal"))
def test_relu_gradient_may_take_the_output_for_the_input(x):
    dy = np.ones_like(x)
    expected = activation_gradient(dy, x, "relu")
    np.testing.assert_array_equal(activation_gradient(dy, activation(x, "relu"), "relu"), expected)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_shape_and_nan(name, dtype):
    for shape in ((), (0,), (2, 0, 3), (2, 3)):
        x = np.ones(shape, dtype)
        assert activation(x, name).shape == activation_gradient(x, x, name).shape == shape
        assert activation(x, name).dtype == activation_gradient(x, x, name).dtype == dtype
    assert np.isnan(activation(np.array([np.nan], dtype), name)).all()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="activation name = 'swish': expected one of relu, "):
        activation(np.zeros(1), "swish")
    with pytest.raises(ValueError, match="'swish'"):
        activation_gradient(np.zeros(1), np.zeros(1), "swish")


rows = shapes(min_dims=1, max_dims=3, min_side=1)


@given(arrays(rows), st.floats(-1e4, 1e4))
def test_softmax_is_a_distribution_and_does_not_see_a_shift(x, shift):
    y = softmax(x)
    assert y.dtype == x.dtype
    assert_close(y, scipy.special.softmax(x.astype(np.float64), axis=-1))
    assert_close(y.sum(-1), np.ones(x.shape[:-1], x.dtype))
    shifted = x + x.dtype.type(shift)
    # adding the shift rounds x: what softmax sees is the rounded difference
    assert_close(softmax(shifted), scipy.special.softmax(shifted.astype(np.float64), axis=-1))


@given(arrays(rows))
def test_log_softmax_and_logsumexp_are_scipys(x):
    assert log_softmax(x).dtype == logsumexp(x).dtype == x.dtype
    assert logsumexp(x).shape == x.shape[:-1]
    assert_close(log_softmax(x), scipy.special.log_softmax(x.astype(np.float64), axis=-1), scale=10)
    assert_close(logsumexp(x), scipy.special.logsumexp(x.astype(np.float64), axis=-1), scale=10)


@given(arrays(rows, dtype=np.float64), st.integers(0, 9))
def test_gradients_of_softmax_and_its_logarithms(x, seed):
    for function, gradient in [
        (softmax, lambda dy, x: softmax_gradient(dy, softmax(x))),
        (log_softmax, lambda dy, x: log_softmax_gradient(dy, log_softmax(x))),
        (logsumexp, lambda dy, x: dy[..., None] * softmax(x)),
    ]:
        gradcheck(array_function(function, gradient), x, method="elements", seed=seed)


@given(float_types)
def test_softmax_at_extreme_logits(dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    third = dtype(1) / dtype(3)
    np.testing.assert_array_equal(softmax(x), np.array([[1, 0, 0], [third] * 3, [0.5, 0.5, 0]], dtype))
    np.testing.assert_array_equal(log_softmax(x)[0], [0, -2e4, -1e4])
    assert_close(logsumexp(x), np.array([1e4, -1e4 + math.log(3), 1e4 + math.log(2)]), ulps=1)


def test_softmax_of_infinities():
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf, 0], [-inf, -inf, -inf]])
    np.testing.assert_array_equal(softmax(x), [[0.5, 0, 0.5], [nan] * 3])
    np.testing.assert_array_equal(log_softmax(x)[:, 1], [-inf, nan])
    np.testing.assert_array_equal(logsumexp(x), [math.log(2), -inf])
    np.testing.assert_array_equal(logsumexp(np.array([[inf, 0.0], [nan, 0.0]])), [inf, nan])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_empty_rows(shape):
    x = np.zeros(shape)
    assert softmax(x).shape == log_softmax(x).shape == shape
    assert softmax_gradient(x, x).shape == log_softmax_gradient(x, x).shape == shape
    np.testing.assert_array_equal(logsumexp(x), np.full(shape[:-1], -np.inf if shape[-1] == 0 else np.log(shape[-1])))
