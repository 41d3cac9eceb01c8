"""Which mutants of a module its tests let live: `python tests/mutation/survivors.py engine.functions.pooling`.

The module's tests are collected once. Each mutant gets a process of its own, forked from that one, where its code takes
the place of the module's, and runs the tests that reach the changed function, those first that found the mutants
before it, until one fails. A mutant that changes what happens while the module is imported is imported instead, before
all else. What survives is an equivalent program, and stands with the reason in `explained/`, or it is printed: it shows
a test that is missing.

Of a module with very many mutants, `--sample 40` takes so many at random (the same ones every time).

Where the tests fail on the module as it is, nothing can be said of mutants: this ends with the names of those tests.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import io
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import hypothesis.extra.numpy  # noqa: F401
import numpy  # noqa: F401
import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item
from code_exchange import can_be_exchanged, changes, compiled, exchange, functions_run, key, living_functions
from explained import why
from hypothesis import Phase, settings
from mutants import Mutant, mutants_of

TESTS = Path(__file__).parents[1]
LIMIT = 100  # seconds for a test: what takes longer counts as found
MEMORY = 8 << 30  # bytes of addresses: what wants more counts as found

DIED = "the process"  # instead of the test that found a mutant
_QUIETLY = ["-q", "-p", "no:cacheprovider"]

# The tests that belong to the modules of a folder, beside those of its registry; {name} is the module's own.
_GRADIENTS = ["mutation/test_mutations.py", "testing/test_registry.py"]
_KERNELS = ["kernels/test_exact_sums.py", "golden"]
TESTS_OF = {
    "engine.functions": [*_GRADIENTS, "engine/functions", "engine/test_golden_functions.py"],
    "kernels.reference": [*_GRADIENTS, *_KERNELS, "kernels/reference", "kernels/cpu/test_{name}.py"],
    "kernels": ["kernels/test_{name}.py", "kernels/test_interface.py", "kernels/reference"],
    "kernels.cpu": ["kernels/cpu", "testing/test_registry.py", *_KERNELS],
    "testing": [f"testing/test_{name}.py" for name in ("gradcheck", "rules", "compare", "arrays")],
    "kernels.cuda": ["kernels/cuda/test_launching.py", "kernels/cuda/cases_{name}.py"],  # emulated
}

# Of launchers without a file of cases by their name: whose they are.
CASES_OF = {
    "convolution": ["convolution", "convolution_tensor_cores"],
    "correlation": ["convolution", "convolution_tensor_cores"],
    "cross_entropy": ["losses"],
    "depthwise": ["convolution"],
    "dice": ["losses"],
    "few_channels": ["convolution"],
    "launching": ["elementwise", "pooling", "normalization"],
    "layer_normalization": ["normalization"],
    "lines": ["normalization", "losses"],
    "output_tiles": ["convolution"],
    "rows": ["softmax", "normalization"],
    "weight_tensor_cores": ["convolution_tensor_cores"],
    "weight_tiles": ["convolution"],
}


def tests_of(module: str) -> list[str]:
    """The paths of the tests that belong to a module. Raises LookupError where none are known.

    The cases of CUDA kernels run emulated on the CPU, not under the address sanitizer: a mutant that reads what it
    should not, and lives, may be found by `test_emulated.py`.
    """
    folder, _, name = module.rpartition(".")
    if folder not in TESTS_OF:
        raise LookupError(f"{module}: tests are known for modules of {', '.join(TESTS_OF)}")
    names = CASES_OF.get(name, [name]) if folder == "kernels.cuda" else [name]
    paths = dict.fromkeys(TESTS / path.format(name=each) for path in TESTS_OF[folder] for each in names)
    return [str(path) for path in paths if path.exists()]


# ---- a process for each ----------------------------------------------------------------------------------------------


def in_child(action: Callable[[], object]) -> str | None:
    """What `action()` prints in a process forked from this one; None if it raises, takes too long or dies."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = 1
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                answer = action()
            os.write(writing, str(answer).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    return answer if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 else None


# ---- mutants that are imported ---------------------------------------------------------------------------------------


class _Mutated(MetaPathFinder):
    """Finds one module as always, and loads a mutant in its place."""

    def __init__(self, module: str, code: CodeType):
        self.name, self.code = f"tomograd.{module}", code

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        others = [finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self]
        spec = next(found for found in others if found is not None)
        spec.loader = _MutantLoader(name, spec.origin, self.code)
        return spec


class _MutantLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType):
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def survives_import(module: str, code: CodeType, tests: Sequence[str]) -> bool:
    """Whether all tests (paths) pass with a mutant imported in a module's place."""

    def run() -> int:
        signal.alarm(LIMIT)
        sys.meta_path.insert(0, _Mutated(module, code))
        if module.startswith("kernels.cpu."):
            _without_kept_kernels()
        return int(pytest.main([*tests, *_QUIETLY, "-x"], [_Watch()]))

    return in_child(run) == str(int(pytest.ExitCode.OK))


