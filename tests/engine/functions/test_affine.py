"""Affine maps of images against SciPy's look-up of single places, and how far a map may lead."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.engine import Tensor, grad
from tomograd.engine import functional as F

MODES = {"constant": "grid-constant", "nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap"}  # SciPy's names
ORDERS = {"nearest": 0, "bilinear": 1}
IDENTITY = [1, 0, 0, 0, 1, 0]


def looked_up(image, numbers, interpolation="bilinear", fill_mode="constant", fill_value=0.0):
    """(H, W, C), pixel by pixel as the docstring says."""
    a0, a1, a2, b0, b1, b2 = numbers[:6]
    i, j = np.indices(image.shape[:2])
    places = [b0 * j + b1 * i + b2, a0 * j + a1 * i + a2]
    options = {"order": ORDERS[interpolation], "mode": MODES[fill_mode], "cval": fill_value}
    channels = [scipy.ndimage.map_coordinates(channel, places, **options) for channel in np.moveaxis(image, -1, 0)]
    return np.stack(channels, -1)


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 2)),
    interpolation=st.sampled_from(list(ORDERS)),
    fill_mode=st.sampled_from(list(MODES)),
    numbers=st.sampled_from([6, 8]),
    seed=st.integers(0, 99),
)
def test_each_pixel_shows_its_place(size, interpolation, fill_mode, numbers, seed):
    rng = np.random.default_rng(seed)
    x, maps = rng.standard_normal(size), np.zeros((size[0], numbers))
    maps[:, :6] = IDENTITY + rng.standard_normal((size[0], 6))
    options = (interpolation, fill_mode, 0.75)
    expected = [looked_up(image, each, *options) for image, each in zip(x, maps, strict=True)]
    np.testing.assert_allclose(F.affine_transform(x, maps, *options).array, expected, rtol=1e-9, atol=1e-9)
    for image, each, y in zip(x, maps, expected, strict=True):
        np.testing.assert_allclose(F.affine_transform(image, each, *options).array, y, rtol=1e-9, atol=1e-9)
    expected = [looked_up(image, maps[0], *options) for image in x]  # one map for all
    np.testing.assert_allclose(F.affine_transform(x, maps[0], *options).array, expected, rtol=1e-9, atol=1e-9)


def test_unless_told_otherwise_it_is_bilinear_on_zeros():
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    assert F.affine_transform(x, [1, 0, 1.5, 0, 1, 0]).array.ravel().tolist() == [2.5, 3.5, 2, 0]


@pytest.mark.parametrize("seen", [[0, 0, 2.0**31, 0, 0, 0], [2.0**31, 0, 0, 0, 0, 0], [0, 0, 0, 0, 2.0**31, 0]])
def test_a_map_leads_as_far_as_it_may(seen):
    """By what is added to all places, by what each column adds, and by what each row adds."""
    x = np.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    np.testing.assert_array_equal(F.affine_transform(x, seen).array, looked_up(x, seen))
    with pytest.raises(ValueError, match="farther than 2147483648 pixels"):
        F.affine_transform(x, [number + (number > 0) for number in seen])
    with pytest.raises(ValueError, match="farther than 2147483648 pixels"):
        F.affine_transform(x, [-number - (number > 0) for number in seen])


def test_no_images_have_no_maps():
    x = Tensor(np.zeros((0, 2, 3, 1)), requires_grad=True)
    for maps in (np.zeros((0, 6)), np.zeros(8)):
        y = F.affine_transform(x, maps)
        assert y.shape == x.shape and grad(y, x, np.zeros(y.shape)).shape == x.shape


def test_channels_may_be_none():
    assert F.affine_transform(np.zeros((2, 3, 0)), IDENTITY).shape == (2, 3, 0)


def test_a_map_is_a_constant():
    with pytest.raises(TypeError, match="transform requires a gradient"):
        F.affine_transform(np.ones((2, 2, 1)), Tensor(np.array(IDENTITY, float), requires_grad=True))


@pytest.mark.parametrize("shape", [(), (7,), (9,), (2, 7), (3, 8), (1, 2, 6)])
def test_maps_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"transform has shape .* expected \(8,\) or \(2, 8\)"):
        F.affine_transform(np.ones((2, 3, 3, 1)), np.zeros(shape))


def test_images_of_other_shapes_are_refused():
    for shape in ((3, 3), (1, 2, 3, 3, 1)):
        with pytest.raises(ValueError, match=r"expected \(N, H, W, C\) or \(H, W, C\)"):
            F.affine_transform(np.ones(shape), IDENTITY)
    for shape in ((0, 3, 1), (3, 0, 1)):
        with pytest.raises(ValueError, match="there are no pixels to see"):
            F.affine_transform(np.ones(shape), IDENTITY)
    for last in ([1, 0], [0, 1]):
        with pytest.raises(ValueError, match="projective maps are not here"):
            F.affine_transform(np.ones((2, 2, 1)), [*IDENTITY, *last])
