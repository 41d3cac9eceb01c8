"""Measures the rows of a section, fairly: each engine in a process of its own, in turn, round after round.

A machine whose speed drifts slows all of them alike; the ceilings take their turn between the engines. What is reported
is the median of the rounds. A case that fails is a row that says so.
"""

import datetime
import importlib.util
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomograd.engine import DeviceError
from tomograd.engine.device import gpu_library
from tomograd.failures import UserError

from . import gpu, machine
from .catalogue import FUNCTIONS, KERNELS, MEMORY, SECTIONS, STARTUP, STEPS, Entry, entries
from .processes import ONE_THREAD, TUNED, Worker, probe
from .results import COPIES, OURS, PEAK, Ceiling, Measured, Report, Row

CPU, EXACT = "cpu", gpu.EXACT
ROUNDS = {KERNELS: 5, FUNCTIONS: 5, STEPS: 5, STARTUP: 3, MEMORY: 3}
BUDGET = {KERNELS: 0.03, FUNCTIONS: 0.01, STEPS: 0.2}  # seconds of one engine in one round; at least one run
CEILING_BUDGET = 0.02
PAUSE = 0.015  # seconds before another engine's turn: OpenMP's threads spin for some 8 ms after their work
# Of the largest number: sums of up to a million float32 products differ by some 1e-5, and rounded factors add up to
# a few times the distance of neighbouring numbers of their type, of which TF32 and float16 have 2^-10, bfloat16 2^-7.
TOLERANCES = {EXACT: 1e-3, gpu.TF32: 4e-3, gpu.FLOAT16: 4e-3, gpu.BFLOAT16: 3e-2}
STAGES = ("Python itself", "import", "first inference", "first training step")
MOST_LABELS = 12
_LAYOUTS = ["nchw", "channels_last"]
CAPTURED = "captured"  # tomograd with its training steps as CUDA graphs
PEERS: dict[str, dict[str, list[str]]] = {
    "torch": {
        KERNELS: [*_LAYOUTS, *(f"{layout}:tuned" for layout in _LAYOUTS)],
        STEPS: [*_LAYOUTS, "compile", *(f"{variant}:tuned" for variant in (*_LAYOUTS, "compile"))],
        STARTUP: ["nchw"],
        MEMORY: _LAYOUTS,
    },
    ONE_THREAD: {section: [ONE_THREAD] for section in SECTIONS},
}
PEERS_ON_GPU: dict[str, dict[str, list[str]]] = {
    "torch": {KERNELS: _LAYOUTS, STEPS: [*_LAYOUTS, CAPTURED, "compile", "graphs"]},
    CAPTURED: {STEPS: [CAPTURED]},
}
PACKAGES = {ONE_THREAD: OURS, CAPTURED: OURS}  # of peers that are not called as their package is
Say = Callable[[str], None]


@dataclass
class Options:
    """What is to be measured, and how."""

    section: str
    peer: str | None = None
    threads: int | None = None  # None: all processors
    rounds: int | None = None  # None: the section's own
    shape: str = ""  # only rows whose label or source holds this text
    fused_adam: bool = False  # the peer's Adam in steps as one fused kernel
    command: str = ""
    device: str = CPU
    precision: str = EXACT  # of products on a GPU, of all engines
    earlier: Report | None = None  # a run that was cut off: its rows are not measured again

    @property
    def on_gpu(self) -> bool:
        return self.device == gpu.CUDA


def measure(options: Options, say: Say = lambda text: None, keep: Callable[[Report], None] | None = None) -> Report:
    """The report of one section; an interruption (Ctrl-C) ends it early, with what is measured so far. `keep` is given
    the report after every row, which may be the last.

    Raises UserError for a peer that is unknown or not installed, a number of threads or rounds that cannot be, a
    `shape` that no row holds, and an earlier run of something else.
    """
    report = begin(options)
    measured = {STARTUP: startup_rows, MEMORY: memory_rows}.get(options.section, timed_rows)(options, report, say)
    report.complete = False
    try:
        for row in measured:
            report.rows.append(row)
            say(line(row, report))
            if keep is not None:
                keep(report)
        report.complete = True
    except KeyboardInterrupt:
        say("interrupted: reporting what is measured")
    return report


