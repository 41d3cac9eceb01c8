"""Names that layers and models get by themselves: "conv2d", "conv2d_1", …"""

from __future__ import annotations

import re

__all__ = ["auto_name", "reset_names"]

_names_given: dict[str, int] = {}


def auto_name(class_name: str) -> str:
    """The next free name for an object of this class: "conv2d", "conv2d_1", … for Conv2D."""
    stem = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name.lstrip("_"))
    stem = re.sub("([a-z])([A-Z])", r"\1_\2", stem).lower()
    count = _names_given.get(stem, 0)
    _names_given[stem] = count + 1
    return f"{stem}_{count}" if count else stem


def reset_names() -> None:
    """Start the counters of `auto_name` again, as for a new program."""
    _names_given.clear()
