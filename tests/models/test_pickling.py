"""Pickles and deep copies: of every public name, of activations, losses, metrics, optimizers and callbacks, and of
models that are trained, which go on bit for bit, also when the copy is made in the middle of a training."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import tomograd as tg
from tomograd import callbacks, layers, models
from tomograd.engine import activations, losses, optimizers
from tomograd.engine import functions as F
from tomograd.models import Input, Model, Sequential, metrics

MODULES = {
    "activations": activations,
    "callbacks": callbacks,
    "constraints": tg.constraints,
    "functional": F,
    "initializers": tg.initializers,
    "layers": layers,
    "losses": losses,
    "metrics": metrics,
    "models": models,
    "optimizers": optimizers,
    "regularizers": tg.regularizers,
    "schedules": optimizers.schedules,
    "utils": tg.utils,
}
WAYS = {"pickle": lambda one: pickle.loads(pickle.dumps(one)), "deepcopy": copy.deepcopy}
both_ways = pytest.mark.parametrize("again", WAYS.values(), ids=WAYS)


def public(module):
    found = {name: getattr(module, name) for name in getattr(module, "__all__", dir(module)) if name[0] != "_"}
    return {name: one for name, one in found.items() if not inspect.ismodule(one)}


def data(samples=12):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, 5, 5, 2)).astype(np.float32)
    return x, (x.mean((1, 2, 3))[:, None] > 0).astype(np.float32)


def network(optimizer="adam", **compiled):
    tg.random.seed(3)
    model = Sequential(
        [
            Input((5, 5, 2)),
            layers.RandomFlip(seed=2),
            layers.Conv2D(3, 3, activation="tanh"),
            layers.BatchNormalization(),
            layers.Activation(F.silu),
            layers.Dropout(0.3, seed=5),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, activation=F.relu, kernel_constraint="max_norm", kernel_regularizer="l2"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer, compiled.pop("loss", "binary_crossentropy"), **compiled)
    return model


def trained(model, random_state, epochs=2):
    tg.random.set_state(random_state)
    history = model.fit(*data(), epochs=epochs, batch_size=5, verbose=0).history
    return [*model.get_weights(), *map(np.array, history.values())]


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# -------------------------------------------------------------------------------------------------------------- names


@both_ways
@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_found_again(name, again):
    for each in public(MODULES[name]).values():
        assert again(each) is each


@both_ways
@pytest.mark.parametrize("name", MODULES)
def test_objects_made_without_arguments(name, again):
    for each in public(MODULES[name]).values():
        try:
            made = each() if isinstance(each, type) else None
        except (TypeError, ValueError, NotImplementedError, OSError):  # it takes arguments
            continue
        assert type(again(made)) is type(made)


# -------------------------------------------------------------------------------------------------------- activations


@both_ways
def test_layers_with_every_function_as_their_activation(again):
    x = np.random.default_rng(0).uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    tried = 0
    for name, function in {**public(F), **public(activations)}.items():
        if name in ("get", "serialize", "deserialize", "dropout"):
            continue
        try:
            layer = layers.Activation(function)
            expected = layer(x)
        except (TypeError, ValueError, AttributeError):  # no function of one tensor
            continue
        if getattr(expected, "shape", None) != x.shape:
            continue
        inputs = Input((4,))
        model = Model(inputs, layer(inputs))
        for one in (layer, model):
            np.testing.assert_array_equal(again(one)(x).numpy(), expected.numpy())
        assert again(layer).activation is layer.activation
        tried += 1
    assert tried > 50


# ------------------------------------------------------------------------------------------------------------- models


OPTIMIZERS = [name for name, one in public(optimizers).items() if isinstance(one, type) and name != "Optimizer"]
OPTIONS = {
    "plain": dict,
    "gathered": lambda: {"use_ema": True, "gradient_accumulation_steps": 3},
    "scheduled": lambda: {"learning_rate": optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), "clipnorm": 1.0},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_trained_model_goes_on_bit_for_bit(name, options):
    model = network(getattr(optimizers, name)(**OPTIONS[options]()), metrics=["accuracy", "auc"])
    model.fit(*data(), batch_size=5, verbose=0)
    state = tg.random.state()
    copies = [again(model) for again in WAYS.values()]
    expected = trained(model, state)
    for one in copies:
        same(trained(one, state), expected)


@both_ways
def test_models_compiled_with_every_loss_and_metric(again):
    for name, loss in public(losses).items():
        if name in ("Loss", "deserialize", "get", "serialize"):
            continue
        try:
            loss = loss() if isinstance(loss, type) else loss
        except TypeError:  # it takes arguments
            continue
        if callable(loss):
            again(network(loss=loss))
    for name, cls in metrics.NAMES.items():
        try:
            metric = cls(name=name)
        except TypeError:
            continue
        assert again(network(metrics=[metric]))._metrics.given[0].name == name


@both_ways
def test_metrics_go_on_from_what_they_have_added_up(again):
    x, y = data()
    model = network(metrics=["auc", "accuracy"], weighted_metrics=["mae"])
    model.evaluate(x, y, verbose=0)
    for metric in model.metrics:
        assert again(metric).result() == metric.result()


@both_ways
def test_models_that_were_asked_and_layers_with_states(again):
    x = data()[0]
    model = network()
    for _ in range(5):  # recorded, and folded
        expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again(model).predict(x, verbose=0), expected)
    steps = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    row = Sequential([Input(batch_shape=(2, 4, 3)), layers.Bidirectional(layers.LSTM(3, stateful=True))])
    row(steps)
    copied = again(row)
    np.testing.assert_array_equal(copied(steps).numpy(), row(steps).numpy())


# ----------------------------------------------------------------------------------------------------------- callbacks


class Copies(callbacks.Callback):
    """Copies the model and the callbacks once, in the middle of an epoch."""

    def __init__(self, again, others):
        self.again, self.others, self.model_then, self.random_then = again, others, None, None

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1 and self.model_then is None:
            for other in self.others:
                self.again(other)
            self.model_then, self.random_then = self.again(self.model), tg.random.state()


@both_ways
def test_copies_in_the_middle_of_a_training_leave_it_alone(again, tmp_path):
    x, y = data()
    others = [
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.TensorBoard(tmp_path / "board"),
        callbacks.ModelCheckpoint(tmp_path / "model.safetensors", monitor="loss"),
        callbacks.BackupAndRestore(tmp_path / "backup"),
        callbacks.EarlyStopping("loss", patience=9),
        callbacks.ReduceLROnPlateau("loss"),
        callbacks.TerminateOnNaN(),
        callbacks.ProgressBar(),
    ]
    copies = Copies(again, others)
    model = network()
    model.fit(x, y, epochs=2, batch_size=3, verbose=0, callbacks=[*others, copies])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    undisturbed = network()
    undisturbed.fit(x, y, epochs=2, batch_size=3, verbose=0)
    same(model.get_weights(), undisturbed.get_weights())
    assert copies.model_then.training_run is None
    twin = again(copies.model_then)
    same(trained(copies.model_then, copies.random_then), trained(twin, copies.random_then))


@both_ways
def test_a_model_is_copied_while_a_generator_feeds_it(again):
    x, y = data()
    copies = Copies(again, [])
    model = network()
    model.fit(((x, y) for _ in range(3)), steps_per_epoch=3, verbose=0, callbacks=[copies])
    assert copies.model_then.optimizer.iterations == 2


def test_a_progress_bar_that_is_drawn(monkeypatch):
    from tomograd.models.callbacks import progress

    monkeypatch.setattr(progress, "in_terminal", lambda: True)
    bar = callbacks.ProgressBar()
    copies = Copies(copy.deepcopy, [bar])
    network().fit(*data(), batch_size=3, verbose=1, callbacks=[bar, copies])
    assert copies.model_then is not None
