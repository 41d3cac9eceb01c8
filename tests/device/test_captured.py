"""Training steps as CUDA graphs: the same bits as steps that are not captured, and a reason where they cannot be.

The pretended device notes launches while a stream captures, undoes what they did, and refuses what a GPU refuses then.
"""

import copy
import gc
import weakref

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


@pytest.fixture
def applied(monkeypatch):
    """For each call of `Optimizer.apply`, whether a graph was being captured."""
    calls, apply = [], tg.optimizers.Optimizer.apply

    def count(optimizer, *arguments):
        calls.append(capture.capturing())
        apply(optimizer, *arguments)

    monkeypatch.setattr(tg.optimizers.Optimizer, "apply", count)
    return calls


def require_the_same(model, other, history, expected):
    assert history == expected
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    states = model.optimizer.state(), other.optimizer.state()
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


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
    assert (model._captured.reason, model._captured.left_out, other._captured) == (None, None, None)
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
    other = copy.deepcopy(model)
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


SCHEDULE = tg.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)
OPTIMIZERS = {
    "sgd": lambda: tg.optimizers.SGD(SCHEDULE, weight_decay=0.01),
    "momentum": lambda: tg.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adam": lambda: tg.optimizers.Adam(SCHEDULE, amsgrad=True, global_clipnorm=0.1),
    "adamw": lambda: tg.optimizers.AdamW(SCHEDULE, clipnorm=0.05, loss_scale_factor=8.0),
    "adamax": lambda: tg.optimizers.Adamax(SCHEDULE),
    "nadam": lambda: tg.optimizers.Nadam(SCHEDULE, global_clipnorm=1e6),
    "lamb": lambda: tg.optimizers.Lamb(SCHEDULE, weight_decay=0.1),
    "schedule free": lambda: tg.optimizers.ScheduleFreeAdamW(0.05, warmup_steps=6, weight_decay=0.1),
    "adagrad": lambda: tg.optimizers.Adagrad(SCHEDULE),
    "adadelta": lambda: tg.optimizers.Adadelta(SCHEDULE),
    "rmsprop": lambda: tg.optimizers.RMSprop(SCHEDULE, momentum=0.5, centered=True),
    "lion": lambda: tg.optimizers.Lion(SCHEDULE),
    "ftrl": lambda: tg.optimizers.Ftrl(SCHEDULE, l1_regularization_strength=0.01),
}


def small(optimizer, jit_compile, *, loss="mse", metrics=(), constraint=None, outputs=1):
    """A model whose launches are few."""
    tg.random.seed(1)
    x = layers.Input((6, 6, 1))
    hidden = layers.Dense(4, "tanh", kernel_constraint=constraint, bias_constraint=constraint)(layers.Flatten()(x))
    heads = [layers.Dense(2, name=f"head{number}")(layers.Dropout(0.2)(hidden)) for number in range(outputs)]
    model = tg.Model(x, heads if outputs > 1 else heads[0])
    model.compile(optimizer, loss, metrics=list(metrics), jit_compile=jit_compile)
    return model


def fit_small(model, **options):
    tg.random.seed(2)
    options = {"batch_size": 4, "epochs": 3, "verbose": 0, "device": "cuda", **options}
    targets = [IMAGES[:, number, :2, 0] for number in range(len(model.outputs))]
    return model.fit(IMAGES, targets if len(targets) > 1 else targets[0], **options).history


def require_the_same_run(make_optimizer, further=dict, **options):
    """Captured and not; returns the models. further: what fit is given, made anew for each."""
    model, other = small(make_optimizer(), True, **options), small(make_optimizer(), False, **options)
    require_the_same(model, other, fit_small(model, **further()), fit_small(other, **further()))
    return model, other


