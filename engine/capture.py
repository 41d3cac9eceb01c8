"""Launches captured into a CUDA graph, which one call launches again.

    graph = Graph(function, inputs)       # function() computes from the arrays `inputs` on a GPU; it is not run
    graph.launch(arrays)                  # the same with what the inputs hold now; graph.result is filled anew

A graph repeats launches with the same addresses and numbers, and nothing else. So while one is captured all that would
go another way next time is refused with a `CaptureError`: numbers read back from the GPU, arrays copied from main
memory, random draws. What a step needs of that is noted instead, and done before every launch: arrays that are drawn
(`fed`), and checks of inputs, which look at the same numbers in main memory (`check_input`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from . import random
from .device import Array, gpu_library

Check = Callable[[np.ndarray], None]


class CaptureError(RuntimeError):
    """What cannot be captured, and why."""


class _Current(threading.local):
    """The capture that this thread is in."""

    graph: Graph | None = None


_current = _Current()


class Graph:
    """function()'s launches, captured; `result` is what it returned, whose arrays each launch fills.

    inputs: the arrays on the GPU that differ from launch to launch. All that the function computes lies in memory that
    is the graph's own. Everything must have been compiled before: run the function once.

    Raises CaptureError if something cannot be captured; then nothing has happened.
    """

    def __init__(self, function: Callable[[], Any], inputs: Sequence[Array]) -> None:
        self.inputs = list(inputs)
        self._fed: list[tuple[Callable[[], np.ndarray], Array]] = []
        self._checks: list[tuple[int, tuple[int, ...], Check]] = []
        self._same: list[tuple[Array, Array]] = []  # arrays with the same numbers, in another type
        cupy = gpu_library()
        self._cupy, self._pool = cupy, cupy.cuda.MemoryPool()
        stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(self._pool.malloc), stream, self._noting(), _no_copies(cupy):
            stream.begin_capture()
            try:
                self.result = function()
            except Exception as error:
                _abandon(stream)
                raise CaptureError(str(error) or type(error).__name__) from error
            self._graph = stream.end_capture()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        def refuse() -> None:
            raise CaptureError("random numbers are drawn in main memory")

        _current.graph = self
        try:
            with random.before_drawing(refuse, everywhere=True):
                yield
        finally:
            _current.graph = None

    def feed(self, make: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any) -> Array:
        """An array that make() gives before each launch."""
        array = self._cupy.empty(shape, dtype)
        self._fed.append((make, array))
        return array

    def check(self, values: Array, check: Check) -> None:
        """Note a check of an input's numbers. Raises CaptureError for other numbers."""
        for converted, original in self._same:
            if converted.data.ptr == values.data.ptr and converted.size == values.size:
                values = original.reshape(values.shape)
        for index, array in enumerate(self.inputs):
            if values.data.ptr == array.data.ptr and values.size == array.size and values.dtype == array.dtype:
                self._checks.append((index, values.shape, check))
                return
        raise CaptureError("numbers that the GPU computes are looked at in main memory")

    def launch(self, arrays: Sequence[np.ndarray]) -> None:
        """Launch on the current stream. arrays: the inputs' numbers in main memory, to be checked."""
        for index, shape, check in self._checks:
            check(arrays[index].reshape(shape))
        for make, array in self._fed:
            array.set(make())
        self._graph.launch(self._cupy.cuda.get_current_stream())


def fed(make: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any, x: Array) -> Array:
    """make(), which has this shape and type, where x lies; in a capture an array that is made before each launch."""
    if _current.graph is None:
        from .tensor import beside

        return beside(make(), x)
    return _current.graph.feed(make, shape, dtype)


def same_numbers(converted: Array, original: Array) -> None:
    """Note that one array is the other in another type: a check of it is one of the other."""
    if _current.graph is not None and not isinstance(converted, np.ndarray):
        _current.graph._same.append((converted, original))


def check_input(values: Array, check: Check) -> bool:
    """Whether `check` was noted, to be done before each launch: in a capture. Else it is to be done now."""
    if _current.graph is None or isinstance(values, np.ndarray):
        return False
    _current.graph.check(values, check)
    return True


@contextmanager
def _no_copies(cupy: Any) -> Iterator[None]:
    """Within it this thread copies nothing to the GPU: CuPy asks for pinned memory where it does, and is refused."""
    thread, pool = threading.get_ident(), cupy.get_default_pinned_memory_pool()

    def refuse(size: int) -> Any:
        if threading.get_ident() == thread:
            raise CaptureError("an array is copied from main memory")
        return pool.malloc(size)

    cupy.cuda.set_pinned_memory_allocator(refuse)
    try:
        yield
    finally:
        cupy.cuda.set_pinned_memory_allocator(pool.malloc)


def _abandon(stream: Any) -> None:
    """End a capture that failed. The runtime may have ended it already, and say so: the first error is the one told."""
    with suppress(Exception):
        stream.end_capture()
