"""In which order a layer's features were flattened: the shape of the images that a Flatten before it took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine import layers
from ..engine.layers.base import Layer
from ..engine.layers.core import InputLayer
from ..engine.layers.symbolic import Symbol
from .summary import is_model

if TYPE_CHECKING:
    from .model import Model

_FLATTENING = (layers.Flatten, layers.Reshape)
# What leaves features in their places, one by one.
_KEEPING = (
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, layers.PReLU, layers.Softmax),
    *(layers.BatchNormalization, layers.Dropout, layers.Identity, layers.Rescaling),
)


class AmbiguousOrder(ValueError):
    """What was flattened before a layer cannot be seen."""


class Flattening:
    """What was flattened before the layers of a model. given: {name of a layer: shape}, which comes before all else."""

    def __init__(self, model: Model, given: Mapping[str, Sequence[int]]) -> None:
        self.given = given
        self._outer: dict[Symbol, Symbol] = {}  # inputs of models within, and what the model around gives them
        self._note_models_within(model)
        self._unseen = [layer for layer in model.all_layers() if isinstance(layer, _FLATTENING) and not layer.nodes]

    def _note_models_within(self, model: Model) -> None:
        for layer in model.all_layers():
            if is_model(layer) and layer is not model and layer.nodes and hasattr(layer, "inputs"):
                self._outer.update(zip(layer.inputs, layer.nodes[-1].input_symbols(), strict=True))

    def before(self, layer: Layer) -> tuple[int, ...]:
        """(*sizes, channels) of what was flattened into the features that the layer reads; () if nothing was, or one
        place alone. Raises AmbiguousOrder where that cannot be seen."""
        if layer.name in self.given:
            return tuple(self.given[layer.name])
        if layer.nodes:
            return self._of(layer.nodes[0].input_symbols()[0])
        if self._unseen:
            raise AmbiguousOrder(
                f"the model's own code calls it, and {self._unseen[0].name!r}: say what was flattened before it, "
                "flattened={name: (height, width, channels)}, or () for nothing"
            )
        return ()

    def _of(self, symbol: Symbol) -> tuple[int, ...]:
        while True:
            if symbol.ndim != 2:
                return ()
            layer, inputs = symbol.node.layer, symbol.node.input_symbols()
            if is_model(layer) and hasattr(layer, "outputs"):
                symbol = layer.outputs[symbol.index]
            elif isinstance(layer, InputLayer):
                if symbol not in self._outer:
                    return ()
                symbol = self._outer[symbol]
            elif isinstance(layer, _FLATTENING) and inputs[0].ndim > 2:
                return self._sizes(inputs[0])
            elif isinstance(layer, _KEEPING) or (isinstance(layer, _FLATTENING) and inputs[0].shape == symbol.shape):
                symbol = inputs[0]
            else:
                return self._through(layer, inputs)

    @staticmethod
    def _sizes(symbol: Symbol) -> tuple[int, ...]:
        sizes = symbol.shape[1:]
        if None in sizes:
            raise AmbiguousOrder(f"the size of what is flattened before it is open: {symbol.shape}")
        return () if math.prod(sizes[:-1]) == 1 or sizes[-1] == 1 else sizes  # type: ignore[arg-type, return-value]

    def _through(self, layer: Layer, inputs: list[Symbol]) -> tuple[int, ...]:
        """A layer that makes features of its own, such as Dense; or one that puts others together."""
        if layer.weights:
            return ()
        found: list[Any] = [self._of(symbol) for symbol in inputs if symbol.ndim == 2]
        same = len(set(found)) == 1 and isinstance(layer, (layers.Add, layers.Average, layers.Maximum, layers.Multiply))
        if not any(found):
            return ()
        if same:
            return found[0]
        raise AmbiguousOrder(
            f"{layer.name!r} stands between it and what was flattened: say in which order its features are, "
            "flattened={name: (height, width, channels)}, or () where they are in PyTorch's order already"
        )
