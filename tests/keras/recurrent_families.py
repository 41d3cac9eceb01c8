"""The cases of recurrent layers, of layers around layers, and of masks."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import torch
from differences import EXAMPLES
from keras_family import KerasFamily
from nested_layers import build

# (N, T), with gaps, an end that is filled up, and a sequence of which nothing counts
MASK = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)


class WithStates(keras.layers.Layer):
    """A recurrent layer called on a list: the sequences, and the states to begin with."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(dtype="float64")
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        pass

    def call(self, inputs: Any, mask: Any = None) -> Any:
        mask = mask[0] if isinstance(mask, list) else mask
        return self.layer(inputs[0], initial_state=list(inputs[1:]), mask=mask)


class Cases(KerasFamily):
    def nested(self, case: str, description: list[Any], x: torch.Tensor, *states: torch.Tensor, **options: Any) -> None:
        """A layer that is described in plain data, called with a mask or with states if they are given."""
        mask = options.pop("mask", None)

        def make() -> Any:
            layer = build(keras.layers, description, "float64")
            return WithStates(layer) if states else layer

        self.layer(
            case, description[0], {}, [x, *states] if states else x, make=make, nested=description,
            masks={} if mask is None else {"mask": mask}, **options,
        )  # fmt: skip


GATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}  # how many states each has


def recurrent() -> KerasFamily:
    """SimpleRNN, LSTM and GRU: each argument that says what is computed."""
    family = Cases("recurrent", seed=601)
    sequences = family.normal(4, 4, 3)
    for name, states in GATES.items():
        gated = {} if name == "SimpleRNN" else {"recurrent_activation": "linear"}
        one = sequences[:1, :3]
        family.nested(f"{name}", [name, {"units": 2}], one)
        everything = {"return_sequences": True, "return_state": True}
        family.nested(f"{name} all outputs and states", [name, {"units": 2, **everything}], one)
        family.nested(f"{name} backwards", [name, {"units": 2, **everything, "go_backwards": True}], one)
        plain = {"units": 2, "use_bias": False, "activation": "relu", **gated}
        family.nested(f"{name} no bias, relu", [name, {**plain, "unroll": True}], one)
        family.nested(f"{name} softsign", [name, {"units": 2, "activation": "softsign"}], one)
        family.nested(f"{name} one step", [name, {"units": 1, "return_sequences": True}], sequences[:1, :1])
        family.nested(f"{name} mask", [name, {"units": 2, **everything}], sequences, mask=MASK)
        family.nested(f"{name} mask, last output", [name, {"units": 2}], sequences, mask=MASK)
        backwards = {"units": 2, **everything, "go_backwards": True}
        family.nested(f"{name} mask, backwards", [name, backwards], sequences, mask=MASK)
        zeros = {"units": 2, "return_sequences": True, "zero_output_for_mask": True}
        family.nested(f"{name} mask, zeros", [name, zeros], sequences, mask=MASK)
        before = [family.normal(4, 2, scale=0.5) for _ in range(states)]
        two = [state[:2] for state in before]
        family.nested(f"{name} states", [name, {"units": 2, **everything}], sequences[:2], *two)
        family.nested(f"{name} states, mask", [name, {"units": 2, **everything}], sequences, *before, mask=MASK)
    before_product = {"units": 2, "reset_after": False, "return_sequences": True}
    family.nested("GRU reset before the product", ["GRU", before_product], sequences)
    family.nested("GRU reset before the product, mask", ["GRU", before_product], sequences, mask=MASK)
    family.nested("GRU reset before, no bias", ["GRU", {**before_product, "use_bias": False}], sequences[:2])
    return family


