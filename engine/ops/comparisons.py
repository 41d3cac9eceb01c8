"""Comparisons and logic: boolean tensors, through which no gradient flows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import apply
from ..tensor import Tensor, as_tensor, from_array, operands


def _compared(ufunc: np.ufunc, x1: Any, x2: Any) -> Tensor:
    x1, x2 = operands(x1, x2)
    return from_array(apply(ufunc, x1.array, x2.array))


def _of_one(ufunc: np.ufunc, x: Any) -> Tensor:
    return from_array(apply(ufunc, as_tensor(x).array))


def equal(x1: Any, x2: Any) -> Tensor:
    """x₁ = x₂, broadcast as all functions of pairs."""
    return _compared(np.equal, x1, x2)


def not_equal(x1: Any, x2: Any) -> Tensor:
    """x₁ ≠ x₂"""
    return _compared(np.not_equal, x1, x2)


def greater(x1: Any, x2: Any) -> Tensor:
    """x₁ > x₂"""
    return _compared(np.greater, x1, x2)


def greater_equal(x1: Any, x2: Any) -> Tensor:
    """x₁ ≥ x₂"""
    return _compared(np.greater_equal, x1, x2)


def less(x1: Any, x2: Any) -> Tensor:
    """x₁ < x₂"""
    return _compared(np.less, x1, x2)


def less_equal(x1: Any, x2: Any) -> Tensor:
    """x₁ ≤ x₂"""
    return _compared(np.less_equal, x1, x2)


def logical_and(x1: Any, x2: Any) -> Tensor:
    """Whether both are not 0"""
    return _compared(np.logical_and, x1, x2)


def logical_or(x1: Any, x2: Any) -> Tensor:
    """Whether one of both is not 0"""
    return _compared(np.logical_or, x1, x2)


def logical_xor(x1: Any, x2: Any) -> Tensor:
    """Whether one of both alone is not 0"""
    return _compared(np.logical_xor, x1, x2)


def logical_not(x: Any) -> Tensor:
    """Whether x is 0"""
    return _of_one(np.logical_not, x)


def isnan(x: Any) -> Tensor:
    """Whether x is NaN"""
    return _of_one(np.isnan, x)


def isinf(x: Any) -> Tensor:
    """Whether x is infinite"""
    return _of_one(np.isinf, x)


def isfinite(x: Any) -> Tensor:
    """Whether x is neither NaN nor infinite"""
    return _of_one(np.isfinite, x)


def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """|x₁ − x₂| ≤ atol + rtol·|x₂|; infinite ones where they are equal. equal_nan: NaN is close to NaN."""
    x1, x2 = operands(x1, x2)
    same = x1 == x2
    with np.errstate(invalid="ignore"):
        near = apply(np.abs, x1.array - x2.array) <= atol + rtol * apply(np.abs, x2.array)
    near = from_array(near) & isfinite(x2) | same
    return near | isnan(x1) & isnan(x2) if equal_nan else near


def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close: `isclose`."""
    return bool(isclose(x1, x2, rtol, atol, equal_nan).array.all())
