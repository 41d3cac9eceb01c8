"""Whether a function's gradient is its derivative: `gradcheck`, and for second derivatives `gradgradcheck`.

What is looked at, in this order:

- called with other inputs before, the function gives the same bits twice, in memory full of different rubbish, and so
  does its gradient; neither changes its arguments; a value stays as it is when the function is called again, and does
  not depend on the inputs' layout; everything is finite;
- there is a gradient for every floating input, or its absence was declared; it has the input's shape and type;
- all ways to compute the gradient agree (tensors: the kernels' gradient, and the one recorded on the tape), also when
  the function is called on other inputs before its gradient is taken;
- asked for one input alone, the gradient is the same, and nothing is computed for the others;
- nor does the gradient depend on the cotangent's layout, not contiguous or with strides of 0; none is written to;
- the gradient is the derivative, as differences of values tell it. With y = f(x) and a random cotangent v:
  small inputs: every element of the Jacobian; larger ones: every element of the gradient of ⟨v, f(x)⟩; large ones: the
  derivative of ⟨v, f(x)⟩ along random directions.

A cotangent of ones (`f(x).sum()`) would miss whatever cancels in a sum, such as any multiple of softmax's gradient:
cotangents are random. Values are float64: in float32 the difference of two values has no digits left to compare. All
tolerances are relative: a function times 1e-30 is judged as the function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from .differences import (
    EPSILON,
    OTHER_STEPS,
    ROUNDING,
    STEP,
    Line,
    Slopes,
    curvature,
    kink,
    kink_right_at,
    leaves_domain,
    linear_slopes,
    noise,
    sharpest,
    slopes,
)
from .differentiable import Differentiable, as_differentiable
from .reports import Comparison, GradcheckError, InputReport, Method, Report
from .rules import Check

JACOBIAN_OUTPUTS, JACOBIAN_ELEMENTS = 64, 4096  # the largest Jacobian that is compared whole
MOST_ELEMENTS = 512  # of an input whose gradient is compared element by element
DIRECTIONS = 8
TOLERANCE = 1e-9  # of the largest derivative: what computing the gradient may round
ROUGH = 2.0**-32  # of a value: known to no more digits, it was not computed in float64
HIDDEN = 1e-6  # of the largest derivative: rough values that hide less do no harm


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

    function: of tensors, returning a tensor or a tuple of them; or an adapter, such as
        `array_function(forward, backward)`.
    inputs: an array for each argument, or the one array of a single argument. Floating ones must be float64 and are
        checked; others (labels, masks) are passed on. The gradient is taken at the arrays themselves, in their layout.
    linear: positions of the arguments in each of which, the others held, the function is linear (or affine). There a
        step of 1 is exact, and no more than rounding is forgiven. A convolution is linear in x and in its weight.
    without_gradient: positions of floating arguments of which it is known that they have no gradient (None).
    at_kinks: "error" accepts no gradient where the slopes from both sides differ, not even their mean, which central
        differences give. "subgradient" accepts every value between them, element by element: a tie that counts twice
        passes. Hold what was decided on by its exact values, as the registry does.
    method: "jacobian", "elements" or "directions"; by default what the sizes allow.
    directions: how many random directions, for large inputs.
    step: h of the differences, relative to an element's magnitude, or to that of the input's largest if that is less
        than 1, or to 1; where such steps leave the function's domain, relative to each element's magnitude. Where the
        function is too steep or too rough for it, others are tried.
    tolerance: allowed beside the differences' own error, relative to the largest derivative of the same output.
    seed: of the cotangent and the directions.

    Returns a `Report`. Raises `GradcheckError` with the worst element: its index, the analytic and the numeric value,
    and both one-sided slopes where it lies at a kink; TypeError for inputs that cannot be checked, or of which none is
    floating, ValueError for arguments that cannot be.
    """
    check = Check(as_differentiable(function), inputs, set(without_gradient), seed)
    _reject_positions(linear, check, "linear")
    _reject_positions(without_gradient, check, "without_gradient")
    _reject_options(at_kinks, method, directions, step, tolerance)
    gradients = check.rules()
    reports = []
    for position in check.checked:
        compared = _Compared(check, position, gradients[position], position in linear, step, tolerance)
        reports.append(compared.by(method or compared.method(), directions, at_kinks))
    check.require_same_value()
    report = Report(tuple(reports))
    if (worst := report.worst) is not None and worst.excess > 1:
        raise GradcheckError(f"the gradient is not the derivative: {worst}\n{report}")
    return report


