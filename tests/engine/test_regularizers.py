"""Regularizers: values and gradients by hand, strings, configurations."""

import numpy as np
import pytest

from tomograd.engine import Tensor, config, regularizers

WEIGHT = np.array([[1.0, -2.0], [0.0, 4.0]])


@pytest.mark.parametrize(
    ("regularizer", "value", "gradient"),
    [
        (regularizers.L1(0.5), 3.5, [[0.5, -0.5], [0.0, 0.5]]),
        (regularizers.L2(0.5), 10.5, [[1.0, -2.0], [0.0, 4.0]]),
        (regularizers.L1L2(1.0, 0.5), 17.5, [[2.0, -3.0], [0.0, 5.0]]),
        (regularizers.L1L2(), 0.0, [[0.0, 0.0], [0.0, 0.0]]),
        (regularizers.get("l2"), 0.21, [[0.02, -0.04], [0.0, 0.08]]),
        (regularizers.get("l1"), 0.07, [[0.01, -0.01], [0.0, 0.01]]),
    ],
)
def test_values_and_gradients(regularizer, value, gradient):
    weight = Tensor(WEIGHT, requires_grad=True)
    penalty = regularizer(weight)
    penalty.backward()
    assert penalty.item() == pytest.approx(value)
    np.testing.assert_allclose(weight.grad.numpy(), gradient)


def test_identifiers():
    assert regularizers.get(None) is None
    made = regularizers.L1L2(0.1, 0.2)
    assert regularizers.get(made) is made
    again = regularizers.get(config.serialize(made))
    assert (again.l1, again.l2) == (0.1, 0.2)
    assert config.serialize(regularizers.L2(0.3)) == {"class_name": "L2", "config": {"l2": 0.3}}
    assert type(regularizers.get("l1_l2")) is regularizers.L1L2
    with pytest.raises(ValueError, match="'l3'"):
        regularizers.get("l3")
    with pytest.raises(TypeError, match=r"0\.01"):
        regularizers.get(0.01)


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_factors_are_checked(factor):
    with pytest.raises(ValueError, match="l2"):
        regularizers.L2(factor)
