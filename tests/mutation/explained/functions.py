"""Mutants that may live, of functions of values and shapes: module, statement before, statements after, why."""

from __future__ import annotations

ACTIVATIONS = "engine.functions.activations"

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        ACTIVATIONS,
        "return where(x > 0, x, parameter * expm1(minimum(x, 0)))",
        ("return where(x > 0, x, parameter * expm1(minimum(x, 1)))",),
        "Where x is above 0 the other branch is taken, and this one only has to be finite.",
    ),
    (
        ACTIVATIONS,
        "near = clip(x, -1000, 1000)",
        (
            "near = clip(x, -1001, 1000)",
            "near = clip(x, -999, 1000)",
            "near = clip(x, -1000, 1001)",
            "near = clip(x, -1000, 999)",
        ),
        "So far out the sigmoid is 0 or 1 and its slope 0; the cube of the bound only must not overflow.",
    ),
    (
        ACTIVATIONS,
        "return logaddexp(x, 0)",
        ("return logaddexp(0, x)",),
        "It is symmetric, to the last bit.",
    ),
    (
        ACTIVATIONS,
        "if axis == x.ndim - 1:",
        ("if axis == x.ndim + 1:", "if axis == x.ndim - 0:"),
        "The last axis is exchanged with itself, which takes time and changes nothing.",
    ),
    (
        ACTIVATIONS,
        "return where(x > 0, x, alpha * minimum(x, 0))",
        ("return where(x > 0, x, alpha * minimum(x, 1))",),
        "Where x is above 0 the other branch is taken, and this one only has to be finite.",
    ),
]
