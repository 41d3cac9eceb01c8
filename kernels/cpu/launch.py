"""Runs a kernel body over a range, on as many threads as pay: the one place that knows of threads and compilation.

A *body* is a plain Python function `body(begin, end, arguments)` that handles the items begin ≤ i < end: serial,
without allocation, without exceptions. Its first line names what it was given:

    @kernel
    def scale(begin, end, arguments):
        x, y, factor = unpack(arguments)
        for i in range(begin, end):
            y[i] = factor * x[i]

    run(scale, x.size, 4096, x, y, x.dtype.type(2))

Each body is compiled once for each combination of argument *types* into a C function
`void body(int64 begin, int64 end, const int64 *arguments)`, which needs neither Python nor Numba to run. An array
becomes a pointer to its first element, a number its own slot; a `Constant` (or an object whose `numba_type` is a
`CompileTimeType`) is known at compile time: loops over it are unrolled, branches on it disappear.

One worker, compiled once, serves all bodies: on each thread it calls the C function for one part of the range after
the other. Compiling Numba's parallel loops anew for every kernel would take 1 to 3 s each; a body takes 0.1 s, and less
than 1 ms from the cache. A part's bounds depend on the number of threads alone, so results repeat bit for bit at a
fixed number of threads.

Where compiling takes longer than a second, a line on stderr says so, unless `TOMOGRAD_QUIET` is set.
"""

import contextlib
import ctypes
import hashlib
import os
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Protocol

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic, models, overload, register_model
from numba.np.ufunc import parallel

from ..memory import address_of_array
from . import cache as kept
from . import compiling

INT64 = ir.IntType(64)
SPINS = "1000"  # a few µs: far shorter than a tick of the scheduler
PARTS_PER_THREAD = 8  # enough that the last part of a slow thread is short, few enough that parts stay long
ANNOUNCED_AFTER = 1.0  # seconds of compiling
_BODY = ir.FunctionType(ir.VoidType(), [INT64, INT64, INT64.as_pointer()])
_C_BODY = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_void_p)


# ---- what a body is given ------------------------------------------------------------------------------------------


class CompileTimeType(types.Type):
    """The Numba type of an argument without data: all it says is in the type."""


