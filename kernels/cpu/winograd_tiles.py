"""What Winograd's convolution and its weight's gradient share: which tiles, their geometry, and their transformation.

An image is covered by tiles of m × m outputs. To each belongs a window of (m + 2)² inputs, which overlaps its
neighbours' by two; of the windows and tiles that reach beyond the image a copy is taken, with zeros.

`TOMOGRAD_WINOGRAD` in the environment, or `with using_winograd(m)`, says how large the tiles may be: 4 (as it is), 2,
or 0 for the direct convolution everywhere.
"""

import contextlib
import os
from collections.abc import Iterator
from math import prod

import numpy as np

from .bodies import helper, value
from .caches import are_far, last_level_bytes
from .correlation import Correlation
from .output_tiles import rounded_up
from .simd import lanes, load, pointer_at, prefetch, splat, store
from .winograd_transforms import MATRICES, TAPS, operations, transform

CHOICES = (0, *MATRICES)  # outputs of a tile along one dimension; 0: no Winograd at all
STORE_CYCLES = 2.5  # to store a vector, or to fetch one from the L2 cache
EDGE_CYCLES = 2  # to copy a vector of a window that reaches beyond the image, and to find out that it does
NEAR_BYTES = 512 * 1024  # that stay in an L2 cache of 1 MiB beside as many others
CACHE_BYTES_PER_CYCLE = 20  # of what is larger, about
MEMORY_BYTES_PER_CYCLE = 5  # and where no cache has room for that of all workers

# What a body finds where: of an array of images, and of its transformed tiles.
(
    SIZE_D, SIZE_H, SIZE_W, STEP_N, STEP_D, STEP_H, STEP_W, STEP_GROUP, BEFORE_D, BEFORE_H, BEFORE_W, TAPS_D, STRIDE_D,
    DILATION_D, FIELD_CHANNELS, PITCH, PLANE, FIELD_SIZE,
) = range(18)  # fmt: skip
# And of the tiles.
TILES, TILES_D, TILES_H, TILES_W, TILES_SIZE = range(5)
# Where these stand in a plan's layout: first those of x, of y, and of the tiles.
X, Y, OF_TILES, FIELDS_SIZE = 0, FIELD_SIZE, 2 * FIELD_SIZE, 2 * FIELD_SIZE + TILES_SIZE


def _checked(given: int | str) -> int:
    """One of `CHOICES`."""
    if str(given) not in map(str, CHOICES):
        raise ValueError(f"TOMOGRAD_WINOGRAD={given!r}: expected one of {', '.join(map(str, CHOICES))}")
    return int(given)


_largest = _checked(os.environ.get("TOMOGRAD_WINOGRAD") or max(CHOICES))


def largest_tile() -> int:
    """How many outputs a tile may have along one dimension; 0: no tiles."""
    return _largest


@contextlib.contextmanager
def using_winograd(outputs: int) -> Iterator[None]:
    """Within it, 3×3 convolutions of the whole process take tiles of at most `outputs`² outputs; 0: none."""
    global _largest
    before, _largest = _largest, _checked(outputs)
    try:
        yield
    finally:
        _largest = before


# ---- geometry --------------------------------------------------------------------------------------------------------


def fits(correlation: Correlation, lanes: int) -> bool:
    """True for windows of 3×3 neighbouring pixels in steps of one (a third dimension may be as it likes), and a vector
    of channels or more on both sides."""
    c = correlation
    is_3x3 = c.kernel_size[1:] == (TAPS, TAPS) and c.strides[1:] == (1, 1) and c.dilation[1:] == (1, 1)
    return is_3x3 and not c.pieces and 1 < lanes <= min(c.channels_in, c.channels_out)


