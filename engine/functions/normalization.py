"""Batch, layer, group and instance normalisation: y = (x − μ)/√(σ² + ε)·γ + β.

They differ in the elements that share a mean μ and a (biased) variance σ²: a channel of the batch; an example's
features; an example's group of channels; an example's channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import kernels
from ..device import computing_beside
from ..tape import Fused
from ..tensor import Array, Tensor, as_tensor, from_array
from .activations import relu, split_activation
from .arguments import floating, normalize_axes, require_shape
from .elementwise import sqrt
from .reductions import mean, var
from .shaping import reshape, transpose


class BatchNorm(Fused):
    """In training: statistics of the batch; `self.statistics` is its (mean, variance), each (C,)."""

    def forward(self, x: Array, gamma: Array, beta: Array, epsilon: float, activation: str | None) -> Array:
        y, *self.statistics = kernels.of(x).batch_norm(x, gamma, beta, epsilon, activation)
        self.save(x, gamma, beta, *self.statistics)
        return y

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array, Array, Array]:
        return kernels.of(cotangent).batch_norm_gradient(cotangent, *saved, **self.parameters)

    def composition(self, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float, activation: str | None) -> Tensor:
        axes = tuple(range(x.ndim - 1))
        y = _normalized(x, mean(x, axes), var(x, axes), epsilon) * gamma + beta
        return relu(y) if activation else y


class BatchNormInference(Fused):
    """With statistics that are given."""

    covers = 3  # x, gamma, beta

    def forward(self, x: Array, *channels: Array, epsilon: float, activation: str | None) -> Array:
        self.save(x, *channels)
        return kernels.of(x).batch_norm_inference(x, *channels, epsilon, activation)

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array, Array, Array]:
        return kernels.of(cotangent).batch_norm_inference_gradient(cotangent, *saved, **self.parameters)

    def composition(self, x: Tensor, *channels: Tensor, epsilon: float, activation: str | None) -> Tensor:
        gamma, beta, center, variance = channels
        y = (x - center) * (gamma / sqrt(variance + epsilon)) + beta
        return relu(y) if activation else y


class GroupNorm(Fused):
    """x (N, …, C) in `groups` groups of neighbouring channels."""

    def forward(self, x: Array, gamma: Array, beta: Array, groups: int, epsilon: float) -> Array:
        y, center, variance = kernels.of(x).group_norm(x, groups, gamma, beta, epsilon)
        self.save(x, gamma, beta, center, variance)
        return y

    def gradient(
        self, cotangent: Array, x: Array, gamma: Array, beta: Array, center: Array, variance: Array
    ) -> tuple[Array, Array, Array]:
        groups, epsilon = self.parameters["groups"], self.parameters["epsilon"]
        return kernels.of(x).group_norm_gradient(cotangent, x, groups, gamma, center, variance, epsilon)

    def composition(self, x: Tensor, gamma: Tensor, beta: Tensor, groups: int, epsilon: float) -> Tensor:
        n, channels = x.shape[0], x.shape[-1]
        grouped = reshape(x, (n, math.prod(x.shape[1:-1]), groups, channels // groups))
        center = mean(grouped, (1, 3), keepdims=True)
        normalized = _normalized(grouped, center, var(grouped, (1, 3), keepdims=True), epsilon)
        return reshape(normalized, x.shape) * gamma + beta


def _normalized(x: Tensor, center: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    return (x - center) / sqrt(variance + epsilon)


def batch_norm(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    moving_mean: Tensor | None = None,
    moving_variance: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    activation: str | Callable | None = None,
) -> Tensor:
    """Batch normalisation over all axes but the last: x (N, …, C), everything else (C,) → (N, …, C).

    gamma, beta: None stands for ones, zeros.
    training: normalise with the mean and the biased variance of this batch and, if they are given, update the moving
        averages in place: moving ← momentum · moving + (1 − momentum) · batch. Otherwise normalise with the moving
        averages, which must be given and stay as they are.
    activation: a name or a function; "relu" is computed in the normalisation's own kernel.
    Raises ValueError for shapes that do not fit, and in training for a batch of no elements, which has no mean.

    Here and in the other normalisations x − mean is squared in x's type: beyond 1.8e19 in float32 there is no finite
    variance, and what comes out is 0 or NaN; scale such inputs first.

    Source: Ioffe and Szegedy, arXiv:1502.03167; defaults and moving averages are Keras's.
    """
    x, gamma, beta, *moving = _channel_arguments(
        "batch_norm", x, gamma=gamma, beta=beta, moving_mean=moving_mean, moving_variance=moving_variance
    )
    if (moving[0] is None) != (moving[1] is None):
        raise ValueError("batch_norm: moving_mean and moving_variance must be given together")
    fused, after = split_activation(activation)
    if training:
        if not math.prod(x.shape[:-1]):
            raise ValueError(f"batch_norm: a batch of shape {x.shape} has no mean: it holds no elements")
        function = BatchNorm()
        y = function(x, gamma, beta, epsilon=float(epsilon), activation=fused)
        if moving[0] is not None:
            for average, batch in zip(moving, function.statistics, strict=True):
                average.assign(momentum * average.array + (1 - momentum) * batch)
    else:
        if moving[0] is None:
            raise ValueError("batch_norm: with training=False, moving_mean and moving_variance must be given")
        y = BatchNormInference()(x, gamma, beta, *moving, epsilon=float(epsilon), activation=fused)
    return after(y) if after else y


def group_norm(x: Any, groups: int, gamma: Any = None, beta: Any = None, epsilon: float = 1e-3) -> Tensor:
    """Group normalisation: x (N, …, C) in `groups` groups of neighbouring channels, each example by itself.

    gamma, beta (C,); None stands for ones, zeros. Raises ValueError if groups does not divide C, or for an example
    of no positions.

    Source: Wu and He, arXiv:1803.08494.
    """
    x, gamma, beta = _channel_arguments("group_norm", x, gamma=gamma, beta=beta)
    if x.ndim < 2:
        raise ValueError(f"group_norm: x has shape {x.shape}: expected (N, …, C)")
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1 or x.shape[-1] % groups:
        raise ValueError(f"group_norm: groups = {groups!r} does not divide the {x.shape[-1]} channels")
    if not math.prod(x.shape[1:]):
        raise ValueError(f"group_norm: examples of shape {x.shape[1:]} have no mean: they hold no elements")
    return GroupNorm()(x, gamma, beta, groups=groups, epsilon=float(epsilon))


def instance_norm(x: Any, gamma: Any = None, beta: Any = None, epsilon: float = 1e-3) -> Tensor:
    """Instance normalisation: group normalisation with each channel a group of its own (arXiv:1607.08022)."""
    x = as_tensor(x)
    return group_norm(x, x.shape[-1] if x.ndim and x.shape[-1] else 1, gamma, beta, epsilon)


def layer_norm(
    x: Any, gamma: Any = None, beta: Any = None, axis: int | Sequence[int] = -1, epsilon: float = 1e-3
) -> Tensor:
    """Layer normalisation over the axes `axis` of each example; gamma, beta have the sizes of these axes.

    Source: Ba, Kiros and Hinton, arXiv:1607.06450.
    """
    x, gamma, beta = floating("layer_norm", x=x, gamma=gamma, beta=beta)
    axes = tuple(sorted(normalize_axes(axis, x.ndim)))
    features = tuple([x.shape[i] for i in axes])
    for name, tensor in (("gamma", gamma), ("beta", beta)):
        require_shape("layer_norm", name, tensor, features, f"the sizes of axis {axis} of x")
    if not math.prod(features):
        raise ValueError(f"layer_norm: features of shape {features} have no mean: they hold no elements")
    order = tuple([i for i in range(x.ndim) if i not in axes]) + axes
    moved = x if order == tuple(range(x.ndim)) else transpose(x, order)
    size = math.prod(features)
    rows = reshape(moved, (math.prod(moved.shape[: x.ndim - len(axes)]), size))
    gamma, beta = _given(gamma, 1.0, (size,), x), _given(beta, 0.0, (size,), x)
    y = reshape(GroupNorm()(rows, gamma, beta, groups=1, epsilon=float(epsilon)), moved.shape)
    return y if moved is x else transpose(y, tuple(np.argsort(order).tolist()))


def _channel_arguments(function: str, x: Any, **channels: Any) -> list[Any]:
    """x, gamma, beta (filled in if None) and the others (None stays), checked to be (C,) and of one type."""
    x, *tensors = floating(function, x=x, **channels)
    if not x.ndim:
        raise ValueError(f"{function}: x has no dimensions: expected (N, …, C)")
    for name, tensor in zip(channels, tensors, strict=True):
        require_shape(function, name, tensor, x.shape[-1:], f"one for each of the {x.shape[-1]} channels of x")
    gamma, beta, *others = tensors
    return [x, _given(gamma, 1.0, x.shape[-1:], x), _given(beta, 0.0, x.shape[-1:], x), *others]


def _given(tensor: Tensor | None, default: float, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The tensor in this shape, or a constant one in its place."""
    if tensor is not None:
        return reshape(tensor, shape)
    with computing_beside(like.array):
        return from_array(np.full_like(like.array, default, shape=shape))
