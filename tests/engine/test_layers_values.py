"""What single layers compute, against worked numbers, formulas, and the reference kernels; and what they refuse."""

import numpy as np
import pytest

from tomograd import engine, kernels
from tomograd.engine import Tensor, layers
from tomograd.kernels import reference

F = engine.functional


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------------------------------------------- worked examples


def test_convolution_of_nine_numbers():
    layer = layers.Conv2D(1, 2, use_bias=False)
    layer.build((None, 3, 3, 1))
    layer.kernel.assign(np.array([[0, 1], [1, 0]], np.float32).reshape(2, 2, 1, 1))
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    assert layer(image).numpy()[0, :, :, 0].tolist() == [[6, 8], [12, 14]]


def test_pooling_of_sixteen_numbers():
    image = np.arange(1, 17, dtype=np.float32).reshape(1, 4, 4, 1)
    assert layers.MaxPooling2D()(image).numpy()[0, :, :, 0].tolist() == [[6, 8], [14, 16]]
    assert layers.AveragePooling2D(2)(image).numpy()[0, :, :, 0].tolist() == [[3.5, 5.5], [11.5, 13.5]]


def test_a_dense_layer_by_hand():
    layer = layers.Dense(2, activation="relu")
    layer.build((None, 3))
    layer.set_weights([np.array([[1, -1], [2, 0], [0, 3]]), np.array([0.5, -10])])
    assert layer(np.array([[1.0, 2.0, 3.0]])).tolist() == [[5.5, 0.0]]


# ---------------------------------------------------------------------------------------- against the reference kernels


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(
    ("padding", "pairs"), [("same", ((0, 1), (1, 1))), ("valid", ((0, 0), (0, 0))), (1, ((1, 1), (1, 1)))]
)
def test_conv2d_is_the_kernel(padding, pairs, activation):
    x = normal(2, 6, 7, 4)
    layer = layers.Conv2D(6, 3, strides=(2, 1), padding=padding, groups=2, activation=activation)
    y = layer(x)
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 2, 6)
    expected = reference.conv(x, kernel, bias, (2, 1), pairs, (1, 1), 2, activation)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_an_activation_that_no_kernel_fuses_comes_after():
    layer, linear = layers.Conv2D(3, 3, activation="sigmoid"), layers.Conv2D(3, 3)
    x = normal(1, 5, 5, 2)
    y = layer(x)
    linear.build((None, 5, 5, 2))
    linear.set_weights(layer.get_weights())
    np.testing.assert_allclose(y.numpy(), 1 / (1 + np.exp(-linear(x).numpy())), rtol=1e-5)


def test_a_layer_as_activation():
    layer = layers.Dense(4, activation=layers.ReLU(max_value=0.5))
    y = layer(normal(8, 3)).numpy()
    assert y.min() == 0.0
    assert y.max() == 0.5
    again = layers.deserialize(layers.serialize(layer))
    assert again.activation.max_value == 0.5


def test_a_causal_convolution_sees_nothing_of_what_comes_later():
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = normal(1, 9, 3)
    before = layer(x).numpy()
    x[:, 5:] += 1.0
    after = layer(x).numpy()
    np.testing.assert_array_equal(after[:, :5], before[:, :5])
    assert (after[:, 5] != before[:, 5]).any()


def test_a_transposed_convolution_is_the_transpose():
    conv = layers.Conv2D(3, 3, strides=2, padding="same", use_bias=False, dtype="float64")
    transpose = layers.Conv2DTranspose(2, 3, strides=2, padding="same", use_bias=False, dtype="float64")
    x, y = normal(1, 6, 8, 2, dtype=np.float64), normal(1, 3, 4, 3, seed=1, dtype=np.float64)
    conv.build((None, 6, 8, 2))
    transpose.build((None, 3, 4, 3))
    transpose.kernel.assign(conv.kernel.array)
    left = (conv(x).numpy() * y).sum()
    right = (x * transpose(y).numpy()).sum()
    assert left == pytest.approx(right, rel=1e-12)


