"""Activation functions, softmax and its relatives, and their look-up by name."""

from __future__ import annotations

from ...engine.functions.activations import SELU_ALPHA, SELU_SCALE
from .entries import Entry, Kink, Sample, error, kink, not_a_number, sample
from .values import normal, positive, spread

SMOOTH = ("gelu", "silu", "sigmoid", "tanh", "softplus")
_LEFT = "at 0 the slope from the left: "


def _activation(name: str, more: tuple[Sample, ...] = (), kinks: tuple[Kink, ...] = ()) -> Entry:
    return Entry(
        name,
        samples=(sample(f"{name}(x)", x=spread(3, 4)), *more),
        errors=(error(f"{name}(LABELS)", TypeError, f"{name}: x must be float32 or float64, not int64"),),
        kinks=kinks,
    )


ENTRIES = [
    _activation(
        "relu",
        kinks=(kink("0 at 0", "relu(x)", x=[0.0, -0.0], value=[0, 0], cotangent=[2, 3], gradients=[[0, 0]]),),
    ),
    _activation(
        "leaky_relu",
        more=(sample("leaky_relu(x, 0.5)", x=spread(5)),),
        kinks=(
            kink(
                _LEFT + "`negative_slope`",
                "leaky_relu(x, 0.25)",
                x=[0.0, -0.0],
                cotangent=[2, 4],
                gradients=[[0.5, 1]],
            ),
        ),
    ),
    _activation(
        "elu",
        more=(sample("elu(x, 0.3)", x=spread(5)),),
        kinks=(kink(_LEFT + "`alpha`", "elu(x, 0.25)", x=[0.0, -0.0], cotangent=[2, 4], gradients=[[0.5, 1]]),),
    ),
    _activation(
        "selu",
        kinks=(
            kink(
                _LEFT + "1.0507… · 1.6733…",
                "selu(x)",
                x=[0.0, -0.0],
                cotangent=[1, 2],
                gradients=[[SELU_SCALE * SELU_ALPHA, 2 * SELU_SCALE * SELU_ALPHA]],
                dtypes=["float64"],  # in float32 the product of the two constants is rounded
            ),
        ),
    ),
    *[
        _activation(name, more=(sample("gelu(x, approximate=True)", x=spread(13)),) if name == "gelu" else ())
        for name in SMOOTH
    ],
    Entry(
        "relu6",
        samples=(sample("relu6(x)", x=spread(6, 8)),),
        errors=(error("relu6(LABELS)", TypeError, "x must be float32 or float64, not int64"),),
        kinks=(kink("0 at 0, 1 at 6", "relu6(x)", x=[0.0, -0.0, 6], cotangent=[2, 3, 5], gradients=[[0, 0, 5]]),),
    ),
    Entry(
        "hard_sigmoid",
        samples=(sample("hard_sigmoid(x)", x=spread(5, 5)),),
        errors=(error("hard_sigmoid(LABELS)", TypeError, "x must be float32 or float64, not int64"),),
        kinks=(kink("0 at −3, 1/6 at 3", "hard_sigmoid(x)", x=[-3, 3], cotangent=[6, 12], gradients=[[0, 2]]),),
    ),
    Entry(
        "softsign",
        samples=(sample("softsign(x)", x=spread(3, 4)),),
        errors=(not_a_number("softsign('text')"),),
    ),
    Entry(
        "prelu",
        samples=(sample("prelu(x, alpha)", x=spread(2, 3), alpha=positive(3), linear="alpha"),),
        errors=(error("prelu(ROWS, np.zeros(3))", TypeError, "alpha is float64 but x is float32"),),
        kinks=(
            kink(
                _LEFT + "alpha",
                "prelu(x, alpha)",
                x=[0.0, -0.0],
                alpha=[0.25, 0.5],
                cotangent=[2, 4],
                gradients=[[0.5, 2], [0, 0]],
            ),
        ),
    ),
    Entry(
        "softmax",
        samples=(sample("softmax(x)", x=normal(2, 3)), sample("softmax(x, 0)", x=normal(3, 2))),
        errors=(error("softmax(1.0)", ValueError, "out of range for 0 dimensions"),),
    ),
    Entry(
        "log_softmax",
        samples=(sample("log_softmax(x)", x=normal(2, 3)), sample("log_softmax(x, 1)", x=normal(2, 3, 2))),
        errors=(error("log_softmax(1.0)", ValueError, "out of range for 0 dimensions"),),
    ),
    Entry(
        "logsumexp",
        samples=(
            sample("logsumexp(x)", x=normal(2, 3)),
            sample("logsumexp(x, 0, keepdims=True)", x=normal(3, 2)),
            sample("logsumexp(x, (2, 0))", x=normal(3, 2, 2)),
        ),
        errors=(error("logsumexp(ROWS, 2)", ValueError, "axis = 2 is out of range for 2 dimensions"),),
    ),
    Entry(
        "activation_function",
        samples=(
            sample("activation_function(None)(x)", x=spread(2, 3), linear="x"),
            sample("activation_function('tanh')(x)", x=spread(2, 3)),
        ),
        errors=(
            error(
                "activation_function('rule')", ValueError, "activation = 'rule': expected a function, None or one of"
            ),
        ),
    ),
]