def begin(options: Options) -> Report:
    """The report without rows, of options that are checked."""
    if options.section not in SECTIONS:
        raise UserError(None, f"section {options.section!r}: expected one of {', '.join(SECTIONS)}")
    cores = machine.cores()
    threads = cores if options.threads is None else options.threads
    rounds = ROUNDS[options.section] if options.rounds is None else options.rounds
    if not 1 <= threads <= cores:
        raise UserError(None, f"--threads {options.threads}: expected 1 to {cores}, the processors of this machine")
    _check_device(options)
    if rounds < 1:
        raise UserError(None, f"--rounds {options.rounds}: expected at least 1")
    report = Report(
        section=options.section,
        command=options.command,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        threads=threads,
        rounds=rounds,
        machine=machine.machine(),
        versions=machine.versions(PACKAGES.get(options.peer or OURS, options.peer)),
        engines=[OURS, *own_variants(options), *peer_engines(options)],
        allocators=allocators(options),
        device=options.device,
        precision=options.precision,
    )
    if options.earlier is not None:
        go_on_with(options.earlier, report)
    return report


def go_on_with(earlier: Report, report: Report) -> None:
    """Take over what is known of an earlier run. Raises UserError if it is one of something else."""
    for name in ("section", "device", "precision", "engines", "rounds", *(() if report.on_gpu else ("threads",))):
        before, now = getattr(earlier, name), getattr(report, name)
        if before != now:
            raise UserError(None, f"--resume: {name} was {before} in the file, and is {now} now")
    report.date, report.facts = earlier.date, earlier.facts


def _check_device(options: Options) -> None:
    """Raise UserError for a device or a precision that is unknown, or with which there is nothing to measure."""
    for name, value, known in (
        ("--device", options.device, (CPU, gpu.CUDA)),
        ("--precision", options.precision, gpu.PRECISIONS),
    ):
        if value not in known:
            raise UserError(None, f"{name} {value}: expected {', '.join(known[:-1])} or {known[-1]}")
    if not options.on_gpu:
        if options.precision != EXACT:
            raise UserError(None, f"--precision {options.precision}: the CPU's products are exact; see --device")
        return
    if options.section not in (KERNELS, STEPS):
        raise UserError(None, f"--device {options.device}: {options.section} are measured on the CPU")
    if options.precision == gpu.FLOAT16 and options.section != KERNELS:
        raise UserError(None, f"--precision {gpu.FLOAT16}: there are kernels for such arrays, but no networks of them")
    try:
        gpu_library()
    except (ImportError, DeviceError) as error:
        raise UserError(None, f"--device {options.device}: {error}") from error


def process_of(engine: str, options: Options) -> str:
    """What an engine is called where its process is started: its name, device and precision."""
    if not options.on_gpu:
        return engine
    return f"{engine}:{options.device}" + ("" if options.precision == EXACT else f":{options.precision}")


def own_variants(options: Options) -> list[str]:
    """Those of tomograd that have columns beside a peer: its steps as graphs, where the peer's are graphs too."""
    return [f"{OURS}:{CAPTURED}"] if options.on_gpu and options.section == STEPS and options.peer == "torch" else []


