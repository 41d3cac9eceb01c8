"""Losses, one for each row or element (the caller sums or averages), and their gradients.

Cross-entropies come in two kinds: from logits z, where the loss is fused with its softmax or sigmoid and is exact
however large the logits are; and from probabilities p, which are clipped to [ε, 1 − ε] so that no logarithm is
infinite, and whose gradient is 0 where they were clipped. The bounds are rounded to the arrays' type: 1 − ε must be
less than 1 in it.
"""

from __future__ import annotations

import numpy as np

from .activations import activation, log_softmax, softmax
from .sums import total


def sparse_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of a class index, from logits: loss_r = −log softmax(logits_r)[labels_r].

    logits (R, C), labels (R,) int64 in 0 … C − 1 → loss (R,).
    """
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def sparse_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Gradient of `sparse_cross_entropy`: dlogits[r, c] = dloss_r · (softmax(logits_r)[c] − [c = labels_r]).

    dloss (R,), logits (R, C), labels (R,) → dlogits (R, C).
    """
    dlogits = softmax(logits)
    dlogits[np.arange(len(labels)), labels] -= 1
    return dloss[:, None] * dlogits


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Cross-entropy of target probabilities, from logits: loss_r = −Σ_c targets[r, c] · log softmax(logits_r)[c].

    logits, targets (R, C) → loss (R,). A target of 0 counts nothing, even where the logit is −inf (0·log 0 = 0). The
    targets need not sum to 1.
    """
    with np.errstate(invalid="ignore"):
        terms = np.where(targets == 0, np.zeros_like(logits), targets * log_softmax(logits))
    return -terms.sum(1)


def cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Gradient of `cross_entropy`.

    dlogits[r, c] = dloss_r · (softmax(logits_r)[c] · Σ_j targets[r, j] − targets[r, c])

    dloss (R,), logits and targets (R, C) → dlogits (R, C).
    """
    return dloss[:, None] * (softmax(logits) * targets.sum(1, keepdims=True) - targets)


def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Binary cross-entropy from logits, elementwise: loss = max(z, 0) − z·t + log(1 + e^(−|z|)).

    logits z, targets t in [0, 1] → loss, all of one shape. Equal to −t·log σ(z) − (1 − t)·log(1 − σ(z)), without
    overflow.
    """
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


def binary_cross_entropy_gradient(dloss: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Gradient of `binary_cross_entropy`: dlogits = dloss · (σ(logits) − targets), all of one shape."""
    return dloss * (activation(logits, "sigmoid") - targets)


def sparse_cross_entropy_from_probabilities(p: np.ndarray, labels: np.ndarray, epsilon: float) -> np.ndarray:
    """Cross-entropy of a class index, from probabilities: loss_r = −log clip(p[r, labels_r], ε, 1 − ε).

    p (R, C), labels (R,) int64 in 0 … C − 1 → loss (R,). The rows are taken as they are, not normalised.
    """
    return -np.log(_clip(p[np.arange(len(labels)), labels], epsilon))


def sparse_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, labels: np.ndarray, epsilon: float
) -> np.ndarray:
    """Gradient of `sparse_cross_entropy_from_probabilities`: dp[r, labels_r] = −dloss_r / p[r, labels_r], all else 0.

    dloss (R,), p (R, C), labels (R,) → dp (R, C); 0 where p was clipped.
    """
    rows = np.arange(len(labels))
    chosen = p[rows, labels]
    dp = np.zeros_like(p)
    dp[rows, labels] = np.where(_unclipped(chosen, epsilon), -dloss / _clip(chosen, epsilon), np.zeros_like(chosen))
    return dp


def cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    """Cross-entropy of target probabilities, from probabilities.

    loss_r = −Σ_c targets[r, c] · log clip(p[r, c], ε, 1 − ε)

    p, targets (R, C) → loss (R,). The rows are taken as they are, not normalised.
    """
    return -(targets * np.log(_clip(p, epsilon))).sum(1)


def cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    """Gradient of `cross_entropy_from_probabilities`: dp[r, c] = −dloss_r · targets[r, c] / p[r, c], 0 where clipped.

    dloss (R,), p and targets (R, C) → dp (R, C).
    """
    dp = -dloss[:, None] * targets / _clip(p, epsilon)
    return np.where(_unclipped(p, epsilon), dp, np.zeros_like(p))


def binary_cross_entropy_from_probabilities(p: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    """Binary cross-entropy from probabilities, elementwise.

    loss = −t·log q − (1 − t)·log(1 − q) with q = clip(p, ε, 1 − ε)

    p, targets t → loss, all of one shape.
    """
    q = _clip(p, epsilon)
    return -targets * np.log(q) - (1 - targets) * np.log1p(-q)


def binary_cross_entropy_from_probabilities_gradient(
    dloss: np.ndarray, p: np.ndarray, targets: np.ndarray, epsilon: float
) -> np.ndarray:
    """Gradient of `binary_cross_entropy_from_probabilities`: dp = dloss · ((1 − t)/(1 − p) − t/p), 0 where p was
    clipped.

    dloss, p, targets t → dp, all of one shape.
    """
    q = _clip(p, epsilon)
    dp = dloss * ((1 - targets) / (1 - q) - targets / q)
    return np.where(_unclipped(p, epsilon), dp, np.zeros_like(p))


def squared_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Squared error, elementwise: loss = (prediction − target)², all of one shape."""
    return (prediction - target) ** 2


def squared_error_gradient(dloss: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gradient of `squared_error`: dprediction = 2 · dloss · (prediction − target), all of one shape."""
    return 2 * dloss * (prediction - target)


def dice(probabilities: np.ndarray, targets: np.ndarray, smooth: float) -> np.ndarray:
    """Soft Dice coefficient of each example and class: (2·Σ p·t + smooth) / (Σ p + Σ t + smooth), Σ over positions.

    probabilities p, targets t (N, S, C) → coefficient (N, C). Empty against empty is 1, also for smooth = 0.

    Sources: Dice 1945, Sørensen 1948; as a loss: Milletari et al., "V-Net", 2016 (arXiv:1606.04797), there with
    squares.
    """
    numerator, denominator = _dice_fraction(probabilities, targets, smooth)
    return np.divide(numerator, denominator, out=np.ones_like(numerator), where=denominator != 0)


def dice_gradient(
    dcoefficient: np.ndarray, probabilities: np.ndarray, targets: np.ndarray, smooth: float
) -> np.ndarray:
    """Gradient of `dice`: dp = dcoefficient · (2·t − dice) / (Σ p + Σ t + smooth), 0 where that sum is 0.

    dcoefficient (N, C), probabilities p and targets t (N, S, C) → dprobabilities (N, S, C).
    """
    _, denominator = _dice_fraction(probabilities, targets, smooth)
    coefficient = dice(probabilities, targets, smooth)[:, None]
    with np.errstate(over="ignore"):
        share = np.divide(dcoefficient, denominator, out=np.zeros_like(dcoefficient), where=denominator != 0)
    largest = np.finfo(share.dtype).max  # instead of ∞, which 2·t − dice = 0 would make NaN
    share = share.clip(-largest, largest)
    return share[:, None] * (2 * targets - coefficient)


def _dice_fraction(p: np.ndarray, t: np.ndarray, smooth: float) -> tuple[np.ndarray, np.ndarray]:
    return 2 * total(p * t, (1,)) + smooth, total(p, (1,)) + total(t, (1,)) + smooth


def _clip(p: np.ndarray, epsilon: float) -> np.ndarray:
    return p.clip(epsilon, 1 - epsilon)


def _unclipped(p: np.ndarray, epsilon: float) -> np.ndarray:
    return p == _clip(p, epsilon)
