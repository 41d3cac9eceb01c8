"""Callbacks beyond what Keras's golden files say: loops of one's own, watched numbers, files, errors."""

import csv
import gc
import math
import weakref

import numpy as np
import pytest

from tomograd.engine import layers, optimizers
from tomograd.engine.checkpoints import CheckpointError
from tomograd.engine.tensor import Tensor
from tomograd.models import Input, Sequential, callbacks, load_model, metrics


def data(samples=12):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((samples, 3)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.float32)[:, None]


def new_model(metric="mae"):
    model = Sequential([Input((3,)), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[metric])
    return model


def after(epoch, **logs):
    """A callback that adds to the logs: {name: a value for each epoch} or a value."""

    def add(number, given):
        for name, value in logs.items():
            given[name] = value[number] if isinstance(value, list) else value

    return callbacks.LambdaCallback(on_epoch_end=add)


# ------------------------------------------------------------------------------------------------------ being told


def test_a_list_of_callbacks_serves_loops_of_ones_own():
    told = []

    class Older(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            told.append(("older", batch, logs))

    class Newer(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            told.append(("newer", batch, logs))
            super().on_train_batch_end(batch, logs)

        def on_batch_end(self, batch, logs=None):
            told.append(("called by the newer", batch, logs))

        def on_epoch_begin(self, epoch, logs=None):
            told.append(("epoch", epoch, logs))

    model = new_model()
    listeners = callbacks.CallbackList(
        [Older(), [Newer()]], add_history=True, add_progbar=True, model=model, epochs=2, steps=3, verbose=2
    )
    kinds = [type(callback).__name__ for callback in listeners.callbacks]
    assert kinds == ["Older", "Newer", "History", "ProgressBar"]
    assert all(callback.model is model for callback in listeners.callbacks)
    assert listeners.callbacks[0].params == {"epochs": 2, "steps": 3, "verbose": 2}
    listeners.on_train_begin()
    listeners.on_epoch_begin(4)
    listeners.on_train_batch_end(1, {"loss": 2.0})
    listeners.on_epoch_end(4, {"loss": 1.0})
    logs = {"loss": 2.0}
    assert told == [("epoch", 4, {}), ("older", 1, logs), ("newer", 1, logs), ("called by the newer", 1, logs)]
    assert model.history.history == {"loss": [1.0]}
    assert model.history.epoch == [4]
    again = callbacks.CallbackList(listeners, add_history=True, add_progbar=True)
    assert again.callbacks == listeners.callbacks
    with pytest.raises(TypeError, match="expected Callback objects, got <function"):
        callbacks.CallbackList([lambda: None])


def test_fit_takes_one_callback_a_nested_list_or_a_list_of_callbacks():
    x, y = data()
    model = new_model()
    for given in (
        after(0, extra=1.0),
        [[after(0, extra=1.0)]],
        (after(0, extra=1.0),),
        callbacks.CallbackList([after(0, extra=1.0)]),
    ):
        assert model.fit(x, y, verbose=0, callbacks=given).history["extra"] == [1.0]


def test_the_history_is_the_models_and_no_ring_keeps_it_alive():
    x, y = data()
    model = new_model()
    history = model.fit(x, y, epochs=2, verbose=0)
    assert model.history is history
    assert history.model is model
    assert history.params["epochs"] == 2
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(history)
        model.history = None
        del history
        assert gone() is None
    finally:
        gc.enable()


def test_predicting_can_be_stopped_and_gives_what_it_has():
    x, _ = data()
    model = new_model()
    seen = []

    def stop(batch, logs):
        seen.append(logs["outputs"])
        model.stop_predicting = batch == 1

    got = model.predict(x, batch_size=5, callbacks=[callbacks.LambdaCallback(on_predict_batch_end=stop)])
    assert got.shape == (10, 1)
    np.testing.assert_array_equal(got, np.concatenate(seen))
    assert model.predict(x, batch_size=5).shape == (12, 1)


def test_what_a_step_of_ones_own_tells_becomes_numbers(tmp_path):
    class Own(Sequential):
        def train_step(self, data):
            super().train_step(data)
            return {"loss": Tensor(np.float32(0.5)), "count": np.int64(3), "each": Tensor(np.ones(2))}

    x, y = data()
    model = Own([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []
    note = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs))
    kept = callbacks.BackupAndRestore(tmp_path, save_freq=1)
    history = model.fit(x, y, verbose=0, callbacks=[note, kept, callbacks.EarlyStopping("count", mode="min")]).history
    assert (type(seen[0]["loss"]), type(seen[0]["count"]), type(seen[0]["each"])) == (float, float, np.ndarray)
    assert history["count"] == [3.0]


# -------------------------------------------------------------------------------------------------- a watched number


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        (metrics.BinaryAccuracy(name="hits"), "max"),
        (metrics.MeanSquaredError(name="hits"), "min"),
        (metrics.AUC(name="hits"), "max"),
    ],
)
def test_the_class_of_a_metric_says_which_way_is_better(metric, mode):
    x, y = data()
    stop = callbacks.EarlyStopping("val_hits", restore_best_weights=True)
    new_model(metric).fit(x, y, verbose=0, validation_data=(x, y), callbacks=[stop])
    assert stop.mode == mode
    assert math.isfinite(stop.best)


def test_a_number_that_cannot_be_watched_is_an_error():
    x, y = data()
    for arguments, message in (
        ({"monitor": "unclear"}, "which way is 'unclear' better"),
        ({"monitor": "accuracy"}, "'accuracy' is not among the logs: loss, mae"),
        ({"monitor": "each", "mode": "min"}, "'each' is an array, not one number"),
    ):
        with pytest.raises(ValueError, match=message):
            new_model().fit(
                x, y, verbose=0, callbacks=[after(0, each=np.ones(2)), callbacks.EarlyStopping(**arguments)]
            )
    with pytest.raises(ValueError, match="mode 'down' must be"):
        callbacks.EarlyStopping("loss", mode="down")
    with pytest.raises(ValueError, match="factor 1"):
        callbacks.ReduceLROnPlateau(factor=1)
    with pytest.raises(TypeError, match="epsilon"):
        callbacks.ReduceLROnPlateau(epsilon=1)  # Keras takes and ignores it


def test_epochs_without_validation_are_not_counted():
    x, y = data()
    stop = callbacks.EarlyStopping("val_loss", patience=2, min_delta=10.0)
    history = new_model().fit(x, y, epochs=20, verbose=0, validation_data=(x, y), validation_freq=3, callbacks=[stop])
    assert len(history.epoch) == 9  # the first validation is the best, the second and the third are not better


def test_schedules_of_one_argument_and_what_is_no_learning_rate():
    x, y = data()
    model = new_model()
    model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch: 0.5 / (1 + epoch)))
    assert model.optimizer.learning_rate == 0.25
    for rate in (None, "fast", math.nan):
        with pytest.raises(ValueError, match="LearningRateScheduler: the schedule gave"):
            model.fit(x, y, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch, old, rate=rate: rate))

    def broken(epoch, rate):
        raise TypeError("in the schedule itself")

    with pytest.raises(TypeError, match="in the schedule itself"):
        model.fit(x, y, verbose=0, callbacks=callbacks.LearningRateScheduler(broken))


