"""Convolution in one to three dimensions, channels last, and its two transposes.

What deep learning calls convolution is cross-correlation: the kernel is not flipped. With strides s, dilation rate d
and p positions of padding before,

    y[n, o, k] = Σ_t Σ_c  x[n, o·s + t·d − p, c] · w[t, c, k]  +  b[k]          (x is 0 outside the image)

where o and t are positions of the output and of the kernel (tuples of one to three ints).

Convolution is bilinear: y is linear in x when w is held, and linear in w when x is held. A linear map has a
transpose, so convolution has two, and they are its gradients:

    ⟨conv(x, w), dy⟩  =  ⟨x, conv_transpose(dy, w)⟩  =  ⟨w, conv_weight_gradient(x, dy)⟩      for all x, w and dy.

Read the sum above backwards. Every product x[i]·w[t] that entered y[o], with i = o·s + t·d − p, sends back

    to x:   dx[n, o·s + t·d − p, c] += Σ_k w[t, c, k] · dy[n, o, k]       (conv_transpose, "deconvolution")
    to w:   dw[t, c, k]             += Σ_n Σ_o x[n, o·s + t·d − p, c] · dy[n, o, k]

Each of the three is bilinear in its two arguments and is made of the same triples (x[i], w[t], y[o]), so the family is
closed: the transposes of any one of them are the other two, and gradients of gradients need nothing new. A transposed
convolution as a layer (U-Net's upsampling) is the map to x, used forwards.

With `groups` g the channels are split in g blocks, and block j of the output sees block j of the input only.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016 (arXiv:1603.07285); the view
as a bilinear map with two transposes is that of JAX's lax.convolution.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..geometry import Pairs, Sizes, conv_output_size
from .activations import fused_activation
from .sums import total
from .windows import crop, each_tap, pad, padded_zeros


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
    activation: str | None = None,
) -> np.ndarray:
    """Convolution, with bias and activation.

    y[n, o, k] = f(Σ_t Σ_c x[n, o·strides + t·dilation_rate − before, c] · weight[t, c, k] + bias[k])

    x (N, *spatial, C_in), weight (*kernel, C_in/groups, C_out), bias (C_out,) or None → y (N, *output, C_out) with
    output = ⌊(spatial + before + after − (kernel − 1)·dilation_rate − 1) / strides⌋ + 1. `padding` holds
    (before, after) for each dimension; the padding is 0. f is the identity, or max(0, ·) for activation = "relu". With
    groups, the output channels of block j (C_out/groups of them) sum over the input channels of block j.
    """
    kernel_size, c_out = weight.shape[:-2], weight.shape[-1]
    output_size = conv_output_size(x.shape[1:-1], kernel_size, strides, padding, dilation_rate)
    y = np.zeros((len(x), *output_size, c_out), x.dtype)
    for tap, x_tap in each_tap(pad(x, padding), kernel_size, output_size, strides, dilation_rate):
        for inputs, outputs in _channel_blocks(x.shape[-1], c_out, groups):
            y[..., outputs] += x_tap[..., inputs] @ weight[tap][:, outputs]
    if bias is not None:
        y += bias
    return fused_activation(y, activation)


def conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    output_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
) -> np.ndarray:
    """Transposed convolution: the transpose of `conv` in its input, with the same weight array.

    y[n, i·strides + t·dilation_rate − before, k] += Σ_c x[n, i, c] · weight[t, k, c]   for every position i, tap t

    and then + bias[k]; what falls outside the output is dropped.

    x (N, *small, C_in), weight (*kernel, C_out/groups, C_in), bias (C_out,) or None → y (N, *output_size, C_out).
    `strides`, `padding` and `dilation_rate` are those of the convolution that leads from y's shape to x's. That
    convolution fixes `small`, but several output sizes can have the same `small`, so output_size is given. The gradient
    of conv(x, weight, …) in x is conv_transpose(dy, weight, None, x's spatial size, …).
    """
    kernel_size, c_in = weight.shape[:-2], weight.shape[-1]
    c_out = weight.shape[-2] * groups
    padded = padded_zeros(len(x), output_size, padding, c_out, x.dtype)
    for tap, y_tap in each_tap(padded, kernel_size, x.shape[1:-1], strides, dilation_rate):
        for outputs, inputs in _channel_blocks(c_out, c_in, groups):
            y_tap[..., outputs] += x[..., inputs] @ weight[tap][:, inputs].T
    y = crop(padded, output_size, padding)
    if bias is not None:
        y += bias
    return y


def conv_weight_gradient(
    x: np.ndarray,
    dy: np.ndarray,
    kernel_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
) -> np.ndarray:
    """Gradient of `conv` in its weight, the transpose of `conv` in its weight.

    dweight[t, c, k] = Σ_n Σ_o x[n, o·strides + t·dilation_rate − before, c] · dy[n, o, k]

    x (N, *spatial, C_in), dy (N, *output, C_out) → dweight (*kernel_size, C_in/groups, C_out).
    """
    c_in, c_out = x.shape[-1], dy.shape[-1]
    all_but_channels = tuple(range(x.ndim - 1))
    dweight = np.empty((*kernel_size, c_in // groups, c_out), x.dtype)  # each tap and block is written
    for tap, x_tap in each_tap(pad(x, padding), kernel_size, dy.shape[1:-1], strides, dilation_rate):
        for inputs, outputs in _channel_blocks(c_in, c_out, groups):
            dweight[tap][:, outputs] = np.tensordot(
                x_tap[..., inputs], dy[..., outputs], axes=(all_but_channels, all_but_channels)
            )
    return dweight


def channel_sum(dy: np.ndarray) -> np.ndarray:
    """Sum over all axes but the last: dy (…, C) → (C,), the gradient of a bias that was added to every position."""
    return total(dy, tuple(range(dy.ndim - 1)))


def _channel_blocks(c_in: int, c_out: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """For each group, its slice of the input channels and its slice of the output channels."""
    m, n = c_in // groups, c_out // groups
    for j in range(groups):
        yield slice(j * m, (j + 1) * m), slice(j * n, (j + 1) * n)
