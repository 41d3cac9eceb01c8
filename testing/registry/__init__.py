"""The registry: every function of `tomograd.functional`, as data.

    from tomograd.testing import registry

    registry.ENTRIES            # name → Entry: samples, error inputs, kinks, backends, derivatives
    registry.entry("max_pool")

Tests, the table of functions in the documentation and `tomograd check` are generated from it; a function that is
missing from it fails the tests. One module for each family of functions.
"""

from __future__ import annotations

from itertools import chain

from . import (
    activations,
    arithmetic,
    attention,
    convolution,
    dropout_and_embedding,
    elementwise,
    indexing,
    linear_algebra,
    losses,
    normalization,
    pooling,
    rarer_activations,
    recurrence,
    reductions,
    resizing,
    shaping,
)
from .entries import Entry, Error, Expression, Kink, Sample

__all__ = ["ENTRIES", "FAMILIES", "Entry", "Error", "Expression", "Kink", "Sample", "entry"]

FAMILIES: dict[str, list[Entry]] = {
    module.__name__.rpartition(".")[2].replace("_", " "): module.ENTRIES
    for module in (
        arithmetic,
        elementwise,
        reductions,
        shaping,
        indexing,
        linear_algebra,
        activations,
        rarer_activations,
        attention,
        convolution,
        pooling,
        resizing,
        normalization,
        recurrence,
        losses,
        dropout_and_embedding,
    )
}

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in chain.from_iterable(FAMILIES.values())}


def entry(name: str) -> Entry:
    """What is known of a function. Raises KeyError, naming similar ones, for one that is not in the registry."""
    if name not in ENTRIES:
        similar = [known for known in ENTRIES if name.lower() in known or known in name.lower()]
        hint = f"; similar: {', '.join(similar)}" if similar else ""
        raise KeyError(f"no function {name!r} in the registry{hint}")
    return ENTRIES[name]
