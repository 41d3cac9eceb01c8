"""Opening files, and writing them whole, with errors that name them."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from .. import files
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
    """A file to write to; at the end of the block it becomes `path`, whole (see `tomograd.files`). A link is written
    through.

    If the block raises, what stood at `path` stays as it was. Raises ImagingError where it cannot be written to.
    """
    try:
        with files.written(path) as unfinished, unfinished.stream() as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImagingError(path, reason if "cannot be written" in reason else f"cannot be written: {reason}") from error
