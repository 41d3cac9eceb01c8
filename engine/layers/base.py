"""Layer: a function with weights, built when it first sees an input, that other layers and models are made of.

Naming, tracking of weights and nested layers, building, the training flag and configurations stand here; what a layer
computes stands in its own class. A layer called on tensors computes; called on symbols (see `symbolic`) it notes a node
of a graph.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import functions as F
from .. import initializers, regularizers
from ..config import Configurable, as_plain, constructor_arguments
from ..device import device_of_weights
from ..random import Generator
from ..tape import no_grad
from ..tensor import Tensor, as_tensor, is_array
from ..variable import Variable
from .symbolic import Node, Symbol, flatten, has_symbols, map_structure

__all__ = ["Layer", "auto_name", "reset_names"]

# Arguments of Keras's layers that we do not have, with the one value of each that says "without it".
_ONLY_WITHOUT: dict[str, Any] = {
    "activity_regularizer": None,
    "autocast": True,
    "beta_constraint": None,
    "bias_constraint": None,
    "data_format": None,
    "depthwise_constraint": None,
    "embeddings_constraint": None,
    "gamma_constraint": None,
    "kernel_constraint": None,
    "alpha_constraint": None,
    "lora_alpha": None,
    "lora_rank": None,
    "quantization_config": None,
}

_PROBE_BATCH = 3  # the size that stands for an open batch where an output's shape is found by trying

_CONTAINERS = frozenset({list, tuple, dict})  # what attributes may hold weights and layers in

_names_given: dict[str, int] = {}
_training: ContextVar[bool | None] = ContextVar("training", default=None)


def is_training() -> bool:
    """Whether a layer is being called, in this thread, with training = True."""
    return bool(_training.get())


# ------------------------------------------------------------------------------------------------------------- names


def auto_name(class_name: str) -> str:
    """The next free name for an object of this class: "conv2d", "conv2d_1", … for Conv2D."""
    stem = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name.lstrip("_"))
    stem = re.sub("([a-z])([A-Z])", r"\1_\2", stem).lower()
    count = _names_given.get(stem, 0)
    _names_given[stem] = count + 1
    return f"{stem}_{count}" if count else stem


def reset_names() -> None:
    """Start the counters of `auto_name` again, as for a new program."""
    _names_given.clear()


# ------------------------------------------------------------------------------------------------------------- layers


class _Notes:
    """A layer's own notes, kept in one object so that they are not taken for weights or nested layers."""

    def __init__(self) -> None:
        self.regularized: list[tuple[Variable, Callable[[Tensor], Tensor]]] = []
        self.frozen: list[Variable] = []  # weights that `trainable = False` turned off
        self.nodes: list[Node] = []
        self.built_shape: Any = None  # the input's shape (or structure of shapes) that the layer was built for


