"""Vectors as values: a whole SIMD register of numbers that kernel bodies load, combine with operators, and store.

Numba has no vector type, so here is one: a value of LLVM's `<lanes x element>`. A body is told which by a compile-time
argument, `vector_of(dtype)`, and so is compiled for the widest registers of the machine that it runs on:

    @kernel
    def scale(begin, end, arguments):
        vector, x, y, factor = unpack(arguments)
        i = begin
        while i + lanes(vector) <= end:
            store(y, i, factor * load(vector, x, i))
            i += lanes(vector)
        if i < end:
            store_part(y, i, factor * load_part(vector, x, i, end - i), end - i)

    run(scale, x.size, 16384, vector_of(x.dtype), x, y, x.dtype.type(2))

On vectors: + - * / and unary -, comparisons (which give masks), & | ^ on masks and whole numbers, << and >> on whole
numbers; the other operand may be a plain number, which is taken as the vector's own element type.
`TOMOGRAD_SIMD` = avx512, avx2, sse, neon or scalar caps the width, to test on one machine what runs on another.
"""

import contextlib
import operator
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from .bodies import CompileTimeType

INT32, INT64 = ir.IntType(32), ir.IntType(64)
LINE_BYTES = 64  # of a cache line, and of the widest vector


# ---- what the machine has --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """An instruction set: bytes of a vector register (0: scalars only), and how many such registers there are."""

    name: str
    bytes: int
    registers: int


LEVELS = {
    level.name: level
    for level in [
        Level("avx512", 64, 32),
        Level("avx2", 32, 16),
        Level("sse", 16, 16),
        Level("neon", 16, 32),
        Level("scalar", 0, 16),
    ]
}


def _features() -> set[str]:
    """The processor's features that Numba compiles for (`NUMBA_CPU_FEATURES` may restrict them)."""
    if numba.config.CPU_FEATURES:
        return {feature[1:] for feature in numba.config.CPU_FEATURES.split(",") if feature.startswith("+")}
    return {feature for feature, present in llvmlite.binding.get_host_cpu_features().items() if present}


@cache
def host_level() -> Level:
    """The widest instruction set that this machine has."""
    features = _features()
    if {"avx512f", "avx512dq", "avx512vl"} <= features:
        return LEVELS["avx512"]
    if {"avx2", "fma"} <= features:
        return LEVELS["avx2"]
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return LEVELS["sse"]
    return LEVELS["neon" if machine in ("aarch64", "arm64") else "scalar"]


def _capped(name: str) -> Level:
    if name not in LEVELS:
        raise ValueError(f"TOMOGRAD_SIMD={name!r}: expected one of {', '.join(LEVELS)}")
    return min(LEVELS[name], host_level(), key=lambda level: level.bytes)


_level = _capped(os.environ["TOMOGRAD_SIMD"]) if os.environ.get("TOMOGRAD_SIMD") else host_level()


def level() -> Level:
    """The instruction set that kernels are compiled for now."""
    return _level


@contextlib.contextmanager
def using_level(name: str) -> Iterator[Level]:
    """Within it, kernels of the whole process are compiled for at most the instruction set `name`."""
    global _level
    before, _level = _level, _capped(name)
    try:
        yield _level
    finally:
        _level = before


# ---- types -----------------------------------------------------------------------------------------------------------


