"""Applies a formula to arrays element by element: one kernel body for activations, elementwise losses and their kin.

    @formula
    def scaled_difference(x, y, factor):
        return factor * (x - y)

    z = elementwise(scaled_difference, x, y, x.dtype.type(2))

A formula is written for vectors; numbers come as they are. It is known to the body by its type, so that each formula
is compiled for itself into one loop over full vectors.
"""

from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from ..memory import empty_like
from .bodies import CompileTimeType, kernel, unpack, value
from .copying import contiguous
from .launch import run
from .mathematics import function
from .simd import (
    VectorType,
    finish_streams,
    lanes,
    llvm_vector,
    load_value,
    mask_of_first,
    store_part,
    vector_of,
)
from .streams import past_caches, put

CHUNK = 1024  # elements that a part is a multiple of: whole vectors, whole pages
GRAIN = 16  # chunks that are worth a thread


# ---- a formula as a compile-time argument ----------------------------------------------------------------------------


class FormulaType(CompileTimeType):
    """The Numba type of a formula."""

    def __init__(self, function: Callable):
        self.function = function
        super().__init__(name=f"Formula({function.__module__}.{function.__qualname__})")


register_model(FormulaType)(models.OpaqueModel)


class Formula:
    """An argument for `run`; still to be called by other formulas, as `formula.function`."""

    def __init__(self, python_function: Callable):
        self.function = function(python_function)
        self.numba_type = FormulaType(self.function)


def formula(python_function: Callable) -> Formula:
    """Decorator: a function of vectors and numbers for `elementwise`, or whatever a kernel body is to `apply`."""
    return Formula(python_function)


def apply(formula, operands):
    """formula(*operands): defined below, for kernel bodies."""


@overload(apply, jit_options={"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True, "nogil": True})
def _apply(formula, operands):
    chosen = formula.function
    return lambda formula, operands: chosen(*operands)


# ---- the body --------------------------------------------------------------------------------------------------------


@intrinsic
def load_each(typing, vector, inputs, index, count):
    """For each pointer p of the tuple `inputs` p[index : index + count], then zeros (all lanes, without a mask, if the
    count is known to be theirs); numbers as they are."""

    def kind_of(member):
        return VectorType(member.dtype, vector.lanes) if isinstance(member, types.CPointer) else member

    result = types.Tuple([kind_of(member) for member in inputs])
    whole = isinstance(count, types.NoneType)

    def generate(context, builder, signature, arguments):
        mask = None if whole else mask_of_first(builder, arguments[3], vector.lanes)
        values = []
        for position, member in enumerate(inputs):
            value = builder.extract_value(arguments[1], position)
            if isinstance(member, types.CPointer):
                value = load_value(builder, builder.gep(value, [arguments[2]]), llvm_vector(kind_of(member)), mask)
            values.append(value)
        return context.make_tuple(builder, result, values)

    return result(vector, inputs, types.intp, count), generate


@kernel
def _elementwise(begin, end, arguments):
    given = unpack(arguments)
    vector, formula, past, size, y, inputs = given[0], given[1], given[2], given[3], given[4], given[5:]
    i, stop = begin * CHUNK, min(end * CHUNK, size)
    while i + lanes(vector) <= stop:
        put(past, y, i, apply(formula, load_each(vector, inputs, i, None)))
        i += lanes(vector)
    if i < stop:
        store_part(y, i, apply(formula, load_each(vector, inputs, i, stop - i)), stop - i)
    if value(past):
        finish_streams()


def elementwise(formula: Formula, *operands: np.ndarray | np.floating) -> np.ndarray:
    """formula(*operands) for arrays of one shape and type, and numbers of that type; one of the first two is an
    array."""
    operands = [contiguous(operand) if isinstance(operand, np.ndarray) else operand for operand in operands]
    x = operands[0] if isinstance(operands[0], np.ndarray) else operands[1]
    y = empty_like(x)
    past = past_caches(y, *operands)
    run(_elementwise, -(-y.size // CHUNK), GRAIN, vector_of(y.dtype), formula, past, y.size, y, *operands)
    return y


def number_if_repeated(x: np.ndarray) -> np.ndarray | np.floating:
    """The number of an array that repeats one by broadcasting, as the gradient of a mean does; others as they are."""
    return x.dtype.type(x.item(0)) if x.size > 1 and not any(x.strides) else x
