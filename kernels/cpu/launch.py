"""Runs a kernel body over a range, on as many threads as pay: the one place that knows of threads.

    run(scale, x.size, 4096, x, y, x.dtype.type(2))

One worker, compiled once, serves all bodies (`bodies`): on each thread it calls a body's C function for one part of the
range after the other. Compiling Numba's parallel loops anew for every kernel would take 1 to 3 s each; a body takes
0.1 s, and less than 1 ms from the cache. A part's bounds depend on the number of threads alone, so results repeat bit
for bit at a fixed number of threads.
"""

import contextlib
import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic
from numba.np.ufunc import parallel

from .bodies import (
    BODY,
    C_BODY,
    COUNT,
    HEADER,
    INT64,
    NEXT,
    PARTS,
    call_body,
    compiled_for,
    described,
    kernel,
    machine_code,
)

SPINS = "1000"  # a few µs: far shorter than a tick of the scheduler
PARTS_PER_THREAD = 8  # enough that the last part of a slow thread is short, few enough that parts stay long


@intrinsic
def _take(typing, launch):
    """The number of the next part, counted up by one for whoever asks next."""

    def generate(context, builder, signature, values):
        pointer = builder.gep(values[0], [ir.Constant(INT64, NEXT)])
        return builder.atomic_rmw("add", pointer, ir.Constant(INT64, 1), "monotonic")

    return types.intp(launch), generate


@intrinsic
def _arguments(typing, launch):
    """The address of the arguments behind the header."""

    def generate(context, builder, signature, values):
        return builder.ptrtoint(builder.gep(values[0], [ir.Constant(INT64, HEADER)]), INT64)

    return types.intp(launch), generate


@kernel
def _work(_, sizes, __, launch):
    """What each thread does in a launch: parts, one after the other, as long as there are any. The signature is that of
    NumPy's generalised ufuncs, which Numba's threading layers call; `sizes[0]` is how many workers this call stands
    for."""
    body, count, parts, arguments = launch[BODY], launch[COUNT], launch[PARTS], _arguments(launch)
    for _worker in range(sizes[0]):
        part = _take(launch)
        while part < parts:
            call_body(body, part * count // parts, (part + 1) * count // parts, arguments)
            part = _take(launch)


_launcher: Callable[[int, int], None] | None = None
# For making the launcher, and for layers that take one caller at a time.
_launch_lock = threading.RLock()
_one_at_a_time = False
_forked = False


def _before_fork() -> None:
    """Waits for a compilation in another thread: in the child its locks would stay locked for ever."""
    _launch_lock.acquire()
    global_compiler_lock.acquire()


def _after_fork_in_parent() -> None:
    global_compiler_lock.release()
    _launch_lock.release()


def _after_fork_in_child() -> None:
    global _forked
    _forked = True
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@contextlib.contextmanager
def _short_spins() -> Iterator[None]:
    """While the threading layer is loaded: let OpenMP's idle threads sleep soon, unless the user has said otherwise.

    GNU OpenMP's threads wait for work, and for each other, by spinning for milliseconds. Where another process wants
    the same processors, a thread then spins through the time in which the one that it waits for could have run:
    training steps were seen to take 7 to 10 times as long. A short spin costs nothing measurable on an idle machine.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_PARALLEL_FOR = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, *[ctypes.c_ssize_t] * 3)


class Threads:
    """The threading layer that was loaded: `threads(launch, workers)` has that many threads work at a launch.

    What it hands to the layer's own function stands here for those who call that from compiled code.
    """

    def __init__(self) -> None:
        pointer = types.CPointer(types.int64)
        with global_compiler_lock:
            self._code, _ = machine_code(_work, (pointer, pointer, pointer, pointer))
        self._sizes = [(ctypes.c_int64 * 1)(workers) for workers in range(numba.config.NUMBA_NUM_THREADS + 1)]
        self.address = llvm.address_of_symbol("numba_parallel_for")
        self.work, self.nothing = self._code.address, ctypes.addressof(_NOTHING)
        self.workers = [ctypes.addressof(size) for size in self._sizes]
        self._layer = _PARALLEL_FOR(self.address)

    def __call__(self, launch: int, workers: int) -> None:
        self._layer(self.work, self.nothing, self.workers[workers], self.nothing, launch, 0, 0, self.team())

    def team(self) -> int:
        """How many threads the layer may take for this caller."""
        return parallel._get_num_threads()


def _make_launcher() -> Callable[[int, int], None]:
    """Starts the threads, on OpenMP or TBB: both take several callers at once. Returns a function of the address of a
    launch and the number of workers."""
    global _launcher, _one_at_a_time
    with _launch_lock:
        if _launcher is not None:
            return _launcher
        if "NUMBA_THREADING_LAYER" not in os.environ and numba.config.THREADING_LAYER == "default":
            numba.config.THREADING_LAYER = "threadsafe"
            numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
        try:
            with _short_spins():
                parallel._launch_threads()
        except ValueError as error:  # Numba's "no threading layer could be loaded"
            warnings.warn(
                f"tomograd runs on one thread: {error} (install the system's libgomp, or the package tbb)",
                RuntimeWarning,
                stacklevel=2,
            )
            _launcher = _serial
            return _launcher
        _one_at_a_time = numba.threading_layer() == "workqueue"
        _launcher = Threads()
        return _launcher


def layer() -> Threads | None:
    """The threading layer, if there is one that takes several callers at once."""
    launcher = _launcher or _make_launcher()
    return launcher if isinstance(launcher, Threads) and not _one_at_a_time else None


_NOTHING = (ctypes.c_int64 * 1)()


def _serial(launch: int, workers: int) -> None:
    header = (ctypes.c_int64 * HEADER).from_address(launch)
    C_BODY(header[BODY])(0, header[COUNT], launch + 8 * HEADER)


_threads = max(
    1, min(int(os.environ.get("TOMOGRAD_NUM_THREADS", numba.config.NUMBA_NUM_THREADS)), numba.config.NUMBA_NUM_THREADS)
)


def threads() -> int:
    """How many threads a kernel may use: `TOMOGRAD_NUM_THREADS`, else all of the process's processors.

    1 in a forked child: neither OpenMP's nor TBB's threads survive a fork, and a child that waited for them would hang.
    """
    return 1 if _forked else _threads


@contextlib.contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Within it, kernels of the whole process use at most `number` threads."""
    global _threads
    if not 1 <= number <= numba.config.NUMBA_NUM_THREADS:
        raise ValueError(f"threads: {number} given, expected 1 to {numba.config.NUMBA_NUM_THREADS}")
    before, _threads = _threads, number
    try:
        yield
    finally:
        _threads = before


def run(body: Callable, count: int, grain: int, *arguments) -> None:
    """Runs `body` over 0 ≤ i < count, in equal contiguous parts of at least `grain` items, some parts a thread.

    A thread that is done with a part takes the next: one that the system holds up does not hold up the others.
    `grain` is how many items make a launch on a second thread (about 4 µs) worth its while: some 20,000 simple
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
    code.pack(launch, 0, code.address, count, 1 if alone else min(parts, PARTS_PER_THREAD * workers), 0, *values)
    notes = _notes.get()
    if notes is not None:
        notes.take(launch, 1 if alone else min(parts, workers), arguments)
    if alone:
        code.call(0, count, address + 8 * HEADER)
        return
    launcher = _launcher or _make_launcher()
    if _one_at_a_time:
        with _launch_lock:
            launcher(address, min(parts, workers))
    else:
        launcher(address, min(parts, workers))


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
