"""A kernel against its reference, with a bound that grows with the number of terms instead of a guessed tolerance.

A sum of n products, in any order, is off by at most γₙ Σ|terms|, with γₙ = n·u / (1 − n·u) and u half the machine's
epsilon (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, §3.1). Σ|terms| comes from the
reference itself: for a kernel that is linear in each of its arguments, such as a convolution, it is the reference of
the arguments' absolute values. Σ|terms| / |sum| is the condition of the sum: where terms cancel, few digits of the
result can be right, and none more is asked for; where they do not, all but the last ones must be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FACTOR = 2.0  # more than the bound: the reference rounds as well, and activations after the sum


class CompareError(AssertionError):
    """A kernel whose result is not its reference's."""


@dataclass(frozen=True)
class Difference:
    """The worst element of a result: that with the largest share of its bound."""

    result: int  # which, where a kernel has several
    index: tuple[int, ...] | None  # None: the result is empty
    actual: float
    expected: float
    bound: float
    ulps: float  # the error in units in the last place of the expected value
    condition: float  # Σ|terms| / |expected|

    @property
    def share(self) -> float:
        """The error over its bound; infinite for NaN."""
        if self.index is None or self.actual == self.expected:
            return 0.0
        error = abs(self.actual - self.expected)
        return float(np.nan_to_num(error / self.bound if self.bound else np.inf, nan=np.inf))

    def __str__(self) -> str:
        return (
            f"result {self.result} at index {self.index}: {self.actual!r}, expected {self.expected!r}: off by "
            f"{abs(self.actual - self.expected):.3g} ({self.ulps:.3g} ulps), allowed {self.bound:.3g} "
            f"(condition of the sum {self.condition:.3g})"
        )


def compare(
    kernel: Callable[..., Any],
    reference: Callable[..., Any],
    *arguments: Any,
    terms: int = 1,
    magnitude: Callable[..., Any] | None = None,
    factor: float = FACTOR,
    **parameters: Any,
) -> Difference:
    """Run a kernel and its reference on the same arguments, and hold the results together.

    kernel, reference: called with `*arguments, **parameters`; each returns an array or a tuple of arrays. The reference
        gets the floating arrays as float64.
    terms: how many numbers are summed for one element of the result: kernel size × input channels for a convolution.
    magnitude: called as the reference, returns Σ|terms| for each element of each result; default: the reference of the
        absolute values, which is right for kernels that are linear in each argument. For others, give what bounds the
        size of their intermediate results.
    factor: times γ of terms + 1, what may be wrong. Methods with larger constants, such as Winograd's, state theirs.

    Returns the `Difference` of the worst element. Raises `CompareError` where an error passes its bound, at NaN
    anywhere, where an infinity is missing or of the wrong sign, for shapes or types that differ from the reference's
    (the type from the kernel's arguments'), and when the kernel changes an argument.
    """
    if terms < 1:
        raise ValueError(f"terms = {terms}: expected a positive number")
    before = [_bytes(argument) for argument in arguments]
    actual = _results(kernel(*arguments, **parameters))
    for position, (argument, was) in enumerate(zip(arguments, before, strict=True)):
        if _bytes(argument) != was:
            raise CompareError(f"the kernel changed its argument {position}")
    wide = [_widened(argument) for argument in arguments]
    expected = _results(reference(*wide, **parameters))
    sizes = _results((magnitude or reference)(*(wide if magnitude else map(_absolute, wide)), **parameters))
    if not len(actual) == len(expected) == len(sizes):
        raise CompareError(f"the kernel has {len(actual)} results, its reference {len(expected)}")
    dtype = next((a.dtype for a in map(_array, arguments) if a is not None and a.dtype.kind == "f"), None)
    worst = []
    for position, result in enumerate(zip(actual, expected, sizes, strict=True)):
        worst.append(_worst(position, *result, dtype, terms, factor))
    return max(worst, key=lambda difference: difference.share)


def _worst(
    position: int, actual: np.ndarray, expected: np.ndarray, size: np.ndarray, dtype: Any, terms: int, factor: float
) -> Difference:
    """The worst element of one result; raises where it fails."""
    if actual.shape != expected.shape:
        raise CompareError(f"result {position} has shape {actual.shape}, expected {expected.shape}")
    if expected.dtype.kind == "f" and dtype is not None and actual.dtype != dtype:
        raise CompareError(f"result {position} is {actual.dtype}, expected {dtype}, the arguments' type")
    if not actual.size:
        return Difference(position, None, 0.0, 0.0, 0.0, 0.0, 1.0)
    unit = np.finfo(actual.dtype).eps / 2 if actual.dtype.kind == "f" else 0.0
    gamma = (terms + 1) * unit / (1 - (terms + 1) * unit)
    tiny = np.finfo(actual.dtype).smallest_subnormal if actual.dtype.kind == "f" else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        given, wanted = actual.astype(np.float64), expected.astype(actual.dtype).astype(np.float64)
        bound = factor * (gamma * np.abs(np.broadcast_to(size, expected.shape)) + tiny)
        error = np.abs(given - expected)
        same = (given == wanted) | (error <= bound)
        share = np.where(same, np.where(given == wanted, 0.0, error / np.maximum(bound, 1e-300)), np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(share)), share.shape))
    expected_here, bound_here = float(expected[index]), float(bound[index])
    spacing = float(np.spacing(np.abs(expected[index]).astype(actual.dtype))) if actual.dtype.kind == "f" else 1.0
    worst = Difference(
        position, index, float(given[index]), expected_here, bound_here,
        float(error[index] / spacing) if np.isfinite(spacing) else np.inf,
        float(np.abs(np.broadcast_to(size, expected.shape)[index]) / abs(expected_here)) if expected_here else np.inf,
    )  # fmt: skip
    if not same[index]:
        raise CompareError(f"the kernel's result is not the reference's: {worst}")
    return worst


def _array(argument: Any) -> np.ndarray | None:
    return argument if isinstance(argument, np.ndarray) else None


def _bytes(argument: Any) -> bytes | None:
    array = _array(argument)
    return None if array is None else array.tobytes()


def _widened(argument: Any) -> Any:
    array = _array(argument)
    return array.astype(np.float64) if array is not None and array.dtype.kind == "f" else argument


def _absolute(argument: Any) -> Any:
    array = _array(argument)
    return np.abs(array) if array is not None and array.dtype.kind == "f" else argument


def _results(result: Any) -> Sequence[np.ndarray]:
    return [np.asarray(each) for each in (result if isinstance(result, tuple) else (result,))]
