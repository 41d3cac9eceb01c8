"""Activation functions, softmax and its relatives.

At their corner, x = 0, the derivatives of relu, leaky_relu, elu, selu and prelu are the ones from the left: relu'(0)
is 0; so are those of relu6 and hard_sigmoid at theirs. `activation_function` finds a function by the name that Keras
gives it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import kernels
from ..tape import Function, Fused
from ..tensor import Array, Axis, Tensor, as_tensor
from .arguments import floating, floating_or_half, normalize_axes, normalize_axis
from .arithmetic import clip, logaddexp, minimum, where
from .broadcasting import sum
from .elementwise import abs, exp, expm1
from .shaping import expand_dims, reshape, swapaxes, transpose

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


# ------------------------------------------------------------------------------------------------------------- relu


class ReLU(Function):
    """y = max(x, 0), dx = dy · [y > 0]: nothing but the result is kept, and that only for those who need it.

    A function of y may be such that its gradient can be had as 0 wherever y is 0 (AfterReLU). If no others are recorded
    with y, the mask changes nothing: then y is not kept, and lives as long as the tensor that the caller has.
    """

    result: weakref.ref[Tensor]
    version_then: int

    def forward(self, x: Array, applied: bool = False) -> Array:
        return x if applied else kernels.of(x).activation(x, "relu")

    def _record(self, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        super()._record(inputs, output)
        self.result, self.version_then = weakref.ref(output), output.version[0]

    def used_by(self, function: Function, result: Tensor) -> None:
        if not isinstance(function, AfterReLU):
            self.keep()

    def keep(self) -> bool:
        """Whether y is there. If so, it stays until this function's gradient has been computed."""
        result = self.result()
        if result is not None and not self._saved:
            self._saved = ((None, result.array, result.version, self.version_then),)
        return bool(self._saved)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        if not self.keep():
            return (cotangent,)
        (y,) = self.saved
        return (relu_gradient(cotangent, y),)


class AfterReLU(Function):
    """A function of y = relu(x), its only input, whose gradient is to be 0 where y is 0 unless `relu_masks`."""

    def relu_masks(self) -> bool:
        """Whether relu has y and so masks the gradient itself. It does as soon as y may be wanted for anything else,
        the gradient in y itself being such a thing: that is not 0 where y is."""
        (relu,) = self.edges or (None,)
        return not isinstance(relu, ReLU) or relu.keep()


class ReLUGradient(Function):
    """dx = dy · [y > 0], linear in dy; in y it is constant between its jumps and is not differentiated."""

    def forward(self, dy: Array, y: Array) -> Array:
        self.save(y)
        return kernels.of(dy).activation_gradient(dy, y, "relu")

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        (y,) = self.saved
        return (ReLUGradient()(cotangent, y=y),)


def relu(x: Any) -> Tensor:
    """max(x, 0); its derivative at 0 is 0."""
    return ReLU()(*floating_or_half("relu", x=x))


def applied_relu(y: Tensor) -> Tensor:
    """y = relu(x) where the kernel that computed x has applied the relu too: x is what y's maker stands for."""
    return ReLU()(y, applied=True) if y.requires_grad else y


def relu_gradient(dy: Tensor, y: Tensor) -> Tensor:
    """dy where y > 0, else 0: what a cotangent becomes on its way back through y = relu(x)."""
    return ReLUGradient()(dy, y=y.array)


# ------------------------------------------------------------------------------------------- the smooth, by their name


class Activation(Fused):
    """The activation kernel `name`, with its parameter if it has one; see COMPOSITIONS for the formulas."""

    def forward(self, x: Array, name: str, **parameter: float) -> Array:
        self.save(x)
        return kernels.of(x).activation(x, name, **parameter)

    def gradient(self, cotangent: Array, x: Array) -> tuple[Array]:
        return (kernels.of(x).activation_gradient(cotangent, x, **self.parameters),)

    def composition(self, x: Tensor, name: str, **parameter: float) -> Tensor:
        return COMPOSITIONS[name](x, **parameter)


