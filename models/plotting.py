"""plot_model: a model's graph as an SVG picture, laid out and drawn here.

The layers are the boxes. Each stands in the rank after the last of those that it reads; an edge over several ranks
takes a place in each of them, so that it passes by the boxes (K. Sugiyama, S. Tagawa, M. Toda, Methods for Visual
Understanding of Hierarchical System Structures, IEEE Transactions SMC 11, 1981). Within the ranks boxes are ordered by
the mean place of their neighbours, a few times down and up, which leaves few crossings. A nested model that is expanded
is a frame with a picture of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from ..engine.layers.base import Layer
from ..engine.layers.operations import Operation
from ..engine.tensor import as_tensor
from ..files import written
from .summary import graph_nodes, is_model

if TYPE_CHECKING:
    from .model import Model

SWEEPS = 8  # over the ranks, to order them
GAP, STEP, MARGIN = 24.0, 44.0, 16.0  # between boxes of a rank, between ranks, around all: in pixels
LINE, PADDING = 18.0, 10.0  # of the text in a box
CHARACTER = 7.2  # width of one, of the 12-pixel monospaced font
TITLE = 24.0  # height of an expanded model's heading
DPI = 200  # at which the picture has its own size

HEAD = "#25303b"
COLOURS = {"Trainable": "#2f7d4f", "Non-trainable": "#a33a3a"}


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.svg",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = DPI,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> Plot:
    """Draw a model into an SVG file. No other program is needed. A notebook shows what this returns.

    show_shapes: the shapes that each layer reads and gives; show_dtype: the type that it gives; show_layer_names: names
    beside the classes; show_layer_activations: its activation; show_trainable: whether it is trained. rankdir: "TB"
    from top to bottom, "LR" from left to right, "BT" and "RL" the other way. expand_nested: models within as frames
    with their layers. dpi: the picture's size, 200 being the usual one. splines: edges with right angles ("ortho"),
    straight from place to place ("line", "polyline") or curved ("curved", "spline"). A subclassed model is one box, as
    in Keras; where Keras's default is "model.png" ours is "model.svg".

    Raises ValueError for a model that is not built, for a to_file that does not end in .svg, and other rankdir, dpi or
    splines; OSError where the file cannot be written, and then a file that was there is as it was.
    """
    if not model.built:
        raise ValueError(f"{model.name} is not built yet: call it on an input, or build(input_shape), first")
    target = Path(to_file)
    if target.suffix.lower() != ".svg":
        raise ValueError(
            f"plot_model: to_file = {os.fspath(to_file)!r}: pictures are SVG: give a name that ends in .svg"
        )
    if rankdir not in ("TB", "LR", "BT", "RL"):
        raise ValueError(f"plot_model: rankdir = {rankdir!r} must be 'TB', 'LR', 'BT' or 'RL'")
    if splines not in ("ortho", "line", "polyline", "curved", "spline"):
        raise ValueError(f"plot_model: splines = {splines!r} must be 'ortho', 'polyline', 'line', 'curved' or 'spline'")
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float)) or not dpi > 0:
        raise ValueError(f"plot_model: dpi = {dpi!r} must be a positive number")
    shown = Shown(show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable, expand_nested)
    picture = _laid_out(model, shown, rankdir)
    plot = Plot(target, _svg(picture, splines, dpi / DPI))
    with written(target) as file:
        file.write(plot.svg.encode())
    return plot


@dataclass(frozen=True)
class Plot:
    """A picture of a model: the file, and what is in it."""

    path: Path
    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg


@dataclass(frozen=True)
class Shown:
    """What the boxes tell."""

    shapes: bool
    dtype: bool
    names: bool
    activations: bool
    trainable: bool
    nested: bool


# ------------------------------------------------------------------------------------------------------ what is drawn


@dataclass(eq=False)
class Box:
    """A layer, or (with `inner`) a frame around a model's layers, or (without a layer) a bend of an edge."""

    layer: Layer | None
    lines: list[str] = field(default_factory=list)
    inner: Picture | None = None
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0  # of its left upper corner, in the picture that it stands in
    y: float = 0.0