def tiles_of(correlation: Correlation, outputs: int) -> tuple[int, int, int, int]:
    """(tiles, and along the output's depth, height, width) for tiles of outputs × outputs."""
    depth, height, width = correlation.output_size
    rows, columns = -(-height // outputs), -(-width // outputs)
    return correlation.batch * depth * rows * columns, depth, rows, columns


def tiles_at_edges(correlation: Correlation, outputs: int) -> float:
    """The share of the tiles whose windows reach beyond the image."""

    def inside(output, size, before):
        tiles = -(-output // outputs)
        first = -(-before // outputs)
        last = min((size + before - outputs - TAPS + 1) // outputs + 1, output // outputs)
        return max(0, last - first) / tiles

    c = correlation
    shares = [inside(*of_one) for of_one in zip(c.output_size[1:], c.input_size[1:], c.before[1:], strict=True)]
    return 1 - shares[0] * shares[1]


def places_of(
    correlation: Correlation, outputs: int, v_pitch: int, v_plane: int, y_pitch: int, y_plane: int
) -> dict[int, int]:
    """The numbers of x, of y and of the tiles, where they stand in a layout; the pitches and planes are those of their
    transformed tiles."""
    c = correlation
    depth = c.kernel_size[0], c.strides[0], c.dilation[0]
    of_x = [*c.input_size, *c.x_strides, *c.before, *depth, c.channels_in, v_pitch, v_plane]
    of_y = [*c.output_size, *c.y_strides, 0, 0, 0, 1, 1, 1, c.channels_out, y_pitch, y_plane]
    return dict(enumerate([*of_x, *of_y, *tiles_of(c, outputs)]))


def is_far(correlation: Correlation, dtype: np.dtype) -> bool:
    """True if the input is taken to lie in main memory."""
    c = correlation
    return are_far(c.batch * prod(c.input_size) * c.groups * c.channels_in * dtype.itemsize)


def transform_cycles(outputs: int, which: int) -> float:
    """About how many cycles it takes to transform a tile of vectors."""
    rows, columns = MATRICES[outputs][which].shape
    return operations(outputs, which) / 2 + columns**2 / 2 + rows**2 * STORE_CYCLES


def reading_cycles(size: float, workers: int) -> float:
    """About how many cycles it takes a worker to read so many bytes that it has written not long ago."""
    if size <= NEAR_BYTES:
        return 0
    return size / (CACHE_BYTES_PER_CYCLE if size <= last_level_bytes() / 2 / workers else MEMORY_BYTES_PER_CYCLE)


def copied_pitch(numbers: int, lanes: int) -> int:
    """From one row of `numbers` to the next: whole vectors, and one more, so that rows do not all begin at the same
    places of a cache's sets."""
    return rounded_up(numbers, lanes) + lanes


# ---- bodies ----------------------------------------------------------------------------------------------------------


@helper
def tile_place(tiles, tile):
    """(n, depth, tile row, tile column)."""
    row, column = tile // tiles[TILES_W], tile % tiles[TILES_W]
    plane = row // tiles[TILES_H]
    return plane // tiles[TILES_D], plane % tiles[TILES_D], row % tiles[TILES_H], column


@helper
def _inside(first, count, size):
    """(begin, end): which of `count` places from `first` on lie in 0 … size."""
    begin = min(max(-first, 0), count)
    return begin, max(min(size - first, count), begin)


@helper
def _copy_window(vector, x, field, size, row, column, is_inside, patch):
    """A vector of each of the size × size pixels from (row, column) of the plane x, zeros where there is no image."""
    top, bottom = _inside(row, size, field[SIZE_H] if is_inside else 0)
    left, right = _inside(column, size, field[SIZE_W])
    at, nothing = 0, splat(vector, 0)
    for i in range(size):
        source = (row + i) * field[STEP_H] + column * field[STEP_W]
        for j in range(size):
            if top <= i < bottom and left <= j < right:
                store(patch, at, load(vector, x, source + j * field[STEP_W]))
            else:
                store(patch, at, nothing)
            at += lanes(vector)


@helper
def _transform_window(outputs, which, size, vector, row, x, h, w, is_inside, v, target, patch, field):
    """All vectors of one window, from (h, w) of the plane x."""
    points, plane = value(outputs) + TAPS - 1, field[PLANE]
    whole = is_inside and h >= 0 and w >= 0 and h + size <= field[SIZE_H] and w + size <= field[SIZE_W]
    last, block = field[FIELD_CHANNELS] - lanes(vector), 0
    while block < field[FIELD_CHANNELS]:
        c = min(block, last)
        source, step_h, step_w = pointer_at(x, c), field[STEP_H], field[STEP_W]
        window = pointer_at(source, h * step_h + w * step_w)
        if not whole:
            _copy_window(vector, source, field, size, h, w, is_inside, patch)
            window, step_h, step_w = pointer_at(patch, 0), size * lanes(vector), lanes(vector)
        transform(outputs, which, row, vector, window, 0, step_h, step_w, v, target + c, points * plane, plane)
        block += lanes(vector)


@helper
def transform_tiles(outputs, which, size, vector, row, x, v, patch, field, tiles, first, last):
    """v (points², tile, depth · channel) = the transformed windows of `size`² pixels of the tiles first … last; with a
    number for `row` that row of points alone: (points, tile, depth · channel)."""
    n, depth, tile_row, column = tile_place(tiles, first)
    for tile in range(first, last):
        h, w = tile_row * value(outputs) - field[BEFORE_H], column * value(outputs) - field[BEFORE_W]
        for tap in range(field[TAPS_D]):
            d = depth * field[STRIDE_D] + tap * field[DILATION_D] - field[BEFORE_D]
            target = (tile - first) * field[PITCH] + tap * field[FIELD_CHANNELS]
            plane, is_inside = pointer_at(x, n * field[STEP_N] + d * field[STEP_D]), 0 <= d < field[SIZE_D]
            _transform_window(outputs, which, size, vector, row, plane, h, w, is_inside, v, target, patch, field)
        column += 1
        if column == tiles[TILES_W]:
            n, depth, tile_row, column = tile_place(tiles, tile + 1)


@helper
def _fetch_pixels(vector, x, field, pixel, count):
    """Asks memory for neighbouring pixels: as one run, if no other group's channels lie between them."""
    together = count if field[STEP_W] == field[FIELD_CHANNELS] else 1
    for _ in range(count // together):
        c = 0
        while c < together * field[FIELD_CHANNELS]:
            prefetch(x, pixel + c)
            c += lanes(vector)
        pixel += field[STEP_W]


@helper
def fetch_tiles(outputs, size, vector, x, field, tiles, first, last, part, parts):
    """Asks memory for the pixels that the windows, of `size`² pixels, of the tiles first … last add to those above and
    before them: for a part of the rows, so that the asking goes along with the computation of the block before."""
    m, count = value(outputs), (min(last, tiles[TILES]) - first) * value(outputs)
    i, end = count * part // parts, count * (part + 1) // parts
    n, depth, tile_row, column = tile_place(tiles, first + i // m)
    while i < end:
        h, w = tile_row * m - field[BEFORE_H] + size - m + i % m, column * m - field[BEFORE_W] + size - m
        d = depth * field[STRIDE_D] + (field[TAPS_D] - 1) * field[DILATION_D] - field[BEFORE_D]
        _fetch_pixels(
            vector, x, field, n * field[STEP_N] + d * field[STEP_D] + h * field[STEP_H] + w * field[STEP_W], m
        )  # fmt: skip
        i += 1
        if i % m == 0:
            column += 1
            if column == tiles[TILES_W]:
                n, depth, tile_row, column = tile_place(tiles, first + i // m)
