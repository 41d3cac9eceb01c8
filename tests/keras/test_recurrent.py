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
@pytest.mark.parametrize("case", keras_oracle.cases("conv_lstm"), ids=str)
def test_recurrent_convolutions(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("stateful"), ids=str)
def test_stateful_layers(case, dtype):
    layer = getattr(L, case.parameters["cls"])(2, stateful=True, return_sequences=True, dtype=dtype)
    batches, expected = keras_oracle.numbered(case, "x", dtype), keras_oracle.numbered(case, "y", dtype)
    layer(batches[0])
    layer.cell.set_weights(keras_oracle.numbered(case, "w", dtype))
    layer.reset_state()
    for number, wanted in enumerate(expected):
        if number == 2:
            layer.reset_state()
        keras_oracle.close(layer(batches[number % 2]).numpy(), wanted, dtype, f"output {number}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("cells"), ids=str)
def test_cells(case, dtype):
    check(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("wrappers"), ids=str)
def test_layers_around_layers(case, dtype):
    check(case, dtype)


THROUGH = {
    "Dense": lambda dtype: [L.Dense(2, dtype=dtype)],
    "Dropout and LayerNormalization": lambda dtype: [L.Dropout(0.5, dtype=dtype), L.LayerNormalization(dtype=dtype)],
    "LSTM": lambda dtype: [L.LSTM(2, return_sequences=True, dtype=dtype)],
    "Bidirectional": lambda dtype: [L.Bidirectional(L.GRU(2, return_sequences=True, dtype=dtype))],
    "TimeDistributed": lambda dtype: [L.TimeDistributed(L.Dense(2, dtype=dtype))],
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
        if case.parameters.get("only", dtype) == dtype:  # where Keras rounds, float32 has to do
            keras_oracle.check_layer(case, dtype)
        return
    model = tg.models.Sequential([L.Masking(dtype=dtype), *THROUGH[case.parameters["through"]](dtype)])
    x, y_true, weight = (case.array(name, dtype) for name in ("x0", "y_true", "sample_weight"))
    model(x)
    model.set_weights(keras_oracle.numbered(case, "w", dtype))
    tensor = tg.Tensor(x, requires_grad=True)
    y = model(tensor)
    keras_oracle.close(y.numpy(), case.array("y", dtype), dtype, "output")
    np.testing.assert_array_equal(mask_of(y).numpy(), case.array("mask"))
    found = {
        "loss": tg.losses.MeanSquaredError()(y_true, y),
        "weighted": tg.losses.MeanSquaredError()(y_true, y, weight),
        "total": tg.losses.MeanSquaredError(reduction="sum")(y_true, y, weight),
    }
    for name, value in found.items():
        keras_oracle.close(value.numpy(), case.array(name, dtype), dtype, name)
    sources = [tensor, *model.trainable_weights]
    for index, gradient in enumerate(tg.grad(found["weighted"], sources)):
        keras_oracle.close(gradient.numpy(), case.array(f"d{index}", dtype), dtype, f"gradient {index}")
    model.compile("sgd", "mse", metrics=["mae"])
    logs = model.test_on_batch(x, y_true, return_dict=True)
    np.testing.assert_allclose(logs["mae"], case.array("metric"), rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], case.array("loss"), rtol=1e-5)
