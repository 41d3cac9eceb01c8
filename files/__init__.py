"""Files that are whole or not there: written under another name beside their place, brought to the disk, then renamed.

A process that is killed while it writes leaves its unfinished file behind, named ".NAME.xxxxxxxx.tomograd.tmp" after
the file that it was to become. Whoever writes that file next removes it. An unfinished file is locked by its writer,
and the system takes the lock back when the writer is gone, however it ended: the file of one who still writes is left
alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows: there unfinished files are not removed
    fcntl = None  # type: ignore[assignment]

CHUNK = 16 * 1024**2  # bytes a write: an interrupt is heard between them


class UnfinishedFile:
    """What is written until it is whole."""

    def __init__(self, target: Path) -> None:
        self.target = target
        while True:
            self.path = target.with_name(_unfinished_name(target.name))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._handle: int | None = os.open(self.path, flags, 0o666)
            _lock(self._handle, wait=True)
            if self.path.exists():  # nobody took it for an unfinished file before it was locked
                return
            self.close()

    def write(self, data: Any) -> None:
        """Add `data`, an object that is contiguous bytes."""
        write_whole(self._open_handle(), data)

    @contextlib.contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """The same as a file of Python's, for libraries that go back and forth in what they write."""
        with open(self._open_handle(), "w+b", closefd=False) as file:
            yield file

    def finish(self) -> None:
        """Bring the content to the disk, and give the file its name."""
        os.fsync(self._open_handle())
        if os.name == "nt":
            self.close()  # an open file has no other name there
        os.replace(self.path, self.target)

    def _open_handle(self) -> int:
        if self._handle is None:
            raise ValueError(f"{self.path} is closed")
        return self._handle

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()


@contextlib.contextmanager
def written(path: str | os.PathLike[str], keep: str | os.PathLike[str] | None = None) -> Iterator[UnfinishedFile]:
    """A file to write to; at the end of the block it becomes `path`. A link is written through.

    Whatever happens meanwhile, `path` holds the old file or the new one. keep: the old one goes on under this name.

    Raises FileNotFoundError without the folder, IsADirectoryError where a folder stands, and OSError, which names
    `path` and the reason, where it cannot be written to, as on a full disk. Then nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: expected the name of a file to write", str(target))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"cannot be written: there is no folder {target.parent}", str(target))
    with reported(target):
        names = [target.name] if keep is None else [target.name, Path(keep).name]
        remove_unfinished(target.parent, "|".join(map(re.escape, names)))
        file = UnfinishedFile(target)
        try:
            yield file
            if keep is not None and target.exists():
                _keep(target, Path(keep))
            file.finish()
        except BaseException:
            file.remove()
            raise
        file.close()
    folder_to_disk(target.parent)


@contextlib.contextmanager
def reported(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the system within it name `path` and say what they mean for it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == os.fspath(path):
            raise
        reason = f"cannot be written ({os.strerror(error.errno)}); what stood there before was left as it was"
        raise OSError(error.errno, reason, os.fspath(path)) from error


def _unfinished_name(name: str) -> str:
    return f".{name}.{secrets.token_hex(4)}.tomograd.tmp"


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Raise OSError, which names the folder, if no file can be written into it: it, or the nearest folder above it in
    which it would have to be made, is a file or is read-only. (A full disk is only seen when something is written.)"""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"cannot be written to: {place} is a file", os.fspath(folder))
    options: Any = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    if not os.access(place, os.W_OK | os.X_OK, **options):
        raise PermissionError(errno.EACCES, f"cannot be written to: no permission to write in {place}", str(folder))


def write_whole(handle: int, data: Any) -> None:
    """Write all of `data`, an object that is contiguous bytes. Raises OSError; then a part may have been written."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[os.write(handle, view[:CHUNK]) :]


def remove_unfinished(folder: str | os.PathLike[str], name: str) -> None:
    """Remove what killed processes left of files in `folder` whose whole name matches the regular expression `name`."""
    pattern = re.compile(rf"\.(?:{name})\.[0-9a-f]{{8}}\.tomograd\.tmp", re.DOTALL)
    try:
        found = [entry for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]
    except OSError:
        return
    for entry in found:
        if fcntl is None or not entry.is_file(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            handle = os.open(entry.path, os.O_RDONLY)
            try:
                if _lock(handle, wait=False):
                    os.unlink(entry.path)
            finally:
                os.close(handle)


def _lock(handle: int, wait: bool) -> bool:
    """Whether the file could be locked; some file systems cannot."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _keep(target: Path, other: Path) -> None:
    """Let the file go on under another name; where links exist, there is no moment without `target`."""
    if other.exists() and os.path.samefile(target, other):  # a process was killed here: renaming would do nothing
        return
    link = other.with_name(_unfinished_name(other.name))
    try:
        os.link(target, link)
    except OSError:
        os.replace(target, other)
        return
    os.replace(link, other)


def folder_to_disk(folder: Path) -> None:
    """Bring a folder's entries to the disk; where folders cannot be opened, their entries are journalled."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without
                raise
        finally:
            os.close(handle)
