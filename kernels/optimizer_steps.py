"""The optimizer steps as the fast backends launch them: which arrays a formula takes, and the numbers that are the same
for all elements, computed once.

A backend has the formulas; what it needs to run one over all parameters is

    run(name, kinds, parameters, gradients, kept, numbers)

with the formula's name, its compile-time variant (truth values), the optimizer's own arrays (None for one that the
variant does not have), and the numbers, which come in the parameters' type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .interface import twin_of
from .reference import optimizers as reference

Array = Any  # of NumPy, or of CuPy on a GPU
Arrays = Sequence[Array]


class Steps:
    """The functions of the interface for a backend that has such a `run`."""

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run

    @twin_of(reference.sgd_step)
    def sgd_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        velocities: Arrays | None,
        learning_rate: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        moving = velocities is not None
        numbers = learning_rate, momentum, learning_rate * weight_decay
        self._run("sgd", (moving, moving and bool(nesterov)), parameters, gradients, (velocities,), numbers)

    @twin_of(reference.adam_step)
    def adam_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        first_moments: Arrays,
        second_moments: Arrays,
        step: int,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
        largest_moments: Arrays | None = None,
    ) -> None:
        rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        numbers = rate, 1 - beta_1, 1 - beta_2, epsilon, learning_rate * weight_decay
        kept = first_moments, second_moments, largest_moments
        self._run("adam", (largest_moments is not None,), parameters, gradients, kept, numbers)

    @twin_of(reference.adamax_step)
    def adamax_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        first_moments: Arrays,
        norms: Arrays,
        step: int,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate / (1 - beta_1**step), 1 - beta_1, beta_2, epsilon, learning_rate * weight_decay
        self._run("adamax", (), parameters, gradients, (first_moments, norms), numbers)

    @twin_of(reference.nadam_step)
    def nadam_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        first_moments: Arrays,
        second_moments: Arrays,
        step: int,
        product: float,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        now, following = (beta_1 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        of_moment = learning_rate * following / (1 - product * following)
        of_gradient = learning_rate * (1 - now) / (1 - product)
        numbers = of_moment, of_gradient, 1 - beta_1, 1 - beta_2, 1 / (1 - beta_2**step), epsilon
        kept = first_moments, second_moments
        self._run("nadam", (), parameters, gradients, kept, (*numbers, learning_rate * weight_decay))

    @twin_of(reference.lamb_step)
    def lamb_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        first_moments: Arrays,
        second_moments: Arrays,
        step: int,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        corrections = 1 / (1 - beta_1**step), 1 / (1 - beta_2**step)
        numbers = learning_rate, 1 - beta_1, 1 - beta_2, *corrections, epsilon, learning_rate * weight_decay
        self._run("lamb", (), parameters, gradients, (first_moments, second_moments), numbers)

    @twin_of(reference.schedule_free_step)
    def schedule_free_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        iterates: Arrays,
        second_moments: Arrays,
        step: int,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, beta_1, 1 - beta_1, 1 - beta_2, 1 / (1 - beta_2**step), 1 / step, 1 - 1 / step
        kept = iterates, second_moments
        decay = learning_rate * weight_decay
        self._run("schedule_free", (), parameters, gradients, kept, (*numbers, epsilon, decay))

    @twin_of(reference.adagrad_step)
    def adagrad_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        accumulators: Arrays,
        learning_rate: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, epsilon, learning_rate * weight_decay
        self._run("adagrad", (), parameters, gradients, (accumulators,), numbers)

    @twin_of(reference.adadelta_step)
    def adadelta_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        squares: Arrays,
        updates: Arrays,
        learning_rate: float,
        rho: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, rho, 1 - rho, epsilon, learning_rate * weight_decay
        self._run("adadelta", (), parameters, gradients, (squares, updates), numbers)

    @twin_of(reference.rmsprop_step)
    def rmsprop_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        velocities: Arrays,
        momenta: Arrays | None,
        averages: Arrays | None,
        learning_rate: float,
        rho: float,
        momentum: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, rho, 1 - rho, momentum, epsilon, learning_rate * weight_decay
        kinds = momenta is not None, averages is not None
        self._run("rmsprop", kinds, parameters, gradients, (velocities, momenta, averages), numbers)

    @twin_of(reference.lion_step)
    def lion_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        momenta: Arrays,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, learning_rate * weight_decay
        self._run("lion", (), parameters, gradients, (momenta,), numbers)

    @twin_of(reference.ftrl_step)
    def ftrl_step(
        self,
        parameters: Arrays,
        gradients: Arrays,
        accumulators: Arrays,
        linears: Arrays,
        learning_rate: float,
        power: float,
        l1: float,
        l2: float,
        l2_shrinkage: float,
        beta: float,
        weight_decay: float,
    ) -> None:
        numbers = learning_rate, -power, l1, 2 * l2 + beta / learning_rate, 2 * l2_shrinkage
        kept = accumulators, linears
        self._run("ftrl", (power == -0.5,), parameters, gradients, kept, (*numbers, learning_rate * weight_decay))

    @twin_of(reference.blend)
    def blend(self, targets: Arrays, sources: Arrays, keep: float, take: float) -> None:
        self._run("blend", (), targets, sources, (), (keep, take))
