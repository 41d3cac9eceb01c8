"""What training shows: a progress bar in a terminal, plain lines in a log file (no control characters there)."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from .base import Callback, Logs

FIRST_LINE_AFTER = 15.0  # seconds into an epoch; the later lines follow after twice the time each


def numbers(logs: Mapping[str, Any] | None) -> str:
    """ "loss 0.1234 · dice 0.873": four digits, arrays in brackets."""
    return " · ".join(f"{name} {number(value)}" for name, value in (logs or {}).items())


def number(value: Any) -> str:
    """Four significant digits; arrays in brackets."""
    if np.ndim(value):
        return "[" + " ".join(number(entry) for entry in np.ravel(value)) + "]"
    return f"{float(value):.4f}" if 1e-3 <= abs(float(value)) < 1e4 or value == 0 else f"{float(value):.3e}"


def duration(seconds: float) -> str:
    """ "8.3 s", "2 min 05 s", "3 h 12 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def in_terminal() -> bool:
    """Whether standard output is a terminal that can redraw a line."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class ProgressBar(Callback):
    """The training's progress: a line an epoch, and within the epoch a bar with step, loss, metrics and time left.

    Where standard output is no terminal there is no bar, and in a long epoch a plain line now and then (after 15
    seconds, 30, 60, …). bar=False shows the epochs' lines only, in a terminal too.
    """

    def __init__(self, bar: bool = True) -> None:
        self.bar = bar
        self._display: Any = None
        self._epochs_after = 0
        self._epoch_seconds: float | None = None  # of the last whole epoch, validation included

    def __getstate__(self) -> dict[str, Any]:
        """A copy draws nothing before it is told to."""
        return vars(self) | {"_display": None}

    # ------------------------------------------------------------------------------------------------- training

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._draw = self.bar and in_terminal()

        self._epoch_seconds = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epochs_after = self.params["epochs"] - epoch - 1
        self._title = f"epoch {epoch + 1}/{self.params['epochs']}"
        self._validating = False
        self._open(self._title)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = self._epoch_seconds = time.monotonic() - self._start
        self.close()
        self._print(f"{self._title} · {duration(seconds)} · {numbers(logs)}")

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    # ----------------------------------------------------------------------------------- evaluation and prediction

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._validating = hasattr(self, "_title")
        if self._validating:
            if self._display is not None:
                self._display.update(self._task, numbers="validation", refresh=True)
        else:
            self._draw = self.bar and in_terminal()
            self._open("evaluate")

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._validating:
            self._advance(batch + 1, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._validating:
            seconds = time.monotonic() - self._start
            self.close()
            self._print(f"evaluate · {duration(seconds)} · {numbers(logs)}")

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._draw = self.bar and in_terminal()
        self._open("predict")

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch + 1, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self.close()

    # -------------------------------------------------------------------------------------------------- drawing

    def _open(self, title: str) -> None:
        self.close()
        self._label = title
        self._start = self._last = time.monotonic()
        self._next_line = FIRST_LINE_AFTER
        self._first: tuple[int, float] | None = None
        if self._draw:
            self._display = _progress()
            self._task = self._display.add_task(title, total=self.params.get("steps"), numbers="", left="")
            self._display.start()

    def _advance(self, done: int, logs: Logs | None) -> None:
        elapsed = time.monotonic() - self._start
        if self._first is None:
            # The first step compiles kernels and says nothing about the others; after a backup it is not step 1.
            self._first = done, elapsed
        if self._display is not None:
            total, left = self.params.get("steps"), self._left(done, elapsed)
            clock = "" if left is None else f"{round(left) // 60:02d}:{round(left) % 60:02d} left"
            self._display.update(self._task, completed=done, total=total, numbers=numbers(logs), left=clock)
        elif elapsed >= self._next_line and self.bar:
            self._next_line *= 2
            self._print(self._plain(done, elapsed, logs))

    def _left(self, done: int, elapsed: float) -> float | None:
        """Seconds until the end of all epochs, if they are as long as this one so far (or as the last one)."""
        total = self.params.get("steps")
        first, until_first = self._first or (done, elapsed)
        if not total or done == first:
            return None
        step = (elapsed - until_first) / (done - first)
        epoch = self._epoch_seconds or step * total
        return step * max(total - done, 0) + self._epochs_after * epoch

    def _plain(self, done: int, elapsed: float, logs: Logs | None) -> str:
        total, left = self.params.get("steps"), self._left(done, elapsed)
        line = f"{self._label} · step {done}" + (f"/{total}" if total else "")
        line += "" if left is None else f" · {duration(left)} left"
        return f"{line} · {numbers(logs)}" if logs else line

    def close(self) -> None:
        """Take the bar away, as at the end; also when the training ends by an error."""
        if self._display is not None:
            self._display.stop()
            self._display = None

    def _print(self, line: str) -> None:
        if self._draw:  # break lines between words, not within
            line = textwrap.fill(line, shutil.get_terminal_size().columns - 1, subsequent_indent="    ")
        print(line, flush=True)


ProgbarLogger = ProgressBar
"""Keras's name of it."""


def _progress() -> Any:
    """A bar for one epoch that is taken away at its end; the numbers are cut off where the line is too short."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[numbers]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=Console(file=sys.stdout),
        transient=True,
        expand=True,
        refresh_per_second=5,
    )
