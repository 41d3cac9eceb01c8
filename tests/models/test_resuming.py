"""A run that was killed at any moment and started again ends with the very numbers of an unbroken one."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tomograd.engine import layers, losses, optimizers, random
from tomograd.engine.checkpoints import CheckpointError
from tomograd.models import Input, Model, Sequential, callbacks

EPOCHS, STEPS = 3, 4


def data():
    generator = np.random.default_rng(7)
    x = generator.standard_normal((STEPS * 8 - 3, 5)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def new_model(kind="sequential"):
    random.seed(11)
    row = [
        layers.Dense(6, activation="relu", kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.Dropout(0.2, seed=5),
        layers.Dense(2),
    ]
    if kind == "subclass":

        class Net(Model):
            def __init__(self):
                super().__init__()
                self.row = row

            def call(self, x):
                for layer in self.row:
                    x = layer(x)
                return x

        model = Net()
    else:
        model = Sequential([Input((5,)), *row])
    optimizer = optimizers.Adam(0.02)
    if kind == "gathered gradients":
        options = {"loss_scale_factor": 4.0, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2}
        optimizer = optimizers.Nadam(0.02, gradient_accumulation_steps=3, weight_decay=0.1, **options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(
        optimizer,
        losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", lambda t, p: p[:, 0] ** 2],
        weighted_metrics=["sparse_categorical_accuracy"],
    )
    return model


class RandomBatches:
    """An endless supply in passes of 5, drawn from tg.random, with an augmentation of its own."""

    def __iter__(self):
        x, y = data()
        for _ in range(5):
            rows = random.generator().permutation(len(x))[:6]
            yield x[rows] + random.generator().normal(0, 0.1, (6, 5)), y[rows]


class EpochBatches:
    """Batches that depend on the number of the pass alone."""

    def set_epoch(self, number):
        self.number = number

    def __iter__(self):
        x, y = data()
        order = np.random.default_rng(self.number).permutation(len(x))
        return iter([(x[order[i : i + 8]], y[order[i : i + 8]]) for i in range(0, len(x), 8)])


def fit_arguments(kind):
    if kind == "random batches":
        return {"x": RandomBatches(), "steps_per_epoch": STEPS}
    if kind == "epoch batches":
        return {"x": EpochBatches()}
    x, y = data()
    return {"x": x, "y": y, "batch_size": 8, "sample_weight": np.linspace(0.5, 1.5, len(x))}


class Killed(Exception):
    pass


class KillAt(callbacks.Callback):
    """Fails at the end of step number `step` of all (None: never)."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.training_run.steps == self.step:
            raise Killed


def run(kind, folder, kill, save_freq):
    """Train a new model with everything that remembers something; (history, weights, table)."""
    model = new_model(kind)
    x, y = data()
    table = folder / "log.csv"
    history = model.fit(
        **fit_arguments(kind),
        epochs=EPOCHS,
        verbose=0,
        validation_data=(x, y),
        callbacks=[
            callbacks.BackupAndRestore(folder / "backup", save_freq),
            callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True),
            callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=10.0, factor=0.5),
            callbacks.CSVLogger(table),
            KillAt(kill),
        ],
    )
    return history.history, model.get_weights(), table.read_text()


KINDS = ["sequential", "subclass", "random batches", "epoch batches", "gathered gradients"]


