"""Inference with batch normalisation folded into the layer before it: the same numbers, fewer passes, never stale."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomograd as tg
from tomograd.models import folding

RNG = np.random.default_rng(7)

LAYERS = {
    "conv1d": lambda bias: (tg.layers.Conv1D(5, 3, padding="causal", use_bias=bias), (9, 4)),
    "conv2d": lambda bias: (tg.layers.Conv2D(6, 3, strides=2, padding="same", groups=2, use_bias=bias), (7, 8, 4)),
    "conv3d": lambda bias: (tg.layers.Conv3D(3, 2, dilation_rate=2, use_bias=bias), (5, 4, 6, 2)),
    "conv1d_transpose": lambda bias: (tg.layers.Conv1DTranspose(5, 3, strides=2, use_bias=bias), (6, 4)),
    "conv2d_transpose": lambda bias: (tg.layers.Conv2DTranspose(3, 2, strides=2, use_bias=bias), (4, 5, 6)),
    "conv3d_transpose": lambda bias: (tg.layers.Conv3DTranspose(3, 2, use_bias=bias), (3, 4, 3, 2)),
    "depthwise1d": lambda bias: (tg.layers.DepthwiseConv1D(3, depth_multiplier=2, use_bias=bias), (8, 3)),
    "depthwise2d": lambda bias: (tg.layers.DepthwiseConv2D(3, depth_multiplier=3, use_bias=bias), (6, 7, 2)),
    "dense": lambda bias: (tg.layers.Dense(5, use_bias=bias), (7,)),
}


def randomized(model):
    """The model with weights and statistics that a training might have left."""
    for weight in model.weights:
        values = RNG.standard_normal(weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    return model


def apart(model, x):
    """What the layers give one by one: the tape records, and nothing is folded."""
    assert any(weight.trainable for weight in model.weights)
    with tg.enable_grad():
        return model(x, training=False).numpy()


def folded_calls(model):
    """How many calls of the model are two layers in one."""
    calls = model._row if isinstance(model, tg.Sequential) else [call.layer for call, _ in model._graph.inference]
    return sum(isinstance(call, folding.Folded) for call in calls)


@pytest.mark.parametrize("kind", sorted(LAYERS))
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@settings(max_examples=6, deadline=None)
@given(bias=st.booleans(), scale=st.booleans(), center=st.booleans(), dtype=st.sampled_from(["float32", "float64"]))
def test_folded_layers_give_what_the_layers_give_one_by_one(kind, activation, bias, scale, center, dtype):
    layer, shape = LAYERS[kind](bias)
    layer = type(layer).from_config(layer.get_config() | {"dtype": dtype})
    norm = tg.layers.BatchNormalization(scale=scale, center=center, activation=activation, dtype=dtype)
    inputs = tg.Input(shape, dtype=dtype)
    for model in (tg.Sequential([inputs, layer, norm]), tg.Model(inputs, norm(layer(inputs)))):
        randomized(model)
        assert folded_calls(model) == 1
        x = RNG.standard_normal((3, *shape)).astype(dtype)
        tolerance = 2e-4 if dtype == "float32" else 1e-12
        with tg.no_grad():
            found = model(x).numpy()
        assert found.dtype == dtype
        np.testing.assert_allclose(found, apart(model, x), rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(found, model.predict(x, verbose=0))


def net():
    x = inputs = tg.Input((8, 8, 2))
    x = tg.layers.Conv2D(4, 3, padding="same", name="conv")(x)
    x = tg.layers.BatchNormalization(activation="relu", name="norm")(x)
    return randomized(tg.Model(inputs, tg.layers.Dense(3)(tg.layers.Flatten()(x))))


@pytest.mark.parametrize("name", ["conv", "norm"])
def test_a_change_of_any_weight_is_seen(name):
    model, x = net(), RNG.standard_normal((2, 8, 8, 2)).astype("float32")
    before = model.predict(x, verbose=0)
    for weight in model.get_layer(name).weights:
        weight.assign(np.abs(weight.numpy()) + 0.5)
        after = model.predict(x, verbose=0)
        assert np.abs(after - before).max() > 1e-3
        np.testing.assert_allclose(after, apart(model, x), rtol=1e-4, atol=1e-4)
        before = after


@pytest.mark.parametrize("kind", ["graph", "row"])
def test_a_change_of_the_layers_themselves_is_seen(kind):
    model, x = net(), RNG.standard_normal((2, 8, 8, 2)).astype("float32")
    if kind == "row":
        model = tg.Sequential(model.layers)
    assert folded_calls(model) == 1
    model.predict(x, verbose=0)
    model.get_layer("norm").epsilon = 3.0
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)
    model.get_layer("norm").activation = tg.functional.tanh
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)
    model.get_layer("conv").activation = tg.functional.sigmoid
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)
    model.get_layer("conv").kernel = tg.Variable(RNG.standard_normal((3, 3, 2, 4)), dtype="float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)


def test_training_is_seen_by_the_next_prediction():
    model, x = net(), RNG.standard_normal((4, 8, 8, 2)).astype("float32")
    model.compile("sgd", "mse")
    model.predict(x, verbose=0)
    model.fit(x, RNG.standard_normal((4, 3)).astype("float32"), epochs=1, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)


def test_training_under_no_grad_still_takes_the_statistics_of_the_batch():
    model, x = net(), RNG.standard_normal((4, 8, 8, 2)).astype("float32")
    mean = model.get_layer("norm").moving_mean.numpy().copy()
    with tg.no_grad():
        inferred, trained = model(x, training=False).numpy(), model(x, training=True).numpy()
    assert np.abs(inferred - trained).max() > 1e-3
    assert np.abs(model.get_layer("norm").moving_mean.numpy() - mean).max() > 1e-5


def test_copies_and_saved_models_predict_the_same(tmp_path):
    model, x = net(), RNG.standard_normal((2, 8, 8, 2)).astype("float32")
    expected = model.predict(x, verbose=0)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.predict(x, verbose=0), expected)
    twin.get_layer("conv").kernel.assign(twin.get_layer("conv").kernel.numpy() * 2)
    assert np.abs(twin.predict(x, verbose=0) - expected).max() > 1e-3
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(tg.models.load_model(tmp_path / "net.safetensors").predict(x, verbose=0), expected)


def test_values_that_somebody_else_takes_are_computed():
    inputs = tg.Input((6, 6, 2))
    features = tg.layers.Conv2D(2, 3, padding="same")(inputs)
    normed = tg.layers.BatchNormalization()(features)
    shared = randomized(tg.Model(inputs, tg.layers.Add()([features, normed])))
    both = randomized(tg.Model(inputs, [features, normed]))
    assert folded_calls(shared) == folded_calls(both) == 0
    first, second = both.predict(RNG.standard_normal((2, 6, 6, 2)).astype("float32"), verbose=0)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("change", ["activation", "subclass", "between", "flag"])
def test_what_is_no_linear_pair_is_left_alone(change):
    class Doubled(tg.layers.Conv2D):
        def call(self, inputs):
            return super().call(inputs) * 2

    conv = (Doubled if change == "subclass" else tg.layers.Conv2D)(
        2, 1, activation="relu" if change == "activation" else None
    )
    x = inputs = tg.Input((4, 4, 2))
    x = conv(x)
    if change == "between":
        x = tg.layers.ReLU()(x)
    norm = tg.layers.BatchNormalization()
    x = norm(x, training=True) if change == "flag" else norm(x)
    model = randomized(tg.Model(inputs, x))
    assert folded_calls(model) == 0
    if change != "flag":
        assert folded_calls(randomized(tg.Sequential([tg.Input((4, 4, 2)), *model.layers[1:]]))) == 0
        images = RNG.standard_normal((3, 4, 4, 2)).astype("float32")
        np.testing.assert_allclose(model.predict(images, verbose=0), apart(model, images), rtol=1e-5, atol=1e-5)


def test_a_layer_called_twice_keeps_its_own_weights_for_the_other_call():
    conv = tg.layers.Conv2D(2, 3, padding="same")
    inputs = tg.Input((5, 5, 2))
    normed = tg.layers.BatchNormalization()(conv(inputs))
    model = randomized(tg.Model(inputs, tg.layers.Add()([conv(normed), normed])))
    assert folded_calls(model) == 1
    x = RNG.standard_normal((2, 5, 5, 2)).astype("float32")
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-3)


def test_a_row_that_grows_folds_what_is_new():
    model = tg.Sequential([tg.Input((5, 5, 2)), tg.layers.Conv2D(3, 3)])
    x = RNG.standard_normal((2, 5, 5, 2)).astype("float32")
    model.predict(x, verbose=0)
    model.add(tg.layers.BatchNormalization())
    randomized(model)
    assert folded_calls(model) == 1
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)
    model.pop()
    assert folded_calls(model) == 0
    np.testing.assert_allclose(model.predict(x, verbose=0), apart(model, x), rtol=1e-4, atol=1e-4)
