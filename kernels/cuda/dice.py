"""The soft Dice coefficient on the GPU, and its gradient."""

from __future__ import annotations

import numpy as np

from ..interface import twin_of
from ..reference import losses as reference
from .copying import contiguous
from .functions import REAL, Source, c_type
from .launching import empty, real
from .lines import launch_columns, launch_lines, lines_to_map, lines_to_sum, numbers_at_once, partial_sums
from .runtime import Array

_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
SOURCE = Source("dice.cu", dice_sums=_PACKS, dice_totals=REAL, dice_gradient=_PACKS)


@twin_of(reference.dice)
def dice(probabilities: Array, targets: Array, smooth: float) -> Array:
    coefficient, _ = _coefficient_and_share(contiguous(probabilities), contiguous(targets), smooth, None)
    return coefficient


@twin_of(reference.dice_gradient)
def dice_gradient(dcoefficient: Array, probabilities: Array, targets: Array, smooth: float) -> Array:
    p, t = contiguous(probabilities), contiguous(targets)
    coefficient, share = _coefficient_and_share(p, t, smooth, contiguous(dcoefficient))
    dp = empty(t.shape, t.dtype)
    n = numbers_at_once(t.shape, t, dp)
    arguments = t, coefficient, share, dp
    launch_lines(SOURCE("dice_gradient", c_type(t.dtype), n), lines_to_map(t.shape, n), arguments)
    return dp


def _coefficient_and_share(p: Array, t: Array, smooth: float, dcoefficient: Array | None) -> tuple[Array, Array | None]:
    """The coefficient of each example and class, and what dp is proportional to (None without dcoefficient)."""
    samples, _, channels = p.shape
    n = numbers_at_once(p.shape, p, t)
    lines = lines_to_sum(p.shape, n)
    partials = partial_sums(SOURCE("dice_sums", c_type(p.dtype), n), lines, 3, n, (p, t))
    coefficient = empty((samples, channels), p.dtype)
    share = None if dcoefficient is None else empty((samples, channels), p.dtype)
    largest = real(p.dtype, float(np.finfo(p.dtype).max))
    arguments = (partials, real(p.dtype, smooth), dcoefficient, coefficient, share, largest)
    sizes = samples, lines.chunks, channels
    launch_columns(SOURCE("dice_totals", c_type(p.dtype)), samples, channels, (*arguments, *sizes))
    return coefficient, share
