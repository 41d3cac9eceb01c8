"""Convolution and transposed convolution in one to three dimensions, channels last.

Convolution is bilinear in its input x and its weight w. With a cotangent g, the number ⟨g, conv(x, w)⟩ is linear in
each of the three, so three functions carry all derivatives of any order between them:

    conv(x, w)                  → a thing like g     (its derivative in g)
    conv_transpose(g, w)        → a thing like x     (its derivative in x)
    conv_weight_gradient(x, g)  → a thing like w     (its derivative in w)

Each is bilinear itself, and its two gradients are the other two: the table can be read off the three classes below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import kernels
from ...kernels import geometry
from ..tape import Function
from ..tensor import Array, Tensor
from .activations import applied_relu, split_activation
from .arguments import floating_or_half, remembered
from .linear_algebra import channel_sum

Gradients = tuple[Tensor | None, ...]
Sizes = int | Sequence[int]
Padding = str | int | Sequence[Any]


class Conv(Function):
    """y = x ∗ w + b. With activation="relu" the kernel gives relu(y), whose gradient is for `applied_relu` to take.

    x (N, *input, C_in), weight (*kernel, C_in/groups, C_out), bias (C_out,) → y (N, *output, C_out)
    """

    def forward(self, x: Array, weight: Array, bias: Array | None, activation: str | None, **windows: Any) -> Array:
        self.windows = windows
        self.save(x, weight)
        return kernels.of(x, weight).conv(x, weight, bias, **windows, activation=activation)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, weight = self.saved
        return (
            _transpose(cotangent, weight, x.shape[1:-1], self.windows) if self.needs[0] else None,
            _weight_gradient(x, cotangent, weight.shape[:-2], self.windows) if self.needs[1] else None,
            channel_sum(cotangent) if self.needs[2] else None,
        )


class ConvTranspose(Function):
    """The transpose of Conv in its input.

    g (N, *output, C_out), weight (*kernel, C_in/groups, C_out), bias (C_in,) → x (N, *input, C_in)
    """

    def forward(
        self, g: Array, weight: Array, bias: Array | None, output_size: tuple[int, ...], **windows: Any
    ) -> Array:
        self.windows = windows
        self.save(g, weight)
        return kernels.of(g, weight).conv_transpose(g, weight, bias, output_size, **windows)

    def backward(self, cotangent: Tensor) -> Gradients:
        g, weight = self.saved
        return (
            _conv(cotangent, weight, self.windows) if self.needs[0] else None,
            _weight_gradient(cotangent, g, weight.shape[:-2], self.windows) if self.needs[1] else None,
            channel_sum(cotangent) if self.needs[2] else None,
        )


class ConvWeightGradient(Function):
    """The transpose of Conv in its weight.

    x (N, *input, C_in), g (N, *output, C_out) → weight (*kernel, C_in/groups, C_out)
    """

    def forward(self, x: Array, g: Array, kernel_size: tuple[int, ...], **windows: Any) -> Array:
        self.windows = windows
        self.save(x, g)
        return kernels.of(x, g).conv_weight_gradient(x, g, kernel_size, **windows)

    def backward(self, cotangent: Tensor) -> Gradients:
        x, g = self.saved
        return (
            _transpose(g, cotangent, x.shape[1:-1], self.windows) if self.needs[0] else None,
            _conv(x, cotangent, self.windows) if self.needs[1] else None,
        )


def _conv(x: Tensor, weight: Tensor, windows: dict[str, Any]) -> Tensor:
    return Conv()(x, weight, None, activation=None, **windows)


def _transpose(g: Tensor, weight: Tensor, output_size: tuple[int, ...], windows: dict[str, Any]) -> Tensor:
    return ConvTranspose()(g, weight, None, output_size=output_size, **windows)


def _weight_gradient(x: Tensor, g: Tensor, kernel_size: tuple[int, ...], windows: dict[str, Any]) -> Tensor:
    return ConvWeightGradient()(x, g, kernel_size=kernel_size, **windows)


def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    strides: Sizes = 1,
    padding: Padding = "valid",
    dilation_rate: Sizes = 1,
    groups: int = 1,
    activation: str | Callable | None = None,
) -> Tensor:
    """Convolution (cross-correlation, as everywhere in deep learning) in one to three dimensions, by x's rank.

    x (N, *spatial, C_in), weight (*kernel, C_in/groups, C_out), bias (C_out,) or None → (N, *output, C_out):

        y[n, o, c] = f(b[c] + Σ_k Σ_j x[n, o·strides + k·dilation_rate − before, j] · w[k, j, c])

    padding: "valid", "same", an int, an int for each dimension, or a (before, after) pair for each dimension.
    groups: input and output channels are cut into this many groups, each convolved by itself.
    activation: a name or a function; "relu" is computed in the convolution's own kernel.
    On a GPU also float16 and bfloat16, with sums in float32; gradients are of the same type.
    Raises ValueError for shapes, groups, padding or activation that do not fit, TypeError for types.
    """
    x, weight, bias = floating_or_half("conv", x=x, weight=weight, bias=bias)
    fused, after = split_activation(activation)
    windows = _conv_windows(x.shape, weight.shape, _shape(bias), strides, padding, dilation_rate, groups)
    y = Conv()(x, weight, bias, activation=fused, **windows)
    y = applied_relu(y) if fused else y
    return after(y) if after else y


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tensor.array.shape


@remembered
def _conv_windows(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    bias: tuple[int, ...] | None,
    strides: Sizes,
    padding: Padding,
    dilation_rate: Sizes,
    groups: int,
) -> dict[str, Any]:
    """What the kernel has to be told of the windows, for arguments of these shapes. Raises as `conv` does, but for
    windows that are too large: those the kernel rejects, which computes the output's size."""
    spatial = _spatial_dimensions("conv", x, weight)
    kernel_size, c_in, c_out = weight[:-2], x[-1], weight[-1]
    _require_groups("conv", groups, input_channels=c_in, output_channels=c_out)
    if weight[-2] * groups != c_in:
        raise ValueError(
            f"conv: weight has shape {weight}, but x has {c_in} channels in {groups} group(s): "
            f"expected (*kernel, {c_in // groups}, C_out)"
        )
    _require_bias("conv", bias, c_out, "one for each output channel of weight")
    strides = geometry.per_dimension(strides, spatial, "strides")
    dilation_rate = geometry.per_dimension(dilation_rate, spatial, "dilation_rate")
    pairs = geometry.resolve_padding(padding, x[1:-1], kernel_size, strides, dilation_rate)
    return {"strides": strides, "padding": pairs, "dilation_rate": dilation_rate, "groups": groups}


