"""What Keras's callbacks are told, in which order and with which logs, and what they decide for given numbers."""

from __future__ import annotations

import csv
import math
import random
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras_family import KerasFamily

EVENTS = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]


class Recorder(keras.callbacks.Callback):
    """Notes every event: [name, number of the batch or epoch or None, names in the logs]; and acts where it is told."""

    def __init__(self, act: dict[str, str]) -> None:
        super().__init__()
        self.told: list[list[Any]] = []
        self.act = act
        for event in EVENTS:
            if event not in ("on_batch_begin", "on_batch_end"):
                setattr(self, event, self._listener(event))

    def _listener(self, event: str) -> Any:
        numbered = "epoch" in event or "batch" in event

        def listen(*arguments: Any, **options: Any) -> None:
            logs = options.get("logs", arguments[-1] if len(arguments) > numbered else None)
            number = arguments[0] if numbered else None
            self.told.append([event, number, sorted(logs) if logs is not None else None])
            if self.act.get("at") == event and self.act.get("number") == number:
                setattr(self.model, self.act["flag"], True)

        return listen


def _model() -> Any:
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="dense")(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def callback_hooks() -> KerasFamily:
    """The sequence of events in fit, evaluate and predict."""
    family = KerasFamily("callback_hooks", seed=1)
    x, y = np.ones((10, 2)), np.ones((10, 1))
    cases: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "fit": ("fit", {"batch_size": 4, "epochs": 2}, {}),
        "fit, one batch, no epochs": ("fit", {"batch_size": 10, "epochs": 1, "initial_epoch": 1}, {}),
        "fit from epoch 2": ("fit", {"batch_size": 5, "epochs": 4, "initial_epoch": 2}, {}),
        "validation": ("fit", {"batch_size": 5, "epochs": 2, "validation_split": 0.4}, {}),
        "validation every second": (
            "fit",
            {"batch_size": 5, "epochs": 3, "validation_split": 0.4, "validation_freq": 2},
            {},
        ),
        "stopped in a step": (
            "fit",
            {"batch_size": 2, "epochs": 3, "validation_split": 0.4},
            {"flag": "stop_training", "at": "on_train_batch_end", "number": 1},
        ),
        "stopped at an epoch": (
            "fit",
            {"batch_size": 5, "epochs": 3},
            {"flag": "stop_training", "at": "on_epoch_end", "number": 1},
        ),
        "evaluate": ("evaluate", {"batch_size": 4}, {}),
        "evaluate, stopped": (
            "evaluate",
            {"batch_size": 3},
            {"flag": "stop_evaluating", "at": "on_test_batch_end", "number": 1},
        ),
        "predict": ("predict", {"batch_size": 4}, {}),
        "predict, stopped": (
            "predict",
            {"batch_size": 3},
            {"flag": "stop_predicting", "at": "on_predict_batch_end", "number": 1},
        ),
    }
    for case, (method, options, act) in cases.items():
        model, recorder = _model(), Recorder(act)
        data = (x,) if method == "predict" else (x, y)
        result = getattr(model, method)(*data, verbose=0, callbacks=[recorder], **options)
        shape = list(result.shape) if method == "predict" else None
        family.keep(case, {}, method=method, options=options, act=act, told=recorder.told, shape=shape)
    return family


# ------------------------------------------------------------------------------------------------- decisions on numbers


class Marked:
    """A model of one weight, which is set to 100 plus the epoch: so it is seen whose weights were put back."""

    def __init__(self) -> None:
        self.model = _model()
        self.model(np.zeros((1, 2)))

    def mark(self, epoch: int) -> None:
        self.model.set_weights([np.full(weight.shape, 100.0 + epoch) for weight in self.model.get_weights()])

    def seen(self) -> float:
        return float(self.model.get_weights()[0].flat[0]) - 100


SEQUENCES = {
    "falling": [5.0, 4.0, 3.0, 2.0, 1.0],
    "rising": [1.0, 2.0, 3.0, 4.0, 5.0],
    "valley": [3.0, 1.0, 2.0, 2.0, 2.0, 0.5, 4.0, 4.0],
    "flat": [1.0] * 7,
    "slowly falling": [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65],
    "with nan": [2.0, math.nan, 1.5, math.nan, math.nan, 1.0],
}


