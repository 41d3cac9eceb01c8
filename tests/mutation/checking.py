"""Checks by name: of derivatives, on the kernels of one backend; and of its kernels, beside those of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tomograd import kernels
from tomograd.engine import GradientError
from tomograd.testing import (
    CompareError,
    GradcheckError,
    TensorFunction,
    UnwantedGradientError,
    compare,
    gradcheck,
    gradgradcheck,
)

FOUND = (CompareError, GradcheckError, GradientError, UnwantedGradientError)  # how a check says that it found a bug


class Checks(dict[str, Callable[[], object]]):
    """What is to be called, by its name, to check the backend `tested` (`judge`: the other one)."""

    def __init__(self, tested: str, judge: str):
        self.tested, self.judge = tested, judge

    def run(self, name: str) -> None:
        """Run one, on the backend that is tested. Raises one of `FOUND` if it finds a bug."""
        with kernels.using(self.tested), np.errstate(all="ignore"):  # a bug may divide by 0: the result has to tell
            self[name]()

    def first(self, name: str, function: Callable, *arrays: np.ndarray, **options) -> None:
        """Adds one of first derivatives."""
        self[f"gradcheck of {name}"] = lambda: gradcheck(function, list(arrays), **options)

    def second(self, name: str, function: Callable, *arrays: np.ndarray, **options) -> None:
        """Adds one of second derivatives."""
        self[f"gradgradcheck of {name}"] = lambda: gradgradcheck(function, list(arrays), **options)

    def third(self, name: str, function: Callable, x: np.ndarray, cotangent: np.ndarray) -> None:
        """Adds one of third derivatives: second ones of the gradient in x, which is a function of the cotangent too."""
        gradient = TensorFunction(function).derivative([True])
        self[f"gradgradcheck of the gradient of {name}"] = lambda: gradgradcheck(gradient, [x, cotangent])

    def compared(self, name: str, kernel: str, *arguments, **options) -> None:
        """Adds a comparison of one kernel."""

        def check() -> object:
            one, other = (getattr(kernels.backend(backend), kernel) for backend in (self.tested, self.judge))
            return compare(one, other, *arguments, **options)

        self[f"compare of {name}"] = check

    def compared_in_place(
        self, name: str, kernel: str, arrays: list[np.ndarray | None], *numbers, terms: int = 8
    ) -> None:
        """Adds one of an optimizer's step for one parameter, which changes its arrays; None: an array left out. The
        arrays' numbers are at most of the order of 1."""
        given = [array for array in arrays if array is not None]
        sizes = tuple([np.full(array.shape, 4.0) for array in given])

        def step_of(backend: str) -> Callable:
            def step(*given: np.ndarray) -> tuple[np.ndarray, ...]:
                own = [array.copy() for array in given]
                filled = iter([[array] for array in own])
                lists = [None if array is None else next(filled) for array in arrays]
                getattr(kernels.backend(backend), kernel)(*lists, *numbers)
                return tuple(own)

            return step

        def check() -> object:
            one, other = step_of(self.tested), step_of(self.judge)
            return compare(one, other, *given, terms=terms, magnitude=lambda *_: sizes)

        self[f"compare of {name}"] = check
