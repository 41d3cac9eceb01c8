"""Resizing on the GPU against the reference: every number of dimensions, up and down, what is not finite, and the
transpose axis by axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import inner
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing import compare
from tomograd.testing.strategies import LAYOUTS, laid_out

METHODS = ("nearest", "bilinear")
WEIGHTS = 4  # roundings in the weights of one dimension
sizes = st.integers(1, 3).flatmap(lambda d: st.tuples(*[st.tuples(st.integers(1, 7), st.integers(1, 9))] * d))


def require_equal_up_to_rounding(cuda, x, dy, method):
    """Resizing x to dy's size, and its transpose. A weight, 1 less a fraction, is rounded too: in each dimension."""
    before, after = x.shape[1:-1], dy.shape[1:-1]
    corners = 2 ** len(before)
    compare(cuda.resize, reference.resize, x, after, method, terms=corners + WEIGHTS * len(before))
    reached = int(np.prod([2 * -(-m // n) + 2 for n, m in zip(before, after, strict=True)]))
    terms = reached + WEIGHTS * len(before)
    compare(cuda.resize_gradient, reference.resize_gradient, dy, before, method, terms=terms)


@given(
    sizes=sizes,
    channels=st.sampled_from([1, 3, 4, 8]),
    method=st.sampled_from(METHODS),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
)
def test_resize_and_its_gradient_equal_the_reference(cuda, sizes, channels, method, dtype, layout):
    rng = np.random.default_rng(0)
    before, after = zip(*sizes, strict=True)
    x = laid_out(rng.standard_normal((2, *before, channels)).astype(dtype), layout)
    dy = laid_out(rng.standard_normal((2, *after, channels)).astype(dtype), layout)
    require_equal_up_to_rounding(cuda, x, dy, method)


@pytest.mark.parametrize("channels", [1, 3, 4, 12])
@pytest.mark.parametrize("after", [(10, 140), (4, 96), (5, 31), (1, 9), (5, 70)])
@pytest.mark.parametrize("method", METHODS)
def test_rows_of_many_packs(cuda, channels, after, method):
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, 5, 70, channels)).astype(np.float32)
    require_equal_up_to_rounding(cuda, x, rng.standard_normal((2, *after, channels)).astype(np.float32), method)


@given(
    sizes=sizes,
    method=st.sampled_from(METHODS),
    values=st.sampled_from([(np.nan,), (np.inf,), (np.inf, -np.inf)]),
    channels=st.sampled_from([1, 4]),
)
def test_what_is_not_finite_goes_where_the_reference_has_it(cuda, sizes, method, values, channels):
    """A share of 0 takes no part."""
    rng = np.random.default_rng(1)
    before, after = zip(*sizes, strict=True)
    x, dy = (rng.standard_normal((2, *size, channels)).astype(np.float32) for size in (before, after))
    for array in (x, dy):
        array.ravel()[rng.choice(array.size, min(3, array.size))] = rng.choice(values, min(3, array.size))
    with np.errstate(invalid="ignore"):
        expected = reference.resize(x, after, method), reference.resize_gradient(dy, before, method)
    np.testing.assert_allclose(cuda.resize(x, after, method), expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cuda.resize_gradient(dy, before, method), expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_the_same_size_changes_nothing(cuda, method, dtype):
    """Also where m · (1/m) is not 1: for 41 and 47 in float32, for 49 in float64."""
    for n in (41, 47, 49):
        x = np.random.default_rng(0).standard_normal((1, n, 3, 4)).astype(dtype)
        np.testing.assert_array_equal(cuda.resize(x, (n, 3), method), x)
        np.testing.assert_array_equal(cuda.resize_gradient(x, (n, 3), method), x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [((1, 1), (20, 33)), ((2, 3, 2), (9, 17, 12)), ((3,), (400,)), ((4, 1), (4, 150))])
def test_the_transpose_axis_by_axis(cuda, sizes, method):
    """Where each input position is read by many output positions."""
    before, _ = sizes
    rng = np.random.default_rng(0)
    for channels in (1, 4, 6):
        x, dy = (rng.standard_normal((2, *size, channels)).astype(np.float32) for size in sizes)
        require_equal_up_to_rounding(cuda, x, dy, method)
        dy[:, -1, ..., 0] = np.inf
        with np.errstate(invalid="ignore"):
            expected = reference.resize_gradient(dy, before, method)
        np.testing.assert_allclose(cuda.resize_gradient(dy, before, method), expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_is_the_transpose(cuda):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 5, 4, 6)), rng.standard_normal((2, 6, 10, 9, 6))
    forward = inner(cuda.resize(x, (6, 10, 9), "bilinear"), dy)
    np.testing.assert_allclose(inner(cuda.resize_gradient(dy, (3, 5, 4), "bilinear"), x), forward, rtol=1e-10)


def test_long_axes(cuda):
    """Products of sizes beyond 32 bits."""
    x = np.random.default_rng(0).standard_normal((1, 60_000, 1)).astype(np.float32)
    for method in METHODS:
        y = cuda.resize(x, (59_999,), method)
        np.testing.assert_allclose(y, reference.resize(x, (59_999,), method), rtol=1e-5, atol=1e-5)
        dx = cuda.resize_gradient(y, (60_000,), method)
        np.testing.assert_allclose(dx, reference.resize_gradient(y, (60_000,), method), rtol=1e-5, atol=1e-5)


def test_an_unknown_method_is_refused(cuda):
    x = np.zeros((1, 2, 2, 1), np.float32)
    for resize in (cuda.resize, cuda.resize_gradient):
        with pytest.raises(ValueError, match=r"method = 'bicubic': expected \"nearest\" or \"bilinear\""):
            resize(x, (4, 4), "bicubic")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 2), (2, 3, 4, 0)])
def test_empty_arrays(cuda, shape, method):
    y = cuda.resize(np.zeros(shape), (5, 2), method)
    assert y.shape == (shape[0], 5, 2, shape[-1])
    assert cuda.resize_gradient(y, (3, 4), method).shape == shape
    assert cuda.resize_gradient(np.zeros((shape[0], 50, 40, shape[-1])), (3, 4), method).shape == shape


@pytest.mark.parametrize("method", METHODS)
def test_the_same_bits_in_every_order(cuda, on_gpu, method):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((2, *size, 12)).astype(np.float32) for size in ((9, 13), (31, 20)))
    wide = rng.standard_normal((2, 60, 31, 3))

    def run():
        return (
            cuda.resize(x, (31, 20), method),
            cuda.resize_gradient(dy, (9, 13), method),
            cuda.resize_gradient(wide, (2, 3), method),
        )

    require_the_same_bits(run, on_gpu)
