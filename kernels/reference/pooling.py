"""Max and average pooling in one to three dimensions, channels last, with their gradients.

Max pooling keeps which position of its window was taken. Once that choice is fixed, pooling is a linear map:
`max_pool_gather` picks the chosen positions, `max_pool_scatter` is its transpose and the gradient of max pooling.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..geometry import Pairs, Sizes, dilated_size, pool_output_size
from .windows import crop, each_tap, pad, padded_zeros


def max_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> tuple[np.ndarray, np.ndarray]:
    """Max pooling: y[n, o, c] = max_t x[n, o·strides + t·dilation_rate − before, c], over the t inside the image.

    x (N, *spatial, C) → y (N, *output, C) and choice of the same shape: the index of the FIRST maximum in the window,
    in row-major order over the window (uint8 if the window has at most 255 positions, else int32). Padding never
    wins, not even against −inf. NaN counts as the largest. Every window must hold a position of the image.
    """
    windows = _windows(pad(x, padding, -np.inf), pool_size, strides, dilation_rate)
    choice = windows.argmax(-1)
    # Padding is −inf and so loses, except to nothing but −inf: there the first position inside the image is the first
    # maximum.
    inside = _windows(pad(np.ones((1, *x.shape[1:-1], 1), bool), padding, 0), pool_size, strides, dilation_rate)
    inside = np.broadcast_to(inside, windows.shape)
    chose_inside = np.take_along_axis(inside, choice[..., None], -1)[..., 0]
    choice = np.where(chose_inside, choice, inside.argmax(-1))
    y = np.take_along_axis(windows, choice[..., None], -1)[..., 0]
    return y, choice.astype(np.uint8 if np.prod(pool_size) <= 255 else np.int32)


def max_pool_scatter(
    dy: np.ndarray,
    choice: np.ndarray,
    input_size: Sizes,
    pool_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
) -> np.ndarray:
    """Gradient of max pooling, from its choice.

    dx[n, o·strides + t·dilation_rate − before, c] += dy[n, o, c]   for every window o, t = choice[n, o, c]

    dy and choice (N, *output, C) → dx (N, *input_size, C). The transpose of `max_pool_gather`.
    """
    padded = padded_zeros(len(dy), input_size, padding, dy.shape[-1], dy.dtype)
    taps = each_tap(padded, pool_size, dy.shape[1:-1], strides, dilation_rate)
    for index, (_, dx_tap) in enumerate(taps):
        dx_tap += np.where(choice == index, dy, 0)
    return crop(padded, input_size, padding)


def max_pool_gather(
    x: np.ndarray, choice: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> np.ndarray:
    """What the windows chose, taken from another array.

    y[n, o, c] = x[n, o·strides + t·dilation_rate − before, c]   with t = choice[n, o, c]

    x (N, *spatial, C), choice (N, *output, C) → y (N, *output, C). The transpose of `max_pool_scatter` and so its
    gradient (the second derivative of max pooling).
    """
    y = np.empty(choice.shape, x.dtype)  # each window chose one of its taps
    taps = each_tap(pad(x, padding), pool_size, choice.shape[1:-1], strides, dilation_rate)
    for index, (_, x_tap) in enumerate(taps):
        y = np.where(choice == index, x_tap, y)
    return y


def average_pool(
    x: np.ndarray, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    """Average pooling: y[n, o, c] = Σ_t x[n, o·strides + t − before, c] / count[o], with zeros for the padding.

    x (N, *spatial, C) → y (N, *output, C). count is the number of positions of the window that lie in the image, or
    with count_include_pad the size of the window. Every window must hold a position of the image.
    """
    dense = (1,) * len(pool_size)
    output_size = pool_output_size(x.shape[1:-1], pool_size, strides, padding, dense)
    y = np.zeros((len(x), *output_size, x.shape[-1]), x.dtype)
    for _, x_tap in each_tap(pad(x, padding), pool_size, output_size, strides, dense):
        y += x_tap
    return y / _count(x.shape[1:-1], pool_size, strides, padding, count_include_pad, x.dtype)


def average_pool_gradient(
    dy: np.ndarray, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> np.ndarray:
    """Gradient of average pooling.

    dx[n, o·strides + t − before, c] += dy[n, o, c] / count[o]   for every window o and every t in it

    dy (N, *output, C) → dx (N, *input_size, C). The transpose of `average_pool`.
    """
    share = dy / _count(input_size, pool_size, strides, padding, count_include_pad, dy.dtype)
    padded = padded_zeros(len(dy), input_size, padding, dy.shape[-1], dy.dtype)
    for _, dx_tap in each_tap(padded, pool_size, dy.shape[1:-1], strides, (1,) * len(pool_size)):
        dx_tap += share
    return crop(padded, input_size, padding)


def _windows(padded: np.ndarray, pool_size: Sizes, strides: Sizes, dilation_rate: Sizes) -> np.ndarray:
    """All windows of a padded array (N, *spatial, C) side by side: (N, *output, C, positions of the window)."""
    spatial = tuple(range(1, padded.ndim - 1))
    every_start = sliding_window_view(padded, dilated_size(pool_size, dilation_rate), spatial)
    starts = (slice(None), *(slice(None, None, s) for s in strides), slice(None))
    windows = every_start[(*starts, *(slice(None, None, d) for d in dilation_rate))]
    return windows.reshape(*windows.shape[: padded.ndim], np.prod(pool_size))


def _count(
    input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool, dtype: np.dtype
) -> np.ndarray:
    """How many positions each window averages: (1, *output, 1)."""
    inside = np.ones((1, *input_size, 1), dtype)
    return _windows(pad(inside, padding, float(count_include_pad)), pool_size, strides, (1,) * len(pool_size)).sum(-1)
