"""Callbacks that save the model: as it gets better, and with the whole run as a backup from which it can go on."""

from __future__ import annotations

import os
import re
import string
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import files
from ...engine.checkpoints import CheckpointError
from ..saving import check_target
from .base import Callback, Logs
from .monitoring import MonitorCallback

if TYPE_CHECKING:
    from ..training_run import TrainingRun


class ModelCheckpoint(MonitorCallback):
    """Save the model (or its weights alone) after every epoch, or after every `save_freq` steps.

    filepath: a name as `Model.save` takes it (one of Keras's endings is an error at once); it may hold the epoch,
    counted from 1, numbers of the logs and, with save_freq in steps, the step of the epoch:
    "unet-{epoch:02d}-{val_dice:.3f}.safetensors". Folders are made.
    save_best_only: only when `monitor` is better than ever before in this run (and than initial_value_threshold); an
    epoch without that number saves nothing.
    Files are written under another name and renamed: a killed run leaves no torn file, and what it left of one is
    removed by the next. A file that cannot be written ends the training with an OSError; the one before it is intact.
    That the folder is one and not read-only is seen before the training begins.
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
        check_target(self.filepath)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = _checked_frequency("ModelCheckpoint", save_freq)
        self.initial_value_threshold = initial_value_threshold
        if initial_value_threshold is not None:
            self.best = float(initial_value_threshold)
        self._epoch = self._steps = 0

    def set_model(self, model: Any) -> None:
        best = self.best
        super().set_model(model)
        self.best = best if self.initial_value_threshold is not None else self.best

    def on_train_begin(self, logs: Logs | None = None) -> None:
        folder, name = os.path.split(self.filepath)
        if not any(field for _, field, _, _ in string.Formatter().parse(folder)):
            parts = [re.escape(text) + (".*" if field else "") for text, field, _, _ in string.Formatter().parse(name)]
            files.check_folder(folder or ".")
            files.remove_unfinished(folder or ".", "".join(parts))

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if self.save_freq != "epoch" and self._steps % self.save_freq == 0:
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        why = ""
        if self.save_best_only:
            value = self.watched(logs)
            if value is None or not self.improved(value, self.best):
                return
            self.best = value
            why = f" ({self.monitor} {value:.5g})"
        path = self._path(epoch, logs)
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        if self.verbose:
            print(f"epoch {epoch + 1}: saved {path}{why}")

    def _path(self, epoch: int, logs: Logs) -> Path:
        try:
            return Path(self.filepath.format(**{**logs, "epoch": epoch + 1}))
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, which is not logged"
            ) from None

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "_steps": self._steps}

    def load_state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class BackupAndRestore(Callback):
    """Keep the whole state of the run in `backup_dir`, and go on from it when `fit` is started again.

    The backup holds weights, the optimizer's state, the random state, the place in the data, the metrics and what the
    other callbacks remember: a run that was killed at any moment and started again with the same arguments ends with
    the very numbers of an unbroken one. (Keras goes back to the beginning of an epoch, with the weights of its middle
    and a new random state.) It is written after every epoch or after every `save_freq` steps, atomically.

    Data: arrays need nothing. An iterable must give the same batches again when it is iterated again: drawn from
    `tg.random` or generators among its attributes, or with a method `set_epoch(epoch)`, which `fit` calls before each
    pass, or always the same; or it defines `get_state()` and `set_state(state)`. The batches before the one to go on
    from are drawn and dropped. What a data set by number (`PyDataset`) needs stands there. Callbacks that remember
    something (that define `state`) must be the same; those of one's own that do not are begun anew.

    double_checkpoint: keep the last two states. A backup carries a digest of its bytes: one that was damaged is never
    gone on from. Then the one before it is taken, with a warning, if there is one; else that is a CheckpointError.
    delete_checkpoint: remove the backup when the training has come to its end, after all other callbacks. Nothing else
    in the folder is touched. (Keras removes the folder with everything in it.)

    A backup that cannot be written (a full disk, a read-only folder) ends the training with an OSError that names it;
    the last good one stays, to go on from when there is room.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore: backup_dir is empty")
        self.backup_dir = Path(backup_dir)
        self.double_checkpoint, self.delete_checkpoint = bool(double_checkpoint), bool(delete_checkpoint)
        self.save_freq = _checked_frequency("BackupAndRestore", save_freq)

    @property
    def path(self) -> Path:
        return self.backup_dir / "backup.safetensors"

    @property
    def previous(self) -> Path:
        """The state before the last one."""
        return self.backup_dir / "backup-previous.safetensors"

    def resume(self, run: TrainingRun) -> None:
        """Let the run go on from the backup if there is one. `fit` calls it before all callbacks' `on_train_begin`."""
        files.check_folder(self.backup_dir)
        files.remove_unfinished(self.backup_dir, "|".join(re.escape(path.name) for path in self._files()))
        damage: CheckpointError | None = None
        for path in self._files():
            if not path.exists():
                continue
            try:
                content = run.read(path)
            except CheckpointError as error:
                damage = damage or error
                continue
            if damage is not None:
                warnings.warn(f"{damage}; going on from the state before it, {path}", stacklevel=2)
            run.load(*content, source=str(path))
            return
        if damage is not None:
            raise CheckpointError(f"{damage}; remove the file to start the training anew")

    def _files(self) -> tuple[Path, Path]:
        return self.path, self.previous

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if getattr(self.model, "training_run", None) is None:
            raise RuntimeError("BackupAndRestore works within fit only")

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        run = self.model.training_run
        if self.save_freq != "epoch" and run.steps % self.save_freq == 0:
            run.backup = self

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self.model.training_run.backup = self

    def write(self, run: TrainingRun) -> None:
        """Write the backup. `fit` calls it when all callbacks have heard of the step or epoch."""
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        run.save(self.path, keep=self.previous if self.double_checkpoint else None)

    def finish(self) -> None:
        """Remove the backup if it is to be. `fit` calls it after all callbacks' `on_train_end`."""
        if self.delete_checkpoint:
            for path in self._files():
                path.unlink(missing_ok=True)
            if self.backup_dir.is_dir() and not any(self.backup_dir.iterdir()):
                self.backup_dir.rmdir()


def _checked_frequency(owner: str, save_freq: str | int) -> Any:
    if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq is not True and save_freq > 0):
        raise ValueError(f"{owner}: save_freq {save_freq!r} must be 'epoch' or a positive number of steps")
    return save_freq
