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

LINE = 64  # bytes: a cache line, and the widest vector
_THROUGH, _PAST = Constant(False), Constant(True)


def past_caches(y: np.ndarray, *operands: np.ndarray) -> Constant:
    """For `put`: whether y, made in one pass over `operands`, is to be stored past the caches."""
    together = y.nbytes + sum([operand.nbytes for operand in operands])
    return _PAST if together > last_level_bytes() and address_of_array(y) % LINE == 0 else _THROUGH


@intrinsic
def put(typing, past, pointer, index, value):
    """pointer[index : index + lanes] = value. With `past` (a Constant) the caches are passed by; then the address must
    be a multiple of a line, or of the vector if that is shorter, and `finish_streams` comes last."""

    def generate(context, builder, signature, arguments):
        _, pointer, index, value = arguments
        at = builder.gep(pointer, [index])
        if past.number:
            size = value.type.count * signature.args[3].element.bitwidth // 8
            stored = builder.store(value, builder.bitcast(at, value.type.as_pointer()), align=min(size, LINE))
            stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INT32, 1)]))
        else:
            store_value(builder, value, at)
        return context.get_dummy_value()

    return types.void(past, pointer, types.intp, value), generate
