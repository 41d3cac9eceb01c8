"""Weights of PyTorch models: they give what PyTorch computes; where it is not clear whose is whose, an error.

The files were written by tests/golden/torch/generate.py.
"""

from pathlib import Path

import numpy as np
import pytest

from tomograd.engine import checkpoints, layers
from tomograd.engine.checkpoints import CheckpointError
from tomograd.models import Input, Model, Sequential, load_torch_weights

FOLDER = Path(__file__).parents[1] / "golden" / "torch"
EPSILON = {"epsilon": 1e-5}


def stored(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return FOLDER / f"{name}.safetensors", arrays["x"], arrays["y"], arrays["names"].tolist()


def row(flatten="flatten"):
    return [
        layers.Conv2D(4, 3, padding="same", name="c1"),
        layers.BatchNormalization(**EPSILON, name="b1"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Conv2D(6, 3, padding="same", groups=2, name="c2"),
        layers.PReLU(shared_axes=[1, 2], name="slopes"),
        layers.Conv2D(6, (1, 3), padding="same", use_bias=False, name="c3"),
        layers.Flatten(name=flatten),
        layers.BatchNormalization(**EPSILON, name="b2"),
        layers.Dense(5, activation="relu", name="d1"),
        layers.Dense(2, name="d2"),
    ]


def classifier():
    return Sequential([Input((6, 4, 3)), *row()])


def nested_classifier():
    """The flattening stands in another model than the layer that reads it."""
    parts = row()
    inputs = Input((6, 4, 3))
    features = Sequential([Input((6, 4, 3)), *parts[:8], layers.Dropout(0.5)])
    head = Sequential([Input((36,)), *parts[8:]])
    return Model(inputs, head(features(inputs)))


class Subclassed(Model):
    def __init__(self):
        super().__init__()
        self.row = row()

    def call(self, x):
        for layer in self.row:
            x = layer(x)
        return x


def unet():
    x = inputs = Input((6, 8, 1))
    down = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv_a")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_b")(layers.MaxPooling2D()(down))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="conv_c")(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, name="conv_d")(x)
    x = layers.GroupNormalization(2, **EPSILON, name="groups")(layers.Concatenate()([down, x]))
    x = layers.Conv2D(4, 3, padding="same", name="conv_e")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv_f")(x)
    x = layers.Conv2D(4, 3, padding="same", name="conv_g")(x)
    return Model(inputs, layers.Conv2D(1, 1, name="conv_h")(x))


def sentences():
    return Sequential(
        [
            Input((5,), dtype="int64"),
            layers.Embedding(7, 4, name="words"),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(3, return_sequences=True, name="gru_a"),
            layers.GRU(3, return_sequences=True, name="gru_b"),
            layers.LayerNormalization(**EPSILON, name="lines"),
            layers.SimpleRNN(5),
            layers.Dense(2, name="answer"),
        ]
    )


def close(model, x, y):
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [classifier, nested_classifier])
def test_a_convolutional_network_answers_as_in_pytorch(make):
    path, x, y, _ = stored("classifier")
    model = make()
    found = load_torch_weights(model, path)
    assert found["c2"] == "features.4"
    assert found["d2"] == "classifier.3"
    assert len(found) == 8
    close(model, x, y)


def test_where_the_models_own_code_flattens_it_has_to_be_told():
    path, x, y, _ = stored("classifier")
    model = Subclassed()
    model.build((None, 6, 4, 3))
    before = model.get_weights()
    with pytest.raises(CheckpointError, match=r"layer 'b1': the model's own code .*flattened="):
        load_torch_weights(model, path)
    with pytest.raises(CheckpointError, match=r"layer 'd1': it reads 36 numbers, but \(3, 2, 5\)"):
        load_torch_weights(model, path, flattened={"b2": (3, 2, 6), "d1": (3, 2, 5), "d2": (), "b1": ()})
    with pytest.raises(CheckpointError, match="there is no layer 'none'"):
        load_torch_weights(model, path, flattened={"none": ()})
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    load_torch_weights(model, path, flattened={"b1": (), "b2": (3, 2, 6), "d1": (3, 2, 6), "d2": ()})
    close(model, x, y)


