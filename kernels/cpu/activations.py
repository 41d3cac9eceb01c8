"""Activation functions, softmax and log-sum-exp: elementwise and row kernels that run at the speed of memory."""

import math

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import activations as reference
from ..reference.activations import GELU_TANH_CUBIC, GELU_TANH_SCALE, SELU_ALPHA, SELU_SCALE
from .bodies import scratch
from .elementwise import elementwise, formula, number_if_repeated
from .mathematics import (
    exp_bounded,
    expm1_of_negative,
    function,
    like,
    log,
    normal_tail_and_bell,
    sigmoid,
    sigmoid_and_complement,
    softplus,
    tanh,
)
from .rows import (
    BLOCK,
    TILE,
    ask_ahead,
    block,
    finish,
    is_narrow,
    keep_sum,
    known,
    logarithms,
    map_rows,
    maxima,
    only_last,
    partition,
    scale_block,
    softmax_of_block,
    strip_size,
    strips_of,
    sums,
    sums_of_exp,
    target,
    within,
)
from .simd import (
    absolute,
    fma,
    lanes,
    load,
    maximum,
    minimum,
    select,
    splat,
    store,
    store_part,
)

BOUND = 1000.0  # of x where a sigmoid or a bell curve of it is a factor: see `bounded`

# ---- the functions: f(x, a) and dy · f′(x, a) ------------------------------------------------------------------------


@formula
def relu(x, a):
    return maximum(like(x, 0.0), x)  # NaN stays


@formula
def relu_gradient(dy, x, a):
    return dy * select(x > 0, like(x, 1.0), like(x, 0.0))


@formula
def leaky_relu(x, a):
    return select(x > 0, x, a * x)


@formula
def leaky_relu_gradient(dy, x, a):
    return dy * select(x > 0, like(x, 1.0), like(x, a))


@function
def exponential_unit(x, a):
    return select(x > 0, x, a * expm1_of_negative(x))


@function
def exponential_unit_derivative(x, a):
    return select(x > 0, like(x, 1.0), a * exp_bounded(x))


@formula
def elu(x, a):
    return exponential_unit(x, a)


@formula
def elu_gradient(dy, x, a):
    return dy * exponential_unit_derivative(x, a)


@formula
def selu(x, a):
    return SELU_SCALE * exponential_unit(x, SELU_ALPHA)


@formula
def selu_gradient(dy, x, a):
    return dy * (SELU_SCALE * exponential_unit_derivative(x, SELU_ALPHA))


@function
def bounded(x):
    """x held to where σ, Φ and tanh are 0 or 1 to their last digits and their derivatives 0: beyond, squares would
    overflow and 0·∞ arise. NaN stays."""
    return minimum(like(x, BOUND), maximum(like(x, -BOUND), x))


@formula
def gelu(x, a):
    tail, _, t = normal_tail_and_bell(x)
    return maximum(like(x, 0.0), x) - t * tail  # x·(1 − tail) on the right, x·tail on the left


@formula
def gelu_gradient(dy, x, a):
    tail, bell, _ = normal_tail_and_bell(x)
    cdf = select(x < 0, tail, like(x, 1.0) - tail)
    return dy * fma(bounded(x), bell * (1 / math.sqrt(2 * math.pi)), cdf)


@function
def cubic(x):
    """2u, u = √(2/π)·(x + 0.044715·x³): gelu_tanh is x·(1 + tanh u)/2 = x·σ(2u), which does not cancel on the left."""
    return x * fma(x * x, like(x, 2 * GELU_TANH_SCALE * GELU_TANH_CUBIC), like(x, 2 * GELU_TANH_SCALE))


@formula
def gelu_tanh(x, a):
    return maximum(like(x, -BOUND), x) * sigmoid(cubic(bounded(x)))


