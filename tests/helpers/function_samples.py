"""Sample inputs for every function of tomograd.functional: the table from which their derivatives are checked.

`SAMPLES[name]` lists (function of tensors, arrays). The arrays are what is differentiated; everything else is fixed
inside the function. Values stay away from kinks and ties, which have tests of their own. `NOT_DIFFERENTIABLE` names
the functions whose results are constants.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tomograd.engine import functional as F
from tomograd.engine.random import Generator

Sample = tuple[Callable, list[np.ndarray]]

NOT_DIFFERENTIABLE = {
    "activation_function",  # a lookup
    "all",
    "any",
    "argmax",
    "argmin",
    "one_hot",
    "ones_like",
    "zeros_like",
}

_rng = np.random.default_rng(20240501)


def normal(*shape: int) -> np.ndarray:
    return _rng.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return _rng.uniform(0.4, 2.0, shape)


def spread(*shape: int) -> np.ndarray:
    """No two equal, none near 0, and no two near each other: nothing a small step could make tie."""
    size = int(np.prod(shape))
    return ((_rng.permutation(size) - size / 2 + 0.27) / 3).reshape(shape)


def probabilities(*shape: int) -> np.ndarray:
    p = _rng.uniform(0.2, 1.0, shape)
    return p / p.sum(-1, keepdims=True)


LABELS = np.array([2, 0, 1, 2])
MASK = np.array([[True, False, True], [False, False, True]])
TARGETS = probabilities(4, 3)
BITS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.3]])
MASKS = (_rng.uniform(size=(2, 3, 2, 2)) > 0.5).astype(np.float64)
MOVING = [normal(3), positive(3)]


def _dropout(x, **options):
    """Seeded anew at each call: the same elements are dropped."""
    return F.dropout(x, 0.4, generator=Generator(7), **options)


def _batch_norm_inference(x, gamma, beta, mean, variance, **options):
    return F.batch_norm(x, gamma, beta, mean, variance, training=False, **options)


SAMPLES: dict[str, list[Sample]] = {
    # arithmetic
    "add": [(F.add, [normal(2, 3), normal(3)]), (lambda x: x + x, [normal(3)]), (lambda x: 2 + x, [normal(2, 2)])],
    "subtract": [(F.subtract, [normal(2, 1, 3), normal(4, 1)]), (lambda x: 2 - x, [normal(3)])],
    "multiply": [
        (F.multiply, [normal(2, 3), normal(2, 1)]),
        (lambda x: x * x, [normal(3)]),
        (F.multiply, [normal(0, 2), normal(2)]),
    ],
    "divide": [(F.divide, [normal(2, 3), spread(3)]), (lambda x: 1 / x, [spread(4)])],
    "negative": [(F.negative, [normal(3)])],
    "power": [
        (F.power, [positive(2, 3), normal(3)]),
        *[((lambda x, n=n: x**n), [spread(5)]) for n in (-2, -1, 0, 1, 2, 3)],
        (lambda x: x**0.5, [positive(4)]),
        (lambda x: 2**x, [normal(4)]),
    ],
    "maximum": [(F.maximum, [spread(2, 3), spread(3) + 0.1])],
    "minimum": [(F.minimum, [spread(2, 3), spread(3) + 0.1])],
    "where": [
        (lambda x, y: F.where(MASK, x, y), [normal(2, 3), normal(3)]),
        (lambda x: F.where(MASK, x, 0), [normal(3)]),
    ],
    "logaddexp": [(F.logaddexp, [normal(2, 3), normal(2, 1)])],
    "floor_divide": [(F.floor_divide, [spread(2, 3), np.array(0.7)])],
    "remainder": [(F.remainder, [spread(2, 3), np.array([0.7, -0.7, 1.9])])],
    "clip": [
        (lambda x: F.clip(x, -0.5, 0.5), [spread(7)]),
        (lambda x: F.clip(x, a_min=0.1), [spread(7)]),
        (lambda x, low: F.clip(x, low, 3.0), [spread(2, 3), spread(3) / 9]),
    ],
    # elementwise
    **{
        name: [(getattr(F, name), [spread(2, 3)])]
        for name in ("exp", "expm1", "square", "abs", "sin", "cos", "sign", "floor", "ceil")
    },
    **{name: [(getattr(F, name), [positive(2, 3)])] for name in ("log", "log1p", "sqrt", "tan")},
    "round": [(F.round, [spread(2, 3) + 0.11])],
    # broadcasting and reductions
    "broadcast_to": [
        (lambda x: F.broadcast_to(x, (4, 2, 3)), [normal(2, 1)]),
        (lambda x: F.broadcast_to(x, (2, 3)), [normal()]),
    ],
    "tile": [(lambda x: F.tile(x, (2, 3)), [normal(2, 2)]), (lambda x: F.tile(x, 2), [normal(2, 3)])],
    "repeat": [(lambda x: F.repeat(x, 3, 0), [normal(2, 2)]), (lambda x: F.repeat(x, 2, -1), [normal(2, 2)])],
    "sum": [(lambda x: F.sum(x), [normal(2, 3)]), (lambda x: F.sum(x, (0, -1), keepdims=True), [normal(2, 3, 2)])],
    "sum_to": [(lambda x: F.sum_to(x, (3, 1)), [normal(2, 3, 2)])],
    "mean": [(lambda x: F.mean(x, 0), [normal(2, 3)]), (lambda x: F.mean(x, (0, 2)), [normal(2, 3, 2)])],
    "var": [(lambda x: F.var(x, -1), [normal(2, 4)]), (lambda x: F.var(x, None, 1, True), [normal(2, 3)])],
    "std": [(lambda x: F.std(x, -1), [normal(2, 4)]), (lambda x: F.std(x, 0, 1, True), [normal(3, 2)])],
    "max": [(lambda x: F.max(x), [spread(2, 3)]), (lambda x: F.max(x, (2, 0), True), [spread(2, 3, 2)])],
    "min": [(lambda x: F.min(x, 1), [spread(2, 3)]), (lambda x: F.min(x, (1, 2)), [spread(2, 3, 2)])],
    "prod": [
        (lambda x: F.prod(x, 1), [normal(2, 5)]),
        (lambda x: F.prod(x, (0, 2), keepdims=True), [normal(2, 2, 3)]),
        (lambda x: F.prod(x), [np.array([[0.0, 2.0], [0.0, -1.0]])]),
        (lambda x: F.prod(x), [np.array([3.0, 0.0, -1.0])]),
    ],
    # shaping
    "reshape": [(lambda x: F.reshape(x, (3, -1)), [normal(2, 3)])],
    "transpose": [(F.transpose, [normal(2, 3)]), (lambda x: F.transpose(x, (1, 2, 0)), [normal(2, 3, 2)])],
    "swapaxes": [(lambda x: F.swapaxes(x, 0, -1), [normal(2, 3, 2)])],
    "moveaxis": [(lambda x: F.moveaxis(x, (0, 1), (-1, 0)), [normal(2, 3, 2)])],
    "expand_dims": [(lambda x: F.expand_dims(x, (0, -1)), [normal(2)])],
    "squeeze": [(lambda x: F.squeeze(x), [normal(2, 1, 1)]), (lambda x: F.squeeze(x, 1), [normal(2, 1, 1)])],
    "astype": [(lambda x: F.astype(x, np.float64), [normal(3)])],
    "concatenate": [(lambda x, y: F.concatenate([x, y, x], 1), [normal(2, 1), normal(2, 3)])],
    "stack": [(lambda x, y: F.stack([x, y], -1), [normal(2, 3), normal(2, 3)])],
    "split": [
        (lambda x: F.split(x, 3, 1)[1], [normal(2, 6)]),
        (lambda x: F.split(x, [1, 4])[1] * F.split(x, [1, 4])[1], [normal(5)]),
    ],
    "flip": [(lambda x: F.flip(x, 1), [normal(2, 3)]), (F.flip, [normal(2, 3)])],
    "pad": [
        (lambda x: F.pad(x, ((1, 0), (2, 3)), constant_values=2.0), [normal(2, 3)]),
        *[
            ((lambda x, mode=mode: F.pad(x, ((1, 2), (0, 1)), mode)), [normal(3, 4)])
            for mode in ("edge", "reflect", "symmetric", "wrap")
        ],
    ],
    "to_device": [(lambda x: F.to_device(x, "cpu") * 2, [normal(3)])],
    # indexing
    "index": [
        (lambda x: x[1], [normal(2, 3)]),
        (lambda x: x[::-1, None, ..., 1:], [normal(2, 3)]),
        (lambda x: x[MASK], [normal(2, 3)]),
        (lambda x: x[[2, 0, 2, 2]], [normal(3, 2)]),
        (lambda x: x[:, [[0, 1], [1, -1]]], [normal(2, 3)]),
        (lambda x: x[[0, 1], [2, 2]], [normal(2, 3)]),
    ],
    "take": [(lambda x: F.take(x, [[0, 2], [2, 2]], 1), [normal(2, 3)])],
    "take_along_axis": [
        (lambda x: F.take_along_axis(x, [[1], [0]], 1), [normal(2, 3)]),
        (lambda x: F.take_along_axis(x, [[1, 0, 1], [1, 1, 1]], 0), [normal(2, 3)]),
    ],
    # linear algebra
    "matmul": [
        (F.matmul, [normal(*a), normal(*b)])
        for a, b in [
            ((2, 3), (3, 2)),
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((2, 2, 3), (3, 2)),
            ((2, 2, 3), (2, 3, 1)),
            ((2, 1, 1, 3), (3, 3, 2)),
            ((3,), (2, 3, 2)),
            ((2, 0), (0, 3)),
        ]
    ]
    + [(lambda a, b: a.T @ b.T, [normal(3, 2), normal(2, 3)])],
    "dense": [
        (F.dense, [normal(2, 3), normal(3, 4), normal(4)]),
        (lambda x, w: F.dense(x, w, activation="tanh"), [normal(2, 2, 3), normal(3, 2)]),
        (lambda x, w, b: F.dense(x, w, b, activation="relu"), [normal(4, 3), normal(3, 2), normal(2)]),
    ],
    "channel_sum": [(F.channel_sum, [normal(2, 3, 2)])],
    "einsum": [
        (lambda a, b: F.einsum("ij,jk->ik", a, b), [normal(2, 3), normal(3, 2)]),
        (lambda a, b: F.einsum("bij,bkj->bik", a, b), [normal(2, 2, 3), normal(2, 1, 3)]),
        (lambda a, b, c: F.einsum("i,j,k->", a, b, c), [normal(2), normal(3), normal(2)]),
        (lambda a: F.einsum("ijk->kj", a), [normal(2, 3, 2)]),
    ],
    # activations
    **{
        name: [(getattr(F, name), [spread(3, 4)])]
        for name in (
            "relu",
            "leaky_relu",
            "elu",
            "selu",
            "gelu",
            "silu",
            "sigmoid",
            "tanh",
            "softplus",
            "relu6",
            "softsign",
        )
    },
    "hard_sigmoid": [(F.hard_sigmoid, [spread(5, 5)])],
    "prelu": [(F.prelu, [spread(2, 3), positive(3)])],
    "softmax": [(F.softmax, [normal(2, 3)]), (lambda x: F.softmax(x, 0), [normal(3, 2)])],
    "log_softmax": [(F.log_softmax, [normal(2, 3)]), (lambda x: F.log_softmax(x, 1), [normal(2, 3, 2)])],
    "logsumexp": [
        (F.logsumexp, [normal(2, 3)]),
        (lambda x: F.logsumexp(x, 0, keepdims=True), [normal(3, 2)]),
        (lambda x: F.logsumexp(x, (2, 0)), [normal(3, 2, 2)]),
    ],
    # convolution and pooling
    "conv": [
        (F.conv, [normal(2, 5, 2), normal(3, 2, 3), normal(3)]),
        (
            lambda x, w, b: F.conv(x, w, b, strides=2, padding="same", activation="relu"),
            [normal(1, 4, 5, 2), normal(3, 2, 2, 2), normal(2)],
        ),
        (
            lambda x, w: F.conv(x, w, dilation_rate=(2, 1), groups=2, padding=((1, 0), (0, 2))),
            [normal(1, 5, 3, 4), normal(2, 2, 2, 2)],
        ),
        (lambda x, w: F.conv(x, w, padding=1, activation="sigmoid"), [normal(1, 2, 3, 2, 1), normal(2, 2, 2, 1, 2)]),
    ],
    "conv_transpose": [
        (F.conv_transpose, [normal(2, 3, 2), normal(3, 3, 2), normal(3)]),
        (
            lambda x, w: F.conv_transpose(x, w, strides=2, padding="same", groups=2),
            [normal(1, 2, 3, 4), normal(3, 3, 1, 4)],
        ),
        (
            lambda x, w: F.conv_transpose(x, w, strides=2, padding=1, output_padding=1, dilation_rate=2),
            [normal(1, 3, 2), normal(2, 2, 2)],
        ),
        (F.conv_transpose, [normal(1, 2, 1, 2, 2), normal(2, 1, 2, 1, 2)]),
    ],
    "max_pool": [
        (lambda x: F.max_pool(x, 2), [spread(2, 5, 2)]),
        (lambda x: F.max_pool(x, (2, 3), strides=1, padding="same"), [spread(1, 3, 4, 2)]),
        (lambda x: F.max_pool(x, 2, strides=1, padding=((0, 1), (1, 0)), dilation_rate=2), [spread(1, 3, 4, 1)]),
        (lambda x: F.max_pool(x, (1, 2, 2)), [spread(1, 2, 2, 3, 1)]),
    ],
    "average_pool": [
        (lambda x: F.average_pool(x, 2), [normal(2, 5, 2)]),
        (lambda x: F.average_pool(x, (2, 3), 1, "same"), [normal(1, 3, 4, 2)]),
        (lambda x: F.average_pool(x, 2, 2, 1, count_include_pad=True), [normal(1, 3, 2, 2)]),
        (lambda x: F.average_pool(x, (1, 2, 2)), [normal(1, 2, 2, 3, 1)]),
    ],
    "resize": [
        (lambda x: F.resize(x, (3, 5)), [normal(1, 2, 3, 2)]),
        (lambda x: F.resize(x, (2, 2), "nearest"), [normal(1, 3, 3, 1)]),
        (lambda x: F.resize(x, 3), [normal(2, 2, 1)]),
        (lambda x: F.resize(x, (1, 3, 2)), [normal(1, 2, 2, 1, 1)]),
    ],
    # normalisation
    "batch_norm": [
        (F.batch_norm, [normal(4, 2, 3), normal(3), normal(3)]),
        (lambda x: F.batch_norm(x, epsilon=0.1), [normal(5, 2)]),
        (lambda x, g, b: F.batch_norm(x, g, b, activation="relu"), [normal(4, 3), normal(3), normal(3)]),
        (lambda x, g: F.batch_norm(x, g, activation="tanh"), [normal(4, 3), normal(3)]),
        (_batch_norm_inference, [normal(2, 3), normal(3), normal(3), normal(3), positive(3)]),
        (
            lambda x, g, b: _batch_norm_inference(x, g, b, *MOVING, activation="relu"),
            [normal(4, 3), normal(3), normal(3)],
        ),
    ],
    "layer_norm": [
        (F.layer_norm, [normal(2, 4), normal(4), normal(4)]),
        (lambda x, g: F.layer_norm(x, g, axis=(0, 2)), [normal(2, 3, 2), normal(2, 2)]),
    ],
    "group_norm": [(lambda x, g, b: F.group_norm(x, 2, g, b), [normal(2, 3, 4), normal(4), normal(4)])],
    "instance_norm": [(F.instance_norm, [normal(2, 3, 2), normal(2), normal(2)])],
    # losses
    "sparse_cross_entropy": [
        (lambda z: F.sparse_cross_entropy(z, LABELS), [normal(4, 3)]),
        (lambda z: F.sparse_cross_entropy(z, LABELS.reshape(2, 2)), [normal(2, 2, 3)]),
        (lambda p: F.sparse_cross_entropy(p, LABELS, from_logits=False), [probabilities(4, 3)]),
    ],
    "cross_entropy": [
        (lambda z: F.cross_entropy(z, TARGETS), [normal(4, 3)]),
        (F.cross_entropy, [normal(2, 2, 3), probabilities(2, 2, 3)]),
        (lambda p, t: F.cross_entropy(p, t, from_logits=False), [probabilities(4, 3), probabilities(4, 3)]),
    ],
    "binary_cross_entropy": [
        (lambda z: F.binary_cross_entropy(z, BITS), [normal(2, 3)]),
        (F.binary_cross_entropy, [normal(2, 3), probabilities(2, 3)]),
        (lambda p, t: F.binary_cross_entropy(p, t, from_logits=False), [probabilities(2, 3), probabilities(2, 3)]),
    ],
    "squared_error": [(F.squared_error, [normal(2, 3), normal(2, 3)])],
    "dice": [
        (lambda p: F.dice(p, MASKS), [probabilities(2, 3, 2, 2)]),
        (lambda p, t: F.dice(p, t, smooth=1.0), [probabilities(2, 3, 2), probabilities(2, 3, 2)]),
    ],
    # the rest
    "dropout": [(_dropout, [normal(3, 4)]), (lambda x: _dropout(x, noise_shape=(None, 1)), [normal(4, 3)])],
    "embedding": [(lambda w: F.embedding([[0, 2], [2, 2]], w), [normal(3, 2)])],
}
