"""The layers' cases: each with its defaults, then each argument at another value."""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras_family import KerasFamily


def _add(family: KerasFamily, cls: str, inputs: Any, *configs: dict[str, Any], **more: Any) -> None:
    """A case of this class for each configuration; for the defaults if there is none."""
    for config in configs or ({},):
        number = sum(case.startswith(f"{cls} ") for case in family.parameters)
        family.layer(f"{cls} {number}: {config}", cls, config, inputs, **more)


def core() -> KerasFamily:
    family = KerasFamily("core", seed=101)
    x = family.normal(4, 5)
    family.layer("Dense", "Dense", {"units": 3}, x)
    family.layer("Dense without bias, relu", "Dense", {"units": 3, "use_bias": False, "activation": "relu"}, x)
    family.layer("Dense over rows", "Dense", {"units": 2}, family.normal(2, 3, 4))
    family.layer("Flatten", "Flatten", {}, family.normal(2, 3, 4))
    _add(family, "Flatten", family.normal(3))
    _add(family, "Identity", family.normal(2, 3))
    _add(family, "Rescaling", family.normal(2, 3), {"scale": 0.5}, {"scale": 2.0, "offset": -1.0})
    indices = torch.tensor([[0, 3, 1], [3, 3, 2]])
    _add(family, "Embedding", indices, {"input_dim": 4, "output_dim": 3}, {"input_dim": 5, "output_dim": 1})
    return family


def convolution() -> KerasFamily:
    family = KerasFamily("convolution", seed=102)
    rows, plane, cube = family.normal(1, 6, 2), family.normal(1, 4, 5, 2), family.normal(1, 3, 2, 3, 2)
    small = {"filters": 2, "kernel_size": 2}
    _add(family, "Conv1D", rows, small, {**small, "padding": "causal", "dilation_rate": 2}, {**small, "strides": 2})
    _add(family, "Conv1D", rows, {"filters": 4, "kernel_size": 3, "groups": 2, "padding": "same"})
    _add(
        family,
        "Conv2D",
        plane,
        small,
        {"filters": 2, "kernel_size": [3, 2], "padding": "same", "strides": [1, 2], "activation": "relu"},
        {**small, "dilation_rate": [2, 1], "use_bias": False, "activation": "tanh"},
        {**small, "groups": 2},
        {**small, "kernel_size": 3, "padding": "same", "strides": 2},
    )
    _add(family, "Conv3D", cube, {"filters": 1, "kernel_size": 2}, {**small, "padding": "same", "strides": [2, 1, 2]})
    one = {"filters": 1, "kernel_size": 3}
    _add(family, "Conv1DTranspose", rows, small, {**one, "strides": 2, "padding": "same", "activation": "relu"})
    _add(family, "Conv1DTranspose", rows, {**one, "strides": 2, "output_padding": 0}, {**one, "dilation_rate": 2})
    _add(
        family,
        "Conv2DTranspose",
        plane,
        {**small, "use_bias": False},
        {**one, "strides": 2, "padding": "same"},
        {**one, "strides": 3, "padding": "same"},
        {**small, "strides": [1, 3], "padding": "same"},
        {**one, "strides": 2, "padding": "same", "output_padding": 1},
        {**one, "strides": 2, "padding": "same", "output_padding": 0},
        {**one, "strides": [1, 2], "padding": "valid"},
    )
    _add(family, "Conv3DTranspose", cube, {"filters": 1, "kernel_size": 2, "strides": 2})
    _add(family, "DepthwiseConv1D", rows, {"kernel_size": 3}, {"kernel_size": 2, "depth_multiplier": 2, "strides": 2})
    _add(
        family,
        "DepthwiseConv2D",
        plane,
        {"kernel_size": 2},
        {"kernel_size": [2, 3], "padding": "same", "depth_multiplier": 2, "activation": "relu"},
        {"kernel_size": 3, "padding": "same", "strides": 2, "use_bias": False},
        {"kernel_size": 2, "dilation_rate": 2},
    )
    _add(
        family,
        "SeparableConv1D",
        rows,
        small,
        {**small, "padding": "same", "strides": 2, "activation": "relu"},
        {**small, "dilation_rate": 2, "depth_multiplier": 2},
    )
    _add(
        family,
        "SeparableConv2D",
        plane,
        small,
        {"filters": 3, "kernel_size": 3, "padding": "same", "depth_multiplier": 2, "use_bias": False},
        {**small, "strides": 2, "activation": "tanh"},
        {**small, "dilation_rate": 2},
    )
    return family


