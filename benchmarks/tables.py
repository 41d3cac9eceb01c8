"""A report as Markdown: the line that says what was measured, the table, the geometric means."""

from collections.abc import Iterator

from .results import OURS, Report, Row, machine_ceilings, summaries
from .targets import missing, verdicts

NO_PEER = "No peer was asked for (`--peer torch` does): these are tomograd's columns alone."
PRODUCTS = {
    "float32": "exact, of all engines",
    "tf32": "of float32 numbers rounded to TF32, of all engines",
    "bfloat16": "of numbers rounded to bfloat16; tomograd's arrays stay float32, the peer's are bfloat16",
    "float16": "of float16 arrays, of all engines",
}
HEADINGS = {
    "kernels": "Kernels",
    "functions": "Calls of functions",
    "steps": "Whole steps of networks",
    "startup": "Start of a process",
    "memory": "Peak memory of training steps",
}


def markdown(report: Report) -> str:
    """The whole report."""
    parts = [f"## {heading(report)}", description(report)]
    parts += [targets(report)] if verdicts(report) else []
    parts.append(table(report))
    if has_means(report):
        parts.append(ratios(report))
    if has_memory(report):
        parts.append("Most memory of the GPU that the engines took, in MiB:\n\n" + memory(report))
    reasons = list(footnotes(report))
    if reasons:
        parts.append("Without a value:\n\n" + "\n".join(f"- {reason}" for reason in reasons))
    blocks = list(allocator_summaries(report))
    if blocks:
        parts.append("tomograd's allocator after the steps:\n\n" + "\n".join(f"- {summary}" for summary in blocks))
    return "\n\n".join(parts) + "\n"


def heading(report: Report) -> str:
    """What was measured, where and how exactly."""
    return HEADINGS[report.section] + (f" on a GPU, {report.precision}" if report.on_gpu else "")


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
    if report.on_gpu:
        lines += [f"{engine}: {told}." for engine, told in gpu_facts(report)]
        lines.append(
            "Times are the GPU's own, between events; kernels start with an empty second-level cache, steps follow "
            f"each other. Products: {PRODUCTS[report.precision]}."
        )
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


def gpu_facts(report: Report) -> Iterator[tuple[str, str]]:
    """What the processes say of the GPU and of its libraries, each thing once."""
    said: set[tuple[str, str]] = set()
    for engine, facts in report.facts.items():
        new = {(name, str(value)) for name, value in facts.items()} - said
        said |= new
        told = ", ".join(f"{name} {value}" for name, value in facts.items() if (name, str(value)) in new)
        if told:
            yield engine, told


def targets(report: Report) -> str:
    """What was to be reached, and what was; then the rows that miss it."""
    lines = ["| target | at least | reached | rows | without a value | where | |", "| --- |" + " --- |" * 6]
    for verdict in verdicts(report):
        reached = "–" if verdict.reached is None else number(verdict.reached)
        cells = [verdict.target, number(verdict.wanted), reached, str(verdict.rows), str(verdict.without)]
        lines.append(f"| {' | '.join([*cells, escaped(verdict.where) or '–', f'**{verdict.outcome}**'])} |")
    missed = [f"- {label}: {number(reached)}, wanted {wanted}" for label, reached, wanted in missing(report)]
    return "\n".join(lines + (["", "Rows that miss their target:", "", *missed] if missed else []))


def escaped(label: str) -> str:
    """A row's label in a cell."""
    return label.replace(" | ", ", ")


def has_memory(report: Report) -> bool:
    return any("memory" in result.notes for row in report.rows for result in row.results.values())


def memory(report: Report) -> str:
    """The memory of a GPU that each engine took for each row."""
    lines = [f"| case | run | {' | '.join(report.engines)} |", "| --- | --- |" + " --- |" * len(report.engines)]
    for row in report.rows:
        case, _, which = row.label.partition(" | ")
        notes = [row.results[engine].notes if engine in row.results else {} for engine in report.engines]
        taken = [each.get("memory") for each in notes]
        if any(taken):
            shown = ["–" if size is None else number(size / 2**20) for size in taken]
            lines.append(f"| {case} | {which} | {' | '.join(shown)} |")
    return "\n".join(lines)


def columns(report: Report) -> list[str]:
    """The headings of the table."""
    kernels = ["GF/s", "of peak", "GB/s", "of copy"] if report.section == "kernels" else []
    unit = "MiB" if report.section == "memory" else "ms"
    shown = [f"{engine} {unit}" for engine in report.engines[1:]]
    return ["case", "run", f"tomograd {unit}", *kernels, *shown, *report.comparisons()]


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
    values = [compare(row) for compare in report.comparisons().values()]
    return shown + ["–" if value is None else number(value) for value in values]


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
        "Ratios: the best peer's median over tomograd's; above 1, tomograd is ahead. Geometric means, and the least:",
        "",
        f"| rows | number | {' | '.join(report.comparisons())} | least | behind | failed |",
        "| --- | --- |" + " --- |" * (len(report.comparisons()) + 3),
    ]
    for summary in summaries(report):
        means = ["–" if mean is None else number(mean) for mean in (*summary.means.values(), summary.least)]
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
