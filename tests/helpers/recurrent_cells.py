"""What the tests of recurrent cells share on every backend: random arguments for a cell and its gradient, and the
comparison with the reference in double precision."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numerics import assert_close

from tomograd.kernels import reference
from tomograd.testing.arrays import laid_out

GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3, "gru, reset before": 3}
FUNCTIONS = ("tanh", "sigmoid")


class Cells:
    """A backend, on random arguments of one size, type and layout; masked: some steps are left out; starts: from given
    states."""

    def __init__(self, kernels: Any, shape: tuple[int, int, int], dtype: type, *, layout: str = "contiguous",
                 masked: bool = False, starts: bool = False, seed: int = 0):  # fmt: skip
        self.kernels, self.shape, self.dtype, self.layout = kernels, shape, dtype, layout
        self.rng = np.random.default_rng(seed)
        n, steps, units = shape
        self.mask = laid_out(self.rng.random((n, steps)) < 0.6, layout) if masked else None
        self.h0, self.c0 = (self.numbers(n, units), self.numbers(n, units)) if starts else (None, None)

    def numbers(self, *shape: int) -> np.ndarray:
        return laid_out((self.rng.standard_normal(shape) / 2).astype(self.dtype), self.layout)

    def weight(self, gates: int) -> np.ndarray:
        units = self.shape[2]
        return laid_out((self.numbers(units, gates * units) / max(1, units) ** 0.5).astype(self.dtype), self.layout)

    def check(self, cell: str, functions: tuple[str, str] = FUNCTIONS) -> None:
        """The cell and its gradient are the reference's."""
        getattr(self, cell.partition(",")[0])(functions, not cell.endswith("before"))

    def simple_rnn(self, functions: tuple[str, str], _: bool) -> None:
        weight = self.weight(1)
        (h,) = self.both("simple_rnn", self.numbers(*self.shape), weight, self.h0, self.mask, functions[0])
        self.both("simple_rnn_gradient", self.numbers(*self.shape), h, weight, self.mask, functions[0])

    def lstm(self, functions: tuple[str, str], _: bool) -> None:
        (n, steps, units), weight = self.shape, self.weight(4)
        z = self.gates(4)
        _, c = self.both("lstm", z, weight, self.h0, self.c0, self.mask, *functions)
        dc = self.numbers(n, units) if self.h0 is not None else None
        given = self.numbers(n, steps, units), dc, z, c, weight, self.c0, self.mask
        self.both("lstm_gradient", *given, *functions)

    def gru(self, functions: tuple[str, str], after: bool) -> None:
        units, weight = self.shape[2], self.weight(3)
        z, bias = self.gates(3), self.numbers(3 * units) if after and self.h0 is not None else None
        h, inner = self.both("gru", z, weight, bias, self.h0, self.mask, *functions, after)
        given = self.numbers(*self.shape), h, z, inner, weight, self.h0, self.mask
        self.both("gru_gradient", *given, *functions)

    def gates(self, count: int) -> np.ndarray:
        """What a cell turns into its gates: an array that is its own."""
        n, steps, units = self.shape
        return np.ascontiguousarray(self.numbers(n, steps, count * units)).copy()

    def both(self, name: str, *arguments: Any) -> list[np.ndarray | None]:
        """What the backend gives, after it was compared with the reference's in float64; so were its gates, in the
        argument z, and nothing else was written."""
        wide = [a.astype(np.float64, "C") if _floats(a) else a for a in arguments]
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        expected = _as_list(getattr(reference, name)(*wide))
        results = _as_list(getattr(self.kernels, name)(*arguments))
        for result, other in zip(results, expected, strict=True):
            if other is None:
                assert result is None
                continue
            assert result.dtype == self.dtype and result.flags.c_contiguous
            if result is results[-1] and name == "gru" and self.mask is not None:  # m_h of steps that are left out
                result, other = result[self.mask], other[self.mask]
            assert_close(result, other, scale=max(1.0, np.abs(other[np.isfinite(other)]).max(initial=0)))
        in_place = name in ("lstm", "gru")
        if in_place and arguments[0].size:
            taken = slice(None) if self.mask is None else self.mask
            assert_close(arguments[0][taken], wide[0][taken], scale=1.0)
        for after, then in list(zip(arguments, before, strict=True))[in_place:]:
            if isinstance(after, np.ndarray):
                np.testing.assert_array_equal(after, then)
        return results


def _floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def left_out(kernels: Any, dtype: type) -> SimpleNamespace:
    """An LSTM's results where NaN and infinities stand in steps that are left out, in its own z and in dh."""
    rng = np.random.default_rng(5)
    mask = np.array([[True, False, True], [False, False, False], [False, True, False]])
    z, weight = rng.standard_normal((3, 3, 20)).astype(dtype), rng.standard_normal((5, 20)).astype(dtype)
    z[~mask] = np.array([np.nan, np.inf, -np.inf, 1e30], dtype).repeat(5)
    h, c = kernels.lstm(z, weight, None, None, mask, *FUNCTIONS)
    dh = rng.standard_normal((3, 3, 5)).astype(dtype)
    dz, dh0, dc0 = kernels.lstm_gradient(dh, None, z, c, weight, None, mask, *FUNCTIONS)
    return SimpleNamespace(mask=mask, h=h, c=c, dz=dz, dh=dh, dh0=dh0, dc0=dc0)