def gradgradcheck(
    function: Callable[..., Any] | Differentiable,
    inputs: Sequence[Any] | Any,
    *,
    without_gradient: Collection[int] = (),
    seed: int = 0,
    **options: Any,
) -> Report:
    """Check second derivatives: `gradcheck` of the function (inputs, cotangent) → gradients in all inputs.

    In the cotangent that function is linear, which is checked as such; so it is in none of the inputs, as a rule, and
    `linear` is not taken. A gradient that does not depend on an input has the second derivative 0 in it. Other
    arguments as for `gradcheck`. Needs a function of tensors, or an adapter that has a method `derivative(wanted)`,
    which gives that function as an adapter; `wanted` tells, for each input, whether its gradient counts.
    """
    if "linear" in options:
        raise TypeError("gradgradcheck takes no argument linear: a gradient is linear in the cotangent alone")
    adapter = as_differentiable(function)
    if not hasattr(adapter, "derivative"):
        raise TypeError("second derivatives need a function of tensors, or an adapter with a method derivative(wanted)")
    check = Check(adapter, inputs, set(without_gradient), seed)
    _reject_positions(without_gradient, check, "without_gradient")
    count = len(check.arrays)
    derivative = adapter.derivative([position in check.checked for position in range(count)])
    cotangent = np.random.default_rng([seed, 1]).standard_normal(adapter.value(check.arrays).shape)
    options.update(linear=(count,), without_gradient=without_gradient, seed=seed)
    return gradcheck(derivative, [*check.arrays, cotangent], **options)


def _reject_positions(positions: Collection[int], check: Check, name: str) -> None:
    wrong = [position for position in positions if position not in range(len(check.arrays))]
    if wrong:
        raise ValueError(f"{name} = {sorted(positions)}: there are {len(check.arrays)} inputs, counted from 0")
    constant = [position for position in positions if not check.wanted[position]]
    if constant:
        raise ValueError(f"{name} = {sorted(positions)}: input {constant[0]} is not floating and never has a gradient")


def _reject_options(at_kinks: str, method: str | None, directions: int, step: float, tolerance: float) -> None:
    if at_kinks not in ("error", "subgradient"):
        raise ValueError(f"at_kinks = {at_kinks!r}: expected 'error' or 'subgradient'")
    if method not in (None, "jacobian", "elements", "directions"):
        raise ValueError(f"method = {method!r}: expected 'jacobian', 'elements', 'directions' or None")
    if directions < 1:
        raise ValueError(f"directions = {directions}: expected at least 1")
    if not 0 < step <= 1:
        raise ValueError(f"step = {step}: expected a number between 0 and 1")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance = {tolerance}: expected a small number, 0 or more")