def test_words_do_not_tell_an_order():
    path, x, y, names = stored("unet")
    model = unet()
    before = model.get_weights()
    with pytest.raises(CheckpointError, match=r"conv_f, conv_g have the shapes of the modules again, last.*names="):
        load_torch_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    found = load_torch_weights(model, path, names=names)
    assert (found["conv_f"], found["conv_g"], found["conv_c"]) == ("again", "last", "each")
    close(model, x, y)
    other = unet()
    load_torch_weights(other, path, names={"conv_f": "again"})
    close(other, x, y)
    wrong = unet()
    load_torch_weights(wrong, path, names={"conv_f": "last"})
    assert not np.allclose(wrong.predict(x), y, atol=1e-3)


def test_layers_of_the_modules_names_need_no_order():
    path, x, y, names = stored("unet")
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    model = unet()
    for layer, module in zip([one for one in model.layers if one.weights], modules, strict=True):
        layer.name = module
    assert load_torch_weights(model, path) == {module: module for module in modules}
    close(model, x, y)


def test_recurrent_networks_and_embeddings():
    path, x, y, _ = stored("sentences")
    model = sentences()
    found = load_torch_weights(model, path)
    assert (found["gru_a"], found["gru_b"]) == ("gru.l0", "gru.l1")
    assert list(found.values()) == [
        "embedding", "lstm.l0", "lstm.l0_reverse", "gru.l0", "gru.l1", "norm", "rnn.l0", "out",
    ]  # fmt: skip
    close(model, x, y)


