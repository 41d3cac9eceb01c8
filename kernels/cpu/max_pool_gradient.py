"""The gradient of max pooling: each number of the image adds up the slopes of those windows over it that chose it."""

import numpy as np

from ..geometry import Pairs, Sizes
from ..interface import twin_of
from ..memory import empty
from ..reference import pooling as reference
from .bodies import kernel
from .copying import contiguous
from .covering import reading, run_over_positions, walk_over_positions
from .mathematics import function
from .simd import select


@function
def _slope_and_choice(vector, dy, choice, at, size):
    return reading(vector, dy, at, size), reading(vector, choice, at, size)


@function
def _if_chosen(vector, given, tap, total):
    slope, chosen = given
    return select(chosen == tap, total + slope, total)


@kernel
def _scatter(begin, end, arguments):
    walk_over_positions(_slope_and_choice, _if_chosen, begin, end, arguments)


@twin_of(reference.max_pool_scatter)
def max_pool_scatter(
    dy: np.ndarray,
    choice: np.ndarray,
    input_size: Sizes,
    pool_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
) -> np.ndarray:
    dy, choice = contiguous(dy), contiguous(choice)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    if dx.size:
        geometry = (pool_size, strides, padding, dilation_rate)
        run_over_positions(_scatter, dy, choice, dx, geometry)
    return dx
