"""Training steps as CUDA graphs: the same bits as steps that are not captured, and a reason where they cannot be.

The pretended device notes launches while a stream captures, undoes what they did, and refuses what a GPU refuses then.
"""

import copy

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import layers
from tomograd.engine import capture
from tomograd.models import captured

IMAGES = np.random.default_rng(0).standard_normal((22, 6, 6, 1))
LABELS = np.random.default_rng(1).integers(0, 3, 22)
NO_WARNING = pytest.mark.filterwarnings("error:.*jit_compile")


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


@pytest.fixture
def launches(monkeypatch):
    """How many arrays each launch of a graph had checked."""
    counted, launch = [], capture.Graph.launch

    def count(graph, arrays):
        counted.append(len(arrays))
        launch(graph, arrays)

    monkeypatch.setattr(capture.Graph, "launch", count)
    return counted


def classifier(*further, optimizer="adam", jit_compile=True, loss=None, dropout=True):
    tg.random.seed(1)
    model = tg.models.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            *further,
            layers.Flatten(),
            *([layers.Dropout(0.3), layers.Dense(5), layers.Dropout(0.2, seed=4)] if dropout else []),
            layers.Dense(3, kernel_regularizer="l2"),
        ]
    )
    loss = loss or tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tg.optimizers.get(optimizer), loss=loss, metrics=["accuracy"], jit_compile=jit_compile)
    return model


def fit(model, **options):
    tg.random.seed(2)
    options = {"batch_size": 4, "epochs": 3, "verbose": 0, "validation_split": 0.1, "device": "cuda", **options}
    return model.fit(IMAGES, LABELS, sample_weight=np.linspace(0.5, 1.5, 22), **options).history


def require_the_same(model, other, history, expected):
    assert history == expected
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def careful_adam():
    rates = tg.optimizers.schedules.CosineDecay(0.01, 20, warmup_target=0.05, warmup_steps=3)
    return tg.optimizers.Adam(rates, clipnorm=0.5, use_ema=True, loss_scale_factor=4.0)


@NO_WARNING
@pytest.mark.parametrize("optimizer", ["sgd", "lamb", careful_adam])
@pytest.mark.parametrize("shuffle", [False, True])
def test_captured_steps_have_the_same_bits(cupy, launches, optimizer, shuffle):
    """Two shapes of batches: 4 and the last 3; each runs once as it is written, then by its graph."""
    make = optimizer if callable(optimizer) else lambda: optimizer
    model, other = classifier(optimizer=make()), classifier(optimizer=make(), jit_compile="auto")
    require_the_same(model, other, fit(model, shuffle=shuffle), fit(other, shuffle=shuffle))
    assert (model._captured.reason, other._captured) == (None, None)
    assert len(launches) == 3 * 5 - 2
    assert set(launches) == {3}  # x, y and weights


@NO_WARNING
def test_steps_one_by_one(cupy, launches):
    model, other = classifier().to("cuda"), classifier(jit_compile=False).to("cuda")
    for number in range(5):
        for each in (model, other):
            each.optimizer.learning_rate = 0.01 * (number + 1)
            if number == 3:
                each.set_weights([weight * 0.5 for weight in each.get_weights()])
        tg.random.seed(number)
        loss = model.train_on_batch(IMAGES, LABELS)
        tg.random.seed(number)
        assert other.train_on_batch(IMAGES, LABELS) == loss
    assert len(launches) == 4


@NO_WARNING
def test_what_was_frozen_is_captured_anew(cupy, launches):
    model = classifier(dropout=False).to("cuda")
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS)
    assert len(launches) == 2
    model.layers[0].trainable = False
    model.compile("sgd", model.loss, jit_compile=True)
    before = model.get_weights()
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert not np.array_equal(model.get_weights()[-1], before[-1])
    assert len(launches) == 4


@NO_WARNING
def test_a_copy_of_the_model_captures_its_own(cupy, launches):
    model = classifier(dropout=False).to("cuda")
    for _ in range(2):
        model.train_on_batch(IMAGES, LABELS)
    other = copy.deepcopy(model).to("cuda")  # a copy lies in main memory
    for _ in range(3):
        assert other.train_on_batch(IMAGES, LABELS) == model.train_on_batch(IMAGES, LABELS)
    assert len(launches) == 1 + 3 + 2


@NO_WARNING
def test_labels_are_checked_before_each_launch(cupy, launches):
    model, wrong = classifier().to("cuda"), LABELS.copy()
    for _ in range(3):
        model.train_on_batch(IMAGES, LABELS)
    before, wrong[7] = model.get_weights(), 3
    with pytest.raises(ValueError, match="class index at position 7 is 3, but there are 3 classes"):
        model.train_on_batch(IMAGES, wrong)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(launches) == 3  # the last one was not launched, but asked for


MASKS = np.random.default_rng(2).integers(0, 2, (22, 6, 6, 1))


@NO_WARNING
@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8", "int64", "bool"])
@pytest.mark.parametrize(
    "loss", [tg.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), tg.losses.Dice()]
)
def test_masks_are_checked_before_each_launch(cupy, launches, loss, dtype):
    """U-Nets and classifiers of two classes; masks in the type that they come in."""

    def made(jit_compile):
        tg.random.seed(1)
        last = layers.Conv2D(1, 1, activation=None if loss.name == "binary_crossentropy" else "sigmoid")
        model = tg.models.Sequential([layers.Input((6, 6, 1)), layers.Conv2D(3, 3, padding="same"), last])
        model.compile("adam", loss, jit_compile=jit_compile)
        return model.to("cuda")

    model, other, masks = made(True), made(False), MASKS.astype(dtype)
    for _ in range(3):
        assert model.train_on_batch(IMAGES, masks) == other.train_on_batch(IMAGES, masks)
    assert len(launches) == 2
    if dtype != "bool":
        before, masks[7, 2, 3] = model.get_weights(), 255
        with pytest.raises(ValueError, match="y_true holds values from 0 to 255: expected 0 to 1"):
            model.train_on_batch(IMAGES, masks)
        for one, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


