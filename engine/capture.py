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

import operator
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
HostValues = Callable[[Sequence[np.ndarray]], np.ndarray]  # of an array, from the inputs' numbers in main memory
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
        self._constants: list[tuple[Array, np.ndarray]] = []  # and their values
        self._checks: list[tuple[HostValues, tuple[int, ...], Check]] = []
        # Arrays whose numbers main memory has too; None: those that layers drew or worked out, which need no check.
        self._known: list[tuple[Array, HostValues | None]] = []
        for index, array in enumerate(self.inputs):
            self._known.append((array, operator.itemgetter(index)))
        self._host_parts: list[Callable[[], None]] = []
        self._numbers: repeated.Numbers | None = None
        self.launches = 0
        cupy = gpu_library()
        self._cupy, self._filled = cupy, _Filled(cupy)
        # Of arrays that are filled before a launch, and of all others. None of the first may lie where another one did:
        # whatever wrote to that one would write there at each launch.
        self._given, self._own = _Memory(cupy), _Memory(cupy)
        stream = cupy.cuda.Stream(non_blocking=True)
        with self._own.in_use(), stream, self._noting(), _no_copies(cupy):
            stream.begin_capture()
            try:
                self.result = function()
            except Exception as error:
                _abandon(stream)
                if isinstance(error, DifferentStepError):
                    raise
                raise CaptureError(str(error) or type(error).__name__) from error
            self._graph = stream.end_capture()
        for array, value in self._constants:
            array.set(value)

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
        with self._given.in_use():
            array = self._cupy.empty(shape, dtype)
        self._filled.add(array)
        self._known.append((array, None))
        return array

    def constant(self, value: np.ndarray) -> Array:
        """An array that is the same at each launch."""
        with self._given.in_use():
            array = self._cupy.empty(value.shape, value.dtype)
        self._constants.append((array, np.array(value)))
        self._known.append((array, None))
        return array

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
        """Note a check of an input's numbers. Raises CaptureError for numbers that the GPU computes."""
        entry = self._entry(values)
        if entry is None:
            raise CaptureError("numbers that the GPU computes are looked at in main memory")
        _, known = entry
        if known is not None:
            self._checks.append((known, values.shape, check))

    def derive(self, values: Array, source: Array, how: Callable[[np.ndarray], np.ndarray]) -> None:
        """Note that `values` are how(source), if something is known of the source."""
        entry = self._entry(source)
        if entry is not None:  # the array is kept, so that no other one comes to lie there
            _, known = entry
            self._known.append((values, None if known is None else lambda arrays: how(known(arrays))))

    def _entry(self, values: Array) -> tuple[Array, HostValues | None] | None:
        """What is known of the numbers of an array."""
        return next((entry for entry in self._known if _are_same(values, entry[0])), None)

    def launch(self, arrays: Sequence[np.ndarray]) -> None:
        """Launch on the current stream. arrays: the inputs' numbers in main memory, to be checked.

        Raises DifferentStepError where an optimizer's step would be another one than that which was captured.
        """
        for values, shape, check in self._checks:
            with np.errstate(invalid="ignore"):  # labels that are NaN are for the check to see
                host = values(arrays)
            check(host.reshape(shape))
        if self._numbers is not None:
            with repeated.renewed(self._numbers):
                for host_part in self._host_parts:
                    host_part()
        self.launches += 1
        stream = self._cupy.cuda.get_current_stream()
        self._filled.fill((make() for make in self._makers), stream)
        self._graph.launch(stream)


def _are_same(x: Array, y: Array) -> bool:
    """Whether two arrays on the GPU hold the same numbers, perhaps in another shape."""
    return bool(x.data.ptr == y.data.ptr and x.size == y.size and x.dtype == y.dtype)


