"""ResNet and DenseNet, squeeze-and-excitation and attention gates: shapes, weights as the articles count them,
gradients, learning, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tomograd as tg
from tomograd.engine import Tensor, grad, layers, random
from tomograd.engine import functions as F
from tomograd.models import DenseNet, ResNet, UNet

IMAGENET = {"classes": 1000, "stem": "large", "kernel_initializer": "zeros"}
LARGE = (64, 128, 256, 512)

TINY = {
    "ResNet": lambda shape, **more: ResNet(shape, 2, (2, 3), 1, squeeze_excitation=2, **more),
    "ResNet, bottleneck": lambda shape, **more: ResNet(shape, 1, (1, 2), (1, 2), bottleneck=True, **more),
    "ResNet, large": lambda shape, **more: ResNet(shape, 2, (2,), 1, stem="large", dropout=0.2, **more),
    "DenseNet": lambda shape, **more: DenseNet(shape, 2, 2, (2, 1), **more),
    "DenseNet, plain": lambda shape, **more: DenseNet(shape, 1, 1, (1, 1), 1.0, bottleneck=False, dropout=0.2, **more),
    "DenseNet, large": lambda shape, **more: DenseNet(shape, 2, 1, (1,), stem="large", **more),
    "U-Net, gates": lambda shape, **more: UNet(shape, 2, 2, 1, attention_gates=True, **more),
    "U-Net, excitation": lambda shape, **more: UNet(shape, 1, 3, 1, squeeze_excitation=2, **more),
}
SIZES = {1: (9,), 2: (6, 7), 3: (4, 5, 4)}


def trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


# -------------------------------------------------------------------------------------------------------------- weights


class TestNumbersOfWeights:
    def test_resnet_18_and_its_squeezed_kind(self):
        expected = 11_689_512  # of PyTorch's resnet18
        assert trained(ResNet((224, 224, 3), filters=LARGE, blocks=2, **IMAGENET)) == expected
        squeezed = ResNet((None, None, 3), filters=LARGE, blocks=2, squeeze_excitation=16, **IMAGENET)
        # The article: 2/r · Σ over stages of blocks · C² weights more.
        assert trained(squeezed) == expected + sum(2 * 2 * channels**2 // 16 for channels in LARGE)

    def test_resnet_50(self):
        model = ResNet((224, 224, 3), filters=LARGE, blocks=(3, 4, 6, 3), bottleneck=True, **IMAGENET)
        assert trained(model) == 25_557_032  # of PyTorch's resnet50
        assert model.get_layer("stage_4_block_3_relu").output.shape == (None, 7, 7, 2048)

    def test_the_small_resnet_by_hand(self):
        def convolved(size, before, after):
            return size**2 * before * after + 2 * after  # gamma and beta

        def stage(before, after, blocks):
            first = convolved(3, before, after) + convolved(3, after, after)
            shortcut = convolved(1, before, after) if before != after else 0
            return first + shortcut + (blocks - 1) * 2 * convolved(3, after, after)

        expected = convolved(3, 3, 16) + stage(16, 16, 3) + stage(16, 32, 3) + stage(32, 64, 3) + 64 * 10 + 10
        assert trained(ResNet((32, 32, 3), 10)) == expected  # the article: 0.27 million
        assert 265_000 < expected < 275_000

    def test_densenet_121_and_bc_100(self):
        model = DenseNet((224, 224, 3), growth_rate=32, blocks=(6, 12, 24, 16), **IMAGENET)
        assert trained(model) == 7_978_856  # of PyTorch's densenet121
        small = DenseNet((32, 32, 3), 10, blocks=(16, 16, 16), kernel_initializer="zeros")
        assert trained(small) == 769_162  # the article: 0.8 million

    def test_gates_and_excitations_of_a_unet_by_hand(self):
        plain, filters = UNet((16, 16, 1), base_filters=4, depth=2), {1: 4, 2: 8, 3: 16}
        gates = UNet((16, 16, 1), base_filters=4, depth=2, attention_gates=True)

        def gate(level):
            channels, inner = filters[level], filters[level] // 2
            return 4 * channels * inner + (filters[level + 1] * inner + inner) + (inner + 1)

        assert trained(gates) == trained(plain) + gate(1) + gate(2)
        squeezed = UNet((16, 16, 1), base_filters=4, depth=2, squeeze_excitation=4)
        levels = [1, 2, 3, 2, 1]
        assert trained(squeezed) == trained(plain) + sum(2 * filters[level] ** 2 // 4 for level in levels)


# ------------------------------------------------------------------------------------------------- shapes and gradients


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", TINY)
def test_shapes_and_configurations(name, dimensions, tmp_path):
    shape = (*SIZES[dimensions], 2)
    model = TINY[name](shape)
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    y = model(x)
    assert y.shape == (3, *model.output_shape[1:])
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(x).numpy(), y.numpy())
    open_sizes = TINY[name]((*(None,) * dimensions, 2))
    open_sizes.set_weights(model.get_weights())
    np.testing.assert_array_equal(open_sizes(x).numpy(), y.numpy())
    model.save(tmp_path / "m.safetensors")
    loaded = tg.models.load_model(tmp_path / "m.safetensors")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded(x).numpy(), y.numpy())


@pytest.mark.parametrize("name", TINY)
def test_inference_gives_the_same_however_often(name):
    """Launches that are recorded and repeated, convolutions with their normalisation folded in: all are one network."""
    random.seed(1)
    model = TINY[name]((7, 6, 2))
    x = np.random.default_rng(0).standard_normal((6, 2, 7, 6, 2)).astype(np.float32)
    expected = [model(Tensor(batch, requires_grad=True)).numpy() for batch in x]
    for batch, one in zip(x, expected, strict=True):
        np.testing.assert_allclose(model.predict(batch, verbose=0), one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in TINY if "large" not in name])
def test_gradients_of_the_input_and_of_all_weights(name):
    """Along random directions in all of them at once, against central differences in float64."""
    random.seed(3)
    rng = np.random.default_rng(1)
    model = TINY[name]((5, 4, 1), dtype="float64", kernel_initializer="glorot_uniform")
    x = Tensor(rng.standard_normal((3, 5, 4, 1)), requires_grad=True)
    sources = [x, *model.trainable_weights]
    arrays = [source.array + 0.1 * rng.standard_normal(source.shape) for source in sources]

    def output(step, directions):
        random.seed(7)  # the same dropout
        for source, array, direction in zip(sources, arrays, directions, strict=True):
            source.assign(array + step * direction)
        return model(x, training=True)

    cotangent = rng.standard_normal(output(0.0, arrays).shape)
    gradients = [gradient.array for gradient in grad(output(0.0, arrays), sources, cotangent)]
    assert all(gradient.any() for gradient in gradients)
    for _ in range(3):
        directions = [rng.standard_normal(array.shape) for array in arrays]
        difference = ((output(1e-6, directions) - output(-1e-6, directions)).array * cotangent).sum() / 2e-6
        slope = sum((gradient * direction).sum() for gradient, direction in zip(gradients, directions, strict=True))
        np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-6)


class ByHand:
    """The articles' networks once more, written down as functions of a model's weights, in inference."""

    def __init__(self, model):
        self.model = model
        rng = np.random.default_rng(5)
        for weight in model.non_trainable_weights:  # means and variances that are not 0 and 1
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))

    def conv(self, x, name, strides=1):
        kernel = self.model.get_layer(f"{name}_conv").kernel
        return F.conv(x, kernel, strides=strides, padding=kernel.shape[0] // 2)

    def norm(self, x, name):
        layer = self.model.get_layer(f"{name}_norm")
        share = layer.gamma / F.sqrt(layer.moving_variance + 1e-3)
        return (x - layer.moving_mean) * share + layer.beta

    def stem(self, x):
        x = F.relu(self.norm(self.conv(x, "stem", 2), "stem"))
        return F.max_pool(x, 3, strides=2, padding=1)

    def head(self, x):
        layer = self.model.get_layer("classes")
        return F.matmul(F.mean(x, axis=(1, 2)), layer.kernel) + layer.bias

    def resnet(self, x):
        x = self.stem(x)
        for stage in (1, 2):
            for block in (1, 2):
                name, strides = f"stage_{stage}_block_{block}", 2 if (stage, block) == (2, 1) else 1
                y = F.relu(self.norm(self.conv(x, f"{name}_1"), f"{name}_1"))
                y = F.relu(self.norm(self.conv(y, f"{name}_2", strides), f"{name}_2"))
                y = self.norm(self.conv(y, f"{name}_3"), f"{name}_3")
                if block == 1:
                    x = self.norm(self.conv(x, f"{name}_shortcut", strides), f"{name}_shortcut")
                x = F.relu(x + y)
        return self.head(x)

    def densenet(self, x):
        x = self.stem(x)
        for block in (1, 2):
            for layer in (1, 2):
                name = f"block_{block}_layer_{layer}"
                y = self.conv(F.relu(self.norm(x, f"{name}_1")), f"{name}_1")
                y = self.conv(F.relu(self.norm(y, f"{name}_2")), f"{name}_2")
                x = F.concatenate([x, y], axis=-1)
            if block == 1:
                x = self.conv(F.relu(self.norm(x, "transition_1")), "transition_1")
                x = F.average_pool(x, 2)
        return self.head(F.relu(self.norm(x, "last")))


@pytest.mark.parametrize("kind", ["resnet", "densenet"])
def test_the_articles_networks_by_hand(kind):
    random.seed(6)
    if kind == "resnet":
        model = ResNet((32, 32, 2), 3, (2, 3), 2, bottleneck=True, stem="large", dtype="float64")
    else:
        model = DenseNet((32, 32, 2), 3, 2, (2, 2), stem="large", dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 2))
    expected = getattr(ByHand(model), kind)(x)
    np.testing.assert_allclose(model(x).numpy(), expected.numpy(), rtol=1e-10)


@settings(max_examples=10)
@given(sizes=st.tuples(st.integers(2, 9), st.integers(2, 9)), seed=st.integers(0, 99))
def test_attention_gates_keep_any_size_and_are_shares(sizes, seed):
    model = UNet((None, None, 1), 2, 2, 1, attention_gates=True)
    x = np.random.default_rng(seed).standard_normal((1, *sizes, 1)).astype(np.float32)
    shares = tg.models.Model(model.input, model.get_layer("decoder_1_gate").output)(x).numpy()
    assert shares.shape == (1, *sizes, 1) and (shares > 0).all() and (shares < 1).all()
    assert model(x).shape == (1, *sizes, 2)


def test_an_excitation_scales_channels_and_positions_alike():
    random.seed(0)
    model = ResNet((6, 6, 1), 1, (4,), 1, squeeze_excitation=2)
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 1)).astype(np.float32)
    name = "stage_1_block_1"
    parts = [model.get_layer(f"{name}_{part}").output for part in ("2_norm", "excite", "scale")]
    before, shares, after = (part.numpy() for part in tg.models.Model(model.input, parts)(x))
    assert shares.shape == (2, 1, 1, 4)
    np.testing.assert_allclose(after, before * shares, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResNet((8, 8, 1), 1, (4, 8), 1, squeeze_excitation=4),
        lambda: DenseNet((8, 8, 1), 1, 4, (2, 2)),
    ],
    ids=["ResNet", "DenseNet"],
)
def test_they_learn_to_tell_where_a_bar_lies(make):
    random.seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 8, 8, 1)).astype(np.float32) * 0.3
    y = rng.integers(0, 2, 128)
    for image, label in zip(x, y, strict=True):
        place = rng.integers(0, 8)
        image[(place, slice(None)) if label else (slice(None), place)] += 1.5
    model = make()
    model.compile(
        tg.optimizers.Adam(0.01),
        tg.losses.BinaryCrossentropy(from_logits=True),
        metrics=[tg.metrics.BinaryAccuracy(threshold=0)],
    )
    model.fit(x[:96], y[:96], batch_size=32, epochs=12, verbose=0)
    assert model.evaluate(x[96:], y[96:], verbose=0)[1] > 0.9


def test_a_unet_with_gates_and_excitations_learns_to_segment():
    random.seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 8, 8, 1)).astype(np.float32) * 0.2
    y = np.zeros_like(x)
    for image, mask in zip(x, y, strict=True):
        row, column = rng.integers(0, 5, 2)
        image[row : row + 4, column : column + 4] += 1.0
        mask[row : row + 4, column : column + 4] = 1.0
    model = UNet((8, 8, 1), 1, 4, 2, attention_gates=True, squeeze_excitation=4)
    model.compile(tg.optimizers.Adam(0.02), tg.losses.BinaryCrossentropy(from_logits=True))
    model.fit(x[:24], y[:24], batch_size=8, epochs=15, verbose=0)
    predicted = model.predict(x[24:], verbose=0) > 0
    overlap = (predicted & (y[24:] > 0)).sum() * 2 / (predicted.sum() + y[24:].sum())
    assert overlap > 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet((8,)), r"ResNet: input_shape \(8,\) must be"),
        (lambda: ResNet((8, 8, None)), "must be"),
        (lambda: ResNet((8, 8, 1), 0), "classes 0 must be"),
        (lambda: ResNet((8, 8, 1), filters=()), "must name the same stages"),
        (lambda: ResNet((8, 8, 1), blocks=(1, 2)), "must name the same stages"),
        (lambda: ResNet((8, 8, 1), filters=(4, 0, 4)), r"filters\[1\] 0 must be"),
        (lambda: ResNet((8, 8, 1), stem="huge"), "stem 'huge' must be 'small' or 'large'"),
        (lambda: ResNet((8, 8, 1), squeeze_excitation=0), "squeeze_excitation 0 must be"),
        (lambda: DenseNet((8, 8, 1), blocks=()), "blocks is empty"),
        (lambda: DenseNet((8, 8, 1), growth_rate=2.5), "growth_rate 2.5 must be"),
        (lambda: DenseNet((8, 8, 1), compression=0), "compression 0 must be"),
        (lambda: UNet((8, 8, 1), squeeze_excitation=-1), "squeeze_excitation -1 must be"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_layers_are_named_by_their_place():
    names = [layer.name for layer in ResNet((8, 8, 1), 1, (2, 4), 1).layers if not isinstance(layer, layers.InputLayer)]
    assert names[:3] == ["stem_conv", "stem_norm", "stage_1_block_1_1_conv"]
    assert names[-2:] == ["means", "classes"]
