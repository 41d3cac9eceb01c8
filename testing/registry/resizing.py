"""Resizing of images."""

from __future__ import annotations

from .entries import Entry, error, sample
from .values import normal

ENTRIES = [
    Entry(
        "resize",
        samples=(
            sample("resize(x, (3, 5))", x=normal(1, 2, 3, 2), linear="x"),
            sample("resize(x, (2, 2), 'nearest')", x=normal(1, 3, 3, 1), linear="x"),
            sample("resize(x, 3)", x=normal(2, 2, 1), linear="x"),
            sample("resize(x, (1, 3, 2))", x=normal(1, 2, 2, 1, 1), linear="x"),
        ),
        errors=(
            error("resize(IMAGE, 0)", ValueError, "size = 0"),
            error("resize(IMAGE, 2, 'cubic')", ValueError, "method = 'cubic': expected one of 'nearest', 'bilinear'"),
            error("resize(IMAGE[:, :0], 2)", ValueError, "there are no pixels to resize"),
            error("resize(IMAGE[:, :, :0], 2)", ValueError, "there are no pixels to resize"),
        ),
    ),
]
