"""Mutants that may live, of reductions, losses, products, …: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "engine.functions.reductions",
        "slope = cotangent * varied / (s * (_count(x.shape, axis) - ddof) + (1 - varied))",
        ("slope = cotangent * varied / (s * (_count(x.shape, axis) - ddof) - (1 - varied))",),
        "where the deviation is 0 the slope is 0/−1 instead of 0/1: 0 all the same",
    ),
    (
        "engine.functions.reductions",
        "factors = concatenate([product, factors[..., 2 * half:]], axis=-1) if count % 2 else product",
        ("factors = concatenate([product, factors[..., 2 * half:]], axis=-1) if count // 2 else product",),
        "an even count leaves no factor over: nothing is appended",
    ),
]
