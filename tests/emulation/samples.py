"""The samples of CUDA kernels that show what the emulation does, run as kernels are.

Run as a program, it launches one sample that may read or write where it must not: `python samples.py FOLDER read 8`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import emulated
import numpy as np

from tomograd.kernels.cuda import launching, runtime
from tomograd.kernels.cuda.functions import Source

NAMES = ("count", "read", "write", "read_shared", "read_pack", "found", "some_wait", "dead_lock", "shuffle", "sums")
SOURCE = Source(
    "samples/samples.cu",
    reverse=("false", "true"),
    product_and_sum=("float", "double"),
    **dict.fromkeys(NAMES, ("int",)),
)


@contextmanager
def sample_sources(cache: Path) -> Iterator[None]:
    """Within the `with` block the emulation knows the samples, and keeps what it builds in `cache`."""
    before = emulated.sources, emulated._folder
    emulated.sources, emulated._folder = lambda: {SOURCE.file: list(SOURCE)}, lambda: cache
    emulated.built.cache_clear()
    try:
        yield
    finally:
        emulated.sources, emulated._folder = before
        emulated.built.cache_clear()


def launch(name, *arguments, grid=1, block=1, shared=0, order=None, argument="int"):
    """Run a sample: int arguments are ints of 32 bits."""
    grid, block = ((*size, 1, 1)[:3] if isinstance(size, tuple) else (size, 1, 1) for size in (grid, block))
    arguments = tuple(ctypes.c_int(each) if isinstance(each, int) else each for each in arguments)
    with runtime.use(emulated.Emulated(order)):
        launching.launch_blocks(SOURCE(name, argument), arguments, grid, block, shared)


def main() -> None:
    _, cache, name, place = sys.argv
    x, y, place = np.zeros(8, np.int32), np.zeros(1, np.int32), ctypes.c_longlong(int(place))
    arguments = {"read": (x, y, place), "write": (x, place), "read_shared": (y, place)}
    arguments["read_pack"] = arguments["read"]
    with sample_sources(Path(cache)):
        launch(name, *arguments[name], shared=8 * x.itemsize)
    print("nothing was noticed")


if __name__ == "__main__":
    main()
