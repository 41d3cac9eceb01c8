"""Mutants that may live, of reductions, losses, products, …: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = []
