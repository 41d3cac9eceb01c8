"""One step of an optimizer for all parameters of a model, in place: the formulas of Keras 3, with decoupled weight
decay.

Each function takes sequences of arrays, one for each parameter, all of one type, so that a fast kernel need be launched
only once. The gradient, the moments and the velocity of a parameter have its shape; all but the gradients are
C-contiguous and changed.

Weight decay is decoupled from the gradient (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017,
arXiv:1711.05101): before the step a parameter shrinks, p ← p − learning_rate · weight_decay · p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def sgd_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray] | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """Stochastic gradient descent, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        without momentum:   p ← p − η·g
        with momentum μ:    v ← μ·v − η·g,   p ← p + v
        and Nesterov's:     v ← μ·v − η·g,   p ← p + μ·v − η·g

    for each p of parameters, g of gradients and v of velocities, which are of one shape; velocities is None without
    momentum.

    Sources: Polyak 1964; Nesterov 1983; Sutskever et al., "On the importance of initialization and momentum", 2013.
    """
    for index, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        p -= learning_rate * weight_decay * p
        if velocities is None:
            p -= learning_rate * g
        else:
            v = velocities[index]
            v *= momentum
            v -= learning_rate * g
            p += momentum * v - learning_rate * g if nesterov else v


def adam_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    first_moments: Sequence[np.ndarray],
    second_moments: Sequence[np.ndarray],
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Adam, and AdamW with a weight decay, in place: p ← p − η·λ·p (weight decay λ), then with t = step = 1, 2, …

        m ← m + (1 − β₁)·(g − m),   v ← v + (1 − β₂)·(g² − v),
        p ← p − η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)

    for each p of parameters, g of gradients, m of first_moments and v of second_moments, which are of one shape.
    ε is added to √v before the bias correction (the "ε̂" of the paper's section 2, as in Keras).

    Sources: Kingma and Ba, "Adam", 2014 (arXiv:1412.6980); Loshchilov and Hutter 2017 (arXiv:1711.05101) for the decay.
    """
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    for p, g, m, v in zip(parameters, gradients, first_moments, second_moments, strict=True):
        p -= learning_rate * weight_decay * p
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        p -= rate * m / (np.sqrt(v) + epsilon)


def rmsprop_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray],
    momenta: Sequence[np.ndarray] | None,
    averages: Sequence[np.ndarray] | None,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """RMSprop, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        v ← ρ·v + (1 − ρ)·g²,   u = η·g / √(v + ε),   p ← p − u
        centered:               a ← ρ·a + (1 − ρ)·g,  u = η·g / √(v − a² + ε)
        with momentum μ:        m ← μ·m + u,          p ← p − m

    for each p of parameters, g of gradients, v of velocities, m of momenta and a of averages, which are of one shape.
    momenta is None without momentum; averages is None unless it is centered.

    Sources: Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; Graves 2013 (arXiv:1308.0850) for the centered form.
    """
    for index, (p, g, v) in enumerate(zip(parameters, gradients, velocities, strict=True)):
        p -= learning_rate * weight_decay * p
        v *= rho
        v += (1 - rho) * (g * g)
        variance = v
        if averages is not None:
            a = averages[index]
            a *= rho
            a += (1 - rho) * g
            variance = v - a * a
        update = learning_rate * g / np.sqrt(variance + epsilon)
        if momenta is not None:
            m = momenta[index]
            m *= momentum
            m += update
            update = m
        p -= update


def squared_norm(arrays: Sequence[np.ndarray]) -> float:
    """Σ x² over all elements of all arrays, of any shapes → a number, added up in float64: the square of the norm by
    which gradients are clipped."""
    flat = [array.ravel().astype(np.float64) for array in arrays]
    return float(sum(float(array @ array) for array in flat))
