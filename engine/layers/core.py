"""Layers that stand at the beginning and in between: InputLayer, Identity, Lambda, Rescaling, Dense, Embedding,
Masking."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..capture import constant
from ..checks import not_supported
from ..masks import mask_of, with_mask
from ..tensor import Tensor, as_tensor
from . import activations
from .base import Layer
from .shapes import all_shapes, map_shapes
from .symbolic import Node, Symbol

__all__ = ["Dense", "Embedding", "Identity", "InputLayer", "Lambda", "Masking", "Rescaling"]


class InputLayer(Layer):
    """Where a graph begins: its `output` is the symbol of this shape. See `Input`.

    dtype: any NumPy type, "float32" unless given: the type that the data are expected in. input_shape: a second name of
    shape. Keras's sparse, ragged, input_tensor and optional are not supported.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Sequence[int | None] | None = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        for argument, value in (
            ("sparse", sparse),
            ("ragged", ragged),
            ("input_tensor", input_tensor),
            ("optional", optional),
        ):
            not_supported(self.name, argument, value, None, False)
        shape = self.given_input_shape if shape is None else shape
        if (shape is None) == (batch_shape is None):
            raise ValueError(f"{self.name}: expected either shape or batch_shape, got {shape!r} and {batch_shape!r}")
        if batch_shape is not None and batch_size is not None:
            raise ValueError(f"{self.name}: batch_shape holds the batch's size already: leave out batch_size")
        if isinstance(shape, int) or isinstance(batch_shape, int):
            raise TypeError(f"{self.name}: shape = {shape!r}: expected a tuple, such as ({shape},)")
        given = tuple(batch_shape) if batch_shape is not None else (batch_size, *(shape or ()))
        if not all(size is None or (isinstance(size, (int, np.integer)) and size > 0) for size in given):
            raise ValueError(f"{self.name}: shape {given}: expected positive integers, or None for an open size")
        self.batch_shape = given
        self.dtype = np.dtype("float32" if dtype is None else dtype)
        self.built = True
        self._notes.nodes.append(Node(self, [], {}, Symbol(given, self.dtype, self.name)))

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def _convert(self, leaf: Any) -> Any:
        tensor = as_tensor(leaf)
        if tensor.dtype.kind == "f" and self.dtype.kind != "f":
            raise TypeError(f"{self.name}: expected {self.dtype}, got {tensor.dtype}")
        return with_mask(F.astype(tensor, self.dtype), mask_of(tensor))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "batch_shape": list(self.batch_shape), "dtype": str(self.dtype)}


