"""Recorded inference: the same bits as layer by layer, whatever changes in between."""

import copy
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tomograd as tg
from tomograd import kernels
from tomograd.kernels.cpu import launch
from tomograd.models import replaying
from tomograd.models.replaying import PLAIN_CALLS, using_replay

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def cpu_kernels():
    with kernels.using("cpu"):
        yield


def cnn(**arguments):
    return tg.models.CNN((12, 12, 2), classes=3, filters=(8, 16), dense=(5,), **arguments)


def unet():
    model = tg.models.UNet((16, 16, 1), base_filters=4, depth=2)
    for weight in model.weights:
        weight.assign(RNG.random(weight.shape) + 0.1)
    return model


def by_layers(model, x):
    with using_replay(False):
        return model.predict_on_batch(x)


def images(model, count=3):
    return RNG.standard_normal((count, *model.input_shape[1:])).astype("float32")


def settled(model, x):
    """The model after so many calls that it repeats what it recorded."""
    for _ in range(PLAIN_CALLS + 2):
        model.predict_on_batch(x)
    return model


def entries(model):
    return list(model._replays._entries.values())


def is_recorded(model):
    return any(entry.recorded is not None for entry in entries(model))


@pytest.mark.parametrize("make", [cnn, lambda: cnn(normalization="batch", dropout=0.3), unet])
def test_repeated_launches_give_what_the_layers_give(make):
    model = make()
    settled(model, images(model))
    assert is_recorded(model)
    for x in (images(model), images(model)[:, ::-1], images(model) * np.float32(1e20), images(model) * np.nan):
        np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def test_every_kind_of_input_has_a_recording_of_its_own():
    model = cnn()
    for count in (1, 2, 3, 1, 2, 3):
        x = images(model, count)
        settled(model, x)
        np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))
    assert len(entries(model)) == 3 and all(entry.recorded for entry in entries(model))
    for count in range(4, 10):
        model.predict_on_batch(images(model, count))
    assert len(entries(model)) == replaying.MOST


def test_answers_do_not_share_memory():
    model = cnn()
    x, other = images(model), images(model)
    settled(model, x)
    with tg.no_grad():
        first = model(x)
        kept = first.numpy().copy()
        model(other)
    np.testing.assert_array_equal(first.numpy(), kept)


@pytest.mark.parametrize("index", range(4))
def test_a_change_of_weights_is_seen(index):
    model = cnn(normalization="batch")
    x = images(model)
    settled(model, x)
    before = model.predict_on_batch(x)
    weight = model.weights[index]
    weight.assign(weight.numpy() + 0.5)
    for _ in range(PLAIN_CALLS + 3):
        found = model.predict_on_batch(x)
        np.testing.assert_array_equal(found, by_layers(model, x))
        assert np.abs(found - before).max() > 1e-4
    assert is_recorded(model)


def test_training_between_predictions():
    model = cnn(normalization="batch")
    model.compile("adam", "sparse_categorical_crossentropy")
    x = images(model, 8)
    for _ in range(3):
        settled(model, x)
        model.fit(x, RNG.integers(0, 3, 8), epochs=2, batch_size=4, verbose=0)
        np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def change_activation(layer):
    layer.activation = tg.functional.tanh


def change_kernel(layer):
    layer.kernel = tg.Variable(layer.kernel.numpy() * 2)


def change_bias(layer):
    layer.use_bias, layer.bias = False, None


def change_call(layer):
    layer.call = lambda inputs: type(layer).call(layer, inputs) * 2


@pytest.mark.parametrize("change", [change_activation, change_kernel, change_bias, change_call])
def test_a_change_of_a_layer_is_seen(change):
    model = cnn()
    x = images(model)
    settled(model, x)
    model.get_layer("conv_1").bias.assign(RNG.standard_normal(8))
    before = settled(model, x).predict_on_batch(x)
    change(model.get_layer("conv_1"))
    for _ in range(PLAIN_CALLS + 2):
        found = model.predict_on_batch(x)
        np.testing.assert_array_equal(found, by_layers(model, x))
    assert np.abs(found - before).max() > 1e-4


def test_what_numpy_computes_is_not_recorded():
    inputs = tg.Input((6, 6, 2))
    a, b = tg.layers.Conv2D(4, 3, padding="same")(inputs), tg.layers.Conv2D(4, 1)(inputs)
    model = tg.Model(inputs, tg.layers.Multiply()([a, b]))
    x = images(model)
    settled(model, x)
    assert not is_recorded(model) and entries(model)[0].refused
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def test_layers_of_others_are_called_each_time():
    calls = []

    class Counting(tg.layers.Conv2D):
        def call(self, inputs):
            calls.append(1)
            return super().call(inputs)

    def activation(x):
        calls.append(2)
        return tg.functional.relu(x)

    for layer in (Counting(2, 3), tg.layers.Conv2D(2, 3, activation=activation)):
        model = tg.Sequential([tg.Input((6, 6, 1)), layer])
        calls.clear()
        settled(model, images(model))
        assert len(calls) == PLAIN_CALLS + 2 and not is_recorded(model)


