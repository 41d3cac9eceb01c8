"""A backend of CuPy's arrays for callers that have NumPy's: arguments go to the GPU with their strides, and results and
what was written in place come back."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import cupy
import numpy as np


class OnGPU:
    """The functions of a backend, for NumPy's arrays."""

    def __init__(self, backend: ModuleType):
        self.backend = backend

    def __getattr__(self, name: str) -> Callable:
        function = getattr(self.backend, name)

        def call(*arguments: Any, **options: Any) -> Any:
            moved: list[tuple[np.ndarray, cupy.ndarray]] = []
            result = function(
                *[_to_gpu(each, moved) for each in arguments],
                **{name: _to_gpu(each, moved) for name, each in options.items()},
            )
            for host, device in moved:
                if host.flags.writeable:
                    host[...] = cupy.asnumpy(device)
            return _to_host(result, moved)

        return call


def _to_gpu(value: Any, moved: list) -> Any:
    if isinstance(value, np.ndarray):
        device = _with_strides(value)
        moved.append((value, device))
        return device
    if isinstance(value, list | tuple):
        return type(value)(_to_gpu(each, moved) for each in value)
    return value


def _with_strides(array: np.ndarray) -> cupy.ndarray:
    """The array on the GPU, its elements as far apart as they are here."""
    extents = (
        [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)] if array.size else []
    )
    before = -sum(extent for extent in extents if extent < 0)
    after = sum(extent for extent in extents if extent > 0)
    memory = cupy.zeros(before + after + array.itemsize, np.uint8)
    device = cupy.ndarray(array.shape, array.dtype, memory.data + before, strides=array.strides)
    if 0 not in array.strides:  # else elements share a place: the bytes of one of each are enough
        device[...] = cupy.asarray(np.array(array, order="C"))
    elif array.size:
        once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)
        device[once] = cupy.asarray(np.array(array[once], order="C"))
    return device


def _to_host(value: Any, moved: list) -> Any:
    for host, device in moved:
        if value is device:
            return host
    if isinstance(value, cupy.ndarray):
        return cupy.asnumpy(value)
    if isinstance(value, list | tuple):
        return type(value)(_to_host(each, moved) for each in value)
    return value
