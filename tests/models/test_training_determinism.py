"""A training run fixed by its seed: to the last bit again in one process, in a fresh one, in memory that held something
else, and beside other threads that compute."""

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from dirty_memory import CONTENTS, dirty_memory

from tomograd import kernels
from tomograd.engine import Tensor, grad, losses, optimizers, random
from tomograd.engine import functional as F
from tomograd.imaging import Batches, DataSet, RandomFlip, RandomNoise, RandomRotation, Sample
from tomograd.kernels.cpu.launch import threads, using_threads
from tomograd.models import CNN, UNet


@pytest.fixture(autouse=True)
def cpu_kernels():
    with kernels.using("cpu"):
        yield


class Discs(DataSet):
    """Images of a bright disc in noise, with its mask: each is fixed by its number."""

    path, kind, task, class_names = "discs", "made up", "segmentation", ("ground", "disc")

    def __len__(self):
        return 10

    def sample(self, index):
        generator = np.random.default_rng(index)
        at, y, x = generator.integers(8, 24, 2), *np.ogrid[:32, :32]
        mask = (y - at[0]) ** 2 + (x - at[1]) ** 2 < 30
        image = mask[..., None] + generator.normal(0, 0.3, (32, 32, 1))
        return Sample(image.astype(np.float32), mask[..., None].astype(np.int32), str(index))

    name = staticmethod(str)

    def patient(self, index):
        return None

    part_of = label = patient


def trained_cnn(epochs=3, seed=5):
    """A classifier with dropout and batch normalisation, its samples shuffled: (weights, history, predictions)."""
    random.seed(seed)
    generator = np.random.default_rng(5)
    x, y = generator.standard_normal((22, 20, 18, 1), dtype=np.float32), generator.integers(0, 3, 22)
    model = CNN((20, 18, 1), 3, filters=(8, 16), dense=12, dropout=0.4, normalization="batch")
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(0.01), loss, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=8, epochs=epochs, validation_split=0.2, verbose=0).history
    return model.get_weights(), history, model.predict(x)


def trained_unet(epochs=2):
    """A U-Net with dropout, its images changed at random and read ahead on a thread."""
    random.seed(6)
    changes = (RandomFlip(), RandomRotation(20.0), RandomNoise(0.1))
    model = UNet((32, 32, 1), 1, base_filters=8, depth=2, dropout=0.3)
    model.compile(optimizers.SGD(0.05, momentum=0.9, nesterov=True), losses.BinaryCrossentropy(from_logits=True))
    history = model.fit(Batches(Discs(), 4, changes, seed=3), epochs=epochs, verbose=0).history
    x = np.stack([Discs().sample(index).image for index in range(4)])
    return model.get_weights(), history, model.predict(x)


RUNS = {"cnn": trained_cnn, "unet": trained_unet}


def digest(name):
    """What a run leaves, to the bit, in one line."""
    weights, history, predictions = RUNS[name]()
    numbers = [np.asarray(entry) for entry in (*weights, predictions, *(history[key] for key in sorted(history)))]
    assert all(np.isfinite(array).all() for array in numbers)
    return hashlib.sha256(b"".join(array.tobytes() for array in numbers)).hexdigest()


@pytest.mark.parametrize(("name", "runs"), [("cnn", 20), ("unet", 4), pytest.param("unet", 20, marks=pytest.mark.slow)])
def test_again_in_memory_that_held_something_else(name, runs):
    first = digest(name)
    for run in range(1, runs):
        with dirty_memory(CONTENTS[run % len(CONTENTS)]):
            assert digest(name) == first, f"run {run}"


def test_the_seed_matters():
    (one, *_), (other, *_) = trained_cnn(1), trained_cnn(1, seed=6)
    assert not np.array_equal(one[0], other[0])


def test_in_a_fresh_process():
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_training_determinism as runs\n"
        "from tomograd import kernels\n"
        "with kernels.using('cpu'): print(*map(runs.digest, runs.RUNS))"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(here), str(here.parent / "helpers")],
        env=os.environ | {"TOMOGRAD_NUM_THREADS": str(threads())},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [digest(name) for name in RUNS]


def test_on_one_thread():
    """Sums of other parts may be rounded otherwise: but always so."""
    with using_threads(1):
        assert digest("cnn") == digest("cnn")


def keep_computing(stop):
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((2, 48, 48, 8), dtype=np.float32))
    w = Tensor(rng.standard_normal((3, 3, 8, 8), dtype=np.float32), requires_grad=True)
    cotangent = rng.standard_normal((2, 48, 48, 8), dtype=np.float32)
    while not stop.is_set():
        grad(F.conv(x, w, padding="same", activation="relu"), w, cotangent)


@pytest.mark.parametrize("name", RUNS)
def test_beside_a_thread_that_computes(name):
    alone, stop = digest(name), threading.Event()
    other = threading.Thread(target=keep_computing, args=(stop,))
    other.start()
    try:
        assert digest(name) == alone
    finally:
        stop.set()
        other.join(60)
