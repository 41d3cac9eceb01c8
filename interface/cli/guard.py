"""How a command ends: 0, or 2 with one sentence for what the user can put right, or 130 after Ctrl-C.

Anything else is a bug of ours: its traceback is shown, and the exit code is 1.
"""

import _thread
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import typer

from tomograd.failures import UserError

TRACEBACK = "TOMOGRAD_TRACEBACK"
AGAIN = 0.01  # seconds until an interrupt that nobody would have heard is sent once more


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with user errors and Ctrl-C turned into a line on stderr and an exit code."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            with heard_everywhere():
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


def _interrupt_main_thread() -> None:
    """As Ctrl-C does; where the system can, also out of a call that waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextlib.contextmanager
def heard_everywhere() -> Iterator[None]:
    """Within it, Ctrl-C ends the command wherever it comes. Python prints and forgets an exception in a finalizer, and
    training gives back arrays all the time: an interrupt that comes in one is sent again a little later."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_name == "__del__":
                threading.Timer(AGAIN, _interrupt_main_thread).start()
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
