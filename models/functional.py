"""Model(inputs, outputs): a graph of layers, drawn by calling layers on Input symbols.

The graph is walked back from the outputs once, and laid down as a list of calls in an order in which every call finds
its inputs made. A call of the model goes down that list, and lets go of each value after its last use. There is a
second, shorter list for inference (see `folding`).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..engine.layers.core import InputLayer
from ..engine.layers.masks import with_masks
from ..engine.layers.symbolic import Node, Symbol, flatten, map_structure
from . import folding
from .compiling import is_flat_dict
from .constants import CONSTANTS, written_constant
from .model import Model
from .replaying import Replays
from .saving import layer_from_config, layer_to_config


class _Joined(NamedTuple):
    """The calls of two layers as one: what a node says of a call, without being the one that made the symbols."""

    layer: folding.Folded
    inputs: Any
    arguments: dict[str, Any]
    outputs: Any


class Graph:
    """The calls between inputs and outputs in order, and after which of them each value is let go.

    Raises ValueError for an output that depends on an input that is not given, and TypeError for inputs that `Input`
    did not make or outputs that are no symbols.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str) -> None:
        for leaf in flatten(outputs):
            if not isinstance(leaf, Symbol):
                raise TypeError(f"{name}: outputs must be symbols (Input, or layers called on it), not {leaf!r}")
        for leaf in flatten(inputs):
            if not isinstance(leaf, Symbol) or not isinstance(leaf.node.layer, InputLayer):
                raise TypeError(f"{name}: inputs must be symbols that Input made, not {leaf!r}")
        self.inputs, self.outputs = inputs, outputs
        self.nodes = _sorted_nodes(flatten(inputs), flatten(outputs), name)
        self._calls = self._scheduled(self.nodes)
        self.inference = self._scheduled(self._folded())

    def _folded(self) -> list[Node | _Joined]:
        """The calls, with convolutions and the batch normalisations of their results joined where nobody else takes
        these."""
        uses = Counter([symbol for node in self.nodes for symbol in node.input_symbols()] + flatten(self.outputs))
        calls: dict[Node, Node | _Joined] = {}
        for node in self.nodes:
            maker = node.inputs.node if isinstance(node.inputs, Symbol) else None
            if (
                maker in calls
                and uses[node.inputs] == 1
                and not (maker.arguments or node.arguments)
                and folding.can_fold(maker.layer, node.layer)
            ):
                del calls[maker]
                calls[node] = _Joined(folding.Folded(maker.layer, node.layer), maker.inputs, {}, node.outputs)
            else:
                calls[node] = node
        return list(calls.values())

    def _scheduled(self, calls: Sequence[Node | _Joined]) -> list[tuple[Node | _Joined, set[Symbol]]]:
        """Each call with the values that nobody needs after it."""
        kept = set(flatten(self.outputs))
        scheduled: list[tuple[Node | _Joined, set[Symbol]]] = []
        for call in reversed(calls):
            leaves = flatten((call.inputs, call.arguments, call.outputs))
            released = {leaf for leaf in leaves if isinstance(leaf, Symbol)} - kept
            kept |= released
            scheduled.append((call, released))
        return scheduled[::-1]

    def run(self, inputs: Any) -> Any:
        """The outputs' values for the inputs' values, which have the structure of `self.inputs`."""
        values: dict[Symbol, Any] = dict(zip(flatten(self.inputs), flatten(inputs), strict=True))

        def value(leaf: Any) -> Any:
            return values[leaf] if isinstance(leaf, Symbol) else leaf

        for call, released in self.inference if folding.is_inference() else self._calls:
            arguments = {key: map_structure(value, argument) for key, argument in call.arguments.items()}
            results = flatten(call.layer(map_structure(value, call.inputs), **arguments))
            for symbol, result in zip(flatten(call.outputs), results, strict=True):
                values[symbol] = result
            del results, result
            for symbol in released:
                del values[symbol]
        return map_structure(value, self.outputs)


def _sorted_nodes(inputs: list[Symbol], outputs: list[Symbol], name: str) -> list[Node]:
    """The nodes from the inputs to the outputs, each after those that it reads. Without recursion: graphs are deep."""
    given = {id(symbol) for symbol in inputs}
    done: set[int] = set()
    order: list[Node] = []
    for output in outputs:
        stack: list[tuple[Node, Iterator[Symbol]]] = []
        if id(output) not in given:
            _enter(output, name, done, stack)
        while stack:
            node, remaining = stack[-1]
            symbol = next(remaining, None)
            if symbol is None:
                stack.pop()
                order.append(node)
            elif id(symbol) not in given:
                _enter(symbol, name, done, stack)
    return order


