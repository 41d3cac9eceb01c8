"""Activation layers, and activation functions by name.

The functions and their names stand in `functions.activations`; layers take them through `get` here (`Dense(…,
activation="relu")`, `Activation("gelu")`). "relu" is fused into the kernels of convolution, dense and batch
normalisation, everything else is applied to their output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..deferred import Deferred
from ..functions.activations import BY_NAME
from ..masks import as_mask, mask_of
from ..tensor import Tensor, as_tensor
from .base import Layer

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax", "get", "name_of", "relu"]

ActivationFunction = Callable[[Tensor], Tensor]


def get(identifier: Any) -> ActivationFunction:
    """The activation function for a name, a callable (a function, or a layer such as ReLU()) or its configuration, or
    None (linear).

    Raises ValueError for an unknown name, TypeError for a class.
    """
    if isinstance(identifier, Mapping):
        from . import deserialize

        return deserialize(identifier)
    if isinstance(identifier, type):
        raise TypeError(f"activation = {identifier!r}: expected a name, a callable or None; call the class first")
    if callable(identifier) and (name := _KERAS_FORMS.get(id(identifier))) is not None:
        return BY_NAME[name]
    return F.activation_function(identifier)


_KERAS_FORMS: dict[int, str] = {}


def same_as(name: str, function: Any) -> None:
    """Say that a function, called with one argument, is the activation of this name: a layer that is given it computes,
    and writes down, that one."""
    _KERAS_FORMS[id(function)] = name


def name_of(function: Any) -> str:
    """The name under which `get` finds this function. Raises NotImplementedError if it has none."""
    if id(function) in _KERAS_FORMS:
        return _KERAS_FORMS[id(function)]
    for name, known in BY_NAME.items():
        if known is function:
            return name
    raise NotImplementedError(
        f"{function!r} is not one of the named activation functions and cannot be written into a configuration"
    )


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """max(x, 0), or with the other arguments

    f(x) = max_value for x ≥ max_value, x for threshold ≤ x < max_value, negative_slope·(x − threshold) below.

    Raises ValueError for a negative argument.
    """
    if isinstance(x, Deferred):
        return ReLU(max_value, negative_slope, threshold)(x)
    _check_relu("relu", negative_slope, max_value, threshold)
    return _relu(as_tensor(x), negative_slope, max_value, threshold)


same_as("relu", relu)


def _check_relu(owner: str, negative_slope: float, max_value: float | None, threshold: float) -> None:
    for argument, value in (
        ("max_value", 0.0 if max_value is None else max_value),
        ("negative_slope", negative_slope),
        ("threshold", threshold),
    ):
        if value is None or not value >= 0.0:
            raise ValueError(f"{owner}: {argument} = {value!r}: expected a number of at least 0")


def _relu(x: Tensor, negative_slope: float, max_value: float | None, threshold: float) -> Tensor:
    if threshold:
        outputs = F.where(x >= threshold, x, negative_slope * (x - threshold))
    elif negative_slope:
        outputs = F.leaky_relu(x, negative_slope)
    else:
        outputs = F.relu(x)
    return outputs if max_value is None else F.minimum(outputs, max_value)


# ------------------------------------------------------------------------------------------------------------- layers


class _Elementwise(Layer):
    """A layer whose output has the shape of its input."""

    casts_integers = True
    supports_masking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


class Activation(_Elementwise):
    """Applies an activation function, given by name or as a callable."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = get(activation)

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)


class ReLU(_Elementwise):
    """max(x, 0), or with the other arguments as `relu` here has them. Raises ValueError for a negative argument."""

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        _check_relu(self.name, negative_slope, max_value, threshold)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, inputs: Tensor) -> Tensor:
        return _relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Elementwise):
    """x for x ≥ 0, negative_slope·x below."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if negative_slope is None or not negative_slope >= 0.0:
            raise ValueError(f"{self.name}: negative_slope = {negative_slope!r}: expected a number of at least 0")
        self.negative_slope = negative_slope

    def call(self, inputs: Tensor) -> Tensor:
        return F.leaky_relu(inputs, self.negative_slope)


class ELU(_Elementwise):
    """x for x ≥ 0, alpha·(eˣ − 1) below (Clevert et al. 2015)."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        return F.elu(inputs, self.alpha)


class Softmax(_Elementwise):
    """eˣ / Σ eˣ, the sum over `axis`, one axis or several.

    mask, an argument of the call: booleans that broadcast to the input's shape, True for what counts; the rest gets 0,
    and so does everything where nothing counts. The mask that travels with an input (…, T, C), which says of steps
    whether they count, says nothing of channels: it is handed on, and used only where it has the input's shape.
    """

    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        axes: list[Any] = list(axis) if isinstance(axis, (list, tuple)) else [axis]
        if not axes or not all(isinstance(one, int) and not isinstance(one, bool) for one in axes):
            raise TypeError(f"{self.name}: axis = {axis!r}: expected an integer, or several")
        self.axis: int | list[int] = axis if isinstance(axis, int) else axes

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        own = mask_of(inputs)
        if mask is None or (own is not None and mask is own and own.shape != inputs.shape):
            return F.softmax(inputs, axis=self.axis)
        return F.masked_softmax(inputs, as_mask(mask, inputs).array, axis=self.axis)


class PReLU(_Elementwise):
    """x for x ≥ 0, alpha·x below, where alpha is learned (He et al. 2015).

    alpha has the shape of one example, with 1 in the `shared_axes` (counted with the batch as axis 0): for images,
    shared_axes=[1, 2] gives one slope a channel.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes and list(shared_axes)

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or []:
            if not 1 <= axis < len(input_shape):
                raise ValueError(f"{self.name}: shared axis {axis}: expected 1 to {len(input_shape) - 1}")
            shape[axis - 1] = 1
        if None in shape:
            raise ValueError(f"{self.name}: input {input_shape} has open sizes: name their axes in shared_axes")
        self.alpha = self.add_weight(
            shape,
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )

    def call(self, inputs: Tensor) -> Tensor:
        return F.prelu(inputs, self.alpha)
