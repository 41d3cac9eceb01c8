"""Changing the size of images and masks: linear with the right blur when shrinking, nearest for labels.

Pixel i of n covers [i, i + 1) of the axis (half-pixel centres), so that an image and its mask stay on each other, and
nothing changes when the size does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def resize_linear(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize the first len(size) axes of a float array by linear interpolation, one axis after the other.

    Shrinking averages with a triangle as wide as the step, so that fine patterns do not alias.
    """
    for axis, target in enumerate(size):
        if array.shape[axis] != target:
            weights = _weights(array.shape[axis], target).astype(array.dtype)
            array = np.moveaxis(np.tensordot(weights, array, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(array)


def resize_nearest(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize the first len(size) axes by taking the nearest pixel: no new values arise."""
    for axis, target in enumerate(size):
        source = array.shape[axis]
        if source != target:
            array = np.take(array, ((2 * np.arange(target) + 1) * source) // (2 * target), axis=axis)
    return np.ascontiguousarray(array)


@lru_cache(maxsize=64)
def _weights(source: int, target: int) -> np.ndarray:
    """(target, source), rows sum to 1: what each input pixel gives to each output pixel."""
    step = source / target
    centers = (np.arange(target) + 0.5) * step - 0.5
    reach = max(step, 1.0)
    distances = np.abs(np.arange(source)[np.newaxis, :] - np.clip(centers, 0, source - 1)[:, np.newaxis])
    weights = np.maximum(1 - distances / reach, 0)
    return weights / weights.sum(axis=1, keepdims=True)
