"""Matrix products: matmul with NumPy's semantics, the dense layer, einsum.

The matrix product is bilinear: its two gradients are matrix products again, with one factor transposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import kernels
from ...kernels.half_precision import is_floating
from ..tape import Function
from ..tensor import Array, Tensor, as_tensor, common_dtype, from_array, operands
from .activations import relu_gradient, split_activation
from .arguments import floating_or_half, require_shape
from .broadcasting import broadcast_to
from .shaping import expand_dims, reshape, squeeze

Gradients = tuple[Tensor | None, ...]


class MatMul(Function):
    """C = A·B for matrices, or for stacks of equally many; A, B transposed first if told so.

    dA = dC·Bᵀ and dB = Aᵀ·dC; of a transposed factor, the transpose of that.
    """

    def forward(self, a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Array:
        self.save(a, b)
        self.transposed = transpose_a, transpose_b
        return kernels.of(a, b).matmul(a, b, transpose_a, transpose_b)

    def backward(self, cotangent: Tensor) -> Gradients:
        a, b = self.saved
        ta, tb = self.transposed
        da = db = None
        if self.needs[0]:
            da = _product(b, cotangent, tb, True) if ta else _product(cotangent, b, False, not tb)
        if self.needs[1]:
            db = _product(cotangent, a, True, ta) if tb else _product(a, cotangent, not ta, False)
        return da, db


def _product(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    return MatMul()(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


class Dense(Function):
    """y = f(x·W + b) for a matrix x; f is relu or nothing."""

    def forward(self, x: Array, weight: Array, bias: Array | None, activation: str | None) -> Array:
        y = kernels.of(x, weight).matmul(x, weight, bias=bias, activation=activation)
        self.save(x, weight, *([y] if activation else []))
        return y

    def backward(self, cotangent: Tensor) -> Gradients:
        x, weight, *y = self.saved
        if y:
            cotangent = relu_gradient(cotangent, *y)
        return (
            _product(cotangent, weight, False, True) if self.needs[0] else None,
            _product(x, cotangent, True, False) if self.needs[1] else None,
            channel_sum(cotangent) if self.needs[2] else None,
        )


class ChannelSum(Function):
    """The sum over all axes but the last: the gradient of a bias."""

    def forward(self, x: Array) -> Array:
        self.input_shape = x.shape
        return kernels.of(x).channel_sum(x)

    def backward(self, cotangent: Tensor) -> Gradients:
        return (broadcast_to(cotangent, self.input_shape),)


def channel_sum(x: Any) -> Tensor:
    """The sum over all axes but the last: (…, C) → (C,)."""
    return ChannelSum()(*floating_or_half("channel_sum", x=x))


def matmul(x: Any, y: Any) -> Tensor:
    """The matrix product of the last two axes, with NumPy's rules: the axes before broadcast, a vector is a row on the
    left and a column on the right, and its axis is gone from the result."""
    x, y = operands(x, y)
    if not x.ndim or not y.ndim:
        raise ValueError(f"matmul: shapes {x.shape} and {y.shape}: each factor needs at least one dimension")
    a = x if x.ndim > 1 else expand_dims(x, 0)
    b = y if y.ndim > 1 else expand_dims(y, 1)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: shapes {x.shape} and {y.shape} do not fit: {a.shape[-1]} columns on the left, "
            f"{b.shape[-2]} rows on the right"
        )
    if is_floating(a.array.dtype):
        c = _stacked(*floating_or_half("matmul", x=a, y=b))
    else:
        c = from_array(np.matmul(a.array, b.array))
    gone = ([-2] if x.ndim == 1 else []) + ([-1] if y.ndim == 1 else [])
    return squeeze(c, tuple(gone)) if gone else c


def _stacked(a: Tensor, b: Tensor) -> Tensor:
    """matmul of tensors with at least two axes: as one product if b is one matrix, else as a stack of products."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    if b.ndim == 2:
        rows = math.prod(a.shape[:-1])
        return reshape(MatMul()(reshape(a, (rows, k)), b), (*a.shape[:-1], n))
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return reshape(MatMul()(_flat_stack(a, stack), _flat_stack(b, stack)), (*stack, m, n))


def _flat_stack(a: Tensor, stack: tuple[int, ...]) -> Tensor:
    """Matrices a (…, m, n), whose axes before broadcast to `stack`, as (product of the stack, m, n)."""
    return reshape(broadcast_to(a, (*stack, *a.shape[-2:])), (math.prod(stack), *a.shape[-2:]))


