"""Activation functions, softmax and log-sum-exp: elementwise and row kernels that run at the speed of memory."""

import numpy as np
from numba.extending import models as numba_models
from numba.extending import overload, register_model

from ..interface import ACTIVATION_NAMES, twin_of
from ..memory import contiguous, empty, empty_like
from ..reference import activations as reference
from ..reference.activations import GELU_TANH_CUBIC, GELU_TANH_SCALE, SELU_ALPHA, SELU_SCALE
from .launch import CompileTimeType, kernel, run, scratch, unpack
from .mathematics import (
    absolute,
    exp,
    expm1,
    function,
    like,
    log,
    normal_cdf,
    normal_density,
    sigmoid,
    softplus,
    tanh,
)
from .rows import (
    BLOCK,
    TILE,
    as_rows,
    block,
    finish,
    grain,
    is_narrow,
    max_of_wide,
    partition,
    rows_at_once,
    shape_argument,
    softmax_of_narrow,
    sum_of,
    sum_of_products,
)
from .simd import vector_of

GRAIN = 16384  # elements that are worth a thread


# ---- the functions: f(x, a) and f′(x, a) -----------------------------------------------------------------------------


@function
def relu(x, a):
    return like(x, 0.0) if x <= like(x, 0.0) else x  # NaN stays


@function
def relu_derivative(x, a):
    return like(x, 1.0) if x > like(x, 0.0) else like(x, 0.0)


@function
def leaky_relu(x, a):
    return x if x > like(x, 0.0) else a * x


@function
def leaky_relu_derivative(x, a):
    return like(x, 1.0) if x > like(x, 0.0) else a


@function
def elu(x, a):
    return x if x > like(x, 0.0) else a * expm1(x)


@function
def elu_derivative(x, a):
    return like(x, 1.0) if x > like(x, 0.0) else a * exp(x)


@function
def selu(x, a):
    return like(x, SELU_SCALE) * elu(x, like(x, SELU_ALPHA))


@function
def selu_derivative(x, a):
    return like(x, SELU_SCALE) * elu_derivative(x, like(x, SELU_ALPHA))


@function
def gelu(x, a):
    return x * normal_cdf(x)


@function
def gelu_derivative(x, a):
    return normal_cdf(x) + x * normal_density(x)


@function
def gelu_tanh(x, a):
    u = like(x, GELU_TANH_SCALE) * (x + like(x, GELU_TANH_CUBIC) * x * x * x)
    return x * sigmoid(u + u)  # (1 + tanh u)/2 = σ(2u), which does not cancel on the left


@function
def gelu_tanh_derivative(x, a):
    u = like(x, GELU_TANH_SCALE) * (x + like(x, GELU_TANH_CUBIC) * x * x * x)
    inner = like(x, GELU_TANH_SCALE) * (like(x, 1.0) + like(x, 3 * GELU_TANH_CUBIC) * x * x)
    s = sigmoid(u + u)
    return s + like(x, 2.0) * x * sigmoid_derivative(u + u, a) * inner


@function
def silu(x, a):
    return x * sigmoid(x)


@function
def silu_derivative(x, a):
    return sigmoid(x) * (like(x, 1.0) + x * sigmoid(-x))


@function
def logistic(x, a):
    return sigmoid(x)


@function
def sigmoid_derivative(x, a):
    e = exp(-absolute(x))
    return e / ((like(x, 1.0) + e) * (like(x, 1.0) + e))


@function
def hyperbolic_tangent(x, a):
    return tanh(x)


@function
def tanh_derivative(x, a):
    return like(x, 4.0) * sigmoid_derivative(x + x, a)  # 1 − tanh² x, which does not cancel


@function
def smooth_relu(x, a):
    return softplus(x)


@function
def softplus_derivative(x, a):
    return sigmoid(x)


