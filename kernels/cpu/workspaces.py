"""Scratch memory that the parts of a launch take turns in: as many workspaces as there are threads.

A launch has more parts than threads. Were each given memory of its own, every part would begin with a cold cache; a
part that claims the workspace which another has just released finds it in the cache.
"""

import numpy as np

from ..memory import empty
from .atomics import swap
from .bodies import helper


def workspaces(count: int, size: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """(memory for `count` workspaces of `size` numbers, which of them are taken and then, all 0, a number for each in
    which its parts may say what it holds)."""
    return empty((count * size,), dtype), np.zeros(2 * count, np.int64)


@helper
def claim(taken, count):
    """The number of a workspace that is free; waits for one if need be."""
    number = 0
    while swap(taken, number, 1):
        number = (number + 1) % count
    return number


@helper
def release(taken, number):
    """Gives a workspace back."""
    swap(taken, number, 0)