class Identity(Layer):
    """Gives its input back."""

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class Lambda(Layer):
    """function(x, **arguments), for what has no layer of its own.

    function: takes a tensor, or what the layer is called on, and returns tensors, of differentiable functions
        (`tomograd.functional`); `mask` and `training` are given to it if it has such arguments.
    output_shape: the shape of an example's output, or a function from the input's shape to the output's; found by
        calling the function on zeros if not given. mask: the output's mask, or a function of (inputs, mask) that gives
        it. arguments: further arguments of the function.

    A Lambda cannot be written into a configuration or a file (NotImplementedError): files hold no code. Make a class of
    it, a Layer with a `call`, and register that (`tomograd.models.register`). Weights that the function uses are not
    found, nor trained.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"{self.name}: function = {function!r}: expected a function")
        self.function, self.mask = function, mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        self._given_output_shape = output_shape
        self._takes = set(inspect.signature(function).parameters)

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        offered = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{key: offered[key] for key in self._takes & offered.keys()})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        given = self._given_output_shape
        if given is None:
            return super().compute_output_shape(input_shape)
        if callable(given):
            return given(input_shape)
        batch = all_shapes(input_shape)[0][0]
        return map_shapes(lambda shape: (batch, *shape), given)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"{self.name}: a Lambda holds code, which is not written into configurations and files: make a Layer of it "
            "and register its class"
        )


class Rescaling(Layer):
    """x · scale + offset, numbers or one for each channel. Integers (pixels of 8 or 16 bits) are converted first."""

    casts_integers = True
    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self._factor(self.scale, inputs) + self._factor(self.offset, inputs)

    def _factor(self, value: Any, inputs: Tensor) -> Any:
        return float(value) if np.ndim(value) == 0 else constant(np.asarray(value, self.dtype), inputs.array)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


class Dense(Layer):
    """y = activation(x · kernel + bias): x (…, C_in), kernel (C_in, units), bias (units,), y (…, units).

    Raises ValueError for an input whose last size is open, or is not the one that the layer was built for.
    """

    casts_integers = True
    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive(units, "units", self.name)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = known_channels(input_shape, self.name)
        self.kernel = self.add_weight(
            (channels, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def call(self, inputs: Tensor) -> Tensor:
        return self.apply(inputs, self.kernel, self.bias, self.activation)

    def apply(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None, activation: Any) -> Tensor:
        """What the layer computes, with weights and activation that are given instead of its own."""
        return F.dense(inputs, kernel, bias, activation=activation)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def _check_input_shape(self, shape: Any) -> None:
        if self.built:
            require_channels(shape, self.kernel.shape[0], self.name)


class Embedding(Layer):
    """Row i of a learned table for every index i: indices (…) → (…, output_dim), the table (input_dim, output_dim).

    mask_zero: index 0 says that there is nothing: the output gets the mask indices ≠ 0 (row 0 of the table is still
    looked up, and so trained by what does not heed the mask). weights: the table to begin with, or a list with it.

    Raises ValueError for an index outside 0 … input_dim − 1, TypeError for indices that are not integers.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.mask_zero = self.supports_masking = bool(mask_zero)
        self.input_dim = positive(input_dim, "input_dim", self.name)
        self.output_dim = positive(output_dim, "output_dim", self.name)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, (list, tuple)) and len(weights) == 1 else [weights])

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
            name="embeddings",
        )

    def call(self, inputs: Tensor) -> Tensor:
        indices = inputs.array
        if indices.dtype.kind not in "iu":
            whole = np.asarray(indices).astype(np.int64)
            if indices.dtype.kind != "f" or not (whole == indices).all():
                raise TypeError(f"{self.name}: expected integers as indices, got {indices.dtype}")
            indices = whole
        return F.embedding(indices, self.embeddings)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)

    def compute_output_dtype(self, input_dtypes: list[np.dtype]) -> np.dtype:
        return self.dtype

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where the indices are not 0; None without mask_zero."""
        if not self.mask_zero:
            return None
        return F.any(F.expand_dims(inputs, -1), axis=-1)  # of symbols too


class Masking(Layer):
    """Masks the steps of a sequence (…, T, C) whose values are all `mask_value`, and sets them to 0.

    mask_value: a number; NaN (beyond Keras, where it masks nothing) for steps whose values are all missing. Layers that
    support masks skip such steps; the others see zeros. step_axes (beyond Keras): how many axes, the last ones, a step
    has: 3 for sequences of images (N, T, H, W, C), whose mask is then (N, T).
    """

    casts_integers = True
    supports_masking = True

    def __init__(self, mask_value: float = 0.0, step_axes: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step_axes = positive(step_axes, "step_axes", self.name)
        if isinstance(mask_value, bool) or not isinstance(mask_value, (int, float, np.number)):
            raise TypeError(f"{self.name}: mask_value = {mask_value!r}: expected a number")
        self.mask_value = mask_value

    def call(self, inputs: Tensor) -> Tensor:
        present = self.compute_mask(inputs)
        spread = F.reshape(present, (*present.shape, *(1,) * self.step_axes))
        return with_mask(F.where(spread, inputs, 0.0), present)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Where any of a step's values is another than mask_value."""
        axes = tuple(range(-self.step_axes, 0))
        if isinstance(inputs, Symbol) and math.isfinite(self.mask_value):
            return F.any(inputs - self.mask_value, axis=axes)
        inputs = as_tensor(inputs)
        there = inputs == inputs if math.isnan(self.mask_value) else inputs != self.mask_value
        return F.any(there, axis=axes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def _check_input_shape(self, shape: Any) -> None:
        least = self.step_axes + 1
        if len(shape) < least:
            raise ValueError(
                f"{self.name}: expected an input of {least} dimensions or more, (…, T, C), got {tuple(shape)}"
            )


# ----------------------------------------------------------------------------------------------------- shared checks


def positive(value: Any, argument: str, name: str) -> int:
    """`value` as an int of at least 1; else TypeError or ValueError naming layer and argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: {argument} = {value!r}: expected a positive integer")
    if value < 1:
        raise ValueError(f"{name}: {argument} = {value!r}: expected a positive integer")
    return int(value)


def known_channels(input_shape: Any, name: str) -> int:
    """The last size of the input: the number of channels. ValueError if it is open or the input has no such axis."""
    if len(input_shape) < 2:
        raise ValueError(f"{name}: expected an input of 2 dimensions or more, (N, …, C), got {tuple(input_shape)}")
    if input_shape[-1] is None:
        raise ValueError(f"{name}: the last size of the input, its channels, must be known; got {tuple(input_shape)}")
    return int(input_shape[-1])


def require_channels(shape: Any, channels: int, name: str) -> None:
    """Raise ValueError unless an input of this shape has the channels that the layer was built for."""
    if not shape or shape[-1] != channels:
        raise ValueError(f"{name}: expected {channels} channels (the last size), got an input of shape {tuple(shape)}")
