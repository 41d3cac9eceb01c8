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
    (
        "engine.functions.losses",
        "return kernels.of(prediction).squared_error(prediction, target)",
        ("return kernels.of(prediction).squared_error(target, prediction)",),
        "the square of a difference is that of its negative",
    ),
    (
        "engine.functions.losses",
        "return kernels.of(probabilities).dice(probabilities, targets, smooth)",
        ("return kernels.of(probabilities).dice(targets, probabilities, smooth)",),
        "the coefficient is symmetric in the two",
    ),
    (
        "engine.functions.losses",
        "return overlap / (total + empty) * (1 - empty) + empty",
        ("return overlap / (total - empty) * (1 - empty) + empty",),
        "the quotient that is 0/1 or 0/−1 counts nothing",
    ),
    (
        "engine.functions.losses",
        "labels_of_rows = labels.ravel().astype(np.int64, copy=False)",
        ("labels_of_rows = labels.ravel().astype(np.int64, copy=True)",),
        "a copy of the labels takes time and nothing else",
    ),
]
