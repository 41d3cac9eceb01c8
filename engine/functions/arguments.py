"""Checks of arguments that many functions share: axes, types, ranks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np

from ...kernels.half_precision import is_floating, is_half
from ..capture import check_input
from ..device import computing_beside
from ..tensor import Tensor, as_tensor

Result = TypeVar("Result")


def is_plain(value: Any) -> bool:
    """Whether it is made of ints, strings, None and tuples alone, so that a cache can tell it from others: to a cache
    True and 1.0 are the same as 1."""
    kind = type(value)
    return kind is int or kind is str or value is None or (kind is tuple and all(map(is_plain, value)))


def remembered(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function, which keeps its results for plain arguments: it is asked the same in each step of a training."""
    kept = lru_cache(maxsize=1024)(function)

    @wraps(function)
    def call(*arguments: Any) -> Result:
        return (kept if is_plain(arguments) else function)(*arguments)

    return call


def normalize_axis(axis: int, ndim: int, argument: str = "axis") -> int:
    """An axis counted from the front. Raises ValueError outside −ndim … ndim − 1, TypeError if it is not an int."""
    try:
        position = operator.index(axis)
    except TypeError:
        raise TypeError(f"{argument} must be an int, not {axis!r}") from None
    if not -ndim <= position < ndim:
        raise ValueError(f"{argument} = {axis} is out of range for {ndim} dimensions")
    return position % ndim


def normalize_axes(axis: int | Sequence[int] | None, ndim: int, argument: str = "axis") -> tuple[int, ...]:
    """Axes counted from the front, in the order given; None is all of them. Raises ValueError for a repeated one."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, Sequence):
        return (normalize_axis(axis, ndim, argument),)
    axes = tuple([normalize_axis(a, ndim, argument) for a in axis])
    if len(set(axes)) != len(axes):
        raise ValueError(f"{argument} = {axis} names an axis twice")
    return axes


def as_floating(x: Any) -> Tensor:
    """As a tensor of a floating type: integers and booleans become float32."""
    x = as_tensor(x)
    return x if is_floating(x.array.dtype) else as_tensor(x, np.float32)


def floating(function: str, **arguments: Any) -> list[Any]:
    """The arguments as tensors (None stays None), for a function that computes in one floating type.

    Raises TypeError if one is neither float32 nor float64, or if they differ in type.
    """
    return _floating(function, arguments, halves=False)


def floating_or_half(function: str, **arguments: Any) -> list[Any]:
    """The same for a function whose kernels on a GPU also take numbers that are stored as float16 or bfloat16."""
    return _floating(function, arguments, halves=True)


def _floating(function: str, arguments: dict[str, Any], halves: bool) -> list[Any]:
    tensors = {name: None if value is None else as_tensor(value) for name, value in arguments.items()}
    first = None
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        dtype = tensor.array.dtype
        if dtype != np.float32 and dtype != np.float64:
            if not halves or not is_half(dtype):
                raise TypeError(f"{function}: {name} must be float32 or float64, not {dtype}; convert it with .astype")
            if isinstance(tensor.array, np.ndarray):
                raise TypeError(
                    f"{function}: in main memory {name} must be float32 or float64, not {dtype}; convert it with "
                    '.astype, or move it to a GPU with .to("cuda")'
                )
        if first is None:
            first = name, dtype
        elif dtype != first[1]:
            raise TypeError(
                f"{function}: {name} is {dtype} but {first[0]} is {first[1]}; convert one of them with .astype"
            )
    return list(tensors.values())


def require_shape(function: str, argument: str, tensor: Tensor | None, shape: tuple[int, ...], why: str) -> None:
    """Raise ValueError unless a tensor (None passes) has this shape."""
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{function}: {argument} has shape {tensor.shape}, expected {shape}: {why}")


def constant_array(value: Any) -> Any:
    """The array of an argument through which no gradient flows: labels, indices, masks."""
    return as_tensor(value).array


def integer_array(function: str, argument: str, value: Any) -> Any:
    """The array of an argument that must hold integers. Raises TypeError if it does not."""
    array = constant_array(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{function}: {argument} must hold integers, not {array.dtype}")
    return array


def require_in_range(function: str, argument: str, values: Any, size: int, what: str) -> None:
    """Raise ValueError, with the first offender and its position, unless all values are in 0 … size − 1."""
    if check_input(values, lambda host: require_in_range(function, argument, host, size, what)):
        return
    with computing_beside(values):
        if values.size and (int(values.min()) < 0 or int(values.max()) >= size):
            wrong = (values < 0) | (values >= size)
            position = tuple(int(i[0]) for i in wrong.nonzero())
            at = position[0] if len(position) == 1 else position
            raise ValueError(
                f"{function}: {argument} at position {at} is {int(values[position])}, "
                f"but there are {size} {what}: expected 0 to {size - 1}"
            )
