"""The threads that work at launches, together with the thread that begins them: `team().lead(launch, workers)`.

OpenMP's threads sleep a few microseconds after their work, and to wake one takes longer than many a kernel; or else
they spin, and where another process wants the same processors, they keep from each other what they wait for. These
differ in three points:

* No launch waits for a thread that sleeps. Whoever begins one works at its parts at once, takes back the places that
  nobody has taken when the last part is given away, and waits for those alone who are at work.
* A thread without work offers its processor to others about every microsecond (`sched_yield`). So it may stay awake
  for some hundred microseconds, longer than Python takes from one kernel to the next, and be in nobody's way.
* Nothing but numbers in memory connects them. In a forked child, where the parent's threads do not exist, a launch
  runs on its caller until new ones are started.

Each worker begins with a range of parts of its own, the same from launch to launch: what one kernel leaves in the
caches of a core, the next one finds there. Whoever has done his own takes from the others'. Which thread computes a
part changes nothing in the result.

A second caller, while a launch is in hand, works alone: there is no more than one thread for each processor.
"""

import _thread
import ctypes
import os
import threading
import time
import warnings

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

from .atomics import add, read, swap
from .bodies import BODY, COUNT, HEADER, INT64, PARTS, address_of, call_body, helper, kernel, machine_code, words_at

# What the threads share, each in a cache line of its own (the mutex and the conditions of POSIX in two):
LINE = 8  # int64
(
    GENERATION,  # counts the launches: helpers wait for it to change
    LAUNCH,  # the address of the one in hand
    WORKERS,  # and how many may work at it
    PLACES,  # how many helpers may still join: one who does takes a place before it looks at anything else
    FINISHED,  # how many have joined and left
    BUSY,  # 1 while a launch is in hand
    ASLEEP,  # helpers that sleep, until `WORK` is rung
    WAITING,  # 1 while the caller sleeps, until `DONE` is rung
    MUTEX, _, WORK, _, DONE, _,
    NEXT,  # the next part in the range of worker 0, a line further that of worker 1, and so on
) = range(0, 15 * LINE, LINE)  # fmt: skip
BELLS = WORK, DONE

PAUSES = 40  # of the processor between two offers to others: about a microsecond
PATIENCE = 300  # offers of a thread without work before it sleeps
CALLER_PAUSES = 2000  # before the first offer of a caller who waits for the end of a part: most end sooner

MOST = numba.config.NUMBA_NUM_THREADS if os.name == "posix" else 1  # threads: as many as processors, as a rule


# ---- what the system offers ------------------------------------------------------------------------------------------


_PAUSE = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (ir.Constant(ir.IntType(32), 1),)),
    "arm64": ("llvm.aarch64.hint", (ir.Constant(ir.IntType(32), 1),)),
}


@intrinsic
def pause(typing):
    """Leaves the core to its other thread for a moment, where it has one."""
    name, given = _PAUSE.get(llvm.get_process_triple().split("-")[0], ("", ()))

    def generate(context, builder, signature, arguments):
        if name:
            kind = ir.FunctionType(ir.VoidType(), [hint.type for hint in given])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    return types.void(), generate


def _posix(name, places):
    """That function for bodies, given the addresses of so many of the shared words. (Elsewhere nobody has to wait.)"""

    def call(context, builder, signature, values):
        if os.name != "posix":
            return context.get_dummy_value()
        byte = ir.IntType(8).as_pointer()
        given = [builder.bitcast(builder.gep(values[0], [place]), byte) for place in values[1:]]
        kind = ir.FunctionType(ir.IntType(32), [byte] * len(given))
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)
        return context.get_dummy_value()

    def of_none(typing, words):
        return types.void(words), call

    def of_one(typing, words, place):
        return types.void(words, types.intp), call

    def of_two(typing, words, place, other):
        return types.void(words, types.intp, types.intp), call

    return intrinsic((of_none, of_one, of_two)[places])


offer = _posix("sched_yield", 0)
_lock = _posix("pthread_mutex_lock", 1)
_unlock = _posix("pthread_mutex_unlock", 1)
_sleep = _posix("pthread_cond_wait", 2)
_wake = _posix("pthread_cond_signal", 1)


@intrinsic
def nanoseconds(typing):
    """A clock that is never set back."""

    def generate(context, builder, signature, arguments):
        if os.name != "posix":
            return ir.Constant(INT64, 0)
        with builder.goto_entry_block():
            room = builder.alloca(ir.ArrayType(INT64, 2))
        number, pointer = ir.IntType(32), INT64.as_pointer()
        clock = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [number, pointer]), "clock_gettime"
        )
        time_now = builder.bitcast(room, pointer)
        builder.call(clock, [number(time.CLOCK_MONOTONIC), time_now])
        whole = builder.mul(builder.load(time_now), INT64(10**9))
        return builder.add(whole, builder.load(builder.gep(time_now, [INT64(1)])))

    return types.int64(), generate


# ---- what the threads do ---------------------------------------------------------------------------------------------


@helper
def _wait(words, word, seen, pauses, sleepers, bell):
    """Waits until words[word] is not `seen` any more: awake for a while, then asleep, counted among `sleepers`, until
    the bell is rung."""
    offers = 0
    while read(words, word) == seen and offers < PATIENCE:
        for _ in range(pauses):
            if read(words, word) != seen:
                return
            pause()
        offer(words)
        pauses = PAUSES
        offers += 1
    if read(words, word) == seen:
        _lock(words, MUTEX)
        add(words, sleepers, 1)
        while read(words, word) == seen:
            _sleep(words, bell, MUTEX)
        add(words, sleepers, -1)
        _unlock(words, MUTEX)


