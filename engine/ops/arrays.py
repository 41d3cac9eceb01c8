"""Making tensors, and other shapes, orders and parts of them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..deferred import Deferred
from ..tensor import Axis, Tensor, as_tensor, from_array

# ------------------------------------------------------------------------------------------------------------ making


def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """x as a tensor (a symbol stays one), of this type if one is given. sparse, ragged: not True: there are only dense
    tensors."""
    for name, value in (("sparse", sparse), ("ragged", ragged)):
        if value:
            raise ValueError(f"convert_to_tensor: {name} = {value!r} is not supported: tensors are dense")
    x = tensor_or_symbol(x)
    return x if dtype is None else F.astype(x, dtype)


def tensor_or_symbol(x: Any) -> Any:
    """x as a tensor, or a symbol as it is."""
    return x if isinstance(x, Deferred) else as_tensor(x)


def convert_to_numpy(x: Any) -> np.ndarray:
    """A copy of the values as a NumPy array"""
    return np.array(as_tensor(x).numpy())


def array(x: Any, dtype: Any = None) -> Any:
    """`convert_to_tensor`"""
    return convert_to_tensor(x, dtype)


def cast(x: Any, dtype: Any) -> Tensor:
    """x in another type; from floating to floating types gradients flow."""
    return F.astype(x, dtype)


def copy(x: Any) -> Tensor:
    """The same values in memory of their own; gradients flow."""
    x = as_tensor(x)
    return F.add(x, F.zeros_like(x)) if x.dtype.kind == "f" else Tensor(x)


def stop_gradient(variable: Any) -> Tensor:
    """The same values, through which no gradient flows"""
    return as_tensor(variable).detach()


def is_tensor(x: Any) -> bool:
    """Whether x is a tensor"""
    return isinstance(x, Tensor)


def zeros(shape: Any, dtype: Any = None) -> Tensor:
    """Zeros, float32 unless a type is given"""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Tensor:
    """Ones, float32 unless a type is given"""
    return full(shape, 1, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value, or values that broadcast, everywhere; float32 unless a type is given"""
    value = as_tensor(fill_value).numpy()
    return from_array(np.full(_sizes(shape), value, dtype or np.float32))


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros of x's shape and type, or of another type"""
    return F.zeros_like(x) if dtype is None else F.astype(F.zeros_like(x), dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones of x's shape and type, or of another type"""
    return F.ones_like(x) if dtype is None else F.astype(F.ones_like(x), dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """One value of x's shape and type, or of another type"""
    like = zeros_like(x, dtype)
    return F.astype(F.add(like, fill_value), like.dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    """start, start + step, … below stop; one number is stop, from 0. int64, or float32 where one has a fraction."""
    low, high = (0, start) if stop is None else (start, stop)
    values = np.arange(low, high, 1 if step is None else step)
    return from_array(values.astype(dtype or (np.float32 if values.dtype.kind == "f" else values.dtype)))


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, dtype: Any = None) -> Tensor:
    """`num` numbers evenly from start to stop, stop among them if `endpoint`"""
    return from_array(np.linspace(start, stop, num, endpoint).astype(dtype or np.float32))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Tensor:
    """(N, M) zeros with ones on the diagonal k; M is N if None."""
    return from_array(np.eye(N, M, k, dtype or np.float32))


def identity(n: int, dtype: Any = None) -> Tensor:
    """The identity matrix (n, n)"""
    return eye(n, dtype=dtype)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Tensor:
    """1 at the index, 0 elsewhere, on a new axis of num_classes. ValueError for an index out of range (Keras gives
    zeros for negative ones)."""
    if sparse:
        raise ValueError(f"one_hot: sparse = {sparse!r} is not supported: tensors are dense")
    indices = as_tensor(x)
    if indices.dtype.kind == "f" and np.array_equal(indices.numpy(), np.floor(indices.numpy())):
        indices = F.astype(indices, "int64")
    return F.moveaxis(F.one_hot(indices, num_classes, dtype or np.float32), -1, axis)


# ------------------------------------------------------------------------------------------------------------ shapes


def shape(x: Any) -> tuple[Any, ...]:
    """The sizes; None where a symbol's is open"""
    return tuple(tensor_or_symbol(x).shape)


def ndim(x: Any) -> int:
    """The number of axes"""
    return len(shape(x))


def size(x: Any) -> int:
    """The number of elements"""
    return as_tensor(x).size


def reshape(x: Any, newshape: Any) -> Tensor:
    """The same elements in another shape; −1 stands for what is left."""
    return F.reshape(x, _sizes(newshape))


def ravel(x: Any) -> Tensor:
    """All elements on one axis"""
    return F.reshape(x, -1)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Result axis i is x's axis axes[i]; in reversed order without axes"""
    return F.transpose(x, axes)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged"""
    return F.swapaxes(x, axis1, axis2)


def moveaxis(x: Any, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places"""
    return F.moveaxis(x, source, destination)


def expand_dims(x: Any, axis: Any) -> Tensor:
    """With axes of size 1 inserted"""
    return F.expand_dims(x, axis)


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Without the given axes, or all, of size 1"""
    return F.squeeze(x, axis)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    """Repeated along axes of size 1, and new ones in front, to this shape"""
    return F.broadcast_to(x, _sizes(shape))


def tile(x: Any, repeats: Any) -> Tensor:
    """The whole repeated along each axis"""
    return F.tile(x, repeats)


def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Each element repeated along the axis; None: of the flattened tensor"""
    return F.repeat(x, repeats, axis)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    """With a border: (before, after) for each axis; see `tg.functional.pad`."""
    if mode != "constant" and constant_values is not None:
        raise ValueError(f'pad: constant_values = {constant_values!r} beside mode = {mode!r}: only for "constant"')
    return F.pad(x, pad_width, mode, 0.0 if constant_values is None else constant_values)


def flip(x: Any, axis: Axis = None) -> Tensor:
    """In reversed order along the axes; None: along all"""
    return F.flip(x, axis)


def roll(x: Any, shift: Any, axis: Any = None) -> Tensor:
    """Moved along the axes by so many places, what leaves the end comes in front; None: of the flattened tensor."""
    if axis is None:
        x = tensor_or_symbol(x)
        return F.reshape(roll(F.reshape(x, -1), shift, 0), tuple(x.shape))
    if isinstance(axis, (list, tuple)):
        shifts = shift if isinstance(shift, (list, tuple)) else [shift] * len(axis)
        if len(shifts) != len(axis):
            raise ValueError(f"roll: shift = {shift!r} and axis = {axis!r} differ in length")
        for one, along in zip(shifts, axis, strict=True):
            x = roll(x, one, along)
        return x
    x = as_tensor(x)
    places = np.arange(x.shape[axis])
    return F.take(x, np.roll(places, shift), axis)


# ----------------------------------------------------------------------------------------------------- joins and parts


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """One after another along an axis"""
    return F.concatenate(xs, axis)


def append(x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    """x₂ after x₁; None: both flattened"""
    if axis is None:
        return F.concatenate([ravel(x1), ravel(x2)])
    return F.concatenate([x1, x2], axis)


def stack(x: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis"""
    return F.stack(x, axis)


def vstack(xs: Sequence[Any]) -> Tensor:
    """One below another: along the first axis, vectors being rows"""
    return F.concatenate([F.reshape(x, (1, -1)) if ndim(x) < 2 else x for x in xs], 0)


def hstack(xs: Sequence[Any]) -> Tensor:
    """One beside another: along the second axis, of vectors the first"""
    parts = [F.reshape(x, (1,)) if not ndim(x) else x for x in xs]
    return F.concatenate(parts, 0 if ndim(parts[0]) == 1 else 1)


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut along an axis: into equal parts, or before each of the positions"""
    return F.split(x, indices_or_sections, axis)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, without it. num: how many there are, if it is to be checked."""
    sizes = shape(x)
    if num is not None and num != sizes[axis]:
        raise ValueError(f"unstack: num = {num}, but axis {axis} of shape {sizes} has another size")
    return [F.squeeze(part, axis) for part in F.split(x, sizes[axis], axis)] if sizes[axis] else []


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Slices along an axis (None: elements of the flattened tensor), by their places"""
    return F.take(ravel(x), indices, 0) if axis is None else F.take(x, indices, axis)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Along an axis another pick for each place on the other axes; None: of the flattened tensor"""
    if axis is None:
        return F.take_along_axis(ravel(x), as_tensor(indices).array.ravel(), 0)
    return F.take_along_axis(x, indices, axis)


def get_item(x: Any, key: Any) -> Tensor:
    """x[key]"""
    return F.index(x, key)


def slice(inputs: Any, start_indices: Sequence[int], shape: Sequence[int]) -> Tensor:
    """The part of this shape that begins at start_indices"""
    starts, sizes = _sizes(start_indices), _sizes(shape)
    limits = tensor_or_symbol(inputs).shape
    if not len(starts) == len(sizes) == len(limits) or any(
        start < 0 or length < 0 or (limit is not None and start + length > limit)
        for start, length, limit in zip(starts, sizes, limits, strict=False)
    ):
        raise ValueError(f"slice: shape {sizes} from {starts} does not lie within {tuple(limits)}")
    parts = [builtins.slice(start, start + length) for start, length in zip(starts, sizes, strict=True)]
    return F.index(inputs, tuple(parts))


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x₁ where the condition holds, else x₂"""
    if x1 is None or x2 is None:
        raise ValueError("where: x1 and x2 are missing: the places that are True are numpy.nonzero's to find")
    return F.where(condition, x1, x2)


def tril(x: Any, k: int = 0) -> Tensor:
    """Zeros above the diagonal k of the last two axes"""
    return _triangle(x, lambda rows, columns: columns <= rows + k)


def triu(x: Any, k: int = 0) -> Tensor:
    """Zeros below the diagonal k of the last two axes"""
    return _triangle(x, lambda rows, columns: columns >= rows + k)


def _triangle(x: Any, keeps: Any) -> Tensor:
    x = tensor_or_symbol(x)
    if x.ndim < 2 or None in x.shape[-2:]:
        raise ValueError(f"a triangle of shape {tuple(x.shape)}: expected two last axes whose sizes are known")
    rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
    return F.where(keeps(rows, columns), x, F.zeros_like(x))


def _sizes(shape: Any) -> tuple[int, ...]:
    """A shape, one size or several, as integers"""
    if isinstance(shape, Tensor):
        shape = shape.tolist()
    if isinstance(shape, (int, np.integer)):
        return (int(shape),)
    return tuple(int(entry) for entry in shape)
