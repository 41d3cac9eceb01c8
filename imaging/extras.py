"""Libraries of the `imaging` extra: imported when a file needs them, their warnings kept off the terminal."""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import warnings
from collections.abc import Iterator
from os import PathLike
from types import ModuleType

from .errors import ImagingError

INSTALL = 'pip install "tomograd[imaging]"'


def require(module: str, path: str | PathLike[str] | None = None) -> ModuleType:
    """Import `module`, or raise an ImagingError saying which package is missing and how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"PIL": "pillow"}.get(module.split(".")[0], module.split(".")[0])
        raise ImagingError(path, f"needs the package {package}, which is not installed: {INSTALL}") from error


def mute(module: str) -> None:
    """Let the warnings of a library not be shown: what matters of them is raised as an error here.

    The filter comes last, so that any that the user set himself goes before it. There is no way to set one for a while
    only: warnings.catch_warnings swaps the whole process's filters, and batches are read on a thread.
    """
    warnings.filterwarnings("ignore", module=rf"{module}(\.|$)", append=True)


@contextlib.contextmanager
def logged_errors(name: str) -> Iterator[list[str]]:
    """The errors that a library only logs (in this thread), in a list instead of on the terminal."""
    messages: list[str] = []
    here = threading.get_ident()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR and record.thread == here:
                messages.append(record.getMessage())

    logger, handler = logging.getLogger(name), Keep()
    logger.addHandler(handler)  # with a handler of its own, the logger does not fall back on stderr
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
