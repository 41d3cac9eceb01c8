"""Layers that make one tensor of several: Concatenate, Dot and the elementwise Add, Subtract, Multiply, Average,
Maximum, Minimum. They take a list of inputs. The functions of their names in small letters call a new layer at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..functions.linear_algebra import matmul_transposed
from ..lengths import unit_length
from ..masks import as_mask, checked_mask
from ..tensor import Tensor, from_array
from .base import Layer
from .normalization import SHORTEST

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """An elementwise operation on a list of inputs of one shape; sizes of 1 broadcast."""

    least = 1
    most: int | None = None
    supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = _list_of_shapes(input_shape, self.name)
        count = len(shapes)
        if count < self.least or (self.most is not None and count > self.most):
            expected = f"{self.least}" if self.most == self.least else f"at least {self.least}"
            raise ValueError(f"{self.name}: expected a list of {expected} inputs, got {count}")
        if len({len(shape) for shape in shapes}) != 1:
            raise ValueError(f"{self.name}: expected inputs of one rank, got shapes {shapes}")
        return tuple(self._broadcast(sizes, axis, shapes) for axis, sizes in enumerate(zip(*shapes, strict=True)))

    def _broadcast(self, sizes: tuple[int | None, ...], axis: int, shapes: list[Any]) -> int | None:
        different = {size for size in sizes if size not in (1, None)}
        # The batch never broadcasts: one example against a batch is a mistake.
        if len(different) > 1 or (axis == 0 and 1 in sizes and different):
            raise ValueError(f"{self.name}: inputs of shapes {shapes} do not fit in axis {axis}")
        if different:
            return different.pop()
        return None if None in sizes else 1

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True where any of the inputs' masks is; None if one of the inputs has none."""
        masks = _list_of_masks(inputs, previous_mask, self.name)
        present = [mask for mask in masks or [] if mask is not None]
        return functools.reduce(_either, present) if masks and len(present) == len(masks) else None

    def _check_input_shape(self, shape: Any) -> None:
        self.compute_output_shape(shape)


class Add(_Merge):
    """The sum of the inputs."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(F.add, inputs)


class Subtract(_Merge):
    """The first input minus the second."""

    least = most = 2

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return F.subtract(inputs[0], inputs[1])


class Multiply(_Merge):
    """The product of the inputs, elementwise."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(F.multiply, inputs)


class Average(_Merge):
    """The mean of the inputs, elementwise."""

    casts_integers = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(F.add, inputs) / len(inputs)


class Maximum(_Merge):
    """The largest of the inputs, elementwise."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(F.maximum, inputs)


class Minimum(_Merge):
    """The smallest of the inputs, elementwise."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(F.minimum, inputs)


class Concatenate(Layer):
    """The inputs side by side along `axis` (the channels, if not said otherwise); all other sizes must agree.

    So are their masks, where the axis is one of theirs; else a step counts that counts in any of the inputs. An input
    without a mask counts everywhere.
    """

    supports_masking = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"{self.name}: axis = {axis!r}: expected an integer")
        self.axis = axis

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return F.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The masks side by side, or where any of them is True."""
        masks = _list_of_masks(inputs, previous_mask, self.name)
        if masks is None or all(mask is None for mask in masks):
            return None
        axis = self.axis % inputs[0].ndim
        axes = max(mask.ndim for mask in masks if mask is not None)
        whole = [
            checked_mask(np.ones((1,), bool) if mask is None else mask, x, axes, self.name)
            for x, mask in zip(inputs, masks, strict=True)
        ]
        return F.concatenate(whole, axis=axis) if axis < axes else functools.reduce(_either, whole)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = _list_of_shapes(input_shape, self.name)
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"{self.name}: axis {self.axis} is out of range for inputs of {rank} dimensions")
        axis = self.axis % rank
        if any(len(shape) != rank for shape in shapes):
            raise ValueError(f"{self.name}: expected inputs of one rank, got shapes {shapes}")
        output = list(shapes[0])
        for position in range(rank):
            sizes = [shape[position] for shape in shapes]
            known = [size for size in sizes if size is not None]
            if position == axis:
                output[position] = sum(known) if len(known) == len(sizes) else None
            elif len(set(known)) > 1:
                raise ValueError(
                    f"{self.name}: inputs of shapes {shapes} differ in axis {position}, which is not the axis "
                    f"{axis} along which they are put side by side"
                )
            else:
                output[position] = known[0] if known else None
        return tuple(output)

    def _check_input_shape(self, shape: Any) -> None:
        self.compute_output_shape(shape)


def _either(mask: Tensor, other: Tensor) -> Tensor:
    """Where one of two masks is True; they may differ in sizes of 1, and in how many axes they have."""
    axes = max(mask.ndim, other.ndim)
    mask, other = (F.reshape(one, one.shape + (1,) * (axes - one.ndim)) for one in (mask, other))
    return from_array(mask.array | other.array)


def _list_of_masks(inputs: Any, masks: Any, name: str) -> list[Tensor | None] | None:
    """The inputs' masks as boolean tensors; None if there are none."""
    if masks is None:
        return None
    if not isinstance(masks, (list, tuple)) or len(masks) != len(inputs):
        raise ValueError(f"{name}: expected a list of {len(inputs)} masks, None for inputs without, got {masks!r}")
    return [None if mask is None else as_mask(mask, x) for x, mask in zip(inputs, masks, strict=True)]