def peer_engines(options: Options) -> list[str]:
    """The names of the peer's variants. Raises UserError."""
    if options.peer is None:
        return []
    peers = PEERS_ON_GPU if options.on_gpu else PEERS
    if options.peer not in peers:
        raise UserError(None, f"--peer {options.peer}: expected one of {', '.join(peers)}")
    if options.section not in peers[options.peer]:
        others = [name for name, sections in peers.items() if options.section in sections]
        alone = f"{options.section} are measured alone, or with --peer {' or '.join(others)}"
        raise UserError(None, f"--peer {options.peer}: {alone}")
    package = PACKAGES.get(options.peer, options.peer)
    if importlib.util.find_spec(package) is None:
        raise UserError(None, f'--peer {options.peer}: it is not installed; pip install "tomograd[bench]" installs it')
    suffix = ":fused" if options.fused_adam and options.section in (STEPS, MEMORY) and package != OURS else ""
    return [f"{package}:{variant}{suffix}" for variant in peers[options.peer][options.section]]


def allocators(options: Options) -> dict[str, str]:
    """What the allocators of the report's columns are."""
    found = {"default": "each engine as it is: tomograd with its caching allocator, the peer with the C library's"}
    if any("tuned" in engine for engine in peer_engines(options)):
        settings = " ".join(f"{name}={value}" for name, value in TUNED.items())
        found["tuned"] = f"the peer's process has {settings}: freed memory is kept and reused without page faults"
    return found


def chosen(options: Options, labelled: list[Any]) -> list[Any]:
    """Those that match `--shape`. Raises UserError where none does, with some labels to choose from."""
    found = [entry for entry in labelled if entry.matches(options.shape)]
    if not found:
        step = math.ceil(len(labelled) / MOST_LABELS)
        some = "; ".join(entry.label for entry in labelled[::step])
        raise UserError(None, f"--shape {options.shape!r}: no row of {options.section} holds it. Some rows: {some}")
    return found


# ---- cases that are run again and again ------------------------------------------------------------------------------


def timed_rows(options: Options, report: Report, say: Say) -> Iterator[Row]:
    """The rows of kernels or steps."""
    wanted = chosen(options, [entry for entry in entries(options.section, options.on_gpu) if computed(entry, options)])
    known = {row.label: row for row in options.earlier.rows if row.settled} if options.earlier else {}
    yield from (row for label, row in known.items() if label not in {entry.label for entry in wanted})
    with ExitStack() as stack:
        workers = {
            engine: stack.enter_context(Worker(process_of(engine, options), options.section, report.threads))
            for engine in report.engines
        }
        for position, entry in enumerate(wanted, 1):
            if entry.label in known:
                yield known[entry.label]
                continue
            say(f"[{position}/{len(wanted)}] {entry.label}")
            row = timed_row(entry, workers, report.rounds, options)
            note_facts(report, workers)
            yield row


def computed(entry: Entry, options: Options) -> bool:
    """Whether the precision makes a difference to it: only products are rounded, and only convolutions and dense layers
    take arrays of half precision."""
    if options.precision == EXACT or entry.section != KERNELS:
        return True
    return entry.group in ("convolutions", "dense", *(["recurrent cells"] if options.precision != gpu.FLOAT16 else []))


def note_facts(report: Report, workers: dict[str, Worker]) -> None:
    """What the processes say of themselves. Raises UserError if a run is gone on with on another GPU."""
    told = {engine: worker.facts for engine, worker in workers.items() if worker.facts}
    before, now = report.gpu, told.get(OURS, {}).get("gpu")
    if before and now and before != now:
        raise UserError(None, f"--resume: the file has times of {before}, this is {now}")
    report.facts = report.facts | told


def timed_row(entry: Entry, workers: dict[str, Worker], rounds: int, options: Options) -> Row:
    """One case on all engines, and the machine's ceilings beside it."""
    row = Row(entry.label, entry.group, entry.which, entry.source)
    if entry.section == KERNELS:
        row.operations, row.bytes = entry.case.operations(entry.which), entry.case.bytes(entry.which)
        row.bytes //= 2 if options.precision == gpu.FLOAT16 else 1
    answers = built(entry, workers, row.bytes, options.on_gpu)
    for name, amount in answers[OURS].get("ceilings", {}).items():
        row.ceilings[name] = Ceiling(amount)
    expected = getattr(entry.case, "parameters", None)
    for engine, answer in answers.items():
        failed = answer.get("failed") or disagreement(answer, answers[OURS], expected, TOLERANCES[options.precision])
        notes = {name: answer[name] for name in ("parameters", "memory") if answer.get(name)}
        row.results[engine] = Measured(failed=failed, skipped=answer.get("skipped"), notes=notes)
    alternate(row, workers, rounds, BUDGET[entry.section])
    return row


