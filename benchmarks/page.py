"""A report, or several, as one HTML page that stands alone: roofline, bars, tables, machine. No script, no network."""

from collections.abc import Iterator, Sequence
from html import escape

from tomograd.pages import document, section

from . import tables
from .convolutions import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT
from .drawing import Bar, Line, Point, bars, roofline
from .operations import GRADIENT, INFERENCE
from .results import Report, Row, is_tuned, machine_ceilings
from .targets import verdicts

PASS_SHAPES = {
    FORWARD: "circle",
    INPUT_GRADIENT: "triangle",
    GRADIENT: "triangle",
    WEIGHT_GRADIENT: "square",
    INFERENCE: "diamond",
}
OTHER_SHAPE = "diamond"
BAR_STYLES = ("default", "tuned")  # dark and light
COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")  # Okabe and Ito: told apart by all eyes
STYLE = """
main { max-width: 76rem; }
p { max-width: 60rem; }
svg { width: 100%; height: auto; display: block; margin: .5rem 0; }
svg text { font-size: 11px; fill: var(--soft); }
svg text.small { font-size: 9px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .roof { stroke: var(--ink); stroke-width: 1.6; fill: none; }
svg .roof-text { fill: var(--ink); font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
svg path.tuned { fill: #fff; stroke-width: 1.8; }
svg path[transform] { stroke-width: .8; fill-opacity: .75; }
svg path[transform]:hover { stroke: #000; stroke-width: 2; }
svg rect.default { fill: var(--accent); } svg rect.tuned { fill: #8fc4e8; }
svg rect.default.behind { fill: #d55e00; } svg rect.tuned.behind { fill: #f0b98d; }
label.key { margin: 0 .9rem 0 .25rem; font-size: .92rem; white-space: nowrap; }
label.key i { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .3em;
  border: 2px solid; }
td, th { white-space: nowrap; }
.facts td { white-space: normal; }
tbody td:nth-child(1) { white-space: normal; min-width: 15rem; }
"""


def page(reports: Sequence[Report]) -> str:
    """The whole page as a string."""
    title = "tomograd bench: " + ", ".join(dict.fromkeys(report.section for report in reports))
    parts, style = [f"<h1>{escape(title)}</h1>"], STYLE
    for number, report in enumerate(reports, 1):
        parts += report_parts(report, number)
        style += engine_style(report, number)
    return document(title, parts, "Made by tomograd bench. Below 1, the peer is ahead.", style)


def report_parts(report: Report, number: int) -> Iterator[str]:
    """The sections of one report."""
    heading = tables.heading(report)
    yield section(heading, "".join(f"<p>{inline(text)}</p>" for text in tables.description(report).split("\n")))
    if verdicts(report):
        yield section(f"{heading}: targets", as_table(tables.targets(report).split("\n")))
    yield section(f"{heading}: roofline", roofline_part(report, number))
    yield section(f"{heading}: ratios to the best peer", ratio_bars(report))
    if tables.has_means(report):
        yield section(f"{heading}: geometric means", as_table(tables.ratios(report).split("\n")))
    yield section(f"{heading}: every row", as_table(tables.table(report).split("\n")))
    if tables.has_memory(report):
        yield section(f"{heading}: memory of the GPU, MiB", as_table(tables.memory(report).split("\n")))
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in tables.footnotes(report))
    yield section(f"{heading}: without a value", f"<ul>{reasons}</ul>" if reasons else "")
    blocks = "".join(f"<li>{escape(summary)}</li>" for summary in tables.allocator_summaries(report))
    yield section(f"{heading}: tomograd's allocator", f"<ul>{blocks}</ul>" if blocks else "")
    yield section(f"{heading}: the machine", machine_table(report))


def inline(text: str) -> str:
    """Markdown's `code` and **bold** as HTML, all else escaped."""
    parts = escape(text).split("`")
    coded = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    bold = coded.split("**")
    return "".join(f"<b>{part}</b>" if i % 2 else part for i, part in enumerate(bold))


