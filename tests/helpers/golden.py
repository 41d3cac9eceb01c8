"""Reads the golden values that tests/golden/generate.py wrote (its docstring says what each file holds).

@pytest.mark.parametrize("case", golden.cases("convolution"), ids=str)
def test_it(case):
    x, weight, y = case.arrays(np.float32, "x", "weight", "y")
    ... case.parameters["strides"] ...
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
        """A fresh copy of an array in the given type; integers (labels) keep theirs."""
        value = self.values[name]
        return value.astype(dtype if value.dtype.kind == "f" else value.dtype)

    def arrays(self, dtype, *names: str) -> list[np.ndarray]:
        return [self.array(name, dtype) for name in names]


@cache
def cases(family: str) -> list[Case]:
    """All cases of tests/golden/<family>.npz, in the order in which they were made."""
    with np.load(FOLDER / f"{family}.npz", allow_pickle=False) as file:
        values: dict[str, dict[str, np.ndarray]] = {}
        for key in file.files:
            case, _, name = key.rpartition("/")
            values.setdefault(case, {})[name] = file[key]
        parameters = json.loads(str(file["parameters"]))
    return [Case(name, _tuples(arguments), values[name]) for name, arguments in parameters.items()]


def torch_version(family: str) -> str:
    with np.load(FOLDER / f"{family}.npz", allow_pickle=False) as file:
        return str(file["torch_version"])


def _tuples(value):
    """JSON's lists as tuples, all the way down."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
