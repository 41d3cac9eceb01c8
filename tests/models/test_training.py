"""fit, evaluate and predict: they learn, repeat themselves, take all kinds of data, and say what is wrong with it."""

import csv
import itertools
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tomograd.engine import layers, losses, optimizers, random
from tomograd.models import Input, Model, NonFiniteLossError, Sequential, callbacks
from tomograd.models.data import ArraySource, IterableSource
from tomograd.models.feeding import Feed


def network(outputs=2, seed=0, dropout=0.0):
    random.seed(seed)
    drop = [layers.Dropout(dropout)] if dropout else []
    model = Sequential([Input((4,)), layers.Dense(8, activation="relu"), *drop, layers.Dense(outputs)])
    model.compile(optimizers.Adam(0.02), losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def separable(samples=60, seed=3):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((samples, 4)).astype(np.float32)
    return x, (x[:, 0] - x[:, 2] > 0).astype(np.int64)


def test_fit_learns_what_can_be_learned():
    x, y = separable(200)
    model = network()
    history = model.fit(x[:150], y[:150], epochs=15, validation_data=(x[150:], y[150:]), verbose=0)
    assert history.history["val_accuracy"][-1] >= 0.9
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.epoch == list(range(15))
    assert model.evaluate(x[150:], y[150:], verbose=0)[1] == history.history["val_accuracy"][-1]
    assert np.mean(model.predict(x[150:]).argmax(1) == y[150:]) == history.history["val_accuracy"][-1]


def test_a_small_convolutional_network_learns():
    generator = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = 0.3 * generator.standard_normal((40, 8, 8, 1)).astype(np.float32)
    x[y == 1, 2:5, 2:5] += 1
    model = Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile(optimizers.Adam(0.02), losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy", "auc"])
    model.fit(x[:30], y[:30], batch_size=10, epochs=8, verbose=0)
    logs = model.evaluate(x[30:], y[30:], verbose=0, return_dict=True)
    assert logs["accuracy"] == 1
    assert logs["auc"] == 1


def test_the_same_seed_gives_the_same_run():
    x, y = separable()
    runs = []
    for seed in (1, 1, 2):
        model = network(seed=seed, dropout=0.3)
        history = model.fit(x, y, batch_size=16, epochs=3, verbose=0)
        runs.append((history.history, model.get_weights()))
    assert runs[0][0] == runs[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))
    assert runs[0][0] != runs[2][0]


def test_arrays_and_batches_of_them_are_the_same():
    x, y = separable(30)
    first, second, third = network(), network(), network()
    ours = first.fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0).history
    batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 30, 8)]
    assert second.fit(batches, epochs=2, verbose=0).history == ours
    endless = itertools.cycle(batches)
    assert third.fit(endless, steps_per_epoch=4, epochs=2, verbose=0).history == ours
    np.testing.assert_array_equal(first.predict(x, batch_size=8), first.predict(batch[0] for batch in batches))
    assert first.evaluate(batches, verbose=0) == pytest.approx(first.evaluate(x, y, verbose=0))


def test_what_numpy_takes_for_an_array_is_one():
    class Table:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.array, dtype)

        def __len__(self):
            return len(self.array)

        def __getitem__(self, name):
            raise KeyError(name)

    x, y = separable(30)
    history = network().fit(x, y, batch_size=8, verbose=0, validation_split=0.2).history
    assert network().fit(Table(x), Table(y), batch_size=8, verbose=0, validation_split=0.2).history == history


def test_shuffling_visits_every_sample_once_in_a_new_order_each_epoch():
    x = np.arange(10)
    feed = Feed(ArraySource(x, x, batch_size=3, shuffle=True))
    passes = [np.concatenate([batch[0] for batch in feed.epoch()]) for _ in range(2)]
    for seen in passes:
        np.testing.assert_array_equal(np.sort(seen), x)
    assert not np.array_equal(*passes)
    assert len(ArraySource(x, x, batch_size=3)) == 4


def test_a_feed_goes_on_from_any_place():
    x = np.arange(11)
    for steps, stop in itertools.product((None, 3, 7), range(1, 9)):
        random.seed(5)
        whole = Feed(ArraySource(x, x, batch_size=2, shuffle=True), steps)
        batches = [batch[0].tolist() for _ in range(3) for batch in whole.epoch()]
        random.seed(5)
        first = Feed(ArraySource(x, x, batch_size=2, shuffle=True), steps)
        stream = (batch[0].tolist() for _ in range(3) for batch in first.epoch())
        begun = [next(stream) for _ in range(stop)]
        place, state = first.state(), random.state()
        random.seed(99)
        second = Feed(ArraySource(x, x, batch_size=2, shuffle=True), steps)
        second.load_state(place)
        random.set_state(state)
        in_epoch = stop % (steps or 6) or (steps or 6)
        rest = [batch[0].tolist() for batch in second.epoch(in_epoch)]
        while len(begun) + len(rest) < len(batches):
            rest += [batch[0].tolist() for batch in second.epoch()]
        assert begun + rest == batches