@pytest.mark.parametrize("save_freq", [1, 3, "epoch"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_failed_at_any_step_ends_as_an_unbroken_one(kind, save_freq, tmp_path):
    (tmp_path / "whole").mkdir()
    history, weights, table = run(kind, tmp_path / "whole", None, save_freq)
    assert len(history["loss"]) == EPOCHS
    assert len(set(history["learning_rate"])) > 1
    everywhere = kind == "sequential" and save_freq == 3
    for kill in range(1, EPOCHS * STEPS + 1) if everywhere else (1, 4, 7, EPOCHS * STEPS):
        folder = tmp_path / f"{kill}"
        folder.mkdir()
        with pytest.raises(Killed):
            run(kind, folder, kill, save_freq)
        resumed = run(kind, folder, None, save_freq)
        assert resumed[0] == history
        assert resumed[2] == table
        assert all(np.array_equal(a, b) for a, b in zip(resumed[1], weights, strict=True))
        assert not (folder / "backup").exists()


def test_a_backup_of_another_run_is_an_error(tmp_path):
    with pytest.raises(Killed):
        run("sequential", tmp_path, 5, 1)
    x, y = data()
    backup = callbacks.BackupAndRestore(tmp_path / "backup", 1)
    table = callbacks.CSVLogger(tmp_path / "other.csv")
    rest = [callbacks.EarlyStopping("loss"), callbacks.ReduceLROnPlateau(), table, KillAt(None)]
    with pytest.raises(CheckpointError, match=r"backup\.safetensors.*another run.*'batch_size': 8.*'batch_size': 4"):
        new_model().fit(x, y, batch_size=4, verbose=0, callbacks=[backup, *rest])
    with pytest.raises(CheckpointError, match=r"another run.*callbacks"):
        new_model().fit(x, y, batch_size=8, verbose=0, callbacks=[backup])
    other = Sequential([Input((5,)), layers.Dense(3)])
    other.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(CheckpointError, match=r"of another model|generators"):
        other.fit(x, y, batch_size=8, verbose=0, callbacks=[backup, *rest])
    other.save(tmp_path / "backup" / "backup.safetensors")
    with pytest.raises(CheckpointError, match="holds no training run"):
        new_model().fit(x, y, batch_size=8, verbose=0, callbacks=[backup, *rest])
    (tmp_path / "backup" / "backup.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match=r"backup\.safetensors"):
        new_model().fit(x, y, batch_size=8, verbose=0, callbacks=[backup, *rest])


PROGRAM = """
import hashlib, json, sys, time
import numpy as np
from tomograd import kernels
from tomograd.engine import layers, losses, optimizers, random
from tomograd.models import Input, Sequential, callbacks

random.seed(3)
generator = np.random.default_rng(7)
x = generator.standard_normal((40, 5)).astype(np.float32)
y = (x[:, 0] > 0).astype(np.int64)
with kernels.using("reference"):
    model = Sequential([Input((5,)), layers.Dense(8, activation="relu"), layers.Dropout(0.3), layers.Dense(2)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(0.01), loss, metrics=["accuracy"])
    def tell(step, logs):
        print("step", flush=True)
        time.sleep(0.002)
    slow = callbacks.LambdaCallback(on_train_batch_end=tell)
    history = model.fit(x, y, batch_size=4, epochs=6, verbose=0, validation_data=(x, y),
                        callbacks=[callbacks.BackupAndRestore(sys.argv[1], save_freq=2), slow])
weights = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()
print(json.dumps([weights, history.history]))
"""


def outcome(folder):
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def killed_after(folder, steps, further_seconds):
    """Start the program, let it take so many steps and wait a little: then kill it, wherever it is."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True)
    for _ in range(steps):
        assert process.stdout.readline() == "step\n"
    time.sleep(further_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    return process.returncode


def kill_and_compare(folder, rounds, seed):
    generator = np.random.default_rng(seed)
    unbroken = outcome(folder / "unbroken")
    for number in range(rounds):
        place = folder / f"killed {number}"
        for steps in sorted(generator.integers(1, 30, 2)):
            if killed_after(place, min(int(steps), 14), float(generator.uniform(0, 0.01))) == -signal.SIGKILL:
                assert list(place.glob("backup.safetensors")) or steps < 4
        assert outcome(place) == unbroken
        assert not place.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_goes_on(tmp_path):
    kill_and_compare(tmp_path, 1, seed=1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_processes_go_on_from_wherever_they_were(tmp_path):
    kill_and_compare(tmp_path, 10, seed=2)
