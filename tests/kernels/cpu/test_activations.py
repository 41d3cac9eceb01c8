"""Activations and softmax on the CPU against the reference in double precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close
from numerics import assert_close_beside_one as close

from tomograd.kernels import ACTIVATION_NAMES, cpu, reference
from tomograd.kernels.cpu.rows import NARROW
from tomograd.testing.strategies import LAYOUTS, arrays, laid_out, shapes

EXTREMES = [0.0, -0.0, 1e4, -1e4, 1e-30, -1e-30, 88.5, -88.5, 104.0, -104.0, 20.0, -20.0, 3.0, -3.0]
# Known at compile time, in groups of 4 or 8 columns that overlap or do not, wide with and without a rest.
WIDTHS = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 17, NARROW, NARROW + 1, 64, 1000])


@given(x=arrays(shapes()), name=st.sampled_from(ACTIVATION_NAMES), parameter=st.sampled_from([0.0, 0.2, 1.0, 2.5]))
def test_activations_and_their_gradients_equal_the_reference(x, name, parameter):
    x = x * x.dtype.type(3)
    wide = x.astype(np.float64)
    y = cpu.activation(x, name, parameter)
    assert y.dtype == x.dtype and y.shape == x.shape
    close(y, reference.activation(wide, name, parameter))
    dy = np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)
    dx = cpu.activation_gradient(dy, x, name, parameter)
    close(dx, reference.activation_gradient(dy.astype(np.float64), wide, name, parameter))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_extreme_inputs(name, dtype):
    x = np.array(EXTREMES * 5, dtype)
    y, expected = cpu.activation(x, name, 0.5), reference.activation(x.astype(np.float64), name, 0.5)
    close(y, expected)
    dx = cpu.activation_gradient(np.full_like(x, 2), x, name, 0.5)
    assert np.isfinite(dx).all()
    close(dx, reference.activation_gradient(np.full(x.shape, 2.0), x.astype(np.float64), name, 0.5))
    assert np.isnan(cpu.activation(np.full(40, np.nan, dtype), name, 0.5)).all()


@pytest.mark.parametrize("name", ["sigmoid", "silu", "gelu"])
def test_left_tails_keep_their_digits(name):
    """Relative, not absolute errors: Φ(−10) is 7.6e-24, and not 0."""
    x = np.linspace(-9, -1, 100, dtype=np.float32)
    np.testing.assert_allclose(cpu.activation(x, name), reference.activation(x.astype(np.float64), name), rtol=2e-6)


def test_relu_takes_its_output_for_its_input():
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    dy = np.ones_like(x)
    from_output = cpu.activation_gradient(dy, cpu.activation(x, "relu"), "relu")
    np.testing.assert_array_equal(from_output, cpu.activation_gradient(dy, x, "relu"))


def test_unknown_name():
    with pytest.raises(ValueError, match="expected one of relu"):
        cpu.activation(np.zeros(3, np.float32), "swish2")


@given(
    rows=st.sampled_from([0, 1, 5, 64, 65, 200]),
    width=WIDTHS,
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_softmax_and_its_kin_equal_the_reference(rows, width, dtype, layout):
    rng = np.random.default_rng(rows + width)
    x = laid_out((rng.standard_normal((rows, width)) * 5).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((rows, width)).astype(dtype), layout)
    wide, wide_dy = x.astype(np.float64), dy.astype(np.float64)
    for name in ("softmax", "log_softmax", "logsumexp"):
        close(getattr(cpu, name)(x), getattr(reference, name)(wide))
    for name in ("softmax", "log_softmax"):
        y = getattr(reference, name)(x)
        gradient = getattr(cpu, f"{name}_gradient")(dy, y)
        expected = getattr(reference, f"{name}_gradient")(wide_dy, y.astype(np.float64))
        assert_close(gradient, expected, scale=1 + np.abs(wide_dy).sum(-1).max(initial=0))


@pytest.mark.parametrize("width", [3, 20, 70])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_rows_with_infinities_and_nan(name, width):
    x = np.zeros((6, width), np.float32)
    x[0, 1], x[1, 0], x[2, :], x[3, :2], x[4, 2] = -np.inf, np.inf, -np.inf, (np.inf, np.nan), 1e38
    np.testing.assert_allclose(getattr(cpu, name)(x), getattr(reference, name)(x), rtol=1e-6)


def test_softmax_is_over_the_last_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(cpu.softmax(x), reference.softmax(x), rtol=1e-5)
    assert cpu.logsumexp(x).shape == (2, 3, 4)
