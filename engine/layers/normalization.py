"""Normalisation layers: over the batch, over each example, over groups of its channels.

Most compute y = (x − μ)/√(σ² + epsilon)·gamma + beta with a biased variance σ², and differ in what μ and σ² are taken
over; two divide by the length of a vector alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..checks import not_supported
from ..lengths import unit_length
from ..masks import as_mask, checked_mask
from ..tensor import Tensor
from . import activations
from .base import Layer
from .core import known_channels, require_channels

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]


class _Normalization(Layer):
    """What all normalisation layers share: epsilon, and gamma and beta if `scale` and `center` ask for them."""

    casts_integers = True
    supports_masking = True

    def __init__(
        self,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not epsilon >= 0.0:
            raise ValueError(f"{self.name}: epsilon = {epsilon!r}: expected a number of at least 0")
        self.epsilon, self.center, self.scale = epsilon, bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def _add_gamma_and_beta(self, shape: tuple[int, ...]) -> None:
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                name="gamma",
            )
        if self.center:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                name="beta",
            )

    def _require_last_axis(self, axis: Any, input_shape: Any) -> None:
        if axis not in (-1, len(input_shape) - 1):
            raise ValueError(
                f"{self.name}: axis = {axis!r} is not supported for an input of shape {tuple(input_shape)}: the "
                "channels are the last axis, -1"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


class BatchNormalization(_Normalization):
    """Batch normalisation: μ and σ² of each channel, over all examples and positions (Ioffe & Szegedy 2015).

    In training they are those of the batch, and the moving averages follow, moving ← momentum·moving + (1 − momentum)·
    batch; otherwise, and in a layer with trainable = False, they are the moving averages. Those start as 0 and 1 and,
    as in Keras, take the biased variance.

    activation (an extension of ours, not Keras's): a name or callable applied to the result; "relu" is computed in the
    normalisation's own kernel, which saves a pass over memory each way. BatchNormalization(activation="relu") gives
    the same as BatchNormalization() followed by Activation("relu").

    A mask leaves positions out of a batch's mean and variance; all are normalised with these. (Keras
    divides by their number + 1e-7, and takes only masks of all axes but the last.)

    axis: only the last, -1. Raises ValueError for another, for a batch of no elements in training, and for Keras's
    renorm and synchronized.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        synchronized: bool = False,
        activation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"{self.name}: momentum = {momentum!r}: expected a number from 0 to 1")
        for argument, value in (("renorm", renorm), ("synchronized", synchronized)):
            not_supported(self.name, argument, value, None, False)
        self.axis, self.momentum = axis, momentum
        self.renorm = self.synchronized = False
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.activation = activations.get(activation)

    def build(self, input_shape: Any) -> None:
        self._require_last_axis(self.axis, input_shape)
        self.channels = known_channels(input_shape, self.name)
        self._add_gamma_and_beta((self.channels,))
        self.moving_mean = self.add_weight(
            (self.channels,), self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            (self.channels,), self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Tensor, training: bool = False, mask: Any = None) -> Tensor:
        training = training and self.trainable
        statistics: tuple[Tensor, Tensor] = self.moving_mean, self.moving_variance
        if training and mask is not None:
            statistics, training = self._masked_statistics(inputs, mask), False
        return F.batch_norm(
            inputs,
            self.gamma,
            self.beta,
            *statistics,
            training=training,
            momentum=self.momentum,
            epsilon=self.epsilon,
            activation=self.activation,
        )

    def _masked_statistics(self, inputs: Tensor, mask: Any) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel over the positions that the mask leaves; the moving averages follow."""
        mask = as_mask(mask, inputs)
        mask = checked_mask(mask, inputs, min(mask.ndim, inputs.ndim - 1), self.name)
        left = inputs[mask]
        if not left.size:
            raise ValueError(f"{self.name}: the mask leaves no position of an input of shape {inputs.shape}")
        axes = tuple(range(left.ndim - 1))
        mean, variance = F.mean(left, axes), F.var(left, axes)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving.array * self.momentum + batch.array * (1.0 - self.momentum))
        return mean, variance

    def _check_input_shape(self, shape: Any) -> None:
        if self.built:
            require_channels(shape, self.channels, self.name)


class LayerNormalization(_Normalization):
    """Layer normalisation: μ and σ² of each example over `axis`, one axis or several (Ba et al. 2016).

    gamma and beta have the sizes of these axes.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        self.axis = axis if isinstance(axis, int) else list(axis)

    def build(self, input_shape: Any) -> None:
        self.axes = _axes_of(self.axis, input_shape, self.name)
        if 0 in self.axes:
            raise ValueError(f"{self.name}: axis = {self.axis!r} holds the batch: each example is normalised by itself")
        self.features = tuple(input_shape[axis] for axis in self.axes)
        if None in self.features:
            raise ValueError(f"{self.name}: the sizes of axis {self.axis!r} must be known, got {tuple(input_shape)}")
        self._add_gamma_and_beta(self.features)

    def call(self, inputs: Tensor) -> Tensor:
        return F.layer_norm(inputs, self.gamma, self.beta, axis=self.axes, epsilon=self.epsilon)

    def _check_input_shape(self, shape: Any) -> None:
        if self.built and (len(shape) <= self.axes[-1] or tuple(shape[axis] for axis in self.axes) != self.features):
            raise ValueError(f"{self.name}: built for sizes {self.features} in axes {self.axes}, got {tuple(shape)}")


