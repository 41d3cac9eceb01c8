"""The geometry of one sliding-window sum, as every convolution kernel here takes it: three spatial dimensions,
offsets in elements, and weights wherever their strides say.

A `Correlation` is  y[n, o, k] = Σ_t Σ_c x[n, o·strides + t·dilation − before, c] · w[t, c, k]  for each group. One
and two dimensions are three with leading ones. Because x, y and w are given by strides, the same kernel computes a
convolution, each output phase of a transposed convolution (y in steps, w reversed and transposed), and a batch of
matrix products (groups)."""

from dataclasses import astuple, dataclass, replace
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from ..geometry import Pairs, Sizes
from ..phases import Phase, phases_of_transpose

# Where a body finds what in `Correlation.numbers`.
INPUT, OUTPUT, KERNEL, STRIDES, DILATION, BEFORE, X, Y, NUMBERS = 0, 3, 6, 9, 12, 15, 18, 23, 28


def _contiguous(sizes: Sizes, channels: int) -> tuple[int, int, int, int]:
    """Strides of (N, D, H, W) in an array (N, D, H, W, channels)."""
    w = channels
    h = w * sizes[2]
    d = h * sizes[1]
    return d * sizes[0], d, h, w


@dataclass(frozen=True)
class Pieces:
    """Output channels that are made of pieces: channel p·channels + k is channel k of piece p.

    `pixels` > 1: the pieces are that many neighbouring output pixels of a row, computed as one. At the kernel's W
    position t pixel p meets tap `first_tap` − pixels·t + p of the weights' `taps`, or none. `pixels` = 1: they are
    groups."""

    pixels: int
    channels: int
    first_tap: int
    taps: int
    stride: int  # from the weights of one piece to those of the next


@dataclass(frozen=True)
class Correlation:
    """Sizes are (D, H, W). `x_strides` and `y_strides` are of (N, D, H, W, group); `weight_strides` of (D, H, W, input
    channel, output channel, group), counted from `weight_start`. Channels are those of one group."""

    batch: int
    input_size: Sizes
    output_size: Sizes
    kernel_size: Sizes
    strides: Sizes
    dilation: Sizes
    before: tuple[int, int, int]
    groups: int
    channels_in: int
    channels_out: int
    x_strides: tuple[int, ...]
    y_strides: tuple[int, ...]
    weight_strides: tuple[int, ...]
    weight_start: int = 0
    y_start: int = 0
    pieces: Pieces | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(
            (
                self.batch,
                self.input_size,
                self.output_size,
                self.kernel_size,
                self.channels_in,
                self.channels_out,
                self.weight_strides,
                self.y_start,
            )
        )

    @cached_property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.kernel_size[0] * self.kernel_size[1] * self.kernel_size[2]

    @cached_property
    def weights(self) -> int:
        """Weights of one group."""
        return self.taps * self.channels_in * self.channels_out

    @cached_property
    def rows(self) -> int:
        """Rows of output pixels."""
        return self.batch * self.output_size[0] * self.output_size[1]

    @cached_property
    def numbers(self) -> np.ndarray:
        """What a body needs of this, as int64."""
        return np.array(
            [
                *self.input_size,
                *self.output_size,
                *self.kernel_size,
                *self.strides,
                *self.dilation,
                *self.before,
                *self.x_strides,
                *self.y_strides,
            ],
            np.int64,
        )

    @cached_property
    def weight_numbers(self) -> np.ndarray:
        """What packing needs of this, as int64."""
        return np.array(
            [
                *self.kernel_size,
                self.channels_in,
                self.channels_out,
                self.groups,
                *self.weight_strides,
                self.weight_start,
                *(astuple(self.pieces) if self.pieces else (1, self.channels_out, 0, 1, 0)),
            ],
            np.int64,
        )

    @cached_property
    def joined_taps(self) -> bool:
        """True if the kernel's W positions × input channels are one contiguous run of x."""
        return self.groups == 1 and self.dilation[2] == 1 and self.x_strides[3] == self.channels_in

    @cached_property
    def has_side_padding(self) -> bool:
        """True if some window reaches beyond the left or right edge."""
        last = (
            (self.output_size[2] - 1) * self.strides[2] + (self.kernel_size[2] - 1) * self.dilation[2] - self.before[2]
        )
        return self.before[2] > 0 or last >= self.input_size[2]


