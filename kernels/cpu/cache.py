"""Where compiled kernels are kept on disk, so that a kernel is compiled once per machine and is never stale.

A kernel is one object file. The folder's name holds a hash over every source of this package and over the versions of
Numba, llvmlite and Python, so that any change leads to an empty folder; the file's name holds a hash over the
processor, the body and the types that it was compiled for. Files are written under another name and renamed, so that
any number of processes may fill the folder at once, and begin with a checksum: one that was cut off counts as none.

The folder is `$TOMOGRAD_CACHE`, else `$XDG_CACHE_HOME/tomograd`, else `~/.cache/tomograd`. What lies in it is run: a
folder or a file that belongs to somebody else, that others may write to, or that is a link is not used.
"""

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import llvmlite
import numba

SUFFIX = ".o"


@cache
def source_hash() -> str:
    """A hash of all that decides what machine code a kernel becomes, except the processor."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    kernels = Path(__file__).parents[1]
    for source in sorted(kernels.rglob("*.py")):
        digest.update(str(source.relative_to(kernels)).encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def _root() -> Path:
    chosen = os.environ.get("TOMOGRAD_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tomograd"


def _is_trusted(status: os.stat_result) -> bool:
    """True if a folder or file belongs to this user or to the administrator, and nobody else may write to it (always
    true where there are no such rights)."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def folder() -> Path | None:
    """The folder of this version's kernels, made if need be; None if there is no safe place, with a warning that says
    why.

    A folder that can only be read is good: what it holds is loaded, what it does not hold is compiled at every start.
    """
    try:
        path = _root() / "kernels" / source_hash()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise PermissionError("it is a link")
        if not _is_trusted(status):
            raise PermissionError("it belongs to another user, or others may write to it")
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
        warnings.warn(
            f"tomograd compiles its kernels anew at every start: {_described_root()} cannot be used ({error}); set "
            "TOMOGRAD_CACHE to a folder of your own",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return path


def _described_root() -> str:
    try:
        return str(_root())
    except RuntimeError:
        return "the cache folder"


@cache
def _warn_not_kept(path: str, error: str) -> None:
    """Once for each folder and reason."""
    warnings.warn(f"compiled kernels cannot be kept in {path}: {error}", RuntimeWarning, stacklevel=4)


def load(name: str) -> bytes | None:
    """What was kept under `name`; None if there is nothing, or nothing that can be trusted to be whole and ours."""
    place = folder()
    if place is None:
        return None
    try:
        descriptor = os.open(place / (name + SUFFIX), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) and _is_trusted(status)):
            return None
        try:
            checksum, content = file.read(hashlib.sha256().digest_size), file.read()
        except OSError:
            return None
    return content if hashlib.sha256(content).digest() == checksum else None


def keep(name: str, content: bytes) -> None:
    """Keep `content` under `name`, instead of what is there; where that cannot be done, a warning says why (but not for
    a folder that can only be read)."""
    place = folder()
    if place is None:
        return
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=place, prefix=name, suffix=".tmp")
        with open(descriptor, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, place / (name + SUFFIX))
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if os.access(place, os.W_OK):  # else it was meant to be read only
            _warn_not_kept(str(place), error.strerror or str(error))


def contents() -> tuple[int, int]:
    """How many kernels are kept, and how many bytes they take."""
    place = folder()
    sizes = (
        [] if place is None else [entry.stat().st_size for entry in os.scandir(place) if entry.name.endswith(SUFFIX)]
    )
    return len(sizes), sum(sizes)
