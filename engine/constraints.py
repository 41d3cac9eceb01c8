"""Constraints: what each step of the optimizer is to leave of a weight, with Keras 3's names and defaults.

A layer hands the constraint of each of its weights to the weight (`kernel_constraint="max_norm"`); the optimizer,
having changed the weight, replaces it by `constraint(weight)`. A constraint may be any callable from a weight to a
tensor or array of its shape. Weights that are not trained are left as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import functions as F
from .absent import absent
from .config import Configurable, make, serialize
from .lengths import scaled
from .tensor import Tensor, as_tensor

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

Axes = int | Sequence[int]


class Constraint(Configurable):
    """Base class: a callable from a weight to what is to stand in its place, of its shape; here the weight itself."""

    def __call__(self, w: Tensor) -> Tensor:
        return w


class NonNeg(Constraint):
    """max(w, 0): no weight is negative."""

    def __call__(self, w: Tensor) -> Tensor:
        return F.maximum(w, 0.0)


class _Norm(Constraint):
    """Vectors of a weight, scaled to norms that a subclass allows.

    axis: the axis or axes along which a vector lies: 0 for the weights of a unit of Dense, [0, 1, 2] for a filter of
    Conv2D. A vector of zeros has no direction and stays; one whose norm is allowed stays to the last bit. (Keras
    multiplies by norm/(norm + 1e-7) there, so that such weights shrink at every step.)
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = axis if isinstance(axis, int) else list(axis)

    def desired(self, norms: Tensor) -> Tensor:
        """The norms that vectors of these norms are to have."""
        raise NotImplementedError(f"{type(self).__name__} defines no desired(norms)")

    def __call__(self, w: Tensor) -> Tensor:
        if not w.size:
            return w
        largest, rest, length, empty = scaled(w, self.axis)
        norms = F.where(empty, 0.0, length * as_tensor(largest))
        desired = self.desired(norms)
        stays = empty | (norms.array == desired.array)
        return F.where(stays, w, rest * (desired / length))


class MaxNorm(_Norm):
    """w · min(‖w‖, max_value)/‖w‖ of each vector along `axis`: no norm is larger (Srebro et al. 2005)."""

    def __init__(self, max_value: float = 2, axis: Axes = 0) -> None:
        super().__init__(axis)
        self.max_value = _limit("max_value", max_value)

    def desired(self, norms: Tensor) -> Tensor:
        return F.minimum(norms, self.max_value)


class UnitNorm(_Norm):
    """w/‖w‖ of each vector along `axis`."""

    def desired(self, norms: Tensor) -> Tensor:
        return F.ones_like(norms)


class MinMaxNorm(_Norm):
    """w · ((1 − rate) + rate·clip(‖w‖, min_value, max_value)/‖w‖) of each vector along `axis`.

    With rate < 1 the norms only approach the interval, step by step. Raises ValueError for limits that are negative,
    not finite or in the wrong order, and for a rate outside 0 … 1.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axes = 0) -> None:
        super().__init__(axis)
        self.min_value, self.max_value = _limit("min_value", min_value), _limit("max_value", max_value)
        if min_value > max_value:
            raise ValueError(f"min_value = {min_value!r} is larger than max_value = {max_value!r}")
        self.rate = _limit("rate", rate)
        if rate > 1.0:
            raise ValueError(f"rate = {rate!r}: expected a number from 0 to 1")

    def desired(self, norms: Tensor) -> Tensor:
        allowed = F.clip(norms, self.min_value, self.max_value)
        return F.where(allowed == norms, norms, self.rate * allowed + (1.0 - self.rate) * norms)


# Keras's second names: constraints.max_norm(2.0)
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

_NAMES: dict[str, type[Constraint]] = {
    "Constraint": Constraint,
    "MaxNorm": MaxNorm,
    "MinMaxNorm": MinMaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
    "constraint": Constraint,
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Constraint | Callable[[Tensor], Any] | None:
    """The constraint for None, a name ("max_norm", "non_neg", …), a Constraint, its configuration, or a callable.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return make(identifier, Constraint, _NAMES, "constraint")


def deserialize(config: Any, custom_objects: Mapping[str, type[Constraint]] | None = None) -> Constraint:
    """The constraint for what `serialize` gave; custom_objects: further classes, by name.

    Raises ValueError for an unknown class.
    """
    return make(config, Constraint, {**_NAMES, **(custom_objects or {})}, "constraint")


def _limit(argument: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{argument} = {value!r}: expected a finite number of at least 0")
    return value


__getattr__ = absent("constraints", __name__)