def _three(values, fill: int) -> tuple:
    return (fill,) * (3 - len(values)) + tuple(values)


def _simplified(correlation: Correlation) -> Correlation:
    """The same with long rows, along which tiles lie: where windows are single pixels and memory is contiguous all
    pixels become one row; a dimension of size 1 at the end moves to the front."""
    c = correlation
    pointwise = c.taps == 1 and c.strides == (1, 1, 1) and c.before == (0, 0, 0) and c.input_size == c.output_size
    if (
        pointwise
        and c.x_strides[:3] == _contiguous(c.input_size, c.x_strides[3])[:3]
        and c.y_strides[:3] == _contiguous(c.output_size, c.y_strides[3])[:3]
    ):
        size = (1, 1, c.rows * c.output_size[2])
        return replace(
            c,
            batch=1,
            input_size=size,
            output_size=size,
            x_strides=(0, 0, 0, *c.x_strides[3:]),
            y_strides=(0, 0, 0, *c.y_strides[3:]),
        )
    while (c.input_size[2], c.output_size[2], c.kernel_size[2], c.before[2]) == (1, 1, 1, 0) and c.rows > c.batch:

        def rotate(sizes, first):
            return first, *sizes[:2]

        # The pixels' own strides change places with those of the dimension that becomes the last.
        c = replace(
            c,
            input_size=rotate(c.input_size, 1),
            output_size=rotate(c.output_size, 1),
            kernel_size=rotate(c.kernel_size, 1),
            strides=rotate(c.strides, 1),
            dilation=rotate(c.dilation, 1),
            before=rotate(c.before, 0),
            x_strides=(c.x_strides[0], 0, *c.x_strides[1:3], c.x_strides[4]),
            y_strides=(c.y_strides[0], 0, *c.y_strides[1:3], c.y_strides[4]),
            weight_strides=(0, *c.weight_strides[:2], *c.weight_strides[3:]),
        )
    return c


@lru_cache(maxsize=1024)
def of_convolution(
    batch: int,
    input_size: Sizes,
    output_size: Sizes,
    kernel_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
    channels_in: int,
    channels_out: int,
) -> Correlation:
    """The correlation that `conv` computes on contiguous arrays; channels are those of all groups together."""
    inputs, outputs, kernel = _three(input_size, 1), _three(output_size, 1), _three(kernel_size, 1)
    c, k = channels_in // groups, channels_out // groups
    return _simplified(
        Correlation(
            batch,
            inputs,
            outputs,
            kernel,
            _three(strides, 1),
            _three(dilation, 1),
            _three([pair[0] for pair in padding], 0),
            groups,
            c,
            k,
            x_strides=(*_contiguous(inputs, channels_in), c),
            y_strides=(*_contiguous(outputs, channels_out), k),
            weight_strides=(*_contiguous(kernel, c * channels_out)[1:], channels_out, 1, k),
        )
    )