def _enter(symbol: Symbol, name: str, done: set[int], stack: list[tuple[Node, Iterator[Symbol]]]) -> None:
    node = symbol.node
    if node is None or isinstance(node.layer, InputLayer):
        raise ValueError(f"{name}: the outputs depend on {symbol!r}, which is not among the inputs")
    if id(node) not in done:
        done.add(id(node))
        stack.append((node, iter(node.input_symbols())))


class Functional(Model):
    """The model of a graph. Made by `Model(inputs, outputs)`, or by subclasses that draw a graph in their constructor.

    inputs, outputs: a symbol, or a list, tuple or dict of them. The model's type is that of its floating outputs.
    """

    _recorded_layers: tuple[type, ...] = ()  # layers of a subclass's own whose work in inference is kernels alone

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, trainable: bool = True) -> None:
        floating = [
            symbol.dtype for symbol in flatten(outputs) if isinstance(symbol, Symbol) and symbol.dtype.kind == "f"
        ]
        super().__init__(name=name, dtype=floating[0] if floating else None)
        self._graph = Graph(inputs, outputs, self.name)
        self._replays = Replays([call.layer for call, _ in self._graph.inference], self._recorded_layers)
        sources = [symbol.node.layer for symbol in flatten(inputs)]
        self._layers = list(
            {id(layer): layer for layer in sources + [node.layer for node in self._graph.nodes]}.values()
        )
        self._check_names()
        self.output_names = _output_names(outputs)
        self.built = True
        self._notes.built_shape = self.input_shape
        if not trainable:
            self.trainable = False

    def _check_names(self) -> None:
        names = [layer.name for layer in self._layers]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{self.name}: two different layers are both named {sorted(twice)[0]!r}")

    # ---------------------------------------------------------------------------------------------------- its graph

    @property
    def inputs(self) -> list[Symbol]:
        return flatten(self._graph.inputs)

    @property
    def outputs(self) -> list[Symbol]:
        return flatten(self._graph.outputs)

    @property
    def input(self) -> Any:
        return self._graph.inputs

    @property
    def output(self) -> Any:
        return self._graph.outputs

    @property
    def input_shape(self) -> Any:
        """The input's shape, or the structure of the inputs' shapes; that of a single one in a list stands alone."""
        return alone(map_structure(lambda symbol: symbol.shape, self._graph.inputs))

    @property
    def output_shape(self) -> Any:
        """As `input_shape`, of the outputs."""
        return alone(map_structure(lambda symbol: symbol.shape, self._graph.outputs))

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The outputs in their structure; a single one in a list is given without the list, as in Keras."""
        inputs = with_masks(inputs, mask)
        if folding.is_inference():
            return alone(self._replays.answer(inputs, self._graph.run))
        return alone(self._graph.run(inputs))

    def __call__(self, inputs: Any, *further: Any, **arguments: Any) -> Any:
        return super().__call__(self._arranged(inputs), *further, **arguments)

    def _arranged(self, inputs: Any) -> Any:
        """The inputs in the graph's structure: a list for a dict of inputs in order, a dict by the inputs' names."""
        wanted = self._graph.inputs
        if isinstance(inputs, dict) and not isinstance(wanted, dict):
            missing = [symbol.name for symbol in self.inputs if symbol.name not in inputs]
            if missing:
                raise ValueError(f"{self.name}: the inputs {missing} are missing among {sorted(inputs)}")
            return map_structure(lambda symbol: inputs[symbol.name], wanted)
        single = isinstance(wanted, Symbol)
        if single and isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            return inputs[0]
        given = 1 if not isinstance(inputs, (list, tuple, dict)) else len(inputs)
        if given != len(self.inputs):
            raise ValueError(f"{self.name}: expected {len(self.inputs)} inputs, got {given}")
        return inputs

    def _check_input_shape(self, shape: Any) -> None:
        for symbol, given in zip(self.inputs, _shapes(shape, len(self.inputs)), strict=True):
            check_shape(f"{self.name}: input {symbol.name!r}", symbol.shape, given)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Through the layers' own compute_output_shape."""
        shapes = dict(zip(map(id, self.inputs), _shapes(input_shape, len(self.inputs)), strict=True))

        def shape(symbol: Symbol) -> Any:
            return shapes[id(symbol)]

        for node in self._graph.nodes:
            results = node.layer.output_shapes(node, shape)
            for symbol, result in zip(node.output_symbols(), _shapes(results, len(node.output_symbols())), strict=True):
                shapes[id(symbol)] = result
        return map_structure(shape, self._graph.outputs)

    # ---------------------------------------------------------------------------------------------------- on paper

    def get_config(self) -> dict[str, Any]:
        """The layers, the calls in order, and which symbols go in and come out."""
        places = _Places(self)
        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": [layer_to_config(layer) for layer in self._layers],
            "calls": [
                {
                    "layer": self._layers.index(node.layer),
                    "inputs": places.write(node.inputs),
                    "arguments": places.write(node.arguments),
                }
                for node in self._graph.nodes
            ],
            "inputs": places.write(self._graph.inputs),
            "outputs": places.write(self._graph.outputs),
        }


