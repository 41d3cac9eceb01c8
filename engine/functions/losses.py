"""Losses, one number for each row or element: whoever calls them sums or averages.

Cross-entropies from logits are fused with their softmax or sigmoid, and exact at any logits. From probabilities, these
are clipped to [ε, 1 − ε], and the gradient is 0 where they were. Targets take the type of the predictions; they are
differentiated too if they require a gradient (class labels, being integers, cannot).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import kernels
from ..tape import Fused
from ..tensor import Array, Tensor, as_tensor, beside, from_array
from .activations import log_softmax, softplus
from .arguments import floating, integer_array, require_in_range
from .arithmetic import clip
from .broadcasting import sum
from .elementwise import log, log1p, square
from .indexing import take_along_axis
from .shaping import reshape, squeeze

EPSILON = 1e-7  # Keras's


class SparseCrossEntropy(Fused):
    def forward(self, logits: Array, labels: Array) -> Array:
        self.save(logits)
        return kernels.of(logits).sparse_cross_entropy(logits, labels)

    def gradient(self, cotangent: Array, logits: Array) -> tuple[Array]:
        return (kernels.of(logits).sparse_cross_entropy_gradient(cotangent, logits, **self.parameters),)

    def composition(self, logits: Tensor, labels: Array) -> Tensor:
        return -_pick(log_softmax(logits), labels)


class SparseCrossEntropyFromProbabilities(Fused):
    def forward(self, p: Array, labels: Array, epsilon: float) -> Array:
        self.save(p)
        return kernels.of(p).sparse_cross_entropy_from_probabilities(p, labels, epsilon)

    def gradient(self, cotangent: Array, p: Array) -> tuple[Array]:
        kernel = kernels.of(p).sparse_cross_entropy_from_probabilities_gradient
        return (kernel(cotangent, p, **self.parameters),)

    def composition(self, p: Tensor, labels: Array, epsilon: float) -> Tensor:
        return -log(clip(_pick(p, labels), epsilon, 1 - epsilon))


def _pick(rows: Tensor, labels: Array) -> Tensor:
    """rows[r, labels[r]] for each row r."""
    return squeeze(take_along_axis(rows, labels[:, None], 1), 1)


class CrossEntropy(Fused):
    covers = 1

    def forward(self, logits: Array, targets: Array) -> Array:
        self.save(logits, targets)
        return kernels.of(logits).cross_entropy(logits, targets)

    def gradient(self, cotangent: Array, logits: Array, targets: Array) -> tuple[Array]:
        return (kernels.of(logits).cross_entropy_gradient(cotangent, logits, targets),)

    def composition(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -sum(targets * log_softmax(logits), 1)


class CrossEntropyFromProbabilities(Fused):
    covers = 1

    def forward(self, p: Array, targets: Array, epsilon: float) -> Array:
        self.save(p, targets)
        return kernels.of(p).cross_entropy_from_probabilities(p, targets, epsilon)

    def gradient(self, cotangent: Array, p: Array, targets: Array) -> tuple[Array]:
        kernel = kernels.of(p).cross_entropy_from_probabilities_gradient
        return (kernel(cotangent, p, targets, **self.parameters),)

    def composition(self, p: Tensor, targets: Tensor, epsilon: float) -> Tensor:
        return -sum(targets * log(clip(p, epsilon, 1 - epsilon)), 1)


class BinaryCrossEntropy(Fused):
    covers = 1

    def forward(self, logits: Array, targets: Array) -> Array:
        self.save(logits, targets)
        return kernels.of(logits).binary_cross_entropy(logits, targets)

    def gradient(self, cotangent: Array, logits: Array, targets: Array) -> tuple[Array]:
        return (kernels.of(logits).binary_cross_entropy_gradient(cotangent, logits, targets),)

    def composition(self, logits: Tensor, targets: Tensor) -> Tensor:
        return softplus(logits) - logits * targets


class BinaryCrossEntropyFromProbabilities(Fused):
    covers = 1

    def forward(self, p: Array, targets: Array, epsilon: float) -> Array:
        self.save(p, targets)
        return kernels.of(p).binary_cross_entropy_from_probabilities(p, targets, epsilon)

    def gradient(self, cotangent: Array, p: Array, targets: Array) -> tuple[Array]:
        kernel = kernels.of(p).binary_cross_entropy_from_probabilities_gradient
        return (kernel(cotangent, p, targets, **self.parameters),)

    def composition(self, p: Tensor, targets: Tensor, epsilon: float) -> Tensor:
        q = clip(p, epsilon, 1 - epsilon)
        return -(targets * log(q)) - (1 - targets) * log1p(-q)


class SquaredError(Fused):
    def forward(self, prediction: Array, target: Array) -> Array:
        self.save(prediction, target)
        return kernels.of(prediction).squared_error(prediction, target)

    def gradient(self, cotangent: Array, prediction: Array, target: Array) -> tuple[Array | None, Array | None]:
        slope = kernels.of(prediction).squared_error_gradient(cotangent, prediction, target)
        return slope if self.needs[0] else None, -slope if self.needs[1] else None

    def composition(self, prediction: Tensor, target: Tensor) -> Tensor:
        return square(prediction - target)


class Dice(Fused):
    covers = 1

    def forward(self, probabilities: Array, targets: Array, smooth: float) -> Array:
        self.save(probabilities, targets)
        return kernels.of(probabilities).dice(probabilities, targets, smooth)

    def gradient(self, cotangent: Array, probabilities: Array, targets: Array) -> tuple[Array]:
        return (kernels.of(probabilities).dice_gradient(cotangent, probabilities, targets, **self.parameters),)

    def composition(self, probabilities: Tensor, targets: Tensor, smooth: float) -> Tensor:
        overlap = 2 * sum(probabilities * targets, 1) + smooth
        total = sum(probabilities, 1) + sum(targets, 1) + smooth
        empty = from_array((total.array == 0).astype(total.dtype))
        return overlap / (total + empty) * (1 - empty) + empty  # the constant 1 where it would be 0/0


def sparse_cross_entropy(predictions: Any, labels: Any, from_logits: bool = True, epsilon: float = EPSILON) -> Tensor:
    """−ln p[label]: predictions (…, C), labels (…) integers in 0 … C − 1 → (…).

    from_logits: predictions are logits z with p = softmax(z); else they are the probabilities p.
    Raises ValueError for a label outside 0 … C − 1 (saying which, where, and how many classes there are).
    """
    (predictions,) = floating("sparse_cross_entropy", predictions=predictions)
    labels = beside(integer_array("sparse_cross_entropy", "labels", labels), predictions.array)
    if not predictions.ndim or labels.shape != predictions.shape[:-1]:
        raise ValueError(
            f"sparse_cross_entropy: labels have shape {labels.shape}, predictions {predictions.shape}: "
            "expected (…) and (…, C)"
        )
    classes = predictions.shape[-1]
    require_in_range("sparse_cross_entropy", "the class index", labels, classes, "classes")
    rows = _rows(predictions)
    labels_of_rows = labels.ravel().astype(np.int64, copy=False)
    if from_logits:
        loss = SparseCrossEntropy()(rows, labels=labels_of_rows)
    else:
        loss = SparseCrossEntropyFromProbabilities()(rows, labels=labels_of_rows, epsilon=float(epsilon))
    return reshape(loss, labels.shape)


def cross_entropy(predictions: Any, targets: Any, from_logits: bool = True, epsilon: float = EPSILON) -> Tensor:
    """−Σ_c targets[c]·ln p[c]: predictions and targets (…, C) → (…).

    from_logits: predictions are logits z with p = softmax(z); else they are the probabilities p.
    """
    predictions, targets = _alike("cross_entropy", "predictions", predictions, "targets", targets)
    if not predictions.ndim:
        raise ValueError("cross_entropy: predictions have no dimensions: expected (…, C)")
    rows, target_rows = _rows(predictions), _rows(targets)
    if from_logits:
        loss = CrossEntropy()(rows, target_rows)
    else:
        loss = CrossEntropyFromProbabilities()(rows, target_rows, epsilon=float(epsilon))
    return reshape(loss, predictions.shape[:-1])


def binary_cross_entropy(predictions: Any, targets: Any, from_logits: bool = True, epsilon: float = EPSILON) -> Tensor:
    """−t·ln p − (1 − t)·ln(1 − p), element by element; predictions and targets of one shape.

    from_logits: predictions are logits z with p = σ(z); else they are the probabilities p.
    """
    predictions, targets = _alike("binary_cross_entropy", "predictions", predictions, "targets", targets)
    if from_logits:
        return BinaryCrossEntropy()(predictions, targets)
    return BinaryCrossEntropyFromProbabilities()(predictions, targets, epsilon=float(epsilon))


def squared_error(prediction: Any, target: Any) -> Tensor:
    """(prediction − target)², element by element; both of one shape."""
    return SquaredError()(*_alike("squared_error", "prediction", prediction, "target", target))


def dice(probabilities: Any, targets: Any, smooth: float = 0.0) -> Tensor:
    """Dice coefficients (2·Σ p·t + smooth)/(Σ p + Σ t + smooth): both (N, *positions, C) → (N, C), Σ over positions.

    Empty against empty is 1, with gradient 0 where smooth = 0. A loss is 1 minus it.
    """
    p, t = _alike("dice", "probabilities", probabilities, "targets", targets)
    if p.ndim < 2:
        raise ValueError(f"dice: probabilities have shape {p.shape}: expected (N, *positions, C)")
    positions = (p.shape[0], math.prod(p.shape[1:-1]), p.shape[-1])
    return Dice()(reshape(p, positions), reshape(t, positions), smooth=float(smooth))


def _rows(x: Tensor) -> Tensor:
    """(…, C) as (R, C)"""
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _alike(function: str, x_name: str, x: Any, y_name: str, y: Any) -> tuple[Tensor, Tensor]:
    """Two tensors of one shape, the second in the type of the first. Raises ValueError if the shapes differ: they are
    not broadcast, since (N,) against (N, 1) would silently become (N, N)."""
    (x,) = floating(function, **{x_name: x})
    y = as_tensor(as_tensor(y), x.dtype)
    if not y.requires_grad:
        y = from_array(beside(y.array, x.array))
    if x.shape != y.shape:
        raise ValueError(f"{function}: {x_name} has shape {x.shape}, {y_name} has shape {y.shape}: expected the same")
    return x, y
