"""Small helps around models (`tg.utils`), under Keras 3's names: one-hot rows, norms, seeds, data sets, plots."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from tomograd.engine import random
from tomograd.models.plotting import plot_model
from tomograd.models.pydataset import PyDataset

__all__ = ["PyDataset", "Sequence", "normalize", "plot_model", "set_random_seed", "to_categorical"]

Sequence = PyDataset
"""PyDataset's older name."""


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows: class indices of shape (…) or (…, 1) → (…, num_classes) of 0 and 1, float64 as in Keras.

    num_classes: the largest index + 1 if not given. Raises ValueError for indices that are no whole numbers or do not
    lie in 0 … num_classes − 1 (Keras takes −1 for the last class, and cuts off fractions).
    """
    labels = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if labels.dtype.kind not in "iub":
        if labels.dtype.kind != "f" or not np.array_equal(labels, np.floor(labels)):
            raise ValueError(f"to_categorical: expected whole class indices, got type {labels.dtype}: {labels!r:.60}")
        labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        if labels.size == 0:
            raise ValueError("to_categorical: num_classes is needed where there are no labels")
        num_classes = int(labels.max()) + 1
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"to_categorical: class indices must lie in 0 … {num_classes - 1}, but they lie in "
            f"{labels.min()} … {labels.max()}"
        )
    return np.eye(num_classes)[labels.astype(np.int64)]


def normalize(x: Any, axis: int | None = -1, order: float = 2) -> np.ndarray:
    """x divided by its norm of this order along an axis (axis=None: by the norm of all of it, where Keras takes the
    last axis); what has norm 0 stays 0."""
    array = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if axis is None:
        norm = np.linalg.norm(array.ravel(), order)
        return array / (norm if norm else 1.0)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, 1, norm).astype(norm.dtype)


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and tomograd's random numbers: with them a program repeats itself bit for bit."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed: seed = {seed!r}: expected an integer of 0 … 2³² − 1")
    python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # what programs that Keras users bring draw from
    random.seed(int(seed))