@dataclass(eq=False)
class Picture:
    """Boxes in ranks, and edges along chains of boxes, from one layer over bends to another."""

    ranks: list[list[Box]]
    edges: list[list[Box]]
    rankdir: str
    width: float = 0.0
    height: float = 0.0

    @property
    def sideways(self) -> bool:
        return self.rankdir in ("LR", "RL")

    def boxes(self) -> Iterator[Box]:
        for rank in self.ranks:
            yield from rank


def _laid_out(model: Model, shown: Shown, rankdir: str) -> Picture:
    layers, reads = _graph(model)
    boxes = {id(layer): _box(layer, shown, rankdir) for layer in layers}
    ranks = _ranks(layers, reads)
    rows: list[list[Box]] = [[] for _ in range(max(ranks.values()) + 1)]
    for layer in layers:
        rows[ranks[id(layer)]].append(boxes[id(layer)])
    edges = []
    for source, target in reads:
        first, last = ranks[id(source)], ranks[id(target)]
        bends = [Box(None) for _ in range(first + 1, last)]
        for rank, bend in enumerate(bends, first + 1):
            rows[rank].append(bend)
        edges.append([boxes[id(source)], *bends, boxes[id(target)]])
    picture = Picture(_ordered(rows, edges), edges, rankdir)
    _place(picture)
    return picture


def _graph(model: Model) -> tuple[list[Layer], list[tuple[Layer, Layer]]]:
    """The layers, and which reads which (each pair once)."""
    nodes = graph_nodes(model)
    if nodes:
        reads = [(symbol.node.layer, node.layer) for node in nodes for symbol in node.input_symbols()]
        layers = model.layers
    elif hasattr(model, "add"):  # a Sequential: in a row
        layers = model.layers
        reads = list(pairwise(layers))
    else:
        layers, reads = model.layers if hasattr(model, "_graph") else [model], []
    unique = {(id(source), id(target)): (source, target) for source, target in reads if source is not target}
    return layers, list(unique.values())


def _box(layer: Layer, shown: Shown, rankdir: str) -> Box:
    kind = layer.function if isinstance(layer, Operation) else type(layer).__name__
    title = f"{layer.name} ({kind})" if shown.names else kind
    if shown.nested and is_model(layer) and (graph_nodes(layer) or hasattr(layer, "add")):  # type: ignore[arg-type]
        inner = _laid_out(layer, shown, rankdir)  # type: ignore[arg-type]
        width = max(inner.width, CHARACTER * len(layer.name) + 2 * PADDING)
        return Box(layer, [layer.name], inner, width, inner.height + TITLE)
    lines = [title, *_details(layer, shown)]
    width = CHARACTER * max(map(len, lines)) + 2 * PADDING
    return Box(layer, lines, None, width, LINE * len(lines) + PADDING)


def _details(layer: Layer, shown: Shown) -> Iterator[str]:
    node = layer.nodes[-1] if layer.nodes else None
    activation = getattr(layer, "activation", None)
    if shown.activations and activation is not None:
        yield f"activation: {_name_of(activation)}"
    if shown.shapes:
        if node is not None and node.input_symbols():
            yield f"input: {_joined(symbol.shape for symbol in node.input_symbols())}"
        yield f"output: {_joined(symbol.shape for symbol in node.output_symbols()) if node else '?'}"
    if shown.dtype:
        yield f"dtype: {_joined(symbol.dtype for symbol in node.output_symbols()) if node else layer.dtype}"
    if shown.trainable and layer.weights:
        yield "Trainable" if layer.trainable else "Non-trainable"


def _name_of(activation: Any) -> str:
    if activation is as_tensor:
        return "linear"
    return getattr(activation, "__name__", type(activation).__name__)


def _joined(entries: Any) -> str:
    return ", ".join(map(str, entries))


# ------------------------------------------------------------------------------------------------------------- layout


