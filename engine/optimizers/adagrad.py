"""Adagrad, Adadelta and RMSprop: along the gradient, over the root of a sum or mean of its squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import in_range
from .base import Optimizer
from .groups import Group


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011), over all squares so far: see `kernels.reference.adagrad_step`."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
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
        self.initial_accumulator_value = in_range(
            self.name, "initial_accumulator_value", initial_accumulator_value, least=0.0
        )
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)

    def own_slots(self) -> Mapping[str, float | None]:
        return {"accumulator": self.initial_accumulator_value}

    def update_group(self, group: Group) -> None:
        group.kernels.adagrad_step(
            group.weights, group.gradients, group.kept["accumulator"], group.learning_rate, self.epsilon,
            group.weight_decay,
        )  # fmt: skip


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), in proportion to updates so far: see `kernels.reference.adadelta_step`."""

    slots = ("squares", "updates")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
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
        self.rho = in_range(self.name, "rho", rho, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)

    def update_group(self, group: Group) -> None:
        group.kernels.adadelta_step(
            group.weights, group.gradients, group.kept["squares"], group.kept["updates"], group.learning_rate,
            self.rho, self.epsilon, group.weight_decay,
        )  # fmt: skip


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
        self.rho = in_range(self.name, "rho", rho, least=0.0, below=1.0)
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)
        self.centered = bool(centered)

    def own_slots(self) -> Mapping[str, float | None]:
        names = ("velocity", *(("momentum",) if self.momentum else ()), *(("average",) if self.centered else ()))
        return dict.fromkeys(names, 0.0)

    def update_group(self, group: Group) -> None:
        group.kernels.rmsprop_step(
            group.weights, group.gradients, group.kept["velocity"], group.kept.get("momentum"),
            group.kept.get("average"), group.learning_rate, self.rho, self.momentum, self.epsilon, group.weight_decay,
        )  # fmt: skip
