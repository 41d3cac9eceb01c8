"""Every optimizer step, with arrays and numbers to try it on, and what all backends must do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kernel_arguments import optimizer_states
from numerics import assert_all_close

from tomograd.kernels import reference
from tomograd.testing.strategies import laid_out

SIGNED, POSITIVE = False, True
Backend = Any


@dataclass(frozen=True)
class Step:
    """A kernel; the arrays that it keeps for each parameter: of any sign, never negative, or left out (None); those
    that are passed by name; and the numbers of step t = 1, 2, … with a weight decay."""

    kernel: str
    kept: tuple[bool | None, ...]
    numbers: Callable[[int, float], tuple[Any, ...]]
    named: tuple[str, ...] = ()

    def __call__(self, backend: Backend, lists: Sequence[Any], t: int, decay: float) -> None:
        before = len(lists) - len(self.named)
        named = dict(zip(self.named, lists[before:], strict=True))
        assert getattr(backend, self.kernel)(*lists[:before], *self.numbers(t, decay), **named) is None

    def lists(self, shapes: Sequence[tuple[int, ...]], dtype: type) -> tuple[list[Any], list[Any]]:
        """Parameters, gradients and what is kept, and the same in float64."""
        both = optimizer_states(shapes, dtype, 2 + len(self.kept))
        for lists in both:
            for place, kind in enumerate(self.kept, start=2):
                lists[place] = None if kind is None else [np.asarray(x * x if kind else x) for x in lists[place]]
        return both


MOMENTS = (SIGNED, POSITIVE)
STEPS = {
    "sgd": Step("sgd_step", (None,), lambda t, decay: (0.1, 0.9, False, decay)),
    "sgd with momentum": Step("sgd_step", (SIGNED,), lambda t, decay: (0.1, 0.9, False, decay)),
    "sgd with Nesterov's momentum": Step("sgd_step", (SIGNED,), lambda t, decay: (0.1, 0.9, True, decay)),
    "adam": Step("adam_step", MOMENTS, lambda t, decay: (t, 0.01, 0.9, 0.999, 1e-7, decay)),
    "amsgrad": Step(
        "adam_step", (*MOMENTS, POSITIVE), lambda t, decay: (t, 0.01, 0.9, 0.9, 1e-7, decay), ("largest_moments",)
    ),
    "adamax": Step("adamax_step", MOMENTS, lambda t, decay: (t, 0.01, 0.9, 0.99, 1e-3, decay)),
    "nadam": Step("nadam_step", MOMENTS, lambda t, decay: (t, 0.4**t, 0.01, 0.9, 0.999, 1e-7, decay)),
    "lamb": Step("lamb_step", MOMENTS, lambda t, decay: (t, 0.1, 0.9, 0.99, 1e-3, decay)),
    "schedule free": Step("schedule_free_step", MOMENTS, lambda t, decay: (t, 0.01, 0.9, 0.99, 1e-3, decay)),
    "adagrad": Step("adagrad_step", (POSITIVE,), lambda t, decay: (0.1, 1e-3, decay)),
    "adadelta": Step("adadelta_step", (POSITIVE, POSITIVE), lambda t, decay: (0.5, 0.9, 1e-3, decay)),
    "rmsprop": Step("rmsprop_step", (POSITIVE, None, None), lambda t, decay: (0.01, 0.5, 0.0, 0.5, decay)),
    "rmsprop with momentum": Step(
        "rmsprop_step", (POSITIVE, SIGNED, None), lambda t, decay: (0.01, 0.5, 0.9, 0.5, decay)
    ),
    "lion": Step("lion_step", (SIGNED,), lambda t, decay: (0.1, 0.9, 0.8, decay)),
    "ftrl": Step("ftrl_step", (POSITIVE, SIGNED), lambda t, decay: (0.1, -0.5, 0.05, 0.1, 0.2, 0.3, decay)),
    "ftrl with another power": Step(
        "ftrl_step", (POSITIVE, SIGNED), lambda t, decay: (0.2, -0.8, 0.0, 0.5, 0.0, 0.0, decay)
    ),
    "blend": Step("blend", (), lambda t, decay: (0.75, 0.25 + decay)),
    "blend that keeps nothing": Step("blend", (), lambda t, decay: (0.0, 0.25 + decay)),
}


def require_the_references_steps(
    backend: Backend, name: str, shapes: Sequence[tuple[int, ...]], dtype: type, layout: str, decay: float
) -> None:
    """Three steps on arrays of these shapes, the gradients laid out as they may be: the reference's numbers, and the
    gradients as they were."""
    step = STEPS[name]
    ours, theirs = step.lists(shapes, dtype)
    ours[1] = [laid_out(gradient, layout) for gradient in ours[1]]
    before = [gradient.copy() for gradient in ours[1]]
    for t in (1, 2, 3):
        step(backend, ours, t, decay)
        step(reference, theirs, t, decay)
    for mine, its in zip(ours, theirs, strict=True):
        if mine is not None:
            assert all(array.dtype == dtype for array in mine)
            assert_all_close(mine, its, scale=16)
    for gradient, as_before in zip(ours[1], before, strict=True):
        np.testing.assert_array_equal(gradient, as_before)


def require_what_is_not_finite_to_stay(backend: Backend, name: str, dtype: type) -> None:
    """A step on numbers that are infinite, NaN, too large to be squared, and zeros of both signs, an element each (but
    that LAMB knows one length for a whole parameter): as the reference has it."""
    step = STEPS[name]
    values = [np.inf, -np.inf, np.nan, 1e30, 0.0, -0.0, 1.0]
    kinds = (SIGNED, SIGNED, *step.kept)
    base = [np.array(values * 2 + [place + 1], dtype) for place in range(len(kinds))]
    rolled = [np.roll(x, 3 * place) if place else np.arange(15, dtype=dtype) for place, x in enumerate(base)]
    ours, theirs = (
        [None if kind is None else [np.abs(x) if kind else x.copy()] for kind, x in zip(kinds, rolled, strict=True)]
        for _ in range(2)
    )
    if name == "lamb":
        ours, theirs = ([[x[k : k + 1] for k in range(15)] for (x,) in lists] for lists in (ours, theirs))
    with np.errstate(all="ignore"):
        step(backend, ours, 2, 0.1)
        step(reference, theirs, 2, 0.1)
    for mine, its in zip(ours, theirs, strict=True):
        for x, y in zip(mine or [], its or [], strict=True):
            np.testing.assert_allclose(x, y, rtol=64 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps)


def require_norms_to_be_limited(
    backend: Backend, shapes: Sequence[tuple[int, ...]], dtype: type, layout: str, largest: float
) -> None:
    """To norms above, at and below that of the arrays: as the reference has it, to the bit, from the same norm."""
    (arrays,), _ = optimizer_states(shapes, dtype, 1)
    arrays = [laid_out(array, layout) for array in arrays]
    squared, before = reference.squared_norm(arrays), [array.copy() for array in arrays]
    for limit in (largest, float(np.sqrt(squared)) or 1.0, 1e9):
        ours = backend.limit_norm(arrays, squared, limit)
        for mine, its, array in zip(ours, reference.limit_norm(arrays, squared, limit), before, strict=True):
            assert (mine.dtype, mine.shape) == (dtype, array.shape)
            np.testing.assert_array_equal(mine, its)
    for array, as_before in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, as_before)
    for number in (np.nan, np.inf):
        assert all(np.isnan(array).all() for array in backend.limit_norm(arrays, np.array(number), largest))
    huge = np.full(37, np.finfo(np.float32).max, np.float32)  # whose factor float32 holds with few digits
    limited = backend.limit_norm([huge, huge[:5]], np.array(float(huge[0]) ** 2 * 1e4), 1e-3)
    np.testing.assert_allclose(np.concatenate(limited), 1e-5, rtol=1e-6)
