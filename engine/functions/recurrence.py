"""Recurrent cells over whole sequences: the simple cell, LSTM and GRU.

A sequence goes through one kernel, with all its steps and gates, rather than through a function for each gate of each
step: x (N, T, C), batch first, is multiplied by its weights for all steps at once before; the kernel computes what has
to go step by step; and the gradient of the recurrent weights is one matrix product over all steps.

Kernels have the activations of `kernels.RECURRENT_ACTIVATIONS`. With others, with dropout of the state, and where a
gradient is to be differentiated again, the same formulas are computed step by step in differentiable functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import kernels
from ..arrays import zeros_like
from ..device import computing_beside
from ..tape import Fused
from ..tensor import Array, Tensor, as_tensor, beside, from_array
from .activations import BY_NAME, activation_function
from .arguments import constant_array, floating, require_shape
from .arithmetic import where
from .linear_algebra import dense, matmul
from .shaping import concatenate, expand_dims, split, stack

Activation = str | Callable[[Tensor], Tensor] | None
States = tuple[Tensor, ...]


# ------------------------------------------------------------------------------------------------------------ arrays


def _rows(x: Array) -> Array:
    """(N, T, C) as (N · T, C)."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _projected(x: Array, weight: Array, bias: Array | None) -> Array:
    """x·W + b for all steps, an array of its own, C-contiguous."""
    z = kernels.of(x, weight).matmul(_rows(x), weight, bias=bias)
    return z.reshape(*x.shape[:2], weight.shape[1])


def _before(h: Array, h0: Array | None) -> Array:
    """The states that the steps begin with, where h (N, T, H) are those that they end with."""
    if not h.shape[1]:
        return h
    first = zeros_like(h, (h.shape[0], 1, h.shape[2])) if h0 is None else h0[:, None]
    return kernels.of(h).concatenate([first, h[:, :-1]], 1)


def _outer(x: Array, dz: Array) -> Array:
    """Σ over sequences and steps of xᵀ·dz: the gradient of weights."""
    return kernels.of(x).matmul(_rows(x), _rows(dz), transpose_a=True)


def _of_projection(function: Fused, dz: Array, x: Array, weight: Array) -> tuple[Array | None, ...]:
    """The gradients in x, weight and bias from that in z = x·W + b, as far as the cell needs them: its first inputs are
    x, weight, recurrent_weight, bias and h0."""
    library, needs = kernels.of(x), function.needs
    return (
        library.matmul(_rows(dz), weight, transpose_b=True).reshape(x.shape) if needs[0] else None,
        _outer(x, dz) if needs[1] else None,
        library.channel_sum(dz) if needs[3] else None,
    )


def _of_recurrent_weight(function: Fused, dz: Array, h: Array, h0: Array | None) -> Array | None:
    """The gradient in recurrent_weight, from that in the sums that the products with h_{t−1} are part of."""
    return _outer(_before(h, h0), dz) if function.needs[2] else None


class SimpleRNN(Fused):
    """h_t = f(x_t·W + b + h_{t−1}·U)"""

    def forward(
        self,
        x: Array,
        weight: Array,
        recurrent_weight: Array,
        bias: Array | None,
        h0: Array | None,
        mask: Array | None,
        activation: str,
    ) -> Array:
        z = _projected(x, weight, bias)
        h = kernels.of(x).simple_rnn(z, recurrent_weight, h0, mask, activation)
        self.save(x, weight, recurrent_weight, bias, h0, h)
        return h

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array | None, ...]:
        x, weight, recurrent_weight, _, h0, h = saved
        mask, activation = self.parameters["mask"], self.parameters["activation"]
        dz, dh0 = kernels.of(x).simple_rnn_gradient(cotangent, h, recurrent_weight, mask, activation)
        dx, dweight, dbias = _of_projection(self, dz, x, weight)
        return dx, dweight, _of_recurrent_weight(self, dz, h, h0), dbias, dh0

    def composition(self, *inputs: Any, mask: Array | None, activation: str) -> Tensor:
        return _simple_rnn_steps(inputs, mask, None, BY_NAME[activation])[0]


