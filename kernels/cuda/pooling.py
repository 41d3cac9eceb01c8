"""Max and average pooling on the GPU, in one to three dimensions, and their gradients."""

from __future__ import annotations

import ctypes
import math

import numpy as np

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..reference import pooling as reference
from .copying import contiguous
from .functions import Source, c_type
from .launching import THREADS, empty, launch_blocks, launch_rows, pack_size
from .runtime import Array, current

LARGEST = 2**31 - 1  # that a kernel counts the positions of an axis to
RUN = 32  # positions that a thread adds up of a part of a window, as in pooling.cu
FEW_OUTPUTS = 2**16  # with as many, a thread for each is enough, and no window need be shared by threads
_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
_WIDE = ("float, 1, int", "double, 1, int")  # choices in windows of more than 255 positions: not worth packs
_CHOICES = (*(f"{pack}, unsigned char" for pack in _PACKS), *_WIDE)
SOURCE = Source(
    "pooling.cu",
    max_pool=_CHOICES,
    max_pool_scatter=_CHOICES,
    max_pool_gather=_CHOICES,
    average_pool=_PACKS,
    average_pool_gradient=_PACKS,
    sum_part=_PACKS,
)


class Windows(ctypes.Structure):
    """The windows as the kernels take them: three axes, those in front of one position if the image has fewer."""

    _fields_ = [
        (name, ctypes.c_int * 3) for name in ("input", "output", "size", "stride", "before", "dilation")
    ]  # of which each is a tuple of ints here

    @classmethod
    def of(cls, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes) -> Windows:
        """Raises ValueError for windows larger than the padded image, and for an axis too long to be counted."""
        output_size = pool_output_size(input_size, pool_size, strides, padding, dilation_rate)
        if max(i + before + after for i, (before, after) in zip(input_size, padding, strict=True)) > LARGEST:
            raise ValueError(f"an image of size {input_size}: pooling on the GPU counts to {LARGEST} along an axis")
        befores = tuple(before for before, _ in padding)
        axes = [(1, 1, 1, 1, 0, 1)] * (3 - len(input_size))
        axes += zip(input_size, output_size, pool_size, strides, befores, dilation_rate, strict=True)
        return cls(*[(ctypes.c_int * 3)(*column) for column in zip(*axes, strict=True)])


def _channels_at_once(*arrays: Array) -> int:
    """How many neighbouring channels a thread takes: 16 bytes' worth where the number of channels is a multiple."""
    n = pack_size(*arrays)
    return n if arrays[0].shape[-1] % n == 0 else 1


