"""Whether a function's gradient is its derivative: `gradcheck`, and for second derivatives `gradgradcheck`.

What is looked at, in this order:

- the function gives the same bits twice, and so does its gradient; neither changes its arguments; nothing is NaN;
- there is a gradient for every floating input, or its absence was declared; it has the input's shape and type;
- asked for one input alone, the gradient is the same, and nothing is computed for the others;
- all ways to compute the gradient agree (tensors: the kernels' gradient, and the one recorded on the tape);
- the gradient is the derivative, as differences of values tell it. With y = f(x) and a random cotangent v:
  small inputs: every element of the Jacobian; larger ones: every element of the gradient of ⟨v, f(x)⟩; large ones: the
  derivative of ⟨v, f(x)⟩ along random directions.

A cotangent of ones (`f(x).sum()`) would miss whatever cancels in a sum, such as any multiple of softmax's gradient:
cotangents are random. Values are float64: in float32 the difference of two values has no digits left to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .differences import EPSILON, ROUNDING, SMALL_STEP, STEP, Line, Slopes, one_sided, slopes
from .differentiable import Differentiable, TensorFunction, as_differentiable
from .reports import Comparison, GradcheckError, InputReport, Method, Report
from .rules import Check

JACOBIAN_OUTPUTS, JACOBIAN_ELEMENTS = 64, 4096  # the largest Jacobian that is compared whole
MOST_ELEMENTS = 512  # of an input whose gradient is compared element by element
DIRECTIONS = 8
TOLERANCE = 1e-9  # of the largest derivative: what computing the gradient may round
KINK = 1e-4  # two slopes that differ by more, relatively, are those of a kink
NEAR_KINK = 1e-5  # of the slope: allowed for a plain difference with a small step, beside a kink


def gradcheck(
    function: Callable[..., Any] | Differentiable,
    inputs: Sequence[Any] | Any,
    *,
    linear: Collection[int] = (),
    without_gradient: Collection[int] = (),
    at_kinks: Literal["error", "subgradient"] = "error",
    method: Method | None = None,
    directions: int = DIRECTIONS,
    step: float = STEP,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Report:
    """Check a function's gradients in all its floating inputs against differences of its values.

    function: of tensors, returning a tensor; or an adapter, such as `array_function(forward, backward)`.
    inputs: an array for each argument, or the one array of a single argument. Floating ones must be float64 and are
        checked; others (labels, masks) are passed on. They are given to the function in the layout they have.
    linear: positions of the arguments in each of which, the others held, the function is linear (or affine). There a
        step of 1 is exact, and no more than rounding is forgiven. A convolution is linear in x and in its weight.
    without_gradient: positions of floating arguments of which it is known that they have no gradient (None).
    at_kinks: "subgradient" accepts, where the slopes from both sides differ, every value between them.
    method: "jacobian", "elements" or "directions"; by default what the sizes allow.
    directions: how many random directions, for large inputs.
    step: h of the differences, for arguments of magnitude 1; it grows with them.
    tolerance: allowed beside the differences' own error, relative to the largest derivative of the input.
    seed: of the cotangent and the directions.

    Returns a `Report`. Raises `GradcheckError` with the worst element: its index, the analytic and the numeric value,
    and both one-sided slopes where it lies at a kink; TypeError for inputs that cannot be checked.
    """
    check = Check(as_differentiable(function), inputs, set(without_gradient), seed)
    _reject_positions(linear, check, "linear")
    _reject_positions(without_gradient, check, "without_gradient")
    if at_kinks not in ("error", "subgradient"):
        raise ValueError(f"at_kinks = {at_kinks!r}: expected 'error' or 'subgradient'")
    if method not in (None, "jacobian", "elements", "directions"):
        raise ValueError(f"method = {method!r}: expected 'jacobian', 'elements', 'directions' or None")
    gradients = check.rules()
    reports = []
    for position in check.checked:
        compared = _Compared(check, position, gradients[position], position in linear, step, tolerance)
        reports.append(compared.by(method or compared.method(), directions, at_kinks))
    report = Report(tuple(reports))
    if (worst := report.worst) is not None and worst.excess > 1:
        raise GradcheckError(f"the gradient is not the derivative: {worst}\n{report}")
    return report


def gradgradcheck(
    function: Callable[..., Any] | Differentiable, inputs: Sequence[Any] | Any, *, seed: int = 0, **options: Any
) -> Report:
    """Check second derivatives: `gradcheck` of the function (inputs, cotangent) → gradients in all inputs.

    In the cotangent that function is linear, which is checked as such; so it is in none of the inputs, as a rule, and
    `linear` is not taken. Other arguments as for `gradcheck`. Needs a function of tensors, or an adapter that has a
    method `derivative(count)` with that function as an adapter.
    """
    if "linear" in options:
        raise TypeError("gradgradcheck takes no argument linear: a gradient is linear in the cotangent alone")
    adapter = as_differentiable(function)
    if not hasattr(adapter, "derivative"):
        raise TypeError("second derivatives need a function of tensors, or an adapter with a method derivative(count)")
    check = Check(adapter, inputs, set(), seed)
    constants = [i for i in range(len(check.arrays)) if i not in check.checked]
    derivative = adapter.derivative(len(check.arrays))
    if constants and not isinstance(adapter, TensorFunction):
        raise TypeError(f"gradgradcheck: inputs {constants} are not floating, which only functions of tensors may have")
    value = adapter.value(check.arrays)
    cotangent = np.random.default_rng([seed, 1]).standard_normal(value.shape)
    return gradcheck(derivative, [*check.arrays, cotangent], linear=(len(check.arrays),), seed=seed, **options)


def _reject_positions(positions: Collection[int], check: Check, name: str) -> None:
    wrong = [position for position in positions if position not in range(len(check.arrays))]
    if wrong:
        raise ValueError(f"{name} = {sorted(positions)}: there are {len(check.arrays)} inputs, counted from 0")


class _Compared:
    """The gradient in one input, compared with differences."""

    def __init__(self, check: Check, position: int, gradient: np.ndarray, linear: bool, step: float, tolerance: float):
        self.check, self.position, self.linear, self.step = check, position, linear, step
        self.tolerance, self.gradient, self.array = tolerance, gradient, check.arrays[position]

    def method(self) -> Method:
        """What the sizes allow."""
        outputs, size = self.check.output.size, self.array.size
        if outputs <= JACOBIAN_OUTPUTS and outputs * size <= JACOBIAN_ELEMENTS:
            return "jacobian"
        return "elements" if size <= MOST_ELEMENTS else "directions"

    def by(self, method: Method, directions: int, at_kinks: str) -> InputReport:
        """Compare all of it."""
        if not self.array.size or not self.check.output.size:
            return InputReport(self.position, method, 0, None)
        found = list(self._along_random(directions) if method == "directions" else self._at_elements(method))
        rounding = ROUNDING * EPSILON * np.sqrt(self.array.size)
        largest = max(abs(comparison.numeric) for comparison, _ in found)
        allowed = (rounding if self.linear else self.tolerance) * largest
        judged = [self._judged(comparison, line, allowed, at_kinks) for comparison, line in found]
        return InputReport(self.position, method, len(judged), max(judged, key=lambda c: c.excess))

    def _line(self, direction: np.ndarray) -> Line:
        """t → f(… x + t·direction …)."""

        def line(t: float) -> np.ndarray:
            arrays = list(self.check.arrays)
            arrays[self.position] = self.array + t * direction
            return np.asarray(self.check.function.value(arrays), np.float64)

        return line

    def _slopes(self, line: Line, magnitude: float = 1.0) -> Slopes:
        step = self.step * max(1.0, magnitude)
        return slopes(line, step, self.linear, max(1, self.array.size))

    def _of_cotangent(self, line: Line) -> Line:
        return lambda t: np.asarray(np.vdot(self.check.cotangent, line(t)))

    def _along_random(self, directions: int) -> Iterator[tuple[Comparison, Line]]:
        """Derivatives of ⟨cotangent, f⟩ along random directions."""
        rng = np.random.default_rng([self.check.seed, self.position])
        for _ in range(directions):
            direction = rng.standard_normal(self.array.shape)
            line = self._line(direction)
            slope = self._slopes(line).contracted(self.check.cotangent)
            analytic = float(np.vdot(self.gradient, direction))
            numbers = analytic, float(slope.value), float(slope.error)
            yield Comparison(self.position, None, None, *numbers), self._of_cotangent(line)

    def _at_elements(self, method: Method) -> Iterator[tuple[Comparison, Line]]:
        """Derivatives of ⟨cotangent, f⟩ in each element of the input, and of each output for the whole Jacobian."""
        outputs = list(np.ndindex(self.check.output.shape)) if method == "jacobian" else []
        rows = [self._under_unit_cotangent(output) for output in outputs]
        for index in np.ndindex(self.array.shape):
            direction = np.zeros(self.array.shape)
            direction[index] = 1
            line = self._line(direction)
            each = self._slopes(line, abs(float(self.array[index])))
            whole = each.contracted(self.check.cotangent)
            numbers = float(self.gradient[index]), float(whole.value), float(whole.error)
            yield Comparison(self.position, index, None, *numbers), self._of_cotangent(line)
            for output, row in zip(outputs, rows, strict=True):
                numbers = float(row[index]), float(each.value[output]), float(each.error[output])
                yield Comparison(self.position, index, output, *numbers), _one_output(line, output)

    def _under_unit_cotangent(self, output: tuple[int, ...]) -> np.ndarray:
        """One row of the Jacobian."""
        unit = np.zeros(self.check.output.shape)
        unit[output] = 1
        wanted = [position == self.position for position in range(len(self.check.arrays))]
        function = self.check.function
        found = function.gradients(self.check.arrays, unit, wanted, function.paths[0])[self.position]
        if found is None:
            raise GradcheckError(f"input {self.position} has no gradient under a cotangent that is 1 at {output} only")
        return np.array(found)

    def _judged(self, c: Comparison, line: Line, allowed: float, at_kinks: str) -> Comparison:
        """With its full tolerance; where it fails, seen from both sides."""
        judged = replace(c, tolerance=c.tolerance + allowed)
        if judged.excess <= 1 or self.linear:
            return judged
        left, right = (float(slope) for slope in one_sided(line))
        noise = ROUNDING * EPSILON * (1 + abs(float(line(0.0)))) * np.sqrt(self.array.size) / SMALL_STEP
        apart = KINK * max(abs(left), abs(right)) + noise
        if abs(left - right) > apart:
            inside = min(left, right) - apart <= c.analytic <= max(left, right) + apart
            if inside and at_kinks == "subgradient":
                return replace(judged, numeric=c.analytic, left=left, right=right)
            return replace(judged, tolerance=allowed, left=left, right=right)
        if abs(c.numeric - (left + right) / 2) > apart:  # a kink within the step, not at the point
            return replace(judged, numeric=(left + right) / 2, tolerance=NEAR_KINK * max(abs(left), abs(right)) + noise)
        return judged


def _one_output(line: Line, output: tuple[int, ...]) -> Line:
    return lambda t: np.asarray(line(t)[output])
