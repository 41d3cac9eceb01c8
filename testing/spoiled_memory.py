"""Memory full of rubbish for functions to compute in: what they forget to write shows."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..kernels import memory

RUBBISH = (0x55, 0xFF)  # 1.2e103 (1.5e13 in float32), and NaN: bytes that differ, of numbers that stand out
COPIES = 7  # NumPy keeps as many freed blocks of each small size


class _SpoiledRoom(memory.Room):
    """Memory of which each block is full of one byte when it is handed out."""

    def __init__(self, byte: int) -> None:
        super().__init__()
        self._byte = byte

    def take(self, size: int) -> tuple[Any, bool]:
        block, _ = super().take(size)
        ctypes.memset(block.address, self._byte, block.capacity)
        return block, False


@contextmanager
def spoiled_memory(byte: int = RUBBISH[-1], like: Sequence[np.ndarray] = ()) -> Iterator[None]:
    """Within it, uninitialised arrays of this thread are full of one byte: those of tomograd's kernels
    (`kernels.memory`) surely, NumPy's own as far as they have the sizes of the arrays `like`."""
    for array in like:
        _spoil_freed(array, byte)
    with memory.within(_SpoiledRoom(byte)):
        yield


def _spoil_freed(array: np.ndarray, byte: int) -> None:
    """Fill what NumPy will probably hand out next for an array of this size."""
    taken = [np.empty(array.shape, array.dtype) for _ in range(COPIES)]
    for one in taken:
        one.reshape(-1).view(np.uint8)[...] = byte
