"""Copies of strided arrays on all threads: concatenation, its transpose, and arrays made contiguous.

A copy is described by *pieces*: each takes a box of elements from one place in memory to another. Boxes of a launch
have one size in their outer dimensions and may differ in the innermost one, a run. Concatenation writes the runs of all
its arrays beside each other while a line of the result is in the cache; its transpose reads each line of its argument
once. Axes that lie one after another in memory are merged first, so most copies are rows of long runs.

Elements are moved as whole numbers of their width: what they mean does not matter, and NaNs keep their bits. What does
not fit (elements other than 4 or 8 bytes, unaligned ones, too many dimensions) and what is small is left to NumPy.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..interface import twin_of
from ..memory import SMALLEST, empty
from ..reference import copying as reference
from .bodies import kernel, unpack
from .launch import notes, run
from .mathematics import function
from .simd import Vector, lanes, load, store, vector_of

OUTER = 3  # dimensions outside a run
BLOCK = 16384  # elements: longer runs are cut, so that threads can share one
PIECE = 11  # numbers that describe a piece
BATCH = 32768  # words of a piece copied before the next piece's: long streams, yet within the second-level cache
TILE = 8192  # words of runs with gaps that are copied together: within the first-level cache
LARGE = 2 * SMALLEST  # bytes: below, NumPy is done before the pieces are described
_WORDS = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}


@intrinsic
def _pointer(typing, address, like):
    """The pointer of the vector kind's element type to an address."""
    result = types.CPointer(like.element)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(result))

    return result(types.intp, like), generate


@function
def _copy_runs(kind, source, at, advance, target, to, to_advance, rows, width):
    """Runs of at least a vector of this kind; the last vector of a run may overlap the one before it."""
    last = width - lanes(kind)
    for _ in range(rows):
        i = 0
        while i < last:
            store(target, to + i, load(kind, source, at + i))
            i += lanes(kind)
        store(target, to + last, load(kind, source, at + last))
        at, to = at + advance, to + to_advance