@helper
def _ring(words, bell, sleepers):
    """Wakes so many. (Who is about to sleep has the mutex, looks once more, and only then hears the bell.)"""
    _lock(words, MUTEX)
    for _ in range(sleepers):
        _wake(words, bell)
    _unlock(words, MUTEX)


@helper
def _compute(launch, part):
    """One part of a launch."""
    count, parts = launch[COUNT], launch[PARTS]
    call_body(launch[BODY], part * count // parts, (part + 1) * count // parts, address_of(launch, HEADER))


@helper
def compute_alone(launch):
    """All parts of a launch, in their order."""
    for part in range(launch[PARTS]):
        _compute(launch, part)


@helper
def _work(words, launch, worker, workers):
    """Parts of a launch as long as there are any: the worker's own, then the others'."""
    for turn in range(workers):
        owner = (worker + turn) % workers
        end = (owner + 1) * launch[PARTS] // workers
        part = add(words, NEXT + LINE * owner, 1)
        while part < end:
            _compute(launch, part)
            part = add(words, NEXT + LINE * owner, 1)


@helper
def lead(words, launch, workers):
    """Has a launch done by the caller and up to workers − 1 helpers."""
    if swap(words, BUSY, 1):
        compute_alone(launch)
        return
    words[LAUNCH], words[WORKERS], words[FINISHED] = address_of(launch, 0), workers, 0
    for worker in range(workers):
        words[NEXT + LINE * worker] = worker * launch[PARTS] // workers
    swap(words, PLACES, workers - 1)
    add(words, GENERATION, 1)
    asleep = read(words, ASLEEP)
    if asleep:
        _ring(words, WORK, min(asleep, workers - 1))
    _work(words, launch, 0, workers)
    joined = workers - 1 - max(0, swap(words, PLACES, 0))
    finished = read(words, FINISHED)
    while finished < joined:
        _wait(words, FINISHED, finished, CALLER_PAUSES, WAITING, DONE)
        finished = read(words, FINISHED)
    swap(words, BUSY, 0)


@kernel
def _lead(words, launch, workers):
    """`lead`, to be called from Python."""
    lead(words, launch, workers)


@kernel
def _help(words):
    """What a helper does for ever: it may come late, to a launch that has no place for it any more, or twice."""
    seen = 0
    while True:
        _wait(words, GENERATION, seen, PAUSES, ASLEEP, WORK)
        seen = read(words, GENERATION)
        place = add(words, PLACES, -1)
        if place > 0:
            _work(words, words_at(words[LAUNCH]), place, words[WORKERS])
            add(words, FINISHED, 1)
            if read(words, WAITING):
                _ring(words, DONE, 1)


# ---- the team --------------------------------------------------------------------------------------------------------


class Team:
    """Up to `MOST` threads, which are started when a launch first wants so many. Made by `team` alone."""

    def __init__(self) -> None:
        pointer = types.CPointer(types.int64)
        self._code = [machine_code(_help, (pointer,))[0], machine_code(_lead, (pointer, pointer, types.intp))[0]]
        helper_code, lead_code = (code.address for code in self._code)
        self._help = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(helper_code)
        self._lead = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t)(lead_code)
        self._memory = np.zeros(NEXT + LINE * (MOST + 1), np.int64)
        self.words = self._memory[-self._memory.ctypes.data % (8 * LINE) // 8 :]
        self.address = self.words.ctypes.data  # of what the threads share
        self.begin_anew()

    def begin_anew(self) -> None:
        """As in a new process: no helpers, nobody asleep, nothing in hand."""
        self.words.fill(0)
        self._workers, self._may_start = 1, True
        system = ctypes.CDLL(None)
        for initialize, place in ((system.pthread_mutex_init, MUTEX), *((system.pthread_cond_init, c) for c in BELLS)):
            initialize(ctypes.c_void_p(self.address + 8 * place), None)

    def lead(self, launch: int, workers: int) -> None:
        """Has the launch at an address (`bodies.HEADER` tells what stands there) done by so many threads, `MOST` at
        most, or fewer."""
        self.start(workers)
        self._lead(self.address, launch, workers)

    def start(self, workers: int) -> None:
        """Starts the helpers that are missing for so many workers, if the system lets it: a launch can do without."""
        if workers <= self._workers or not self._may_start:
            return
        with _changing:
            while self._workers < workers and self._may_start:
                try:
                    _thread.start_new_thread(self._help, (self.address,))
                    self._workers += 1
                except RuntimeError as error:  # a limit on threads, or the interpreter's end
                    self._may_start = False
                    text = f"tomograd computes on {self._workers} threads, not {workers}: {error}"
                    warnings.warn(text, RuntimeWarning, stacklevel=2)


_team: Team | None = None
_changing = threading.RLock()  # for making the team, and for adding to it


def team() -> Team:
    """The process's team."""
    global _team
    if _team is None:
        with global_compiler_lock, _changing:
            _team = _team or Team()
    return _team


def _before_fork() -> None:
    """Waits for a compilation in another thread: in the child its locks would stay locked for ever."""
    global_compiler_lock.acquire()
    _changing.acquire()


def _after_fork() -> None:
    _changing.release()
    global_compiler_lock.release()


def _after_fork_in_child() -> None:
    if _team is not None:
        _team.begin_anew()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
