"""Recurrent layers: a cell over the steps of sequences (N, T, C). RNN(cell) for any cell; SimpleRNN, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import functions as F
from ..masks import checked_mask
from ..tensor import Tensor, as_tensor, from_array
from .base import Layer
from .cells import (
    GRUCell,
    LSTMCell,
    RecurrentCell,
    SimpleRNNCell,
    StackedRNNCells,
    build_cell,
    call_cell,
    initial_state_of,
    one_draw,
    output_size_of,
    require_cell,
)
from .core import require_channels
from .nesting import layer_of
from .symbolic import flatten, map_structure

__all__ = ["GRU", "LSTM", "RNN", "SimpleRNN"]


class RNN(Layer):
    """A cell over the steps of sequences: (N, T, …) → its last output (N, units), or all of them (N, T, units).

    cell: SimpleRNNCell, LSTMCell, GRUCell, a list of cells (see StackedRNNCells), or an object of your own with
    `state_size` (an integer, or a list of them), `call(inputs, states)` → (output, states) and, if it likes,
    `output_size` and `get_initial_state(batch_size)`.
    return_sequences: all outputs. return_state: a tuple (output, *states), the states being those after the last step.
    go_backwards: from the last step to the first; then outputs, and their mask (which Keras does not turn round), are
    in this order. stateful: a batch begins with the states that the one before ended with, until `reset_state()`; the
    batch's size must be known. The states are kept as weights that are not trained, so that a model's files and backups
    hold them (in Keras they are not among the weights). unroll: changes nothing, here or in the result; in Keras it
    trades memory for time. zero_output_for_mask: see below.

    In a call: initial_state: the states before the first step, a tensor or a list of them, zeros if not given; mask:
    (N, T), False where a step is to be skipped: the states stay, and the output is the one before it (zeros if there is
    none), or zeros with zero_output_for_mask.

    Cells of ours go over a whole sequence in one function, others step by step. Raises ValueError for inputs of another
    shape, and for sequences of no steps where the last output is asked for.
    """

    casts_integers = True
    supports_masking = True

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        elif isinstance(cell, Mapping):
            cell = layer_of(cell, type(self).__name__, "cell")
        super().__init__(**({"dtype": cell.dtype} if isinstance(cell, Layer) else {}) | kwargs)
        require_cell(cell, self.name)
        self.cell = cell
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful, self.unroll = bool(go_backwards), bool(stateful), bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self.states: list[Any] | None = None

    @property
    def state_size(self) -> list[Any]:
        """The sizes of the cell's states, in a list."""
        sizes = self.cell.state_size
        return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]

    def _shape_of(self, size: Any, sequences_shape: Any) -> tuple[Any, ...]:
        """The shape of a state or output of this size."""
        return (sequences_shape[0], size)

    def build(self, sequences_shape: Any) -> None:
        build_cell(self.cell, (sequences_shape[0], *sequences_shape[2:]))
        if not self.stateful:
            return
        batch = sequences_shape[0]
        if batch is None:
            raise ValueError(
                f"{self.name}: stateful = True needs to know the batch's size: give Input(batch_shape=(N, T, C))"
            )

        def zeros(size: Any) -> Any:
            if isinstance(size, (list, tuple)):
                return [zeros(one) for one in size]
            return self.add_weight(self._shape_of(size, sequences_shape), "zeros", trainable=False, name="state")

        self.states = [zeros(size) for size in self.state_size]

    def call(self, sequences: Tensor, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        if not sequences.shape[1] and not self.return_sequences:
            raise ValueError(f"{self.name}: sequences of no steps, {sequences.shape}, have no last output")
        states = self._states_before(sequences, initial_state)
        if mask is not None:
            mask = checked_mask(flatten(mask)[0] if isinstance(mask, list) else mask, sequences, 2, self.name)
            # Whatever stands in skipped steps, NaN too, has no part in the gradient of the weights.
            kept = mask.array.reshape(mask.shape + (1,) * (sequences.ndim - 2))
            sequences = F.where(kept, sequences, 0.0)
        if self.go_backwards:
            # Copied by a kernel: what follows takes steps as rows, which a view of them turned round does not allow.
            sequences = F.concatenate([F.flip(sequences, 1)], 1)
            mask = None if mask is None else F.flip(mask, 1)
        outputs, states = self._over(self.cell, sequences, states, mask, training)
        if self.stateful:
            for variable, state in zip(flatten(self.states), flatten(states), strict=True):
                variable.assign(state.array)
        output = F.astype(outputs if self.return_sequences else outputs[:, -1], self.dtype)
        if not self.return_state:
            return output
        return (output, *map_structure(lambda state: F.astype(state, self.dtype), states))

    def _states_before(self, sequences: Tensor, given: Any) -> list[Any] | None:
        """The states before the first step, in the structure of `state_size`; None for zeros."""
        if given is None:
            if self.states is None:
                return None
            if self.states and flatten(self.states)[0].shape[0] != sequences.shape[0]:
                raise ValueError(
                    f"{self.name}: stateful, and built for batches of {flatten(self.states)[0].shape[0]} sequences, "
                    f"got {sequences.shape[0]}"
                )
            return map_structure(lambda state: state.copy(), self.states)  # the states themselves are overwritten
        given = list(given) if isinstance(given, (list, tuple)) else [given]
        sizes, leaves = flatten(self.state_size), flatten(given)
        shapes = [tuple(np.shape(leaf)) for leaf in leaves]
        expected = [self._shape_of(size, sequences.shape) for size in sizes]
        if shapes != expected:
            raise ValueError(f"{self.name}: initial_state has shapes {shapes}: expected {expected}")
        left = iter(leaves)

        def put(size: Any) -> Any:
            if isinstance(size, (list, tuple)):
                return [put(one) for one in size]
            return as_tensor(next(left), sequences.dtype).to(sequences.device)

        return [put(size) for size in self.state_size]

    def _over(
        self, cell: Any, sequences: Tensor, states: list[Any] | None, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, list[Any]]:
        """(outputs of all steps, states after the last) of a cell."""
        if isinstance(cell, Layer) and sequences.dtype != cell.dtype:
            sequences = F.astype(sequences, cell.dtype)
            states = None if states is None else map_structure(lambda state: F.astype(state, cell.dtype), states)
        options = self.zero_output_for_mask, training, self.return_state or self.stateful
        with one_draw():
            if _goes_over_sequences(cell):
                return cell.over(sequences, states, mask, *options)
            if type(cell) is StackedRNNCells and all(_goes_over_sequences(one) for one in cell.cells):
                return self._over_stack(cell.cells, sequences, states, mask, *options)
            return self._step_by_step(cell, sequences, states, mask, training)

    def _over_stack(
        self, cells: Sequence[Any], sequences: Tensor, states: list[Any] | None, mask: Tensor | None, *options: bool
    ) -> tuple[Tensor, list[Any]]:
        """Cells in a row, each over the whole sequence: what is skipped by one is skipped by all."""
        after: list[Any] = []
        for index, cell in enumerate(cells):
            single = cell.states == 1
            before = None if states is None else [states[index]] if single else states[index]
            sequences, new = cell.over(sequences, before, mask, *options)
            after.append(new[0] if single and new else new)
        return sequences, after

    def _step_by_step(
        self, cell: Any, sequences: Tensor, states: list[Any] | None, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, list[Any]]:
        single = not isinstance(cell.state_size, (list, tuple))
        batch = sequences.shape[0]
        state: Any = initial_state_of(cell, batch) if states is None else states[0] if single else states
        state = map_structure(lambda leaf: as_tensor(leaf).to(sequences.device), state)
        outputs: list[Tensor] = []
        for step in range(sequences.shape[1]):
            output, new = call_cell(cell, sequences[:, step], state, training)
            if mask is not None:
                taken = mask.array[:, step]
                repeats = outputs and not self.zero_output_for_mask
                before = outputs[-1] if repeats else from_array(np.zeros_like(output.array))
                output, new = _chosen(taken, output, before), _chosen(taken, new, state)
            state = new
            outputs.append(output)
        if not outputs:
            shape = self._shape_of(output_size_of(cell), sequences.shape)
            nothing = from_array(np.zeros_like(sequences.array, shape=(batch, 0, *shape[1:])))
            return nothing, [state] if single else list(state)
        return F.stack(outputs, 1), [state] if single else list(state)

    def reset_state(self) -> None:
        """Set the states that a stateful layer keeps to 0."""
        for state in flatten(self.states or []):
            state.assign(np.zeros_like(state.array))

    reset_states = reset_state

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Zeros in the structure of `state_size`, or what the cell's own get_initial_state gives."""
        state = initial_state_of(self.cell, batch_size)
        return list(state) if isinstance(state, (list, tuple)) else [state]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The input's mask, turned round if go_backwards, for outputs at all steps; None for states."""
        mask = flatten(previous_mask)[0]
        if not self.return_sequences:
            mask = None
        elif mask is not None and self.go_backwards and mask.ndim > 1:  # else it is one of whole sequences
            mask = F.flip(mask, 1)
        return [mask, *map_structure(lambda _: None, self.state_size)] if self.return_state else mask

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The output's shape; with return_state a tuple of it and those of the states."""
        output = self._shape_of(output_size_of(self.cell), sequences_shape)
        if self.return_sequences:
            output = (output[0], sequences_shape[1], *output[1:])
        if not self.return_state:
            return output

        def of(size: Any) -> Any:
            if isinstance(size, (list, tuple)):
                return [of(one) for one in size]
            return self._shape_of(size, sequences_shape)

        return (output, *[of(size) for size in self.state_size])

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) < 3:
            raise ValueError(f"{self.name}: expected sequences (N, T, …, C), got an input of shape {tuple(shape)}")