def pooling() -> KerasFamily:
    family = KerasFamily("pooling", seed=103)
    rows, plane, cube = family.normal(2, 7, 2), family.normal(1, 5, 4, 2), family.normal(1, 3, 4, 3, 1)
    for kind in ("Max", "Average"):
        _add(
            family,
            f"{kind}Pooling1D",
            rows,
            {"pool_size": 2},
            {"pool_size": 3, "strides": 2, "padding": "same"},
            {"pool_size": 3, "strides": 1},
        )
        _add(
            family,
            f"{kind}Pooling2D",
            plane,
            {"pool_size": 2},
            {"pool_size": [1, 3], "strides": [2, 1], "padding": "same"},  # even: see BEHAVIOUR in differences.py
            {"pool_size": 3, "strides": 2, "padding": "valid"},
            {"pool_size": 2, "padding": "same"},
        )
        _add(family, f"{kind}Pooling3D", cube, {"pool_size": 2}, {"pool_size": [1, 2, 3], "padding": "same"})
        for dimensions, x in ((1, rows), (2, plane), (3, cube)):
            _add(family, f"Global{kind}Pooling{dimensions}D", x, {}, {"keepdims": True})
        _add(family, f"Adaptive{kind}Pooling1D", rows, {"output_size": 3}, {"output_size": 7}, {"output_size": 9})
        _add(family, f"Adaptive{kind}Pooling2D", plane, {"output_size": [2, 3]}, {"output_size": [5, 2]})
        _add(family, f"Adaptive{kind}Pooling3D", cube, {"output_size": 2}, {"output_size": [1, 2, 3]})
    mask = torch.tensor(
        [[True, True, False, True, False, False, False], [True, False, False, False, False, True, True]]
    )
    for config in ({}, {"keepdims": True}):
        _add(family, "GlobalAveragePooling1D", rows, config, masks={"mask": mask})
    _add(family, "MaxPooling2D", plane)
    _add(family, "MaxPooling1D", rows)
    _add(family, "MaxPooling3D", cube)
    return family


def normalization() -> KerasFamily:
    family = KerasFamily("normalization", seed=104)
    x, plane = family.normal(4, 3), family.normal(2, 2, 3, 4)
    for training in (False, True):
        _add(
            family,
            "BatchNormalization",
            plane,
            {},
            {"momentum": 0.5, "epsilon": 0.1},
            {"center": False},
            {"scale": False},
            training=training,
        )
        _add(family, "BatchNormalization", x, {"center": False, "scale": False}, training=training)
    configs: list[dict[str, Any]] = [{}, {"epsilon": 0.1}, {"center": False}, {"scale": False}]
    _add(family, "LayerNormalization", plane, *configs, {"axis": [1, 2, 3]}, {"axis": [2, 3]}, {"axis": [1, 3]})
    _add(family, "GroupNormalization", plane, *[{"groups": 2, **config} for config in configs], {"groups": -1})
    _add(family, "GroupNormalization", plane, {"groups": 1}, {"groups": 4})
    _add(family, "RMSNormalization", plane, {}, {"epsilon": 0.1}, {"axis": [2, 3]})
    _add(family, "UnitNormalization", plane, {}, {"axis": 1}, {"axis": [1, 2, 3]})
    given = {"mean": [0.5, -1.0, 2.0], "variance": [2.0, 0.25, 1.0]}
    _add(family, "Normalization", x, given, {**given, "invert": True}, {"axis": None, "mean": 0.5, "variance": 4.0})
    _add(family, "Normalization", plane, {"axis": [1, -1], "mean": [1.0, 2.0, 3.0, 4.0], "variance": [0.5] * 4})
    _add(family, "Normalization", plane, {"axis": 1, "mean": 0.25, "variance": 0.0})
    return family


