"""How large the processor's caches are, as far as the system says, and what should be stored past them."""

from functools import cache
from pathlib import Path

import numpy as np

from ..memory import address_of_array
from .simd import level

COMMON_SIZE = 32 * 1024**2  # bytes: assumed where the system does not say
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def _bytes(text: str) -> int:
    """A size as Linux writes it: 32768K."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    return int(number) * _UNITS[unit] if unit in _UNITS else int(text)


@cache
def last_level_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache."""
    sizes = []
    for file in folder.glob("index*/size"):
        try:
            sizes.append(_bytes(file.read_text()))
        except (OSError, ValueError):  # no right to read it, or a form that is not known
            continue
    return max(sizes, default=COMMON_SIZE)


def are_far(size: int) -> bool:
    """True if so many bytes are taken to lie in main memory when they are read next: they take a quarter of the largest
    cache or more, and what else is in use, by others too, takes the rest."""
    return size >= last_level_bytes() // 4


def too_large_for_caches(y: np.ndarray) -> bool:
    """True if y should be stored past the caches: it will not be found there, and begins at a multiple of a vector's
    size."""
    return are_far(y.nbytes) and address_of_array(y) % max(1, level().bytes) == 0
