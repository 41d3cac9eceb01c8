"""Recurrent cells: what a recurrent layer computes in a step, SimpleRNNCell, LSTMCell, GRUCell, and cells in a row.

A cell is called with one step (N, C) and the states before it, and gives its output and the states after it; `RNN`
makes a layer of it that goes over whole sequences. The formulas stand in `functions.recurrence`; a cell computes all
steps of a sequence there at once where nothing else is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..random import Generator
from ..tape import no_grad
from ..tensor import Tensor, from_array
from . import activations
from .base import Layer
from .core import known_channels, positive, require_channels
from .nesting import layer_of

__all__ = ["GRUCell", "LSTMCell", "RecurrentCell", "SimpleRNNCell", "StackedRNNCells", "one_draw"]

# What dropout has drawn for each cell in the sequence that is being computed: all its steps share it.
_drawn: ContextVar[dict[tuple[int, str], Tensor] | None] = ContextVar("drawn", default=None)


@contextmanager
def one_draw() -> Iterator[None]:
    """Within it each cell draws once what dropout leaves, for all steps."""
    token = _drawn.set({})
    try:
        yield
    finally:
        _drawn.reset(token)


class RecurrentCell(Layer):
    """What the three cells share.

    units: the size of a state. dropout: the share of an input's channels that is set to 0 in training, the others are
    divided by 1 − dropout; the same ones in all steps of a sequence (Gal & Ghahramani 2016), and for all gates.
    recurrent_dropout: as much of the state where it is multiplied by the weights, drawn anew for each gate. seed: of
    a generator of the cell's own for both; None draws from the engine's. (Keras draws the input's share for each gate
    too as soon as there is a recurrent_dropout, and takes a rate of 1 for 0.)

    Called with inputs (N, C) and states, a list of (N, units) or, for cells with one, that itself → (output, states).
    Raises ValueError for rates outside 0 … 1.
    """

    casts_integers = True
    gates = 1
    states = 1  # how many there are
    bias_rows = 0  # (gates · units,), or (rows, gates · units)
    kernel_size: tuple[int, ...] = ()  # of the window, where products are convolutions

    def __init__(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive(units, "units", self.name)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = _rate(dropout, "dropout", self.name)
        self.recurrent_dropout = _rate(recurrent_dropout, "recurrent_dropout", self.name)
        self.seed = seed
        self.generator = None if seed is None else Generator(seed)

    @property
    def state_size(self) -> int | list[int]:
        """The size of a state, or a list of them where there are several."""
        return self.units if self.states == 1 else [self.units] * self.states

    @property
    def output_size(self) -> int:
        return self.units

    def build(self, input_shape: Any) -> None:
        channels, columns = known_channels(input_shape, self.name), self.gates * self.units
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, columns),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.recurrent_kernel = self.add_weight(
            (*self.kernel_size, self.units, columns),
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
            name="recurrent_kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.bias_rows, columns) if self.bias_rows else (columns,),
                self._bias_values,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _bias_values(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return self.bias_initializer(shape, dtype=dtype)

    def call(  # type: ignore[override]
        self, inputs: Tensor, states: Any, training: bool = False
    ) -> tuple[Tensor, Any]:
        several = isinstance(states, (list, tuple))
        outputs, after = self.over(
            F.expand_dims(inputs, 1), list(states) if several else [states], training=training, return_state=True
        )
        return outputs[:, 0], after if several else after[0]

    def over(
        self,
        sequences: Tensor,
        states: Sequence[Any] | None,
        mask: Tensor | None = None,
        zero_output_for_mask: bool = False,
        training: bool = False,
        return_state: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """(outputs, states after the last) of all steps of sequences (N, T, C), one after the other.

        states: those before the first step, None for zeros. mask: (N, T), see `RNN`. return_state: whether the states
        after the last step are wanted; else the list of them is empty.
        """
        if states is not None and len(states) != self.states:
            raise ValueError(f"{self.name}: expected {self.states} states, got {len(states)}")
        of_state = None
        if training and self.dropout:
            ones = (sequences.shape[0], 1, sequences.shape[2])
            sequences = sequences * self._dropped("inputs", self.dropout, ones, sequences)
        if training and self.recurrent_dropout:
            ones = (self.gates, sequences.shape[0], self.units)
            of_state = self._dropped("states", self.recurrent_dropout, ones, sequences)
        found = self._compute(
            sequences,
            states,
            mask=mask,
            recurrent_dropout=of_state,
            zero_output_for_mask=zero_output_for_mask,
            return_state=return_state,
        )
        return (found[0], list(found[1:])) if return_state else (found, [])

    def _compute(self, sequences: Tensor, states: Sequence[Any] | None, **options: Any) -> Any:
        """The outputs, or (outputs, *states), by the function of the cell."""
        raise NotImplementedError

    def _dropped(self, kind: str, rate: float, shape: tuple[int, ...], beside: Tensor) -> Tensor:
        """Factors of this shape: 0 with probability `rate`, the others 1/(1 − rate)."""
        shared = _drawn.get()
        if shared is not None and (id(self), kind) in shared:
            return shared[id(self), kind]
        ones = from_array(np.ones_like(beside.array, shape=shape))
        factors = ones * 0.0 if rate == 1.0 else F.dropout(ones, rate, generator=self.generator)
        if shared is not None:
            shared[id(self), kind] = factors
        return factors

    def get_initial_state(self, batch_size: int) -> list[Tensor]:
        """Zeros, in a list."""
        like = self.kernel.array if self.built else np.empty(0, self.dtype)
        return [from_array(np.zeros_like(like, shape=(batch_size, self.units))) for _ in range(self.states)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """((N, units), [(N, units), …]): of the output and of the states."""
        shape = (input_shape[0], self.units)
        return shape, [shape] * self.states

    def _check_input_shape(self, shape: Any) -> None:
        if self.built:
            require_channels(shape, self.kernel.shape[-2], self.name)


class SimpleRNNCell(RecurrentCell):
    """A step of the simple recurrent net: h ← activation(x·kernel + bias + h·recurrent_kernel), the output too.

    kernel (C, units), recurrent_kernel (units, units), bias (units,). For the arguments see `RecurrentCell`.
    Source: Elman 1990, "Finding structure in time".
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **kwargs,
        )  # fmt: skip

    def _compute(self, sequences: Tensor, states: Sequence[Any] | None, **options: Any) -> Any:
        return F.simple_rnn(
            sequences,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            None if states is None else states[0],
            activation=self.activation,
            **options,
        )


