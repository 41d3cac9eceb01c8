"""The rarer activation functions of Keras, composed of others."""

from __future__ import annotations

from .entries import Entry, Error, Kink, Sample, error, kink, sample
from .values import normal, spread


def _entry(name: str, *kinks: Kink, more: tuple[Sample, ...] = (), errors: tuple[Error, ...] = ()) -> Entry:
    return Entry(
        name,
        samples=(sample(f"{name}(x)", x=spread(3, 4)), *more),
        errors=(error(f"{name}(LABELS)", TypeError, f"{name}: x must be float32 or float64, not int64"), *errors),
        kinks=kinks,
    )


ENTRIES = [
    _entry(
        "celu",
        more=(sample("celu(x, 0.3)", x=spread(5)),),
        errors=(error("celu(ROWS, 0)", ValueError, "celu: alpha = 0: expected a positive number"),),
    ),
    _entry(
        "glu",
        more=(sample("glu(x, 0)", x=normal(2, 3)), sample("glu(x)", x=normal(4))),
        errors=(
            error("glu(ROWS, 5)", ValueError, "axis = 5"),
            error("glu(ROWS)", ValueError, "axis 1 of x has size 3: expected an even one, for two halves"),
        ),
    ),
    _entry(
        "hard_shrink",
        kink(
            "0 at ±threshold",
            "hard_shrink(x)",
            x=[-0.5, 0.5, 0.5 + 2**-12],
            value=[0, 0, 0.5 + 2**-12],
            cotangent=[2, 3, 5],
            gradients=[[0, 0, 5]],
        ),
        more=(sample("hard_shrink(x, 0.1)", x=spread(5)), sample("hard_shrink(x, 0)", x=spread(4))),
        errors=(error("hard_shrink(ROWS, -1)", ValueError, "threshold = -1: expected a number of at least 0"),),
    ),
    _entry(
        "hard_silu",
        kink(
            "−3 · 1/6 at −3 (the slope from the right), 3/2 at 3 (the slope from the left)",
            "hard_silu(x)",
            x=[-3, 3],
            value=[0, 3],
            cotangent=[2, 2],
            gradients=[[-1, 3]],
            dtypes=["float64"],
        ),
    ),
    _entry(
        "hard_tanh",
        kink("1 at ±1", "hard_tanh(x)", x=[-1, 1], value=[-1, 1], cotangent=[2, 3], gradients=[[2, 3]]),
    ),
    _entry("log_sigmoid"),
    _entry("mish"),
    _entry(
        "soft_shrink",
        kink("0 at ±threshold", "soft_shrink(x)", x=[-0.5, 0.5], value=[0, 0], cotangent=[2, 3], gradients=[[0, 0]]),
        more=(sample("soft_shrink(x, 0.1)", x=spread(5)), sample("soft_shrink(x, 0)", x=spread(4))),
        errors=(error("soft_shrink(ROWS, -1)", ValueError, "threshold = -1: expected a number of at least 0"),),
    ),
    _entry("sparse_plus"),
    _entry(
        "sparse_sigmoid",
        kink("1/2 at ±1", "sparse_sigmoid(x)", x=[-1, 1], value=[0, 1], cotangent=[2, 4], gradients=[[1, 2]]),
    ),
    Entry(
        "sparsemax",
        samples=(sample("sparsemax(x)", x=normal(3, 4)), sample("sparsemax(x, 0)", x=normal(3, 2))),
        errors=(error("sparsemax(1.0)", ValueError, "out of range for 0 dimensions"),),
        kinks=(
            kink(
                "0 for a number that just leaves the support",
                "sparsemax(x)",
                x=[1.0, 0.0],
                value=[1, 0],
                cotangent=[2, 3],
                gradients=[[0, 0]],
            ),
        ),
    ),
    _entry(
        "squareplus",
        more=(sample("squareplus(x, 0.5)", x=spread(5)),),
        errors=(error("squareplus(ROWS, 0)", ValueError, "squareplus: b = 0: expected a positive number"),),
    ),
    _entry("tanh_shrink"),
    Entry(
        "threshold",
        samples=(sample("threshold(x, 0.1, -2)", x=spread(3, 4)),),
        errors=(error("threshold(LABELS, 0, 1)", TypeError, "x must be float32 or float64, not int64"),),
        kinks=(
            kink(
                "0 at the threshold",
                "threshold(x, 0.5, 9)",
                x=[0.5],
                value=[9],
                cotangent=[2],
                gradients=[[0]],
            ),
        ),
    ),
]
