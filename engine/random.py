"""Random numbers: one generator for everything the engine draws, seeded, saved and restored.

    tg.random.seed(0)
    state = tg.random.state()      # plain Python numbers: goes into a checkpoint as JSON
    tg.random.set_state(state)     # the draws that followed `state()` follow again

The generator is NumPy's PCG64. Until `seed` is called it starts from the operating system's entropy. Code that draws
on threads of its own (a loader, say) takes a generator of its own from `Generator.spawn`, so that what it draws
does not depend on when it runs.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["Generator", "before_drawing", "generator", "seed", "set_state", "state"]


class Generator:
    """A stream of random numbers whose state can be saved and restored.

    seed: a non-negative integer; None takes the operating system's entropy. `numpy` is the np.random.Generator itself.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._numpy = np.random.Generator(np.random.PCG64(_checked_seed(seed)))

    @property
    def numpy(self) -> np.random.Generator:
        first = getattr(_waiting, "first", None)
        if first is not None and (self is _default or _waiting.everywhere):
            first()
        return self._numpy

    def seed(self, seed: int | None) -> None:
        """Start again from a seed."""
        self.set_state(Generator(seed).state())

    def state(self) -> dict[str, Any]:
        """The state as a dictionary of strings and Python integers."""
        return copy.deepcopy(dict(self.numpy.bit_generator.state))

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave. Raises ValueError for anything else."""
        try:
            self.numpy.bit_generator.state = state
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a state of a PCG64 generator: {error}") from None

    def renew_lock(self) -> None:
        """For a forked child, where a thread that exists no more may have held the lock under which numbers are
        drawn: go on from the same state with a lock of its own."""
        state, self._numpy = self.state(), np.random.Generator(np.random.PCG64())
        self.set_state(state)

    def spawn(self) -> Generator:
        """A new generator, seeded by a draw from this one: independent of it from then on."""
        return Generator(int(self.numpy.integers(2**63)))

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = np.float32) -> np.ndarray:
        """Numbers drawn evenly from [low, high)."""
        drawn = self.numpy.random(shape, dtype=_drawable(dtype))
        return np.asarray(drawn * np.asarray(high - low, drawn.dtype) + np.asarray(low, drawn.dtype), dtype)

    def normal(self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = np.float32) -> np.ndarray:
        """Numbers drawn from the normal distribution."""
        drawn = self.numpy.standard_normal(shape, dtype=_drawable(dtype))
        return np.asarray(drawn * np.asarray(std, drawn.dtype) + np.asarray(mean, drawn.dtype), dtype)

    def integers(self, low: int, high: int, shape: Any = ()) -> np.ndarray:
        """Integers (int64) drawn evenly from low … high − 1."""
        return np.asarray(self.numpy.integers(low, high, shape))

    def permutation(self, n: int) -> np.ndarray:
        """0 … n − 1 in random order."""
        return self.numpy.permutation(n)


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ValueError(f"a seed is a non-negative integer or None, not {seed!r}")
    return seed


def _drawable(dtype: Any) -> Any:
    return np.float64 if np.dtype(dtype) == np.float64 else np.float32


_waiting = threading.local()  # first: what this thread calls before it draws from the engine's generator
_default = Generator()


def _after_fork() -> None:
    _waiting.first = None  # whom it waited for is not in this process
    _default.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def before_drawing(first: Callable[[], None], everywhere: bool = False) -> Iterator[None]:
    """Within it, this thread calls `first()` before it draws from the engine's generator (everywhere: from any) or asks
    for its state: to wait for its turn (see models/prefetching.py), or to refuse."""
    _waiting.first, _waiting.everywhere = first, everywhere
    try:
        yield
    finally:
        _waiting.first = None


@contextmanager
def tried(generator: Generator) -> Iterator[None]:
    """Within it this thread draws from a generator on trial: at once, whatever `before_drawing` says, and afterwards
    nothing has been drawn."""
    first, _waiting.first = getattr(_waiting, "first", None), None
    state = generator.state()
    try:
        yield
    finally:
        generator.set_state(state)
        _waiting.first = first


def generator() -> Generator:
    """The generator from which the engine draws where no other is given."""
    return _default


def seed(seed: int | None) -> None:
    """Start the engine's generator again from a seed."""
    _default.seed(seed)


def state() -> dict[str, Any]:
    """The state of the engine's generator, for a checkpoint."""
    return _default.state()


def set_state(state: dict[str, Any]) -> None:
    """Go on from a state that `state` gave."""
    _default.set_state(state)
