"""Files that a training writes its logs to, whole entries at a time; a full disk does not end the training."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

from ... import files


class LogFile:
    """A file that grows by whole entries while a model is trained.

    Opening it raises OSError, which names it, where it cannot be written to: then no training is lost. Later on a log
    is worth less than the training: an entry for which there is no room is kept and written with the next ones, and a
    warning tells of it when it is first missing and when the file is closed without it.

    path: the file. length: how many bytes of what is there stay (None: all).
    """

    def __init__(self, path: str | os.PathLike[str], length: int | None = None) -> None:
        self.path = Path(path)
        self._pending = b""
        self._anew = False  # whether `_pending` is to take the place of all that the file holds
        self._failing = False
        with files.reported(self.path):
            self._open(length)

    def _open(self, length: int | None) -> None:
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self.length = os.fstat(self._handle).st_size  # bytes in the file
        if length is not None and length < self.length:
            os.ftruncate(self._handle, length)
            self.length = length
        os.lseek(self._handle, self.length, os.SEEK_SET)

    @property
    def missing(self) -> bytes:
        """What is not in the file yet."""
        return self._pending

    def add(self, entry: bytes) -> None:
        """Write an entry at the end."""
        self._pending += entry
        self.flush()

    def replace(self, content: bytes) -> None:
        """Let the file hold `content` and nothing else; there is no moment at which it is torn."""
        self._pending, self._anew = content, True
        self.flush()

    def flush(self) -> None:
        """Write all entries, as far as there is room."""
        try:
            if self._anew:
                self._close()
                try:
                    with files.written(self.path) as file:
                        file.write(self._pending)
                finally:
                    self._open(None)
            elif self._pending:
                files.write_whole(self._handle, self._pending)
        except OSError as error:
            self._fail(error)
            return
        if not self._anew:
            self.length += len(self._pending)
        self._pending, self._anew, self._failing = b"", False, False

    def to_disk(self) -> None:
        """Write all entries, and bring them to the disk."""
        self.flush()
        try:
            os.fsync(self._handle)
        except OSError as error:
            self._warn(error)

    def _fail(self, error: OSError) -> None:
        """Take back the part of an entry that was written."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, self.length)
            os.lseek(self._handle, self.length, os.SEEK_SET)
        self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._failing:
            warnings.warn(
                f"{self.path}: cannot be written ({error.strerror or error}); the training goes on, and what is "
                "missing is kept and written as soon as there is room",
                stacklevel=2,
            )
        self._failing = True

    def close(self) -> None:
        """Write what is missing, and close the file."""
        if self._handle >= 0:
            self.to_disk()
        if self._pending:
            warnings.warn(f"{self.path}: the last {len(self._pending)} bytes could not be written", stacklevel=2)
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles are closed: the file belongs to the one that opened it."""
        return {**vars(self), "_handle": -1, "_pending": b"", "_anew": False}

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self._close()
