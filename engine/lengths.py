"""Lengths √Σx² of vectors of any size: their squares neither overflow nor vanish.

A square leaves float32 at 1.8e19 and at 1e-23. So vectors are divided by their largest entry first: the lengths of what
that leaves lie between 1 and the root of the number of entries. It costs one more pass over the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import functions as F
from .tensor import Array, Tensor, as_tensor

Axes = int | Sequence[int]


class Scaled(NamedTuple):
    """Vectors as largest · rest, with `length` the length of `rest`; all but `rest` with axes of size 1."""

    largest: Array  # of |x|; a constant. 1 for zeros
    rest: Tensor
    length: Tensor  # 1, with gradient 0, for zeros
    empty: Array  # whether they are zeros


def scaled(x: Tensor, axis: Axes) -> Scaled:
    """The vectors x along one axis or several. x is not empty."""
    axes = axis if isinstance(axis, int) else tuple(axis)
    largest = abs(x.array).max(axis=axes, keepdims=True)
    empty = largest == 0
    largest = largest + empty
    rest = x / as_tensor(largest)
    return Scaled(largest, rest, F.sqrt(F.where(empty, 1.0, F.sum(F.square(rest), axis=axes, keepdims=True))), empty)


def unit_length(x: Tensor, axis: Axes = -1, least: float = 0.0) -> Tensor:
    """x scaled to Σx² = 1 over the axes; lengths below `least` count as `least`, and zeros stay zeros, with gradient 0.

    Its gradient is that of x/√Σx²: what x was divided by before makes no difference.
    """
    if not x.size:
        return x
    largest, rest, length, empty = scaled(x, axis)
    factor = F.where(empty, 0.0, 1.0 / length)
    if least > 0.0:
        with np.errstate(over="ignore"):
            short = largest * length.array < least
        factor = F.where(short, F.where(short, as_tensor(largest), 0.0) * (1.0 / least), factor)
    return rest * factor