class VectorKind(CompileTimeType):
    """The compile-time argument that tells a body its vectors: element type and lanes."""

    def __init__(self, element: types.Type, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(name=f"VectorKind({element}, {lanes})")


class VectorType(types.Type):
    """A value: `lanes` numbers of one type (`boolean`: a mask)."""

    def __init__(self, element: types.Type, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")


register_model(VectorKind)(models.OpaqueModel)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, llvm_vector(vector))


class Vector:
    """The launcher's side of `VectorKind`: `vector.lanes`, and an argument for `run`."""

    def __init__(self, dtype: np.dtype, lanes: int):
        self.dtype, self.lanes = np.dtype(dtype), lanes
        self.numba_type = VectorKind(_ELEMENTS[self.dtype.char], lanes)


_ELEMENTS = {
    np.dtype(kind).char: element
    for kind, element in [
        ("f4", types.float32),
        ("f8", types.float64),
        ("i4", types.int32),
        ("i8", types.int64),
        ("u1", types.uint8),
    ]
}


@cache
def _vector(char: str, level: Level) -> Vector:
    dtype = np.dtype(char)
    return Vector(dtype, max(1, level.bytes // dtype.itemsize))


def vector_of(dtype: np.dtype) -> Vector:
    """The widest vectors of `dtype` (float32, float64, int32, int64, uint8) on this machine."""
    return _vector(dtype.char, _level)


# ---- LLVM ------------------------------------------------------------------------------------------------------------


def llvm_element(element: types.Type) -> ir.Type:
    """LLVM's type of one element."""
    if element == types.boolean:
        return ir.IntType(1)
    if isinstance(element, types.Integer):
        return ir.IntType(element.bitwidth)
    return ir.DoubleType() if element == types.float64 else ir.FloatType()


def llvm_vector(vector: VectorType) -> ir.VectorType:
    """LLVM's type of a vector."""
    return ir.VectorType(llvm_element(vector.element), vector.lanes)


def suffix(kind: ir.VectorType) -> str:
    """How LLVM's intrinsics name a vector type: v16f32. (llvmlite's declare_intrinsic refuses vectors.)"""
    names = {"float": "f32", "double": "f64"}
    return f"v{kind.count}{names.get(str(kind.element), str(kind.element))}"


def call_intrinsic(builder, name: str, result: ir.Type, arguments: list):
    """Calls LLVM's intrinsic `name`, declared by hand."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def iota(kind: ir.Type, count: int):
    """The constant vector 0, 1, 2 …"""
    return ir.Constant(ir.VectorType(kind, count), list(range(count)))


def splat_value(builder, scalar, count: int):
    """A vector whose lanes all hold `scalar`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, count), [0] * count))


def mask_of_first(builder, number, count: int):
    """The mask of the first `number` (int64, may lie outside 0 … count) of `count` lanes."""
    every = ir.Constant(INT64, count)
    clamped = builder.select(builder.icmp_signed("<", number, every), number, every)
    return builder.icmp_signed("<", iota(INT32, count), splat_value(builder, builder.trunc(clamped, INT32), count))


def _element_size(kind: ir.VectorType) -> int:
    return {"float": 4, "double": 8}.get(str(kind.element)) or max(kind.element.width // 8, 1)


def load_value(builder, pointer, kind: ir.VectorType, mask=None):
    """Loads a vector from any multiple of the element's size; lanes outside `mask` are 0 and not touched."""
    address = builder.bitcast(pointer, kind.as_pointer())
    if mask is None:
        loaded = builder.load(address)
        loaded.align = _element_size(kind)
        return loaded
    return call_intrinsic(
        builder,
        f"llvm.masked.load.{suffix(kind)}.p0",
        kind,
        [address, ir.Constant(INT32, _element_size(kind)), mask, ir.Constant(kind, None)],
    )


def store_value(builder, value, pointer, mask=None) -> None:
    """Stores a vector to any multiple of the element's size; lanes outside `mask` are not touched."""
    address = builder.bitcast(pointer, value.type.as_pointer())
    if mask is None:
        builder.store(value, address).align = _element_size(value.type)
    else:
        call_intrinsic(
            builder,
            f"llvm.masked.store.{suffix(value.type)}.p0",
            ir.VoidType(),
            [value, address, ir.Constant(INT32, _element_size(value.type)), mask],
        )


def stream_value(builder, value, pointer) -> None:
    """Stores a vector past the caches, to a multiple of its size or of a line's: the line is neither read first nor
    kept."""
    size = min(value.type.count * _element_size(value.type), LINE_BYTES)
    stored = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=size)
    stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INT32, 1)]))


def fma_value(builder, a, b, c):
    """a · b + c, in one instruction where the machine has one."""
    return call_intrinsic(builder, f"llvm.fmuladd.{suffix(a.type)}", a.type, [a, b, c])


# ---- memory ----------------------------------------------------------------------------------------------------------


def _of_pointer(kind: VectorKind, pointer: types.CPointer) -> VectorType:
    return VectorType(pointer.dtype, kind.lanes)


