"""Layer: names, tracking of weights, building, the training flag, trainable, symbols, configurations, errors."""

import json

import numpy as np
import pytest

from tomograd import engine
from tomograd.engine import Tensor, layers, regularizers
from tomograd.engine.layers.base import Layer


class Scale(Layer):
    """y = x·w, with one weight a channel."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1],), "ones", name="w")

    def call(self, inputs, training=False):
        return inputs * self.w * (self.start if training else 1.0)


class Block(Layer):
    """Nested layers in an attribute, a list and a dict, and a state of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Scale()
        self.rest = [Scale(), (Scale(), {"last": Scale()})]

    def build(self, input_shape):
        self.count = self.add_weight((), "zeros", dtype="int64", trainable=False, name="count")

    def call(self, inputs):
        x = self.first(inputs)
        x = self.rest[1][1]["last"](self.rest[1][0](self.rest[0](x)))
        self.count.assign(self.count.array + 1)
        return x


@pytest.fixture(autouse=True)
def fresh_names():
    layers.reset_names()


def ones(*shape):
    return np.ones(shape, np.float32)


# ----------------------------------------------------------------------------------------------------------- names


def test_names_count_up_for_each_class():
    made = layers.Conv2D(1, 1), layers.Conv2D(1, 1), layers.MaxPooling2D(), layers.Conv2DTranspose(1, 1), layers.ReLU()
    assert [layer.name for layer in made] == ["conv2d", "conv2d_1", "max_pooling2d", "conv2d_transpose", "re_lu"]
    assert layers.BatchNormalization(name="mine").name == "mine"
    layers.reset_names()
    assert layers.Conv2D(1, 1).name == "conv2d"


def test_weights_are_named_after_their_layer():
    layer = layers.Dense(2, name="head")
    layer(ones(1, 3))
    assert [weight.name for weight in layer.weights] == ["head/kernel", "head/bias"]


# -------------------------------------------------------------------------------------------------------- tracking


def test_nested_layers_and_weights_are_found_in_order():
    block = Block()
    block(ones(2, 3))
    assert [layer.name for layer in block.all_layers()] == ["block", "scale", "scale_1", "scale_2", "scale_3"]
    paths = list(block.named_weights())
    assert paths == ["count", "first.w", "rest.0.w", "rest.1.0.w", "rest.1.1.last.w"]
    assert [weight.name for weight in block.weights] == ["block/count"] + [f"{n}/w" for n in
        ("scale", "scale_1", "scale_2", "scale_3")]  # fmt: skip
    assert len(block.trainable_weights) == 4
    assert [weight.name for weight in block.non_trainable_weights] == ["block/count"]
    assert block.count_params() == 1 + 4 * 3


def test_a_layer_used_twice_has_its_weights_once():
    block = Block()
    block.rest[0] = block.first
    block(ones(1, 2))
    assert len(block.trainable_weights) == 3
    assert "rest.0.w" not in block.named_weights()


def test_a_cycle_of_layers_ends():
    outer, inner = Block(), Scale()
    outer.inner, inner.outer = inner, outer
    assert len(outer.all_layers()) == 6


def test_set_weights_restores_what_get_weights_gave():
    one, other = layers.Dense(3), layers.Dense(3)
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    expected = one(x).numpy()
    other.build((None, 4))
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(other(x).numpy(), expected)
    with pytest.raises(ValueError, match="expected 2 arrays of weights, got 1"):
        other.set_weights([np.zeros((4, 3))])
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"has shape \(3,\), the array has shape \(4,\)"):
        other.set_weights([np.zeros((4, 3)), np.zeros(4)])
    np.testing.assert_array_equal(other.get_weights()[0], before[0])


def test_count_params_needs_a_built_layer():
    with pytest.raises(ValueError, match="dense is not built yet"):
        layers.Dense(2).count_params()


# ------------------------------------------------------------------------------------------------------- trainable


