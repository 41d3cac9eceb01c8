"""TensorBoard: the training's numbers and the weights' histograms in event files, which TensorBoard shows."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...engine.checks import not_supported
from . import event_files
from .base import Callback, Logs
from .log_files import LogFile

MOST_TILES = 64  # of a kernel's picture, in each direction

_numbers = itertools.count()


class TensorBoard(Callback):
    """Write event files into `log_dir`, in the folders "train" and "validation": `tensorboard --logdir log_dir`.

    The names are Keras's: after every epoch "epoch_loss", …, of the training (with "epoch_learning_rate") and of the
    validation; of an evaluation "evaluation_loss_vs_iterations", …; numbers for each class as "epoch_dice_0", ….

    histogram_freq: write the distribution of each weight after every so many epochs (0: never), as
    "LAYER/WEIGHT/histogram", and if write_images as a picture, "LAYER/WEIGHT/image": from black, its least number, to
    white, its largest (Keras cuts weights off below 0 and above 1); a convolution's kernel as its tiles, input channels
    downwards, output channels to the right, no more than 64 of each.
    write_graph: write the graph of layers (of a Sequential model or a graph).
    update_freq: "epoch", or after how many steps ("batch": 1) also to write "batch_loss", ….
    write_steps_per_second: how many steps a second were done, over an epoch and with update_freq over a step.

    A run that goes on from a backup goes on in the same files: steps that it takes again stand in them once. (Reload a
    TensorBoard that has read what is taken back.) On a full disk the training goes on with a warning.

    profile_batch, embeddings_freq and embeddings_metadata are not supported: ValueError. Raises ValueError
    for other values that make no sense, OSError at the beginning of the training if `log_dir` cannot be written to.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        for argument, value in (
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            not_supported("TensorBoard", argument, value, None, False, 0)
        self.log_dir = Path(log_dir)
        self.histogram_freq = _whole("histogram_freq", histogram_freq, 0)
        self.write_images = bool(write_images)
        if self.write_images and not self.histogram_freq:
            warnings.warn("TensorBoard: write_images draws where histograms are: set histogram_freq", stacklevel=2)
        self.write_graph, self.write_steps_per_second = bool(write_graph), bool(write_steps_per_second)
        self.update_freq: Any = 1 if update_freq == "batch" else update_freq
        if self.update_freq != "epoch":
            _whole("update_freq", self.update_freq, 1)
        self._files: dict[str, LogFile] = {}
        self._steps = 0

    # ------------------------------------------------------------------------------------------------------- files

    def _write(self, folder: str, step: int, values: list[bytes]) -> None:
        if values:
            data = event_files.event(time.time(), step, values)
            self._file(folder).add(event_files.record(data))

    def _file(self, folder: str) -> LogFile:
        if folder not in self._files:
            place = self.log_dir / folder
            files.check_folder(place)
            place.mkdir(parents=True, exist_ok=True)
            self._files[folder] = LogFile(place / _file_name())
            self._files[folder].add(event_files.record(event_files.first_event(time.time())))
        return self._files[folder]

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    # ---------------------------------------------------------------------------------------------------- training

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        self._steps = 0
        run = getattr(self.model, "training_run", None)
        if run is not None and run.resumes:  # in the files that `load_state` names
            return
        self._file("train")
        if (self.params or {}).get("validation_freq"):  # known from now on, so that a backup has its length
            self._file("validation")
        graph = event_files.keras_graph(self.model) if self.write_graph else None
        if graph is not None:
            self._write("train", 0, [event_files.text("keras", "graph_keras_model", b"1", json.dumps(graph))])

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch_start, self._epoch_steps = time.monotonic(), self._steps

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._step_start = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if self.update_freq == "epoch" or self._steps % self.update_freq:
            return
        values = _scalars("batch_", logs or {})
        if self.write_steps_per_second:
            rate = 1 / max(time.monotonic() - self._step_start, 1e-9)
            values.append(event_files.scalar("batch_steps_per_second", rate))
        self._write("train", self._steps, values)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        training = {name: value for name, value in logs.items() if not name.startswith("val_")}
        if self.model.optimizer is not None:
            training["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            seconds = max(time.monotonic() - self._epoch_start, 1e-9)
            training["steps_per_second"] = (self._steps - self._epoch_steps) / seconds
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self._write("train", epoch, _scalars("epoch_", training))
        self._write("validation", epoch, _scalars("epoch_", validation))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write("train", epoch, self._weights())
        self._to_disk()

    def _to_disk(self) -> None:
        for file in self._files.values():
            file.to_disk()

    def _weights(self) -> list[bytes]:
        values = []
        for layer in self.model.layers:
            for name, weight in layer.named_weights().items():
                tag, array = f"{layer.name}/{name.replace('.', '/')}", weight.numpy()
                values.append(event_files.histogram(f"{tag}/histogram", array))
                pixels = _picture(array) if self.write_images else None
                if pixels is not None:
                    values.append(event_files.image(f"{tag}/image", pixels))
        return values

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()

    # --------------------------------------------------------------------------------------------------- evaluation

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self.model.optimizer is not None:
            named = {f"{name}_vs_iterations": value for name, value in (logs or {}).items()}
            self._write("validation", self.model.optimizer.iterations, _scalars("evaluation_", named))
        if getattr(self.model, "training_run", None) is None:  # an evaluation by itself
            self._close()

    # ------------------------------------------------------------------------------------------------ going on later

    def state(self) -> dict[str, Any]:
        self._to_disk()
        entries = {
            folder: {"name": file.path.name, "length": file.length, "missing": np.frombuffer(file.missing, np.uint8)}
            for folder, file in self._files.items()
        }
        return {"steps": self._steps, "files": entries}

    def load_state(self, state: dict[str, Any]) -> None:
        self._steps, self._epoch_steps = state["steps"], state["steps"]
        self._close()
        for folder, entry in state["files"].items():
            place = self.log_dir / folder
            place.mkdir(parents=True, exist_ok=True)
            file = self._files[folder] = LogFile(place / entry["name"], entry["length"])
            if file.length == 0:  # somebody has removed it
                file.add(event_files.record(event_files.first_event(time.time())))
            if entry["missing"].size:
                file.add(entry["missing"].tobytes())


def _scalars(prefix: str, logs: Logs) -> list[bytes]:
    values = []
    for name, value in logs.items():
        numbers = {f"{name}_{index}": entry for index, entry in enumerate(np.ravel(value))} if np.ndim(value) else None
        values += [event_files.scalar(prefix + key, number) for key, number in (numbers or {name: value}).items()]
    return values


def _picture(weight: np.ndarray) -> np.ndarray | None:
    """A weight as grey pixels; None for one that is empty or has no form to be seen (kernels of volumes)."""
    if weight.ndim == 4:
        weight = weight[:, :, :MOST_TILES, :MOST_TILES]
        rows, columns = (size + 1 for size in weight.shape[:2])  # a line between the tiles
        tiled = np.full((weight.shape[2], rows, weight.shape[3], columns), np.nan)
        tiled[:, :-1, :, :-1] = weight.transpose(2, 0, 3, 1)
        weight = tiled.reshape(weight.shape[2] * rows, -1)[:-1, :-1]
    elif weight.ndim < 3:
        weight = np.atleast_2d(weight)
        weight = weight.T if weight.shape[0] > weight.shape[1] else weight
    if weight.ndim != 2 or not np.isfinite(weight).any():
        return None
    low, high = weight[np.isfinite(weight)].min(), weight[np.isfinite(weight)].max()
    scaled = (weight.astype(np.float64) - low) / (float(high) - float(low) or 1.0) * 255
    return np.nan_to_num(scaled, nan=128, posinf=255, neginf=0).round().astype(np.uint8)


def _file_name() -> str:
    """A name of the form that TensorBoard looks for, and that no other file has."""
    host = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in socket.gethostname())
    return f"events.out.tfevents.{int(time.time())}.{host}.{os.getpid()}.{next(_numbers)}.v2"


def _whole(argument: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"TensorBoard: {argument} {value!r} must be an integer of at least {least}")
    return int(value)
