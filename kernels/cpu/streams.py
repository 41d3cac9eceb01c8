"""Stores past the caches, for results that are more than the caches hold together with what they are made of.

An ordinary store reads the line that it writes to first, and puts it in the place of another one. Where a kernel's
operands and results do not fit into the largest cache together, what it writes will not be there anyway when somebody
reads it: stored past the caches it costs one transfer instead of two, and the operands stay.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .caches import last_level_bytes
from .launch import Constant, address_of_array
from .simd import INT32, store_value

SMALL = 1024**2  # bytes of a result that whoever reads it next should find in a cache, whatever it was made of
LINE = 64  # bytes: a cache line, and the widest vector
THROUGH_CACHES, PAST_CACHES = Constant(False), Constant(True)


def past_caches(y: np.ndarray, *operands: np.ndarray | np.floating) -> Constant:
    """For `put`: whether y, made in one pass over `operands`, is to be stored past the caches."""
    if y.nbytes <= SMALL:
        return THROUGH_CACHES
    together = y.nbytes + sum([operand.nbytes for operand in operands])
    return PAST_CACHES if together > last_level_bytes() and address_of_array(y) % LINE == 0 else THROUGH_CACHES


def _stored_past(builder, value, pointer, index, element) -> None:
    address = builder.bitcast(builder.gep(pointer, [index]), value.type.as_pointer())
    stored = builder.store(value, address, align=min(value.type.count * element.bitwidth // 8, LINE))
    stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INT32, 1)]))


@intrinsic
def stream(typing, pointer, index, value):
    """pointer[index : index + lanes] = value past the caches. The address must be a multiple of a line, or of the
    vector if that is shorter; `finish_streams` comes last."""

    def generate(context, builder, signature, arguments):
        _stored_past(builder, arguments[2], *arguments[:2], value.element)
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), generate


@intrinsic
def put(typing, past, pointer, index, value):
    """pointer[index : index + lanes] = value: with `past`, which is what `past_caches` gave, as `stream` does it."""

    def generate(context, builder, signature, arguments):
        _, pointer, index, vector = arguments
        if past.number:
            _stored_past(builder, vector, pointer, index, value.element)
        else:
            store_value(builder, vector, builder.gep(pointer, [index]))
        return context.get_dummy_value()

    return types.void(past, pointer, types.intp, value), generate
