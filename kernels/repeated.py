"""Optimizer steps that a CUDA graph repeats: with other numbers each time, and only where the loss is finite.

A graph repeats launches with the same arguments. So a step that is captured takes its numbers (learning rates,
corrections of means) from an array on the GPU, which is filled before each launch of the graph:

    numbers = Numbers(array, loss)
    with captured_with(numbers): backend.adam_step(…)     # launched into the graph; reads `array`, and the loss
    with renewed(numbers): backend.adam_step(…)           # computes its numbers anew, and launches nothing
    numbers.values                                        # what `array` is to hold

Both are the same call with the same arrays: so the numbers are computed in one place, in main memory, whether a step is
captured or not. A backend that knows of graphs asks `current()` where it would launch a step; the others need not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Array = Any  # on the GPU


class DifferentStepError(RuntimeError):
    """A step that would launch something else than what was captured."""


class Numbers:
    """The numbers of the steps of one graph, in the order in which they are launched.

    array: where the launches read them: float64, of one dimension. loss: a float64 on the GPU; where it is not finite
    when a step is launched, the step does nothing.
    """

    def __init__(self, array: Array, loss: Array) -> None:
        self.array, self.loss = array, loss
        self.values = np.zeros(array.size)
        self._steps: list[tuple[Any, int]] = []  # what was captured, and where its numbers begin
        self._used = 0
        self._renewed: int | None = None  # how many steps have new numbers; None: while the graph is captured

    def take(self, step: Any, numbers: Sequence[float]) -> Array | None:
        """Where a step that is captured finds its numbers; None where they are only renewed. step: what says which
        launches it makes.

        Raises DifferentStepError for another step than was captured, RuntimeError for more numbers than there is room
        for.
        """
        end = self._used + len(numbers)
        if self._renewed is None:
            if end > len(self.values):
                raise RuntimeError(f"an optimizer's step takes more than {len(self.values)} numbers")
            place, self._used = self.array[self._used : end], end
            self._steps.append((step, end - len(numbers)))
            return place
        if self._renewed == len(self._steps) or self._steps[self._renewed][0] != step:
            raise DifferentStepError("the optimizer's step is another one than the one that was captured")
        begin = self._steps[self._renewed][1]
        self.values[begin : begin + len(numbers)] = numbers
        self._renewed += 1
        return None


class _OfThread(threading.local):
    numbers: Numbers | None = None


_of_thread = _OfThread()


def current() -> Numbers | None:
    """The numbers of the graph whose steps this thread captures or renews."""
    return _of_thread.numbers


@contextmanager
def captured_with(numbers: Numbers) -> Iterator[None]:
    """Within it, steps of the optimizers are captured into a graph."""
    _of_thread.numbers = numbers
    try:
        yield
    finally:
        _of_thread.numbers = None


@contextmanager
def renewed(numbers: Numbers) -> Iterator[None]:
    """Within it, the same steps only compute their numbers. Raises DifferentStepError if some are missing after it."""
    numbers._renewed = 0
    with captured_with(numbers):
        yield
    if numbers._renewed != len(numbers._steps):
        raise DifferentStepError("the optimizer's step is another one than the one that was captured")
