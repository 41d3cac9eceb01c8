"""Recurrent layers, layers around layers and masks give what Keras gives, values and gradients."""

import inspect

import keras_oracle
import numpy as np
import pytest
from differences import EXAMPLES
from nested_layers import build

import tomograd as tg
from tomograd.engine.masks import mask_of

L = tg.layers
DTYPES = ["float32", "float64"]


class WithStates(L.Layer):
    """A recurrent layer called on a list: the sequences, and the states to begin with."""

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype)
        self.layer = layer

    def call(self, inputs, mask=None):
        return self.layer(inputs[0], initial_state=list(inputs[1:]), mask=mask)


def check(case, dtype, least=1e-3):
    layer = build(L, case.parameters["nested"], dtype)
    keras_oracle.check_layer(case, dtype, WithStates(layer) if case.parameters["several"] else layer, least=least)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("recurrent"), ids=str)
def test_recurrent_layers(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("cells"), ids=str)
def test_cells(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("wrappers"), ids=str)
def test_layers_around_layers(case, dtype):
    check(case, dtype)


THROUGH = {
    "Dense": lambda: [L.Dense(2)],
    "Dropout and LayerNormalization": lambda: [L.Dropout(0.5), L.LayerNormalization()],
    "LSTM": lambda: [L.LSTM(2, return_sequences=True)],
    "Bidirectional": lambda: [L.Bidirectional(L.GRU(2, return_sequences=True))],
    "TimeDistributed": lambda: [L.TimeDistributed(L.Dense(2))],
}


def test_the_layers_that_support_masks_are_those_of_keras():
    (case,) = [case for case in keras_oracle.cases("masks") if "supports" in case.parameters]
    theirs = case.parameters["supports"]
    assert len(theirs) > 80
    own = {}
    for name in theirs:
        cls = getattr(L, name, None)
        if cls is not None:
            given = {key: EXAMPLES[key] for key in inspect.signature(cls).parameters if key in EXAMPLES}
            own[name] = cls(**given).supports_masking
    assert own == {name: supports for name, supports in theirs.items() if name in own}


MASKS = [case for case in keras_oracle.cases("masks") if "supports" not in case.parameters]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", MASKS, ids=str)
def test_masks(case, dtype):
    if "through" not in case.parameters:
        # Keras divides by the number of steps + 1e-7 in a masked batch normalisation.
        keras_oracle.check_layer(case, dtype)
        return
    model = tg.models.Sequential([L.Masking(), *THROUGH[case.parameters["through"]]()])
    x, y_true, weight = (case.array(name, "float32") for name in ("x0", "y_true", "sample_weight"))
    model(x)
    model.set_weights(keras_oracle.numbered(case, "w", "float32"))
    y = model(x)
    keras_oracle.close(y.numpy(), case.array("y", "float32"), "float32", "output")
    np.testing.assert_array_equal(mask_of(y).numpy(), case.array("mask"))
    found = {
        "loss": tg.losses.MeanSquaredError()(y_true, y),
        "weighted": tg.losses.MeanSquaredError()(y_true, y, weight),
        "total": tg.losses.MeanSquaredError(reduction="sum")(y_true, y, weight),
    }
    for name, value in found.items():
        keras_oracle.close(value.numpy(), case.array(name, "float32"), "float32", name)
    model.compile("sgd", "mse", metrics=["mae"])
    logs = model.test_on_batch(x, y_true, return_dict=True)
    np.testing.assert_allclose(logs["mae"], case.array("metric"), rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], case.array("loss"), rtol=1e-5)
