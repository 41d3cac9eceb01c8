"""Functions of two tensors, element by element, and clip."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, not_a_number, sample
from .values import normal, positive, spread

_BROADCAST = "could not be broadcast"

ENTRIES = [
    Entry(
        "add",
        samples=(
            sample("add(x, y)", x=normal(2, 3), y=normal(3), linear="x y"),
            sample("x + x", x=normal(3), linear="x"),
            sample("2 + x", x=normal(2, 2), linear="x"),
        ),
        errors=(error("add(ROWS, ROWS.T)", ValueError, _BROADCAST),),
    ),
    Entry(
        "subtract",
        samples=(
            sample("subtract(x, y)", x=normal(2, 1, 3), y=normal(4, 1), linear="x y"),
            sample("2 - x", x=normal(3), linear="x"),
        ),
        errors=(
            error("subtract(ROWS, ROWS.T)", ValueError, _BROADCAST),
            error("subtract(MASK, MASK)", TypeError, "boolean tensors cannot be subtracted"),
        ),
    ),
    Entry(
        "multiply",
        samples=(
            sample("multiply(x, y)", x=normal(2, 3), y=normal(2, 1), linear="x y"),
            sample("x * x", x=normal(3)),
            sample("multiply(x, y)", x=normal(0, 2), y=normal(2), linear="x y"),
        ),
        errors=(error("multiply(ROWS, ROWS.T)", ValueError, _BROADCAST),),
    ),
    Entry(
        "divide",
        samples=(
            sample("divide(x, y)", x=normal(2, 3), y=[-1.5, 0.7, 2.0], linear="x"),
            sample("1 / x", x=[-1.5, -0.7, 0.6, 2.0]),
        ),
        errors=(error("divide(ROWS, ROWS.T)", ValueError, _BROADCAST),),
    ),
    Entry(
        "negative",
        samples=(sample("negative(x)", x=normal(3), linear="x"),),
        errors=(not_a_number("negative('text')"),),
    ),
    Entry(
        "power",
        samples=(
            sample("power(x, y)", x=positive(2, 3), y=normal(3)),
            *[sample(f"x ** {n}", x=[-1.5, -0.7, 0.6, 1.3, 2.0]) for n in (-2, -1, 0, 1, 2, 3)],
            sample("x ** 0.5", x=positive(4)),
            sample("2 ** x", x=normal(4)),
        ),
        errors=(error("power(ROWS, ROWS.T)", ValueError, _BROADCAST),),
        kinks=(
            kink(
                "0⁰ is 1, with gradient 0 in both; 0ʸ has gradient 0 in y",
                "power(x, y)",
                x=[0, 0, 0, 0],
                y=[0, 1, 2, 3],
                value=[1, 0, 0, 0],
                cotangent=[2, 3, 5, 7],
                gradients=[[0, 3, 0, 0], [0, 0, 0, 0]],
            ),
            *[
                kink(
                    "the same for an exponent that is a number",
                    f"x ** {n}",
                    x=[0],
                    value=[value],
                    cotangent=[3],
                    gradients=[[slope]],
                )
                for n, value, slope in ((0, 1, 0), (1, 0, 3), (2, 0, 0), (3, 0, 0))
            ],
        ),
    ),
    Entry(
        "maximum",
        samples=(sample("maximum(x, y)", x=spread(2, 3), y=spread(3, shift=0.1)),),
        errors=(error("maximum(ROWS, ROWS.T)", ValueError, _BROADCAST),),
        kinks=(
            kink(
                "a tie goes to x",
                "maximum(x, y)",
                x=[1, 2, 3, 0.0, -0.0],
                y=[1, 3, 2, -0.0, 0.0],
                cotangent=[2, 3, 5, 7, 11],
                gradients=[[2, 0, 5, 7, 11], [0, 3, 0, 0, 0]],
            ),
            kink(
                "NaN takes it",
                "maximum(x, y)",
                x=[np.nan, 1],
                y=[1, np.nan],
                value=[np.nan, np.nan],
                cotangent=[2, 3],
                gradients=[[2, 0], [0, 3]],
            ),
        ),
    ),
    Entry(
        "minimum",
        samples=(sample("minimum(x, y)", x=spread(2, 3), y=spread(3, shift=0.1)),),
        errors=(error("minimum(ROWS, ROWS.T)", ValueError, _BROADCAST),),
        kinks=(
            kink(
                "a tie goes to x",
                "minimum(x, y)",
                x=[1, 2, 3, 0.0, -0.0],
                y=[1, 3, 2, -0.0, 0.0],
                cotangent=[2, 3, 5, 7, 11],
                gradients=[[2, 3, 0, 7, 11], [0, 0, 5, 0, 0]],
            ),
            kink(
                "NaN takes it",
                "minimum(x, y)",
                x=[np.nan, 1],
                y=[1, np.nan],
                value=[np.nan, np.nan],
                cotangent=[2, 3],
                gradients=[[2, 0], [0, 3]],
            ),
        ),
    ),
    Entry(
        "where",
        samples=(
            sample("where(MASK, x, y)", x=normal(2, 3), y=normal(3), linear="x y"),
            sample("where(MASK, x, 0)", x=normal(3), linear="x"),
        ),
        errors=(error("where(ROWS, 1.0, 0.0)", TypeError, "where: condition must hold booleans, not float32"),),
    ),
    Entry(
        "logaddexp",
        samples=(sample("logaddexp(x, y)", x=normal(2, 3), y=normal(2, 1)),),
        errors=(error("logaddexp(ROWS, ROWS.T)", ValueError, _BROADCAST),),
    ),
    Entry(
        "floor_divide",
        samples=(sample("floor_divide(x, y)", x=spread(2, 3), y=0.7),),
        errors=(error("floor_divide(ROWS, ROWS.T)", ValueError, _BROADCAST),),
        kinks=(
            kink(
                "0 at the jumps too",
                "floor_divide(x, y)",
                x=[2, 3],
                y=[1, 1.5],
                value=[2, 2],
                cotangent=[3, 5],
                gradients=[[0, 0], [0, 0]],
            ),
        ),
    ),
    Entry(
        "remainder",
        samples=(sample("remainder(x, y)", x=spread(2, 3), y=[0.7, -0.7, 1.9]),),
        errors=(error("remainder(ROWS, ROWS.T)", ValueError, _BROADCAST),),
        kinks=(
            kink(
                "at a jump 1 in x and −x/y in y: the slopes within the piece that begins there",
                "remainder(x, y)",
                x=[2, 3],
                y=[1, 1.5],
                value=[0, 0],
                cotangent=[3, 5],
                gradients=[[3, 5], [-6, -10]],
            ),
        ),
    ),
    Entry(
        "clip",
        samples=(
            sample("clip(x, -0.5, 0.5)", x=spread(7)),
            sample("clip(x, a_min=0.1)", x=spread(7)),
            sample("clip(x, low, 3.0)", x=spread(2, 3), low=[-0.3, 0.0, 0.3]),
        ),
        errors=(
            error("clip(ROWS, 1.0, 0.0)", ValueError, r"clip: a_min = 1\.0 is larger than a_max = 0\.0"),
            error("clip(ROWS, np.arange(3.0), 1.0)", ValueError, r"\[0\. 1\. 2\.\] is larger than a_max = 1\.0"),
        ),
        kinks=(
            kink(
                "1 at the bounds, 0 beyond",
                "clip(x, 0.0, 1.0)",
                x=[-0.5, 0, 0.5, 1, 1.5],
                cotangent=[2, 3, 5, 7, 11],
                gradients=[[0, 3, 5, 7, 0]],
            ),
            kink(
                "bounds that are tensors get none of a tie",
                "clip(x, low, high)",
                x=[1, 2, 0, 3],
                low=[1, 1, 1, 1],
                high=[2, 2, 2, 2],
                cotangent=[2, 3, 5, 7],
                gradients=[[2, 3, 0, 0], [0, 0, 5, 0], [0, 0, 0, 7]],
            ),
        ),
    ),
]
