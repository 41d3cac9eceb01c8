"""A report as Markdown: the line that says what was measured, the table, the geometric means."""

from collections.abc import Iterator

from .results import OURS, Report, Row, machine_ceilings, summaries

NO_PEER = "No peer was asked for (`--peer torch` does): these are tomograd's columns alone."
HEADINGS = {
    "kernels": "Kernels",
    "functions": "Calls of functions",
    "steps": "Whole steps of networks",
    "startup": "Start of a process",
    "memory": "Peak memory of training steps",
}


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"## {HEADINGS[report.section]}", description(report), table(report)]
    if has_means(report):
        parts.append(ratios(report))
    reasons = list(footnotes(report))
    if reasons:
        parts.append("Without a value:\n\n" + "\n".join(f"- {reason}" for reason in reasons))
    blocks = list(allocator_summaries(report))
    if blocks:
        parts.append("tomograd's allocator after the steps:\n\n" + "\n".join(f"- {summary}" for summary in blocks))
    return "\n\n".join(parts) + "\n"


def description(report: Report) -> str:
    """How, where, when and with which versions it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    machine = report.machine
    facts = report.facts.get(OURS, {})
    simd = facts.get("gpu") or facts.get("simd")
    lines = [
        f"`{report.command}`, {report.date}. {machine['processor']}, {machine['cores']} cores, "
        f"{report.threads} threads{f', {simd}' if simd else ''}; {versions}.",
        f"Medians of {report.rounds} alternating rounds, each engine in a process of its own.",
    ]
    if not report.complete:
        lines.append("**Interrupted**: the rows are those measured until then.")
    if not report.peers and report.section != "functions":
        lines.append(NO_PEER)
    lines += [f"Allocator, {name}: {text}." for name, text in report.allocators.items() if report.peers]
    peak, largest, fastest = machine_ceilings(report)
    if peak and largest and fastest:
        lines.append(
            f"The machine's ceilings, measured between the rounds: {peak / 1e9:.0f} GF/s of multiply-adds; "
            f"{largest / 1e9:.0f} GB/s copying the largest cases, {fastest / 1e9:.0f} GB/s the best size."
        )
    return "\n".join(lines)


def columns(report: Report) -> list[str]:
    """The headings of the table."""
    kernels = ["GF/s", "of peak", "GB/s", "of copy"] if report.section == "kernels" else []
    unit = "MiB" if report.section == "memory" else "ms"
    shown = [f"{engine} {unit}" for engine in report.engines[1:]]
    return ["case", "run", f"tomograd {unit}", *kernels, *shown, *ratio_names(report)]


def ratio_names(report: Report) -> list[str]:
    names = ["ratio"] if report.peers else []
    return [*names, "ratio, tuned"] if "tuned" in report.allocators else names


def cells(row: Row, report: Report) -> list[str]:
    """One row of the table, as text."""
    case, _, which = row.label.partition(" | ")
    shown = [f"{case} ({row.source})" if row.source else case, which, amount(row, OURS)]
    if report.section == "kernels":
        shown += [
            scaled(row.rate(OURS)),
            percent(row.peak_share()),
            scaled(row.bandwidth(OURS)),
            percent(row.copy_share()),
        ]
    shown += [amount(row, engine) for engine in report.engines[1:]]
    values = [row.ratio(), row.ratio(tuned=True)]
    return shown + ["–" if value is None else number(value) for value in values[: len(ratio_names(report))]]


def table(report: Report) -> str:
    """All rows."""
    heads = columns(report)
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(cells(row, report))} |" for row in report.rows)])


def has_means(report: Report) -> bool:
    """Whether geometric means say something: the stages of a start are not cases of one kind."""
    return bool(report.peers) and report.section != "startup"


def ratios(report: Report) -> str:
    """The geometric means, by group."""
    lines = [
        "Ratios: the best peer's median over tomograd's; above 1, tomograd is ahead. Geometric means:",
        "",
        "| rows | number | ratio | ratio, tuned | behind | failed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for summary in summaries(report):
        means = ["–" if mean is None else number(mean) for mean in (summary.default, summary.tuned)]
        lines.append(f"| {summary.name} | {summary.rows} | {' | '.join(means)} | {summary.behind} | {summary.failed} |")
    return "\n".join(lines)


def footnotes(report: Report) -> Iterator[str]:
    """Why cells are empty: each reason once, with the rows that it holds for."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in report.rows:
        for engine, result in row.results.items():
            if why := result.failed or result.skipped:
                found.setdefault((engine, why), []).append(row.label)
    for (engine, why), labels in found.items():
        shown = "; ".join(labels[:3]) + (f"; and {len(labels) - 3} more" if len(labels) > 3 else "")
        yield f"{engine}: {why} ({shown})"


def allocator_summaries(report: Report) -> Iterator[str]:
    """What tomograd's caching allocator held at the end, where the memory was measured."""
    for row in report.rows:
        if OURS in row.results and (summary := row.results[OURS].notes.get("allocator")):
            yield f"{row.label}: {summary}"


def amount(row: Row, engine: str) -> str:
    """Milliseconds or MiB; "failed" or a dash where there is none."""
    value = row.median(engine)
    if value is not None:
        return number(value * 1e3 if row.unit == "s" else value / 2**20)
    return "failed" if engine in row.results and row.results[engine].failed else "–"


def number(value: float) -> str:
    """Three digits that count, never in powers of ten: 0.0123, 1.23, 123, 12345."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:.3g}"
    return f"{value:.6f}".rstrip("0") if "e" in text else text


def scaled(value: float | None) -> str:
    """Thousand millions of it."""
    return "–" if value is None else number(value / 1e9)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"
