"""What the kernels are to reach on an H100, and whether a run did.

    training steps     of the S1 to S3 CNNs and U-Net base 32: at least 1.0 times PyTorch as it is written, and captured
                       into CUDA graphs at least 0.8 times PyTorch compiled or captured, at the same precision
    convolutions       a geometric mean of at least 0.7 of cuDNN's speed over all shapes and passes, none below 0.4
    memory-bound       kernels and optimizer steps: at least 85% of the bandwidth of a copy of as many bytes

Rows without a value leave a target open: it is not met by those that have one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .catalogue import KERNELS, STEPS, Entry, entries
from .networks import TRAINING, WITH_TARGETS
from .results import Report, Row, geometric_mean

EAGER, GRAPHS, MEAN, LEAST, OF_COPY = 1.0, 0.8, 0.7, 0.4, 0.85
MEMORY_BOUND = ("memory-bound kernels", "optimizers")
MET, MISSED, OPEN = "met", "missed", "open"


@dataclass(frozen=True)
class Verdict:
    """A target, what was reached (None: nothing measured), over how many rows, and in which, if it is of one."""

    target: str
    wanted: float
    reached: float | None
    rows: int
    without: int  # rows of the suite that have no value, or are not there
    where: str = ""

    @property
    def outcome(self) -> str:
        """Missed as soon as what is measured misses it; met when nothing is left to be measured."""
        if self.reached is not None and self.reached < self.wanted:
            return MISSED
        return MET if self.reached is not None and not self.without else OPEN


def verdicts(report: Report) -> list[Verdict]:
    """The targets that a report has rows for; none for the CPU's."""
    if not report.on_gpu:
        return []
    if report.section == STEPS and report.peers:
        return list(_of_steps(report))
    return list(_of_kernels(report)) if report.section == KERNELS else []


def _of_steps(report: Report) -> Iterator[Verdict]:
    wanted = {"ratio, eager": EAGER, "ratio, graphs": GRAPHS}
    rows = _rows(report, lambda entry: entry.which == TRAINING and entry.case.name in WITH_TARGETS)
    for name, compare in report.comparisons().items():
        if name in wanted:
            yield from _least(f"training steps, {name}", wanted[name], rows, compare)


def _of_kernels(report: Report) -> Iterator[Verdict]:
    convolutions = _rows(report, lambda entry: entry.group == "convolutions")
    if report.peers and any(row is not None for row in convolutions.values()):
        known = [ratio for row in convolutions.values() if row is not None and (ratio := row.ratio()) is not None]
        name, without = "convolutions, geometric mean of the ratios", len(convolutions) - len(known)
        yield Verdict(name, MEAN, geometric_mean(known), len(convolutions), without)
        yield from _least("convolutions, each ratio", LEAST, convolutions, Row.ratio)
    memory_bound = _rows(report, lambda entry: entry.group in MEMORY_BOUND)
    yield from _least("memory-bound kernels, share of a copy", OF_COPY, memory_bound, Row.copy_share)


def _rows(report: Report, belongs: Callable[[Entry], bool]) -> dict[str, Row | None]:
    """The rows of the suite that a target is about, by their labels; None for those that the report lacks."""
    found = {row.label: row for row in report.rows}
    return {entry.label: found.get(entry.label) for entry in entries(report.section, True) if belongs(entry)}


def _least(
    target: str, wanted: float, rows: dict[str, Row | None], value: Callable[[Row], float | None]
) -> Iterator[Verdict]:
    """The verdict on a value that every row is to reach, if the report has any of them."""
    present = [row for row in rows.values() if row is not None]
    values = [(reached, row.label) for row in present if (reached := value(row)) is not None]
    least, where = min(values, default=(None, ""))
    if present:
        yield Verdict(target, wanted, least, len(rows), len(rows) - len(values), where)


def missing(report: Report) -> Iterator[tuple[str, float, str]]:
    """(row, what it reached, the target) of every row that misses one."""
    if report.section == KERNELS and report.on_gpu:
        for row in report.rows:
            ratio, share = row.ratio(), row.copy_share()
            if row.group == "convolutions" and ratio is not None and ratio < LEAST:
                yield row.label, ratio, f"{LEAST} of cuDNN"
            if row.group in MEMORY_BOUND and share is not None and share < OF_COPY:
                yield row.label, share, f"{OF_COPY} of a copy"
