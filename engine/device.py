"""Where arrays live: in main memory ("cpu") or on a GPU ("cuda", "cuda:1"); how they get there; where weights are made.

CuPy is imported when something is first moved to a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np

Array = Any  # of NumPy, or of CuPy on a GPU

_NOTHING: AbstractContextManager[Any] = nullcontext()
_weights_on: ContextVar[str | None] = ContextVar("where weights are made", default=None)


class DeviceError(RuntimeError):
    """A GPU that is not there, or whose driver does not work."""


def device_of(array: Array) -> str:
    """ "cpu", or "cuda:0" and so on."""
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"


def checked(device: Any) -> str:
    """The device itself. Raises ValueError unless it is "cpu", "cuda" or "cuda:N"."""
    known = isinstance(device, str) and (
        device in ("cpu", "cuda") or (device.startswith("cuda:") and device[5:].isdigit())
    )
    if not known:
        raise ValueError(f'device = {device!r}: expected "cpu", "cuda" or "cuda:N"')
    return device


def is_on(array: Array, device: str) -> bool:
    """Whether an array lies on a device; "cuda" is any GPU."""
    place = device_of(array)
    return place == device or (device == "cuda" and place != "cpu")


def computing_beside(array: Array) -> AbstractContextManager[Any]:
    """Within the `with` block the GPU on which an array lies is the current one, where CuPy computes and makes arrays;
    nothing for one in main memory."""
    return _NOTHING if isinstance(array, np.ndarray | np.generic) else array.device


def computing_on(device: str | None) -> AbstractContextManager[Any]:
    """The same for a device; "cuda" is the current one. Raises as `move`."""
    if device is None or ":" not in device:
        return _NOTHING
    cupy = gpu_library(device)
    return cupy.cuda.Device(number_of(device, cupy))


def move(array: Array, device: str) -> Array:
    """The array on a device, itself if it is there already.

    Raises ImportError if CuPy is missing, DeviceError if there is no such GPU or the driver does not work, and
    MemoryError if the GPU has no room for it.
    """
    if is_on(array, checked(device)):
        return array
    if device == "cpu":
        return array.get()
    cupy = gpu_library(device)
    with cupy.cuda.Device(number_of(device, cupy)):
        try:
            return cupy.asarray(array)
        except MemoryError as error:
            say_how_full(error, f"copying an array of shape {array.shape}, {array.nbytes:,} bytes")
            raise


def say_how_full(error: MemoryError, what: str) -> None:
    """Where it is CuPy's: raise a MemoryError that says what was to be done, and how full the GPU is. Those of main
    memory and of our kernels say the sizes themselves."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(error, cupy.cuda.memory.OutOfMemoryError):
        from ..kernels.cuda.shortage import how_full

        raise MemoryError(f"{what}: the GPU has no room for it. {error} {how_full(cupy)}") from error


def gpu_library(device: str = "cuda") -> Any:
    """The module cupy. Raises ImportError if it is missing, DeviceError if it finds no such GPU."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f'device "{device}" needs CuPy: pip install "tomograd[cuda]" (CUDA 13) or "tomograd[cuda12]" (CUDA 12); '
            f"importing it says: {error}"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:  # cudaErrorNoDevice, cudaErrorInsufficientDriver, …
        raise DeviceError(f'device "{device}" cannot be used, the CUDA driver says: {error}') from error
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        raise DeviceError(f'there is no device "{device}": this machine has {count} GPU{"" if count == 1 else "s"}')
    return cupy


def number_of(device: str, cupy: Any) -> int:
    """The GPU's number; that of "cuda" is the current one's."""
    return int(device.partition(":")[2] or cupy.cuda.Device().id)


@contextmanager
def weights_on(device: str) -> Iterator[None]:
    """Within the `with` block, and this thread, new weights are made on this device."""
    token = _weights_on.set(device)
    try:
        yield
    finally:
        _weights_on.reset(token)


def device_of_weights() -> str | None:
    """Where new weights are made; None: where their values are."""
    return _weights_on.get()
