"""What every layer owes, one list of layers: right shapes in advance, right gradients, a configuration that gives the
same layer again, and the same numbers in float32 and float64."""

import copy
import json
import pickle

import numpy as np
import pytest

from tomograd import engine
from tomograd.engine import Tensor, grad, layers
from tomograd.engine.layers.symbolic import flatten
from tomograd.testing import array_function, gradcheck

L = layers

# (layer, shape of one input without its batch, or a list of them)
CATALOGUE = {
    "Dense": (lambda: L.Dense(3, activation="tanh", bias_initializer="random_normal"), (4,)),
    "Dense-relu": (lambda: L.Dense(3, activation="relu", bias_initializer="random_normal"), (4,)),
    "Dense-rows": (lambda: L.Dense(2, use_bias=False), (3, 4)),
    "Conv1D": (lambda: L.Conv1D(2, 3, strides=2, padding="same", activation="relu"), (7, 3)),
    "Conv1D-causal": (lambda: L.Conv1D(2, 3, padding="causal", dilation_rate=2), (6, 2)),
    "Conv2D": (lambda: L.Conv2D(4, (3, 2), dilation_rate=(1, 2), groups=2, activation="gelu"), (5, 6, 2)),
    "Conv2D-pairs": (lambda: L.Conv2D(1, 3, strides=(2, 1), padding=[(1, 0), (0, 2)]), (5, 4, 2)),
    "Conv3D": (lambda: L.Conv3D(2, 2, strides=(1, 2, 1), padding=1, use_bias=False), (3, 4, 2, 2)),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(2, 3, strides=2), (4, 3)),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(2, 2, strides=2, padding="same", activation="relu"), (3, 4, 3)),
    "Conv2DTranspose-output": (lambda: L.Conv2DTranspose(1, 3, strides=2, padding="same", output_padding=1), (3, 2, 2)),
    "Conv3DTranspose": (lambda: L.Conv3DTranspose(1, 2, strides=(1, 2, 2)), (2, 2, 1, 2)),
    "DepthwiseConv1D": (lambda: L.DepthwiseConv1D(2, depth_multiplier=2), (4, 3)),
    "DepthwiseConv2D": (lambda: L.DepthwiseConv2D(3, strides=2, padding="same", activation="relu"), (5, 4, 3)),
    "SeparableConv1D": (lambda: L.SeparableConv1D(2, 3, padding="causal", dilation_rate=2), (5, 3)),
    "SeparableConv2D": (
        lambda: L.SeparableConv2D(4, (3, 2), strides=2, padding="same", depth_multiplier=2, activation="relu"),
        (5, 4, 3),
    ),
    "Attention": (lambda: L.Attention(use_scale=True), [(3, 2), (4, 3), (4, 2)]),
    "Attention-concat": (lambda: L.Attention(score_mode="concat", dropout=0.4, seed=3), [(3, 2), (4, 2)]),
    "AdditiveAttention": (lambda: L.AdditiveAttention(), [(3, 2), (4, 2)]),
    "MultiHeadAttention": (
        lambda: L.MultiHeadAttention(2, 3, value_dim=2, dropout=0.3, use_gate=True, seed=3),
        [(3, 2), (4, 3), (4, 2)],
    ),
    "MultiHeadAttention-axes": (
        lambda: L.MultiHeadAttention(2, 1, attention_axes=2, sliding_window=2, output_shape=(2, 2), use_bias=False),
        [(2, 3, 2), (2, 4, 3)],
    ),
    "EinsumDense": (lambda: L.EinsumDense("abc,cde->abde", (None, 2, 3), "tanh", "de"), (3, 4)),
    "EinsumDense-left": (lambda: L.EinsumDense("...bc,bd->...dc", (2, 3), bias_axes="c"), (2, 4, 3)),
    "MaxPooling1D": (lambda: L.MaxPooling1D(), (5, 2)),
    "MaxPooling2D": (lambda: L.MaxPooling2D((2, 3), strides=(1, 2), padding="same"), (4, 5, 2)),
    "MaxPooling3D": (lambda: L.MaxPooling3D(2), (2, 4, 3, 2)),
    "AveragePooling1D": (lambda: L.AveragePooling1D(3, strides=2, padding="same"), (5, 2)),
    "AveragePooling2D": (lambda: L.AveragePooling2D(2), (4, 5, 2)),
    "AveragePooling3D": (lambda: L.AveragePooling3D((1, 2, 2), padding="same"), (2, 3, 3, 1)),
    "GlobalMaxPooling1D": (lambda: L.GlobalMaxPooling1D(), (5, 2)),
    "GlobalMaxPooling2D": (lambda: L.GlobalMaxPooling2D(keepdims=True), (3, 4, 2)),
    "GlobalMaxPooling3D": (lambda: L.GlobalMaxPooling3D(), (2, 3, 2, 2)),
    "GlobalAveragePooling1D": (lambda: L.GlobalAveragePooling1D(keepdims=True), (5, 2)),
    "GlobalAveragePooling2D": (lambda: L.GlobalAveragePooling2D(), (3, 4, 2)),
    "GlobalAveragePooling3D": (lambda: L.GlobalAveragePooling3D(), (2, 3, 2, 2)),
    "AdaptiveAveragePooling1D": (lambda: L.AdaptiveAveragePooling1D(3), (5, 2)),
    "AdaptiveAveragePooling2D": (lambda: L.AdaptiveAveragePooling2D((2, 4)), (5, 3, 2)),
    "AdaptiveAveragePooling3D": (lambda: L.AdaptiveAveragePooling3D((1, 3, 2)), (2, 3, 4, 1)),
    "AdaptiveMaxPooling1D": (lambda: L.AdaptiveMaxPooling1D(3), (5, 2)),
    "AdaptiveMaxPooling2D": (lambda: L.AdaptiveMaxPooling2D((2, 4)), (5, 3, 2)),
    "AdaptiveMaxPooling3D": (lambda: L.AdaptiveMaxPooling3D((1, 3, 2)), (2, 3, 4, 1)),
    "BatchNormalization": (lambda: L.BatchNormalization(gamma_initializer="random_normal"), (3, 2, 3)),
    "BatchNormalization-relu": (lambda: L.BatchNormalization(momentum=0.5, activation="relu"), (3, 2)),
    "BatchNormalization-bare": (lambda: L.BatchNormalization(center=False, scale=False), (4,)),
    "LayerNormalization": (lambda: L.LayerNormalization(beta_initializer="random_normal"), (3, 5)),
    "LayerNormalization-axes": (lambda: L.LayerNormalization(axis=[1, 3], epsilon=0.1), (3, 2, 2)),
    "GroupNormalization": (lambda: L.GroupNormalization(2), (3, 2, 4)),
    "GroupNormalization-instance": (lambda: L.GroupNormalization(-1, scale=False), (5, 3)),
    "RMSNormalization": (lambda: L.RMSNormalization(), (3, 4)),
    "RMSNormalization-axes": (lambda: L.RMSNormalization(axis=[1, 3], epsilon=0.1), (3, 2, 2)),
    "UnitNormalization": (lambda: L.UnitNormalization(axis=(1, -1)), (3, 2, 2)),
    "Normalization": (lambda: L.Normalization(mean=[1.0, 0.5], variance=[2.0, 0.3]), (3, 2)),
    "Normalization-adapted": (lambda: L.Normalization(axis=None, invert=True), (3, 2)),
    "GaussianNoise": (lambda: L.GaussianNoise(0.3, seed=3), (4, 3)),
    "GaussianDropout": (lambda: L.GaussianDropout(0.3, seed=3), (4, 3)),
    "AlphaDropout": (lambda: L.AlphaDropout(0.4, (None, 1, None), seed=3), (4, 3)),
    "Dropout": (lambda: L.Dropout(0.5, seed=3), (4, 3)),
    "SpatialDropout1D": (lambda: L.SpatialDropout1D(0.3, seed=3), (4, 3)),
    "SpatialDropout2D": (lambda: L.SpatialDropout2D(0.3, seed=3), (2, 2, 5)),
    "SpatialDropout3D": (lambda: L.SpatialDropout3D(0.3, seed=3), (2, 1, 2, 5)),
    "Flatten": (lambda: L.Flatten(), (2, 3, 2)),
    "Reshape": (lambda: L.Reshape((3, -1)), (2, 3, 2)),
    "RepeatVector": (lambda: L.RepeatVector(3), (4,)),
    "Permute": (lambda: L.Permute((3, 1, 2)), (2, 3, 4)),
    "ActivityRegularization": (lambda: L.ActivityRegularization(l1=0.1, l2=0.2), (3, 2)),
    "Activation": (lambda: L.Activation("softplus"), (5,)),
    "ReLU": (lambda: L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.25), (9,)),
    "ReLU-slope": (lambda: L.ReLU(negative_slope=0.2), (9,)),
    "LeakyReLU": (lambda: L.LeakyReLU(), (5,)),
    "ELU": (lambda: L.ELU(alpha=0.5), (5,)),
    "Softmax": (lambda: L.Softmax(axis=1), (3, 4)),
    "Operation": (lambda: L.Operation("tanh"), (3, 2)),
    "PReLU": (lambda: L.PReLU("random_normal", shared_axes=[1]), (3, 4)),
    "UpSampling1D": (lambda: L.UpSampling1D(3), (4, 2)),
    "UpSampling2D": (lambda: L.UpSampling2D((2, 3), interpolation="bilinear"), (3, 2, 2)),
    "UpSampling3D": (lambda: L.UpSampling3D((1, 2, 2)), (2, 2, 3, 1)),
    "ZeroPadding1D": (lambda: L.ZeroPadding1D((1, 2)), (3, 2)),
    "ZeroPadding2D": (lambda: L.ZeroPadding2D(((1, 0), (2, 1))), (3, 2, 2)),
    "ZeroPadding3D": (lambda: L.ZeroPadding3D((1, 0, 2)), (1, 2, 2, 1)),
    "Cropping1D": (lambda: L.Cropping1D(), (4, 2)),
    "Cropping2D": (lambda: L.Cropping2D((1, 0)), (4, 3, 2)),
    "Cropping3D": (lambda: L.Cropping3D(), (3, 4, 3, 2)),
    "Concatenate": (lambda: L.Concatenate(), [(3, 2), (3, 4), (3, 1)]),
    "Concatenate-rows": (lambda: L.Concatenate(axis=1), [(1, 2), (3, 2)]),
    "Add": (lambda: L.Add(), [(3, 2), (3, 2), (1, 2)]),
    "Subtract": (lambda: L.Subtract(), [(3, 2), (3, 2)]),
    "Multiply": (lambda: L.Multiply(), [(3, 2), (3, 1)]),
    "Average": (lambda: L.Average(), [(4,), (4,), (4,)]),
    "Maximum": (lambda: L.Maximum(), [(4,), (4,)]),
    "Minimum": (lambda: L.Minimum(), [(4,), (4,)]),
    "Dot": (lambda: L.Dot((1, 3), normalize=True), [(3, 2), (2, 4, 3)]),
    "Dot-rows": (lambda: L.Dot(-1), [(4,), (4,)]),
    "Embedding": (lambda: L.Embedding(7, 3), (4,)),
    "Embedding-mask": (lambda: L.Embedding(7, 3, mask_zero=True), (4,)),
    "Masking": (lambda: L.Masking(), (3, 2)),
    "SimpleRNN": (lambda: L.SimpleRNN(3, bias_initializer="random_normal"), (4, 2)),
    "SimpleRNN-backwards": (lambda: L.SimpleRNN(2, "softplus", go_backwards=True, return_sequences=True), (3, 2)),
    "LSTM": (lambda: L.LSTM(3, return_sequences=True, bias_initializer="random_normal"), (4, 2)),
    "LSTM-dropout": (lambda: L.LSTM(2, dropout=0.3, recurrent_dropout=0.4, seed=3), (3, 4)),
    "GRU": (lambda: L.GRU(3, bias_initializer="random_normal"), (4, 2)),
    "GRU-before": (lambda: L.GRU(2, reset_after=False, recurrent_dropout=0.4, seed=3, return_sequences=True), (3, 2)),
    "GRU-step": (lambda: L.GRU(1, dropout=0.5, seed=4, use_bias=False), (1, 4)),
    "RNN": (lambda: L.RNN([L.LSTMCell(2, seed=1, dropout=0.4), L.SimpleRNNCell(3)], return_sequences=True), (3, 4)),
    "ConvLSTM1D": (lambda: L.ConvLSTM1D(2, 2, bias_initializer="random_normal"), (3, 4, 2)),
    "ConvLSTM2D": (lambda: L.ConvLSTM2D(2, (2, 3), padding="same", return_sequences=True), (2, 3, 2, 1)),
    "ConvLSTM2D-dropout": (
        lambda: L.ConvLSTM2D(1, 2, strides=2, dropout=0.3, recurrent_dropout=0.4, seed=3, go_backwards=True),
        (3, 4, 3, 2),
    ),
    "ConvLSTM3D": (lambda: L.ConvLSTM3D(1, (1, 2, 1), activation="softplus", use_bias=False), (2, 1, 3, 2, 2)),
    "Bidirectional": (lambda: L.Bidirectional(L.GRU(2, return_sequences=True)), (3, 2)),
    "Bidirectional-mul": (lambda: L.Bidirectional(L.LSTM(2), merge_mode="mul"), (3, 2)),
    "TimeDistributed": (lambda: L.TimeDistributed(L.Conv2D(2, 2, activation="tanh")), (2, 3, 3, 2)),
    "SpectralNormalization": (lambda: L.SpectralNormalization(L.Conv2D(2, 2, activation="tanh"), 2), (3, 3, 2)),
    "TimeDistributed-LSTM": (lambda: L.TimeDistributed(L.LSTM(2)), (2, 3, 2)),
    "RandomFlip": (lambda: L.RandomFlip(seed=3), (3, 4, 2)),
    "RandomRotation": (lambda: L.RandomRotation(0.2, seed=3), (4, 3, 2)),
    "RandomZoom": (lambda: L.RandomZoom((-0.3, 0.3), fill_mode="wrap", seed=3), (3, 4, 1)),
    "RandomTranslation": (lambda: L.RandomTranslation(0.3, 0.2, fill_mode="constant", seed=3), (3, 4, 1)),
    "RandomCrop": (lambda: L.RandomCrop(2, 3, seed=3), (4, 5, 2)),
    "RandomContrast": (lambda: L.RandomContrast(0.5, value_range=(-9, 9), seed=3), (3, 2, 2)),
    "RandomBrightness": (lambda: L.RandomBrightness(0.2, value_range=(-9, 9), seed=3), (3, 2, 2)),
    "Rescaling": (lambda: L.Rescaling(1 / 255, offset=[0.5, -1.0]), (3, 2)),
    "Resizing": (lambda: L.Resizing(3, 4, crop_to_aspect_ratio=True), (5, 4, 2)),
    "Resizing-padded": (lambda: L.Resizing(3, 5, "nearest", pad_to_aspect_ratio=True, fill_value=0.5), (4, 3, 2)),
    "CenterCrop": (lambda: L.CenterCrop(3, 2), (4, 4, 2)),
    "CenterCrop-enlarged": (lambda: L.CenterCrop(3, 5), (4, 4, 2)),
    "Identity": (lambda: L.Identity(), (3, 2)),
}


def inputs_for(name, dtype, batch=2, seed=0):
    """Random inputs; integers for Embedding."""
    rng = np.random.default_rng(seed)
    shapes = CATALOGUE[name][1]
    if name.startswith("Embedding"):
        return rng.integers(0, 7, (batch, *shapes))
    if isinstance(shapes, list):
        return [rng.standard_normal((batch, *shape)).astype(dtype) for shape in shapes]
    return rng.standard_normal((batch, *shapes)).astype(dtype)


def made(name, dtype):
    """The layer in this type, its random weights drawn from a fixed seed."""
    engine.random.seed(7)
    layer = CATALOGUE[name][0]()
    layer = type(layer).from_config(of_type(layer.get_config(), dtype))
    layer(inputs_for(name, dtype))
    return layer


def of_type(config, dtype):
    """The configuration, and those of layers within, with this type."""
    if isinstance(config, list):
        return [of_type(entry, dtype) for entry in config]
    if not isinstance(config, dict):
        return config
    changed = {key: of_type(value, dtype) for key, value in config.items()}
    return changed | ({"dtype": dtype} if "dtype" in config else {})


# Called with states besides: see test_recurrent_layers.py
CELLS = {"SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"}


def test_no_layer_is_missing_from_the_catalogue():
    listed = {name.partition("-")[0] for name in CATALOGUE}
    assert set(layers.CLASSES) - listed == {"InputLayer", "Lambda", "Wrapper"} | CELLS  # a Lambda has no configuration


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_and_pickles_compute_the_same(again):
    for name in CATALOGUE:
        layer, inputs = made(name, "float32"), inputs_for(name, "float32")
        copied = again(layer)
        for training in (False, True):
            engine.random.seed(1)
            expected = flatten(layer(inputs, training=training))
            engine.random.seed(1)
            for one, other in zip(flatten(copied(inputs, training=training)), expected, strict=True):
                np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_shape_is_known_in_advance(name):
    layer, shapes = CATALOGUE[name][0](), CATALOGUE[name][1]
    dtype = "int64" if name.startswith("Embedding") else "float32"
    symbols = [L.Input(shape, dtype=dtype) for shape in (shapes if isinstance(shapes, list) else [shapes])]
    symbol = layer(symbols if isinstance(shapes, list) else symbols[0])
    output = layer(inputs_for(name, "float32", batch=3), training=True)
    assert symbol.shape == (None, *output.shape[1:])
    assert symbol.dtype == output.dtype
    assert output.shape[0] == 3