def built(entry: Entry, workers: dict[str, Worker], size: int | None, on_gpu: bool) -> dict[str, dict[str, Any]]:
    """Every engine's answer to the request to build the case. Kernels are built at the same time; networks one after
    the other: what one process compiled, the next finds in its cache. On a GPU, too, one after the other: the peer
    times its algorithms, and none should see another's memory come and go."""
    requests = {
        engine: {"do": "build", "number": entry.number} | ({"bytes": size} if engine == OURS and size else {})
        for engine in workers
    }
    if on_gpu or entry.section != KERNELS:
        return {engine: worker.ask(**requests[engine]) for engine, worker in workers.items()}
    for engine, worker in workers.items():
        worker.send(**requests[engine])
    return {engine: worker.receive() for engine, worker in workers.items()}


def disagreement(
    answer: dict[str, Any], ours: dict[str, Any], parameters: int | None, tolerance: float = TOLERANCES[EXACT]
) -> str | None:
    """Why an engine does not compute what the case says; None if it does, as far as was looked."""
    if "skipped" in answer:
        return None
    if parameters is not None and answer.get("parameters") != parameters:
        return f"is no twin: it trains {answer.get('parameters')} weights, the case has {parameters}"
    theirs, own = answer.get("sample"), ours.get("sample")
    if theirs is None or own is None:
        return None
    if answer["shape"] != ours["shape"]:
        return f"gives an array of shape {answer['shape']}, tomograd one of {ours['shape']}"
    difference = float(np.abs(np.subtract(theirs, own)).max())
    scale = float(np.abs(own).max())
    if not difference <= tolerance * scale:
        return f"gives other numbers than tomograd: they differ by {difference:.3g}, the largest is {scale:.3g}"
    return None


def alternate(row: Row, workers: dict[str, Worker], rounds: int, budget: float) -> None:
    """Fill in the row's times: in each round each engine and each ceiling once, beginning with another one."""
    able = [engine for engine, result in row.results.items() if not (result.failed or result.skipped)]
    ceilings = [(name, CEILING_BUDGET) for name in (PEAK, *COPIES) if name in row.ceilings]
    turns = [(engine, [("case", budget), *(ceilings if engine == OURS else [])]) for engine in able]
    runs = {}
    for engine, what, seconds in taken(turns):
        answer = workers[engine].ask(do="run", what=what, runs=1)
        row.results[engine].failed = row.results[engine].failed or answer.get("failed")
        needed = answer["turn"] if "turn" in answer else answer.get("seconds", seconds)
        runs[engine, what] = max(1, int(seconds / max(needed, 1e-7)))
    for number in range(rounds):
        first = number % max(len(turns), 1)
        for engine, what, _ in taken(turns[first:] + turns[:first]):
            result = row.results[engine]
            if result.failed:
                continue
            answer = workers[engine].ask(do="run", what=what, runs=runs[engine, what])
            if "failed" in answer:
                result.failed = answer["failed"]
            else:
                (result if what == "case" else row.ceilings[what]).values.append(answer["seconds"])
    for result in row.results.values():
        if result.failed:
            result.values.clear()


def taken(turns: list[tuple[str, list[tuple[str, float]]]]) -> Iterator[tuple[str, str, float]]:
    """(engine, what it runs, for how many seconds) one after the other, with a pause before each other engine."""
    for engine, parts in turns:
        time.sleep(PAUSE)
        for what, seconds in parts:
            yield engine, what, seconds


