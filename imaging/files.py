"""Opening files with errors that name them, and writing files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import ImagingError


class BoundedReader(io.BufferedReader):
    """A file reader that never asks for more bytes than the file holds.

    Python allocates the whole of `read(n)` first, so a length field of 4 GiB in a file of a few bytes would take 4 GiB.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(io.FileIO(os.fspath(path), "r"))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self.size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BoundedReader]:
    """Open `path` for reading; a missing file, a folder or a refused one ends in an ImagingError."""
    try:
        reader = BoundedReader(path)
    except OSError as error:
        raise ImagingError(path, why(error)) from error
    except ValueError as error:  # a NUL character in the name
        raise ImagingError(None, f"{path!r} is no file name: {error}") from error
    with reader:
        yield reader


def why(error: OSError) -> str:
    """The reason behind an OSError, without its number and without the path."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a file"
    return f"cannot be opened: {error.strerror or error}"


@contextlib.contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write `path` through a temporary file beside it: fsync, then rename, so that no reader ever sees half a file.

    If the block raises, the temporary file is removed and what stood at `path` stays as it was.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise ImagingError(path, f"cannot be written: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except OSError as error:
        _remove(name)
        raise ImagingError(path, f"cannot be written: {error.strerror or error}") from error
    except BaseException:
        _remove(name)
        raise
    _sync_folder(target.parent)


def _umask() -> int:
    """The process's file mode mask. mkstemp makes files for their owner alone; a result is for everyone allowed."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; some file systems and Windows cannot, which is no error."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
