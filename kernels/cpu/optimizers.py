"""Optimizer steps: one launch for all parameters, one pass over parameters, gradients and state, in place.

The arrays are laid end to end in thought only: a table holds the address of each, and where it begins and ends in the
long row of all elements. A part of the work is a piece of that row, whatever arrays it falls in, so that threads share
a model of one large weight and a hundred small ones evenly, and nothing is copied.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..interface import twin_of
from ..memory import address_of_array
from ..optimizer_steps import Steps
from ..reference import optimizers as reference
from .bodies import (
    INT64,
    Constant,
    kernel,
    unpack,
    value,
)
from .copying import contiguous
from .elementwise import Formula, apply, formula
from .launch import run, threads

GRAIN = 16384  # elements that are worth a thread
PIECE = 4096  # elements of a parameter whose squares are one sum


@intrinsic
def _arrays_at(typing, like, table, index, number):
    """The arrays of the addresses table[index : index + number], of the elements that the pointer `like` has."""
    result = types.UniTuple(like, number.number)

    def generate(context, builder, signature, values):
        kind, arrays = context.get_value_type(like), []
        for k in range(number.number):
            address = builder.load(builder.gep(values[1], [builder.add(values[2], ir.Constant(INT64, k))]))
            arrays.append(builder.inttoptr(address, kind))
        return context.make_tuple(builder, result, arrays)

    return result(like, table, types.intp, number), generate


@kernel
def _update(begin, end, arguments):
    """Applies a step's formula to the pieces of arrays that lie in begin ≤ i < end of the row of all elements: to the
    `number` arrays of a parameter, the piece's bounds, and the step's own numbers."""
    given = unpack(arguments)
    step, like, number, table, bounds, numbers = given[0], given[1], given[2], given[3], given[4], given[5:]
    a = 0
    while bounds[a + 1] <= begin:
        a += 1
    while begin < end:
        stop = min(end, bounds[a + 1])
        arrays = _arrays_at(like, table, a * value(number), number)
        apply(step, (arrays, begin - bounds[a], stop - bounds[a], numbers))
        begin = stop
        a += 1


@formula
def _sgd(arrays, first, last, numbers):
    p, g, v = arrays
    moving, nesterov, rate, momentum, decay = numbers
    for i in range(first, last):
        step = rate * g[i]
        if not value(moving):
            p[i] = (p[i] - decay * p[i]) - step
        else:
            velocity = momentum * v[i] - step
            v[i] = velocity
            if value(nesterov):
                p[i] = (p[i] - decay * p[i]) + (momentum * velocity - step)
            else:
                p[i] = (p[i] - decay * p[i]) + velocity


@formula
def _adam(arrays, begin, end, numbers):
    p, g, first, second, largest = arrays
    amsgrad, rate, one_less_beta_1, one_less_beta_2, epsilon, decay = numbers
    for i in range(begin, end):
        m = first[i] + one_less_beta_1 * (g[i] - first[i])
        v = second[i] + one_less_beta_2 * (g[i] * g[i] - second[i])
        first[i] = m
        second[i] = v
        if value(amsgrad):
            before = largest[i]
            if before > v or before != before:
                v = before
            largest[i] = v
        p[i] = (p[i] - decay * p[i]) - rate * m / (np.sqrt(v) + epsilon)


@formula
def _adamax(arrays, begin, end, numbers):
    p, g, first, norms = arrays
    rate, one_less_beta_1, beta_2, epsilon, decay = numbers
    for i in range(begin, end):
        m = first[i] + one_less_beta_1 * (g[i] - first[i])
        u, size = beta_2 * norms[i], abs(g[i])
        if size > u or size != size:
            u = size
        first[i] = m
        norms[i] = u
        p[i] = (p[i] - decay * p[i]) - rate * m / (u + epsilon)


@formula
def _nadam(arrays, begin, end, numbers):
    p, g, first, second = arrays
    of_moment, of_gradient, one_less_beta_1, one_less_beta_2, correction, epsilon, decay = numbers
    for i in range(begin, end):
        m = first[i] + one_less_beta_1 * (g[i] - first[i])
        v = second[i] + one_less_beta_2 * (g[i] * g[i] - second[i])
        first[i] = m
        second[i] = v
        update = (of_moment * m + of_gradient * g[i]) / (np.sqrt(v * correction) + epsilon)
        p[i] = (p[i] - decay * p[i]) - update


@formula
def _schedule_free(arrays, first, last, numbers):
    p, g, iterates, second = arrays
    rate, beta_1, one_less_beta_1, one_less_beta_2, correction, new, old, epsilon, decay = numbers
    for i in range(first, last):
        v = second[i] + one_less_beta_2 * (g[i] * g[i] - second[i])
        second[i] = v
        before = iterates[i]
        average = ((p[i] - decay * p[i]) - one_less_beta_1 * before) / beta_1
        z = before - rate * g[i] / (np.sqrt(v * correction) + epsilon)
        iterates[i] = z
        p[i] = one_less_beta_1 * z + beta_1 * (old * average + new * z)


@formula
def _adagrad(arrays, first, last, numbers):
    p, g, accumulators = arrays
    rate, epsilon, decay = numbers
    for i in range(first, last):
        a = accumulators[i] + g[i] * g[i]
        accumulators[i] = a
        p[i] = (p[i] - decay * p[i]) - rate * g[i] / np.sqrt(a + epsilon)


@formula
def _adadelta(arrays, first, last, numbers):
    p, g, squares, updates = arrays
    rate, rho, one_less_rho, epsilon, decay = numbers
    for i in range(first, last):
        s = rho * squares[i] + one_less_rho * (g[i] * g[i])
        d = np.sqrt(updates[i] + epsilon) * g[i] / np.sqrt(s + epsilon)
        squares[i] = s
        updates[i] = rho * updates[i] + one_less_rho * (d * d)
        p[i] = (p[i] - decay * p[i]) - rate * d


@formula
def _rmsprop(arrays, first, last, numbers):
    p, g, v, m, average = arrays
    has_momentum, centered, rate, rho, one_less_rho, momentum, epsilon, decay = numbers
    for i in range(first, last):
        variance = rho * v[i] + one_less_rho * (g[i] * g[i])
        v[i] = variance
        if value(centered):
            mean = rho * average[i] + one_less_rho * g[i]
            average[i] = mean
            variance = variance - mean * mean
        update = rate * g[i] / np.sqrt(variance + epsilon)
        if value(has_momentum):
            update = momentum * m[i] + update
            m[i] = update
        p[i] = (p[i] - decay * p[i]) - update


@formula
def _lion(arrays, first, last, numbers):
    p, g, momenta = arrays
    rate, beta_1, one_less_beta_1, beta_2, one_less_beta_2, decay = numbers
    for i in range(first, last):
        direction = beta_1 * momenta[i] + one_less_beta_1 * g[i]
        momenta[i] = beta_2 * momenta[i] + one_less_beta_2 * g[i]
        step = rate * direction  # 0 for 0, NaN for NaN
        if direction > 0:
            step = rate
        elif direction < 0:
            step = -rate
        p[i] = (p[i] - decay * p[i]) - step


@formula
def _ftrl(arrays, first, last, numbers):
    p, g, accumulators, linears = arrays
    rooted, rate, power, l1, l2, shrinkage, decay = numbers
    for i in range(first, last):
        before = accumulators[i]
        after = before + g[i] * g[i]
        accumulators[i] = after
        if value(rooted):
            before, after = np.sqrt(before), np.sqrt(after)
        else:
            before, after = before**power, after**power
        weight = p[i] - decay * p[i]
        linear = linears[i] + (g[i] + shrinkage * weight - (after - before) / rate * weight)
        linears[i] = linear
        clipped = linear
        if linear > l1:
            clipped = l1
        elif linear < -l1:
            clipped = -l1
        p[i] = (clipped - linear) / (after / rate + l2)


@formula
def _blend(arrays, first, last, numbers):
    targets, sources = arrays
    keep, take = numbers
    if keep == 0:
        for i in range(first, last):
            targets[i] = take * sources[i]
    else:
        for i in range(first, last):
            targets[i] = keep * targets[i] + take * sources[i]


@kernel(fastmath={"contract", "reassoc", "nsz"})
def _add_squares(begin, end, arguments):
    """For each part its own sum, in double precision, over its piece of the row."""
    like, one, table, bounds, sums, count, parts = unpack(arguments)
    for part in range(begin, end):
        position, last = part * count // parts, (part + 1) * count // parts
        total = 0.0
        a = 0
        while bounds[a + 1] <= position:
            a += 1
        while position < last:
            (x,) = _arrays_at(like, table, a, one)
            stop = min(last, bounds[a + 1])
            for i in range(position - bounds[a], stop - bounds[a]):
                number = np.float64(x[i])
                total += number * number
            position = stop
            a += 1
        sums[part] = total


def _tabled(*sequences: Sequence[np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
    """(table, bounds): for each parameter the addresses of its arrays, one of each sequence (0 for one left out); and
    where each begins in the row of all elements, and the row's end.

    Raises ValueError for arrays of different sizes or types, TypeError for one that is not C-contiguous: what follows
    knows nothing but addresses.
    """
    first = sequences[0]
    bounds = [0, *itertools.accumulate(array.size for array in first)]
    columns = []
    for sequence in sequences:
        if sequence is None:
            columns.append([0] * len(first))
            continue
        for array, like in zip(sequence, first, strict=True):
            if array.size != like.size or array.dtype != first[0].dtype:
                raise ValueError(
                    f"an optimizer's array has shape {array.shape} and type {array.dtype}; its parameter has shape "
                    f"{like.shape}, the first parameter type {first[0].dtype}"
                )
            if not array.flags.c_contiguous:
                raise TypeError(f"an optimizer's array of shape {array.shape} is not C-contiguous")
        columns.append([address_of_array(array) for array in sequence])
    return np.array(columns, np.int64).T.copy(), np.array(bounds, np.int64)


def _all_contiguous(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [contiguous(array) for array in arrays]


# ---- LAMB: two passes, the second with the lengths that the first has added up ---------------------------------------


@kernel(fastmath={"contract", "reassoc", "nsz"})
def _lamb_moments(begin, end, arguments):
    """For pieces of parameters, of `size` elements each: shrinks the parameter, moves its moments, and adds up the
    squares of the parameter and of its update in double precision, sums[2·piece] and sums[2·piece + 1]."""
    given = unpack(arguments)
    like, number, table, bounds, pieces, size, sums = given[:7]
    one_less_beta_1, one_less_beta_2, correction_1, correction_2, epsilon, decay = given[7:]
    a = 0
    for piece in range(begin, end):
        while pieces[a + 1] <= piece:
            a += 1
        p, g, first, second = _arrays_at(like, table, 4 * a, number)
        low = (piece - pieces[a]) * size
        high = min(low + size, bounds[a + 1] - bounds[a])
        for i in range(low, high):
            p[i] = p[i] - decay * p[i]
            first[i] = first[i] + one_less_beta_1 * (g[i] - first[i])
            second[i] = second[i] + one_less_beta_2 * (g[i] * g[i] - second[i])
        of_parameter = of_update = 0.0
        for i in range(low, high):  # in a loop of its own, which stores nothing: so it becomes vectors
            weight = np.float64(p[i])
            update = np.float64(correction_1 * first[i] / (np.sqrt(correction_2 * second[i]) + epsilon))
            of_parameter += weight * weight
            of_update += update * update
        sums[2 * piece], sums[2 * piece + 1] = of_parameter, of_update


@kernel
def _lamb_update(begin, end, arguments):
    """Goes a parameter's own rate along the update, for the elements begin ≤ i < end of the row of all."""
    like, number, table, bounds, rates, correction_1, correction_2, epsilon = unpack(arguments)
    a = 0
    while bounds[a + 1] <= begin:
        a += 1
    while begin < end:
        stop = min(end, bounds[a + 1])
        p, _, first, second = _arrays_at(like, table, 4 * a, number)
        rate = rates[a]
        for i in range(begin - bounds[a], stop - bounds[a]):
            p[i] -= rate * (correction_1 * first[i] / (np.sqrt(correction_2 * second[i]) + epsilon))
        begin = stop
        a += 1


