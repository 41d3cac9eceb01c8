"""The rarer activations of Keras, composed of other functions; their slopes at kinks are the ones from the left.

Where a formula would multiply an infinity with 0, it is written so that ±∞ has the limit.
"""

from __future__ import annotations

import math
from typing import Any

from ..device import computing_beside
from ..tensor import Tensor, library_of
from .activations import BY_NAME, elu, gated, relu, sigmoid, softplus, tanh
from .arguments import floating, normalize_axis
from .arithmetic import clip, maximum, where
from .broadcasting import sum
from .elementwise import sqrt
from .shaping import split

__all__ = [
    "celu",
    "glu",
    "hard_shrink",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "mish",
    "soft_shrink",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh_shrink",
    "threshold",
]


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α·(e^(x/α) − 1): ELU with a slope of 1 at 0 for every α > 0 (Barron 2017)."""
    _require("celu", "alpha", alpha, alpha > 0, "a positive number")
    (x,) = floating("celu", x=x)
    return alpha * elu(x / alpha)


def glu(x: Any, axis: int = -1) -> Tensor:
    """a · σ(b), a and b the two halves of x along the axis (Dauphin et al. 2016). Raises ValueError for an odd size."""
    (x,) = floating("glu", x=x)
    axis = normalize_axis(axis, x.ndim)
    if x.shape[axis] % 2:
        raise ValueError(f"glu: axis {axis} of x has size {x.shape[axis]}: expected an even one, for two halves")
    a, b = split(x, 2, axis)
    return a * sigmoid(b)


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x where |x| > threshold, else 0."""
    _require("hard_shrink", "threshold", threshold, threshold >= 0, "a number of at least 0")
    (x,) = floating("hard_shrink", x=x)
    with computing_beside(x.array):
        near = (x.array >= -threshold) & (x.array <= threshold)  # NaN is not near 0
    return where(near, 0.0, x)


def hard_silu(x: Any) -> Tensor:
    """x · relu6(x + 3) / 6, the hard swish of MobileNetV3 (Howard et al. 2019)."""
    (x,) = floating("hard_silu", x=x)
    return maximum(x, -3) * (clip(x + 3, 0, 6) / 6)


def hard_tanh(x: Any) -> Tensor:
    """min(max(x, −1), 1)"""
    (x,) = floating("hard_tanh", x=x)
    return clip(x, -1, 1)


def log_sigmoid(x: Any) -> Tensor:
    """log σ(x) = −softplus(−x)"""
    (x,) = floating("log_sigmoid", x=x)
    return -softplus(-x)


def mish(x: Any) -> Tensor:
    """x · tanh(softplus(x)) (Misra 2019)."""
    (x,) = floating("mish", x=x)
    return gated(x, lambda near: tanh(softplus(near)))


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x − threshold where x > threshold, x + threshold where x < −threshold, else 0."""
    _require("soft_shrink", "threshold", threshold, threshold >= 0, "a number of at least 0")
    (x,) = floating("soft_shrink", x=x)
    return relu(x - threshold) - relu(-x - threshold)


def sparse_plus(x: Any) -> Tensor:
    """0 where x ≤ −1, (x + 1)²/4 between, x where x ≥ 1."""
    (x,) = floating("sparse_plus", x=x)
    inner = clip(x, -1, 1) + 1
    return inner * inner / 4 + relu(x - 1)


def sparse_sigmoid(x: Any) -> Tensor:
    """0 where x ≤ −1, (x + 1)/2 between, 1 where x ≥ 1: the slope of `sparse_plus`."""
    (x,) = floating("sparse_sigmoid", x=x)
    return (clip(x, -1, 1) + 1) / 2


def sparsemax(x: Any, axis: int = -1) -> Tensor:
    """The point of the probability simplex that is nearest to x, along the axis (Martins & Astudillo 2016).

    max(x − τ, 0), τ = (Σ of the k largest − 1)/k, with the largest k for which the k-th largest is above its τ.
    """
    (x,) = floating("sparsemax", x=x)
    axis = normalize_axis(axis, x.ndim)
    if not x.size:
        return x
    library = library_of(x.array)
    with computing_beside(x.array):
        x = x - Tensor(x.array.max(axis=axis, keepdims=True))  # the same point, and small numbers to add up
        falling = -library.sort(-x.array, axis=axis)
        counts = library.cumsum(library.ones_like(falling), axis=axis)
        in_support = 1 + counts * falling > library.cumsum(falling, axis=axis)
        k = in_support.sum(axis=axis, keepdims=True)  # 0 only beside NaN, where the last is NaN too
        least = library.take_along_axis(falling, k - 1, axis=axis)
        tau = (sum(where(x.array < least, 0.0, x), axis, keepdims=True) - 1) / Tensor(k.astype(x.dtype))
    return relu(x - tau)


def squareplus(x: Any, b: float = 4) -> Tensor:
    """(x + √(x² + b))/2 (Barron 2021); for negative x as b/2 / (√(x² + b) − x), which does not cancel."""
    _require("squareplus", "b", b, b > 0, "a positive number")
    (x,) = floating("squareplus", x=x)
    with computing_beside(x.array):
        below, infinite = x.array < 0, library_of(x.array).isinf(x.array)
        left = where(below & ~infinite, x, 0.0)
        right = where(below | infinite, 0.0, x)
        y = where(below, b / 4 / (_root(left, b) / 2 - left / 2), right / 2 + _root(right, b) / 2)
        return where(infinite, relu(x), y)


def _root(x: Tensor, b: float) -> Tensor:
    """√(x² + b) where x² may overflow: divided by a size and multiplied with it, a constant for the gradient."""
    library = library_of(x.array)
    size = Tensor(library.maximum(abs(x.array), math.sqrt(b)).astype(x.dtype))
    return size * sqrt((x / size) ** 2 + (math.sqrt(b) / size) ** 2)


def tanh_shrink(x: Any) -> Tensor:
    """x − tanh(x)"""
    (x,) = floating("tanh_shrink", x=x)
    return x - tanh(x)


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """x where x > threshold, else default_value."""
    (x,) = floating("threshold", x=x)
    with computing_beside(x.array):
        return where(x.array <= threshold, float(default_value), x)


def _require(function: str, argument: str, value: float, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"{function}: {argument} = {value!r}: expected {expected}")


BY_NAME.update(
    celu=celu,
    glu=glu,
    hard_shrink=hard_shrink,
    hard_silu=hard_silu,
    hard_swish=hard_silu,
    hard_tanh=hard_tanh,
    log_sigmoid=log_sigmoid,
    mish=mish,
    soft_shrink=soft_shrink,
    sparse_plus=sparse_plus,
    sparse_sigmoid=sparse_sigmoid,
    sparsemax=sparsemax,
    squareplus=squareplus,
    tanh_shrink=tanh_shrink,
)
