"""Small training programs as Keras's users write them, for whichever engine `k` is: keras, or tomograd.

PROGRAMS: name → function of k that gives (model, histories): each history a dict of lists, in order. Weights and data
come from NumPy, so that both engines begin alike; nothing is shuffled, and nothing drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

F64 = {"dtype": "float64"}
Histories = list[dict[str, Any]]
PROGRAMS: dict[str, Callable[[Any], tuple[Any, Histories]]] = {}


def program(function: Callable[[Any], tuple[Any, Histories]]) -> Callable[[Any], tuple[Any, Histories]]:
    PROGRAMS[function.__name__] = function
    return function


def data(samples: int = 13, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (samples, 4), numbers (samples, 2) to fit, and classes."""
    generator = np.random.default_rng(7)
    x = generator.standard_normal((samples, 4))
    return x, np.stack([x[:, 0] * x[:, 1], x[:, 2] - 0.5], 1), generator.integers(0, classes, samples)


def weights_for(model: Any, seed: int = 1) -> Any:
    """The model, with weights from a seed."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        arrays = [0.5 * generator.standard_normal(array.shape) for array in layer.get_weights()]
        if type(layer).__name__ == "BatchNormalization":
            arrays[-1] = abs(arrays[-1]) + 0.5
        layer.set_weights(arrays)
    return model


def row(k: Any, outputs: int = 2, **last: Any) -> Any:
    layers = [
        k.Input((4,), **F64),
        k.layers.Dense(5, activation="tanh", **F64),
        k.layers.Dense(outputs, **last, **F64),
    ]
    return weights_for(k.Sequential(layers))


def heads(k: Any, structure: str = "list") -> Any:
    x = k.Input((4,), name="x", **F64)
    hidden = k.layers.Dense(5, activation="tanh", name="hidden", **F64)(x)
    a = k.layers.Dense(2, name="a", **F64)(hidden)
    b = k.layers.Dense(3, name="b", **F64)(hidden)
    return weights_for(k.Model(x, {"a": a, "b": b} if structure == "dict" else [a, b]))


def sgd(k: Any, rate: float = 0.1) -> Any:
    return k.optimizers.SGD(rate)


def fitted(model: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    return dict(model.fit(*arguments, shuffle=False, verbose=0, **keywords).history)


def evaluated(model: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    logs = model.evaluate(*arguments, verbose=0, return_dict=True, **keywords)
    return {name: [value] for name, value in logs.items()}


# ------------------------------------------------------------------------------------------------------- one output


@program
def validation_split(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    model.compile(sgd(k), "mse", metrics=["mae"])
    first = fitted(model, x, y, batch_size=4, epochs=3, validation_split=0.25)
    more = fitted(model, x, y, batch_size=5, epochs=5, initial_epoch=3, validation_data=(x[:6], y[:6]))
    return model, [first, more]


@program
def default_batch_size_and_adam(k: Any) -> tuple[Any, Histories]:
    model = row(k)
    x, y, _ = data(samples=40)
    model.compile(k.optimizers.Adam(0.05), loss=k.losses.Huber(0.5), metrics=[k.metrics.MeanSquaredError()])
    return model, [fitted(model, x, y, epochs=3), evaluated(model, x, y)]


@program
def class_weights(k: Any) -> tuple[Any, Histories]:
    model, (x, _, classes) = row(k, 3), data()
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(sgd(k), loss, metrics=["accuracy"], weighted_metrics=["sparse_categorical_accuracy"])
    weights = {0: 0.5, 2: 3.0}
    return model, [
        fitted(model, x, classes, batch_size=4, epochs=3, class_weight=weights),
        evaluated(model, x, classes),
    ]


@program
def class_weights_of_rows(k: Any) -> tuple[Any, Histories]:
    model, (x, _, classes) = row(k, 3), data()
    rows = np.eye(3)[classes]
    model.compile(sgd(k), k.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model, [fitted(model, x, rows, batch_size=6, epochs=2, class_weight={1: 2.0})]


@program
def sample_weights(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    weights = np.linspace(0, 2, len(x))
    model.compile(sgd(k), "mse", metrics=["mae"], weighted_metrics=["mae", "mse"])
    held_out = (x[:7], y[:7], weights[3:10])
    history = fitted(model, x, y, batch_size=4, epochs=3, sample_weight=weights, validation_data=held_out)
    return model, [history, evaluated(model, x, y, sample_weight=weights, batch_size=5)]


@program
def crossentropy_by_shapes(k: Any) -> tuple[Any, Histories]:
    model, (x, _, classes) = row(k, 1, activation="sigmoid"), data()
    model.compile(sgd(k), "crossentropy", metrics=["accuracy"])
    return model, [fitted(model, x, (classes > 0)[:, None].astype("float64"), batch_size=4, epochs=2)]


@program
def steps_and_frequencies(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    model.compile(sgd(k), "mse")
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 12, 4)]

    def endless():
        while True:
            yield from batches

    first = fitted(model, endless(), steps_per_epoch=2, epochs=3)
    second = fitted(
        model, x, y, batch_size=4, epochs=4, validation_data=(x, y), validation_freq=[1, 4], validation_steps=2
    )
    third = fitted(
        model, x, y, batch_size=4, epochs=4, validation_data=(x, y), validation_freq=3, validation_batch_size=2
    )
    return model, [first, second, third, evaluated(model, x, y, batch_size=4, steps=2)]


@program
def data_by_number(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    model.compile(sgd(k), "mse")

    class Rows(k.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return x[4 * number : 4 * number + 4], y[4 * number : 4 * number + 4], np.full(4, 1.0 + number)

    return model, [fitted(model, Rows(), epochs=3, validation_data=Rows()), evaluated(model, Rows())]


@program
def step_by_step(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    model.compile(sgd(k), "mse", metrics=["mae"])
    steps = [
        model.train_on_batch(x[:5], y[:5]),
        model.train_on_batch(x[5:], y[5:], sample_weight=np.linspace(1, 2, 8)),
        model.test_on_batch(x, y),
        list(model.train_on_batch(x[:5], y[:5], return_dict=True).values()),
        model.evaluate(x, y, verbose=0),
    ]
    return model, [{"values": [[float(value) for value in step] for step in steps]}]


# ------------------------------------------------------------------------------------------------- several outputs


@program
def several_outputs(k: Any) -> tuple[Any, Histories]:
    model, (x, y, classes) = heads(k), data()
    entropy = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        sgd(k), loss={"a": "mse", "b": entropy}, loss_weights={"a": 0.5, "b": 2.0},
        metrics={"a": ["mae", "mse"], "b": ["accuracy"]},
    )  # fmt: skip
    history = fitted(model, x, {"a": y, "b": classes}, batch_size=4, epochs=3, validation_split=0.3)
    return model, [history, evaluated(model, x, [y, classes])]


@program
def several_outputs_as_lists(k: Any) -> tuple[Any, Histories]:
    model, (x, y, classes) = heads(k), data()
    rows = np.eye(3)[classes]
    model.compile(
        sgd(k), ["mse", "mae"], loss_weights=[1.0, 0.25], metrics=[["mae"], ["mse"]], weighted_metrics=[["mae"], []]
    )
    weights = [np.linspace(0, 1, 13), np.linspace(2, 1, 13)]
    first = fitted(model, x, [y, rows], batch_size=5, epochs=2, sample_weight=weights)
    second = fitted(model, x, [y, rows], batch_size=5, epochs=2, sample_weight=weights[0])
    return model, [first, second]


@program
def outputs_as_a_dict(k: Any) -> tuple[Any, Histories]:
    model, (x, y, classes) = heads(k, "dict"), data()
    model.compile(sgd(k), {"a": "mse", "b": "mse"}, metrics={"b": ["mae"]})
    rows = np.eye(3)[classes]
    return model, [fitted(model, {"x": x}, {"b": rows, "a": y}, batch_size=4, epochs=2)]


@program
def one_loss_for_all(k: Any) -> tuple[Any, Histories]:
    model, (x, y, classes) = heads(k), data()
    model.compile(sgd(k), "mse")
    return model, [fitted(model, x, [y, np.eye(3)[classes]], batch_size=4, epochs=2)]


@program
def an_output_without_a_loss(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = heads(k), data()
    model.get_layer("b").trainable = False
    model.compile(sgd(k), ["mse", None])
    return model, [fitted(model, x, [y], batch_size=4, epochs=2)]


# ---------------------------------------------------------------------------------------------- frozen and penalized


@program
def through_frozen_layers(k: Any) -> tuple[Any, Histories]:
    layers = [
        k.Input((4,), **F64),
        k.layers.Dense(5, activation="tanh", **F64),
        k.layers.BatchNormalization(**F64),
        k.layers.Dense(5, activation="tanh", **F64),
        k.layers.BatchNormalization(momentum=0.7, **F64),
        k.layers.Dense(2, **F64),
    ]
    model, (x, y, _) = weights_for(k.Sequential(layers)), data()
    for layer in model.layers[1:3]:
        layer.trainable = False
    model.compile(sgd(k), "mse")
    first = fitted(model, x, y, batch_size=5, epochs=2)
    model.layers[1].trainable = True
    model.layers[2].trainable = True
    model.layers[4].trainable = False
    model.compile(sgd(k, 0.05), "mse")
    return model, [first, fitted(model, x, y, batch_size=5, epochs=2, validation_data=(x, y))]


@program
def penalties(k: Any) -> tuple[Any, Histories]:
    layers = [
        k.Input((4,), **F64),
        k.layers.Dense(5, kernel_regularizer=k.regularizers.L2(0.1), **F64),
        k.layers.Dense(2, bias_regularizer="l1", **F64),
    ]
    model, (x, y, _) = weights_for(k.Sequential(layers)), data()
    model.compile(sgd(k), "mse", metrics=["mse"])
    return model, [fitted(model, x, y, batch_size=4, epochs=2, validation_data=(x, y)), evaluated(model, x, y)]


@program
def a_model_in_a_model(k: Any) -> tuple[Any, Histories]:
    inner = row(k, 3)
    x = k.Input((4,), **F64)
    features = inner(x)
    outputs = k.layers.Dense(2, **F64)(k.layers.Concatenate(**F64)([features, inner(x)]))
    model = k.Model(x, outputs)
    model.layers[-1].set_weights([0.3 * np.random.default_rng(2).standard_normal((6, 2)), np.zeros(2)])
    inputs, y, _ = data()
    model.compile(k.optimizers.SGD(0.05, momentum=0.9), "mse")
    first = fitted(model, inputs, y, batch_size=4, epochs=2)
    copy = k.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile(sgd(k), "mse")
    return copy, [first, fitted(copy, inputs, y, batch_size=4, epochs=1)]


# ------------------------------------------------------------------------------------------------- lists of one


@program
def inputs_and_outputs_in_lists_of_one(k: Any) -> tuple[Any, Histories]:
    """Model(inputs=[inputs], outputs=[outputs]), as most listings of a U-Net have it."""
    x = k.Input((4,), name="x", **F64)
    model = weights_for(k.Model(inputs=[x], outputs=[k.layers.Dense(2, name="a", **F64)(x)]))
    inputs, y, _ = data()
    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 2)
    assert tuple(model(inputs).shape) == (13, 2)
    assert model.predict([inputs], verbose=0).shape == (13, 2)
    copy = k.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(inputs, verbose=0), model.predict({"x": inputs}, verbose=0))
    model.compile(sgd(k), ["mse"], metrics=["mae"])
    first = fitted(model, inputs, y, batch_size=4, epochs=2)
    model.compile(sgd(k), {"a": "mse"}, metrics={"a": ["mae"]})
    return model, [first, fitted(model, [inputs], [y], sample_weight=[np.linspace(0, 1, 13)])]


@program
def a_row_takes_lists_of_one(k: Any) -> tuple[Any, Histories]:
    model, (x, y, _) = row(k), data()
    model.compile(sgd(k), "mse", metrics=["mae"])
    assert model.predict([x], verbose=0).shape == (13, 2)
    history = fitted(model, [x], [y], batch_size=4, validation_data=([x], [y]))
    return model, [history, evaluated(model, [x], [y])]


@program
def a_layer_at_several_places_of_a_row(k: Any) -> tuple[Any, Histories]:
    relu, shared = k.layers.ReLU(**F64), k.layers.Dense(4, **F64)
    model = k.Sequential([k.Input((4,), **F64), shared, relu, shared, relu, k.layers.Dense(2, **F64)])
    generator = np.random.default_rng(3)
    model.set_weights([0.5 * generator.standard_normal(array.shape) for array in model.get_weights()])
    assert len(model.weights) == 4
    x, y, _ = data()
    model.compile(sgd(k, 0.05), "mse")
    return model, [fitted(model, x, y, batch_size=4, epochs=2)]


# ------------------------------------------------------------------------------------------------- steps of one's own


@program
def a_train_step_of_ones_own(k: Any) -> tuple[Any, Histories]:
    """As Keras's guides begin it: `x, y = data`."""

    class Twice(k.Sequential):
        def train_step(self, data):
            x, y = data
            super().train_step((x, y))
            return super().train_step(data)

        def test_step(self, data):
            x, y, weights = data
            return super().test_step((2 * x, y, weights))

        def predict_step(self, data):
            assert k.utils.unpack_x_y_sample_weight(data)[1:] == (None, None)
            return super().predict_step(data)

    model = Twice([k.Input((4,), **F64), k.layers.Dense(2, **F64)])
    weights_for(model)
    model.compile(sgd(k), "mse", metrics=["mae"])
    x, y, _ = data()
    assert model.predict(x, verbose=0).shape == model.predict_on_batch(x).shape == (13, 2)
    return model, [fitted(model, x, y, batch_size=4, epochs=2), evaluated(model, x, y, sample_weight=np.ones(13))]
