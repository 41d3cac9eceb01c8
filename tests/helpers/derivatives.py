"""First and second derivatives of a differentiable function against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numerics import numerical_gradient

from tomograd.engine import Tensor, grad

TOLERANCE = 2e-7


def check_derivatives(function: Callable, arrays: Sequence[np.ndarray], seed: int = 0, order: int = 2) -> None:
    """The gradients of `function` in all arrays, fused and recorded, and the gradients of those (for order 2)."""
    rng = np.random.default_rng(seed)
    cotangent = rng.standard_normal(_value(function, arrays).shape)
    fused = gradients(function, arrays, cotangent)
    recorded = gradients(function, arrays, cotangent, create_graph=True)
    for i in range(len(arrays)):
        expected = numerical_gradient(_as_function_of(function, arrays, i), arrays[i], cotangent)
        _assert_close(fused[i], expected, f"gradient in input {i}")
        _assert_close(recorded[i], expected, f"gradient in input {i} with create_graph")
    if order == 2:
        _check_second(function, [*arrays, cotangent], rng)


def gradients(function: Callable, arrays: Sequence[np.ndarray], cotangent: np.ndarray, create_graph: bool = False):
    """The gradients of ⟨cotangent, function(*arrays)⟩, as arrays."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    found = grad(function(*tensors), tensors, cotangent, create_graph=create_graph)
    return [gradient.array for gradient in found]


def _check_second(function: Callable, arrays: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """Derivatives of the gradients in every array, and in the cotangent, which is the last of `arrays`."""
    count = len(arrays) - 1
    weights = [rng.standard_normal(array.shape) for array in arrays[:-1]]

    def first(*tensors):
        """⟨weights, gradients⟩: one number, so that all second derivatives appear in its gradient."""
        found = grad(function(*tensors[:-1]), tensors[:-1], tensors[-1], create_graph=True)
        total = (tensors[-1] * 0.0).sum()  # stands on the tape even where the gradients are constants
        for gradient, weight in zip(found, weights, strict=True):
            total = total + (gradient * weight).sum()
        return total

    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    found = grad(first(*tensors), tensors, allow_unused=True)
    for i in range(count + 1):
        actual = np.zeros_like(arrays[i]) if found[i] is None else found[i].array
        expected = numerical_gradient(_as_function_of(first, arrays, i), arrays[i], np.ones(()))
        _assert_close(actual, expected, f"second derivative in {'the cotangent' if i == count else f'input {i}'}")


def _as_function_of(function: Callable, arrays: Sequence[np.ndarray], position: int) -> Callable:
    """The function of one array, the others held."""

    def of_one(array: np.ndarray) -> np.ndarray:
        changed = [array if i == position else other for i, other in enumerate(arrays)]
        return _value(function, changed)

    return of_one


def _value(function: Callable, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(function(*[Tensor(array, requires_grad=True) for array in arrays]).array)


def _assert_close(actual: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale, err_msg=what)