def test_depthwise_channels_stay_apart():
    layer = layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False)
    x = normal(1, 3, 3, 2)
    y = layer(x).numpy()
    kernel = layer.kernel.numpy()
    for c in range(2):
        for m in range(2):
            expected = (x[0, 1:3, 0:2, c] * kernel[:, :, c, m]).sum()
            assert y[0, 1, 0, 2 * c + m] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_a_layer_runs_on_the_chosen_kernels(name):
    layer = layers.Conv2D(2, 3, activation="relu")
    x = normal(1, 5, 5, 3)
    with kernels.using("reference"):
        expected = layer(x).numpy()
    with kernels.using(name):
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------ normalisation


def test_batch_normalization_in_training_and_after():
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    x = 3.0 + 2.0 * normal(4, 5, 5, 3)
    y = layer(x, training=True).numpy()
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-5)
    y = layer(x).numpy()
    expected = (x - layer.moving_mean.numpy()) / np.sqrt(layer.moving_variance.numpy() + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    assert [weight.name.split("/")[1] for weight in layer.weights] == [
        "gamma", "beta", "moving_mean", "moving_variance",
    ]  # fmt: skip
    assert [weight.trainable for weight in layer.weights] == [True, True, False, False]


def test_batch_normalization_with_a_relu_is_both_layers():
    fused, plain = layers.BatchNormalization(activation="relu"), layers.BatchNormalization()
    x1, x2 = (Tensor(normal(2, 4, 4, 3), requires_grad=True) for _ in range(2))
    y1 = fused(x1, training=True)
    y2 = layers.Activation("relu")(plain(x2, training=True))
    np.testing.assert_allclose(y1.numpy(), y2.numpy(), rtol=1e-5, atol=1e-6)
    cotangent = normal(2, 4, 4, 3, seed=1)
    y1.backward(cotangent)
    y2.backward(cotangent)
    np.testing.assert_allclose(x1.grad.numpy(), x2.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_a_frozen_batch_normalization_keeps_its_averages():
    layer = layers.BatchNormalization()
    layer.build((None, 2))
    layer.trainable = False
    x = normal(8, 2)
    np.testing.assert_allclose(layer(x, training=True).numpy(), x / np.sqrt(1.001), rtol=1e-5)
    assert layer.moving_mean.tolist() == [0, 0]


def test_layer_and_group_normalization():
    x = normal(3, 4, 5, 6)
    y = layers.LayerNormalization(axis=(1, 3))(x).numpy()
    centred = x - x.mean((1, 3), keepdims=True)
    np.testing.assert_allclose(y, centred / np.sqrt(x.var((1, 3), keepdims=True) + 1e-3), rtol=1e-4, atol=1e-4)
    y = layers.GroupNormalization(2)(x).numpy()
    grouped = x.reshape(3, 20, 2, 3)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt(grouped.var((1, 3), keepdims=True) + 1e-3)).reshape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


# ----------------------------------------------------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_is_off_outside_training():
    engine.random.seed(0)
    x = np.ones((100, 100), np.float32)
    layer = layers.Dropout(0.25)
    y = layer(x, training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(y.mean() - 1.0) < 0.03
    np.testing.assert_array_equal(layer(x).numpy(), x)
    assert (layer(x, training=True).numpy() != y).any()


def test_dropout_with_a_seed_repeats_itself():
    x = np.ones((50,), np.float32)
    one, other = layers.Dropout(0.5, seed=4), layers.Dropout(0.5, seed=4)
    first = one(x, training=True).numpy()
    engine.random.seed(99)
    np.testing.assert_array_equal(other(x, training=True).numpy(), first)
    assert (one(x, training=True).numpy() != first).any()
    assert one.generators() == [one.generator]


def test_dropout_of_everything():
    assert layers.Dropout(1.0)(np.ones((3, 3), np.float32), training=True).numpy().max() == 0.0


@pytest.mark.parametrize("rate", [-0.1, 1.5, "0.5", True, float("nan")])
def test_dropout_refuses_a_rate(rate):
    with pytest.raises(ValueError, match="rate"):
        layers.Dropout(rate)


def test_spatial_dropout_drops_whole_channels():
    engine.random.seed(0)
    y = layers.SpatialDropout2D(0.5)(np.ones((4, 5, 6, 7), np.float32), training=True).numpy()
    assert (y == y[:, :1, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}


# ----------------------------------------------------------------------------------------------- shapes and embedding


def test_upsampling_repeats():
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    y = layers.UpSampling2D((2, 1))(x).numpy()[0, :, :, 0]
    assert y.tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]


def test_padding_and_cropping_are_inverse():
    x = normal(1, 4, 5, 2)
    border = ((1, 2), (0, 3))
    padded = layers.ZeroPadding2D(border)(x)
    assert padded.shape == (1, 7, 8, 2)
    assert float(np.abs(padded.numpy()).sum()) == pytest.approx(float(np.abs(x).sum()), rel=1e-6)
    np.testing.assert_array_equal(layers.Cropping2D(border)(padded).numpy(), x)
    with pytest.raises(ValueError, match="leaves nothing of size 4"):
        layers.Cropping2D((2, 0))(x)


@pytest.mark.parametrize("padding", [-1, (1, 2, 3), ((1, 2), (3,)), "same", 1.5])
def test_zero_padding_refuses(padding):
    with pytest.raises((ValueError, TypeError)):
        layers.ZeroPadding2D(padding)


def test_embedding_looks_rows_up():
    layer = layers.Embedding(5, 2)
    y = layer(np.array([[0, 4], [4, 4]]))
    np.testing.assert_array_equal(y.numpy(), layer.embeddings.numpy()[[[0, 4], [4, 4]]])
    np.testing.assert_array_equal(layer(np.array([2.0])).numpy(), layer.embeddings.numpy()[[2]])
    for wrong in (np.array([5]), np.array([-1])):
        with pytest.raises(ValueError, match="5"):
            layer(wrong)
    with pytest.raises(TypeError, match="integers"):
        layer(np.array([0.5]))


def test_rescaling_takes_bytes():
    y = layers.Rescaling(1 / 255)(np.array([[0, 51, 255]], np.uint8))
    np.testing.assert_allclose(y.numpy(), [[0.0, 0.2, 1.0]], rtol=1e-6)


def test_relu_with_all_arguments():
    x = np.array([-2.0, 0.0, 0.5, 1.0, 2.0, 9.0], np.float32)
    y = layers.ReLU(max_value=3.0, negative_slope=0.5, threshold=1.0)(x).numpy()
    np.testing.assert_allclose(y, [-1.5, -0.5, -0.25, 1.0, 2.0, 3.0])


@pytest.mark.parametrize("argument", ["max_value", "negative_slope", "threshold"])
def test_relu_refuses_negative_arguments(argument):
    with pytest.raises(ValueError, match=argument):
        layers.ReLU(**{argument: -1.0})


# ------------------------------------------------------------------------------------------------------------ merging


def test_merging():
    a, b = normal(2, 3, seed=1), normal(2, 3, seed=2)
    np.testing.assert_allclose(layers.Add()([a, b, a]).numpy(), a + b + a, rtol=1e-6)
    np.testing.assert_allclose(layers.Subtract()([a, b]).numpy(), a - b, rtol=1e-6)
    np.testing.assert_allclose(layers.Average()([a, b]).numpy(), (a + b) / 2, rtol=1e-6)
    np.testing.assert_array_equal(layers.Maximum()([a, b]).numpy(), np.maximum(a, b))
    np.testing.assert_array_equal(layers.Concatenate()([a, b]).numpy(), np.concatenate([a, b], -1))


@pytest.mark.parametrize(
    ("layer", "shapes", "error"),
    [
        (layers.Add, [(2, 3), (2, 4)], "do not fit in axis 1"),
        (layers.Add, [(1, 3), (2, 3)], "do not fit in axis 0"),
        (layers.Add, [(2, 3), (2, 3, 1)], "one rank"),
        (layers.Add, [], "empty list"),
        (layers.Subtract, [(2, 3)], "list of 2 inputs, got 1"),
        (layers.Subtract, [(2, 3)] * 3, "list of 2 inputs, got 3"),
        (layers.Concatenate, [(2, 3, 1), (2, 4, 1)], "differ in axis 1"),
        (layers.Concatenate, [(2, 3), (2, 3, 1)], "one rank"),
    ],
)
def test_merging_refuses(layer, shapes, error):
    with pytest.raises(ValueError, match=error):
        layer()([np.zeros(shape, np.float32) for shape in shapes])


def test_merging_needs_a_list():
    with pytest.raises(ValueError, match="expected a list of inputs"):
        layers.Add()(np.zeros((2, 3), np.float32))


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: layers.Conv2D(0, 3), "filters = 0"),
        (lambda: layers.Conv2D(4, 3, groups=3), "not a multiple of groups"),
        (lambda: layers.Conv2D(4, (3, 3, 3)), "kernel_size"),
        (lambda: layers.Conv2D(4, 3, strides=0), "strides"),
        (lambda: layers.Conv2D(4, 3, padding="full"), "padding"),
        (lambda: layers.Conv2D(4, 3, padding="causal"), "only Conv1D"),
        (lambda: layers.Conv2DTranspose(4, 3, padding="causal"), "only Conv1D"),
        (lambda: layers.MaxPooling2D(padding="reflect"), "padding"),
        (lambda: layers.BatchNormalization(renorm=True), "renorm = True is not supported"),
        (lambda: layers.BatchNormalization(momentum=2.0), "momentum"),
        (lambda: layers.GroupNormalization(0), "groups"),
        (lambda: layers.UpSampling2D(interpolation="bicubic"), "interpolation"),
        (lambda: layers.Permute((1, 1)), "dims"),
        (lambda: layers.Reshape((-1, -1)), "target_shape"),
    ],
)
def test_arguments_are_checked(make, error):
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.parametrize("units", [2.0, "2", True, None])
def test_units_must_be_an_integer(units):
    with pytest.raises(TypeError, match="units"):
        layers.Dense(units)


