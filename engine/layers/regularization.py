"""Layers that are the identity but for training: Dropout and its spatial kind, and a penalty of what passes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import functions as F
from .. import regularizers
from ..random import Generator
from ..tensor import Tensor
from .base import Layer
from .spatial import require_spatial

__all__ = ["ActivityRegularization", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]


class _Dropout(Layer):
    """What both kinds share: the rate and the generator."""

    casts_integers = True
    supports_masking = True

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate <= 1.0:
            raise ValueError(f"{self.name}: rate = {rate!r}: expected a number from 0 to 1")
        self.rate = rate
        self.seed = seed
        self.generator = None if seed is None else Generator(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        if self.rate == 1.0:
            return inputs * 0.0
        return F.dropout(inputs, self.rate, noise_shape=self._mask_shape(inputs.shape), generator=self.generator)

    def _mask_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the random mask."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


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
        if self.noise_shape is None:
            return input_shape
        if len(self.noise_shape) != len(input_shape):
            raise ValueError(f"{self.name}: noise_shape {self.noise_shape} does not fit an input {input_shape}")
        return tuple(
            size if noise is None else noise for noise, size in zip(self.noise_shape, input_shape, strict=True)
        )


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


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of images."""

    dimensions = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of volumes."""

    dimensions = 3


class ActivityRegularization(Layer):
    """The input itself; l1 · Σ|x| + l2 · Σx², divided by the size of the batch, is added to the loss.

    Raises ValueError for a factor that is negative or not finite.
    """

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
