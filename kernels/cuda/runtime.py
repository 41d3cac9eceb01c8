"""Where CUDA kernels run: on the GPU through CuPy, or where the tests have put another runtime in its place.

A launcher is written once: it asks `current()` for memory and for launches, and touches an array only by its shape,
type, strides and address. On a machine without a GPU, tests set a runtime that executes the same sources on the CPU
(`use`); users never need to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from .functions import Function

Array = Any  # of the runtime: CuPy's, or NumPy's under emulation
Dimensions = tuple[int, int, int]


class Runtime(Protocol):
    """What a launcher needs of the place where kernels run."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """An array in C order, its contents undefined. Raises MemoryError with the sizes when there is no room."""

    def address(self, array: Array) -> int:
        """Where the first element of an array lies on the device."""

    def launch(
        self, function: Function, grid: Dimensions, block: Dimensions, shared: int, arguments: Sequence[Any]
    ) -> None:
        """Queue a kernel: `shared` bytes of shared memory for each block, arguments as ctypes' values."""

    def resident_blocks(self, function: Function, threads: int, shared: int) -> int:
        """How many blocks of that many threads the whole device holds at a time."""

    def host(self, array: Array) -> np.ndarray:
        """A copy of an array in main memory, when all kernels before have ended."""


_current: Runtime | None = None


def current() -> Runtime:
    """The runtime in force: CuPy's, unless `use` has set another."""
    global _current
    if _current is None:
        from .device import Device

        _current = Device()
    return _current


@contextmanager
def use(runtime: Runtime) -> Iterator[Runtime]:
    """Within the `with` block every launch of the whole process goes to `runtime`."""
    global _current
    before, _current = _current, runtime
    try:
        yield runtime
    finally:
        _current = before


def as_argument(value: Any) -> Any:
    """A kernel's argument as ctypes has it: an array by its address (None: a null pointer), an int by 64 bits, a float
    by 64 bits; ctypes' values (a structure, a c_float) as they are."""
    if value is None:
        return ctypes.c_void_p(0)
    if isinstance(value, bool):
        return ctypes.c_bool(value)
    if isinstance(value, int | np.integer):
        return ctypes.c_longlong(int(value))
    if isinstance(value, float):
        return ctypes.c_double(value)
    if isinstance(value, ctypes._SimpleCData | ctypes.Structure | ctypes.Array):
        return value
    return ctypes.c_void_p(current().address(value))
