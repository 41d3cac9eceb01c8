"""Comparing numbers: inner products, and tolerances that follow the type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """⟨a, b⟩ = Σ a·b in float64; the shapes must be equal (nothing is broadcast)."""
    assert a.shape == b.shape, f"⟨a, b⟩ of shapes {a.shape} and {b.shape}"
    return float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))


def assert_close(actual: np.ndarray, expected: np.ndarray, ulps: float = 64, scale: float | None = None) -> None:
    """Equal within `ulps` machine epsilons of actual's type, relative to `scale` (default: the largest |expected|).

    The shapes must be equal, and NaN and infinities must be at the same places.
    """
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(finite.max(initial=0), np.finfo(actual.dtype).tiny) if scale is None else scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ulps * np.finfo(actual.dtype).eps * scale)


def assert_close_beside_one(actual: np.ndarray, expected: np.ndarray, ulps: float = 16) -> None:
    """Within `ulps` epsilons of 1 + |expected|, and infinite and NaN in the same places."""
    eps = np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=ulps * eps, atol=ulps * eps)


def assert_all_close(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray], scale: float) -> None:
    """`assert_close` of one array after the other."""
    for array, other in zip(actual, expected, strict=True):
        assert_close(array, other, scale=scale)
