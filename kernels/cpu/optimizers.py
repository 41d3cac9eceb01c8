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
PLAIN, MOMENTUM, NESTEROV = range(3)  # kinds of gradient descent


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
    kind, rate, momentum, decay = numbers
    for i in range(first, last):
        step = rate * g[i]
        if value(kind) == PLAIN:
            p[i] = (p[i] - decay * p[i]) - step
        else:
            velocity = momentum * v[i] - step
            v[i] = velocity
            if value(kind) == NESTEROV:
                p[i] = (p[i] - decay * p[i]) + (momentum * velocity - step)
            else:
                p[i] = (p[i] - decay * p[i]) + velocity


@formula
def _adam(arrays, begin, end, numbers):
    p, g, first, second = arrays
    rate, one_less_beta_1, one_less_beta_2, epsilon, decay = numbers
    for i in range(begin, end):
        m = first[i] + one_less_beta_1 * (g[i] - first[i])
        v = second[i] + one_less_beta_2 * (g[i] * g[i] - second[i])
        first[i] = m
        second[i] = v
        p[i] = (p[i] - decay * p[i]) - rate * m / (np.sqrt(v) + epsilon)


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


def _run(
    step: Formula, parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray], states, kinds, numbers
) -> None:
    """One step for all parameters: `kinds` are constants, `numbers` come in the parameters' type."""
    if not parameters:
        return
    gradients = _all_contiguous(gradients)  # kept until the kernel is done: the table holds addresses only
    table, bounds = _tabled(parameters, gradients, *states)
    arguments = (step, parameters[0], Constant(2 + len(states)), table, bounds)
    run(_update, int(bounds[-1]), GRAIN, *arguments, *kinds, *map(parameters[0].dtype.type, numbers))


@twin_of(reference.sgd_step)
def sgd_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray] | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    kind = Constant(PLAIN if velocities is None else NESTEROV if nesterov else MOMENTUM)
    numbers = (learning_rate, momentum, learning_rate * weight_decay)
    _run(_sgd, parameters, gradients, [velocities], [kind], numbers)


@twin_of(reference.adam_step)
def adam_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    first_moments: Sequence[np.ndarray],
    second_moments: Sequence[np.ndarray],
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    numbers = (rate, 1 - beta_1, 1 - beta_2, epsilon, learning_rate * weight_decay)
    _run(_adam, parameters, gradients, [first_moments, second_moments], [], numbers)


@twin_of(reference.rmsprop_step)
def rmsprop_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray],
    momenta: Sequence[np.ndarray] | None,
    averages: Sequence[np.ndarray] | None,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    kinds = [Constant(momenta is not None), Constant(averages is not None)]
    numbers = (learning_rate, rho, 1 - rho, momentum, epsilon, learning_rate * weight_decay)
    _run(_rmsprop, parameters, gradients, [velocities, momenta, averages], kinds, numbers)


@twin_of(reference.squared_norm)
def squared_norm(arrays: Sequence[np.ndarray]) -> float:
    if not arrays:
        return 0.0
    arrays = _all_contiguous(arrays)
    table, bounds = _tabled(arrays)
    count = int(bounds[-1])
    parts = max(1, min(threads(), count // GRAIN))
    sums = np.zeros(parts)
    if count:
        run(_add_squares, parts, 1, arrays[0], Constant(1), table, bounds, sums, count, parts)
    return float(sum(sums))