class LSTM(Fused):
    """The result has the states h; `with_cell`: and one more step, which holds the last c."""

    def forward(
        self,
        x: Array,
        weight: Array,
        recurrent_weight: Array,
        bias: Array | None,
        h0: Array | None,
        c0: Array | None,
        mask: Array | None,
        activations: tuple[str, str],
        with_cell: bool,
    ) -> Array:
        z = _projected(x, weight, bias)
        h, c = kernels.of(x).lstm(z, recurrent_weight, h0, c0, mask, *activations)
        self.save(x, weight, recurrent_weight, bias, h0, c0, z, h, c)
        return kernels.of(x).concatenate([h, c[:, -1:]], 1) if with_cell else h

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array | None, ...]:
        x, weight, recurrent_weight, _, h0, c0, gates, h, c = saved
        mask, activations = self.parameters["mask"], self.parameters["activations"]
        dh, dc = (cotangent[:, :-1], cotangent[:, -1]) if self.parameters["with_cell"] else (cotangent, None)
        dz, dh0, dc0 = kernels.of(x).lstm_gradient(dh, dc, gates, c, recurrent_weight, c0, mask, *activations)
        dx, dweight, dbias = _of_projection(self, dz, x, weight)
        return dx, dweight, _of_recurrent_weight(self, dz, h, h0), dbias, dh0, dc0

    def composition(self, *inputs: Any, mask: Array | None, activations: tuple[str, str], with_cell: bool) -> Tensor:
        f, g = [BY_NAME[name] for name in activations]
        h, _, c = _lstm_steps(inputs, mask, None, f, g)
        return concatenate([h, expand_dims(c, 1)], 1) if with_cell else h


class GRU(Fused):
    """bias: (3H,), or (2, 3H) if reset_after: then its second row is added to h_{t−1}·U."""

    def forward(
        self,
        x: Array,
        weight: Array,
        recurrent_weight: Array,
        bias: Array | None,
        h0: Array | None,
        mask: Array | None,
        activations: tuple[str, str],
        reset_after: bool,
    ) -> Array:
        own, recurrent = (None, None) if bias is None else bias if reset_after else (bias, None)
        z = _projected(x, weight, own)
        h, inner = kernels.of(x).gru(z, recurrent_weight, recurrent, h0, mask, *activations, reset_after)
        self.save(x, weight, recurrent_weight, bias, h0, z, h, inner)
        return h

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array | None, ...]:
        x, weight, recurrent_weight, _, h0, gates, h, inner = saved
        mask, activations, library = self.parameters["mask"], self.parameters["activations"], kernels.of(x)
        dz, dm, dh0 = library.gru_gradient(cotangent, h, gates, inner, recurrent_weight, h0, mask, *activations)
        dx, dweight, dbias = _of_projection(self, dz, x, weight)
        if dm is None:
            return dx, dweight, self._of_weight_after_reset(dz, gates, h, h0), dbias, dh0
        if dbias is not None:
            dbias = library.concatenate([dbias[None], library.channel_sum(dm)[None]], 0)
        return dx, dweight, _of_recurrent_weight(self, dm, h, h0), dbias, dh0

    def _of_weight_after_reset(self, dz: Array, gates: Array, h: Array, h0: Array | None) -> Array | None:
        """The gradient in recurrent_weight where the state is reset before the product: the gates' weights meet
        h_{t−1}, the candidate's r·h_{t−1}."""
        if not self.needs[2]:
            return None
        units, before = h.shape[2], _before(h, h0)
        reset = gates[:, :, units : 2 * units] * before
        if (mask := self.parameters["mask"]) is not None:
            reset[~mask] = 0  # what the gates are in steps that are left out is not said
        of_gates, of_candidate = _outer(before, dz[:, :, : 2 * units]), _outer(reset, dz[:, :, 2 * units :])
        return kernels.of(h).concatenate([of_gates, of_candidate], 1)

    def composition(self, *inputs: Any, mask: Array | None, activations: tuple[str, str], reset_after: bool) -> Tensor:
        f, g = [BY_NAME[name] for name in activations]
        return _gru_steps(inputs, mask, None, f, g, reset_after)[0]


# ------------------------------------------------------------------------------------------------------ step by step


def _steps(
    z: Tensor, step: Callable[..., States], states: States, mask: Array | None, recurrent_weight: Tensor
) -> States:
    """(h after each step, then the last states): `step` makes of z_t and the states before it those after it."""
    outputs = []
    for t in range(z.shape[1]):
        new = step(z[:, t], *states)
        if mask is not None:
            taken = mask[:, t, None]
            new = tuple([where(taken, after, before) for after, before in zip(new, states, strict=True)])
        states = new
        outputs.append(states[0])
    if outputs:
        return stack(outputs, 1), *states
    # No outputs, but of the right shape, and made of all that they may depend on.
    units = recurrent_weight.shape[0]
    nothing = z[:, :, :units] + matmul(z[:, :, :units], recurrent_weight[:, :units])
    for state in states:
        nothing = nothing + expand_dims(state, 1)
    return nothing, *states


