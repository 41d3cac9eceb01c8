"""Full disks and read-only folders: saving is an error that names the file and leaves the last good one; a log goes on
without its file and catches up; nothing is half there, and no training is lost without a word."""

import contextlib
import csv
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import event_reader
import numpy as np
import pytest

from tomograd.engine import layers
from tomograd.engine import random as engine_random
from tomograd.models import Input, Sequential, callbacks, load_model
from tomograd.models.plotting import plot_model

EPOCHS = 4


def fit(*given, epochs=EPOCHS):
    engine_random.seed(3)
    x = engine_random.generator().normal(shape=(12, 3))
    model = Sequential([Input((3,)), layers.Dense(4, activation="relu"), layers.Dropout(0.2), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, x[:, :1], batch_size=4, epochs=epochs, verbose=0, callbacks=list(given))
    return model


def at_epoch(disk, full_from, free_from=99):
    """A callback that fills the disk at the beginning of an epoch, and makes room at that of another one."""

    def begin(epoch, logs):
        disk.full = full_from <= epoch < free_from

    return callbacks.LambdaCallback(on_epoch_begin=begin)


class Disk:
    full = False


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes half of what is written to it while it is full."""
    disk, write = Disk(), os.write

    def limited(handle, data):
        if not disk.full:
            return write(handle, data)
        if len(data) > 1 and not disk.half:
            disk.half = True
            return write(handle, memoryview(data)[: len(data) // 2])
        disk.half = False
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.half = False
    monkeypatch.setattr(os, "write", limited)
    return disk


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.mark.parametrize("weights_only", [False, True])
def test_a_model_that_cannot_be_saved_is_an_error_and_those_before_are_whole(disk, tmp_path, weights_only):
    saver = callbacks.ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_weights_only=weights_only)
    with pytest.raises(OSError, match=r"No space left on device.*3\.safetensors") as caught:
        fit(at_epoch(disk, 2), saver)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["1.safetensors", "2.safetensors"]
    disk.full = False
    expected = fit(epochs=2)
    if weights_only:
        other = fit(epochs=1)
        other.load_weights(tmp_path / "2.safetensors")
        assert same(other, expected)
    else:
        assert same(load_model(tmp_path / "2.safetensors"), expected)


def test_saving_over_a_model_leaves_it_when_there_is_no_room(disk, tmp_path):
    model = fit(epochs=1)
    model.save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    disk.full = True
    for save in (model.save, model.save_weights):
        with pytest.raises(OSError, match=r"No space left on device.*left as it was.*/model'"):
            save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before
    assert names(tmp_path) == ["model"]


def test_a_picture_for_which_there_is_no_room_leaves_the_old_one(disk, tmp_path):
    model = fit(epochs=1)
    picture = tmp_path / "model.svg"
    plot_model(model, picture)
    before = picture.read_bytes()
    disk.full = True
    with pytest.raises(OSError, match=r"No space left on device.*left as it was.*model\.svg"):
        plot_model(model, picture, show_shapes=True)
    assert picture.read_bytes() == before
    assert names(tmp_path) == ["model.svg"]


@pytest.mark.parametrize("double", [False, True])
def test_a_run_goes_on_from_the_last_backup_for_which_there_was_room(disk, tmp_path, double):
    unbroken = fit()
    backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=2, double_checkpoint=double)
    with pytest.raises(OSError, match=r"No space left on device.*b/backup\.safetensors"):
        fit(at_epoch(disk, 2), backup)
    assert names(tmp_path / "b") == [*["backup-previous.safetensors"] * double, "backup.safetensors"]
    disk.full = False
    begun = []
    resumed = fit(backup, callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch)))
    assert begun == [1, 2, 3]  # the sixth step was the last one of epoch 1
    assert same(resumed, unbroken)
    assert not (tmp_path / "b").exists()


def test_a_table_without_room_is_filled_up_when_there_is(disk, tmp_path):
    path = tmp_path / "log.csv"
    with pytest.warns(UserWarning, match=r"log\.csv: cannot be written \(No space left.*the training goes on") as told:
        model = fit(at_epoch(disk, 1, 3), callbacks.CSVLogger(path))
    assert len(told) == 1
    disk.full = False
    assert same(model, fit())
    with path.open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


def test_a_table_that_could_not_be_finished_says_so(disk, tmp_path):
    with pytest.warns(UserWarning) as told:
        fit(at_epoch(disk, 2), callbacks.CSVLogger(tmp_path / "log.csv"))
    assert "the training goes on" in str(told[0].message)
    assert "could not be written" in str(told[-1].message)
    assert len(told) == 2
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert (tmp_path / "log.csv").read_bytes().endswith(b"\r\n")


def test_a_column_for_which_there_is_no_room_comes_later(disk, tmp_path):
    path = tmp_path / "log.csv"

    def add(epoch, logs):
        logs.update({"late": 1.0} if epoch >= 2 else {})

    with pytest.warns(UserWarning, match="cannot be written"):
        fit(at_epoch(disk, 2, 3), callbacks.LambdaCallback(on_epoch_end=add), callbacks.CSVLogger(path))
    with path.open(newline="") as file:
        assert [row["late"] for row in csv.DictReader(file)] == ["NA", "NA", "1.0", "1.0"]
    assert names(tmp_path) == ["log.csv"]


def test_events_without_room_are_written_when_there_is(disk, tmp_path):
    with pytest.warns(UserWarning, match=r"tfevents.*cannot be written"):
        fit(at_epoch(disk, 1, 3), callbacks.TensorBoard(tmp_path, histogram_freq=1, update_freq=1))
    (path,) = (tmp_path / "train").iterdir()
    events = event_reader.events(path)
    assert [event[0] for event in events if event[1] == "batch_loss"] == list(range(1, 3 * EPOCHS + 1))
    assert [event[0] for event in events if event[1] == "epoch_loss"] == list(range(EPOCHS))


def test_what_a_log_has_no_room_for_goes_into_the_backup(disk, tmp_path):
    """The logs' disk is full, the backup's is not, and the run is broken off then."""

    class Interrupted(Exception):
        pass

    def interrupt(epoch, logs):
        disk.full = False
        if epoch == 2 and not resumes:
            raise Interrupted

    def fill(epoch, logs):
        disk.full = epoch == 1 and not resumes

    def make_room(epoch, logs):
        disk.full = False

    def run():
        return fit(
            callbacks.LambdaCallback(on_epoch_begin=interrupt, on_epoch_end=fill),
            callbacks.TensorBoard(tmp_path / "logs"),
            callbacks.CSVLogger(tmp_path / "log.csv"),
            callbacks.LambdaCallback(on_epoch_end=make_room),
            callbacks.BackupAndRestore(tmp_path / "b"),
        )

    resumes = False
    with pytest.warns(UserWarning, match="cannot be written"), pytest.raises(Interrupted):
        run()
    resumes = True
    run()
    (path,) = (tmp_path / "logs" / "train").iterdir()
    assert [event[0] for event in event_reader.events(path) if event[1] == "epoch_loss"] == list(range(EPOCHS))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + EPOCHS


# ------------------------------------------------------------------------------------------------- read-only folders


@contextlib.contextmanager
def read_only_folder():
    """A folder in which this process may not write: root may everywhere, and is nobody for that while."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    try:
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


WRITERS = {
    "checkpoint": lambda folder: callbacks.ModelCheckpoint(folder / "{epoch}"),
    "checkpoint below": lambda folder: callbacks.ModelCheckpoint(folder / "new" / "x"),
    "backup": lambda folder: callbacks.BackupAndRestore(folder),
    "backup below": lambda folder: callbacks.BackupAndRestore(folder / "new"),
    "table": lambda folder: callbacks.CSVLogger(folder / "log.csv"),
    "events": lambda folder: callbacks.TensorBoard(folder / "logs"),
}


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_folder_is_an_error_before_the_training(writer):
    steps = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    with read_only_folder() as folder, pytest.raises(PermissionError, match=str(folder)):
        fit(count, WRITERS[writer](folder))
    assert not steps


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_in_a_folders_place_is_an_error_before_the_training(writer, tmp_path):
    (tmp_path / "file").write_text("mine")
    steps = []
    count = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    with pytest.raises(OSError, match="file"):
        fit(count, WRITERS[writer](tmp_path / "file"))
    assert not steps
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_a_files_place_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        fit(callbacks.ModelCheckpoint(tmp_path))
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        fit(callbacks.CSVLogger(tmp_path))


# ------------------------------------------------------------------------------------------------------- a true disk

PROGRAM = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[3]]
import test_callbacks_full_disk as test
from pathlib import Path
from tomograd import kernels
with kernels.using("reference"):
    test.on_a_small_disk(Path(sys.argv[1]))