def conv_lstm() -> KerasFamily:
    """ConvLSTM in one to three dimensions."""
    family = Cases("conv_lstm", seed=606)
    lines, images = family.normal(4, 4, 5, 2), family.normal(1, 3, 4, 3, 2)
    volumes = family.normal(1, 2, 2, 3, 2, 1)
    two = {"filters": 2, "kernel_size": 2}
    everything = {"return_sequences": True, "return_state": True}
    for name, x in (("ConvLSTM1D", lines[:1, :3]), ("ConvLSTM2D", images), ("ConvLSTM3D", volumes)):
        family.nested(name, [name, two], x)
        family.nested(f"{name} same", [name, {**two, **everything, "padding": "same"}], x)
    family.nested("strides", ["ConvLSTM2D", {**two, **everything, "strides": (2, 1), "padding": "same"}], images)
    family.nested("dilation", ["ConvLSTM2D", {"filters": 1, "kernel_size": (2, 1), "dilation_rate": 2}], images)
    plain = {"use_bias": False, "activation": "softsign", "recurrent_activation": "linear", "go_backwards": True}
    family.nested("no bias, backwards", ["ConvLSTM1D", {**two, **plain, **everything}], lines[:1])
    family.nested("mask", ["ConvLSTM1D", {**two, **everything}], lines, mask=MASK)
    family.nested("mask, last output", ["ConvLSTM1D", two], lines, mask=MASK)
    before = [family.normal(2, 4, 2, scale=0.5) for _ in range(2)]
    family.nested("states", ["ConvLSTM1D", {**two, **everything}], lines[:2], *before)
    family.nested(
        "both ways", ["Bidirectional", {"layer": ["ConvLSTM1D", {**two, "return_sequences": True}]}], lines[:1]
    )
    return family


def stateful() -> KerasFamily:
    """What a stateful layer gives for one batch after the other, and after its states are set to 0."""
    family = Cases("stateful", seed=605)
    batches = family.normal(2, 2, 3, 2)
    for name in GATES:
        layer = getattr(keras.layers, name)(2, stateful=True, return_sequences=True)
        layer(batches[0])
        weights = family._random_weights(layer.weights)
        layer.reset_state()
        named = {f"w{i}": w for i, w in enumerate(weights)}
        for number in range(3):
            if number == 2:
                layer.reset_state()
            named[f"y{number}"] = layer(batches[number % 2])
        family.keep(name, named | {"x0": batches[0], "x1": batches[1]}, cls=name)
    return family


def cells() -> KerasFamily:
    """Cells in RNN, and in a row."""
    family = Cases("cells", seed=602)
    x = family.normal(4, 4, 3)
    for name in ("SimpleRNNCell", "LSTMCell", "GRUCell"):
        family.nested(f"RNN of {name}", ["RNN", {"cell": [name, {"units": 2}], "return_state": True}], x, mask=MASK)
    row = ["StackedRNNCells", {"cells": [["LSTMCell", {"units": 3}], ["GRUCell", {"units": 2}]]}]
    everything = {"return_sequences": True, "return_state": True}
    family.nested("cells in a row", ["RNN", {"cell": row, **everything}], x[:2])
    family.nested("cells in a row, mask", ["RNN", {"cell": row, "return_sequences": True}], x, mask=MASK)
    family.nested("cells in a row, zeros", ["RNN", {"cell": row, "zero_output_for_mask": True}], x, mask=MASK)
    return family


def wrappers() -> KerasFamily:
    """Bidirectional and TimeDistributed."""
    family = Cases("wrappers", seed=603)
    x = family.normal(4, 4, 3)
    for mode in ("concat", "sum", "mul", "ave", None):
        for whole in (False, True):
            layer = ["SimpleRNN", {"units": 2, "return_sequences": whole}]
            case = f"Bidirectional {mode}{', all outputs' if whole else ''}"
            family.nested(case, ["Bidirectional", {"layer": layer, "merge_mode": mode}], x[:1, :2])
    everything = {"return_sequences": True, "return_state": True}
    gru = ["GRU", {"units": 2, **everything}]
    family.nested("Bidirectional states", ["Bidirectional", {"layer": gru}], x[:2])
    before = [family.normal(4, 2, scale=0.5) for _ in range(2)]
    family.nested("Bidirectional initial states", ["Bidirectional", {"layer": gru}], x, *before)
    family.nested("Bidirectional mask", ["Bidirectional", {"layer": ["GRU", {"units": 2}]}], x, mask=MASK)
    family.nested("Bidirectional mask, all", ["Bidirectional", {"layer": gru}], x, mask=MASK)
    other = ["SimpleRNN", {"units": 1, "go_backwards": True}]
    there = ["LSTM", {"units": 1}]
    family.nested("another layer back", ["Bidirectional", {"layer": there, "backward_layer": other}], x[:2])
    dense = ["Dense", {"units": 2, "activation": "tanh"}]
    family.nested("TimeDistributed Dense", ["TimeDistributed", {"layer": dense}], x)
    images = family.normal(1, 2, 4, 3, 1)
    convolution = ["Conv2D", {"filters": 2, "kernel_size": 3, "activation": "relu"}]
    family.nested("TimeDistributed Conv2D", ["TimeDistributed", {"layer": convolution}], images)
    pool = ["MaxPooling2D", {}]
    family.nested("TimeDistributed pooling", ["TimeDistributed", {"layer": pool}], images)
    inner = ["TimeDistributed", {"layer": ["GRU", {"units": 2}]}]
    family.nested("TimeDistributed GRU", inner, family.normal(2, 2, 3, 2))
    norm = ["TimeDistributed", {"layer": ["BatchNormalization", {}]}]
    family.nested("TimeDistributed BatchNormalization in inference", norm, x[:2])
    return family


