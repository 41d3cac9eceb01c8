"""Max and average pooling on the GPU, in one to three dimensions, and their gradients."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np

from ..geometry import Pairs, Sizes, pool_output_size
from ..interface import twin_of
from ..reference import pooling as reference
from .copying import contiguous
from .functions import Function, Source, c_type
from .launching import THREADS, empty, launch_blocks, launch_rows, pack_size
from .runtime import Array, current

LARGEST = 2**31 - 1  # that a kernel counts the positions of an axis to
LARGEST_CELL = 64  # positions that a thread writes for one window
RUN = 32  # positions that a thread adds up of a part of a window, as in pooling.cu
FEW_OUTPUTS = 2**16  # with as many, a thread for each is enough, and no window need be shared by threads
_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
_WIDE = ("float, 1, int", "double, 1, int")  # choices in windows of more than 255 positions: not worth packs
_CHOICES = (*(f"{pack}, unsigned char" for pack in _PACKS), *_WIDE)
SOURCE = Source(
    "pooling.cu",
    max_pool=_CHOICES,
    max_pool_scatter=_CHOICES,
    max_pool_scatter_apart=_CHOICES[: len(_PACKS)],
    max_pool_gather=_CHOICES,
    average_pool=_PACKS,
    average_pool_gradient=_PACKS,
    average_pool_gradient_apart=_PACKS,
    sum_part=_PACKS,
)


class Windows(ctypes.Structure):
    """The windows as the kernels take them: three axes, those in front of one position if the image has fewer."""

    _fields_ = [(name, ctypes.c_int * 3) for name in ("input", "output", "size", "stride", "before", "dilation")]

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


class Cells(ctypes.Structure):
    """How many windows there would be along each axis, if they went on to the end of the image."""

    _fields_ = [("count", ctypes.c_int * 3)]

    @classmethod
    def of(cls, windows: Windows) -> Cells | None:
        """None for windows that overlap, or that are so far apart that a thread each would have much to write."""
        sizes, strides = tuple(windows.size), tuple(windows.stride)
        reach = ((k - 1) * d + 1 for k, d in zip(sizes, windows.dilation, strict=True))
        if any(r > s for r, s in zip(reach, strides, strict=True)) or math.prod(strides) > LARGEST_CELL:
            return None
        ends = (i + before for i, before in zip(windows.input, windows.before, strict=True))
        return cls((ctypes.c_int * 3)(*[-(-end // s) for end, s in zip(ends, strides, strict=True)]))


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
    n = _choices_at_once(choice, x, y)
    function = SOURCE("max_pool", c_type(x.dtype), n, c_type(choice.dtype))
    _over_rows(function, n, (x, y, choice, windows), y, windows.output)
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
    n, cells = _choices_at_once(choice, dy, dx), Cells.of(windows)
    kind = c_type(dy.dtype), n, c_type(choice.dtype)
    if cells is not None:
        function = SOURCE("max_pool_scatter_apart", *kind)
        _over_rows(function, n, (dy, choice, dx, windows, cells), dx, cells.count)
    else:
        _over_rows(SOURCE("max_pool_scatter", *kind), n, (dy, choice, dx, windows), dx, windows.input)
    return dx


@twin_of(reference.max_pool_gather)
def max_pool_gather(
    x: Array, choice: Array, pool_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes
) -> Array:
    x, choice = contiguous(x), contiguous(choice)
    y = empty(choice.shape, x.dtype)
    windows = Windows.of(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    n = _choices_at_once(choice, x, y)
    function = SOURCE("max_pool_gather", c_type(x.dtype), n, c_type(choice.dtype))
    _over_rows(function, n, (x, choice, y, windows), y, windows.output)
    return y


def _choices_at_once(choice: Array, *arrays: Array) -> int:
    """How many neighbouring channels a thread takes of these and their choices: one where the choices are wide."""
    return _channels_at_once(*arrays, choice) if choice.dtype.itemsize == 1 else 1


def _over_rows(function: Function, n: int, arguments: tuple, written: Array, size: Sequence[int]) -> None:
    """Run a kernel that goes over rows, n channels at once: those of images of three axes of this size, as many images
    and channels as the array has that it writes."""
    rows, packs = len(written) * size[0] * size[1], written.shape[-1] // n
    launch_rows(function, (*arguments, rows, packs), rows, size[2] * packs)


# ---- means -----------------------------------------------------------------------------------------------------------


@twin_of(reference.average_pool)
def average_pool(x: Array, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool) -> Array:
    x = contiguous(x)
    windows, output_size = _merged(x.shape[1:-1], pool_size, strides, padding)
    y = empty((len(x), *output_size, x.shape[-1]), x.dtype)
    positions = math.prod(pool_size)
    if positions > 1024 or (positions > 64 and y.size < FEW_OUTPUTS):
        return _average_in_parts(x, y, windows, count_include_pad)
    n = _channels_at_once(x, y)
    arguments = x, y, windows, bool(count_include_pad)
    _over_rows(SOURCE("average_pool", c_type(x.dtype), n), n, arguments, y, windows.output)
    return y


@twin_of(reference.average_pool_gradient)
def average_pool_gradient(
    dy: Array, input_size: Sizes, pool_size: Sizes, strides: Sizes, padding: Pairs, count_include_pad: bool
) -> Array:
    dy = contiguous(dy)
    windows, _ = _merged(input_size, pool_size, strides, padding)
    dx = empty((len(dy), *input_size, dy.shape[-1]), dy.dtype)
    n, cells, include = _channels_at_once(dy, dx), Cells.of(windows), bool(count_include_pad)
    if cells is not None:
        function = SOURCE("average_pool_gradient_apart", c_type(dy.dtype), n)
        _over_rows(function, n, (dy, dx, windows, cells, include), dx, cells.count)
    else:
        function = SOURCE("average_pool_gradient", c_type(dy.dtype), n)
        _over_rows(function, n, (dy, dx, windows, include), dx, windows.input)
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
