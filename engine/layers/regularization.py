"""Layers that are the identity but for training: Dropout and its kinds, noise, and a penalty of what passes through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functions as F
from .. import random, regularizers
from ..capture import fed
from ..functions.activations import SELU_ALPHA, SELU_SCALE
from ..tensor import Tensor, from_array
from .base import Layer
from .spatial import channels_last, require_spatial

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class _Random(Layer):
    """A layer that draws in training: from a generator of its own if it has a seed, else from the engine's."""

    supports_masking = True
    casts_integers = True

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = None if seed is None else random.Generator(seed)

    def _normal(self, mean: float, stddev: float, like: Tensor) -> Tensor:
        """Normal numbers of a tensor's shape and type, where it lies."""
        generator, shape, dtype = self.generator or random.generator(), like.shape, like.dtype
        return from_array(fed(lambda: generator.normal(mean, stddev, shape, dtype), shape, dtype, like.array))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


class _Dropout(_Random):
    """What the kinds of dropout share: the rate."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate <= 1.0:
            raise ValueError(f"{self.name}: rate = {rate!r}: expected a number from 0 to 1")
        self.rate = rate

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        if self.rate == 1.0:
            return inputs * 0.0
        return F.dropout(inputs, self.rate, noise_shape=self._mask_shape(inputs.shape), generator=self.generator)

    def _mask_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the random mask."""
        raise NotImplementedError


class Dropout(_Dropout):
    """In training, each value is set to 0 with probability `rate`, and the others are divided by 1 − rate.

    noise_shape: the shape of the random mask, None for the input's size in that axis, 1 to share a draw along it.
    seed: an integer for a generator of the layer's own, whose state checkpoints hold; None draws from the engine's.

    Raises ValueError for a rate outside 0 … 1. With rate 1 everything is 0.
    """

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def _mask_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return _noise_shape(self.noise_shape, input_shape, self.name)


class AlphaDropout(_Random):
    """Dropout for selu: in training each value becomes selu's limit at −∞, −α·λ, with probability `rate`; then all are
    scaled and shifted so that mean 0 and variance 1 stay (Klambauer et al. 2017).

    y = a·(x if kept, else −αλ) + b with a = 1/√((1 − rate)(1 + rate·(αλ)²)), b = a·αλ·rate, α and λ selu's.
    noise_shape, seed: as in `Dropout`. Raises ValueError for a rate outside 0 … 1, and for 1, which leaves no variance.
    """

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.rate = _rate_below_1(rate, self.name)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        generator, rate = self.generator or random.generator(), self.rate
        shape = _noise_shape(self.noise_shape, inputs.shape, self.name)
        kept = fed(lambda: generator.uniform(shape=shape) >= rate, shape, np.bool_, inputs.array)
        limit = SELU_ALPHA * SELU_SCALE
        a = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        return a * F.where(kept, inputs, -limit) + a * limit * self.rate


class GaussianNoise(_Random):
    """In training, normal numbers of mean 0 and standard deviation `stddev` are added.

    seed: as in `Dropout`. Raises ValueError for a stddev outside 0 … 1, as Keras does.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        if isinstance(stddev, bool) or not isinstance(stddev, (int, float)) or not 0.0 <= stddev <= 1.0:
            raise ValueError(f"{self.name}: stddev = {stddev!r}: expected a number from 0 to 1")
        self.stddev = stddev

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.stddev == 0.0:
            return inputs
        return inputs + self._normal(0.0, self.stddev, inputs)


class GaussianDropout(_Random):
    """In training, values are multiplied by normal numbers of mean 1 and variance rate/(1 − rate), the variance that
    dropout's factors have (Srivastava et al. 2014).

    seed: as in `Dropout`. Raises ValueError for a rate outside 0 … 1, and for 1, whose variance is infinite.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = _rate_below_1(rate, self.name)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        return inputs * self._normal(1.0, math.sqrt(self.rate / (1.0 - self.rate)), inputs)


def _rate_below_1(rate: Any, name: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < 1.0:
        raise ValueError(f"{name}: rate = {rate!r}: expected a number of at least 0 and less than 1")
    return rate


def _noise_shape(noise_shape: Sequence[int | None] | None, input_shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape in which is drawn for an input: None in `noise_shape` stands for the input's size."""
    if noise_shape is None:
        return input_shape
    if len(noise_shape) != len(input_shape):
        raise ValueError(f"{name}: noise_shape {noise_shape} does not fit an input {input_shape}")
    return tuple(size if noise is None else noise for noise, size in zip(noise_shape, input_shape, strict=True))


class _SpatialDropout(_Dropout):
    """Dropout of whole channels: one draw for an example's channel, shared by all positions (Tompson et al. 2015)."""

    dimensions: int

    def _mask_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (input_shape[0], *(1,) * self.dimensions, input_shape[-1])

    def _check_input_shape(self, shape: Any) -> None:
        require_spatial(shape, self.dimensions, self.name)


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of sequences."""

    dimensions = 1

    def __init__(
        self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(rate, seed, name=name, dtype=dtype, **kwargs)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images. data_format: None or "channels_last"."""

    dimensions = 2

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, seed, name=name, dtype=dtype, **kwargs)
        self.data_format = channels_last(data_format, self.name)


class SpatialDropout3D(SpatialDropout2D):
    """Dropout of whole channels of volumes. data_format: None or "channels_last"."""

    dimensions = 3


class ActivityRegularization(Layer):
    """The input itself; l1 · Σ|x| + l2 · Σx², divided by the size of the batch, is added to the loss.

    Raises ValueError for a factor that is negative or not finite.
    """

    supports_masking = True
    casts_integers = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        if "activity_regularizer" in kwargs:
            raise TypeError("ActivityRegularization: activity_regularizer is made of l1 and l2: leave it out")
        super().__init__(activity_regularizer=regularizers.L1L2(l1, l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return config
