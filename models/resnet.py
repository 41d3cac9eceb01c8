"""ResNet: a classifier of residual blocks, each of which adds something to what passes by it.

K. He, X. Zhang, S. Ren and J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import initializers, layers, regularizers
from ..engine.config import as_plain
from ..engine.layers.symbolic import Symbol
from .blocks import Drawing, checked_image_shape, require_choice, require_count
from .functional import Functional


class ResNet(Functional):
    """A residual network, in one to three dimensions, for images of any size.

    ResNet((28, 28, 1), 2)                                 # for small images: 20 layers, 0.27 million weights
    ResNet((224, 224, 3), 1000, (64, 128, 256, 512), (2, 2, 2, 2), stem="large")                   # ResNet-18
    ResNet((224, 224, 3), 1000, (64, 128, 256, 512), (3, 4, 6, 3), bottleneck=True, stem="large")  # ResNet-50

    The stem, then for each entry of `filters` a stage of blocks; the first block of all stages but the first halves the
    size (stride 2). A block is y = relu(x + f(x)), f two 3×3 convolutions, each followed by batch normalisation, with a
    relu between; x goes through a 1×1 convolution and batch normalisation where its size or channels change (the
    article's shortcut B). Then the means of the channels, and a dense layer.

    input_shape: (*spatial, channels), one to three spatial sizes, None where they may vary.
    classes: outputs; 1 for two classes told apart by one number. The output are logits unless an `activation`
        ("sigmoid", "softmax") is given: train with a loss that says from_logits=True.
    filters: of each stage. blocks: how many each stage has, one number for all or one for each.
    bottleneck: f is a 1×1 convolution to `filters`, a 3×3 (which has the stride) and a 1×1 to four times as many.
    stem: "small", a 3×3 convolution; "large", a 7×7 with stride 2 and a 3×3 max pooling with stride 2.
    squeeze_excitation: r, such as 16, for channels of f(x) weighted by what the means of all say, through a layer of
        1/r as many (SE-ResNet: Hu et al., CVPR 2018).
    dropout: the rate before the last layer. kernel_initializer, kernel_regularizer: of all convolutions and the dense
        layers. momentum: of the moving averages, less than Keras's 0.99, so that short trainings have followed.

    Raises ValueError for an argument out of range.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None],
        classes: int = 1,
        filters: Sequence[int] = (16, 32, 64),
        blocks: int | Sequence[int] = 3,
        bottleneck: bool = False,
        stem: str = "small",
        squeeze_excitation: int | None = None,
        dropout: float = 0.0,
        activation: Any = None,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        momentum: float = 0.9,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        shape = checked_image_shape("ResNet", input_shape)
        filters = tuple(filters)
        counts = (blocks,) * len(filters) if isinstance(blocks, int) else tuple(blocks)
        if not filters or len(counts) != len(filters):
            raise ValueError(f"ResNet: filters {filters} and blocks {blocks} must name the same stages, at least one")
        require_count("ResNet", classes=classes)
        for stage, (size, count) in enumerate(zip(filters, counts, strict=True)):
            require_count("ResNet", **{f"filters[{stage}]": size, f"blocks[{stage}]": count})
        require_choice("ResNet", "stem", stem, ("small", "large"))
        if squeeze_excitation is not None:
            require_count("ResNet", squeeze_excitation=squeeze_excitation)
        self._arguments = {
            "input_shape": shape, "classes": classes, "filters": filters, "blocks": counts,
            "bottleneck": bool(bottleneck), "stem": stem, "squeeze_excitation": squeeze_excitation, "dropout": dropout,
            "activation": activation, "kernel_initializer": initializers.get(kernel_initializer),
            "kernel_regularizer": regularizers.get(kernel_regularizer), "momentum": momentum,
        }  # fmt: skip
        inputs = layers.Input(shape, dtype=dtype)
        outputs = _Drawing(len(shape) - 1, self._arguments, dtype).draw(inputs)
        super().__init__(inputs, outputs, name or layers.auto_name("Resnet"), trainable)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)} | as_plain(self._arguments)


class _Drawing(Drawing):
    """Draws the graph."""

    def __init__(self, dimensions: int, arguments: dict[str, Any], dtype: Any) -> None:
        super().__init__(
            dimensions, dtype, arguments["kernel_initializer"], arguments["kernel_regularizer"], arguments["momentum"]
        )
        self.arguments = arguments

    def draw(self, inputs: Symbol) -> Symbol:
        given = self.arguments
        x = self.stem(inputs, given["filters"][0], given["stem"] == "large")
        for stage, (filters, blocks) in enumerate(zip(given["filters"], given["blocks"], strict=True), 1):
            for block in range(1, blocks + 1):
                x = self.block(x, filters, 2 if block == 1 < stage else 1, f"stage_{stage}_block_{block}")
        return self.head(x, given["classes"], given["activation"], given["dropout"])

    def block(self, x: Symbol, filters: int, strides: int, name: str) -> Symbol:
        """relu(x + f(x))"""
        y, shortcut = x, x
        if self.arguments["bottleneck"]:
            y = self.convolved(y, filters, 1, 1, f"{name}_1", "relu")
            y = self.convolved(y, filters, 3, strides, f"{name}_2", "relu")
            y = self.convolved(y, 4 * filters, 1, 1, f"{name}_3")
        else:
            y = self.convolved(y, filters, 3, strides, f"{name}_1", "relu")
            y = self.convolved(y, filters, 3, 1, f"{name}_2")
        if self.arguments["squeeze_excitation"] is not None:
            y = self.squeeze_excitation(y, self.arguments["squeeze_excitation"], name)
        if strides > 1 or x.shape[-1] != y.shape[-1]:
            shortcut = self.convolved(x, y.shape[-1], 1, strides, f"{name}_shortcut")
        y = layers.Add(name=f"{name}_add", dtype=self.dtype)([shortcut, y])
        return layers.ReLU(name=f"{name}_relu", dtype=self.dtype)(y)

    def convolved(
        self, x: Symbol, filters: int | None, size: int, strides: int, name: str, activation: Any = None
    ) -> Symbol:
        """Convolution without a bias, batch normalisation, activation."""
        assert filters is not None
        x = self.convolution(filters, size, f"{name}_conv", use_bias=False, strides=strides)(x)
        return self.normalization(f"{name}_norm", activation)(x)

    def stem(self, x: Symbol, filters: int, large: bool) -> Symbol:
        x = self.convolved(x, filters, 7 if large else 3, 2 if large else 1, "stem", "relu")
        return self.layer("MaxPooling", "stem_pool", pool_size=3, strides=2, padding=1)(x) if large else x
