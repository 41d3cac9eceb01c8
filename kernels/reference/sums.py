"""Sums and means over many elements, accumulated in at least double precision.

NumPy adds along the outer axes of an array one after the other: a million float32 pixels around 10⁴ would lose three
digits.
"""

from __future__ import annotations

import numpy as np


def total(x: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """Σ x over the axes `axis`, accumulated in at least float64, in the type of x."""
    return x.sum(axis, dtype=np.result_type(x, np.float64)).astype(x.dtype)


def mean_and_variance(x: np.ndarray, axis: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """μ = Σ x / n and σ² = Σ (x − μ)² / n over the axes `axis`, in two passes, in the type of x.

    The textbook's one pass, σ² = Σx²/n − μ², cancels when |μ| ≫ σ (Chan, Golub, LeVeque 1983). Over no elements both
    are NaN.
    """
    wide = np.result_type(x, np.float64)
    count = np.prod([x.shape[a] for a in axis], dtype=int)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = x.sum(axis, dtype=wide, keepdims=True) / count
        variance = ((x - mean) ** 2).sum(axis, dtype=wide) / count
    return mean.reshape(variance.shape).astype(x.dtype), variance.astype(x.dtype)
