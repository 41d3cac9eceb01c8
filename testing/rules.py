"""The rules for functions and their gradients that need no differences: see `gradcheck`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .differentiable import Differentiable
from .reports import GradcheckError

AGREEMENT = 1e-9  # of the largest derivative: how far two ways to one gradient may differ


class Check:
    """A function, its inputs, and the cotangent under which it is checked."""

    def __init__(self, function: Differentiable, inputs: Sequence[Any] | Any, without: set[int], seed: int):
        self.function, self.without, self.seed = function, without, seed
        self.arrays = _as_arrays(inputs)
        self.checked = [i for i, a in enumerate(self.arrays) if a.dtype.kind == "f" and i not in without]
        self.wanted = [a.dtype.kind == "f" for a in self.arrays]

    def rules(self) -> list[np.ndarray]:
        """Check them; returns the gradients under the cotangent, empty arrays for inputs that are not checked."""
        self.output = self._twice("value", lambda: self.function.value(self.arrays))
        if self.output.dtype.kind != "f":
            raise TypeError(f"the function's value is {self.output.dtype}: expected a floating type")
        self.cotangent = np.random.default_rng(self.seed).standard_normal(self.output.shape)
        first, *others = [self._by(path) for path in self.function.paths]
        for path, gradients in zip(self.function.paths[1:], others, strict=True):
            self._require_equal(gradients, first, f"the gradients {path!r} and {self.function.paths[0]!r} differ")
        self._check_alone(first)
        return first

    def _by(self, path: str) -> list[np.ndarray]:
        """The gradients in all inputs by one way, checked."""

        def compute() -> tuple[np.ndarray, ...]:
            found = self.function.gradients(self.arrays, self.cotangent, self.wanted, path)
            return tuple(self._one(position, gradient) for position, gradient in enumerate(found))

        return list(self._twice(f"gradient ({path})", compute))

    def _one(self, position: int, gradient: np.ndarray | None) -> np.ndarray:
        array = self.arrays[position]
        if position not in self.checked:
            if gradient is not None and position in self.without:
                raise GradcheckError(f"input {position} has a gradient, but is declared to have none")
            return np.zeros(0)
        if gradient is None:
            raise GradcheckError(
                f"input {position} has no gradient; if that is meant, say without_gradient=[{position}]"
            )
        if gradient.shape != array.shape or gradient.dtype != array.dtype:
            raise GradcheckError(
                f"the gradient in input {position} has shape {gradient.shape} and type {gradient.dtype}, "
                f"expected {array.shape} and {array.dtype}"
            )
        return np.array(gradient)

    def _twice(self, what: str, compute: Callable[[], Any]) -> Any:
        """A result, if it comes twice with the same bits, leaves the arguments as they are, and has no NaN."""
        given = [*self.arrays, *([self.cotangent] if hasattr(self, "cotangent") else [])]
        before = [array.tobytes() for array in given]
        results = [compute() for _ in range(2)]
        for position, (array, was) in enumerate(zip(given, before, strict=True)):
            if array.tobytes() != was:
                name = f"input {position}" if position < len(self.arrays) else "the cotangent"
                raise GradcheckError(f"computing the {what} changed {name}")
        first, second = (result if isinstance(result, tuple) else (result,) for result in results)
        for position, (a, b) in enumerate(zip(first, second, strict=True)):
            of = f" in input {position}" if isinstance(results[0], tuple) else ""
            if a.tobytes() != b.tobytes():
                raise GradcheckError(f"the {what}{of} is not the same when it is computed again: it is not determined")
            if np.isnan(a).any():
                raise GradcheckError(f"the {what}{of} is NaN at index {_first(np.isnan(a))}")
        return results[0]

    def _check_alone(self, together: list[np.ndarray]) -> None:
        """Each gradient again, with no other asked for."""
        for position in self.checked if len(self.checked) > 1 else ():
            wanted = [other == position for other in range(len(self.arrays))]
            for path in self.function.paths:
                found = self.function.gradients(self.arrays, self.cotangent, wanted, path)
                alone = self._one(position, found[position])
                self._require_equal(
                    {position: alone}, together, f"the gradient ({path}) asked for alone is another than among others"
                )

    def _require_equal(self, some: Any, expected: list[np.ndarray], message: str) -> None:
        """Equal but for rounding."""
        for position in self.checked if isinstance(some, list) else some:
            a, b = some[position], expected[position]
            scale = max(1.0, float(np.abs(b).max(initial=0)))
            wrong = ~(np.abs(a - b) <= AGREEMENT * scale)
            if wrong.any():
                index = _first(wrong)
                raise GradcheckError(f"{message}: input {position} at index {index}: {a[index]!r} and {b[index]!r}")


def _as_arrays(inputs: Sequence[Any] | Any) -> list[np.ndarray]:
    arrays = [inputs] if isinstance(inputs, np.ndarray) or not isinstance(inputs, Sequence) else inputs
    arrays = [np.asarray(a.numpy() if hasattr(a, "numpy") else a) for a in arrays]
    for position, array in enumerate(arrays):
        if array.dtype.kind == "f" and array.dtype != np.float64:
            raise TypeError(
                f"input {position} is {array.dtype}: differences need float64 (in float32 too few digits are left)"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"input {position} is {array.dtype}: expected float64, or integers or booleans to pass on")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"input {position} is not finite at index {_first(~np.isfinite(array))}")
    return arrays


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