def _run_lamb(like: np.ndarray, table: np.ndarray, bounds: np.ndarray, numbers: Sequence[np.floating]) -> None:
    """Both passes. A parameter is cut into pieces of one size, so that its length does not depend on the threads."""
    rate, *own = numbers
    pieces = np.zeros(len(bounds), np.int64)
    np.cumsum(-(-np.diff(bounds) // PIECE), out=pieces[1:])
    sums = np.zeros((int(pieces[-1]), 2))
    arguments = (like, Constant(4), table, bounds)
    run(_lamb_moments, int(pieces[-1]), GRAIN // PIECE, *arguments, pieces, PIECE, sums, *own)
    lengths = np.sqrt([sums[first:last].sum(axis=0) for first, last in itertools.pairwise(pieces)])
    ratios = [of_p / of_u if of_p > 0 and of_u > 0 else 1.0 for of_p, of_u in lengths]
    rates = (rate * np.array(ratios)).astype(like.dtype)
    run(_lamb_update, int(bounds[-1]), GRAIN, *arguments, rates, *own[2:5])


# ---- the steps -------------------------------------------------------------------------------------------------------

_FORMULAS: dict[str, Formula] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamax": _adamax,
    "nadam": _nadam,
    "schedule_free": _schedule_free,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "rmsprop": _rmsprop,
    "lion": _lion,
    "ftrl": _ftrl,
    "blend": _blend,
}


def _run(
    name: str,
    kinds: Sequence[bool],
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    kept: Sequence[Sequence[np.ndarray] | None],
    numbers: Sequence[float],
) -> None:
    """One step for all parameters: see `optimizer_steps`."""
    if not parameters:
        return
    gradients = _all_contiguous(gradients)  # kept until the kernel is done: the table holds addresses only
    table, bounds = _tabled(parameters, gradients, *kept)
    own = [parameters[0].dtype.type(number) for number in numbers]
    if name == "lamb":
        _run_lamb(parameters[0], table, bounds, own)
        return
    arguments = (_FORMULAS[name], parameters[0], Constant(2 + len(kept)), table, bounds)
    run(_update, int(bounds[-1]), GRAIN, *arguments, *map(Constant, kinds), *own)


_STEPS = Steps(_run)
sgd_step = _STEPS.sgd_step
adam_step = _STEPS.adam_step
adamax_step = _STEPS.adamax_step
nadam_step = _STEPS.nadam_step
lamb_step = _STEPS.lamb_step
schedule_free_step = _STEPS.schedule_free_step
adagrad_step = _STEPS.adagrad_step
adadelta_step = _STEPS.adadelta_step
rmsprop_step = _STEPS.rmsprop_step
lion_step = _STEPS.lion_step
ftrl_step = _STEPS.ftrl_step
blend = _STEPS.blend


@twin_of(reference.squared_norm)
def squared_norm(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if not arrays:
        return np.zeros(())
    arrays = _all_contiguous(arrays)
    table, bounds = _tabled(arrays)
    count = int(bounds[-1])
    parts = max(1, min(threads(), count // GRAIN))
    sums = np.zeros(parts)
    if count:
        run(_add_squares, parts, 1, arrays[0], Constant(1), table, bounds, sums, count, parts)
    return np.array(sum(sums), np.float64)


@twin_of(reference.limit_norm)
def limit_norm(arrays: Sequence[np.ndarray], squared_norm: np.ndarray, largest: float) -> list[np.ndarray]:
    norm = math.sqrt(squared_norm)
    if norm <= largest or not arrays:
        return list(arrays)
    limited = [np.empty(array.shape, array.dtype) for array in arrays]
    first, last = reference.limiting_factors(norm, largest, arrays[0].dtype)
    blend(limited, arrays, 0.0, first)
    if last != 1:
        blend(limited, limited, 0.0, last)
    return limited
