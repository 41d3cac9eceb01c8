"""The reference pooling against loops over windows; ties, padding and NaN; the transposes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import inner

from tomograd.kernels.reference import (
    average_pool,
    average_pool_gradient,
    max_pool,
    max_pool_gather,
    max_pool_scatter,
)
from tomograd.testing.strategies import pool_cases

TWO = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))  # windows of 2 × 2 side by side


def window_positions(case, o):
    """The positions under window o: a list of (index in the window, position in the image), the padding left out."""
    w = case.windows
    found = []
    for index, tap in enumerate(np.ndindex(*w.kernel_size)):
        parts = zip(o, w.strides, tap, w.dilation_rate, w.padding, strict=True)
        position = tuple(a * s + t * d - p[0] for a, s, t, d, p in parts)
        if all(0 <= p < i for p, i in zip(position, w.input_size, strict=True)):
            found.append((index, position))
    return found


def test_the_worked_example():
    x = np.arange(1, 17, dtype=float).reshape(1, 4, 4, 1)
    y, choice = max_pool(x, *TWO)
    np.testing.assert_array_equal(y[0, ..., 0], [[6, 8], [14, 16]])
    assert np.all(choice == 3)
    np.testing.assert_array_equal(average_pool(x, *TWO[:3], False)[0, ..., 0], [[3.5, 5.5], [11.5, 13.5]])


@given(pool_cases(values="integers"))
def test_max_pool_takes_the_first_maximum_inside_the_image(case):
    y, choice = max_pool(case.x, *case.geometry)
    assert y.shape == choice.shape == case.dy.shape
    assert y.dtype == case.x.dtype
    assert choice.dtype == np.uint8
    for n, *o, c in np.ndindex(y.shape):
        best = None
        for index, position in window_positions(case, o):
            value = case.x[(n, *position, c)]
            if best is None or value > best[1]:
                best = (index, value)
        assert (choice[(n, *o, c)], y[(n, *o, c)]) == best


@given(pool_cases(values="integers"))
def test_scatter_and_gather_are_transposes_and_gather_gives_the_maxima(case):
    y, choice = max_pool(case.x, *case.geometry)
    np.testing.assert_array_equal(max_pool_gather(case.x, choice, *case.geometry), y)
    dx = max_pool_scatter(case.dy, choice, case.windows.input_size, *case.geometry)
    assert dx.dtype == case.dy.dtype
    assert inner(max_pool_gather(case.x, choice, *case.geometry), case.dy) == inner(case.x, dx)
    assert dx.sum() == case.dy.sum()  # nothing went to the padding
    v = np.asarray(np.random.default_rng(0).integers(-4, 5, case.x.shape), case.x.dtype)
    assert inner(max_pool_gather(v, choice, *case.geometry), case.dy) == inner(v, dx)


def test_ties_go_to_the_first():
    x = np.full((1, 4, 4, 2), 7.0)
    _, choice = max_pool(x, *TWO)
    assert np.all(choice == 0)
    dx = max_pool_scatter(np.ones((1, 2, 2, 2)), choice, (4, 4), *TWO)
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(dx[0, ..., 0], expected)


@pytest.mark.parametrize("value", [-5.0, -1e30, -np.inf])
def test_padding_never_wins(value):
    x = np.full((1, 3, 3, 1), value, np.float32)
    geometry = (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)
    y, choice = max_pool(x, *geometry)
    np.testing.assert_array_equal(y, np.full((1, 2, 2, 1), value, np.float32))
    np.testing.assert_array_equal(choice[0, ..., 0], [[4, 3], [1, 0]])  # the first position inside the image
    dx = max_pool_scatter(np.ones_like(y), choice, (3, 3), *geometry)
    assert dx.sum() == 4


def test_nan_wins_and_the_first_nan_is_chosen():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    x[0, 0, 1, 0] = x[0, 1, 0, 0] = np.nan
    y, choice = max_pool(x, *TWO)
    np.testing.assert_array_equal(y[0, ..., 0], [[np.nan, 7], [13, 15]])
    assert choice[0, 0, 0, 0] == 1


@pytest.mark.parametrize(("pool_size", "dtype"), [((255,), np.uint8), ((256,), np.int32), ((300,), np.int32)])
def test_the_choice_is_wide_enough_for_the_window(pool_size, dtype):
    x = np.arange(pool_size[0], dtype=np.float32).reshape(1, -1, 1)
    y, choice = max_pool(x, pool_size, (1,), ((0, 0),), (1,))
    assert choice.dtype == dtype
    assert choice.item() == y.item() == pool_size[0] - 1


@given(pool_cases(values="integers", dtype=np.float64, dilated=False), st.booleans())
def test_average_pool_is_the_mean_of_its_window(case, count_include_pad):
    w = case.windows
    y = average_pool(case.x, w.kernel_size, w.strides, w.padding, count_include_pad)
    assert y.shape == case.dy.shape
    assert y.dtype == case.x.dtype
    for n, *o, c in np.ndindex(y.shape):
        inside = [case.x[(n, *position, c)] for _, position in window_positions(case, o)]
        count = np.prod(w.kernel_size) if count_include_pad else len(inside)
        assert y[(n, *o, c)] == sum(inside) / count


@given(pool_cases(values="normal", dtype=np.float64, dilated=False), st.booleans())
def test_the_gradient_of_average_pooling_is_its_transpose(case, count_include_pad):
    w = case.windows
    dx = average_pool_gradient(case.dy, w.input_size, w.kernel_size, w.strides, w.padding, count_include_pad)
    assert dx.shape == case.x.shape
    y = average_pool(case.x, w.kernel_size, w.strides, w.padding, count_include_pad)
    np.testing.assert_allclose(inner(y, case.dy), inner(case.x, dx), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    x = np.arange(32, dtype=dtype).reshape(1, 4, 4, 2)
    y, choice = max_pool(x, *TWO)
    mean = average_pool(x, *TWO[:3], True)
    assert {y.dtype, mean.dtype, max_pool_scatter(y, choice, (4, 4), *TWO).dtype} == {np.dtype(dtype)}
    assert average_pool_gradient(mean, (4, 4), *TWO[:3], True).dtype == dtype


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 4, 4, 0)])
def test_empty_batches_and_no_channels(shape):
    x = np.zeros(shape)
    y, choice = max_pool(x, *TWO)
    assert y.shape == choice.shape == (shape[0], 2, 2, shape[3])
    assert max_pool_scatter(y, choice, (4, 4), *TWO).shape == shape
    assert max_pool_gather(x, choice, *TWO).shape == y.shape
    assert average_pool(x, *TWO[:3], False).shape == y.shape
    assert average_pool_gradient(y, (4, 4), *TWO[:3], False).shape == shape
