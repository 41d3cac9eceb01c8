"""Sums, means, products and extremes over axes; repeating, which is the transpose of a sum."""

from __future__ import annotations

import numpy as np

from .entries import Entry, Error, error, kink, sample
from .values import normal, spread

_OUT_OF_RANGE = "axis = 2 is out of range for 2 dimensions"
_TWICE = "names an axis twice"
_FIRST = "to the first of equal ones in row-major order over the reduced axes; NaN counts as extreme"


def _extreme(name: str) -> Entry:
    axes = "(2, 0), True" if name == "max" else "(1, 2)"
    return Entry(
        name,
        samples=(
            sample(f"{name}(x)", x=spread(2, 3)),
            sample(f"{name}(x, 1)", x=spread(2, 3)),
            sample(f"{name}(x, {axes})", x=spread(2, 3, 2)),
        ),
        errors=(
            error(f"{name}(ROWS[:0])", ValueError, f"{name}: .* leaves 0 elements to reduce"),
            error(f"{name}(ROWS, 2)", ValueError, _OUT_OF_RANGE),
        ),
        kinks=(
            kink(_FIRST, f"{name}(x)", x=[[5, 5], [5, 5]], value=5, cotangent=3, gradients=[[[3, 0], [0, 0]]]),
            kink(
                _FIRST,
                f"{name}(x, (2, 0))",
                x=np.full((2, 2, 2), 5),
                cotangent=[2, 3],
                gradients=[[[[2, 0], [3, 0]], [[0, 0], [0, 0]]]],
            ),
            kink(_FIRST, f"{name}(x)", x=[1, np.nan, 0, np.nan], value=np.nan, cotangent=3, gradients=[[0, 3, 0, 0]]),
        ),
    )


def _constant(name: str, why: str, *errors: Error) -> Entry:
    return Entry(
        name,
        samples=(sample(f"{name}(x)", x=spread(2, 3)), sample(f"{name}(x, 1, True)", x=spread(2, 3))),
        errors=(error(f"{name}(ROWS, 2)", ValueError, _OUT_OF_RANGE), *errors),
        constant=why,
    )


def _position(name: str) -> Entry:
    empty = error(f"{name}(ROWS[:0], 0)", ValueError, f"{name}: .* leaves 0 elements to reduce")
    return _constant(name, "its result is a position", empty)


ENTRIES = [
    Entry(
        "broadcast_to",
        samples=(
            sample("broadcast_to(x, (4, 2, 3))", x=normal(2, 1), linear="x"),
            sample("broadcast_to(x, (2, 3))", x=normal(), linear="x"),
        ),
        errors=(error("broadcast_to(ROWS, (3, 3))", ValueError, "could not be broadcast"),),
    ),
    Entry(
        "tile",
        samples=(
            sample("tile(x, (2, 3))", x=normal(2, 2), linear="x"),
            sample("tile(x, 2)", x=normal(2, 3), linear="x"),
        ),
        errors=(error("tile(ROWS, (-1, 1))", ValueError, "must be non-negative"),),
    ),
    Entry(
        "repeat",
        samples=(
            sample("repeat(x, 3, 0)", x=normal(2, 2), linear="x"),
            sample("repeat(x, 2, -1)", x=normal(2, 2), linear="x"),
            sample("repeat(x, 2)", x=normal(2, 2), linear="x"),
        ),
        errors=(error("repeat(ROWS, 2, 2)", ValueError, _OUT_OF_RANGE),),
    ),
    Entry(
        "sum",
        samples=(
            sample("sum(x)", x=normal(2, 3), linear="x"),
            sample("sum(x, (0, -1), keepdims=True)", x=normal(2, 3, 2), linear="x"),
        ),
        errors=(error("sum(ROWS, (0, 0))", ValueError, _TWICE), error("sum(ROWS, 2)", ValueError, _OUT_OF_RANGE)),
    ),
    Entry(
        "sum_to",
        samples=(
            sample("sum_to(x, (3, 1))", x=normal(2, 3, 2), linear="x"),
            sample("sum_to(x, (1, 1))", x=normal(3, 2, 1), linear="x"),
        ),
        errors=(error("sum_to(ROWS, (4,))", ValueError, "does not fit into"),),
    ),
    Entry(
        "mean",
        samples=(
            sample("mean(x, 0)", x=normal(2, 3), linear="x"),
            sample("mean(x, (0, 2))", x=normal(2, 3, 2), linear="x"),
        ),
        errors=(
            error("mean(ROWS[:0])", ValueError, r"mean: shape \(0, 3\) .* leaves 0 elements to reduce; .* at least 1"),
        ),
    ),
    Entry(
        "var",
        samples=(sample("var(x, -1)", x=normal(2, 4)), sample("var(x, None, 1, True)", x=normal(2, 3))),
        errors=(error("var(ROWS, 0, 2)", ValueError, "var: .* leaves 2 elements to reduce; expected at least 3"),),
    ),
    Entry(
        "std",
        samples=(sample("std(x, -1)", x=normal(2, 4)), sample("std(x, 0, 1, True)", x=normal(3, 2))),
        errors=(error("std(ROWS, 0, 2)", ValueError, "std: .* leaves 2 elements to reduce; expected at least 3"),),
        kinks=(kink("0 where all are equal", "std(x)", x=[2, 2, 2], value=0, cotangent=3, gradients=[[0, 0, 0]]),),
    ),
    _extreme("max"),
    _extreme("min"),
    Entry(
        "prod",
        samples=(
            sample("prod(x, 1)", x=normal(2, 5)),
            sample("prod(x, (0, 2), keepdims=True)", x=normal(2, 2, 3)),
            sample("prod(x)", x=[[0.0, 2.0], [0.0, -1.0]]),
            sample("prod(x)", x=[3.0, 0.0, -1.0]),
        ),
        errors=(error("prod(ROWS, (0, 0))", ValueError, _TWICE),),
    ),
    _position("argmax"),
    _position("argmin"),
    _constant("any", "its result is a truth value"),
    _constant("all", "its result is a truth value"),
]
