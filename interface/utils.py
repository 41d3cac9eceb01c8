"""Small helps around models (`tg.utils`), under Keras 3's names: one-hot rows, norms, seeds, data sets, plots."""

from __future__ import annotations

import gc
import random as python_random
from collections.abc import Iterable
from typing import Any

import numpy as np

from tomograd.engine import random
from tomograd.engine.absent import absent
from tomograd.engine.layers.names import reset_names
from tomograd.kernels import memory
from tomograd.models.data import pack_x_y_sample_weight, unpack_x_y_sample_weight
from tomograd.models.plotting import plot_model
from tomograd.models.pydataset import PyDataset

__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "set_random_seed",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

__getattr__ = absent("utils", __name__)


def __dir__() -> list[str]:
    return __all__


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
    last axis); what has norm 0 stays 0. No number is too large or too small for its power."""
    array = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if axis is None:
        return normalize(array.ravel(), 0, order).reshape(array.shape)
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if array.size and order:  # a norm of order 0 is a number of entries, whatever their size
        largest = np.abs(array).max(axis, keepdims=True)
        array = array / np.where(largest == 0, 1, largest).astype(array.dtype)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, 1, norm).astype(norm.dtype)


def clear_session(free_memory: bool = True) -> None:
    """Begin again with the names that layers get by themselves ("dense", "dense_1", …), as a new program does. There is
    nothing else to clear: a model goes with the last name for it. free_memory: give memory that is kept for arrays to
    come back to the system."""
    reset_names()
    if free_memory:
        gc.collect()
        memory.release()


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and tomograd's random numbers: with them a program repeats itself bit for bit."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"set_random_seed: seed = {seed!r}: expected an integer of 0 … 2³² − 1")
    python_random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002  # what programs that Keras users bring draw from
    random.seed(int(seed))


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array (number, maxlen, …).

    maxlen: that of the longest if not given; longer ones lose their beginning (truncating="pre") or end ("post"),
    shorter ones get `value` before ("pre") or after them ("post"). Raises ValueError for other words, for what is no
    sequence, and for sequences whose entries differ in shape.
    """
    for name, word in (("padding", padding), ("truncating", truncating)):
        if word not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} = {word!r} must be 'pre' or 'post'")
    arrays = [np.asarray(sequence, dtype=dtype) for sequence in sequences]
    if any(array.ndim == 0 for array in arrays):
        raise ValueError("pad_sequences: expected a list of sequences, but it holds single values")
    shapes = {array.shape[1:] for array in arrays if len(array)}
    if len(shapes) > 1:
        raise ValueError(f"pad_sequences: the sequences' entries have different shapes {sorted(shapes)}")
    longest = max((len(array) for array in arrays), default=0) if maxlen is None else maxlen
    padded = np.full((len(arrays), longest, *next(iter(shapes), ())), value, dtype=dtype)
    for row, array in zip(padded, arrays, strict=True):
        kept = array[max(len(array) - longest, 0) :] if truncating == "pre" else array[:longest]
        if len(kept):
            row[slice(longest - len(kept), None) if padding == "pre" else slice(0, len(kept))] = kept
    return padded
