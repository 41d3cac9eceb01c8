"""Penalties of weights and of layers' outputs, added to the loss: L1, L2, both, and of vectors that are not orthogonal.

Names and defaults are Keras 3's. A layer keeps the regularizer of each of its weights and of its outputs;
`layer.losses` holds their values. Any callable from a tensor to a scalar tensor can stand for one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import functions as F
from .absent import absent
from .capture import constant
from .config import Configurable, make, serialize
from .lengths import unit_length
from .tensor import Tensor, as_tensor

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


class Regularizer(Configurable):
    """Base class: a callable from a weight to a scalar Tensor."""

    def __call__(self, weight: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(weight)")


class L1L2(Regularizer):
    """l1 · Σ|w| + l2 · Σw².

    None stands for the default. Raises ValueError for a factor that is negative or not finite.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor("l1", 0.0 if l1 is None else l1)
        self.l2 = _factor("l2", 0.0 if l2 is None else l2)

    def __call__(self, weight: Tensor) -> Tensor:
        penalty: Any = 0.0
        if self.l1:
            penalty = penalty + self.l1 * F.sum(F.abs(weight))
        if self.l2 or not self.l1:
            penalty = penalty + self.l2 * F.sum(weight * weight)
        return penalty


class L1(L1L2):
    """l1 · Σ|w|. The gradient at w = 0 is 0."""

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(l1=0.01 if l1 is None else l1)


class L2(L1L2):
    """l2 · Σw²."""

    def __init__(self, l2: float | None = 0.01) -> None:
        super().__init__(l2=0.01 if l2 is None else l2)


class OrthogonalRegularizer(Regularizer):
    """factor · mean of |cos(u, v)| over all pairs of different rows u, v of a matrix; mode="columns": of its columns.

    A single vector has no pair: 0 (Keras: NaN). A vector of zeros has no direction, is orthogonal to all, and gets no
    gradient. Raises ValueError for another mode, and for what is no matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor("factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(f'mode = {mode!r}: expected "rows" or "columns"')
        self.mode = mode

    def __call__(self, weight: Tensor) -> Tensor:
        if weight.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer: expected a matrix, got a weight of shape {weight.shape}")
        vectors = weight if self.mode == "rows" else F.transpose(weight)
        unit = unit_length(vectors)
        cosines = F.abs(F.matmul(unit, F.transpose(unit)))
        number = len(vectors)
        off_diagonal = np.ones((number, number), weight.dtype) - np.eye(number, dtype=weight.dtype)
        pairs = F.sum(cosines * as_tensor(constant(off_diagonal, weight.array)))
        return pairs * (self.factor / max(number * (number - 1), 1))


# Keras's second names: regularizers.l2(0.01)
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_NAMES: dict[str, type[Regularizer]] = {
    "l1": L1,
    "L1": L1,
    "l2": L2,
    "L2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "L1L2": L1L2,
    "OrthogonalRegularizer": OrthogonalRegularizer,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Regularizer | Callable[[Tensor], Tensor] | None:
    """The regularizer for None, a name ("l1", "l2", "l1_l2", …), a Regularizer, its configuration, or a callable.

    "l1_l2" stands for L1L2(0.01, 0.01), as Keras's documentation says (its code makes none of it, and of "l1l2" one
    without a penalty).

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    if isinstance(identifier, str) and _NAMES.get(identifier) is L1L2:
        return L1L2(0.01, 0.01)
    return make(identifier, Regularizer, _NAMES, "regularizer")


def deserialize(config: Any, custom_objects: Mapping[str, type[Regularizer]] | None = None) -> Regularizer:
    """The regularizer for what `serialize` gave; custom_objects: further classes, by name.

    Raises ValueError for an unknown class.
    """
    return make(config, Regularizer, {**_NAMES, **(custom_objects or {})}, "regularizer")


def _factor(argument: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ValueError(f"{argument} = {value!r}: expected a finite number of at least 0")
    factor = float(value)
    if not (math.isfinite(factor) and factor >= 0.0):
        raise ValueError(f"{argument} = {value!r}: expected a finite number of at least 0")
    return factor


__getattr__ = absent("regularizers", __name__)