def _product(state: Tensor, weight: Tensor, dropout: Array | None) -> Tensor:
    """h·U; with dropout (gates, N, H), each gate has a factor of its own for h."""
    if dropout is None:
        return matmul(state, weight)
    of_gates = split(weight, len(dropout), 1)
    return concatenate([matmul(state * factor, u) for factor, u in zip(dropout, of_gates, strict=True)], 1)


def _initial(state: Tensor | None, x: Tensor, units: int) -> Tensor:
    return from_array(zeros_like(x.array, (x.shape[0], units))) if state is None else state


def _simple_rnn_steps(inputs: Sequence[Any], mask: Array | None, dropout: Array | None, f: Callable) -> States:
    x, weight, recurrent_weight, bias, h0 = inputs

    def step(z: Tensor, h: Tensor) -> States:
        return (f(z + _product(h, recurrent_weight, dropout)),)

    states = (_initial(h0, x, recurrent_weight.shape[0]),)
    return _steps(dense(x, weight, bias), step, states, mask, recurrent_weight)


def _lstm_steps(inputs: Sequence[Any], mask: Array | None, dropout: Array | None, f: Callable, g: Callable) -> States:
    x, weight, recurrent_weight, bias, h0, c0 = inputs

    def step(z: Tensor, h: Tensor, c: Tensor) -> States:
        i, forget, candidate, o = split(z + _product(h, recurrent_weight, dropout), 4, 1)
        c = g(forget) * c + g(i) * f(candidate)
        return g(o) * f(c), c

    units = recurrent_weight.shape[0]
    states = _initial(h0, x, units), _initial(c0, x, units)
    return _steps(dense(x, weight, bias), step, states, mask, recurrent_weight)


def _gru_steps(
    inputs: Sequence[Any], mask: Array | None, dropout: Array | None, f: Callable, g: Callable, reset_after: bool
) -> States:
    x, weight, recurrent_weight, bias, h0 = inputs
    units = recurrent_weight.shape[0]
    own, recurrent = (None, None) if bias is None else (bias[0], bias[1]) if reset_after else (bias, None)

    def step(z: Tensor, h: Tensor) -> States:
        z_gates, z_candidate = split(z, [2 * units], 1)
        if reset_after:
            m = _product(h, recurrent_weight, dropout)
            m_gates, m_candidate = split(m if recurrent is None else m + recurrent, [2 * units], 1)
            update, reset = split(g(z_gates + m_gates), 2, 1)
            candidate = f(z_candidate + reset * m_candidate)
        else:
            of_gates, of_candidate = split(recurrent_weight, [2 * units], 1)
            of_state = None if dropout is None else dropout[:2]
            update, reset = split(g(z_gates + _product(h, of_gates, of_state)), 2, 1)
            kept = h if dropout is None else h * dropout[2]
            candidate = f(z_candidate + matmul(reset * kept, of_candidate))
        return (update * h + (1 - update) * candidate,)

    states = (_initial(h0, x, units),)
    return _steps(dense(x, weight, own), step, states, mask, recurrent_weight)


# ------------------------------------------------------------------------------------------------------ the functions


def simple_rnn(
    x: Any,
    weight: Any,
    recurrent_weight: Any,
    bias: Any = None,
    initial_state: Any = None,
    mask: Any = None,
    activation: Activation = "tanh",
    recurrent_dropout: Any = None,
    zero_output_for_mask: bool = False,
    return_state: bool = False,
) -> Any:
    """The simple recurrent cell over sequences: h_t = f(x_t·W + b + h_{t−1}·U).

    x (N, T, C), weight (C, H), recurrent_weight (H, H), bias (H,) or None → y (N, T, H), the outputs of all steps;
    with return_state (y, h), h (N, H) being the state after the last step.

    initial_state: h_0 (N, H); None: zeros.
    mask: (N, T) of booleans. Where it is False the step is left out: the state stays, and the output is the one before
        it (zeros where there was none), or zeros with zero_output_for_mask.
    activation: a name or a function; one that the kernels do not have takes longer.
    recurrent_dropout: (1, N, H), factors of h_{t−1} before its product; takes longer too.

    Second derivatives are those of the same formula, step by step. The slope of hard_sigmoid is 0 at its upper corner.
    Raises ValueError for shapes that do not fit, TypeError for differing or non-floating types.
    Source: Elman 1990, "Finding structure in time".
    """
    inputs, states, mask, dropout = _arguments(
        "simple_rnn", 1, x, weight, recurrent_weight, bias, initial_state, mask, recurrent_dropout
    )
    last: Sequence[Tensor] = ()
    fused = _fused(dropout, activation)
    if fused:
        h = SimpleRNN()(*inputs, *states, mask=mask, activation=fused[0])
        last = (_last(h, states[0]),) if return_state else ()
    else:
        h, *last = _simple_rnn_steps([*inputs, *states], mask, dropout, activation_function(activation))
    y = _outputs(h, states[0], mask, zero_output_for_mask)
    return (y, *last) if return_state else y