class ConstantType(CompileTimeType):
    """A whole number known at compile time."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(name=f"Constant({number})")


_constant_type = cache(ConstantType)


class Constant:
    """A whole number (or a truth value) known at compile time; a body reads it by `value(constant)`."""

    __slots__ = ("numba_type",)

    def __init__(self, number: int):
        self.numba_type = _constant_type(int(number))


class ArgumentsType(types.Type):
    """A pointer to the packed arguments, each of which has its own type."""

    def __init__(self, members: tuple[types.Type, ...]):
        self.members = members
        super().__init__(name=f"Arguments({', '.join(str(member) for member in members)})")


@register_model(ArgumentsType)
class _ArgumentsModel(models.PrimitiveModel):
    def __init__(self, manager, arguments):
        super().__init__(manager, arguments, INT64.as_pointer())


register_model(ConstantType)(models.OpaqueModel)


@intrinsic
def unpack(typing, arguments):
    """The arguments of a body, as a tuple: pointers, numbers, constants."""
    result = types.Tuple(arguments.members)

    def generate(context, builder, signature, values):
        unpacked = []
        for position, member in enumerate(arguments.members):
            if isinstance(member, CompileTimeType):
                unpacked.append(context.get_dummy_value())
                continue
            slot = builder.gep(values[0], [ir.Constant(INT64, position)])
            unpacked.append(builder.load(builder.bitcast(slot, context.get_value_type(member).as_pointer())))
        return context.make_tuple(builder, result, unpacked)

    return result(arguments), generate


@intrinsic
def value(typing, constant):
    """The number of a `Constant`, as a constant of the compiled code; a number that is not constant as it is."""

    def generate(context, builder, signature, values):
        return ir.Constant(INT64, constant.number) if isinstance(constant, ConstantType) else values[0]

    return types.intp(constant), generate


@intrinsic
def scratch(typing, like, count):
    """Room for `count` elements (a literal or global number) of the pointer `like`'s type, on the stack of the thread
    that runs the body; 64-byte aligned, gone when the body returns. Call it outside loops."""
    if not isinstance(count, types.IntegerLiteral):
        raise numba.errors.RequireLiteralValue("scratch: count must be known at compile time")
    length = count.literal_value

    def generate(context, builder, signature, values):
        kind = ir.ArrayType(context.get_value_type(like.dtype), length)
        with builder.goto_entry_block():
            room = builder.alloca(kind)
        room.align = 64
        return builder.bitcast(room, kind.element.as_pointer())

    return like(like, count), generate


def either(if_true: Callable, if_false: Callable) -> Callable:
    """A function for bodies that is one of two plain ones with the same parameters, as its first, a `Constant`, says.
    Only that one is compiled; with a branch both would be."""

    def chosen(*arguments):
        raise NotImplementedError("for the bodies of kernels")

    @overload(chosen, strict=False, jit_options={"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True})
    def choose(*arguments):
        return if_true if arguments[0].number else if_false

    return chosen


# ---- packing ---------------------------------------------------------------------------------------------------------

# What stands before the arguments in memory: the body's address, the items, the parts, the number of the next part.
BODY, COUNT, PARTS, NEXT, HEADER = range(5)

_POINTERS = {
    np.dtype(kind).char: types.CPointer(numba_type)
    for kind, numba_type in [
        ("f4", types.float32),
        ("f8", types.float64),
        ("i8", types.int64),
        ("i4", types.int32),
        ("u1", types.uint8),
        ("?", types.uint8),
    ]
}
# How a number is packed into its slot of 8 bytes, and what it is compiled for. The blank, which `struct` skips, tells
# the formats from the letters of arrays' types.
_FORMATS = {" q": types.intp, " f4x": types.float32, " d": types.float64}
_NUMBERS = {int: " q", bool: " q", np.int64: " q", np.float32: " f4x", float: " d", np.float64: " d"}


_address_of = ctypes.addressof


def _described(body: Callable, arguments: tuple) -> tuple[tuple, list]:
    """(key, values): what `body` has to be compiled for, in a form that is quick to make and to look up, and what goes
    into the slots. A key is the body, then for each argument the letter of an array's type, the format of a number, or
    the number that Numba gave to a compile-time type."""
    key, values = [body], []
    for argument in arguments:
        kind = type(argument)
        if kind is np.ndarray:
            if not argument.flags.c_contiguous:
                raise _not_contiguous(arguments)
            key.append(argument.dtype.char)
            values.append(address_of_array(argument))
        elif kind in _NUMBERS:
            key.append(_NUMBERS[kind])
            values.append(argument)
        elif hasattr(argument, "numba_type"):
            key.append(argument.numba_type._code)
            values.append(0)
        else:
            return _described(body, tuple(map(_plain, arguments)))
    return tuple(key), values


def _plain(argument):
    """A kind of array or number that is rare, as one that `_described` knows."""
    if isinstance(argument, np.ndarray):
        return np.asarray(argument)
    if isinstance(argument, (np.integer, np.bool_)):
        return int(argument)
    if type(argument) in _NUMBERS or hasattr(argument, "numba_type"):
        return argument
    raise TypeError(f"kernel argument {argument!r}: expected an array, a number or a compile-time constant")


def _not_contiguous(arguments: tuple) -> TypeError:
    position, argument = next(
        (position, argument)
        for position, argument in enumerate(arguments)
        if isinstance(argument, np.ndarray) and not argument.flags.c_contiguous
    )
    return TypeError(
        f"kernel argument {position} must be C-contiguous, but has strides {argument.strides} at shape {argument.shape}"
    )


def _numba_type(entry, argument) -> types.Type:
    """The type that a key's entry stands for."""
    if isinstance(entry, int):
        return argument.numba_type
    if isinstance(argument, np.ndarray):
        if entry not in _POINTERS:
            raise TypeError(f"a kernel cannot take an array of {argument.dtype}")
        return _POINTERS[entry]
    return _FORMATS[entry]


# ---- compilation ---------------------------------------------------------------------------------------------------

# A function for the use of bodies, which becomes a part of those that call it.
helper = numba.njit(
    error_model="numpy", fastmath={"contract"}, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)


def kernel(body: Callable | None = None, *, fastmath: frozenset[str] | set[str] = frozenset({"contract"})):
    """Marks a function as a kernel body. `fastmath` names LLVM's flags: by default only fused multiply-adds;
    {"contract", "reassoc", "nsz"} lets sums be vectorised. NaN and infinity always keep their meaning."""
    if body is None:
        return lambda given: kernel(given, fastmath=fastmath)
    body.fastmath = set(fastmath)
    return body


