"""ConvLSTM: states, dropout, sizes, training and files; its values stand in tests/keras and the catalogue."""

import copy

import numpy as np
import pytest

import tomograd as tg
from tomograd.engine import layers as L
from tomograd.engine import random
from tomograd.models import Input, Model, Sequential

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 6, 4, 3)).astype(np.float32)


def test_a_sequence_in_two_parts_is_the_sequence():
    layer = L.ConvLSTM2D(2, 3, padding="same", return_sequences=True, return_state=True)
    whole, *states = layer(X)
    assert [state.shape for state in states] == [(2, 6, 4, 2)] * 2
    _, *between = layer(X[:, :3])
    second, *after = layer(X[:, 3:], initial_state=between)
    np.testing.assert_allclose(second.numpy(), whole.numpy()[:, 3:], rtol=1e-5, atol=1e-6)
    for one, other in zip(after, states, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    stateful = L.ConvLSTM2D(2, 3, padding="same", return_sequences=True, stateful=True)
    stateful.build((2, 3, 6, 4, 3))
    stateful.cell.set_weights(layer.get_weights())
    stateful(X[:, :3])
    np.testing.assert_allclose(stateful(X[:, 3:]).numpy(), second.numpy(), rtol=1e-5, atol=1e-6)
    stateful.reset_state()
    np.testing.assert_allclose(stateful(X[:, :3]).numpy(), whole.numpy()[:, :3], rtol=1e-5, atol=1e-6)


def test_a_window_of_one_is_an_lstm_of_every_pixel():
    layer, plain = L.ConvLSTM1D(2, 1), L.LSTM(2)
    lines = X[:, :, :, 0]
    y = layer(lines)
    pixels = np.moveaxis(lines, 2, 1).reshape(12, 5, 3)
    plain(pixels)
    plain.set_weights(
        [weight.reshape(weight.shape[-2:]) if weight.ndim > 1 else weight for weight in layer.get_weights()]
    )
    np.testing.assert_allclose(y.numpy(), plain(pixels).numpy().reshape(2, 6, 2), rtol=1e-5, atol=1e-6)
    bias = layer.get_weights()[2]
    np.testing.assert_array_equal(bias, [0, 0, 1, 1, 0, 0, 0, 0])


def test_sizes_shapes_and_sequences_without_steps():
    layer = L.ConvLSTM2D(2, 3, strides=(2, 1), return_sequences=True, return_state=True)
    shape = layer.compute_output_shape((None, None, 7, None, 3))
    assert shape == ((None, None, None, None, 2), (None, None, None, 2), (None, None, None, 2))
    assert layer.compute_output_shape((4, 5, 7, 4, 3)) == ((4, 5, 3, 2, 2), (4, 3, 2, 2), (4, 3, 2, 2))
    for size in (6, 9):  # the weights are those of any size
        outputs, *_ = layer(RNG.standard_normal((1, 2, size, 4, 3)).astype(np.float32))
        assert outputs.shape == (1, 2, (size - 3) // 2 + 1, 2, 2)
    outputs, h, _ = layer(X[:, :0])
    assert outputs.shape == (2, 0, 2, 2, 2) and h.shape == (2, 2, 2, 2) and not h.numpy().any()
    assert [state.shape for state in layer.get_initial_state(5)] == [(5, 2, 2, 2)] * 2


def test_dropout_takes_the_same_numbers_in_all_steps():
    layer = L.ConvLSTM2D(1, 1, dropout=0.5, seed=1, return_sequences=True, use_bias=False, activation="linear")
    layer.build((None, 5, 6, 4, 3))
    layer.set_weights([np.ones((1, 1, 3, 4), np.float32), np.zeros((1, 1, 1, 4), np.float32)])
    ones = np.ones((2, 5, 6, 4, 3), np.float32)
    assert len(np.unique(layer(ones).numpy()[:, 0])) == 1
    first = layer(ones, training=True).numpy()[:, 0]
    assert 2 < len(np.unique(first)) <= 4  # none, one, two or three of three channels are left
    again = L.ConvLSTM2D(1, 1, recurrent_dropout=1.0, use_bias=False)
    without = L.ConvLSTM2D(1, 1, use_bias=False)
    without(X)
    again(X)
    kernel, state = without.get_weights()
    again.set_weights([kernel, state])
    without.set_weights([kernel, np.zeros_like(state)])
    np.testing.assert_allclose(again(X, training=True).numpy(), without(X).numpy(), rtol=1e-6)


def test_a_model_trains_is_saved_and_copied(tmp_path):
    random.seed(2)
    inputs = Input((5, 6, 4, 3))
    hidden = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True, recurrent_dropout=0.2)(inputs)
    hidden = L.Bidirectional(L.ConvLSTM2D(2, (2, 3), kernel_regularizer="l2"))(hidden)
    model = Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(hidden)))
    y = X.mean((1, 2, 3, 4))[:, None]
    model.compile(tg.optimizers.Adam(0.02), "mse")
    losses = model.fit(X, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "m.safetensors")
    for other in (tg.models.load_model(tmp_path / "m.safetensors"), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_what_does_not_fit_is_an_error():
    for make, message in (
        (lambda: L.ConvLSTM2D(2, 3, padding="causal"), "padding = 'causal'"),
        (lambda: L.ConvLSTM2D(2, (3, 3, 3)), "kernel_size"),
        (lambda: L.ConvLSTM2D(0, 3), "filters = 0"),
        (lambda: L.ConvLSTM2D(2, 3, data_format="channels_first"), "channels_last"),
        (lambda: L.ConvLSTM2D(2, 3)(X[0]), r"expected an input of 5 dimensions \(N, T, \*spatial, C\)"),
        (lambda: L.ConvLSTM2D(2, 5)(X), r"an input of shape \(2, 5, 6, 4, 3\).*window of size \(5, 5\) is larger"),
        (lambda: L.ConvLSTM2D(2, 3)(X, initial_state=[np.zeros((2, 6, 4, 2))] * 2), r"expected \[\(2, 4, 2, 2\), "),
        (lambda: L.ConvLSTM2D(2, 3)(X[:, :0]), "no last output"),
        (lambda: L.ConvLSTM2D(2, 3).get_initial_state(2), "build the layer for one first"),
        (lambda: Sequential([Input((5, 6, 4, 3)), L.ConvLSTM2D(2, 3, stateful=True)]), "batch's size"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    layer = L.ConvLSTM2D(2, 3)
    layer(X)
    with pytest.raises(ValueError, match="3"):
        layer(X[..., :2])