def test_trainable_reaches_nested_layers_and_comes_back():
    block = Block()
    block(ones(1, 2))
    block.trainable = False
    assert block.trainable_weights == []
    assert not block.rest[0].trainable
    x = Tensor(ones(1, 2), requires_grad=True)
    block(x).backward(ones(1, 2))
    assert block.first.w.grad is None
    assert x.grad is not None
    block.trainable = True
    assert len(block.trainable_weights) == 4
    assert not block.count.trainable


def test_weights_of_a_layer_frozen_before_it_is_built():
    layer = layers.Dense(2, trainable=False)
    layer(ones(1, 3))
    assert layer.trainable_weights == []
    layer.trainable = True
    assert len(layer.trainable_weights) == 2


# -------------------------------------------------------------------------------------------------------- training


def test_training_passes_to_nested_layers():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Scale(start=5.0)

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer()
    assert outer(ones(1, 1)).item() == 1.0
    assert outer(ones(1, 1), training=True).item() == 5.0
    assert outer(ones(1, 1), training=False).item() == 1.0
    assert outer.inner(ones(1, 1)).item() == 1.0, "the flag ends with the call"


def test_an_inner_training_flag_wins():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Scale(start=5.0)

        def call(self, inputs, training):
            assert training is True
            return self.inner(inputs, training=False)

    assert Outer()(ones(1, 1), training=True).item() == 1.0


def test_the_training_flag_may_be_positional():
    assert Scale(start=5.0)(ones(1, 1), True).item() == 5.0


@pytest.mark.parametrize("flag", [1, "yes", 0.0])
def test_training_must_be_a_bool(flag):
    with pytest.raises(TypeError, match="training"):
        Scale()(ones(1, 1), training=flag)


# ------------------------------------------------------------------------------------------------------------ types


def test_inputs_are_converted_to_the_layers_type():
    assert layers.Dense(1)(np.ones((1, 2))).dtype == np.float32
    assert layers.Dense(1, dtype="float64")(ones(1, 2)).dtype == np.float64
    assert layers.Dense(1)(np.ones((1, 2), np.uint8)).dtype == np.float32
    assert layers.Flatten()(np.ones((1, 2, 2), np.int16)).dtype == np.int16
    x = Tensor(np.ones((1, 2)), requires_grad=True)
    layers.Dense(1)(x).backward(ones(1, 1))
    assert x.grad.dtype == np.float64


@pytest.mark.parametrize("value", ["float16", "int32", "mixed"])
def test_other_types_are_refused(value):
    with pytest.raises(ValueError, match="float32"):
        layers.Dense(1, dtype=value)


def test_what_is_no_array_is_refused():
    with pytest.raises(TypeError, match="dense: expected a tensor or an array as input, got float"):
        layers.Dense(1)([[1.0, 2.0]])


# ---------------------------------------------------------------------------------------------------------- symbols


def test_calling_on_symbols_notes_a_node():
    x = layers.Input((8, 8, 3), name="image")
    conv = layers.Conv2D(4, 3)
    y = conv(x, training=True)
    assert (x.shape, y.shape) == ((None, 8, 8, 3), (None, 6, 6, 4))
    assert conv.built
    assert x.node.layer.name == "image"
    assert y.node.layer is conv
    assert y.node.inputs is x
    assert y.node.arguments == {"training": True}
    assert conv.input is x
    assert conv.output is y
    z = conv(layers.Input((5, 5, 3)))
    assert len(conv.nodes) == 2
    assert z.shape == (None, 3, 3, 4)
    with pytest.raises(AttributeError, match="called on symbols 2 times"):
        conv.output  # noqa: B018


def test_symbols_hold_no_values():
    with pytest.raises(TypeError, match="holds no values"):
        np.asarray(layers.Input((2,)))
    with pytest.raises(TypeError, match="holds no values"):
        engine.functional.dropout(layers.Input((2,)), 0.5)


def test_the_shape_of_a_custom_layer_is_found_by_trying():
    class Pair(Layer):
        def call(self, inputs):
            return [inputs, engine.functional.sum(inputs, axis=(1, 2))]

    first, second = Pair()(layers.Input((5, 4, 2)))
    assert (first.shape, second.shape) == ((None, 5, 4, 2), (None, 2))
    assert (first.index, second.index) == (0, 1)
    assert Pair()(layers.Input((5, 4, 2), batch_size=7))[1].shape == (7, 2)
    first, second = Pair()(layers.Input((None, 4, 2)))
    assert (first.shape, second.shape) == ((None, None, 4, 2), (None, 2))


