"""The reference affine map: by hand, on images whose image is known, and its transpose."""

import itertools

import numpy as np
import pytest
from affine_cases import FILL_MODES, INTERPOLATIONS, tables
from hypothesis import given
from hypothesis import strategies as st
from numerics import inner

from tomograd.kernels.reference import affine_transform, affine_transform_gradient

X = np.arange(1.0, 5.0).reshape(1, 1, 4, 1)


def seen(columns, interpolation="bilinear", fill_mode="constant", fill_value=0.0, x=X):
    """One row of x at these places along it."""
    places = np.stack([np.zeros(len(columns)), columns], -1)[None]
    return affine_transform(x, np.zeros((1, 1, 2)), places, interpolation, fill_mode, fill_value).ravel().tolist()


def test_between_pixels_by_hand():
    assert seen([0.25, 1.5, 3.0]) == [1.25, 2.5, 4.0]
    assert seen([0.25, 0.5, 1.5, 2.5, 2.51], "nearest") == [1, 1, 3, 3, 4]  # halves to the even pixel


@pytest.mark.parametrize(
    ("fill_mode", "row"),
    [
        ("constant", [9, 9, 9, 9, 9, 1, 2, 3, 4, 9, 9, 9, 9, 9]),
        ("nearest", [1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 4]),
        ("reflect", [4, 4, 3, 2, 1, 1, 2, 3, 4, 4, 3, 2, 1, 1]),
        ("wrap", [4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1]),
    ],
)
def test_what_lies_beyond_the_edges(fill_mode, row):
    for interpolation in INTERPOLATIONS:
        assert seen(np.arange(-5.0, 9.0), interpolation, fill_mode, 9.0) == row
    halves = seen(np.arange(-5.0, 8.0) + 0.5, "bilinear", fill_mode, 9.0)
    assert halves == [(a + b) / 2 for a, b in itertools.pairwise(row)]


def test_pixels_without_a_share_are_not_read():
    x = np.array([1.0, np.nan, np.inf, 4.0]).reshape(1, 1, 4, 1)
    np.testing.assert_array_equal(seen(np.arange(4.0), x=x), x.ravel())
    assert np.isnan(seen([0.5], x=x)).all()
    assert seen([3.5], fill_value=np.inf, x=x) == [np.inf]


@given(
    seed=st.integers(0, 2**32 - 1),
    interpolation=st.sampled_from(INTERPOLATIONS),
    fill_mode=st.sampled_from(FILL_MODES),
    size=st.tuples(*[st.integers(1, 5)] * 2),
    output=st.tuples(*[st.integers(1, 5)] * 2),
)
def test_the_gradient_is_the_transpose(seed, interpolation, fill_mode, size, output):
    rng = np.random.default_rng(seed)
    rows, columns = tables(rng, 2, output, size)
    x, dy = rng.standard_normal((2, *size, 3)), rng.standard_normal((2, *output, 3))
    y = affine_transform(x, rows, columns, interpolation, fill_mode, 0.0)
    dx = affine_transform_gradient(dy, rows, columns, size, interpolation, fill_mode)
    assert dx.shape == x.shape
    np.testing.assert_allclose(inner(y, dy), inner(x, dx), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    rows, columns = tables(np.random.default_rng(0), 1, (3, 4), (2, 2))
    y = affine_transform(np.ones((1, 2, 2, 1), dtype), rows, columns, "bilinear", "wrap", 0.0)
    assert y.dtype == affine_transform_gradient(y, rows, columns, (2, 2), "bilinear", "wrap").dtype == dtype


def test_unknown_names_are_refused():
    rows, columns = tables(np.random.default_rng(0), 1, (1, 1), (1, 1))
    with pytest.raises(ValueError, match=r'interpolation = \'cubic\': expected "nearest" or "bilinear"'):
        affine_transform(np.ones((1, 1, 1, 1)), rows, columns, "cubic", "wrap", 0.0)
    with pytest.raises(ValueError, match=r'fill_mode = \'mirror\': expected "constant", "nearest"'):
        affine_transform_gradient(np.ones((1, 1, 1, 1)), rows, columns, (1, 1), "nearest", "mirror")
