"""Callbacks that write files: the model as it gets better, a backup from which a killed run goes on, a table."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from .base import Callback, Logs, MonitorCallback


class ModelCheckpoint(MonitorCallback):
    """Save the model (or its weights alone) after every epoch, or after every `save_freq` steps.

    filepath: may name the epoch and numbers of the logs: "unet-{epoch:02d}-{val_dice:.3f}.safetensors".
    save_best_only: only when `monitor` is better than ever before in this run (and than initial_value_threshold).
    Files are written under another name and renamed: a killed run leaves no torn file.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        # Which way is better matters only where the best is kept.
        super().__init__(monitor, mode if save_best_only or mode != "auto" else "min")
        self.filepath, self.verbose = os.fspath(filepath), verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = _checked_frequency("ModelCheckpoint", save_freq)
        if initial_value_threshold is not None:
            self.best = float(initial_value_threshold)
        self._epoch = self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if self.save_freq != "epoch" and self._steps % self.save_freq == 0:
            self._save(self._epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs)

    def _save(self, epoch: int, logs: Logs | None) -> None:
        if self.save_best_only:
            value = self.watched(logs)
            if value is None or not self.improved(value, self.best):
                return
            self.best = value
        try:
            path = Path(self.filepath.format(epoch=epoch + 1, **(logs or {})))
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, which is not logged"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"epoch {epoch + 1}: saved {path}")

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "_steps": self._steps}

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class BackupAndRestore(Callback):
    """Keep the whole state of the run in `backup_dir`, and go on from it when `fit` is started again.

    The backup holds weights, the optimizer's state, the random state, the place in the data, the metrics and what the
    other callbacks remember: a run that was killed at any moment and started again with the same arguments ends with
    the very numbers of an unbroken one. It is written after every epoch or after every `save_freq` steps, atomically.

    Data: arrays need nothing. An iterable must give the same batches again when it is iterated again: drawn from
    `tg.random`, or with a method `set_epoch(epoch)`, which `fit` calls before each pass, or always the same. The
    batches before the one to go on from are drawn and dropped.
    delete_checkpoint: remove the backup when the training has come to its end.
    """

    def __init__(
        self, backup_dir: str | os.PathLike[str], save_freq: str | int = "epoch", delete_checkpoint: bool = True
    ) -> None:
        self.backup_dir, self.delete_checkpoint = Path(backup_dir), delete_checkpoint
        self.save_freq = _checked_frequency("BackupAndRestore", save_freq)

    @property
    def path(self) -> Path:
        return self.backup_dir / "backup.safetensors"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for torn in self.backup_dir.glob(f".{self.path.name}.*.tmp"):  # a run was killed while it wrote
            torn.unlink(missing_ok=True)
        if self.path.exists():
            self._run.load(self.path)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq != "epoch" and self._run.steps % self.save_freq == 0:
            self._run.backup_to = self.path

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._run.backup_to = self.path

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)
            if self.backup_dir.is_dir() and not any(self.backup_dir.iterdir()):
                self.backup_dir.rmdir()

    @property
    def _run(self) -> Any:
        run = self.model.training_run
        if run is None:
            raise RuntimeError("BackupAndRestore works within fit only")
        return run


class CSVLogger(Callback):
    """One row an epoch into a table: epoch, then every logged number, in the order of the first epoch's logs.

    append: go on after the rows of an existing file. Rows are written through at once: a killed run loses none, and one
    that goes on from a backup drops the rows of epochs that it runs again.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._rows: list[list[Any]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._rows = []
        if self.append and self.filename.exists():
            with open(self.filename, newline="", encoding="utf-8") as file:
                self._rows = list(csv.reader(file, delimiter=self.separator))
        else:
            self._write("w", [])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        rows: list[list[Any]] = [] if self._rows else [["epoch", *logs]]
        columns = (self._rows or rows)[0]
        rows.append([epoch, *(logs.get(name, "") for name in columns[1:])])
        self._rows += rows
        self._write("a", rows)

    def _write(self, mode: str, rows: list[list[Any]]) -> None:
        with open(self.filename, mode, newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.separator).writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def state(self) -> dict[str, Any]:
        return {"rows": [[str(entry) for entry in row] for row in self._rows]}

    def load_state(self, state: dict[str, Any]) -> None:
        self._rows = state["rows"]
        self._write("w", self._rows)


def _checked_frequency(owner: str, save_freq: str | int) -> Any:
    if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
        raise ValueError(f"{owner}: save_freq {save_freq!r} must be 'epoch' or a positive number of steps")
    return save_freq
