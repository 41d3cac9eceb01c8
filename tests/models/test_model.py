"""The three ways to make a model, what they have in common, and what they say to wrong input."""

import copy
import pickle
import weakref

import numpy as np
import pytest

from tomograd.engine import Tensor, Variable, layers, losses, no_grad, optimizers
from tomograd.engine import functions as F
from tomograd.models import Functional, Input, Model, Sequential, load_model


class Net(Model):
    """Two dense layers, as a subclass."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, activation="tanh")
        self.second = layers.Dense(2)

    def call(self, x):
        return self.second(self.first(x))


def rows(generator):
    return [layers.Dense(4, activation="tanh", **generator), layers.Dense(2, **generator)]


def three_forms():
    """One network in three forms, with equal weights."""
    inputs = Input((3,))
    x = layers.Dense(4, activation="tanh")(inputs)
    models = [Model(inputs, layers.Dense(2)(x)), Sequential([Input((3,)), *rows({})]), Net()]
    models[2].build((None, 3))
    for model in models[1:]:
        model.set_weights(models[0].get_weights())
    return models


def data(samples=24, seed=1):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((samples, 3)).astype(np.float32), generator.integers(0, 2, samples)


def test_three_forms_train_to_the_same_weights():
    x, y = data()
    histories, weights = [], []
    for model in three_forms():
        model.compile(
            optimizers.Adam(0.05), losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
        histories.append(model.fit(x, y, batch_size=7, epochs=3, shuffle=False, verbose=0).history)
        weights.append(model.get_weights())
    assert histories[0] == histories[1] == histories[2]
    assert histories[0]["loss"][-1] < histories[0]["loss"][0]
    for others in weights[1:]:
        for mine, theirs in zip(weights[0], others, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_forms_agree_on_parameters_and_predictions():
    x, _ = data()
    models = three_forms()
    assert isinstance(models[0], Functional)
    assert [model.count_params() for model in models] == [3 * 4 + 4 + 4 * 2 + 2] * 3
    expected = np.tanh(x @ models[0].get_weights()[0] + models[0].get_weights()[1]) @ models[0].get_weights()[2]
    for model in models:
        np.testing.assert_allclose(model.predict(x, batch_size=5), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(model.predict(x), np.asarray(model(x)))
        np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))


def test_a_graph_with_branches_shared_layers_and_several_outputs():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    shared = layers.Dense(4, name="shared")
    left, right = shared(a), shared(b)
    joined = layers.Concatenate(name="joined")([left, right])
    model = Model([a, b], {"sum": layers.Add()([left, right]), "head": layers.Dense(1, name="head")(joined)})
    assert model.count_params() == 3 * 4 + 4 + 8 + 1
    x, z = data(5)[0], data(5, seed=2)[0]
    outputs = model.predict([x, z])
    kernel, bias, head, head_bias = model.get_weights()
    np.testing.assert_allclose(outputs["sum"], (x @ kernel + bias) + (z @ kernel + bias), rtol=1e-5, atol=1e-6)
    both = np.concatenate([x @ kernel + bias, z @ kernel + bias], axis=1)
    np.testing.assert_allclose(outputs["head"], both @ head + head_bias, rtol=1e-5, atol=1e-6)
    by_name = model.predict({"b": z, "a": x})
    np.testing.assert_array_equal(by_name["head"], outputs["head"])
    parts = Model(model.inputs, [model.get_layer("joined").output, left])
    np.testing.assert_allclose(parts.predict([x, z])[0], both, rtol=1e-5, atol=1e-6)


def test_several_outputs_train_with_a_loss_each():
    inputs = Input((3,))
    x = layers.Dense(4, activation="relu", name="trunk")(inputs)
    model = Model(inputs, [layers.Dense(1, name="size")(x), layers.Dense(2, name="kind")(x)])
    x, y = data()
    targets = [x[:, :1], y]
    both = {"size": "mse", "kind": losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile("adam", both, loss_weights={"size": 0.5}, metrics={"kind": ["accuracy"], "size": ["mae"]})
    logs = model.evaluate(x, targets, verbose=0, return_dict=True)
    size, kind = model.predict(x)
    expected = 0.5 * np.mean((size - x[:, :1]) ** 2) + float(both["kind"](y, kind).item())
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["size_mae"] == pytest.approx(np.mean(np.abs(size - x[:, :1])), rel=1e-5)
    assert logs["kind_accuracy"] == pytest.approx(np.mean(kind.argmax(1) == y))
    assert model.metrics_names == ["loss", "size_loss", "kind_loss", "size_mae", "kind_accuracy"]
    assert logs["loss"] == pytest.approx(0.5 * logs["size_loss"] + logs["kind_loss"])
    history = model.fit(x, targets, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_models_are_layers_of_other_models():
    inner = Sequential([Input((3,)), layers.Dense(4, activation="relu")], name="inner")
    inputs = Input((3,))
    outer = Model(inputs, layers.Dense(2)(inner(inputs)))
    assert outer.count_params() == 16 + 10
    assert outer.get_layer("inner") is inner
    x, _ = data()
    kernel, bias = outer.get_layer(index=-1).get_weights()
    np.testing.assert_allclose(outer.predict(x), inner.predict(x) @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_a_deep_graph_needs_no_recursion():
    x = inputs = Input((1,))
    for _ in range(3000):
        x = layers.Identity()(x)
    np.testing.assert_array_equal(Model(inputs, x).predict(np.ones((2, 1))), np.ones((2, 1)))


def test_values_are_let_go_after_their_last_use():
    alive, counts = [], []

    class Watch(layers.Layer):
        def call(self, inputs):
            alive.append(weakref.ref(inputs.array))
            counts.append(sum(array() is not None for array in alive))
            return inputs + 1.0

        def compute_output_shape(self, input_shape):
            return input_shape

    x = start = Watch()(Input((3,)))
    for _ in range(10):
        x = Watch()(x)
    model = Model(start.node.inputs, layers.Add()([x, start]))
    given = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model.predict_on_batch(given), np.full((2, 3), 14.0))
    # The input, the value to come back to, and what is just read: never all eleven.
    assert max(counts) == 3


def test_frozen_layers_stay_and_the_others_move():
    model = three_forms()[1]
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 2
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.fit(*data(), verbose=0)
    moved = [not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]


def test_regularizers_are_part_of_the_loss():
    model = Sequential([Input((3,)), layers.Dense(2, kernel_regularizer="l2")])
    model.compile("sgd", "mse")
    x, _ = data()
    y = np.zeros((len(x), 2), np.float32)
    expected = np.mean(model.predict(x) ** 2) + 0.01 * np.sum(model.get_weights()[0] ** 2)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.train_on_batch(x, y) == pytest.approx(expected, rel=1e-5)


def test_steps_on_batches():
    x, y = data()
    model = three_forms()[0]
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    loss, accuracy = model.test_on_batch(x, y)
    logits = model.predict(x)
    shifted = logits - logits.max(1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(y)), y]
    assert loss == pytest.approx(rows.mean(), rel=1e-5)
    assert accuracy == np.mean(logits.argmax(1) == y)
    assert model.train_on_batch(x, y, return_dict=True)["loss"] == pytest.approx(loss)
    assert model.test_on_batch(x, y)[0] < loss
    weighted = model.test_on_batch(x, y, sample_weight=np.eye(len(y))[0] * len(y))[0]
    assert weighted == pytest.approx(
        float(losses.SparseCategoricalCrossentropy(from_logits=True)(y[:1], model(x[:1])).item()), rel=1e-5
    )


@pytest.mark.parametrize(
    ("outputs", "loss", "target", "kind"),
    [
        (1, losses.BinaryCrossentropy(from_logits=True), (6, 1), "BinaryAccuracy"),
        (1, losses.BinaryCrossentropy(), (6,), "BinaryAccuracy"),
        (3, losses.BinaryCrossentropy(from_logits=True), (6, 3), "BinaryAccuracy"),
        (3, losses.SparseCategoricalCrossentropy(from_logits=True), (6,), "SparseCategoricalAccuracy"),
        (3, losses.SparseCategoricalCrossentropy(from_logits=True), (6, 1), "SparseCategoricalAccuracy"),
        (3, losses.CategoricalCrossentropy(from_logits=True), (6, 3), "CategoricalAccuracy"),
    ],
)
def test_accuracy_is_taken_by_loss_and_shapes(outputs, loss, target, kind):
    model = Sequential([Input((3,)), layers.Dense(outputs, activation=None if loss.from_logits else "sigmoid")])
    model.compile("sgd", loss, metrics=["accuracy"])
    y = np.zeros(target, np.float32 if kind != "SparseCategoricalAccuracy" else np.int64)
    model.evaluate(np.ones((6, 3)), y, verbose=0)
    metric = model.metrics[1]
    assert (type(metric).__name__, metric.name) == (kind, "accuracy")
    if kind == "BinaryAccuracy":
        assert metric.from_logits == loss.from_logits


def test_metrics_from_names_know_that_the_loss_takes_logits():
    model = Sequential([Input((1,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.ones((1, 1))])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy", "precision", "dice"])
    # A logit of 0.25 is a probability of 0.56: found, though 0.25 < 0.5.
    logs = model.evaluate(np.array([[0.25], [-1.0]]), np.array([[1.0], [0.0]]), verbose=0, return_dict=True)
    assert logs["accuracy"] == logs["precision"] == logs["dice"] == 1


def test_two_metrics_of_one_name_are_told_apart():
    model = Sequential([Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae", lambda t, p: np.abs(t - p), "mae"])
    assert list(model.evaluate(np.ones((2, 1)), np.ones((2, 1)), verbose=0, return_dict=True)) == [
        "loss", "mae", "lambda", "mae_1",
    ]  # fmt: skip


def test_summary_shows_layers_shapes_and_counts():
    lines = []
    three_forms()[0].summary(line_length=60, print_fn=lines.append)
    text = "\n".join(lines)
    assert "(None, 4)" in text
    assert "Dense" in text
    assert "26" in text
    assert max(map(len, lines)) == 60
    with pytest.raises(ValueError, match="not built"):
        Net().summary()


def test_subclass_summary_and_build():
    model = Net(units=5)
    model.build((None, 3))
    lines = []
    model.summary(print_fn=lines.append)
    assert any("(None, 5)" in line and "20" in line for line in lines)


def test_inputs_are_cast_to_the_models_type():
    x = np.arange(6).reshape(2, 3)
    model = three_forms()[0]
    for array in (x, x.astype(np.uint8), x.astype(np.float64), x.tolist()):
        assert model.predict_on_batch(array).dtype == np.float32
    doubled = Sequential([Input((3,), dtype="float64"), layers.Dense(2, dtype="float64")])
    assert doubled.predict(x.astype(np.float32)).dtype == np.float64


def test_wrong_shapes_name_what_was_expected_and_given():
    inputs = Input((4, 4, 1), name="scan")
    model = Model(inputs, layers.Flatten()(inputs))
    with pytest.raises(ValueError, match=r"'scan'.*\(None, 4, 4, 1\).*\(2, 5, 4, 1\)"):
        model.predict(np.zeros((2, 5, 4, 1)))
    with pytest.raises(ValueError, match=r"\(None, 4, 4, 1\).*\(2, 4, 4\)"):
        model.predict(np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match=r"\(None, 3\).*\(5, 4\)"):
        three_forms()[1].predict(np.zeros((5, 4)))
    two = Model([inputs, Input((2,), name="age")], layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="expected 2 inputs, got 1"):
        two.predict(np.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"\['age'\] are missing"):
        two.predict({"scan": np.zeros((2, 4, 4, 1))})


def test_wrong_graphs_are_errors():
    a, b = Input((3,)), Input((3,))
    with pytest.raises(ValueError, match="not among the inputs"):
        Model(a, layers.Add()([a, b]))
    with pytest.raises(TypeError, match="outputs must be symbols"):
        Model(a, np.ones(3))
    with pytest.raises(TypeError, match="that Input made"):
        Model(layers.Dense(2)(a), layers.Dense(2)(a))
    with pytest.raises(ValueError, match="both named 'twin'"):
        Model(a, layers.Dense(2, name="twin")(layers.Dense(2, name="twin")(a)))


def test_wrong_use_is_an_error():
    model = three_forms()[0]
    with pytest.raises(RuntimeError, match="compile"):
        model.fit(*data())
    with pytest.raises(ValueError, match="no layer 'x'"):
        model.get_layer("x")
    with pytest.raises(ValueError, match="out of range"):
        model.get_layer(index=9)
    with pytest.raises(TypeError, match="expected a layer"):
        Sequential([np.tanh])
    with pytest.raises(ValueError, match="beginning"):
        Sequential([layers.Dense(2), Input((2,))])
    with pytest.raises(ValueError, match="there already"):
        Sequential([layers.Dense(2, name="a"), layers.Dense(2, name="a")])
    with pytest.raises(ValueError, match="not known"):
        model.compile("adamm", "mse")
    with pytest.raises(ValueError, match="expected 4 arrays"):
        model.set_weights([np.zeros((3, 4))])


class Guide(Model):
    """A step as Keras's guide "Customizing fit" writes it for PyTorch."""

    def train_step(self, data):
        x, y = data
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
        self.zero_grad()
        loss.backward()
        weights = list(self.trainable_weights)
        gradients = [weight.value.grad for weight in weights]
        with no_grad():
            self.optimizer.apply(gradients, weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def test_a_step_of_the_guide_trains_as_ours():
    x, y = data()
    inputs = Input((3,))
    outputs = layers.Dense(1)(layers.Dense(4, activation="tanh")(inputs))
    models = [Model(inputs, outputs), Guide(inputs, outputs)]
    start, histories, weights = models[0].get_weights(), [], []
    for model in models:
        model.set_weights(start)
        model.compile("adam", "mse", metrics=["mae", "mse"])
        histories.append(model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history)
        weights.append(model.get_weights())
    assert set(histories[0]) == set(histories[1]) == {"loss", "mae", "mse"}
    for name, values in histories[0].items():
        assert histories[1][name] == pytest.approx(values), name
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    models[1].compile("adam", "mse", metrics=["mae"])
    assert set(models[1].train_on_batch(x, y, return_dict=True)) == {"loss", "mae"}


def test_gradients_that_were_added_up_are_forgotten():
    model = three_forms()[0]
    x = data()[0]
    for _ in range(2):
        model.zero_grad()
        F.sum(model(x)).backward()
    once = [weight.grad.numpy().copy() for weight in model.weights]
    F.sum(model(x)).backward()
    for weight, gradient in zip(model.weights, once, strict=True):
        np.testing.assert_allclose(weight.grad.numpy(), 2 * gradient, rtol=1e-6)
    model.zero_grad()
    assert all(weight.grad is None for weight in model.weights)


def test_variables_are_added_to_in_place():
    weight = Variable(np.array([1.0, 2.0]), name="layer/kernel")
    weight.assign_add(np.array([0.5, 0.25]))
    weight.assign_sub(1)
    np.testing.assert_array_equal(weight.numpy(), [0.5, 1.25])
    assert weight.requires_grad
    assert weight.node is None
    assert weight.value is weight
    assert weight.path == "layer/kernel"
    with pytest.raises(ValueError, match="shape"):
        weight.assign_add(np.ones((3, 2)))


def test_sequential_grows_and_shrinks():
    model = Sequential()
    model.add(layers.Dense(4, input_shape=(3,)))
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    assert isinstance(model.pop(), layers.Dense)
    assert model.output_shape == (None, 4)
    assert model.predict(np.ones((2, 3))).shape == (2, 4)
    late = Sequential([layers.Dense(4), layers.Dense(2)])
    assert not late.built
    assert late.predict(np.ones((2, 3))).shape == (2, 2)
    assert late.count_params() == 26


def test_training_flag_reaches_inner_layers():
    class Noisy(Model):
        def __init__(self):
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, x):
            return self.drop(x)

    ones = np.ones((50, 4), np.float32)
    for model in (Noisy(), Sequential([layers.Dropout(0.5)]), _graph_of(layers.Dropout(0.5))):
        np.testing.assert_array_equal(model.predict(ones), ones)
        assert 0 < np.mean(np.asarray(model(ones, training=True)) == 0) < 1


