"""The matrix product, on the register tiles of convolution: a row of a matrix is a pixel, a column a channel.

a · b is a convolution whose kernel is one pixel; aᵀ · b is such a convolution's weight gradient, so that neither
operand is transposed in memory. A batch of products is a convolution with groups. Where a has so few rows that all
depends on how fast b is read, there is another way (`few_rows`)."""

from functools import lru_cache

import numpy as np

from ..interface import twin_of
from ..memory import empty
from ..reference import dense as reference
from . import correlation, few_rows, output_tiles, weight_tiles
from .copying import contiguous
from .simd import Level, level


@twin_of(reference.matmul)
def matmul(
    a: np.ndarray,
    b: np.ndarray,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: np.ndarray | None = None,
    activation: str | None = None,
) -> np.ndarray:
    if transpose_a and (transpose_b or bias is not None or activation is not None):
        a, transpose_a = np.swapaxes(a, -1, -2), False
    m, k = (a.shape[-1], a.shape[-2]) if transpose_a else a.shape[-2:]
    n = b.shape[-2] if transpose_b else b.shape[-1]
    batch = len(a) if a.ndim == 3 else 1
    c = empty((*a.shape[:-2], m, n), a.dtype)
    if k == 0:
        c[...] = 0 if bias is None else np.maximum(bias, 0) if activation == "relu" else bias
    elif c.size:
        a, b, relu = contiguous(a), contiguous(b), activation == "relu"
        if transpose_a:
            weight_tiles.launch(correlation.of_transposed_matmul(batch, m, k, n), a, b, c)
            return c
        transpose_b = bool(transpose_b) or n == 1  # then both are the same memory
        chosen = _plan_for_few_rows(batch, m, k, n, transpose_b, bias is not None, relu, c.dtype, level())
        if chosen is not None:
            few_rows.launch(chosen, a, b, None if bias is None else contiguous(bias), c)
        else:
            work = correlation.of_matmul(batch, m, k, n, transpose_b)
            output_tiles.launch((work,), a, b, _for_each(bias, batch), c, relu)
    return c


@lru_cache(maxsize=1024)
def _plan_for_few_rows(
    batch: int, m: int, k: int, n: int, transpose_b: bool, has_bias: bool, relu: bool, dtype: np.dtype, host: Level
) -> few_rows.Plan | None:
    """How to read the weights once, if that beats register tiles, which have to bring them from memory as well."""
    tiles = output_tiles.cycles((correlation.of_matmul(batch, m, k, n, transpose_b),), dtype, host)
    tiles = max(tiles, few_rows.memory_cycles(batch * k * n, dtype))
    if few_rows.cycles(batch, m, k, n, transpose_b, dtype, host) > tiles:
        return None
    return few_rows.plan(batch, m, k, n, transpose_b, has_bias, relu, dtype, host)


def _for_each(bias: np.ndarray | None, batch: int) -> np.ndarray | None:
    """The bias once for each product of the batch."""
    return bias if bias is None or batch == 1 else np.tile(bias, batch)
