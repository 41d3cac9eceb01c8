"""The processes in which engines run: each engine in its own, with its threads and its allocator set from outside."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 600.0  # seconds for one answer: compiling a network is the slowest thing asked for
TUNED = {  # glibc's malloc keeps freed memory of any size instead of giving its pages back
    "MALLOC_MMAP_THRESHOLD_": "17179869184",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}
ONE_THREAD = "one-thread"
WORKER = ["-m", "tomograd.benchmarks.worker"]  # what Python runs; tests put another in its place
Answer = dict[str, Any]


def environment(engine: str, threads: int, **more: str) -> dict[str, str]:
    """The environment of an engine's process: its threads, one or the tuned allocator if the engine's name says so."""
    variants = engine.split(":")[1:]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOMOGRAD_NUM_THREADS", "NUMBA_NUM_THREADS")
    given = {name: value for name, value in os.environ.items() if name not in TUNED}
    tuned = TUNED if "tuned" in variants else {}
    return {**given, **dict.fromkeys(names, "1" if ONE_THREAD in variants else str(threads)), **tuned, **more}


class Worker:
    """A process that builds and runs cases of one engine on demand; see `worker` for what it understands.

    It is started when it is first asked something, and anew after it died: what it was asked then has failed.
    """

    def __init__(self, engine: str, section: str, threads: int, patience: float = PATIENCE):
        self.engine = engine
        self.facts: Answer = {}
        self._command = [sys.executable, *WORKER, engine, section]
        self._environment = environment(engine, threads)
        self._patience = patience
        self._process: subprocess.Popen[str] | None = None
        self._refused: Answer | None = None  # the engine cannot be started at all

    def send(self, **request: Any) -> None:
        """Ask without waiting."""
        if self._refused:
            return
        try:
            if self._process is None:
                self._start()
            self._write(request)
        except BrokenPipeError:  # `receive` finds out why
            pass

    def receive(self) -> Answer:
        """The answer to what was sent; {"failed": why} also where the process died or takes too long."""
        if self._refused:
            return self._refused
        answer = self._read()
        if "facts" in answer:  # the first line of a process that has just started
            self.facts = answer["facts"]
            answer = self._read()
        elif "failed" in answer and not self.facts:
            self._refused = answer
            self.close()
        return answer

    def ask(self, **request: Any) -> Answer:
        """Ask and wait for the answer."""
        self.send(**request)
        return self.receive()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment
        )

    def _write(self, request: Answer) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def _read(self) -> Answer:
        process = self._process
        if process is None or process.stdout is None:
            return {"failed": "the process is gone"}
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._patience, give_up)
        timer.start()
        try:
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        code = process.wait()
        self._process = None
        return {"failed": f"gave no answer within {self._patience:.0f} s" if late.is_set() else ended(code)}

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def ended(code: int) -> str:
    """How a process ended, in words."""
    return f"the process was ended by signal {-code}" if code < 0 else f"the process ended early with exit code {code}"


def probe(kind: str, engine: str, threads: int, *arguments: str, **variables: str) -> list[Answer]:
    """The stages that a fresh process told of, each with the seconds since it was started; a failure is the last."""
    command = [sys.executable, "-P", str(Path(__file__).with_name("probe.py")), kind, engine, *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(engine, threads, **variables),
    )
    assert process.stdout is not None and process.stderr is not None
    complaints: list[str] = []
    listener = threading.Thread(target=lambda: complaints.extend(process.stderr or []), daemon=True)
    listener.start()
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    stages = []
    try:
        for line in process.stdout:
            stages.append(json.loads(line) | {"seconds": time.perf_counter() - started})
        code = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.stdout.close()
    listener.join()
    if code:
        said = complaints[-1].strip() if complaints else ""
        stages.append({"failed": f"{ended(code)}{': ' if said else ''}{said[:300]}"})
    return stages
