"""Constraints and regularizers give what Keras gives, alone and in training."""

import keras_oracle
import numpy as np
import pytest

import tomograd as tg

MODULES = {"constraint": tg.constraints, "regularizer": tg.regularizers}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("constraints"), ids=str)
def test_constraints(case, dtype):
    constraint = getattr(tg.constraints, case.parameters["cls"])(**case.parameters["config"])
    left = constraint(tg.Tensor(case.array("w", dtype))).numpy()
    assert left.dtype == dtype
    # Keras divides by the norm plus 1e-7
    np.testing.assert_allclose(left, case.array("y"), rtol=0, atol=5e-7 if dtype == "float32" else 3e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("regularizers"), ids=str)
def test_regularizers(case, dtype):
    regularizer = getattr(tg.regularizers, case.parameters["cls"])(**case.parameters["config"])
    weight = tg.Tensor(case.array("w", dtype), requires_grad=True)
    penalty = regularizer(weight)
    keras_oracle.close(penalty.numpy(), case.array("y"), dtype, "penalty")
    (gradient,) = tg.grad(penalty, [weight])
    keras_oracle.close(gradient.numpy(), case.array("d_w"), dtype, "gradient")


@pytest.mark.parametrize("case", keras_oracle.cases("constrained_training"), ids=str)
def test_training(case):
    x, y = case.array("x"), case.array("y")
    parts = [_made(cls, config) for cls, config in case.parameters["layers"]]
    model = tg.Sequential([tg.Input(x.shape[1:]), *parts])
    model.set_weights(keras_oracle.numbered(case, "w", "float64"))
    model.compile(tg.optimizers.SGD(0.5), "mse")
    losses = [model.train_on_batch(x, y) for _ in range(case.parameters["steps"])]
    np.testing.assert_allclose(losses, case.array("losses"), rtol=2e-6)
    for index, weight in enumerate(model.weights):
        np.testing.assert_allclose(weight.numpy(), case.array(f"w{index}_after"), rtol=0, atol=2e-6)


def _made(cls, config):
    made = {
        key: getattr(MODULES[key.split("_")[-1]], value[0])(**value[1]) if key.split("_")[-1] in MODULES else value
        for key, value in config.items()
    }
    return getattr(tg.layers, cls)(**made, dtype="float64")
