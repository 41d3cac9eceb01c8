"""Numbers that several threads read and change: each of these happens at once for all of them, in one order."""

from numba import types
from numba.extending import intrinsic

ORDER = "seq_cst"


@intrinsic
def add(typing, words, index, number):
    """words[index] += number; returns what it was before."""

    def generate(context, builder, signature, arguments):
        return builder.atomic_rmw("add", builder.gep(arguments[0], [arguments[1]]), arguments[2], ORDER)

    return types.intp(words, types.intp, types.intp), generate


@intrinsic
def swap(typing, words, index, number):
    """words[index] = number; returns what it was before."""

    def generate(context, builder, signature, arguments):
        return builder.atomic_rmw("xchg", builder.gep(arguments[0], [arguments[1]]), arguments[2], ORDER)

    return types.intp(words, types.intp, types.intp), generate


@intrinsic
def claim(typing, words, index, number):
    """words[index] += 1, if it is `number`; returns whether it was."""

    def generate(context, builder, signature, arguments):
        place = builder.gep(arguments[0], [arguments[1]])
        more = builder.add(arguments[2], arguments[2].type(1))
        return builder.extract_value(builder.cmpxchg(place, arguments[2], more, ORDER), 1)

    return types.boolean(words, types.intp, types.intp), generate


@intrinsic
def read(typing, words, index):
    """words[index], as the last thread left it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(builder.gep(arguments[0], [arguments[1]]), ORDER, 8)

    return types.intp(words, types.intp), generate