# ---- fresh processes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Start:
    """A row of the section startup: a stage of a process that found compiled kernels, or none."""

    cache: str
    stage: str

    @property
    def label(self) -> str:
        return f"S3 CNN, {self.cache} kernel cache | {self.stage}"

    def matches(self, text: str) -> bool:
        return text.lower() in self.label.lower()


def startup_rows(options: Options, report: Report, say: Say) -> Iterator[Row]:
    """Seconds from the start of a process to each stage; with kernels compiled by an earlier process, and without."""
    wanted = chosen(options, [Start(cache, stage) for cache in ("warm", "cold") for stage in STAGES])
    for cache in dict.fromkeys(start.cache for start in wanted):
        say(f"starting processes with a {cache} kernel cache")
        rows = [Row(start.label, STARTUP, start.stage) for start in wanted if start.cache == cache]
        for row in rows:
            row.results = {engine: Measured() for engine in report.engines}
            if cache == "cold":
                for engine in report.peers:
                    row.results[engine].skipped = "has no cache of kernels: see the warm rows"
        with tempfile.TemporaryDirectory(prefix="tomograd-bench-") as shared:
            if cache == "warm":
                probe("startup", OURS, report.threads, TOMOGRAD_CACHE=shared)
            for _ in range(report.rounds):
                _start_all(rows, report, shared if cache == "warm" else None)
        yield from rows


def _start_all(rows: list[Row], report: Report, folder: str | None) -> None:
    """One process of each engine, its stages added to the rows; without a folder the kernel cache is a new one."""
    for engine in report.engines:
        with tempfile.TemporaryDirectory(prefix="tomograd-bench-") as empty:
            results = {row.which: row.results[engine] for row in rows}
            if any(result.skipped or result.failed for result in results.values()):
                continue
            for told in probe("startup", engine, report.threads, TOMOGRAD_CACHE=folder or empty):
                for stage, result in results.items():
                    if told.get("stage") == stage:
                        result.values.append(told["seconds"])
                    elif "failed" in told:
                        result.failed = told["failed"]


def memory_rows(options: Options, report: Report, say: Say) -> Iterator[Row]:
    """The peak of resident memory that training steps take, beyond what the import of the engine took."""
    wanted = chosen(options, entries(MEMORY))
    for position, entry in enumerate(wanted, 1):
        say(f"[{position}/{len(wanted)}] {entry.label}")
        row = Row(entry.label, MEMORY, entry.which, unit="B")
        row.results = {engine: Measured() for engine in report.engines}
        probe("memory", OURS, report.threads, str(entry.number))  # compiles kernels that are not compiled yet
        for _ in range(report.rounds):
            for engine, result in row.results.items():
                if result.failed:
                    continue
                told = probe("memory", engine, report.threads, str(entry.number))[-1:] or [{"failed": "said nothing"}]
                result.failed = told[0].get("failed") or disagreement(told[0], {}, entry.case.parameters)
                if not result.failed:
                    result.values.append(told[0]["bytes"])
                    result.notes = {key: told[0][key] for key in ("allocator", "baseline") if key in told[0]}
        yield row


# ---- progress --------------------------------------------------------------------------------------------------------


def line(row: Row, report: Report) -> str:
    """A row in one line, for someone who waits, and why an engine failed."""
    from .tables import amount, number

    parts = [f"{engine} {amount(row, engine)}" for engine in report.engines]
    ratios = {name: compare(row) for name, compare in report.comparisons().items()}
    known = "; ".join(f"{name} {number(ratio)}" for name, ratio in ratios.items() if ratio is not None)
    said = [f"    {row.label}: {', '.join(parts)}" + (f"; {known}" if known else "")]
    said += [f"    {engine}: {result.failed}" for engine, result in row.results.items() if result.failed]
    return "\n".join(said)


def to_stderr(text: str) -> None:
    """Progress belongs on stderr: stdout is for the result."""
    print(text, file=sys.stderr, flush=True)
