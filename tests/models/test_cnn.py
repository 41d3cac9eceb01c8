"""The CNN builder: the nets of the articles come out exactly."""

import numpy as np
import pytest

from tomograd.engine import layers
from tomograd.models import CNN


def counted(monkeypatch, make):
    """The layers' parameter counts, without taking memory for the weights."""
    shapes = []
    original = layers.Layer.add_weight

    def add_weight(self, shape=(), initializer=None, **kwargs):
        shapes.append((self.name, tuple(shape)))
        return original(self, (0,) * len(tuple(shape)), "zeros", **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(layers.Layer, "add_weight", add_weight)
        patch.setattr(layers.Dense, "_check_input_shape", lambda self, shape: None)
        model = make()
    return model, shapes


def test_lung_cancer_from_ct_slices(monkeypatch):
    """S1: conv 32, pool, conv 64, pool, dense 128, dense 1 sigmoid on 224×224×3."""
    model, shapes = counted(monkeypatch, lambda: CNN((224, 224, 3), 1, activation="sigmoid"))
    # 224 → 222 → 111 → 109 → 54; 54·54·64 = 186,624 features
    assert [shape for _, shape in shapes] == [
        (3, 3, 3, 32), (32,), (3, 3, 32, 64), (64,), (186_624, 128), (128,), (128, 1), (1,),
    ]  # fmt: skip
    assert sum(int(np.prod(shape)) for _, shape in shapes) == 896 + 18_496 + 23_888_000 + 129
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dense",
    ]  # fmt: skip
    assert model.output_shape == (None, 1)


def test_pneumonia_from_chest_x_rays(monkeypatch):
    """S2: as S1 with a third convolution of 128 and a pooling after it."""
    model, shapes = counted(
        monkeypatch, lambda: CNN((224, 224, 3), 1, filters=(32, 64, 128), dense=128, activation="sigmoid")
    )
    # … 54 → 52 → 26; 26·26·128 = 86,528 features
    assert sum(int(np.prod(shape)) for _, shape in shapes) == 896 + 18_496 + 73_856 + 11_075_712 + 129
    assert model.get_layer("pool_3").output.shape == (None, 26, 26, 128)


def test_ten_classes_of_photographs():
    """S3: conv 32, pool, conv 64, pool, conv 64, dense 64, dense 10 logits on 32×32×3."""
    model = CNN((32, 32, 3), 10, filters=(32, 64, 64), dense=64, pool_last=False)
    assert [layer.count_params() for layer in model.layers if layer.weights] == [896, 18_496, 36_928, 65_600, 650]
    assert model.count_params() == 122_570
    assert model.get_layer("conv_3").output.shape == (None, 4, 4, 64)
    assert model.layers[-1].get_config()["activation"] in (None, "linear")


def test_cell_types_as_in_the_fourth_system():
    model = CNN(
        (16, 16, 1), 7, filters=(4, 8), padding="same", kernel_initializer="he_normal", kernel_regularizer="l2",
        activation="softmax",
    )  # fmt: skip
    output = model.predict(np.random.default_rng(0).standard_normal((2, 16, 16, 1)))
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)
    assert len(model.losses) == 4
    assert model.get_layer("pool_2").output.shape == (None, 4, 4, 8)


@pytest.mark.parametrize("shape", [(20, 2), (10, 12, 1), (10, 10, 11, 1)])
def test_one_to_three_dimensions(shape):
    model = CNN(shape, 3, filters=(2, 3), dense=(5, 4), dropout=0.5, normalization="batch")
    assert model.predict(np.ones((2, *shape))).shape == (2, 3)
    assert len([layer for layer in model.layers if isinstance(layer, layers.Dense)]) == 3
    assert not any(name.startswith("layers.0.bias") for name in model.named_weights())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (None, 8, 1)}, "input_shape"),
        ({"input_shape": (8,)}, "input_shape"),
        ({"input_shape": (5, 5, 1)}, r"\(5, 5, 1\) is too small for 2 convolutions"),
        ({"filters": ()}, "filters is empty"),
        ({"filters": (0,)}, "filters"),
        ({"normalization": "group"}, "normalization"),
        ({"dropout": 2.0}, "rate"),
        ({"classes": 0}, "units"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CNN(**({"input_shape": (16, 16, 1)} | arguments))