@pytest.mark.parametrize(
    ("layer", "shape", "error"),
    [
        (layers.Conv2D(2, 3), (1, 8, 8), "expected an input of 4 dimensions"),
        (layers.Conv2D(2, 3, groups=2), (1, 8, 8, 3), "3 input channels are not a multiple"),
        (layers.Conv2D(2, 5), (1, 4, 8, 3), "larger than the padded input"),
        (layers.MaxPooling2D(3), (1, 2, 2, 1), "larger than the padded input"),
        (layers.BatchNormalization(axis=1), (1, 3, 4, 5), "axis = 1 is not supported"),
        (layers.GroupNormalization(2), (1, 3), "not a multiple of groups"),
        (layers.LayerNormalization(axis=0), (2, 3), "holds the batch"),
        (layers.LayerNormalization(axis=4), (2, 3), "does not fit"),
        (layers.Dense(2), (3,), "2 dimensions or more"),
        (layers.Reshape((5,)), (2, 3), "does not fit into"),
    ],
)
def test_inputs_are_checked(layer, shape, error):
    with pytest.raises(ValueError, match=error):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layer", [layers.Dense(2), layers.Conv2D(2, 1), layers.BatchNormalization()])
def test_a_built_layer_refuses_other_channels(layer):
    layer(np.zeros((1, 2, 2, 3), np.float32))
    with pytest.raises(ValueError, match="expected 3 channels"):
        layer(np.zeros((1, 2, 2, 4), np.float32))


def test_channels_must_be_known():
    with pytest.raises(ValueError, match="must be known"):
        layers.Dense(2)(layers.Input((None,)))


def test_fully_convolutional_layers_take_images_of_any_size():
    x = layers.Input((None, None, 1))
    y = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same")(x))
    y = layers.Conv2DTranspose(2, 2, strides=2)(y)
    assert y.shape == (None, None, None, 2)
