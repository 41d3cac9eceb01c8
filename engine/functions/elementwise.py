"""Functions of one tensor, element by element.

abs has the gradient 0 at 0. sign, floor, ceil and round are constant between their jumps: their gradient is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import compute
from ..device import computing_beside
from ..tape import Function
from ..tensor import Array, Tensor, as_tensor, from_array
from .arguments import as_floating

Gradient = tuple[Tensor]


class Exp(Function):
    """d(eˣ) = eˣ dx"""

    def forward(self, x: Array) -> Array:
        y = compute(np.exp, x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        (y,) = self.saved
        return (cotangent * y,)


class Expm1(Function):
    """d(eˣ − 1) = eˣ dx"""

    def forward(self, x: Array) -> Array:
        y = compute(np.expm1, x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        (y,) = self.saved
        return (cotangent * (y + 1),)


class Log(Function):
    """d(ln x) = dx/x"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.log, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (cotangent / x,)


class Log1p(Function):
    """d(ln(1 + x)) = dx/(1 + x)"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.log1p, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (cotangent / (x + 1),)


class Sqrt(Function):
    """d√x = dx/(2√x)"""

    def forward(self, x: Array) -> Array:
        y = compute(np.sqrt, x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        (y,) = self.saved
        return (cotangent / (y * 2),)


class Square(Function):
    """d(x²) = 2x dx"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.square, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (cotangent * (x * 2),)


class Abs(Function):
    """d|x| = sign(x) dx"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.abs, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (cotangent * sign(x),)


class Sin(Function):
    """d(sin x) = cos x dx"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.sin, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (cotangent * cos(x),)


class Cos(Function):
    """d(cos x) = −sin x dx"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return compute(np.cos, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        (x,) = self.saved
        return (-(cotangent * sin(x)),)


class Tan(Function):
    """d(tan x) = (1 + tan² x) dx"""

    def forward(self, x: Array) -> Array:
        y = compute(np.tan, x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        (y,) = self.saved
        return (cotangent * (y * y + 1),)


class _Step(Function):
    """A function that is constant between its jumps."""

    jump: np.ufunc

    def forward(self, x: Array) -> Array:
        return compute(self.jump, x)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (zeros_like(cotangent),)


class Sign(_Step):
    jump = np.sign


class Floor(_Step):
    jump = np.floor


class Ceil(_Step):
    jump = np.ceil


class Round(_Step):
    jump = np.rint


def exp(x: Any) -> Tensor:
    """eˣ"""
    return Exp()(as_floating(x))


def expm1(x: Any) -> Tensor:
    """eˣ − 1, precise near 0"""
    return Expm1()(as_floating(x))


def log(x: Any) -> Tensor:
    """ln x"""
    return Log()(as_floating(x))


def log1p(x: Any) -> Tensor:
    """ln(1 + x), precise near 0"""
    return Log1p()(as_floating(x))


def sqrt(x: Any) -> Tensor:
    """√x; its gradient at 0 is infinite."""
    return Sqrt()(as_floating(x))


def square(x: Any) -> Tensor:
    """x²"""
    return Square()(as_tensor(x))


def abs(x: Any) -> Tensor:
    """|x|; its gradient at 0 is 0."""
    return Abs()(as_tensor(x))


def sin(x: Any) -> Tensor:
    """sin x, x in radians"""
    return Sin()(as_floating(x))


def cos(x: Any) -> Tensor:
    """cos x, x in radians"""
    return Cos()(as_floating(x))


def tan(x: Any) -> Tensor:
    """tan x, x in radians"""
    return Tan()(as_floating(x))


def sign(x: Any) -> Tensor:
    """−1, 0 or 1; its gradient is 0."""
    return Sign()(as_tensor(x))


def floor(x: Any) -> Tensor:
    """⌊x⌋; its gradient is 0."""
    return Floor()(as_tensor(x))


def ceil(x: Any) -> Tensor:
    """⌈x⌉; its gradient is 0."""
    return Ceil()(as_tensor(x))


def round(x: Any) -> Tensor:
    """The nearest integer, of two equally near the even one; its gradient is 0."""
    return Round()(as_tensor(x))


def zeros_like(x: Any) -> Tensor:
    """Zeros of x's shape and type, constant."""
    array = as_tensor(x).array
    with computing_beside(array):
        return from_array(np.zeros_like(array))


def ones_like(x: Any) -> Tensor:
    """Ones of x's shape and type, constant."""
    array = as_tensor(x).array
    with computing_beside(array):
        return from_array(np.ones_like(array))