def test_a_loss_that_is_no_number_can_be_an_error():
    x, y = data()
    x[5] = np.nan
    ended = []
    told = callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(logs))
    with pytest.raises(RuntimeError, match="step 2: the loss is nan"):
        new_model().fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=[callbacks.TerminateOnNaN(True), told])
    assert not ended


# ---------------------------------------------------------------------------------------------------------- averages


def averaging(**options):
    model = new_model()
    model.compile(optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8, **options), "binary_crossentropy")
    return model


def test_an_evaluation_with_averages_leaves_the_weights():
    x, y = data()
    model, swap = averaging(), callbacks.SwapEMAWeights()
    untrained = model.evaluate(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0, callbacks=[swap]) == untrained  # no averages yet
    for _ in range(3):
        model.train_on_batch(x, y)
    weights, plain = model.get_weights(), model.predict(x)
    averaged = model.predict(x, callbacks=[swap])
    assert not np.array_equal(averaged, plain)
    assert same(model.get_weights(), weights)  # Keras leaves the averages there
    assert model.evaluate(x, y, verbose=0, callbacks=[swap]) != model.evaluate(x, y, verbose=0)
    assert same(model.get_weights(), weights)
    model.optimizer.finalize_variable_values(model.trainable_weights)
    np.testing.assert_array_equal(model.predict(x), averaged)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_averages_are_in_the_model_in_the_end_however_it_ended(swap_on_epoch):
    x, y = data()
    model, expected = averaging(), averaging()
    expected.set_weights(model.get_weights())
    expected.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    swap = callbacks.SwapEMAWeights(swap_on_epoch)
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    model.fit(x, y, batch_size=4, epochs=9, shuffle=False, verbose=0, callbacks=[swap, stop])
    assert same(model.get_weights(), expected.get_weights())


