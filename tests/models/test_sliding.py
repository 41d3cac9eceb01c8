"""Prediction by tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import layers
from tomograd.models import Input, Model, UNet, predict_tiled
from tomograd.models.sliding import gaussian_window


def pointwise():
    inputs = Input((None, None, 2))
    return Model(inputs, layers.Conv2D(3, 1)(inputs))


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(1, 17)] * 4), st.sampled_from([0.0, 0.3, 0.5, 0.75]))
def test_tiles_of_a_pointwise_model_join_to_the_whole(sizes, overlap):
    images = np.random.default_rng(0).standard_normal((2, *sizes[:2], 2)).astype(np.float32)
    with kernels.using("reference"):
        model = pointwise()
        tiled = predict_tiled(model, images, sizes[2:], overlap, batch_size=3)
        np.testing.assert_allclose(tiled, model.predict(images), rtol=1e-4, atol=1e-5)


def test_far_from_borders_a_unet_sees_the_same_in_tiles():
    model = UNet((None, 1), 1, 2, 1)
    images = np.random.default_rng(0).standard_normal((1, 96, 1)).astype(np.float32)
    tiled, whole = predict_tiled(model, images, 48, 0.5), model.predict(images)
    assert tiled.shape == whole.shape
    np.testing.assert_allclose(tiled[0, 22:26], whole[0, 22:26], rtol=1e-3, atol=1e-3)


def test_the_window_is_largest_in_the_middle_and_never_0():
    window = gaussian_window((9, 5))
    assert window.shape == (9, 5, 1)
    assert window[4, 2, 0] == 1
    assert window.min() == pytest.approx(1e-3)
    np.testing.assert_array_equal(window, window[::-1, ::-1])


def test_wrong_arguments():
    model, images = pointwise(), np.zeros((1, 8, 8, 2))
    for arguments, message in (((images, (4,)), "2 sizes"), ((images, 4, 1.0), "overlap"), ((images, 0), "tile 0")):
        with pytest.raises(ValueError, match=message):
            predict_tiled(model, *arguments)
    flat = Model(model.input, layers.GlobalAveragePooling2D()(model.output))
    with pytest.raises(ValueError, match="spatial size"):
        predict_tiled(flat, images, 4)
