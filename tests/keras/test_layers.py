"""Every layer that Keras has too gives its values and gradients."""

import keras_oracle
import numpy as np
import pytest

import tomograd as tg

FAMILIES = [
    "activation_layer",
    "convolution",
    "core",
    "merging",
    "normalization",
    "pooling",
    "reshaping",
    "resizing",
]
CASES = [case for family in FAMILIES for case in keras_oracle.cases(family)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case, dtype):
    keras_oracle.check_layer(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("spectral"), ids=str)
def test_spectral_normalization(case, dtype):
    inner = getattr(tg.layers, case.parameters["inner"])(**case.parameters["inner_config"], dtype=dtype)
    keras_oracle.check_layer(case, dtype, tg.layers.SpectralNormalization(inner, **case.parameters["config"]))


@pytest.mark.parametrize("case", keras_oracle.cases("adapted"), ids=str)
def test_normalization_adapted_to_data(case):
    for data in (case.array("data"), [case.array("data")[:2], case.array("data")[2:]]):
        layer = tg.layers.Normalization(**case.parameters["config"], dtype="float64")
        layer.adapt(data)
        for name, actual in (("mean", layer.mean), ("variance", layer.variance), ("y", layer(case.array("x")))):
            np.testing.assert_allclose(actual.numpy(), case.array(name), rtol=1e-12, atol=1e-12, err_msg=name)


def test_padding_does_not_count_in_averages_where_keras_repeats_the_border():
    x = np.arange(1.0, 5.0, dtype=np.float32).reshape(1, 4, 1)
    y = tg.layers.AveragePooling1D(3, strides=2, padding="same")(x)
    np.testing.assert_array_equal(y.numpy().ravel(), [2.0, 3.5])
