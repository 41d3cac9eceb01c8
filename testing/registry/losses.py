"""Losses: one number for each row or element."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, sample
from .values import normal, probabilities

_CLIPPED = "from probabilities: 0 where they are clipped to ε … 1 − ε"

ENTRIES = [
    Entry(
        "sparse_cross_entropy",
        samples=(
            sample("sparse_cross_entropy(predictions, LABELS)", predictions=normal(4, 3)),
            sample("sparse_cross_entropy(predictions, LABELS.reshape(2, 2))", predictions=normal(2, 2, 3)),
            sample("sparse_cross_entropy(predictions, LABELS, from_logits=False)", predictions=probabilities(4, 3)),
        ),
        errors=(
            error(
                "sparse_cross_entropy(ROWS, [0, 3])",
                ValueError,
                "the class index at position 1 is 3, but there are 3 classes: expected 0 to 2",
            ),
            error(
                "sparse_cross_entropy(np.zeros((2, 2, 3)), [[0, 1], [-1, 7]])",
                ValueError,
                r"the class index at position \(1, 0\) is -1, but there are 3 classes",
            ),
            error("sparse_cross_entropy(ROWS, [0.0, 1.0])", TypeError, "labels must hold integers, not float32"),
            error("sparse_cross_entropy(ROWS, [0])", ValueError, r"labels have shape \(1,\), predictions \(2, 3\)"),
        ),
        kinks=(
            kink(
                _CLIPPED,
                "sparse_cross_entropy(predictions, [0, 0, 0], from_logits=False)",
                predictions=[[0, 1], [0.5, 0.5], [1, 0]],
                cotangent=[2, 4, 8],
                gradients=[[[0, 0], [-8, 0], [0, 0]]],
            ),
            kink(
                "at ε itself that of −ln p",
                "sparse_cross_entropy(predictions, [0], from_logits=False, epsilon=0.25)",
                predictions=[[0.25, 0.75]],
                cotangent=[2],
                gradients=[[[-8, 0]]],
            ),
        ),
    ),
    Entry(
        "cross_entropy",
        samples=(
            sample(
                "cross_entropy(predictions, targets)",
                predictions=normal(2, 2, 3),
                targets=probabilities(2, 2, 3),
                linear="targets",
            ),
            sample("cross_entropy(predictions, TARGETS)", predictions=normal(4, 3)),
            sample(
                "cross_entropy(predictions, targets, from_logits=False)",
                predictions=probabilities(4, 3),
                targets=probabilities(4, 3),
                linear="targets",
            ),
        ),
        errors=(
            error(
                "cross_entropy(ROWS, ROWS[0])",
                ValueError,
                r"^cross_entropy: predictions has shape \(2, 3\), targets has shape \(3,",
            ),
            error("cross_entropy(1.0, 1.0)", ValueError, r"expected \(…, C\)"),
        ),
        kinks=(
            kink(
                _CLIPPED,
                "cross_entropy(predictions, [[0.5, 0.25, 0.25]], from_logits=False)",
                predictions=[[0, 0.5, 1]],
                cotangent=[4],
                gradients=[[[0, -2, 0]]],
            ),
            kink(
                "at ε itself that of −ln p",
                "cross_entropy(predictions, [[0.5, 0.5]], from_logits=False, epsilon=0.25)",
                predictions=[[0.25, 0.75]],
                cotangent=[3],
                gradients=[[[-6, -2]]],
            ),
        ),
    ),
    Entry(
        "binary_cross_entropy",
        samples=(
            sample(
                "binary_cross_entropy(predictions, targets)",
                predictions=normal(2, 3),
                targets=probabilities(2, 3),
                linear="targets",
            ),
            sample("binary_cross_entropy(predictions, BITS)", predictions=normal(2, 3)),
            sample(
                "binary_cross_entropy(predictions, targets, from_logits=False)",
                predictions=probabilities(2, 3),
                targets=probabilities(2, 3),
                linear="targets",
            ),
        ),
        errors=(
            error("binary_cross_entropy(ROWS, ROWS[:, :1])", ValueError, "binary_cross_entropy: predictions has shape"),
        ),
        kinks=(
            kink(
                _CLIPPED,
                "binary_cross_entropy(predictions, [1.0, 1.0, 0.0, 0.0], from_logits=False)",
                predictions=[0, 0.5, 0.5, 1],
                cotangent=[2, 3, 5, 7],
                gradients=[[0, -6, 10, 0]],
            ),
            kink(
                "at ε itself that of −ln p",
                "binary_cross_entropy(predictions, [1.0, 0.0], from_logits=False, epsilon=0.25)",
                predictions=[0.25, 0.75],
                cotangent=[2, 3],
                gradients=[[-8, 12]],
            ),
        ),
    ),
    Entry(
        "squared_error",
        samples=(sample("squared_error(prediction, target)", prediction=normal(2, 3), target=normal(2, 3)),),
        errors=(error("squared_error(ROWS, ROWS[:1])", ValueError, "squared_error: prediction has shape"),),
    ),
    Entry(
        "dice",
        samples=(
            sample(
                "dice(probabilities, targets, smooth=1.0)",
                probabilities=probabilities(2, 3, 2),
                targets=probabilities(2, 3, 2),
            ),
            sample("dice(probabilities, MASKS)", probabilities=probabilities(2, 3, 2, 2)),
        ),
        errors=(
            error("dice(ROWS[0], ROWS[0])", ValueError, r"expected \(N, \*positions, C\)"),
            error("dice(ROWS, ROWS[:1])", ValueError, "dice: probabilities has shape .*, targets has shape"),
        ),
        kinks=(
            kink(
                "empty against empty is 1, with gradient 0",
                "dice(probabilities, targets)",
                probabilities=np.zeros((1, 2, 1)),
                targets=np.zeros((1, 2, 1)),
                value=[[1]],
                cotangent=[[3]],
                gradients=[np.zeros((1, 2, 1)), np.zeros((1, 2, 1))],
            ),
            kink(
                "an empty prediction beside a mask: 2/Σ t within it, 0 elsewhere",
                "dice(probabilities, [[[1.0], [0.0]]])",
                probabilities=np.zeros((1, 2, 1)),
                value=[[0]],
                cotangent=[[3]],
                gradients=[[[[6], [0]]]],
            ),
        ),
    ),
]
