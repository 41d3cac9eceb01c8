"""Layer: a function with weights, built when it first sees an input, that other layers and models are made of.

Building, calling, the training flag and configurations stand here, the finding of weights and nested layers in
`tracking`; what a layer computes stands in its own class. A layer called on tensors computes; called on symbols (see
`symbolic`) it notes a node of a graph.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ...kernels.half_precision import is_floating
from .. import constraints, initializers, regularizers
from .. import functions as F
from ..checks import not_supported
from ..config import Configurable, as_plain, constructor_arguments
from ..device import device_of_weights
from ..masks import mask_of, with_mask
from ..tensor import Tensor, as_tensor, is_array
from ..variable import Variable
from .masks import mask_arguments, masked_outputs, masks_of
from .names import auto_name
from .probing import shapes_by_trying
from .shapes import map_shapes
from .symbolic import Node, Symbol, flatten, has_symbols, map_structure
from .tracking import Notes, Tracked

__all__ = ["Layer", "is_told", "is_training"]

# Arguments of Keras's layers that we do not have, with the one value of each that says "without it".
_ONLY_WITHOUT: dict[str, Any] = {
    "autocast": True,
    "data_format": None,
    "gptq_unpacked_column_size": None,
    "lora_alpha": None,
    "lora_rank": None,
    "quantization_config": None,
    "weights": None,
}


_training: ContextVar[bool | None] = ContextVar("training", default=None)

# The number of the outermost call that is going on in this thread; 0 where a layer is tried for its output's shape.
_call_number: ContextVar[int | None] = ContextVar("call_number", default=None)
_call_numbers = itertools.count(1)


def is_training() -> bool:
    """Whether a layer is being called, in this thread, with training = True."""
    return bool(_training.get())


def is_told() -> bool:
    """Whether somebody has said if the layer that is being called, in this thread, is in training."""
    return _training.get() is not None


# ------------------------------------------------------------------------------------------------------------- layers


class Layer(Tracked):
    """Base class of all layers.

    A subclass defines `call(inputs, …)`, and, as far as it needs them, `build(input_shape)`, which makes its weights
    with `add_weight` when the first input's shape is known, and `compute_output_shape(input_shape)`. If `call` has an
    argument `training`, it receives the flag: what the call was given, else that of the layer around it, else False
    (True if that is the argument's default, as it is for layers of random augmentation).
    Variables, layers, and lists, tuples and dicts of them that are kept as attributes are found and tracked.

    Masks (see `engine.masks`) travel with tensors. A layer with `supports_masking`, set as True in the class or in the
    constructor, puts on its outputs what `compute_mask(inputs, previous_mask)` gives: its input's mask, unless it is
    overridden, which alone makes a layer support masks. If `call` has an argument `mask`, it receives the first input's
    mask, and an argument NAME_mask that of the input NAME. (In Keras `mask` stays empty as soon as a second input is
    given: an LSTM with an initial_state ignores the mask.) A layer that does not support masks computes as if there
    were none, and warns, as in Keras 3, whose documentation speaks of an error: its output has no mask. (Keras warns
    of a layer as well whose `call` takes the mask.)

    name: "conv2d", "conv2d_1", … if not given. trainable: whether its weights are trained. dtype: "float32" or
    "float64", the type of its weights, to which floating inputs are converted. activity_regularizer: a penalty of the
    layer's outputs (see `regularizers`), which is divided by the size of the batch and added to the loss. input_shape:
    the shape of one input without the batch, for the first layer of a Sequential; input_dim = n is short for
    input_shape = (n,).

    Raises TypeError for an unknown argument, ValueError for one of Keras's that this layer does not support.
    """

    casts_integers = False  # whether integer and boolean inputs are converted to `dtype` too
    supports_masking = False  # whether outputs get the masks that `compute_mask` gives
    _makes_masks = False  # whether the class has a compute_mask of its own, to be asked for inputs without masks too

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "build" in vars(cls):
            cls.build = _marks_built(cls.build)  # type: ignore[method-assign]
        if "compute_mask" in vars(cls):
            cls._makes_masks = True
            if "supports_masking" not in vars(cls):
                cls.supports_masking = True

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        activity_regularizer: Any = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        **unsupported: Any,
    ) -> None:
        _reject(type(self).__name__, unsupported)
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"{type(self).__name__}: name = {name!r}: expected a string or None")
        self._notes = Notes()
        self.name = name or auto_name(type(self).__name__)
        self.built = False
        self._trainable = bool(trainable)
        self.dtype = _floating(dtype, type(self).__name__)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if input_dim is not None:
            if input_shape is not None:
                raise ValueError(f"{self.name}: give either input_shape or input_dim, not both")
            input_shape = (input_dim,)
        self.given_input_shape = None if input_shape is None else tuple(input_shape)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        vars(self)["changes"] = self.changes + 1

    changes = 0  # how often an attribute was set: who has prepared for the layer as it was sees that it changed

    @property
    def compute_dtype(self) -> str:
        """The name of the type that the layer computes in, its `dtype`: `ops.cast(x, self.compute_dtype)`."""
        return str(self.dtype)

    variable_dtype = compute_dtype

    @property
    def path(self) -> str:
        """The layer's name: Keras's `path`, without the names of the models around it."""
        return self.name

    # -------------------------------------------------------------------------------------- what a subclass defines

    def build(self, input_shape: Any) -> None:
        """Make the weights. `input_shape` is a shape with None for open sizes, or a list of them for several inputs."""

    def call(self, inputs: Any) -> Any:
        """The layer's output."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(inputs)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape (or a list of shapes) for an input's shape, None standing for open sizes.

        If a class does not define it, it is found by calling the layer on zeros, twice if sizes besides the batch are
        open. Raises NotImplementedError where that fails.
        """
        return self._probe(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the output (a list of them for several outputs), from the inputs and their mask or masks."""
        return previous_mask

    # ---------------------------------------------------------------------------------------------------- weights

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new weight, named "LAYER/NAME". Keep it as an attribute: that is how it is found.

        initializer: a name, an Initializer or a callable; "glorot_uniform" if not given (as in Keras), and "zeros" for
        types that are not floating. trainable: False for state such as a moving average. regularizer: a penalty of the
        weight, added to the loss; constraint: what the optimizer leaves of it after each step: names, objects or
        callables, see `regularizers` and `constraints`.
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
        trained = trainable and self._trainable
        variable = Variable(values, full_name, trained, dtype, constraints.get(constraint))
        if (device := device_of_weights()) is not None:
            variable.move(device)
        if trainable and not self._trainable:
            self._notes.frozen.append(variable)
        penalty = regularizers.get(regularizer)
        if penalty is not None:
            self._notes.regularized.append((variable, penalty))
        return variable

    # ------------------------------------------------------------------------------------------------------- calling

    def __call__(self, inputs: Any, *further: Any, training: bool | None = None, **arguments: Any) -> Any:
        """The output for `inputs`: a tensor or array, a symbol, or a list of them as `call` takes them.

        training: whether this is a training step: True or False; if left out, what the layer around was given.
        """
        if further:
            arguments = {**dict(zip(self._further_arguments(further), further, strict=True)), **arguments}
            training = arguments.pop("training", training)
        if "_notes" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}: its constructor must call super().__init__()")
        if inputs is None:
            raise TypeError(f"{self.name}: expected a tensor or an array as input, got None")
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
        """`call` with masks, and with the training flag settled."""
        masks, call = masks_of(inputs), type(self).call
        if masks is not None or arguments:
            arguments = {**arguments, **mask_arguments(call, masks, arguments)}
            given = arguments.get("mask")
            masks = masks if given is None else given
        outputs = self._called(inputs, training, arguments)
        if masks is None and not self._makes_masks:
            return outputs
        return self._masked(inputs, outputs, masks)

    def _called(self, inputs: Any, training: bool | None, arguments: dict[str, Any]) -> Any:
        """`call` with the training flag settled, and set for the layers nested in this one."""
        around = _training.get()  # None where nobody has said
        within = around if training is None else bool(training)
        if "training" in _arguments(type(self).call):
            within = _training_by_default(type(self).call) if within is None else within
            arguments = {**arguments, "training": bool(within)}
        outermost = _call_number.get() is None
        if within is around and not outermost:
            return self._noted(self.call(inputs, **arguments))
        token = _training.set(within)
        numbered = _call_number.set(self._notes.begin(next(_call_numbers))) if outermost else None
        try:
            return self._noted(self.call(inputs, **arguments))
        finally:
            _training.reset(token)
            if numbered is not None:
                _call_number.reset(numbered)

    def _noted(self, outputs: Any) -> Any:
        """The outputs, after their penalty has been added to the losses."""
        if self.activity_regularizer is not None:
            for output in flatten(outputs):
                if isinstance(output, Tensor):
                    penalty = as_tensor(self.activity_regularizer(output))
                    share = 1.0 if output.ndim == 0 else 1.0 / output.shape[0] if output.shape[0] else 0.0
                    self.add_loss(penalty * share)
        return outputs

    def add_loss(self, loss: Any) -> None:
        """To be called from within `call`: add a scalar tensor, or several, to the loss of this step of training.

        `losses`, of this layer and of those around it, holds them until the outermost of these is called again.

        Raises ValueError for what is no scalar tensor, RuntimeError outside of a call.
        """
        number = _call_number.get()
        if number is None:
            raise RuntimeError(f"{self.name}: add_loss can only be called while a layer is called, from within `call`")
        for leaf in flatten(loss):
            if not isinstance(leaf, Tensor) or leaf.ndim:
                raise ValueError(f"{self.name}: add_loss: expected a tensor of shape (), got {leaf!r}")
        if number:
            self._notes.add(number, flatten(loss))

    def _masked(self, inputs: Any, outputs: Any, masks: Any) -> Any:
        """The outputs with their masks, from those of the inputs."""
        if self.supports_masking:
            found = self.compute_mask(inputs, masks)
            return outputs if found is None else masked_outputs(outputs, found)
        if masks is not None and masks_of(outputs) is None and "mask" not in call_arguments(self):
            self._warn_of_lost_mask()
        return outputs

    def _warn_of_lost_mask(self) -> None:
        warnings.warn(
            f"the input of {self.name} ({type(self).__name__}) has a mask, which this layer does not support: it "
            "computes as if there were none, and the layers after it will not see the mask",
            stacklevel=2,
        )

    def _call_on_symbols(self, inputs: Any, training: bool | None, arguments: dict[str, Any]) -> Any:
        shape = map_structure(_shape, inputs)
        self._prepare_for(shape)
        output_shape = self._shapes_of_call(shape, arguments)
        dtypes = [leaf.dtype for leaf in flatten(inputs) if isinstance(leaf, (Symbol, Tensor))]
        dtype = self.compute_output_dtype(dtypes)
        outputs = _symbols(output_shape, dtype, self.name)
        given = arguments if training is None else {**arguments, "training": bool(training)}
        self._notes.nodes.append(Node(self, inputs, given, outputs))
        return outputs

    def _shapes_of_call(self, input_shape: Any, arguments: dict[str, Any]) -> Any:
        """The shape (or shapes) of what a call with these further arguments gives; some ask for a further output."""
        return self.compute_output_shape(input_shape)

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

    def output_shapes(self, node: Node, shape_of: Callable[[Symbol], Any]) -> Any:
        """The output's shape (or a list of shapes) of a call on symbols, where the symbols have other shapes."""

        def shape(leaf: Any) -> Any:
            return shape_of(leaf) if isinstance(leaf, Symbol) else tuple(leaf.shape)

        return self.compute_output_shape(map_structure(shape, node.inputs))

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
        if tensor.dtype != self.dtype and (self.casts_integers or is_floating(tensor.dtype)):
            return with_mask(F.astype(tensor, self.dtype), mask_of(tensor))
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
        return shapes_by_trying(self, input_shape)

    def _call_aside(self, inputs: Any) -> Any:
        """`call` on these inputs in inference, whose penalties nobody keeps."""
        token = _call_number.set(0)
        try:
            return self._call(inputs, False, {})
        finally:
            _call_number.reset(token)

    # ------------------------------------------------------------------------------------------------- configuration

    def get_config(self) -> dict[str, Any]:
        """name, trainable, dtype and the constructor's arguments, in the types that JSON knows."""
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = self._plain("activity_regularizer", self.activity_regularizer)
        overridden = type(self).get_config is not Layer.get_config
        for argument in constructor_arguments(type(self), Layer):
            if argument in config or argument == "weights":  # numbers to begin with are no part of it
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
        not_supported(class_name, argument, value, _ONLY_WITHOUT[argument])


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


def _shape(leaf: Any) -> Any:
    return tuple(leaf.shape) if isinstance(leaf, (Tensor, Symbol)) or is_array(leaf) else None


def _symbols(shapes: Any, dtype: np.dtype, name: str) -> Any:
    return map_shapes(lambda shape: Symbol(shape, dtype, name), shapes)


def call_arguments(layer: Layer) -> tuple[str, ...]:
    """The names of the arguments that a layer's `call` takes, self among them."""
    return _arguments(type(layer).call)


@functools.cache
def _training_by_default(call: Callable[..., Any]) -> bool | None:
    """What the flag is in a layer's `call`, and for the layers nested in it, where nobody has said."""
    default = inspect.signature(call).parameters["training"].default
    return default if isinstance(default, bool) else None


@functools.cache
def _arguments(call: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments, self among them."""
    return tuple(inspect.signature(call).parameters)
