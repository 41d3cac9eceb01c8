"""The sum of two arrays on all threads: what adds up the gradients that meet at a skip connection."""

import numpy as np

from ..interface import twin_of
from ..memory import empty
from ..reference import arithmetic as reference
from .bodies import kernel, unpack, value
from .channels import strip_of
from .launch import run, threads
from .simd import finish_streams, lanes, load, load_part, store_part
from .streams import THROUGH_CACHES, past_caches, put

SMALL = 512 * 1024  # bytes of an array: below, NumPy is done on one thread before a second one has been launched
CHUNK = 1024  # elements that a part is a multiple of


@kernel
def _add(begin, end, arguments):
    # Explicit vectors: where an argument is the destination too, LLVM's test for overlap would choose the scalar loop.
    strip, past, size, x, y, z = unpack(arguments)
    i, stop = begin * CHUNK, min(end * CHUNK, size)
    while i + lanes(strip) <= stop:
        put(past, z, i, load(strip, x, i) + load(strip, y, i))
        i += lanes(strip)
    if i < stop:
        store_part(z, i, load_part(strip, x, i, stop - i) + load_part(strip, y, i, stop - i), stop - i)
    if value(past):
        finish_streams()


@twin_of(reference.add)
def add(x: np.ndarray, y: np.ndarray, destination: np.ndarray | None = None) -> np.ndarray:
    past = THROUGH_CACHES  # what lies in place of an argument has just been read
    if destination is None:
        destination = empty(x.shape, x.dtype)
        past = past_caches(destination, x, y)
    if x.nbytes < SMALL or threads() == 1 or not all(_fits(array) for array in (x, y, destination)):
        return np.add(x, y, out=destination)
    grain = SMALL // (2 * CHUNK * x.itemsize)
    run(_add, -(-x.size // CHUNK), grain, strip_of(x.dtype), past, x.size, x, y, destination)
    return destination


def _fits(array: np.ndarray) -> bool:
    return array.dtype.char in "fd" and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned
