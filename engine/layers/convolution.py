"""Convolution layers in one to three dimensions: Conv, its transpose, the depthwise and the separable convolution.

Each is written once for any number of spatial dimensions; Conv1D, Conv2D, Conv3D and the rest only state the number.
Inputs are (N, *spatial, C): the channels come last.
"""

from __future__ import annotations

from typing import Any

from ...kernels.geometry import conv_output_size, conv_transpose_geometry, per_dimension, resolve_padding
from .. import constraints, initializers, regularizers
from .. import functions as F
from ..tensor import Tensor
from . import activations
from .core import known_channels, positive, require_channels
from .spatial import Sizes, SpatialLayer, one_dimension

__all__ = [
    "Conv",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvTranspose",
    "DepthwiseConv",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv",
    "SeparableConv1D",
    "SeparableConv2D",
]


class _Convolution(SpatialLayer):
    """What all convolution layers share: their arguments, the checks of the input, the bias and the activation."""

    casts_integers = True
    input_channels: int  # known once it is built
    kernel: Tensor
    bias: Tensor | None

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes,
        padding: Any,
        data_format: str | None,
        dilation_rate: Sizes,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.kernel_size = per_dimension(kernel_size, self.dimensions, f"{self.name}: kernel_size")
        self.strides = per_dimension(strides, self.dimensions, f"{self.name}: strides")
        self.dilation_rate = per_dimension(dilation_rate, self.dimensions, f"{self.name}: dilation_rate")
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if self.padding != "causal":
            # Whether the padding is one at all does not depend on the input's size.
            resolve_padding(self.padding, self.kernel_size, self.kernel_size, self.strides, self.dilation_rate)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)

    def _add_bias(self, channels: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (channels,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Tensor) -> Tensor:
        return self.apply(inputs, self.kernel, self.bias, self.activation)

    def apply(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Any) -> Tensor:
        """What the layer computes, with weights and activation that are given instead of its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no apply(inputs, kernel, bias, activation)")

    def _check_input_shape(self, shape: Any) -> None:
        super()._check_input_shape(shape)
        if self.built:
            require_channels(shape, self.input_channels, self.name)

    def _padding(self) -> Any:
        """The padding for the kernels: "causal" looks only back, so all of it stands before the input."""
        if self.padding != "causal":
            return self.padding
        return [((k - 1) * d, 0) for k, d in zip(self.kernel_size, self.dilation_rate, strict=True)]

    def _window(self, axis: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """kernel_size, strides and dilation_rate of one spatial dimension."""
        here = slice(axis, axis + 1)
        return self.kernel_size[here], self.strides[here], self.dilation_rate[here]

    def _output_size(self, axis: int, size: int) -> int:
        kernel, stride, dilation = self._window(axis)
        pairs = resolve_padding(one_dimension(self._padding(), axis), (size,), kernel, stride, dilation)
        return conv_output_size((size,), kernel, stride, pairs, dilation)[0]


class Conv(_Convolution):
    """Convolution: y[n, o, f] = activation(Σ_{k,c} x[n, o·strides + k·dilation_rate − before, c] · kernel[k, c, f] +
    bias[f]).

    x (N, *spatial, C_in), kernel (*kernel_size, C_in/groups, filters), bias (filters,), y (N, *output, filters); no
    flip of the kernel (a cross-correlation, as everywhere in deep learning). padding: "valid" (none), "same" (output
    size ⌈input/stride⌉; an odd one comes after), and beyond Keras an int, an int for each dimension or a (before,
    after) pair for each dimension. With `groups`, input and output channels are split into as many groups, which do
    not see one another. activation="relu" is fused into the kernel.

    Raises ValueError and TypeError for arguments that are not such, for an input of the wrong rank or number of
    channels, and for a kernel larger than the padded input.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        if self.padding == "causal" and self.dimensions != 1:
            raise ValueError(f'{self.name}: padding = "causal": only Conv1D has it')
        self.filters = positive(filters, "filters", self.name)
        self.groups = positive(groups, "groups", self.name)
        if self.filters % self.groups:
            raise ValueError(f"{self.name}: filters = {filters} is not a multiple of groups = {groups}")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        self.input_channels = channels = known_channels(input_shape, self.name)
        if channels % self.groups:
            raise ValueError(f"{self.name}: {channels} input channels are not a multiple of groups = {self.groups}")
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self._add_bias(self.filters)

    def apply(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Any) -> Tensor:
        return F.conv(
            inputs,
            kernel,
            bias,
            strides=self.strides,
            padding=self._padding(),
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            activation=activation,
        )

    def _output_channels(self, input_shape: Any) -> int | None:
        return self.filters


class Conv1D(Conv):
    """Convolution over sequences (N, steps, C); see `Conv`. padding="causal" lets no output see what comes later."""

    dimensions = 1


class Conv2D(Conv):
    """Convolution over images (N, height, width, C); see `Conv`."""

    dimensions = 2


class Conv3D(Conv):
    """Convolution over volumes (N, depth, height, width, C); see `Conv`."""

    dimensions = 3


class ConvTranspose(_Convolution):
    """Transposed convolution: the linear map whose matrix is a convolution's, transposed; plus bias and activation.

    x (N, *spatial, C_in), kernel (*kernel_size, filters, C_in), y (N, *output, filters). Each input position adds
    x · kernel to the output around position·strides. Output sizes, with k the dilated kernel's extent: "valid"
    (i − 1)·stride + max(k, stride), "same" i·stride; output_padding (less than stride) sets which of the possible sizes
    is meant, see `kernels.geometry.conv_transpose_geometry`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        if self.padding == "causal":
            raise ValueError(f'{self.name}: padding = "causal": only Conv1D has it')
        self.filters = positive(filters, "filters", self.name)
        self.output_padding = output_padding
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        self.input_channels = channels = known_channels(input_shape, self.name)
        self.kernel = self.add_weight(
            (*self.kernel_size, self.filters, channels),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self._add_bias(self.filters)

    def apply(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Any) -> Tensor:
        outputs = F.conv_transpose(
            inputs,
            kernel,
            bias,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return F.activation_function(activation)(outputs)

    def _output_size(self, axis: int, size: int) -> int:
        kernel, stride, dilation = self._window(axis)
        extra = self.output_padding if self.output_padding is None else one_dimension(self.output_padding, axis)
        padding = one_dimension(self.padding, axis)
        return conv_transpose_geometry((size,), kernel, stride, padding, extra, dilation)[0][0]

    def _output_channels(self, input_shape: Any) -> int | None:
        return self.filters


class Conv1DTranspose(ConvTranspose):
    """Transposed convolution over sequences; see `ConvTranspose`."""

    dimensions = 1


class Conv2DTranspose(ConvTranspose):
    """Transposed convolution over images; see `ConvTranspose`."""

    dimensions = 2


class Conv3DTranspose(ConvTranspose):
    """Transposed convolution over volumes; see `ConvTranspose`."""

    dimensions = 3


class DepthwiseConv(_Convolution):
    """A convolution of each channel by itself, with `depth_multiplier` kernels a channel.

    kernel (*kernel_size, C_in, depth_multiplier), y (N, *output, C_in·depth_multiplier): output channel
    c·depth_multiplier + m comes from input channel c. Everything else is as in `Conv`.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        if self.padding == "causal":
            raise ValueError(f'{self.name}: padding = "causal": only Conv1D has it')
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", self.name)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: Any) -> None:
        self.input_channels = channels = known_channels(input_shape, self.name)
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="kernel",
        )
        self._add_bias(channels * self.depth_multiplier)

    def apply(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Any) -> Tensor:
        # As a grouped convolution the kernel is (*kernel_size, 1, C_in·depth_multiplier): the same order of numbers.
        return F.conv(
            inputs,
            F.reshape(kernel, (*self.kernel_size, 1, self.input_channels * self.depth_multiplier)),
            bias,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.input_channels,
            activation=activation,
        )

    def _output_channels(self, input_shape: Any) -> int | None:
        return known_channels(input_shape, self.name) * self.depth_multiplier


