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
from typing import Any

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
    largest_moments: Sequence[np.ndarray] | None = None,
) -> None:
    """Adam, and AdamW with a weight decay, in place: p ← p − η·λ·p (weight decay λ), then with t = step = 1, 2, …

        m ← m + (1 − β₁)·(g − m),   v ← v + (1 − β₂)·(g² − v),
        p ← p − η·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)
        AMSGrad:   w ← max(w, v),   and √w in the place of √v

    for each p of parameters, g of gradients, m of first_moments, v of second_moments and w of largest_moments, which
    are of one shape; largest_moments is None for Adam. ε is added to √v before the bias correction (the "ε̂" of the
    paper's section 2, as in Keras).

    Sources: Kingma and Ba, "Adam", 2014 (arXiv:1412.6980); Loshchilov and Hutter 2017 (arXiv:1711.05101) for the decay;
    Reddi et al., "On the convergence of Adam and beyond", 2018 (arXiv:1904.09237) for AMSGrad.
    """
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    for index, (p, g, m, v) in enumerate(zip(parameters, gradients, first_moments, second_moments, strict=True)):
        p -= learning_rate * weight_decay * p
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        if largest_moments is not None:
            v = np.maximum(largest_moments[index], v, out=largest_moments[index])
        p -= rate * m / (np.sqrt(v) + epsilon)


def adamax_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    first_moments: Sequence[np.ndarray],
    norms: Sequence[np.ndarray],
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Adamax, Adam with the largest absolute gradient in place of the root of the mean square, in place:
    p ← p − η·λ·p (weight decay λ), then with t = step = 1, 2, …

        m ← m + (1 − β₁)·(g − m),   u ← max(β₂·u, |g|),   p ← p − η/(1 − β₁ᵗ) · m / (u + ε)

    for each p of parameters, g of gradients, m of first_moments and u of norms, which are of one shape.

    Source: Kingma and Ba 2014 (arXiv:1412.6980), section 7.1.
    """
    rate = learning_rate / (1 - beta_1**step)
    for p, g, m, u in zip(parameters, gradients, first_moments, norms, strict=True):
        p -= learning_rate * weight_decay * p
        m += (1 - beta_1) * (g - m)
        np.maximum(beta_2 * u, np.abs(g), out=u)
        p -= rate * m / (u + epsilon)


def nadam_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    first_moments: Sequence[np.ndarray],
    second_moments: Sequence[np.ndarray],
    step: int,
    product: float,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Nadam, Adam with Nesterov's momentum, in place: p ← p − η·λ·p (weight decay λ), then with t = step = 1, 2, …, the
    momenta μₜ = β₁·(1 − 0.96ᵗ/2) and product = μ₁·μ₂ ⋯ μₜ

        m ← m + (1 − β₁)·(g − m),   v ← v + (1 − β₂)·(g² − v),
        m̂ = μₜ₊₁/(1 − product·μₜ₊₁) · m + (1 − μₜ)/(1 − product) · g,   v̂ = v/(1 − β₂ᵗ),
        p ← p − η·m̂ / (√v̂ + ε)

    for each p of parameters, g of gradients, m of first_moments and v of second_moments, which are of one shape.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    """
    now, following = (beta_1 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
    of_moment, of_gradient = following / (1 - product * following), (1 - now) / (1 - product)
    for p, g, m, v in zip(parameters, gradients, first_moments, second_moments, strict=True):
        p -= learning_rate * weight_decay * p
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        p -= learning_rate * (of_moment * m + of_gradient * g) / (np.sqrt(v / (1 - beta_2**step)) + epsilon)


def lamb_step(
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
    """LAMB, Adam whose step has a length in proportion to the parameter's, in place: p ← p − η·λ·p (weight decay λ),
    then with t = step = 1, 2, …

        m ← m + (1 − β₁)·(g − m),   v ← v + (1 − β₂)·(g² − v),   u = m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε),
        p ← p − η·(‖p‖/‖u‖)·u,      with 1 for the ratio where one of the norms is 0

    for each p of parameters, g of gradients, m of first_moments and v of second_moments, which are of one shape.

    Source: You et al., "Large batch optimization for deep learning", 2019 (arXiv:1904.00962).
    """
    for p, g, m, v in zip(parameters, gradients, first_moments, second_moments, strict=True):
        p -= learning_rate * weight_decay * p
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        update = np.asarray(m / (1 - beta_1**step) / (np.sqrt(v / (1 - beta_2**step)) + epsilon))
        length, of_update = (math.sqrt(squared_norm([x])) for x in (p, update))
        p -= learning_rate * (length / of_update if length > 0 and of_update > 0 else 1.0) * update


def schedule_free_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    iterates: Sequence[np.ndarray],
    second_moments: Sequence[np.ndarray],
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Schedule-free AdamW, in place: p ← p − η·λ·p (weight decay λ), then with t = step = 1, 2, … and x, the average of
    all iterates z so far, which p = (1 − β₁)·z + β₁·x holds,

        v ← v + (1 − β₂)·(g² − v),   x = (p − (1 − β₁)·z) / β₁,   z ← z − η·g / (√(v/(1 − β₂ᵗ)) + ε),
        x ← x + (z − x)/t,           p ← (1 − β₁)·z + β₁·x

    for each p of parameters, g of gradients, z of iterates (which begin as the parameters) and v of second_moments,
    which are of one shape.

    Source: Defazio et al., "The road less scheduled", 2024 (arXiv:2405.15682).
    """
    for p, g, z, v in zip(parameters, gradients, iterates, second_moments, strict=True):
        p -= learning_rate * weight_decay * p
        v += (1 - beta_2) * (g * g - v)
        x = (p - (1 - beta_1) * z) / beta_1
        z -= learning_rate * g / (np.sqrt(v / (1 - beta_2**step)) + epsilon)
        x = (1 - 1 / step) * x + (1 / step) * z
        p[...] = (1 - beta_1) * z + beta_1 * x


def adagrad_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    accumulators: Sequence[np.ndarray],
    learning_rate: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Adagrad, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        a ← a + g²,   p ← p − η·g / √(a + ε)

    for each p of parameters, g of gradients and a of accumulators, which are of one shape.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011.
    """
    for p, g, a in zip(parameters, gradients, accumulators, strict=True):
        p -= learning_rate * weight_decay * p
        a += g * g
        p -= learning_rate * g / np.sqrt(a + epsilon)


def adadelta_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    updates: Sequence[np.ndarray],
    learning_rate: float,
    rho: float,
    epsilon: float,
    weight_decay: float,
) -> None:
    """Adadelta, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        s ← ρ·s + (1 − ρ)·g²,   d = √(u + ε) / √(s + ε) · g,   u ← ρ·u + (1 − ρ)·d²,   p ← p − η·d

    for each p of parameters, g of gradients, s of squares and u of updates, which are of one shape.

    Source: Zeiler, "ADADELTA", 2012 (arXiv:1212.5701).
    """
    for p, g, s, u in zip(parameters, gradients, squares, updates, strict=True):
        p -= learning_rate * weight_decay * p
        s *= rho
        s += (1 - rho) * (g * g)
        d = np.sqrt(u + epsilon) * g / np.sqrt(s + epsilon)
        u *= rho
        u += (1 - rho) * (d * d)
        p -= learning_rate * d


def lion_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    momenta: Sequence[np.ndarray],
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    weight_decay: float,
) -> None:
    """Lion, in place: p ← p − η·λ·p (weight decay λ, learning rate η), then with g the gradient

        p ← p − η·sign(β₁·m + (1 − β₁)·g),   m ← β₂·m + (1 − β₂)·g

    for each p of parameters, g of gradients and m of momenta, which are of one shape. The sign of 0 is 0, that of NaN
    is NaN.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", 2023 (arXiv:2302.06675).
    """
    for p, g, m in zip(parameters, gradients, momenta, strict=True):
        p -= learning_rate * weight_decay * p
        p -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)
        m *= beta_2
        m += (1 - beta_2) * g


