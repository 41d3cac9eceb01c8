"""Ftrl: the weights that all gradients so far would have had it best with, sparse by an l1 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import in_range
from .base import Optimizer
from .groups import Group


class Ftrl(Optimizer):
    """FTRL-proximal (McMahan et al. 2013): see `kernels.reference.ftrl_step`.

    A step raises ValueError where the learning rate is 0: the formula divides by it.
    """

    initial_accumulator_value: float
    l1_regularization_strength: float
    l2_regularization_strength: float
    l2_shrinkage_regularization_strength: float
    beta: float

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
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
        strengths = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
            "beta": beta,
        }
        for argument, value in strengths.items():
            setattr(self, argument, in_range(self.name, argument, value, least=0.0))
        self.learning_rate_power = in_range(self.name, "learning_rate_power", learning_rate_power, most=0.0)

    def own_slots(self) -> Mapping[str, float | None]:
        return {"accumulator": self.initial_accumulator_value, "linear": 0.0}

    def update_group(self, group: Group) -> None:
        if not group.learning_rate > 0:
            raise ValueError(f"{self.name}: learning_rate = {group.learning_rate}: expected more than 0")
        group.kernels.ftrl_step(
            group.weights, group.gradients, group.kept["accumulator"], group.kept["linear"], group.learning_rate,
            self.learning_rate_power, self.l1_regularization_strength, self.l2_regularization_strength,
            self.l2_shrinkage_regularization_strength, self.beta, group.weight_decay,
        )  # fmt: skip