@function
def _copy_elements(source, at, step, advance, target, to, to_step, to_advance, rows, width):
    """Runs with gaps, some rows at a time: the shorter steps inside, so that a cache line is used up while it is
    there."""
    tile, first = max(1, TILE // width), 0
    while first < rows:
        together = min(tile, rows - first)
        start, to_start = at + first * advance, to + first * to_advance
        if abs(advance) < abs(step) and abs(to_advance) <= abs(step):
            for i in range(width):
                for row in range(together):
                    target[to_start + i * to_step + row * to_advance] = source[start + i * step + row * advance]
        else:
            for row in range(together):
                for i in range(width):
                    target[to_start + i * to_step + row * to_advance] = source[start + i * step + row * advance]
        first += tile


@kernel
def _copy(begin, end, arguments):
    """Rows begin ≤ r < end: r counts through the outer dimensions and the blocks of a run, the last outer dimension
    fastest. `pieces` holds for each piece the two addresses, the run's length, its steps, and the outer strides."""
    whole, half, quarter, pair, one, count, batch, n0, n1, n2, pieces = unpack(arguments)
    row = begin
    while row < end:
        i2, rest = row % n2, row // n2
        i1, rest = rest % n1, rest // n1
        i0, block = rest % n0, rest // n0
        rows = min(batch, end - row, n2 - i2)
        for piece in range(0, PIECE * count, PIECE):
            width = min(pieces[piece + 2] - block * BLOCK, BLOCK)
            step, to_step = pieces[piece + 3], pieces[piece + 4]
            advance, to_advance = pieces[piece + 7], pieces[piece + 10]
            at = i0 * pieces[piece + 5] + i1 * pieces[piece + 6] + i2 * advance + block * BLOCK * step
            to = i0 * pieces[piece + 8] + i1 * pieces[piece + 9] + i2 * to_advance + block * BLOCK * to_step
            source, target = _pointer(pieces[piece], whole), _pointer(pieces[piece + 1], whole)
            if width <= 0:
                continue
            if step != 1 or to_step != 1:
                _copy_elements(source, at, step, advance, target, to, to_step, to_advance, rows, width)
            elif width >= lanes(whole):
                _copy_runs(whole, source, at, advance, target, to, to_advance, rows, width)
            elif width >= lanes(half):
                _copy_runs(half, source, at, advance, target, to, to_advance, rows, width)
            elif width >= lanes(quarter):
                _copy_runs(quarter, source, at, advance, target, to, to_advance, rows, width)
            elif width >= lanes(pair):
                _copy_runs(pair, source, at, advance, target, to, to_advance, rows, width)
            else:
                _copy_runs(one, source, at, advance, target, to, to_advance, rows, width)
        row += rows


@cache
def _vectors(word: np.dtype, lanes: int) -> tuple[Vector, ...]:
    """Vectors of all these lanes, of half of them and so on: a short run is copied by the widest that fits."""
    return tuple([Vector(word, max(1, lanes // divisor)) for divisor in (1, 2, 4, 8, 16)])


Box = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # shape, the source's strides, the target's


def _dimensions(boxes: tuple[Box, ...], word: int) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """The dimensions from the last to the first, as few as can be: for each box its size and its two strides in words.

    A dimension that continues the one within it in all boxes is merged with it. The boxes' sizes may differ in one
    dimension, which then must end up in the run.
    """
    merged: list[tuple[list[int], list[tuple[int, int]]]] = []
    for axis in reversed(range(len(boxes[0][0]))):
        sizes = [shape[axis] for shape, _, _ in boxes]
        steps = [(source[axis] // word, target[axis] // word) for _, source, target in boxes]
        if all(size == 1 for size in sizes):
            continue
        if merged:
            inner_sizes, inner = merged[-1]
            continued = [(n * s, n * t) for n, (s, t) in zip(inner_sizes, inner, strict=True)]
            if continued == steps and (len(merged) == 1 or len(set(sizes)) == 1):
                merged[-1] = [n * size for n, size in zip(inner_sizes, sizes, strict=True)], inner
                continue
        merged.append((sizes, steps))
    return merged or [([1] * len(boxes), [(1, 1)] * len(boxes))]


@lru_cache(maxsize=1024)
def _description(boxes: tuple[Box, ...], word: int) -> tuple[int, int, list[int], np.ndarray] | None:
    """(longest run, all runs together, outer sizes, pieces without their addresses); None if the kernel does not fit.
    The same few copies come back in every step of a training."""
    if any(stride % word for _, *strides in boxes for stride in (*strides[0], *strides[1])):
        return None
    (widths, run_steps), *outer = _dimensions(boxes, word)
    if len(outer) > OUTER or any(len(set(sizes)) > 1 for sizes, _ in outer):
        return None
    outer = outer[::-1]
    while len(outer) < OUTER:
        outer.insert(0, ([1] * len(boxes), [(0, 0)] * len(boxes)))
    pieces = np.zeros((len(boxes), PIECE), np.int64)
    pieces[:, 2] = widths
    pieces[:, 3:5] = run_steps
    for position, (_, steps) in enumerate(outer):
        pieces[:, [5 + position, 8 + position]] = steps
    return max(widths), sum(widths), [sizes[0] for sizes, _ in outer], pieces


def _launch(pairs: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Copies all pairs at once; False if they are not for the kernel, and nothing was done."""
    dtype, word = pairs[0][0].dtype, _WORDS.get(pairs[0][0].itemsize)
    if word is None or any(a.dtype != dtype or not a.flags.aligned for pair in pairs for a in pair):
        return False
    boxes = tuple([(source.shape, source.strides, target.strides) for source, target in pairs])
    description = _description(boxes, word.itemsize)
    if description is None:
        return False
    longest, together, sizes, pieces = description
    pieces = pieces.copy()
    pieces[:, :2] = [(source.ctypes.data, target.ctypes.data) for source, target in pairs]
    grain = max(1, SMALLEST // (word.itemsize * min(together, BLOCK)))
    kinds = _vectors(word, vector_of(word).lanes)
    batch = max(1, BATCH // longest)
    run(_copy, -(-longest // BLOCK) * math.prod(sizes), grain, *kinds, len(pairs), batch, *sizes, pieces)
    return True


def _move(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Copies the first of each pair into the second: all at once if the kernel can, else one by one."""
    pairs = [pair for pair in pairs if pair[0].size]
    if notes() is not None or sum([source.nbytes for source, _ in pairs]) >= LARGE:
        if _launch(pairs):
            return
        if len(pairs) > 1:
            for pair in pairs:
                _move([pair])
            return
    for source, target in pairs:
        target[...] = source


@twin_of(reference.copy)
def copy(x: np.ndarray, destination: np.ndarray | None = None) -> np.ndarray:
    if destination is None:
        destination = empty(x.shape, x.dtype.newbyteorder("="))
    _move([(x, destination)])
    return destination


def contiguous(array: np.ndarray) -> np.ndarray:
    """`array` itself if it is C-contiguous, aligned and in the machine's byte order, else a copy that is."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return copy(array)


@twin_of(reference.concatenate)
def concatenate(arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(arrays[0].shape)
    ends = np.cumsum([array.shape[axis] for array in arrays]).tolist()
    shape[axis] = ends[-1]
    y, before = empty(tuple(shape), arrays[0].dtype), (slice(None),) * axis
    parts = [y[(*before, slice(end - array.shape[axis], end))] for array, end in zip(arrays, ends, strict=True)]
    _move(list(zip(arrays, parts, strict=True)))
    return y


@twin_of(reference.split)
def split(x: np.ndarray, sizes: Sequence[int], axis: int) -> tuple[np.ndarray, ...]:
    before, ends = (slice(None),) * axis, np.cumsum(sizes).tolist()
    parts = [x[(*before, slice(end - size, end))] for size, end in zip(sizes, ends, strict=True)]
    copies = [empty(part.shape, x.dtype) for part in parts]
    _move(list(zip(parts, copies, strict=True)))
    return tuple(copies)
