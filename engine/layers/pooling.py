"""Pooling layers in one to three dimensions: the maximum or the mean of each window, or of all positions.

Each is written once for any number of spatial dimensions. Inputs are (N, *spatial, C).
"""

from __future__ import annotations

from typing import Any

from ...kernels.geometry import per_dimension, pool_output_size, resolve_padding
from .. import functions as F
from ..masks import checked_mask
from ..tensor import Tensor, from_array
from .spatial import Sizes, SpatialLayer, one_dimension

__all__ = [
    "AveragePooling",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalAveragePooling",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPooling",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


class _Pooling(SpatialLayer):
    """What max and average pooling share: windows of `pool_size`, `strides` apart (pool_size if None).

    padding: "valid", "same", and beyond Keras an int, an int or a (before, after) pair for each dimension.
    """

    casts_integers = True

    def __init__(
        self,
        pool_size: Sizes,
        strides: Sizes | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, name=name, **kwargs)
        self.pool_size = per_dimension(pool_size, self.dimensions, f"{self.name}: pool_size")
        given = self.pool_size if strides is None else strides
        self.strides = per_dimension(given, self.dimensions, f"{self.name}: strides")
        self.padding = padding.lower() if isinstance(padding, str) else padding
        resolve_padding(self.padding, self.pool_size, self.pool_size, self.strides, (1,) * self.dimensions)

    def _output_size(self, axis: int, size: int) -> int:
        pool, stride = (self.pool_size[axis],), (self.strides[axis],)
        pairs = resolve_padding(one_dimension(self.padding, axis), (size,), pool, stride, (1,))
        return pool_output_size((size,), pool, stride, pairs, (1,))[0]


class MaxPooling(_Pooling):
    """The maximum of each window. Padding never wins; the gradient goes to the first maximum of a window."""

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        return F.max_pool(inputs, self.pool_size, strides=self.strides, padding=self.padding)


class MaxPooling1D(MaxPooling):
    """Max pooling over sequences; see `MaxPooling`."""

    dimensions = 1


class MaxPooling2D(MaxPooling):
    """Max pooling over images; see `MaxPooling`."""

    dimensions = 2


class MaxPooling3D(MaxPooling):
    """Max pooling over volumes; see `MaxPooling`."""

    dimensions = 3


class AveragePooling(_Pooling):
    """The mean of each window; padding does not count."""

    def call(self, inputs: Tensor) -> Tensor:
        return F.average_pool(inputs, self.pool_size, strides=self.strides, padding=self.padding)


class AveragePooling1D(AveragePooling):
    """Average pooling over sequences; see `AveragePooling`."""

    dimensions = 1


class AveragePooling2D(AveragePooling):
    """Average pooling over images; see `AveragePooling`."""

    dimensions = 2


class AveragePooling3D(AveragePooling):
    """Average pooling over volumes; see `AveragePooling`."""

    dimensions = 3


class _GlobalPooling(SpatialLayer):
    """One value for each channel: (N, *spatial, C) → (N, C), or (N, 1, …, C) with keepdims."""

    casts_integers = True

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.keepdims = bool(keepdims)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, self.dimensions + 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        ones = (1,) * self.dimensions if self.keepdims else ()
        return (input_shape[0], *ones, input_shape[-1])


class GlobalMaxPooling(_GlobalPooling):
    """The maximum over all positions; the gradient goes to the first position that has it."""

    def call(self, inputs: Tensor) -> Tensor:
        return F.max(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling):
    """Maximum over a sequence; see `GlobalMaxPooling`."""

    dimensions = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """Maximum over an image; see `GlobalMaxPooling`."""

    dimensions = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """Maximum over a volume; see `GlobalMaxPooling`."""

    dimensions = 3


class GlobalAveragePooling(_GlobalPooling):
    """The mean over all positions."""

    def call(self, inputs: Tensor) -> Tensor:
        averages = F.average_pool(inputs, inputs.shape[1:-1])
        return averages if self.keepdims else F.reshape(averages, (len(averages), inputs.shape[-1]))


class GlobalAveragePooling1D(GlobalAveragePooling):
    """Mean over a sequence; see `GlobalAveragePooling`. Over those of its steps that a mask leaves, if there is one.

    Raises ValueError for a sequence of which the mask leaves nothing (in Keras its mean is NaN).
    """

    dimensions = 1

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        mask = F.expand_dims(checked_mask(mask, inputs, 2, self.name), -1)
        counts = mask.array.sum(axis=1, keepdims=self.keepdims)
        if not counts.all():
            raise ValueError(f"{self.name}: the mask leaves no step of some sequences: their mean is not defined")
        total = F.sum(F.where(mask, inputs, 0.0), axis=1, keepdims=self.keepdims)
        return total / from_array(counts.astype(inputs.dtype))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: the steps are gone."""
        return None


class GlobalAveragePooling2D(GlobalAveragePooling):
    """Mean over an image; see `GlobalAveragePooling`."""

    dimensions = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """Mean over a volume; see `GlobalAveragePooling`."""

    dimensions = 3
