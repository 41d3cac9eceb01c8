"""Losses over vectors: the cosine between prediction and target, and the circle loss, which learns embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functions as F
from ..capture import constant
from ..lengths import unit_length
from ..tensor import Array, Tensor, as_tensor
from .base import Loss, axis_last, checked_axis, of_one_shape


class CosineSimilarity(Loss):
    """−Σ t·p / (‖t‖·‖p‖) over `axis`: −1 for one direction, 0 for orthogonal vectors, 1 for opposite ones.

    Against a vector of zeros it is 0, with gradient 0. Vectors of every other length count alike, the shortest and
    longest too: they are first divided by their largest entry (Keras, which multiplies by at most 1e7, gives less
    for vectors shorter than that, and NaN as the gradient at 0).
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = checked_axis(self.name, axis)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        y_true, y_pred = of_one_shape(self.name, y_true, y_pred)
        return axis_last(self.name, self.axis, y_true), axis_last(self.name, self.axis, y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -F.sum(unit_length(y_true) * unit_length(y_pred), -1)


class Circle(Loss):
    """log(1 + Σ_j e^(gamma·a_j·(s_j − m)) · Σ_i e^(−gamma·a_i·(s_i − 1 + m))), one value for each row.

    y_true: class indices (N,) or (N, 1). y_pred: embeddings (N, D), each of length 1 (of other lengths the loss means
    nothing: put a UnitNormalization before it). s are the cosines of a row with the others, i runs over those of its
    class and j over the rest; m is `margin`; a_i = max(1 + m − s_i, 0) and a_j = max(s_j + m, 0) weigh what is still
    far from its aim more, and their gradients count, as in Keras. remove_diagonal: a row is no example for itself.

    A row with none of its class beside it, or nothing but that, has no value and does not enter the mean; Keras leaves
    out all rows whose loss is rounded to 0, the well learnt ones too. (Sun et al., Circle loss: a unified perspective
    of pair similarity optimization, 2020.)
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.gamma, self.margin, self.remove_diagonal = gamma, margin, bool(remove_diagonal)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return _labels_of_embeddings(self.name, y_true, y_pred), y_pred

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.against(y_true, y_pred, y_true, y_pred)

    def valid(self, y_true: Tensor, y_pred: Tensor) -> Array:
        positive, negative = self._pairs(y_true, y_true)
        return positive.any(axis=1) & negative.any(axis=1)

    def against(self, labels: Tensor, rows: Tensor, others: Tensor, embeddings: Tensor) -> Tensor:
        """The loss of rows (N, D) with labels (N,) against embeddings (M, D) of classes `others` (M,): (N,)."""
        positive, negative = self._pairs(labels, others)
        both = (positive.any(axis=1) & negative.any(axis=1))[:, None]
        distance = F.maximum(1.0 - F.matmul(rows, F.transpose(embeddings)), 0.0)
        attraction = -self.gamma * F.maximum(self.margin + distance, 0.0) * (self.margin - distance)
        repulsion = self.gamma * F.maximum(1.0 + self.margin - distance, 0.0) * (1.0 - self.margin - distance)
        # Rows without a value get any finite one, so that no −∞ − −∞ comes into the gradient.
        total = [
            F.logsumexp(F.where(both, F.where(mask, value, -np.inf), 0.0), 1)
            for mask, value in ((positive, attraction), (negative, repulsion))
        ]
        return F.where(both[:, 0], F.softplus(total[0] + total[1]), 0.0)

    def _pairs(self, labels: Tensor, others: Tensor) -> tuple[Array, Array]:
        """Which pairs are of one class, and which of two (N, M)."""
        positive = labels.array[:, None] == others.array[None, :]
        negative = ~positive
        if self.remove_diagonal:
            row, column = (np.arange(size) for size in positive.shape)
            positive = positive & constant(row[:, None] != column, positive)
        return positive, negative


def _labels_of_embeddings(name: str, labels: Any, embeddings: Tensor) -> Tensor:
    labels = as_tensor(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = F.squeeze(labels, 1)
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"{name}: y_true has shape {labels.shape}, y_pred {embeddings.shape}: expected class indices (N,) and "
            "embeddings (N, D)"
        )
    return labels


def circle_against(
    y_true: Any, y_pred: Any, ref_labels: Any, ref_embeddings: Any, remove_diagonal: bool, gamma: float, margin: float
) -> Tensor:
    """The circle loss of each row of y_pred against reference embeddings; None for y_pred's own."""
    loss = Circle(gamma, margin, remove_diagonal, None)
    rows = as_tensor(y_pred)
    rows = rows if rows.dtype.kind == "f" else F.astype(rows, np.float32)
    embeddings = rows if ref_embeddings is None else as_tensor(ref_embeddings, rows.dtype)
    labels = _labels_of_embeddings("circle", y_true, rows)
    others = labels if ref_labels is None else as_tensor(ref_labels)
    others = _labels_of_embeddings("circle: of the reference", others, embeddings)
    return loss.against(labels, rows, others, embeddings)