def conv_transpose(
    x: Any,
    weight: Any,
    bias: Any = None,
    strides: Sizes = 1,
    padding: Padding = "valid",
    output_padding: Sizes | None = None,
    dilation_rate: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Transposed convolution: the transpose of `conv` in its input, which maps its output's size back to its input's.

    x (N, *spatial, C_in), weight (*kernel, C_out/groups, C_in), bias (C_out,) or None → (N, *output, C_out).
    Output sizes are Keras's for "valid" (i·s + max(k − s, 0)) and "same" (i·s); with `output_padding` p_o, or with
    padding given in numbers, (i − 1)·s + k − before − after + p_o as in PyTorch (k the dilated kernel's size).
    Raises as `conv` does.
    """
    x, weight, bias = floating_or_half("conv_transpose", x=x, weight=weight, bias=bias)
    given = strides, padding, output_padding, dilation_rate, groups
    return ConvTranspose()(x, weight, bias, **_transpose_windows(x.shape, weight.shape, _shape(bias), *given))


@remembered
def _transpose_windows(
    x: tuple[int, ...],
    weight: tuple[int, ...],
    bias: tuple[int, ...] | None,
    strides: Sizes,
    padding: Padding,
    output_padding: Sizes | None,
    dilation_rate: Sizes,
    groups: int,
) -> dict[str, Any]:
    """The same for the transposed convolution, and the output's size."""
    spatial = _spatial_dimensions("conv_transpose", x, weight)
    kernel_size, c_in, c_out = weight[:-2], x[-1], weight[-2] * groups
    _require_groups("conv_transpose", groups, input_channels=c_in)  # the output's are a multiple
    if weight[-1] != c_in:
        raise ValueError(
            f"conv_transpose: weight has shape {weight}, but x has {c_in} channels: "
            f"expected (*kernel, C_out/groups, {c_in})"
        )
    _require_bias("conv_transpose", bias, c_out, "one for each output channel")
    strides = geometry.per_dimension(strides, spatial, "strides")
    dilation_rate = geometry.per_dimension(dilation_rate, spatial, "dilation_rate")
    output_size, pairs = geometry.conv_transpose_geometry(
        x[1:-1], kernel_size, strides, padding, output_padding, dilation_rate
    )
    windows = {"strides": strides, "padding": pairs, "dilation_rate": dilation_rate, "groups": groups}
    return {"output_size": output_size, **windows}


def spatial_rank(function: str, x: Tensor) -> int:
    """How many spatial dimensions x (N, *spatial, C) has. Raises ValueError unless 1, 2 or 3."""
    return _rank(function, x.array.shape)


def _rank(function: str, x: tuple[int, ...]) -> int:
    if not 3 <= len(x) <= 5:
        raise ValueError(f"{function}: x has shape {x}: expected (N, *spatial, C) with one to three spatial dimensions")
    return len(x) - 2


def _spatial_dimensions(function: str, x: tuple[int, ...], weight: tuple[int, ...]) -> int:
    spatial = _rank(function, x)
    if len(weight) != spatial + 2:
        raise ValueError(
            f"{function}: weight has shape {weight}, but x of shape {x} has {spatial} spatial "
            f"dimension(s): expected a weight of {spatial + 2} dimensions"
        )
    if 0 in weight[:spatial]:
        raise ValueError(f"{function}: weight has shape {weight}: its kernel is empty")
    return spatial


def _require_bias(function: str, bias: tuple[int, ...] | None, channels: int, why: str) -> None:
    if bias is not None and bias != (channels,):
        raise ValueError(f"{function}: bias has shape {bias}, expected {(channels,)}: {why}")


def _require_groups(function: str, groups: int, **channels: int) -> None:
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
        raise ValueError(f"{function}: groups = {groups!r}: expected a positive integer")
    for name, count in channels.items():
        if count % groups:
            raise ValueError(f"{function}: groups = {groups} does not divide the {count} {name.replace('_', ' ')}")