"""


def on_a_small_disk(folder):
    """What the tests above say, on a file system of 64 kB."""

    def fill(epoch, logs):
        if epoch == 2:
            with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
                while file.write(bytes(512)):
                    pass

    def run(*given):
        return fit(callbacks.LambdaCallback(on_epoch_begin=fill), *given)

    unbroken = fit()
    for writer, name in (
        (callbacks.ModelCheckpoint(folder / "{epoch}"), "/3'"),
        (callbacks.BackupAndRestore(folder / "b", save_freq=2, double_checkpoint=True), "b/backup.safetensors'"),
    ):
        try:
            run(writer)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            assert str(error).endswith(name), error
        else:
            raise AssertionError(f"there was room for {writer}")
        assert not list(folder.rglob("*.tmp"))
        (folder / "filler").unlink()
    assert same(load_model(folder / "2"), fit(epochs=2))
    assert same(fit(callbacks.BackupAndRestore(folder / "b", save_freq=2, double_checkpoint=True)), unbroken)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(callbacks.TensorBoard(folder / "logs", histogram_freq=1), callbacks.CSVLogger(folder / "log.csv"))
    assert any("the training goes on" in str(warning.message) for warning in told), told
    for path in (folder / "logs").rglob("*tfevents*"):
        event_reader.events(path)
    assert not list(folder.rglob("*.tmp"))
    print("done")


def test_a_small_file_system_that_fills_up(tmp_path):
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs the right to mount a file system")
    here = Path(__file__).parent
    mount = f'mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", PROGRAM]
    arguments = [str(tmp_path), str(here), str(here.parent / "helpers")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no file system could be mounted: {done.stderr}")
    assert done.stdout == "done\n", done.stderr