class _Memory:
    """A pool whose memory stays for as long as it does. CuPy's give back what no array holds any more when the GPU is
    full, or when a stream has no array left; but launches that were captured use it at each launch of their graph."""

    def __init__(self, cupy: Any) -> None:
        kept: list[Any] = []

        def allocate(size: int) -> Any:
            kept.append(cupy.cuda.Memory(size))
            return cupy.cuda.MemoryPointer(kept[-1], 0)

        self._cupy, self._pool = cupy, cupy.cuda.MemoryPool(allocate)

    def in_use(self) -> AbstractContextManager[None]:
        """Within it this thread's arrays lie there."""
        return self._cupy.cuda.using_allocator(self._pool.malloc)


class Later:
    """An array of main memory that is drawn before each launch of a graph. example: one of its shape and type."""

    def __init__(self, value: Callable[[], np.ndarray], example: np.ndarray) -> None:
        self.value, self.example = value, example


class _Draws:
    """What draw() gives, once for each launch of a graph: when it is first asked for."""

    def __init__(self, graph: Graph, draw: Callable[[], Any]) -> None:
        self._graph, self._draw = graph, draw
        self._launch = 0

    def __call__(self) -> Any:
        if self._launch != self._graph.launches:
            self._launch, self._drawn = self._graph.launches, self._draw()
        return self._drawn


class _Filled:
    """Arrays on a GPU that are filled from main memory before each launch, through pinned buffers: the copies are
    queued before the launch on its stream, and none waits for the GPU. A buffer is written again when its last copy has
    been made."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._arrays: list[Array] = []
        self._buffers: list[np.ndarray] = []
        self._copied: Any = None  # the event after the copies for the launch before

    def add(self, array: Array) -> None:
        self._arrays.append(array)

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
    if _current.graph is None or isinstance(x, np.ndarray):
        return _beside(make(), x)
    return _current.graph.feed(make, shape, dtype)


def drawn(draw: Callable[[], Any], generator: random.Generator) -> Any:
    """draw(), nested dicts of arrays that it makes of numbers of the generator, and of tuples that it does not make of
    them. In a capture there is a `Later` for each array, which `placed` takes; CaptureError where there is more."""
    if _current.graph is None:
        return draw()
    draws = _Draws(_current.graph, draw)
    with random.tried(generator):
        return _later(draws, draw())


def _later(value: Callable[[], Any], example: Any) -> Any:
    if isinstance(example, dict):
        return {key: _later(_entry(value, key), entry) for key, entry in example.items()}
    if isinstance(example, tuple):
        return example
    if not isinstance(example, np.ndarray):
        raise CaptureError(f"random numbers decide on {example!r}, which is no array")
    return Later(value, example)


def _entry(value: Callable[[], Any], key: Any) -> Callable[[], Any]:
    return lambda: value()[key]


def placed(numbers: Any, how: Callable[[np.ndarray], np.ndarray], x: Array) -> Array:
    """how(numbers) where x lies, of an array of main memory or of a Later."""
    if not isinstance(numbers, Later):
        return _beside(how(numbers), x)
    example = how(numbers.example)
    return fed(lambda: how(numbers.value()), example.shape, example.dtype, x)


def constant(value: np.ndarray, x: Array) -> Array:
    """An array of main memory where x lies, of numbers that shapes and settings decide: a graph is given them once."""
    if _current.graph is None or isinstance(x, np.ndarray):
        return _beside(value, x)
    return _current.graph.constant(value)


def _beside(value: np.ndarray, x: Array) -> Array:
    from .tensor import beside

    return beside(value, x)


def check_input(values: Array, check: Check) -> bool:
    """Whether `check` was noted, to be done before each launch: in a capture. Else it is to be done now."""
    if _current.graph is None or isinstance(values, np.ndarray):
        return False
    _current.graph.check(values, check)
    return True


def derived(values: Array, source: Array, how: Callable[[np.ndarray], np.ndarray]) -> Array:
    """`values`, which are how(source): where the source is an input of a graph, they may be checked as it may."""
    if _current.graph is not None and not isinstance(source, np.ndarray):
        _current.graph.derive(values, source, how)
    return values


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
