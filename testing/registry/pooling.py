"""Max and average pooling."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, sample
from .values import normal, spread

ENTRIES = [
    Entry(
        "max_pool",
        samples=(
            sample("max_pool(x, 2)", x=spread(2, 5, 2)),
            sample("max_pool(x, (2, 3), strides=1, padding='same')", x=spread(1, 3, 4, 2)),
            sample("max_pool(x, 2, strides=1, padding=((0, 1), (1, 0)), dilation_rate=2)", x=spread(1, 3, 4, 1)),
            sample("max_pool(x, (1, 2, 2))", x=spread(1, 2, 2, 3, 1)),
            sample("max_pool(relu(x), 3, strides=2)", x=spread(1, 5, 5, 1)),
        ),
        errors=(
            error("max_pool(ROWS, 2)", ValueError, "max_pool: x has shape"),
            error("max_pool(IMAGE, 5)", ValueError, r"window of size \(5, 5\) is larger"),
            error("max_pool(IMAGE, 0)", ValueError, "pool_size = 0"),
            error("max_pool(IMAGE, 2, padding=2)", ValueError, "holds nothing of the input"),
        ),
        kinks=(
            kink(
                "to the first maximum of a window, row by row",
                "max_pool(x, 2)",
                x=[[[[0], [0], [1], [2]], [[0], [0], [2], [2]]]],
                cotangent=[[[[3], [5]]]],
                gradients=[[[[[3], [0], [0], [5]], [[0], [0], [0], [0]]]]],
            ),
            kink(
                "what several windows chose gets the sum of theirs",
                "max_pool(x, 2, strides=1)",
                x=[[[7], [7], [7], [8]]],
                cotangent=[[[2], [3], [5]]],
                gradients=[[[[2], [3], [0], [5]]]],
            ),
            kink(
                "padding never wins, not even against −∞",
                "max_pool(x, 2, strides=1, padding=1)",
                x=np.full((1, 2, 2, 1), -np.inf),
                value=np.full((1, 3, 3, 1), -np.inf),
                cotangent=np.reshape([1, 2, 4, 8, 16, 32, 64, 128, 256], (1, 3, 3, 1)),
                gradients=[[[[[27], [36]], [[192], [256]]]]],
            ),
            kink(
                "after a relu 0 where the window's maximum is 0",
                "max_pool(relu(x), 2)",
                x=[[[-1], [0], [0], [-0.0], [0], [1]]],
                value=[[[0], [0], [1]]],
                cotangent=[[[2], [3], [5]]],
                gradients=[[[[0], [0], [0], [0], [0], [5]]]],
            ),
        ),
    ),
    Entry(
        "average_pool",
        samples=(
            sample("average_pool(x, 2)", x=normal(2, 5, 2), linear="x"),
            sample("average_pool(x, (2, 3), 1, 'same')", x=normal(1, 3, 4, 2), linear="x"),
            sample("average_pool(x, 2, 2, 1, count_include_pad=True)", x=normal(1, 3, 2, 2), linear="x"),
            sample("average_pool(x, (1, 2, 2))", x=normal(1, 2, 2, 3, 1), linear="x"),
        ),
        errors=(
            error("average_pool(IMAGE, 2, padding=2)", ValueError, "holds nothing of the input"),
            error("average_pool(IMAGE.astype(np.int64), 2)", TypeError, "average_pool: x must be float32 or float64"),
        ),
    ),
]
