"""Regularizers: values and gradients by hand, strings, configurations."""

import numpy as np
import pytest

from tomograd.engine import Tensor, config, regularizers
from tomograd.testing import gradcheck

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
    for name in ("l1_l2", "l1l2", "L1L2"):
        assert regularizers.get(name).get_config() == {"l1": 0.01, "l2": 0.01}
    assert regularizers.L1L2(None, None).get_config() == {"l1": 0.0, "l2": 0.0}
    assert (regularizers.L1(None).l1, regularizers.L2(None).l2) == (0.01, 0.01)
    with pytest.raises(ValueError, match="'l3'"):
        regularizers.get("l3")
    with pytest.raises(TypeError, match=r"0\.01"):
        regularizers.get(0.01)


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_factors_are_checked(factor):
    with pytest.raises(ValueError, match="l2"):
        regularizers.L2(factor)


# ------------------------------------------------------------------------------------------------------- orthogonality


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (2, 2)])
def test_orthogonal_is_the_mean_cosine_of_pairs(mode, shape):
    weight = np.random.default_rng(0).standard_normal(shape)
    vectors = weight if mode == "rows" else weight.T
    pairs = [(u, v) for i, u in enumerate(vectors) for v in vectors[:i]]
    cosines = [abs(u @ v) / np.sqrt((u @ u) * (v @ v)) for u, v in pairs]
    regularizer = regularizers.OrthogonalRegularizer(0.3, mode)
    assert regularizer(Tensor(weight)).item() == pytest.approx(0.3 * np.mean(cosines))
    gradcheck(regularizer, Tensor(weight, requires_grad=True))


def test_orthogonal_where_nothing_is_to_be_compared():
    regularizer = regularizers.get("orthogonal_regularizer")
    assert regularizer(Tensor([[1.0, 2.0]])).item() == 0.0
    weight = Tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]], requires_grad=True)
    penalty = regularizer(weight)
    penalty.backward()
    assert penalty.item() == pytest.approx(0.01 * 0.8 / 3)
    assert (weight.grad.numpy()[0] == 0.0).all()
    assert np.isfinite(weight.grad.numpy()).all()
    assert not regularizer(Tensor(np.eye(4))).item()


def test_orthogonal_refuses_and_is_written_down():
    with pytest.raises(ValueError, match="mode = 'both'"):
        regularizers.OrthogonalRegularizer(mode="both")
    with pytest.raises(ValueError, match=r"expected a matrix, got a weight of shape \(2, 3, 4\)"):
        regularizers.OrthogonalRegularizer()(Tensor(np.ones((2, 3, 4))))
    made = regularizers.deserialize(regularizers.serialize(regularizers.OrthogonalRegularizer(0.5, "columns")))
    assert made.get_config() == {"factor": 0.5, "mode": "columns"}
    with pytest.raises(ValueError, match="factor = 'much'"):
        regularizers.OrthogonalRegularizer("much")
