"""Mutants that may live, of reference kernels, geometry and memory: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = []
