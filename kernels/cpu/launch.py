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

One parallel loop, compiled once, serves all bodies: it calls the C function for each part of the range. Compiling
Numba's parallel loops anew for every kernel would take 1 to 3 s each; a body takes 0.1 s, and 3 ms from the cache.
A part's bounds depend on the number of threads alone, so results repeat bit for bit at a fixed number of threads.
"""

import contextlib
import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import typing as numba_typing
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic, models, register_model

from .cache import cache_for

INT64 = ir.IntType(64)
SPINS = "1000"  # a few µs: far shorter than a tick of the scheduler
PARTS_PER_THREAD = 8  # enough that the last part of a slow thread is short, few enough that parts stay long
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


class Constant:
    """A whole number (or a truth value) known at compile time; a body reads it by `value(constant)`."""

    def __init__(self, number: int):
        self.numba_type = ConstantType(int(number))


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


def _pack(arguments: tuple) -> tuple[tuple[types.Type, ...], ctypes.Array]:
    """The types of the arguments and their 8-byte slots."""
    slots = (ctypes.c_int64 * max(len(arguments), 1))()
    kinds = []
    for position, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise TypeError(
                    f"kernel argument {position} must be C-contiguous, but has strides {argument.strides} "
                    f"at shape {argument.shape}"
                )
            kinds.append(_POINTERS[argument.dtype.char])
            slots[position] = argument.ctypes.data
        elif isinstance(argument, (bool, int, np.integer)):
            kinds.append(types.intp)
            slots[position] = int(argument)
        elif isinstance(argument, np.float32):
            kinds.append(types.float32)
            ctypes.c_float.from_buffer(slots, 8 * position).value = argument
        elif isinstance(argument, float):  # np.float64 is one too
            kinds.append(types.float64)
            ctypes.c_double.from_buffer(slots, 8 * position).value = argument
        else:
            kinds.append(argument.numba_type)
    return tuple(kinds), slots


# ---- compilation ---------------------------------------------------------------------------------------------------


def kernel(body: Callable | None = None, *, fastmath: frozenset[str] | set[str] = frozenset({"contract"})):
    """Marks a function as a kernel body. `fastmath` names LLVM's flags: by default only fused multiply-adds;
    {"contract", "reassoc", "nsz"} lets sums be vectorised. NaN and infinity always keep their meaning."""
    if body is None:
        return lambda given: kernel(given, fastmath=fastmath)
    body.fastmath = set(fastmath)
    return body


_compiled: dict[tuple, CFunc] = {}


@global_compiler_lock
def _compile(body: Callable, kinds: tuple[types.Type, ...]) -> CFunc:
    signature = numba_typing.signature(types.void, types.intp, types.intp, ArgumentsType(kinds))
    compiled = CFunc(
        body,
        (signature.args, signature.return_type),
        locals={},
        options={"nopython": True, "error_model": "numpy", "fastmath": body.fastmath, "boundscheck": False},
    )
    compiled._cache = cache_for(body)
    compiled.compile()
    compiled.call = _C_BODY(compiled.address)
    _compiled[body, kinds] = compiled
    return compiled


def compiled(body: Callable, *arguments) -> CFunc:
    """The compiled form of `body` for arguments like these: `.address` is that of a C function."""
    kinds, _ = _pack(arguments)
    return _compiled.get((body, kinds)) or _compile(body, kinds)


# ---- threads -------------------------------------------------------------------------------------------------------


@intrinsic
def _call(typing, address, begin, end, arguments):
    def generate(context, builder, signature, values):
        function = builder.inttoptr(values[0], _BODY.as_pointer())
        builder.call(function, [values[1], values[2], builder.inttoptr(values[3], INT64.as_pointer())])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


@intrinsic
def _take(typing, counter):
    """The number at an address, counted up by one for whoever asks next."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], INT64.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(INT64, 1), "monotonic")

    return types.intp(types.intp), generate


def _parallel_for(address, count, parts, workers, arguments, counter):
    for _worker in numba.prange(workers):
        part = _take(counter)
        while part < parts:
            _call(address, part * count // parts, (part + 1) * count // parts, arguments)
            part = _take(counter)


_launcher: Callable | None = None
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


def _make_launcher() -> Callable:
    """Compiles (or loads) the parallel loop and starts the threads, on OpenMP or TBB: both take several callers at
    once."""
    global _launcher, _one_at_a_time
    with _launch_lock:
        if _launcher is not None:
            return _launcher
        if "NUMBA_THREADING_LAYER" not in os.environ and numba.config.THREADING_LAYER == "default":
            numba.config.THREADING_LAYER = "threadsafe"
            numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
        loop = numba.njit(parallel=True, nogil=True)(_parallel_for)
        loop._cache = cache_for(_parallel_for)
        try:
            with _short_spins():
                loop.compile((types.intp,) * 6)
                loop(0, 0, 0, 0, 0, 0)
            _one_at_a_time = numba.threading_layer() == "workqueue"
        except ValueError as error:  # Numba's "no threading layer could be loaded"
            warnings.warn(
                f"tomograd runs on one thread: {error} (install the system's libgomp, or the package tbb)",
                RuntimeWarning,
                stacklevel=2,
            )
            loop = None
        _launcher = loop or _serial_for
        return _launcher


def _serial_for(address, count, parts, workers, arguments, counter):
    _C_BODY(address)(0, count, arguments)


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
    kinds, slots = _pack(arguments)
    function = _compiled.get((body, kinds)) or _compile(body, kinds)
    workers, parts = threads(), count // max(grain, 1)
    if workers == 1 or parts <= 1:
        function.call(0, count, ctypes.addressof(slots))
        return
    launcher, counter = _launcher or _make_launcher(), ctypes.c_int64(0)
    with _launch_lock if _one_at_a_time else contextlib.nullcontext():
        launcher(
            function.address,
            count,
            min(parts, PARTS_PER_THREAD * workers),
            min(parts, workers),
            ctypes.addressof(slots),
            ctypes.addressof(counter),
        )
