"""RMSprop: along the gradient, over the root of its mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import kernels
from ..tensor import Array
from ..variable import Variable
from .base import Optimizer
from .checks import in_range


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture 6e of 2012), with Keras's formula: see `kernels.reference.rmsprop_step`.

    v ← ρ·v + (1 − ρ)·g²,  u = η·g / sqrt(v + ε),  or with `centered` u = η·g / sqrt(v − a² + ε), a ← ρ·a + (1 − ρ)·g;
    w ← w − u, or with momentum μ: m ← μ·m + u, w ← w − m.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.rho = in_range(self.name, "rho", rho, least=0.0, below=1.0)
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)
        self.centered = bool(centered)

    def used_slots(self) -> tuple[str, ...]:
        return ("velocity", *(("momentum",) if self.momentum else ()), *(("average",) if self.centered else ()))

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        kernels.of(weights[0]).rmsprop_step(
            weights,
            gradients,
            [own["velocity"] for own in slots],
            [own["momentum"] for own in slots] if self.momentum else None,
            [own["average"] for own in slots] if self.centered else None,
            learning_rate,
            self.rho,
            self.momentum,
            self.epsilon,
            self.weight_decay or 0.0,
        )
