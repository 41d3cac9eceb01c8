"""A kernel against its reference, with a bound that grows with the number of terms instead of a guessed tolerance.

A sum of n products, in any order, is off by at most γₙ Σ|terms|, with γₙ = n·u / (1 − n·u) and u half the machine's
epsilon (N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, §3.1); a product that underflows
adds half the smallest number. Σ|terms| comes from the reference itself: for a kernel that is linear in each of its
arguments, such as a convolution, it is the reference of the arguments' absolute values. Σ|terms| / |sum| is the
condition of the sum: where terms cancel, few digits of the result can be right, and none more is asked for; where they
do not, all but the last ones must be.

That bound is for roundings that all go one way. Those of random terms do not: with the probability 1 − 2n·exp(−λ²/2)
they stay below λ√n·u Σ|terms| (N. J. Higham and T. Mary, "A new approach to probabilistic rounding error analysis",
SIAM Journal on Scientific Computing 41, 2019). In a sum of 10 000 terms in float32, only the second bound can see that
one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .spoiled_memory import spoiled_memory

UNLUCKY = 1e-9  # the probability that a right sum of random terms passes its bound
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
    share: float = 0.0  # the error over its bound; 0 where the results round to the same, infinite for NaN

    def __str__(self) -> str:
        if self.index is None:
            return f"result {self.result} is empty"
        error = 0.0 if self.actual == self.expected else abs(self.actual - self.expected)  # infinities too
        return (
            f"result {self.result} at index {self.index}: {self.actual!r}, expected {self.expected!r}: off by "
            f"{error:.3g} ({self.ulps:.3g} ulps), allowed {self.bound:.3g} "
            f"(condition of the sum {self.condition:.3g})"
        )


def compare(
    kernel: Callable[..., Any],
    reference: Callable[..., Any],
    *arguments: Any,
    terms: int = 1,
    magnitude: Callable[..., Any] | None = None,
    factor: float = FACTOR,
    random: bool = False,
    **parameters: Any,
) -> Difference:
    """Run a kernel and its reference on the same arguments, and hold the results together.

    kernel, reference: called with `*arguments, **parameters`; each returns an array of numbers, none of them complex,
        or a tuple of arrays. The reference gets copies of the arrays, also of those in lists, tuples and parameters,
        floating ones as float64. The kernel runs in memory full of NaN: what it forgets to write shows.
    terms: how many numbers are summed for one element of the result: kernel size × input channels for a convolution.
        Where a kernel adds in pieces, n over the number of pieces, and these, is a sharper bound.
    magnitude: called as the reference, returns Σ|terms| for each element of each result; default: the reference of the
        absolute values, which is right for kernels that are linear in each argument. For others, give what bounds the
        size of their intermediate results.
    factor: times γ of terms + 1, what may be wrong. Methods with larger constants, such as Winograd's, state theirs.
    random: whether the terms are random numbers, whose roundings cancel: the bound then grows with √terms.

    Returns the `Difference` of the worst element. Raises `CompareError` where an error passes its bound, at NaN
    anywhere, where an infinity is missing or of the wrong sign, for shapes or types that differ from the reference's
    (a floating result has the type of the kernel's first floating argument), and when the kernel changes an argument.
    Results that are not floating must be equal. Raises ValueError for terms that no bound can be stated for and for a
    factor that is none, TypeError for arguments and for results of the reference that cannot be compared.
    """
    dtype = next((a.dtype for a in _arrays((arguments, parameters)) if a.dtype.kind == "f"), None)
    _reject_numbers(terms, factor, dtype)
    expected = _results(reference(*_copies(arguments), **_copies(parameters)))
    _reject_results(expected)
    if magnitude is None:
        sizes = _results(reference(*_copies(arguments, np.abs), **_copies(parameters, np.abs)))
    else:
        sizes = _results(magnitude(*_copies(arguments), **_copies(parameters)))
    actual = _unchanging(kernel, arguments, parameters, expected, dtype)
    if not len(actual) == len(expected) == len(sizes):
        raise CompareError(
            f"the kernel has {len(actual)} results, its reference {len(expected)}, the magnitude {len(sizes)}"
        )
    found = [
        _worst(position, *result, dtype, terms, factor, random)
        for position, result in enumerate(zip(actual, expected, sizes, strict=True))
    ]
    return max(found, key=lambda difference: difference.share)


def _reject_numbers(terms: int, factor: float, dtype: Any) -> None:
    if dtype is not None and dtype.itemsize > 8:
        raise TypeError(f"an argument is {dtype}: expected float64 at most, in which the reference computes")
    if not (terms >= 0 and (dtype is None or (terms + 1) * float(np.finfo(dtype).eps) / 2 < 1)):
        raise ValueError(f"terms = {terms}: expected a number, 0 or more, that leaves sums in {dtype} a correct digit")
    if not 0 < factor < np.inf:
        raise ValueError(f"factor = {factor}: expected a number above 0")


def _reject_results(expected: list[np.ndarray]) -> None:
    if not expected:
        raise TypeError("the reference returned no result")
    for position, array in enumerate(expected):
        if array.dtype.kind not in "fiub":
            raise TypeError(f"result {position} of the reference is {array.dtype}: expected an array of real numbers")


def _unchanging(
    kernel: Callable[..., Any], arguments: tuple, parameters: dict[str, Any], expected: list[np.ndarray], dtype: Any
) -> list[np.ndarray]:
    """The kernel's results; raises if it changes an argument."""
    before = [array.tobytes() for array in _arrays((arguments, parameters))]
    like = [np.empty(e.shape, dtype if dtype is not None and e.dtype.kind == "f" else e.dtype) for e in expected]
    with spoiled_memory(like=like):
        actual = _results(kernel(*arguments, **parameters))
    names = [f"argument {i}" for i, a in enumerate(arguments) for _ in _arrays(a)]
    names += [f"argument {name!r}" for name, a in parameters.items() for _ in _arrays(a)]
    for name, array, was in zip(names, _arrays((arguments, parameters)), before, strict=True):
        if array.tobytes() != was:
            raise CompareError(f"the kernel changed its {name}")
    return actual


def _worst(
    position: int,
    actual: np.ndarray,
    expected: np.ndarray,
    size: np.ndarray,
    dtype: Any,
    terms: int,
    factor: float,
    random: bool,
) -> Difference:
    """The worst element of one result; raises where it fails."""
    if actual.shape != expected.shape:
        raise CompareError(f"result {position} has shape {actual.shape}, expected {expected.shape}")
    wanted_type = dtype or actual.dtype if expected.dtype.kind == actual.dtype.kind == "f" else expected.dtype
    if actual.dtype != wanted_type:
        raise CompareError(f"result {position} is {actual.dtype}, expected {wanted_type}")
    if not actual.size:
        return Difference(position, None, 0.0, 0.0, 0.0, 0.0, 1.0)
    if not _broadcasts(size, expected.shape):
        raise CompareError(f"the magnitude of result {position} has shape {size.shape}, the result {expected.shape}")
    if actual.dtype.kind != "f":
        return _worst_of_whole(position, actual, expected)
    with np.errstate(all="ignore"):
        given, rounded = actual.astype(np.float64), expected.astype(actual.dtype).astype(np.float64)
        size = np.abs(np.broadcast_to(size, expected.shape))
        bound = factor * _allowed(size, actual.dtype, terms + 1, random)
        error = np.abs(given - expected)
        share = np.where(given == rounded, 0.0, np.nan_to_num(error / bound, nan=np.inf, posinf=np.inf))
        share = np.where((given == rounded) | np.isfinite(bound), share, np.inf)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(share)), share.shape))
        spacing = np.spacing(np.abs(rounded[index]).astype(actual.dtype))
        ulps, condition = float(error[index] / spacing), float(size[index] / np.abs(expected[index]))
    worst = Difference(
        position, index, float(given[index]), float(expected[index]), float(bound[index]), ulps, condition,
        float(share[index]),
    )  # fmt: skip
    return _accepted(worst)