class DepthwiseConv1D(DepthwiseConv):
    """Depthwise convolution over sequences; see `DepthwiseConv`."""

    dimensions = 1


class DepthwiseConv2D(DepthwiseConv):
    """Depthwise convolution over images; see `DepthwiseConv`."""

    dimensions = 2


class SeparableConv(_Convolution):
    """A depthwise convolution, whose channels a 1×1 convolution then mixes (Chollet 2017); bias and activation come
    after both.

    depthwise_kernel (*kernel_size, C_in, depth_multiplier), pointwise_kernel (1, …, C_in·depth_multiplier, filters), y
    (N, *output, filters). strides, padding and dilation_rate are the depthwise convolution's. Everything else is as in
    `Conv`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer,
            bias_regularizer, bias_constraint, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        if self.padding == "causal" and self.dimensions != 1:
            raise ValueError(f'{self.name}: padding = "causal": only one dimension has it')
        self.filters = positive(filters, "filters", self.name)
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", self.name)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        self.input_channels = channels = known_channels(input_shape, self.name)
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            name="depthwise_kernel",
        )
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.dimensions, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
            name="pointwise_kernel",
        )
        self._add_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        depthwise = F.conv(
            inputs,
            F.reshape(self.depthwise_kernel, (*self.kernel_size, 1, self.input_channels * self.depth_multiplier)),
            strides=self.strides,
            padding=self._padding(),
            dilation_rate=self.dilation_rate,
            groups=self.input_channels,
        )
        return F.conv(depthwise, self.pointwise_kernel, self.bias, activation=self.activation)

    def _output_channels(self, input_shape: Any) -> int | None:
        return self.filters


class SeparableConv1D(SeparableConv):
    """Separable convolution over sequences; see `SeparableConv`."""

    dimensions = 1


class SeparableConv2D(SeparableConv):
    """Separable convolution over images; see `SeparableConv`."""

    dimensions = 2
