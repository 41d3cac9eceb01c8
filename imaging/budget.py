"""How much memory a file may unpack to, decided from its header before any memory is taken.

A picture of one colour can be a few kilobytes on disk and gigabytes in memory. Without an explicit budget a file may
unpack to 4 GiB at most, and to more than 256 MiB only if the file itself has a hundredth of that size: real images
compress two- to twentyfold. An explicit `budget` (bytes) replaces both limits.
"""

from __future__ import annotations

from os import PathLike

from .errors import ImagingError

DEFAULT_BUDGET = 4 * 2**30
UNSUSPICIOUS = 256 * 2**20
LARGEST_RATIO = 100


def allowance(file_size: int, budget: int | None) -> int:
    """The bytes that a file of `file_size` bytes may unpack to; `budget` where the caller gave one."""
    if budget is not None:
        return budget
    return min(DEFAULT_BUDGET, max(UNSUSPICIOUS, LARGEST_RATIO * file_size))


def check_budget(path: str | PathLike[str], needed: int, file_size: int, budget: int | None) -> None:
    """Raise ImagingError if unpacking `path` needs more than its allowance; all sizes in bytes."""
    allowed = allowance(file_size, budget)
    if needed > allowed:
        raise ImagingError(
            path,
            f"would take {readable(needed)} of memory, unpacked from {readable(file_size)}, "
            f"more than its budget of {readable(allowed)} (pass budget=BYTES to allow more)",
        )


def readable(size: int) -> str:
    """A number of bytes as a person writes it: 812 bytes, 1.5 MiB."""
    if size < 1024:
        return f"{size} bytes"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} PiB"
