"""Times several engines fairly: each in a process of its own, in turn, again and again.

A machine whose speed drifts then slows them alike. What is reported is the median of each and the ratio of the medians.
"""

import json
import os
import statistics
import subprocess
import sys
from typing import Self


class Worker:
    """A process that has built one case for one engine and runs it on demand."""

    def __init__(self, engine: str, section: str, case: int, threads: int, which: str = ""):
        limits = dict.fromkeys(["OMP_NUM_THREADS", "TOMOGRAD_NUM_THREADS", "NUMBA_NUM_THREADS"], str(threads))
        self._case = f"{engine} {section} {case} {which}"
        command = [sys.executable, "-m", "tomograd.benchmarks.worker", engine, section, str(case), which]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **limits}
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # they are pipes
        self._questions, self._answers = self._process.stdin, self._process.stdout
        self._answer()  # built and warm

    def _answer(self) -> float:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the benchmark {self._case} ended early with exit code {self._process.wait()}")
        return json.loads(line)

    def seconds(self, runs: int) -> float:
        """The mean time of one of `runs` runs made now."""
        self._questions.write(f"{runs}\n")
        self._questions.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self._questions.close()
        self._process.wait()


def alternate(workers: list[Worker], rounds: int, budget: float = 0.2) -> list[float]:
    """The median seconds of one run for each worker, over `rounds` rounds in turn, each of about `budget` seconds."""
    runs = [max(1, int(budget / max(worker.seconds(1), 1e-6))) for worker in workers]
    measured: list[list[float]] = [[] for _ in workers]
    for _ in range(rounds):
        for times, worker, count in zip(measured, workers, runs, strict=True):
            times.append(worker.seconds(count))
    return [statistics.median(times) for times in measured]
