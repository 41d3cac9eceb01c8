"""The golden cases of recurrent cells: PyTorch's own where it has the cell, its gates put in Keras's order; where it
has none (steps left out, a state reset before the product, other activations), the formula as it stands in the papers.

What is compared is the outputs of all steps and, behind them, the last states, (N, T + states, H).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from family import FunctionFamily

N, STEPS, CHANNELS, UNITS = 3, 3, 2, 3
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}


def recurrence() -> FunctionFamily:
    family = FunctionFamily("recurrence", seed=31)
    for name, own in (("simple_rnn", rnn), ("lstm", lstm), ("gru", gru)):
        family.case(f"{name}, PyTorch's", own, arguments(family, name))
        family.case(f"{name}, PyTorch's, from zeros, no bias", own, arguments(family, name, False, False))
    family.case("simple_rnn, PyTorch's, relu", relu_rnn, arguments(family, "simple_rnn"), {"activation": "relu"})
    for name, formula in FORMULAS.items():
        mask = torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]], dtype=torch.bool)
        for options in ({}, {"zero_output_for_mask": True}):
            given = {**arguments(family, name), "mask": mask}
            family.case(
                f"{name}, masked{', zeros' if options else ''}", with_options(formula, **options), given, options
            )
        given = {**arguments(family, name, False), "mask": mask}
        family.case(f"{name}, masked, from zeros", formula, given)
        activations = {"activation": "softsign"}
        if name != "simple_rnn":
            activations["recurrent_activation"] = "tanh"
        family.case(f"{name}, softsign", with_options(formula, **activations), arguments(family, name), activations)
        activations = {"activation": "linear"}
        if name != "simple_rnn":
            activations["recurrent_activation"] = "hard_sigmoid"
        family.case(f"{name}, linear", with_options(formula, **activations), arguments(family, name), activations)
    before = {"reset_after": False}
    given = arguments(family, "gru", biases=1)
    family.case("gru, reset before", with_options(formula_of_gru, **before), given, before)
    given = {**arguments(family, "gru", biases=1), "mask": mask}
    family.case("gru, reset before, masked", with_options(formula_of_gru, **before), given, before)
    return family


def arguments(family: FunctionFamily, name: str, starts: bool = True, biased: bool = True, biases: int = 0) -> dict:
    columns = GATES[name] * UNITS
    given = {
        "x": family.normal(N, STEPS, CHANNELS),
        "weight": family.normal(CHANNELS, columns, scale=0.5),
        "recurrent_weight": family.normal(UNITS, columns, scale=0.5),
        "bias": family.normal(*((2, columns) if name == "gru" and biases != 1 else (columns,))) if biased else None,
        "h": family.normal(N, UNITS) if starts else None,
    }
    if name == "lstm":
        given["c"] = family.normal(N, UNITS) if starts else None
    return given


def with_options(function: Callable, **options) -> Callable:
    return lambda *given: function(*given, **options)


# ----------------------------------------------------------------------------------------------------- PyTorch's cells


def of_units(given: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.float64) if given is None else given


def in_order(columns: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """The columns' gates in PyTorch's order: i, f, g, o is Keras's i, f, c, o; r, z, n is its z, r, h."""
    parts = columns.chunk(len(order), -1)
    return torch.cat([parts[gate] for gate in order], -1)


def parameters(weight, recurrent_weight, bias, order=(0,)):
    columns = weight.shape[1]
    both = of_units(bias, (columns,))
    own, recurrent = both if both.ndim == 2 else (both, torch.zeros(columns, dtype=torch.float64))
    given = [weight.mT, recurrent_weight.mT, own, recurrent]
    return [in_order(each.mT, order).mT if each.ndim == 2 else in_order(each, order) for each in given]


def with_states(y: torch.Tensor, *states: torch.Tensor) -> torch.Tensor:
    return torch.cat([y, *[state.reshape(N, 1, UNITS) for state in states]], 1)


FIXED = (True, 1, 0.0, False, False, True)  # biases, layers, dropout, training, both directions, batch first


