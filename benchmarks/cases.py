"""What is timed: named cases, each built once for an engine and then run again and again.

Shapes are written N,C,H,W → K, kernel, stride, padding, as in the literature; tomograd's arrays are channels last.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Convolution(NamedTuple):
    """One convolution layer; `source` says where the shape comes from."""

    batch: int
    channels: int
    height: int
    width: int
    filters: int
    kernel: int
    stride: int
    padding: int
    source: str

    @property
    def output(self) -> tuple[int, int]:
        rows, columns = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (self.height, self.width)
        )
        return rows, columns

    @property
    def operations(self) -> int:
        """Multiplications and additions of one pass (all three passes need the same)."""
        rows, columns = self.output
        return 2 * self.batch * rows * columns * self.filters * self.channels * self.kernel**2

    def __str__(self) -> str:
        size = f"{self.batch},{self.channels},{self.height},{self.width}→{self.filters}"
        return f"{size} {self.kernel}×{self.kernel} s{self.stride} p{self.padding}"


CONVOLUTIONS = [
    Convolution(4, 1, 256, 256, 16, 3, 1, 1, "U-Net base 16, first"),
    Convolution(4, 16, 256, 256, 16, 3, 1, 1, "U-Net base 16, level 0"),
    Convolution(4, 32, 128, 128, 32, 3, 1, 1, "U-Net base 16, level 1"),
    Convolution(4, 64, 64, 64, 64, 3, 1, 1, "U-Net base 16, level 2"),
    Convolution(4, 128, 32, 32, 128, 3, 1, 1, "U-Net base 16, level 3"),
    Convolution(4, 256, 16, 16, 256, 3, 1, 1, "U-Net base 16, bottom"),
    Convolution(8, 64, 56, 56, 256, 1, 1, 0, "ResNet-50"),
    Convolution(8, 3, 108, 108, 64, 3, 2, 1, "DeepBench"),
    Convolution(4, 3, 224, 224, 64, 7, 2, 3, "ResNet-50, first"),
    Convolution(32, 32, 111, 111, 64, 3, 1, 0, "SYSTEMS S1, second"),
]
PASSES = ["forward", "input gradient", "weight gradient"]


def convolution_arrays(shape: Convolution, seed: int = 0) -> tuple[np.ndarray, ...]:
    """x, weight, bias, cotangent of y, float32, channels last."""
    generator = np.random.default_rng(seed)
    sizes = [
        (shape.batch, shape.height, shape.width, shape.channels),
        (shape.kernel, shape.kernel, shape.channels, shape.filters),
        (shape.filters,),
        (shape.batch, *shape.output, shape.filters),
    ]
    return tuple(generator.standard_normal(size, np.float32) for size in sizes)


class Network(NamedTuple):
    """A network and a batch for one training step (forward, loss, backward, Adam)."""

    kind: str
    batch: int
    input_shape: tuple[int, ...]
    classes: int
    base_filters: int = 0

    def __str__(self) -> str:
        base = f" base {self.base_filters}" if self.base_filters else ""
        return f"{self.kind}{base}, {self.batch}×{'×'.join(map(str, self.input_shape))}"


NETWORKS = [
    Network("S3 CNN", 64, (32, 32, 3), 10),
    Network("U-Net", 4, (256, 256, 1), 1, 16),
]


def network_batch(network: Network, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs and targets of the right shapes: class indices for a CNN, a 0/1 mask for a U-Net."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((network.batch, *network.input_shape), np.float32)
    if network.base_filters:
        return x, (generator.random((network.batch, *network.input_shape[:-1], 1)) > 0.5).astype(np.float32)
    return x, generator.integers(0, network.classes, network.batch)


Run = Callable[[], object]