def test_passes_of_an_iterable_follow_one_another_through_epochs():
    class Data:
        def __init__(self):
            self.epochs = []

        def __len__(self):
            return 5

        def set_epoch(self, number):
            self.epochs.append(number)

        def __iter__(self):
            return iter([(np.array([i]), np.array([i])) for i in range(5)])

    data = Data()
    feed = Feed(IterableSource(data), steps_per_epoch=3)
    assert [[int(b[0][0]) for b in feed.epoch()] for _ in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]
    assert data.epochs == [0, 1]
    assert Feed(IterableSource(data)).known_steps == 5


def test_validation_data_as_a_list():
    x, y = separable()
    as_tuple, as_list, as_batches = (
        network().fit(x, y, verbose=0, validation_data=data).history["val_loss"]
        for data in ((x[:32], y[:32]), [x[:32], y[:32]], [(x[:32], y[:32])])
    )
    assert as_tuple == as_list == as_batches


def test_a_model_that_is_frozen_altogether_is_measured():
    x, y = separable()
    model = network()
    model.trainable = False
    model.compile(model.optimizer, model.loss, metrics=["accuracy"])
    before = model.get_weights()
    history = model.fit(x, y, batch_size=60, verbose=0).history
    assert [history["loss"][0], history["accuracy"][0]] == model.evaluate(x, y, batch_size=60, verbose=0)
    for weight, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, then)


def test_validation_split_is_the_end_of_the_arrays():
    x, y = separable(50)
    first = network().fit(x, y, epochs=2, validation_split=0.2, verbose=0).history
    second = network().fit(x[:40], y[:40], epochs=2, validation_data=(x[40:], y[40:]), verbose=0).history
    assert first == second
    assert "val_accuracy" in first


def test_weights_of_samples_and_classes():
    x, y = separable(24)
    counted, weighted, classes = network(), network(), network()
    twice = np.where(y == 1, 2.0, 1.0)
    first = weighted.fit(x, y, sample_weight=twice, epochs=2, shuffle=False, verbose=0).history
    second = classes.fit(x, y, class_weight={1: 2.0}, epochs=2, shuffle=False, verbose=0).history
    assert first == second
    assert counted.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"] != first["loss"]
    model = network()
    model.compile("sgd", model.loss, metrics=["accuracy"], weighted_metrics=[_named_accuracy()])
    wrong = model.predict(x).argmax(1) != y
    logs = model.evaluate(x, y, sample_weight=(~wrong).astype(float), verbose=0, return_dict=True)
    assert logs["weighted"] == 1
    assert logs["accuracy"] == pytest.approx(np.mean(~wrong))


def _named_accuracy():
    from tomograd.models.metrics import SparseCategoricalAccuracy

    return SparseCategoricalAccuracy("weighted")


def test_class_weights_of_pixels_and_one_hot_rows():
    from tomograd.models.data import class_weights

    mask = np.array([[[0, 1], [1, 1]]])
    np.testing.assert_array_equal(class_weights(mask[..., None], {1: 3.0}), [[[1, 3], [3, 3]]])
    np.testing.assert_array_equal(class_weights(np.eye(3)[[2, 0]], {0: 5.0, 2: 0.5}), [0.5, 5])
    np.testing.assert_array_equal(class_weights(mask[..., None], {1: 3.0}, np.array([2.0])), [[[2, 6], [6, 6]]])


# ------------------------------------------------------------------------------------------------------ bad data


def test_the_first_loss_that_is_no_number_is_an_error_that_says_why():
    x, y = separable()
    x[17, 2] = np.nan
    model = network()
    before = model.get_weights()
    with pytest.raises(NonFiniteLossError, match="inputs hold 1 values"):
        model.fit(x, y, batch_size=60, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    poisoned = network()
    weights = poisoned.get_weights()
    weights[2][0, 0] = np.inf
    poisoned.set_weights(weights)
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteLossError, match=r"weight layers\.1\.kernel holds 1"):
        poisoned.train_on_batch(np.ones((2, 4)), np.zeros(2, np.int64))
    with pytest.raises(NonFiniteLossError, match="targets hold 1"):
        regression = Sequential([Input((4,)), layers.Dense(1)])
        regression.compile("sgd", "mse")
        regression.fit(np.ones((2, 4)), np.array([1.0, np.nan]), verbose=0)


