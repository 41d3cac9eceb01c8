"""What a run of the suite measured, what follows from it, and its form as JSON.

The JSON of a report (`"format": "tomograd-benchmark-1"`):

    section       "kernels", "functions", "steps", "startup" or "memory"
    command, date (ISO 8601, UTC), threads, rounds
    device        "cpu" or "cuda"; precision, of products there: "float32", "tf32", "bfloat16" or "float16"
    complete      false where the run was interrupted: its rows are those measured until then
    machine       {"processor": …, "cores": …, "memory": …, "caches": {"L1 data": …}, "system": …}
    versions      {"tomograd": …, "python": …, "numpy": …, …}
    engines       names in the order of the columns: "tomograd", "torch:nchw", "torch:nchw:tuned" …
    facts         engine → what its process says of itself: {"threads": 2, "simd": "avx512", …}
    allocators    {"default": …, "tuned": …}: what the peers' processes were given
    rows          a list of
        label, group, which (the pass), source
        unit          "s" or "B": what `values` are
        operations, bytes     of one run: null where they say nothing
        results       engine → {"values": [one for each round], "failed": why, "skipped": why, "notes": {…}};
                      the median is what is reported; of the notes "memory" are the bytes of a GPU's that a network took
        ceilings      name ("multiply-adds", "copy", "streaming copy") → {"amount": operations or bytes of one run,
                      "values": [seconds, one for each round]}, measured between the rounds of this row

Ratios are the best peer's median over tomograd's: above 1, tomograd is ahead. Variants of tomograd (such as
"tomograd:captured") are peers where there is no other.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = "tomograd-benchmark-1"
OURS = "tomograd"
CAPTURED = "tomograd:captured"  # its training steps as CUDA graphs
EAGER = ("nchw", "channels_last")  # variants of a peer that run as they are written
PEAK = "multiply-adds"
COPIES = ("copy", "streaming copy")


@dataclass
class Measured:
    """What one engine needed for one row: a value for each round, or why there is none."""

    values: list[float] = field(default_factory=list)
    failed: str | None = None
    skipped: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None


@dataclass
class Ceiling:
    """What the machine can do: `amount` operations or bytes in each of the seconds of `values`."""

    amount: int
    values: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Operations or bytes a second, by the median."""
        return self.amount / statistics.median(self.values) if self.values else None


@dataclass
class Row:
    """One line of a report: a case, a pass, and each engine's result."""

    label: str
    group: str
    which: str
    source: str = ""
    unit: str = "s"
    operations: int | None = None
    bytes: int | None = None
    results: dict[str, Measured] = field(default_factory=dict)
    ceilings: dict[str, Ceiling] = field(default_factory=dict)

    def median(self, engine: str) -> float | None:
        """The engine's median, None where it has none."""
        return self.results[engine].median if engine in self.results else None

    @property
    def ours(self) -> float | None:
        return self.median(OURS)

    def best(self, tuned: bool) -> float | None:
        """The best median among the peers with the default allocator, or among those with the tuned one."""
        return self.quickest(name for name in peers_among(self.results) if is_tuned(name) == tuned)

    def quickest(self, engines: Iterable[str]) -> float | None:
        """The best median of these engines."""
        known = [self.median(name) for name in engines]
        return min((value for value in known if value is not None), default=None)

    @property
    def settled(self) -> bool:
        """Whether every engine has a value, or is not meant for this row: nothing is to be measured again."""
        return all(result.values or result.skipped for result in self.results.values())

    def ratio(self, tuned: bool = False) -> float | None:
        """How many times tomograd's time (or memory) the best peer needs."""
        best, ours = self.best(tuned), self.ours
        return None if best is None or not ours else best / ours

    def rate(self, engine: str) -> float | None:
        """Operations a second."""
        value = self.median(engine)
        return self.operations / value if self.operations and value and self.unit == "s" else None

    def bandwidth(self, engine: str) -> float | None:
        """Bytes that must move, a second."""
        value = self.median(engine)
        return self.bytes / value if self.bytes and value and self.unit == "s" else None

    @property
    def peak(self) -> float | None:
        """Operations a second that the machine reached between this row's rounds."""
        return self.ceilings[PEAK].rate if PEAK in self.ceilings else None

    @property
    def copy_bandwidth(self) -> float | None:
        """Bytes a second of the better copy of as many bytes."""
        rates = [self.ceilings[name].rate for name in COPIES if name in self.ceilings]
        return max((rate for rate in rates if rate is not None), default=None)

    def peak_share(self, engine: str = OURS) -> float | None:
        return quotient(self.rate(engine), self.peak)

    def copy_share(self, engine: str = OURS) -> float | None:
        return quotient(self.bandwidth(engine), self.copy_bandwidth)

    @property
    def intensity(self) -> float | None:
        """Operations for each byte that must move."""
        return self.operations / self.bytes if self.operations and self.bytes else None

    @property
    def roof_share(self) -> float | None:
        """tomograd's share of what the roofline allows at this intensity."""
        shares = [share for share in (self.peak_share(), self.copy_share()) if share is not None]
        return max(shares, default=None)


