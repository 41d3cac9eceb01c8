"""Calls of keras.ops, for whichever engine's functions `k` is: of x and z (3, 4), and of p (3, 4) above 0.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

INDEX = np.array([[2, 0], [1, 1]])
IMAGE = (1, 3, 4, 1)  # what x is as an image
WHOLE = np.array([[0, 3, 1, 2], [1, 1, 0, 0], [2, 0, 0, 5]])


def _unary(name: str, of: str = "x") -> Callable[..., Any]:
    return lambda k, **tensors: getattr(k, name)(tensors[of])


def _pair(name: str, second: str = "z") -> Callable[..., Any]:
    return lambda k, **tensors: getattr(k, name)(tensors["x"], tensors[second])


_OF_X = (
    *("abs", "absolute", "fabs", "ceil", "floor", "sign", "round", "negative", "exp", "exp2", "expm1", "square"),
    *("sin", "cos", "tan", "sinh", "cosh", "celu", "elu", "gelu", "glu", "hard_shrink", "hard_silu", "hard_swish"),
    *("hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "softmax"),
    *("soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh"),
    *("tanh_shrink", "sum", "mean", "prod", "var", "std", "max", "min", "amax", "amin", "argmax", "argmin", "any"),
    *("all", "count_nonzero", "logsumexp", "sort", "argsort", "ravel", "transpose", "flip", "norm", "normalize"),
    *("isnan", "isinf", "isfinite", "logical_not", "zeros_like", "ones_like", "stop_gradient", "copy", "ndim", "size"),
    *("shape", "unstack", "convert_to_tensor", "array", "squeeze", "tril", "triu"),
)
_OF_P = ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")
_OF_PAIRS = (
    *("add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "greater", "greater_equal", "less"),
    *("less_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_xor", "isclose", "allclose"),
    *("inner", "outer", "append"),
)

CALLS: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in _OF_X},
    **{name: _unary(name, "p") for name in _OF_P},
    **{name: _pair(name) for name in _OF_PAIRS},
    **{name: _pair(name, "p") for name in ("divide", "true_divide", "mod", "divide_no_nan")},
    "floor_divide": lambda k, x, z, p: k.floor_divide(k.stop_gradient(x), k.stop_gradient(p)),
    "power": lambda k, x, z, p: k.power(p, z),
    "power of a number": lambda k, x, z, p: k.power(p, 2.5),
    "divide_no_nan by 0": lambda k, x, z, p: k.divide_no_nan(x, np.array([1, 0, 2, 0])),
    "broadcast": lambda k, x, z, p: k.add(x, k.sum(z, axis=0)),
    "numbers": lambda k, x, z, p: 1.0 - 2.0 * k.multiply(x, 3),
    "round, 1 decimal": lambda k, x, z, p: k.round(x, 1),
    "clip": lambda k, x, z, p: k.clip(x, -0.5, 0.25),
    "gelu, exact": lambda k, x, z, p: k.gelu(x, approximate=False),
    "threshold": lambda k, x, z, p: k.threshold(x, 0.25, -2.0),
    "softmax, axis 0": lambda k, x, z, p: k.softmax(x, axis=0),
    **{
        f"{name}, axis {axis}": lambda k, x, z, p, name=name, axis=axis: getattr(k, name)(x, axis=axis, keepdims=True)
        for name in ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "argmax", "all")
        for axis in (0, -1)
    },
    "mean of whole numbers": lambda k, x, z, p: k.mean(WHOLE),
    "count_nonzero, axis": lambda k, x, z, p: k.count_nonzero(WHOLE, axis=1),
    "average": lambda k, x, z, p: k.average(x, axis=1),
    "average, a weight each": lambda k, x, z, p: k.average(x, axis=1, weights=np.array([1, 2, 4, 1], np.float32)),
    "moments": lambda k, x, z, p: k.moments(x, axes=[0], keepdims=True),
    "sort, axis 0": lambda k, x, z, p: k.sort(x, axis=0),
    "argsort, axis 0": lambda k, x, z, p: k.argsort(x, axis=0),
    "top_k": lambda k, x, z, p: tuple(k.top_k(x, 2)),
    "isclose, apart": lambda k, x, z, p: k.isclose(x, x + 1e-3, rtol=1e-2, atol=1e-4),
    "isclose, NaN": lambda k, x, z, p: k.isclose(np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 2.0])),
    "equal_nan": lambda k, x, z, p: k.isclose(np.array([np.nan]), np.array([np.nan]), equal_nan=True),
    "matmul": lambda k, x, z, p: k.matmul(x, k.transpose(z)),
    "dot": lambda k, x, z, p: k.dot(x, k.transpose(z)),
    "dot of vectors": lambda k, x, z, p: k.dot(x[0], z[1]),
    "dot with a number": lambda k, x, z, p: k.dot(x, 2.0),
    "einsum": lambda k, x, z, p: k.einsum("ij,kj->ik", x, z),
    "norm 1": lambda k, x, z, p: k.norm(x, ord=1, axis=1),
    "norm 3": lambda k, x, z, p: k.norm(x, ord=3, axis=0, keepdims=True),
    "norm inf": lambda k, x, z, p: k.norm(x, ord=np.inf, axis=1),
    "norm fro": lambda k, x, z, p: k.norm(x, ord="fro", axis=(0, 1)),
    "normalize 1": lambda k, x, z, p: k.normalize(x, axis=0, order=1),
    "reshape": lambda k, x, z, p: k.reshape(x, (2, -1)),
    "reshape to a size": lambda k, x, z, p: k.reshape(x, 12),
    "transpose, axes": lambda k, x, z, p: k.transpose(k.reshape(x, (3, 2, 2)), axes=(2, 0, 1)),
    "swapaxes": lambda k, x, z, p: k.swapaxes(x, 0, 1),
    "moveaxis": lambda k, x, z, p: k.moveaxis(k.reshape(x, (3, 2, 2)), 0, -1),
    "expand_dims": lambda k, x, z, p: k.expand_dims(x, axis=1),
    "squeeze, axis": lambda k, x, z, p: k.squeeze(k.reshape(x, (3, 1, 4)), axis=1),
    "broadcast_to": lambda k, x, z, p: k.broadcast_to(x, (2, 3, 4)),
    "tile": lambda k, x, z, p: k.tile(x, (2, 1)),
    "repeat": lambda k, x, z, p: k.repeat(x, 2, axis=1),
    "pad": lambda k, x, z, p: k.pad(x, [[1, 0], [0, 2]], constant_values=1.5),
    "pad, reflect": lambda k, x, z, p: k.pad(x, [[1, 1], [0, 2]], mode="reflect"),
    "roll": lambda k, x, z, p: k.roll(x, 3),
    "roll, axes": lambda k, x, z, p: k.roll(x, (1, -1), axis=(0, 1)),
    "concatenate": lambda k, x, z, p: k.concatenate([x, z], axis=1),
    "stack": lambda k, x, z, p: k.stack([x, z], axis=1),
    "vstack": lambda k, x, z, p: k.vstack([x[0], z]),
    "hstack": lambda k, x, z, p: k.hstack([x, z]),
    "append, axis": lambda k, x, z, p: k.append(x, z, axis=1),
    "split": lambda k, x, z, p: k.split(x, 2, axis=1),
    "split, positions": lambda k, x, z, p: k.split(x, [1, 3], axis=1),
    "unstack, axis": lambda k, x, z, p: k.unstack(x, num=4, axis=1),
    "take": lambda k, x, z, p: k.take(x, INDEX, axis=1),
    "take, flat": lambda k, x, z, p: k.take(x, INDEX),
    "take_along_axis": lambda k, x, z, p: k.take_along_axis(x, np.array([[2], [0], [1]]), axis=1),
    "take_along_axis, flat": lambda k, x, z, p: k.take_along_axis(x, np.array([7, 2]), axis=None),
    "get_item": lambda k, x, z, p: k.get_item(x, (slice(None), slice(1, 3))),
    "slice": lambda k, x, z, p: k.slice(x, [1, 0], [2, 3]),
    "where": lambda k, x, z, p: k.where(k.greater(x, 0), x, z),
    "tril, 1": lambda k, x, z, p: k.tril(x, 1),
    "triu, -1": lambda k, x, z, p: k.triu(x, -1),
    "zeros": lambda k, x, z, p: k.zeros((2, 3)),
    "ones": lambda k, x, z, p: k.ones((2,), dtype="int32"),
    "full": lambda k, x, z, p: k.full((2, 2), 3.5),
    "full_like": lambda k, x, z, p: k.full_like(x, 2),
    "arange": lambda k, x, z, p: k.arange(5),
    "arange, fractions": lambda k, x, z, p: k.arange(1.0, 2.0, 0.25),
    "linspace": lambda k, x, z, p: k.linspace(0.0, 1.0, 4, endpoint=False),
    "eye": lambda k, x, z, p: k.eye(2, 3, 1),
    "identity": lambda k, x, z, p: k.identity(3),
    "one_hot": lambda k, x, z, p: k.one_hot(INDEX, 3),
    "one_hot, axis 1": lambda k, x, z, p: k.one_hot(INDEX, 3, axis=1),
    "cast": lambda k, x, z, p: k.cast(x, "int32"),
    "cast of a comparison": lambda k, x, z, p: k.cast(x > 0, "float64"),
    "is_tensor": lambda k, x, z, p: (k.is_tensor(x), k.is_tensor(WHOLE)),
    "convert_to_numpy": lambda k, x, z, p: k.convert_to_numpy(k.stop_gradient(x)),
    "conv": lambda k, x, z, p: k.conv(k.reshape(x, IMAGE), k.reshape(z, (2, 2, 1, 3)), padding="same"),
    "conv, strides": lambda k, x, z, p: k.conv(k.reshape(x, IMAGE), k.reshape(z, (2, 2, 1, 3)), strides=2),
    "conv, groups": lambda k, x, z, p: k.conv(k.reshape(x, (1, 3, 4)), k.reshape(z, (3, 2, 2)), padding="valid"),
    "conv_transpose": lambda k, x, z, p: k.conv_transpose(
        k.reshape(x, (1, 3, 2, 2)), k.reshape(z, (2, 1, 3, 2)), strides=2, padding="valid"
    ),
    "depthwise_conv": lambda k, x, z, p: k.depthwise_conv(k.reshape(x, (1, 3, 2, 2)), k.reshape(z, (2, 1, 2, 3))),
    "separable_conv": lambda k, x, z, p: k.separable_conv(
        k.reshape(x, (1, 3, 2, 2)), k.reshape(z, (2, 1, 2, 3)), k.reshape(p, (1, 1, 6, 2))
    ),
    "max_pool": lambda k, x, z, p: k.max_pool(k.reshape(x, IMAGE), 2, strides=1, padding="same"),
    "average_pool": lambda k, x, z, p: k.average_pool(k.reshape(x, IMAGE), (1, 2)),
    "binary_crossentropy": lambda k, x, z, p: k.binary_crossentropy(k.sigmoid(z), x, from_logits=True),
    "binary_crossentropy, probabilities": lambda k, x, z, p: k.binary_crossentropy(k.sigmoid(z), k.sigmoid(x)),
    "categorical_crossentropy": lambda k, x, z, p: k.categorical_crossentropy(k.softmax(z), x, from_logits=True),
    "categorical_crossentropy, axis 0": lambda k, x, z, p: k.categorical_crossentropy(k.softmax(z, 0), p, axis=0),
    "sparse_categorical_crossentropy": lambda k, x, z, p: k.sparse_categorical_crossentropy(
        np.array([3, 0, 1]), x, from_logits=True
    ),
    "sparse_categorical_crossentropy, probabilities": lambda k, x, z, p: k.sparse_categorical_crossentropy(
        np.array([3, 0, 1]), p
    ),
}