class LSTMCell(RecurrentCell):
    """A step of long short-term memory. With s = x·kernel + bias + h·recurrent_kernel in four parts, for i, f, c and o,

    c ← σ(s_f)·c + σ(s_i)·activation(s_c),   h ← σ(s_o)·activation(c), the output too; σ is recurrent_activation.

    kernel (C, 4·units), recurrent_kernel (units, 4·units), bias (4·units,); states [h, c]. unit_forget_bias: the bias
    of f starts as 1, the rest as bias_initializer says (Jozefowicz et al. 2015). For the other arguments see
    `RecurrentCell`. Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000.
    """

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **kwargs,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    def _bias_values(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        if not self.unit_forget_bias:
            return self.bias_initializer(shape, dtype=dtype)
        before, after = (self.bias_initializer((n * self.units,), dtype=dtype) for n in (1, 2))
        return np.concatenate([before, np.ones(self.units, dtype), after])

    def _compute(self, sequences: Tensor, states: Sequence[Any] | None, **options: Any) -> Any:
        return F.lstm(
            sequences,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            states,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            **options,
        )


class GRUCell(RecurrentCell):
    """A step of the gated recurrent unit: h ← z·h + (1 − z)·ĥ, the output too, with

    z, r = σ(x·kernel + bias + h·recurrent_kernel) in their parts of the weights, σ being recurrent_activation, and
    ĥ = activation(x·kernel + bias + r·(h·recurrent_kernel + recurrent bias)) or, with reset_after = False,
    ĥ = activation(x·kernel + bias + (r·h)·recurrent_kernel).

    kernel (C, 3·units), recurrent_kernel (units, 3·units), for z, r and ĥ; bias (2, 3·units), its second row being the
    recurrent bias, or (3·units,) with reset_after = False. For the other arguments see `RecurrentCell`.
    Source: Cho et al. 2014, arXiv:1406.1078.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **kwargs,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)
        self.bias_rows = 2 if self.reset_after else 0

    def _compute(self, sequences: Tensor, states: Sequence[Any] | None, **options: Any) -> Any:
        return F.gru(
            sequences,
            self.kernel,
            self.recurrent_kernel,
            self.bias,
            None if states is None else states[0],
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            reset_after=self.reset_after,
            **options,
        )


class StackedRNNCells(Layer):
    """Cells in a row as one cell: each takes the output of the one before as its input.

    cells: a list of cells. The states are a list with an entry for each cell: what its `state_size` says, a tensor or
    a list of them. Raises ValueError for something that is no cell, or no cells at all.
    """

    casts_integers = True

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        cells = [layer_of(cell, "StackedRNNCells", "cells") if isinstance(cell, Mapping) else cell for cell in cells]
        super().__init__(**({"dtype": cells[0].dtype} if cells and isinstance(cells[0], Layer) else {}) | kwargs)
        if not cells:
            raise ValueError(f"{self.name}: expected at least one cell")
        for cell in cells:
            require_cell(cell, self.name)
        self.cells = cells

    @property
    def state_size(self) -> list[Any]:
        """What each cell says of its states' sizes."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        return output_size_of(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            build_cell(cell, input_shape)
            input_shape = (input_shape[0], output_size_of(cell))

    def call(  # type: ignore[override]
        self, inputs: Tensor, states: Any, training: bool = False
    ) -> tuple[Tensor, list[Any]]:
        after = []
        for cell, before in zip(self.cells, states, strict=True):
            inputs, new = call_cell(cell, inputs, before, training)
            after.append(new)
        return inputs, after

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Zeros for each cell, as its `state_size` says."""
        return [initial_state_of(cell, batch_size) for cell in self.cells]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """((N, output_size), [shapes of each cell's states, …])."""

        def of(size: Any) -> Any:
            return [of(one) for one in size] if isinstance(size, (list, tuple)) else (input_shape[0], size)

        return (input_shape[0], self.output_size), of(self.state_size)


# ------------------------------------------------------------------------------------------- cells of whatever class


def require_cell(cell: Any, owner: str) -> None:
    """Raise ValueError unless `cell` has what a cell needs."""
    for attribute in ("call", "state_size"):
        if not hasattr(cell, attribute):
            raise ValueError(f"{owner}: {cell!r} is no cell: it has no {attribute!r}")
    sizes = cell.state_size
    if not isinstance(sizes, (int, np.integer, list, tuple)) or isinstance(sizes, bool):
        raise ValueError(f"{owner}: the cell's state_size = {sizes!r}: expected an integer, or a list of them")


def build_cell(cell: Any, input_shape: Any) -> None:
    """Make the weights of a cell for steps of this shape, if it is a layer and has none yet; those of layers within a
    cell that wait for their first input, by a trial step."""
    if not isinstance(cell, Layer):
        return
    cell._prepare_for(input_shape)
    waiting = any(not layer.built for layer in cell.all_layers())
    if waiting and None not in input_shape[1:]:
        with no_grad():
            zeros = from_array(np.zeros((1, *input_shape[1:]), cell.dtype))
            call_cell(cell, zeros, initial_state_of(cell, 1), False)


def call_cell(cell: Any, inputs: Tensor, states: Any, training: bool) -> tuple[Tensor, Any]:
    """(output, states) of one step, the states in the structure in which they came."""
    if isinstance(cell, Layer):
        output, after = cell(inputs, states, training=training)
    else:
        output, after = cell.call(inputs, states)
    several = isinstance(states, (list, tuple))
    if several and not isinstance(after, (list, tuple)):
        after = [after]
    if not several and isinstance(after, (list, tuple)):
        (after,) = after
    return output, after


def output_size_of(cell: Any) -> int:
    """The size of a cell's output: what it says, else that of its first state."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise ValueError(f"the output_size of {cell!r} is {size!r}: expected an integer")
    return int(size)


def initial_state_of(cell: Any, batch_size: int) -> Any:
    """Zeros in the structure of the cell's `state_size`, or what its own get_initial_state gives."""
    single = not isinstance(cell.state_size, (list, tuple))
    if hasattr(cell, "get_initial_state"):
        state = cell.get_initial_state(batch_size=batch_size)
        return state[0] if single and isinstance(state, (list, tuple)) else state
    dtype = getattr(cell, "dtype", np.float32)
    zeros = [from_array(np.zeros((batch_size, n), dtype)) for n in ([cell.state_size] if single else cell.state_size)]
    return zeros[0] if single else zeros


def _rate(rate: Any, argument: str, name: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate <= 1.0:
        raise ValueError(f"{name}: {argument} = {rate!r}: expected a number from 0 to 1")
    return float(rate)
