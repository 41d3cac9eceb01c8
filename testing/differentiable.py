"""What the checker sees of a function: its value, and its gradients, as NumPy arrays.

`gradcheck` takes any function of tensors. Others come in through an adapter:

    pair = array_function(forward, backward)              # plain NumPy: y = forward(*x), dx = backward(dy, *x)
    pair = array_function(forward, backward, module=cupy) # the same on a GPU

An adapter has two methods, and nothing else is ever called: `value(arrays)` and `gradients(arrays, cotangent, wanted)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from ..engine import Function, Tensor, enable_grad, functional, grad, no_grad

Arrays = Sequence[np.ndarray]
Gradients = tuple["np.ndarray | None", ...]


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


# ---- functions of tensors --------------------------------------------------------------------------------------------


class UnwantedGradientError(AssertionError):
    """A gradient was computed that nobody had asked for."""


class TensorFunction:
    """A function of tensors that returns a tensor. Its gradients come by the kernels' way ("fused") and, recorded on
    the tape, from differentiable functions ("recorded")."""

    paths: tuple[str, ...] = ("fused", "recorded")

    def __init__(self, function: Callable[..., Tensor]):
        self.function = function

    def value(self, arrays: Arrays) -> np.ndarray:
        with no_grad():
            return _to_host(self._call([Tensor(array) for array in arrays]))

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        tensors = [Tensor(array, requires_grad=want) for array, want in zip(arrays, wanted, strict=True)]
        output = self._call(tensors)
        if not output.requires_grad:
            return (None,) * len(tensors)
        for node in _nodes(output):
            _watch(node)
        asked = [tensor for tensor, want in zip(tensors, wanted, strict=True) if want]
        found = iter(grad(output, asked, cotangent, create_graph=path == "recorded", allow_unused=True))
        every = [next(found) if want else None for want in wanted]
        return tuple([None if gradient is None else _to_host(gradient) for gradient in every])

    def _call(self, tensors: Sequence[Tensor]) -> Tensor:
        output = self.function(*tensors)
        if not isinstance(output, Tensor):
            raise TypeError(
                f"the function returned a {type(output).__name__}, expected a Tensor; "
                "for functions of arrays give array_function(forward, backward)"
            )
        return output

    def derivative(self, count: int) -> TensorFunction:
        """The function (x1 … x_count, cotangent) → all its gradients in x, one after the other in one long row."""

        def of_inputs_and_cotangent(*tensors: Tensor) -> Tensor:
            with enable_grad():
                inputs = [x if x.requires_grad else Tensor(x.array, requires_grad=True) for x in tensors[:count]]
                output = self._call(inputs)
                found = (None,) * count
                if output.requires_grad:
                    found = grad(output, inputs, tensors[count], create_graph=True, allow_unused=True)
                rows = [
                    Tensor(np.zeros(x.size)) if dx is None else dx.reshape(-1)
                    for x, dx in zip(inputs, found, strict=True)
                ]
                return functional.concatenate(rows, 0)

        return TensorFunction(of_inputs_and_cotangent)


def _to_host(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()


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

    paths: tuple[str, ...] = ("gradient",)

    def __init__(self, forward: Callable, backward: Callable, to_device: Callable, to_host: Callable):
        self._forward, self._backward = forward, backward
        self._to_device, self._to_host = to_device, to_host
        self._is_told = "wanted" in inspect.signature(backward).parameters

    def value(self, arrays: Arrays) -> np.ndarray:
        return np.asarray(self._to_host(self._forward(*map(self._to_device, arrays))))

    def gradients(self, arrays: Arrays, cotangent: np.ndarray, wanted: Sequence[bool], path: str) -> Gradients:
        told = {"wanted": tuple(wanted)} if self._is_told else {}
        found = self._backward(self._to_device(cotangent), *map(self._to_device, arrays), **told)
        found = found if isinstance(found, tuple | list) else (found,)
        if len(found) != len(arrays):
            raise ValueError(f"backward returned {len(found)} gradients, expected {len(arrays)}: one for each argument")
        for position, (gradient, want) in enumerate(zip(found, wanted, strict=True)):
            if self._is_told and gradient is not None and not want:
                raise UnwantedGradientError(f"backward computed a gradient in argument {position} that was not wanted")
        pairs = zip(found, wanted, strict=True)
        return tuple([np.asarray(self._to_host(dx)) if want and dx is not None else None for dx, want in pairs])


def array_function(
    forward: Callable[..., Any], backward: Callable[..., Any], module: ModuleType | None = None
) -> ArrayFunction:
    """A pair of functions of arrays, for `gradcheck`.

    forward: (*x) → y.
    backward: (dy, *x) → a gradient for each x (a tuple, or the one array of a single x), None for an x that has none.
        If it has a parameter `wanted`, it is called with a tuple of truth values, and must return None where False.
    module: whose arrays the functions take: CuPy, or any that has `asarray` and (if not NumPy's) `asnumpy`. Default
        NumPy.
    """
    if module is None:
        return ArrayFunction(forward, backward, lambda array: array, lambda array: array)
    return ArrayFunction(forward, backward, module.asarray, getattr(module, "asnumpy", np.asarray))


def as_differentiable(function: Any) -> Differentiable:
    """An adapter as it is, a function of tensors in its own."""
    if hasattr(function, "gradients") and hasattr(function, "value"):
        return function
    if callable(function):
        return TensorFunction(function)
    raise TypeError(f"function: a {type(function).__name__} given, expected a function of tensors or array_function(…)")
