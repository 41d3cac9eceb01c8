"""How a command ends: 0, or 2 with one sentence for what the user can put right, or 130 after Ctrl-C.

Anything else is a bug of ours: its traceback is shown, and the exit code is 1.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from tomograd.failures import UserError

TRACEBACK = "TOMOGRAD_TRACEBACK"


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with user errors and Ctrl-C turned into a line on stderr and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(130) from None
        except Exception as error:
            sentence = explanation(error)
            if sentence is None or os.environ.get(TRACEBACK):
                raise
            _say(f"error: {sentence}")
            raise typer.Exit(2) from None

    return run


def explanation(error: Exception) -> str | None:
    """What the user can put right about `error`, in one sentence; None for an error that is a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'a smaller --batch-size or --crop takes less'}"
    from tomograd.imaging import ImagingError
    from tomograd.models import CheckpointError

    return str(error) if isinstance(error, ImagingError | CheckpointError) else None


def _say(text: str) -> None:
    """One line on stderr; a terminal's half-drawn progress bar is left on its own line."""
    start = "\n" if sys.stderr.isatty() and text == "interrupted" else ""
    print(start + "tomograd: " + " ".join(text.split()), file=sys.stderr, flush=True)
