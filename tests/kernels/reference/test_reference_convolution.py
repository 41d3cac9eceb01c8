"""The reference convolution against the formula written as loops, against SciPy, and against its own transposes."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import assert_close, inner

from tomograd.kernels import geometry
from tomograd.kernels.reference import channel_sum, conv, conv_transpose, conv_weight_gradient
from tomograd.testing import array_function, gradcheck
from tomograd.testing.strategies import conv_cases

ONE = ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)  # strides 1, no padding, dilation 1, one group, in two dimensions


def formula(x, weight, strides, padding, dilation_rate, groups):
    """The sum of the module's docstring, one output number at a time; x is 0 outside the image."""
    size, kernel = x.shape[1:-1], weight.shape[:-2]
    c_group, k_group = weight.shape[-2], weight.shape[-1] // groups
    y = np.zeros((len(x), *geometry.conv_output_size(size, kernel, strides, padding, dilation_rate), weight.shape[-1]))
    for n, *o, k in np.ndindex(y.shape):
        for t in np.ndindex(*kernel):
            parts = zip(o, strides, t, dilation_rate, padding, strict=True)
            position = tuple(o_ * s + t_ * d - before for o_, s, t_, d, (before, _) in parts)
            if all(0 <= p < i for p, i in zip(position, size, strict=True)):
                for c in range(c_group):
                    y[(n, *o, k)] += x[(n, *position, k // k_group * c_group + c)] * weight[(*t, c, k)]
    return y


def test_the_worked_example():
    x = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], float).reshape(1, 3, 3, 1)
    weight = np.array([[0, 1], [1, 0]], float).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(conv(x, weight, None, *ONE)[0, ..., 0], [[2 + 4, 3 + 5], [5 + 7, 6 + 8]])


@settings(max_examples=25)
@given(conv_cases(max_output=3, max_kernel=3, max_channels=2, max_groups=2))
def test_convolution_is_its_formula_exactly(case):
    y = conv(case.x, case.weight, case.bias, *case.geometry)
    expected = formula(case.x, case.weight, *case.geometry)
    expected += 0 if case.bias is None else case.bias
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == case.x.dtype
    np.testing.assert_array_equal(conv(case.x, case.weight, case.bias, *case.geometry, "relu"), np.maximum(expected, 0))


@pytest.mark.parametrize("size", [(11,), (7, 9), (5, 6, 4)])
@pytest.mark.parametrize("mode", ["valid", "same"])
def test_convolution_is_scipys_correlation(size, mode):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal(size), rng.standard_normal((3,) * len(size))
    ones = (1,) * len(size)
    padding = geometry.resolve_padding(mode, size, kernel.shape, ones, ones)
    y = conv(x[None, ..., None], kernel[..., None, None], None, ones, padding, ones, 1)
    assert_close(y[0, ..., 0], scipy.signal.correlate(x, kernel, mode))


@given(conv_cases())
def test_the_three_are_transposes_of_each_other(case):
    """⟨conv(x, w), dy⟩ = ⟨x, conv_transpose(dy, w)⟩ = ⟨w, conv_weight_gradient(x, dy)⟩, exactly, for small integers."""
    w = case.windows
    dx = conv_transpose(case.dy, case.weight, None, w.input_size, *case.geometry)
    dweight = conv_weight_gradient(case.x, case.dy, w.kernel_size, *case.geometry)
    forward = inner(conv(case.x, case.weight, None, *case.geometry), case.dy)
    assert forward == inner(case.x, dx) == inner(case.weight, dweight)
    assert dx.dtype == dweight.dtype == case.x.dtype


@settings(max_examples=15)
@given(conv_cases(values="normal", dtype=np.float64, max_output=3, max_channels=2, max_groups=2, max_batch=1))
def test_the_transposes_are_the_gradients(case):
    size, kernel = case.windows.input_size, case.windows.kernel_size

    def backward(dy, x, weight):
        return (
            conv_transpose(dy, weight, None, size, *case.geometry),
            conv_weight_gradient(x, dy, kernel, *case.geometry),
        )

    pair = array_function(lambda x, weight: conv(x, weight, None, *case.geometry), backward)
    gradcheck(pair, [case.x, case.weight], linear=(0, 1), method="elements")


