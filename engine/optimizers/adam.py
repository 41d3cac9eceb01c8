"""Adam and AdamW: along the mean gradient, over the root of its mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import kernels
from ..tensor import Array
from ..variable import Variable
from .base import Optimizer
from .checks import in_range


class Adam(Optimizer):
    """Adam (Kingma & Ba 2014): see `kernels.reference.adam_step`. amsgrad is not supported: True is a ValueError."""

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
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, amsgrad=amsgrad, **kwargs
        )
        self.amsgrad = False
        self.beta_1 = in_range(self.name, "beta_1", beta_1, least=0.0, below=1.0)
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        kernels.of(weights[0]).adam_step(
            weights,
            gradients,
            [own["first_moment"] for own in slots],
            [own["second_moment"] for own in slots],
            self.iterations,
            learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            self.weight_decay or 0.0,
        )


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
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm, name,
            **kwargs,
        )  # fmt: skip
        if weight_decay is None:
            raise ValueError(f"{self.name}: weight_decay = None: expected a number; Adam goes without")
