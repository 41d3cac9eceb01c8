"""What the tests of a kernel are given on every backend: states of optimizers, gamma and beta, the same in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Arrays = list[np.ndarray]


def wide(*arrays: np.ndarray) -> Arrays:
    """The arrays in float64, for the reference."""
    return [array.astype(np.float64) for array in arrays]


def gamma_and_beta(rng: np.random.Generator, channels: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Random scales and offsets of channels."""
    return rng.standard_normal(channels).astype(dtype), rng.standard_normal(channels).astype(dtype)


def optimizer_states(shapes: Sequence[tuple[int, ...]], dtype: type, number: int) -> tuple[list[Arrays], list[Arrays]]:
    """`number` lists of arrays of these shapes, and the same in float64 for the reference."""
    rng = np.random.default_rng(0)
    lists = [[np.asarray(rng.standard_normal(shape), dtype) for shape in shapes] for _ in range(number)]
    return lists, [wide(*arrays) for arrays in lists]