@pytest.mark.parametrize("name", [n for n, (_, shape) in CATALOGUE.items() if len(shape) > 1 and type(shape) is tuple])
def test_open_spatial_sizes_stay_open_or_are_right(name):
    layer, shape = CATALOGUE[name][0](), CATALOGUE[name][1]
    layer(inputs_for(name, "float32"))
    promised = layer.compute_output_shape((None,) * len(shape) + shape[-1:])
    actual = layer(inputs_for(name, "float32")).shape
    assert len(promised) == len(actual)
    assert all(p is None or p == a for p, a in zip(promised, actual, strict=True))


# In training SpectralNormalization replaces the kernel in which the differences would be taken.
WITH_GRADIENTS = [(n, t) for n in CATALOGUE for t in (False, True) if not (n == "SpectralNormalization" and t)]


@pytest.mark.parametrize(("name", "training"), WITH_GRADIENTS)
def test_gradients_of_inputs_and_weights(name, training):
    layer = made(name, "float64")
    inputs = inputs_for(name, "float64", seed=1)

    def output(arrays):
        for generator in layer.generators():
            generator.seed(0)  # the same dropout mask each time
        for average in layer.non_trainable_weights:
            if average.dtype.kind == "f":
                average.assign(np.full(average.shape, 0.5))
        return layer(arrays, training=training)

    tensors = [Tensor(array, requires_grad=array.dtype.kind == "f") for array in flatten(inputs)]
    sources = [tensor for tensor in tensors if tensor.requires_grad] + layer.trainable_weights

    def forward(*values):
        for source, value in zip(sources, values, strict=True):
            source.assign(value)
        return output(tensors if isinstance(inputs, list) else tensors[0]).array.copy()

    def backward(dy, *values):
        for source, value in zip(sources, values, strict=True):
            source.assign(value)
        y = output(tensors if isinstance(inputs, list) else tensors[0])
        return tuple(gradient.array for gradient in grad(y, sources, dy))

    arrays = [source.array.copy() for source in sources]
    gradcheck(array_function(forward, backward), arrays, method="directions")
    cotangent = np.random.default_rng(2).standard_normal(forward(*arrays).shape)
    assert any(gradient.any() for gradient in backward(cotangent, *arrays))


