"""Optimizer steps: one pass over parameter, gradient and state, in place."""

import math

import numpy as np

from ..interface import twin_of
from ..memory import contiguous
from ..reference import optimizers as reference
from .launch import Constant, kernel, run, unpack, value

GRAIN = 16384  # elements that are worth a thread


@kernel
def _sgd(begin, end, arguments):
    parameter, gradient, rate, decay = unpack(arguments)
    for i in range(begin, end):
        p = parameter[i]
        parameter[i] = (p - decay * p) - rate * gradient[i]


@kernel
def _sgd_with_momentum(begin, end, arguments):
    nesterov, parameter, gradient, velocity, rate, momentum, decay = unpack(arguments)
    for i in range(begin, end):
        p, step = parameter[i], rate * gradient[i]
        v = momentum * velocity[i] - step
        velocity[i] = v
        if value(nesterov):
            parameter[i] = (p - decay * p) + (momentum * v - step)
        else:
            parameter[i] = (p - decay * p) + v


@kernel
def _adam(begin, end, arguments):
    parameter, gradient, first, second, rate, one_less_beta_1, one_less_beta_2, epsilon, decay = unpack(arguments)
    for i in range(begin, end):
        p, g = parameter[i], gradient[i]
        m = first[i] + one_less_beta_1 * (g - first[i])
        v = second[i] + one_less_beta_2 * (g * g - second[i])
        first[i] = m
        second[i] = v
        parameter[i] = (p - decay * p) - rate * m / (np.sqrt(v) + epsilon)


@twin_of(reference.sgd_step)
def sgd_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    number = parameter.dtype.type
    rate, decay = number(learning_rate), number(learning_rate * weight_decay)
    gradient = contiguous(gradient)
    if velocity is None:
        run(_sgd, parameter.size, GRAIN, parameter, gradient, rate, decay)
    else:
        arguments = (parameter, gradient, velocity, rate, number(momentum), decay)
        run(_sgd_with_momentum, parameter.size, GRAIN, Constant(nesterov), *arguments)


@twin_of(reference.adam_step)
def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    first_moment: np.ndarray,
    second_moment: np.ndarray,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    number = parameter.dtype.type
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    numbers = (rate, 1 - beta_1, 1 - beta_2, epsilon, learning_rate * weight_decay)
    arrays = (parameter, contiguous(gradient), first_moment, second_moment)
    run(_adam, parameter.size, GRAIN, *arrays, *map(number, numbers))
