"""Tools to verify kernels and gradients, tomograd's or others': `tg.testing`.

What to call

    gradcheck(function, inputs)         first derivatives against differences, and the rules that a gradient has to keep
    gradgradcheck(function, inputs)     second derivatives
    array_function(forward, backward)   a pair of functions of NumPy's arrays, or CuPy's, for gradcheck
    compare(kernel, reference, …)       a kernel against its reference, with a bound that follows the sums
    strategies                          for Hypothesis: arrays, layouts, windows, values that are hard
    registry                            every function of tomograd.functional as data, and the checks of each

What they give back: a `Report` with an `InputReport` for each input, the worst `Comparison` in each; a `Difference`.

What they raise, all of them AssertionErrors: `GradcheckError`, `UnwantedGradientError` (a kind of it), `CompareError`.

What else can be checked: anything with the methods of `Differentiable`, as `TensorFunction` and `ArrayFunction` have.

`docs/verification.md` explains each rule.
"""

from .compare import CompareError, Difference, compare
from .differentiable import ArrayFunction, Differentiable, TensorFunction, array_function
from .gradcheck import gradcheck, gradgradcheck
from .reports import Comparison, GradcheckError, InputReport, Report, UnwantedGradientError

__all__ = [
    "ArrayFunction",
    "CompareError",
    "Comparison",
    "Difference",
    "Differentiable",
    "GradcheckError",
    "InputReport",
    "Report",
    "TensorFunction",
    "UnwantedGradientError",
    "array_function",
    "compare",
    "gradcheck",
    "gradgradcheck",
    "registry",
    "strategies",
]


def __getattr__(name: str):
    """`registry`, and `strategies` which needs Hypothesis, when they are first asked for."""
    if name in ("registry", "strategies"):
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
