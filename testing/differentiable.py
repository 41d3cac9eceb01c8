"""What the checker sees of a function: its value, and its gradients, as NumPy arrays.

`gradcheck` takes any function of tensors. Others come in through an adapter:

    pair = array_function(forward, backward)              # plain NumPy: y = forward(*x), dx = backward(dy, *x)
    pair = array_function(forward, backward, module=cupy) # the same on a GPU

An adapter has `paths` and two methods, and nothing else is called (but `derivative`, by `gradgradcheck`): see
`Differentiable`. A function with several results is looked at as one row of all their numbers, result after result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from ..engine import Function, Tensor, as_tensor, enable_grad, functional, grad, no_grad
from .reports import GradcheckError, UnwantedGradientError

Arrays = Sequence[np.ndarray]
Gradients = tuple["np.ndarray | None", ...]

INTERLEAVED = "interleaved"  # the path on which the function is called with other inputs before its gradient is taken
OTHER = 1 - 2.0**-6  # times the inputs: other ones, of the same kind


class Differentiable(Protocol):
    """A function of arrays with a gradient function.

    paths: names of the ways in which its gradients can be computed; all of them must agree.
    """

    paths: tuple[str, ...]

    def value(self, arrays: Arrays) -> np.ndarray:
        """The function's value."""

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        """For each array, the gradient of ⟨cotangent, value(arrays)⟩ in it if it is wanted; None for one that is not,
        or that has none."""


def other_inputs(arrays: Arrays) -> list[np.ndarray]:
    """Inputs that are not these, but as good: floating ones a little smaller, copies of the others, so that a function
    which changes them is not seen too late, when they are changed already."""
    return [array * OTHER if array.dtype.kind == "f" else array.copy(order="K") for array in arrays]


# ---- functions of tensors --------------------------------------------------------------------------------------------


class TensorFunction:
    """A function of tensors that returns a tensor, or a tuple of tensors.

    Its gradients come by the kernels' way ("fused"); recorded on the tape, from differentiable functions ("recorded");
    and by the kernels' way with the function called on other inputs in between ("interleaved"), which shows whether
    what was saved for the gradient is still there.
    """

    paths: tuple[str, ...] = ("fused", "recorded", INTERLEAVED)

    def __init__(self, function: Callable[..., Tensor | tuple[Tensor, ...]]):
        self.function = function

    def value(self, arrays: Arrays) -> np.ndarray:
        with no_grad():
            return self._call([as_tensor(array) for array in arrays]).numpy()

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        tensors = _leaves(arrays, wanted)
        with enable_grad():  # whoever calls may not record gradients
            output = self._call(tensors)
            if path == INTERLEAVED:
                self._call(_leaves(other_inputs(arrays), wanted))
        if not output.requires_grad:
            return (None,) * len(tensors)
        for node in _nodes(output):
            _watch(node)
        asked = [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]
        found = iter(grad(output, asked, cotangent, create_graph=path == "recorded", allow_unused=True))
        every = [next(found) if want else None for want in wanted]
        return tuple([None if gradient is None else gradient.numpy() for gradient in every])

    def _call(self, tensors: Sequence[Tensor]) -> Tensor:
        outputs = self.function(*tensors)
        rows = outputs if isinstance(outputs, tuple | list) else [outputs]
        for output in rows:
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"the function returned a {type(output).__name__}, expected a Tensor; "
                    "for functions of arrays give array_function(forward, backward)"
                )
        return functional.concatenate([row.reshape(-1) for row in rows], 0) if rows is outputs else rows[0]

    def derivative(self, wanted: Sequence[bool]) -> Differentiable:
        """The function (x1 … x_n, cotangent) → the gradients in those x that are wanted, one after the other in one
        long row. Of the others it has no gradient itself."""
        return _Derivative(self, tuple(wanted))


class _Derivative(TensorFunction):
    """See `TensorFunction.derivative`. Its own gradient is 0, not absent, where a gradient is constant."""

    def __init__(self, first: TensorFunction, wanted: tuple[bool, ...]):
        super().__init__(self._row)
        self.first, self.wanted = first, wanted

    def _row(self, *tensors: Tensor) -> Tensor:
        *given, cotangent = tensors
        with enable_grad():
            pairs = list(zip(given, self.wanted, strict=True))
            inputs = [_leaf(x.array, True) if want and not x.requires_grad else x for x, want in pairs]
            asked = [x for x, want in zip(inputs, self.wanted, strict=True) if want]
            output = self.first._call(inputs)
            found: Sequence[Tensor | None] = [None] * len(asked)
            if output.requires_grad and asked:
                found = grad(output, asked, cotangent, create_graph=True, allow_unused=True)
            zipped = zip(asked, found, strict=True)
            rows = [Tensor(np.zeros(x.size)) if dx is None else dx.reshape(-1) for x, dx in zipped]
            return functional.concatenate([Tensor(np.zeros(0)), *rows], 0)

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        found = super().gradients(arrays, cotangent, wanted, path)
        differentiated = [*self.wanted, True]
        return tuple(
            np.zeros(array.shape) if dx is None and want and is_input else dx
            for array, dx, want, is_input in zip(arrays, found, wanted, differentiated, strict=True)
        )


def _leaves(arrays: Arrays, wanted: Sequence[bool]) -> list[Tensor]:
    return [_leaf(array, want) for array, want in zip(arrays, wanted, strict=True)]


def _leaf(array: np.ndarray, requires_grad: bool) -> Tensor:
    """A tensor around the array itself, in its layout: what changes it in place is to be seen."""
    tensor = as_tensor(array)
    tensor.requires_grad = requires_grad
    return tensor


