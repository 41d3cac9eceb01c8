"""Other shapes for the same elements: reshape, transpose, concatenate, pad and the like.

Reshape, transpose and what is made of them return views: they share memory with their input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import kernels
from ...kernels.half_precision import as_dtype, is_floating
from ..arrays import empty_like
from ..capture import constant, derived
from ..device import checked, device_of, is_on, move
from ..tape import Function, recording
from ..tensor import Array, Axis, Tensor, as_tensor, common_dtype, from_array
from .arguments import normalize_axes, normalize_axis
from .indexing import index, take

Gradient = tuple[Tensor, ...]
Pair = tuple[int, int]


class Reshape(Function):
    view = True

    def forward(self, x: Array, shape: tuple[int, ...]) -> Array:
        self.input_shape = x.shape
        return x.reshape(shape)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (reshape(cotangent, self.input_shape),)


class Transpose(Function):
    view = True

    def forward(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.transpose(axes)

    def backward(self, cotangent: Tensor) -> Gradient:
        axes = self.parameters["axes"]
        return (transpose(cotangent, tuple(sorted(range(len(axes)), key=axes.__getitem__))),)


class AsType(Function):
    def forward(self, x: Array, dtype: np.dtype) -> Array:
        self.input_dtype = x.dtype
        return x.astype(dtype)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (astype(cotangent, self.input_dtype),)


class Concatenate(Function):
    def forward(self, *arrays: Array, axis: int) -> Array:
        self.sizes = [array.shape[axis] for array in arrays]
        return kernels.of(*arrays).concatenate(arrays, axis)

    def backward(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        axis, needs = self.parameters["axis"], self.needs
        if not recording() and all(needs):  # dense arrays of their own, from one pass over the cotangent
            return tuple(map(from_array, kernels.of(cotangent.array).split(cotangent.array, self.sizes, axis)))
        before, ends = (slice(None),) * axis, np.cumsum(self.sizes).tolist()
        return tuple(
            [
                index(cotangent, (*before, slice(end - size, end))) if need else None
                for size, end, need in zip(self.sizes, ends, needs, strict=True)
            ]
        )


class PadConstant(Function):
    def forward(self, x: Array, widths: tuple[Pair, ...], value: float) -> Array:
        self.inside = tuple([slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)])
        shape = tuple([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)])
        padded = empty_like(x, shape)
        padded.fill(value)
        kernels.of(x).copy(x, padded[self.inside])
        return padded

    def backward(self, cotangent: Tensor) -> Gradient:
        return (index(cotangent, self.inside),)


class ToDevice(Function):
    def forward(self, x: Array, device: str) -> Array:
        self.back = device_of(x)
        return move(x, device)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (to_device(cotangent, self.back),)


def reshape(x: Any, shape: int | Sequence[int]) -> Tensor:
    """The same elements, row-major, in another shape; one entry may be −1, which stands for what is left."""
    x = as_tensor(x)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if shape == x.array.shape:
        return x
    known = math.prod([n for n in shape if n != -1])
    fits = x.size == known if -1 not in shape else shape.count(-1) == 1 and known and x.size % known == 0
    if not fits or any(n < -1 for n in shape):
        raise ValueError(f"reshape: shape {x.shape} of {x.size} elements does not fit into {shape}")
    return Reshape()(x, shape=shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Result axis i is x's axis axes[i]; without `axes` their order is reversed."""
    x = as_tensor(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else normalize_axes(axes, x.ndim, "axes")
    if len(order) != x.ndim:
        raise ValueError(f"transpose: axes = {axes} must name each of the {x.ndim} axes once")
    return Transpose()(x, axes=order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """x with two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    i, j = normalize_axis(axis1, x.ndim, "axis1"), normalize_axis(axis2, x.ndim, "axis2")
    order[i], order[j] = j, i
    return transpose(x, order)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """x with the axes `source` moved to the places `destination`, the others in their order."""
    x = as_tensor(x)
    moved = normalize_axes(source, x.ndim, "source")
    places = normalize_axes(destination, x.ndim, "destination")
    if len(moved) != len(places):
        raise ValueError(f"moveaxis: source {source} and destination {destination} differ in length")
    order = [i for i in range(x.ndim) if i not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Tensor:
    """x with axes of size 1 inserted, so that they stand at `axis` in the result."""
    x = as_tensor(x)
    count = 1 if isinstance(axis, (int, np.integer)) else len(axis)
    new = normalize_axes(axis, x.ndim + count)
    sizes = iter(x.shape)
    return reshape(x, tuple([1 if i in new else next(sizes) for i in range(x.ndim + count)]))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """x without the given axes, which must have size 1; None: without all axes of size 1."""
    x = as_tensor(x)
    if axis is None:
        return reshape(x, tuple([n for n in x.shape if n != 1]))
    gone = normalize_axes(axis, x.ndim)
    if any(x.shape[i] != 1 for i in gone):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} has a size other than 1")
    return reshape(x, tuple([n for i, n in enumerate(x.shape) if i not in gone]))


def astype(x: Any, dtype: Any) -> Tensor:
    """x in another type ("bfloat16" needs ml_dtypes). Differentiable between floating types; to integers and booleans
    it is a constant."""
    x = as_tensor(x)
    dtype = as_dtype(dtype)
    if x.array.dtype == dtype:
        return x
    floating = is_floating(dtype)
    if not floating and dtype.kind not in "iub":
        raise TypeError(f"astype: a tensor holds floating, integer or boolean numbers, not {dtype}")
    result = AsType()(x, dtype=dtype) if floating else from_array(x.array.astype(dtype))
    derived(result.array, x.array, lambda host: host.astype(dtype))
    return result


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """The tensors one after another along an axis; the other axes must agree."""
    parts = _of_one_dtype("concatenate", tensors)
    axis = normalize_axis(axis, parts[0].ndim)
    for i, part in enumerate(parts):
        if part.ndim != parts[0].ndim or any(
            m != n for d, (m, n) in enumerate(zip(part.shape, parts[0].shape, strict=True)) if d != axis
        ):
            raise ValueError(
                f"concatenate: tensors[{i}] has shape {part.shape}, tensors[0] has {parts[0].shape}: "
                f"they may differ along axis {axis} only"
            )
    return Concatenate()(*parts, axis=axis)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    parts = _of_one_dtype("stack", tensors)
    for i, part in enumerate(parts):
        if part.shape != parts[0].shape:
            raise ValueError(f"stack: tensors[{i}] has shape {part.shape}, tensors[0] has {parts[0].shape}")
    return concatenate([expand_dims(part, axis) for part in parts], axis)


def _of_one_dtype(function: str, tensors: Sequence[Any]) -> list[Tensor]:
    parts = [as_tensor(tensor) for tensor in tensors]
    if not parts:
        raise ValueError(f"{function}: there is nothing to join")
    dtype = parts[0].dtype
    for part in parts:
        dtype = common_dtype(dtype, part.dtype)
    return [as_tensor(part, dtype) for part in parts]


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along an axis: into `sections` equal parts, or before each of the positions `sections`."""
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    size = x.shape[axis]
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or size % sections:
            raise ValueError(f"split: axis {axis} of size {size} cannot be cut into {sections} equal parts")
        cuts = [i * (size // sections) for i in range(1, sections)]
    else:
        cuts = list(sections)
    before = (slice(None),) * axis
    return [index(x, (*before, slice(start, end))) for start, end in zip([0, *cuts], [*cuts, size], strict=True)]


def flip(x: Any, axis: Axis = None) -> Tensor:
    """x with the order reversed along the axes; None: along all."""
    x = as_tensor(x)
    reversed_axes = normalize_axes(axis, x.ndim)
    return index(x, tuple([slice(None, None, -1 if i in reversed_axes else None) for i in range(x.ndim)]))


def pad(x: Any, pad_width: int | Sequence[Any], mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    """x with a border.

    pad_width: an int (every border), a (before, after) pair for all axes, or a pair for each axis.
    mode: "constant" (filled with `constant_values`, one number), or NumPy's "edge", "reflect", "symmetric", "wrap".
    """
    x = as_tensor(x)
    pairs = _pad_widths(pad_width, x.ndim)
    if mode == "constant":
        return PadConstant()(x, widths=pairs, value=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f'pad: mode = {mode!r}: expected "constant", "edge", "reflect", "symmetric" or "wrap"')
    for axis, pair in enumerate(pairs):
        if any(pair):
            if not x.shape[axis]:
                raise ValueError(f"pad: axis {axis} is empty, mode {mode!r} finds nothing there to repeat")
            places = np.pad(np.arange(x.shape[axis]), pair, mode=mode)  # type: ignore[call-overload]
            x = take(x, constant(places, x.array), axis)
    return x


def _pad_widths(pad_width: int | Sequence[Any], ndim: int) -> tuple[Pair, ...]:
    try:
        pairs = np.broadcast_to(np.asarray(pad_width), (ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: pad_width = {pad_width!r}: expected an int, a pair, or a pair for each of {ndim} axes"
        ) from None
    if pairs.dtype.kind not in "iu" or (pairs < 0).any():
        raise ValueError(f"pad: pad_width = {pad_width!r}: expected non-negative integers")
    return tuple([(int(before), int(after)) for before, after in pairs])


def to_device(x: Any, device: str) -> Tensor:
    """x on "cpu", "cuda" (the current GPU) or "cuda:N"; x itself if it is there. Its gradient goes back. Raises
    ValueError for another name, and what `engine.device.move` raises."""
    x = as_tensor(x)
    return x if is_on(x.array, checked(device)) else ToDevice()(x, device=device)