@pytest.mark.parametrize(("name", "training"), WITH_GRADIENTS)
def test_gradients_of_gradients(name, training):
    """Of the gradients in inputs and weights, all taken along one direction, against central differences along another.

    Inputs are such that no kink is near; biases of 0 and rows that are dropped make ties, where gradients exist."""
    layer = made(name, "float64")
    inputs = inputs_for(name, "float64", seed=1)
    tensors = [Tensor(array, requires_grad=array.dtype.kind == "f") for array in flatten(inputs)]
    sources = [tensor for tensor in tensors if tensor.requires_grad] + layer.trainable_weights
    rng = np.random.default_rng(2)
    arrays = [source.array.copy() for source in sources]
    along, other = ([rng.standard_normal(array.shape) for array in arrays] for _ in range(2))

    def slope(step, create_graph=False):
        for generator in layer.generators():
            generator.seed(0)
        for average in layer.non_trainable_weights:
            if average.dtype.kind == "f":
                average.assign(np.full(average.shape, 0.5))
        for source, array, direction in zip(sources, arrays, other, strict=True):
            source.assign(array + step * direction)
        output = flatten(layer(tensors if isinstance(inputs, list) else tensors[0], training=training))[0]
        cotangent = np.random.default_rng(3).standard_normal(output.shape)
        gradients = grad(output, sources, cotangent, create_graph=create_graph, allow_unused=True)
        return sum((g * v).sum() for g, v in zip(gradients, along, strict=True) if g is not None)

    expected = (slope(1e-5).item() - slope(-1e-5).item()) / 2e-5
    found, start = 0.0, slope(0.0, create_graph=True)
    if start.requires_grad:
        second = grad(start, sources, allow_unused=True)
        found = sum((g.array * v).sum() for g, v in zip(second, other, strict=True) if g is not None)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_configuration_gives_the_same_layer(name):
    layer = CATALOGUE[name][0]()
    written = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(written)
    assert type(again) is type(layer)
    assert json.loads(json.dumps(layers.serialize(again))) == written
    inputs = inputs_for(name, "float32")
    expected = layer(inputs, training=False).numpy()
    again(inputs, training=False)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs, training=False).numpy(), expected)


@pytest.mark.parametrize("name", CATALOGUE)
def test_float32_agrees_with_float64(name):
    single, double = made(name, "float32"), made(name, "float64")
    double.set_weights(single.get_weights())
    y32, y64 = single(inputs_for(name, "float32")), double(inputs_for(name, "float64"))
    assert (y32.dtype, y64.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(y32.numpy(), y64.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_empty_batch_passes_through(name):
    layer = made(name, "float32")
    assert layer(inputs_for(name, "float32", batch=0)).shape[0] == 0


@pytest.mark.parametrize(
    "name", [n for n in CATALOGUE if n.endswith(("1D", "2D", "3D")) and not n.startswith(("Depth", "Spatial"))]
)
def test_spatial_layers_refuse_another_rank(name):
    with pytest.raises(ValueError, match="dimensions"):
        CATALOGUE[name][0]()(np.zeros((2, 3), np.float32))
