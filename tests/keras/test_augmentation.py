"""The random layers give what Keras gives for the same draws: values, gradients, and masks."""

import keras_oracle
import numpy as np
import pytest

import tomograd as tg


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("augmentation"), ids=str)
def test_values_and_gradients(case, dtype):
    keras_oracle.check_layer(case, dtype)


DRAWS = keras_oracle.cases("augmentation_draws")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [case for case in DRAWS if "masks" not in case.values], ids=str)
def test_draws_that_are_given(case, dtype):
    layer = keras_oracle.made(case, dtype)
    if "flips" in case.values:
        axis = {"horizontal": -2, "vertical": -3}[layer.mode]
        draw = {"flips": {axis: case.array("flips").ravel()}}
    elif "draws" in case.values:
        key = "contrast_factor" if case.parameters["cls"] == "RandomContrast" else "rgb_delta"
        draw = {key: case.array("draws").ravel()}
    elif "start" not in case.parameters:
        draw = layer.get_random_transformation(tg.Tensor(case.array("x", dtype)))  # which leaves nothing to chance
    else:
        draw = {"start": case.parameters["start"], "size": (layer.height, layer.width)}
    y = layer.transform_images(tg.Tensor(case.array("x", dtype)), draw)
    keras_oracle.close(y.numpy(), case.array("y"), dtype, "images")


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("case", [case for case in DRAWS if "masks" in case.values], ids=str)
def test_masks_follow_their_images(case, kind):
    layer = keras_oracle.made(case, "float64")
    masks = case.array("masks").astype(kind)
    after = case.array("masks_after")
    for given in (masks, masks[..., 0]):  # with an axis of channels, and without
        data = layer({"images": case.array("x"), "segmentation_masks": given}, training=True)
        keras_oracle.close(data["images"].numpy(), case.array("y"), "float64", "images")
        found = data["segmentation_masks"].numpy()
        assert found.dtype == (np.float64 if kind is np.float32 else kind)  # which a layer takes in its own type
        np.testing.assert_array_equal(found.reshape(after.shape), after)
