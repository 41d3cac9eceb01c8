"""The U-Net: shapes, parameters, gradients and learning, in one to three dimensions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import Tensor, grad, layers, losses, optimizers, random
from tomograd.engine import functions as F
from tomograd.models import UNet, metrics

SETTINGS = settings(deadline=None, max_examples=15)


@st.composite
def networks(draw):
    dimensions, depth = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    largest = {1: 37, 2: 21, 3: 9}[dimensions]
    depth = min(depth, {1: 4, 2: 4, 3: 3}[dimensions])
    sizes = tuple(draw(st.integers(2**depth, max(largest, 2**depth + 1))) for _ in range(dimensions))
    open_sizes = draw(st.booleans())
    arguments = {
        "input_shape": (*((None,) * dimensions if open_sizes else sizes), draw(st.integers(1, 2))),
        "classes": draw(st.integers(1, 3)),
        "base_filters": draw(st.integers(1, 2)),
        "depth": depth,
        "normalization": draw(st.sampled_from(["batch", None])),
        "upsampling": draw(st.sampled_from(["transpose", "resize"])),
    }
    return arguments, sizes


@SETTINGS
@given(networks(), st.integers(0, 2**32 - 1))
def test_the_output_has_the_inputs_size_and_gradients_reach_all_weights(network, seed):
    arguments, sizes = network
    random.seed(seed)
    generator = np.random.default_rng(seed)
    with kernels.using("reference"):
        model = UNet(**arguments, dtype="float64")
        x = Tensor(generator.standard_normal((2, *sizes, arguments["input_shape"][-1])))
        output = model(x, training=True)
        assert output.shape == (2, *sizes, arguments["classes"])
        assert model.output_shape == (None, *arguments["input_shape"][:-1], arguments["classes"])
        cotangent = generator.standard_normal(output.shape)
        gradients = grad(F.sum(output * cotangent), model.trainable_weights)
    names = [name for name, weight in model.named_weights().items() if weight.trainable]
    for name, gradient in zip(names, gradients, strict=True):
        # Relus may be shut at a few pixels, and gradients 0; that all weights take part is the next test.
        assert np.isfinite(gradient.numpy()).all(), name
    assert np.abs(gradients[0].numpy()).max() > 0
    assert np.abs(gradients[-1].numpy()).max() > 0


@pytest.mark.parametrize("normalization", ["batch", None])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
@pytest.mark.parametrize("shape", [(36, 1), (20, 12, 1), (8, 8, 12, 1)])
def test_every_weight_takes_part(shape, upsampling, normalization):
    random.seed(4)
    model = UNet(shape, 1, base_filters=4, depth=2, normalization=normalization, upsampling=upsampling, dtype="float64")
    generator = np.random.default_rng(4)
    output = model(generator.standard_normal((2, *shape)), training=True)
    gradients = grad(F.sum(output * generator.standard_normal(output.shape)), model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert np.abs(gradient.numpy()).max() > 0, weight.name


def convolution_parameters(size, given, filters, bias):
    return size * given * filters + bias * filters


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("normalization", ["batch", None])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_parameters_by_hand(dimensions, depth, normalization, upsampling):
    base, classes, channels = 2, 3, 2
    model = UNet((*(16,) * dimensions, channels), classes, base, depth, normalization, upsampling)
    wide, bias = 3**dimensions, normalization is None

    def pair(given, filters):
        norm = 0 if bias else 2 * 4 * filters
        return (
            convolution_parameters(wide, given, filters, bias)
            + convolution_parameters(wide, filters, filters, bias)
            + norm
        )

    filters = [base * 2**level for level in range(depth + 1)]
    expected = sum(pair(given, own) for given, own in zip([channels, *filters[:-1]], filters, strict=True))
    for own in filters[:-1]:
        size = 2**dimensions if upsampling == "transpose" else wide
        expected += convolution_parameters(size, 2 * own, own, True) + pair(2 * own, own)
    assert model.count_params() == expected + convolution_parameters(1, base, classes, True)


def test_the_articles_network_has_31_million_parameters():
    # Ronneberger 2015 with "same" convolutions, one channel in and two out: 31,030,658 by the sum over its layers.
    class Counter:
        total = 0

    def fake(self, shape, *args, **kwargs):
        Counter.total += int(np.prod(shape))
        return original(
            self, (0,) * len(shape), "zeros", *args[1:], **{k: v for k, v in kwargs.items() if k != "initializer"}
        )

    original = layers.Layer.add_weight
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers.Layer, "add_weight", fake)
        UNet((512, 512, 1), 2, normalization=None)
    assert Counter.total == 31_030_658


def test_sizes_that_do_not_divide_agree_with_the_same_network_on_any_size():
    fixed, free = UNet((13, 10, 1), 1, 2, 2), UNet((None, None, 1), 1, 2, 2)
    free.set_weights(fixed.get_weights())
    x = np.random.default_rng(0).standard_normal((2, 13, 10, 1))
    np.testing.assert_array_equal(fixed.predict(x), free.predict(x))
    assert free.predict(np.zeros((1, 31, 17, 1))).shape == (1, 31, 17, 1)


def test_the_network_sees_its_whole_field_and_no_more():
    seen = set()
    for seed in range(20):
        random.seed(seed)
        model = UNet((32, 1), 1, 4, 1, normalization=None, dtype="float64")
        x = Tensor(np.random.default_rng(seed).standard_normal((1, 32, 1)), requires_grad=True)
        seen |= set(np.flatnonzero(grad(model(x)[0, 16, 0], x).numpy()[0, :, 0]))
    # Pixel 16 reads 14 … 18 of the joined features; doubled from 7 … 9 of the bottom, which reads 5 … 11 of the pooled;
    # these come from 10 … 23 of the bridge, which reads 8 … 25 of the input.
    assert seen == set(range(8, 26))


def test_it_learns_to_segment():
    generator = np.random.default_rng(1)
    x = 0.5 * generator.standard_normal((24, 16, 16, 1)).astype(np.float32)
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        row, column = generator.integers(2, 10, 2)
        image[row : row + 4, column : column + 4] += 2
        mask[row : row + 4, column : column + 4] = 1
    model = UNet((16, 16, 1), 1, base_filters=4, depth=2)
    model.compile(optimizers.Adam(0.02), losses.BinaryCrossentropy(from_logits=True), metrics=["dice"])
    model.fit(x[:16], y[:16], batch_size=4, epochs=12, verbose=0)
    assert model.evaluate(x[16:], y[16:], verbose=0, return_dict=True)["dice"] > 0.8
    dice = metrics.Dice(from_logits=True)(y[16:], model.predict(x[16:]))
    assert dice == pytest.approx(model.evaluate(x[16:], y[16:], verbose=0)[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth 0"),
        ({"base_filters": 0}, "base_filters 0"),
        ({"classes": 1.5}, "classes 1.5"),
        ({"normalization": "layer"}, "normalization 'layer'"),
        ({"upsampling": "nearest"}, "upsampling 'nearest'"),
        ({"input_shape": (16,)}, "input_shape"),
        ({"input_shape": (16, 16, None)}, "input_shape"),
        ({"input_shape": (16, 7, 1), "depth": 3}, "at least 8"),
        ({"dropout": 1.5}, "rate"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet(**({"input_shape": (16, 16, 1), "base_filters": 2} | arguments))


def test_wrong_inputs():
    model = UNet((None, None, 1), 1, 2, 3)
    with pytest.raises(ValueError, match="at least 8"):
        model.predict(np.zeros((1, 16, 7, 1)))
    with pytest.raises(ValueError, match=r"\(None, None, None, 1\).*\(1, 16, 16, 3\)"):
        model.predict(np.zeros((1, 16, 16, 3)))


def test_activation_and_dropout():
    model = UNet((8, 8, 1), 3, 2, 1, activation="softmax", dropout=0.5)
    output = model.predict(np.random.default_rng(0).standard_normal((2, 8, 8, 1)))
    np.testing.assert_allclose(output.sum(axis=-1), 1, rtol=1e-5)
    assert any(layer.name == "bottom_dropout" for layer in model.layers)
