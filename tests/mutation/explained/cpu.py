"""Mutants that may live, of the CPU's kernels: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = []
