"""Every activation function gives Keras's values and gradients."""

import keras_oracle
import pytest

import tomograd as tg


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("activation"), ids=str)
def test_values_and_gradients(case, dtype):
    x = tg.Tensor(case.array("x", dtype), requires_grad=True)
    y = getattr(tg.activations, case.parameters["function"])(x, **case.parameters["options"])
    tolerance = keras_oracle.CLOSE["float32" if case.parameters["rounded"] else dtype]
    keras_oracle.close(y.numpy(), case.array("y", dtype), dtype, "value", tolerance=tolerance)
    (dx,) = tg.grad(y, [x], tg.Tensor(case.array("dy", dtype)))
    keras_oracle.close(dx.numpy(), case.array("dx", dtype), dtype, "gradient", tolerance=tolerance)
