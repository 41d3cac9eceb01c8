"""Penalties on the size of weights, added to the loss: L1, L2 and both (Keras's names and defaults).

A layer keeps the regularizer of each of its weights; `layer.losses` holds their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import functions as F
from .absent import absent
from .config import Configurable, make
from .tensor import Tensor

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]


class Regularizer(Configurable):
    """Base class: a callable from a weight to a scalar Tensor."""

    def __call__(self, weight: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(weight)")


class L1L2(Regularizer):
    """l1 · Σ|w| + l2 · Σw².

    Raises ValueError for a factor that is negative or not finite.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor("l1", l1)
        self.l2 = _factor("l2", l2)

    def __call__(self, weight: Tensor) -> Tensor:
        penalty: Any = 0.0
        if self.l1:
            penalty = penalty + self.l1 * F.sum(F.abs(weight))
        if self.l2 or not self.l1:
            penalty = penalty + self.l2 * F.sum(weight * weight)
        return penalty


class L1(L1L2):
    """l1 · Σ|w|. The gradient at w = 0 is 0."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 · Σw²."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


# Keras's second names: regularizers.l2(0.01)
l1, l2, l1_l2 = L1, L2, L1L2

_NAMES: dict[str, type[Regularizer]] = {
    "l1": L1,
    "L1": L1,
    "l2": L2,
    "L2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "L1L2": L1L2,
}


def get(identifier: Any) -> Regularizer | Callable[[Tensor], Tensor] | None:
    """The regularizer for None, a name ("l1", "l2", "l1_l2"), a Regularizer, its configuration, or a callable.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return make(identifier, Regularizer, _NAMES, "regularizer")


def _factor(argument: str, value: float) -> float:
    factor = float(value)
    if not (math.isfinite(factor) and factor >= 0.0):
        raise ValueError(f"{argument} = {value!r}: expected a finite number of at least 0")
    return factor


__getattr__ = absent("regularizers", __name__)
