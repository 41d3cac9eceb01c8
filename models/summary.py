"""The table of a model's layers: output shapes and numbers of parameters."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

from ..engine.layers.base import Layer

if TYPE_CHECKING:
    from .model import Model


def summarize(model: Model, line_length: int | None = None) -> list[str]:
    """The lines of the table. Raises ValueError for a model that is not built."""
    if not model.built:
        raise ValueError(f"{model.name} is not built yet: call it on an input, or build(input_shape), first")
    width = line_length or min(shutil.get_terminal_size((80, 24)).columns, 100)
    rows = [
        (f"{layer.name} ({type(layer).__name__})", _shape(layer), f"{_parameters(layer):,}") for layer in model.layers
    ]
    headings = ("layer (type)", "output shape", "parameters")
    last = max(len(row[2]) for row in [*rows, headings])
    middle = min(max(len(row[1]) for row in [*rows, headings]), (width - last - 4) // 2)
    first = width - middle - last - 4
    lines = [f"model {model.name!r} ({type(model).__name__})", "─" * width]
    lines += [_row(headings, first, middle, last), "─" * width]
    lines += [_row(row, first, middle, last) for row in rows]
    return [*lines, "─" * width, *_totals(model)]


def _row(cells: tuple[str, str, str], first: int, middle: int, last: int) -> str:
    return f"{_cut(cells[0], first):<{first}}  {_cut(cells[1], middle):<{middle}}  {cells[2]:>{last}}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def _totals(model: Model) -> list[str]:
    lines = []
    for title, weights in (
        ("parameters", model.weights),
        ("trainable", model.trainable_weights),
        ("not trainable", model.non_trainable_weights),
    ):
        count = sum(math.prod(weight.shape) for weight in weights)
        size = sum(math.prod(weight.shape) * weight.dtype.itemsize for weight in weights)
        lines.append(f"{title + ':':<15}{count:>14,}  ({_bytes(size)})")
    return lines


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _parameters(layer: Layer) -> int:
    return sum(math.prod(weight.shape) for weight in layer.weights)


def _shape(layer: Layer) -> str:
    """The shape of the layer's first output on symbols, else what it computes for the input it was built for."""
    if layer.nodes:
        shapes: Any = [symbol.shape for symbol in layer.nodes[0].output_symbols()]
        return str(shapes[0] if len(shapes) == 1 else shapes)
    built = layer._notes.built_shape
    if not isinstance(built, tuple) or any(isinstance(size, tuple) for size in built):
        return "?"
    try:
        return str(layer.compute_output_shape((None, *built[1:])))
    except (NotImplementedError, ValueError):
        return "?"
