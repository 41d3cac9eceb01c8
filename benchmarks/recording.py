"""What a CUDA kernel's launcher would launch, found out without a GPU: the launchers run, and their launches are noted.

Arrays are NumPy's of which no number is ever touched, so that sizes cost nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any
from unittest import mock

import numpy as np

import tomograd.kernels.cuda as cuda
from tomograd import kernels
from tomograd.kernels.cuda import runtime
from tomograd.kernels.cuda.correlation import Correlation
from tomograd.kernels.cuda.functions import Function

PROCESSORS, THREADS_OF_ONE = 132, 2048  # of an H100: what a grid is cut to where threads go on to the next item


@dataclass(frozen=True)
class Launch:
    """One launch: the instance, its blocks, threads of a block, shared memory of a block, and whole-number arguments
    (those of its structures by name; "phases" are those of a convolution's sums)."""

    function: Function
    blocks: int
    threads: int
    shared: int
    numbers: tuple[int, ...]
    fields: dict[str, int] = field(hash=False)

    @property
    def kernel(self) -> str:
        """Its name without template arguments."""
        return self.function.expression.partition("<")[0]

    @property
    def arguments(self) -> list[str]:
        """Its template arguments; a tile's own follow in the place of the tile."""
        inside = self.function.expression.partition("<")[2].removesuffix(">")
        return [part.strip() for part in inside.replace("RegisterTile<", "").replace(">", "").split(",")]


@dataclass
class Recorder:
    """A runtime (see kernels/cuda/runtime.py) that notes what is asked of it."""

    launches: list[Launch] = field(default_factory=list)
    allocated: int = 0  # bytes

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        array = np.empty(shape, dtype)
        self.allocated += array.nbytes
        return array

    def address(self, array: np.ndarray) -> int:
        return 0  # as aligned as the arrays of a GPU

    def launch(self, function: Function, grid: Any, block: Any, shared: int, arguments: Sequence[Any]) -> None:
        numbers = tuple(each.value for each in arguments if isinstance(each, ctypes.c_longlong))
        fields = {
            name: getattr(each, name)
            for each in arguments
            if isinstance(each, ctypes.Structure)
            for name, kind, *_ in each._fields_
            if kind in (ctypes.c_longlong, ctypes.c_int, ctypes.c_bool)
        }
        for each in arguments:
            if isinstance(each, Correlation):
                fields["phases"] = prod(each.phases)
        self.launches.append(Launch(function, prod(grid), prod(block), shared, numbers, fields))

    def resident_blocks(self, function: Function, threads: int, shared: int) -> int:
        return PROCESSORS * (THREADS_OF_ONE // threads)

    def host(self, array: np.ndarray) -> np.ndarray:
        raise RuntimeError("nothing is computed here")


@contextmanager
def recording() -> Iterator[Recorder]:
    """Within it NumPy's arrays are the GPU's, and launches are noted."""
    recorder = Recorder()
    with runtime.use(recorder), mock.patch.object(kernels, "of", lambda *arrays: cuda):
        yield recorder


def launches_of(make: Callable[[], Callable[[], Any]], precision: str = "float32") -> tuple[list[Launch], int]:
    """(what make()() launches, bytes of the arrays that it makes)."""
    with recording() as recorder, kernels.precision(precision):
        make()()
    return recorder.launches, recorder.allocated
