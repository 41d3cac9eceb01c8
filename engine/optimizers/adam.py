"""Adam and its kin: along the mean gradient, over a measure of its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import in_range, whole_number
from .base import Optimizer
from .groups import Group


class Adam(Optimizer):
    """Adam (Kingma & Ba 2014), with amsgrad AMSGrad (Reddi et al. 2018): see `kernels.reference.adam_step`."""

    slots = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
        self.beta_1 = in_range(self.name, "beta_1", beta_1, least=0.0, below=1.0)
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)
        self.amsgrad = bool(amsgrad)

    def own_slots(self) -> Mapping[str, float | None]:
        return {**super().own_slots(), **({"largest_moment": 0.0} if self.amsgrad else {})}

    def update_group(self, group: Group) -> None:
        group.kernels.adam_step(
            group.weights, group.gradients, group.kept["first_moment"], group.kept["second_moment"], self.iterations,
            group.learning_rate, self.beta_1, self.beta_2, self.epsilon, group.weight_decay,
            group.kept.get("largest_moment"),
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017): Adam whose `weight_decay` is 0.004 by default."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
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
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name,
            **kwargs,
        )  # fmt: skip
        if weight_decay is None:
            raise ValueError(f"{self.name}: weight_decay = None: expected a number; Adam goes without")


class _OfTwoMoments(Optimizer):
    """What Adamax, Nadam and Lamb are told: the arguments of Adam but for amsgrad."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        self.beta_1 = in_range(self.name, "beta_1", beta_1, least=0.0, below=1.0)
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)


class Adamax(_OfTwoMoments):
    """Adam over the largest gradient so far (Kingma & Ba 2014): see `kernels.reference.adamax_step`."""

    slots = ("first_moment", "norm")

    def update_group(self, group: Group) -> None:
        group.kernels.adamax_step(
            group.weights, group.gradients, group.kept["first_moment"], group.kept["norm"], self.iterations,
            group.learning_rate, self.beta_1, self.beta_2, self.epsilon, group.weight_decay,
        )  # fmt: skip


class Nadam(_OfTwoMoments):
    """Adam with Nesterov's momentum (Dozat 2016): see `kernels.reference.nadam_step`."""

    slots = ("first_moment", "second_moment")
    numbers = ("momentum_product",)
    momentum_product = 1.0  # of all steps' momenta

    def begin_step(self) -> None:
        self.momentum_product *= self.beta_1 * (1 - 0.5 * 0.96**self.iterations)

    def update_group(self, group: Group) -> None:
        group.kernels.nadam_step(
            group.weights, group.gradients, group.kept["first_moment"], group.kept["second_moment"], self.iterations,
            self.momentum_product, group.learning_rate, self.beta_1, self.beta_2, self.epsilon, group.weight_decay,
        )  # fmt: skip


class ScheduleFreeAdamW(Optimizer):
    """AdamW that needs no schedule: gradients are taken between the last iterate and the mean of all of them (Defazio
    et al. 2024): see `kernels.reference.schedule_free_step`. The learning rate rises over the first warmup_steps.

    As in Keras, weights stay where gradients are taken when training ends, and are not set to the average.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
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
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)
        self.warmup_steps = whole_number(self.name, "warmup_steps", warmup_steps, 0) or 0

    def own_slots(self) -> Mapping[str, float | None]:
        return {"iterate": None, "second_moment": 0.0}

    def update_group(self, group: Group) -> None:
        warmed = min(self.iterations / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        decay = group.weight_decay / warmed  # is not warmed up
        group.kernels.schedule_free_step(
            group.weights, group.gradients, group.kept["iterate"], group.kept["second_moment"], self.iterations,
            group.learning_rate * warmed, self.beta_1, self.beta_2, self.epsilon, decay,
        )  # fmt: skip


class Lamb(_OfTwoMoments):
    """LAMB, Adam whose steps are as long as the weights are (You et al. 2019): see `kernels.reference.lamb_step`."""

    slots = ("first_moment", "second_moment")

    def update_group(self, group: Group) -> None:
        group.kernels.lamb_step(
            group.weights, group.gradients, group.kept["first_moment"], group.kept["second_moment"], self.iterations,
            group.learning_rate, self.beta_1, self.beta_2, self.epsilon, group.weight_decay,
        )  # fmt: skip
