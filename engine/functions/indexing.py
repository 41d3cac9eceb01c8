"""Indexing: a part of a tensor, and its transpose, which adds a part into zeros.

Where an index names an element several times, its gradients are added up in the index's own order: the same sum at
every run. Integer indices out of range raise IndexError, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import kernels
from ..arrays import zeros_like
from ..capture import check_input
from ..device import computing_beside
from ..tape import Function
from ..tensor import Array, Tensor, as_tensor, beside, library_of
from .arguments import integer_array, normalize_axis, require_in_range

Gradient = tuple[Tensor]
_IN_BASIC = (slice, int, np.integer)


class Index(Function):
    """y = x[index]"""

    view = True

    def forward(self, x: Array, index: Any) -> Array:
        self.input_shape = x.shape
        return x[index]

    def backward(self, cotangent: Tensor) -> Gradient:
        return (AddAt()(cotangent, index=self.parameters["index"], shape=self.input_shape),)


class AddAt(Function):
    """y = 0, then y[index] += x: the transpose of Index."""

    def forward(self, x: Array, index: Any, shape: tuple[int, ...]) -> Array:
        if not _names_once(index):
            return _sums_of_rows(x, index, shape)
        y = zeros_like(x, shape)
        if x.ndim and _is_basic(index):
            kernels.of(x).copy(x, y[index])
        else:
            y[index] = x
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        return (Index()(cotangent, index=self.parameters["index"]),)


class TakeAlongAxis(Function):
    """y[…, j, …] = x[…, indices[…, j, …], …]"""

    def forward(self, x: Array, indices: Array, axis: int) -> Array:
        self.input_shape = x.shape
        return np.take_along_axis(x, indices, axis)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (AddAlongAxis()(cotangent, shape=self.input_shape, **self.parameters),)


class AddAlongAxis(Function):
    """y = 0, then y[…, indices[…, j, …], …] += x[…, j, …]: the transpose of TakeAlongAxis."""

    def forward(self, x: Array, indices: Array, axis: int, shape: tuple[int, ...]) -> Array:
        if indices.shape[axis] == 1:  # one element each: none is named twice
            y = zeros_like(x, shape)
            np.put_along_axis(y, indices, x, axis)
            return y
        grid = list(library_of(x).ogrid[tuple([slice(n) for n in indices.shape])])
        grid[axis] = indices.astype(np.int64)  # a small type has no room for the numbers
        numbers, below = 0, 1  # of y's elements; those that one step along the axis passes
        for places, size in zip(reversed(grid), reversed(shape), strict=True):
            numbers, below = numbers + places * below, below * size
        return _added(x, numbers, below, 1).reshape(shape)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (TakeAlongAxis()(cotangent, indices=self.parameters["indices"], axis=self.parameters["axis"]),)


def _sums_of_rows(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """AddAt by rows: the last axes, as far as the index leaves them whole, make a row; the rows have numbers."""
    parts = list(index) if isinstance(index, tuple) else [index]
    while isinstance(parts[-1], slice) and parts[-1] == slice(None):
        parts.pop()
    axes = len(shape) if any(part is Ellipsis for part in parts) else sum(map(_axes_of, parts))
    count, width = math.prod(shape[:axes]), math.prod(shape[axes:])
    numbers = library_of(x).arange(count, dtype=np.int64).reshape(shape[:axes])[tuple(parts)]
    return _added(x, numbers, count, width).reshape(shape)


def _axes_of(part: Any) -> int:
    """How many axes a part of an index picks from."""
    if part is None or isinstance(part, bool):
        return 0
    return part.ndim if hasattr(part, "dtype") and part.dtype.kind == "b" else 1


def _added(x: Array, numbers: Array, count: int, width: int) -> Array:
    """`count` rows of `width` elements each: x's rows added into those that `numbers` (int64) names."""
    return kernels.of(x).add_rows(x.reshape(numbers.size, width), numbers.ravel(), count)


def _names_once(index: Any) -> bool:
    """Whether the index cannot name an element twice: no integer arrays in it."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(not hasattr(part, "dtype") or part.dtype.kind == "b" or not part.ndim for part in parts)


def _is_basic(index: Any) -> bool:
    """Whether the index picks a box of elements, a view: whole numbers, slices, None and the ellipsis alone."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or (isinstance(part, _IN_BASIC) and not isinstance(part, bool))
        for part in parts
    )


def as_index(index: Any) -> Any:
    """An index for arrays: tensors and lists in it become arrays. Raises TypeError for floating indices."""
    if type(index) is tuple:
        return tuple([as_index(part) for part in index])
    if isinstance(index, Tensor):
        index = index.array
    elif isinstance(index, list):
        index = np.asarray(index) if index else np.empty(0, np.intp)
    if hasattr(index, "dtype") and index.dtype.kind not in "iub":
        raise TypeError(f"an index must hold integers or booleans, not {index.dtype}")
    return index


def index_beside(index: Any, x: Array) -> Any:
    """An index of x whose arrays lie where x does. Raises IndexError for integers out of range where NumPy will not:
    on a GPU, where they would begin anew."""
    if isinstance(x, np.ndarray):
        return index
    _require_in_range(index if type(index) is tuple else (index,), x.shape)
    return tuple([beside(part, x) for part in index]) if type(index) is tuple else beside(index, x)


def _require_in_range(parts: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    """Raise IndexError for an array of integers with one that names no element of its axis."""
    axis, hidden = 0, len(shape) - sum(_axes_of(part) for part in parts if part is not Ellipsis)
    for part in parts:
        is_array = hasattr(part, "dtype") and not isinstance(part, np.generic)  # at single numbers CuPy looks itself
        if is_array and part.dtype.kind in "iu" and axis < len(shape):
            _require_below(part, axis, shape[axis])
        axis += hidden if part is Ellipsis else _axes_of(part)


def _require_below(values: Array, axis: int, size: int) -> None:
    if check_input(values, lambda host: _require_below(host, axis, size)) or not values.size:
        return
    with computing_beside(values):
        extremes = int(values.min()), int(values.max())
    for extreme in extremes:
        if not -size <= extreme < size:
            raise IndexError(f"index {extreme} is out of bounds for axis {axis} with size {size}")


def index(x: Any, index: Any) -> Tensor:
    """x[index] for every index that NumPy takes: integers, slices, None, …, integer and boolean arrays or tensors.

    On a GPU, integers that lie there are read back, to look whether they are in range."""
    x = as_tensor(x)
    return Index()(x, index=index_beside(as_index(index), x.array))


def take(x: Any, indices: Any, axis: int) -> Tensor:
    """Slices of x along an axis, picked by integers of any shape, whose axes stand in the axis's place."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    return Index()(x, index=index_beside((slice(None),) * axis + (integer_array("take", "indices", indices),), x.array))


def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """y[…, j, …] = x[…, indices[…, j, …], …]: along an axis, another pick for each place on the other axes.

    `indices` has x's rank; its other axes have x's sizes. Raises ValueError for an index out of range.
    """
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    indices = beside(integer_array("take_along_axis", "indices", indices), x.array)
    if indices.ndim != x.ndim or any(
        m != n for d, (m, n) in enumerate(zip(indices.shape, x.shape, strict=True)) if d != axis
    ):
        raise ValueError(
            f"take_along_axis: indices of shape {indices.shape} for x of shape {x.shape}: "
            f"they may differ along axis {axis} only"
        )
    require_in_range("take_along_axis", "the index", indices, x.shape[axis], "elements along the axis")
    return TakeAlongAxis()(x, indices=indices, axis=axis)
