"""Every loss that Keras has too gives its values and gradients, under each reduction and with weights."""

import keras_oracle
import pytest

# What Keras's 1e-7 does: it adds it to the denominators of Dice and Tversky, and takes it for a logarithm's 0.
EPSILON = {"Dice": 1e-6, "MeanSquaredLogarithmicError of zeros": 1e-6, "Tversky": 1e-6}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("losses"), ids=str)
def test_values_and_gradients(case, dtype):
    known = EPSILON.get(case.name, EPSILON.get(case.parameters["cls"], 0))
    keras_oracle.check_loss(case, dtype, max(known, keras_oracle.CLOSE[dtype]))