def _nodes(output: Tensor) -> Iterable[Function]:
    """The functions on the tape behind a tensor."""
    seen: set[Function] = set()
    waiting = [output.node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function) and node not in seen:
            seen.add(node)
            waiting.extend(edge for edge in node.edges or () if isinstance(edge, Function))
    return seen


def _watch(node: Function) -> None:
    """Have a function on the tape raise if it computes a gradient that it does not need."""
    backward = node.backward

    def watched(cotangent: Tensor) -> tuple[Tensor | None, ...]:
        gradients = backward(cotangent)
        if type(gradients) is not tuple or len(gradients) != len(node.needs):
            return gradients  # for the engine to reject
        for position, (gradient, need) in enumerate(zip(gradients, node.needs, strict=True)):
            if gradient is not None and not need:
                name = f"{type(node).__name__}.backward"
                raise UnwantedGradientError(
                    f"{name} computed a gradient in {node.argument(position)!r} that nobody asked for"
                )
        return gradients

    node.backward = watched  # type: ignore[method-assign]


# ---- pairs of functions of arrays ------------------------------------------------------------------------------------


class ArrayFunction:
    """See `array_function`."""

    paths: tuple[str, ...] = ("gradient", INTERLEAVED)

    def __init__(self, forward: Callable, backward: Callable, to_device: Callable, to_host: Callable, **parameters):
        self._forward, self._backward, self._parameters = forward, backward, parameters
        self._to_device, self._to_host = to_device, to_host
        self._is_told = _takes_wanted(backward)

    def value(self, arrays: Arrays) -> np.ndarray:
        results, several = self._results(arrays)
        return np.concatenate([result.reshape(-1) for result in results]) if several else results[0]

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        results, several = self._results(arrays)
        if path == INTERLEAVED:
            self._results(other_inputs(arrays))
        told = {"wanted": tuple(wanted)} if self._is_told else {}
        cotangents: Any = _parted(cotangent, results) if several else cotangent
        found = self._called(self._backward, "backward", [cotangents, *arrays], **told)
        found = found if isinstance(found, tuple | list) else (found,)
        if len(found) != len(arrays):
            raise GradcheckError(
                f"backward returned {len(found)} gradients, expected {len(arrays)}: one for each argument"
            )
        for position, (gradient, want) in enumerate(zip(found, wanted, strict=True)):
            if self._is_told and gradient is not None and not want:
                raise UnwantedGradientError(f"backward computed a gradient in argument {position} that was not wanted")
        pairs = zip(found, wanted, strict=True)
        return tuple([np.asarray(self._to_host(dx)) if want and dx is not None else None for dx, want in pairs])

    def _results(self, arrays: Arrays) -> tuple[list[np.ndarray], bool]:
        """The results, and whether they come as a tuple."""
        found = self._called(self._forward, "forward", arrays)
        several = isinstance(found, tuple | list)
        return [np.asarray(self._to_host(y)) for y in (found if several else (found,))], several

    def _called(self, function: Callable, name: str, arguments: Sequence[Any], **more: Any) -> Any:
        """The function of arrays on the device, which it must not change (NumPy's own the checker watches itself)."""
        on_device = [tuple(map(self._to_device, a)) if isinstance(a, tuple) else self._to_device(a) for a in arguments]
        result = function(*on_device, **self._parameters, **more)
        for position, (argument, array) in enumerate(zip(arguments, on_device, strict=True)):
            copied = not isinstance(argument, tuple) and array is not argument
            if copied and np.asarray(self._to_host(array)).tobytes() != argument.tobytes():
                raise GradcheckError(f"{name} changed its argument {position} in place")
        return result


def array_function(
    forward: Callable[..., Any], backward: Callable[..., Any], module: ModuleType | None = None, **parameters: Any
) -> ArrayFunction:
    """A pair of functions of arrays, for `gradcheck`.

    forward: (*x) → y, or a tuple of several y.
    backward: (dy, *x) → a gradient for each x (a tuple, or the one array of a single x), None for an x that has none.
        Where forward returns a tuple, dy is one. If backward has a parameter `wanted`, it is called with a tuple of
        truth values, and must return None where False.
    module: whose arrays the functions take: CuPy, or any that has `asarray` and (if not NumPy's) `asnumpy`. Default
        NumPy, whose arrays are handed on as they are, in the layout that they have.
    parameters: keyword arguments for both functions.

    >>> square = array_function(lambda x: x**2, lambda dy, x: 2 * x * dy)
    """
    if module is None:
        return ArrayFunction(forward, backward, lambda array: array, lambda array: array, **parameters)
    return ArrayFunction(forward, backward, module.asarray, getattr(module, "asnumpy", np.asarray), **parameters)


def _takes_wanted(backward: Callable) -> bool:
    try:
        return "wanted" in inspect.signature(backward).parameters
    except ValueError:  # a built-in one that does not say
        return False


def _parted(row: np.ndarray, results: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """A row of numbers as arrays of the results' shapes."""
    ends = np.cumsum([result.size for result in results])[:-1]
    return tuple(part.reshape(result.shape) for part, result in zip(np.split(row, ends), results, strict=True))


def as_differentiable(function: Any) -> Differentiable:
    """An adapter as it is, a function of tensors in its own."""
    if hasattr(function, "gradients") and hasattr(function, "value"):
        return function
    if callable(function):
        return TensorFunction(function)
    raise TypeError(f"function: a {type(function).__name__} given, expected a function of tensors or array_function(…)")