class GroupNormalization(_Normalization):
    """Group normalisation: μ and σ² of each example over its positions and a group of neighbouring channels (Wu & He
    2018).

    groups: how many groups; −1 for as many as channels (instance normalisation). axis: only the last, −1. Raises
    ValueError if the channels are not a multiple of the groups.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ValueError(f"{self.name}: groups = {groups!r}: expected a positive integer or -1")
        self.groups, self.axis = groups, axis

    def build(self, input_shape: Any) -> None:
        self._require_last_axis(self.axis, input_shape)
        self.channels = known_channels(input_shape, self.name)
        if self.groups != -1 and self.channels % self.groups:
            raise ValueError(f"{self.name}: {self.channels} channels are not a multiple of groups = {self.groups}")
        self._add_gamma_and_beta((self.channels,))

    def call(self, inputs: Tensor) -> Tensor:
        groups = self.channels if self.groups == -1 else self.groups
        return F.group_norm(inputs, groups, self.gamma, self.beta, epsilon=self.epsilon)

    def _check_input_shape(self, shape: Any) -> None:
        if self.built:
            require_channels(shape, self.channels, self.name)


class RMSNormalization(Layer):
    """y = x/√(mean of x² + epsilon)·scale, the mean over `axis`, one axis or several (Zhang & Sennrich 2019).

    The squares have to be finite: in float32 |x| up to 1.8e19.

    scale has the sizes of these axes. Raises ValueError for axes that an input does not have or whose sizes are open.
    """

    casts_integers = True

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not epsilon >= 0.0:
            raise ValueError(f"{self.name}: epsilon = {epsilon!r}: expected a number of at least 0")
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        self.axes = _axes_of(self.axis, input_shape, self.name)
        self.features = tuple(input_shape[axis] for axis in self.axes)
        if None in self.features:
            raise ValueError(f"{self.name}: the sizes of axis {self.axis!r} must be known, got {tuple(input_shape)}")
        self.scale = self.add_weight(self.features, "ones", name="scale")

    def call(self, inputs: Tensor) -> Tensor:
        scale: Tensor = self.scale
        if self.axes != tuple(range(inputs.ndim - len(self.axes), inputs.ndim)):
            scale = F.reshape(scale, [size if axis in self.axes else 1 for axis, size in enumerate(inputs.shape)])
        return inputs / F.sqrt(F.mean(inputs * inputs, axis=self.axes, keepdims=True) + self.epsilon) * scale

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def _check_input_shape(self, shape: Any) -> None:
        if self.built and (len(shape) <= self.axes[-1] or tuple(shape[axis] for axis in self.axes) != self.features):
            raise ValueError(f"{self.name}: built for sizes {self.features} in axes {self.axes}, got {tuple(shape)}")


SHORTEST = 1e-12  # lengths below count as this, as in Keras


class UnitNormalization(Layer):
    """x scaled to Σ x² = 1 over `axis`, one axis or several. Lengths below 1e-12 count as 1e-12, and no x is too large.

    Zeros stay zeros, with gradient 0. Raises ValueError for axes that an input does not have.
    """

    supports_masking = True
    casts_integers = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, (int, list, tuple)):
            raise TypeError(f"{self.name}: axis = {axis!r}: expected an integer, or several")
        self.axis = axis if isinstance(axis, int) else list(axis)

    def call(self, inputs: Tensor) -> Tensor:
        return unit_length(inputs, self.axis, SHORTEST)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def _check_input_shape(self, shape: Any) -> None:
        _axes_of(self.axis, shape, self.name)


def _axes_of(axis: int | Sequence[int], shape: Any, name: str) -> tuple[int, ...]:
    """Axes of an input of this shape, counted from the front, in order."""
    axes = [axis] if isinstance(axis, int) else axis
    rank = len(shape)
    distinct = {one % rank for one in axes if -rank <= one < rank}
    if not axes or len(distinct) < len(axes):
        raise ValueError(f"{name}: axis = {axis!r} does not fit an input of {rank} dimensions")
    return tuple(sorted(distinct))
