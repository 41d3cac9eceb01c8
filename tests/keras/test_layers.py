"""Every layer that Keras has too gives its values and gradients."""

import keras_oracle
import pytest


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("core"), ids=str)
def test_values_and_gradients(case, dtype):
    keras_oracle.check_layer(case, dtype)