def test_open_sizes_are_tried_out_and_stay_open_where_they_count():
    class Halves(Layer):
        def __init__(self):
            super().__init__()
            self.convolution = layers.Conv1D(3, 2, strides=2)

        def call(self, inputs):
            halves = self.convolution(inputs)
            return [halves, engine.functional.max(halves, 1), halves[:, :4]]

    shapes = [symbol.shape for symbol in Halves()(layers.Input((None, 2)))]
    assert shapes == [(None, None, 3), (None, 3), (None, 4, 3)]
    assert Halves()(layers.Input((None, 2), batch_size=5))[0].shape == (5, None, 3)

    class OnlyFour(Layer):
        def call(self, inputs):
            return inputs + np.ones((4, 1), np.float32)

    assert OnlyFour()(layers.Input((4, 2))).shape == (None, 4, 2)
    with pytest.raises(NotImplementedError, match=r"open sizes in .*broadcast"):
        OnlyFour()(layers.Input((None, 2)))


def test_an_input_layer_again_from_its_configuration():
    layer = layers.Input((None, 3), batch_size=2, dtype="int32", name="labels").node.layer
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert (again.output.shape, again.output.dtype, again.name) == ((2, None, 3), np.int32, "labels")
    with pytest.raises(TypeError, match="expected int32, got float32"):
        again(ones(2, 4, 3))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "either shape or batch_shape"),
        ({"shape": (2,), "batch_shape": (1, 2)}, "either shape or batch_shape"),
        ({"shape": (0,)}, "positive"),
        ({"shape": (2.5,)}, "positive"),
        ({"batch_shape": (1, 2), "batch_size": 1}, "leave out batch_size"),
    ],
)
def test_input_refuses(arguments, error):
    with pytest.raises(ValueError, match=error):
        layers.Input(**arguments)


def test_input_shape_must_be_a_tuple():
    with pytest.raises(TypeError, match=r"such as \(3,\)"):
        layers.Input(3)


# --------------------------------------------------------------------------------------------------------- building


def test_a_layer_is_built_once_whoever_builds_it():
    layer = layers.Dense(2)
    layer.build((None, 3))
    kernel = layer.kernel
    layer(ones(1, 3))
    assert layer.kernel is kernel


def test_input_shape_is_held_to():
    layer = layers.Dense(2, input_shape=(3,))
    assert layer.given_input_shape == (3,)
    with pytest.raises(ValueError, match=r"input_shape = \(3,\) was given, but the input has shape \(1, 4\)"):
        layer(ones(1, 4))


def test_input_dim_is_short_for_a_shape_of_one_size():
    assert layers.Dense(2, input_dim=3).given_input_shape == (3,)
    assert layers.InputLayer(input_shape=(4, 2)).output.shape == (None, 4, 2)
    with pytest.raises(ValueError, match="either input_shape or input_dim"):
        layers.Dense(2, input_dim=3, input_shape=(3,))


def test_a_window_that_does_not_fit_is_an_error_that_names_the_layer():
    with pytest.raises(ValueError, match=r"last: an input of shape \(None, 2, 2, 1\): a window of size \(3,\)"):
        layers.Conv2D(1, 3, name="last")(layers.Input((2, 2, 1)))


def test_second_names():
    assert layers.MaxPool2D is layers.MaxPooling2D and layers.GlobalAvgPool1D is layers.GlobalAveragePooling1D
    public = {}
    exec("from tomograd.layers import *", public)
    assert public["AvgPool3D"] is layers.AveragePooling3D and public["Convolution2D"] is layers.Conv2D


