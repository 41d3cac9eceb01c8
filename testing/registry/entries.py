"""What the registry knows of a function: samples, error inputs, kinks, backends, derivatives. Plain data.

What is computed is written as an expression of functions of `tomograd.functional`, such as "pad(x, 1, mode='edge')":
it is evaluated, and it is what a report or a table shows. Besides the functions, an expression may use its own arrays
by their names, `np`, `Generator`, and the constants of `values.py`.
"""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

import numpy as np

from ...engine import functional
from . import values

BACKENDS = ("reference", "cpu", "cuda")

_NAMES: dict[str, Any] = {"__builtins__": {}, "np": np, "Generator": values.Generator}
_NAMES |= {name: getattr(functional, name) for name in functional.__all__}
_NAMES |= {name: value for name, value in vars(values).items() if name.isupper()}


@dataclass(frozen=True)
class Expression:
    """A function of tensors, written as an expression of its arguments' names."""

    text: str
    names: tuple[str, ...] = ()

    @cached_property
    def _code(self) -> CodeType:
        return compile(self.text, f"<registry: {self.text}>", "eval")

    def __call__(self, *arguments: Any) -> Any:
        return eval(self._code, _NAMES, dict(zip(self.names, arguments, strict=True)))


@dataclass(frozen=True)
class OnGPU(Expression):
    """An expression whose arguments go to the GPU, and whose results come back."""

    def __call__(self, *arguments: Any) -> Any:
        results = super().__call__(*[functional.to_device(argument, "cuda") for argument in arguments])
        if isinstance(results, tuple | list):
            return tuple([functional.to_device(each, "cpu") for each in results])
        return functional.to_device(results, "cpu")


@dataclass(frozen=True)
class Sample:
    """Arrays at which a function's derivatives are checked, away from kinks and ties.

    linear: positions of the arrays in each of which, the others held, the function is linear or affine.
    """

    function: Expression
    arrays: tuple[np.ndarray, ...]
    linear: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        return self.function.text


@dataclass(frozen=True)
class Error:
    """A call that must fail: with which exception, and a regular expression that its message must contain."""

    call: Expression
    exception: type[Exception]
    message: str

    @property
    def label(self) -> str:
        return self.call.text


@dataclass(frozen=True)
class Kink:
    """Arrays at which a function has no derivative, and what its gradient is there all the same.

    words: what was decided, for a reader.
    gradients: of ⟨cotangent, function(*arrays)⟩ in each array, to the last bit (but for the sign of a zero).
    value: the function's value there, if that was to be decided too.
    dtypes: the types in which the figures are exact.
    """

    words: str
    function: Expression
    arrays: tuple[np.ndarray, ...]
    cotangent: np.ndarray
    gradients: tuple[np.ndarray, ...]
    value: np.ndarray | None = None
    dtypes: tuple[str, ...] = ("float64", "float32")

    @property
    def label(self) -> str:
        return self.function.text


@dataclass(frozen=True)
class Entry:
    """A function of `tomograd.functional`.

    samples: the first is the plain call, of which the tables say in what it is linear.
    kinks: where it has no derivative; none for a function that has one wherever it is defined.
    backends: those on whose arrays it works, and of whose kernels it is made.
    constant: why its result is a constant, so that there is no gradient; empty for a differentiable function.
    once_only: why it has no second derivatives; empty for a function that has them.
    """

    name: str
    samples: tuple[Sample, ...] = field(default=(), kw_only=True)
    errors: tuple[Error, ...] = field(default=(), kw_only=True)
    kinks: tuple[Kink, ...] = field(default=(), kw_only=True)
    backends: tuple[str, ...] = field(default=BACKENDS, kw_only=True)
    constant: str = field(default="", kw_only=True)
    once_only: str = field(default="", kw_only=True)

    @property
    def function(self) -> Callable[..., Any]:
        return getattr(functional, self.name)

    @property
    def signature(self) -> str:
        """The call as one writes it, without types."""
        signature = inspect.signature(self.function)
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
        text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
        return self.name + re.sub(r"<class '([\w.]+)'>", r"\1", text)

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring."""
        return " ".join((inspect.getdoc(self.function) or "").partition("\n\n")[0].split())

    @property
    def linear_in(self) -> tuple[str, ...]:
        """The names of the arguments in each of which it is linear, the others held."""
        first = self.samples[0]
        return tuple([first.function.names[position] for position in first.linear])


# ---- the rows of the tables ------------------------------------------------------------------------------------------

Given = values.Draw | Sequence[Any] | np.ndarray | float


def sample(text: str, /, *, linear: str = "", **arguments: Given) -> Sample:
    """A sample of arrays given by name, as numbers or as a kind of number to draw; `linear` names some of them."""
    names = tuple(arguments)
    positions = tuple([names.index(name) for name in linear.split()])
    return Sample(Expression(text, names), _arrays(text, arguments), positions)


def error(text: str, exception: type[Exception], message: str) -> Error:
    """A call that must fail."""
    return Error(Expression(text), exception, message)


def kink(
    words: str,
    text: str,
    /,
    *,
    cotangent: Given,
    gradients: Sequence[Given],
    value: Given | None = None,
    dtypes: Sequence[str] = ("float64", "float32"),
    **arguments: Given,
) -> Kink:
    """Arrays at a kink, given by name."""
    return Kink(
        words,
        Expression(text, tuple(arguments)),
        _arrays(text, arguments),
        _array(cotangent),
        tuple([_array(gradient) for gradient in gradients]),
        None if value is None else _array(value),
        tuple(dtypes),
    )


def not_a_number(call: str) -> Error:
    """The error of a function that takes tensors of every type: text is none."""
    return error(call, TypeError, "a tensor holds floating, integer or boolean numbers, not <U4")


def _arrays(text: str, arguments: dict[str, Given]) -> tuple[np.ndarray, ...]:
    """float64 arrays that nobody may change; what is drawn depends on the row alone, not on those before it."""
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    return tuple([_array(given(rng) if callable(given) else given) for given in arguments.values()])


def _array(given: Any) -> np.ndarray:
    array = np.array(given, np.float64)
    array.flags.writeable = False
    return array
