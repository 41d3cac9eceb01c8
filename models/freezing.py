"""Which weights a model trains: settled when it is compiled, as Keras documents it.

    model.compile("adam", "mse")      # trains what is trainable now
    layer.trainable = False           # takes effect at the next compile

Two models may share layers of which each trains its own: a discriminator that was compiled while it was trainable goes
on to learn from its own steps, though the model around it and the generator was compiled while it was frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..engine.layers.base import Layer
from ..engine.variable import Variable

if TYPE_CHECKING:
    from .model import Model


class Trained:
    """What `trainable` was of each layer of a model when this was made. Layers that come later have their own."""

    def __init__(self, model: Model) -> None:
        self._settled = {layer: layer.trainable for layer in model.all_layers()}

    def weights(self, model: Model) -> list[Variable]:
        """The weights that a step trains."""
        layers, weights = model._all_layers_and_weights()
        if self._holds(layers):
            return [weight for weight in weights if weight.trainable]
        chosen: dict[int, Variable] = {}
        for layer in layers:
            if self._settled.get(layer, layer.trainable):
                frozen_since = {id(weight) for weight in layer._notes.frozen}
                own = (weight for _, weight in layer._own(Variable))
                chosen |= {id(weight): weight for weight in own if weight.trainable or id(weight) in frozen_since}
        return list(chosen.values())

    @contextmanager
    def applied(self, model: Model) -> Iterator[Callable[[], list[Variable]]]:
        """Within it, a step's own weights alone are trainable, whatever was set since. Gives what gives them: where all
        layers are built they are known beforehand, and the model is gone through once."""
        layers, weights = model._all_layers_and_weights()
        if self._holds(layers):
            known = [weight for weight in weights if weight.trainable]
            whole = all(layer.built for layer in layers)
            yield lambda: known if whole else self.weights(model)
            return
        chosen = {id(weight) for weight in self.weights(model)}
        switched = [weight for weight in weights if weight.trainable != (id(weight) in chosen)]
        try:
            for weight in switched:
                weight.trainable = not weight.trainable
            yield lambda: self.weights(model)
        finally:
            for weight in switched:
                weight.trainable = not weight.trainable

    def _holds(self, layers: list[Layer]) -> bool:
        """Whether no layer's `trainable` has changed."""
        settled = self._settled
        return all(settled.get(layer, layer._trainable) is layer._trainable for layer in layers)
