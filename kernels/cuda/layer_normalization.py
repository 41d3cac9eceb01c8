"""Normalisation of rows on the GPU, each by itself, and its gradient: layer normalisation, and group normalisation of
examples that have one position."""

from __future__ import annotations

from .functions import Source, c_type
from .launching import empty, real
from .lines import Lines, lines_to_sum, numbers_at_once, partial_sums
from .rows import SHAPES, launch_rows
from .runtime import Array

_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
SOURCE = Source("layer_normalization.cu", normalize_rows=SHAPES, rows_gradient=SHAPES, rows_gradient_sums=_PACKS)

LONGEST = 65_536  # numbers in a row for one block; of longer ones several blocks have one, as of other samples


def normalize_rows(x: Array, groups: int, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """x (N, channels), in groups of channels → y, and mean and variance (N, groups)."""
    y, mean, variance = empty(x.shape, x.dtype), *(empty((len(x), groups), x.dtype) for _ in range(2))
    arguments = x, y, gamma, beta, mean, variance, real(x.dtype, epsilon), groups
    launch_rows(SOURCE, "normalize_rows", x.dtype, len(x) * groups, x.shape[1] // groups, arguments)
    return y, mean, variance


def rows_gradient(
    dy: Array, x: Array, groups: int, gamma: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array, Lines]:
    """dx, and sums of dy and dy·x̂ over chunks of rows, (1, chunks, 2, channels), with the lines that these are of."""
    dx = empty(x.shape, x.dtype)
    arguments = dy, x, gamma, mean, variance, real(x.dtype, epsilon), dx, groups
    launch_rows(SOURCE, "rows_gradient", x.dtype, len(x) * groups, x.shape[1] // groups, arguments)
    sizes = 1, len(x), x.shape[1]
    n = numbers_at_once(sizes, dy, x)
    lines = lines_to_sum(sizes, n)
    sums = SOURCE("rows_gradient_sums", c_type(x.dtype), n)
    known = dy, x, mean, variance, real(x.dtype, epsilon), groups
    return dx, partial_sums(sums, lines, 2, n, known), lines
