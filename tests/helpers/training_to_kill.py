"""A program that trains a small network with everything that writes files, and kills it where it is told to.

    python training_to_kill.py            reads a line of JSON for each training, and answers each with a line

The program itself imports and never trains: each training is a child forked from it, as good as a new process and
quicker to start. {"folder": …, "kind": …, "kill": …}, where `kill` is

    null         train to the end
    0.05         SIGKILL so many seconds after the child began
    17           SIGKILL at moment 17: moments are before and after each call that changes a file, and in the middle of
                 each write, when half of it is done

The answer is null for a child that was killed, else what the training came to.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import event_reader
import numpy as np

from tomograd import files, kernels
from tomograd.engine import layers, losses, optimizers, random
from tomograd.models import Input, Sequential, callbacks, load_model

EPOCHS, SAMPLES, BATCH = 4, 22, 4
STEPS = {"arrays": 6, "drawn": 6, "by epoch": 6, "by number": 4}  # kind of data → steps of an epoch


def data():
    generator = np.random.default_rng(7)
    x = generator.standard_normal((SAMPLES, 6, 6, 1)).astype(np.float32)
    return x, (x.mean((1, 2, 3)) > 0).astype(np.int64)


class Drawn:
    """Batches and their augmentation drawn from tg.random."""

    def __iter__(self):
        x, y = data()
        order = random.generator().permutation(SAMPLES)
        for start in range(0, SAMPLES, BATCH):
            rows = order[start : start + BATCH]
            yield x[rows] + random.generator().normal(0, 0.1, x[rows].shape), y[rows]


class ByEpoch:
    """Batches and their augmentation by the number of the epoch."""

    def set_epoch(self, number):
        self.number = number

    def __iter__(self):
        x, y = data()
        generator = np.random.default_rng(self.number)
        order = generator.permutation(SAMPLES)
        for start in range(0, SAMPLES, BATCH):
            rows = order[start : start + BATCH]
            yield (x[rows, ::-1] if generator.random() < 0.5 else x[rows]), y[rows]


class ByNumber:
    """Batches by their number, which `fit` shuffles; an epoch of four steps ends within a pass."""

    def __len__(self):
        return -(-SAMPLES // BATCH)

    def __getitem__(self, number):
        x, y = data()
        rows = slice(number * BATCH, (number + 1) * BATCH)
        return x[rows] + np.random.default_rng(number).normal(0, 0.1, x[rows].shape).astype(np.float32), y[rows]


def new_model():
    random.seed(11)
    model = Sequential(
        [
            Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dropout(0.2, seed=5),
            layers.Dense(2),
        ]
    )
    optimizer = optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def train(folder, kind):
    """Train to the end, and tell what all of it came to."""
    if not list((folder / "backup").glob("*.safetensors")):  # nothing to go on from: begin anew
        shutil.rmtree(folder / "logs", ignore_errors=True)
    x, y = data()
    given, save_freq = {
        "arrays": ({"x": x, "y": y, "batch_size": BATCH, "class_weight": {0: 1.5}}, 2),
        "drawn": ({"x": Drawn()}, 1),
        "by epoch": ({"x": ByEpoch()}, "epoch"),
        "by number": ({"x": ByNumber(), "steps_per_epoch": STEPS[kind]}, 3),
    }[kind]
    model = new_model()
    history = model.fit(
        **given,
        epochs=EPOCHS,
        verbose=0,
        validation_data=(x, y),
        validation_freq=2,
        callbacks=[
            callbacks.CSVLogger(folder / "log.csv"),
            callbacks.LearningRateScheduler(lambda epoch, rate: 0.02 / (1 + epoch)),
            callbacks.SwapEMAWeights(swap_on_epoch=kind == "drawn"),
            callbacks.BackupAndRestore(folder / "backup", save_freq, double_checkpoint=kind != "drawn"),
            callbacks.ModelCheckpoint(folder / "epochs" / "{epoch:02d}-{loss:.3f}.safetensors", save_freq=4),
            callbacks.ModelCheckpoint(folder / "best.safetensors", "loss", save_best_only=True),
            callbacks.TensorBoard(folder / "logs", histogram_freq=2, update_freq=1),
            callbacks.EarlyStopping("loss", patience=10, restore_best_weights=True),
        ],
    )
    saved = {str(path.relative_to(folder)): digest(path.read_bytes()) for path in sorted(folder.rglob("*.safetensors"))}
    load_model(folder / "best.safetensors")
    return {
        "weights": digest(b"".join(weight.tobytes() for weight in model.get_weights())),
        "optimizer": {key: digest(array.tobytes()) for key, array in model.optimizer.state().items()},
        "history": history.history,
        "epochs": history.epoch,
        "table": (folder / "log.csv").read_text(),
        "saved": saved,
        "events": {place: read_events(folder / "logs" / place) for place in ("train", "validation")},
        "random": str(random.state()),
        "left": sorted(path.name for path in folder.rglob("*.tmp")),
        "folders": sorted(path.name for path in folder.iterdir()),
    }


def digest(content):
    return hashlib.sha256(content).hexdigest()


def read_events(folder):
    """All events of all files, but their times."""
    found = [event for path in sorted(folder.iterdir()) for event in event_reader.events(path)]
    return [[step, tag, plugin, np.asarray(value).tolist()] for step, tag, plugin, _, value in found]


# -------------------------------------------------------------------------------------------------------------- killing


def watch_moments(fatal):
    """Count the moments; at number `fatal` this process kills itself, as another one would."""
    count = 0

    def moment():
        nonlocal count
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function):
        def call(*arguments, **options):
            moment()
            result = function(*arguments, **options)
            moment()
            return result

        return call

    def halved(handle, content):
        moment()
        view = memoryview(content)
        done = write(handle, view[: len(view) // 2])
        moment()
        done += write(handle, view[len(view) // 2 :])
        moment()
        return done

    write = os.write
    for name in ("fsync", "ftruncate", "link", "open", "replace", "rmdir", "scandir", "unlink"):
        setattr(os, name, watched(getattr(os, name)))
    os.write = halved
    return lambda: count


def answer(folder, kind, kill):
    """Fork a child that trains; what it came to and its number of moments, or None if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            plain_write = os.write
            moments = watch_moments(kill if isinstance(kill, int) else 0)
            with kernels.using("reference"):
                outcome = train(Path(folder), kind)
            files.write_whole(writing, json.dumps({**outcome, "moments": moments()}).encode())
            status = 0
        except BaseException:
            import traceback

            plain_write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    if isinstance(kill, float):
        time.sleep(kill)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status:
        raise SystemExit("the training failed")
    return json.loads(content)


if __name__ == "__main__":
    kernels.backend("cpu")  # children ask for it, and would each import it
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