@formula
def gelu_tanh_gradient(dy, x, a):
    x = bounded(x)
    slope = fma(x * x, like(x, 6 * GELU_TANH_SCALE * GELU_TANH_CUBIC), like(x, 2 * GELU_TANH_SCALE))
    value, complement = sigmoid_and_complement(cubic(x))
    return dy * (value + x * value * complement * slope)


@formula
def silu(x, a):
    return maximum(like(x, -BOUND), x) * sigmoid(x)


@formula
def silu_gradient(dy, x, a):
    x = bounded(x)
    value, complement = sigmoid_and_complement(x)
    return dy * (value * fma(x, complement, like(x, 1.0)))


@formula
def logistic(x, a):
    return sigmoid(x)


@formula
def logistic_gradient(dy, x, a):
    value, complement = sigmoid_and_complement(x)
    return dy * (value * complement)


@formula
def hyperbolic_tangent(x, a):
    return tanh(x)


@formula
def hyperbolic_tangent_gradient(dy, x, a):
    value, complement = sigmoid_and_complement(x + x)
    return dy * (4 * value * complement)  # 1 − tanh² x, which does not cancel


@formula
def smooth_relu(x, a):
    return softplus(x)


@formula
def smooth_relu_gradient(dy, x, a):
    return dy * sigmoid(x)


FORMULAS = {
    "relu": (relu, relu_gradient),
    "leaky_relu": (leaky_relu, leaky_relu_gradient),
    "elu": (elu, elu_gradient),
    "selu": (selu, selu_gradient),
    "gelu": (gelu, gelu_gradient),
    "gelu_tanh": (gelu_tanh, gelu_tanh_gradient),
    "silu": (silu, silu_gradient),
    "sigmoid": (logistic, logistic_gradient),
    "tanh": (hyperbolic_tangent, hyperbolic_tangent_gradient),
    "softplus": (smooth_relu, smooth_relu_gradient),
}


def _formulas(name: str) -> tuple:
    if name not in FORMULAS:
        raise ValueError(f"activation name = {name!r}: expected one of {', '.join(FORMULAS)}")
    return FORMULAS[name]