class Compiled:
    """A body in the form of machine code: `address` is that of a C function, `call` calls it, `from_cache` says whether
    it was found on disk."""

    def __init__(self, body: Callable, argument_types: tuple[types.Type, ...], formats: list[str]):
        self.body, self.argument_types = body, argument_types
        self.loaded, self.from_cache = _machine_code(body, argument_types)
        self.address = self.loaded.address
        self.call = _C_BODY(self.address)
        self.slots = ctypes.c_int64 * (HEADER + len(formats))
        self.pack = struct.Struct("qqqq" + "".join(formats)).pack_into

    def assembly(self) -> str:
        """Its instructions, as text."""
        return compiling.assembly(self.body, self.argument_types)


_compiled: dict[tuple, Compiled] = {}


@global_compiler_lock
def _compile(key: tuple, arguments: tuple) -> Compiled:
    code = _compiled.get(key)  # another thread may have been first
    if code is None:
        body, entries = key[0], key[1:]
        members = tuple(map(_numba_type, entries, map(_plain, arguments)))
        formats = [entry if entry in _FORMATS else "q" for entry in entries]
        code = _compiled[key] = Compiled(body, (types.intp, types.intp, ArgumentsType(members)), formats)
    return code


def compiled(body: Callable, *arguments) -> Compiled:
    """The compiled form of `body` for arguments like these."""
    key, _ = _described(body, arguments)
    return _compiled.get(key) or _compile(key, arguments)


def _cache_name(function: Callable, argument_types: tuple[types.Type, ...]) -> str:
    """Under which compiled code is kept: all that decides what it becomes, beside what `kept.source_hash` holds."""
    code, cells = function.__code__, [cell.cell_contents for cell in function.__closure__ or ()]
    constants = [constant for constant in code.co_consts if not hasattr(constant, "co_code")]
    parts = (function.__module__, function.__qualname__, code.co_code, constants, code.co_names, cells)
    described = (compiling.machine(), parts, sorted(function.fastmath), [str(kind) for kind in argument_types])
    return f"{function.__name__.strip('_')}-{hashlib.sha256(repr(described).encode()).hexdigest()[:24]}"


def _machine_code(function: Callable, argument_types: tuple[types.Type, ...]) -> tuple[compiling.Loaded, bool]:
    """A function's machine code in memory, and whether it came from the disk."""
    name = _cache_name(function, argument_types)
    content = kept.load(name)
    if content is not None:
        with contextlib.suppress(ValueError):  # whole and ours, but without the function
            return compiling.Loaded(content), True
    with _compilations.one():
        content = compiling.object_code(function, argument_types)
    kept.keep(name, content)
    return compiling.Loaded(content), False


class _Compilations:
    """Counts what is compiled, and tells the user once why he waits."""

    def __init__(self):
        self.count, self.seconds, self.announced = 0, 0.0, bool(os.environ.get("TOMOGRAD_QUIET"))

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        if self.seconds > ANNOUNCED_AFTER and not self.announced:
            self.announce()
        started = time.perf_counter()
        yield
        self.count, self.seconds = self.count + 1, self.seconds + time.perf_counter() - started

    def announce(self) -> None:
        self.announced = True
        place = kept.folder()
        often = "anew at every start" if place is None else f"once (they are kept in {place.parent})"
        text = (
            f"tomograd: compiling CPU kernels for this machine, {often}: {self.count} done in {self.seconds:.0f} s; "
            "training a network needs 20 to 40"
        )
        with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no stderr
            start = "\r\x1b[K" if sys.stderr.isatty() else ""  # in the place of a progress bar, which is drawn again
            print(start + text, file=sys.stderr, flush=True)


_compilations = _Compilations()


# ---- threads -------------------------------------------------------------------------------------------------------


@intrinsic
def call_body(typing, address, begin, end, arguments):
    """Calls a compiled body by its address, for the items begin … end."""

    def generate(context, builder, signature, values):
        function = builder.inttoptr(values[0], _BODY.as_pointer())
        builder.call(function, [values[1], values[2], builder.inttoptr(values[3], INT64.as_pointer())])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


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
            self._code, _ = _machine_code(_work, (pointer, pointer, pointer, pointer))
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
    _C_BODY(header[BODY])(0, header[COUNT], launch + 8 * HEADER)


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
    key, values = _described(body, arguments)
    code = _compiled.get(key) or _compile(key, arguments)
    workers, parts = threads(), count // (grain or 1)
    launch = code.slots()
    address = _address_of(launch)
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
