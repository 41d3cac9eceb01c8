"""Mutants that may live, of reductions, losses, normalisation and products: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = []
