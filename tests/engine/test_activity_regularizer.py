"""Penalties of a layer's outputs, and losses that layers add: what they are, where they go, and when they end."""

import copy

import numpy as np
import pytest

import tomograd as tg
from tomograd import layers, regularizers
from tomograd.engine import optimizers
from tomograd.engine.layers import Layer

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(2, activity_regularizer="l1"),
        layers.Activation("tanh", activity_regularizer="l1"),
        layers.BatchNormalization(activity_regularizer="l1"),
        layers.Flatten(activity_regularizer="l1"),
        layers.PReLU(activity_regularizer="l1"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_every_layer_takes_it_and_the_batch_divides_it(layer):
    y = layer(X)
    (penalty,) = layer.losses
    assert penalty.shape == ()
    np.testing.assert_allclose(penalty.item(), 0.01 * np.abs(y.numpy()).sum() / 4, rtol=1e-6)
    config = layer.get_config()
    assert config["activity_regularizer"] == {"class_name": "L1", "config": {"l1": 0.01}}
    assert isinstance(type(layer).from_config(config).activity_regularizer, regularizers.L1)


def test_without_one_the_configuration_of_a_layer_without_the_argument_stays_as_it_was():
    assert "activity_regularizer" not in layers.Flatten().get_config()
    assert layers.Dense(2).get_config()["activity_regularizer"] is None


def test_the_gradient_flows_through_the_penalty():
    layer = layers.Dense(2, activity_regularizer=regularizers.L2(0.5), dtype="float64")
    x = tg.Tensor(X.astype(np.float64), requires_grad=True)
    y = layer(x)
    of_kernel, of_x = tg.grad(layer.losses[0], [layer.kernel, x])
    np.testing.assert_allclose(of_kernel.numpy(), x.numpy().T @ y.numpy() / 4, rtol=1e-12)
    np.testing.assert_allclose(of_x.numpy(), y.numpy() @ layer.kernel.numpy().T / 4, rtol=1e-12)


def test_several_outputs_scalars_and_an_empty_batch():
    class Two(Layer):
        def call(self, inputs):
            return {"sum": tg.functional.sum(inputs), "all": inputs}

    layer = Two(activity_regularizer=lambda output: tg.functional.sum(output) * 2.0)
    layer(X)
    np.testing.assert_allclose([loss.item() for loss in layer.losses], [2 * X.sum(), 2 * X.sum() / 4], rtol=1e-5)
    layer = layers.Activation("relu", activity_regularizer="l2")
    layer(X[:0])
    assert [loss.item() for loss in layer.losses] == [0.0]


def test_a_layer_called_twice_in_a_call_pays_twice_and_the_next_call_begins_anew():
    shared = layers.Dense(3, activity_regularizer="l2")

    class Net(tg.Model):
        def __init__(self):
            super().__init__()
            self.shared = shared

        def call(self, inputs):
            return self.shared(self.shared(inputs))

    net = Net()
    for _ in range(3):
        net(X)
        first = shared(X)  # a call of its own
        assert len(shared.losses) == 1
        net(X)
        assert len(net.losses) == 2
    expected = 0.01 / 4 * ((first.numpy() ** 2).sum() + (net(X).numpy() ** 2).sum())
    np.testing.assert_allclose(sum(loss.item() for loss in net.losses), expected, rtol=1e-5)


def test_a_layer_that_is_not_reached_pays_nothing():
    class Either(tg.Model):
        def __init__(self):
            super().__init__()
            self.one = layers.Activation("relu", activity_regularizer="l1")
            self.two = layers.Activation("relu", activity_regularizer="l1")

        def call(self, inputs, first=True):
            return (self.one if first else self.two)(inputs)

    model = Either()
    model(X)
    model(X, first=False)
    assert len(model.losses) == 1
    model(X)
    assert len(model.losses) == 1


def test_trying_for_the_output_shape_adds_nothing():
    class Plus(tg.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2, activity_regularizer=lambda output: tg.functional.sum(output) + 1.0)

        def call(self, inputs):
            return self.dense(inputs)

    model = Plus()
    model.build((None, 3))
    assert model.losses == []
    assert model.compute_output_shape((None, 3)) == (None, 2)
    assert model.losses == []


@pytest.mark.parametrize("kind", ["sequential", "functional", "nested"])
def test_models_train_and_evaluate_with_it(kind):
    def make(penalty):
        tg.random.seed(3)
        parts = [layers.Dense(4, activity_regularizer=penalty), layers.BatchNormalization(), layers.Dense(2)]
        if kind == "sequential":
            return tg.Sequential([layers.Input((3,)), *parts])
        start = layers.Input((3,))
        if kind == "nested":
            return tg.Model(start, parts[2](tg.Sequential(parts[:2])(start)))
        return tg.Model(start, parts[2](parts[1](parts[0](start))))

    y = RNG.standard_normal((4, 2)).astype(np.float32)
    with_penalty, without = make(regularizers.L2(3.0)), make(None)
    for model in (with_penalty, without):
        model.compile(optimizers.SGD(0.01), "mse")
    dense = next(layer for layer in with_penalty.all_layers() if isinstance(layer, layers.Dense))
    for _ in range(5):  # as often as it takes for an inference to be replayed, if it could
        extra = 3.0 * (dense(X).numpy() ** 2).sum() / 4
        difference = with_penalty.evaluate(X, y, verbose=0) - without.evaluate(X, y, verbose=0)
        np.testing.assert_allclose(difference, extra, rtol=1e-4)
    before = (dense(X).numpy() ** 2).sum()
    with_penalty.fit(X, y, epochs=5, verbose=0)
    assert (dense(X).numpy() ** 2).sum() < 0.9 * before


def test_it_stands_in_saved_models_and_keeps_batch_norm_from_being_folded(tmp_path):
    model = tg.Sequential([layers.Input((3,)), layers.Dense(4, activity_regularizer="l2"), layers.BatchNormalization()])
    model.save(tmp_path / "m.safetensors")
    again = tg.models.load_model(tmp_path / "m.safetensors")
    for one in (model, again, copy.deepcopy(model)):
        with tg.no_grad():
            for _ in range(4):
                one(X)
                assert len(one.losses) == 1


def test_add_loss():
    class Spread(Layer):
        def call(self, inputs):
            self.add_loss([tg.functional.var(inputs), tg.functional.mean(inputs)])
            return inputs

    layer = Spread()
    layer(X)
    np.testing.assert_allclose([loss.item() for loss in layer.losses], [X.var(), X.mean()], rtol=1e-5)
    with pytest.raises(RuntimeError, match="from within `call`"):
        layer.add_loss(tg.Tensor(1.0))

    class Wrong(Layer):
        def call(self, inputs):
            self.add_loss(inputs)
            return inputs

    with pytest.raises(ValueError, match=r"expected a tensor of shape \(\)"):
        Wrong()(X)
    assert copy.deepcopy(layer).losses == []


def test_the_layer_that_only_penalizes():
    layer = layers.ActivityRegularization(l1=0.5, l2=0.25)
    assert np.array_equal(layer(X).numpy(), X)
    expected = (0.5 * np.abs(X).sum() + 0.25 * (X**2).sum()) / 4
    assert [loss.item() for loss in layer.losses] == [pytest.approx(expected)]
    config = layer.get_config()
    assert (config["l1"], config["l2"]) == (0.5, 0.25)
    assert "activity_regularizer" not in config
    with pytest.raises(TypeError, match="made of l1 and l2"):
        layers.ActivityRegularization(activity_regularizer="l2")
    with pytest.raises(ValueError, match=r"l1 = -1\.0"):
        layers.ActivityRegularization(l1=-1.0)
