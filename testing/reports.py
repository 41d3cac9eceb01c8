"""What `gradcheck` reports: derivatives compared, and the worst of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Method = Literal["jacobian", "elements", "directions"]


class GradcheckError(AssertionError):
    """A gradient that is not the derivative, or a function that breaks a rule."""


class UnwantedGradientError(GradcheckError):
    """A gradient was computed that nobody had asked for."""


@dataclass(frozen=True)
class Comparison:
    """One derivative: what the gradient says, and what the values say."""

    input: int  # which argument
    index: tuple[int, ...] | None  # of the element in it; None: a random direction
    output: tuple[int, ...] | None  # of the output's element; None: contracted with the random cotangent
    analytic: float
    numeric: float
    tolerance: float
    left: float | None = None  # the slopes on both sides, where they differ
    right: float | None = None

    @property
    def excess(self) -> float:
        """The difference over what is allowed; infinite for NaN, and where nothing is known of the numeric value."""
        if not (np.isfinite(self.tolerance) and np.isfinite(self.numeric) and np.isfinite(self.analytic)):
            return np.inf
        if self.analytic == self.numeric:
            return 0.0
        return abs(self.analytic - self.numeric) / self.tolerance if self.tolerance else np.inf

    def __str__(self) -> str:
        where = "along a random direction" if self.index is None else f"at index {self.index}"
        of = "⟨cotangent, f⟩" if self.output is None else f"output {self.output}"
        text = (
            f"input {self.input} {where}, {of}: "
            f"analytic {self.analytic + 0.0:.12g}, numeric {self.numeric + 0.0:.12g}, "
            f"difference {abs(self.analytic - self.numeric):.3g}, allowed {self.tolerance:.3g}"
        )
        if not np.isfinite(self.numeric):
            text += "; the function's values a step away are not finite: a smaller step may find the slope"
        if self.left is not None and self.right is not None:
            text += (
                f"; it lies at a kink: slope from the left {self.left + 0.0:.9g}, from the right {self.right + 0.0:.9g}"
            )
        return text


@dataclass(frozen=True)
class InputReport:
    """What was compared for one input, and the worst of it."""

    input: int
    method: Method
    compared: int
    worst: Comparison | None  # None: the input is empty


@dataclass(frozen=True)
class Report:
    """What `gradcheck` found, input by input."""

    inputs: tuple[InputReport, ...]

    @property
    def worst(self) -> Comparison | None:
        """The comparison that came closest to its tolerance, or passed it."""
        found = [report.worst for report in self.inputs if report.worst is not None]
        return max(found, key=lambda comparison: comparison.excess, default=None)

    def __str__(self) -> str:
        lines = [f"input {r.input}: {r.compared} derivatives by {r.method}; worst: {r.worst}" for r in self.inputs]
        return "\n".join(lines)
