"""A whole training on the fast kernels is that on the reference kernels, up to rounding."""

import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import losses, optimizers, random
from tomograd.models import CNN, RecurrentClassifier, UNet


def unet():
    return UNet((None, None, 2), 1, base_filters=4, depth=2, dropout=0.1, dtype="float64")


def plain_unet():
    return UNet((None, 1), 2, base_filters=3, depth=2, normalization=None, upsampling="resize", dtype="float64")


def cnn():
    return CNN((10, 9, 1), 3, filters=(4, 5), dense=6, padding="same", normalization="batch", dtype="float64")


def recurrent():
    return RecurrentClassifier(
        (3, 6, 5, 1), 2, "gru", units=(4, 3), bidirectional=True, filters=2, features=4, mask_value=0.0, dtype="float64"
    )


CASES = {
    "unet": (unet, (4, 13, 10, 2), losses.BinaryCrossentropy(from_logits=True)),
    "plain unet": (plain_unet, (4, 21, 1), losses.SparseCategoricalCrossentropy(from_logits=True)),
    "cnn": (cnn, (6, 10, 9, 1), losses.SparseCategoricalCrossentropy(from_logits=True)),
    "recurrent": (recurrent, (6, 3, 6, 5, 1), losses.SparseCategoricalCrossentropy(from_logits=True)),
}


def trained(name, backend):
    random.seed(5)
    make, shape, loss = CASES[name]
    generator = np.random.default_rng(5)
    x = generator.standard_normal(shape)
    with kernels.using(backend):
        model = make()
        y = generator.integers(0, 2, shape[:1] if name in ("cnn", "recurrent") else (*shape[:-1], 1))
        model.compile(optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
        history = model.fit(x, y, batch_size=2, epochs=2, verbose=0).history
        return history["loss"], model.get_weights(), model.predict(x)


@pytest.mark.parametrize("name", CASES)
def test_cpu_trains_as_the_reference(name):
    losses_here, weights, outputs = trained(name, "cpu")
    losses_there, reference_weights, reference_outputs = trained(name, "reference")
    np.testing.assert_allclose(losses_here, losses_there, rtol=1e-9)
    np.testing.assert_allclose(outputs, reference_outputs, rtol=1e-6, atol=1e-8)
    for ours, theirs in zip(weights, reference_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_cpu_gives_the_same_bits_every_time():
    first, second = trained("unet", "cpu"), trained("unet", "cpu")
    assert first[0] == second[0]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(first[1], second[1], strict=True))
