"""Plain SVG for the report: a roofline, and bars. Numbers and text in, markup out; colours are the page's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 18, 52
LABELS, BAR, GAP, PAIR_GAP = 400, 9, 2, 7  # of the bars: room for labels, thickness, distances


@dataclass(frozen=True)
class Point:
    """A mark at (x, y) with the text that shows when the pointer rests on it; `shape` is a key of SHAPES."""

    x: float
    y: float
    shape: str
    style: str  # CSS classes
    title: str


@dataclass(frozen=True)
class Line:
    """A roof: the smaller of slope · x and flat, without a slope flat alone, with its text."""

    slope: float | None
    flat: float | None
    text: str


@dataclass(frozen=True)
class Bar:
    """A value, its CSS classes, and its hover text."""

    value: float
    style: str
    title: str


def _polygon(*corners: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in corners) + "Z"


SHAPES = {
    "circle": "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0Z",
    "triangle": _polygon((0, -5), (4.7, 3.6), (-4.7, 3.6)),
    "square": _polygon((-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)),
    "diamond": _polygon((0, -5.2), (5.2, 0), (0, 5.2), (-5.2, 0)),
}


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis: numbers from `low` to `high` at pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten within the axis; of a long axis the powers alone."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 4 else (1,)
        candidates = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        return [value for value in candidates if self.low <= value <= self.high]


def roofline(points: Sequence[Point], lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Points and roofs on two logarithmic axes."""
    heights = [point.y for point in points] + [line.flat for line in lines if line.flat]
    x = Scale(*_around([point.x for point in points]), LEFT, WIDTH - RIGHT)
    y = Scale(*_around(heights), HEIGHT - BOTTOM, TOP)
    parts = [_grid(x, y, x_label, y_label)]
    parts += [_roof(line, x, y) for line in lines]
    parts += [
        f'<path class="{escape(point.style)}" d="{SHAPES[point.shape]}" '
        f'transform="translate({x(point.x):.1f},{y(point.y):.1f})"><title>{escape(point.title)}</title></path>'
        for point in points
    ]
    return _svg(WIDTH, HEIGHT, parts)


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Bounds of an axis with some room beside the values."""
    return min(values) / 1.6, max(values) * 1.6


def _grid(x: Scale, y: Scale, x_label: str, y_label: str) -> str:
    parts = []
    for value in x.ticks():
        parts.append(f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y.start}" y2="{y.end}"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{y.start + 16}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{x.start - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (y.start + y.end) / 2
    parts.append(f'<text x="{(x.start + x.end) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    return "\n".join(parts)


def _roof(line: Line, x: Scale, y: Scale) -> str:
    """The line cut to the picture, with its text."""
    low, high = x.low, x.high
    if line.slope is None:
        assert line.flat is not None
        corners = [(low, line.flat), (high, line.flat)]
        anchor, at, right, down = "end", corners[1], -4, -6
    else:
        low = max(low, y.low / line.slope)
        knee = min(high, (line.flat or y.high) / line.slope)
        corners = [(low, low * line.slope), (knee, knee * line.slope)]
        early = low * (knee / low) ** 0.1  # where few kernels are
        anchor, at, right, down = "start", (early, early * line.slope), 8, 12
    path = "M" + "L".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    return (
        f'<path class="roof" d="{path}"/><text class="roof-text" x="{x(at[0]) + right:.1f}" y="{y(at[1]) + down:.1f}" '
        f'text-anchor="{anchor}">{escape(line.text)}</text>'
    )


def bars(rows: Sequence[tuple[str, Sequence[Bar]]], reference: float, label: str) -> str:
    """Horizontal bars, some for each row, on a logarithmic axis; they begin at `reference`, which has a line."""
    values = [bar.value for _, several in rows for bar in several] + [reference]
    x = Scale(min(*values, reference / 1.25) / 1.05, max(*values, reference * 1.25) * 1.3, LABELS, WIDTH - RIGHT)
    parts, height, zero = [], float(TOP), x(reference)
    for name, several in rows:
        block = len(several) * (BAR + GAP)
        parts.append(f'<text x="{LABELS - 8}" y="{height + block / 2 + 3:.1f}" text-anchor="end">{escape(name)}</text>')
        for bar in several:
            end = x(bar.value)
            parts.append(
                f'<rect class="{escape(bar.style)}" x="{min(zero, end):.1f}" y="{height:.1f}" height="{BAR}" '
                f'width="{max(abs(end - zero), 0.5):.1f}"><title>{escape(bar.title)}</title></rect>'
            )
            beside = max(zero, end) + 4
            parts.append(f'<text class="small" x="{beside:.1f}" y="{height + BAR - 1:.1f}">{bar.value:.2f}</text>')
            height += BAR + GAP
        height += PAIR_GAP
    axis = [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height:.1f}"/>'
        f'<text x="{x(tick):.1f}" y="{height + 14:.1f}" text-anchor="middle">{tick:g}</text>'
        for tick in x.ticks()
    ]
    line = f'<line class="roof" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP - 6}" y2="{height:.1f}"/>'
    below = (
        f'<text x="{(LABELS + WIDTH - RIGHT) / 2}" y="{height + 32:.1f}" text-anchor="middle">{escape(label)}</text>'
    )
    return _svg(WIDTH, math.ceil(height + 40), [*axis, *parts, line, below])


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">\n' + "\n".join(parts) + "\n</svg>"
