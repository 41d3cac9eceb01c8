"""What a kernel's body is given, and how it becomes machine code.

A *body* is a plain Python function `body(begin, end, arguments)` that handles the items begin ≤ i < end: serial,
without allocation, without exceptions. Its first line names what it was given:

    @kernel
    def scale(begin, end, arguments):
        x, y, factor = unpack(arguments)
        for i in range(begin, end):
            y[i] = factor * x[i]

Each body is compiled once for each combination of argument *types* into a C function
`void body(int64 begin, int64 end, const int64 *arguments)`, which needs neither Python nor Numba to run. An array
becomes a pointer to its first element, a number its own slot; a `Constant` (or an object whose `numba_type` is a
`CompileTimeType`) is known at compile time: loops over it are unrolled, branches on it disappear.

Where compiling takes longer than a second, a line on stderr says so, unless `TOMOGRAD_QUIET` is set.
"""

import contextlib
import ctypes
import hashlib
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic, models, overload, register_model

from ..memory import address_of_array
from . import cache as kept
from . import compiling

INT64 = ir.IntType(64)
ANNOUNCED_AFTER = 1.0  # seconds of compiling
_BODY = ir.FunctionType(ir.VoidType(), [INT64, INT64, INT64.as_pointer()])
C_BODY = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_void_p)


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


@intrinsic
def address_of(typing, pointer, index):
    """The address of pointer[index], to be put in a slot."""

    def generate(context, builder, signature, arguments):
        return builder.ptrtoint(builder.gep(arguments[0], [arguments[1]]), INT64)

    return types.intp(pointer, types.intp), generate


@intrinsic
def words_at(typing, address):
    """The memory at an address, as int64."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], INT64.as_pointer())

    return types.CPointer(types.int64)(types.intp), generate


@intrinsic
def call_body(typing, address, begin, end, arguments):
    """Calls a compiled body by its address, for the items begin … end."""

    def generate(context, builder, signature, values):
        function = builder.inttoptr(values[0], _BODY.as_pointer())
        builder.call(function, [values[1], values[2], builder.inttoptr(values[3], INT64.as_pointer())])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


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

# What stands before the arguments in memory: the body's address, the items, the parts that they are done in.
BODY, COUNT, PARTS, HEADER = range(4)

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


def described(body: Callable, arguments: tuple) -> tuple[tuple, list]:
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
            return described(body, tuple(map(_plain, arguments)))
    return tuple(key), values


def _plain(argument):
    """A kind of array or number that is rare, as one that `described` knows."""
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
        self.loaded, self.from_cache = machine_code(body, argument_types)
        self.address = self.loaded.address
        self.call = C_BODY(self.address)
        self.slots = ctypes.c_int64 * (HEADER + len(formats))
        self.pack = struct.Struct("qqq" + "".join(formats)).pack_into

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


def compiled_for(key: tuple, arguments: tuple) -> Compiled:
    """The compiled form for a key of `described`, made from these arguments."""
    return _compiled.get(key) or _compile(key, arguments)


def compiled(body: Callable, *arguments) -> Compiled:
    """The compiled form of `body` for arguments like these."""
    key, _ = described(body, arguments)
    return compiled_for(key, arguments)


def _cache_name(function: Callable, argument_types: tuple[types.Type, ...]) -> str:
    """Under which compiled code is kept: all that decides what it becomes, beside what `kept.source_hash` holds."""
    code, cells = function.__code__, [cell.cell_contents for cell in function.__closure__ or ()]
    constants = [constant for constant in code.co_consts if not hasattr(constant, "co_code")]
    parts = (function.__module__, function.__qualname__, code.co_code, constants, code.co_names, cells)
    described = (compiling.machine(), parts, sorted(function.fastmath), [str(kind) for kind in argument_types])
    return f"{function.__name__.strip('_')}-{hashlib.sha256(repr(described).encode()).hexdigest()[:24]}"


def machine_code(function: Callable, argument_types: tuple[types.Type, ...]) -> tuple[compiling.Loaded, bool]:
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
