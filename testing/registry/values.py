"""Numbers for the registry: kinds of numbers to draw, and the constants that its expressions may name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.random import Generator

__all__ = ["Draw", "Generator", "normal", "positive", "probabilities", "spread"]

Draw = Callable[[np.random.Generator], np.ndarray]


def normal(*shape: int) -> Draw:
    """Standard normal numbers."""
    return lambda rng: rng.standard_normal(shape)


def positive(*shape: int) -> Draw:
    """Between 0.4 and 2."""
    return lambda rng: rng.uniform(0.4, 2.0, shape)


def spread(*shape: int, shift: float = 0.0) -> Draw:
    """No two equal, none near 0, and no two near each other: nothing a small step could make tie."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        size = int(np.prod(shape))
        return ((rng.permutation(size) - size / 2 + 0.27) / 3).reshape(shape) + shift

    return draw


def probabilities(*shape: int) -> Draw:
    """Rows of positive numbers that sum to 1."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        p = rng.uniform(0.2, 1.0, shape)
        return p / p.sum(-1, keepdims=True)

    return draw


# Fixed arguments of samples:
LABELS = np.array([2, 0, 1, 2])
MASK = np.array([[True, False, True], [False, False, True]])
TARGETS = np.array([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.25, 0.35, 0.4], [0.7, 0.2, 0.1]])
BITS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.3]])
MASKS = (np.indices((2, 3, 2, 2)).sum(0) % 3 > 0).astype(np.float64)
MOVING_MEAN = np.array([0.3, -1.1, 0.6])
MOVING_VARIANCE = np.array([0.5, 1.7, 0.9])

# Arguments of calls that fail:
IMAGE = np.zeros((1, 4, 4, 2), np.float32)
KERNEL = np.zeros((3, 3, 2, 5), np.float32)
ROWS = np.zeros((2, 3), np.float32)
