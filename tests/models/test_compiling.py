"""compile: losses and metrics of one and of several outputs in all the forms that they are given in, and what is
trained; targets, weights and names that do not fit are errors."""

import numpy as np
import pytest

from tomograd.engine import layers, losses, optimizers, random
from tomograd.models import Input, Model, Sequential, callbacks, metrics
from tomograd.models.data import class_weights


def two_outputs(form="list"):
    random.seed(3)
    inputs = Input((3,))
    hidden = layers.Dense(4, activation="tanh")(inputs)
    a, b = layers.Dense(1, name="a")(hidden), layers.Dense(2, name="b")(hidden)
    outputs = {"list": [a, b], "dict": {"a": a, "b": b}, "nested": {"left": [a], "right": (b,)}}[form]
    return Model(inputs, outputs)


def data(samples=12):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((samples, 3)).astype(np.float32)
    return x, x[:, :1], x[:, 1:] * 0.5


def history(form, y, loss, **arguments):
    model = two_outputs(form)
    model.compile("sgd", loss, **arguments)
    return model.fit(data()[0], y, batch_size=5, epochs=2, shuffle=False, verbose=0).history


def test_losses_and_targets_in_all_their_forms_are_the_same():
    _, a, b = data()
    expected = history("list", [a, b], ["mse", "mae"])
    assert set(expected) == {"loss", "a_loss", "b_loss"}
    for form, y, loss in (
        ("list", (a, b), {"a": "mse", "b": "mae"}),
        ("list", {"b": b, "a": a}, {"b": "mae", "a": "mse"}),
        ("dict", {"a": a, "b": b}, {"a": "mse", "b": losses.MeanAbsoluteError()}),
        ("dict", [a, b], ["mse", "mae"]),
        ("nested", {"left": [a], "right": (b,)}, {"left": ["mse"], "right": ("mae",)}),
        ("nested", [a, b], {"a": "mse", "b": "mae"}),
    ):
        assert history(form, y, loss) == expected


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
def test_one_loss_for_all_outputs_and_outputs_without():
    _, a, b = data()
    assert history("list", [a, b], "mse") == history("list", [a, b], ["mse", "mse"])
    for y in ([a, None], {"a": a}, [a], a):
        found = history("list", y, {"a": "mse"}, loss_weights={"a": 0.5})
        assert found == history("list", [a, b], ["mse", None], loss_weights=[0.5, 1.0])
        assert list(found) == ["loss"]
    weighed = history("list", [a, b], "mse", loss_weights=[0.5, 2])
    model = two_outputs()
    model.compile("sgd", "mse", loss_weights={"a": 0.5, "b": 2})
    logs = model.evaluate(data()[0], [a, b], verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(0.5 * logs["a_loss"] + 2 * logs["b_loss"])
    assert weighed["loss"] != weighed["a_loss"]


def test_metrics_and_weighted_metrics_of_each_output():
    x, a, b = data()
    weights = {"a": np.linspace(0, 2, 12), "b": None}
    model = two_outputs()
    model.compile("sgd", "mse", metrics={"a": ["mae", "mse"], "b": "mae"}, weighted_metrics=[["mae"], ["mae", "mse"]])
    logs = model.evaluate(x, [a, b], sample_weight=weights, verbose=0, return_dict=True)
    assert list(logs)[3:] == ["a_mae", "a_mse", "b_mae", "a_weighted_mae", "b_weighted_mae", "b_mse"]
    p, q = model.predict(x)
    assert logs["a_mae"] == pytest.approx(np.mean(abs(p - a)), rel=1e-5)
    weighted = np.sum(abs(p - a)[:, 0] * weights["a"]) / np.sum(weights["a"])
    assert logs["a_weighted_mae"] == pytest.approx(weighted, rel=1e-5)
    assert logs["b_mae"] == logs["b_weighted_mae"] == pytest.approx(np.mean(abs(q - b)), rel=1e-5)
    assert logs["a_loss"] == pytest.approx(np.mean((p - a)[:, 0] ** 2 * weights["a"]), rel=1e-5)


def test_one_array_of_sample_weights_is_for_all_outputs():
    x, a, b = data()
    weights = np.linspace(0, 1, 12)
    model = two_outputs()
    model.compile("sgd", "mse")
    one = model.evaluate(x, [a, b], sample_weight=weights, verbose=0)
    assert one == model.evaluate(x, [a, b], sample_weight=[weights, weights[:, None]], verbose=0)
    with pytest.raises(ValueError, match=r"\(12, 2\) beside 2 outputs"):
        model.evaluate(x, [a, b], sample_weight=np.ones((12, 2)), verbose=0)


@pytest.mark.parametrize(
    ("classes", "target", "kind"),
    [
        (1, (4, 1), losses.BinaryCrossentropy),
        (3, (4,), losses.SparseCategoricalCrossentropy),
        (3, (4, 1), losses.SparseCategoricalCrossentropy),
        (3, (4, 3), losses.CategoricalCrossentropy),
    ],
)
def test_crossentropy_is_taken_by_the_shapes(classes, target, kind, tmp_path):
    model = Sequential([Input((2,)), layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid")])
    x = np.random.default_rng(0).standard_normal((4, 2))
    y = np.eye(4, 3) if target == (4, 3) else np.arange(4).reshape(target) % 2
    values = []
    for loss in ("crossentropy", "CE", kind()):
        model.compile("sgd", loss)
        values.append(model.evaluate(x, y, verbose=0))
    assert values[0] == values[1] == values[2]
    model.compile("sgd", "ce")
    model.compile_from_config(model.get_compile_config())
    assert model.evaluate(x, y, verbose=0) == values[0]


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
def test_what_does_not_fit_is_an_error():
    x, a, b = data()

    def fails(message, y, loss, **arguments):
        with pytest.raises(ValueError, match=message):
            history("list", y, loss, **arguments)

    fails("names \\['c'\\]", [a, b], {"a": "mse", "c": "mse"})
    fails("loss: expected a list of 2", [a, b], ["mse"] * 3)
    fails("loss_weights: expected a list of 2", [a, b], "mse", loss_weights=[1.0])
    fails("y: expected a list of 2", [a, b, b], "mse")
    fails("'b' has a loss, but no target", {"a": a}, "mse")
    fails("'b' has metrics, but no target", {"a": a}, {"a": "mse"}, metrics={"b": "mae"})
    fails("no loss", [a, b], None)
    with pytest.raises(ValueError, match="class_weight is for models of one output"):
        model = two_outputs()
        model.compile("sgd", "mse")
        model.fit(x, [a, b], class_weight={0: 2.0}, verbose=0)
    for wrong in ({"0": 1.0}, {0: -1.0}, {0: np.inf}, [1.0, 2.0]):
        with pytest.raises(ValueError, match="class_weight: expected"):
            model.fit(x, [a, b], class_weight=wrong, verbose=0)
    np.testing.assert_array_equal(class_weights([[0], [1]], {1: 3.0}), [1, 3])


def test_arguments_of_kerass_that_change_nothing_and_those_that_would():
    model = two_outputs()
    model.compile("sgd", "mse", run_eagerly=True, steps_per_execution=1, jit_compile="auto", auto_scale_loss=False)
    model.compile("sgd", "mse", None, None, None, False, 1, False, True)
    with pytest.raises(ValueError, match="steps_per_execution = 2 is not supported"):
        model.compile("sgd", "mse", steps_per_execution=2)
    assert "jit_compile" not in model.get_compile_config()
    model.compile("sgd", "mse", jit_compile=True)
    again = two_outputs()
    again.compile_from_config(model.get_compile_config())
    assert again._captured is not None
    with pytest.raises(ValueError, match="jit_compile = 'always': expected"):
        model.compile("sgd", "mse", jit_compile="always")
    with pytest.raises(ValueError, match="contradict"):
        model.compile("sgd", "mse", run_eagerly=True, jit_compile=True)


@pytest.mark.filterwarnings("ignore:sgd. no gradient")
def test_a_model_whose_losses_are_its_layers_needs_no_targets():
    model = Sequential([Input((3,)), layers.Dense(2, kernel_regularizer="l2")])
    model.compile("sgd")
    before = np.sum(model.get_weights()[0] ** 2)
    history = model.fit(np.ones((4, 3)), epochs=2, verbose=0).history
    assert history["loss"][0] == pytest.approx(0.01 * before, rel=1e-5)
    assert np.sum(model.get_weights()[0] ** 2) < before
    assert model.evaluate(np.ones((4, 3)), verbose=0) == pytest.approx(0.01 * np.sum(model.get_weights()[0] ** 2))


def test_a_subclass_reports_numbers_of_its_own():
    class Counting(Sequential):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            return super().compute_metrics(x, y, y_pred, sample_weight) | {"rows": len(x)}

    model = Counting([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y, _ = data()
    history = model.fit(x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0).history
    assert history["rows"] == [2, 2]
    assert history["val_rows"] == [2, 2]
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "mae", "rows"}
    assert model.get_metrics_result().keys() == {"loss", "mae"}


class OwnStep(Sequential):
    """A train_step of its own, with metrics of its own, as Keras's guides write it."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.tracker, self.errors = metrics.Mean("loss"), [metrics.MeanAbsoluteError("error")]

    def train_step(self, data):
        x, y = data
        super().train_step(data)
        self.tracker.update_state(2.0)
        self.errors[0].update_state(y, self(x, training=False))
        return {metric.name: metric.result() for metric in self.metrics if metric.updates}


def own_step():
    random.seed(2)
    model = OwnStep([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_metrics_that_a_subclass_keeps_are_reset_logged_and_backed_up(tmp_path):
    x, y, _ = data()
    model = own_step()
    history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    assert history["loss"] == [2.0] * 3
    assert model.metrics_names == ["loss", "error"]
    last = np.mean([abs(model.predict(x) - y).mean()])
    assert history["error"][2] < history["error"][1] < history["error"][0]
    assert history["error"][2] == pytest.approx(last, rel=0.2)

    def broken(model, *further):
        backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
        return model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[backup, *further]).history

    def kill(batch, logs):
        if model.training_run.steps == 5:
            raise InterruptedError

    model = own_step()
    with pytest.raises(InterruptedError):
        broken(model, callbacks.LambdaCallback(on_train_batch_end=kill))
    assert broken(own_step(), callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)) == history


# -------------------------------------------------------------------------------------------------------- freezing


def moved(model, x, y):
    before = model.get_weights()
    model.train_on_batch(x, y)
    return [not np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)]


def test_trainable_takes_effect_at_the_next_compile():
    x, y, _ = data()
    model = Sequential([Input((3,)), layers.Dense(2, kernel_regularizer="l2"), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.layers[0].trainable = False
    assert moved(model, x, y) == [True] * 4
    assert [weight.trainable for weight in model.weights] == [False, False, True, True]
    model.compile("sgd", "mse")
    assert moved(model, x, y) == [False, False, True, True]
    model.layers[0].trainable = True
    assert moved(model, x, y) == [False, False, True, True]
    assert [weight.trainable for weight in model.weights] == [True] * 4
    model.compile("sgd", "mse")
    assert moved(model, x, y) == [True] * 4


def test_two_models_train_a_shared_part_by_turns():
    """Keras's way to a generative adversarial network: the discriminator is compiled, then frozen in the whole."""
    x, y, _ = data()
    generator = Sequential([Input((3,)), layers.Dense(3)])
    discriminator = Sequential([Input((3,)), layers.Dense(4, activation="relu"), layers.Dense(1)])
    discriminator.compile("sgd", "mse")
    discriminator.trainable = False
    inputs = Input((3,))
    whole = Model(inputs, discriminator(generator(inputs)))
    whole.compile("sgd", "mse")
    for _ in range(2):
        assert all(moved(discriminator, x, y))
        assert moved(whole, x, y) == [True] * 2 + [False] * 4


def test_layers_that_come_after_compile_are_trained_by_their_own_flag():
    class Late(Model):
        def __init__(self):
            super().__init__()
            self.row = [layers.Dense(2, trainable=False), layers.Dense(1)]

        def call(self, x):
            for layer in self.row:
                x = layer(x)
            return x

    x, y, _ = data()
    model = Late()
    model.compile(optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, y)
    assert moved(model, x, y) == [False, False, True, True]


def test_a_frozen_batch_normalization_is_in_inference_mode_at_once():
    x, y, _ = data()
    model = Sequential([Input((3,)), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.layers[0].trainable = False
    norm = model.layers[0]
    before = norm.moving_mean.numpy().copy()
    assert np.allclose(norm(x, training=True).numpy(), x / np.sqrt(1 + norm.epsilon), rtol=1e-5)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    norm.trainable = True
    model.fit(x, y, verbose=0)
    assert not np.array_equal(norm.moving_mean.numpy(), before)


@pytest.mark.parametrize(
    "third", [["accuracy"], "accuracy", {"a": "mse"}, metrics.AUC(), [[metrics.AUC()], None], [True]], ids=repr
)
def test_metrics_in_the_place_of_loss_weights_are_an_error_that_says_so(third):
    with pytest.raises(TypeError, match=r"compile: loss_weights = .*: expected a number.* metrics are the fourth"):
        two_outputs().compile("sgd", "mse", third)


@pytest.mark.parametrize("wrong", [{"zz": 1.0}, [1.0, 2.0], [[1.0, 2.0]]], ids=str)
def test_loss_weights_that_fit_no_output_are_an_error(wrong):
    model = Sequential([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", loss_weights=wrong)
    with pytest.raises(ValueError, match="loss_weights"):
        model.fit(data()[0], data()[1], verbose=0)


def test_loss_weights_are_finite_and_may_be_an_array():
    with pytest.raises(ValueError, match=r"loss_weights = nan: expected a finite number$"):
        two_outputs().compile("sgd", "mse", loss_weights=[1.0, float("nan")])
    _, a, b = data()
    for weights in (np.array([0.5, 2]), [np.float32(0.5), 2]):
        assert history("list", [a, b], "mse", loss_weights=weights) == history(
            "list", [a, b], "mse", loss_weights=[0.5, 2]
        )
