"""Activation functions and their derivatives, softmax and log-sum-exp, safe at extreme inputs.

The rule throughout: exp() is only ever taken of numbers that are not positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
GELU_TANH_SCALE = math.sqrt(2 / math.pi)
GELU_TANH_CUBIC = 0.044715


def activation(x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    """Activation function `name`, elementwise: y = f(x), any shape.

    | name | f(x) | f′(x) | source |
    | --- | --- | --- | --- |
    | relu | max(x, 0) | 1 if x > 0 else 0 | Nair and Hinton 2010 |
    | leaky_relu | x if x > 0 else a·x | 1 if x > 0 else a | Maas et al. 2013 |
    | elu | x if x > 0 else a·(eˣ − 1) | 1 if x > 0 else a·eˣ | Clevert et al. 2015 |
    | selu | λ·elu(x, α), λ = 1.0507…, α = 1.6733… | λ·elu′(x, α) | Klambauer et al. 2017 |
    | gelu | x·Φ(x), Φ(x) = erfc(−x/√2)/2 | Φ(x) + x·φ(x), φ(x) = e^(−x²/2)/√(2π) | Hendrycks and Gimpel 2016 |
    | gelu_tanh | x·(1 + tanh u)/2, u = √(2/π)·(x + 0.044715·x³) | (1 + tanh u + x·(1 − tanh² u)·u′)/2 | the same |
    | silu | x·σ(x) | σ(x)·(1 + x·σ(−x)) | Elfwing et al. 2017 |
    | sigmoid | σ(x) = 1/(1 + e^(−x)) | σ(x)·σ(−x) | |
    | tanh | tanh x | 1 − tanh² x | |
    | softplus | log(1 + eˣ) = max(x, 0) + log(1 + e^(−|x|)) | σ(x) | Dugas et al. 2001 |

    `parameter` is a, the negative slope of leaky_relu or the alpha of elu; the others have none. Raises ValueError
    for another name. (gelu takes erfc from the C library, in double precision.)
    """
    function, _ = _functions(name)
    return function(x, parameter).astype(x.dtype)


def activation_gradient(dy: np.ndarray, x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    """Gradient of `activation`: dx = dy · f′(x), with f′ as in its table.

    dy, x, dx of one shape. At the corners, x = 0, the derivative is the one from the left: relu′(0) = 0. For relu, x
    may be the output y = max(x, 0) instead: it is positive at the same places.
    """
    _, derivative = _functions(name)
    return (dy * derivative(x, parameter)).astype(x.dtype)


def fused_activation(y: np.ndarray, activation: str | None) -> np.ndarray:
    """What convolution, matmul and batch normalisation apply to their result: nothing, or max(y, 0) for "relu"."""
    if activation is None:
        return y
    if activation == "relu":
        return np.maximum(y, 0)
    raise ValueError(f'activation = {activation!r}: expected None or "relu"')


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis: y_c = exp(x_c − m) / Σ_j exp(x_j − m), with m = max_j x_j.

    x (…, C) → y (…, C). Subtracting m changes nothing and keeps exp() from overflowing (Blanchard, Higham and Higham
    2021, "Accurately computing the log-sum-exp and softmax functions"). −inf has probability 0; nothing but −inf
    gives NaN.
    """
    with np.errstate(invalid="ignore"):
        e = np.exp(x - _max(x))
        return e / e.sum(-1, keepdims=True)


def softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of softmax from its output y: dx_c = y_c · (dy_c − Σ_j dy_j · y_j).

    dy, y (…, C) → dx (…, C): the Jacobian is diag(y) − y yᵀ.
    """
    return y * (dy - (dy * y).sum(-1, keepdims=True))


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithm of softmax over the last axis: y_c = (x_c − m) − log Σ_j exp(x_j − m), with m = max_j x_j.

    x (…, C) → y (…, C). −inf stays −inf; nothing but −inf gives NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - _max(x)
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def log_softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of log_softmax from its output y: dx_c = dy_c − exp(y_c) · Σ_j dy_j.

    dy, y (…, C) → dx (…, C).
    """
    return dy - np.exp(y) * dy.sum(-1, keepdims=True)