def model_from_graph(cls: type[Model], config: Any, custom_objects: dict[str, type] | None) -> Any:
    """The model that `Functional.get_config` described, with new weights."""
    layers = [layer_from_config(entry, custom_objects) for entry in config["layers"]]
    symbols = [layer.output for layer in layers if isinstance(layer, InputLayer)]
    for entry in config["calls"]:
        arguments = _read(entry["arguments"], symbols)
        symbols += flatten(layers[entry["layer"]](_read(entry["inputs"], symbols), **arguments))
    inputs, outputs = _read(config["inputs"], symbols), _read(config["outputs"], symbols)
    return cls(inputs=inputs, outputs=outputs, name=config["name"], trainable=config["trainable"])


@functools.cache
def with_graph(cls: type[Model]) -> type[Model]:
    """The class of models of graphs that are `cls` besides: what `cls(inputs, outputs)` makes an object of."""
    if cls is Model or issubclass(cls, Functional):
        return Functional if cls is Model else cls
    return type(cls.__name__, (cls, Functional), {"__module__": cls.__module__, "__doc__": cls.__doc__})


class _Places:
    """Symbols as numbers: those of the inputs' layers first, then what each call gives."""

    def __init__(self, model: Functional) -> None:
        sources = [layer.output for layer in model.layers if isinstance(layer, InputLayer)]
        results = [symbol for node in model._graph.nodes for symbol in node.output_symbols()]
        self.numbers = {id(symbol): number for number, symbol in enumerate(sources + results)}

    def write(self, structure: Any) -> Any:
        if isinstance(structure, dict):
            return {"dict": {key: self.write(entry) for key, entry in structure.items()}}
        if isinstance(structure, (list, tuple)):
            return {type(structure).__name__: [self.write(entry) for entry in structure]}
        if isinstance(structure, Symbol):
            return {"symbol": self.numbers[id(structure)]}
        return written_constant(structure)


def _read(written: Any, symbols: list[Symbol]) -> Any:
    ((kind, value),) = written.items()
    if kind == "symbol":
        return symbols[value]
    if kind in CONSTANTS:
        return CONSTANTS[kind](value)
    if kind == "dict":
        return {key: _read(entry, symbols) for key, entry in value.items()}
    if kind in ("list", "tuple"):
        entries = [_read(entry, symbols) for entry in value]
        return tuple(entries) if kind == "tuple" else entries
    raise ValueError(f"{kind!r} is no part of a graph's configuration that is known")


def alone(structure: Any) -> Any:
    """What stands alone in a list or tuple (sizes of a shape do not); all else as it is."""
    held = isinstance(structure, (list, tuple)) and len(structure) == 1
    return structure[0] if held and not isinstance(structure[0], (int, type(None))) else structure


def check_shape(what: str, expected: tuple[int | None, ...], given: Any) -> None:
    """ValueError unless `given` fits `expected`, in which None fits every size."""
    fits = given is not None and len(given) == len(expected)
    if not fits or any(want not in (None, have) for want, have in zip(expected, given, strict=True)):
        raise ValueError(f"{what}: expected shape {expected} (None fits any size), got {given}")


def _shapes(structure: Any, count: int) -> list[Any]:
    """The shapes of `count` values: one shape, or a list, tuple or dict of them."""
    if isinstance(structure, dict):
        return list(structure.values())
    if isinstance(structure, (list, tuple)) and structure and isinstance(structure[0], (list, tuple)):
        return list(structure)
    return [structure] if count == 1 else list(structure)


def _output_names(outputs: Any) -> list[str]:
    if is_flat_dict(outputs):
        return list(outputs)
    names = [symbol.node.layer.name for symbol in flatten(outputs)]
    return [name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)]