def attention(heads=(2, 4)):
    x = inputs = Input((5, 8))
    x = layers.Add()([x, layers.MultiHeadAttention(heads[0], 8 // heads[0], name="own")(x, x)])
    x = layers.LayerNormalization(**EPSILON, name="norm")(x)
    cross = layers.MultiHeadAttention(heads[1], 8 // heads[1], use_bias=False, name="other")
    x = cross(x, x[:, :, :6], x[:, :, :5])
    x = layers.SeparableConv1D(6, 3, padding="same", depth_multiplier=2, name="mixed")(x)
    return Model(inputs, layers.SpectralNormalization(layers.Dense(4), name="answer")(x))


def test_attention_a_separable_convolution_and_spectral_normalisation():
    path, x, y, _ = stored("attention")
    model = attention()
    found = load_torch_weights(model, path)
    assert found == {"own": "attend", "norm": "norm", "other": "cross", "mixed": "mix.0 + mix.1", "answer": "out"}
    close(model, x, y)
    with pytest.raises(CheckpointError, match="'cross' does not fit layer 'own': the module has no in_proj_bias"):
        load_torch_weights(attention(), path, {"own": "cross"})
    gated = Model(inputs := Input((5, 8)), layers.MultiHeadAttention(2, 4, use_gate=True, name="own")(inputs, inputs))
    with pytest.raises(CheckpointError, match="a gate is nothing that PyTorch has"):
        load_torch_weights(gated, path, {"own": "attend"})
    wide = Model(inputs := Input((5, 8)), layers.MultiHeadAttention(2, 3, name="own")(inputs, inputs))
    with pytest.raises(CheckpointError, match=r"query_dense.kernel has shape \(8, 2, 3\), the module's gives \(8, 8\)"):
        load_torch_weights(wide, path, {"own": "attend"})
    bare = Model(
        inputs := Input((5, 8)), layers.SeparableConv1D(6, 3, depth_multiplier=2, use_bias=False, name="m")(inputs)
    )
    with pytest.raises(CheckpointError, match="its modules have a bias, the layer has none"):
        load_torch_weights(bare, path, {"m": "mix.0 + mix.1"}, strict=False)


def test_a_linear_layer_may_have_the_name_of_a_part_of_attention(tmp_path):
    model = Sequential([Input((3,)), layers.Dense(2)])
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    checkpoints.save(tmp_path / "w.safetensors", {"out_proj.weight": kernel, "out_proj.bias": np.zeros(2, np.float32)})
    assert load_torch_weights(model, tmp_path / "w.safetensors") == {model.layers[0].name: "out_proj"}
    np.testing.assert_array_equal(model.get_weights()[0], kernel.T)


def separable():
    x = inputs = Input((5, 4, 3))
    conv = layers.Conv2D(4, 3, padding="same")
    x = layers.SpectralNormalization(conv, name="first")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", activation="relu", name="block")(x)
    x = layers.Conv2D(4, 1, name="c")(x)
    more = {"padding": "same", "depth_multiplier": 2}
    x = layers.SeparableConv2D(4, (1, 3), activation="relu", name="a", **more)(x)
    return Model(inputs, layers.SeparableConv2D(4, (1, 3), name="b", **more)(x))


def test_separable_convolutions_beside_others_of_the_same_shapes():
    path, x, y, names = stored("separable")
    for given in (None, names):
        model = separable()
        found = load_torch_weights(model, path, given)
        assert found == {
            "first": "first", "block": "block.depthwise + block.channels", "c": "plain",
            "a": "rows.0 + rows.1", "b": "rows.3 + rows.4",
        }  # fmt: skip
        close(model, x, y)
        (u,) = (value for name, value in model.named_weights().items() if name.endswith("vector_u"))
        assert u.shape == (1, 4)
    other = separable()
    load_torch_weights(other, path, {"a": "rows.3 + rows.4", "b": "rows.0 + rows.1"})
    assert not np.allclose(other.predict(x), y, atol=1e-3)
    with pytest.raises(CheckpointError, match="given to two layers"):
        load_torch_weights(separable(), path, {"a": "rows.0 + rows.1", "b": "rows.0 + rows.1"})
    with pytest.raises(CheckpointError, match=r"without counterpart are layer 'extra' \(SeparableConv2D"):
        model = separable()
        longer = layers.SeparableConv2D(2, 3, name="extra")(model.output)
        load_torch_weights(Model(model.input, longer), path)


def test_recurrent_nets_of_several_layers_both_ways():
    path, x, y, _ = stored("stacked")
    model = Sequential(
        [
            Input((5, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(layers.GRU(2, return_sequences=True, use_bias=False)),
            layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True)),
            layers.RMSNormalization(epsilon=1e-6),
        ]
    )
    found = list(load_torch_weights(model, path).values())
    assert found[:4] == ["lstm.l0", "lstm.l0_reverse", "lstm.l1", "lstm.l1_reverse"]
    assert found[4:] == ["gru.l0", "gru.l0_reverse", "rnn.l0", "rnn.l0_reverse", "scale"]
    close(model, x, y)


def test_convolutions_of_one_and_three_dimensions():
    path, x, y, _ = stored("volumes")
    inputs = Input((3, 2, 3, 1))
    volume = layers.Conv3D(3, (3, 1, 3), padding="same")(inputs)
    volume = layers.ReLU()(layers.BatchNormalization(**EPSILON)(volume))
    volume = layers.Conv3DTranspose(2, (1, 2, 2), strides=(1, 2, 2))(volume)  # (N, 3, 4, 6, 2)
    line = layers.Reshape((6, 24))(layers.Permute((3, 1, 2, 4))(volume))
    line = layers.Conv1DTranspose(2, 2, strides=2)(layers.Conv1D(3, 3, padding="same")(line))
    model = Model(inputs, line)
    load_torch_weights(model, path)
    close(model, x, y)


@pytest.mark.parametrize(
    "layer",
    [
        layers.EinsumDense("abc,cd->abd", (None, 3), name="odd"),
        layers.Normalization(name="odd"),
        layers.AdditiveAttention(name="odd"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_pytorch_has_not_are_named(layer, tmp_path):
    inputs = Input((5, 4))
    model = Model(inputs, layer([inputs, inputs] if isinstance(layer, layers.AdditiveAttention) else inputs))
    checkpoints.save(tmp_path / "w.safetensors", {"a.weight": np.ones((3, 4), np.float32)})
    with pytest.raises(
        CheckpointError, match=f"does not fit layer 'odd': nothing is known of weights for {type(layer).__name__}"
    ):
        load_torch_weights(model, tmp_path / "w.safetensors", {"odd": "a"})
    with pytest.raises(CheckpointError, match="none of its modules fits a layer"):
        load_torch_weights(model, tmp_path / "w.safetensors")


def test_what_has_no_counterpart_is_named_or_left():
    path, x, _, _ = stored("classifier")
    parts = row()
    model = Sequential([Input((6, 4, 3)), *parts[:-1], layers.Dense(7, name="other")])
    head = model.layers[-1].get_weights()
    with pytest.raises(
        CheckpointError, match=r"without counterpart are layer 'other' \(Dense, kernel \(5, 7\).*'classifier\.3'"
    ):
        load_torch_weights(model, path)
    found = load_torch_weights(model, path, strict=False)
    assert "other" not in found and len(found) == 7
    assert all(np.array_equal(a, b) for a, b in zip(head, model.layers[-1].get_weights(), strict=True))
    whole = classifier()
    load_torch_weights(whole, path)
    np.testing.assert_allclose(
        Model(model.inputs, model.layers[-2].output).predict(x),
        Model(whole.inputs, whole.layers[-2].output).predict(x),
        rtol=1e-6,
    )


def test_wrong_names_and_files(tmp_path):
    path, _, _, names = stored("classifier")
    model = classifier()

    def fails(message, given, **arguments):
        with pytest.raises(CheckpointError, match=message):
            load_torch_weights(model, path, given, **arguments)

    fails("0 layers with weights are called 'x'", {"x": "features.0"})
    fails("no module 'features.9'", {"c1": "features.9"})
    fails("given to two layers", {"c1": "features.0", "c2": "features.0"})
    fails("'features.4' does not fit layer 'c1': kernel has shape", {"c1": "features.4"})
    fails("'features.6' does not fit layer 'c1': the module has no bias", {"c1": "features.6"})
    fails("'features.5' does not fit layer 'd1': its weight has 1 dimensions", {"d1": "features.5"})
    with pytest.raises(CheckpointError, match=r"'classifier\.3' does not fit layer 'd'.*further tensors \['bias'\]"):
        bare = Sequential([Input((5,)), layers.Dense(2, use_bias=False, name="d")])
        load_torch_weights(bare, path, {"d": "classifier.3"})
    fails("has no 'features.17.weight'", [*names, "features.17.weight"])
    with pytest.raises(ValueError, match="not built"):
        load_torch_weights(Sequential([layers.Dense(2)]), path)
    checkpoints.save(tmp_path / "w.safetensors", {"a.weight": np.zeros((9, 9))})
    with pytest.raises(CheckpointError, match=r"none of its modules fits a layer: module 'a' \(weight \(9, 9\)\)"):
        load_torch_weights(model, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        load_torch_weights(model, tmp_path / "none.safetensors")


def test_another_epsilon_is_warned_of():
    path = stored("classifier")[0]
    parts = row()
    parts[1] = layers.BatchNormalization(name="b1")
    model = Sequential([Input((6, 4, 3)), *parts])
    with pytest.warns(UserWarning, match="b1: epsilon is not the 1e-5"):
        load_torch_weights(model, path)


def test_merged_features_are_not_guessed(tmp_path):
    inputs = Input((2, 2, 3))
    flat = layers.Flatten()(inputs)

    def ends_in(features, name="d"):
        return Model(inputs, layers.Dense(1, name=name)(features))

    numbers = np.arange(12, dtype=np.float32)
    checkpoints.save(tmp_path / "w.safetensors", {"w.weight": numbers[None], "w.bias": np.zeros(1, np.float32)})
    expected = np.moveaxis(numbers.reshape(3, 2, 2), 0, -1).ravel()
    for features in (flat, layers.Dropout(0.5)(flat), layers.Add()([flat, layers.Activation("relu")(flat)])):
        model = ends_in(features)
        load_torch_weights(model, tmp_path / "w.safetensors")
        np.testing.assert_array_equal(model.get_weights()[0][:, 0], expected)
    half = layers.Flatten()(layers.Conv2D(1, 2, use_bias=False)(inputs))
    joined = Model(inputs, layers.Dense(1, name="d")(layers.Concatenate()([flat, half])))
    arrays = {"w.weight": np.ones((1, 13), np.float32), "w.bias": np.zeros(1), "v.weight": np.ones((1, 3, 2, 2))}
    checkpoints.save(tmp_path / "v.safetensors", arrays)
    with pytest.raises(CheckpointError, match=r"'d': 'concatenate.*stands between"):
        load_torch_weights(joined, tmp_path / "v.safetensors")
    load_torch_weights(joined, tmp_path / "v.safetensors", flattened={"d": ()})
    pooled = Model(inputs, layers.Dense(2, name="d")(layers.GlobalAveragePooling2D()(inputs)))
    arrays = {"w.weight": np.arange(6.0).reshape(2, 3), "w.bias": np.zeros(2)}
    checkpoints.save(tmp_path / "u.safetensors", arrays)
    load_torch_weights(pooled, tmp_path / "u.safetensors")
    np.testing.assert_array_equal(pooled.get_weights()[0], arrays["w.weight"].T)