def _joined_phase(count: int, kernel_size: int, stride: int, before: int) -> tuple[Phase, int]:
    """All phases of a dimension with dilation rate 1 as one, whose pixels are `stride` output pixels each, `count` of
    them; and the tap of the first of these output pixels at the first position (see `Pieces`)."""
    nearest, farthest = -((kernel_size - 1 - before) // stride), (stride - 1 + before) // stride  # o − j of any tap
    first_tap = before - nearest * stride
    return Phase(0, count, farthest - nearest + 1, first_tap, -stride, 1, -nearest), first_tap


@lru_cache(maxsize=1024)
def of_transpose(
    batch: int,
    input_size: Sizes,
    output_size: Sizes,
    kernel_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
    channels_in: int,
    channels_out: int,
    joined: bool = False,
) -> tuple[tuple[Correlation, ...], tuple[tuple[slice, ...], ...]]:
    """The correlations that together are `conv_transpose`, one for each phase of the output, and the slices (of N, D,
    H, W in three dimensions) of those phases that no tap reaches. `joined`: the phases of a row are computed together,
    which needs groups = 1 and no dilation along the row."""
    inputs, outputs, kernel = _three(input_size, 1), _three(output_size, 1), _three(kernel_size, 1)
    strides, dilation, before = _three(strides, 1), _three(dilation, 1), _three([pair[0] for pair in padding], 0)
    c, k = channels_in // groups, channels_out // groups
    x_strides, y_strides = (*_contiguous(inputs, channels_in), c), (*_contiguous(outputs, channels_out), k)
    w_strides = _contiguous(kernel, k * channels_in)[1:]
    each = [phases_of_transpose(*along) for along in zip(outputs, kernel, strides, dilation, before, strict=True)]
    whole, stride = outputs[2] // strides[2], strides[2]
    if joined:
        together, first_tap = _joined_phase(whole, kernel[2], stride, before[2])
        left_over = phases_of_transpose(outputs[2], kernel[2], stride, 1, before[2], begin=whole * stride)
        each[2] = [together] * (whole > 0) + left_over
    correlations, unreached = [], []
    for phases in product(*each):
        if min(phase.taps for phase in phases) == 0:
            unreached.append(
                (slice(None), *(slice(phase.first, None, s) for phase, s in zip(phases, strides, strict=True)))
            )
            continue
        correlation = Correlation(
            batch,
            inputs,
            tuple(phase.count for phase in phases),
            tuple(phase.taps for phase in phases),
            (1, 1, 1),
            tuple(phase.dilation for phase in phases),
            tuple(phase.before for phase in phases),
            groups,
            c,
            k,
            x_strides,
            (y_strides[0], *(stride * s for stride, s in zip(y_strides[1:4], strides, strict=True)), k),
            weight_strides=(
                *(w * phase.tap_step for w, phase in zip(w_strides, phases, strict=True)),
                1,
                channels_in,
                c,
            ),
            weight_start=sum(w * phase.tap for w, phase in zip(w_strides, phases, strict=True)),
            y_start=sum(stride * phase.first for stride, phase in zip(y_strides[1:4], phases, strict=True)),
        )
        if joined and phases[2] is together:
            pieces = Pieces(stride, k, first_tap, kernel[2], w_strides[2])
            correlation = replace(correlation, channels_out=stride * k, pieces=pieces)
        correlations.append(_simplified(correlation))
    return tuple(correlations), tuple(unreached)


def _pointwise(groups: int, pixels: int, channels_in: int, channels_out: int, weight_strides: tuple) -> Correlation:
    """The correlation of one row of pixels, (groups, pixels, channels_in) in memory, with a weight for each group;
    `weight_strides`: of its input channels and its output channels."""
    return Correlation(
        1,
        (1, 1, pixels),
        (1, 1, pixels),
        (1, 1, 1),
        (1, 1, 1),
        (1, 1, 1),
        (0, 0, 0),
        groups,
        channels_in,
        channels_out,
        x_strides=(0, 0, 0, channels_in, pixels * channels_in),
        y_strides=(0, 0, 0, channels_out, pixels * channels_out),
        weight_strides=(0, 0, 0, *weight_strides, channels_in * channels_out),
    )


@lru_cache(maxsize=1024)
def of_matmul(batch: int, m: int, k: int, n: int, transpose_b: bool) -> Correlation:
    """The correlation that multiplies (batch, m, k) by (batch, k, n), or (batch, n, k) transposed: the rows are
    pixels, the batch is groups."""
    return _pointwise(batch, m, k, n, (1, k) if transpose_b else (n, 1))


@lru_cache(maxsize=1024)
def of_transposed_matmul(batch: int, m: int, k: int, n: int) -> Correlation:
    """The correlation whose weight's gradient multiplies (batch, k, m), transposed, by (batch, k, n)."""
    return _pointwise(batch, k, m, n, (n, 1))


@lru_cache(maxsize=1024)
def side_by_side(correlation: Correlation) -> Correlation:
    """The same with all groups as one, whose output channels meet only the `channels_in` inputs of their own group."""
    *strides, from_group_to_group = correlation.weight_strides
    return replace(
        correlation,
        groups=1,
        channels_out=correlation.channels_out * correlation.groups,
        weight_strides=(*strides, 0),
        pieces=Pieces(1, correlation.channels_out, 0, 1, from_group_to_group),
    )
