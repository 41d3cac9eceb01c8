"""Tracked: what holds weights and other such objects as attributes, and finds them: the weights' side of a layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..config import Configurable
from ..random import Generator
from ..tensor import Tensor
from ..variable import Variable
from .symbolic import Node

if TYPE_CHECKING:
    from .base import Layer

_CONTAINERS = frozenset({list, tuple, dict})  # what attributes may hold weights and layers in


class Notes:
    """A layer's own notes, kept in one object so that they are not taken for weights or nested layers."""

    def __init__(self) -> None:
        self.regularized: list[tuple[Variable, Callable[[Tensor], Tensor]]] = []
        self.frozen: list[Variable] = []  # weights that `trainable = False` turned off
        self.nodes: list[Node] = []
        self.built_shape: Any = None  # the input's shape (or structure of shapes) that the layer was built for
        self.call = 0  # the number of the outermost call in which the layer, or itself as the outermost, added losses
        self.added: list[Tensor] = []  # the losses that it added in that call

    def begin(self, call: int) -> int:
        """Note that the layer is called with none around it; returns the number of the call."""
        self.call, self.added = call, []
        return call

    def add(self, call: int, losses: list[Tensor]) -> None:
        """Note losses that the layer adds in this call; those of an earlier one are forgotten."""
        if self.call != call:
            self.begin(call)
        self.added += losses

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"added": []}  # copies have not been called


