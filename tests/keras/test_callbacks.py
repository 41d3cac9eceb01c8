"""Callbacks are told what Keras tells them, in its order, and decide what Keras's decide."""

import csv

import keras_oracle
import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import layers, optimizers
from tomograd.models import Input, Model, callbacks, metrics
from tomograd.models.callbacks import monitoring

HOOKS = keras_oracle.cases("callback_hooks")
DECISIONS = keras_oracle.cases("callback_decisions")


# Where the first number is NaN, Keras takes it for the best, which nothing ever beats: it keeps the model of then
# and lets the training run on. Here NaN is never better.
FIRST_IS_NAN = {
    "EarlyStopping 8, with nan": {"epochs": 4, "stopped": 3, "weights": 3.0},
    "ModelCheckpoint 6, with nan": {"saved": ("03-02-2.50",)},
}


@pytest.fixture(autouse=True)
def reference_kernels():
    with kernels.using("reference"):
        yield


def new_model():
    inputs = Input((2,))
    model = Model(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def of(cls):
    return [case for case in DECISIONS if case.parameters["cls"] == cls]


def expected(case):
    return case.parameters | FIRST_IS_NAN.get(case.name, {})


def numbers(case):
    return [float(value) for value in case.parameters["values"]]


@pytest.mark.parametrize("case", HOOKS, ids=str)
def test_events_come_in_keras_order_with_its_logs(case):
    act, told = case.parameters["act"], []

    def listener(event):
        def listen(*arguments):
            logs = arguments[-1]
            number = arguments[0] if len(arguments) == 2 else None
            told.append((event, number, tuple(sorted(logs))))
            if (act.get("at"), act.get("number")) == (event, number):
                setattr(model, act["flag"], True)

        return listen

    events = [event for event in callbacks.base.EVENTS if event not in ("on_batch_begin", "on_batch_end")]
    model = new_model()
    x, y = np.ones((10, 2), np.float32), np.ones((10, 1), np.float32)
    data = (x,) if case.parameters["method"] == "predict" else (x, y)
    method = getattr(model, case.parameters["method"])
    recorder = callbacks.LambdaCallback(**{event: listener(event) for event in events})
    result = method(*data, verbose=0, callbacks=[recorder], **case.parameters["options"])
    assert told == list(case.parameters["told"])
    if case.parameters["shape"]:
        assert result.shape == case.parameters["shape"]


@pytest.mark.parametrize("case", of("EarlyStopping"), ids=str)
def test_early_stopping_ends_where_keras_does(case):
    model, values = new_model(), numbers(case)
    stop = callbacks.EarlyStopping("loss", **case.parameters["config"])
    stop.set_model(model)
    stop.on_train_begin()
    for epoch, value in enumerate(values):
        model.set_weights([np.full(weight.shape, 100.0 + epoch) for weight in model.get_weights()])
        stop.on_epoch_end(epoch, {"loss": value})
        if model.stop_training:
            break
    stop.on_train_end()
    assert epoch + 1 == expected(case)["epochs"]
    assert stop.stopped_epoch == expected(case)["stopped"]
    assert model.get_weights()[0][0, 0] - 100 == expected(case)["weights"]


@pytest.mark.parametrize("case", of("ReduceLROnPlateau"), ids=str)
def test_learning_rates_fall_where_keras_lets_them(case):
    model = new_model()
    model.optimizer.learning_rate = 0.1
    plateau = callbacks.ReduceLROnPlateau("loss", **case.parameters["config"])
    plateau.set_model(model)
    plateau.on_train_begin()
    for epoch, (value, rate) in enumerate(zip(numbers(case), case.parameters["rates"], strict=True)):
        logs = {"loss": value}
        before = model.optimizer.learning_rate
        plateau.on_epoch_end(epoch, logs)
        assert logs["learning_rate"] == before
        assert model.optimizer.learning_rate == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("case", of("ModelCheckpoint"), ids=str)
def test_models_are_saved_when_keras_saves_them(case, tmp_path):
    config, saved = case.parameters["config"], []
    model = new_model()
    model.save = lambda path: saved.append(path.name)
    each = "-{batch:02d}" if config.get("save_freq", "epoch") != "epoch" else ""
    checkpoint = callbacks.ModelCheckpoint(tmp_path / ("{epoch:02d}" + each + "-{loss:.2f}"), "loss", **config)
    checkpoint.set_model(model)
    checkpoint.on_train_begin()
    for epoch, value in enumerate(numbers(case)):
        checkpoint.on_epoch_begin(epoch, {})
        for step in range(4):
            checkpoint.on_train_batch_end(step, {"loss": value + step})
        checkpoint.on_epoch_end(epoch, {"loss": value})
    assert saved == list(expected(case)["saved"])


@pytest.mark.parametrize("case", of("directions"), ids=str)
def test_the_better_way_of_every_metric_is_keras_way(case):
    directions = case.parameters["directions"]
    assert len(directions) > 30
    for name, direction in directions.items():
        assert monitoring._direction(name) == direction, name


def test_the_better_way_of_our_own_metrics_is_known():
    unclear = {"ConfusionMatrix", "Mean", "MeanMetricWrapper", "MeanTensor", "Metric", "Sum"}
    classes = [entry for entry in vars(metrics).values() if isinstance(entry, type)]
    own = {cls.__name__ for cls in classes if issubclass(cls, metrics.Metric)}
    assert {name for name in own if monitoring._direction(name) is None} <= unclear
    assert monitoring._direction("val_hausdorff_distance_95") == "min"
    assert monitoring._direction("val_surface_dice") == "max"


@pytest.mark.parametrize("case", of("LearningRateScheduler"), ids=str)
def test_learning_rates_follow_the_schedule(case):
    model = new_model()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 + 0.001 * epoch)
    x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    history = model.fit(x, y, epochs=4, verbose=0, callbacks=[schedule])
    assert history.history["learning_rate"] == pytest.approx(case.parameters["rates"], rel=1e-6)


@pytest.mark.parametrize("case", of("CSVLogger"), ids=str)
def test_tables_hold_keras_rows(case, tmp_path):
    for append in (False, True):
        table = callbacks.CSVLogger(tmp_path / "log.csv", separator=";", append=append)
        table.on_train_begin()
        for epoch, logs in enumerate(case.parameters["logs"]):
            table.on_epoch_end(epoch, dict(logs))
        table.on_train_end()
    with (tmp_path / "log.csv").open(newline="") as file:
        assert list(csv.DictReader(file, delimiter=";")) == list(case.parameters["rows"])


@pytest.mark.parametrize("case", keras_oracle.cases("callback_averages"), ids=str)
def test_averages_stand_in_the_model_where_keras_puts_them(case):
    x, y, kernel, bias = case.arrays(np.float32, "x", "y", "kernel", "bias")
    inputs = Input((2,))
    model = Model(inputs, layers.Dense(1)(inputs))
    model.set_weights([kernel, bias])
    optimizer = optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.7, **case.parameters["options"])
    model.compile(optimizer, "mse")
    swap, kept = case.parameters["swap_on_epoch"], []
    given = [] if swap is None else [callbacks.SwapEMAWeights(swap)]
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()[0]))
    history = model.fit(
        x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, validation_data=(x, y), callbacks=[*given, note]
    ).history
    for name, found in (
        ("loss", history["loss"]),
        ("val_loss", history["val_loss"]),
        ("kept", np.stack(kept)),
        ("w0", model.get_weights()[0]),
        ("w1", model.get_weights()[1]),
    ):
        np.testing.assert_allclose(found, case.array(name), rtol=1e-5, atol=1e-6, err_msg=name)
