"""Which mutants of a module its tests let live: `python tests/mutation/survivors.py engine.functions.pooling`.

Each mutant is imported in a process of its own, forked from one that has loaded the slow packages, and its module's
tests run until one fails: first those whose names hold a word, if one is given, then all. What survives is printed with
its change. It is an equivalent program, or shows a test that is missing.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import hypothesis.extra.numpy  # noqa: F401
import numpy  # noqa: F401
import pytest
from mutants import Mutant, mutants_of

TESTS = Path(__file__).parents[1]
LIMIT = 300  # seconds for the tests of a mutant: what takes longer counts as found

# The tests that belong to the modules of a folder; {name} is the module's own.
TESTS_OF = {
    "engine.functions": [
        "mutation/test_mutations.py",
        "testing/test_registry.py",
        "engine/functions",
        "engine/test_golden_functions.py",
    ],
    "kernels.reference": [
        "mutation/test_mutations.py",
        "kernels/reference",
        "golden",
        "kernels/cpu/test_{name}.py",
        "testing/test_registry.py",
    ],
}


def tests_of(module: str) -> list[str]:
    """The paths of the tests that belong to a module. Raises LookupError where none are known."""
    folder, _, name = module.rpartition(".")
    if folder not in TESTS_OF:
        raise LookupError(f"{module}: tests are known for modules of {', '.join(TESTS_OF)}")
    paths = [TESTS / path.format(name=name) for path in TESTS_OF[folder]]
    return [str(path) for path in paths if path.exists()]


class _Mutated(MetaPathFinder):
    """Finds one module as always, and loads a mutant in its place."""

    def __init__(self, module: str, tree: ast.Module):
        self.name, self.tree = f"tomograd.{module}", tree

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        others = [finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self]
        spec = next(found for found in others if found is not None)
        spec.loader = _MutantLoader(name, spec.origin, self.tree)
        return spec


class _MutantLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module):
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.tree, self.path, "exec", dont_inherit=True)


def pass_with(module: str, mutant: Mutant | None, tests: Sequence[str]) -> bool:
    """Whether all tests (arguments for pytest) pass with a mutant in a module's place; None: with the module itself."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)
        if mutant:
            sys.meta_path.insert(0, _Mutated(module, mutant.tree))
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            code = pytest.main([*tests, "-x", "-q", "-p", "no:cacheprovider"])
        os._exit(0 if code == pytest.ExitCode.OK else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _source(module: str) -> str:
    """A module's source, found by another process: importing its package would import the module as it is."""
    find = f"from importlib.util import find_spec; print(find_spec('tomograd.{module}').origin)"
    found = subprocess.run([sys.executable, "-c", find], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()).read_text(encoding="utf-8")


def report(module: str, word: str, begin: int, end: int | None) -> None:
    """Print the survivors among the mutants begin … end of a module."""
    every, mutants = tests_of(module), list(mutants_of(_source(module)))[begin:end]
    rounds = [[*every, "-k", word], every] if word else [every]
    if not all(pass_with(module, None, tests) for tests in rounds):
        raise SystemExit(f"{module}: its tests fail without a mutant: {' '.join(every)}")
    survivors, started = 0, time.monotonic()
    for mutant in mutants:
        if all(pass_with(module, mutant, tests) for tests in rounds):
            survivors += 1
            print(f"survives, {mutant}", flush=True)
    seconds = time.monotonic() - started
    print(f"{module}: {len(mutants)} mutants, {survivors} survive ({seconds:.0f} s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", help="below tomograd, such as engine.functions.pooling")
    parser.add_argument("--word", default="", help="of the names of tests that come first, such as pool")
    parser.add_argument("--begin", type=int, default=0, help="the first mutant")
    parser.add_argument("--end", type=int, help="the mutant after the last")
    given = parser.parse_args()
    report(given.module, given.word, given.begin, given.end)
