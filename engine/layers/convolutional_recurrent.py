"""ConvLSTM1D, ConvLSTM2D, ConvLSTM3D: long short-term memory over sequences of images, whose products are convolutions.

The cell's step is composed of convolutions and gates; the layer goes over the steps as `RNN` does over any cell's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.geometry import conv_output_size, per_dimension, resolve_padding
from .. import functions as F
from ..tensor import Tensor, from_array
from .cells import LSTMCell
from .core import positive, require_channels
from .recurrent import CellLayer, cell_arguments, of_cell
from .spatial import Sizes, channels_last

__all__ = ["ConvLSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "ConvLSTMCell"]


class ConvLSTMCell(LSTMCell):
    """A step of `ConvLSTM`: inputs (N, *spatial, C) and states [h, c], each (N, *output, filters) → (h, [h, c]).

    Dropout takes single numbers, the same ones in all steps. For the arguments see `ConvLSTM` and `RecurrentCell`.
    """

    def __init__(
        self,
        dimensions: int,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes,
        padding: Any,
        data_format: str | None,
        dilation_rate: Sizes,
        *arguments: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(positive(filters, "filters", "ConvLSTM"), *arguments, **kwargs)
        self.dimensions = dimensions
        self.data_format = channels_last(data_format, self.name)
        self.kernel_size = per_dimension(kernel_size, dimensions, f"{self.name}: kernel_size")
        self.strides = per_dimension(strides, dimensions, f"{self.name}: strides")
        self.dilation_rate = per_dimension(dilation_rate, dimensions, f"{self.name}: dilation_rate")
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self._pairs(self.kernel_size)  # whether the padding is one at all does not depend on the input's size

    filters = property(lambda self: self.units, doc="The number of channels of a state.")

    def _pairs(self, sizes: tuple[int, ...]) -> Any:
        return resolve_padding(self.padding, sizes, self.kernel_size, self.strides, self.dilation_rate)

    def sizes_of(self, sizes: Sequence[int | None]) -> tuple[int | None, ...]:
        """The spatial sizes of a state, from those of an image. Raises ValueError for an image smaller than the kernel;
        open sizes give open ones."""
        if None in sizes:
            return (None,) * self.dimensions
        known: Any = tuple(sizes)
        return conv_output_size(known, self.kernel_size, self.strides, self._pairs(known), self.dilation_rate)

    def call(  # type: ignore[override]
        self, inputs: Tensor, states: Any, training: bool = False
    ) -> tuple[Tensor, Any]:
        h, c = states
        if training and self.dropout:
            inputs = inputs * self._dropped("inputs", self.dropout, inputs.shape, inputs)
        window = self.strides, self.padding, self.dilation_rate
        total = F.conv(inputs, self.kernel, self.bias, *window) + self._of_state(h, training)
        i, f, candidate, o = F.split(total, self.gates, -1)
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(candidate)
        h = gate(o) * self.activation(c)
        return h, [h, c]

    def _of_state(self, h: Tensor, training: bool) -> Tensor:
        """The convolution of the state, of its own size; with dropout, each gate sees another share of it."""
        if not (training and self.recurrent_dropout):
            return F.conv(h, self.recurrent_kernel, padding="same")
        factors = self._dropped("states", self.recurrent_dropout, (self.gates, *h.shape), h)
        kernels = F.split(self.recurrent_kernel, self.gates, -1)
        return F.concatenate([F.conv(h * factors[g], kernel, padding="same") for g, kernel in enumerate(kernels)], -1)


class ConvLSTM(CellLayer):
    """Long short-term memory over sequences of images: with s = x_t ∗ kernel + bias + h_{t−1} ∗ recurrent_kernel in
    four parts, for i, f, c and o,

        c_t = σ(s_f)·c_{t−1} + σ(s_i)·activation(s_c),   h_t = σ(s_o)·activation(c_t)

    (N, T, *spatial, C) → (N, *output, filters), or (N, T, *output, filters) with return_sequences; σ is
    recurrent_activation. kernel (*kernel_size, C, 4·filters), recurrent_kernel (*kernel_size, filters, 4·filters), bias
    (4·filters,). strides, padding and dilation_rate are those of the convolution ∗ of the input, as in `Conv`, without
    "causal"; that of the state keeps its size. dropout and recurrent_dropout take single numbers of images and states,
    the same ones in all steps: those of an image for all gates, those of a state for each gate anew. (Keras draws those
    of an image for each gate, too.)

    For the other arguments and masks see LSTM and RNN; with return_state: (output, h, c).
    Raises ValueError for inputs of another shape, and for images smaller than the kernel.
    Source: Shi et al. 2015, arXiv:1506.04214, without its connections from c to the gates, as in Keras.
    """

    dimensions: int

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = ConvLSTMCell(
            self.dimensions, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            **cell_arguments("conv_lstm_cell", kwargs),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful,
            activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip

    filters, kernel_size, strides = of_cell("filters"), of_cell("kernel_size"), of_cell("strides")
    padding, data_format, dilation_rate = of_cell("padding"), of_cell("data_format"), of_cell("dilation_rate")

    def _shape_of(self, size: Any, sequences_shape: Any) -> tuple[Any, ...]:
        return (sequences_shape[0], *self.cell.sizes_of(sequences_shape[2:-1]), size)

    def _states_before(self, sequences: Tensor, given: Any) -> list[Any]:
        states = super()._states_before(sequences, given)
        if states is not None:
            return states
        shape = self._shape_of(self.cell.units, sequences.shape)
        return [from_array(np.zeros_like(sequences.array, shape=shape)) for _ in range(self.cell.states)]

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Zeros (batch_size, *output, filters) for h and c, once the images' size is known."""
        built_for = self._notes.built_shape
        if built_for is None or None in built_for[2:-1]:
            raise ValueError(f"{self.name}: the size of a state is that of images: build the layer for one first")
        shape = self._shape_of(self.cell.units, (batch_size, *built_for[1:]))
        return [from_array(np.zeros(shape, self.dtype)) for _ in range(self.cell.states)]

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) != self.dimensions + 3:
            raise ValueError(
                f"{self.name}: expected an input of {self.dimensions + 3} dimensions (N, T, *spatial, C), got shape "
                f"{tuple(shape)}"
            )
        if self.cell.built:
            require_channels(shape, self.cell.kernel.shape[-2], self.name)
        try:
            self.cell.sizes_of(shape[2:-1])
        except ValueError as error:
            raise ValueError(f"{self.name}: an input of shape {tuple(shape)}: {error}") from None


class ConvLSTM1D(ConvLSTM):
    """ConvLSTM over sequences of lines (N, T, W, C); see `ConvLSTM`."""

    dimensions = 1


class ConvLSTM2D(ConvLSTM):
    """ConvLSTM over sequences of images (N, T, H, W, C); see `ConvLSTM`."""

    dimensions = 2


class ConvLSTM3D(ConvLSTM):
    """ConvLSTM over sequences of volumes (N, T, D, H, W, C); see `ConvLSTM`."""

    dimensions = 3
