"""The reference resize: by hand, on images whose resized form is known, and its transpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import inner

from tomograd.kernels.reference import resize, resize_gradient
from tomograd.testing.strategies import dimensions, float_types, seeds

METHODS = ("nearest", "bilinear")
methods = st.sampled_from(METHODS)
sizes = dimensions.flatmap(lambda d: st.tuples(*[st.lists(st.integers(1, 7), min_size=d, max_size=d)] * 2))


def row(*values):
    return np.array(values, float).reshape(1, -1, 1)


def test_one_axis_by_hand():
    np.testing.assert_array_equal(resize(row(1, 2, 3), (6,), "nearest"), row(1, 1, 2, 2, 3, 3))
    np.testing.assert_array_equal(resize(row(1, 2, 3, 4), (2,), "nearest"), row(2, 4))  # ⌊1⌋ and ⌊3⌋
    np.testing.assert_array_equal(resize(row(0, 1), (4,), "bilinear"), row(0, 0.25, 0.75, 1))
    np.testing.assert_array_equal(resize(row(1, 3, 5, 9), (2,), "bilinear"), row(2, 7))
    np.testing.assert_array_equal(resize(row(5), (3,), "bilinear"), row(5, 5, 5))


def test_two_axes_by_hand():
    x = np.array([[0, 4], [8, 12]], float).reshape(1, 2, 2, 1)
    expected = np.add.outer([0, 2, 6, 8], [0, 1, 3, 4])
    np.testing.assert_array_equal(resize(x, (4, 4), "bilinear")[0, ..., 0], expected)
    np.testing.assert_array_equal(resize(x, (4, 4), "nearest")[0, ..., 0], np.kron(x[0, ..., 0], np.ones((2, 2))))


@given(sizes, methods, float_types, seeds)
def test_the_same_size_changes_nothing_and_a_constant_stays(sizes, method, dtype, seed):
    x = np.random.default_rng(seed).standard_normal((2, *sizes[0], 3)).astype(dtype)
    same = resize(x, tuple(sizes[0]), method)
    np.testing.assert_array_equal(same, x)
    assert not np.shares_memory(same, x)
    constant = resize(np.full_like(x, 3), tuple(sizes[1]), method)
    assert constant.shape == (2, *sizes[1], 3)
    assert constant.dtype == dtype
    np.testing.assert_allclose(constant, 3, rtol=4 * np.finfo(dtype).eps)


@given(st.integers(2, 9), st.integers(1, 20))
def test_bilinear_follows_a_ramp_between_the_outermost_centres(n, m):
    centres = (np.arange(m) + 0.5) * n / m - 0.5
    y = resize(row(*range(n)), (m,), "bilinear")
    np.testing.assert_allclose(y.ravel(), np.clip(centres, 0, n - 1), atol=1e-12)


@pytest.mark.parametrize("m", [5, 7, 12])
def test_beyond_the_outermost_centres_lies_the_edge_to_the_bit(m):
    x = np.random.default_rng(0).standard_normal((1, 4, 50))
    y = resize(x, (m,), "bilinear")
    centres = (np.arange(m) + 0.5) * 4 / m - 0.5
    for beyond, edge in ((centres <= 0, x[:, :1]), (centres >= 3, x[:, -1:])):
        assert beyond.any()
        np.testing.assert_array_equal(y[:, beyond], np.repeat(edge, beyond.sum(), 1))


@given(sizes, methods, seeds)
def test_the_gradient_is_the_transpose(sizes, method, seed):
    input_size, output_size = map(tuple, sizes)
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *input_size, 2)), rng.standard_normal((2, *output_size, 2))
    dx = resize_gradient(dy, input_size, method)
    assert dx.shape == x.shape
    np.testing.assert_allclose(inner(resize(x, output_size, method), dy), inner(x, dx), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (2, 3, 4, 0)])
def test_empty_batches_and_no_channels(method, shape):
    y = resize(np.zeros(shape), (5, 2), method)
    assert y.shape == (shape[0], 5, 2, shape[-1])
    assert resize_gradient(y, (3, 4), method).shape == shape


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(method, dtype):
    y = resize(np.ones((1, 3, 1), dtype), (5,), method)
    assert y.dtype == resize_gradient(y, (3,), method).dtype == dtype


@pytest.mark.parametrize("method", METHODS)
def test_nan_stays_where_it_is_read(method):
    x = row(0, 1, np.nan, 3, 4, 5)
    y = resize(x, (12,), method).ravel()
    assert np.isnan(y).any()
    assert np.isfinite(y[:3]).all()
    assert np.isfinite(y[7:]).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"method = 'bicubic': expected \"nearest\" or \"bilinear\""):
        resize(row(1, 2), (3,), "bicubic")
    with pytest.raises(ValueError, match="bicubic"):
        resize_gradient(row(1, 2), (3,), "bicubic")


@pytest.mark.parametrize("size", [(3,), (3, 4, 5)])
def test_sizes_of_other_dimensions_are_refused(size):
    x = np.zeros((1, 3, 4, 1))
    with pytest.raises(ValueError, match="zip"):
        resize(x, size, "nearest")
    with pytest.raises(ValueError, match="zip"):
        resize_gradient(x, size, "nearest")
