"""What must find the bugs of differentiable functions and of the reference kernels: small, sharp checks, by name.

Those of functions run on the reference kernels. A bug that value and gradient share, such as a dilation that both
forget, is no wrong gradient: there the kernels are compared with the CPU's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special
from checking import Checks

from tomograd import kernels
from tomograd.engine import Tensor
from tomograd.engine import functional as F
from tomograd.engine.losses import CategoricalCrossentropy
from tomograd.engine.random import Generator
from tomograd.testing import compare

_rng = np.random.default_rng(20261121)


def normal(*shape: int) -> np.ndarray:
    return _rng.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return _rng.uniform(0.4, 2.0, shape)


def fractions(*shape: int) -> np.ndarray:
    """Numbers in 0 … 1 whose rows do not sum to 1."""
    return _rng.uniform(0.2, 0.8, shape)


def apart(*shape: int) -> np.ndarray:
    """No two equal, none near 0, none near another."""
    size = int(np.prod(shape))
    return ((_rng.permutation(size) - size / 2 + 0.27) / 3).reshape(shape)


CHECKS = Checks("reference", "cpu")
first, second, third = CHECKS.first, CHECKS.second, CHECKS.third
compared, compared_in_place = CHECKS.compared, CHECKS.compared_in_place

# ---- arithmetic and elementwise --------------------------------------------------------------------------------------

first("subtract, broadcast", F.subtract, normal(2, 3), normal(3), linear=(0, 1))
first("multiply", F.multiply, normal(2, 3), normal(2, 3), linear=(0, 1))
first("multiply, broadcast", F.multiply, normal(2, 3), normal(3), linear=(0, 1))
first("divide", F.divide, normal(2, 3), positive(2, 3), linear=(0,))
first("power", F.power, positive(2, 3), normal(2, 3))
first("remainder", F.remainder, apart(2, 3), np.array([0.7, 0.9, 1.9]))
first("where", lambda x, y: F.where([True, False, True], x, y), normal(3), normal(3), linear=(0, 1))
first("maximum", F.maximum, apart(2, 3), apart(2, 3) + 0.1)
first("logaddexp", F.logaddexp, normal(2, 3), normal(2, 3))
first("y − x, the second added negative", lambda x, y: -x + y, normal(3), normal(3), linear=(0, 1))
first("negative", F.negative, normal(3), linear=(0,))
first("√x + x", lambda x: F.sqrt(x) + x, positive(4))
first("sqrt", F.sqrt, positive(4))
first("square", F.square, normal(4))
first("log1p", F.log1p, positive(4))
first("cos", F.cos, normal(4))
first("two tangents", lambda x: F.tan(x) * F.tan(x * 0.5), fractions(4))
first("exp", F.exp, normal(4))
first("exp, third power", lambda x: F.exp(x) * F.exp(x) * F.exp(x), normal(4))
first("a sum in which x appears often", lambda x, y: (x + y) * y + (x + y) + x, normal(3), normal(3))

# ---- activations -----------------------------------------------------------------------------------------------------

first("relu", F.relu, apart(6))
first("elu", lambda x: F.elu(x, 1.7), apart(6))
# The slope from the left is that of a secant, by some 10⁻⁷ less than the curve's at 0.
first("elu at its kink", lambda x: F.elu(x, 1.7), np.array([0.0, 0.6, -0.8]), at_kinks="subgradient", tolerance=1e-6)
first("prelu", F.prelu, apart(2, 3), positive(3))
first("gelu", F.gelu, apart(6))
first("gelu, approximate", lambda x: F.gelu(x, approximate=True), apart(6))
first("silu", F.silu, apart(6))
first("tanh", F.tanh, apart(6))
first("softmax", F.softmax, normal(2, 3))
second("softmax", F.softmax, normal(2, 3))
first("log_softmax", F.log_softmax, normal(2, 3))
first("logsumexp of a square", F.logsumexp, normal(3, 3))
compared("relu's gradient at 0", "activation_gradient", normal(5), np.array([-1.0, -0.0, 0.0, 1e-300, 2.0]), "relu")
compared("sigmoid at large numbers", "activation", np.array([-800.0, -30.0, 0.5, 800.0]), "sigmoid", terms=8)

# ---- sums, reductions, broadcasting ----------------------------------------------------------------------------------

first("broadcast_to", lambda x: F.broadcast_to(x, (4, 2, 3)), normal(2, 1), linear=(0,))
first("sum", lambda x: F.sum(x, 1), normal(3, 3), linear=(0,))
first("mean", lambda x: F.mean(x, 0), normal(2, 3), linear=(0,))
first("var", lambda x: F.var(x, -1, ddof=1), normal(2, 4))
first("std of equal numbers", lambda x: F.std(x, -1), np.array([[1.0, 1.0, 1.0], [0.3, -0.2, 0.9]]),
      at_kinks="subgradient")  # fmt: skip
# Along a direction, not element by element: each of two that tie may have any share of the gradient, but not both all.
first("max of ties", F.max, np.array([2.0, 5.0, 5.0, 1.0]), at_kinks="subgradient", method="directions")
first("prod", lambda x: F.prod(x, 1), normal(2, 5))

# ---- shaping and indexing --------------------------------------------------------------------------------------------

first("transpose", lambda x: F.transpose(x, (1, 2, 0)), normal(2, 2, 2), linear=(0,))
first("concatenate", lambda x, y: F.concatenate([x, y], 1), normal(2, 2), normal(2, 2), linear=(0, 1))
first("pad", lambda x: F.pad(x, ((1, 0), (2, 1))), normal(3, 2), linear=(0,))
first("pad, large", lambda x: F.pad(x, ((1, 40), (30, 1))), normal(220, 110), linear=(0,))
first("rows that repeat", lambda x: x[[2, 0, 2, 2]], normal(3, 2), linear=(0,))
first("take_along_axis with repeats", lambda x: F.take_along_axis(x, [[1, 0, 1], [1, 1, 1]], 0), normal(2, 3),
      linear=(0,))  # fmt: skip
first("embedding of many rows", lambda w: F.embedding([199, 3, 130, 3], w), normal(200, 1), linear=(0,))
first("dropout", lambda x: F.dropout(x, 0.4, generator=Generator(7)), normal(3, 4), linear=(0,))

# ---- products --------------------------------------------------------------------------------------------------------

first("matmul of squares", F.matmul, normal(3, 3), normal(3, 3), linear=(0, 1))
first("dense with relu", lambda x, w, b: F.dense(x, w, b, activation="relu"), normal(4, 3), normal(3, 2), normal(2))
first("dense", F.dense, normal(4, 3), normal(3, 2), normal(2), linear=(0, 1, 2))
first("einsum of three", lambda a, b, c: F.einsum("ij,jk,k->i", a, b, c), normal(2, 3), normal(3, 2), normal(2),
      linear=(0, 1, 2))  # fmt: skip
first("einsum with a label of its own", lambda a, b: F.einsum("ij,k->k", a, b), normal(2, 3), normal(3), linear=(0, 1))
first("channel_sum", F.channel_sum, normal(2, 3, 2), linear=(0,))
compared("channel_sum in float32", "channel_sum", normal(40, 3).astype(np.float32), terms=40)
compared("channel_sum of many", "channel_sum", normal(60_000, 1).astype(np.float32) + np.float32(1000), terms=8)
compared("add into an array", "add", normal(5), normal(5))

# ---- convolution and pooling -----------------------------------------------------------------------------------------


def _conv(**options) -> Callable:
    return lambda x, w, *b: F.conv(x, w, *b, **options)


def _transposed(**options) -> Callable:
    return lambda x, w, *b: F.conv_transpose(x, w, *b, **options)


_PAIRS = ((1, 0), (0, 2))
first("conv", _conv(strides=2, padding=_PAIRS), normal(2, 4, 5, 2), normal(3, 2, 2, 2), normal(2), linear=(0, 1, 2))
first("conv, dilated", _conv(dilation_rate=(2, 1), padding=1), normal(1, 4, 3, 1), normal(2, 2, 1, 2), linear=(0, 1))
first("conv, groups", _conv(groups=2), normal(1, 4, 4), normal(2, 2, 4), linear=(0, 1))
first("conv with relu", _conv(activation="relu"), normal(1, 6, 2), normal(2, 2, 2), normal(2))
first("conv_transpose", _transposed(strides=2, padding=1), normal(1, 3, 3, 2), normal(3, 3, 2, 2), normal(2),
      linear=(0, 1, 2))  # fmt: skip
second("conv", _conv(padding=_PAIRS), normal(1, 3, 3, 1), normal(2, 2, 1, 1))
_WINDOWS = ((2, 1), ((1, 0), (2, 1)), (1, 2), 2)  # strides, padding, dilation, groups
compared("conv", "conv", normal(2, 5, 6, 4), normal(2, 3, 2, 4), normal(4), *_WINDOWS, terms=13)

first("max_pool", lambda x: F.max_pool(x, 2, strides=1, padding="same"), apart(1, 3, 4, 2))
first("max_pool of large windows", lambda x: F.max_pool(x, 3), apart(1, 6, 6, 1))
first("max_pool, dilated", lambda x: F.max_pool(x, 2, strides=1, dilation_rate=2), apart(1, 4, 4, 1))
first("max_pool of relu", lambda x: F.max_pool(F.relu(x), 2), np.array([-3.0, -1, 2, 4, -2, 5]).reshape(1, 6, 1))
second("max_pool", lambda x: F.max_pool(x * x, 2, strides=1), apart(1, 3, 3, 1))
third("max_pool", lambda x: F.max_pool(x * x, 2, 1), apart(1, 2, 3, 1), normal(1, 1, 2, 1))
compared("max_pool of negative numbers", "max_pool", -positive(2, 4, 5, 2), (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 1))
first("average_pool, padded", lambda x: F.average_pool(x, 3, 2, 1), normal(1, 4, 5, 1), linear=(0,))
first("average_pool, counting its padding", lambda x: F.average_pool(x, 3, 2, 1, count_include_pad=True),
      normal(1, 4, 5, 1), linear=(0,))  # fmt: skip
first("resize", lambda x: F.resize(x, (5, 3)), normal(1, 2, 4, 1), linear=(0,))

# ---- attention -------------------------------------------------------------------------------------------------------

_HIDDEN = np.array([[True, False, True], [False, False, False]])
first("masked_softmax", lambda x: F.masked_softmax(x, _HIDDEN), normal(2, 3))
first("attention", F.scaled_dot_product_attention, normal(2, 2), normal(3, 2), normal(3, 2), linear=(2,))


def _softmax_of_what_is_shown(x: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """By its formula, for small numbers."""
    powers = np.where(shown, np.exp(x), 0)
    return powers / np.where(shown.any(-1, keepdims=True), powers.sum(-1, keepdims=True), 1)


CHECKS["compare of masked_softmax"] = lambda: compare(
    lambda x: F.masked_softmax(x, _HIDDEN).numpy(), lambda x: _softmax_of_what_is_shown(x, _HIDDEN), normal(2, 3),
    terms=16,
)  # fmt: skip
CHECKS["compare of causal attention"] = lambda: compare(
    lambda q, k: F.attention_weights(q, k, is_causal=True).numpy(),
    lambda q, k: _softmax_of_what_is_shown(q @ k.T / 2, np.tri(3, 3, dtype=bool)),
    normal(3, 4), normal(3, 4), terms=64,
)  # fmt: skip
first("sparsemax", F.sparsemax, np.array([[0.9, 0.2, -0.7], [0.1, 1.9, 0.3]]))
# The second number of each row just leaves the support: its share is 0 on one side, and grows on the other.
first("sparsemax at a kink", F.sparsemax, np.array([[1.0, 0.0, -3.0]] * 6), at_kinks="subgradient")

# ---- recurrent cells -------------------------------------------------------------------------------------------------


def _cell(cell: Callable, **options) -> Callable:
    """A cell of x, weights, bias and, one or two of them, initial states; all its results in one."""

    def outputs(x, weight, recurrent_weight, bias, *states):
        given = states if len(states) == 2 else states[0]
        y, *last = cell(x, weight, recurrent_weight, bias, given, **options, return_state=True)
        return F.concatenate([y, *[F.expand_dims(state, 1) for state in last]], 1)

    return outputs


def _of_cell(gates: int, states: int = 1, biases: tuple[int, ...] = ()) -> list[np.ndarray]:
    """Two sequences of three steps, for two units."""
    columns = 2 * gates
    return [normal(2, 3, 1), normal(1, columns), normal(2, columns), normal(*biases, columns),
            *[normal(2, 2) for _ in range(states)]]  # fmt: skip


_STEPS = np.array([[True, False, True], [True, True, False]])
first("simple_rnn", _cell(F.simple_rnn, mask=_STEPS), *_of_cell(1))
first("lstm", _cell(F.lstm), *_of_cell(4, 2))
first("an LSTM's last cell", lambda *arrays: F.lstm(*arrays[:4], arrays[4:], _STEPS, return_state=True)[2],
      *_of_cell(4, 2))  # fmt: skip
first("gru", _cell(F.gru), *_of_cell(3, biases=(2,)))
first("gru, reset before the product", _cell(F.gru, reset_after=False), *_of_cell(3))

# ---- affine maps -----------------------------------------------------------------------------------------------------

_TURN = np.array([0.8, -0.6, 0.7, 0.6, 0.8, -0.9, 0, 0])
first("affine_transform", lambda x: F.affine_transform(x, _TURN, fill_value=0.5), normal(1, 3, 4, 1))
second("affine_transform of a square", lambda x: F.affine_transform(x * x, _TURN, fill_value=0.5), normal(1, 3, 3, 1))
compared("affine_transform", "affine_transform", normal(1, 3, 4, 2), normal(1, 3, 2), 2 * normal(1, 4, 2), "bilinear",
         "reflect", 0.0, terms=8)  # fmt: skip

# ---- normalisation ---------------------------------------------------------------------------------------------------

first("batch_norm", F.batch_norm, normal(4, 2, 3), normal(3), normal(3))
first("batch_norm with relu", lambda x, g, b: F.batch_norm(x, g, b, activation="relu"), normal(5, 3), normal(3),
      normal(3))  # fmt: skip
_STATISTICS = [Tensor(normal(3)), Tensor(positive(3))]
first("batch_norm, not training", lambda x, g, b: F.batch_norm(x, g, b, *_STATISTICS, training=False),
      normal(4, 3), normal(3), normal(3))  # fmt: skip
first("group_norm", lambda x, g, b: F.group_norm(x, 2, g, b), normal(2, 3, 4), normal(4), normal(4))
second("group_norm", lambda x, g: F.group_norm(x, 2, g), normal(1, 2, 4), normal(4))
first("layer_norm over two axes", lambda x: F.layer_norm(x, axis=(0, 2)), normal(2, 3, 2))
compared("batch_norm far from 0", "batch_norm", normal(500, 2) + 1e6, np.ones(2), np.zeros(2), 1e-3, terms=64,
         magnitude=lambda x, *_: (np.abs(x), np.full(2, 1e6), np.full(2, 1e6)))  # fmt: skip

# ---- losses ----------------------------------------------------------------------------------------------------------

_LABELS = np.array([2, 0, 1, 2])
first("sparse_cross_entropy", lambda z: F.sparse_cross_entropy(z, _LABELS), normal(4, 3))
first("sparse_cross_entropy from probabilities, some clipped",
      lambda p: F.sparse_cross_entropy(p, _LABELS, from_logits=False, epsilon=0.1),
      np.array([[0.3, 0.2, 0.5], [0.03, 0.4, 0.5], [0.3, 0.4, 0.2], [0.1, 0.2, 0.97]]))  # fmt: skip
first("cross_entropy of targets that do not sum to 1", F.cross_entropy, normal(3, 4), fractions(3, 4))
first("binary_cross_entropy", F.binary_cross_entropy, normal(2, 3), fractions(2, 3))
first("binary_cross_entropy from probabilities, some clipped",
      lambda p: F.binary_cross_entropy(p, [0.0, 1.0, 0.3, 0.6], from_logits=False, epsilon=0.1),
      np.array([0.04, 0.3, 0.96, 0.7]))  # fmt: skip
first("squared_error", F.squared_error, normal(2, 3), normal(2, 3))
first("dice", lambda p, t: F.dice(p, t, smooth=1.0), fractions(2, 3, 2), fractions(2, 3, 2))

_SMOOTHING = CategoricalCrossentropy(from_logits=True, label_smoothing=0.3, reduction=None)
_ONE_HOT, _LOGITS = np.eye(3)[_LABELS].astype(np.float32), normal(4, 3).astype(np.float32)
CHECKS["compare of a cross-entropy with smoothed labels"] = lambda: compare(
    lambda t, z: _SMOOTHING(t, z).numpy(),
    lambda t, z: np.sum((0.7 * t + 0.3 / 3) * (scipy.special.logsumexp(z, -1, keepdims=True) - z), -1),
    _ONE_HOT, _LOGITS, terms=16,
)  # fmt: skip

# ---- optimizers ------------------------------------------------------------------------------------------------------

compared_in_place("an SGD step with Nesterov's momentum", "sgd_step", [normal(9), normal(9), normal(9)],
                  0.1, 0.9, True, 0.01)  # fmt: skip
compared_in_place("Adam's third step", "adam_step", [normal(9), normal(9), normal(9), positive(9) ** 2],
                  3, 0.01, 0.9, 0.999, 1e-3, 0.1)  # fmt: skip
compared_in_place("a centered RMSprop step", "rmsprop_step", [normal(9), normal(9), positive(9) + 1, None,
                  fractions(9)], 0.01, 0.9, 0.0, 1e-3, 0.0, terms=64)  # fmt: skip
compared_in_place("Adamax's third step", "adamax_step", [normal(9), normal(9), normal(9), positive(9)],
                  3, 0.01, 0.9, 0.5, 1e-3, 0.1)  # fmt: skip
compared_in_place("Nadam's third step", "nadam_step", [normal(9), normal(9), normal(9), positive(9) ** 2],
                  3, 0.1, 0.01, 0.9, 0.999, 1e-3, 0.1)  # fmt: skip
compared_in_place("LAMB's third step", "lamb_step", [normal(9), normal(9), normal(9), positive(9) ** 2],
                  3, 0.1, 0.9, 0.999, 1e-3, 0.1, terms=64)  # fmt: skip
compared_in_place("an Adagrad step", "adagrad_step", [normal(9), normal(9), positive(9)], 0.1, 0.1, 0.1)
compared_in_place("an Adadelta step", "adadelta_step", [normal(9), normal(9), positive(9), positive(9)], 0.5, 0.9, 0.1,
                  0.1, terms=64)  # fmt: skip
compared_in_place("a Lion step", "lion_step", [normal(9), normal(9), normal(9)], 0.1, 0.5, 0.9, 0.1)
compared_in_place("an FTRL step", "ftrl_step", [normal(9), normal(9), positive(9), normal(9)], 0.1, -0.5, 0.05, 0.1,
                  0.2, 0.3, 0.1, terms=64)  # fmt: skip
compared_in_place("a running average", "blend", [normal(9), normal(9)], 0.75, 0.25)
CHECKS["compare of rows added into rows"] = lambda: compare(
    *[lambda b=b: kernels.backend(b).add_rows(np.ones((3, 2)), np.array([1, 1, 0]), 3) for b in ("reference", "cpu")]
)


_LONG = _rng.standard_normal(100_000).astype(np.float32)
CHECKS["compare of squared_norm"] = lambda: compare(
    *[lambda b=b: kernels.backend(b).squared_norm([_LONG]) for b in ("reference", "cpu")], terms=_LONG.size
)
CHECKS["compare of limit_norm"] = lambda: compare(
    *[lambda b=b: kernels.backend(b).limit_norm([_LONG], np.array(9.0), 1.0)[0] for b in ("reference", "cpu")]
)
