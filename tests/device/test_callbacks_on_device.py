"""Callbacks of a model on a device: a training that broke off goes on there, bit for bit, with all that writes files.

The device is pretended: CuPy's stand-in with the reference's kernels.
"""

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import callbacks, layers

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((12, 6, 6, 1)).astype(np.float32)
Y = GENERATOR.integers(0, 2, 12)


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


class BrokenOff(Exception):
    pass


def train(folder, broken_at=None):
    def break_off(batch, logs):
        if model.training_run.steps == broken_at:
            raise BrokenOff

    tg.random.seed(1)
    model = tg.models.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tg.optimizers.Adam(use_ema=True, ema_momentum=0.9), loss, metrics=["accuracy"])
    history = model.fit(
        X, Y, batch_size=4, epochs=3, verbose=0, validation_data=(X, Y), device="cuda",
        callbacks=[
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.BackupAndRestore(folder / "backup", save_freq=2),
            callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
            callbacks.ReduceLROnPlateau("val_loss", patience=1, min_delta=9.0),
            callbacks.ModelCheckpoint(folder / "best", "loss", save_best_only=True),
            callbacks.TensorBoard(folder / "logs", histogram_freq=1),
            callbacks.CSVLogger(folder / "log.csv"),
            callbacks.LambdaCallback(on_train_batch_end=break_off),
        ],
    )  # fmt: skip
    assert {weight.device for weight in model.weights} == {"cuda:0"}
    best = [weight.tobytes() for weight in tg.models.load_model(folder / "best").get_weights()]
    return history.history, model.get_weights(), best, (folder / "log.csv").read_text()


@pytest.mark.parametrize("broken_at", [1, 4, 6, 9])
def test_a_training_that_broke_off_on_the_device_goes_on_there(cupy, tmp_path, broken_at):
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole")
    (tmp_path / "broken").mkdir()
    with pytest.raises(BrokenOff):
        train(tmp_path / "broken", broken_at)
    resumed = train(tmp_path / "broken")
    assert all(np.array_equal(a, b) for a, b in zip(resumed[1], whole[1], strict=True))
    assert (resumed[0], *resumed[2:]) == (whole[0], *whole[2:])
