"""How full a GPU is, in words, for the errors of those who found no room on it."""

from __future__ import annotations

from typing import Any


def how_full(cupy: Any) -> str:
    """What of the current device's memory is free, and what arrays of this process hold of it."""
    free, total = cupy.cuda.runtime.memGetInfo()
    held = cupy.get_default_memory_pool().used_bytes()
    return f"{free:,} of its {total:,} bytes are free, arrays of this process hold {held:,}; use a smaller batch"
