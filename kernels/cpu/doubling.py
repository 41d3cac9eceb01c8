"""Linear interpolation to twice the size along all of two or three axes, and its transpose: how a U-Net grows.

With half-pixel centres each output lies a quarter of the way from one input to the next. Along an axis

    y[2p] = ¼ x[p − 1] + ¾ x[p]        y[2p + 1] = ¾ x[p] + ¼ x[p + 1]        x[−1] = x[0], x[P] = x[P − 1]

and the transpose is dx[p] = ¼ (dy[2p − 1] + dy[2p + 2]) + ¾ (dy[2p] + dy[2p + 1]), dy continued in the same way. Two
rows of outputs, which are made of the same three rows, are made at once; what neighbours along a row have in common
stays in registers. Lanes run over channels.
"""

import math

import numpy as np

from ..memory import empty
from .bodies import Constant, kernel, unpack, value
from .copying import contiguous
from .launch import run
from .mathematics import function
from .separable import WORK
from .simd import finish_streams, fma, load, splat, vector_of
from .streams import LINE_BYTES, THROUGH_CACHES, past_caches, put
from .windows import block_at, blocks_of


def can_double(size: tuple[int, ...], doubled: tuple[int, ...], channels: int, dtype: np.dtype) -> bool:
    """Whether the kernels below make images of the size `doubled` of those of `size`."""
    is_twice = all(2 * n == m for n, m in zip(size, doubled, strict=True))
    return len(size) >= 2 and is_twice and channels >= vector_of(dtype).lanes


@function
def _number(vector, deep, x, near, far, at):
    """x between two planes, which begin at `near` and `far`; without a third axis in the one that there is."""
    if value(deep):
        return fma(splat(vector, 0.25), load(vector, x, far + at), splat(vector, 0.75) * load(vector, x, near + at))
    return load(vector, x, near + at)


@function
def _pair(vector, deep, x, planes, lines, at):
    """A position of the row in line 1, between those in lines 0 and 2: the two rows of outputs, before they are made
    between positions."""
    near, far = planes
    quarter = splat(vector, 0.25)
    most = splat(vector, 0.75) * _number(vector, deep, x, near, far, lines[1] + at)
    first = fma(quarter, _number(vector, deep, x, near, far, lines[0] + at), most)
    return first, fma(quarter, _number(vector, deep, x, near, far, lines[2] + at), most)


@function
def _two_rows(vector, deep, past, x, planes, lines, positions, channels, y, to):
    """Two rows of outputs, from y[to] on, for a vector of channels."""
    quarter, most, below = splat(vector, 0.25), splat(vector, 0.75), 2 * positions * channels
    first, second = _pair(vector, deep, x, planes, lines, 0)
    of_first, of_second = quarter * first, quarter * second
    first_before, second_before = of_first, of_second
    for p in range(positions):
        first_after, second_after = _pair(vector, deep, x, planes, lines, min(p + 1, positions - 1) * channels)
        of_first_after, of_second_after = quarter * first_after, quarter * second_after
        put(past, y, to, fma(most, first, first_before))
        put(past, y, to + channels, fma(most, first, of_first_after))
        put(past, y, to + below, fma(most, second, second_before))
        put(past, y, to + below + channels, fma(most, second, of_second_after))
        first_before, second_before, of_first, of_second = of_first, of_second, of_first_after, of_second_after
        first, second = first_after, second_after
        to += 2 * channels


@kernel
def _double(begin, end, arguments):
    """Item n · planes of outputs · rows + row: what lies at a row of inputs."""
    vector, deep, past, planes, rows, positions, channels, x, y = unpack(arguments)
    line = positions * channels
    for item in range(begin, end):
        row, near = item % rows, item // rows
        far, to = near, 4 * item * line
        if value(deep):
            z, first = near % (2 * planes), near // (2 * planes) * planes
            near, far = first + z // 2, first + min(max(z // 2 + z % 2 * 2 - 1, 0), planes - 1)
        for block in range(blocks_of(vector, channels)):
            c = block_at(vector, block, channels)
            lines = max(row - 1, 0) * line, row * line, min(row + 1, rows - 1) * line
            between = near * rows * line + c, far * rows * line + c
            _two_rows(vector, deep, past, x, between, lines, positions, channels, y, to + c)
    if value(past):
        finish_streams()