@NO_WARNING
def test_a_loss_that_is_not_finite_changes_no_trained_weight(cupy, launches):
    model, images = classifier().to("cuda"), IMAGES.copy()
    for _ in range(3):
        model.train_on_batch(images, LABELS)
    before, images[3, 2, 2] = [weight.numpy().copy() for weight in model.trainable_weights], np.nan
    with pytest.raises(tg.models.NonFiniteLossError, match="the inputs hold 1 values that are NaN"):
        model.train_on_batch(images, LABELS)
    for one, other in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    assert len(launches) == 3


class ReadsBack(layers.Layer):
    def call(self, x):
        return x * float(x.numpy().max() > 0)


class CopiesOver(layers.Layer):
    def call(self, x):
        return tg.functional.where(np.arange(x.shape[-1]) > 0, x, -x)


class TestReasons:
    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda: classifier(layers.GaussianNoise(0.1)), "random numbers are drawn in main memory"),
            (lambda: classifier(layers.GaussianDropout(0.1, seed=3)), "random numbers are drawn in main memory"),
            (lambda: classifier(ReadsBack()), "a number is read back while the stream is capturing"),
            (lambda: classifier(CopiesOver()), "an array is copied from main memory"),
        ],
    )
    def test_what_cannot_be_captured_runs_as_it_is_written(self, cupy, launches, make, reason):
        model, other = make(), make()
        other._captured = None
        with pytest.warns(UserWarning, match=f"jit_compile = True: the training step is not captured .*{reason}"):
            history = fit(model, epochs=2)
        require_the_same(model, other, history, fit(other, epochs=2))
        assert launches == []

    def test_on_the_cpu_it_changes_nothing(self):
        model, other = classifier(), classifier(jit_compile=False)
        with pytest.warns(UserWarning, match="on the CPU it changes nothing"):
            history = fit(model, device=None)
        require_the_same(model, other, history, fit(other, device=None))

    def test_batches_of_too_many_shapes(self, cupy):
        model = classifier(dropout=False).to("cuda")
        for size in range(2, 2 + captured.MOST):
            model.train_on_batch(IMAGES[:size], LABELS[:size])
        with pytest.warns(UserWarning, match="batches of more than 4 shapes"):
            model.train_on_batch(IMAGES, LABELS)
        model.train_on_batch(IMAGES, LABELS)


class TestGraph:
    """By itself, and what the pretended device makes of captures."""

    def test_it_is_launched_with_what_its_inputs_hold(self, cupy):
        x, y = tg.Tensor(np.arange(3.0)).to("cuda"), tg.Tensor(np.ones(3)).to("cuda")
        total = cupy.zeros(())

        def function():
            nonlocal total
            total += (x * y).sum().array
            return (x + y).array

        graph = capture.Graph(function, [x.array])
        assert (float(total), x.numpy().tolist()) == (0.0, [0.0, 1.0, 2.0])  # nothing has happened
        assert np.isnan(graph.result.get()).all()
        graph.launch([])
        np.testing.assert_array_equal(graph.result.get(), [1, 2, 3])
        x.array[...] = 5.0
        graph.launch([])
        np.testing.assert_array_equal(graph.result.get(), [6, 6, 6])
        assert float(total) == 3.0 + 15.0

    def test_what_is_drawn_is_drawn_before_each_launch(self, cupy):
        x = tg.Tensor(np.zeros(4)).to("cuda")
        numbers = iter(range(1, 9))
        graph = capture.Graph(
            lambda: capture.fed(lambda: np.full(4, next(numbers)), (4,), np.int64, x.array) * 10, [x.array]
        )
        for expected in (10, 20):
            graph.launch([])
            assert graph.result.get().tolist() == [expected] * 4

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x.array.get(),
            lambda x: float(x.array.sum()),
            lambda x: bool(x.array[0]),
            lambda x: tg.functional.where(np.array([True, False, True]), x, x),
            lambda x: tg.random.generator().normal(),
            lambda x: tg.optimizers.SGD(clipnorm=1.0).apply([x], [tg.Variable(x)]),
            lambda x: tg.functional.one_hot(tg.functional.astype(x * 2, np.int64), 9),
        ],
    )
    def test_what_is_refused(self, cupy, function):
        x = tg.Tensor(np.arange(3.0)).to("cuda")
        with pytest.raises(capture.CaptureError):
            capture.Graph(lambda: function(x), [x.array])
        assert float((x + 1).array.sum()) == 6.0  # afterwards all is as before
        tg.random.generator().normal()

    def test_a_capture_that_takes_from_the_common_pool_is_seen(self, cupy, monkeypatch):
        monkeypatch.setattr(cupy.cuda, "using_allocator", lambda allocator: cupy.cuda.Device())
        x = tg.Tensor(np.arange(3.0)).to("cuda")
        with pytest.raises(capture.CaptureError, match="the pool that others use"):
            capture.Graph(lambda: x + x, [x.array])
