"""Slopes of a function along a line, from its values, with a bound on their error.

A central difference (f(x + h) − f(x − h)) / 2h is off by about h² f‴/6, and by the rounding of f over h. Two of them,
at h and 2h, tell the first apart: Richardson's extrapolation near + (near − far) / 3 is off by the order of h⁴, which
a thousandth of near − far bounds generously. (L. F. Richardson, "The approximate arithmetical solution by finite
differences", 1911.)

For a function that is linear along the line a central difference is exact for every h: a step of 1 leaves nothing but
the rounding of f.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

EPSILON = np.finfo(np.float64).eps
STEP = 2.0**-12  # about ε^(1/4): truncation of the order h⁴ and rounding of the order ε/h are of one size
SMALL_STEP = 2.0**-24  # to look at a kink from both sides
EXTRAPOLATED = 1e-3  # of near − far, which is left after the extrapolation
ROUNDING = 16  # ε of the largest value: what computing f may round

Line = Callable[[float], np.ndarray]  # t → f(x + t·u)


@dataclass(frozen=True)
class Slopes:
    """d f(x + t·u) / dt at t = 0 for each output, and how far off it may be."""

    value: np.ndarray
    error: np.ndarray

    def contracted(self, cotangent: np.ndarray) -> Slopes:
        """Those of ⟨cotangent, f⟩: one number."""
        value, error = np.vdot(cotangent, self.value), np.vdot(np.abs(cotangent), self.error)
        return Slopes(np.asarray(value), np.asarray(error))


def slopes(line: Line, step: float = STEP, linear: bool = False, terms: int = 1) -> Slopes:
    """The slopes at t = 0.

    linear: whether the function is linear along the line, so that a step of 1 is exact.
    terms: about how many numbers go into one output: its rounding grows with their square root.
    """
    rounding = ROUNDING * EPSILON * np.sqrt(terms)
    if linear:
        after, before = line(1.0), line(-1.0)
        return Slopes((after - before) / 2, np.full(after.shape, rounding * _largest(after, before)))
    values = [line(t * step) for t in (1, -1, 2, -2)]
    near, far = (values[0] - values[1]) / (2 * step), (values[2] - values[3]) / (4 * step)
    error = EXTRAPOLATED * np.abs(near - far) + rounding * _largest(*values) / step
    return Slopes(near + (near - far) / 3, error)


def one_sided(line: Line, step: float = SMALL_STEP) -> tuple[np.ndarray, np.ndarray]:
    """(slope from the left, slope from the right) at t = 0."""
    middle = line(0.0)
    return (middle - line(-step)) / step, (line(step) - middle) / step


def _largest(*arrays: np.ndarray) -> float:
    return max(float(np.abs(array).max(initial=0)) for array in arrays)