@twin_of(reference.max_pool)
def max_pool(x: Array, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes) -> tuple[Array, Array]:
    x = contiguous(x)
    windows = Windows.of(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    output_size = pool_output_size(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    choice = empty(y.shape, np.dtype(np.uint8 if math.prod(pool_size) <= 255 else np.int32))
    _over_choices("max_pool", (x, y, choice), choice, windows)
    return y, choice


@twin_of(reference.max_pool_scatter)
def max_pool_scatter(
    dy: Array,
    choice: Array,
    input_size: Sizes,
    pool_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
) -> Array:
    dy, choice = contiguous(dy), contiguous(choice)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    windows = Windows.of(input_size, pool_size, strides, padding, dilation_rate)
    _over_choices("max_pool_scatter", (dy, choice, dx), dx, windows)
    return dx


@twin_of(reference.max_pool_gather)
def max_pool_gather(
    x: Array, choice: Array, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> Array:
    x, choice = contiguous(x), contiguous(choice)
    y = empty(choice.shape, x.dtype)
    windows = Windows.of(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    _over_choices("max_pool_gather", (x, choice, y), y, windows)
    return y


def _over_choices(name: str, arrays: tuple[Array, ...], written: Array, windows: Windows) -> None:
    """Run one of the kernels of max pooling over the positions of the array that it writes."""
    x, *_ = arrays
    (choice,) = [array for array in arrays if array.dtype != x.dtype]
    n = _channels_at_once(*arrays) if choice.dtype.itemsize == 1 else 1
    _over_rows(name, (x.dtype, n, choice.dtype), arrays, written, windows)


def _over_rows(name, kind, arrays: tuple, written: Array, windows: Windows, *options: bool) -> None:
    """Run a kernel, of the instance of `kind` (type, channels at once, types), over the rows of the array it writes."""
    dtype, n, *more = kind
    *_, row, channels = written.shape
    rows, packs = written.size // max(row * channels, 1), channels // n
    function = SOURCE(name, c_type(dtype), n, *map(c_type, more))
    launch_rows(function, (*arrays, windows, *options, rows, packs), rows, row * packs)


# ---- means -----------------------------------------------------------------------------------------------------------


@twin_of(reference.average_pool)
def average_pool(x: Array, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool) -> Array:
    x = contiguous(x)
    windows, output_size = _merged(x.shape[1:-1], pool_size, strides, padding)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    positions = math.prod(pool_size)
    if positions > 1024 or (positions > 64 and y.size < FEW_OUTPUTS):
        return _average_in_parts(x, y, windows, count_include_pad)
    rows = y.reshape(len(x) * windows.output[0] * windows.output[1], windows.output[2], x.shape[-1])
    _over_rows("average_pool", (x.dtype, _channels_at_once(x, y)), (x, y), rows, windows, bool(count_include_pad))
    return y


@twin_of(reference.average_pool_gradient)
def average_pool_gradient(
    dy: Array, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> Array:
    dy = contiguous(dy)
    windows, _ = _merged(input_size, pool_size, strides, padding)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    rows = dx.reshape(len(dy) * windows.input[0] * windows.input[1], windows.input[2], dy.shape[-1])
    kind = dy.dtype, _channels_at_once(dy, dx)
    _over_rows("average_pool_gradient", kind, (dy, dx), rows, windows, bool(count_include_pad))
    return dx


def _merged(input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs) -> tuple[Windows, Sizes]:
    """The windows of a mean, where an axis that lies in the windows as a whole has become one with the axis before it:
    a window over all positions is one long row. And the sizes of the output as it is."""
    output_size = pool_output_size(input_size, pool_size, strides, padding, (1,) * len(pool_size))
    axes: list[tuple[int, int, int, tuple[int, int]]] = []
    for i, k, s, pair in zip(input_size, pool_size, strides, padding, strict=True):
        if axes and i == k and pair == (0, 0) and (axes[-1][0] + sum(axes[-1][3])) * i <= LARGEST:
            before_i, before_k, before_s, (before, after) = axes[-1]
            axes[-1] = before_i * i, before_k * i, before_s * i, (before * i, after * i)
        else:
            axes.append((i, k, s, pair))
    sizes, windows, steps, pairs = zip(*axes, strict=True)
    return Windows.of(sizes, windows, steps, pairs, (1,) * len(axes)), output_size


def _average_in_parts(x: Array, y: Array, windows: Windows, count_include_pad: bool) -> Array:
    """The means of large windows into y: sums of parts of the windows, then of parts of these, until each window has
    one part. How a window is cut depends on nothing but the sizes."""
    n = _channels_at_once(x, y)
    count, channels = y.size // max(y.shape[-1], 1), y.shape[-1]
    lanes = min(32, 1 << max(channels // n - 1, 0).bit_length())
    positions, divided = math.prod(windows.size), True
    while True:
        parts = -(-positions // (THREADS // lanes * RUN))
        sums = y if parts == 1 else empty((count, parts, channels), x.dtype)
        arguments = x, sums, windows, divided, bool(count_include_pad), count, ctypes.c_int(parts), channels // n
        tasks = count * parts * -(-channels // (lanes * n))
        function, shared = SOURCE("sum_part", c_type(x.dtype), n), THREADS * n * x.dtype.itemsize
        blocks = min(tasks, current().resident_blocks(function, THREADS, shared))
        launch_blocks(function, arguments, (blocks, 1, 1), (lanes, THREADS // lanes, 1), shared)
        if parts == 1:
            return y
        x, positions, divided = sums, parts, False
        windows = Windows.of((parts,), (parts,), (1,), ((0, 0),), (1,))
