"""The matrix product of the dense layers, with bias and activation."""

from __future__ import annotations

import numpy as np

from .activations import fused_activation


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: np.ndarray | None = None,
    activation: str | None = None,
) -> np.ndarray:
    """Matrix product: c[m, n] = f(Σ_k a[m, k] · b[k, n] + bias[n]).

    a (M, K), or (K, M) with transpose_a; b (K, N), or (N, K) with transpose_b; bias (N,) or None → c (M, N). Or all
    of them (bias excepted) with one more axis of equal length B in front: B products side by side. f is the identity,
    or max(0, ·) for activation = "relu".
    """
    left = np.swapaxes(a, -1, -2) if transpose_a else a
    right = np.swapaxes(b, -1, -2) if transpose_b else b
    c = left @ right
    if bias is not None:
        c += bias
    return fused_activation(c, activation)
