"""Blocks that models are drawn of: convolutions with normalisation, squeeze-and-excitation, attention gates.

A model's drawing derives from `Drawing`, and names its layers by their place ("encoder_1_conv_1"), not by counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import layers
from ..engine.layers import Layer
from ..engine.layers.symbolic import Symbol
from ..engine.tensor import Tensor

__all__ = ["CropLike", "Drawing", "checked_image_shape", "require_choice", "require_count"]


class CropLike(Layer):
    """[x, like] → x without the ends that stand out over `like` in its spatial dimensions, at the far side."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, like = inputs
        if x.shape[1:-1] == like.shape[1:-1]:
            return x
        return x[(slice(None), *(slice(size) for size in like.shape[1:-1]))]

    def compute_output_shape(self, input_shape: Any) -> Any:
        x, like = input_shape
        return (x[0], *like[1:-1], x[-1])


class Drawing:
    """Draws layers for one to three spatial dimensions, of one type and with one initializer."""

    def __init__(
        self,
        dimensions: int,
        dtype: Any = None,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        momentum: float = 0.9,
    ) -> None:
        self.dimensions, self.dtype, self.momentum = dimensions, dtype, momentum
        self.kernel_initializer, self.kernel_regularizer = kernel_initializer, kernel_regularizer

    def layer(self, kind: str, name: str, ending: str = "", **arguments: Any) -> Layer:
        """The layer of this kind for the number of dimensions: Conv2D, Conv3DTranspose, MaxPooling1D …"""
        return getattr(layers, f"{kind}{self.dimensions}D{ending}")(name=name, dtype=self.dtype, **arguments)

    def convolution(
        self,
        filters: int,
        size: int,
        name: str,
        activation: Any = None,
        use_bias: bool = True,
        strides: int = 1,
    ) -> Layer:
        """Output size ⌈input/strides⌉. With strides, an odd kernel has as much padding before as after, as in the
        articles' networks: weights that were trained elsewhere see the same pixels ("same" pads more after)."""
        padding = size // 2 if strides > 1 and size % 2 else "same"
        return self.layer(
            "Conv", name, filters=filters, kernel_size=size, strides=strides, padding=padding, activation=activation,
            use_bias=use_bias, kernel_initializer=self.kernel_initializer, kernel_regularizer=self.kernel_regularizer,
        )  # fmt: skip

    def normalization(self, name: str, activation: Any = None) -> Layer:
        """Batch normalisation; relu within it takes no pass over memory of its own."""
        return layers.BatchNormalization(momentum=self.momentum, activation=activation, name=name, dtype=self.dtype)

    def dense(self, units: int, name: str, activation: Any = None, use_bias: bool = True) -> Layer:
        return layers.Dense(
            units, activation=activation, use_bias=use_bias, kernel_initializer=self.kernel_initializer,
            kernel_regularizer=self.kernel_regularizer, name=name, dtype=self.dtype,
        )  # fmt: skip

    def head(self, x: Symbol, classes: int, activation: Any = None, dropout: float = 0.0) -> Symbol:
        """The means of the channels, and of them a dense layer for the classes."""
        x = self.layer("GlobalAveragePooling", "means")(x)
        if dropout:
            x = layers.Dropout(dropout, name="dropout", dtype=self.dtype)(x)
        return self.dense(classes, "classes", activation)(x)

    def squeeze_excitation(self, x: Symbol, ratio: int, name: str) -> Symbol:
        """Each channel of x times a number from 0 to 1 that the means of all channels decide:

            s = sigmoid(W₂ · relu(W₁ · mean of x over positions)),   y = x · s,

        W₁ (C, C/ratio) and W₂ (C/ratio, C) without biases: 2·C²/ratio weights. At least one unit is in between.

        Source: Hu, Shen and Sun, Squeeze-and-Excitation Networks, CVPR 2018.
        """
        channels = x.shape[-1]
        assert channels is not None
        means = self.layer("GlobalAveragePooling", f"{name}_squeeze", keepdims=True)(x)
        hidden = self.dense(max(1, channels // ratio), f"{name}_reduce", "relu", use_bias=False)(means)
        shares = self.dense(channels, f"{name}_excite", "sigmoid", use_bias=False)(hidden)
        return layers.Multiply(name=f"{name}_scale", dtype=self.dtype)([x, shares])

    def attention_gate(self, x: Symbol, gate: Symbol, name: str) -> Symbol:
        """x times a number from 0 to 1 for each position that x and coarser features `gate`, of half its size, decide:

            α = sigmoid(ψ · relu(W_x·x + W_g·gate + b) + c),   y = x · α,

        W_x a 2×2 convolution with stride 2 without a bias and W_g a 1×1 convolution, both to half of x's channels, ψ
        one to a single channel; α is enlarged bilinearly to x's size. The layer NAME_gate gives α: it shows where the
        model looks.

        Source: Oktay et al., Attention U-Net, MIDL 2018.
        """
        channels = x.shape[-1]
        assert channels is not None
        inner = max(1, channels // 2)
        of_x = self.convolution(inner, 2, f"{name}_features", use_bias=False, strides=2)(x)
        of_gate = self.convolution(inner, 1, f"{name}_context")(gate)
        both = layers.Add(name=f"{name}_add", dtype=self.dtype)([of_x, of_gate])
        both = layers.ReLU(name=f"{name}_relu", dtype=self.dtype)(both)
        shares = self.convolution(1, 1, f"{name}_gate_coarse", "sigmoid")(both)
        shares = self.layer("UpSampling", f"{name}_gate_large", size=2, interpolation="bilinear")(shares)
        shares = CropLike(name=f"{name}_gate", dtype=self.dtype)([shares, x])
        return layers.Multiply(name=f"{name}_gated", dtype=self.dtype)([x, shares])


def checked_image_shape(model: str, input_shape: Any) -> tuple[int | None, ...]:
    """(*spatial, channels) with one to three spatial sizes, None where they may vary; else ValueError."""
    shape = tuple(input_shape)
    if not 2 <= len(shape) <= 4 or shape[-1] is None:
        raise ValueError(f"{model}: input_shape {shape} must be (*spatial, channels) with one to three spatial sizes")
    return shape


def require_count(model: str, **arguments: Any) -> None:
    """Raise ValueError for an argument that is no integer of at least 1."""
    for argument, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{model}: {argument} {value!r} must be an integer of at least 1")


def require_choice(model: str, argument: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ValueError for an argument that is none of the known values."""
    if value not in known:
        raise ValueError(f"{model}: {argument} {value!r} must be {' or '.join(map(repr, known))}")