def _goes_over_sequences(cell: Any) -> bool:
    """Whether a cell computes in steps what `over` computes at once: a subclass's `call` may be another."""
    return isinstance(cell, RecurrentCell) and type(cell).call is RecurrentCell.call and "call" not in vars(cell)


def _chosen(taken: Any, after: Any, before: Any) -> Any:
    """`after`, a tensor or a structure of them, for the sequences of which the step is taken, else `before`."""
    left = iter(flatten(before))

    def choose(tensor: Tensor) -> Tensor:
        return F.where(taken.reshape(taken.shape + (1,) * (tensor.ndim - 1)), tensor, next(left))

    return map_structure(choose, after)


# ------------------------------------------------------------------------------------------------- layers of our cells


def of_cell(argument: str) -> Any:
    return property(lambda self: getattr(self.cell, argument), doc=f"The cell's {argument}.")


class CellLayer(RNN):
    """A layer of a cell of ours: the cell's arguments are the layer's."""

    units, activation, use_bias = of_cell("units"), of_cell("activation"), of_cell("use_bias")
    recurrent_activation = of_cell("recurrent_activation")
    kernel_initializer, kernel_regularizer = of_cell("kernel_initializer"), of_cell("kernel_regularizer")
    kernel_constraint = of_cell("kernel_constraint")
    recurrent_initializer, recurrent_regularizer = of_cell("recurrent_initializer"), of_cell("recurrent_regularizer")
    recurrent_constraint = of_cell("recurrent_constraint")
    bias_initializer, bias_regularizer = of_cell("bias_initializer"), of_cell("bias_regularizer")
    bias_constraint = of_cell("bias_constraint")
    dropout, recurrent_dropout, seed = of_cell("dropout"), of_cell("recurrent_dropout"), of_cell("seed")
    unit_forget_bias, reset_after = of_cell("unit_forget_bias"), of_cell("reset_after")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        return config

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) != 3:
            raise ValueError(f"{self.name}: expected sequences (N, T, C), got an input of shape {tuple(shape)}")
        if self.cell.built:
            require_channels(shape, self.cell.kernel.shape[0], self.name)