def _sequences() -> dict[str, list[float]]:
    drawn = random.Random(3)
    return SEQUENCES | {f"drawn {i}": [round(drawn.gauss(0, 1), 2) for _ in range(10)] for i in range(4)}


def callback_decisions() -> KerasFamily:
    """What watching callbacks do for sequences of one number."""
    warnings.simplefilter("ignore")
    family = KerasFamily("callback_decisions", seed=2)
    for name, values in _sequences().items():
        for index, config in enumerate(STOPPING):
            family.keep(f"EarlyStopping {index}, {name}", {}, cls="EarlyStopping", config=config, values=_json(values),
                        **_stopping(config, values))  # fmt: skip
        for index, config in enumerate(PLATEAUS):
            family.keep(f"ReduceLROnPlateau {index}, {name}", {}, cls="ReduceLROnPlateau", config=config,
                        values=_json(values), rates=_plateau(config, values))  # fmt: skip
        for index, config in enumerate(SAVING):
            family.keep(f"ModelCheckpoint {index}, {name}", {}, cls="ModelCheckpoint", config=config,
                        values=_json(values), saved=_saving(config, values))  # fmt: skip
    family.keep("directions", {}, cls="directions", directions=_directions())
    family.keep("LearningRateScheduler", {}, cls="LearningRateScheduler", **_scheduled())
    family.keep("CSVLogger", {}, cls="CSVLogger", **_table())
    return family


def _json(values: list[float]) -> list[Any]:
    return ["nan" if math.isnan(value) else value for value in values]


STOPPING: list[dict[str, Any]] = [
    {},
    {"patience": 1},
    {"patience": 2, "restore_best_weights": True},
    {"patience": 3, "restore_best_weights": True, "mode": "max"},
    {"patience": 1, "min_delta": 0.07, "restore_best_weights": True},
    {"patience": 1, "min_delta": -0.07, "mode": "max"},
    {"patience": 2, "baseline": 0.9, "restore_best_weights": True},
    {"patience": 2, "baseline": 0.9, "mode": "max", "restore_best_weights": True},
    {"patience": 1, "start_from_epoch": 3, "restore_best_weights": True},
    {"patience": 10, "restore_best_weights": True},
]

PLATEAUS: list[dict[str, Any]] = [
    {"patience": 1},
    {"patience": 2, "factor": 0.5},
    {"patience": 1, "factor": 0.5, "cooldown": 1},
    {"patience": 1, "factor": 0.3, "cooldown": 2, "min_lr": 0.005},
    {"patience": 2, "factor": 0.5, "min_delta": 0.07},
    {"patience": 1, "factor": 0.5, "mode": "max"},
    {"patience": 0, "factor": 0.5},
]

SAVING: list[dict[str, Any]] = [
    {"save_best_only": True},
    {"save_best_only": True, "mode": "max"},
    {"save_best_only": True, "initial_value_threshold": 1.2},
    {"save_best_only": True, "mode": "max", "initial_value_threshold": 1.2},
    {},
    {"save_freq": 3},
    {"save_freq": 5, "save_best_only": True},
]


def _stopping(config: dict[str, Any], values: list[float]) -> dict[str, Any]:
    marked = Marked()
    callback = keras.callbacks.EarlyStopping("loss", **config)
    callback.set_model(marked.model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        marked.mark(epoch)
        callback.on_epoch_end(epoch, {"loss": value})
        if marked.model.stop_training:
            break
    callback.on_train_end()
    return {"epochs": epoch + 1, "stopped": callback.stopped_epoch, "weights": marked.seen()}


def _plateau(config: dict[str, Any], values: list[float]) -> list[float]:
    model = _model()
    model.optimizer.learning_rate = 0.1
    callback = keras.callbacks.ReduceLROnPlateau("loss", **config)
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"loss": value})
        rates.append(float(model.optimizer.learning_rate))
    return rates