@twin_of(reference.activation)
def activation(x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    value, _ = _formulas(name)
    return elementwise(value, x, x.dtype.type(parameter))


@twin_of(reference.activation_gradient)
def activation_gradient(dy: np.ndarray, x: np.ndarray, name: str, parameter: float = 0.0) -> np.ndarray:
    _, gradient = _formulas(name)
    return elementwise(gradient, number_if_repeated(dy), x, x.dtype.type(parameter))


# ---- softmax and its kin ---------------------------------------------------------------------------------------------


@formula
def _softmax(vector, shape, width, first, rows, operands):
    x, y = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    numbers, at = block(vector, shape, x, first, rows, width, room)
    results, to = target(vector, shape, y, first, rows, width, room)
    softmax_of_block(vector, shape, numbers, at, results, to, size, strips, rows, m, total)
    scale_block(vector, shape, results, to, size, strips, total)
    finish(vector, shape, room, y, first, rows, width)


@formula
def _log_softmax(vector, shape, width, first, rows, operands):
    x, y = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    numbers, at = block(vector, shape, x, first, rows, width, room)
    results, to = target(vector, shape, y, first, rows, width, room)
    partition(vector, shape, numbers, at, size, strips, m, total)
    logarithms(vector, rows, total)
    for strip in range(strips):
        shift, log_total = known(vector, shape, m, strip), known(vector, shape, total, strip)
        for place in range(0, size, lanes(vector)):
            j = strip * size + within(vector, shape, place, size)
            store(results, to + j, (load(vector, numbers, at + j) - shift) - log_total)
    finish(vector, shape, room, y, first, rows, width)


@formula
def _logsumexp(vector, shape, width, first, rows, operands):
    x, y = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    room, m, total = scratch(x, TILE), scratch(x, BLOCK), scratch(x, BLOCK)
    numbers, at = block(vector, shape, x, first, rows, width, room)
    maxima(vector, shape, numbers, at, size, strips, m)
    for i in range(0, rows, lanes(vector)):  # ∞ − ∞ is no number: an infinite maximum is not subtracted
        largest = load(vector, m, i)
        store(m, i, select(absolute(largest) == like(largest, np.inf), like(largest, 0.0), largest))
    sums_of_exp(vector, shape, numbers, at, size, strips, m, total)
    for i in range(0, rows, lanes(vector)):
        store_part(y, first + i, load(vector, m, i) + log(load(vector, total, i)), rows - i)


@formula
def _softmax_gradient(vector, shape, width, first, rows, operands):
    dy, y, dx = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    dy_room, y_room, inner = scratch(y, TILE), scratch(y, TILE), scratch(y, BLOCK)
    slopes, at = block(vector, shape, dy, first, rows, width, dy_room)
    values, _ = block(vector, shape, y, first, rows, width, y_room)
    results, to = target(vector, shape, dx, first, rows, width, dy_room)
    for strip in range(strips):
        total, start, j = splat(vector, 0), at + strip * size, 0
        while j + lanes(vector) <= size:
            total = fma(load(vector, slopes, start + j), load(vector, values, start + j), total)
            j += lanes(vector)
        if not is_narrow(shape) and j < size:
            last = start + size - lanes(vector)
            product = load(vector, slopes, last) * load(vector, values, last)
            total = total + only_last(vector, product, size - j)
        keep_sum(vector, shape, total, inner, strip)
    for strip in range(strips):
        total = known(vector, shape, inner, strip)
        for place in range(0, size, lanes(vector)):
            j = strip * size + within(vector, shape, place, size)
            ask_ahead(shape, slopes, at + j)
            ask_ahead(shape, values, at + j)
            store(results, to + j, load(vector, values, at + j) * (load(vector, slopes, at + j) - total))
    finish(vector, shape, dy_room, dx, first, rows, width)


@formula
def _log_softmax_gradient(vector, shape, width, first, rows, operands):
    dy, y, dx = operands
    size, strips = strip_size(vector, shape, width), strips_of(vector, shape, rows)
    dy_room, y_room, inner = scratch(y, TILE), scratch(y, TILE), scratch(y, BLOCK)
    slopes, at = block(vector, shape, dy, first, rows, width, dy_room)
    values, _ = block(vector, shape, y, first, rows, width, y_room)
    results, to = target(vector, shape, dx, first, rows, width, dy_room)
    sums(vector, shape, slopes, at, size, strips, inner)
    for strip in range(strips):
        total = known(vector, shape, inner, strip)
        for place in range(0, size, lanes(vector)):
            j = strip * size + within(vector, shape, place, size)
            ask_ahead(shape, slopes, at + j)
            ask_ahead(shape, values, at + j)
            store(results, to + j, load(vector, slopes, at + j) - exp_bounded(load(vector, values, at + j)) * total)
    finish(vector, shape, dy_room, dx, first, rows, width)


@twin_of(reference.softmax)
def softmax(x: np.ndarray) -> np.ndarray:
    return map_rows(_softmax, empty_like(x), x)


@twin_of(reference.softmax_gradient)
def softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return map_rows(_softmax_gradient, empty_like(y), dy, y)


@twin_of(reference.log_softmax)
def log_softmax(x: np.ndarray) -> np.ndarray:
    return map_rows(_log_softmax, empty_like(x), x)


@twin_of(reference.log_softmax_gradient)
def log_softmax_gradient(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    return map_rows(_log_softmax_gradient, empty_like(y), dy, y)


@twin_of(reference.logsumexp)
def logsumexp(x: np.ndarray) -> np.ndarray:
    if not x.shape[-1]:
        return np.full(x.shape[:-1], -np.inf, x.dtype)
    return map_rows(_logsumexp, empty(x.shape[:-1], x.dtype), x)