def lstm(
    x: Any,
    weight: Any,
    recurrent_weight: Any,
    bias: Any = None,
    initial_state: Any = None,
    mask: Any = None,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    recurrent_dropout: Any = None,
    zero_output_for_mask: bool = False,
    return_state: bool = False,
) -> Any:
    """Long short-term memory over sequences: with s = x_t·W + b + h_{t−1}·U in four parts, for i, f, c and o,
    c_t = g(s_f)·c_{t−1} + g(s_i)·f(s_c) and h_t = g(s_o)·f(c_t).

    x (N, T, C), weight (C, 4H), recurrent_weight (H, 4H), bias (4H,) or None → y (N, T, H), the outputs of all steps;
    with return_state (y, h, c), each (N, H), the states after the last step.

    initial_state: (h_0, c_0), each (N, H); None: zeros.
    mask: (N, T) of booleans. Where it is False the step is left out: the states stay, and the output is the one before
        it (zeros where there was none), or zeros with zero_output_for_mask.
    activation, recurrent_activation: f and g, names or functions; one that the kernels do not have takes longer.
    recurrent_dropout: (4, N, H), each gate's factors of h_{t−1} before its product; takes longer too.

    Second derivatives are those of the same formula, step by step. The slope of hard_sigmoid is 0 at its upper corner.
    Raises ValueError for shapes that do not fit, TypeError for differing or non-floating types.
    Source: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000; gates in Keras's order.
    """
    inputs, states, mask, dropout = _arguments(
        "lstm", 4, x, weight, recurrent_weight, bias, initial_state, mask, recurrent_dropout, 2
    )
    last: Sequence[Tensor] = ()
    fused = _fused(dropout, activation, recurrent_activation)
    if fused:
        with_cell = return_state and inputs[0].shape[1] > 0
        h = LSTM()(*inputs, *states, mask=mask, activations=fused, with_cell=with_cell)
        if with_cell:
            h, c = h[:, :-1], h[:, -1]
            last = h[:, -1], c
        elif return_state:
            last = [_initial(state, inputs[0], h.shape[2]) for state in states]
    else:
        f, g = activation_function(activation), activation_function(recurrent_activation)
        h, *last = _lstm_steps([*inputs, *states], mask, dropout, f, g)
    y = _outputs(h, states[0], mask, zero_output_for_mask)
    return (y, *last) if return_state else y


def gru(
    x: Any,
    weight: Any,
    recurrent_weight: Any,
    bias: Any = None,
    initial_state: Any = None,
    mask: Any = None,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
    reset_after: bool = True,
    recurrent_dropout: Any = None,
    zero_output_for_mask: bool = False,
    return_state: bool = False,
) -> Any:
    """The gated recurrent unit over sequences: h_t = z·h_{t−1} + (1 − z)·ĥ, with z and r = g(x_t·W + b + h_{t−1}·U) in
    their parts of W, b and U, and ĥ = f(x_t·W + b + r·(h_{t−1}·U + b′)), or f(x_t·W + b + (r·h_{t−1})·U) unless
    reset_after.

    x (N, T, C), weight (C, 3H), recurrent_weight (H, 3H), each for z, r and h; bias None, or (3H,), but
    (2, 3H) if reset_after: b and b′, which is added to h_{t−1}·U for all gates → y (N, T, H), the outputs of all steps;
    with return_state (y, h), h (N, H) being the state after the last step.

    initial_state: h_0 (N, H); None: zeros.
    mask: (N, T) of booleans. Where it is False the step is left out: the state stays, and the output is the one before
        it (zeros where there was none), or zeros with zero_output_for_mask.
    activation, recurrent_activation: f and g, names or functions; one that the kernels do not have takes longer.
    recurrent_dropout: (3, N, H), each gate's factors of h_{t−1} before its product; takes longer too.

    Second derivatives are those of the same formula, step by step. The slope of hard_sigmoid is 0 at its upper corner.
    Raises ValueError for shapes that do not fit, TypeError for differing or non-floating types.
    Source: Cho et al. 2014, arXiv:1406.1078; gates in Keras's order.
    """
    inputs, states, mask, dropout = _arguments(
        "gru",
        3,
        *(x, weight, recurrent_weight, bias, initial_state, mask, recurrent_dropout),
        biases=2 if reset_after else 1,
    )
    last: Sequence[Tensor] = ()
    fused = _fused(dropout, activation, recurrent_activation)
    if fused:
        h = GRU()(*inputs, *states, mask=mask, activations=fused, reset_after=bool(reset_after))
        last = (_last(h, states[0]),) if return_state else ()
    else:
        f, g = activation_function(activation), activation_function(recurrent_activation)
        h, *last = _gru_steps([*inputs, *states], mask, dropout, f, g, reset_after)
    y = _outputs(h, states[0], mask, zero_output_for_mask)
    return (y, *last) if return_state else y


