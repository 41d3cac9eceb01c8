"""Scratch memory that the parts of a launch take turns in: as many workspaces as there are threads.

A launch has more parts than threads. Were each given memory of its own, every part would begin with a cold cache; a
part that claims the workspace which another has just released finds it in the cache.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..memory import empty
from .bodies import helper
from .simd import INT64


def workspaces(count: int, size: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(memory for `count` workspaces of `size` numbers, which of them are taken and then, all 0, a number for each in
    which its parts may say what it holds)."""
    return empty((count * size,), dtype), np.zeros(2 * count, np.int64)


@intrinsic
def _take(typing, taken, number):
    """True if workspace `number` was free; it is not any more."""

    def generate(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [arguments[1]])
        swapped = builder.cmpxchg(place, ir.Constant(INT64, 0), ir.Constant(INT64, 1), "acquire", "monotonic")
        return builder.extract_value(swapped, 1)

    return types.boolean(taken, types.intp), generate


@intrinsic
def release(typing, taken, number):
    """Gives a workspace back."""

    def generate(context, builder, signature, arguments):
        builder.atomic_rmw("xchg", builder.gep(arguments[0], [arguments[1]]), ir.Constant(INT64, 0), "release")
        return context.get_dummy_value()

    return types.void(taken, types.intp), generate


@helper
def claim(taken, count):
    """The number of a workspace that is free; waits for one if need be."""
    number = 0
    while not _take(taken, number):
        number = (number + 1) % count
    return number
