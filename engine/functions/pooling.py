"""Max and average pooling in one to three dimensions, channels last.

Max pooling's gradient goes to the first maximum of a window in row-major order; padding never wins. Once the maxima
are chosen, pooling is linear: its gradient scatters to the chosen places, and the gradient of that gathers from them.
"""

from __future__ import annotations

from typing import Any

from ... import kernels
from ...kernels import geometry
from ..tape import Function
from ..tensor import Array, Tensor
from .activations import AfterReLU, ReLU, relu_gradient
from .arguments import floating, remembered
from .convolution import Padding, Sizes, spatial_rank

Gradient = tuple[Tensor]


class MaxPool(Function):
    def forward(self, x: Array, **windows: Any) -> Array:
        y, choice = kernels.of(x).max_pool(x, **windows)
        self.input_size = x.shape[1:-1]
        self.save(choice)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        choice = self.saved[0]
        return (MaxPoolScatter()(cotangent, choice=choice, input_size=self.input_size, **self.parameters),)


class MaxPoolOfReLU(MaxPool, AfterReLU):
    """Max pooling of x = relu(z): where a window's maximum is 0, so is all of it. Its own result is the mask, which is
    smaller than x, and x need not be kept."""

    def forward(self, x: Array, **windows: Any) -> Array:
        y = super().forward(x, **windows)
        self.save(*self._declared, y)
        return y

    def backward(self, cotangent: Tensor) -> Gradient:
        if not self.relu_masks():
            cotangent = relu_gradient(cotangent, self.saved[1])
        return super().backward(cotangent)


class MaxPoolScatter(Function):
    """Each window's number added at the place that the window chose."""

    def forward(self, dy: Array, choice: Array, input_size: tuple[int, ...], **windows: Any) -> Array:
        self.choice, self.windows = choice, windows
        return kernels.of(dy).max_pool_scatter(dy, choice, input_size, **windows)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (MaxPoolGather()(cotangent, choice=self.choice, **self.windows),)


class MaxPoolGather(Function):
    """For each window, the number at the place that the window chose."""

    def forward(self, x: Array, choice: Array, **windows: Any) -> Array:
        self.input_size = x.shape[1:-1]
        return kernels.of(x).max_pool_gather(x, choice, **windows)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (MaxPoolScatter()(cotangent, input_size=self.input_size, **self.parameters),)


class AveragePool(Function):
    def forward(self, x: Array, **windows: Any) -> Array:
        self.input_size = x.shape[1:-1]
        return kernels.of(x).average_pool(x, **windows)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (AveragePoolGradient()(cotangent, input_size=self.input_size, **self.parameters),)


class AveragePoolGradient(Function):
    """The transpose of AveragePool."""

    def forward(self, dy: Array, input_size: tuple[int, ...], **windows: Any) -> Array:
        self.windows = windows
        return kernels.of(dy).average_pool_gradient(dy, input_size, **windows)

    def backward(self, cotangent: Tensor) -> Gradient:
        return (AveragePool()(cotangent, **self.windows),)


def max_pool(
    x: Any, pool_size: Sizes, strides: Sizes | None = None, padding: Padding = "valid", dilation_rate: Sizes = 1
) -> Tensor:
    """The maximum of each window: x (N, *spatial, C) → (N, *output, C), in one to three dimensions by x's rank.

    strides: pool_size unless given. padding: as for `conv`; it never wins. dilation_rate: steps between a window's
    positions. Raises ValueError for windows that do not fit or that hold nothing but padding.
    """
    (x,) = floating("max_pool", x=x)
    spatial = spatial_rank("max_pool", x)
    dilation_rate = geometry.per_dimension(dilation_rate, spatial, "dilation_rate")
    pool_size, strides, pairs = _pool_windows(x.shape[1:-1], pool_size, strides, padding, dilation_rate)
    function = MaxPoolOfReLU() if isinstance(x.node, ReLU) else MaxPool()
    return function(x, pool_size=pool_size, strides=strides, padding=pairs, dilation_rate=dilation_rate)


def average_pool(
    x: Any,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: Padding = "valid",
    count_include_pad: bool = False,
) -> Tensor:
    """The mean of each window: x (N, *spatial, C) → (N, *output, C), in one to three dimensions by x's rank.

    count_include_pad: whether padding counts as zeros in the mean; else only positions of x count.
    Otherwise as `max_pool`.
    """
    (x,) = floating("average_pool", x=x)
    spatial = spatial_rank("average_pool", x)
    pool_size, strides, pairs = _pool_windows(x.shape[1:-1], pool_size, strides, padding, (1,) * spatial)
    return AveragePool()(
        x, pool_size=pool_size, strides=strides, padding=pairs, count_include_pad=bool(count_include_pad)
    )


@remembered
def _pool_windows(
    input_size: tuple[int, ...],
    pool_size: Sizes,
    strides: Sizes | None,
    padding: Padding,
    dilation_rate: geometry.Sizes,
) -> tuple[geometry.Sizes, geometry.Sizes, geometry.Pairs]:
    spatial = len(input_size)
    sizes = geometry.per_dimension(pool_size, spatial, "pool_size")
    steps = sizes if strides is None else geometry.per_dimension(strides, spatial, "strides")
    pairs = geometry.resolve_padding(padding, input_size, sizes, steps, dilation_rate)
    geometry.reject_windows_of_padding(input_size, sizes, steps, pairs, dilation_rate)
    return sizes, steps, pairs