def _saving(config: dict[str, Any], values: list[float]) -> list[str]:
    """The names of what was saved, in order; epochs have four steps."""
    model, saved = _model(), []
    model.save = lambda path, **options: saved.append(Path(path).name)
    each = "-{batch:02d}" if config.get("save_freq", "epoch") != "epoch" else ""
    callback = keras.callbacks.ModelCheckpoint("{epoch:02d}" + each + "-{loss:.2f}.keras", "loss", **config)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        for step in range(4):
            callback.on_train_batch_end(step, {"loss": value + step})
        callback.on_epoch_end(epoch, {"loss": value})
    return [name.removesuffix(".keras") for name in saved]


def _directions() -> dict[str, str]:
    """Which way each metric is better, for those that Keras knows it of."""
    given: dict[str, dict[str, Any]] = {
        "BinaryIoU": {},
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "MeanIoU": {"num_classes": 2},
        "MeanRelativeError": {"normalizer": [1.0]},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 2},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
    }
    found = {}
    for name, cls in vars(keras.metrics).items():
        if isinstance(cls, type) and name not in ("MeanMetricWrapper", "Metric"):
            direction = getattr(cls(**given.get(name, {})), "_direction", None)
            found |= {name: {"up": "max", "down": "min"}[direction]} if direction else {}
    return found


def _scheduled() -> dict[str, Any]:
    model = _model()
    callback = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 + 0.001 * epoch)
    history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=4, verbose=0, callbacks=[callback])
    return {"rates": history.history["learning_rate"]}


LOGS = [{"loss": 0.5, "mae": 1.0}, {"loss": 0.25, "mae": 2.0}, {"loss": 0.125}]


def _table() -> dict[str, Any]:
    """The rows for given logs, with a second training appended."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        for append in (False, True):
            callback = keras.callbacks.CSVLogger(path, separator=";", append=append)
            callback.on_train_begin()
            for epoch, logs in enumerate(LOGS):
                callback.on_epoch_end(epoch, dict(logs))
            callback.on_train_end()
        with path.open(newline="") as file:
            rows = [
                {key: value for key, value in row.items() if not key.startswith("val_")}
                for row in csv.DictReader(file, delimiter=";")
            ]
    return {"logs": LOGS, "rows": rows}


def callback_averages() -> KerasFamily:
    """Trainings with running averages of the weights: what is validated, what stands in the model after each epoch."""
    family = KerasFamily("callback_averages", seed=3)
    x, y = family.normal(12, 2), family.normal(12, 1)
    kernel, bias = family.normal(2, 1), family.normal(1)
    for case, callbacks, options in (
        ("without", [], {}),
        ("swapped", [keras.callbacks.SwapEMAWeights()], {}),
        ("swapped on epochs", [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)], {}),
        ("overwritten", [keras.callbacks.SwapEMAWeights()], {"ema_overwrite_frequency": 2}),
    ):
        inputs = keras.Input((2,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        model.set_weights([kernel.numpy(), bias.numpy()])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.7, **options)
        model.compile(optimizer, "mse")
        kept: list[np.ndarray] = []
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_, m=model, k=kept: k.append(m.get_weights()[0]))
        history = model.fit(
            x.numpy(), y.numpy(), batch_size=4, epochs=3, shuffle=False, verbose=0, validation_data=(x, y),
            callbacks=[*callbacks, note],
        )  # fmt: skip
        arrays = {"x": x, "y": y, "kernel": kernel, "bias": bias, "kept": torch.as_tensor(np.stack(kept))}
        arrays |= {"loss": torch.tensor(history.history["loss"]), "val_loss": torch.tensor(history.history["val_loss"])}
        arrays |= {f"w{i}": torch.as_tensor(weight) for i, weight in enumerate(model.get_weights())}
        swap = callbacks[0].swap_on_epoch if callbacks else None
        family.keep(case, arrays, swap_on_epoch=swap, options=options)
    return family


FAMILIES = [callback_hooks, callback_decisions, callback_averages]
