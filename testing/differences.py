"""Slopes of a function along a line, from its values, with a bound on their error.

A central difference D(h) = (f(x + h) − f(x − h)) / 2h is off by h²f‴/6 + h⁴f⁗′/120 + …, and by the rounding of f over
h. Extrapolated from h and 2h, D(h) + (D(h) − D(2h)) / 3 is off by no more than the h⁴ (L. F. Richardson, "The
approximate arithmetical solution by finite differences", 1911). Where that leaves an error E, the same from 2h and 4h
is off by 16 E: the two are 15 E apart, and so their distance bounds E without a guessed constant.

What f rounds is measured, not guessed: along a line so short that f is a polynomial, its fourth differences are nothing
but rounding (R. W. Hamming, "Introduction to applied numerical analysis", 1971, §6.8; J. J. Moré and S. M. Wild,
"Estimating computational noise", 2011). A very short one shows float64's; in a longer one single precision shows too,
in which a small step changes nothing.

For a function that is linear along the line a central difference is exact for every h: a step of 1 leaves nothing but
the rounding of f.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
STEP = 2.0**-10  # about ε^(1/5): truncation of the order h⁴ and rounding of the order ε/h are of one size
OTHER_STEPS = (2.0**-6, 2.0**-12, 2.0**-18, 2.0**4)  # times it: for steep or rough functions, for kinks near by
KINK_STEPS = (2.0**-20, 2.0**-24)  # to look at a kink from both sides
CLOSEST = 2.0**-30  # to tell whether it lies right there
NOISE_STEPS, NOISE_POINTS = (2.0**-34, 2.0**-18), 13
ROUNDING = 16  # times what was measured from few points, or ε: what a value may be rounded
SHARP = 1e-7  # of the largest slope: with smaller errors, no other step is tried

Line = Callable[[float], np.ndarray]  # t → f(x + t·u)

# A step may leave where the function is defined: that shows in the result, and the function need not warn.
_in_silence = np.errstate(all="ignore")


@dataclass(frozen=True)
class Slopes:
    """d f(x + t·u) / dt at t = 0 for each output, and how far off it may be."""

    value: np.ndarray
    error: np.ndarray
    bend: np.ndarray  # how far the slopes on both sides seem to be apart; 0 where f looks smooth

    def contracted(self, cotangent: np.ndarray) -> Slopes:
        """Those of ⟨cotangent, f⟩: one number."""
        value, error = np.vdot(cotangent, self.value), np.vdot(np.abs(cotangent), self.error)
        return Slopes(np.asarray(value), np.asarray(error), np.asarray(np.vdot(cotangent, self.bend)))

    def scaled(self, factor: float) -> Slopes:
        """Those along factor · u."""
        return Slopes(self.value * factor, self.error * factor, self.bend * factor)

    def or_better(self, other: Slopes) -> Slopes:
        """Output by output, whichever is known better."""
        better = other.error < self.error
        value, error = np.where(better, other.value, self.value), np.where(better, other.error, self.error)
        return Slopes(value, error, self.bend)


@_in_silence
def noise(line: Line) -> np.ndarray:
    """How far off the value of each output may be by rounding, as it shows in values along very short lines.

    The fourth difference of numbers with independent errors of size σ has the size √(1 + 16 + 36 + 16 + 1)·σ = √70·σ.
    All points lie on one side of x, so that a kink at x does not show; one between them shows in less than half of the
    differences, and so not in their median. A line that leaves where f is defined tells nothing.
    """
    measured = []
    for step in NOISE_STEPS:
        values = np.stack([line(k * step) for k in range(1, NOISE_POINTS + 1)])
        differences = np.abs(np.diff(values, 4, axis=0))
        measured.append(np.median(np.where(np.isfinite(differences), differences, np.nan), 0) / np.sqrt(70))
    at = np.abs(line(0.0))
    # A part of f far smaller than the rest may have been subtracted from something as large as the rest.
    return ROUNDING * (np.fmax(*measured) + EPSILON * at) + EPSILON * _largest(at)


@_in_silence
def leaves_domain(line: Line, step: float) -> bool:
    """Whether values of f that `slopes` looks at are not finite."""
    return not all(np.isfinite(line(t * step)).all() for t in (4, -4))


def slopes(
    line: Line,
    at: np.ndarray,
    rounding: np.ndarray | float,
    step: float = STEP,
    other_steps: Sequence[float] = OTHER_STEPS,
) -> Slopes:
    """The slopes at t = 0.

    at: the values there.
    rounding: how far off each value may be, as `noise` measures it.
    step: h. Where it does not give the slopes sharply, `other_steps` times it are tried, and the best is taken for each
        output.
    """
    found = _extrapolated(line, at, rounding, step)
    largest = _largest(found.value)
    if largest == 0 or np.all(found.error <= SHARP * largest):
        return found
    return sharpest(line, at, rounding, step, other_steps, found)


def sharpest(
    line: Line,
    at: np.ndarray,
    rounding: np.ndarray | float,
    step: float,
    other_steps: Sequence[float],
    found: Slopes,
) -> Slopes:
    """The best of the slopes found and those by other steps."""
    for factor in other_steps:
        found = found.or_better(_extrapolated(line, at, rounding, factor * step))
    return found


@_in_silence
def _extrapolated(line: Line, at: np.ndarray, rounding: np.ndarray | float, step: float) -> Slopes:
    """Slopes extrapolated from values at ±h, ±2h and ±4h."""
    values = [(line(t * step), line(-t * step)) for t in (1, 2, 4)]
    near, middle, far = ((a - b) / (2 * t * step) for t, (a, b) in zip((1, 2, 4), values, strict=True))
    best, second = near + (near - middle) / 3, middle + (middle - far) / 3
    truncation = np.abs(best - second)
    rounding = rounding + ROUNDING * EPSILON * np.abs(values).max((0, 1))  # where f is 0 at x, and not beside it
    # Rounding by r each: (4/3)·2r/2h in near and (1/3)·2r/4h in middle.
    error = np.where(np.isfinite(truncation), truncation + 1.5 * rounding / step, np.inf)
    return Slopes(best, error, _bend([a + b - 2 * at for a, b in values], rounding, step))


def _bend(second: Sequence[np.ndarray], rounding: np.ndarray | float, step: float) -> np.ndarray:
    """How far the slopes on both sides are apart, if they seem to be, from f(x + th) − 2 f(x) + f(x − th), t = 1, 2, 4.

    With slopes that are J apart that is thJ + (th)²f″ + (th)⁴f⁗/12 + …. Without f″, h and 2h give J + O(h³), and 2h and
    4h the same if there is a kink, but 8 times as much where f is smooth.
    """
    near, middle, far = (difference / (t * step) for t, difference in zip((1, 2, 4), second, strict=True))
    one, other = 2 * near - middle, 2 * middle - far
    is_bent = (np.abs(one) > 16 * rounding / step) & (np.abs(one - other) < 0.75 * np.abs(one))
    return np.where(is_bent, one, 0.0)


@_in_silence
def linear_slopes(line: Line, rounding: np.ndarray, terms: int) -> Slopes:
    """The slopes of a function that is linear along the line: for it a step of 1 is exact.

    terms: about how many numbers are summed for one output; errors grow with their square root.
    """
    after, before = line(1.0), line(-1.0)
    error = rounding + ROUNDING * EPSILON * np.sqrt(terms) * max(_largest(after), _largest(before))
    return Slopes((after - before) / 2, error, np.zeros_like(after))


@_in_silence
def curvature(line: Line, rounding: np.ndarray, terms: int) -> np.ndarray:
    """f(1) − 2 f(0) + f(−1) over what it may be by rounding: more than 1 where f is not linear along the line."""
    after, at, before = line(1.0), line(0.0), line(-1.0)
    size = max(map(_largest, (after, at, before)))
    allowed = 4 * (rounding + ROUNDING * EPSILON * np.sqrt(terms) * size)
    bend = np.abs(after - 2 * at + before)
    return np.divide(bend, allowed, out=np.zeros_like(bend), where=bend > 0)


@dataclass(frozen=True)
class Kink:
    """The slopes on both sides of a point where a line has a kink or a jump, and how far off they may be."""

    left: float
    right: float
    error: float

    def scaled(self, factor: float) -> Kink:
        """That along factor · u."""
        return Kink(self.left * factor, self.right * factor, self.error * factor)


@_in_silence
def kink(line: Line, rounding: float) -> Kink | None:
    """The slopes of one output at t = 0 if it has a kink or a jump there, else None.

    At a kink they are as far apart for every step, where f is smooth, in proportion to the step; at a jump, they grow
    as the step becomes smaller.
    """
    (left, right), (nearer_left, nearer_right) = (_one_sided(line, step) for step in KINK_STEPS)
    visible = 4 * rounding / KINK_STEPS[-1]
    apart = abs(nearer_right - nearer_left)
    steepest = max(abs(nearer_left), abs(nearer_right))
    is_kink = apart > visible and apart > abs(right - left) / 2
    is_jump = steepest > visible and steepest > 2 * max(abs(left), abs(right))
    if is_kink and not is_jump:  # without the curvature on either side
        ratio = KINK_STEPS[0] / KINK_STEPS[-1]
        nearer_left += (nearer_left - left) / (ratio - 1)
        nearer_right += (nearer_right - right) / (ratio - 1)
    return Kink(nearer_left, nearer_right, visible) if is_kink or is_jump else None


@_in_silence
def kink_right_at(line: Line, rounding: float) -> Kink | None:
    """As `kink`, but surely at t = 0 and not beside it: among very many numbers one is always close to where it has a
    kink, and derivatives there are as they should be."""
    found = kink(line, rounding)
    if found is None:
        return None
    left, right = _one_sided(line, CLOSEST)
    apart = found.right - found.left
    is_visible = abs(right - left) > 4 * rounding / CLOSEST
    return found if is_visible and abs(right - left - apart) < abs(apart) / 4 else None


def _one_sided(line: Line, step: float) -> tuple[float, float]:
    middle = line(0.0)
    return float((middle - line(-step)) / step), float((line(step) - middle) / step)


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0))