class Tracked(Configurable):
    """Base class of `Layer`: variables, layers, and lists, tuples and dicts of them that are kept as attributes are
    found, at any depth."""

    name: str
    built: bool
    _trainable: bool
    _notes: Notes

    def _own(self, kind: type) -> list[tuple[str, Any]]:
        """(path, object) of what the attributes hold of this kind, not looking inside nested layers."""
        found: list[tuple[str, Any]] = []
        for attribute, value in vars(self).items():
            if isinstance(value, kind):
                found.append((attribute.lstrip("_"), value))
            elif type(value) in _CONTAINERS:
                _find(attribute.lstrip("_"), value, kind, found)
        return found

    def _variables_and_layers(self) -> tuple[list[Variable], list[Layer]]:
        """What `_own` finds of both kinds, in one pass: every training step asks for it, of every layer."""
        variables: list[Variable] = []
        layers: list[Layer] = []
        stack = [iter(vars(self).values())]
        while stack:
            for value in stack[-1]:
                place = _place_of(type(value))  # type: ignore[arg-type]  # mypy: type[Any] is not Hashable
                if place == "variable":
                    variables.append(value)
                elif place == "layer":
                    layers.append(value)
                elif place == "container" and value:
                    stack.append(iter(value.values() if type(value) is dict else value))
                    break
            else:
                stack.pop()
        return variables, layers

    @property
    def layers(self) -> list[Layer]:
        """The layers nested directly in this one, in the order in which they became attributes."""
        return _unique(self._variables_and_layers()[1])

    def all_layers(self) -> list[Layer]:
        """This layer and all layers nested in it at any depth, each once, outer before inner."""
        return self._all_layers_and_weights()[0]

    @property
    def weights(self) -> list[Variable]:
        """All weights: the layer's own in the order in which they became attributes, then those of nested layers."""
        return self._all_layers_and_weights()[1]

    def _all_layers_and_weights(self) -> tuple[list[Layer], list[Variable]]:
        found: dict[int, Layer] = {}
        weights: dict[int, Variable] = {}
        stack = [cast("Layer", self)]
        while stack:
            layer = stack.pop()
            if id(layer) not in found:
                found[id(layer)] = layer
                variables, layers = layer._variables_and_layers()
                for variable in variables:
                    weights.setdefault(id(variable), variable)
                stack.extend(reversed(layers))
        return list(found.values()), list(weights.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that are trained."""
        return [weight for weight in self.weights if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """State, and the weights of layers that are not trainable."""
        return [weight for weight in self.weights if not weight.trainable]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def named_weights(self) -> dict[str, Variable]:
        """Every weight under the path of attributes that leads to it, such as "encoder.0.kernel".

        The paths do not depend on the layers' names, so that a model built again in the same way has the same ones. A
        weight that is reached on two paths stands under the first.
        """
        named: dict[str, Variable] = {}
        seen: set[int] = set()

        def visit(prefix: str, layer: Layer) -> None:
            if id(layer) in seen:
                return
            seen.add(id(layer))
            for path, variable in layer._own(Variable):
                if id(variable) not in seen:
                    seen.add(id(variable))
                    named[prefix + path] = variable
            for path, nested in layer._own(Tracked):
                visit(f"{prefix}{path}.", nested)

        visit("", cast("Layer", self))
        return named

    def generators(self) -> list[Generator]:
        """The random generators that this layer and nested ones hold (those of a Dropout with a seed)."""
        return _unique(generator for layer in self.all_layers() for _, generator in layer._own(Generator))

    def count_params(self) -> int:
        """The number of all weights' elements. Raises ValueError if the layer is not built."""
        if not self.built:
            raise ValueError(f"{self.name} is not built yet: call it on an input, or build(input_shape), first")
        return sum(math.prod(weight.shape) for weight in self.weights)

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as NumPy arrays, in the order of `weights`."""
        return [weight.numpy().copy() for weight in self.weights]

    def set_weights(self, arrays: Sequence[Any]) -> None:
        """Assign all weights, in the order of `weights`. Raises ValueError for a wrong number or shape."""
        weights = self.weights
        if len(arrays) != len(weights):
            raise ValueError(f"{self.name}: expected {len(weights)} arrays of weights, got {len(arrays)}")
        arrays = [np.asarray(array) for array in arrays]
        for weight, array in zip(weights, arrays, strict=True):
            if weight.shape != array.shape:
                raise ValueError(
                    f"{self.name}: weight {weight.name!r} has shape {weight.shape}, the array has shape {array.shape}"
                )
        for weight, array in zip(weights, arrays, strict=True):
            weight.assign(array)

    def zero_grad(self) -> None:
        """Forget the gradients that `backward` has added up in the weights' `grad`."""
        for weight in self.weights:
            weight.grad = None

    def to(self, device: str) -> Any:
        """Move all weights to "cpu", "cuda" or "cuda:N"; returns the layer. Those that are made later are made where a
        model says (`Model.to`). Raises what `engine.device.move` raises."""
        for weight in self.weights:
            weight.move(device)
        return self

    @property
    def trainable(self) -> bool:
        """Whether the layer's weights are trained; setting it sets it for all nested layers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.all_layers():
            layer._trainable = bool(value)
            own = [variable for _, variable in layer._own(Variable)]
            if value:
                for variable in layer._notes.frozen:
                    variable.trainable = True
                layer._notes.frozen = []
            else:
                layer._notes.frozen += [variable for variable in own if variable.trainable]
                for variable in own:
                    variable.trainable = False

    @property
    def losses(self) -> list[Tensor]:
        """Scalars to be added to the loss: what the layers added in the latest call (`add_loss`, and the penalties of
        their outputs), and the penalties of all regularized weights that are trained."""
        notes = [layer._notes for layer in self.all_layers()]
        latest = max(note.call for note in notes)
        added = [loss for note in notes if note.call == latest for loss in note.added]
        pairs = [pair for note in notes for pair in note.regularized]
        return added + [regularizer(weight) for weight, regularizer in pairs if weight.trainable]


@functools.cache
def _place_of(cls: type) -> str:
    """Which of a layer's parts an object of this class is, if any."""
    if issubclass(cls, Variable):
        return "variable"
    if issubclass(cls, Tracked):
        return "layer"
    return "container" if cls in _CONTAINERS else ""


def _find(path: str, container: Any, kind: type, found: list[tuple[str, Any]]) -> None:
    """Add (path, object) of what a list, tuple or dict holds of this kind, at any depth."""
    for key, entry in container.items() if type(container) is dict else enumerate(container):
        if isinstance(entry, kind):
            found.append((f"{path}.{key}", entry))
        elif type(entry) in _CONTAINERS:
            _find(f"{path}.{key}", entry, kind, found)


def _unique(found: Iterable[Any]) -> list[Any]:
    """Each object once, by identity (a tensor's == compares values)."""
    return list({id(entry): entry for entry in found}.values())