class _NormalCDF(Function):
    """Φ(x), read off the kernel of GELU's derivative, which is Φ(x) + x·φ(x); dΦ = φ(x) dx."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        slope = kernels.of(x).activation_gradient(np.ones_like(x), x, "gelu")
        return slope - x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        (x,) = self.saved
        return (cotangent * exp(x * x * -0.5) / math.sqrt(2 * math.pi),)


def _elu(x: Tensor, parameter: float) -> Tensor:
    return where(x > 0, x, parameter * expm1(minimum(x, 0)))


def gated(x: Tensor, gate: Callable[[Tensor], Tensor]) -> Tensor:
    """x · gate(x) for a gate that is 0 before −1000 and 1 beyond 1000: there x² may overflow, and x · 0 be NaN."""
    near = clip(x, -1000, 1000)
    return near * gate(near) + relu(x - near)


def _gate_with_tanh(x: Tensor) -> Tensor:
    """(1 + tanh u)/2 = σ(2u), u = √(2/π)·(x + 0.044715·x³)"""
    return sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x * x * x))


def _softplus(x: Tensor) -> Tensor:
    return logaddexp(x, 0)


COMPOSITIONS: dict[str, Callable[..., Tensor]] = {
    "leaky_relu": lambda x, parameter: where(x > 0, x, parameter * x),
    "elu": _elu,
    "selu": lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
    "gelu": lambda x: gated(x, _NormalCDF()),
    "gelu_tanh": lambda x: gated(x, _gate_with_tanh),
    "silu": lambda x: gated(x, sigmoid),
    "sigmoid": lambda x: exp(-_softplus(-x)),
    "tanh": lambda x: 2 * sigmoid(2 * x) - 1,
    "softplus": _softplus,
}


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x where x > 0, else negative_slope · x"""
    return Activation()(*floating("leaky_relu", x=x), name="leaky_relu", parameter=float(negative_slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha · (eˣ − 1)"""
    return Activation()(*floating("elu", x=x), name="elu", parameter=float(alpha))


def selu(x: Any) -> Tensor:
    """1.0507… · elu(x, 1.6733…): keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return Activation()(*floating("selu", x=x), name="selu")


def gelu(x: Any, approximate: bool = False) -> Tensor:
    """x · Φ(x), Φ the normal distribution function; approximate: its formula with tanh (Hendrycks and Gimpel 2016)."""
    return Activation()(*floating("gelu", x=x), name="gelu_tanh" if approximate else "gelu")


def silu(x: Any) -> Tensor:
    """x · σ(x), also called swish"""
    return Activation()(*floating("silu", x=x), name="silu")


def sigmoid(x: Any) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ)"""
    return Activation()(*floating("sigmoid", x=x), name="sigmoid")


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent"""
    return Activation()(*floating("tanh", x=x), name="tanh")


def softplus(x: Any) -> Tensor:
    """ln(1 + eˣ), without overflow"""
    return Activation()(*floating("softplus", x=x), name="softplus")


# ------------------------------------------------------------------------------------------------- softmax, last axis


class Softmax(Function):
    def forward(self, x: Array) -> Array:
        y = kernels.of(x).softmax(x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        (y,) = self.saved
        return (SoftmaxGradient()(cotangent, y),)


class SoftmaxGradient(Fused):
    """dx = y · (dy − Σ dy·y)"""

    covers = 0

    def forward(self, dy: Array, y: Array) -> Array:
        self.save(dy, y)
        return kernels.of(dy).softmax_gradient(dy, y)

    def composition(self, dy: Tensor, y: Tensor) -> Tensor:
        return y * (dy - sum(dy * y, -1, keepdims=True))


class LogSoftmax(Function):
    def forward(self, x: Array) -> Array:
        y = kernels.of(x).log_softmax(x)
        self.save(y)
        return y

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        (y,) = self.saved
        return (LogSoftmaxGradient()(cotangent, y),)


class LogSoftmaxGradient(Fused):
    """dx = dy − eʸ · Σ dy"""

    covers = 0

    def forward(self, dy: Array, y: Array) -> Array:
        self.save(dy, y)
        return kernels.of(dy).log_softmax_gradient(dy, y)

    def composition(self, dy: Tensor, y: Tensor) -> Tensor:
        return dy - exp(y) * sum(dy, -1, keepdims=True)


class LogSumExp(Function):
    """d(ln Σ eˣ) = Σ softmax(x) dx"""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return kernels.of(x).logsumexp(x)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        (x,) = self.saved
        return (expand_dims(cotangent, -1) * Softmax()(x),)


def softmax(x: Any, axis: int | Sequence[int] = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis, or over several"""
    return _along_axis("softmax", Softmax, x, axis)


def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> Tensor:
    """x − ln Σ eˣ along an axis, or over several"""
    return _along_axis("log_softmax", LogSoftmax, x, axis)


def _along_axis(name: str, function: type[Function], x: Any, axis: int | Sequence[int]) -> Tensor:
    """A function of the last axis, along another, or over several as if they were one."""
    (x,) = floating(name, x=x)
    if isinstance(axis, Sequence):
        axes = normalize_axes(axis, x.ndim)
        order = (*[a for a in range(x.ndim) if a not in axes], *axes)
        moved = transpose(x, order)
        rows = reshape(moved, (*moved.shape[: x.ndim - len(axes)], math.prod(moved.shape[x.ndim - len(axes) :])))
        return transpose(reshape(function()(rows), moved.shape), sorted(range(x.ndim), key=order.__getitem__))
    axis = normalize_axis(axis, x.ndim)
    if axis == x.ndim - 1:
        return function()(x)
    return swapaxes(function()(swapaxes(x, axis, -1)), axis, -1)


def logsumexp(x: Any, axis: Axis = -1, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ over an axis, several axes, or (None) all of them, without overflow"""
    (x,) = floating("logsumexp", x=x)
    axes = normalize_axes(axis, x.ndim)
    kept = tuple([a for a in range(x.ndim) if a not in axes])
    rows = reshape(transpose(x, kept + axes), (*[x.shape[a] for a in kept], math.prod([x.shape[a] for a in axes])))
    y = LogSumExp()(rows)
    return reshape(y, tuple([1 if a in axes else n for a, n in enumerate(x.shape)])) if keepdims else y


# ------------------------------------------------------------------------------------------------- made of the others


def prelu(x: Any, alpha: Any) -> Tensor:
    """x where x > 0, else alpha · x, with alpha a tensor that broadcasts to x's shape (He et al. 2015)."""
    x, alpha = floating("prelu", x=x, alpha=alpha)
    return where(x > 0, x, alpha * minimum(x, 0))  # so that no 0 · ∞ comes into the gradient of alpha


def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6)"""
    return minimum(relu(x), 6)


def hard_sigmoid(x: Any) -> Tensor:
    """relu6(x + 3) / 6"""
    return relu6(as_tensor(x) + 3) / 6


def softsign(x: Any) -> Tensor:
    """x / (1 + |x|)"""
    return as_tensor(x) / (abs(x) + 1)


BY_NAME: dict[str, Callable[[Any], Tensor]] = {
    "relu": relu,
    "relu6": relu6,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "swish": silu,
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
    "tanh": tanh,
    "softplus": softplus,
    "softsign": softsign,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "exponential": exp,
    "linear": as_tensor,
}


def activation_function(activation: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    """The activation of a name, such as "relu" or "softmax"; None is "linear"; a function is itself.

    Raises ValueError for an unknown name.
    """
    if activation is None:
        return as_tensor
    if callable(activation):
        return activation
    if not isinstance(activation, str) or activation not in BY_NAME:
        raise ValueError(f"activation = {activation!r}: expected a function, None or one of {', '.join(BY_NAME)}")
    return BY_NAME[activation]


def split_activation(
    activation: str | Callable[[Tensor], Tensor] | None,
) -> tuple[str | None, Callable[[Tensor], Tensor] | None]:
    """(what a kernel can fuse: "relu" or None; the function to apply afterwards, or None)."""
    if activation == "relu" or activation is relu or activation is BY_NAME["relu"]:
        return "relu", None
    function = activation_function(activation)
    return None, None if function is as_tensor else function
