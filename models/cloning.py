"""clone_model: a model of the same layers made again, with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine.config import constructor_arguments
from ..engine.layers.base import Layer
from ..engine.layers.core import InputLayer
from ..engine.layers.symbolic import Input, Symbol, flatten, map_structure
from .functional import Functional
from .model import Model
from .sequential import Sequential

Clone = Callable[[Any], Any]


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Clone | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Any:
    """A copy of a model with new weights; a layer that is called several times is one layer in the copy too.

    input_tensors: the symbols that `Input` made on which the copy is built; new ones if not given. clone_function:
    makes a layer from a layer, `type(layer).from_config(layer.get_config())` if not given; inputs are not given to it.
    call_function: called as (layer, inputs, …) in place of the layer, for Model(inputs, outputs). recursive: models
    within are cloned in the same way, not by clone_function.

    A subclass that defines its own `get_config` is made from that. Raises ValueError for functions or input_tensors
    beside a model whose layers are not known as a graph or a row, and for a call_function beside a Sequential.
    """
    if not isinstance(model, Model):
        raise ValueError(f"clone_model: expected a model, got {model!r}")
    given = {"clone_function": clone_function, "call_function": call_function, "input_tensors": input_tensors}
    named = [name for name, value in given.items() if value is not None]
    clone = _Cloning(clone_function, call_function, recursive)
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError("clone_model: call_function is for Model(inputs, outputs), not for a Sequential")
        return _clone_row(model, clone, input_tensors)
    own_config = type(model).get_config is not Functional.get_config
    if isinstance(model, Functional) and not (own_config and not named and not recursive):
        return _clone_graph(model, clone, input_tensors)
    if named:
        raise ValueError(
            f"clone_model: {', '.join(named)}: only for Sequential and Model(inputs, outputs): the layers of "
            f"{type(model).__name__} are called by its own code"
        )
    return type(model).from_config(model.get_config())


class _Cloning:
    """Makes each layer once."""

    def __init__(self, clone: Clone | None, call: Callable[..., Any] | None, recursive: bool) -> None:
        self.clone, self.call_function, self.recursive = clone, call, recursive
        self.made: dict[int, Any] = {}

    def __call__(self, layer: Layer) -> Any:
        if id(layer) not in self.made:
            self.made[id(layer)] = self._made(layer)
        return self.made[id(layer)]

    def _made(self, layer: Layer) -> Any:
        if self.recursive and isinstance(layer, (Sequential, Functional)):
            call = None if isinstance(layer, Sequential) else self.call_function
            return clone_model(layer, None, self.clone, call, True)
        if self.clone is None:
            return type(layer).from_config(layer.get_config())
        made = self.clone(layer)
        if not isinstance(made, Layer):
            raise ValueError(f"clone_model: clone_function gave {made!r} for {layer.name}: expected a layer")
        return made

    def call(self, layer: Layer, inputs: Any, arguments: dict[str, Any]) -> Any:
        if self.call_function is None:
            return layer(inputs, **arguments)
        return self.call_function(layer, inputs, **arguments)


def _clone_row(model: Sequential, clone: _Cloning, input_tensors: Any) -> Any:
    layers = [clone(layer) for layer in model._layers]
    start = None if model._start is None else _new_input(model._start)
    if input_tensors is not None:
        (start,) = _inputs(input_tensors, 1)
    parts = layers if start is None else [start, *layers]
    return type(model)(layers=parts, name=model.name, trainable=model.trainable)


def _clone_graph(model: Functional, clone: _Cloning, input_tensors: Any) -> Any:
    old = flatten(model.input)
    new = [_new_input(symbol) for symbol in old] if input_tensors is None else _inputs(input_tensors, len(old))
    values: dict[Any, Any] = dict(zip(old, new, strict=True))

    def value(leaf: Any) -> Any:
        return values[leaf] if isinstance(leaf, Symbol) else leaf

    for node in model._graph.nodes:
        arguments = {key: map_structure(value, argument) for key, argument in node.arguments.items()}
        outputs = clone.call(clone(node.layer), map_structure(value, node.inputs), arguments)
        values.update(zip(node.output_symbols(), flatten(outputs), strict=True))
    takes_graph = {"inputs", "outputs"} <= set(constructor_arguments(type(model)))
    cls = type(model) if takes_graph else Functional
    inputs = map_structure(value, model.input)
    return cls(inputs=inputs, outputs=map_structure(value, model.output), name=model.name, trainable=model.trainable)


def _new_input(symbol: Symbol) -> Symbol:
    return Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.node.layer.name)


def _inputs(given: Any, count: int) -> list[Symbol]:
    symbols = [leaf.output if isinstance(leaf, InputLayer) else leaf for leaf in flatten(given)]
    if len(symbols) != count or not all(isinstance(symbol, Symbol) for symbol in symbols):
        raise ValueError(f"clone_model: input_tensors: expected {count} symbols that Input made, got {given!r}")
    return symbols