class Dot(Layer):
    """The products of two inputs summed over an axis of each, example by example: (N, …, K, …) and (N, …, K, …) →
    (N, the first's other axes, the second's other axes); (N, 1) if there are none.

    axes: the axis to sum over, or one for each input; not 0, the batch. normalize: scale what is summed to length 1
    first, which gives the cosine of the angle between both; of vectors of zeros it is 0.
    Raises ValueError for axes that are out of range, or of different sizes.
    """

    casts_integers = True
    supports_masking = True

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair = [axes, axes] if isinstance(axes, int) else list(axes) if isinstance(axes, (list, tuple)) else []
        if len(pair) != 2 or not all(isinstance(axis, int) and not isinstance(axis, bool) for axis in pair):
            raise TypeError(f"{self.name}: axes = {axes!r}: expected an integer, or one for each of two inputs")
        self.axes = axes if isinstance(axes, int) else pair
        self.normalize = bool(normalize)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, y = inputs
        rows = []
        for tensor, axis in zip(inputs, self._axes((x.shape, y.shape)), strict=True):
            moved = F.moveaxis(tensor, axis, -1)
            if self.normalize:
                moved = unit_length(moved, -1, SHORTEST)
            rows.append(F.reshape(moved, (len(moved), math.prod(moved.shape[1:-1]), moved.shape[-1])))
        return F.reshape(matmul_transposed(*rows), self.compute_output_shape([x.shape, y.shape]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = _list_of_shapes(input_shape, self.name)
        left, right = self._axes(shapes)
        x, y = shapes
        others = (*[n for i, n in enumerate(x[1:], 1) if i != left], *[n for i, n in enumerate(y[1:], 1) if i != right])
        return (x[0], *(others or (1,)))

    def _axes(self, shapes: Any) -> tuple[int, int]:
        """The axes to sum over, counted from the front."""
        if len(shapes) != 2:
            raise ValueError(f"{self.name}: expected a list of 2 inputs, got {len(shapes)}")
        given = [self.axes] * 2 if isinstance(self.axes, int) else self.axes
        axes = [axis + len(shape) if axis < 0 else axis for axis, shape in zip(given, shapes, strict=True)]
        if not all(0 < axis < len(shape) for axis, shape in zip(axes, shapes, strict=True)):
            raise ValueError(f"{self.name}: axes = {self.axes} do not fit inputs of shapes {shapes}; 0 is the batch")
        sizes = [shape[axis] for axis, shape in zip(axes, shapes, strict=True)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(f"{self.name}: inputs of shapes {shapes} differ in the axes {self.axes} to sum over")
        return axes[0], axes[1]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: the steps are summed over, or are pairs of steps now."""
        return None

    def _check_input_shape(self, shape: Any) -> None:
        self.compute_output_shape(shape)


def add(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Add(**kwargs)(inputs)`"""
    return Add(**kwargs)(inputs)


def subtract(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Subtract(**kwargs)(inputs)`"""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Multiply(**kwargs)(inputs)`"""
    return Multiply(**kwargs)(inputs)


def average(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Average(**kwargs)(inputs)`"""
    return Average(**kwargs)(inputs)


def maximum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Maximum(**kwargs)(inputs)`"""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Sequence[Any], **kwargs: Any) -> Any:
    """`Minimum(**kwargs)(inputs)`"""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate(axis, **kwargs)(inputs)`"""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs: Sequence[Any], axes: int | Sequence[int] = -1, **kwargs: Any) -> Any:
    """`Dot(axes, **kwargs)(inputs)`"""
    return Dot(axes, **kwargs)(inputs)


def _list_of_shapes(input_shape: Any, name: str) -> list[tuple[int | None, ...]]:
    if not isinstance(input_shape, (list, tuple)) or not all(isinstance(shape, (list, tuple)) for shape in input_shape):
        raise ValueError(f"{name}: expected a list of inputs, got one of shape {input_shape}")
    if not input_shape:
        raise ValueError(f"{name}: expected a list of at least one input, got an empty list")
    return [tuple(shape) for shape in input_shape]
