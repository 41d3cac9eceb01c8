"""Recurrent cells over sequences."""

from __future__ import annotations

from typing import Any

from .entries import Entry, Sample, error, kink, sample
from .values import normal

_N, _STEPS, _CHANNELS, _UNITS = 2, 3, 2, 3


def _sample(
    cell: str, gates: int, options: str = "", bias: tuple[int, ...] | None = None, state: bool = False
) -> Sample:
    """A cell over two sequences of three steps, of which MASK leaves some out; its last states, if it returns them."""
    arrays: dict[str, Any] = {
        "x": normal(_N, _STEPS, _CHANNELS),
        "weight": normal(_CHANNELS, gates * _UNITS),
        "recurrent_weight": normal(_UNITS, gates * _UNITS),
    }
    call = ", ".join(arrays)
    if bias:
        arrays["bias"], call = normal(*bias), f"{call}, bias"
    if state and cell == "lstm":
        arrays |= {"h": normal(_N, _UNITS), "c": normal(_N, _UNITS)}
        call += f"{'' if bias else ', None'}, (h, c)"
    elif state:
        arrays["h"], call = normal(_N, _UNITS), f"{call}{'' if bias else ', None'}, h"
    text = f"{cell}({call}{options})"
    return sample(f"concatenate({text}[1:])" if "return_state" in options else text, **arrays)


def _errors(cell: str, gates: int) -> tuple:
    columns = "H" if gates == 1 else f"{gates}·H"
    square = f"np.zeros((3, {3 * gates}), np.float32)"
    start = f"{cell}(IMAGE[..., 0], np.zeros((4, {3 * gates}), np.float32), {square}"
    return (
        error(f"{cell}(ROWS, ROWS, ROWS)", ValueError, rf"{cell}: x has shape \(2, 3\): expected \(N, T, C\)"),
        error(
            f"{cell}(IMAGE[0], ROWS, np.zeros((3, 5), np.float32))", ValueError, rf"\(3, 5\): expected \(H, {columns}\)"
        ),
        error(f"{cell}(IMAGE[0], ROWS[:, :2], {square})", ValueError, "weight has shape .* x has 2 channels"),
        error(f"{start}, ROWS)", ValueError, "bias has shape .* one for each column of recurrent_weight"),
        error(f"{start}, mask=np.ones((1, 4)))", TypeError, f"{cell}: mask must hold booleans, not float64"),
        error(f"{start}, mask=MASK)", ValueError, r"mask has shape \(2, 3\), expected \(1, 4\): one for each step"),
        error(f"{start}, activation='rule')", ValueError, "activation = 'rule': expected a function"),
        error(f"{start}, recurrent_dropout=np.ones((1, 3)))", ValueError, "factors of the state for each gate"),
        error(f"{cell}(IMAGE[0], ROWS, {square} + np.float64(1))", TypeError, "recurrent_weight is float64 but x is"),
    )


ENTRIES = [
    Entry(
        "simple_rnn",
        samples=(
            _sample("simple_rnn", 1, bias=(3,)),
            _sample("simple_rnn", 1, ", MASK, return_state=True", state=True),
            _sample("simple_rnn", 1, ", mask=MASK, zero_output_for_mask=True, activation='linear'"),
            _sample("simple_rnn", 1, ", recurrent_dropout=np.full((1, 2, 3), 1.25), activation='softsign'"),
        ),
        errors=(
            *_errors("simple_rnn", 1),
            error(
                "simple_rnn(IMAGE[0], ROWS[:, :3], np.zeros((3, 3), np.float32), None, ROWS)",
                ValueError,
                r"initial_state has shape \(2, 3\), expected \(4, 3\)",
            ),
            error(
                "simple_rnn(IMAGE[0], ROWS[:, :3], np.zeros((3, 3), np.float32), None, np.zeros((4, 3)))",
                TypeError,
                "simple_rnn: initial_state is float64 but x is float32",
            ),
        ),
        kinks=(
            kink(
                "a cell with relu passes nothing at 0",
                "simple_rnn(x, weight, recurrent_weight, activation='relu')",
                x=[[[1], [0]]],
                weight=[[0]],
                recurrent_weight=[[1]],
                value=[[[0], [0]]],
                cotangent=[[[2], [3]]],
                gradients=[[[[0], [0]]], [[0]], [[0]]],
            ),
        ),
    ),
    Entry(
        "lstm",
        samples=(
            _sample("lstm", 4, bias=(12,)),
            _sample("lstm", 4, ", activation='linear', recurrent_activation='tanh'"),
            _sample("lstm", 4, ", MASK, return_state=True", state=True),
            _sample("lstm", 4, ", recurrent_dropout=np.full((4, 2, 3), 1.25), zero_output_for_mask=True, mask=MASK"),
        ),
        errors=(
            *_errors("lstm", 4),
            error(
                "lstm(IMAGE[0], np.zeros((2, 12), np.float32), np.zeros((3, 12), np.float32), None, 1)",
                ValueError,
                r"initial_state must be a pair \(h, c\), not 1",
            ),
        ),
        kinks=(
            kink(
                "the slope of a hard_sigmoid is 0 at its lower corner",
                "lstm(x, weight, recurrent_weight, activation='linear', recurrent_activation='hard_sigmoid')",
                x=[[[-3]]],
                weight=[[1, 1, 1, 1]],
                recurrent_weight=[[0, 0, 0, 0]],
                value=[[[0]]],
                cotangent=[[[2]]],
                gradients=[[[[0]]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]],
            ),
        ),
    ),
    Entry(
        "gru",
        samples=(
            _sample("gru", 3, bias=(2, 9)),
            _sample("gru", 3, ", reset_after=False", bias=(9,)),
            _sample("gru", 3, ", MASK, return_state=True", bias=(2, 9), state=True),
            _sample("gru", 3, ", MASK, reset_after=False", state=True),
            _sample("gru", 3, ", recurrent_dropout=np.full((3, 2, 3), 1.25), activation='softsign'", bias=(2, 9)),
            _sample("gru", 3, ", recurrent_dropout=np.full((3, 2, 3), 1.25), reset_after=False"),
        ),
        errors=_errors("gru", 3),
        kinks=(
            kink(
                "a candidate by relu passes nothing at 0",
                "gru(x, weight, recurrent_weight, activation='relu', recurrent_activation='linear')",
                x=[[[1]]],
                weight=[[0, 0, 0]],
                recurrent_weight=[[0, 0, 0]],
                value=[[[0]]],
                cotangent=[[[2]]],
                gradients=[[[[0]]], [[0, 0, 0]], [[0, 0, 0]]],
            ),
        ),
    ),
]
