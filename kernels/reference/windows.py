"""Windows that slide over a padded array: what convolution and pooling have in common.

A window of size k starts at every s-th position of the padded array, and its taps lie d apart. Tap t of all windows
together is one strided slice of the padded array: position o·s + t·d for every window o. A loop over the few taps
then does what a loop over the many windows would do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..geometry import Pairs, Sizes


def pad(x: np.ndarray, padding: Pairs, value: float = 0.0) -> np.ndarray:
    """x (N, *spatial, C) with `padding` positions of `value` before and after in each spatial dimension."""
    return np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)


def padded_zeros(batch: int, size: Sizes, padding: Pairs, channels: int, dtype: np.dtype) -> np.ndarray:
    """Zeros of the shape of a padded array (batch, *size with padding, channels): what gradients are gathered in."""
    padded_size = (before + n + after for n, (before, after) in zip(size, padding, strict=True))
    return np.zeros((batch, *padded_size, channels), dtype)


def crop(padded: np.ndarray, size: Sizes, padding: Pairs) -> np.ndarray:
    """The inverse of `pad`, and its transpose: the inner part of the given `size`."""
    inner = (slice(before, before + n) for n, (before, _) in zip(size, padding, strict=True))
    return np.ascontiguousarray(padded[(slice(None), *inner)])


def each_tap(
    padded: np.ndarray, kernel_size: Sizes, output_size: Sizes, strides: Sizes, dilation_rate: Sizes
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """For each tap of the window, in row-major order: the tap, and the view (N, *output_size, C) of what lies under it.

    The view can be written to: adding to it scatters, each window adding to what its tap covers.
    """
    for tap in np.ndindex(*kernel_size):
        under = (
            slice(t * d, t * d + o * s, s) for t, d, o, s in zip(tap, dilation_rate, output_size, strides, strict=True)
        )
        yield tap, padded[(slice(None), *under)]
