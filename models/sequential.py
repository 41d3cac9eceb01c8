"""Sequential: layers in a row, each fed with what the one before it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine.layers import Layer
from ..engine.layers.core import InputLayer
from ..engine.layers.masks import with_masks
from ..engine.layers.symbolic import Input, Symbol
from . import folding
from .functional import alone, check_shape
from .model import Model
from .replaying import Replays
from .saving import layer_from_config, layer_to_config


class Sequential(Model):
    """A row of layers.

    Starts with `Input(shape)`, or a first layer with `input_shape=…`: then the model is built at once. Else it is built
    by `build(input_shape)` or its first input. Its type is that of its first layer.

    A layer may stand at several places, with the same weights. Raises TypeError for what is not a layer, ValueError for
    two layers of one name.
    """

    _takes_graph = False

    def __init__(
        self, layers: Sequence[Layer | Symbol] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self._layers: list[Layer] = []
        self._start: Symbol | None = None  # the input; None until its shape is known
        self._symbol: Symbol | None = None  # what the row gives so far
        self._as_inference_calls_them()
        for layer in layers or []:
            self.add(layer)
        if not trainable:
            self.trainable = False

    def add(self, layer: Layer | Symbol, rebuild: bool = True) -> None:
        """One more layer at the end; an `Input` only at the beginning. rebuild: True, as it is built at once."""
        _check_rebuild(self.name, rebuild)
        if isinstance(layer, Symbol) and layer.node is not None and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if not isinstance(layer, Layer):
            raise TypeError(f"{self.name}: expected a layer, got {layer!r}")
        if isinstance(layer, InputLayer):
            if self._layers or self._start:
                raise ValueError(f"{self.name}: an Input can only stand at the beginning")
            self._begin(layer.output)
            return
        if any(layer is not other and layer.name == other.name for other in self._layers):
            raise ValueError(f"{self.name}: a layer named {layer.name!r} is there already")
        if not self._layers and self._start is None and layer.given_input_shape is not None:
            self._begin(Input(layer.given_input_shape))
        if not self._layers:
            self.dtype = layer.dtype
        self._layers.append(layer)
        self._as_inference_calls_them()
        if self._symbol is not None:
            self._extend(layer)

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer away; returns it. rebuild: True, as the model follows at once."""
        _check_rebuild(self.name, rebuild)
        if not self._layers:
            raise ValueError(f"{self.name}: there is no layer to take away")
        layer = self._layers.pop()
        self._as_inference_calls_them()
        if self._symbol is not None:
            self._symbol = self._symbol.node.input_symbols()[0]
        return layer

    def _as_inference_calls_them(self) -> None:
        self._row = folding.Row(self._layers)
        self._replays = Replays(self._row)

    def _begin(self, start: Symbol) -> None:
        self._start = self._symbol = start

    def _extend(self, layer: Layer) -> None:
        output = layer(self._symbol)
        if not isinstance(output, Symbol):
            raise ValueError(f"{self.name}: layer {layer.name!r} has several outputs; use Model(inputs, outputs)")
        self._symbol = output
        self.built = True
        self._notes.built_shape = self._start.shape  # type: ignore[union-attr]

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for inputs of this shape, (batch or None, …); it can be left out where it is known."""
        if not self._layers:
            raise ValueError(f"{self.name}: there are no layers yet")
        if self._symbol is None:
            if input_shape is None:
                raise ValueError(f"{self.name}: the input's shape is not known yet: build(input_shape)")
            self._begin(Input(batch_shape=tuple(input_shape)))
            for layer in self._layers:
                self._extend(layer)

    def _prepare_for(self, shape: Any) -> None:
        if not self.built:
            self.build((None, *shape[1:]))
        self._check_input_shape(shape)

    def _check_input_shape(self, shape: Any) -> None:
        if self._start is not None:
            check_shape(f"{self.name}: input", self._start.shape, shape)

    def __call__(self, inputs: Any, *further: Any, **arguments: Any) -> Any:
        return super().__call__(self._single(inputs), *further, **arguments)

    def _single(self, inputs: Any) -> Any:
        """The input, which may stand alone in a list, or in a dict under the name of the model's `Input`."""
        if isinstance(inputs, dict) and self._start is not None and len(inputs) == 1:
            return inputs.get(self._start.name, inputs)
        return alone(inputs)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        inputs = with_masks(inputs, mask)
        if folding.is_inference():
            return self._replays.answer(inputs, self._row)
        for layer in self._layers:
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # ---------------------------------------------------------------------------------------------------- its graph

    @property
    def inputs(self) -> list[Symbol]:
        return [self.input]

    @property
    def outputs(self) -> list[Symbol]:
        return [self.output]

    @property
    def input(self) -> Symbol:
        return self._require_symbols()[0]

    @property
    def output(self) -> Symbol:
        return self._require_symbols()[1]

    @property
    def input_shape(self) -> Any:
        return self.input.shape

    @property
    def output_shape(self) -> Any:
        return self.output.shape

    def _require_symbols(self) -> tuple[Symbol, Symbol]:
        if self._start is None or self._symbol is None:
            raise ValueError(f"{self.name}: the input's shape is not known yet: start with Input(shape), or build")
        return self._start, self._symbol

    # ---------------------------------------------------------------------------------------------------- on paper

    def get_config(self) -> dict[str, Any]:
        """The layers' configurations, that of the input first if it is known."""
        source = [] if self._start is None else [self._start.node.layer]
        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": [layer_to_config(layer) for layer in [*source, *self._layers]],
        }

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, type] | None = None) -> Any:
        """The model that `get_config` described, with new weights."""
        if "layers" not in config:
            return super().from_config(config)
        made: dict[str, Any] = {}  # one layer at several places has one name
        for entry in config["layers"]:
            name = entry["config"]["name"]
            made[name] = made.get(name) or layer_from_config(entry, custom_objects)
        layers = [made[entry["config"]["name"]] for entry in config["layers"]]
        return cls(layers=layers, name=config["name"], trainable=config["trainable"])


def _check_rebuild(name: str, rebuild: Any) -> None:
    if rebuild is not True:
        raise ValueError(f"{name}: rebuild = {rebuild!r} is not supported: the model is built as layers come and go")
