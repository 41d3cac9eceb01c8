"""Elements in another place on the GPU: copies of arrays of any strides, several arrays side by side, parts of one."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from ..interface import twin_of
from ..reference import copying as reference
from .functions import Source
from .launching import empty, is_contiguous, launch
from .runtime import Array

AXES = 8  # that a copy can have, after those that lie one after another are merged
_OF_SIZE = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "int64"}  # bytes: a type to move them in
SOURCE = Source("copying.cu", copy_strided=tuple(_OF_SIZE.values()))


class Strided(ctypes.Structure):
    """Shape and strides, as `copy_strided` takes them."""

    _fields_ = [(name, ctypes.c_longlong * AXES) for name in ("shape", "origin", "target")] + [("axes", ctypes.c_int)]


def contiguous(x: Array) -> Array:
    """x itself if it lies in C order, else a copy that does."""
    return x if is_contiguous(x) else copy(x)


@twin_of(reference.copy)
def copy(x: Array, destination: Array | None = None) -> Array:
    if destination is None:
        destination = empty(x.shape, x.dtype)
    axes = _merged(x, destination)
    if len(axes) > AXES:
        raise ValueError(f"x has {len(axes)} axes that cannot be merged: a copy on the GPU takes {AXES}")
    layout = Strided(axes=len(axes))
    for place, (size, origin, target) in enumerate(axes):
        layout.shape[place], layout.origin[place], layout.target[place] = size, origin, target
    launch(SOURCE("copy_strided", _OF_SIZE[x.dtype.itemsize]), (x, destination, layout, x.size), x.size)
    return destination


def _merged(x: Array, y: Array) -> list[tuple[int, int, int]]:
    """(size, x's stride, y's stride), in elements, of the axes that are left when axes of one element are dropped, and
    those that lie without a gap inside the one before become one with it, in both arrays."""
    merged: list[tuple[int, int, int]] = []
    for size, origin, target in zip(x.shape, _element_strides(x), _element_strides(y), strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1:] == (size * origin, size * target):
            merged[-1] = merged[-1][0] * size, origin, target
        else:
            merged.append((size, origin, target))
    return merged


def _element_strides(x: Array) -> list[int]:
    return [stride // x.dtype.itemsize for stride in x.strides]


@twin_of(reference.concatenate)
def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    sizes = [array.shape[axis] for array in arrays]
    shape = (*arrays[0].shape[:axis], sum(sizes), *arrays[0].shape[axis + 1 :])
    result = empty(shape, arrays[0].dtype)
    for array, part in zip(arrays, _parts(sizes, axis), strict=True):
        copy(array, result[part])
    return result


@twin_of(reference.split)
def split(x: Array, sizes: Sequence[int], axis: int) -> tuple[Array, ...]:
    return tuple([copy(x[part]) for part in _parts(sizes, axis)])


def _parts(sizes: Sequence[int], axis: int) -> list[tuple[slice, ...]]:
    """The index of each part of an axis that is cut in parts of these sizes."""
    ends = np.cumsum(sizes, dtype=np.int64)
    every = (slice(None),) * axis
    return [(*every, slice(int(end) - size, int(end))) for size, end in zip(sizes, ends, strict=True)]