def ftrl_step(
    parameters: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    accumulators: Sequence[np.ndarray],
    linears: Sequence[np.ndarray],
    learning_rate: float,
    power: float,
    l1: float,
    l2: float,
    l2_shrinkage: float,
    beta: float,
    weight_decay: float,
) -> None:
    """FTRL-proximal ("follow the regularized leader"), in place: p ← p − η·λ·p (weight decay λ, learning rate η), then
    with g the gradient and κ = −power, which is at least 0,

        n = a + g²,   z ← z + g + 2·shrinkage·p − (n^κ − a^κ)/η · p,   a ← n,
        p ← (clip(z, −l1, l1) − z) / (n^κ/η + 2·l2 + β/η)

    for each p of parameters, g of gradients, a of accumulators and z of linears, which are of one shape.

    Source: McMahan et al., "Ad click prediction: a view from the trenches", 2013, with Keras's shrinkage.
    """
    for p, g, a, z in zip(parameters, gradients, accumulators, linears, strict=True):
        p -= learning_rate * weight_decay * p
        n = a + g * g
        risen = n**-power
        z += g + 2 * l2_shrinkage * p - (risen - a**-power) / learning_rate * p
        a[...] = n
        p[...] = (np.clip(z, -l1, l1) - z) / (risen / learning_rate + (2 * l2 + beta / learning_rate))


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


def blend(targets: Sequence[np.ndarray], sources: Sequence[np.ndarray], keep: float, take: float) -> None:
    """A weighted sum of two arrays, in place: t ← keep·t + take·s for each t of targets and s of sources, which are of
    one shape: running averages of weights, sums of gradients. With keep = 0, t ← take·s, whatever t was, NaN too."""
    for t, s in zip(targets, sources, strict=True):
        if keep == 0:
            t[...] = take * s
        else:
            t *= keep
            t += take * s


def squared_norm(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Σ x² over all elements of all arrays, of any shapes → an array of no dimensions, where they lie, added up in
    float64: the square of the norm by which gradients are clipped."""
    flat = [array.ravel().astype(np.float64) for array in arrays]
    return np.array(sum(float(array @ array) for array in flat), np.float64)


def limit_norm(arrays: Sequence[np.ndarray], squared_norm: np.ndarray, largest: float) -> list[np.ndarray]:
    """x · min(1, largest / √squared_norm) for each x of arrays, and NaN where squared_norm is NaN or infinite. What
    need not change may be the array itself.

    arrays: of any shapes; the result has one of its shape for each. squared_norm (): what the function of that name
    gives for these arrays, or for more. largest: more than 0.
    """
    norm = math.sqrt(squared_norm)
    if norm <= largest:
        return list(arrays)
    factors = [limiting_factors(norm, largest, x.dtype) for x in arrays]
    return [np.asarray(x * first * last) for x, (first, last) in zip(arrays, factors, strict=True)]


def limiting_factors(norm: float, largest: float, dtype: np.dtype) -> tuple[Any, Any]:
    """The quotient largest : norm as two factors of a type, the second one 1 unless the quotient is so small that
    it would lose digits. NaN for a norm that is not finite."""
    factor = largest / norm if math.isfinite(norm) else math.nan
    power = 100 if factor < np.finfo(dtype).tiny else 0
    return dtype.type(math.ldexp(factor, power)), dtype.type(math.ldexp(1.0, -power))
