"""Launches captured into a CUDA graph, which one call launches again.

    graph = Graph(function, inputs)       # function() computes from the arrays `inputs` on a GPU; it is not run
    graph.launch(arrays)                  # the same with what the inputs hold now; graph.result is filled anew

A graph repeats launches with the same addresses and numbers, and nothing else. So while one is captured all that would
go another way next time is refused with a `CaptureError`: numbers read back from the GPU, arrays copied from main
memory, random draws. What a step needs of that is noted instead, and done before every launch: arrays that are drawn
(`fed`), checks of inputs, which look at the same numbers in main memory (`check_input`), and what main memory does for
an optimizer's step (`each_launch` within `steps_if_finite`): its numbers are computed anew, and where another step than
the captured one is due, a `DifferentStepError` says so before anything is drawn or launched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np

from ..kernels import repeated
from ..kernels.repeated import DifferentStepError
from . import random
from .device import Array, gpu_library

Check = Callable[[np.ndarray], None]
ROOM = 512  # numbers that the optimizer's launches in a graph may take: they take ten at most, for each type of weights


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

    Raises CaptureError if something cannot be captured, DifferentStepError if it could be at another step; then nothing
    has happened on the GPU.
    """

    def __init__(self, function: Callable[[], Any], inputs: Sequence[Array]) -> None:
        self.inputs = list(inputs)
        self._makers: list[Callable[[], np.ndarray]] = []
        self._checks: list[tuple[int, tuple[int, ...], Check]] = []
        self._same: list[tuple[Array, Array]] = []  # arrays with the same numbers, in another type
        self._host_parts: list[Callable[[], None]] = []
        self._numbers: repeated.Numbers | None = None
        cupy = gpu_library()
        self._cupy, self._pool, self._filled = cupy, cupy.cuda.MemoryPool(), _Filled(cupy)
        stream = cupy.cuda.Stream(non_blocking=True)
        with cupy.cuda.using_allocator(self._pool.malloc), stream, self._noting(), _no_copies(cupy):
            stream.begin_capture()
            try:
                self.result = function()
            except Exception as error:
                _abandon(stream)
                if isinstance(error, DifferentStepError):
                    raise
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
        self._makers.append(make)
        return self._filled.add(shape, dtype)

    @contextmanager
    def steps(self, loss: Array) -> Iterator[None]:
        """Within it, optimizers' steps can be captured."""
        self._numbers = repeated.Numbers(self.feed(self._renewed, (ROOM,), np.float64), loss.astype(np.float64))
        with repeated.captured_with(self._numbers):
            yield

    def _renewed(self) -> np.ndarray:
        assert self._numbers is not None
        return self._numbers.values

    def repeat(self, host_part: Callable[[], None]) -> None:
        """Do it now, and before each launch."""
        if self._numbers is None:
            raise CaptureError("an optimizer's step depends on numbers of main memory")
        self._host_parts.append(host_part)
        host_part()

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
        """Launch on the current stream. arrays: the inputs' numbers in main memory, to be checked.

        Raises DifferentStepError where an optimizer's step would be another one than that which was captured.
        """
        for index, shape, check in self._checks:
            check(arrays[index].reshape(shape))
        if self._numbers is not None:
            with repeated.renewed(self._numbers):
                for host_part in self._host_parts:
                    host_part()
        stream = self._cupy.cuda.get_current_stream()
        self._filled.fill((make() for make in self._makers), stream)
        self._graph.launch(stream)


class _Filled:
    """Arrays on a GPU that are filled from main memory before each launch, through pinned buffers: the copies are
    queued before the launch on its stream, and none waits for the GPU. A buffer is written again when its last copy has
    been made."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._arrays: list[Array] = []
        self._buffers: list[np.ndarray] = []
        self._copied: Any = None  # the event after the copies for the launch before

    def add(self, shape: tuple[int, ...], dtype: Any) -> Array:
        self._arrays.append(self._cupy.empty(shape, dtype))
        return self._arrays[-1]

    def fill(self, values: Iterable[np.ndarray], stream: Any) -> None:
        """Queue the copies of as many arrays as there are."""
        if not self._arrays:
            return
        if not self._buffers:
            self._buffers = [self._pinned(array) for array in self._arrays]
        if self._copied is None:
            self._copied = self._cupy.cuda.Event(disable_timing=True)
        else:
            self._copied.synchronize()
        try:
            for array, buffer, value in zip(self._arrays, self._buffers, values, strict=True):
                buffer[...] = value
                if array.size:
                    array.set(buffer, stream=stream)
        finally:
            self._copied.record(stream)

    def _pinned(self, array: Array) -> np.ndarray:
        if not array.size:
            return np.empty(array.shape, array.dtype)
        memory = self._cupy.cuda.alloc_pinned_memory(array.nbytes)
        return np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)


def steps_if_finite(loss: Array) -> AbstractContextManager[None]:
    """Within it, in a capture, what optimizers launch for their steps changes nothing at launches of the graph for
    which `loss`, a number on the GPU, is not finite. Raises CaptureError outside of a capture."""
    if _current.graph is None:
        raise CaptureError("nothing is being captured")
    return _current.graph.steps(loss)


def capturing() -> bool:
    """Whether this thread captures a graph."""
    return _current.graph is not None


def each_launch(host_part: Callable[[], None]) -> None:
    """Do the part of an optimizer's step that is main memory's, with the launches of kernels that it has numbers for;
    in a capture also before each launch of the graph, when the kernels' launches only renew their numbers."""
    if _current.graph is None:
        host_part()
    else:
        _current.graph.repeat(host_part)


def require_no_graph(step: str) -> None:
    """Raise DifferentStepError where a step is captured, or repeated by a graph: this one must run as it is written."""
    if repeated.current() is not None:
        raise DifferentStepError(step)


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