@function
def _weighed(vector, a, b, c, d):
    return fma(splat(vector, 0.75), b + c, splat(vector, 0.25) * (a + d))


@function
def _column(vector, dy, lines, at):
    """A column of four rows."""
    a, b = load(vector, dy, lines[0] + at), load(vector, dy, lines[1] + at)
    return _weighed(vector, a, b, load(vector, dy, lines[2] + at), load(vector, dy, lines[3] + at))


@function
def _columns(vector, deep, dy, planes, lines, at):
    """The same in four planes, or in the one that there is."""
    if not value(deep):
        return _column(vector, dy, lines, planes[0] + at)
    a, b = _column(vector, dy, lines, planes[0] + at), _column(vector, dy, lines, planes[1] + at)
    return _weighed(
        vector, a, b, _column(vector, dy, lines, planes[2] + at), _column(vector, dy, lines, planes[3] + at)
    )


@function
def _four(first, index, size):
    """Where the four of 2 · size items begin of which one of `size` is made."""
    return (
        first + max(2 * index - 1, 0),
        first + 2 * index,
        first + 2 * index + 1,
        first + min(2 * index + 2, 2 * size - 1),
    )


@function
def _times(four, length, more):
    return four[0] * length + more, four[1] * length + more, four[2] * length + more, four[3] * length + more


@kernel
def _halve(begin, end, arguments):
    """Item n · planes · rows + row: a row of dx."""
    vector, deep, past, planes, rows, positions, channels, dy, dx = unpack(arguments)
    line = 2 * positions * channels
    for item in range(begin, end):
        row, plane = item % rows, item // rows
        lines = _times(_four(0, row, rows), line, 0)
        four = (plane, plane, plane, plane)
        if value(deep):
            four = _four(plane // planes * 2 * planes, plane % planes, planes)
        for block in range(blocks_of(vector, channels)):
            c = block_at(vector, block, channels)
            to, begins = item * positions * channels + c, _times(four, 2 * rows * line, c)
            here = _columns(vector, deep, dy, begins, lines, 0)
            before = here
            for p in range(positions):
                right = _columns(vector, deep, dy, begins, lines, (2 * p + 1) * channels)
                after = _columns(vector, deep, dy, begins, lines, min(2 * p + 2, 2 * positions - 1) * channels)
                put(past, dx, to, _weighed(vector, before, here, right, after))
                before, here, to = right, after, to + channels
    if value(past):
        finish_streams()


def _run(body, x: np.ndarray, y: np.ndarray, small: tuple[int, ...], items: int) -> None:
    """`small` is the shape of the smaller image, the channels last."""
    *planes, rows, positions, channels = small
    past = past_caches(y, x) if channels * y.itemsize % LINE_BYTES == 0 else THROUGH_CACHES
    kinds, grain = (vector_of(x.dtype), Constant(bool(planes)), past), max(1, items * WORK // (x.size + y.size))
    run(body, items, grain, *kinds, math.prod(planes), rows, positions, channels, x, y)


def double(x: np.ndarray) -> np.ndarray:
    """x (N, rows, positions, C) or (N, planes, rows, positions, C), at twice the size."""
    x, size = contiguous(x), x.shape[1:-1]
    y = empty((len(x), *(2 * n for n in size), x.shape[-1]), x.dtype)
    if y.size:
        _run(_double, x, y, x.shape[1:], math.prod(y.shape[:-2]) // 2)
    return y


def halve(dy: np.ndarray) -> np.ndarray:
    """The transpose of `double`."""
    dy, size = contiguous(dy), dy.shape[1:-1]
    dx = empty((len(dy), *(n // 2 for n in size), dy.shape[-1]), dy.dtype)
    if dx.size:
        _run(_halve, dy, dx, dx.shape[1:], math.prod(dx.shape[:-2]))
    return dx