def test_terminate_on_nan_stops_instead(capsys):
    x, y = separable()
    x[17, 2] = np.nan
    model = network()
    history = model.fit(x, y, shuffle=False, batch_size=10, epochs=5, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1
    assert np.isnan(history.history["loss"][0])
    assert "step 2" in capsys.readouterr().out
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_wrong_data_are_errors():
    x, y = separable()
    model = network()
    for arguments, message in (
        ((x, y[:50]), r"different numbers of samples: \[60, 50\]"),
        ((x,), "targets, is missing"),
        ((x[:0], y[:0]), "no samples"),
        ((3, y), "expected arrays or an iterable"),
        ((iter([(x, y)]), y), "its own y"),
        (((x for _ in range(2)),), r"must be \(x, y\)"),
        (([],), "empty list: the data hold no samples"),
        (([], []), "empty list: the data hold no samples"),
        ((x, {"mask": y}), r"y names \['mask'\], but the outputs are \['output_1'\]"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(*arguments, verbose=0)
    with pytest.raises(ValueError, match="batch_size 0"):
        model.fit(x, y, batch_size=0, verbose=0)
    for counts in ({"epochs": 1.5}, {"epochs": -1}, {"epochs": True}, {"initial_epoch": "1"}):
        with pytest.raises(ValueError, match=f"{next(iter(counts))} .*must be an integer"):
            model.fit(x, y, verbose=0, **counts)
    assert model.fit(x, y, epochs=0, verbose=0).history == {}
    with pytest.raises(ValueError, match="ran out"):
        model.fit(iter([(x, y)]), epochs=2, verbose=0)
    with pytest.raises(ValueError, match="leaves one side empty"):
        model.fit(x, y, validation_split=1.5, verbose=0)
    with pytest.raises(ValueError, match="verbose"):
        model.fit(x, y, verbose=7)
    with pytest.raises(TypeError, match="Callback"):
        model.fit(x, y, callbacks=[print], verbose=0)
    with pytest.raises(ValueError, match=r"class index|labels|classes|outside|range"):
        model.fit(x, y + 5, verbose=0)


@pytest.mark.parametrize("argument", ["loss", "loss_weights"])
def test_a_loss_for_an_output_that_is_none_is_an_error(argument):
    x, y = separable()
    model = network()
    model.compile("sgd", **({"loss": "mse"} | {argument: {"mask": "mse" if argument == "loss" else 1.0}}))
    with pytest.raises(ValueError, match=rf"{argument} names \['mask'\], but the outputs are"):
        model.fit(x, y, verbose=0)


def test_an_unused_weight_is_warned_of():
    class Idle(Model):
        def __init__(self):
            super().__init__()
            self.used, self.idle = layers.Dense(1), layers.Dense(1)

        def call(self, x):
            self.idle(x)
            return self.used(x)

    model = Idle()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="gradient"):
        model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))


# ------------------------------------------------------------------------------------------------------ callbacks


def test_fit_scales_the_loss_and_ends_with_averages_of_weights():
    """As steps by hand: the gradients of the scaled loss, divided again; the averages in the weights' place at the end,
    where the last callbacks see them."""
    seen = []

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([weight.copy() for weight in self.model.get_weights()])

        def on_train_end(self, logs=None):
            seen.append(self.model.get_weights())

    x, y = np.random.default_rng(3).standard_normal((2, 12, 1)).astype(np.float32)
    results = []
    for scale in (None, 1024.0):
        random.seed(1)
        model = Sequential([Input((1,)), layers.Dense(1)])
        model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, loss_scale_factor=scale), "mse")
        history = model.fit(x, y, batch_size=4, verbose=0, shuffle=False, callbacks=[Watch()])
        results.append((history.history["loss"], seen.copy()))
        seen.clear()
    (loss, (first, second, third, last)), scaled = results
    assert scaled[0] == loss
    for steps, others in zip((first, second, third, last), scaled[1], strict=True):
        for a, b in zip(steps, others, strict=True):
            np.testing.assert_array_equal(a, b)  # 1024 is a power of 2: the same bits
    for a, b, c, average in zip(first, second, third, last, strict=True):
        np.testing.assert_allclose(average, 0.5 * (0.5 * a + 0.5 * b) + 0.5 * c, rtol=1e-6)


def test_early_stopping_puts_back_a_copy_of_the_best_weights():
    x, y = separable()
    model = network()
    seen = []

    def worse_from_the_third_on(epoch, logs):
        seen.append(model.get_weights())
        logs["val_loss"] = [3.0, 2.0, 1.0][epoch] if epoch < 3 else 5.0 + epoch

    stop = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(
        x, y, epochs=20, verbose=0, callbacks=[callbacks.LambdaCallback(on_epoch_end=worse_from_the_third_on), stop]
    )
    assert len(history.epoch) == 5
    assert stop.best_epoch == 2
    assert all(np.array_equal(a, b) for a, b in zip(seen[2], model.get_weights(), strict=True))
    assert not np.array_equal(seen[2][0], seen[4][0])
    assert not np.shares_memory(stop.best_weights[0], model.weights[0].array)


