"""Functions of each element, and of pairs of elements: arithmetic, powers, logarithms, angles."""

from __future__ import annotations

import math
from typing import Any

from .. import functions as F
from ..tensor import Tensor


def add(x1: Any, x2: Any) -> Tensor:
    """x₁ + x₂, broadcast as all functions of pairs."""
    return F.add(x1, x2)


def subtract(x1: Any, x2: Any) -> Tensor:
    """x₁ − x₂"""
    return F.subtract(x1, x2)


def multiply(x1: Any, x2: Any) -> Tensor:
    """x₁ · x₂"""
    return F.multiply(x1, x2)


def divide(x1: Any, x2: Any) -> Tensor:
    """x₁ / x₂"""
    return F.divide(x1, x2)


def true_divide(x1: Any, x2: Any) -> Tensor:
    """x₁ / x₂"""
    return F.divide(x1, x2)


def divide_no_nan(x1: Any, x2: Any) -> Tensor:
    """x₁ / x₂, and 0 where x₂ is 0, with gradients of 0 there."""
    divides = F.astype(x2, bool)
    return F.where(divides, F.divide(x1, F.where(divides, x2, F.ones_like(x2))), 0.0)


def power(x1: Any, x2: Any) -> Tensor:
    """x₁ to the power of x₂"""
    return F.power(x1, x2)


def mod(x1: Any, x2: Any) -> Tensor:
    """What is left of x₁ after division by x₂, with the sign of x₂."""
    return F.remainder(x1, x2)


def floor_divide(x1: Any, x2: Any) -> Tensor:
    """The largest whole number ≤ x₁ / x₂"""
    return F.floor_divide(x1, x2)


def maximum(x1: Any, x2: Any) -> Tensor:
    """The larger one"""
    return F.maximum(x1, x2)


def minimum(x1: Any, x2: Any) -> Tensor:
    """The smaller one"""
    return F.minimum(x1, x2)


def logaddexp(x1: Any, x2: Any) -> Tensor:
    """ln(e^x₁ + e^x₂)"""
    return F.logaddexp(x1, x2)


def negative(x: Any) -> Tensor:
    """−x"""
    return F.negative(x)


def abs(x: Any) -> Tensor:
    """|x|, with the gradient 0 at 0"""
    return F.abs(x)


def absolute(x: Any) -> Tensor:
    """|x|"""
    return F.abs(x)


def fabs(x: Any) -> Tensor:
    """|x|"""
    return F.abs(x)


def sign(x: Any) -> Tensor:
    """−1, 0 or 1"""
    return F.sign(x)


def floor(x: Any) -> Tensor:
    """The largest whole number ≤ x"""
    return F.floor(x)


def ceil(x: Any) -> Tensor:
    """The smallest whole number ≥ x"""
    return F.ceil(x)


def round(x: Any, decimals: int = 0) -> Tensor:
    """The nearest number of so many decimals, to the even one where two are."""
    return F.round(x) if decimals == 0 else F.divide(F.round(F.multiply(x, 10.0**decimals)), 10.0**decimals)


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    """x within x_min … x_max"""
    return F.clip(x, x_min, x_max)


def exp(x: Any) -> Tensor:
    """eˣ"""
    return F.exp(x)


def exp2(x: Any) -> Tensor:
    """2ˣ"""
    return F.exp(F.multiply(x, math.log(2)))


def expm1(x: Any) -> Tensor:
    """eˣ − 1"""
    return F.expm1(x)


def log(x: Any) -> Tensor:
    """ln x"""
    return F.log(x)


def log1p(x: Any) -> Tensor:
    """ln(1 + x)"""
    return F.log1p(x)


def log2(x: Any) -> Tensor:
    """The logarithm to base 2"""
    return F.divide(F.log(x), math.log(2))


def log10(x: Any) -> Tensor:
    """The logarithm to base 10"""
    return F.divide(F.log(x), math.log(10))


def sqrt(x: Any) -> Tensor:
    """√x"""
    return F.sqrt(x)


def rsqrt(x: Any) -> Tensor:
    """1/√x"""
    return F.divide(1.0, F.sqrt(x))


def square(x: Any) -> Tensor:
    """x²"""
    return F.square(x)


def reciprocal(x: Any) -> Tensor:
    """1/x"""
    return F.divide(1.0, x)


def sin(x: Any) -> Tensor:
    """The sine"""
    return F.sin(x)


def cos(x: Any) -> Tensor:
    """The cosine"""
    return F.cos(x)


def tan(x: Any) -> Tensor:
    """The tangent"""
    return F.tan(x)


def sinh(x: Any) -> Tensor:
    """(eˣ − e⁻ˣ)/2"""
    return F.multiply(F.subtract(F.expm1(x), F.expm1(F.negative(x))), 0.5)


def cosh(x: Any) -> Tensor:
    """(eˣ + e⁻ˣ)/2"""
    return F.multiply(F.add(F.exp(x), F.exp(F.negative(x))), 0.5)
