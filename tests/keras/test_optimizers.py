"""Every optimizer makes Keras's steps, and every schedule gives Keras's learning rates."""

import keras_oracle
import numpy as np
import pytest

import tomograd as tg

NAMES = ("kernel", "bias", "scale")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", keras_oracle.cases("optimizers"), ids=str)
def test_steps(case, dtype):
    parameters = case.parameters
    rate = {}
    if parameters["schedule"]:
        rate = {"learning_rate": tg.optimizers.schedules.ExponentialDecay(**parameters["schedule"])}
    optimizer = getattr(tg.optimizers, parameters["cls"])(**parameters["options"], **rate)
    if parameters["spared"]:
        optimizer.exclude_from_weight_decay(var_names=parameters["spared"])
    before = keras_oracle.numbered(case, "w", dtype)
    weights = [tg.engine.Variable(w, name=name) for name, w in zip(NAMES, before, strict=True)]
    gradients, after = keras_oracle.numbered(case, "g", dtype), keras_oracle.numbered(case, "y", dtype)
    for call in range(len(gradients[0])):
        optimizer.apply([gradient[call] for gradient in gradients], weights)
        for weight, values in zip(weights, after, strict=True):
            keras_oracle.close(weight.numpy(), values[call], dtype, f"{weight.name} after call {call + 1}")
    if optimizer.use_ema:
        optimizer.finalize_variable_values(weights)
        for weight, values in zip(weights, keras_oracle.numbered(case, "z", dtype), strict=True):
            keras_oracle.close(weight.numpy(), values, dtype, f"the average of {weight.name}")


@pytest.mark.parametrize("case", keras_oracle.cases("schedules"), ids=str)
def test_learning_rates(case):
    schedule = getattr(tg.optimizers.schedules, case.parameters["cls"])(**case.parameters["config"])
    rates = np.array([schedule(int(step)) for step in case.values["steps"]])
    np.testing.assert_allclose(rates, case.values["y"], rtol=1e-12, atol=1e-14)
