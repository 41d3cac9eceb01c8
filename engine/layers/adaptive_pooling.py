"""Adaptive pooling: into so many windows as are asked for, whatever the input's size.

Of n positions and o windows, window i holds the positions ⌊i·n/o⌋ … ⌈(i + 1)·n/o⌉ − 1: where o does not divide n,
windows overlap or differ in size by one. PyTorch and Keras have the same windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.geometry import per_dimension
from .. import functions as F
from ..capture import constant
from ..tensor import Tensor, from_array
from .spatial import Sizes, SpatialLayer

__all__ = [
    "AdaptiveAveragePooling",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
]


class _AdaptivePooling(SpatialLayer):
    """(N, *spatial, C) → (N, *output_size, C). Where the sizes divide evenly it is plain pooling, else one dimension
    after the other, from the last: windows are boxes."""

    casts_integers = True

    def __init__(self, output_size: Sizes, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.output_size = per_dimension(output_size, self.dimensions, f"{self.name}: output_size")

    def call(self, inputs: Tensor) -> Tensor:
        sizes = inputs.shape[1:-1]
        if not any(n % out for n, out in zip(sizes, self.output_size, strict=True)):
            return self._even(inputs, tuple(n // out for n, out in zip(sizes, self.output_size, strict=True)))
        for axis in range(self.dimensions, 0, -1):
            inputs = self._along(inputs, axis, self.output_size[axis - 1])
        return inputs

    def _even(self, x: Tensor, pool_size: tuple[int, ...]) -> Tensor:
        """Pooling with windows side by side."""
        raise NotImplementedError

    def _along(self, x: Tensor, axis: int, out: int) -> Tensor:
        """x with `out` windows along one axis."""
        raise NotImplementedError

    def _output_size(self, axis: int, size: int) -> int:
        return self.output_size[axis]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self.output_size, input_shape[-1])

    def _check_input_shape(self, shape: Any) -> None:
        super()._check_input_shape(shape)
        if 0 in shape[1:-1]:
            raise ValueError(f"{self.name}: an input of shape {tuple(shape)} has no positions")


def windows(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """The first position of each window, and the one after its last."""
    i = np.arange(out)
    return i * size // out, -(-(i + 1) * size // out)


class AdaptiveAveragePooling(_AdaptivePooling):
    """The mean of each of `output_size` windows."""

    def _even(self, x: Tensor, pool_size: tuple[int, ...]) -> Tensor:
        return F.average_pool(x, pool_size)

    def _along(self, x: Tensor, axis: int, out: int) -> Tensor:
        starts, ends = windows(x.shape[axis], out)
        positions = np.arange(x.shape[axis])[:, np.newaxis]
        shares = ((positions >= starts) & (positions < ends)) / (ends - starts)
        matrix = from_array(constant(shares.astype(x.dtype), x.array))
        return F.moveaxis(F.matmul(F.moveaxis(x, axis, -1), matrix), -1, axis)


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """Adaptive average pooling over sequences; see `AdaptiveAveragePooling`."""

    dimensions = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """Adaptive average pooling over images; see `AdaptiveAveragePooling`."""

    dimensions = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """Adaptive average pooling over volumes; see `AdaptiveAveragePooling`."""

    dimensions = 3


class AdaptiveMaxPooling(_AdaptivePooling):
    """The maximum of each of `output_size` windows; its gradient goes to the first that has it."""

    def _even(self, x: Tensor, pool_size: tuple[int, ...]) -> Tensor:
        return F.max_pool(x, pool_size)

    def _along(self, x: Tensor, axis: int, out: int) -> Tensor:
        starts, ends = windows(x.shape[axis], out)
        longest = int((ends - starts).max())
        # A shorter window names its last position again: the first of equals gets the gradient, so this counts once.
        indices = np.minimum(starts[:, np.newaxis] + np.arange(longest), ends[:, np.newaxis] - 1)
        return F.max(F.take(x, constant(indices, x.array), axis), axis=axis + 1)


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """Adaptive max pooling over sequences; see `AdaptiveMaxPooling`."""

    dimensions = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """Adaptive max pooling over images; see `AdaptiveMaxPooling`."""

    dimensions = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """Adaptive max pooling over volumes; see `AdaptiveMaxPooling`."""

    dimensions = 3
