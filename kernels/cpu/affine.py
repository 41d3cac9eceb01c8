"""Images seen through an affine map, and the transpose. Threads share rows of the output; the transpose, which adds
into the image in the order of the output's pixels, shares images, or parts of their channels."""

import math

import numpy as np

from .. import reference
from ..geometry import Sizes
from ..interface import twin_of
from ..memory import empty
from .bodies import Constant, kernel, unpack, value
from .copying import contiguous
from .launch import run, threads
from .mathematics import function

FILL_MODES = ("constant", "nearest", "reflect", "wrap")
CONSTANT, NEAREST, REFLECT, WRAP = range(4)
FEW = 4  # channels, up to which their number is known when a kernel is compiled: such loops are unrolled
WORK = 4096  # pixels that make a second thread worth its while


@function
def _inside(mode, index, n):
    """Whether a pixel is one of the image's, or stands for one."""
    return mode != CONSTANT or 0 <= index < n


@function
def _folded(mode, index, n):
    """The pixel of the image that stands for this one."""
    if 0 <= index < n:
        return index
    if mode <= NEAREST:
        return min(max(index, 0), n - 1)
    if mode == WRAP:
        return index % n
    index = index % (2 * n)
    return min(index, 2 * n - 1 - index)


@function
def _lower(linear, place):
    """The first of the pixels that a place reads, and the share of the second; nearest: the one, and 0."""
    lower = math.floor(place)
    fraction = place - lower
    if value(linear):
        return lower, fraction
    return lower + (fraction > 0.5 or (fraction == 0.5 and lower % 2 == 1)), 0.0


@function
def _corner(mode, a, b, height, width):
    """Where a pixel (a, b) stands among the image's; −1: nowhere."""
    if _inside(mode, a, height) and _inside(mode, b, width):
        return _folded(mode, a, height) * width + _folded(mode, b, width)
    return -1


@function
def _between_inner_pixels(channels, share_down, share_right, first, below, x, y, to):
    """Four pixels of the image itself, all of which have a share: at `first` and after it, and at `below` and after."""
    share00, share01 = (1 - share_down) * (1 - share_right), (1 - share_down) * share_right
    share10, share11 = share_down * (1 - share_right), share_down * share_right
    for c in range(channels):
        over = share00 * x[first + c] + share01 * x[first + channels + c]
        y[to + c] = over + (share10 * x[below + c] + share11 * x[below + channels + c])


@function
def _at_the_edge(mode, a, b, down, right, first, height, width, channels, fill, x, y, to):
    """Pixels that may lie beyond the edges, or have no share and are not read."""
    share00, share01 = (1 - down) * (1 - right), (1 - down) * right
    share10, share11 = down * (1 - right), down * right
    place00, place01 = _corner(mode, a, b, height, width), _corner(mode, a, b + 1, height, width)
    place10, place11 = _corner(mode, a + 1, b, height, width), _corner(mode, a + 1, b + 1, height, width)
    for c in range(channels):
        total = 0.0
        if share00 != 0:
            total += share00 * (x[(first + place00) * channels + c] if place00 >= 0 else fill)
        if share01 != 0:
            total += share01 * (x[(first + place01) * channels + c] if place01 >= 0 else fill)
        if share10 != 0:
            total += share10 * (x[(first + place10) * channels + c] if place10 >= 0 else fill)
        if share11 != 0:
            total += share11 * (x[(first + place11) * channels + c] if place11 >= 0 else fill)
        y[to + c] = total


