"""The table of a model's layers, as Keras draws it: output shapes, numbers of parameters, what is connected to what."""

from __future__ import annotations

import io
import math
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..engine.layers.base import Layer
from ..engine.layers.symbolic import Node

if TYPE_CHECKING:
    from .model import Model

NARROWEST = 4  # characters of a column


def summarize(
    model: Model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> list[str]:
    """The lines of the table; see `Model.summary`.

    Raises ValueError for a model that is not built, columns that are too narrow or not as many as there are positions,
    and a layer_range that is no pair of names or in which one matches no layer.
    """
    if not model.built:
        raise ValueError(f"{model.name} is not built yet: call it on an input, or build(input_shape), first")
    nodes = {id(node) for node in graph_nodes(model)}
    row_only = is_row(model)
    headings = ["Layer (type)", "Output Shape", "Param #"] + ([] if row_only else ["Connected to"])
    ends = list(positions or ([0.45, 0.80, 1.0] if row_only else [0.3, 0.56, 0.74, 1.0]))
    width = 88 if row_only else 108
    if show_trainable:
        headings, width = [*headings, "Trainable"], width + 12
        ends = ends if positions else [0.9 * end for end in ends] + [1.0]
    width = line_length or min(width, shutil.get_terminal_size((120, 24)).columns - 4)
    rows = []
    for level, layer in _shown(model, expand_nested, layer_range):
        row = [_title(layer, level), _shape(layer), _parameters(layer)]
        row += [] if row_only else [connections(layer, nodes)]
        rows.append(row + ([_trainable(layer)] if show_trainable else []))
    table = _table(headings, rows, _widths(ends, width, len(headings)), width)
    return [f'Model: "{model.name}"', *table, *_totals(model)]


def _widths(ends: Sequence[float], width: int, columns: int) -> list[int]:
    """The columns' widths; ends: shares of the line, or (where the last is above 1) characters."""
    if len(ends) != columns:
        raise ValueError(f"summary: positions: expected {columns} ends of columns, got {len(ends)}")
    if ends[-1] > 1:
        ends = [end / width for end in ends]
    marks = [0, *(int(end * width) for end in ends)]
    widths = [right - left for left, right in pairwise(marks)]
    if min(widths) < NARROWEST:
        raise ValueError(f"summary: a column of {min(widths)} characters is too narrow: give a larger line_length")
    return widths


def _table(headings: list[str], rows: list[list[str]], widths: list[int], width: int) -> list[str]:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    sides = {"Param #": "right", "Trainable": "center"}
    columns = [
        Column(Text(heading), justify=sides.get(heading, "left"), width=width, overflow="fold")  # type: ignore[arg-type]
        for heading, width in zip(headings, widths, strict=True)
    ]
    table = Table(*columns, width=width, show_lines=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def _shown(model: Model, nested: bool, layer_range: Sequence[str] | None) -> Iterator[tuple[int, Layer]]:
    """(depth, layer) of the rows."""
    for layer in _chosen(model.layers, layer_range):
        stack = [(0, layer)]
        while stack:
            level, one = stack.pop()
            yield level, one
            if nested and is_model(one):
                stack += [(level + 1, inner) for inner in reversed(one.layers)]


def _chosen(layers: list[Layer], layer_range: Sequence[str] | None) -> list[Layer]:
    if layer_range is None:
        return layers
    if not isinstance(layer_range, (list, tuple)) or [type(name) for name in layer_range] != [str, str]:
        raise ValueError(f"summary: layer_range: expected the names of the first and the last layer, not {layer_range}")
    places = [[place for place, layer in enumerate(layers) if re.match(name, layer.name)] for name in layer_range]
    if not all(places):
        known = ", ".join(layer.name for layer in layers)
        raise ValueError(f"summary: layer_range {list(layer_range)} matches none of the layers {known}")
    first, last = sorted([min(places[0]), max(places[1])])
    return layers[first : last + 1]


def _totals(model: Model) -> list[str]:
    weights: dict[str, list[Any]] = {
        "Total": model.weights,
        "Trainable": model.trainable_weights,
        "Non-trainable": model.non_trainable_weights,
    }
    if model.optimizer is not None and model.optimizer.built:
        weights["Optimizer"] = model.optimizer.arrays()
    lines = []
    for title, arrays in weights.items():
        count = sum(math.prod(array.shape) for array in arrays)
        size = sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays)
        lines.append(f" {title} params: {count:,} ({_bytes(size)})")
    return lines


def _bytes(size: float) -> str:
    """ "1.50 KB", with 1024 bytes to each, as Keras writes it."""
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"


def _title(layer: Layer, level: int) -> str:
    prefix = "   " * level + "└ " if level else ""
    return f"{prefix}{layer.name} ({type(layer).__name__})"


def _parameters(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _trainable(layer: Layer) -> str:
    return ("Y" if layer.trainable else "N") if layer.weights else "-"


def _shape(layer: Layer) -> str:
    """The shape of the layer's last output on symbols, else what it computes for the input it was built for."""
    if layer.nodes:
        shapes: Any = [symbol.shape for symbol in layer.nodes[-1].output_symbols()]
        return str(shapes[0] if len(shapes) == 1 else shapes)
    built = layer._notes.built_shape
    if not isinstance(built, tuple) or any(isinstance(size, tuple) for size in built):
        return "?"
    try:
        return str(layer.compute_output_shape((None, *built[1:])))
    except (NotImplementedError, ValueError):
        return "?"


# -------------------------------------------------------------------------------------------------- a model's graph


def is_model(layer: Layer) -> bool:
    """Whether a layer is a model."""
    from .model import Model

    return isinstance(layer, Model)


def graph_nodes(model: Model) -> list[Node]:
    """The calls of which the graph of Model(inputs, outputs) consists; none for other models."""
    graph = getattr(model, "_graph", None)
    return [] if graph is None else list(graph.nodes)


def is_row(model: Model) -> bool:
    """Whether the layers follow one another: each call reads the one output of the call before."""
    nodes = graph_nodes(model)
    reads = [node.input_symbols() for node in nodes]
    before = [node.output_symbols() for node in nodes]
    if any(len(symbols) != 1 for symbols in [*reads, *before]):
        return False
    if len({id(node.layer) for node in nodes}) < len(nodes):
        return False
    return all(own[0] is earlier[0] for own, earlier in zip(reads[1:], before, strict=False))


def connections(layer: Layer, nodes: set[int]) -> str:
    """ "NAME[call][output], …" of what a layer reads in the calls (their ids) of a graph."""
    read = [symbol for node in layer.nodes if id(node) in nodes for symbol in node.input_symbols()]
    return ", ".join(f"{s.node.layer.name}[{s.node.layer.nodes.index(s.node)}][{s.index}]" for s in read) or "-"
