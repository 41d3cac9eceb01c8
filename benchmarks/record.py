"""A folder of results from a GPU as one Markdown file, to be committed under benchmarks/results:

    python -m tomograd.benchmarks.record gpu-results --into benchmarks/results [--page FILE.html]

The folder is what benchmarks/run_gpu.sh wrote: reports as JSON, what each step printed, and how it ended. The file is
called DATE-GPU.md. It says where and how was measured, which targets are met, how tests and sanitizer ended, what every
kernel was predicted to take, and has every table. `--page` writes the reports as a page with pictures as well.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import predictions, tables
from .catalogue import KERNELS
from .results import Report, Row, quotient
from .tables import escaped, number, percent
from .targets import verdicts


def read(folder: Path) -> list[Report]:
    """The reports of a folder, in the order of their names. Raises ValueError for a file that is none."""
    reports = []
    for path in sorted(folder.glob("*.json")):
        try:
            reports.append(Report.from_json(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return reports


def name_of(reports: Sequence[Report]) -> str:
    """DATE-GPU.md, by the first report and the GPU's own name."""
    date = min((report.date for report in reports), default=datetime.datetime.now(datetime.UTC).isoformat())
    gpus = "-".join(dict.fromkeys(report.gpu for report in reports if report.gpu)) or "gpu"
    return f"{date[:10]}-{re.sub('[^a-z0-9]+', '-', gpus.lower()).strip('-')}.md"


def markdown(folder: Path, reports: Sequence[Report]) -> str:
    """The whole file."""
    gpus = ", ".join(dict.fromkeys(report.gpu for report in reports if report.gpu))
    parts = [
        f"# Measured on {gpus}" if gpus else "# Nothing measured on a GPU",
        *machine(reports),
        *all_targets(reports),
        *steps(folder),
    ]
    for report in reports:
        parts += [tables.markdown(report).rstrip("\n"), *predicted(report)]
    return "\n\n".join(parts) + "\n"


def machine(reports: Sequence[Report]) -> Iterator[str]:
    """What is known of the GPU, and of the software, each thing once."""
    found: dict[str, dict[str, None]] = {}
    for report in reports:
        facts = [fact for told in report.facts.values() for fact in told.items()]
        for name, value in [*facts, *report.versions.items(), ("processor", report.machine.get("processor"))]:
            found.setdefault(name, {})[str(value)] = None
        found.setdefault("command", {})[f"`{report.command}`, {report.date}"] = None
    if found:
        rows = [f"| {name} | {'<br>'.join(values)} |" for name, values in found.items()]
        yield "\n".join(["| | |", "| --- | --- |", *rows])


def all_targets(reports: Sequence[Report]) -> Iterator[str]:
    """The verdicts of all reports."""
    rows = [
        f"| {verdict.target} | {report.precision} | {number(verdict.wanted)} | "
        f"{'–' if verdict.reached is None else number(verdict.reached)} | {escaped(verdict.where) or '–'} | "
        f"{verdict.without} of {verdict.rows} | **{verdict.outcome}** |"
        for report in reports
        for verdict in verdicts(report)
    ]
    if rows:
        head = "| target | precision | at least | reached | where | rows without a value | |"
        yield "\n".join(["## Targets", "", head, "| --- |" + " --- |" * 6, *rows])


def steps(folder: Path) -> Iterator[str]:
    """How each step of the script ended, with the last line that it printed."""
    summary = folder / "summary.txt"
    if not summary.exists():
        return
    rows = []
    for line in summary.read_text(encoding="utf-8").splitlines():
        name, _, ended = line.partition(": ")
        printed = folder / f"{name}.txt"
        said = printed.read_text(encoding="utf-8", errors="replace").split("\n") if printed.exists() else []
        last = next((text.strip() for text in reversed(said) if text.strip()), "")
        rows.append(f"| {name} | {ended.partition(': ')[0]} | {last.replace('|', '/')[:160]} |")
    yield "\n".join(["## Steps", "", "| step | ended | its last line |", "| --- | --- | --- |", *rows])


def predicted(report: Report) -> Iterator[str]:
    """What every kernel was predicted to take, beside what it took, and the floor by the measured ceilings."""
    if report.section != KERNELS or not report.gpu:
        return
    chip, known = predictions.of_suite(report.precision, report.gpu)
    rows = [
        f"| {escaped(row.label)} | `{one.kernel}` | {_milliseconds(floor(row))} | {_milliseconds(one.seconds)} | "
        f"{_milliseconds(row.ours)} | {_share(row.ours, one.seconds)} | {one.bound} |"
        for row in report.rows
        if (one := known.get(row.label)) is not None
    ]
    if rows:
        head = ["row", "kernel", "floor ms", "predicted ms", "measured ms", "measured / predicted", "predicted bound"]
        yield "\n".join(
            [
                f"### Predicted and measured, {report.precision}",
                "",
                f"Predicted for an {chip.name} by its data sheet (benchmarks/predictions.py); the floor is by the "
                "ceilings that were measured beside the row.",
                "",
                f"| {' | '.join(head)} |",
                "|" + " --- |" * len(head),
                *rows,
            ]
        )


def floor(row: Row) -> float | None:
    """Seconds that the bytes and the operations of a row take at the measured ceilings, whichever is more."""
    times = [quotient(row.bytes, row.copy_bandwidth), quotient(row.operations, row.peak)]
    return max((time for time in times if time is not None), default=None)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else number(1e3 * seconds)


def _share(a: float | None, b: float) -> str:
    return "–" if a is None else percent(a / b)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what benchmarks/run_gpu.sh wrote")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the Markdown file")
    parser.add_argument("--page", type=Path, help="an HTML page with pictures, too")
    given = parser.parse_args(arguments)
    try:
        reports = read(given.folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if not reports and not (given.folder / "summary.txt").exists():
        sys.exit(f"error: {given.folder} holds no results: neither reports (*.json) nor summary.txt")
    written = given.into / name_of(reports)
    written.write_text(markdown(given.folder, reports), encoding="utf-8")
    print(f"written: {written}")
    if given.page and reports:
        from .page import page

        given.page.write_text(page(reports), encoding="utf-8")
        print(f"written: {given.page}")


if __name__ == "__main__":
    main()
