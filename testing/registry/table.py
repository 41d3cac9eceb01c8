"""The registry as a page: a table of functions for each family."""

from __future__ import annotations

from collections.abc import Iterator

from . import FAMILIES
from .entries import Entry

INTRODUCTION = """\
# The functions

Every function of `tomograd.functional` (`tg.functional`), as the registry has it (`tomograd.testing.registry`), from
which their tests and `tomograd check` are made as well. Do not edit this page: it is written by

    python -m tomograd.testing.registry > docs/functions.md

- **linear in**: the arguments in each of which the plain call is linear, or affine, while the others are held. There
  central differences are exact, and the gradient is checked up to rounding.
- **gradient at kinks and ties**: what it is where there is no derivative; tested to the last bit. Where nothing is
  said, the function has a derivative wherever it is defined.
- **derivatives**: 2 where gradients of gradients are checked as well. A constant has none.

All compute in float32 and float64, on the backends named at each family.
"""

COLUMNS = ("function", "what it gives", "linear in", "gradient at kinks and ties", "derivatives")


def page() -> str:
    """The text of docs/functions.md."""
    return "\n".join([INTRODUCTION, *[_family(name, entries) for name, entries in FAMILIES.items()]])


def _family(name: str, entries: list[Entry]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, entries)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"## {name.capitalize()}", "", f"Backends: {', '.join(_backends(entries))}.", "", *lines, ""])


def _row(entry: Entry) -> tuple[str, ...]:
    words = dict.fromkeys(kink.words for kink in entry.kinks)  # each once, in their order
    return (
        f"`{entry.signature}`",
        entry.summary.replace("|", "\\|"),
        ", ".join(f"`{name}`" for name in entry.linear_in),
        "; ".join(words).replace("|", "\\|"),
        _derivatives(entry),
    )


def _derivatives(entry: Entry) -> str:
    if entry.constant:
        return f"constant: {entry.constant}"
    return f"1: {entry.once_only}" if entry.once_only else "2"


def _backends(entries: list[Entry]) -> Iterator[str]:
    """The backends that all have; of one that some lack, which have it."""
    for name in dict.fromkeys(backend for entry in entries for backend in entry.backends):
        having = [entry.name for entry in entries if name in entry.backends]
        yield name if len(having) == len(entries) else f"{name} ({', '.join(having)})"
