"""U-Net: a contracting path that sees context, an expanding one that places it, and bridges between their levels.

O. Ronneberger, P. Fischer and T. Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015.
For volumes: Ö. Çiçek et al., 3D U-Net, MICCAI 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers
from ..engine.config import as_plain
from ..engine.layers.symbolic import Symbol
from .blocks import CropLike, Drawing, checked_image_shape, require_choice, require_count
from .functional import Functional


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
    attention_gates: each level's features are weighted, position by position, by what the level below it makes of
        them, before they are set beside (Oktay et al., Attention U-Net, MIDL 2018; see `Drawing.attention_gate`).
    squeeze_excitation: r, such as 16, for channels weighted by what the means of all say, through a layer of 1/r as
        many, after each pair of convolutions (Hu et al., CVPR 2018; see `Drawing.squeeze_excitation`).

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
        attention_gates: bool = False,
        squeeze_excitation: int | None = None,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        input_shape = checked_image_shape("UNet", input_shape)
        require_count("UNet", classes=classes, base_filters=base_filters, depth=depth)
        require_choice("UNet", "normalization", normalization, ("batch", None))
        require_choice("UNet", "upsampling", upsampling, ("transpose", "resize"))
        if squeeze_excitation is not None:
            require_count("UNet", squeeze_excitation=squeeze_excitation)
        if any(size is not None and size < 2**depth for size in input_shape[:-1]):
            raise ValueError(
                f"UNet: input_shape {input_shape} is too small for depth {depth}: each size must be at least {2**depth}"
            )
        self._arguments = {
            "input_shape": input_shape, "classes": classes, "base_filters": base_filters, "depth": depth,
            "normalization": normalization, "upsampling": upsampling, "activation": activation, "dropout": dropout,
            "kernel_initializer": initializers.get(kernel_initializer), "momentum": momentum,
            "attention_gates": bool(attention_gates), "squeeze_excitation": squeeze_excitation,
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


class _Drawing(Drawing):
    """Draws the graph."""

    def __init__(self, dimensions: int, arguments: dict[str, Any], dtype: Any) -> None:
        super().__init__(dimensions, dtype, arguments["kernel_initializer"], momentum=arguments["momentum"])
        self.depth, self.base_filters = arguments["depth"], arguments["base_filters"]
        self.classes, self.activation = arguments["classes"], arguments["activation"]
        self.with_normalization = arguments["normalization"] is not None
        self.upsampling, self.dropout = arguments["upsampling"], arguments["dropout"]
        self.attention_gates, self.ratio = arguments["attention_gates"], arguments["squeeze_excitation"]

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
            bridge = bridges[level - 1]
            if self.attention_gates:
                bridge = self.attention_gate(bridge, x, f"decoder_{level}")
            x = self.doubled(x, bridge, level)
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
            if self.with_normalization:
                x = self.convolution(self.filters(level), 3, f"{name}_conv_{number}", use_bias=False)(x)
                x = self.normalization(f"{name}_norm_{number}", "relu")(x)
            else:
                x = self.convolution(self.filters(level), 3, f"{name}_conv_{number}", "relu")(x)
        return x if self.ratio is None else self.squeeze_excitation(x, self.ratio, name)

    def filters(self, level: int) -> int:
        return self.base_filters * 2 ** (level - 1)
