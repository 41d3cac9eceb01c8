"""Recurrent layers and masks on a device: the same numbers as in main memory.

The device is pretended: CuPy's stand-in with the reference's kernels.
"""

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import kernels, layers
from tomograd.engine.masks import mask_of

L = layers
GENERATOR = np.random.default_rng(0)
SEQUENCES = GENERATOR.standard_normal((6, 5, 3)).astype(np.float32)
for row, length in enumerate((5, 3, 1, 4, 2, 5)):
    SEQUENCES[row, length:] = 0
MASK = SEQUENCES.any(-1)


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


class Sums:
    """A cell that is no layer, with a state in main memory to begin with."""

    state_size = 3

    def call(self, inputs, states):
        return states * 0.5 + inputs, [states * 0.5 + inputs]


class Decay(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = 3

    def build(self, input_shape):
        self.factor = self.add_weight((3,), "ones", name="factor")

    def call(self, inputs, states, training=False):
        return states * self.factor + inputs, states * self.factor + inputs


LAYERS = {
    "SimpleRNN": lambda: L.SimpleRNN(4, dropout=0.3, recurrent_dropout=0.2, seed=1, return_sequences=True),
    "LSTM": lambda: L.LSTM(4, go_backwards=True, return_sequences=True),
    "GRU": lambda: L.GRU(4, dropout=0.3, zero_output_for_mask=True, return_sequences=True),
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(3, return_sequences=True)),
    "cells": lambda: L.RNN([L.GRUCell(3), L.LSTMCell(2)], return_sequences=True),
    "cell of one's own": lambda: L.RNN(Decay(), return_sequences=True),
    "cell without weights": lambda: L.RNN(Sums(), return_sequences=True),
    "TimeDistributed": lambda: L.TimeDistributed(tg.models.Sequential([L.Dense(4), L.BatchNormalization()])),
    "BatchNormalization": lambda: L.BatchNormalization(),
    "Concatenate": lambda: Both(),
}


class Both(L.Layer):
    """Merging layers: one input masked, one not."""

    supports_masking = True

    def call(self, inputs):
        other = inputs * 2
        return L.Concatenate()([inputs, other]) + L.Concatenate()([L.Add()([inputs, inputs]), other])


@pytest.mark.parametrize("name", LAYERS)
def test_masked_sequences_train_there_as_in_main_memory(cupy, name):
    def run(device):
        tg.random.seed(1)
        model = tg.models.Sequential([L.Input((5, 3)), L.Masking(), LAYERS[name](), L.Dense(2)])
        model.compile("sgd", "mse", metrics=["mae"])
        y = np.ones((6, 5, 2), np.float32)
        history = model.fit(SEQUENCES, y, batch_size=3, epochs=2, verbose=0, device=device).history
        return history, model.predict(SEQUENCES), model

    with kernels.using("reference"):
        expected, outputs, _ = run(None)
    found, there, model = run("cuda")
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-4, err_msg=key)
    np.testing.assert_allclose(there, outputs, rtol=1e-4, atol=1e-5)
    y = model(SEQUENCES)
    assert y.device == "cuda:0" == mask_of(y).device
    expected_mask = MASK[:, ::-1] if name == "LSTM" else MASK
    np.testing.assert_array_equal(mask_of(y).to("cpu").numpy(), expected_mask)


def test_words_are_classified_there(cupy):
    def run(device):
        tg.random.seed(1)
        row = [L.Input((None,), dtype="int64"), L.Embedding(9, 3, mask_zero=True), L.Dense(3), L.GRU(3), L.Dense(1)]
        model = tg.models.Sequential(row)
        model.compile("sgd", tg.losses.BinaryCrossentropy(from_logits=True))
        words = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])
        return model.fit(words, np.array([0, 1, 1]), epochs=3, verbose=0, device=device).history["loss"]

    with kernels.using("reference"):
        expected = run(None)
    np.testing.assert_allclose(run("cuda"), expected, rtol=1e-5)


def test_states_go_there_and_stay(cupy):
    with kernels.using("reference"):
        model = tg.models.Sequential([L.Input(batch_shape=(6, 5, 3)), L.LSTM(2, stateful=True)])
        weights = model.layers[0].cell.get_weights()
        expected = [model.predict(SEQUENCES, batch_size=6) for _ in range(2)]
    there = tg.models.Sequential([L.Input(batch_shape=(6, 5, 3)), L.LSTM(2, stateful=True)]).to("cuda")
    there.layers[0].cell.set_weights(weights)
    for values in expected:
        np.testing.assert_allclose(there.predict(SEQUENCES, batch_size=6), values, rtol=1e-4, atol=1e-6)
    there.layers[0].reset_state()
    np.testing.assert_allclose(there.predict(SEQUENCES, batch_size=6), expected[0], rtol=1e-4, atol=1e-6)
    states = [np.ones((6, 2), np.float32)] * 2
    layer = L.LSTM(2)
    layer(SEQUENCES)
    assert layer.to("cuda")(tg.Tensor(SEQUENCES).to("cuda"), initial_state=states).device == "cuda:0"


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_classifier_of_frames_trains_there(cupy, cell):
    def run(device):
        tg.random.seed(1)
        model = tg.models.RecurrentClassifier(
            (4, 6, 6, 1), 2, cell, units=(4, 3), bidirectional=True, filters=2, features=3, dropout=0.2, mask_value=0.0
        )
        model.compile("adam", tg.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        x = np.random.default_rng(0).standard_normal((6, 4, 6, 6, 1)).astype(np.float32)
        x[0, 2:] = x[3, 1:] = 0
        return model.fit(x, np.arange(6) % 2, batch_size=3, epochs=2, verbose=0, device=device).history["loss"]

    with kernels.using("reference"):
        expected = run(None)
    np.testing.assert_allclose(run("cuda"), expected, rtol=1e-4)
