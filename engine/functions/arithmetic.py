"""Arithmetic between two tensors, with NumPy's broadcasting.

An operand that was broadcast gets its gradient summed back to its own shape. Where two values tie, `maximum` and
`minimum` send the gradient to the first argument.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.half_precision import is_floating
from .. import arrays
from ..arrays import apply, compute
from ..device import computing_beside
from ..tape import Function
from ..tensor import Array, Tensor, as_tensor, beside, operands
from .broadcasting import sum_to
from .elementwise import log, square, zeros_like
from .shaping import astype

Gradients = tuple[Tensor | None, ...]


class _Broadcasting(Function):
    """A function of two arrays that broadcast against each other."""

    def remember_shapes(self, x: Array, y: Array) -> None:
        self.shapes = x.shape, y.shape

    def to_shapes(self, dx: Tensor | None, dy: Tensor | None) -> Gradients:
        """Sum each gradient back to its operand's shape."""
        return (
            None if dx is None else sum_to(dx, self.shapes[0]),
            None if dy is None else sum_to(dy, self.shapes[1]),
        )


class Add(_Broadcasting):
    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        return arrays.add(x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        return self.to_shapes(cotangent if self.needs[0] else None, cotangent if self.needs[1] else None)


class Subtract(_Broadcasting):
    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        return compute(np.subtract, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        return self.to_shapes(cotangent if self.needs[0] else None, -cotangent if self.needs[1] else None)


class Multiply(_Broadcasting):
    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        self.save(x, y)
        return compute(np.multiply, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, y = self.saved
        return self.to_shapes(cotangent * y if self.needs[0] else None, cotangent * x if self.needs[1] else None)


class Divide(_Broadcasting):
    """d(x/y) = dx/y − (x/y)/y · dy"""

    def forward(self, x: Array, y: Array) -> Array:
        quotient = compute(np.divide, x, y)
        self.remember_shapes(x, y)
        self.save(y, quotient)
        return quotient

    def backward(self, cotangent: Tensor) -> Gradients:
        y, quotient = self.saved
        # (x/y)/y first: cotangent/y may be infinite, where x = 0 and so the gradient in y is
        return self.to_shapes(
            cotangent / y if self.needs[0] else None,
            -(cotangent * (quotient / y)) if self.needs[1] else None,
        )


class Negative(Function):
    def forward(self, x: Array) -> Array:
        return compute(np.negative, x)

    def backward(self, cotangent: Tensor) -> Gradients:
        return (-cotangent,)


class Power(_Broadcasting):
    """d(xʸ) = y·xʸ⁻¹ dx + xʸ·ln x dy; at y = 0 the first is 0, at x = 0 ≤ y the second is (its limit for y > 0)."""

    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        self.save(x, y)
        return compute(np.power, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, y = self.saved
        dx = dy = None
        if self.needs[0]:
            zero = (x == 0) & (y == 0)
            dx = cotangent * y * power(x, where(zero, 1, y - 1))
        if self.needs[1]:
            dy = cotangent * power(x, y) * log(where((x == 0) & (y >= 0), 1, x))
        return self.to_shapes(dx, dy)


class ConstantPower(Function):
    """d(xⁿ) = n·xⁿ⁻¹ dx for a Python number n."""

    def forward(self, x: Array, exponent: float) -> Array:
        self.save(x)
        return np.power(x, x.dtype.type(exponent))

    def backward(self, cotangent: Tensor) -> Gradients:
        (x,) = self.saved
        n = self.parameters["exponent"]
        return (cotangent * (n * power(x, n - 1)) if n else zeros_like(cotangent),)


class _Select(_Broadcasting):
    """One of two numbers for each element: y if it beats x or is NaN, else x, so a tie is x's."""

    select: np.ufunc
    beats: np.ufunc

    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        self.save(~(apply(self.beats, y, x) | (y != y)))
        return compute(self.select, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        (x_chosen,) = self.saved
        return self.to_shapes(
            where(x_chosen, cotangent, 0) if self.needs[0] else None,
            where(x_chosen, 0, cotangent) if self.needs[1] else None,
        )


class Maximum(_Select):
    select, beats = np.maximum, np.greater


class Minimum(_Select):
    select, beats = np.minimum, np.less


class Where(_Broadcasting):
    def forward(self, x: Array, y: Array, condition: Array) -> Array:
        self.remember_shapes(x, y)
        return arrays.where(condition, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        condition = self.parameters["condition"]
        return self.to_shapes(
            where(condition, cotangent, 0) if self.needs[0] else None,
            where(condition, 0, cotangent) if self.needs[1] else None,
        )


class LogAddExp(_Broadcasting):
    """z = ln(eˣ + eʸ); its gradients are eˣ⁻ᶻ = σ(x − y) and σ(y − x), of which the sum is 1.

    Not taken from z: that is rounded, at 10⁸ in float32 to a whole number, and infinite if x or y is.
    """

    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        self.save(x, y)
        return compute(np.logaddexp, x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, y = self.saved
        # ∞ − ∞ counts as 0; but where x and y are equal and finite, their difference has a derivative.
        difference = where((x == y).array & np.isinf(x.array), 0, x - y)
        return self.to_shapes(
            cotangent * _sigmoid(difference) if self.needs[0] else None,
            cotangent * _sigmoid(-difference) if self.needs[1] else None,
        )


def _sigmoid(x: Tensor) -> Tensor:
    return (-logaddexp(-x, 0)).exp()


class FloorDivide(_Broadcasting):
    """⌊x/y⌋: constant between its jumps, so its gradient is 0."""

    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        return np.floor_divide(x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        zero = zeros_like(cotangent)
        return self.to_shapes(*[zero if need else None for need in self.needs])


class Remainder(_Broadcasting):
    """d(x − ⌊x/y⌋·y) = dx − ⌊x/y⌋ dy"""

    def forward(self, x: Array, y: Array) -> Array:
        self.remember_shapes(x, y)
        self.save(x, y)
        return np.remainder(x, y)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, y = self.saved
        return self.to_shapes(
            cotangent if self.needs[0] else None,
            -(cotangent * floor_divide(x, y)) if self.needs[1] else None,
        )


# ---------------------------------------------------------------------------------------------------- the functions


def add(x: Any, y: Any) -> Tensor:
    """x + y"""
    return Add()(*operands(x, y))


def subtract(x: Any, y: Any) -> Tensor:
    """x − y"""
    x, y = operands(x, y)
    if x.array.dtype.kind == "b":
        raise TypeError("subtract: boolean tensors cannot be subtracted; use ^ or convert one with .astype")
    return Subtract()(x, y)


def multiply(x: Any, y: Any) -> Tensor:
    """x · y, element by element"""
    return Multiply()(*operands(x, y))


def divide(x: Any, y: Any) -> Tensor:
    """x / y; of two integers too the result is floating (float32)."""
    x, y = operands(x, y)
    if not is_floating(x.array.dtype):
        x, y = astype(x, np.float32), astype(y, np.float32)
    return Divide()(x, y)


def floor_divide(x: Any, y: Any) -> Tensor:
    """⌊x / y⌋; its gradient is 0."""
    return FloorDivide()(*operands(x, y))


def remainder(x: Any, y: Any) -> Tensor:
    """x − ⌊x/y⌋·y, of the sign of y as in Python."""
    return Remainder()(*operands(x, y))


def negative(x: Any) -> Tensor:
    """−x"""
    return Negative()(as_tensor(x))


def power(x: Any, y: Any) -> Tensor:
    """xʸ. NaN for a negative x unless y is an integer, as in NumPy. 0⁰ is 1, and its gradient in x is 0."""
    if isinstance(y, (int, float)) and isinstance(x, Tensor) and is_floating(x.array.dtype):
        return square(x) if y == 2 else ConstantPower()(x, exponent=y)
    return Power()(*operands(x, y))


def maximum(x: Any, y: Any) -> Tensor:
    """The larger of x and y, element by element; NaN if one is, which then takes the gradient. A tie's goes to x."""
    return Maximum()(*operands(x, y))


def minimum(x: Any, y: Any) -> Tensor:
    """The smaller of x and y, element by element; NaN if one is, which then takes the gradient. A tie's goes to x."""
    return Minimum()(*operands(x, y))


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """x where the condition (booleans, not differentiated) holds, y elsewhere; all three broadcast."""
    condition = as_tensor(condition).array
    if condition.dtype.kind != "b":
        raise TypeError(f"where: condition must hold booleans, not {condition.dtype}")
    x, y = operands(x, y)
    return Where()(x, y, condition=beside(condition, x.array if x.ndim else y.array))


def logaddexp(x: Any, y: Any) -> Tensor:
    """ln(eˣ + eʸ), without overflow."""
    return LogAddExp()(*operands(x, y))


def _any_greater(low: Array, high: Array) -> bool:
    with computing_beside(high if isinstance(low, np.ndarray) else low):
        return bool(apply(np.greater, low, high).any())


def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Tensor:
    """x held to a_min … a_max (numbers or arrays; None: no bound). The gradient is 1 at the bounds, 0 beyond."""
    x = as_tensor(x)
    low = None if a_min is None else operands(x, a_min)[1]
    high = None if a_max is None else operands(x, a_max)[1]
    if low is not None and high is not None and _any_greater(low.array, high.array):
        raise ValueError(f"clip: a_min = {a_min} is larger than a_max = {a_max}")
    if low is not None:
        x = Maximum()(*operands(x, low))
    if high is not None:
        x = Minimum()(*operands(x, high))
    return x
