"""Memory that is never clean: arrays allocated without being filled hold a chosen byte, so what reads them shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np

from tomograd.kernels import memory

NAN, ZERO, HUGE = 0xFF, 0x00, 0x7F  # as floats NaN, 0, and 3e38 (float32) or 1e306 (float64)
CONTENTS = NAN, ZERO, HUGE


@contextmanager
def dirty_memory(content: int) -> Iterator[None]:
    """Within it, `kernels.memory.empty` and `np.empty` of the whole process give arrays of this byte."""
    allocate, empty = memory._allocate, np.empty

    def allocate_dirty(shape, dtype):
        array, _ = allocate(shape, dtype)
        return _soil(array, content), False

    def empty_dirty(*arguments, **options):
        return _soil(empty(*arguments, **options), content)

    with mock.patch.object(memory, "_allocate", allocate_dirty), mock.patch.object(np, "empty", empty_dirty):
        yield


def _soil(array: np.ndarray, content: int) -> np.ndarray:
    if array.size and array.dtype.kind in memory.NUMBERS and array.flags.c_contiguous:
        array.reshape(-1).view(np.uint8)[...] = content
    return array
