"""Batch and group normalisation, channels last, with their gradients.

Both have the form y = γ·x̂ + β with x̂ = (x − μ)/√(σ² + ε), and differ in the set of elements that share one μ and σ².
Layer and instance normalisation are group normalisations. With h = γ·dy, the gradient that reaches x̂, and means over
such a set, the gradient is

    dx = (h − mean(h) − x̂·mean(h·x̂)) / √(σ² + ε),

because μ and σ² depend on every x of the set: what is left of h is its part orthogonal to 1 and to x̂.
"""

from __future__ import annotations

import math

import numpy as np

from .activations import fused_activation
from .sums import mean_and_variance, total


def batch_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float, activation: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch normalisation in training: y = f((x − μ)/√(σ² + ε)·γ + β), μ and σ² over all elements of a channel.

    x (N, …, C), gamma and beta (C,) → y (N, …, C), mean μ and variance σ² (C,). The variance is the biased one, Σ(x −
    μ)²/m. f is the identity, or max(0, ·) for activation = "relu". Over an empty batch mean and variance are NaN.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015 (arXiv:1502.03167).
    """
    mean, variance = mean_and_variance(x, _all_but_last(x))
    y = batch_norm_inference(x, gamma, beta, mean, variance, epsilon, activation)
    return y, mean, variance


def batch_norm_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    activation: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient of `batch_norm` in x, gamma and beta, from the mean and variance that it returned.

    With x̂ = (x − μ)/√(σ² + ε) and m elements in a channel, and dy first zeroed where activation = "relu" cut (y ≤ 0):

        dγ = Σ dy·x̂,   dβ = Σ dy,   dx = γ/√(σ² + ε) · (dy − dβ/m − x̂·dγ/m).

    dy, x (N, …, C), the others (C,) → dx (N, …, C), dgamma and dbeta (C,).
    """
    if activation is not None:
        y = batch_norm_inference(x, gamma, beta, mean, variance, epsilon, activation)
        dy = np.where(y > 0, dy, np.zeros_like(dy))
    _, dgamma, dbeta = batch_norm_inference_gradient(dy, x, gamma, beta, mean, variance, epsilon)
    m = max(math.prod(x.shape[:-1]), 1)
    scale = 1 / np.sqrt(variance + epsilon)
    normalized = (x - mean) * scale
    dx = gamma * scale * (dy - dbeta / m - normalized * (dgamma / m))
    return dx, dgamma, dbeta


def batch_norm_inference(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    activation: str | None = None,
) -> np.ndarray:
    """Batch normalisation with given statistics: y = f((x − μ)/√(σ² + ε)·γ + β).

    x (N, …, C), the others (C,) → y (N, …, C). f is the identity, or max(0, ·) for activation = "relu".
    """
    y = (x - mean) / np.sqrt(variance + epsilon) * gamma + beta
    return fused_activation(y, activation)


def batch_norm_inference_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    activation: str | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient of `batch_norm_inference` in x, gamma and beta: mean and variance do not depend on x.

    With x̂ = (x − μ)/√(σ² + ε), and dy first zeroed where activation = "relu" cut (y ≤ 0):

        dγ = Σ dy·x̂,   dβ = Σ dy,   dx = γ/√(σ² + ε) · dy.

    dy, x (N, …, C), the others (C,) → dx (N, …, C), dgamma and dbeta (C,).
    """
    if activation is not None:
        y = batch_norm_inference(x, gamma, beta, mean, variance, epsilon, activation)
        dy = np.where(y > 0, dy, np.zeros_like(dy))
    axes, scale = _all_but_last(x), 1 / np.sqrt(variance + epsilon)
    return gamma * scale * dy, total(dy * ((x - mean) * scale), axes), total(dy, axes)


def group_norm(
    x: np.ndarray, groups: int, gamma: np.ndarray, beta: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group normalisation: y = (x − μ)/√(σ² + ε)·γ + β, μ and σ² over the positions and channels of a group.

    x (N, …, C), gamma and beta (C,) → y (N, …, C), mean μ and variance σ² (N, groups). `groups` divides C; group j
    holds the j-th run of C/groups channels. With groups = C it is instance normalisation, with groups = 1 and one row
    an example layer normalisation.

    Sources: Wu and He, "Group Normalization", 2018 (arXiv:1803.08494); Ba et al., "Layer Normalization", 2016
    (arXiv:1607.06450); Ulyanov et al., "Instance Normalization", 2016 (arXiv:1607.08022).
    """
    grouped = _grouped(x, groups)
    mean, variance = mean_and_variance(grouped, (1, 3))
    normalized = (grouped - _spread(mean)) / np.sqrt(_spread(variance) + epsilon)
    return normalized.reshape(x.shape) * gamma + beta, mean, variance


def group_norm_gradient(
    dy: np.ndarray,
    x: np.ndarray,
    groups: int,
    gamma: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient of `group_norm` in x, gamma and beta, from the mean and variance that it returned.

    With x̂ = (x − μ)/√(σ² + ε), h = γ·dy, and m = positions·C/groups elements in a group of an example:

        dγ = Σ dy·x̂,   dβ = Σ dy   (over examples and positions),
        dx = (h − Σh/m − x̂·Σ(h·x̂)/m) / √(σ² + ε)   (sums over the group).

    dy, x (N, …, C), gamma (C,), mean and variance (N, groups) → dx (N, …, C), dgamma and dbeta (C,).
    """
    scale = 1 / np.sqrt(_spread(variance) + epsilon)
    normalized = (_grouped(x, groups) - _spread(mean)) * scale
    h = _grouped(dy * gamma, groups)
    m = max(h.shape[1] * h.shape[3], 1)
    mean_h = _spread(total(h, (1, 3))) / m
    mean_h_normalized = _spread(total(h * normalized, (1, 3))) / m
    dx = (h - mean_h - normalized * mean_h_normalized) * scale
    axes = _all_but_last(x)
    return dx.reshape(x.shape), total(dy * normalized.reshape(x.shape), axes), total(dy, axes)


def _all_but_last(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    """x (N, …, C) as (N, positions, groups, C/groups)."""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups)


def _spread(statistic: np.ndarray) -> np.ndarray:
    """One number for each example and group, (N, groups), in the shape that broadcasts over `_grouped` arrays."""
    return statistic[:, None, :, None]