def _ranks(layers: list[Layer], reads: list[tuple[Layer, Layer]]) -> dict[int, int]:
    """The rank of each layer: after all that it reads. A layer that is called again on what was made from it keeps the
    edges that lead onwards."""
    before: dict[int, list[int]] = {id(layer): [] for layer in layers}
    order = {id(layer): place for place, layer in enumerate(layers)}
    for source, target in reads:
        if order[id(source)] < order[id(target)]:
            before[id(target)].append(id(source))
    ranks: dict[int, int] = {}
    for layer in layers:  # in an order in which what is read stands first
        ranks[id(layer)] = max((ranks[one] + 1 for one in before[id(layer)]), default=0)
    return ranks


def _ordered(rows: list[list[Box]], edges: list[list[Box]]) -> list[list[Box]]:
    """The ranks, each ordered by the mean places of its neighbours in the one before, then in the one after."""
    above, below = _neighbours(edges)
    for sweep in range(SWEEPS):
        neighbours = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            place = {box: number for other in rows for number, box in enumerate(other)}
            own = {box: [place[other] for other in neighbours.get(box, ())] for box in row}
            row.sort(key=lambda box: sum(own[box]) / len(own[box]) if own[box] else place[box])
    return rows


def _neighbours(edges: list[list[Box]]) -> tuple[dict[Box, list[Box]], dict[Box, list[Box]]]:
    """The boxes that stand before, and after, each one along the edges."""
    above: dict[Box, list[Box]] = {}
    below: dict[Box, list[Box]] = {}
    for chain in edges:
        for one, other in pairwise(chain):
            above.setdefault(other, []).append(one)
            below.setdefault(one, []).append(other)
    return above, below


def _place(picture: Picture) -> None:
    """Where each box stands. Along the ranks they are put side by side, then drawn towards their neighbours."""
    sideways = picture.sideways
    for box in picture.boxes():
        if sideways:
            box.width, box.height = box.height, box.width  # laid out upright, turned at the end
    for row in picture.ranks:
        _pack(row, [0.0] * len(row))
    above, below = _neighbours(picture.edges)
    for sweep in range(SWEEPS + 1):  # down at last: what follows one box alone stands straight below it
        neighbours = below if sweep % 2 else above
        for row in reversed(picture.ranks) if sweep % 2 else picture.ranks:
            _pack(row, [_wanted(box, neighbours.get(box, [])) for box in row])
    left = min((box.x for box in picture.boxes()), default=0.0)
    y = MARGIN
    for row in picture.ranks:
        height = max(box.height for box in row)
        for box in row:
            box.height = height if box.layer is None else box.height  # an edge goes straight past the boxes
            box.x, box.y = box.x - left + MARGIN, y + (height - box.height) / 2
        y += height + STEP
    picture.width = max(box.x + box.width for box in picture.boxes()) + MARGIN
    picture.height = y - STEP + MARGIN
    _turn(picture)


def _wanted(box: Box, beside: list[Box]) -> float:
    """The middle that is best: the mean of the neighbours'."""
    middles = [other.x + other.width / 2 for other in beside]
    return sum(middles) / len(middles) if middles else box.x + box.width / 2


def _pack(row: list[Box], middles: list[float]) -> None:
    """Put the boxes of a rank as near to their middles as their order and widths let them be: from the left, then
    back from the right, and between the two."""
    starts = [middle - box.width / 2 for box, middle in zip(row, middles, strict=True)]
    low, high = list(starts), list(starts)
    for at in range(1, len(row)):
        low[at] = max(low[at], low[at - 1] + row[at - 1].width + GAP)
    for at in range(len(row) - 2, -1, -1):
        high[at] = min(high[at], high[at + 1] - row[at].width - GAP)
    for box, one, other in zip(row, low, high, strict=True):
        box.x = (one + other) / 2


def _turn(picture: Picture) -> None:
    """From the upright picture, first rank on top, to the direction that is asked for."""
    direction = picture.rankdir
    for box in picture.boxes():
        if direction in ("BT", "RL"):
            box.y = picture.height - box.y - box.height
        if picture.sideways:
            box.x, box.y, box.width, box.height = box.y, box.x, box.height, box.width
    if picture.sideways:
        picture.width, picture.height = picture.height, picture.width


# ------------------------------------------------------------------------------------------------------------ drawing


