"""Dropout, and what makes vectors of integers."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

ENTRIES = [
    Entry(  # seeded anew at each call: the same elements are dropped
        "dropout",
        samples=(
            sample("dropout(x, 0.4, generator=Generator(7))", x=normal(3, 4), linear="x"),
            sample("dropout(x, 0.4, noise_shape=(None, 1), generator=Generator(7))", x=normal(4, 3), linear="x"),
        ),
        errors=(
            error("dropout(ROWS, 1.0)", ValueError, r"rate = 1\.0: expected 0 ≤ rate < 1"),
            error("dropout(ROWS, -0.1)", ValueError, r"rate = -0\.1"),
            error("dropout(ROWS, 0.5, noise_shape=(2, 2))", ValueError, r"noise_shape = \(2, 2\) does not broadcast"),
        ),
    ),
    Entry(
        "embedding",
        samples=(sample("embedding([[0, 2], [2, 2]], weight)", weight=normal(3, 2), linear="weight"),),
        errors=(
            error(
                "embedding([0, 2], ROWS)", ValueError, "the index at position 1 is 2, but there are 2 rows in weight"
            ),
            error("embedding([0, -1], ROWS)", ValueError, "the index at position 1 is -1, but there are 2 rows"),
            error("embedding([0.0], ROWS)", TypeError, "indices must hold integers"),
            error("embedding([0], ROWS[0])", ValueError, r"expected \(V, D\)"),
        ),
    ),
    Entry(
        "one_hot",
        samples=(sample("one_hot(argmax(x, -1), 3)", x=normal(2, 3)),),
        errors=(
            error("one_hot([0.5], 3)", TypeError, "one_hot: labels must hold integers, not float32"),
            error("one_hot([0, 5], 3)", ValueError, "the class index at position 1 is 5, but there are 3 classes"),
        ),
        constant="its labels are integers",
    ),
]