def rnn(x, weight, recurrent_weight, bias, h):
    given = parameters(weight, recurrent_weight, bias)
    return with_states(*torch._VF.rnn_tanh(x, of_units(h, (N, UNITS))[None], given, *FIXED))


def relu_rnn(x, weight, recurrent_weight, bias, h):
    given = parameters(weight, recurrent_weight, bias)
    return with_states(*torch._VF.rnn_relu(x, of_units(h, (N, UNITS))[None], given, *FIXED))


def lstm(x, weight, recurrent_weight, bias, h, c):
    given = parameters(weight, recurrent_weight, bias, (0, 1, 2, 3))
    states = of_units(h, (N, UNITS))[None], of_units(c, (N, UNITS))[None]
    return with_states(*torch._VF.lstm(x, states, given, *FIXED))


def gru(x, weight, recurrent_weight, bias, h):
    given = parameters(weight, recurrent_weight, bias, (1, 0, 2))
    return with_states(*torch._VF.gru(x, of_units(h, (N, UNITS))[None], given, *FIXED))


# -------------------------------------------------------------------------------------------------------- the formulas

FUNCTIONS = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": torch.nn.functional.softsign,
    "linear": lambda x: x,
    "hard_sigmoid": lambda x: torch.nn.functional.relu6(x + 3) / 6,
}


def through(step: Callable, x, states, mask, zero_output_for_mask=False):
    """All steps; as Keras says, one that is left out repeats the output before it, or zeros."""
    outputs, output = [], torch.zeros(N, UNITS, dtype=torch.float64)
    for t in range(STEPS):
        new = step(x[:, t], *states)
        taken = torch.ones(N, 1, dtype=torch.bool) if mask is None else mask[:, t, None]
        otherwise = torch.zeros_like(output) if zero_output_for_mask else output
        output = torch.where(taken, new[0], otherwise)
        states = [torch.where(taken, after, before) for after, before in zip(new, states, strict=True)]
        outputs.append(output)
    return with_states(torch.stack(outputs, 1), *states)


def formula_of_rnn(x, weight, recurrent_weight, bias, h, mask=None, activation="tanh", **options):
    f = FUNCTIONS[activation]

    def step(x, h):
        return (f(x @ weight + bias + h @ recurrent_weight),)

    return through(step, x, [of_units(h, (N, UNITS))], mask, **options)


def formula_of_lstm(x, weight, recurrent_weight, bias, h, c, mask=None, activation="tanh",
                    recurrent_activation="sigmoid", **options):  # fmt: skip
    f, g = FUNCTIONS[activation], FUNCTIONS[recurrent_activation]

    def step(x, h, c):
        i, forget, candidate, o = (x @ weight + bias + h @ recurrent_weight).chunk(4, -1)
        c = g(forget) * c + g(i) * f(candidate)
        return g(o) * f(c), c

    return through(step, x, [of_units(h, (N, UNITS)), of_units(c, (N, UNITS))], mask, **options)


def formula_of_gru(x, weight, recurrent_weight, bias, h, mask=None, activation="tanh",
                   recurrent_activation="sigmoid", reset_after=True, **options):  # fmt: skip
    f, g = FUNCTIONS[activation], FUNCTIONS[recurrent_activation]

    def step(x, h):
        z = x @ weight + (bias[0] if reset_after else bias)
        gates = z[:, : 2 * UNITS] + h @ recurrent_weight[:, : 2 * UNITS]
        update, reset = g(gates + (bias[1, : 2 * UNITS] if reset_after else 0)).chunk(2, -1)
        of_candidate, z_candidate = recurrent_weight[:, 2 * UNITS :], z[:, 2 * UNITS :]
        if reset_after:
            candidate = f(z_candidate + reset * (h @ of_candidate + bias[1, 2 * UNITS :]))
        else:
            candidate = f(z_candidate + (reset * h) @ of_candidate)
        return (update * h + (1 - update) * candidate,)

    return through(step, x, [of_units(h, (N, UNITS))], mask, **options)


FORMULAS = {"simple_rnn": formula_of_rnn, "lstm": formula_of_lstm, "gru": formula_of_gru}

FAMILIES = (recurrence,)
