"""Layers that move values, and compute little with them: Flatten, Reshape, Permute, RepeatVector, upsampling, padding,
cropping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.geometry import per_dimension
from .. import functions as F
from ..tensor import Tensor
from .base import Layer
from .core import positive
from .spatial import Sizes, SpatialLayer, channels_last

__all__ = [
    "Cropping",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


class Flatten(Layer):
    """(N, a, b, …) → (N, a·b·…), in row-major order; (N,) → (N, 1). data_format: None or "channels_last"."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self.name)

    def call(self, inputs: Tensor) -> Tensor:
        return F.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Any) -> Any:
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))


class Reshape(Layer):
    """(N, …) → (N, *target_shape), in row-major order. One size may be −1: what is left.

    Raises ValueError where the numbers of elements differ.
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = tuple(int(size) for size in target_shape)
        if target.count(-1) > 1 or any(size < -1 for size in target):
            raise ValueError(f"{self.name}: target_shape = {target_shape!r}: expected sizes, of which one may be -1")
        self.target_shape = target

    def call(self, inputs: Tensor) -> Tensor:
        return F.reshape(inputs, (inputs.shape[0], *self._resolved(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Any) -> Any:
        if None in input_shape[1:]:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        return (input_shape[0], *self._resolved(input_shape[1:]))

    def _resolved(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The target shape for an example of this shape, −1 replaced."""
        have, known = math.prod(sizes), math.prod(size for size in self.target_shape if size != -1)
        fits = known and have % known == 0 if -1 in self.target_shape else have == known
        if not fits:
            raise ValueError(f"{self.name}: an example of shape {tuple(sizes)} does not fit into {self.target_shape}")
        return tuple(have // known if size == -1 else size for size in self.target_shape)


class Permute(Layer):
    """The axes of each example in another order: dims names them from 1, the batch stays in front.

    Permute((2, 1)) transposes: (N, a, b) → (N, b, a). Raises ValueError if dims is not a permutation of 1 … n.
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"{self.name}: dims = {dims!r}: expected each of 1 … {len(self.dims)} once")

    def call(self, inputs: Tensor) -> Tensor:
        return F.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) != len(self.dims) + 1:
            raise ValueError(f"{self.name}: expected an input of {len(self.dims) + 1} dimensions, got shape {shape}")


class RepeatVector(Layer):
    """(N, C) → (N, n, C): each vector n times. Raises ValueError for an n below 1, and for inputs of another rank."""

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive(n, "n", self.name)

    def call(self, inputs: Tensor) -> Tensor:
        return F.repeat(F.expand_dims(inputs, 1), self.n, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) != 2:
            raise ValueError(f"{self.name}: expected an input of 2 dimensions (N, C), got shape {tuple(shape)}")


class UpSampling(SpatialLayer):
    """Each spatial size times `size`: "nearest" repeats values, "bilinear" interpolates between their centres.

    In Keras, UpSampling1D and UpSampling3D only repeat; here all three take `interpolation` ("bilinear" is linear in
    one dimension and trilinear in three). At the borders the outermost values are continued.
    """

    casts_integers = True

    def __init__(
        self,
        size: Sizes = 2,
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.size = per_dimension(size, self.dimensions, f"{self.name}: size")
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(f'{self.name}: interpolation = {interpolation!r}: expected "nearest" or "bilinear"')
        self.interpolation = interpolation

    def call(self, inputs: Tensor) -> Tensor:
        sizes = tuple(self._output_size(axis, size) for axis, size in enumerate(inputs.shape[1:-1]))
        return F.resize(inputs, sizes, self.interpolation)

    def _output_size(self, axis: int, size: int) -> int:
        return size * self.size[axis]


class UpSampling1D(UpSampling):
    """Upsampling of sequences; see `UpSampling`."""

    dimensions = 1


class UpSampling2D(UpSampling):
    """Upsampling of images; see `UpSampling`."""

    dimensions = 2


class UpSampling3D(UpSampling):
    """Upsampling of volumes; see `UpSampling`."""

    dimensions = 3


class ZeroPadding(SpatialLayer):
    """Zeros around the spatial dimensions.

    padding: an int (both sides of every dimension), an int for each dimension, or a (before, after) pair for each; in
    one dimension a (before, after) pair.
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.padding = _pairs(padding, self.dimensions, f"{self.name}: padding")

    def call(self, inputs: Tensor) -> Tensor:
        return F.pad(inputs, ((0, 0), *self.padding, (0, 0)))

    def _output_size(self, axis: int, size: int) -> int:
        return size + sum(self.padding[axis])


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after a sequence; see `ZeroPadding`."""

    dimensions = 1


class ZeroPadding2D(ZeroPadding):
    """Zeros around an image; see `ZeroPadding`."""

    dimensions = 2


class ZeroPadding3D(ZeroPadding):
    """Zeros around a volume; see `ZeroPadding`."""

    dimensions = 3


class Cropping(SpatialLayer):
    """Cuts off the borders of the spatial dimensions; `cropping` is written as the padding of `ZeroPadding`.

    Raises ValueError where nothing would be left.
    """

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.cropping = _pairs(cropping, self.dimensions, f"{self.name}: cropping")

    def call(self, inputs: Tensor) -> Tensor:
        sizes = inputs.shape[1:-1]
        cuts = (
            slice(before, before + self._output_size(axis, size))
            for axis, (size, (before, _)) in enumerate(zip(sizes, self.cropping, strict=True))
        )
        return inputs[(slice(None), *cuts)]

    def _output_size(self, axis: int, size: int) -> int:
        left = size - sum(self.cropping[axis])
        if left < 1:
            raise ValueError(
                f"{self.name}: cropping {self.cropping[axis]} leaves nothing of size {size} in spatial dimension {axis}"
            )
        return left


class Cropping1D(Cropping):
    """Cuts off the ends of a sequence (one step each, if not said otherwise); see `Cropping`."""

    dimensions = 1


class Cropping2D(Cropping):
    """Cuts off the borders of an image; see `Cropping`."""

    dimensions = 2

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(Cropping):
    """Cuts off the borders of a volume (one position each, if not said otherwise); see `Cropping`."""

    dimensions = 3


def _pairs(value: Any, dimensions: int, argument: str) -> tuple[tuple[int, int], ...]:
    """A (before, after) pair of ints ≥ 0 for each dimension, from Keras's ways of writing them."""
    entries = [value] * dimensions if isinstance(value, (int, np.integer)) else list(value)
    if dimensions == 1 and len(entries) == 2:
        entries = [entries]
    pairs = [(entry, entry) if isinstance(entry, (int, np.integer)) else tuple(entry) for entry in entries]
    whole = all(isinstance(size, (int, np.integer)) and size >= 0 for pair in pairs for size in pair)
    if len(pairs) != dimensions or not whole or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"{argument} = {value!r}: expected an integer, or an integer or a (before, after) pair for each of "
            f"{dimensions} dimensions, none negative"
        )
    return tuple((int(before), int(after)) for before, after in pairs)