@intrinsic
def lanes(typing, vector):
    """How many lanes a vector (or a vector kind) has: a compile-time constant."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(INT64, signature.args[0].lanes)

    return types.intp(vector), generate


@intrinsic
def load(typing, vector, pointer, index):
    """pointer[index : index + lanes]; the element type is the pointer's, which need not be `vector`'s."""
    result = _of_pointer(vector, pointer)

    def generate(context, builder, signature, arguments):
        return load_value(builder, builder.gep(arguments[1], [arguments[2]]), llvm_vector(result))

    return result(vector, pointer, types.intp), generate


@intrinsic
def load_part(typing, vector, pointer, index, count):
    """pointer[index : index + count], then zeros; what lies beyond is not touched. `count` may exceed the lanes."""
    result = _of_pointer(vector, pointer)

    def generate(context, builder, signature, arguments):
        mask = mask_of_first(builder, arguments[3], result.lanes)
        return load_value(builder, builder.gep(arguments[1], [arguments[2]]), llvm_vector(result), mask)

    return result(vector, pointer, types.intp, types.intp), generate


@intrinsic
def store(typing, pointer, index, value):
    """pointer[index : index + lanes] = value."""

    def generate(context, builder, signature, arguments):
        store_value(builder, arguments[2], builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()

    if pointer.dtype != value.element:
        raise numba.errors.TypingError(f"store: {value} into an array of {pointer.dtype}")
    return types.void(pointer, types.intp, value), generate


@intrinsic
def store_part(typing, pointer, index, value, count):
    """pointer[index : index + count] = the first lanes of value; what lies beyond is not touched. `count` may exceed
    the lanes."""

    def generate(context, builder, signature, arguments):
        mask = mask_of_first(builder, arguments[3], signature.args[2].lanes)
        store_value(builder, arguments[2], builder.gep(arguments[0], [arguments[1]]), mask)
        return context.get_dummy_value()

    if pointer.dtype != value.element:
        raise numba.errors.TypingError(f"store_part: {value} into an array of {pointer.dtype}")
    return types.void(pointer, types.intp, value, types.intp), generate


@intrinsic
def finish_streams(typing):
    """Lets other threads see what was stored past the caches, before anything that is stored after it."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def pointer_at(typing, pointer, index):
    """The pointer to pointer[index]."""

    def generate(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.intp), generate


def _prefetch(for_writing: bool, doc: str):
    def prefetch(typing, pointer, index):
        def generate(context, builder, signature, arguments):
            address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), ir.IntType(8).as_pointer())
            options = [ir.Constant(INT32, option) for option in (int(for_writing), 3, 1)]  # 3: the first cache; 1: data
            call_intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), [address, *options])
            return context.get_dummy_value()

        return types.void(pointer, types.intp), generate

    prefetch.__doc__ = doc
    return intrinsic(prefetch)


prefetch = _prefetch(False, "Asks for the cache line of pointer[index]; an address beyond the array is no error.")
prefetch_to_write = _prefetch(True, "Asks for the cache line of pointer[index], to be written; beyond is no error.")


@intrinsic
def splat(typing, vector, number):
    """A vector of the kind's own element type (or of a vector's) whose lanes all hold `number`."""
    result = VectorType(vector.element, vector.lanes)

    def generate(context, builder, signature, arguments):
        scalar = context.cast(builder, arguments[1], signature.args[1], result.element)
        return splat_value(builder, scalar, result.lanes)

    return result(vector, number), generate


@intrinsic
def first_lanes(typing, vector, count):
    """The mask of the first `count` lanes."""
    result = VectorType(types.boolean, vector.lanes)

    def generate(context, builder, signature, arguments):
        return mask_of_first(builder, arguments[1], result.lanes)

    return result(vector, types.intp), generate


# ---- operators -------------------------------------------------------------------------------------------------------

_FLOAT_OPERATIONS = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
_INTEGER_OPERATIONS = {
    operator.add: "add",
    operator.sub: "sub",
    operator.mul: "mul",
    operator.and_: "and_",
    operator.or_: "or_",
    operator.xor: "xor",
    operator.lshift: "shl",
    operator.rshift: "ashr",
}
_COMPARISONS = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}


def _common(arguments) -> VectorType | None:
    """The vector type of a binary operation: two equal vectors, or a vector and a number."""
    vectors = [argument for argument in arguments if isinstance(argument, VectorType)]
    others = [argument for argument in arguments if not isinstance(argument, VectorType)]
    if len(arguments) != 2 or not vectors or any(vector != vectors[0] for vector in vectors):
        return None
    return vectors[0] if all(isinstance(other, (types.Number, types.Boolean)) for other in others) else None


def _as_vector(context, builder, argument, numba_type, vector: VectorType):
    if isinstance(numba_type, VectorType):
        return argument
    return splat_value(builder, context.cast(builder, argument, numba_type, vector.element), vector.lanes)


