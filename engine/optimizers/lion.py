"""Lion: by the sign of the mean gradient."""

from __future__ import annotations

from typing import Any

from ..checks import in_range
from .base import Optimizer
from .groups import Group


class Lion(Optimizer):
    """Lion (Chen et al. 2023), every weight by the learning rate up or down: see `kernels.reference.lion_step`."""

    slots = ("momentum",)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        self.beta_1 = in_range(self.name, "beta_1", beta_1, above=0.0, most=1.0)
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, most=1.0)

    def update_group(self, group: Group) -> None:
        group.kernels.lion_step(
            group.weights, group.gradients, group.kept["momentum"], group.learning_rate, self.beta_1, self.beta_2,
            group.weight_decay,
        )  # fmt: skip