class _Compared:
    """The gradient in one input, compared with differences."""

    def __init__(self, check: Check, position: int, gradient: np.ndarray, linear: bool, step: float, tolerance: float):
        self.check, self.position, self.linear, self.step = check, position, linear, step
        self.tolerance, self.gradient, self.array = tolerance, gradient, check.arrays[position]
        self.unit = 1.0 if linear else min(1.0, float(np.abs(self.array).max(initial=0)) or 1.0)
        self.scales = _scales(self.array, self.unit)
        self.other_steps = OTHER_STEPS if self.unit == 1 else (*OTHER_STEPS, 1 / self.unit)

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
        self._look_around()
        found = list(self._along_random(directions) if method == "directions" else self._at_elements(method))
        largest: dict[tuple[int, ...] | None, float] = {}
        for comparison, _, _ in found:
            largest[comparison.output] = max(largest.get(comparison.output, 0.0), abs(comparison.numeric))
        relative = ROUNDING * EPSILON * np.sqrt(self.array.size) if self.linear else self.tolerance
        judged = [(replace(c, tolerance=c.tolerance + relative * largest[c.output]), line) for c, line, _ in found]
        worst = self._worst(judged, relative, largest, at_kinks)
        if worst.excess <= 1 and at_kinks == "error":
            self._require_no_kink([(c, line) for c, line, bend in found if bend])
        return InputReport(self.position, method, len(judged), worst)

    def _look_around(self) -> None:
        """How exact the values are; whether they are linear as declared."""
        rng = np.random.default_rng([self.check.seed, 1, self.position])
        direction = rng.standard_normal(self.array.shape)
        line = self._line(direction * self.scales)
        self.noise = noise(line)
        if not self.linear and (leaves_domain(line, self.step) or self._roughness() is not None):
            # As for the logarithm of small numbers beside larger ones: a step for each from its own magnitude.
            self.scales = _scales(np.where(self.array == 0, self.unit, self.array), 0.0)
            line = self._line(direction * self.scales)
            self.noise = noise(line)
        if (rough := self._roughness()) is not None:
            raise GradcheckError(
                f"the function's values are known to a relative error of {rough:.1g} only (seen along input "
                f"{self.position}): is something computed in float32? Or does it change from call to call?"
            )
        if self.linear:
            bend = curvature(line, self.noise, self.array.size)
            if bend.max() > 1:
                output = tuple(int(i) for i in np.unravel_index(int(bend.argmax()), bend.shape))
                raise GradcheckError(
                    f"input {self.position} is declared linear, but output {output} is not linear in it"
                )

    def _roughness(self) -> float | None:
        """The relative error of values that are rougher than float64's, so that derivatives hide in them."""
        weights = np.abs(self.check.cotangent)
        rough = float(np.vdot(weights, self.noise))
        size = float(np.vdot(weights, np.abs(self.check.output)) + np.vdot(np.abs(self.gradient), np.abs(self.array)))
        largest = float(np.abs(self.gradient * self.scales).max())
        is_rough = rough > ROUNDING * ROUGH * size and rough > HIDDEN * self.step * largest > 0
        return rough / ROUNDING / size if is_rough else None

    def _line(self, direction: np.ndarray) -> Line:
        """t → f(… x + t·direction …)."""

        def line(t: float) -> np.ndarray:
            arrays = list(self.check.arrays)
            arrays[self.position] = self.array + t * direction
            return np.asarray(self.check.function.value(arrays), np.float64)

        return line

    def _slopes(self, line: Line) -> Slopes:
        if self.linear:
            return linear_slopes(line, self.noise, self.array.size)
        return slopes(line, self.check.output, self.noise, self.step, self.other_steps)

    def _along_random(self, directions: int) -> Iterator[tuple[Comparison, Line, float]]:
        """Derivatives of ⟨cotangent, f⟩ along random directions, longer where the input is larger."""
        rng = np.random.default_rng([self.check.seed, self.position])
        for _ in range(directions):
            direction = rng.standard_normal(self.array.shape) * self.scales
            line = self._line(direction)
            slope = self._slopes(line).contracted(self.check.cotangent)
            analytic = float(np.vdot(self.gradient, direction))
            numbers = analytic, float(slope.value), float(slope.error)
            yield Comparison(self.position, None, None, *numbers), self._of(None, line), float(slope.bend)

    def _at_elements(self, method: Method) -> Iterator[tuple[Comparison, Line, float]]:
        """Derivatives of ⟨cotangent, f⟩ in each element of the input, and of each output for the whole Jacobian."""
        outputs = list(np.ndindex(self.check.output.shape)) if method == "jacobian" else []
        rows = [self._under_unit_cotangent(output) for output in outputs]
        for index in np.ndindex(self.array.shape):
            direction = np.zeros(self.array.shape)
            direction[index] = self.scales[index]
            line = self._line(direction)
            each = self._slopes(line).scaled(1 / float(self.scales[index]))
            whole = each.contracted(self.check.cotangent)
            numbers = float(self.gradient[index]), float(whole.value), float(whole.error)
            yield Comparison(self.position, index, None, *numbers), self._of(None, line), float(whole.bend)
            for output, row in zip(outputs, rows, strict=True):
                numbers = float(row[index]), float(each.value[output]), float(each.error[output])
                yield (
                    Comparison(self.position, index, output, *numbers),
                    self._of(output, line),
                    float(each.bend[output]),
                )

    def _of(self, output: tuple[int, ...] | None, line: Line) -> Line:
        """The line of one output, or of ⟨cotangent, f⟩."""
        if output is None:
            return lambda t: np.asarray(np.vdot(self.check.cotangent, line(t)))
        return lambda t: np.asarray(line(t)[output])

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

    # ---- what fails is looked at more closely

    def _worst(
        self, judged: list[tuple[Comparison, Line]], relative: float, largest: dict[Any, float], at_kinks: str
    ) -> Comparison:
        """The comparison with the largest share of its tolerance; one that fails, if it still does at a closer look."""
        passing = [comparison for comparison, _ in judged if comparison.excess <= 1]
        for comparison, line in sorted(judged, key=lambda pair: -pair[0].excess):
            if comparison.excess <= 1:
                break
            closer = self._closer(comparison, line, relative * largest[comparison.output], at_kinks)
            if closer.excess > 1:
                return closer
            passing.append(closer)
        return max(passing, key=lambda comparison: comparison.excess)

    def _closer(self, c: Comparison, line: Line, allowed: float, at_kinks: str) -> Comparison:
        """With differences of other steps, and at a kink with the slopes on both sides."""
        if self.linear:
            return c
        scale, rounding = self._scale_of(c), self._rounding_of(c)
        numbers = c.numeric * scale, (c.tolerance - allowed) * scale, 0.0
        so_far = Slopes(*map(np.asarray, numbers))
        best = sharpest(line, line(0.0), rounding, self.step, self.other_steps, so_far).scaled(1 / scale)
        closer = replace(c, numeric=float(best.value), tolerance=float(best.error) + allowed)
        if closer.excess <= 1 or (found := kink(line, rounding)) is None:
            return closer
        there = found.scaled(1 / scale)
        low, high = sorted([there.left, there.right])
        room = allowed + there.error
        if at_kinks == "subgradient" and low - room <= c.analytic <= high + room:
            return replace(closer, numeric=c.analytic, left=there.left, right=there.right)
        return replace(closer, left=there.left, right=there.right)

    def _require_no_kink(self, bent: list[tuple[Comparison, Line]]) -> None:
        """Raise at a kink where the gradient is the mean of the slopes on both sides: what central differences give."""
        for c, line in bent:
            if (found := kink_right_at(line, self._rounding_of(c))) is not None:
                there = found.scaled(1 / self._scale_of(c))
                raise GradcheckError(
                    "there is no derivative to compare with, and at_kinks = 'error': "
                    f"{replace(c, left=there.left, right=there.right)}"
                )

    def _scale_of(self, c: Comparison) -> float:
        return 1.0 if c.index is None else float(self.scales[c.index])

    def _rounding_of(self, c: Comparison) -> float:
        """What a value of its output may be rounded."""
        weights = np.abs(self.check.cotangent)
        return float(np.vdot(weights, self.noise) if c.output is None else self.noise[c.output])


def _scales(array: np.ndarray, unit: float) -> np.ndarray:
    """For each number, the power of two to which a step there is scaled: its magnitude, or `unit` if that is less."""
    return np.exp2(np.ceil(np.log2(np.maximum(np.abs(array), unit))))