def test_merging_functions_call_a_new_layer():
    x, y = Tensor([[1.0, 4.0]]), Tensor([[3.0, 2.0]])
    for function, expected in (
        (layers.add, [[4, 6]]),
        (layers.subtract, [[-2, 2]]),
        (layers.multiply, [[3, 8]]),
        (layers.average, [[2, 3]]),
        (layers.maximum, [[3, 4]]),
        (layers.minimum, [[1, 2]]),
        (layers.concatenate, [[1, 4, 3, 2]]),
    ):
        np.testing.assert_array_equal(function([x, y]).array, expected)
    assert layers.concatenate([x, y], axis=0).shape == (2, 2)


def test_a_weight_must_get_the_shape_it_asked_for():
    with pytest.raises(ValueError, match="the initializer gave shape"):
        Layer().add_weight((3,), lambda shape, dtype: np.zeros(2, dtype))
    with pytest.raises(ValueError, match="known and not negative"):
        Layer().add_weight((None,))


def test_losses_hold_the_regularizers_of_trained_weights():
    layer = layers.Dense(1, kernel_regularizer=regularizers.L2(0.5), bias_regularizer="l1", bias_initializer="ones")
    layer.build((None, 2))
    layer.kernel.assign([[1.0], [2.0]])
    assert [loss.item() for loss in layer.losses] == [pytest.approx(2.5), pytest.approx(0.01)]
    layer.trainable = False
    assert layer.losses == []


# ----------------------------------------------------------------------------------------------------------- errors


def test_unknown_and_unsupported_arguments_are_refused():
    with pytest.raises(TypeError, match="Dense: unknown argument 'activaton'"):
        layers.Dense(2, activaton="relu")
    with pytest.raises(ValueError, match="lora_rank = 4 is not supported"):
        layers.Dense(2, lora_rank=4)
    with pytest.raises(ValueError, match="autocast = False is not supported"):
        layers.Conv2D(2, 3, autocast=False)
    with pytest.raises(ValueError, match=r"(?s)weights = array.* is not supported"):
        layers.Dense(2, weights=np.ones((2, 2)))
    assert layers.Dense(2, kernel_constraint=None, lora_rank=None).units == 2


def test_unsupported_values_are_refused():
    with pytest.raises(ValueError, match='"channels_last"'):
        layers.Conv2D(2, 3, data_format="channels_first")
    with pytest.raises(ValueError, match="'reluu'"):
        layers.Dense(2, activation="reluu")
    with pytest.raises(ValueError, match="'glorot'"):
        layers.Dense(2, kernel_initializer="glorot")


def test_a_config_needs_arguments_kept_as_attributes():
    class Forgetful(Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)

    with pytest.raises(NotImplementedError, match="'size'"):
        Forgetful(3).get_config()


def test_a_config_written_as_in_keras():
    class Written(Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)
            self.half = size // 2

        def get_config(self):
            return {**super().get_config(), "size": 2 * self.half}

    layer = Written(4, name="w")
    config = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(config, custom_objects={"Written": Written})
    assert (again.half, again.name) == (2, "w")
    with pytest.raises(ValueError, match="layer 'Written' is not known"):
        layers.deserialize(config)


def test_positional_arguments_after_the_first_go_to_call():
    class Weighted(Layer):
        def call(self, inputs, weight):
            return inputs * weight

    assert Weighted()(ones(1, 1), 3.0).item() == 3.0
    with pytest.raises(TypeError, match="takes 2 arguments, got 3"):
        Weighted()(ones(1, 1), 1.0, 2.0)


def test_types_by_name_and_paths():
    for dtype in ("float32", "float64"):
        layer = layers.Dense(2, dtype=dtype, name="last")
        assert layer.compute_dtype == layer.variable_dtype == layer.dtype == dtype
        assert isinstance(layer.compute_dtype, str)
        assert layer.path == "last"


def test_a_constructor_that_does_not_call_its_parents_is_told_so():
    class Forgetful(Layer):
        def __init__(self):
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(RuntimeError, match=r"Forgetful: its constructor must call super\(\).__init__\(\)"):
        Forgetful()(np.ones((1, 2), np.float32))


def test_no_input_is_an_error():
    with pytest.raises(TypeError, match="expected a tensor or an array as input, got None"):
        layers.Dense(2)(None)
