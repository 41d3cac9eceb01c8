"""The networks whose steps, start and memory are measured, and how many weights each has, on any engine."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from .convolutions import numbers

TRAINING, INFERENCE, SINGLE = "training step", "inference", "inference, batch 1"
KERNEL, POOL = 3, 2  # sides of all convolutions' and poolings' windows


@dataclass(frozen=True)
class Classifier:
    """Convolutions ("valid", relu), each but perhaps the last with a pooling after it; two dense layers."""

    name: str
    batch: int
    input_shape: tuple[int, ...]
    classes: int  # 1: two classes told apart by one logit
    filters: tuple[int, ...]
    dense: int
    pool_last: bool

    @property
    def features(self) -> int:
        """Numbers that the first dense layer takes."""
        size = self.input_shape[:-1]
        for number in range(1, len(self.filters) + 1):
            size = tuple(n - KERNEL + 1 for n in size)
            if number < len(self.filters) or self.pool_last:
                size = tuple(n // POOL for n in size)
        return prod(size) * self.filters[-1]

    @property
    def parameters(self) -> int:
        """Weights that are trained."""
        channels = (self.input_shape[-1], *self.filters)
        window = KERNEL ** (len(self.input_shape) - 1)
        convolutions = sum((window * a + 1) * b for a, b in pairwise(channels))
        return convolutions + (self.features + 1) * self.dense + (self.dense + 1) * self.classes

    def batch_arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random inputs, and class numbers; for one logit, zeros and ones of shape (batch, 1)."""
        generator = np.random.default_rng(seed)
        x = numbers(generator, (self.batch, *self.input_shape))
        if self.classes == 1:
            return x, generator.integers(0, 2, (self.batch, 1)).astype(np.float32)
        return x, generator.integers(0, self.classes, self.batch)

    @property
    def label(self) -> str:
        return f"{self.name}, {'×'.join(map(str, (self.batch, *self.input_shape)))}"


@dataclass(frozen=True)
class Segmenter:
    """A U-Net with batch normalisation and transposed convolutions, `depth` levels, one logit for each pixel."""

    name: str
    batch: int
    input_shape: tuple[int, ...]
    base_filters: int
    depth: int = 4

    @property
    def parameters(self) -> int:
        """Weights that are trained: convolutions before a normalisation have no bias, normalisations have two."""
        dimensions = len(self.input_shape) - 1
        window, up = KERNEL**dimensions, POOL**dimensions
        widths = [self.base_filters * 2**level for level in range(self.depth + 1)]

        def block(inputs: int, filters: int) -> int:
            return window * filters * (inputs + filters) + 4 * filters

        down = sum(block(a, b) for a, b in zip([self.input_shape[-1], *widths], widths, strict=False))
        back = sum(up * 2 * width * width + width + block(2 * width, width) for width in widths[:-1])
        return down + back + self.base_filters + 1

    def batch_arrays(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Random images and masks of zeros and ones."""
        generator = np.random.default_rng(seed)
        x = numbers(generator, (self.batch, *self.input_shape))
        return x, (generator.random((self.batch, *self.input_shape[:-1], 1)) > 0.5).astype(np.float32)

    @property
    def label(self) -> str:
        return f"{self.name}, {'×'.join(map(str, (self.batch, *self.input_shape)))}"


Network = Classifier | Segmenter
S3 = Classifier("S3 CNN", 64, (32, 32, 3), 10, (32, 64, 64), 64, pool_last=False)
NETWORKS: list[Network] = [
    Classifier("S1 CNN", 32, (224, 224, 3), 1, (32, 64), 128, pool_last=True),
    Classifier("S2 CNN", 32, (224, 224, 3), 1, (32, 64, 128), 128, pool_last=True),
    S3,
    Segmenter("U-Net base 16", 4, (256, 256, 1), 16),
    Segmenter("U-Net base 32", 4, (256, 256, 1), 32),
    Segmenter("3-D U-Net base 8", 1, (64, 64, 64, 1), 8),
]
WITH_TARGETS = ("S1 CNN", "S2 CNN", "S3 CNN", "U-Net base 32")  # for training steps on a GPU: see targets.py


def runs(network: Network) -> tuple[str, ...]:
    """What is timed of a network: inference of one example is a run of its own where the batch holds more."""
    return (TRAINING, INFERENCE, SINGLE) if network.batch > 1 else (TRAINING, INFERENCE)
