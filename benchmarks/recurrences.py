"""The recurrent layers that are timed: cells over whole sequences, forward alone, and forward with all gradients."""

from dataclasses import dataclass

import numpy as np

from .convolutions import FORWARD, ITEM, numbers

BOTH = "forward and gradients"
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
NAMES = {"simple_rnn": "simple RNN", "lstm": "LSTM", "gru": "GRU"}


@dataclass(frozen=True)
class Recurrence:
    """A cell of `units` over a batch of sequences, x (batch, steps, channels); the GRU resets after the product."""

    cell: str
    batch: int
    steps: int
    channels: int
    units: int
    source: str = ""

    group = "recurrent cells"
    passes = (FORWARD, BOTH)
    has_layout = False

    @property
    def columns(self) -> int:
        """Of the weights: all gates."""
        return GATES[self.cell] * self.units

    def operations(self, which: str) -> int:
        """Of the products with x and with the state: one each forward, two more for their gradients."""
        forward = 2 * self.batch * self.steps * (self.channels + self.units) * self.columns
        return forward if which == FORWARD else 3 * forward

    def bytes(self, which: str) -> int:
        """x and weights → y; with the gradients x, weights and dy → dx and dweights, and y on the way."""
        rows, weights = self.batch * self.steps, (self.channels + self.units + self.biases) * self.columns
        x, y = rows * self.channels, rows * self.units
        return (x + weights + y if which == FORWARD else 2 * (x + weights + y)) * ITEM

    @property
    def biases(self) -> int:
        return 2 if self.cell == "gru" else 1

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random x, dy and weights, these so small that states stay between −1 and 1."""
        generator = np.random.default_rng(seed)
        shapes = {
            "x": (self.batch, self.steps, self.channels),
            "weight": (self.channels, self.columns),
            "recurrent_weight": (self.units, self.columns),
            "bias": (2, self.columns) if self.cell == "gru" else (self.columns,),
            "dy": (self.batch, self.steps, self.units),
        }
        arrays = {name: numbers(generator, shape) for name, shape in shapes.items()}
        for name, fan_in in (("weight", self.channels), ("recurrent_weight", self.units)):
            arrays[name] *= np.float32(fan_in**-0.5)
        return arrays

    @property
    def label(self) -> str:
        return f"{NAMES[self.cell]} {self.batch}×{self.steps}×{self.channels}→{self.units}"


_SIZES = [
    (32, 28, 28, 128, "MNIST, a row a step"),
    (64, 50, 64, 64, "own"),
    (16, 100, 128, 256, "own"),
    (1, 100, 32, 64, "own, one sequence"),
    (1, 50, 128, 256, "own, one sequence"),
]

RECURRENCES: list[Recurrence] = [
    *(Recurrence(cell, *size) for cell in ("lstm", "gru") for size in _SIZES),
    Recurrence("simple_rnn", *_SIZES[0]),
]
