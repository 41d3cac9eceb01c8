"""Losses on a device: values and gradients are those of main memory, for labels and weights from either place."""

import numpy as np
import pytest
from pretended_device import reference_device

from tomograd.engine import Tensor, grad, losses

GENERATOR = np.random.default_rng(0)
P, Z = GENERATOR.uniform(0.05, 0.95, (4, 3)), GENERATOR.standard_normal((4, 3))
T = (GENERATOR.random((4, 3)) < 0.5).astype(float)
ROWS, LABELS = P / P.sum(-1, keepdims=True), np.array([0, 2, 1, 2])
UNIT = Z / np.linalg.norm(Z, axis=-1, keepdims=True)

CASES = [
    (losses.BinaryCrossentropy(axis=0), T, P),
    (losses.BinaryFocalCrossentropy(gamma=0.5, from_logits=True), T, Z),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), ROWS, P),
    (losses.CategoricalFocalCrossentropy([0.2, 0.3, 0.5], from_logits=True), ROWS, Z),
    (losses.CategoricalGeneralizedCrossEntropy(), LABELS, P),
    (losses.SparseCategoricalCrossentropy(True, ignore_class=1), LABELS, Z),
    (losses.SparseCategoricalCrossentropy(True, label_smoothing=0.1), LABELS, Z),
    (losses.MeanSquaredError(), P, Z),
    (losses.MeanAbsoluteError(), P, Z),
    (losses.MeanAbsolutePercentageError(), P, Z),
    (losses.MeanSquaredLogarithmicError(), P, Z),
    (losses.LogCosh(), P, 2 * Z),
    (losses.Huber(), P, 2 * Z),
    (losses.Hinge(), T, Z),
    (losses.SquaredHinge(), T, Z),
    (losses.CategoricalHinge(), np.eye(3)[LABELS], Z),
    (losses.KLDivergence(), ROWS * (T > 0), P),
    (losses.Poisson(), 3 * T, P),
    (losses.CosineSimilarity(), P, Z),
    (losses.CTC(), np.array([[1, 1], [2, 0], [2, 1], [0, 0]]), GENERATOR.standard_normal((4, 4, 3))),
    (losses.Circle(gamma=4.0), LABELS, UNIT),
    (losses.Dice(axis=1), T, P),
    (losses.Tversky(0.3, 0.7, axis=1), T, P),
    (losses.FocalTversky(axis=1), T, P),
    (losses.DiceCrossentropy(), T, Z[..., None]),
    (losses.DiceCrossentropy(ignore_class=1), T, Z[..., None]),
    (
        losses.DiceCrossentropy(ignore_class=255),
        np.array([[0, 255], [1, 2], [255, 255], [1, 1]]),
        P.reshape(2, 2, 3)[[0, 1, 0, 1]],
    ),
    (losses.DiceCrossentropy(include_background=False), LABELS[:, None], Z[:, None]),
]


def test_every_loss_stands_here():
    public = {name for name in losses.__all__ if isinstance(getattr(losses, name), type)} - {"Loss"}
    assert {type(loss).__name__ for loss, _, _ in CASES} == public


@pytest.mark.parametrize(("loss", "y_true", "y_pred"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_every_loss_and_its_gradient(loss, y_true, y_pred):
    weights = None if getattr(loss, "axis", 1) == 0 else np.array([0.5, 2.0, 1.0, 1.5])
    with reference_device() as cupy:
        here = Tensor(y_pred, requires_grad=True)
        value = loss(y_true, here, weights)
        expected = grad(value, here)
        for truth in (y_true, cupy.asarray(y_true)):
            there = Tensor(cupy.asarray(y_pred), requires_grad=True)
            moved = loss(truth, there, weights)
            gradient = grad(moved, there)
            for one in (moved, gradient):
                assert isinstance(one.array, cupy.ndarray), type(one.array)
            np.testing.assert_allclose(moved.array.get(), value.numpy(), rtol=1e-12)
            np.testing.assert_allclose(gradient.array.get(), expected.numpy(), rtol=1e-10, atol=1e-14)