def spectral() -> KerasFamily:
    """SpectralNormalization of layers: `inner` and `inner_config` are the layer within."""
    family = KerasFamily("spectral", seed=110)
    rows, plane = family.normal(3, 4), family.normal(1, 4, 4, 2)
    for inner, config, x in (
        ("Dense", {"units": 3}, rows),
        ("Conv2D", {"filters": 3, "kernel_size": 2}, plane),
        ("Conv2DTranspose", {"filters": 1, "kernel_size": 2, "strides": 2}, plane),
    ):
        for iterations in (1, 3):
            for training in (False, True):
                family.layer(
                    f"{inner}, {iterations} iterations, training {training}",
                    "SpectralNormalization",
                    {"power_iterations": iterations},
                    x,
                    training=training,
                    make=_spectral(inner, config, iterations),
                    inner=inner,
                    inner_config=config,
                )
    return family


def _spectral(inner: str, config: dict[str, Any], iterations: int) -> Any:
    def make() -> Any:
        layer = getattr(keras.layers, inner)(**config, dtype="float64")
        return keras.layers.SpectralNormalization(layer, iterations, dtype="float64")

    return make


def adapted() -> KerasFamily:
    """Normalization after adapt(data): "data", and what "x" becomes, "y"."""
    family = KerasFamily("adapted", seed=105)
    data, x = family.normal(5, 3, 2, scale=2.0) + 1.0, family.normal(2, 3, 2)
    for axis in (-1, 1, None, [1, 2]):
        for invert in (False, True):
            layer = keras.layers.Normalization(axis=axis, invert=invert, dtype="float64")
            layer.adapt(data.numpy())
            config = {"axis": axis, "invert": invert}
            arrays = {"data": data, "x": x, "y": layer(x), "mean": layer.adapt_mean.value}
            family.keep(f"{config}", arrays | {"variance": layer.adapt_variance.value}, config=config)
    return family


def activation_layer() -> KerasFamily:
    family = KerasFamily("activation_layer", seed=106)
    x = family.normal(3, 4, scale=2.0)
    _add(family, "Activation", x, *[{"activation": name} for name in ("relu", "tanh", "sigmoid", "softmax", "linear")])
    _add(
        family,
        "ReLU",
        x,
        {},
        {"max_value": 1.0},
        {"negative_slope": 0.25},
        {"threshold": 0.5},
        {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.25},
    )
    _add(family, "LeakyReLU", x, {}, {"negative_slope": 0.0})
    _add(family, "ELU", x, {}, {"alpha": 0.5})
    _add(family, "PReLU", family.normal(2, 3, 2), {}, {"shared_axes": [1]}, {"shared_axes": [1, 2]})
    planes = family.normal(2, 3, 2)
    _add(family, "Softmax", planes, {}, {"axis": 1}, {"axis": [1, 2]}, {"axis": [-1]})
    mask = torch.tensor([[[True, False], [False, False], [True, True]], [[False, True], [True, True], [False, True]]])
    _add(family, "Softmax", planes, {}, {"axis": 1}, {"axis": [1, 2]}, masks={"mask": mask})
    _add(family, "Softmax", planes, {}, masks={"mask": mask[:1].double()})
    return family


