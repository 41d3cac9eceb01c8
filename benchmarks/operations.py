"""The kernels beside convolution that are timed: most of them move memory, the matrix products compute.

`TRAFFIC` says for each what it must move: each operand before the arrow read once, each result after it written once.
`WORK` counts arithmetic operations as in the formula, an exponential or a division as one: they place a kernel on the
roofline, no more.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .convolutions import FORWARD, INPUT_GRADIENT, ITEM, WEIGHT_GRADIENT, numbers

GRADIENT, INFERENCE, STEP = "gradient", "inference", "step"
CHOICE, LABEL = 1, 8  # bytes of max pooling's choice, and of a class's number

TRAFFIC: dict[str, dict[str, str]] = {
    "max_pool": {FORWARD: "x → y choice", GRADIENT: "dy choice → dx"},
    "average_pool": {FORWARD: "x → y", GRADIENT: "dy → dx"},
    "global_average_pool": {FORWARD: "x → y"},
    "resize": {FORWARD: "x → y", GRADIENT: "dy → dx"},
    "affine_transform": {FORWARD: "x → y", GRADIENT: "dy → dx"},
    "batch_norm": {
        FORWARD: "x γ β → y μ σ²",
        GRADIENT: "dy x γ μ σ² → dx dγ dβ",
        INFERENCE: "x γ β μ σ² → y",
    },
    "group_norm": {FORWARD: "x γ β → y", GRADIENT: "dy x γ → dx dγ dβ"},
    "layer_norm": {FORWARD: "x γ β → y", GRADIENT: "dy x γ → dx dγ dβ"},
    "activation": {FORWARD: "x → y", GRADIENT: "dy x → dx"},
    "softmax": {FORWARD: "x → y", GRADIENT: "dy y → dx"},
    "log_softmax": {FORWARD: "x → y", GRADIENT: "dy y → dx"},
    "sparse_cross_entropy": {FORWARD: "x labels → loss", GRADIENT: "dloss x labels → dx"},
    "binary_cross_entropy": {FORWARD: "x t → y", GRADIENT: "dy x t → dx"},
    "dice": {FORWARD: "x t → coefficient", GRADIENT: "dcoefficient x t → dx"},
    "embedding": {GRADIENT: "dy labels → dx"},
    "adam": {STEP: "x dx m v → x m v"},
    "adamax": {STEP: "x dx m v → x m v"},
    "nadam": {STEP: "x dx m v → x m v"},
    "adagrad": {STEP: "x dx v → x v"},
    "adadelta": {STEP: "x dx m v → x m v"},
    "rmsprop": {STEP: "x dx v → x v"},
    "sgd": {STEP: "x dx v → x v"},
}
# Operations for each element of x (for pooling and resizing of the smaller or larger side, see `Operation.operations`).
WORK: dict[str, dict[str, int]] = {
    "max_pool": {FORWARD: 1, GRADIENT: 1},
    "average_pool": {FORWARD: 1, GRADIENT: 1},
    "global_average_pool": {FORWARD: 1},
    "resize": {FORWARD: 8, GRADIENT: 8},
    "affine_transform": {FORWARD: 8, GRADIENT: 8},
    "batch_norm": {FORWARD: 5, GRADIENT: 9, INFERENCE: 2},
    "group_norm": {FORWARD: 5, GRADIENT: 11},
    "layer_norm": {FORWARD: 5, GRADIENT: 11},
    "activation": {FORWARD: 4, GRADIENT: 6},
    "softmax": {FORWARD: 4, GRADIENT: 4},
    "log_softmax": {FORWARD: 4, GRADIENT: 4},
    "sparse_cross_entropy": {FORWARD: 3, GRADIENT: 5},
    "binary_cross_entropy": {FORWARD: 7, GRADIENT: 5},
    "dice": {FORWARD: 4, GRADIENT: 3},
    "embedding": {GRADIENT: 1},
    "adam": {STEP: 11},
    "adamax": {STEP: 8},
    "nadam": {STEP: 14},
    "adagrad": {STEP: 6},
    "adadelta": {STEP: 14},
    "rmsprop": {STEP: 8},
    "sgd": {STEP: 4},
}
CHEAP = {"relu": 1, "leaky_relu": 2}  # activations without an exponential


@dataclass(frozen=True)
class Operation:
    """A kernel on x of `shape`, channels last; `options` are its own arguments (a window, an activation's name)."""

    kind: str
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def group(self) -> str:
        return "optimizers" if STEP in TRAFFIC[self.kind] else "memory-bound kernels"

    @property
    def passes(self) -> tuple[str, ...]:
        return tuple(TRAFFIC[self.kind])

    @property
    def has_layout(self) -> bool:
        """Whether a peer with two memory layouts runs differently in each."""
        return len(self.shape) > 2 and self.kind not in ("activation", "binary_cross_entropy", "dice", "layer_norm")

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of y."""
        batch, size, channels = self.shape[0], self.shape[1:-1], self.shape[-1]
        if self.kind in ("max_pool", "average_pool"):
            window, stride, padding = (self.options[name] for name in ("window", "stride", "padding"))
            return (batch, *((n + 2 * padding - window) // stride + 1 for n in size), channels)
        if self.kind == "resize":
            return (batch, *(n * self.options["factor"] for n in size), channels)
        if self.kind == "embedding":
            return (self.options["looked_up"], channels)
        return (batch, channels) if self.kind == "global_average_pool" else self.shape

    def sizes(self) -> dict[str, int]:
        """The bytes of everything that `TRAFFIC` names."""
        batch, channels = self.shape[0], self.shape[-1]
        large, small = prod(self.shape) * ITEM, prod(self.output) * ITEM
        names = dict.fromkeys(("γ", "β", "μ", "σ²", "dγ", "dβ"), channels * ITEM)
        names |= dict.fromkeys(["x", "dx", "t", "m", "v"], large) | dict.fromkeys(["y", "dy"], small)
        names |= {"choice": small // ITEM * CHOICE, "labels": self.output[0] * LABEL}
        names |= dict.fromkeys(["loss", "dloss"], batch * ITEM)
        names |= dict.fromkeys(["coefficient", "dcoefficient"], batch * channels * ITEM)
        return names

    def bytes(self, which: str) -> int:
        """What must move: `TRAFFIC` with the shapes filled in."""
        sizes = self.sizes()
        return sum(sizes[name] for name in TRAFFIC[self.kind][which].split() if name != "→")

    def operations(self, which: str) -> int:
        """`WORK` with the shapes filled in."""
        work = WORK[self.kind][which]
        if self.kind == "activation":
            work = CHEAP.get(self.options["name"], work)
        if self.kind in ("max_pool", "average_pool"):
            return prod(self.output) * self.options["window"] ** (len(self.shape) - 2) * work
        if self.kind == "resize":
            return prod(self.output) * (work if self.options["method"] == "bilinear" else 0)
        return prod(self.output if self.kind == "embedding" else self.shape) * work

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random x, dy (of y's shape), targets t of zeros and ones, class numbers, γ and β."""
        generator = np.random.default_rng(seed)
        batch, channels = self.shape[0], self.shape[-1]
        arrays = {
            "x": numbers(generator, self.shape),
            "gamma": numbers(generator, (channels,)) + 2,
            "beta": numbers(generator, (channels,)),
        }
        if self.kind == "sparse_cross_entropy":
            arrays["labels"] = generator.integers(0, channels, batch)
            arrays["dy"] = numbers(generator, (batch,))
        elif self.kind == "embedding":
            arrays["labels"] = generator.integers(0, batch, self.output[0])
            arrays["dy"] = numbers(generator, self.output)
        elif self.kind == "dice":
            arrays["x"] = np.abs(arrays["x"])
            arrays["dy"] = numbers(generator, (batch, channels))
        else:
            arrays["dy"] = numbers(generator, self.output)
        if self.kind in ("binary_cross_entropy", "dice"):
            arrays["t"] = (generator.random(self.shape, np.float32) > 0.5).astype(np.float32)
        return arrays

    @property
    def label(self) -> str:
        name = self.options.get("name", self.kind).replace("_", " ")
        if self.kind in ("max_pool", "average_pool"):
            window, stride, padding = (self.options[key] for key in ("window", "stride", "padding"))
            name += f" {window}×{window},s{stride}" + (f",p{padding}" if padding else "")
        elif self.kind == "resize":
            name += f" {self.options['method']} ×{self.options['factor']}"
        elif self.kind == "embedding":
            name += f" of {self.options['looked_up']}"
        elif self.kind == "affine_transform":
            name += f" by {self.options['degrees']}°"
        elif self.kind == "group_norm":
            name += f" {self.options['groups']} groups"
        elif self.options.get("activation"):
            name += f" + {self.options['activation']}"
        return f"{name} {'×'.join(map(str, self.shape))}"


@dataclass(frozen=True)
class Dense:
    """A dense layer: x (rows, inputs) · weight (inputs, units) + bias."""

    rows: int
    inputs: int
    units: int
    source: str = ""

    group = "dense"
    passes = (FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT)
    has_layout = False

    def operations(self, which: str = FORWARD) -> int:
        return 2 * self.rows * self.inputs * self.units

    def bytes(self, which: str) -> int:
        sides = self.rows * self.inputs + self.inputs * self.units + self.rows * self.units
        return (sides + (self.units if which == FORWARD else 0)) * ITEM

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(seed)
        shapes = {
            "x": (self.rows, self.inputs),
            "weight": (self.inputs, self.units),
            "bias": (self.units,),
            "dy": (self.rows, self.units),
        }
        return {name: numbers(generator, shape) for name, shape in shapes.items()}

    @property
    def label(self) -> str:
        return f"dense {self.rows}×{self.inputs}→{self.units}"


def _pool(kind: str, shape: tuple[int, ...], window: int, stride: int, padding: int, source: str) -> Operation:
    return Operation(kind, shape, {"window": window, "stride": stride, "padding": padding}, source)


_UNET, _RESNET = "U-Net base 16, level 0", "ResNet-50"
_LEVEL_0, _LEVEL_3, _STEM = (4, 256, 256, 16), (4, 32, 32, 128), (8, 112, 112, 64)

OPERATIONS: list[Operation] = [
    _pool("max_pool", _LEVEL_0, 2, 2, 0, _UNET),
    _pool("max_pool", _STEM, 3, 2, 1, _RESNET),
    _pool("average_pool", _LEVEL_0, 2, 2, 0, _UNET),
    Operation("global_average_pool", (32, 7, 7, 2048), source=_RESNET),
    Operation("resize", (4, 128, 128, 16), {"method": "bilinear", "factor": 2}, "U-Net with resizing"),
    Operation("resize", (4, 128, 128, 16), {"method": "nearest", "factor": 2}, "U-Net with resizing"),
    Operation("affine_transform", (32, 224, 224, 3), {"degrees": 17}, "augmentation of photographs"),
    Operation("batch_norm", _LEVEL_0, source=_UNET),
    Operation("batch_norm", _LEVEL_0, {"activation": "relu"}, _UNET),
    Operation("batch_norm", _LEVEL_3, {"activation": "relu"}, "U-Net base 16, level 3"),
    Operation("group_norm", _LEVEL_0, {"groups": 8}, _UNET),
    Operation("layer_norm", (8192, 768), source="BERT, 16 sequences of 512"),
    *(
        Operation("activation", _LEVEL_0, {"name": name}, _UNET)
        for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus")
    ),
    Operation("softmax", (65536, 64), source="own"),
    Operation("log_softmax", (65536, 64), source="own"),
    Operation("softmax", (262144, 5), source="segmentation, 5 classes, 4×256×256"),
    Operation("sparse_cross_entropy", (262144, 5), source="segmentation, 5 classes, 4×256×256"),
    Operation("sparse_cross_entropy", (8192, 1000), source="ImageNet's classes"),
    Operation("binary_cross_entropy", (4, 512, 512, 1), source="a mask of 512×512"),
    Operation("dice", (4, 262144, 1), source="a mask of 512×512"),
    Operation("embedding", (20_000, 128), {"looked_up": 8192}, "32 texts of 256 words"),
    Operation("adam", (4_000_000,), source="own, one weight"),
    *(
        Operation(kind, (4_000_000,), source="own, one weight")
        for kind in ("adamax", "nadam", "adagrad", "adadelta", "rmsprop")
    ),
    Operation("sgd", (4_000_000,), source="own, one weight, momentum"),
]

DENSES: list[Dense] = [
    Dense(64, 1024, 64, "S3 CNN"),
    Dense(32, 186_624, 128, "S1 CNN"),
    Dense(128, 2048, 1000, "ResNet-50's classes"),
    Dense(512, 768, 3072, "BERT"),
    Dense(1024, 1024, 1024, "own"),
]
