"""Functions of what has no values yet: a call on a `Deferred` is not computed but noted by it.

`Symbol`, the tensor to come of a graph of layers, is the one kind of it. The functions of `tg.functional` are made to
look for one among their arguments; so are the operators of Tensor, which call them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


class Deferred:
    """Base class of what stands for a tensor to come."""

    def note(self, function: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """What stands for the result of tg.functional's `function` of these arguments, of which this is one."""
        raise NotImplementedError(f"{type(self).__name__} defines no note(function, arguments, keywords)")


def noting(function: AnyFunction, module: str, name: str) -> AnyFunction:
    """The function, which leaves it to a `Deferred` among its arguments, or in a list or tuple of them, to note it.

    module, name: where it will stand, and be found when it is pickled.
    """

    @functools.wraps(function)
    def noted(*arguments: Any, **keywords: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, _MAY_HOLD):
                break
        else:
            if not keywords:  # as for most: a tenth of a microsecond is all that it costs
                return function(*arguments)
        deferred = _first((*arguments, *keywords.values()))
        return function(*arguments, **keywords) if deferred is None else deferred.note(name, arguments, keywords)

    noted.__module__, noted.__qualname__ = module, name
    return noted  # type: ignore[return-value]


_MAY_HOLD = (Deferred, list, tuple)


def _first(values: Iterable[Any]) -> Deferred | None:
    for value in values:
        if isinstance(value, Deferred):
            return value
        if type(value) in (list, tuple) and (found := _first(value)) is not None:
            return found
    return None
