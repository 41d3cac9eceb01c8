"""Constraints, penalties, operations of graphs with their constants, augmented masks, on a device: as in main memory.

The device is pretended, with the reference's kernels.
"""

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import constraints, kernels, layers, regularizers

F = tg.functional
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 5)).astype(np.float32)
Y = RNG.standard_normal((6, 3)).astype(np.float32)
ROW = RNG.uniform(1.0, 2.0, 4).astype(np.float32)


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def model():
    tg.random.seed(1)
    x = layers.Input((5,))
    held = layers.Dense(
        4,
        kernel_constraint=constraints.MaxNorm(0.5),
        bias_constraint="non_neg",
        kernel_regularizer=regularizers.OrthogonalRegularizer(0.1),
        activity_regularizer="l2",
    )(x)
    gated = F.sigmoid(held / ROW) * held + 0.5 - F.concatenate([held[:, 2:], held[:, :2]], axis=1) ** 2
    between = layers.ActivityRegularization(l1=0.01)(gated)
    outputs = layers.Dense(3, kernel_constraint=constraints.MinMaxNorm(0.2, 0.8, 0.5), bias_constraint="unit_norm")
    made = tg.Model(x, outputs(between))
    made.compile(tg.optimizers.SGD(0.2), "mse")
    return made


def test_constraints_penalties_and_operations(cupy):
    with kernels.using("reference"):
        here = model()
        expected = here.fit(X, Y, batch_size=3, epochs=3, verbose=0, shuffle=False).history["loss"]
    there = model()
    found = there.fit(X, Y, batch_size=3, epochs=3, verbose=0, shuffle=False, device="cuda").history["loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert {weight.device for weight in there.weights} == {"cuda:0"}
    for one, other in zip(here.get_weights(), there.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    norms = np.sqrt((there.layers[1].kernel.numpy() ** 2).sum(0))
    assert norms.max() <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.RandomFlip(seed=1),
        lambda: layers.RandomRotation(0.3, seed=1),
        lambda: layers.RandomZoom(0.3, 0.2, seed=1),
        lambda: layers.RandomTranslation(0.3, 0.2, seed=1),
        lambda: layers.RandomCrop(3, 4, seed=1),
    ],
)
def test_images_and_masks_by_one_draw(cupy, make):
    images = RNG.standard_normal((3, 6, 5, 2)).astype(np.float32)
    masks = RNG.integers(0, 4, (3, 6, 5))
    with kernels.using("reference"):
        here = make()({"images": images, "segmentation_masks": masks}, training=True)
    moved = {"images": tg.Tensor(images).to("cuda"), "segmentation_masks": tg.Tensor(masks).to("cuda")}
    there = make()(moved, training=True)
    for key, expected in here.items():
        assert there[key].device == "cuda:0"
        np.testing.assert_allclose(there[key].numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
