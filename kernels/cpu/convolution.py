"""Convolution, its transpose and its weight's gradient, in one to three dimensions: which tile kernel computes what."""

from functools import lru_cache

import numpy as np

from ..geometry import Pairs, Sizes, conv_output_size
from ..interface import twin_of
from ..memory import empty
from ..reference import convolution as reference
from . import correlation, depthwise, output_tiles, weight_tiles, winograd, winograd_gradient
from .copying import contiguous
from .correlation import Correlation
from .simd import Level, level


def _constant(y: np.ndarray, bias: np.ndarray | None, activation: str | None) -> np.ndarray:
    """y filled with what a sum over nothing gives."""
    y[...] = 0 if bias is None else np.maximum(bias, 0) if activation == "relu" else bias
    return y


@twin_of(reference.conv)
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
    kernel_size, c_in, c_out = weight.shape[:-2], x.shape[-1], weight.shape[-1]
    output_size = conv_output_size(x.shape[1:-1], kernel_size, strides, padding, dilation_rate)
    y = empty((len(x), *output_size, c_out), x.dtype)
    if y.size == 0 or c_in == 0:
        return _constant(y, bias, activation)
    work = correlation.of_convolution(
        len(x), x.shape[1:-1], output_size, kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    _correlate((work,), contiguous(x), contiguous(weight), bias, y, activation == "relu")
    return y


def _correlate(
    works: tuple[Correlation, ...],
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    relu: bool = False,
) -> None:
    """Computes correlations of the same arrays: by Winograd's method where that is faster, channel by channel, or as
    they stand."""
    chosen = winograd.plan(works[0], y.dtype) if len(works) == 1 else None
    if chosen is not None:
        winograd.launch(chosen, x, weight, bias, y, relu)
    elif all(map(depthwise.suits, works)):
        depthwise.launch(works, x, weight, bias, y, relu)
    else:
        output_tiles.launch(works, x, weight, bias, y, relu)


@twin_of(reference.conv_transpose)
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
    kernel_size, c_in, c_out = weight.shape[:-2], weight.shape[-1], weight.shape[-2] * groups
    y = empty((len(x), *output_size, c_out), x.dtype)
    if y.size == 0 or c_in == 0:
        return _constant(y, bias, None)
    phases, unreached = _phases(
        level(),
        x.dtype,
        len(x),
        x.shape[1:-1],
        output_size,
        kernel_size,
        strides,
        padding,
        dilation_rate,
        groups,
        c_in,
        c_out,
    )
    _correlate(phases, contiguous(x), contiguous(weight), bias, y)
    for where in unreached:
        y.reshape(len(x), *(1,) * (5 - y.ndim), *y.shape[1:])[where] = 0 if bias is None else bias
    return y


@lru_cache(maxsize=1024)
def _phases(host: Level, dtype: np.dtype, *geometry) -> tuple[tuple[Correlation, ...], tuple[tuple[slice, ...], ...]]:
    """`correlation.of_transpose`, with the phases of a row joined where that takes fewer cycles."""
    *_, strides, _, dilation_rate, groups, _, _ = geometry
    apart = correlation.of_transpose(*geometry)
    if groups > 1 or strides[-1] == 1 or dilation_rate[-1] > 1:
        return apart
    joined = correlation.of_transpose(*geometry, joined=True)
    return min(joined, apart, key=lambda phases: output_tiles.cycles(phases[0], dtype, host))


@twin_of(reference.conv_weight_gradient)
def conv_weight_gradient(
    x: np.ndarray, dy: np.ndarray, kernel_size: Sizes, strides: Sizes, padding: Pairs, dilation_rate: Sizes, groups: int
) -> np.ndarray:
    c_in, c_out = x.shape[-1], dy.shape[-1]
    dweight = empty((*kernel_size, c_in // groups, c_out), x.dtype)
    work = correlation.of_convolution(
        len(x), x.shape[1:-1], dy.shape[1:-1], kernel_size, strides, padding, dilation_rate, groups, c_in, c_out
    )
    chosen = winograd_gradient.plan(work, x.dtype) if dweight.size else None
    if chosen is not None:
        winograd_gradient.launch(chosen, work, contiguous(x), contiguous(dy), dweight)
    elif depthwise.suits(work):
        depthwise.launch_gradient(work, contiguous(x), contiguous(dy), dweight)
    else:
        weight_tiles.launch(work, contiguous(x), contiguous(dy), dweight)
    return dweight