def _support() -> dict[str, bool]:
    """Which of the layers that can be made without much ado support masks."""
    found = {}
    for name in dir(keras.layers):
        cls = getattr(keras.layers, name)
        if isinstance(cls, type) and issubclass(cls, keras.layers.Layer):
            given = {key: EXAMPLES[key] for key in inspect.signature(cls).parameters if key in EXAMPLES}
            try:
                found[name] = bool(cls(**given).supports_masking)
            except (TypeError, ValueError, NotImplementedError, ImportError):
                continue  # it needs other arguments
    return found


def masks() -> KerasFamily:
    """Who makes masks, hands them on and heeds them."""
    family = Cases("masks", seed=604)
    x = family.normal(4, 4, 3)
    x[~MASK] = 0
    indices = torch.tensor([[3, 1, 0, 2], [1, 0, 0, 0], [4, 4, 4, 4]])
    family.keep("supports_masking", {"none": torch.zeros(0)}, supports=_support())
    family.layer("Masking", "Masking", {}, x)
    family.layer("Masking another value", "Masking", {"mask_value": 1.5}, torch.where(x == 0, 1.5, x))
    family.layer("Embedding", "Embedding", {"input_dim": 5, "output_dim": 2, "mask_zero": True}, indices)
    family.layer("GlobalAveragePooling1D", "GlobalAveragePooling1D", {}, x[:3], masks={"mask": MASK[:3]})
    family.layer("BatchNormalization", "BatchNormalization", {}, x, masks={"mask": MASK})
    training = {"training": True, "only": "float32"}  # Keras divides by the number of steps + 1e-7
    family.layer("BatchNormalization in training", "BatchNormalization", {}, x, masks={"mask": MASK}, **training)
    family.layer("Softmax", "Softmax", {}, family.normal(4, 4), masks={"mask": MASK})
    through = {
        "Dense": [keras.layers.Dense(2)],
        "Dropout and LayerNormalization": [keras.layers.Dropout(0.5), keras.layers.LayerNormalization()],
        "LSTM": [keras.layers.LSTM(2, return_sequences=True)],
        "Bidirectional": [keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True))],
        "TimeDistributed": [keras.layers.TimeDistributed(keras.layers.Dense(2))],
    }
    for name, layers in through.items():
        model = keras.Sequential([keras.layers.Masking(), *layers])
        model(x)
        weights = family._random_weights(model.weights)
        x0 = x.clone().requires_grad_()
        y = model(x0)
        y_true, weight = family.normal(*y.shape), family.uniform(4, 4, low=0.5, high=2.0)
        loss = keras.losses.MeanSquaredError()(y_true, y)
        metric = keras.metrics.MeanAbsoluteError()
        metric.update_state(y_true, y)
        named = {"x0": x, "y": y, "y_true": y_true, "sample_weight": weight, "loss": loss, "mask": y._keras_mask}
        # Copies: Keras multiplies the mask into the weights that it is given.
        named["weighted"] = keras.losses.MeanSquaredError()(y_true, y, weight.clone())
        named["total"] = keras.losses.MeanSquaredError(reduction="sum")(y_true, y, weight.clone())
        named["metric"] = torch.as_tensor(metric.result())
        sources = [x0, *[weight.value for weight in model.trainable_weights]]
        gradients = torch.autograd.grad(named["weighted"], sources, retain_graph=True)
        named |= {f"d{i}": gradient for i, gradient in enumerate(gradients)}
        family.keep(f"through {name}", named | {f"w{i}": w for i, w in enumerate(weights)}, through=name)
    return family


FAMILIES = [recurrent, conv_lstm, stateful, cells, wrappers, masks]
