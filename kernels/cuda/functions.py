"""The CUDA C sources, and which instances of their templates there are.

A `Source` is a file in `sources/` with the template arguments of each of its kernels; called with a kernel's name and
arguments it gives a `Function`, which a runtime compiles when it is first launched. As all instances are known, they
can be compiled and measured on a machine without a GPU.

>>> ELEMENTWISE = Source("elementwise.cu", add=("float, 4", "double, 2"))
>>> ELEMENTWISE("add", "float, 4").expression
'add<float, 4>'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "sources"
OPTIONS = ("-std=c++17", f"-I{FOLDER}")  # of the compiler, for every source
REAL = ("float", "double")

_C_TYPES = {"float16": "Half", "bfloat16": "BFloat16", "float32": "float", "float64": "double"}
_C_TYPES |= {"int32": "int", "int64": "int64", "uint8": "unsigned char", "bool": "bool"}


@dataclass(frozen=True)
class Function:
    """One instance of a kernel: the file, and the name expression, such as "add<float, 4>"."""

    file: str
    expression: str

    @property
    def path(self) -> Path:
        return FOLDER / self.file


class Source:
    """A file of CUDA C with its kernels' instances."""

    def __init__(self, file: str, **kernels: tuple[str, ...]):
        self.file = file
        self._functions = {
            (name, arguments): Function(file, f"{name}<{arguments}>")
            for name, instances in kernels.items()
            for arguments in instances
        }

    def __call__(self, name: str, *arguments: object) -> Function:
        """The instance with these template arguments. Raises LookupError for one that is not declared."""
        key = name, ", ".join(map(_spelled, arguments))
        if key not in self._functions:
            raise LookupError(f"{self.file} has no instance {name}<{key[1]}>")
        return self._functions[key]

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())


def instances(*choices: tuple[object, ...]) -> tuple[str, ...]:
    """All combinations of template arguments: `instances(("float", "double"), (1, 2))` are four."""
    return tuple(", ".join(map(_spelled, each)) for each in product(*choices))


def c_type(dtype: np.dtype) -> str:
    """What a NumPy type is called in CUDA C. Raises TypeError for one that no kernel takes."""
    name = np.dtype(dtype).name
    if name not in _C_TYPES:
        raise TypeError(f"no CUDA kernel takes {name}: expected one of {', '.join(_C_TYPES)}")
    return _C_TYPES[name]


def _spelled(argument: object) -> str:
    """A template argument in CUDA C."""
    if isinstance(argument, bool):
        return "true" if argument else "false"
    return str(argument)
