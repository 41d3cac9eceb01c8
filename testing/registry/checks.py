"""The checks that the registry asks for: of one row, or of a whole entry on a backend.

Each raises AssertionError, saying what was found and what was expected, if the row does not hold.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import kernels
from ...engine import DeviceError, Tensor, grad
from ...engine.device import gpu_library
from ..gradcheck import gradcheck, gradgradcheck
from .entries import Entry, Error, Kink, OnGPU, Sample

DIRECTIONS = 2  # of second derivatives in each input: random ones, which a wrong derivative all but never escapes


def first_derivatives(sample: Sample) -> float:
    """The gradients in all arrays; the largest error, relative to what is allowed."""
    report = gradcheck(sample.function, sample.arrays, linear=sample.linear)
    return 0.0 if report.worst is None else report.worst.excess


def second_derivatives(sample: Sample) -> float:
    """The gradients of the gradients, in all arrays and in the cotangent; the largest error as above."""
    report = gradgradcheck(sample.function, sample.arrays, method="directions", directions=DIRECTIONS)
    return 0.0 if report.worst is None else report.worst.excess


def constant(sample: Sample) -> float:
    """A result through which no gradient flows."""
    result = sample.function(*[Tensor(array, requires_grad=True) for array in sample.arrays])
    if result.requires_grad:
        raise AssertionError(f"{sample.label}: the result requires a gradient, expected a constant")
    return 0.0


def fails(error: Error) -> float:
    """A call that must fail, with the right exception and message."""
    try:
        error.call()
    except error.exception as raised:
        if not re.search(error.message, str(raised)):
            raise AssertionError(f"{error.label} says {str(raised)!r}, expected {error.message!r}") from raised
        return 0.0
    raise AssertionError(f"{error.label} gave a result, expected {error.exception.__name__}: {error.message}")


def at_kink(kink: Kink) -> float:
    """The value and the gradients at a kink, by the kernels and recorded on the tape, in each type: exactly."""
    for dtype in kink.dtypes:
        for create_graph in (False, True):
            tensors = [Tensor(array, requires_grad=True, dtype=dtype) for array in kink.arrays]
            with np.errstate(divide="ignore"):  # a slope may be infinite
                result = kink.function(*tensors)
                found = grad(result, tensors, kink.cotangent.astype(dtype), create_graph=create_graph)
            where = f"{kink.label} in {dtype}, {'recorded' if create_graph else 'fused'}"
            if kink.value is not None:
                _require_same(result, kink.value, f"{where}: the value")
            for name, gradient, expected in zip(kink.function.names, found, kink.gradients, strict=True):
                _require_same(gradient, expected, f"{where}: the gradient in {name}")
    return 0.0


def _require_same(tensor: Tensor, expected: np.ndarray, what: str) -> None:
    """Equal to the last bit, but for the sign of a zero and the kind of a NaN."""
    array = tensor.numpy()
    if array.shape != expected.shape or not np.array_equal(array, expected.astype(array.dtype), equal_nan=True):
        raise AssertionError(f"{what} is {array.tolist()}, expected {expected.tolist()}")


# ---- a whole entry ---------------------------------------------------------------------------------------------------

Check = Callable[[Any], float]


def of_samples(entry: Entry, quick: bool = False) -> list[tuple[str, Check]]:
    """What is checked at a sample of a function; `quick`: the first derivatives alone."""
    if entry.constant:
        return [("constant result", constant)]
    first, second = ("first derivatives", first_derivatives), ("second derivatives", second_derivatives)
    return [first] if quick or entry.once_only else [first, second]


def of_entry(entry: Entry, quick: bool = False) -> Iterator[tuple[str, Check, Any]]:
    """All that the registry asks for of a function, as (what it is, the check, its row); `quick`: at one sample."""
    for sample in entry.samples[:1] if quick else entry.samples:
        for kind, check in of_samples(entry, quick):
            yield kind, check, sample
    if quick:
        return
    for kink in entry.kinks:
        yield "gradient at a kink", at_kink, kink
    for error in entry.errors:
        yield "error", fails, error


@dataclass(frozen=True)
class Outcome:
    """What the checks of a function found on a backend.

    worst: the largest error of a derivative, relative to what is allowed, among the checks that passed.
    failures: for each check that failed, which it was and what it said.
    """

    function: str
    backend: str
    checks: int
    worst: float
    seconds: float
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures


def run(entry: Entry, backend: str, quick: bool = False) -> Outcome:
    """Check a function on a backend; a check that fails, in whatever way, stops no other."""
    started, done, worst = time.perf_counter(), 0, 0.0
    failures = []
    on_gpu = backend == "cuda"
    with nullcontext() if on_gpu else kernels.using(backend):
        for kind, check, row in of_entry(on_the_gpu(entry) if on_gpu else entry, quick):
            done += 1
            try:
                worst = max(worst, check(row))
            except Exception as error:
                failures.append(f"{kind}, {row.label}: {type(error).__name__}: {error}")
    return Outcome(entry.name, backend, done, worst, time.perf_counter() - started, tuple(failures))


def on_the_gpu(entry: Entry) -> Entry:
    """The entry with functions that compute on the GPU; arguments are the same errors everywhere."""

    def moved(row: Any) -> Any:
        return replace(row, function=OnGPU(row.function.text, row.function.names))

    return replace(entry, samples=tuple(map(moved, entry.samples)), kinks=tuple(map(moved, entry.kinks)), errors=())


def present_backends() -> list[str]:
    """The backends that can be used on this machine."""
    found = []
    for name in kernels.BACKENDS:
        try:
            kernels.backend(name)
            if name == "cuda":
                gpu_library()
        except (ImportError, DeviceError):
            continue
        found.append(name)
    return found