def _graph_of(layer):
    inputs = Input((4,))
    return Model(inputs, layer(inputs))


def test_gradients_flow_through_a_model_to_its_input():
    model = three_forms()[0]
    x = Tensor(data()[0], requires_grad=True)
    F.sum(model(x) ** 2).backward()
    assert np.abs(x.grad.numpy()).min() > 0


def test_a_subclass_takes_a_graph_and_keeps_its_own_step(tmp_path):
    class Counting(Model):
        steps = 0

        def train_step(self, data):
            self.steps += 1
            return super().train_step(data)

    inputs = Input((3,))
    model = Counting(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    x = data()[0]
    model.fit(x, x[:, :1], batch_size=8, verbose=0)
    assert isinstance(model, Counting)
    assert isinstance(model, Functional)
    assert model.steps == 3
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", custom_objects={"Counting": Counting})
    assert isinstance(again, Counting)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_loss_function_and_custom_step():
    class Scaled(Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight=None):
            return 3.0 * super().compute_loss(x, y, y_pred, sample_weight)

    plain = Sequential([Input((3,)), layers.Dense(1)])
    scaled = Scaled([Input((3,)), layers.Dense(1)])
    scaled.set_weights(plain.get_weights())
    x = data()[0]
    y = x[:, :1]
    for model in (plain, scaled):
        model.compile("sgd", lambda t, p: (p - t) ** 2)
    assert plain.evaluate(x, y, verbose=0) == pytest.approx(np.mean((plain.predict(x) - y) ** 2), rel=1e-5)
    assert scaled.evaluate(x, y, verbose=0) == pytest.approx(3 * plain.evaluate(x, y, verbose=0), rel=1e-5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_trained_models_train_by_themselves(duplicate):
    x, y = data()
    inputs = Input((3,))
    hidden, output = layers.Dense(4), layers.Dense(2)
    for model in (Sequential([inputs, hidden]), Model(inputs, output(hidden(inputs)))):
        model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
        hidden.trainable = not hidden.trainable  # takes effect at the next compile
        model.fit(x, y, verbose=0)
        before = model.get_weights()
        again = duplicate(model)
        assert again.history.history == model.history.history
        again.train_on_batch(x, y)
        moved = [not np.array_equal(old, new) for old, new in zip(before, again.get_weights(), strict=True)]
        assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
        model.train_on_batch(x, y)
        assert all(
            np.array_equal(own, other) for own, other in zip(model.get_weights(), again.get_weights(), strict=True)
        )
        assert moved == ([True] * 2 if model.layers[-1] is hidden else [False, False, True, True])
