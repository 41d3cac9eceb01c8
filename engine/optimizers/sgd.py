"""SGD: along the gradient, with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import kernels
from ..tensor import Array
from ..variable import Variable
from .base import Optimizer
from .checks import in_range


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum μ and Nesterov's correction: see `kernels.reference.sgd_step`.

    w ← w − η·g; with momentum v ← μ·v − η·g, w ← w + v; with nesterov w ← w + μ·v − η·g.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.nesterov = bool(nesterov)

    def used_slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        velocities = [own["velocity"] for own in slots] if self.momentum else None
        kernels.of(weights[0]).sgd_step(
            weights, gradients, velocities, learning_rate, self.momentum, self.nesterov, self.weight_decay or 0.0
        )
