"""The convolution layers that are timed, each with the place it comes from, and what each must compute and move.

They are written as in the literature, N,C,H,W→K,kernel and then what is not the default: s stride, p padding,
d dilation, g groups, T for a transposed convolution. tomograd's arrays are channels last.
"""

import re
from dataclasses import dataclass
from math import prod

import numpy as np

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = PASSES = ("forward", "input gradient", "weight gradient")
ITEM = 4  # bytes of a float32
DRAWN = 2**22 + 15  # numbers at most that are drawn, a prime: larger arrays repeat them, out of step with their rows
_NOTATION = re.compile(r"(?P<sizes>\d+(?:,\d+){2,4})→(?P<filters>\d+),(?P<kernel>\d+)(?P<options>(?:,[spdg]\d+|,T)*)")


@dataclass(frozen=True)
class Convolution:
    """One layer; kernel, stride, padding and dilation are the same in all of its one to three dimensions.

    Of a transposed one, `size` is that of its (small) input, and stride and padding are those of the convolution that
    it is the transpose of.
    """

    batch: int
    channels: int
    size: tuple[int, ...]
    filters: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    source: str = ""

    group = "convolutions"
    passes = PASSES

    @property
    def dimensions(self) -> int:
        return len(self.size)

    @property
    def output(self) -> tuple[int, ...]:
        reach = (self.kernel - 1) * self.dilation + 1
        if self.transposed:
            return tuple((size - 1) * self.stride + reach - 2 * self.padding for size in self.size)
        return tuple((size + 2 * self.padding - reach) // self.stride + 1 for size in self.size)

    def operations(self, which: str = FORWARD) -> int:
        """Multiplications and additions of one pass, without those with padding; the three passes need the same."""
        large, small = (self.output, self.size) if self.transposed else (self.size, self.output)
        pairs = prod(self._pairs(n, m) for n, m in zip(large, small, strict=True))
        return 2 * self.batch * pairs * self.channels * self.filters // self.groups

    def _pairs(self, large: int, small: int) -> int:
        """How many (kernel tap, small position) pairs of one dimension meet a pixel of the large side, not padding."""
        taps = np.arange(self.kernel)[:, None] * self.dilation + np.arange(small) * self.stride - self.padding
        return int(((taps >= 0) & (taps < large)).sum())

    def operands(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes: x, weight, bias and y, channels last."""
        spatial = (self.kernel,) * self.dimensions
        if self.transposed:
            weight = (*spatial, self.filters // self.groups, self.channels)
        else:
            weight = (*spatial, self.channels // self.groups, self.filters)
        return {
            "x": (self.batch, *self.size, self.channels),
            "weight": weight,
            "bias": (self.filters,),
            "y": (self.batch, *self.output, self.filters),
        }

    def bytes(self, which: str) -> int:
        """What must move: each operand read once, the result written once."""
        sizes = {name: prod(shape) * ITEM for name, shape in self.operands().items()}
        return sum(sizes.values()) if which == FORWARD else sum(sizes.values()) - sizes["bias"]

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random operands, and "dy", a cotangent of y, in y's place."""
        generator = np.random.default_rng(seed)
        drawn = {name: numbers(generator, shape) for name, shape in self.operands().items()}
        drawn["dy"] = drawn.pop("y")
        return drawn

    @property
    def label(self) -> str:
        shown = ",".join(map(str, (self.batch, self.channels, *self.size)))
        options = [
            f",{letter}{value}"
            for letter, value, usual in [
                ("s", self.stride, 1),
                ("p", self.padding, 0),
                ("d", self.dilation, 1),
                ("g", self.groups, 1),
            ]
            if value != usual
        ]
        return f"{shown}→{self.filters},{self.kernel}{''.join(options)}{',T' if self.transposed else ''}"

    @classmethod
    def of(cls, notation: str, source: str = "") -> "Convolution":
        """The layer that the notation describes: of("1,4,84,84→16,8,s4", "A3C"). Raises ValueError."""
        match = _NOTATION.fullmatch(notation)
        if match is None:
            raise ValueError(f"convolution {notation!r}: expected N,C,H,W→K,kernel and then s, p, d, g with numbers, T")
        batch, channels, *size = map(int, match["sizes"].split(","))
        names = {"s": "stride", "p": "padding", "d": "dilation", "g": "groups"}
        options = [option for option in match["options"].split(",") if option]
        given = {names[option[0]]: int(option[1:]) for option in options if option != "T"}
        return cls(
            batch,
            channels,
            tuple(size),
            int(match["filters"]),
            int(match["kernel"]),
            **given,
            transposed="T" in options,
            source=source,
        )


def numbers(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random float32 numbers from -1 to 1: drawn quickly, and without a tie or a zero to speak of. (Arrays that fill a
    GPU repeat the first DRAWN: to draw them all would take longer than to measure what is computed from them.)"""
    drawn = 2 * generator.random(min(prod(shape), DRAWN), np.float32) - 1
    return np.resize(drawn, shape)


_SOURCES = {
    "oneDNN, U-Net": [
        "1,1,572,572→16,3",
        "1,16,570,570→16,3",
        "1,32,282,282→32,3",
        "1,64,138,138→64,3",
        "1,32,272,272→64,2,s2",
        "1,64,272,272→32,3",
        "1,16,532,532→2,1",
    ],
    "cosmictagger": ["1,1,640,1024→16,7,p3", "1,64,80,128→64,3,p1"],
    "torchbench, pytorch_unet": ["1,3,640,959→64,3,p1", "1,512,40,59→512,3,p1", "1,64,640,959→2,1"],
    "DeepBench": [
        "16,1,48,480→16,3,p1",
        "16,32,12,120→64,3,p1",
        "8,3,108,108→64,3,s2,p1",
        "8,64,54,54→64,3,p1",
        "8,128,27,27→128,3,p1",
        "8,256,7,7→512,3,p1",
    ],
    "ResNet-50": ["4,3,224,224→64,7,s2,p3", "8,64,56,56→256,1", "8,128,56,56→128,3,s2,p1"],
    "GoogLeNet": ["16,16,28,28→32,5,p2"],
    "A3C": ["1,4,84,84→16,8,s4"],
    "own, depthwise": ["8,64,112,112→64,3,p1,g64", "8,128,56,56→128,3,s2,p1,g128"],
    "own, grouped": ["8,128,56,56→128,3,p1,g4"],
    "own, dilated": ["4,64,64,64→64,3,p2,d2", "4,64,64,64→64,3,p4,d4"],
    "own, 1-D": ["16,64,4096→64,9,p4"],
    "own, 3-D": ["1,16,48,48,48→32,3,p1"],
    "own, transposed": ["4,32,128,128→16,2,s2,T"],
}
CONVOLUTIONS = [Convolution.of(notation, source) for source, shapes in _SOURCES.items() for notation in shapes]
