"""Parts of a tensor, picked by indices."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

ENTRIES = [
    Entry(
        "index",
        samples=(
            sample("index(x, 1)", x=normal(2, 3), linear="x"),
            sample("x[::-1, None, ..., 1:]", x=normal(2, 3), linear="x"),
            sample("x[MASK]", x=normal(2, 3), linear="x"),
            sample("x[[2, 0, 2, 2]]", x=normal(3, 2), linear="x"),
            sample("x[:, [[0, 1], [1, -1]]]", x=normal(2, 3), linear="x"),
            sample("x[[0, 1], [2, 2]]", x=normal(2, 3), linear="x"),
        ),
        errors=(
            error("index(ROWS, ROWS)", TypeError, "an index must hold integers or booleans, not float32"),
            error("index(ROWS, 2)", IndexError, "out of bounds"),
        ),
    ),
    Entry(
        "take",
        samples=(sample("take(x, [[0, 2], [2, 2]], 1)", x=normal(2, 3), linear="x"),),
        errors=(
            error("take(ROWS, [0.5], 0)", TypeError, "indices must hold integers"),
            error("take(ROWS, [3], 1)", IndexError, "out of bounds"),
        ),
    ),
    Entry(
        "take_along_axis",
        samples=(
            sample("take_along_axis(x, [[1], [0]], 1)", x=normal(2, 3), linear="x"),
            sample("take_along_axis(x, [[1, 0, 1], [1, 1, 1]], 0)", x=normal(2, 3), linear="x"),
        ),
        errors=(
            error(
                "take_along_axis(ROWS, [[0], [3]], 1)",
                ValueError,
                r"take_along_axis: the index at position \(1, 0\) is 3, but there are 3 elements along the axis",
            ),
            error("take_along_axis(ROWS, [[0], [0], [0]], 1)", ValueError, "they may differ along axis 1 only"),
            error("take_along_axis(ROWS, [[0.5], [0]], 1)", TypeError, "take_along_axis: indices must hold integers"),
            error("take_along_axis(ROWS, [0], 1)", ValueError, "they may differ along axis 1 only"),
            error("take_along_axis(IMAGE, [[[[0, 0]]]], 1)", ValueError, "they may differ along axis 1 only"),
        ),
    ),
]
