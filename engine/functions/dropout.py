"""Dropout: while training, elements are set to 0 at random and the others scaled up, so that the mean stays.

Source: Srivastava et al., "Dropout", JMLR 15, 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import random
from ..capture import fed
from ..tape import Function
from ..tensor import Array, Tensor
from .arguments import floating


class Dropout(Function):
    """y = x · scale where `keep`, else 0; its gradient is the same function."""

    def forward(self, x: Array, keep: Array, scale: float) -> Array:
        return np.where(keep, x * x.dtype.type(scale), x.dtype.type(0))

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        return (Dropout()(cotangent, **self.parameters),)


def dropout(
    x: Any,
    rate: float,
    training: bool = True,
    noise_shape: Sequence[int | None] | None = None,
    generator: random.Generator | None = None,
) -> Tensor:
    """x with each element set to 0 with probability `rate`, the others divided by 1 − rate; x itself if not training.

    noise_shape: the shape in which is drawn, broadcast to x's (None in it: x's size): 1 along an axis drops whole
    slices of it together. generator: where from; tg.random's unless given.
    Raises ValueError for a rate outside [0, 1).
    """
    (x,) = floating("dropout", x=x)
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate = {rate}: expected 0 ≤ rate < 1")
    if not training or rate == 0:
        return x
    shape = x.shape
    if noise_shape is not None:
        if len(noise_shape) != x.ndim or any(m not in (None, 1, n) for m, n in zip(noise_shape, x.shape, strict=True)):
            raise ValueError(f"dropout: noise_shape = {tuple(noise_shape)} does not broadcast to x's shape {x.shape}")
        shape = tuple([n if m is None else m for m, n in zip(noise_shape, x.shape, strict=True)])
    source = generator or random.generator()
    keep = fed(lambda: source.uniform(shape=shape) >= rate, tuple(shape), np.bool_, x.array)
    return Dropout()(x, keep=keep, scale=1 / (1 - rate))
