"""Learning rates that follow the count of steps: Keras's schedules, as plain functions of an integer."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .absent import absent
from .checks import in_range
from .config import Configurable, make, serialize

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "get",
    "serialize",
]


class LearningRateSchedule(Configurable):
    """Base class: a callable from the number of steps taken so far to the learning rate of the next one."""

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(step)")


class ExponentialDecay(LearningRateSchedule):
    """initial_learning_rate · decay_rate^(step / decay_steps); with `staircase` the exponent is rounded down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.decay_rate = _positive("decay_steps", decay_steps), decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: int) -> float:
        exponent = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (math.floor(exponent) if self.staircase else exponent)


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial_learning_rate down to alpha times it, over decay_steps; constant after that.

    With warmup_target, the rate first rises from initial_learning_rate to that target over warmup_steps, and the cosine
    starts there (Loshchilov & Hutter 2016, without restarts).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        if warmup_target is None and warmup_steps:
            raise ValueError(f"warmup_steps = {warmup_steps!r} needs a warmup_target")
        self.decay_steps, self.alpha = _positive("decay_steps", decay_steps), alpha
        self.name, self.warmup_target, self.warmup_steps = name, warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        fraction = min(step, self.decay_steps) / self.decay_steps
        return top * ((1.0 - self.alpha) * 0.5 * (1.0 + math.cos(math.pi * fraction)) + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each from a new start (Loshchilov & Hutter 2016): the first lasts
    first_decay_steps, each further one t_mul times as long as the one before and from m_mul times as high, none below
    alpha times initial_learning_rate.

    The steps at which a cosine begins are counted up; Keras finds them by logarithms, which miss some of them by one.
    Raises ValueError for a t_mul below 1, with which no step after some number would have a rate.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul = in_range("CosineDecayRestarts", "t_mul", t_mul, least=1.0)
        self.m_mul, self.alpha, self.name = m_mul, alpha, name

    def __call__(self, step: int) -> float:
        restarts, length = 0, self.first_decay_steps
        if self.t_mul == 1.0:
            restarts, step = int(step // length), step % length
        while step >= length:
            restarts, step, length = restarts + 1, step - length, length * self.t_mul
        cosine = 0.5 * self.m_mul**restarts * (1.0 + math.cos(math.pi * step / length))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


class InverseTimeDecay(LearningRateSchedule):
    """initial_learning_rate / (1 + decay_rate · step / decay_steps); with `staircase` the fraction is rounded down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps, self.decay_rate = _positive("decay_steps", decay_steps), decay_rate
        self.staircase, self.name = staircase, name

    def __call__(self, step: int) -> float:
        passed = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1.0 + self.decay_rate * passed)


class OneCycle(LearningRateSchedule):
    """Up and down once (Smith 2018, "Super-convergence"), as PyTorch's OneCycleLR: not in Keras.

    The rate rises from max_learning_rate / div_factor to max_learning_rate over the first pct_start of total_steps, and
    falls to the final_div_factor-th part of its beginning over the rest; with `three_phase` it falls as it rose, then
    on to that end. `anneal_strategy` "cos" or "linear": by half a cosine, or evenly. After the last step it stays.

    Raises ValueError for an argument out of range.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = _rate("max_learning_rate", max_learning_rate)
        self.total_steps = _positive("total_steps", total_steps)
        self.pct_start = in_range("OneCycle", "pct_start", pct_start, least=0.0, most=0.5 if three_phase else 1.0)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy = {anneal_strategy!r}: expected 'cos' or 'linear'")
        self.anneal_strategy = anneal_strategy
        self.div_factor = _positive("div_factor", div_factor)
        self.final_div_factor = _positive("final_div_factor", final_div_factor)
        self.three_phase, self.name = bool(three_phase), name

    def __call__(self, step: int) -> float:
        begin = 0.0
        first = self.max_learning_rate / self.div_factor
        before, peak, last = first, self.pct_start * self.total_steps - 1, self.total_steps - 1
        phases = [(peak, self.max_learning_rate)]
        if self.three_phase:
            phases.append((2 * peak, first))
        phases.append((last, first / self.final_div_factor))
        for end, after in phases:
            if step <= end or end == last:
                break
            begin, before = end, after
        passed = min((step - begin) / (end - begin), 1.0) if end > begin else 1.0
        if self.anneal_strategy == "linear":
            return before + (after - before) * passed
        return after + (before - after) / 2.0 * (1.0 + math.cos(math.pi * passed))


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] while step ≤ boundaries[0], then values[1] while step ≤ boundaries[1], …, and values[-1] at last.

    Raises ValueError unless there is one value more than boundaries, and the boundaries rise.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1 or any(a >= b for a, b in itertools.pairwise(boundaries)):
            raise ValueError(
                f"PiecewiseConstantDecay: expected rising boundaries and one value more, got boundaries {boundaries!r} "
                f"and values {values!r}"
            )
        self.boundaries, self.values, self.name = list(boundaries), list(values), name

    def __call__(self, step: int) -> float:
        return self.values[bisect.bisect_left(self.boundaries, step)]


class PolynomialDecay(LearningRateSchedule):
    """(initial_learning_rate − end_learning_rate) · (1 − step / decay_steps)^power + end_learning_rate, constant after
    decay_steps; with `cycle` instead decay_steps is each time the next multiple of it that step has not passed.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = _rate("initial_learning_rate", initial_learning_rate)
        self.end_learning_rate = _rate("end_learning_rate", end_learning_rate)
        self.decay_steps, self.power = _positive("decay_steps", decay_steps), power
        self.cycle, self.name = cycle, name

    def __call__(self, step: int) -> float:
        length = self.decay_steps
        if self.cycle:
            length *= max(1, math.ceil(step / length))
        left = 1.0 - min(step, length) / length
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


_NAMES: dict[str, type[LearningRateSchedule]] = {
    cls.__name__: cls
    for cls in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        OneCycle,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def get(identifier: Any) -> LearningRateSchedule:
    """The schedule that is given, or the one made from its configuration."""
    return make(identifier, LearningRateSchedule, _NAMES, "learning-rate schedule")


def deserialize(
    config: Any, custom_objects: Mapping[str, type[LearningRateSchedule]] | None = None
) -> LearningRateSchedule:
    """The schedule for what `serialize` gave; custom_objects: further classes, by name.

    Raises ValueError for an unknown class.
    """
    return make(config, LearningRateSchedule, {**_NAMES, **(custom_objects or {})}, "learning-rate schedule")


def _positive(argument: str, value: Any) -> Any:
    """`value`, if it is a number above 0."""
    in_range("schedule", argument, value, above=0.0)
    return value


def _rate(argument: str, value: Any) -> Any:
    """`value`, if it is a number of at least 0."""
    in_range("schedule", argument, value, least=0.0)
    return value


__getattr__ = absent("optimizers.schedules", __name__)