def test_averages_without_an_optimizer_that_has_them_are_an_error():
    x, y = data()
    with pytest.raises(ValueError, match="keeps no averages: use_ema=True"):
        new_model().fit(x, y, verbose=0, callbacks=[callbacks.SwapEMAWeights()])
    with pytest.raises(ValueError, match="keeps no averages"):
        optimizers.Adam().swap_averages()


# ------------------------------------------------------------------------------------------------------------ tables


def rows(path, separator=","):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def test_a_column_that_appears_later_is_filled_up(tmp_path):
    x, y = data()
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    new_model().fit(x, y, epochs=3, verbose=0, validation_data=(x, y), validation_freq=2, callbacks=[table])
    found = rows(tmp_path / "log.csv")
    assert list(found[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae"]
    assert [row["val_loss"] == "NA" for row in found] == [True, False, True]
    assert [row["epoch"] for row in found] == ["0", "1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_rows_are_appended_to_a_table_of_other_columns_without_an_end(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    path.write_text("epoch;other;loss\n0;7;1.5")
    new_model().fit(x, y, verbose=0, callbacks=[callbacks.CSVLogger(path, ";", append=True)])
    found = rows(path, ";")
    assert found[0] == {"epoch": "0", "other": "7", "loss": "1.5", "mae": "NA"}
    assert found[1]["other"] == "NA"
    assert float(found[1]["mae"]) > 0
    new_model().fit(x, y, verbose=0, callbacks=[callbacks.CSVLogger(path, ";")])
    assert len(rows(path, ";")) == 1


def test_arrays_stand_in_a_table_as_keras_writes_them(tmp_path):
    x, y = data()
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    new_model().fit(x, y, verbose=0, callbacks=[after(0, dice=np.array([0.5, 0.25])), logger])
    assert rows(tmp_path / "log.csv")[0]["dice"] == '"[0.5, 0.25]"'


# ------------------------------------------------------------------------------------------------------ saved models


def test_models_are_saved_within_epochs_under_names_of_steps(tmp_path):
    x, y = data()
    model = new_model()
    names = callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch}-{batch:02d}.safetensors", save_freq=2)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[names])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "1-02.safetensors",
        "2-01.safetensors",
        "2-03.safetensors",
    ]
    np.testing.assert_array_equal(load_model(tmp_path / "new" / "2-03.safetensors").predict(x), model.predict(x))
    for save_freq in (0, -1, True, "batch", 1.5):
        with pytest.raises(ValueError, match="save_freq"):
            callbacks.ModelCheckpoint("x", save_freq=save_freq)
        with pytest.raises(ValueError, match="save_freq"):
            callbacks.BackupAndRestore("x", save_freq=save_freq)
    with pytest.raises(ValueError, match="backup_dir is empty"):
        callbacks.BackupAndRestore("")


def test_what_a_killed_run_left_of_any_name_is_removed(tmp_path):
    x, y = data()
    (tmp_path / ".7-0.123.bin.0123abcd.tomograd.tmp").write_text("half")
    (tmp_path / ".7-0.123.other.0123abcd.tomograd.tmp").write_text("not ours")
    saver = callbacks.ModelCheckpoint(tmp_path / "{epoch}-{loss:.3f}.bin", verbose=1)
    new_model().fit(x, y, verbose=0, callbacks=[saver])
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[0] == ".7-0.123.other.0123abcd.tomograd.tmp"
    assert len(left) == 2
    assert left[1].startswith("1-0.")


# ----------------------------------------------------------------------------------------------------------- backups


def interrupted(folder, at=2, **options):
    """A training of three epochs that fails in the middle of epoch `at`; the weights after each epoch."""
    x, y = data()
    model, seen = new_model(), []

    def fail(epoch, logs):
        if epoch == at:
            raise InterruptedError

    note = callbacks.LambdaCallback(
        on_epoch_begin=fail, on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    backup = callbacks.BackupAndRestore(folder, **options)
    with pytest.raises(InterruptedError):
        model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[backup, note])
    return seen


def go_on(folder, **options):
    """The epochs that a second program does, and its weights as it begins the first of them."""
    x, y = data()
    model, begun, weights = new_model(), [], []

    def begin(epoch, logs):
        begun.append(epoch)
        weights.append(model.get_weights())

    note = callbacks.LambdaCallback(on_epoch_begin=begin)
    backup = callbacks.BackupAndRestore(folder, **options)
    model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[backup, note])
    return begun, weights[0]