def logsumexp(x: np.ndarray) -> np.ndarray:
    """Log-sum-exp over the last axis: y = m + log Σ_j exp(x_j − m), with m = max_j x_j.

    x (…, C) → y (…). Nothing but −inf gives −inf, and +inf gives +inf. The gradient is softmax(x).
    """
    m = _max(x)
    m = np.where(np.isinf(m), np.zeros_like(m), m)
    with np.errstate(divide="ignore"):
        return (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))[..., 0]


def _max(x: np.ndarray) -> np.ndarray:
    """The largest in the last axis, which is kept; −inf if there are none."""
    return x.max(-1, keepdims=True, initial=-np.inf)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """σ(x) = 1/(1 + e^(−x)) = eˣ/(1 + eˣ): the form whose exponential is at most 1."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_derivative(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, np.ones_like(x), alpha * np.exp(np.minimum(x, 0)))


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    """Φ(x) = erfc(−x/√2) / 2; erfc and not 1 + erf, which cancels in the left tail."""
    return np.vectorize(math.erfc, otypes=[np.float64])(x / -math.sqrt(2)).astype(x.dtype) / 2


def _normal_density(x: np.ndarray) -> np.ndarray:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _bounded(x: np.ndarray) -> np.ndarray:
    """x held to −200 … 200: beyond, Φ and tanh are 0 or 1 to their last digits, and their derivatives 0, so that bounds
    keep squares from overflowing and 0·∞ from arising."""
    return x.clip(-200, 200)


def _finite_on_the_left(x: np.ndarray) -> np.ndarray:
    """x, but 0 for −∞: the factor of something that is 0 there."""
    return np.where(np.isneginf(x), np.zeros_like(x), x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return _finite_on_the_left(x) * _normal_cdf(x)


def _gelu_derivative(x: np.ndarray) -> np.ndarray:
    return _normal_cdf(x) + _bounded(x) * _normal_density(_bounded(x))


def _silu_derivative(x: np.ndarray) -> np.ndarray:
    finite = np.where(np.isinf(x), np.zeros_like(x), x)
    return _sigmoid(x) + finite * (_sigmoid(x) * _sigmoid(-x))


def _gelu_tanh_inner(x: np.ndarray) -> np.ndarray:
    x = _bounded(x)
    return np.tanh(GELU_TANH_SCALE * (x + GELU_TANH_CUBIC * x**3))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return _finite_on_the_left(x) * ((1 + _gelu_tanh_inner(x)) / 2)


def _gelu_tanh_derivative(x: np.ndarray) -> np.ndarray:
    x, t = _bounded(x), _gelu_tanh_inner(x)
    inner_derivative = GELU_TANH_SCALE * (1 + 3 * GELU_TANH_CUBIC * x**2)
    return (1 + t + x * (1 - t * t) * inner_derivative) / 2


Elementwise = Callable[[np.ndarray, float], np.ndarray]

# name: (f, f′), both of x and the parameter a
FUNCTIONS: dict[str, tuple[Elementwise, Elementwise]] = {
    "relu": (lambda x, a: np.maximum(x, 0), lambda x, a: (x > 0).astype(x.dtype)),
    "leaky_relu": (lambda x, a: np.where(x > 0, x, a * x), lambda x, a: np.where(x > 0, np.ones_like(x), a)),
    "elu": (_elu, _elu_derivative),
    "selu": (lambda x, a: SELU_SCALE * _elu(x, SELU_ALPHA), lambda x, a: SELU_SCALE * _elu_derivative(x, SELU_ALPHA)),
    "gelu": (lambda x, a: _gelu(x), lambda x, a: _gelu_derivative(x)),
    "gelu_tanh": (lambda x, a: _gelu_tanh(x), lambda x, a: _gelu_tanh_derivative(x)),
    "silu": (lambda x, a: _finite_on_the_left(x) * _sigmoid(x), lambda x, a: _silu_derivative(x)),
    "sigmoid": (lambda x, a: _sigmoid(x), lambda x, a: _sigmoid(x) * _sigmoid(-x)),
    "tanh": (lambda x, a: np.tanh(x), lambda x, a: 1 - np.tanh(x) ** 2),
    "softplus": (lambda x, a: _softplus(x), lambda x, a: _sigmoid(x)),
}


def _functions(name: str) -> tuple[Elementwise, Elementwise]:
    if name not in FUNCTIONS:
        raise ValueError(f"activation name = {name!r}: expected one of {', '.join(FUNCTIONS)}")
    return FUNCTIONS[name]
