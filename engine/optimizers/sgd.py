"""SGD: along the gradient, with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import in_range
from .base import Optimizer
from .groups import Group


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
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )  # fmt: skip
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.nesterov = bool(nesterov)

    def own_slots(self) -> Mapping[str, float | None]:
        return {"velocity": 0.0} if self.momentum else {}

    def update_group(self, group: Group) -> None:
        group.kernels.sgd_step(
            group.weights, group.gradients, group.kept.get("velocity"), group.learning_rate, self.momentum,
            self.nesterov, group.weight_decay,
        )  # fmt: skip