def _svg(picture: Picture, splines: str, scale: float) -> str:
    width, height = picture.width, picture.height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_number(width * scale)}" '
            f'height="{_number(height * scale)}" viewBox="0 0 {_number(width)} {_number(height)}">',
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{HEAD}"/></marker></defs>',
            '<rect width="100%" height="100%" fill="white"/>',
            '<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
            *_drawn(picture, 0.0, 0.0, splines),
            "</g>",
            "</svg>",
            "",
        ]
    )


def _drawn(picture: Picture, left: float, top: float, splines: str) -> Iterator[str]:
    """The elements of a picture whose corner stands at (left, top): boxes over frames, edges over boxes."""
    for box in picture.boxes():
        if box.layer is not None:
            yield from _framed(box, left, top, splines) if box.inner else _filled(box, left, top)
    for chain in picture.edges:
        yield _edge(_points(chain, picture, left, top), splines, picture.sideways)


def _framed(box: Box, left: float, top: float, splines: str) -> Iterator[str]:
    assert box.inner is not None
    x, y = left + box.x, top + box.y
    yield (
        f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(box.width)}" height="{_number(box.height)}" '
        f'rx="4" fill="#f4f6f8" stroke="{HEAD}" stroke-dasharray="5 4"/>'
    )
    yield f'<text x="{_number(x + PADDING)}" y="{_number(y + 16)}" font-weight="bold">{escape(box.lines[0])}</text>'
    yield from _drawn(box.inner, x + (box.width - box.inner.width) / 2, y + TITLE, splines)


def _filled(box: Box, left: float, top: float) -> Iterator[str]:
    x, y, middle = left + box.x, top + box.y, _number(left + box.x + box.width / 2)
    head = LINE + PADDING / 2
    size = f'width="{_number(box.width)}"'
    corner = f'x="{_number(x)}" y="{_number(y)}"'
    yield f'<rect {corner} {size} height="{_number(box.height)}" fill="white" stroke="{HEAD}"/>'
    yield f'<rect {corner} {size} height="{_number(head)}" fill="{HEAD}"/>'
    for number, line in enumerate(box.lines):
        fill = "white" if number == 0 else COLOURS.get(line, "#111")
        weight = ' font-weight="bold"' if number == 0 else ""
        baseline = _number(y + PADDING / 2 + LINE * number + 13)
        yield f'<text x="{middle}" y="{baseline}" text-anchor="middle" fill="{fill}"{weight}>{escape(line)}</text>'


def _points(chain: list[Box], picture: Picture, left: float, top: float) -> list[tuple[float, float]]:
    """From the side of the first box over the bends to the side of the last."""

    def side(box: Box, after: bool) -> tuple[float, float]:
        forwards = after == (picture.rankdir in ("TB", "LR"))
        if picture.sideways:
            return left + box.x + (box.width if forwards else 0.0), top + box.y + box.height / 2
        return left + box.x + box.width / 2, top + box.y + (box.height if forwards else 0.0)

    past = [side(bend, after) for bend in chain[1:-1] for after in (False, True)]
    return [side(chain[0], True), *past, side(chain[-1], False)]


def _edge(points: list[tuple[float, float]], splines: str, sideways: bool) -> str:
    path = f"M{_pair(points[0])}"
    for (x, y), (u, v) in pairwise(points):
        middle = (x + u) / 2 if sideways else (y + v) / 2
        between = [(middle, y), (middle, v)] if sideways else [(x, middle), (u, middle)]
        if splines in ("curved", "spline"):
            path += f"C{_pair(between[0])} {_pair(between[1])} {_pair((u, v))}"
        elif splines == "ortho" and abs(x - u) > 0.05 and abs(y - v) > 0.05:
            path += f"L{_pair(between[0])}L{_pair(between[1])}L{_pair((u, v))}"
        else:
            path += f"L{_pair((u, v))}"
    return f'<path d="{path}" fill="none" stroke="{HEAD}" stroke-width="1.5" marker-end="url(#arrow)"/>'


def _pair(point: tuple[float, float]) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{round(value, 1):g}"