def _last(h: Tensor, h0: Tensor | None) -> Tensor:
    return h[:, -1] if h.shape[1] else _initial(h0, h, h.shape[2])


def _outputs(h: Tensor, h0: Tensor | None, mask: Array | None, zero_output_for_mask: bool) -> Tensor:
    """What a cell puts out, given its states: where steps are left out, these repeat the first state as well."""
    if mask is not None and zero_output_for_mask:
        return where(mask[:, :, None], h, 0)
    if mask is not None and h0 is not None:
        with computing_beside(mask):
            return where((mask.cumsum(1) > 0)[:, :, None], h, 0)
    return h


def _fused(dropout: Array | None, *activations: Activation) -> tuple[str, ...]:
    """The activations' names if there is a kernel with them, else ()."""
    names = []
    for activation in activations:
        function = activation_function(activation)
        name = next((name for name in kernels.RECURRENT_ACTIVATIONS if BY_NAME[name] is function), None)
        if name is None or dropout is not None:
            return ()
        names.append(name)
    return tuple(names)


def _arguments(
    function: str,
    gates: int,
    x: Any,
    weight: Any,
    recurrent_weight: Any,
    bias: Any,
    initial_state: Any,
    mask: Any,
    dropout: Any,
    states: int = 1,
    biases: int = 1,
) -> tuple[list[Any], list[Any], Array | None, Array | None]:
    """([x, weight, recurrent_weight, bias], initial states, mask, dropout), checked."""
    given = _initial_states(function, initial_state, states)
    x, weight, recurrent_weight, bias, *given = floating(
        function,
        x=x,
        weight=weight,
        recurrent_weight=recurrent_weight,
        bias=bias,
        **{f"initial_state[{i}]" if states > 1 else "initial_state": state for i, state in enumerate(given)},
    )
    if x.ndim != 3:
        raise ValueError(f"{function}: x has shape {x.shape}: expected (N, T, C)")
    if recurrent_weight.ndim != 2 or recurrent_weight.shape[1] != gates * recurrent_weight.shape[0]:
        expected = "(H, H)" if gates == 1 else f"(H, {gates}·H)"
        raise ValueError(f"{function}: recurrent_weight has shape {recurrent_weight.shape}: expected {expected}")
    (n, steps, channels), (units, columns) = x.shape, recurrent_weight.shape
    why = f"x has {channels} channels and recurrent_weight {columns} columns"
    require_shape(function, "weight", weight, (channels, columns), why)
    of_each = "one for each column of recurrent_weight"
    if biases == 1:
        require_shape(function, "bias", bias, (columns,), of_each)
    else:
        require_shape(function, "bias", bias, (biases, columns), f"{of_each}, for x and for the state")
    for state in given:
        require_shape(function, "initial_state", state, (n, units), "a state of each sequence in x")
    if mask is not None:
        mask = beside(constant_array(mask), x.array)
        if mask.dtype != np.bool_:
            raise TypeError(f"{function}: mask must hold booleans, not {mask.dtype}")
        if mask.shape != (n, steps):
            raise ValueError(f"{function}: mask has shape {mask.shape}, expected {(n, steps)}: one for each step of x")
    if dropout is not None:
        dropout = beside(constant_array(as_tensor(dropout, x.dtype)), x.array)
        if dropout.shape != (gates, n, units):
            raise ValueError(
                f"{function}: recurrent_dropout has shape {dropout.shape}, expected {(gates, n, units)}: "
                "factors of the state for each gate"
            )
    return [x, weight, recurrent_weight, bias], given, mask, dropout


def _initial_states(function: str, initial_state: Any, states: int) -> list[Any]:
    if initial_state is None:
        return [None] * states
    if states == 1:
        return [initial_state]
    if not isinstance(initial_state, (tuple, list)) or len(initial_state) != states:
        raise ValueError(f"{function}: initial_state must be a pair (h, c), not {initial_state!r}")
    return list(initial_state)