@NO_WARNING
class TestOptimizersInGraphs:
    """Their steps are a part of the launch: 18 steps on batches of 4 and 2, of which all but the first two are."""

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_optimizer(self, cupy, launches, applied, name):
        model, _ = require_the_same_run(OPTIMIZERS[name])
        assert len(launches) == 18 - 2
        assert applied == [False] * 1 + [True] + [False] + [True] + [False] * 18
        assert model.optimizer.iterations == 18

    @pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.01}, {"global_clipnorm": 0.02}])
    @pytest.mark.parametrize("calls", [2, 4])
    def test_gathered_gradients(self, cupy, launches, clip, calls):
        """18 calls, of which 9 or 4 make a step; the learning rate follows the calls."""

        def make():
            return tg.optimizers.Adam(SCHEDULE, gradient_accumulation_steps=calls, use_ema=True, **clip)

        model, _ = require_the_same_run(make)
        assert model.optimizer.iterations == 18 // calls
        # As written: the first call of each of both shapes of each of both kinds, as far as there are such, and the
        # first step, in which the averages begin, if its call is not among them.
        assert len(launches) >= 18 - 6
        kinds = {steps for _, steps in model._captured._graphs}
        assert kinds == {False, True}

    def test_averages(self, cupy, launches):
        """They begin, and overwrite the weights, in steps that run as they are written."""

        def make():
            return tg.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=5)

        require_the_same_run(make, lambda: {"callbacks": [tg.callbacks.SwapEMAWeights(swap_on_epoch=True)]})
        assert len(launches) == 18 - 2  # 3 of them asked for and not made

    def test_learning_rates_that_callbacks_set(self, cupy, launches):
        class Lower(tg.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.optimizer.learning_rate *= 0.9

        def further():
            schedule = tg.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
            plateau = tg.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1.0)
            return {"callbacks": [schedule, plateau, Lower()]}

        require_the_same_run(lambda: tg.optimizers.Adam(0.1), further)
        assert len(launches) == 18 - 2

    @pytest.mark.parametrize("constraint", ["max_norm", "non_neg", lambda w: w * 0.5 + 0.01])
    def test_constraints(self, cupy, launches, constraint):
        require_the_same_run(lambda: tg.optimizers.SGD(0.5), constraint=constraint)
        assert len(launches) == 18 - 2

    def test_losses_of_several_outputs(self, cupy, launches):
        model, _ = require_the_same_run(lambda: "adam", outputs=2, metrics=[["mae"], ["mse"]])
        assert {"head0_loss", "head1_loss"} <= set(model.history.history)
        assert len(launches) == 18 - 2

    def test_going_on_from_a_backup(self, cupy, launches, tmp_path):
        """Stopped in the middle of an epoch; the state is loaded into slots whose addresses a graph may have."""

        class Stop(tg.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if self.model.training_run.steps == 9:
                    raise KeyboardInterrupt

        def run(jit_compile):
            folder = tmp_path / str(jit_compile)
            model = small(tg.optimizers.Nadam(SCHEDULE, use_ema=True), jit_compile)
            with pytest.raises(KeyboardInterrupt):
                fit_small(model, callbacks=[tg.callbacks.BackupAndRestore(folder, save_freq=4), Stop()])
            history = fit_small(model, callbacks=[tg.callbacks.BackupAndRestore(folder, save_freq=4)])
            return model, history

        (model, history), (other, expected) = run(True), run(False)
        require_the_same(model, other, history, expected)
        assert len(launches) == (9 - 2) + (18 - 8)
        assert model.optimizer.iterations == 18

    def test_a_loss_that_is_not_finite_makes_no_step(self, cupy, launches):
        """Not of the weights, not of what the optimizer keeps and counts, not of the constraints."""
        images = IMAGES.copy()
        images[17] = np.nan

        def run(jit_compile):
            optimizer = tg.optimizers.Nadam(0.1, clipnorm=0.1, use_ema=True, gradient_accumulation_steps=2)
            model = small(optimizer, jit_compile, constraint=lambda w: w * 0.5).to("cuda")
            told = []
            for step in range(14):
                tg.random.seed(step)
                batch = images if step in (9, 10) else IMAGES
                try:
                    told.append(model.train_on_batch(batch, IMAGES[:, 0, :2, 0]))
                except tg.models.NonFiniteLossError as error:
                    told.append(str(error))
            return model, told

        (model, told), (other, expected) = run(True), run(False)
        require_the_same(model, other, told, expected)
        assert model.optimizer.iterations == 6
        assert [isinstance(each, str) for each in told].count(True) == 2
        assert len(launches) == 14 - 2

    def test_training_ends_at_a_loss_that_is_nan(self, cupy, launches):
        def run(jit_compile):
            model = small(tg.optimizers.SGD(1e30), jit_compile)
            with np.errstate(all="ignore"):
                return model, fit_small(model, callbacks=[tg.callbacks.TerminateOnNaN()])

        (model, history), (other, expected) = run(True), run(False)
        np.testing.assert_equal(history, expected)
        require_the_same(model, other, None, None)
        assert model.stop_training

    def test_settings_and_weights_that_are_changed_between_steps(self, cupy, launches):
        """Numbers take effect at once; what changes launches is captured anew."""

        def run(jit_compile):
            model = small(tg.optimizers.Adam(0.1, weight_decay=0.1), jit_compile).to("cuda")
            changes = {
                3: lambda: setattr(model.optimizer, "learning_rate", 0.01),
                4: lambda: setattr(model.optimizer, "clipnorm", 0.01),
                7: lambda: model.set_weights([weight * 2 for weight in model.get_weights()]),
                8: lambda: model.weights[0].assign(np.ones(model.weights[0].shape, np.float32)),
                9: lambda: model.optimizer.load_state(model.optimizer.state() | {"iterations": np.array(2)}),
                10: lambda: model.to("cpu").to("cuda"),
                13: lambda: setattr(model.optimizer, "beta_1", 0.5),
            }
            told = []
            for step in range(17):
                changes.get(step, lambda: None)()
                tg.random.seed(step)
                told.append(model.train_on_batch(IMAGES, IMAGES[:, 0, :2, 0]))
            return model, told

        (model, told), (other, expected) = run(True), run(False)
        require_the_same(model, other, told, expected)
        assert len(launches) >= 17 - 4

    def test_a_learning_rate_that_is_no_number_for_ftrl(self, cupy, launches):
        model = small(tg.optimizers.Ftrl(0.1), True).to("cuda")
        for _ in range(3):
            model.train_on_batch(IMAGES, IMAGES[:, 0, :2, 0])
        before, model.optimizer.learning_rate = model.optimizer.state(), 0.0
        with pytest.raises(ValueError, match="expected more than 0"):
            model.train_on_batch(IMAGES, IMAGES[:, 0, :2, 0])
        np.testing.assert_equal(model.optimizer.state(), before | {"learning_rate": np.array(0.0)})


class OwnSGD(tg.optimizers.Optimizer):
    def update_step(self, gradient, variable, slots, learning_rate):
        variable.array[...] -= learning_rate / self.iterations * gradient


class TestOptimizersLeftOut:
    """Their steps follow the launches of graphs."""

    @pytest.mark.parametrize(
        ("make", "constraint", "reason"),
        [
            (lambda: OwnSGD(0.1), None, "OwnSGD is an optimizer of your own"),
            (
                lambda: tg.optimizers.SGD(0.1),
                lambda w: w * float(w.numpy().max() > 0),
                "a number is read back while the stream is capturing",
            ),
        ],
    )
    def test_a_reason_is_given(self, cupy, launches, applied, make, constraint, reason):
        with pytest.warns(UserWarning, match=f"the optimizer's step is left out of the CUDA graph .*{reason}") as told:
            model, _ = require_the_same_run(make, constraint=constraint)
        assert len([each for each in told if "jit_compile" in str(each.message)]) == 1
        assert model._captured.reason is None
        assert len(launches) == 18 - 2
        assert applied.count(False) == 36


class ReadsBack(layers.Layer):
    def call(self, x):
        return x * float(x.numpy().max() > 0)


class Draws(layers.Layer):
    def __init__(self, seed=None):
        super().__init__()
        self.generator = None if seed is None else tg.random.Generator(seed)

    def call(self, x):
        return x * float((self.generator or tg.random.generator()).uniform(0.5, 1.5))


class CopiesOver(layers.Layer):
    def call(self, x):
        return tg.functional.where(np.arange(x.shape[-1]) > 0, x, -x)


class TestReasons:
    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda: classifier(Draws()), "random numbers are drawn in main memory"),
            (lambda: classifier(Draws(seed=3)), "random numbers are drawn in main memory"),
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

    def test_its_memory_is_given_back_with_it_and_not_before(self, cupy):
        """What CuPy's pool gives back when a GPU is full, launches of the graph go on to use."""
        x = tg.Tensor(np.arange(3.0)).to("cuda")
        graph = capture.Graph(lambda: (x + x).array, [x.array])
        for memory in (graph._own, graph._given):
            pointer = memory._pool.allocator(512)
            block = weakref.ref(pointer.mem)
            assert block().size == 512
            del pointer
            gc.collect()
            assert block() is not None
        del graph, memory
        gc.collect()
        assert block() is None

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

    def test_an_optimizer_by_itself_is_refused(self, cupy):
        weight, optimizer = tg.Variable(tg.Tensor(np.ones(3)).to("cuda")), tg.optimizers.SGD()
        optimizer.build([weight])
        with pytest.raises(capture.CaptureError, match="depends on numbers of main memory"):
            capture.Graph(lambda: optimizer.apply([weight.array], [weight]), [weight.array])
        with pytest.raises(capture.CaptureError, match="nothing is being captured"):
            capture.steps_if_finite(weight.array)

    def test_a_step_of_too_many_numbers_is_refused(self, cupy, monkeypatch):
        monkeypatch.setattr(capture, "ROOM", 2)
        model = small(tg.optimizers.Adam(), True).to("cuda")
        model.train_on_batch(IMAGES, IMAGES[:, 0, :2, 0])
        with pytest.warns(UserWarning, match="left out .*: an optimizer's step takes more than 2 numbers"):
            model.train_on_batch(IMAGES, IMAGES[:, 0, :2, 0])

    def test_a_capture_that_takes_from_the_common_pool_is_seen(self, cupy, monkeypatch):
        monkeypatch.setattr(cupy.cuda, "using_allocator", lambda allocator: cupy.cuda.Device())
        x = tg.Tensor(np.arange(3.0)).to("cuda")
        with pytest.raises(capture.CaptureError, match="the pool that others use"):
            capture.Graph(lambda: x + x, [x.array])
