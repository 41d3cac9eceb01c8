"""CSVLogger: the numbers of each epoch as rows of a table in a file."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from .base import Callback, Logs
from .log_files import LogFile


class CSVLogger(Callback):
    """One row an epoch into a table: epoch, then every logged number, in the order in which the logs have them.

    A number that some epochs do not have is "NA" in them (validation every second epoch; a number that appears later
    gets a column then, which Keras drops). append: go on after the rows of an existing file, under its columns.

    Rows are written through at once: a killed run loses none, and one that goes on from a backup drops the rows of
    epochs that it runs again. On a full disk the training goes on with a warning, and the rows are written as soon as
    there is room. Raises OSError at the beginning of the training if the file cannot be written to.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = Path(filename), separator, append
        self._rows: list[list[str]] = []  # the first names the columns

    def on_train_begin(self, logs: Logs | None = None) -> None:
        run = getattr(self.model, "training_run", None)
        resumes = run is not None and run.resumes  # then `load_state` says what the file is to hold
        files.check_folder(self.filename.parent)
        before = self.filename.read_text(encoding="utf-8") if self.append and self.filename.exists() else ""
        self._rows = [row for row in csv.reader(io.StringIO(before), delimiter=self.separator) if row]
        self._file = LogFile(self.filename, None if self.append or resumes else 0)
        if before and not before.endswith(("\n", "\r")):
            self._file.add(b"\r\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        values = {"epoch": str(epoch), **{name: _text(value) for name, value in (logs or {}).items()}}
        columns = self._rows[0] if self._rows else []
        new = [name for name in values if name not in columns]
        if new:
            known = [row + ["NA"] * len(new) for row in self._rows[1:]]
            self._rows = [[*columns, *new], *known]
        self._rows.append([values.get(name, "NA") for name in self._rows[0]])
        if new and columns:
            self._file.replace(self._as_text(self._rows))
        else:
            self._file.add(self._as_text(self._rows[-2:] if new else self._rows[-1:]))
        self._file.to_disk()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._file.close()

    def _as_text(self, rows: list[list[str]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator).writerows(rows)
        return text.getvalue().encode()

    def state(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state(self, state: dict[str, Any]) -> None:
        self._rows = state["rows"]
        self._file.replace(self._as_text(self._rows))


def _text(value: Any) -> str:
    """A number in full; an array as Keras writes it: "[0.1, 0.2]"."""
    if np.ndim(value):
        return '"[' + ", ".join(map(str, np.ravel(value).tolist())) + ']"'
    return str(value)
