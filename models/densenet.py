"""DenseNet: a classifier of dense blocks, in which each layer sees all layers before it.

G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, Densely Connected Convolutional Networks, CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers, regularizers
from ..engine.config import as_plain
from ..engine.layers.symbolic import Symbol
from .blocks import Drawing, checked_image_shape, require_choice, require_count
from .functional import Functional


class DenseNet(Functional):
    """A densely connected network (DenseNet-BC), in one to three dimensions, for images of any size.

    DenseNet((28, 28, 1), 2)                                             # for small images: 0.1 million weights
    DenseNet((32, 32, 3), 10, blocks=(16, 16, 16))                       # DenseNet-BC (L = 100, k = 12)
    DenseNet((224, 224, 3), 1000, 32, (6, 12, 24, 16), stem="large")     # DenseNet-121

    The stem, then a dense block for each entry of `blocks`, with a transition after each but the last. A layer of a
    block takes everything that the block has so far, and sets `growth_rate` channels beside it: batch normalisation,
    relu, 1×1 convolution to 4·growth_rate channels, batch normalisation, relu, 3×3 convolution. A transition is batch
    normalisation, relu, 1×1 convolution to `compression` times the channels, 2×2 average pooling. At the end batch
    normalisation, relu, the means of the channels, and a dense layer.

    input_shape: (*spatial, channels), one to three spatial sizes, None where they may vary.
    classes: outputs; 1 for two classes told apart by one number. The output are logits unless an `activation`
        ("sigmoid", "softmax") is given: train with a loss that says from_logits=True.
    growth_rate: channels that each layer adds. blocks: layers of each block.
    compression: between 0 and 1, what a transition leaves of the channels. bottleneck: False leaves out the layers' 1×1
        convolutions.
    stem: "small", a 3×3 convolution to 2·growth_rate channels; "large", a 7×7 with stride 2, batch normalisation, relu,
        and a 3×3 max pooling with stride 2.
    dropout: the rate after each layer (the article takes 0.2 where data are not augmented). kernel_initializer,
        kernel_regularizer: of all convolutions and the dense layer. momentum: of the moving averages, less than Keras's
        0.99, so that short trainings have followed.

    Raises ValueError for an argument out of range.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        classes: int = 1,
        growth_rate: int = 12,
        blocks: Sequence[int] = (4, 4, 4),
        compression: float = 0.5,
        bottleneck: bool = True,
        stem: str = "small",
        dropout: float = 0.0,
        activation: Any = None,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        momentum: float = 0.9,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = checked_image_shape("DenseNet", input_shape)
        blocks = tuple(blocks)
        if not blocks:
            raise ValueError("DenseNet: blocks is empty: at least one block is needed")
        require_count("DenseNet", classes=classes, growth_rate=growth_rate)
        require_count("DenseNet", **{f"blocks[{number}]": count for number, count in enumerate(blocks)})
        require_choice("DenseNet", "stem", stem, ("small", "large"))
        if not 0.0 < compression <= 1.0:
            raise ValueError(f"DenseNet: compression {compression!r} must be greater than 0 and at most 1")
        self._arguments = {
            "input_shape": shape, "classes": classes, "growth_rate": growth_rate, "blocks": blocks,
            "compression": compression, "bottleneck": bool(bottleneck), "stem": stem, "dropout": dropout,
            "activation": activation, "kernel_initializer": initializers.get(kernel_initializer),
            "kernel_regularizer": regularizers.get(kernel_regularizer), "momentum": momentum,
        }  # fmt: skip
        inputs = layers.Input(shape, dtype=dtype)
        outputs = _Drawing(len(shape) - 1, self._arguments, dtype).draw(inputs)
        super().__init__(inputs, outputs, name or layers.auto_name("Densenet"), trainable)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)} | as_plain(self._arguments)


class _Drawing(Drawing):
    """Draws the graph."""

    def __init__(self, dimensions: int, arguments: dict[str, Any], dtype: Any) -> None:
        super().__init__(
            dimensions, dtype, arguments["kernel_initializer"], arguments["kernel_regularizer"], arguments["momentum"]
        )
        self.growth_rate, self.compression = arguments["growth_rate"], arguments["compression"]
        self.bottleneck, self.dropout, self.arguments = arguments["bottleneck"], arguments["dropout"], arguments

    def draw(self, inputs: Symbol) -> Symbol:
        x = self.stem(inputs, self.arguments["stem"] == "large")
        blocks = self.arguments["blocks"]
        for number, count in enumerate(blocks, 1):
            for layer in range(1, count + 1):
                grown = self.grown(x, f"block_{number}_layer_{layer}")
                x = layers.Concatenate(name=f"block_{number}_join_{layer}", dtype=self.dtype)([x, grown])
            if number < len(blocks):
                x = self.transition(x, f"transition_{number}")
        x = self.normalization("last_norm", "relu")(x)
        return self.head(x, self.arguments["classes"], self.arguments["activation"])

    def stem(self, x: Symbol, large: bool) -> Symbol:
        filters = 2 * self.growth_rate
        if not large:
            return self.convolution(filters, 3, "stem_conv", use_bias=False)(x)
        x = self.convolution(filters, 7, "stem_conv", use_bias=False, strides=2)(x)
        x = self.normalization("stem_norm", "relu")(x)
        return self.layer("MaxPooling", "stem_pool", pool_size=3, strides=2, padding=1)(x)

    def grown(self, x: Symbol, name: str) -> Symbol:
        """The channels that a layer of a block adds to x."""
        if self.bottleneck:
            x = self.normalized_first(x, 4 * self.growth_rate, 1, f"{name}_1")
        return self.normalized_first(x, self.growth_rate, 3, f"{name}_2")

    def normalized_first(self, x: Symbol, filters: int, size: int, name: str) -> Symbol:
        """Batch normalisation, relu, convolution, dropout."""
        x = self.normalization(f"{name}_norm", "relu")(x)
        x = self.convolution(filters, size, f"{name}_conv", use_bias=False)(x)
        return layers.Dropout(self.dropout, name=f"{name}_dropout", dtype=self.dtype)(x) if self.dropout else x

    def transition(self, x: Symbol, name: str) -> Symbol:
        channels = x.shape[-1]
        assert channels is not None
        x = self.normalized_first(x, max(1, int(channels * self.compression)), 1, name)
        return self.layer("AveragePooling", f"{name}_pool", pool_size=2, padding="same")(x)
