"""Results that repeat bit for bit: the same on the GPU every time, and the same under emulation in whatever order a
block's threads run and however many blocks the device holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from tomograd.kernels.cuda import runtime


def require_the_same_bits(run: Callable[[], tuple[np.ndarray, ...]], on_gpu: bool) -> None:
    """`run` several times, in several ways, and compare."""
    results = []
    for place in _places(on_gpu):
        with place:
            results.append(run())
    for other in results[1:]:
        for mine, its in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, its)


def _places(on_gpu: bool):
    if on_gpu:
        return [nullcontext() for _ in range(4)]
    from emulated import Emulated

    return [runtime.use(Emulated(order, blocks)) for order, blocks in ((0, 3), (1, 1), (2, 7), (3, 1000))]