def as_table(lines: Sequence[str]) -> str:
    """The rows of a Markdown table as HTML; the other lines become paragraphs before it."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    text = "".join(f"<p>{inline(line)}</p>" for line in lines if line and not line.startswith("|"))
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f'{text}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


# ---- roofline --------------------------------------------------------------------------------------------------------


def engine_class(report: Report, engine: str, number: int) -> str:
    return f"engine-{number}-{report.engines.index(engine)}"


def colour(report: Report, engine: str) -> str:
    """An engine with the tuned allocator has the colour of the same one without."""
    plain = [name for name in report.engines if not is_tuned(name)]
    name = ":".join(part for part in engine.split(":") if part != "tuned")
    return COLOURS[plain.index(name) % len(COLOURS)] if name in plain else COLOURS[-1]


def engine_style(report: Report, number: int) -> str:
    """The colours of the engines, and what their check boxes switch off."""
    rules = []
    for engine in report.engines:
        name, paint = engine_class(report, engine, number), colour(report, engine)
        fill = "#fff" if is_tuned(engine) else paint
        rules.append(f"svg path.{name} {{ fill: {fill}; stroke: {paint}; }}")
        rules.append(f"label.{name} i {{ background: {fill}; border-color: {paint}; }}")
        rules.append(f"#{name}:not(:checked) ~ svg path.{name} {{ display: none; }}")
    return "\n".join(rules) + "\n"


def roofline_part(report: Report, number: int) -> str:
    """The picture with its key; nothing where no row has operations and bytes."""
    drawn = [row for row in report.rows if row.intensity and row.ours]
    peak, largest, fastest = machine_ceilings(report)
    if not drawn or not peak or not largest or not fastest:
        return ""
    key = "".join(
        f'<input type="checkbox" id="{engine_class(report, engine, number)}"'
        f'{"" if is_tuned(engine) else " checked"}><label class="key {engine_class(report, engine, number)}" '
        f'for="{engine_class(report, engine, number)}"><i></i>{escape(engine)}</label>'
        for engine in report.engines
    )
    computing = f"a product of large matrices, {report.precision}" if report.on_gpu else "multiply-adds in registers"
    lines = [
        Line(None, peak / 1e9, f"{computing}, {peak / 1e9:.0f} GF/s"),
        Line(largest / 1e9, peak / 1e9, f"copy of the largest cases, {largest / 1e9:.0f} GB/s"),
    ]
    if fastest > 1.2 * largest:
        lines.append(Line(fastest / 1e9, peak / 1e9, f"fastest copy (in the caches), {fastest / 1e9:.0f} GB/s"))
    points = [point for engine in reversed(report.engines) for point in engine_points(report, engine, drawn, number)]
    picture = roofline(points, lines, "arithmetic intensity: operations for each byte that must move", "GF/s")
    caption = (
        "<p>A point is a kernel of one engine: how many operations a second it computes (up), against how many it "
        "computes for each byte that it must move (to the right). The lines are what the machine reached in the same "
        "run: at the left memory limits, at the right arithmetic. Circles are forward passes, triangles gradients of "
        "the input, squares gradients of the weights, diamonds inference and optimizer steps. Hold the pointer over a "
        "point to see which it is; the boxes show and hide engines.</p>"
    )
    return f"{caption}<div>{key}{picture}</div>"


def engine_points(report: Report, engine: str, rows: Sequence[Row], number: int) -> Iterator[Point]:
    """One engine's points."""
    for row in rows:
        rate, intensity = row.rate(engine), row.intensity
        if rate is None or intensity is None:
            continue
        shares = f"{tables.percent(row.peak_share(engine))} of peak, {tables.percent(row.copy_share(engine))} of copy"
        title = (
            f"{engine}: {row.label} ({row.source})\n{rate / 1e9:.1f} GF/s, {intensity:.2g} operations/byte\n{shares}"
        )
        yield Point(
            intensity, rate / 1e9, PASS_SHAPES.get(row.which, OTHER_SHAPE), engine_class(report, engine, number), title
        )


# ---- bars and facts --------------------------------------------------------------------------------------------------


def ratio_bars(report: Report) -> str:
    """Some bars for each row: one for each comparison with the peers."""
    drawn = []
    for row in report.rows:
        several = []
        for style, (name, compare) in zip(BAR_STYLES, report.comparisons().items(), strict=False):
            ratio = compare(row)
            if ratio is not None:
                shade = f"{style} behind" if ratio < 1 else style
                several.append(Bar(ratio, shade, f"{row.label} ({row.source}): {ratio:.3g}, {name}"))
        if several:
            drawn.append((row.label, several))
    if not drawn:
        return ""
    what = "memory" if report.section == "memory" else "time"
    names = list(report.comparisons())
    light = f"; light: {names[1].removeprefix('ratio, ')}" if len(names) > 1 else ""
    label = f"best peer's {what} / tomograd's (dark{light}); orange: the peer is ahead"
    return bars(drawn, 1.0, label)


def machine_table(report: Report) -> str:
    """What there is to know of the machine and of the processes."""
    facts = {name: value for name, value in report.machine.items() if name != "caches"}
    facts |= {f"cache {name}": size for name, size in report.machine.get("caches", {}).items()}
    facts |= {f"process {engine}": _listed(told) for engine, told in report.facts.items()}
    facts |= {"command": report.command, "date": report.date, "threads": report.threads, "rounds": report.rounds}
    facts |= {f"version of {name}": version for name, version in report.versions.items()}
    facts |= {f"allocator, {name}": text for name, text in report.allocators.items()}
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _listed(told: dict) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