def matmul_transposed(a: Tensor, b: Tensor) -> Tensor:
    """a·bᵀ for floating tensors of one type, a (…, m, k) and b (…, n, k) → (…, m, n): the product of each row of a with
    each row of b, without b written out the other way round. The axes before broadcast."""
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return reshape(
        _product(_flat_stack(a, stack), _flat_stack(b, stack), False, True), (*stack, a.shape[-2], b.shape[-2])
    )


def dense(x: Any, weight: Any, bias: Any = None, activation: str | Callable | None = None) -> Tensor:
    """f(x·W + b): x (…, C_in), weight (C_in, C_out), bias (C_out,) or None → (…, C_out).

    activation: a name or a function; "relu" is computed in the product's own kernel.
    On a GPU also float16 and bfloat16, with sums in float32. Raises ValueError for shapes that do not fit, TypeError
    for differing or non-floating types.
    """
    x, weight, bias = floating_or_half("dense", x=x, weight=weight, bias=bias)
    fused, after = split_activation(activation)
    if not x.ndim or weight.ndim != 2 or x.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"dense: weight has shape {weight.shape}, x has shape {x.shape}: expected (C_in, C_out) and (…, C_in)"
        )
    c_in, c_out = weight.shape
    require_shape("dense", "bias", bias, (c_out,), "one for each column of weight")
    rows = x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), c_in))
    y = Dense()(rows, weight, bias, activation=fused)
    if rows is not x:
        y = reshape(y, (*x.shape[:-1], c_out))
    return after(y) if after else y


# ------------------------------------------------------------------------------------------------------------- einsum


class Einsum(Function):
    """Multilinear: the gradient in one factor is an einsum of the cotangent with all the others."""

    def forward(self, *factors: Array, inputs: tuple[str, ...], output: str) -> Array:
        self.save(*factors)
        return np.einsum(f"{','.join(inputs)}->{output}", *factors, optimize=True)

    def backward(self, cotangent: Tensor) -> Gradients:
        factors, inputs, output = self.saved, self.parameters["inputs"], self.parameters["output"]
        gradients: list[Tensor | None] = []
        for i, need in enumerate(self.needs):
            if not need:
                gradients.append(None)
                continue
            others = [(factors[j], inputs[j]) for j in range(len(factors)) if j != i]
            gradients.append(_toward(inputs[i], factors[i].shape, [(cotangent, output), *others]))
        return tuple(gradients)


def _toward(labels: str, shape: tuple[int, ...], factors: list[tuple[Tensor, str]]) -> Tensor:
    """The einsum of the factors with the given output labels; labels that no factor has are repeated."""
    known = "".join([label for label in labels if any(label in have for _, have in factors)])
    gradient = Einsum()(*[t for t, _ in factors], inputs=tuple([have for _, have in factors]), output=known)
    kept = tuple([n if label in known else 1 for label, n in zip(labels, shape, strict=True)])
    return broadcast_to(reshape(gradient, kept), shape)


def einsum(subscripts: str, *factors: Any) -> Tensor:
    """Einstein's sum, as in einsum("bij,bjk->bik", a, b): sums over every label that the output does not have.

    Each factor has one label for each axis, each label once; the output must be given; no ellipsis.
    """
    inputs, output = _parse(subscripts, len(factors))
    tensors = [as_tensor(factor) for factor in factors]
    dtype = tensors[0].dtype
    sizes: dict[str, int] = {}
    for i, (labels, tensor) in enumerate(zip(inputs, tensors, strict=True)):
        dtype = common_dtype(dtype, tensor.dtype)
        if len(labels) != tensor.ndim:
            raise ValueError(f"einsum: factor {i} has shape {tensor.shape}, but {labels!r} names {len(labels)} axes")
        for label, n in zip(labels, tensor.shape, strict=True):
            if sizes.setdefault(label, n) != n:
                raise ValueError(f"einsum: label {label!r} stands for sizes {sizes[label]} and {n}")
    return Einsum()(*[as_tensor(tensor, dtype) for tensor in tensors], inputs=inputs, output=output)


def _parse(subscripts: str, count: int) -> tuple[tuple[str, ...], str]:
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = tuple(left.split(","))
    labels_are_plain = all(
        part.isascii() and (part.isalpha() or not part) and len(set(part)) == len(part) for part in (*inputs, output)
    )
    if not arrow or not labels_are_plain or not set(output) <= set(left):
        raise ValueError(f'einsum: subscripts = {subscripts!r}: expected plain labels such as "ij,jk->ik"')
    if len(inputs) != count:
        raise ValueError(f"einsum: {subscripts!r} names {len(inputs)} factors, {count} were given")
    return inputs, output