FUNCTIONS = {
    "relu": (relu, relu_derivative),
    "leaky_relu": (leaky_relu, leaky_relu_derivative),
    "elu": (elu, elu_derivative),
    "selu": (selu, selu_derivative),
    "gelu": (gelu, gelu_derivative),
    "gelu_tanh": (gelu_tanh, gelu_tanh_derivative),
    "silu": (silu, silu_derivative),
    "sigmoid": (logistic, sigmoid_derivative),
    "tanh": (hyperbolic_tangent, tanh_derivative),
    "softplus": (smooth_relu, softplus_derivative),
}


# ---- a function's name as a compile-time argument --------------------------------------------------------------------


class NameType(CompileTimeType):
    """The Numba type of an activation function's name."""

    def __init__(self, text: str):
        self.text = text
        super().__init__(name=f"Activation({text})")


register_model(NameType)(numba_models.OpaqueModel)


class Name:
    """An activation function's name, known at compile time."""

    def __init__(self, text: str):
        self.numba_type = NameType(text)


_NAMES = {text: Name(text) for text in ACTIVATION_NAMES}


def value_of(name, x, a):
    """f(x, a) of the named function: defined below, for kernel bodies."""


def derivative_of(name, x, a):
    """f′(x, a) of the named function: defined below, for kernel bodies."""


_OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "forceinline": True, "nogil": True}


@overload(value_of, jit_options=_OPTIONS)
def _value_of(name, x, a):
    chosen, _ = FUNCTIONS[name.text]
    return lambda name, x, a: chosen(x, a)


@overload(derivative_of, jit_options=_OPTIONS)
def _derivative_of(name, x, a):
    _, chosen = FUNCTIONS[name.text]
    return lambda name, x, a: chosen(x, a)


def _name(name: str) -> Name:
    if name not in _NAMES:
        raise ValueError(f"activation name = {name!r}: expected one of {', '.join(_NAMES)}")
    return _NAMES[name]


@kernel
def _activation(begin, end, arguments):
    name, x, a, y = unpack(arguments)
    for i in range(begin, end):
        y[i] = value_of(name, x[i], a)


@kernel
def _activation_gradient(begin, end, arguments):
    name, dy, x, a, dx = unpack(arguments)
    for i in range(begin, end):
        dx[i] = dy[i] * derivative_of(name, x[i], a)


