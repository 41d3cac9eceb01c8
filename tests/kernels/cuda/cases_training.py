"""Whole models on the CUDA kernels: a training run gives the losses that the CPU's kernels give."""

import numpy as np
import pytest

import tomograd as tg
from tomograd import layers


@pytest.fixture
def device(on_gpu):
    """A device for `fit`: the GPU, or a pretended one on which the CUDA sources are emulated."""
    if on_gpu:
        yield "cuda"
        return
    from pretended_device import emulated_device

    with emulated_device():
        yield "cuda"


def classifier(jit_compile="auto", optimizer="adam"):
    model = tg.models.Sequential(
        [
            layers.Input((9, 7, 1)),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3, padding="same"),
            layers.LayerNormalization(),
            layers.Activation("gelu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(3),
        ]
    )
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, jit_compile=jit_compile)
    return model


def unet():
    model = tg.models.UNet((8, 8, 1), 1, base_filters=2, depth=2)
    model.compile("sgd", loss=tg.losses.BinaryCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("make", [classifier, unet])
def test_a_training_run(device, make):
    generator = np.random.default_rng(0)
    shape = (6, 9, 7, 1) if make is classifier else (4, 8, 8, 1)
    x = generator.standard_normal(shape).astype(np.float32)
    y = generator.integers(0, 3, 6) if make is classifier else (x > 0).astype(np.float32)

    def run(device):
        tg.random.seed(1)
        model = make()
        history = model.fit(x, y, batch_size=4, epochs=2, verbose=0, device=device).history["loss"]
        return [*history, *model.predict(x).ravel()]

    np.testing.assert_allclose(run(device), run(None), rtol=2e-4, atol=2e-5)


@pytest.mark.filterwarnings("error:.*jit_compile")
def test_steps_captured_into_graphs_have_the_same_bits(device):
    """Batches of two shapes: each runs once as it is written, and is captured then, with the optimizer's step, whose
    learning rate is another one each time, and which makes gradients smaller."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((6, 9, 7, 1)).astype(np.float32), generator.integers(0, 3, 6)

    def run(jit_compile):
        tg.random.seed(1)
        rates = tg.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)
        model = classifier(jit_compile, tg.optimizers.AdamW(rates, global_clipnorm=0.5))
        history = model.fit(x, y, batch_size=4, epochs=4, verbose=0, device=device).history["loss"]
        assert not jit_compile or len([graph for graph in model._captured._graphs.values() if graph]) == 2
        assert not jit_compile or model._captured.left_out is None
        return history, model.get_weights() + list(model.optimizer.state().values())

    (losses, weights), (expected, others) = run(True), run(False)
    assert losses == expected
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("error:.*jit_compile")
def test_a_graph_makes_no_step_for_a_loss_that_is_not_finite(device):
    x, y = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32), np.ones((4, 1), np.float32)
    tg.random.seed(1)
    model = tg.models.Sequential([layers.Input((3,)), layers.Dense(2, kernel_constraint="unit_norm"), layers.Dense(1)])
    optimizer = tg.optimizers.Lamb(0.1, clipnorm=0.1, use_ema=True, gradient_accumulation_steps=2)
    model.compile(optimizer, "mse", jit_compile=True)
    model.to("cuda")
    for _ in range(8):
        model.train_on_batch(x, y)
    assert len([graph for graph in model._captured._graphs.values() if graph]) == 2
    for _ in range(2):
        before = [*model.get_weights(), *optimizer.state().values()]
        with pytest.raises(tg.models.NonFiniteLossError):
            model.train_on_batch(x * np.nan, y)
        for one, other in zip(before, [*model.get_weights(), *optimizer.state().values()], strict=True):
            np.testing.assert_array_equal(one, other)
        model.train_on_batch(x, y)
    assert optimizer.iterations == 5
