"""Where compiled kernels are kept on disk, so that a kernel is compiled once per machine and is never stale.

Numba's own cache (`cache=True`) looks only at the file that holds the function: a kernel whose *helper* changed would
be loaded in its old form. Here the folder's name holds a hash over every source of this package and over the versions
of Numba, llvmlite and Python, so that any change leads to an empty folder. The processor's name and features are part
of Numba's key already.

The folder is `$TOMOGRAD_CACHE`, else `$XDG_CACHE_HOME/tomograd`, else `~/.cache/tomograd`. Cached kernels are machine
code and pickles: a folder that belongs to somebody else, or that others may write to, is not used.
"""

import hashlib
import os
import stat
import sys
import warnings
from functools import cache
from pathlib import Path

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, _CacheLocator


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


def _is_trusted(folder: Path) -> bool:
    """True if `folder` belongs to this user or to the administrator, and nobody else may write to it (always true where
    there are no such rights)."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
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
        if not _is_trusted(path):
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


class _Locator(_CacheLocator):
    """Tells Numba the folder; the stamp is constant because the folder's name already says which sources it is for."""

    def __init__(self, py_func, py_file):
        self._file = py_file

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)

    def get_cache_path(self):
        return str(folder())

    def get_source_stamp(self):
        return source_hash()

    def get_disambiguator(self):
        return hashlib.sha256(os.path.abspath(self._file).encode()).hexdigest()[:10]


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  (Numba's own class attribute)


class KernelCache(FunctionCache):
    """Numba's function cache in our folder. A damaged entry (a full disk, a cut-off write) counts as none."""

    _impl_class = _CacheImpl

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling foreign bytes may raise anything; compiling anew is always right
            return None

    def save_overload(self, sig, data):
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # the damaged index cannot be added to: begin a new one
                self.flush()
                super().save_overload(sig, data)
        except OSError as error:
            if os.access(self.cache_path, os.W_OK):  # else it was meant to be read only
                _warn_not_kept(self.cache_path, error.strerror or str(error))


def cache_for(py_func):
    """The cache for one Python function."""
    return NullCache() if folder() is None else KernelCache(py_func)
