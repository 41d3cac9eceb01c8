"""Convolution, its transpose and its weight's gradient on the GPU, in one to three dimensions: which kernel computes
what."""

from __future__ import annotations

from math import inf

from ..geometry import Pairs, Sizes, conv_output_size
from ..interface import twin_of
from ..precision import chosen_precision
from ..reference import convolution as reference
from . import (
    convolution_tensor_cores,
    correlation,
    depthwise,
    few_channels,
    output_tiles,
    weight_tensor_cores,
    weight_tiles,
)
from .copying import contiguous
from .launching import empty
from .runtime import Array


@twin_of(reference.conv)
def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
    activation: str | None = None,
) -> Array:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    kernel_size, c_in, c_out = weight.shape[:-2], x.shape[-1], weight.shape[-1]
    output_size = conv_output_size(x.shape[1:-1], kernel_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, c_out), x.dtype)
    work = correlation.of_convolution(
        len(x), x.shape[1:-1], output_size, kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    _correlate((work,), x, weight, bias, y, 0.0 if activation == "relu" else -inf, transposed=False)
    return y


@twin_of(reference.conv_transpose)
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    output_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation_rate: Sizes,
    groups: int,
) -> Array:
    kernel_size, c_in, c_out = weight.shape[:-2], weight.shape[-1], weight.shape[-2] * groups
    y = empty((len(x), *output_size, c_out), x.dtype)
    works = correlation.of_transpose(
        len(x), x.shape[1:-1], output_size, kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    _correlate(works, x, weight, bias, y, -inf, transposed=True)
    return y


def _correlate(
    works: tuple[correlation.Correlation, ...],
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    least: float,
    transposed: bool,
) -> None:
    """Compute y from the sums that it consists of, none smaller than `least`."""
    if y.size == 0:
        return
    x, weight, bias = contiguous(x), contiguous(weight), None if bias is None else contiguous(bias)
    precision = chosen_precision()
    if depthwise.suits(works[0]):
        depthwise.correlate(works, x, weight, bias, y, least)
    elif few_channels.suits(works, x):
        few_channels.correlate(works, x, weight, bias, y, least)
    elif all(convolution_tensor_cores.suits(work, x.dtype, precision) for work in works):
        for work in works:
            arguments = work, x, weight, bias, y, least == 0, transposed
            convolution_tensor_cores.correlate(*arguments, precision, alone=len(works) == 1)
    else:
        output_tiles.correlate(works, x, weight, bias, y, least, transposed)


@twin_of(reference.conv_weight_gradient)
def conv_weight_gradient(
    x: Array, dy: Array, kernel_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes, groups: int
) -> Array:
    c_in, c_out = x.shape[-1], dy.shape[-1]
    dweight = empty((*kernel_size, c_in // groups, c_out), x.dtype)
    work = correlation.of_convolution(
        len(x), x.shape[1:-1], dy.shape[1:-1], kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    if dweight.size == 0:
        return dweight
    x, dy, precision = contiguous(x), contiguous(dy), chosen_precision()
    if depthwise.suits(work):
        depthwise.correlate_weights(work, x, dy, dweight)
    elif convolution_tensor_cores.suits(work, x.dtype, precision):
        weight_tensor_cores.correlate_weights(work, x, dy, dweight, precision)
    else:
        weight_tiles.correlate_weights(work, x, dy, dweight)
    return dweight
