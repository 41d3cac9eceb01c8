"""Runs a kernel's body over a range, on as many threads as pay.

    run(scale, x.size, 4096, x, y, x.dtype.type(2))

A row of parts, whose bounds depend on the number of threads alone, is handed to the team of threads (`team`), which
calls the body's C function (`bodies`) for one after the other. So results repeat bit for bit at a fixed number of
threads.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

from .bodies import HEADER, compiled_for, described
from .team import MOST, team

PARTS_PER_THREAD = 8  # enough that the last part of a slow thread is short, few enough that parts stay long


_threads = max(1, min(int(os.environ.get("TOMOGRAD_NUM_THREADS", MOST)), MOST))


def threads() -> int:
    """How many threads a kernel may use: `TOMOGRAD_NUM_THREADS`, else all of the process's processors; one where the
    system has no threads of POSIX."""
    return _threads


@contextlib.contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Within it, kernels of the whole process use at most `number` threads."""
    global _threads
    if not 1 <= number <= MOST:
        raise ValueError(f"threads: {number} given, expected 1 to {MOST}")
    before, _threads = _threads, number
    try:
        yield
    finally:
        _threads = before


def run(body: Callable, count: int, grain: int, *arguments) -> None:
    """Runs `body` over 0 ≤ i < count, in equal contiguous parts of at least `grain` items, some parts a thread.

    A thread that is done with a part takes the next: one that the system holds up does not hold up the others.
    `grain` is how many items make a second thread worth its while, which may have to be woken: some 20,000 simple
    operations' worth. Arrays must be C-contiguous; the body must write only what belongs to its own items.
    """
    if count <= 0:
        return
    key, values = described(body, arguments)
    code = compiled_for(key, arguments)
    workers, parts = threads(), count // (grain or 1)
    launch = code.slots()
    address = ctypes.addressof(launch)
    alone = workers == 1 or parts <= 1
    code.pack(launch, 0, code.address, count, 1 if alone else min(parts, PARTS_PER_THREAD * workers), *values)
    notes = _notes.get()
    if notes is not None:
        notes.take(launch, 1 if alone else min(parts, workers), arguments)
    if alone:
        code.call(0, count, address + 8 * HEADER)
        return
    team().lead(address, min(parts, workers))


class Notes(Protocol):
    """What takes down launches (`recording`)."""

    def take(self, header: ctypes.Array, workers: int, arguments: tuple) -> None:
        """A launch of so many workers, made from these arguments, that is just to begin: its header and arguments in
        memory."""


_notes: ContextVar[Notes | None] = ContextVar("notes of launches", default=None)


def notes() -> Notes | None:
    """What takes down this thread's launches, if anything does."""
    return _notes.get()


@contextlib.contextmanager
def noted_by(taker: Notes) -> Iterator[None]:
    """Within it, launches of this thread are noted too."""
    token = _notes.set(taker)
    try:
        yield
    finally:
        _notes.reset(token)
