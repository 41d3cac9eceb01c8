"""Activations, windows that move over images, and cross-entropies of single elements."""

from __future__ import annotations

from typing import Any

from .. import functions as F
from ..layers.spatial import channels_last
from ..tensor import Tensor
from .arrays import tensor_or_symbol

hard_swish, swish = F.hard_silu, F.silu


def gelu(x: Any, approximate: bool = True) -> Tensor:
    """x·Φ(x); approximate: Φ by way of tanh, as by default in `keras.ops` (and not in `keras.activations`)."""
    return F.gelu(x, approximate)


# ------------------------------------------------------------------------------------------------------------- windows


def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: Any = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """The convolution of (N, *spatial, C) with a kernel (*window, C / groups, C_out); the sizes say how many groups.

    data_format: "channels_last", as in all functions of windows.
    """
    channels_last(data_format, "conv")
    inputs, kernel = _pair(inputs, kernel)
    channels, taken = inputs.shape[-1], kernel.shape[-2]
    if not taken or not channels or channels % taken:
        raise ValueError(f"conv: inputs have {channels} channels, and the kernel takes {taken}: expected a multiple")
    groups = channels // taken
    return F.conv(inputs, kernel, None, strides, padding, dilation_rate, groups)


def conv_transpose(
    inputs: Any, kernel: Any, strides: Any = 1, padding: Any = "valid", output_padding: Any = None,
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """The transposed convolution of (N, *spatial, C) with a kernel (*window, C_out, C)."""
    channels_last(data_format, "conv_transpose")
    return F.conv_transpose(*_pair(inputs, kernel), None, strides, padding, output_padding, dilation_rate)


def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: Any = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """A convolution of each channel by itself: (N, *spatial, C), (*window, C, M) → (N, *spatial, C·M)."""
    channels_last(data_format, "depthwise_conv")
    inputs, kernel = _pair(inputs, kernel)
    channels = inputs.shape[-1]
    if kernel.shape[-2] != channels:
        raise ValueError(f"depthwise_conv: inputs have {channels} channels, the kernel {kernel.shape[-2]}")
    kernel = F.reshape(kernel, (*kernel.shape[:-2], 1, channels * kernel.shape[-1]))
    return F.conv(inputs, kernel, None, strides, padding, dilation_rate, channels)


def separable_conv(
    inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = 1, padding: Any = "valid",
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """`depthwise_conv`, then a convolution with windows of 1: pointwise_kernel (1, …, C·M, C_out)."""
    between = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(between, pointwise_kernel)


def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None
) -> Tensor:
    """The largest in each window. strides: pool_size if None."""
    channels_last(data_format, "max_pool")
    return F.max_pool(inputs, pool_size, strides, padding)


def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: Any = "valid", data_format: str | None = None
) -> Tensor:
    """The mean of each window, of which padding is no part."""
    channels_last(data_format, "average_pool")
    return F.average_pool(inputs, pool_size, strides, padding)


# ----------------------------------------------------------------------------------------------------- cross-entropies


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """−t·ln p − (1 − t)·ln(1 − p), element by element; both of one shape."""
    output, target = _pair(output, target)
    return F.binary_cross_entropy(output, target, from_logits)


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """−Σ t·ln p over the axis of the classes; probabilities are divided by their sum first."""
    output, target = (F.moveaxis(each, axis, -1) for each in _pair(output, target))
    if not from_logits:
        output = F.divide(output, F.sum(output, -1, keepdims=True))
    return F.cross_entropy(output, target, from_logits)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """−ln p[target]. target: class indices, with an axis of 1 for the classes or without."""
    output, target = F.moveaxis(_floating(output), axis, -1), tensor_or_symbol(target)
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = F.squeeze(target, axis)
    if target.dtype.kind == "f":
        target = F.astype(target, "int64")
    if not from_logits:
        output = F.divide(output, F.sum(output, -1, keepdims=True))
    return F.sparse_cross_entropy(output, target, from_logits)


def _pair(x: Any, y: Any) -> tuple[Any, Any]:
    """x as a tensor of a floating type, and y in that type."""
    x = _floating(x)
    y = tensor_or_symbol(y)
    return x, y if y.dtype == x.dtype else F.astype(y, x.dtype)


def _floating(x: Any) -> Any:
    x = tensor_or_symbol(x)
    return x if x.dtype.kind == "f" else F.astype(x, "float32")
