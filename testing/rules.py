"""The rules for functions and their gradients that need no differences: see `gradcheck`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arrays import laid_out
from .differences import EPSILON, ROUNDING
from .differentiable import INTERLEAVED, Differentiable, other_inputs
from .reports import GradcheckError
from .spoiled_memory import RUBBISH, spoiled_memory

AGREEMENT = 1e-9  # of the largest derivative: how far two ways to one gradient may differ
LARGEST = float(np.finfo(np.float64).max) / 8  # beyond, a step would overflow
LAYOUTS = ("transposed", "strided", "reversed")  # of cotangents


class Check:
    """A function, its inputs, and the cotangent under which it is checked."""

    def __init__(self, function: Differentiable, inputs: Sequence[Any] | Any, without: set[int], seed: int):
        self.function, self.without, self.seed = function, without, seed
        self.arrays = _as_arrays(inputs)
        self.wanted = [a.dtype.kind == "f" for a in self.arrays]
        self.checked = [i for i, want in enumerate(self.wanted) if want and i not in without]
        if not any(self.wanted):
            raise TypeError("no input is floating, so that there is nothing to check: expected float64 arrays")
        self.cotangent = np.zeros(0)

    def rules(self) -> list[np.ndarray]:
        """Check them; returns the gradients under the cotangent, empty arrays for inputs that are not checked."""
        self._call_with_others()
        self.output = self._value()
        self.cotangent = np.random.default_rng(self.seed).standard_normal(self.output.shape)
        first, *others = [self._by(path) for path in self.function.paths]
        for path, gradients in zip(self.function.paths[1:], others, strict=True):
            for position in self.checked:
                message = f"the gradients {path!r} and {self.function.paths[0]!r} differ"
                self._require_equal(position, gradients[position], first[position], message)
        self._check_alone(first)
        self._check_layouts(first)
        return first

    def _call_with_others(self) -> None:
        """Before all else, call the function and its gradient with other inputs: what it keeps of its first call, and
        should not, is then wrong for all that follows."""
        others = other_inputs(self.arrays)
        output = np.asarray(self.function.value(others))
        if output.dtype != np.float64:
            raise GradcheckError(f"the function's value is {output.dtype} for float64 inputs, expected float64")
        self.function.gradients(others, np.ones_like(output), self.wanted, self.function.paths[0])

    # ---- the value

    def _value(self) -> np.ndarray:
        (output,) = self._twice("value", lambda: (self.function.value(self.arrays),))
        kept = self.function.value(self.arrays)
        before = kept.tobytes()
        self.function.value(other_inputs(self.arrays))
        if kept.tobytes() != before:
            raise GradcheckError("a value changes when the function is called again: it lies in memory that is reused")
        if not all(array.flags.c_contiguous for array in self.arrays):
            plain = self.function.value([array.copy(order="C") for array in self.arrays])
            allowed = AGREEMENT * np.abs(output).max(initial=0)
            _require_close(output, plain, allowed, "the value depends on the memory layout of the inputs")
        return output

    def require_same_value(self) -> None:
        """After the many calls that differences take, the value has the bits that it had before them."""
        _require_determined(self.output, np.array(self.function.value(self.arrays)), "the value")

    # ---- the gradients

    def _by(self, path: str) -> list[np.ndarray]:
        """The gradients in all inputs by one way, checked."""

        def compute() -> tuple[np.ndarray, ...]:
            found = self.function.gradients(self.arrays, self.cotangent, self.wanted, path)
            return tuple(self._one(position, gradient) for position, gradient in enumerate(found))

        return list(self._twice(f"gradient ({path})", compute))

    def _one(self, position: int, gradient: np.ndarray | None) -> np.ndarray:
        """The gradient in one input, if it is there and has the right shape and type."""
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

    def _check_alone(self, together: list[np.ndarray]) -> None:
        """Each gradient again, with no other asked for."""
        for position in self.checked if len(self.checked) > 1 else ():
            wanted = [other == position for other in range(len(self.arrays))]
            for path in self.function.paths:
                found = self.function.gradients(self.arrays, self.cotangent, wanted, path)
                message = f"the gradient ({path}) asked for alone is another than among others"
                self._require_equal(position, self._one(position, found[position]), together[position], message)

    def _check_layouts(self, together: list[np.ndarray]) -> None:
        """The gradients again, under cotangents such as other functions leave them: not contiguous, or repeated by
        broadcasting."""
        for layout in LAYOUTS:
            self._require_same_under(laid_out(self.cotangent, layout), together, layout)
        for repeated in _repeated(self.cotangent):
            found = self.function.gradients(self.arrays, repeated.copy(), self.wanted, self.function.paths[0])
            plain = [self._one(position, gradient) for position, gradient in enumerate(found)]
            self._require_same_under(repeated, plain, f"with strides {repeated.strides}")

    def _require_same_under(self, cotangent: np.ndarray, expected: list[np.ndarray], layout: str) -> None:
        """The expected gradients under a cotangent that nobody may write to."""
        cotangent.flags.writeable = False
        for path in self.function.paths:
            if path == INTERLEAVED:  # has shown that it gives what another does
                continue
            found = self.function.gradients(self.arrays, cotangent, self.wanted, path)
            message = f"the gradient ({path}) depends on the memory layout of the cotangent ({layout})"
            for position in self.checked:
                self._require_equal(position, self._one(position, found[position]), expected[position], message)

    def _require_equal(self, position: int, one: np.ndarray, other: np.ndarray, message: str) -> None:
        """Equal but for rounding: of the gradient, and of what a step of the inputs' size brings in the value."""
        largest = max(float(np.abs(one).max(initial=0)), float(np.abs(other).max(initial=0)))
        of_value = float(np.vdot(np.abs(self.cotangent), np.abs(self.output)))
        allowed = AGREEMENT * largest + ROUNDING * EPSILON * of_value
        _require_close(one, other, allowed, f"{message}: input {position}")

    # ---- both

    def _twice(self, what: str, compute: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """Results, if they come twice with the same bits, in memory full of different rubbish, leave the arguments as
        they are, and are finite."""
        given = [*self.arrays, self.cotangent]
        before = [array.tobytes() for array in given]
        results: list[tuple[np.ndarray, ...]] = []
        for byte in RUBBISH:
            like = [*given, *(results[0] if results else ())]
            with spoiled_memory(byte, like):
                results.append(tuple(np.array(array) for array in compute()))
            for position, (array, was) in enumerate(zip(given, before, strict=True)):
                if array.tobytes() != was:
                    name = f"input {position}" if position < len(self.arrays) else "the cotangent"
                    raise GradcheckError(f"computing the {what} changed {name} in place")
        for position, (one, again) in enumerate(zip(*results, strict=True)):
            _require_determined(one, again, f"the {what}" + f" in input {position}" * (what != "value"))
        return results[0]


def _repeated(cotangent: np.ndarray) -> list[np.ndarray]:
    """Some of its numbers, repeated over all axes, over all but the first and over all but the last."""
    kept = [None, 0, cotangent.ndim - 1] if cotangent.ndim > 1 else [None] * cotangent.ndim
    rows = [tuple([slice(None if axis == one else 1) for axis in range(cotangent.ndim)]) for one in kept]
    return [np.broadcast_to(cotangent[row], cotangent.shape) for row in rows]


def _require_determined(one: np.ndarray, again: np.ndarray, name: str) -> None:
    """Equal to the last bit, and finite."""
    if one.shape != again.shape or one.dtype != again.dtype:
        raise GradcheckError(f"{name} has shape {one.shape} and then {again.shape}: it is not determined")
    if one.tobytes() != again.tobytes():
        index = _first(_bits(one) != _bits(again))
        values = f"{one[index].item()!r} and {again[index].item()!r}"
        raise GradcheckError(f"{name} is not the same when it is computed again: at index {index}: {values}")
    if not np.isfinite(one).all():
        index = _first(~np.isfinite(one))
        raise GradcheckError(f"{name} is not finite at index {index}: {one[index].item()!r}")


def _require_close(one: np.ndarray, other: np.ndarray, allowed: float, message: str) -> None:
    wrong = ~(np.abs(one - other) <= allowed)
    if wrong.any():
        index = _first(wrong)
        raise GradcheckError(f"{message}: at index {index}: {one[index].item()!r} and {other[index].item()!r}")


def _as_arrays(inputs: Sequence[Any] | Any) -> list[np.ndarray]:
    """The inputs as arrays of NumPy's, in the layout that they have, if they can be checked."""
    listed = inputs if isinstance(inputs, list | tuple) else [inputs]
    arrays = [_on_host(each) for each in listed]
    for position, array in enumerate(arrays):
        if array.dtype.kind == "f" and array.dtype != np.float64:
            raise TypeError(
                f"input {position} is {array.dtype}: differences need float64 (in float32 too few digits are left)"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"input {position} is {array.dtype}: expected float64, or integers or booleans to pass on")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"input {position} is not finite at index {_first(~np.isfinite(array))}")
        if array.dtype.kind == "f" and np.abs(array).max(initial=0) > LARGEST:
            index = _first(np.abs(array) > LARGEST)
            value = array[index].item()
            raise ValueError(f"input {position} at index {index} is {value!r}: a step from there would overflow")
    return arrays


def _on_host(value: Any) -> np.ndarray:
    """Tensors, and arrays on a GPU, as arrays of NumPy's."""
    for method in ("numpy", "get"):
        if not isinstance(value, np.ndarray | dict) and hasattr(value, method):
            return np.asarray(getattr(value, method)())
    return np.asarray(value)


def _bits(array: np.ndarray) -> np.ndarray:
    """Its numbers as integers, so that NaN is what it is, and −0 is not 0."""
    return np.ascontiguousarray(array).reshape(array.shape).view(f"i{array.itemsize}")


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