def test_a_large_model_is_not_recorded(monkeypatch):
    monkeypatch.setattr(replaying, "ROOM", 10_000)
    model = cnn()
    x = images(model)
    settled(model, x)
    assert not is_recorded(model)
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def test_other_settings_of_the_kernels_are_seen():
    model = tg.Sequential([tg.Input((20, 20, 16)), tg.layers.Conv2D(16, 3, padding="same")])
    x = images(model)
    settled(model, x)
    with kernels.cpu.winograd_tiles.using_winograd(0):
        direct = model.predict_on_batch(x)
        np.testing.assert_array_equal(direct, by_layers(model, x))
    with launch.using_threads(1):
        np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))
    with kernels.using("reference"):
        reference = model.predict_on_batch(x)
    assert not np.array_equal(reference, model.predict_on_batch(x))
    np.testing.assert_allclose(reference, model.predict_on_batch(x), rtol=1e-3, atol=1e-3)


def test_gradients_are_recorded_as_ever():
    model = cnn()
    x = images(model)
    settled(model, x)
    y = model(x, training=False)
    assert y.requires_grad
    tg.grad(y, model.trainable_weights, RNG.standard_normal(y.shape))


def test_several_threads_at_once():
    model = cnn()
    inputs = [images(model) for _ in range(6)]
    expected = [by_layers(model, x) for x in inputs]
    settled(model, inputs[0])
    wrong = []

    def ask(x, wanted):
        for _ in range(30):
            if not np.array_equal(model.predict_on_batch(x), wanted):
                wrong.append(1)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies_record_for_themselves():
    model = unet()
    x = images(model)
    settled(model, x)
    twin = copy.deepcopy(model)
    assert not entries(twin)
    twin.weights[0].assign(twin.weights[0].numpy() * 2)
    settled(twin, x)
    np.testing.assert_array_equal(twin.predict_on_batch(x), by_layers(twin, x))
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def test_a_row_that_changes_is_recorded_anew():
    model = cnn()
    x = images(model)
    settled(model, x)
    model.add(tg.layers.Dense(2, name="further"))
    assert settled(model, x).predict_on_batch(x).shape == (3, 2)
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))
    model.pop()
    np.testing.assert_array_equal(settled(model, x).predict_on_batch(x), by_layers(model, x))


def test_several_outputs_come_in_their_structure():
    inputs = tg.Input((8, 8, 1))
    features = tg.layers.Conv2D(4, 3, activation="relu")(inputs)
    outputs = {"features": features, "class": tg.layers.Dense(2)(tg.layers.Flatten()(features))}
    model = tg.Model(inputs, outputs)
    x = images(model)
    settled(model, x)
    assert is_recorded(model)
    found, expected = model.predict_on_batch(x), by_layers(model, x)
    assert set(found) == set(expected)
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


def test_models_in_models():
    inner = cnn()
    inputs = tg.Input((12, 12, 2))
    model = tg.Model(inputs, tg.layers.Dense(2)(inner(inputs)))
    x = images(model)
    settled(model, x)
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


def test_an_empty_batch():
    model = cnn()
    assert settled(model, images(model, 0)).predict_on_batch(images(model, 0)).shape == (0, 3)


def test_an_error_in_a_layer_is_told_each_time():
    model = cnn()
    x = images(model)
    settled(model, x)
    with pytest.raises(ValueError, match="shape"):
        model.predict_on_batch(x[:, :5])
    np.testing.assert_array_equal(model.predict_on_batch(x), by_layers(model, x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_answers():
    script = """
import os, sys
import numpy as np, tomograd as tg
model = tg.models.CNN((12, 12, 2), classes=3, filters=(8, 16), dense=(5,))
x = np.ones((2, 12, 12, 2), "float32")
expected = [model.predict_on_batch(x) for _ in range(6)][-1]
child = os.fork()
if child == 0:
    os._exit(not all(np.allclose(model.predict_on_batch(x), expected, atol=1e-5) for _ in range(6)))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=300)


def test_the_environment_turns_it_off():
    script = "from tomograd.models import replaying; print(replaying._enabled)"
    for value, said in (("0", "False"), ("1", "True")):
        environment = os.environ | {"TOMOGRAD_REPLAY": value}
        shown = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        assert shown.stdout.strip() == said
