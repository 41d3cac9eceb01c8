"""The process behind `processes.Worker`: it builds cases of one engine and runs them on demand.

It is asked in lines of JSON on its standard input, and answers each with one:

    {"do": "build", "number": 7, "bytes": 12288}   →  {"sample": [...], "shape": [...], "parameters": null}
    {"do": "run", "what": "case", "runs": 12}      →  {"seconds": 0.0123}         (of one run, the mean of them)

`what` may also be a ceiling ("multiply-adds", "copy", "streaming copy") where the engine is tomograd; `bytes` is how
many a copy moves. A case that cannot be built or run gives {"failed": why}, one that is not meant for a variant of the
engine {"skipped": why}.

On a GPU times are the GPU's own (timing.py): kernels one by one, {"seconds": their median, "turn": with what lies
between them}; a network's answer to "build" has "memory" too, the bytes of the GPU's that it took at most.
"""

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import catalogue, gpu, timing
from .answers import private_output, reason
from .built import Built, NotApplicable
from .processes import ONE_THREAD

WARM_UP = 0.15  # seconds, or so many runs: caches, page faults and the allocators' thresholds settle in
WARM_UP_RUNS = 10
SAMPLES = 512
PEAK, CASE = "multiply-adds", "case"
VARIANTS_OF_ENVIRONMENT = ("tuned", ONE_THREAD)


class Engine:
    """What this process can run: one case at a time, and the ceilings."""

    def __init__(self, name: str, section: str):
        self.name, *variants = name.split(":")
        self.variants = [variant for variant in variants if variant not in VARIANTS_OF_ENVIRONMENT]
        self.on_gpu, self.alone = gpu.CUDA in self.variants, section == catalogue.KERNELS
        self.entries = catalogue.entries(section, self.on_gpu)
        self.module = importlib.import_module(f".engine_{self.name}", __package__)  # only the engine that is asked for
        self.queue: timing.Queue | None = self.module.on_gpu(self.variants) if self.on_gpu else None
        self.runs: dict[str, Callable[[], Any]] = {}
        self.writes: dict[str, int] = {}  # on a GPU, before each run of a kernel

    def build(self, number: int, bytes: int | None = None) -> dict[str, Any]:
        """Make a case and its ceilings ready, warm; gives what must agree between engines."""
        self.runs = {what: run for what, run in self.runs.items() if what == PEAK}
        self.writes = {what: writes for what, writes in self.writes.items() if what == PEAK}
        gc.collect()
        if self.on_gpu:
            self.module.release()
        answer = {} if bytes is None else self._build_ceilings(bytes)
        entry = self.entries[number]
        try:
            built: Built = self.module.build(entry.case, entry.which, self.variants)
        except NotApplicable as reason:
            return answer | {"skipped": str(reason)}
        answer |= sample(built.output(built.run())) | {"parameters": built.parameters}
        warm(built.run)
        self.runs[CASE] = built.run
        if self.queue is not None:
            self.queue.wait()
            if not self.alone:
                answer["memory"] = self.module.taken()
        return answer

    def _build_ceilings(self, bytes: int) -> dict[str, Any]:
        if self.on_gpu:
            return self._build_ceilings_of_gpu(bytes)
        ceilings = importlib.import_module(".ceilings", __package__)
        copies, moved = ceilings.copies(bytes)
        peak, operations = ceilings.peak()
        self.runs |= copies | {PEAK: peak}
        for run in self.runs.values():
            run()
        return {"ceilings": {PEAK: operations, **dict.fromkeys(copies, moved)}}

    def _build_ceilings_of_gpu(self, bytes: int) -> dict[str, Any]:
        """The matrices of the product stay from case to case. Where cuBLAS is missing there is no such ceiling."""
        copies, moved = gpu.copies(bytes)
        ceilings = dict.fromkeys(copies, moved)
        try:
            if PEAK not in self.runs:
                self.runs[PEAK], self.operations_of_peak = gpu.peak(self.precision)
                self.runs[PEAK]()
            ceilings[PEAK] = self.operations_of_peak
        except ImportError as error:
            print(f"no ceiling of multiply-adds: {reason(error)}", file=sys.stderr)
        self.runs |= copies
        return {"ceilings": ceilings}

    @property
    def precision(self) -> str:
        """The variant that names one."""
        return next((variant for variant in self.variants if variant in gpu.PRECISIONS), gpu.EXACT)

    def run(self, what: str, runs: int) -> dict[str, Any]:
        """The mean seconds of one of so many runs made now; if there are several, after one more that is not counted:
        another engine's data lie in the caches."""
        run = self.runs[what]
        if runs > 1:
            run()
        if self.queue is not None:
            return self._run_on_gpu(what, run, runs)
        start = time.perf_counter()
        for _ in range(runs):
            run()
        return {"seconds": (time.perf_counter() - start) / runs}

    def _run_on_gpu(self, what: str, run: Callable[[], Any], runs: int) -> dict[str, Any]:
        assert self.queue is not None
        if not self.alone:
            return timing.in_a_row(self.queue, run, runs)._asdict()
        if what not in self.writes:
            self.writes[what] = timing.writes_to_hide(self.queue, run)
        return timing.alone(self.queue, run, runs, self.writes[what])._asdict()


def warm(run: Callable[[], Any]) -> None:
    """Some runs that nobody measures."""
    end = time.perf_counter() + WARM_UP
    for _ in range(WARM_UP_RUNS):
        run()
        if time.perf_counter() > end:
            break


def sample(result: np.ndarray | None) -> dict[str, Any]:
    """The shape of a result and some of its numbers, always those at the same places."""
    if result is None or result.size == 0:
        return {}
    places = np.random.default_rng(0).integers(0, result.size, SAMPLES)
    return {"shape": list(result.shape), "sample": result[np.unravel_index(places, result.shape)].tolist()}


def main(name: str, section: str) -> None:
    answer = private_output()
    try:
        engine = Engine(name, section)
        answer({"facts": engine.module.facts(engine.variants)})
    except Exception as error:
        return answer({"failed": reason(error)})
    for line in sys.stdin:
        request = json.loads(line)
        action = getattr(engine, request.pop("do"))
        try:
            answer(action(**request))
        except Exception as error:  # a case that fails is a row that says so
            answer({"failed": reason(error)})
    return None


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # the parent has it too, and says so
        sys.exit(130)
