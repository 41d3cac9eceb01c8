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
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "TOMOGRAD_NUM_THREADS": str(threads),
            "NUMBA_NUM_THREADS": str(threads),
        }
        command = [sys.executable, "-m", "tomograd.benchmarks.worker", engine, section, str(case), which]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._answer()  # built and warm

    def _answer(self) -> float:
        line = self._process.stdout.readline()
        if not line:
            case = " ".join(self._process.args[3:])
            raise RuntimeError(f"the benchmark process ended early with exit code {self._process.wait()}: {case}")
        return json.loads(line)

    def seconds(self, runs: int) -> float:
        """The mean time of one of `runs` runs made now."""
        self._process.stdin.write(f"{runs}\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self._process.stdin.close()
        self._process.wait()


def alternate(workers: list[Worker], rounds: int, budget: float = 0.2) -> list[float]:
    """The median seconds of one run for each worker, over `rounds` rounds in turn, each of about `budget` seconds."""
    runs = [max(1, int(budget / max(worker.seconds(1), 1e-6))) for worker in workers]
    measured: list[list[float]] = [[] for _ in workers]
    for _ in range(rounds):
        for times, worker, count in zip(measured, workers, runs, strict=True):
            times.append(worker.seconds(count))
    return [statistics.median(times) for times in measured]