def _operator(function, applies, result_of, emit) -> None:
    """Teaches Numba a binary operator on vectors."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        key = function

        def generic(self, arguments, keywords):
            vector = _common(arguments)
            if vector is not None and applies(vector):
                return signature(result_of(vector), *arguments)
            return None

    def generate(context, builder, sig, arguments):
        vector = _common(sig.args)
        left, right = (
            _as_vector(context, builder, argument, kind, vector)
            for argument, kind in zip(arguments, sig.args, strict=True)
        )
        return emit(builder, vector, left, right)

    for left, right in [(VectorType, VectorType), (VectorType, types.Any), (types.Any, VectorType)]:
        lower_builtin(function, left, right)(generate)


def _is_float(vector: VectorType) -> bool:
    return isinstance(vector.element, types.Float)


def _arithmetic(function):
    def applies(vector):
        return function in (_FLOAT_OPERATIONS if _is_float(vector) else _INTEGER_OPERATIONS)

    def emit(builder, vector, left, right):
        name = (_FLOAT_OPERATIONS if _is_float(vector) else _INTEGER_OPERATIONS)[function]
        if name == "ashr" and not vector.element.signed:
            name = "lshr"
        return getattr(builder, name)(left, right)

    _operator(function, applies, lambda vector: vector, emit)


def _comparison(function, symbol: str):
    def emit(builder, vector, left, right):
        if _is_float(vector):  # as in C: all but != are false where either is NaN
            return (builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered)(symbol, left, right)
        return _ordered(builder, vector)(symbol, left, right)

    _operator(
        function,
        lambda vector: vector.element != types.boolean,
        lambda vector: VectorType(types.boolean, vector.lanes),
        emit,
    )


for _function in {*_FLOAT_OPERATIONS, *_INTEGER_OPERATIONS}:
    _arithmetic(_function)
for _function, _symbol in _COMPARISONS.items():
    _comparison(_function, _symbol)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    key = operator.neg

    def generic(self, arguments, keywords):
        return signature(arguments[0], arguments[0]) if isinstance(arguments[0], VectorType) else None


@lower_builtin(operator.neg, VectorType)
def _negate(context, builder, sig, arguments):
    return builder.fneg(arguments[0]) if _is_float(sig.args[0]) else builder.neg(arguments[0])


# ---- functions -------------------------------------------------------------------------------------------------------


def _ordered(builder, vector: VectorType):
    """The builder's comparison for the vector's elements, false where either is NaN."""
    if _is_float(vector):
        return builder.fcmp_ordered
    return builder.icmp_signed if vector.element.signed else builder.icmp_unsigned


def _same(*vectors) -> VectorType:
    if any(vector != vectors[0] for vector in vectors):
        raise numba.errors.TypingError(f"vectors differ: {', '.join(map(str, vectors))}")
    return vectors[0]


@intrinsic
def fma(typing, a, b, c):
    """a · b + c, rounded once where the machine has the instruction."""

    def generate(context, builder, signature, arguments):
        return fma_value(builder, *arguments)

    return _same(a, b, c)(a, b, c), generate


@intrinsic
def maximum(typing, a, b):
    """a where a > b, else b: so NaN in b stays, and NaN in a gives b. `maximum(zero, x)` is a ReLU that keeps NaN."""

    def generate(context, builder, signature, arguments):
        return builder.select(_ordered(builder, a)(">", *arguments), *arguments)

    return _same(a, b)(a, b), generate


@intrinsic
def minimum(typing, a, b):
    """a where a < b, else b: so NaN in b stays, and NaN in a gives b."""

    def generate(context, builder, signature, arguments):
        return builder.select(_ordered(builder, a)("<", *arguments), *arguments)

    return _same(a, b)(a, b), generate


@intrinsic
def select(typing, mask, a, b):
    """a in the lanes where the mask is true, b in the others."""

    def generate(context, builder, signature, arguments):
        return builder.select(*arguments)

    return _same(a, b)(mask, a, b), generate


def _unary(name: str, doc: str):
    def function(typing, a):
        def generate(context, builder, signature, arguments):
            return call_intrinsic(builder, f"llvm.{name}.{suffix(arguments[0].type)}", arguments[0].type, arguments)

        return a(a), generate

    function.__doc__, function.__name__, function.__qualname__ = doc, f"vector_{name}", f"vector_{name}"
    return intrinsic(function)


sqrt = _unary("sqrt", "The square root of each lane.")
absolute = _unary("fabs", "The absolute value of each lane of floats.")
apart = _unary(
    "arithmetic.fence",
    "The same lanes. Their load stays an instruction of its own: as a part of a masked one it would wait for the mask.",
)
floor = _unary("floor", "The largest whole number not above each lane of floats.")
round_to_even = _unary("rint", "The nearest whole number to each lane of floats, ties to the even one.")


@intrinsic
def any_of(typing, mask):
    """True if any lane of the mask is."""

    def generate(context, builder, signature, arguments):
        name = f"llvm.vector.reduce.or.{suffix(arguments[0].type)}"
        return call_intrinsic(builder, name, ir.IntType(1), [arguments[0]])

    return types.boolean(mask), generate


def _halves(builder, value, combine):
    """Combines all lanes pairwise: the upper half with the lower, and again, in a fixed order."""
    count = value.type.count
    while count > 1:
        count //= 2
        indices = [ir.Constant(ir.VectorType(INT32, count), list(range(start, start + count))) for start in (0, count)]
        value = combine(*(builder.shuffle_vector(value, value, half) for half in indices))
    return builder.extract_element(value, ir.Constant(INT32, 0))


@intrinsic
def sum_of(typing, a):
    """The sum of all lanes, added pairwise."""

    def generate(context, builder, signature, arguments):
        return _halves(builder, arguments[0], builder.fadd if _is_float(a) else builder.add)

    return a.element(a), generate


@intrinsic
def max_of(typing, a):
    """The largest lane of floats; NaN if any lane is."""

    def generate(context, builder, signature, arguments):
        def larger(left, right):
            is_larger, is_nan = builder.fcmp_ordered(">", left, right), builder.fcmp_unordered("uno", left, left)
            return builder.select(builder.or_(is_larger, is_nan), left, right)

        return _halves(builder, arguments[0], larger)

    return a.element(a), generate


@intrinsic
def largest_of(typing, a):
    """The largest lane of floats; cheaper than max_of, but says nothing of NaN."""

    def generate(context, builder, signature, arguments):
        def larger(left, right):
            return builder.select(builder.fcmp_ordered(">", left, right), left, right)

        return _halves(builder, arguments[0], larger)

    return a.element(a), generate


@intrinsic
def lane_numbers(typing, vector):
    """The vector 0, 1, 2 … of whole numbers as wide as the kind's (or the vector's) elements."""
    result = VectorType(_whole(vector), vector.lanes)

    def generate(context, builder, signature, arguments):
        return iota(llvm_element(result.element), result.lanes)

    return result(vector), generate


# ---- conversions -----------------------------------------------------------------------------------------------------


def _whole(vector) -> types.Type:
    return {32: types.int32, 64: types.int64}[vector.element.bitwidth]


def _real(vector) -> types.Type:
    return {32: types.float32, 64: types.float64}[vector.element.bitwidth]


def _conversion(target_of, emit, name: str, doc: str):
    def function(typing, a):
        result = VectorType(target_of(a), a.lanes)

        def generate(context, builder, signature, arguments):
            return emit(builder, arguments[0], llvm_vector(result)) if result != a else arguments[0]

        return result(a), generate

    function.__doc__, function.__name__, function.__qualname__ = doc, name, name
    return intrinsic(function)


to_whole = _conversion(
    _whole,
    lambda builder, a, kind: builder.fptosi(a, kind),
    "to_whole",
    "Floats cut to whole numbers of the same width; undefined for NaN and beyond the range.",
)
to_real = _conversion(
    _real, lambda builder, a, kind: builder.sitofp(a, kind), "to_real", "Whole numbers as floats of the same width."
)
to_bits = _conversion(
    _whole,
    lambda builder, a, kind: builder.bitcast(a, kind),
    "to_bits",
    "The bits of floats, as whole numbers of the same width.",
)
from_bits = _conversion(
    _real,
    lambda builder, a, kind: builder.bitcast(a, kind),
    "from_bits",
    "Whole numbers taken as the bits of floats of the same width.",
)
to_float64 = _conversion(
    lambda a: types.float64,
    lambda builder, a, kind: builder.fpext(a, kind),
    "to_float64",
    "float32 lanes as float64 (twice the registers).",
)
to_float32 = _conversion(
    lambda a: types.float32,
    lambda builder, a, kind: builder.fptrunc(a, kind),
    "to_float32",
    "float64 lanes rounded to float32.",
)