Comparison = Callable[[Row], float | None]


@dataclass
class Report:
    """All that one run measured, and where; see the module for its form as JSON."""

    section: str
    command: str
    date: str
    threads: int
    rounds: int
    machine: dict[str, Any]
    versions: dict[str, str]
    engines: list[str]
    allocators: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    complete: bool = True
    device: str = "cpu"
    precision: str = "float32"

    @property
    def peers(self) -> list[str]:
        return peers_among(self.engines)

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def comparisons(self) -> dict[str, Comparison]:
        """The columns of ratios, by their headings. Beside another engine, steps on a GPU are compared twice: as they
        are written, and as CUDA graphs, ours with the best of what the peer captures or compiles."""
        if not self.peers:
            return {}
        if self.on_gpu and CAPTURED in self.engines and CAPTURED not in self.peers:
            eager = [engine for engine in self.peers if engine.split(":")[1] in EAGER]
            whole = [engine for engine in self.peers if engine not in eager]
            return {
                "ratio, eager": lambda row: quotient(row.quickest(eager), row.ours),
                "ratio, graphs": lambda row: quotient(row.quickest(whole), row.median(CAPTURED)),
            }
        tuned: dict[str, Comparison] = {"ratio, tuned": lambda row: row.ratio(tuned=True)}
        return {"ratio": Row.ratio} | (tuned if "tuned" in self.allocators else {})

    @property
    def gpu(self) -> str | None:
        """The name of the GPU that was measured."""
        return self.facts.get(OURS, {}).get("gpu")

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The report that `to_json` wrote. Raises ValueError for anything else."""
        try:
            given = json.loads(text)
            if not isinstance(given, dict) or given.pop("format", None) != FORMAT:
                raise ValueError(f'it has no "format": "{FORMAT}"')
            rows = [
                Row(
                    **row
                    | {
                        "results": {name: Measured(**result) for name, result in row["results"].items()},
                        "ceilings": {name: Ceiling(**ceiling) for name, ceiling in row["ceilings"].items()},
                    }
                )
                for row in given.pop("rows")
            ]
            return cls(**given, rows=rows)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a report of tomograd bench: {type(error).__name__}: {error}") from error


def peers_among(engines: Iterable[str]) -> list[str]:
    """Those that tomograd is compared with: other engines, or its own variants where there is no other."""
    engines = list(engines)
    others = [engine for engine in engines if engine.split(":")[0] != OURS]
    return others or [engine for engine in engines if engine != OURS]


def is_tuned(engine: str) -> bool:
    """Whether the engine's process runs under the tuned allocator."""
    return "tuned" in engine.split(":")


def quotient(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """exp of the mean of the logarithms, of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return math.exp(statistics.fmean(map(math.log, known))) if known else None


@dataclass
class Summary:
    """The ratios of a group of rows."""

    name: str
    rows: int
    means: dict[str, float | None]  # geometric means, of each of the report's comparisons
    least: float | None  # of the first of them
    behind: int  # rows in which that peer is ahead
    failed: int  # rows that tomograd has no value for


def summaries(report: Report) -> Iterator[Summary]:
    """All rows, and, where there are several, each pass of each group."""
    parts: dict[str, list[Row]] = {"all": report.rows}
    for row in report.rows:
        parts.setdefault(f"{row.group}, {row.which}", []).append(row)
    comparisons = report.comparisons()
    for name, rows in parts.items():
        if name != "all" and len(parts) == 2:
            continue
        means = {heading: geometric_mean(map(compare, rows)) for heading, compare in comparisons.items()}
        first = next(iter(comparisons.values()), Row.ratio)
        ratios = [ratio for ratio in map(first, rows) if ratio is not None]
        behind = sum(ratio < 1 for ratio in ratios)
        failed = sum(row.ours is None for row in rows)
        yield Summary(name, len(rows), means, min(ratios, default=None), behind, failed)


def machine_ceilings(report: Report) -> tuple[float | None, float | None, float | None]:
    """(multiply-adds, copy of the most bytes, fastest copy): operations and bytes a second over the whole run; the
    first and the last are medians and the best over rows."""
    peaks = [row.peak for row in report.rows if row.peak is not None]
    copies = [(row.bytes, row.copy_bandwidth) for row in report.rows if row.bytes and row.copy_bandwidth]
    peak = statistics.median(peaks) if peaks else None
    if not copies:
        return peak, None, None
    most = max(size for size, _ in copies)
    largest = statistics.median(rate for size, rate in copies if size >= most / 2)
    return peak, largest, max(rate for _, rate in copies)