def same(a, b):
    return all(np.array_equal(first, second) for first, second in zip(a, b, strict=True))


def test_of_two_backups_the_one_before_a_damaged_one_is_taken(tmp_path):
    seen = interrupted(tmp_path, double_checkpoint=True)
    last, before = tmp_path / "backup.safetensors", tmp_path / "backup-previous.safetensors"
    contents = last.read_bytes(), before.read_bytes()
    begun, weights = go_on(tmp_path, delete_checkpoint=False)
    assert begun == [2]
    assert same(weights, seen[1])
    for raw in (contents[0][: len(contents[0]) // 2], b"", flipped(contents[0])):
        last.write_bytes(raw)
        before.write_bytes(contents[1])
        with pytest.warns(UserWarning, match=r"backup\.safetensors.*going on from the state before it.*previous"):
            begun, weights = go_on(tmp_path, delete_checkpoint=False)
        assert begun == [1, 2]
        assert same(weights, seen[0])
    last.unlink()  # as when a system that knows no links was killed between two renamings
    before.write_bytes(contents[1])
    assert go_on(tmp_path)[0] == [1, 2]
    assert not tmp_path.exists()


def flipped(raw):
    changed = bytearray(raw)
    changed[-5] ^= 1
    return bytes(changed)


def test_a_damaged_backup_is_never_gone_on_from(tmp_path):
    interrupted(tmp_path)
    path = tmp_path / "backup.safetensors"
    raw = path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    for place in np.random.default_rng(0).integers(0, len(raw), 40):
        changed = bytearray(raw)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"backup\.safetensors.*remove the file to start the training anew"):
            go_on(tmp_path)
        assert path.read_bytes() == changed


def test_only_the_backups_are_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    interrupted(tmp_path, double_checkpoint=True)
    go_on(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_backup_of_another_run_leaves_the_table_alone(tmp_path):
    x, y = data()
    interrupted(tmp_path / "backup")
    (tmp_path / "log.csv").write_text("epoch,loss\n0,1\n")
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(CheckpointError, match="another run"):
        new_model().fit(x, y, batch_size=3, verbose=0, callbacks=[table, backup])
    assert (tmp_path / "log.csv").read_text() == "epoch,loss\n0,1\n"


def test_the_backup_stays_until_all_else_has_ended(tmp_path):
    x, y = data()
    seen = []
    last = callbacks.LambdaCallback(on_train_end=lambda logs: seen.append(len(list(tmp_path.iterdir()))))
    new_model().fit(x, y, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path), last])
    assert seen == [1]
    assert not tmp_path.exists()
