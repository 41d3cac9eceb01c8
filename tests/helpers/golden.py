"""Reads the golden values that tests/golden/generate.py wrote (its docstring says what each file holds), and compares
with them.

@pytest.mark.parametrize("case", golden.cases("convolution"), ids=str)
def test_it(case):
    x, weight, y = case.arrays(np.float32, "x", "weight", "y")
    ... case.parameters["strides"] ...
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Case:
    """One case of a golden file: its name, its arguments that are not arrays, and its arrays by name."""

    name: str
    parameters: dict
    values: dict[str, np.ndarray]

    def __str__(self) -> str:
        return self.name

    def array(self, name: str, dtype=np.float64) -> np.ndarray:
        """A fresh copy of an array in the given type; integers and booleans keep theirs."""
        value = self.values[name]
        with np.errstate(over="ignore"):
            return value.astype(dtype if value.dtype.kind == "f" else value.dtype)

    def arrays(self, dtype, *names: str) -> list[np.ndarray]:
        return [self.array(name, dtype) for name in names]


@cache
def cases(family: str, folder: Path = FOLDER) -> list[Case]:
    """All cases of <folder>/<family>.npz, tests/golden unless given, in the order in which they were made."""
    with np.load(folder / f"{family}.npz", allow_pickle=False) as file:
        contents = json.loads(str(file["contents"]))
        packed = {kind: file[kind] for kind in ("float32", "float64", "int64", "bool") if kind in file.files}
    found, used = [], dict.fromkeys(packed, 0)
    for name, entry in contents.items():
        values = {}
        for array, (kind, shape) in entry["arrays"].items():
            begin, used[kind] = used[kind], used[kind] + math.prod(shape)
            value = packed[kind][begin : used[kind]].reshape(shape)
            values[array] = value.astype(np.float64) if kind == "float32" else value
        found.append(Case(name, _tuples(entry["parameters"]), values))
    assert used == {kind: numbers.size for kind, numbers in packed.items()}, f"{family}.npz holds more than its cases"
    return found


def families() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.npz"))


def torch_version(family: str) -> str:
    with np.load(FOLDER / f"{family}.npz", allow_pickle=False) as file:
        return str(file["torch_version"])


def index_of(text: str, arrays: Sequence[Any]) -> Any:
    """The index that is written as in Python, such as "1, ..., ::2, rows"; names stand for the arrays, in order."""
    fixed, given = {"...": Ellipsis, "None": None}, iter(arrays)

    def part(word: str) -> Any:
        if ":" in word:
            return slice(*[int(number) if number else None for number in word.split(":")])
        if word.isidentifier() and word not in fixed:
            return next(given)
        return fixed[word] if word in fixed else int(word)

    parts = tuple(part(word.strip()) for word in text.split(","))
    return parts if len(parts) > 1 else parts[0]


def assert_each_close(
    actual: np.ndarray, expected: np.ndarray, ulps: float, least: float = 0.0, signs: bool = False
) -> None:
    """Each element within `ulps` machine epsilons of actual's type, relative to itself or to `least`.

    The shapes must be equal, NaN and infinities the same, with `signs` the signs of zeros too. What is too large for
    the type must be infinite; among the subnormal numbers, `ulps` of them are allowed.
    """
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    limits = np.finfo(actual.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = expected.astype(actual.dtype)
        size = np.maximum(np.abs(expected), least)
        allowed = ulps * np.maximum(limits.eps * size, float(limits.smallest_subnormal))
        error = np.abs(actual.astype(np.float64) - expected)
        same = (
            (actual == rounded) | (np.isnan(actual) & np.isnan(expected)) | (np.isfinite(rounded) & (error <= allowed))
        )
    if signs:
        same &= (actual != 0) | (expected != 0) | (np.signbit(actual) == np.signbit(expected))
    wrong = ~same
    if wrong.any():
        place = tuple(int(i[0]) for i in wrong.nonzero())
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size}; at {place}: {actual[place]!r}, expected {expected[place]!r}"
        )


def _tuples(value):
    """JSON's lists as tuples, all the way down."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
