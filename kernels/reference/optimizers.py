"""One step of an optimizer for one parameter, in place: the formulas of Keras 3, with decoupled weight decay.

Weight decay is decoupled from the gradient (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2017,
arXiv:1711.05101): before the step the parameter shrinks, p ← p − learning_rate · weight_decay · p.
"""

from __future__ import annotations

import math

import numpy as np


def sgd_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray | None,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """Stochastic gradient descent, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        without momentum:   p ← p − η·g
        with momentum μ:    v ← μ·v − η·g,   p ← p + v
        and Nesterov's:     v ← μ·v − η·g,   p ← p + μ·v − η·g

    parameter p, gradient g and velocity v are of one shape, p and v C-contiguous and changed; velocity is None
    without momentum.

    Sources: Polyak 1964; Nesterov 1983; Sutskever et al., "On the importance of initialization and momentum", 2013.
    """
    parameter -= learning_rate * weight_decay * parameter
    if velocity is None:
        parameter -= learning_rate * gradient
        return
    velocity *= momentum
    velocity -= learning_rate * gradient
    parameter += momentum * velocity - learning_rate * gradient if nesterov else velocity


def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    first_moment: np.ndarray,
    second_moment: np.ndarray,
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

    parameter p, gradient g, first_moment m and second_moment v are of one shape; p, m, v are C-contiguous and
    changed. ε is added to √v before the bias correction (the "ε̂" of the paper's section 2, as in Keras).

    Sources: Kingma and Ba, "Adam", 2014 (arXiv:1412.6980); Loshchilov and Hutter 2017 (arXiv:1711.05101) for the decay.
    """
    parameter -= learning_rate * weight_decay * parameter
    first_moment += (1 - beta_1) * (gradient - first_moment)
    second_moment += (1 - beta_2) * (gradient * gradient - second_moment)
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    parameter -= rate * first_moment / (np.sqrt(second_moment) + epsilon)
