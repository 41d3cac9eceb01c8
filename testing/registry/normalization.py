"""Batch, layer, group and instance normalisation."""

from __future__ import annotations

import numpy as np

from .entries import Entry, error, kink, sample
from .values import normal, positive

_INFERENCE = "batch_norm(x, gamma, beta, moving_mean, moving_variance, training=False)"

ENTRIES = [
    Entry(
        "batch_norm",
        samples=(
            sample(
                "batch_norm(x, gamma, beta)", x=normal(4, 2, 3), gamma=normal(3), beta=normal(3), linear="gamma beta"
            ),
            sample("batch_norm(x, epsilon=0.1)", x=normal(5, 2)),
            sample("batch_norm(x, gamma, beta, activation='relu')", x=normal(4, 3), gamma=normal(3), beta=normal(3)),
            sample("batch_norm(x, gamma, activation='tanh')", x=normal(4, 3), gamma=normal(3)),
            sample(
                _INFERENCE,
                x=normal(2, 3),
                gamma=normal(3),
                beta=normal(3),
                moving_mean=normal(3),
                moving_variance=positive(3),
                linear="x gamma beta moving_mean",
            ),
            sample(
                "batch_norm(x, gamma, beta, MOVING_MEAN, MOVING_VARIANCE, training=False, activation='relu')",
                x=normal(4, 3),
                gamma=normal(3),
                beta=normal(3),
            ),
        ),
        errors=(
            error("batch_norm(ROWS, ROWS[:, 0])", ValueError, r"gamma has shape \(2,\), expected \(3,\)"),
            error("batch_norm(ROWS[:0])", ValueError, r"a batch of shape \(0, 3\) has no mean"),
            error("batch_norm(IMAGE[:, :, :0])", ValueError, "has no mean"),
            error("batch_norm(np.float32(1))", ValueError, r"batch_norm: x has no dimensions: expected \(N, …, C\)"),
            error("batch_norm(ROWS, training=False)", ValueError, "moving_mean and moving_variance must be given"),
            error("batch_norm(ROWS, moving_mean=ROWS[0])", ValueError, "must be given together"),
        ),
        kinks=(
            kink(
                "a fused relu passes nothing at 0",
                "batch_norm(x, gamma, beta, activation='relu')",
                x=[[1, -2], [3, 5], [0, 1]],
                gamma=[0, 0],
                beta=[0, 0],
                value=np.zeros((3, 2)),
                cotangent=[[2, 3], [5, 7], [11, 13]],
                gradients=[np.zeros((3, 2)), [0, 0], [0, 0]],
            ),
        ),
    ),
    Entry(
        "layer_norm",
        samples=(
            sample("layer_norm(x, gamma, beta)", x=normal(2, 4), gamma=normal(4), beta=normal(4), linear="gamma beta"),
            sample("layer_norm(x, gamma, axis=(0, 2))", x=normal(2, 3, 2), gamma=normal(2, 2), linear="gamma"),
        ),
        errors=(
            error("layer_norm(ROWS, ROWS[:, 0])", ValueError, r"gamma has shape \(2,\), expected \(3,\)"),
            error("layer_norm(ROWS[:, :0])", ValueError, "have no mean"),
        ),
    ),
    Entry(
        "group_norm",
        samples=(
            sample(
                "group_norm(x, 2, gamma, beta)",
                x=normal(2, 3, 4),
                gamma=normal(4),
                beta=normal(4),
                linear="gamma beta",
            ),
            sample("group_norm(x, 2)", x=normal(3, 4)),
        ),
        errors=(
            error("group_norm(IMAGE, 3)", ValueError, "groups = 3 does not divide the 2 channels"),
            error("group_norm(IMAGE, 0)", ValueError, "groups = 0 does not divide"),
            error("group_norm(IMAGE, True)", ValueError, "groups = True does not divide"),
            error("group_norm(IMAGE, 2.0)", ValueError, "groups = 2.0 does not divide"),
            error("group_norm(ROWS[0], 1)", ValueError, r"expected \(N, …, C\)"),
        ),
    ),
    Entry(
        "instance_norm",
        samples=(
            sample(
                "instance_norm(x, gamma, beta)",
                x=normal(2, 3, 2),
                gamma=normal(2),
                beta=normal(2),
                linear="gamma beta",
            ),
        ),
        errors=(
            error("instance_norm(IMAGE[:, :0])", ValueError, r"examples of shape \(0, 4, 2\) have no mean"),
            error("instance_norm(IMAGE[..., :0])", ValueError, "have no mean"),
            error("instance_norm(np.float32(1))", ValueError, "group_norm: x has no dimensions"),
        ),
    ),
]