def test_a_watched_number_that_is_missing_or_unclear_is_an_error():
    x, y = separable()
    with pytest.raises(ValueError, match="'val_loss' is not among the logs: loss, accuracy"):
        network().fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping()])
    model = network()
    with pytest.raises(ValueError, match="which way is 'my_number' better"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping("my_number")])
    assert model.optimizer.iterations == 0
    assert callbacks.EarlyStopping("val_auc").mode == "max"
    assert callbacks.EarlyStopping("val_mean_squared_error").mode == "min"
    assert not callbacks.EarlyStopping("val_auc").improved(float("nan"), -np.inf)
    with pytest.raises(TypeError, match="on_epoch_finish"):
        callbacks.LambdaCallback(on_epoch_finish=print)


def test_learning_rates_follow_schedule_and_plateau():
    x, y = separable()
    model = network()
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[schedule]).history
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3])
    model = network()
    flat = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(flat_loss=1.0))
    plateau = callbacks.ReduceLROnPlateau("flat_loss", factor=0.5, patience=2, cooldown=1, min_lr=0.004)
    history = model.fit(x, y, epochs=9, verbose=0, callbacks=[flat, plateau]).history
    assert history["learning_rate"] == pytest.approx([0.02, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005, 0.004, 0.004])


def test_checkpoints_of_the_best_and_of_every_epoch(tmp_path):
    from tomograd.models import load_model

    x, y = separable()
    model = network()
    best = callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "loss", save_best_only=True)
    each = callbacks.ModelCheckpoint(tmp_path / "e{epoch}-{loss:.1f}.safetensors", save_weights_only=True)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[best, each])
    assert len(list(tmp_path.glob("e*.safetensors"))) == 2
    np.testing.assert_array_equal(load_model(tmp_path / "best.safetensors").predict(x), model.predict(x))
    with pytest.raises(ValueError, match="val_x"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / "{val_x}")])


def test_csv_logger(tmp_path):
    x, y = separable()
    table = tmp_path / "log.csv"
    model = network()
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(table)]).history
    model.fit(x, y, epochs=3, initial_epoch=2, verbose=0, callbacks=[callbacks.CSVLogger(table, append=True)])
    rows = list(csv.DictReader(table.open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert float(rows[1]["loss"]) == history["loss"][1]


def test_callbacks_are_told_in_order():
    x, y = separable(20)
    told = []
    events = [
        "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_test_begin",
        "on_test_batch_end", "on_test_end", "on_epoch_end", "on_train_end", "on_predict_begin", "on_predict_end",
    ]  # fmt: skip
    listener = callbacks.LambdaCallback(**{name: (lambda *a, name=name: told.append(name)) for name in events})
    model = network()
    model.fit(x, y, batch_size=20, validation_data=(x, y), verbose=0, callbacks=[listener])
    model.predict(x, callbacks=[listener])
    assert told == events


# -------------------------------------------------------------------------------------------------------- progress


def test_a_log_file_gets_one_plain_line_an_epoch(capsys):
    x, y = separable()
    network().fit(x, y, epochs=3, validation_data=(x, y))
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 3
    assert out.startswith("epoch 1/3 · ")
    assert "val_accuracy" in out
    assert not set(out) & {"\r", "\b", "\x1b"}


def test_a_long_epoch_gets_a_few_lines(capsys, monkeypatch):
    from tomograd.models.callbacks import progress

    clock = itertools.count(step=10.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    x, y = separable()
    network().fit(x, y, batch_size=1)
    lines = capsys.readouterr().out.splitlines()
    assert 4 <= len(lines) <= 8
    assert "step 2/60" in lines[0]
    assert "left" in lines[0]
    assert "loss" in lines[0]


PROGRAM = """
import time
import numpy as np
from tomograd import kernels
from tomograd.engine import layers
from tomograd.models import Input, Sequential, callbacks
with kernels.using("reference"):
    model = Sequential([Input((4,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    slow = callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: time.sleep(0.1))
    model.fit(np.ones((40, 4)), np.ones((40, 2)), batch_size=2, epochs=2, validation_split=0.5, callbacks=[slow])
"""


def test_a_terminal_of_80_columns_gets_a_bar_that_fits():
    script = shutil.which("script")
    if script is None:
        pytest.skip("needs the program script(1), which makes a terminal")
    command = f"stty cols 80; {sys.executable} -c '{PROGRAM}'"
    done = subprocess.run(
        [script, "-qec", command, "/dev/null"], capture_output=True, text=True, timeout=120, check=True
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout)
    pieces = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert max(len(piece.rstrip()) for piece in pieces) <= 80
    assert any(all(part in piece for part in ("epoch 1/2", "/10", "loss", "━", "left")) for piece in pieces), pieces
    assert any(piece.startswith("epoch 2/2 · ") for piece in pieces)