def merging() -> KerasFamily:
    family = KerasFamily("merging", seed=107)
    a, b, c, one = family.normal(2, 3, 2), family.normal(2, 3, 2), family.normal(2, 3, 2), family.normal(2, 1, 2)
    for cls in ("Add", "Multiply", "Average", "Maximum", "Minimum"):
        _add(family, cls, [a, b, c])
        _add(family, cls, [a, one])
    _add(family, "Subtract", [a, b])
    _add(family, "Concatenate", [a, b, family.normal(2, 3, 1)])
    _add(family, "Concatenate", [a, one], {"axis": 1})
    _add(family, "Concatenate", [a, b], {"axis": -2})
    vectors = [family.normal(3, 4), family.normal(3, 4)]
    _add(family, "Dot", vectors, {"axes": 1}, {"axes": -1, "normalize": True})
    _add(family, "Dot", [family.normal(2, 3, 2), family.normal(2, 4, 3)], {"axes": [1, 2]}, {"axes": [-2, -1]})
    _add(family, "Dot", [family.normal(2, 3), family.normal(2, 4, 3)], {"axes": [1, 2]})
    _add(family, "Dot", [family.normal(2, 3, 2, 2), family.normal(2, 2, 3)], {"axes": [1, 2], "normalize": True})
    return family


def reshaping() -> KerasFamily:
    family = KerasFamily("reshaping", seed=108)
    rows, plane, cube = family.normal(2, 4, 2), family.normal(1, 4, 3, 2), family.normal(1, 3, 4, 3, 1)
    _add(family, "Reshape", plane, {"target_shape": [6, 4]}, {"target_shape": [2, -1]}, {"target_shape": [-1]})
    _add(family, "Permute", plane, {"dims": [2, 1, 3]}, {"dims": [3, 1, 2]})
    _add(family, "RepeatVector", family.normal(2, 3), {"n": 1}, {"n": 4})
    _add(family, "UpSampling1D", rows, {}, {"size": 3})
    sizes = [{}, {"size": [1, 3]}, {"interpolation": "bilinear"}, {"size": [3, 2], "interpolation": "bilinear"}]
    _add(family, "UpSampling2D", plane, *sizes)
    _add(family, "UpSampling3D", cube, {}, {"size": [1, 2, 3]})
    _add(family, "ZeroPadding1D", rows, {}, {"padding": 2}, {"padding": [0, 3]})
    _add(family, "ZeroPadding2D", plane, {}, {"padding": 2}, {"padding": [1, 0]}, {"padding": [[1, 0], [2, 3]]})
    _add(family, "ZeroPadding3D", cube, {}, {"padding": [0, 1, 2]}, {"padding": [[0, 1], [2, 0], [0, 0]]})
    _add(family, "Cropping1D", rows, {}, {"cropping": 1}, {"cropping": [0, 2]})
    _add(family, "Cropping2D", plane, {}, {"cropping": 1}, {"cropping": [1, 0]}, {"cropping": [[1, 2], [0, 1]]})
    _add(family, "Cropping3D", cube, {}, {"cropping": [0, 1, 1]}, {"cropping": [[0, 1], [2, 0], [0, 0]]})
    return family


def resizing() -> KerasFamily:
    family = KerasFamily("resizing", seed=109)
    plane, wide = family.normal(1, 4, 6, 2), family.normal(1, 3, 8, 1)
    for height, width in ((4, 6), (2, 3), (8, 6), (3, 7), (1, 1)):
        size = {"height": height, "width": width}
        _add(family, "Resizing", plane, size, {**size, "interpolation": "nearest"})
        _add(family, "CenterCrop", plane, size)
    for extra in ({"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 0.5}):
        _add(family, "Resizing", plane, {"height": 3, "width": 3, **extra}, {"height": 2, "width": 6, **extra})
        _add(family, "Resizing", plane[0], {"height": 2, "width": 2, **extra})
    _add(family, "CenterCrop", wide, {"height": 2, "width": 5}, {"height": 5, "width": 4}, {"height": 4, "width": 9})
    _add(family, "CenterCrop", wide[0], {"height": 3, "width": 4})
    return family


FAMILIES = [
    core,
    convolution,
    pooling,
    normalization,
    adapted,
    activation_layer,
    merging,
    reshaping,
    resizing,
    spectral,
]