@kernel
def _transform(begin, end, arguments):
    """Rows of the output; item n · I + i."""
    linear, few, mode, lines, positions, height, width, channels, fill, rows, columns, x, y = unpack(arguments)
    channels = value(few) or channels
    for item in range(begin, end):
        image = item // lines
        first, column, to = image * height * width, 2 * image * positions, item * positions * channels
        vertical, horizontal = rows[2 * item], rows[2 * item + 1]
        for _ in range(positions):
            a, down = _lower(linear, vertical + columns[column])
            b, right = _lower(linear, horizontal + columns[column + 1])
            at = (first + a * width + b) * channels
            if value(linear) and 0 <= a < height - 1 and 0 <= b < width - 1 and down != 0 and right != 0:
                _between_inner_pixels(channels, down, right, at, at + width * channels, x, y, to)
            elif not value(linear) and 0 <= a < height and 0 <= b < width:
                for c in range(channels):
                    y[to + c] = x[at + c]
            else:
                _at_the_edge(mode, a, b, down, right, first, height, width, channels, fill, x, y, to)
            column, to = column + 2, to + channels


@kernel
def _transpose(begin, end, arguments):
    """Parts of the channels of images; item n · parts + part. Sums are float64, whatever the slopes are."""
    linear, mode, parts, lines, positions, height, width, channels, rows, columns, dy, sums = unpack(arguments)
    for item in range(begin, end):
        image, part = item // parts, item % parts
        low, high = part * channels // parts, (part + 1) * channels // parts
        first = image * height * width
        for place in range(first, first + height * width):
            for c in range(low, high):
                sums[place * channels + c] = 0.0
        for i in range(lines):
            row = image * lines + i
            for j in range(positions):
                at = 2 * (image * positions + j)
                a, down = _lower(linear, rows[2 * row] + columns[at])
                b, right = _lower(linear, rows[2 * row + 1] + columns[at + 1])
                slopes = (row * positions + j) * channels
                for corner in range(4):
                    da, db = corner // 2, corner % 2
                    share = (down if da else 1 - down) * (right if db else 1 - right)
                    place = _corner(mode, a + da, b + db, height, width)
                    if share != 0 and place >= 0:
                        to = (first + place) * channels
                        for c in range(low, high):
                            sums[to + c] += share * dy[slopes + c]


def _modes(interpolation: str, fill_mode: str) -> tuple[Constant, int]:
    """Raises ValueError for unknown names."""
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f'interpolation = {interpolation!r}: expected "nearest" or "bilinear"')
    if fill_mode not in FILL_MODES:
        raise ValueError(f'fill_mode = {fill_mode!r}: expected "constant", "nearest", "reflect" or "wrap"')
    return Constant(interpolation == "bilinear"), FILL_MODES.index(fill_mode)


@twin_of(reference.affine_transform)
def affine_transform(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, interpolation: str, fill_mode: str, fill_value: float
) -> np.ndarray:
    modes = _modes(interpolation, fill_mode)
    x, rows, columns = contiguous(x), contiguous(rows), contiguous(columns)
    images, height, width, channels = x.shape
    lines, positions = rows.shape[1], columns.shape[1]
    y = empty((images, lines, positions, channels), x.dtype)
    if y.size:
        fill = float(x.dtype.type(fill_value))
        numbers = lines, positions, height, width, channels, fill
        few = Constant(channels if channels <= FEW else 0)
        linear, mode = modes
        run(_transform, images * lines, 1 + WORK // positions, linear, few, mode, *numbers, rows, columns, x, y)
    return y


@twin_of(reference.affine_transform_gradient)
def affine_transform_gradient(
    dy: np.ndarray, rows: np.ndarray, columns: np.ndarray, input_size: Sizes, interpolation: str, fill_mode: str
) -> np.ndarray:
    modes = _modes(interpolation, fill_mode)
    dy, rows, columns = contiguous(dy), contiguous(rows), contiguous(columns)
    images, lines, positions, channels = dy.shape
    sums = empty((images, *input_size, channels), np.dtype(np.float64))
    if sums.size:
        parts = min(channels, -(-threads() // images))
        numbers = parts, lines, positions, *input_size, channels
        run(_transpose, images * parts, 1 + WORK // (lines * positions + 1), *modes, *numbers, rows, columns, dy, sums)
    return sums.astype(dy.dtype, copy=False)