class Layer(Configurable):
    """Base class of all layers.

    A subclass defines `call(inputs, …)`, and, as far as it needs them, `build(input_shape)`, which makes its weights
    with `add_weight` when the first input's shape is known, and `compute_output_shape(input_shape)`. If `call` has an
    argument `training`, it receives the flag: what the call was given, else that of the layer around it, else False.
    Variables, layers, and lists, tuples and dicts of them that are kept as attributes are found and tracked.

    name: "conv2d", "conv2d_1", … if not given. trainable: whether its weights are trained. dtype: "float32" or
    "float64", the type of its weights, to which floating inputs are converted. input_shape: the shape of one input
    without the batch, for the first layer of a Sequential; input_dim = n is short for input_shape = (n,).

    Raises TypeError for an unknown argument, ValueError for one of Keras's that this layer does not support.
    """

    casts_integers = False  # whether integer and boolean inputs are converted to `dtype` too

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "build" in vars(cls):
            cls.build = _marks_built(cls.build)  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        **unsupported: Any,
    ) -> None:
        _reject(type(self).__name__, unsupported)
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"{type(self).__name__}: name = {name!r}: expected a string or None")
        self._notes = _Notes()
        self.name = name or auto_name(type(self).__name__)
        self.built = False
        self._trainable = bool(trainable)
        self.dtype = _floating(dtype, type(self).__name__)
        if input_dim is not None:
            if input_shape is not None:
                raise ValueError(f"{self.name}: give either input_shape or input_dim, not both")
            input_shape = (input_dim,)
        self.given_input_shape = None if input_shape is None else tuple(input_shape)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        vars(self)["changes"] = self.changes + 1

    changes = 0  # how often an attribute was set: who has prepared for the layer as it was sees that it changed

    # -------------------------------------------------------------------------------------- what a subclass defines

    def build(self, input_shape: Any) -> None:
        """Make the weights. `input_shape` is a shape with None for open sizes, or a list of them for several inputs."""

    def call(self, inputs: Any) -> Any:
        """The layer's output."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(inputs)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape (or a list of shapes) for an input's shape, None standing for open sizes.

        If a class does not define it, it is found by calling the layer on zeros; then only the batch may be open.
        """
        return self._probe(input_shape)

    # ---------------------------------------------------------------------------------------------------- weights

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new weight, named "LAYER/NAME". Keep it as an attribute: that is how it is found.

        initializer: a name, an Initializer or a callable; "glorot_uniform" if not given (as in Keras), and "zeros" for
        types that are not floating. trainable: False for state such as a moving average.
        """
        dtype = np.dtype(dtype or self.dtype)
        initializer = initializers.get(initializer or ("glorot_uniform" if dtype.kind == "f" else "zeros"))
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if any(size is None or size < 0 for size in shape):
            raise ValueError(f"{self.name}: a weight of shape {shape}: expected sizes that are known and not negative")
        values = np.asarray(initializer(shape, dtype=dtype))
        if values.shape != shape:
            raise ValueError(f"{self.name}: the initializer gave shape {values.shape} for a weight of shape {shape}")
        full_name = f"{self.name}/{name or 'variable'}"
        variable = Variable(values, name=full_name, trainable=trainable and self._trainable, dtype=dtype)
        if (device := device_of_weights()) is not None:
            variable.move(device)
        if trainable and not self._trainable:
            self._notes.frozen.append(variable)
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self._notes.regularized.append((variable, penalty))
        return variable

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
        stack: list[Layer] = [self]
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
            for path, nested in layer._own(Layer):
                visit(f"{prefix}{path}.", nested)

        visit("", self)
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
        """The penalties of all regularized weights that are trained, scalars to be added to the loss."""
        pairs = [pair for layer in self.all_layers() for pair in layer._notes.regularized]
        return [regularizer(weight) for weight, regularizer in pairs if weight.trainable]

    # ------------------------------------------------------------------------------------------------------- calling

    def __call__(self, inputs: Any, *further: Any, training: bool | None = None, **arguments: Any) -> Any:
        """The output for `inputs`: a tensor or array, a symbol, or a list of them as `call` takes them.

        training: whether this is a training step: True or False; if left out, what the layer around was given.
        """
        if further:
            arguments = {**dict(zip(self._further_arguments(further), further, strict=True)), **arguments}
            training = arguments.pop("training", training)
        if training is not None and not isinstance(training, (bool, np.bool_)):
            raise TypeError(f"{self.name}: training = {training!r}: expected True, False or None")
        if isinstance(inputs, (Tensor, np.ndarray)) and not arguments:  # as nearly always: nothing to look through
            return self._call(self.accepted(inputs), training, arguments)
        if has_symbols((inputs, arguments)):
            return self._call_on_symbols(inputs, training, arguments)
        inputs = map_structure(self._convert, inputs)
        self._prepare_for(map_structure(_shape, inputs))
        return self._call(inputs, training, arguments)

    def accepted(self, inputs: Any) -> Tensor:
        """One input as `call` takes it: a tensor of the layer's type whose shape has been checked."""
        tensor = self._convert(inputs)
        self._prepare_for(tensor.array.shape)
        return tensor

    def _call(self, inputs: Any, training: bool | None, arguments: dict[str, Any]) -> Any:
        """`call` with the training flag settled, and set for the layers nested in this one."""
        around = is_training()
        training = around if training is None else bool(training)
        if "training" in _arguments(type(self).call):
            arguments = {**arguments, "training": training}
        if training is around:
            return self.call(inputs, **arguments)
        token = _training.set(training)
        try:
            return self.call(inputs, **arguments)
        finally:
            _training.reset(token)

    def _call_on_symbols(self, inputs: Any, training: bool | None, arguments: dict[str, Any]) -> Any:
        shape = map_structure(_shape, inputs)
        self._prepare_for(shape)
        output_shape = self.compute_output_shape(shape)
        dtypes = [leaf.dtype for leaf in flatten(inputs) if isinstance(leaf, (Symbol, Tensor))]
        dtype = self.compute_output_dtype(dtypes)
        outputs = _symbols(output_shape, dtype, self.name)
        given = arguments if training is None else {**arguments, "training": bool(training)}
        self._notes.nodes.append(Node(self, inputs, given, outputs))
        return outputs

    @property
    def nodes(self) -> list[Node]:
        """The calls of this layer on symbols so far."""
        return list(self._notes.nodes)

    @property
    def input(self) -> Any:
        """The symbol (or symbols) that the layer was called on; AttributeError unless it was called once."""
        return self._only_node("input").inputs

    @property
    def output(self) -> Any:
        """The symbol (or symbols) that the layer gave; AttributeError unless it was called on symbols once."""
        return self._only_node("output").outputs

    def _only_node(self, attribute: str) -> Node:
        if len(self._notes.nodes) != 1:
            raise AttributeError(
                f"{self.name} has no single {attribute}: it was called on symbols {len(self._notes.nodes)} times"
            )
        return self._notes.nodes[0]

    def compute_output_dtype(self, input_dtypes: list[np.dtype]) -> np.dtype:
        """The type of the output: the layer's own, except that integers stay as they are where `call` keeps them."""
        if not self.casts_integers and input_dtypes and all(dtype.kind in "iub" for dtype in input_dtypes):
            return input_dtypes[0]
        return self.dtype

    def _further_arguments(self, further: tuple[Any, ...]) -> list[str]:
        """The names under which `call` takes positional arguments after the first."""
        if not further:
            return []
        names = _arguments(type(self).call)[2:]
        if len(further) > len(names):
            raise TypeError(f"{self.name}: call takes {1 + len(names)} arguments, got {1 + len(further)}")
        return list(names[: len(further)])

    def _convert(self, leaf: Any) -> Any:
        """One input as a tensor; floating ones, and integers where the layer computes with them, in its type."""
        if leaf is None:
            return None
        if not (isinstance(leaf, Tensor) or is_array(leaf)):
            raise TypeError(f"{self.name}: expected a tensor or an array as input, got {type(leaf).__name__} {leaf!r}")
        tensor = as_tensor(leaf)
        kind = tensor.dtype.kind
        if tensor.dtype != self.dtype and (kind == "f" or self.casts_integers):
            return F.astype(tensor, self.dtype)
        return tensor

    def _prepare_for(self, shape: Any) -> None:
        """Check an input's shape, and build the layer for it if that has not been done."""
        if self.built:
            self._check_input_shape(shape)
            return
        if self.given_input_shape is not None and tuple(shape[1:]) != self.given_input_shape:
            raise ValueError(
                f"{self.name}: input_shape = {self.given_input_shape} was given, but the input has shape {shape}"
            )
        self._check_input_shape(shape)
        self.build(shape)
        self.built = True
        self._notes.built_shape = shape

    def _check_input_shape(self, shape: Any) -> None:
        """Raise ValueError for an input that does not fit the layer, and its weights once it is built."""

    def _probe(self, input_shape: Any) -> Any:
        """The shapes that `call` gives for zeros of this shape."""
        shapes = _shapes(input_shape)
        if any(size is None for shape in shapes for size in shape[1:]):
            raise NotImplementedError(
                f"{type(self).__name__} defines no compute_output_shape, and it cannot be found by trying for the "
                f"open sizes in {input_shape}"
            )
        open_batch = any(shape[:1] == (None,) for shape in shapes)
        zeros = _map_shapes(
            lambda shape: as_tensor(np.zeros([_PROBE_BATCH if size is None else size for size in shape], self.dtype)),
            input_shape,
        )
        with no_grad():
            outputs = self._call(zeros, False, {})

        def shape_of(output: Tensor) -> Any:
            return (None, *output.shape[1:]) if open_batch and output.shape[:1] == (_PROBE_BATCH,) else output.shape

        return map_structure(shape_of, outputs)

    # ------------------------------------------------------------------------------------------------- configuration

    def get_config(self) -> dict[str, Any]:
        """name, trainable, dtype and the constructor's arguments, in the types that JSON knows."""
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)}
        overridden = type(self).get_config is not Layer.get_config
        for argument in constructor_arguments(type(self), Layer):
            if argument in config:
                continue
            if hasattr(self, argument):
                config[argument] = self._plain(argument, getattr(self, argument))
            elif not overridden:
                raise NotImplementedError(
                    f"{type(self).__name__}: the constructor's argument {argument!r} is not kept as an attribute of "
                    "that name; keep it, or write get_config()"
                )
        return config

    def _plain(self, argument: str, value: Any) -> Any:
        if callable(value) and not isinstance(value, Configurable):
            from .activations import name_of

            return name_of(value)
        return as_plain(value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


# ------------------------------------------------------------------------------------------------------------ helpers


def _reject(class_name: str, arguments: Mapping[str, Any]) -> None:
    """Raise for keyword arguments that nobody took, unless one asks for what is done anyway."""
    for argument, value in arguments.items():
        if argument not in _ONLY_WITHOUT:
            raise TypeError(f"{class_name}: unknown argument {argument!r}")
        if value != _ONLY_WITHOUT[argument]:
            raise ValueError(f"{class_name}: {argument} = {value!r} is not supported; leave it out")


def _floating(dtype: Any, class_name: str) -> np.dtype:
    try:
        found = np.dtype("float32" if dtype is None else dtype)
    except TypeError:
        found = None
    if found is None or found not in (np.float32, np.float64):
        raise ValueError(f'{class_name}: dtype = {dtype!r}: expected "float32" or "float64"')
    return found


def _marks_built(build: Callable[..., None]) -> Callable[..., None]:
    """`build` as a subclass defines it, and `built` set after it: whoever calls it, it is not called again."""

    @functools.wraps(build)
    def build_and_mark(self: Layer, *arguments: Any, **keywords: Any) -> None:
        build(self, *arguments, **keywords)
        self.built = True
        if arguments:
            self._notes.built_shape = arguments[0]

    return build_and_mark


@functools.cache
def _place_of(cls: type) -> str:
    """Which of a layer's parts an object of this class is, if any."""
    if issubclass(cls, Variable):
        return "variable"
    if issubclass(cls, Layer):
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


def _shape(leaf: Any) -> Any:
    return tuple(leaf.shape) if isinstance(leaf, (Tensor, Symbol)) or is_array(leaf) else None


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        size is None or isinstance(size, (int, np.integer)) for size in value
    )


def _map_shapes(function: Callable[[Any], Any], structure: Any) -> Any:
    """`map_structure` over shapes: the leaves are shapes, which are tuples themselves."""
    if _is_shape(structure):
        return function(tuple(structure))
    if isinstance(structure, dict):
        return {key: _map_shapes(function, entry) for key, entry in structure.items()}
    return type(structure)(_map_shapes(function, entry) for entry in structure)


def _shapes(structure: Any) -> list[tuple[int | None, ...]]:
    found: list[Any] = []
    _map_shapes(found.append, structure)
    return found


def _symbols(shapes: Any, dtype: np.dtype, name: str) -> Any:
    return _map_shapes(lambda shape: Symbol(shape, dtype, name), shapes)


@functools.cache
def _arguments(call: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments, self among them."""
    return tuple(inspect.signature(call).parameters)
