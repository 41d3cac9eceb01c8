"""Layers that bring data into shape before a model, as parts of it: Normalization, Resizing, CenterCrop.

`Rescaling` stands in `core`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..capture import constant
from ..tensor import Tensor, as_tensor, is_array
from ..variable import Variable
from .base import Layer
from .core import positive
from .spatial import channels_last

__all__ = ["CenterCrop", "Normalization", "Resizing"]

_LEAST_DEVIATION = 1e-7  # what Keras divides by at least
_TOGETHER = 2**22  # numbers of an array that are looked at together: 32 MiB in float64


class Normalization(Layer):
    """(x − mean)/√variance, with the mean and the variance of data that `adapt` has seen, or that are given.

    axis: an axis, or several, along which each position has a mean and a variance of its own (−1: each channel);
        None: one mean and one variance for all. mean, variance: the numbers, in place of `adapt`; both broadcast to the
        sizes of these axes. invert: √variance·x + mean instead.

    A standard deviation counts as at least 1e-7, as in Keras. The weights (mean, variance, and the count of examples
    that they are of, none of which is trained) are 0, 1 and 0 before `adapt`.
    Raises ValueError for a mean without a variance, for axes that an input does not have, or whose sizes are open.
    """

    supports_masking = True
    casts_integers = True

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (mean is None) != (variance is None):
            raise ValueError(f"{self.name}: give both mean and variance, or none of them")
        if mean is not None and np.shape(mean) != np.shape(variance):
            raise ValueError(
                f"{self.name}: mean of shape {np.shape(mean)} and variance of shape {np.shape(variance)} must agree"
            )
        self.axis = axis if axis is None or isinstance(axis, int) else list(axis)
        self.input_mean, self.input_variance, self.invert = mean, variance, bool(invert)

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        given = self._given_axes()
        if not all(-rank <= axis < rank for axis in given):
            raise ValueError(f"{self.name}: axis = {self.axis} does not fit an input of shape {tuple(input_shape)}")
        self.axes = tuple(sorted({axis % rank for axis in given}))
        self.sizes = tuple(input_shape[axis] for axis in self.axes)
        if None in self.sizes:
            raise ValueError(f"{self.name}: the sizes of axis {self.axis} must be known, got {tuple(input_shape)}")
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(self.sizes, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(self.sizes, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int64", trainable=False, name="count")
        else:
            self._numbers(self.input_mean), self._numbers(self.input_variance)  # whether they broadcast

    def _given_axes(self) -> Sequence[int]:
        return () if self.axis is None else (self.axis,) if isinstance(self.axis, int) else self.axis

    def _numbers(self, given: Any) -> np.ndarray:
        """The given mean or variance in the sizes of the axes."""
        try:
            return np.broadcast_to(np.asarray(given, self.dtype), self.sizes)
        except ValueError:
            raise ValueError(
                f"{self.name}: mean and variance of shape {np.shape(given)} do not broadcast to the sizes "
                f"{self.sizes} of axis {self.axis}"
            ) from None

    @property
    def mean(self) -> Any:
        """The mean in the sizes of the axes; None before the layer is built."""
        if not self.built:
            return None
        return self.adapt_mean if self.input_mean is None else as_tensor(self._numbers(self.input_mean))

    @property
    def variance(self) -> Any:
        """The variance in the sizes of the axes; None before the layer is built."""
        if not self.built:
            return None
        return self.adapt_variance if self.input_variance is None else as_tensor(self._numbers(self.input_variance))

    def _plain(self, argument: str, value: Any) -> Any:
        return super()._plain(argument, getattr(self, f"input_{argument}", value))

    def adapt(self, data: Any) -> None:
        """Take the mean and the variance from data: an array, or an iterable of batches (of tuples, the first entry).

        They are those of all of the data, whatever earlier data were; sums are taken in float64, so that it does not
        matter how the data are cut into batches. Raises ValueError for no data, for a layer with given numbers, and
        for batches of other sizes along the axes.
        """
        if self.input_mean is not None:
            raise ValueError(f"{self.name}: mean and variance were given: there is nothing to adapt")
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for batch in _batches(data, self._given_axes(), self.name):
            if not self.built:
                self.build(batch.shape)
            self._check_input_shape(batch.shape)
            others = tuple(axis for axis in range(batch.ndim) if axis not in self.axes)
            more = math.prod(batch.shape[axis] for axis in others)
            if not more:
                continue
            values = batch.astype(np.float64)
            its_mean = values.mean(axis=others)
            difference = its_mean - mean
            # Chan, Golub and LeVeque (1983): sums of squared deviations of two parts give that of the whole.
            squares = squares + values.var(axis=others) * more + difference**2 * (count * more / (count + more))
            mean = mean + difference * (more / (count + more))
            count += more
        if not count:
            raise ValueError(f"{self.name}: adapt: there are no data")
        self.adapt_mean.assign(np.broadcast_to(mean, self.sizes))
        self.adapt_variance.assign(np.broadcast_to(squares / count, self.sizes))
        self.count.assign(np.asarray(count))

    def call(self, inputs: Tensor) -> Tensor:
        shape = tuple(size if axis in self.axes else 1 for axis, size in enumerate(inputs.shape))
        mean, variance = (F.reshape(self._beside(v, inputs), shape) for v in (self.mean, self.variance))
        deviation = F.maximum(F.sqrt(variance), _LEAST_DEVIATION)
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def _beside(self, numbers: Tensor, inputs: Tensor) -> Tensor:
        """The mean or variance where the inputs lie."""
        if isinstance(numbers, Variable):
            return F.to_device(numbers, inputs.device)
        return as_tensor(constant(numbers.array, inputs.array))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def _check_input_shape(self, shape: Any) -> None:
        if self.built and tuple(shape[axis] for axis in self.axes if axis < len(shape)) != self.sizes:
            raise ValueError(f"{self.name}: built for sizes {self.sizes} in axes {self.axes}, got shape {tuple(shape)}")


def _batches(data: Any, axes: Sequence[int], name: str) -> Iterator[np.ndarray]:
    """The arrays that `adapt` looks at, one after the other, in main memory. One large array is cut, unless each of its
    rows has a mean of its own."""
    if isinstance(data, Tensor) or is_array(data):
        array = as_tensor(data).numpy()
        step = max(_TOGETHER // max(array[:1].size, 1), 1)
        if 0 in axes or -array.ndim in axes:
            step = max(len(array), 1)
        for start in range(0, len(array), step):
            yield array[start : start + step]
        return
    if not isinstance(data, Iterable):
        raise TypeError(f"{name}: adapt: expected an array or an iterable of batches, got {type(data).__name__}")
    for batch in data:
        first = batch[0] if isinstance(batch, tuple) else batch
        if not (isinstance(first, Tensor) or is_array(first)):
            raise TypeError(f"{name}: adapt: expected batches that are arrays, got {type(first).__name__}")
        yield as_tensor(first).numpy()


# --------------------------------------------------------------------------------------------------------------- images


class _ToSize(Layer):
    """A layer that brings images (N, H, W, C), or one image (H, W, C), to one size."""

    casts_integers = True

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = positive(height, "height", self.name)
        self.width = positive(width, "width", self.name)
        self.data_format = channels_last(data_format, self.name)

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.ndim == 4:
            return self._sized(inputs)
        return self._sized(F.expand_dims(inputs, 0))[0]

    def _sized(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def _cropped_to_ratio(self, images: Tensor) -> Tensor:
        """The largest part in the middle that has the ratio of the sizes wanted."""
        return _middle(images, part_of_ratio(images.shape[1:3], (self.height, self.width)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) not in (3, 4):
            raise ValueError(f"{self.name}: expected images (N, H, W, C) or one (H, W, C), got shape {tuple(shape)}")


class Resizing(_ToSize):
    """Images in the size height × width, between half-pixel centres; integers become floating numbers first, and stay
    so (Keras rounds the result).

    interpolation: "bilinear" or "nearest"; Keras's others are not supported, nor antialias=True.
    crop_to_aspect_ratio: cut off what stands over the wanted ratio of the sides first; pad_to_aspect_ratio: or put
        `fill_value` evenly around the short sides (an odd pixel comes after). fill_mode: only "constant".
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(height, width, data_format, **kwargs)
        for argument, value, known in (
            ("interpolation", interpolation, ("bilinear", "nearest")),
            ("fill_mode", fill_mode, ("constant",)),
            ("antialias", antialias, (False,)),
        ):
            if value not in known:
                raise ValueError(f"{self.name}: {argument} = {value!r} is not supported; known is {known}")
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(f"{self.name}: give one of crop_to_aspect_ratio and pad_to_aspect_ratio")
        self.interpolation, self.antialias = interpolation, False
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = bool(crop_to_aspect_ratio), bool(pad_to_aspect_ratio)
        self.fill_mode, self.fill_value = fill_mode, fill_value

    def _sized(self, images: Tensor) -> Tensor:
        if self.crop_to_aspect_ratio:
            images = self._cropped_to_ratio(images)
        elif self.pad_to_aspect_ratio:
            height, width = images.shape[1:3]
            more = (
                max(width * self.height // self.width - height, 0),
                max(height * self.width // self.height - width, 0),
            )
            widths = [(0, 0), *[(size // 2, size - size // 2) for size in more], (0, 0)]
            images = F.pad(images, widths, mode="constant", constant_values=self.fill_value)
        return F.resize(images, (self.height, self.width), self.interpolation)


class CenterCrop(_ToSize):
    """The middle height × width of images (an odd pixel more is left at the end); of images that are smaller in a side,
    the largest part in the middle with the wanted ratio of the sides, resized bilinearly."""

    def __init__(self, height: int, width: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(height, width, data_format, **kwargs)

    def _sized(self, images: Tensor) -> Tensor:
        if images.shape[1] >= self.height and images.shape[2] >= self.width:
            return _middle(images, (self.height, self.width))
        return F.resize(self._cropped_to_ratio(images), (self.height, self.width), "bilinear")


def part_of_ratio(size: Sequence[int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The size of the largest part of an image of this size that has the ratio of the sizes wanted."""
    (height, width), (rows, columns) = size, wanted
    return max(min(height, width * rows // columns), 1), max(min(width, height * columns // rows), 1)


def _middle(images: Tensor, sizes: tuple[int, int]) -> Tensor:
    cuts = [
        slice((have - want) // 2, (have - want) // 2 + want)
        for have, want in zip(images.shape[1:3], sizes, strict=True)
    ]
    return images[(slice(None), *cuts)]
