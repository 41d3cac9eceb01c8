"""Mutants that may live, of the CPU's kernels: module, statement before, statements after, why."""

from __future__ import annotations

ENTRIES: list[tuple[str, str, tuple[str, ...], str]] = [
    (
        "kernels.cpu.arithmetic",
        "grain = SMALL // (2 * CHUNK * x.itemsize)",
        ("grain = SMALL // (3 * CHUNK * x.itemsize)",),
        "Only how much work a thread is given at once.",
    ),
    (
        "kernels.cpu.arithmetic",
        "SMALL = 512 * 1024",
        ("SMALL = 511 * 1024",),
        "Only from where on threads are faster than NumPy; the sums are the same.",
    ),
    (
        "kernels.cpu.elementwise",
        "i, stop = (begin * CHUNK, min(end * CHUNK, size))",
        ("i, stop = (begin * CHUNK, min(size, end * CHUNK))",),
        "The smaller of two whole numbers is the same in either order.",
    ),
]
