"""The sum of two arrays on all threads: what adds up the gradients that meet at a skip connection."""

import numpy as np

from ..interface import twin_of
from ..memory import empty
from ..reference import arithmetic as reference
from .channels import strip_of
from .launch import kernel, run, unpack
from .simd import lanes, load, load_part, store, store_part

SMALL = 16384  # elements: up to here NumPy is done before a kernel is launched


@kernel
def _add(begin, end, arguments):
    # Explicit vectors: where an argument is the destination too, LLVM's test for overlap would choose the scalar loop.
    strip, x, y, z = unpack(arguments)
    whole = end - (end - begin) % lanes(strip)
    for i in range(begin, whole, lanes(strip)):
        store(z, i, load(strip, x, i) + load(strip, y, i))
    if whole < end:
        total = load_part(strip, x, whole, end - whole) + load_part(strip, y, whole, end - whole)
        store_part(z, whole, total, end - whole)


@twin_of(reference.add)
def add(x: np.ndarray, y: np.ndarray, destination: np.ndarray | None = None) -> np.ndarray:
    if destination is None:
        destination = empty(x.shape, x.dtype)
    if x.size < SMALL or not all(_fits(array) for array in (x, y, destination)):
        return np.add(x, y, out=destination)
    run(_add, x.size, SMALL, strip_of(x.dtype), x, y, destination)
    return destination


def _fits(array: np.ndarray) -> bool:
    return array.dtype.char in "fd" and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned
