"""Batches made ready on a thread while a step runs, with the very numbers of a run that makes each one when asked.

The thread goes over an iterator and keeps a few batches in hand. What it must not do is draw from `tg.random` out of
turn: the draws of the batches and those of the steps (dropout, say) come from one stream, and a seed has to give the
same run. So in this thread the first draw for a batch waits until the loop asks for it (`random.before_drawing`): then
the loop stands still until it has the batch, and the stream is drawn from in the order of a run without a thread. Data
that draw from generators of their own, or nothing at all, are loaded ahead freely. (Who keeps `Generator.numpy` itself
and draws from it goes around this.)
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..engine import random

DEPTH = 2  # batches in hand

_most: contextvars.ContextVar[int | None] = contextvars.ContextVar("most", default=None)


@contextmanager
def using_prefetch(depth: int) -> Iterator[None]:
    """Within it `fit`, `evaluate` and `predict` have at most `depth` batches made ready ahead; 0: there is no thread.

    For data that have to be read in the thread that made them.
    """
    token = _most.set(int(depth))
    try:
        yield
    finally:
        _most.reset(token)


def depth_for(wanted: int) -> int:
    """How many batches to have in hand where the data would have `wanted`."""
    most = _most.get()
    return wanted if most is None else min(wanted, most)


class Ahead:
    """The batches of `iterator`, up to `depth` of them made ready on a thread.

    Never more than `allow` said are drawn altogether (without limit if it was not called). An error in the thread is
    raised by the `next` for its batch. `close` ends the thread, waiting for the batch that it is at, and closes the
    iterator; so does the end of this object.
    """

    def __init__(self, iterator: Iterator[Any], depth: int) -> None:
        self._shared = _Shared(depth)
        context = contextvars.copy_context()  # the backend in use, whether gradients are recorded …
        self._thread = threading.Thread(
            target=context.run, args=(_load, iterator, self._shared), name="tomograd-feed", daemon=True
        )
        self._started = False

    def allow(self, further: int) -> None:
        """Let it draw so many more batches than were taken."""
        with self._shared.changed:
            self._shared.allowed = self._shared.asked + further
            self._shared.changed.notify_all()

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Any:
        if not self._started:
            self._started = True
            self._thread.start()
        return self._shared.take()

    def close(self) -> None:
        self._shared.stop()
        if self._started and self._thread is not threading.current_thread():
            self._thread.join()

    def __del__(self) -> None:
        self._shared.stop()


class _Stopped(BaseException):
    """Raised where the thread waits when nobody wants its batches any more; not an Exception, so that the data's code
    does not take it for one of its own."""


class _Shared:
    """What the loop and the thread both know. Batches are counted from 1."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.changed = threading.Condition()
        self.ready: deque[tuple[Any, BaseException | None]] = deque()
        self.asked = 0  # the batch that the loop has, or waits for
        self.made = 0  # how many the thread has handed over
        self.allowed: int | None = None
        self.stopped = self.finished = False

    def take(self) -> Any:
        """The loop's: the next batch, as soon as it is there. Raises the error that came in its place."""
        with self.changed:
            if self.finished and not self.ready:
                raise StopIteration
            self.asked += 1
            self.changed.notify_all()
            while not self.ready:
                self.changed.wait()
            batch, error = self.ready.popleft()
        if error is not None:
            raise error
        return batch

    def stop(self) -> None:
        with self.changed:
            self.stopped = self.finished = True
            self.changed.notify_all()

    def room(self) -> None:
        """The thread's: wait until another batch is wanted."""
        with self.changed:
            while not self.stopped and (
                self.made >= self.asked + self.depth or (self.allowed is not None and self.made >= self.allowed)
            ):
                self.changed.wait()
            self._check()

    def asked_for(self) -> None:
        """The thread's: wait until the loop waits for the batch that is being made."""
        with self.changed:
            while not self.stopped and self.asked <= self.made:
                self.changed.wait()
            self._check()

    def put(self, batch: Any, error: BaseException | None = None) -> None:
        with self.changed:
            self.made += 1
            self.ready.append((batch, error))
            self.finished = self.finished or error is not None
            self.changed.notify_all()

    def _check(self) -> None:
        if self.stopped:
            raise _Stopped


def _load(iterator: Iterator[Any], shared: _Shared) -> None:
    """The thread's work. The iterator is closed here: a generator cannot be closed by one thread while another is in
    it."""
    try:
        with random.before_drawing(shared.asked_for):
            while True:
                shared.room()
                shared.put(next(iterator))
    except _Stopped:
        pass
    except BaseException as error:  # StopIteration, too: the loop raises it
        shared.put(None, error)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
