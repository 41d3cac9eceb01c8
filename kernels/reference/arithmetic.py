"""Arithmetic on whole arrays that a training step does with its largest ones."""

from __future__ import annotations

import numpy as np


def add(x: np.ndarray, y: np.ndarray, destination: np.ndarray | None = None) -> np.ndarray:
    """x + y, both of one shape and type (any, any strides) → an array of that shape.

    destination: a C-contiguous array for the sum, which is returned; it may be x or y itself.
    """
    return np.add(x, y, out=destination)
