"""The GPU, through CuPy: kernels compiled by NVRTC when they are first launched, memory from CuPy's pool, launches on
CuPy's current stream."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np
from cupy.cuda import driver

from .functions import FOLDER, OPTIONS, Function
from .runtime import Array, Dimensions
from .shortage import how_full

SHARED_WITHOUT_ASKING = 48 * 1024  # bytes of dynamic shared memory that a block gets as it is


class Device:
    """The runtime of kernels on CuPy's current device."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        try:
            return cupy.empty(shape, dtype)
        except cupy.cuda.memory.OutOfMemoryError as error:
            wanted = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            raise MemoryError(
                f"the GPU has no room for an array of shape {tuple(shape)}, {wanted:,} bytes: {how_full(cupy)}"
            ) from error

    def address(self, array: Array) -> int:
        if array.size and array.data.device_id != cupy.cuda.runtime.getDevice():
            raise RuntimeError(
                f"an array of shape {array.shape} lies on GPU {array.data.device_id}, and GPU "
                f"{cupy.cuda.runtime.getDevice()} is the current one: compute within `with array.device:`"
            )
        return array.data.ptr

    def launch(
        self, function: Function, grid: Dimensions, block: Dimensions, shared: int, arguments: Sequence[Any]
    ) -> None:
        _enter_context()
        kernel = _kernel(function, cupy.cuda.Device().id)
        if shared > SHARED_WITHOUT_ASKING:
            kernel.max_dynamic_shared_size_bytes = shared
        places = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(each) for each in arguments])
        stream = cupy.cuda.get_current_stream().ptr
        driver.launchKernel(kernel.kernel.ptr, *grid, *block, shared, stream, ctypes.addressof(places), 0)

    def resident_blocks(self, function: Function, threads: int, shared: int) -> int:
        return _resident_blocks(function, threads, shared, cupy.cuda.Device().id)

    def host(self, array: Array) -> np.ndarray:
        return cupy.asnumpy(array)


def compile(function: Function) -> None:
    """Compile a function for the current device, if CuPy does not have it on disk."""
    _kernel(function, cupy.cuda.Device().id)


_of_thread = threading.local()


def _enter_context() -> None:
    """Make the device's context this thread's: the driver's own calls need it, and CuPy's arrays may have come from
    another thread."""
    if not getattr(_of_thread, "entered", False):
        cupy.cuda.Device().use()
        _of_thread.entered = True


@cache
def _kernel(function: Function, device: int) -> Any:
    """The compiled kernel of a function on a device. CuPy keeps the machine code on disk, and has the compiler take
    float32 numbers below 2⁻¹²⁶ as zeros, as in its own kernels."""
    code, options = function.path.read_text(encoding="utf-8"), (*OPTIONS, f"-DTOMOGRAD_SOURCES=h{_hash_of_headers()}")
    module = cupy.RawModule(code=code, options=options, name_expressions=(function.expression,))
    return module.get_function(function.expression)


@cache
def _hash_of_headers() -> str:
    """A hash of what the sources include, so that no machine code is older than a header."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.cuh")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


@cache
def _resident_blocks(function: Function, threads: int, shared: int, device: int) -> int:
    kernel = _kernel(function, device)
    if shared > SHARED_WITHOUT_ASKING:
        kernel.max_dynamic_shared_size_bytes = shared
    of_each = driver.occupancyMaxActiveBlocksPerMultiprocessor(kernel.kernel.ptr, threads, shared)
    processors = cupy.cuda.Device(device).attributes["MultiProcessorCount"]
    return max(1, of_each) * processors
