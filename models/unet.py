"""U-Net: a contracting path that sees context, an expanding one that places it, and bridges between their levels.

O. Ronneberger, P. Fischer and T. Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015.
For volumes: Ö. Çiçek et al., 3D U-Net, MICCAI 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers
from ..engine.config import as_plain
from ..engine.layers import Layer
from ..engine.layers.symbolic import Symbol
from ..engine.tensor import Tensor
from .functional import Functional


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


class UNet(Functional):
    """The U-Net, in one to three dimensions, for images of any size.

    Each of `depth` levels has two 3×3 "same" convolutions (relu) of base_filters · 2^level filters and a 2×2 max
    pooling; below them two convolutions more; then each level comes back: the size is doubled, the level's features are
    set beside, two convolutions follow. A 1×1 convolution gives the classes. Unlike the article's, the convolutions
    keep the size: an output pixel for every input pixel.

    input_shape: (*spatial, channels), one to three spatial sizes, None where they may vary.
    classes: channels of the output; 1 for one foreground. The output are logits unless an `activation` ("sigmoid",
        "softmax") is given: train with a loss that says from_logits=True.
    normalization: "batch" puts a batch normalisation between each convolution (then without bias) and its relu; None
        leaves it out. momentum: that of its moving averages, less than Keras's 0.99, so that short trainings of some
        hundred steps have followed the data.
    upsampling: "transpose", a 2×2 transposed convolution with stride 2, or "resize", nearest neighbours and a 3×3
        convolution, both to half the filters.
    dropout: the rate after the deepest convolutions, where the article has it.

    Sizes that 2^depth does not divide: an odd size n is pooled to (n + 1)/2, its last row alone in a window (padding
    never wins a maximum); doubled again it stands out by one row, which is cut off. The output has exactly the input's
    spatial size.

    Raises ValueError for an argument out of range, or an input smaller than 2^depth, which leaves nothing to pool.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        classes: int = 1,
        base_filters: int = 64,
        depth: int = 4,
        normalization: str | None = "batch",
        upsampling: str = "transpose",
        activation: Any = None,
        dropout: float = 0.0,
        kernel_initializer: Any = "he_normal",
        momentum: float = 0.9,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        input_shape = _checked_shape(input_shape)
        for argument, value in (("classes", classes), ("base_filters", base_filters), ("depth", depth)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"UNet: {argument} {value!r} must be an integer of at least 1")
        for argument, choice, known in (
            ("normalization", normalization, ("batch", None)),
            ("upsampling", upsampling, ("transpose", "resize")),
        ):
            if choice not in known:
                raise ValueError(f"UNet: {argument} {choice!r} must be {known[0]!r} or {known[1]!r}")
        if any(size is not None and size < 2**depth for size in input_shape[:-1]):
            raise ValueError(
                f"UNet: input_shape {input_shape} is too small for depth {depth}: each size must be at least {2**depth}"
            )
        self._arguments = {
            "input_shape": input_shape, "classes": classes, "base_filters": base_filters, "depth": depth,
            "normalization": normalization, "upsampling": upsampling, "activation": activation, "dropout": dropout,
            "kernel_initializer": initializers.get(kernel_initializer), "momentum": momentum,
        }  # fmt: skip
        inputs = layers.Input(input_shape, dtype=dtype)
        outputs = _Drawing(len(input_shape) - 1, self._arguments, dtype).draw(inputs)
        super().__init__(inputs, outputs, name or layers.auto_name("Unet"), trainable)

    _recorded_layers = (CropLike,)

    def _check_input_shape(self, shape: Any) -> None:
        super()._check_input_shape(shape)
        least = 2 ** self._arguments["depth"]
        if any(size is not None and size < least for size in shape[1:-1]):
            raise ValueError(f"{self.name}: input of shape {shape} is too small: every size must be at least {least}")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)} | as_plain(self._arguments)


