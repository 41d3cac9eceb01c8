"""A family of golden cases: random inputs, what PyTorch (or Keras) makes of them, and the file that holds both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent


class Family:
    """The cases of one file; `add` computes a case's value and derivatives."""

    folder = HERE

    def __init__(self, name: str, seed: int):
        self.name, self.parameters, self.arrays = name, {}, {}
        self.random = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        return float32_numbers(self.random.standard_normal(shape) * scale)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return float32_numbers(self.random.uniform(low, high, shape))

    def integers(self, *shape: int, low: int = -2, high: int = 3) -> torch.Tensor:
        return float32_numbers(self.random.integers(low, high, shape))

    def add(
        self,
        case: str,
        function: Callable,
        inputs: dict[str, torch.Tensor],
        constants: dict[str, torch.Tensor] | None = None,
        /,
        order: int = 2,
        **parameters: Any,
    ) -> None:
        """function(*inputs) and its derivatives up to the given order; `parameters` are kept with the case."""
        assert case not in self.parameters, f"{self.name}: two cases called {case}"
        inputs = {name: tensor.clone().requires_grad_(order > 0) for name, tensor in inputs.items()}
        y = function(*inputs.values())
        named = {**inputs, **(constants or {}), "y": y}
        if order:
            named |= self._derivatives(y, inputs, order)
        self.keep(case, named, **parameters)

    def _derivatives(self, y: torch.Tensor, inputs: dict[str, torch.Tensor], order: int) -> dict[str, torch.Tensor]:
        dy = self.normal(*y.shape).requires_grad_()
        gradients = torch.autograd.grad(y, list(inputs.values()), dy, create_graph=order > 1)
        named = {"dy": dy} | {f"d{name}": d for name, d in zip(inputs, gradients, strict=True)}
        if order > 1:
            directions = [self.normal(*tensor.shape) for tensor in inputs.values()]
            s = sum((v * d).sum() for v, d in zip(directions, gradients, strict=True))
            variables = [dy, *inputs.values()]
            # constant gradients, such as the 0 of floor, have no derivatives
            second = (
                torch.autograd.grad(s, variables, allow_unused=True) if s.requires_grad else [None] * len(variables)
            )
            named |= {f"v{name}": v for name, v in zip(inputs, directions, strict=True)}
            for name, tensor, gradient in zip(["dy", *inputs], variables, second, strict=True):
                named[f"s_{name}"] = torch.zeros_like(tensor) if gradient is None else gradient
        return named

    def keep(self, case: str, arrays: dict[str, torch.Tensor], /, **parameters: Any) -> None:
        """Put a case into the file as it is."""
        self.parameters[case] = parameters
        self.arrays[case] = {name: tensor.numpy(force=True) for name, tensor in arrays.items()}

    def write(self) -> int:
        """Write the file, and say how many bytes it has.

        Numbers stand one after the other, by type: an entry of its own for each small array would take more room than
        its numbers. What float32 holds exactly is stored as such.
        """
        contents: dict[str, dict] = {}
        packed: dict[str, list[np.ndarray]] = {"float32": [], "float64": [], "int64": [], "bool": []}
        for case, arrays in self.arrays.items():
            places = {}
            for name, array in arrays.items():
                kind = "float32" if _fits_float32(array) else str(array.dtype)
                packed[kind].append(np.ascontiguousarray(array).reshape(-1).astype(kind))
                places[name] = [kind, list(array.shape)]
            contents[case] = {"parameters": self.parameters[case], "arrays": places}
        path = self.folder / f"{self.name}.npz"
        np.savez_compressed(
            path,
            torch_version=torch.__version__,
            contents=json.dumps(contents),
            **{kind: np.concatenate(parts) for kind, parts in packed.items() if parts},
        )
        return path.stat().st_size


class FunctionFamily(Family):
    """A family whose cases name a function of tomograd and what it is called with, so that one test runs them all.

    Parameters: function (the name in tomograd.functional, or "losses.<class>"), arguments (the names of the arrays, or
    the Python numbers, that are its positional arguments) and options (its keyword arguments). Floating arrays are
    differentiated unless they are constants.

    `each`: errors are measured against each element (or `least`, if that is larger), and not against the largest one
    (or `scale`). `float64`: the case needs numbers that float32 does not have. `result`: the type of y where that is
    not its input's.
    """

    def case(
        self,
        name: str,
        torch_function: Callable,
        arguments: dict[str, Any],
        options: dict[str, Any] | None = None,
        function: str | None = None,
        order: int = 2,
        constants: Iterable[str] = (),
        **parameters: Any,
    ) -> None:
        """torch_function takes the same positional arguments; `function` is the first word of the case's name unless
        it is given."""
        tensors = {n: value for n, value in arguments.items() if isinstance(value, torch.Tensor)}
        inputs = {n: t for n, t in tensors.items() if t.is_floating_point() and n not in constants}

        def of_inputs(*values: torch.Tensor) -> torch.Tensor:
            return torch_function(*({**arguments, **dict(zip(inputs, values, strict=True))}.values()))

        self.add(
            name,
            of_inputs,
            inputs,
            {n: t for n, t in tensors.items() if n not in inputs},
            order=order,
            function=function or name.split(",")[0].split()[0],
            arguments=[n if n in tensors else value for n, value in arguments.items()],
            options=options or {},
            **parameters,
        )


def float32_numbers(array: Any) -> torch.Tensor:
    """The numbers rounded to float32, as a float64 tensor."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.asarray(array, np.float32).astype(np.float64))


def _fits_float32(array: np.ndarray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return array.dtype == np.float64 and np.array_equal(array, array.astype(np.float32), equal_nan=True)
