"""The matrix product, on the register tiles of convolution: a row of a matrix is a pixel, a column a channel.

a · b is a convolution whose kernel is one pixel; aᵀ · b is such a convolution's weight gradient, so that neither
operand is transposed in memory. A batch of products is a convolution with groups."""

import numpy as np

from ..interface import twin_of
from ..memory import contiguous, empty
from ..reference import dense as reference
from . import correlation, output_tiles, weight_tiles


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
    elif transpose_a:
        weight_tiles.launch(correlation.of_transposed_matmul(batch, m, k, n), contiguous(a), contiguous(b), c)
    else:
        output_tiles.launch(
            (correlation.of_matmul(batch, m, k, n, transpose_b),),
            contiguous(a),
            contiguous(b),
            _for_each(bias, batch),
            c,
            activation == "relu",
        )
    return c


def _for_each(bias: np.ndarray | None, batch: int) -> np.ndarray | None:
    """The bias once for each product of the batch."""
    return bias if bias is None or batch == 1 else np.tile(bias, batch)
