"""Stores past the caches, for results that are more than the caches hold together with what they are made of.

An ordinary store reads the line that it writes to first, and puts it in the place of another one. Where a kernel's
operands and results do not fit into the largest cache together, what it writes will not be there anyway when somebody
reads it: stored past the caches it costs one transfer instead of two, and the operands stay.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..memory import address_of_array
from .bodies import Constant
from .caches import last_level_bytes
from .simd import LINE_BYTES, store_value, stream_value

SMALL = 1024**2  # bytes of a result that whoever reads it next should find in a cache, whatever it was made of
THROUGH_CACHES, PAST_CACHES = Constant(False), Constant(True)


def past_caches(y: np.ndarray, *operands: np.ndarray | np.floating) -> Constant:
    """For `put`: whether y, made in one pass over `operands`, is to be stored past the caches."""
    if y.nbytes <= SMALL:
        return THROUGH_CACHES
    together = y.nbytes + sum([operand.nbytes for operand in operands])
    return PAST_CACHES if together > last_level_bytes() and address_of_array(y) % LINE_BYTES == 0 else THROUGH_CACHES


@intrinsic
def stream(typing, pointer, index, value):
    """pointer[index : index + lanes] = value past the caches. The address must be a multiple of a line, or of the
    vector if that is shorter; `finish_streams` comes last."""

    def generate(context, builder, signature, arguments):
        stream_value(builder, arguments[2], builder.gep(arguments[0], [arguments[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), generate


@intrinsic
def put(typing, past, pointer, index, value):
    """pointer[index : index + lanes] = value: with `past`, which is what `past_caches` gave, as `stream` does it."""

    def generate(context, builder, signature, arguments):
        _, pointer, index, vector = arguments
        store = stream_value if past.number else store_value
        store(builder, vector, builder.gep(pointer, [index]))
        return context.get_dummy_value()

    return types.void(past, pointer, types.intp, value), generate
