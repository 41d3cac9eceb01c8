"""The process behind `processes.Worker`: it builds cases of one engine and runs them on demand.

It is asked in lines of JSON on its standard input, and answers each with one:

    {"do": "build", "number": 7, "bytes": 12288}   →  {"sample": [...], "shape": [...], "parameters": null}
    {"do": "run", "what": "case", "runs": 12}      →  {"seconds": 0.0123}         (of one run, the mean of them)

`what` may also be a ceiling ("multiply-adds", "copy", "streaming copy") where the engine is tomograd; `bytes` is how
many a copy moves. A case that cannot be built or run gives {"failed": why}, one that is not meant for a variant of the
engine {"skipped": why}.
"""

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import catalogue, gpu
from .answers import private_output, reason
from .built import Built, NotApplicable
from .processes import ONE_THREAD
from .results import OURS

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
        self.on_gpu = gpu.CUDA in self.variants
        self.entries = catalogue.entries(section, self.on_gpu)
        self.module = importlib.import_module(f".engine_{self.name}", __package__)  # only the engine that is asked for
        self.runs: dict[str, Callable[[], Any]] = {}

    def build(self, number: int, bytes: int | None = None) -> dict[str, Any]:
        """Make a case and its ceilings ready, warm; gives what must agree between engines."""
        self.runs = {what: run for what, run in self.runs.items() if what == PEAK}
        gc.collect()
        answer = {} if bytes is None else self._build_ceilings(bytes)
        entry = self.entries[number]
        try:
            built: Built = self.module.build(entry.case, entry.which, self.variants)
        except NotApplicable as reason:
            return answer | {"skipped": str(reason)}
        answer |= sample(built.output(built.run())) | {"parameters": built.parameters}
        warm(built.run)
        self.wait()
        self.runs[CASE] = built.run
        return answer

    def _build_ceilings(self, bytes: int) -> dict[str, Any]:
        ceilings: Any = gpu if self.on_gpu else importlib.import_module(".ceilings", __package__)
        copies, moved = ceilings.copies(bytes)
        peak, operations = ceilings.peak()
        self.runs |= copies | {PEAK: peak}
        for run in self.runs.values():
            run()
        return {"ceilings": {PEAK: operations, **dict.fromkeys(copies, moved)}}

    def wait(self) -> None:
        """Until what was asked of a GPU is done."""
        if self.on_gpu:
            self.module.wait()

    def run(self, what: str, runs: int) -> dict[str, Any]:
        """The mean seconds of one of so many runs made now; if there are several, after one more that is not counted:
        another engine's data lie in the caches."""
        run = self.runs[what]
        if runs > 1:
            run()
        self.wait()
        start = time.perf_counter()
        for _ in range(runs):
            run()
        self.wait()
        return {"seconds": (time.perf_counter() - start) / runs}


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
        answer({"facts": engine.module.facts() | (gpu.facts() if engine.on_gpu and engine.name == OURS else {})})
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
