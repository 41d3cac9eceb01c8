"""Times what runs on a GPU by the GPU's own events, whichever library it is called through.

A kernel is timed alone: before each run more bytes are written than the second-level cache holds, so that it finds none
of its operands there, and so long that Python has queued the run before the GPU comes to it; what is timed lies between
two events, and no launch is waited for. A step of a network is timed as a user has it: many in a row, between two
events, with all that Python needs to launch them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

SETTLED = 3  # runs of which the quickest says how long Python needs
MARGIN = 1.5  # times as long as that the cache is written to
MOST_WRITES = 20  # before a run: one that waits for the GPU itself is not hidden by more of them
CACHES = 8  # times the second-level cache is what is written
LEAST = 256 * 2**20  # bytes that are written


class Queue(Protocol):
    """What a library tells of the GPU's queue of work."""

    def event(self) -> Any:
        """A mark in the queue, now."""

    def seconds(self, first: Any, last: Any) -> float:
        """Between two marks that the GPU has passed."""

    def wait(self) -> None:
        """Until the GPU has done all it was asked for."""

    def write_over_cache(self) -> None:
        """Queue a write of more bytes than the second-level cache holds."""


class Timed(NamedTuple):
    """Seconds of one run (the median), and what the clock on the wall says that a run took with all that is around."""

    seconds: float
    turn: float


def bytes_to_write(cache: int) -> int:
    """So many that nothing else is left in a cache of this size."""
    return max(LEAST, CACHES * cache)


def in_a_row(queue: Queue, run: Callable[[], Any], runs: int) -> Timed:
    """Of several runs one after the other, the mean."""
    queue.wait()
    first = queue.event()
    for _ in range(runs):
        run()
    last = queue.event()
    queue.wait()
    seconds = queue.seconds(first, last) / runs
    return Timed(seconds, seconds)


def alone(queue: Queue, run: Callable[[], Any], runs: int, writes: int = 1) -> Timed:
    """Of several runs each by itself, with an empty cache, the median. `writes` as `writes_to_hide` says."""
    queue.wait()
    start, marks = time.perf_counter(), []
    for _ in range(runs):
        for _ in range(writes):
            queue.write_over_cache()
        first = queue.event()
        run()
        marks.append((first, queue.event()))
    queue.wait()
    turn = (time.perf_counter() - start) / runs
    return Timed(statistics.median(queue.seconds(*both) for both in marks), turn)


def writes_to_hide(queue: Queue, run: Callable[[], Any]) -> int:
    """How many writes over the cache take longer than Python needs to queue a run."""
    queueing = []
    for _ in range(SETTLED):
        queue.wait()
        start = time.perf_counter()
        run()
        queueing.append(time.perf_counter() - start)
    queue.wait()
    first = queue.event()
    queue.write_over_cache()
    last = queue.event()
    queue.wait()
    write = max(queue.seconds(first, last), 1e-6)
    return max(1, min(MOST_WRITES, math.ceil(MARGIN * min(queueing) / write)))