class _Watch:
    """As a plugin of pytest, gives every test the same time."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        signal.alarm(LIMIT)


def _without_kept_kernels() -> None:
    """Compile every kernel: those that were kept are the module's, not the mutant's."""
    from tomograd.kernels.cpu import cache

    cache.load, cache.keep = lambda name: None, lambda name, content: None


# ---- mutants whose code is exchanged ---------------------------------------------------------------------------------


class Exchanging:
    """As a plugin of pytest, runs each mutant on the tests collected, instead of the tests themselves."""

    def __init__(self, module: str, path: str, original: CodeType, mutants: Sequence[tuple[Mutant, CodeType]]):
        self.module, self.path, self.original, self.mutants = module, path, original, mutants
        self.survivors: list[Mutant] = []
        self.failing: list[str] = []  # tests that fail without a mutant
        self.reached: dict[str, set[tuple[str, int]]] = {}  # the module's functions that a test runs, by its name
        self.found: Counter[str] = Counter()  # mutants that a test found

    def pytest_collection(self, session: pytest.Session) -> None:
        """Nobody reads the examples: the first that fails is enough."""
        hasty = settings(settings.get_profile("default"), phases=[Phase.explicit, Phase.generate])
        settings.register_profile("hasty", hasty)
        settings.load_profile("hasty")

    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed:
            return None  # some cannot be collected: pytest says so itself
        self.failing = self._learn(session.items)
        if self.failing:
            return True
        self.living = living_functions(self.path)
        gc.freeze()  # what lives now lives on: the children need not look through it
        for mutant, code in self.mutants:
            finder = self._finder(session.items, code)
            if finder is None:
                self.survivors.append(mutant)
                tell(self.module, mutant)
            self.found.update([finder] if finder else [])
        return True

    def _learn(self, items: Sequence[pytest.Item]) -> list[str]:
        """Run all tests on the module as it is, and note which functions each of them reaches; the names of those that
        fail."""
        running = mmap.mmap(-1, 8)  # the place of the test that runs, which the parent reads if it ends the child

        def reached_by(place: int) -> set[tuple[str, int]] | None:
            running[:8] = place.to_bytes(8, "little")
            passed: list[bool] = []
            reached = functions_run(self.path, lambda: passed.append(_passes(items[place])))
            return reached if passed == [True] else None

        answer = in_child(lambda: [reached_by(place) for place in range(len(items))])
        if answer is None:
            return [f"{items[int.from_bytes(running[:8], 'little')].nodeid} (which ended the process)"]
        reached = dict(zip([item.nodeid for item in items], ast.literal_eval(answer), strict=True))
        self.reached = {name: functions for name, functions in reached.items() if functions is not None}
        return [name for name, functions in reached.items() if functions is None]

    def _finder(self, items: Sequence[pytest.Item], code: CodeType) -> str | None:
        """The name of the test that finds a mutant. What runs compiled is reached by all, as far as one can see."""
        names = {key(before) for before, _ in changes(self.original, code)}
        reaching = [item for item in items if names & self.reached[item.nodeid]] or list(items)
        reaching.sort(key=lambda item: -self.found[item.nodeid])

        def run() -> str:
            if self.module.startswith("kernels.cpu."):
                _without_kept_kernels()
            exchange(self.original, code, self.living)
            return next((item.nodeid for item in reaching if not _passes(item)), "")

        answer = in_child(run)
        return DIED if answer is None else answer or None


def _passes(item: pytest.Item) -> bool:
    signal.alarm(LIMIT)
    with catch_warnings_for_item(
        item.config, item.ihook, "runtest", item=item
    ):  # else nobody sees a test's own filters
        return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


# ---- the whole -------------------------------------------------------------------------------------------------------


def _source_path(module: str) -> Path:
    """Where a module's source lies, found by another process: importing its package would import the module itself."""
    find = f"from importlib.util import find_spec; print(find_spec('tomograd.{module}').origin)"
    found = subprocess.run([sys.executable, "-c", find], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


def tell(module: str, mutant: Mutant) -> None:
    """Print a survivor, unless there is an explanation for it."""
    if why(module, mutant.before, mutant.after) is None:
        print(f"survives, {mutant}", flush=True)


def _functions_run_at_import(module: str, path: str) -> set[tuple[str, int]]:
    answer = in_child(lambda: functions_run(path, lambda: importlib.import_module(f"tomograd.{module}")))
    if answer is None:
        raise SystemExit(f"{module}: cannot be imported")
    return ast.literal_eval(answer)


def report(module: str, word: str, sample: int | None, part: slice) -> None:
    """Print the survivors among a part of a module's mutants, or of a sample of them."""
    path, started = _source_path(module), time.monotonic()
    source = path.read_text(encoding="utf-8")
    original, tests = compiled(ast.parse(source), str(path)), [*tests_of(module), *(["-k", word] if word else [])]
    every = list(mutants_of(source))
    if sample is not None and sample < len(every):
        chosen = random.Random(0).sample(range(len(every)), sample)
        every = [every[place] for place in sorted(chosen)]
    pairs = [(mutant, compiled(mutant.tree, str(path))) for mutant in every[part]]
    ran = _functions_run_at_import(module, str(path))
    by_exchange = [pair for pair in pairs if can_be_exchanged(changes(original, pair[1]), ran)]
    survivors = []
    for mutant, code in pairs:
        if (mutant, code) not in by_exchange and survives_import(module, code, tests):
            survivors.append(mutant)
            tell(module, mutant)
    exchanging = Exchanging(module, str(path), original, by_exchange)
    code = pytest.main([*tests, *_QUIETLY], [exchanging])
    if exchanging.failing:
        raise SystemExit("\n  ".join([f"{module}: without any mutant there fail:", *exchanging.failing]))
    if code != pytest.ExitCode.OK:
        raise SystemExit(f"{module}: its tests cannot be collected ({pytest.ExitCode(code).name})")
    survivors += exchanging.survivors
    unexplained = [mutant for mutant in survivors if why(module, mutant.before, mutant.after) is None]
    print(
        f"{module}: of {len(pairs)} mutants {len(survivors)} survive, {len(survivors) - len(unexplained)} of them with "
        f"an explanation; {exchanging.found[DIED]} ended their process ({time.monotonic() - started:.0f} s)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", help="below tomograd, such as engine.functions.pooling")
    parser.add_argument("--word", default="", help="only tests with this in their names, as for pytest -k")
    parser.add_argument("--sample", type=int, help="so many mutants, chosen at random, the same every time")
    parser.add_argument("--begin", type=int, default=0, help="the first mutant")
    parser.add_argument("--end", type=int, help="the mutant after the last")
    given = parser.parse_args()
    report(given.module, given.word, given.sample, slice(given.begin, given.end))