def _worst_of_whole(position: int, actual: np.ndarray, expected: np.ndarray) -> Difference:
    """Of a result of whole numbers or truth values, compared as such: as floats, large ones would lose digits."""
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(actual != expected)), actual.shape))
    given, wanted = int(actual[index]), int(expected[index])
    share = np.inf if given != wanted else 0.0
    return _accepted(Difference(position, index, given, wanted, 0.0, float(abs(given - wanted)), 1.0, share))


def _accepted(worst: Difference) -> Difference:
    if worst.share > 1:
        raise CompareError(f"the kernel's result is not the reference's: {worst}")
    return worst


def _broadcasts(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def _allowed(size: np.ndarray, dtype: np.dtype, count: int, random: bool) -> np.ndarray:
    """γ of `count` times Σ|terms|, and what underflow may take."""
    limits = np.finfo(dtype)
    unit = float(limits.eps) / 2
    gamma = count * unit / (1 - count * unit)
    if random:
        likely = np.sqrt(2 * np.log(2 * count / UNLUCKY))
        gamma = min(gamma, float(np.expm1(likely * np.sqrt(count) * unit + count * unit**2 / (1 - unit))))
    return gamma * size + count * float(limits.smallest_subnormal)


def _arrays(value: Any) -> Iterator[np.ndarray]:
    """The arrays among arguments, also those in lists, tuples and dictionaries, in order."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays(each)


def _copies(value: Any, change: Callable[[np.ndarray], np.ndarray] = np.array) -> Any:
    """The same arguments with copies of the arrays in them: floating ones in float64, and changed."""
    if isinstance(value, np.ndarray):
        return change(value.astype(np.float64)) if value.dtype.kind == "f" else value.copy()
    if isinstance(value, dict):
        return {name: _copies(each, change) for name, each in value.items()}
    if isinstance(value, list | tuple):
        copies = [_copies(each, change) for each in value]
        return type(value)(*copies) if hasattr(value, "_fields") else type(value)(copies)
    return value


def _results(result: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in (result if isinstance(result, tuple | list) else (result,))]
