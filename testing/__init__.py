"""Tools to verify kernels and gradients, tomograd's or others': `tg.testing`.

    tg.testing.gradcheck(function, inputs)        first derivatives against differences, and the rules of a gradient
    tg.testing.gradgradcheck(function, inputs)    second derivatives
    tg.testing.compare(kernel, reference, …)      a kernel against its reference, with a bound that follows the sums
    tg.testing.strategies                         Hypothesis strategies for arrays, layouts, windows, hard values

`docs/verification.md` explains each rule.
"""

from .compare import CompareError, Difference, compare
from .differentiable import ArrayFunction, Differentiable, TensorFunction, UnwantedGradientError, array_function
from .gradcheck import gradcheck, gradgradcheck
from .reports import Comparison, GradcheckError, InputReport, Report

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
    "strategies",
]


def __getattr__(name: str):
    """`strategies`, when it is first asked for: it needs Hypothesis."""
    if name == "strategies":
        from importlib import import_module

        return import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