def _checked_shape(input_shape: Any) -> tuple[int | None, ...]:
    shape = tuple(input_shape)
    if not 2 <= len(shape) <= 4 or shape[-1] is None:
        raise ValueError(f"UNet: input_shape {shape} must be (*spatial, channels) with one to three spatial sizes")
    return shape


class _Drawing:
    """Draws the graph; layers are named by their place ("encoder_1_conv_1"), not by counters."""

    def __init__(self, dimensions: int, arguments: dict[str, Any], dtype: Any) -> None:
        self.dimensions, self.dtype = dimensions, dtype
        self.depth, self.base_filters = arguments["depth"], arguments["base_filters"]
        self.classes, self.activation = arguments["classes"], arguments["activation"]
        self.normalization, self.momentum = arguments["normalization"], arguments["momentum"]
        self.upsampling, self.dropout = arguments["upsampling"], arguments["dropout"]
        self.kernel_initializer = arguments["kernel_initializer"]

    def draw(self, inputs: Symbol) -> Symbol:
        x, bridges = inputs, []
        for level in range(1, self.depth + 1):
            x = self.convolutions(x, level, f"encoder_{level}")
            bridges.append(x)
            x = self.layer("MaxPooling", f"encoder_{level}_pool", pool_size=2, padding="same")(x)
        x = self.convolutions(x, self.depth + 1, "bottom")
        if self.dropout:
            x = layers.Dropout(self.dropout, name="bottom_dropout", dtype=self.dtype)(x)
        for level in range(self.depth, 0, -1):
            x = self.doubled(x, bridges[level - 1], level)
            x = self.convolutions(x, level, f"decoder_{level}")
        return self.convolution(self.classes, 1, "classes", activation=self.activation, use_bias=True)(x)

    def doubled(self, x: Symbol, bridge: Symbol, level: int) -> Symbol:
        """x at twice its size and half its filters, beside the features of that level."""
        name, filters = f"decoder_{level}", self.filters(level)
        if self.upsampling == "transpose":
            initializer = self.kernel_initializer
            x = self.layer(
                "Conv",
                f"{name}_up",
                "Transpose",
                filters=filters,
                kernel_size=2,
                strides=2,
                kernel_initializer=initializer,
            )(x)
        else:
            x = self.layer("UpSampling", f"{name}_up", size=2)(x)
            x = self.convolution(filters, 3, f"{name}_up_conv", use_bias=True)(x)
        if None in bridge.shape[1:-1] or x.shape != bridge.shape:
            x = CropLike(name=f"{name}_crop", dtype=self.dtype)([x, bridge])
        return layers.Concatenate(name=f"{name}_join", dtype=self.dtype)([bridge, x])

    def convolutions(self, x: Symbol, level: int, name: str) -> Symbol:
        """Twice: 3×3 convolution, normalisation if asked for, relu (in the kernel of what comes before it)."""
        for number in (1, 2):
            if self.normalization is None:
                x = self.convolution(self.filters(level), 3, f"{name}_conv_{number}", "relu", use_bias=True)(x)
            else:
                x = self.convolution(self.filters(level), 3, f"{name}_conv_{number}", use_bias=False)(x)
                x = layers.BatchNormalization(
                    momentum=self.momentum, activation="relu", name=f"{name}_norm_{number}", dtype=self.dtype
                )(x)
        return x

    def convolution(self, filters: int, size: int, name: str, activation: Any = None, use_bias: bool = True) -> Layer:
        return self.layer(
            "Conv", name, filters=filters, kernel_size=size, padding="same", activation=activation, use_bias=use_bias,
            kernel_initializer=self.kernel_initializer,
        )  # fmt: skip

    def layer(self, kind: str, name: str, ending: str = "", **arguments: Any) -> Layer:
        """The layer of this kind for the number of dimensions: Conv2D, Conv3DTranspose, MaxPooling1D …"""
        return getattr(layers, f"{kind}{self.dimensions}D{ending}")(name=name, dtype=self.dtype, **arguments)

    def filters(self, level: int) -> int:
        return self.base_filters * 2 ** (level - 1)