def cell_arguments(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The cell's name, and what of a layer's arguments is its cell's as well."""
    return {"name": name, "dtype": kwargs.get("dtype"), "trainable": kwargs.get("trainable", True)}


def _without_cudnn(use_cudnn: Any, class_name: str) -> Any:
    if (isinstance(use_cudnn, str) and use_cudnn == "auto") or use_cudnn is False:
        return use_cudnn
    raise ValueError(f'{class_name}: use_cudnn = {use_cudnn!r} is not supported: expected "auto" or False')


class SimpleRNN(CellLayer):
    """The simple recurrent net over sequences: h_t = activation(x_t·kernel + bias + h_{t−1}·recurrent_kernel).

    (N, T, C) → (N, units), or (N, T, units) with return_sequences. For the weights and the formula see SimpleRNNCell,
    for dropout RecurrentCell, for the other arguments and masks RNN. Source: Elman 1990.
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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **cell_arguments("simple_rnn_cell", kwargs),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip


class LSTM(CellLayer):
    """Long short-term memory over sequences: (N, T, C) → (N, units), or (N, T, units) with return_sequences.

    With return_state: (output, h, c). For the weights and the formula see LSTMCell, for dropout RecurrentCell, for the
    other arguments and masks RNN. use_cudnn: "auto" or False, which are the same: the kernels are ours. ValueError for
    True. Source: Hochreiter & Schmidhuber 1997.
    """

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
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        use_cudnn = _without_cudnn(use_cudnn, "LSTM")
        cell = LSTMCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            **cell_arguments("lstm_cell", kwargs),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        self.use_cudnn = use_cudnn


class GRU(CellLayer):
    """The gated recurrent unit over sequences: (N, T, C) → (N, units), or (N, T, units) with return_sequences.

    For the weights and the formula see GRUCell, for dropout RecurrentCell, for the other arguments and masks RNN.
    use_cudnn: "auto" or False, which are the same: the kernels are ours. ValueError for True.
    Source: Cho et al. 2014, arXiv:1406.1078.
    """

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
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        use_cudnn = _without_cudnn(use_cudnn, "GRU")
        cell = GRUCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, reset_after, seed,
            **cell_arguments("gru_cell", kwargs),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        self.use_cudnn = use_cudnn
