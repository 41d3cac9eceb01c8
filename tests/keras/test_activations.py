"""Every activation function gives Keras's values and gradients."""

import keras_oracle
import pytest

import tomograd as tg
from tomograd.engine import activations


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("activation"), ids=str)
def test_values_and_gradients(case, dtype):
    x = tg.Tensor(case.array("x", dtype), requires_grad=True)
    y = getattr(tg.activations, case.parameters["function"])(x, **case.parameters["options"])
    tolerance = keras_oracle.CLOSE["float32" if case.parameters["rounded"] else dtype]
    keras_oracle.close(y.numpy(), case.array("y", dtype), dtype, "value", tolerance=tolerance)
    (dx,) = tg.grad(y, [x], tg.Tensor(case.array("dy", dtype)))
    keras_oracle.close(dx.numpy(), case.array("dx", dtype), dtype, "gradient", tolerance=tolerance)


ONES = [name for name in activations.__all__ if name not in ("get", "serialize", "deserialize", "threshold")]


@pytest.mark.parametrize("name", ONES)
def test_a_layer_takes_the_function_as_it_takes_the_name(name):
    """`Dense(4, activation=activations.relu)`"""
    function = getattr(tg.activations, name)
    assert tg.activations.serialize(function) in (name, {"hard_swish": "hard_silu", "swish": "silu"}.get(name))
    one, other = tg.layers.Dense(4, activation=function), tg.layers.Dense(4, activation=name)
    assert one.activation is other.activation
    assert one.get_config()["activation"] == other.get_config()["activation"]