def test_a_transposed_convolution_by_hand():
    x = np.array([[1, 2], [3, 4]], float).reshape(1, 2, 2, 1)
    weight = np.array([[1, 10], [100, 1000]], float).reshape(2, 2, 1, 1)
    bias = np.array([0.5])
    y = conv_transpose(x, weight, bias, (4, 4), (2, 2), ((0, 0), (0, 0)), (1, 1), 1)
    np.testing.assert_array_equal(y[0, ..., 0], np.kron(x[0, ..., 0], weight[..., 0, 0]) + 0.5)
    # stride 1: the prints of the kernel overlap and add up
    y = conv_transpose(x, weight, None, (3, 3), *ONE)
    np.testing.assert_array_equal(y[0, ..., 0], [[1, 12, 20], [103, 1234, 2040], [300, 3400, 4000]])
    # padding of the convolution crops the transposed one
    cropped = conv_transpose(x, weight, None, (2, 1), (1, 1), ((1, 0), (1, 1)), (1, 1), 1)
    np.testing.assert_array_equal(cropped[0, ..., 0], [[1234], [3400]])


@given(conv_cases(values="integers"))
def test_groups_are_convolutions_side_by_side(case):
    x_blocks = np.split(case.x, case.groups, -1)
    w_blocks = np.split(case.weight, case.groups, -1)
    side_by_side = [conv(x, w, None, *case.geometry[:3], 1) for x, w in zip(x_blocks, w_blocks, strict=True)]
    np.testing.assert_array_equal(conv(case.x, case.weight, None, *case.geometry), np.concatenate(side_by_side, -1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    x, weight, bias = np.ones((2, 5, 4, 3), dtype), np.ones((3, 2, 3, 4), dtype), np.ones(4, dtype)
    y = conv(x, weight, bias, *ONE)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, 3 * 2 * 3 + 1)
    assert conv_transpose(y, weight, None, (5, 4), *ONE).dtype == dtype
    assert conv_weight_gradient(x, y, (3, 2), *ONE).dtype == dtype
    assert channel_sum(y).dtype == dtype


@pytest.mark.parametrize(("n", "c_in", "c_out"), [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 0, 0)])
def test_empty_batches_and_no_channels(n, c_in, c_out):
    x, weight, bias = np.ones((n, 5, 4, c_in)), np.ones((3, 2, c_in, c_out)), np.ones(c_out)
    y = conv(x, weight, bias, *ONE)
    np.testing.assert_array_equal(y, np.full((n, 3, 3, c_out), 6 * c_in + 1))
    dx = conv_transpose(y, weight, None, (5, 4), *ONE)
    assert dx.shape == x.shape
    assert np.all(dx >= 0)
    assert conv_weight_gradient(x, y, (3, 2), *ONE).shape == weight.shape
    np.testing.assert_array_equal(channel_sum(y), y.sum((0, 1, 2)))


@given(conv_cases(layouts=("read-only", "strided")))
def test_arguments_are_not_modified(case):
    before = case.x.copy(), case.weight.copy(), case.dy.copy()
    conv(case.x, case.weight, case.bias, *case.geometry, "relu")
    conv_transpose(case.dy, case.weight, None, case.windows.input_size, *case.geometry)
    conv_weight_gradient(case.x, case.dy, case.windows.kernel_size, *case.geometry)
    for array, copy in zip((case.x, case.weight, case.dy), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_nan_reaches_the_windows_that_see_it_and_no_other():
    x = np.ones((1, 6, 6, 1), np.float32)
    x[0, 2, 3, 0] = np.nan
    y = conv(x, np.ones((3, 3, 1, 1), np.float32), None, *ONE)
    seen = np.zeros((4, 4), bool)
    seen[0:3, 1:4] = True
    np.testing.assert_array_equal(np.isnan(y[0, ..., 0]), seen)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation = 'tanh'"):
        conv(np.ones((1, 2, 2, 1)), np.ones((1, 1, 1, 1)), None, *ONE, "tanh")


@given(st.integers(0, 5), st.integers(0, 3))
def test_channel_sum_by_hand(n, c):
    dy = np.arange(n * 6 * c, dtype=np.float32).reshape(n, 2, 3, c)
    np.testing.assert_array_equal(channel_sum(dy), [sum(dy[..., j].ravel().tolist()) for j in range(c)])


def test_channel_sum_of_many_float32():
    dy = np.full((1_000_000, 2), 0.1, np.float32)  # added one after the other in float32 this gives 100,958
    assert_close(channel_sum(dy), np.full(2, 1_000_000 * float(np.float32(0.1))), ulps=1)