@twin_of(reference.activation)
def activation(x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    x = contiguous(x)
    y = empty_like(x)
    run(_activation, x.size, GRAIN, _name(name), x, x.dtype.type(parameter), y)
    return y


@twin_of(reference.activation_gradient)
def activation_gradient(dy: np.ndarray, x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    dy, x = contiguous(dy), contiguous(x)
    dx = empty_like(x)
    run(_activation_gradient, x.size, GRAIN, _name(name), dy, x, x.dtype.type(parameter), dx)
    return dx


# ---- softmax and its kin ---------------------------------------------------------------------------------------------


@kernel
def _softmax(begin, end, arguments):
    vector, shape, width, x, y = unpack(arguments)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        _, at = block(vector, shape, x, first, rows, width, room)
        if is_narrow(shape):
            softmax_of_narrow(room, rows, width, m, total)
            finish(vector, shape, room, y, first, rows, width)
        else:
            largest = max_of_wide(vector, x, at, width)
            for j in range(at, at + width):
                y[j] = exp(x[j] - largest)
            share = like(largest, 1.0) / sum_of(y, at, width)
            for j in range(at, at + width):
                y[j] *= share


@kernel
def _log_softmax(begin, end, arguments):
    vector, shape, width, x, y = unpack(arguments)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        tile, at = block(vector, shape, x, first, rows, width, room)
        partition(vector, is_narrow(shape), tile, at, rows, width, m, total)
        for i in range(rows):
            total[i] = log(total[i])
        if is_narrow(shape):
            for c in range(width):
                for i in range(rows):
                    room[c * BLOCK + i] = (room[c * BLOCK + i] - m[i]) - total[i]
            finish(vector, shape, room, y, first, rows, width)
        else:
            for j in range(at, at + width):
                y[j] = (x[j] - m[0]) - total[0]


@kernel
def _logsumexp(begin, end, arguments):
    vector, shape, width, x, y = unpack(arguments)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        tile, at = block(vector, shape, x, first, rows, width, room)
        partition(vector, is_narrow(shape), tile, at, rows, width, m, total)
        for i in range(rows):
            infinite = absolute(m[i]) == like(m[i], np.inf)  # then ∞ − ∞ made the sum NaN
            y[first + i] = m[i] if infinite else m[i] + log(total[i])


@kernel
def _softmax_gradient(begin, end, arguments):
    vector, shape, width, dy, y, dx = unpack(arguments)
    dy_room, y_room, inner = scratch(y, TILE), scratch(y, TILE), scratch(y, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        block(vector, shape, dy, first, rows, width, dy_room)
        _, at = block(vector, shape, y, first, rows, width, y_room)
        if is_narrow(shape):
            for i in range(rows):
                inner[i] = 0
            for c in range(width):
                for i in range(rows):
                    inner[i] += dy_room[c * BLOCK + i] * y_room[c * BLOCK + i]
            for c in range(width):
                for i in range(rows):
                    dy_room[c * BLOCK + i] = y_room[c * BLOCK + i] * (dy_room[c * BLOCK + i] - inner[i])
            finish(vector, shape, dy_room, dx, first, rows, width)
        else:
            total = sum_of_products(dy, at, y, at, width)
            for j in range(at, at + width):
                dx[j] = y[j] * (dy[j] - total)


@kernel
def _log_softmax_gradient(begin, end, arguments):
    vector, shape, width, dy, y, dx = unpack(arguments)
    dy_room, y_room, inner = scratch(y, TILE), scratch(y, TILE), scratch(y, BLOCK)
    for first in range(begin, end, rows_at_once(shape)):
        rows = min(rows_at_once(shape), end - first)
        block(vector, shape, dy, first, rows, width, dy_room)
        _, at = block(vector, shape, y, first, rows, width, y_room)
        if is_narrow(shape):
            for i in range(rows):
                inner[i] = 0
            for c in range(width):
                for i in range(rows):
                    inner[i] += dy_room[c * BLOCK + i]
            for c in range(width):
                for i in range(rows):
                    dy_room[c * BLOCK + i] -= exp(y_room[c * BLOCK + i]) * inner[i]
            finish(vector, shape, dy_room, dx, first, rows, width)
        else:
            total = sum_of(dy, at, width)
            for j in range(at, at + width):
                dx[j] = dy[j] - exp(y[j]) * total


def _of_rows(body, x: np.ndarray) -> np.ndarray:
    x = contiguous(x)
    y = empty_like(x)
    rows, width = as_rows(x)
    run(body, rows, grain(width), vector_of(x.dtype), shape_argument(width), width, x, y)
    return y


def _pullback(body, dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    dy, y = contiguous(dy), contiguous(y)
    dx = empty_like(y)
    rows, width = as_rows(y)
    run(body, rows, grain(width), vector_of(y.dtype), shape_argument(width), width, dy, y, dx)
    return dx


@twin_of(reference.softmax)
def softmax(x: np.ndarray) -> np.ndarray:
    return _of_rows(_softmax, x)


@twin_of(reference.softmax_gradient)
def softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _pullback(_softmax_gradient, dy, y)


@twin_of(reference.log_softmax)
def log_softmax(x: np.ndarray) -> np.ndarray:
    return _of_rows(_log_softmax, x)


@twin_of(reference.log_softmax_gradient)
def log_softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _pullback(_log_softmax_gradient, dy, y)


@twin_of(reference.logsumexp)
def logsumexp(x: np.ndarray) -> np.ndarray:
    x = contiguous(x)
    y = empty(x.shape[:-1], x.dtype)
    rows, width = as_rows(x)
    run(_logsumexp, rows, grain(width), vector_of(x.dtype), shape_argument(width), width, x, y)
    return y
