"""EinsumDense: a product with a learned kernel along axes that an equation names."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..tensor import Tensor
from . import activations
from .base import Layer

__all__ = ["EinsumDense"]

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class _Plan(NamedTuple):
    """The equation for inputs of one rank, the ellipsis written as letters; sizes, None where open."""

    inputs: str
    kernel: str
    output: str
    output_shape: tuple[int | None, ...]
    kernel_shape: tuple[int | None, ...]
    bias_shape: tuple[int | None, ...] | None


class EinsumDense(Layer):
    """y = activation(einsum(equation, x, kernel) + bias).

    equation: "ab,bc->ac", "...ab,bc->...ac" or "ab...,bc->ac...": labels of the input's axes, the kernel's, the
        output's; summed over are those that the output does not have.
    output_shape: the output's sizes without the batch (the first axis) and without what the ellipsis stands for; None
        for a size that the input has. A single size may stand as an int.
    bias_axes: the output's labels along which the bias differs; None for no bias.

    The fans of random initializers are the products of the sizes that are summed over, and of the others.
    Raises ValueError for an equation of another form, and for inputs that do not fit it.
    """

    casts_integers = True

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.equation = equation
        self._labels = _parsed(equation, self.name)
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        if not set(bias_axes or "") <= set(self._labels[2]):
            raise ValueError(f"{self.name}: bias_axes = {bias_axes!r}: expected labels of the output in {equation!r}")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        plan = self._plan(input_shape)
        unknown = plan.kernel_shape + (plan.bias_shape or ())
        if None in unknown:
            raise ValueError(
                f"{self.name}: the kernel's and the bias's sizes {plan.kernel_shape}, {plan.bias_shape} must be known; "
                f"got an input of shape {tuple(input_shape)} and output_shape = {self.partial_output_shape}"
            )
        self.kernel = self.add_weight(
            plan.kernel_shape,  # type: ignore[arg-type]  # None was ruled out
            self._initializer(plan),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        self.bias = None
        if plan.bias_shape is not None:
            self.bias = self.add_weight(
                plan.bias_shape,  # type: ignore[arg-type]
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _initializer(self, plan: _Plan) -> Any:
        """The kernel's initializer, told what its inputs and outputs are: what is summed over, and the rest."""
        initializer = self.kernel_initializer
        if not isinstance(initializer, initializers.VarianceScaling) or initializer.input_axes is not None:
            return initializer
        axes: dict[bool, list[int]] = {False: [], True: []}
        for axis, label in enumerate(plan.kernel):
            axes[label in plan.output].append(axis)
        config = initializer.get_config() | {"input_axes": axes[False], "output_axes": axes[True]}
        return type(initializer).from_config(config)

    def call(self, inputs: Tensor) -> Tensor:
        plan = self._plan(inputs.shape)
        summed = "".join(label for label in plan.kernel if label not in plan.output)
        free, new = plan.inputs[: len(plan.inputs) - len(summed)], plan.kernel[len(summed) :]
        if (plan.inputs, plan.kernel, plan.output) == (free + summed, summed + new, free + new):
            return self._as_dense(inputs, len(summed), plan)
        outputs = F.einsum(f"{plan.inputs},{plan.kernel}->{plan.output}", inputs, self.kernel)
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def _as_dense(self, inputs: Tensor, summed: int, plan: _Plan) -> Tensor:
        """Where the last axes are summed over and the kernel's others take their place: a dense layer's product."""
        sizes = self.kernel.shape
        columns = math.prod(sizes[:summed])
        bias: Tensor | None = self.bias
        activation = self.activation
        if bias is not None and bias.shape == sizes[summed:]:
            bias, fused = F.reshape(bias, (bias.size,)), activation
        else:
            bias, fused = None, None
        free = inputs.shape[: inputs.ndim - summed]
        outputs = F.reshape(
            F.dense(
                F.reshape(inputs, (*free, columns)),
                F.reshape(self.kernel, (columns, math.prod(sizes[summed:]))),
                bias,
                activation=fused if fused is F.relu else None,
            ),
            (*free, *sizes[summed:]),
        )
        if fused is F.relu:
            return outputs
        if bias is None and self.bias is not None:
            outputs = outputs + self.bias
        return activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._plan(input_shape).output_shape

    def _check_input_shape(self, shape: Any) -> None:
        plan = self._plan(shape)
        if self.built and plan.kernel_shape != self.kernel.shape:
            raise ValueError(
                f"{self.name}: built with a kernel of shape {self.kernel.shape}, an input of shape {tuple(shape)} "
                f"needs {plan.kernel_shape}"
            )

    def _plan(self, input_shape: Any) -> _Plan:
        """What the equation says for an input of this shape."""
        inputs, kernel, output, side = self._labels
        elided = len(input_shape) - len(inputs)
        if elided < 0 or (elided and not side):
            raise ValueError(
                f"{self.name}: {self.equation!r} names {len(inputs)} axes, the input has shape {tuple(input_shape)}"
            )
        letters = "".join(label for label in string.ascii_letters if label not in inputs + kernel + output)[:elided]
        left, right = (letters, "") if side == "left" else ("", letters)
        inputs, output = left + inputs + right, left + output + right
        if len(self.partial_output_shape) + 1 + elided - (1 if left else 0) != len(output):
            raise ValueError(
                f"{self.name}: output_shape = {self.partial_output_shape} does not fit {self.equation!r}: expected a "
                "size for each of the output's axes but the first (the batch) and the ellipsis's"
            )
        sizes = dict(zip(inputs, input_shape, strict=True))
        named = output[max(1, len(left)) : len(output) - len(right)]
        for label, size in zip(named, self.partial_output_shape, strict=True):
            if label not in sizes or sizes[label] is None:
                sizes[label] = size
            elif size not in (None, sizes[label]):
                raise ValueError(
                    f"{self.name}: output_shape = {self.partial_output_shape} does not fit an input of shape "
                    f"{tuple(input_shape)} along {label!r}"
                )
        bias_shape = None
        if self.bias_axes:
            first = min(map(output.index, self.bias_axes))
            bias_shape = tuple(sizes[label] if label in self.bias_axes else 1 for label in output[first:])
        return _Plan(inputs, kernel, output, tuple(map(sizes.get, output)), tuple(map(sizes.get, kernel)), bias_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": list(self.partial_output_shape)}


def _parsed(equation: str, name: str) -> tuple[str, str, str, str]:
    """The labels of input, kernel and output, and on which side the ellipsis stands: "left", "right" or ""."""
    found = _EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
    if found is not None:
        left, inputs, right, kernel, left_out, output, right_out = found.groups()
        once = all(len(set(labels)) == len(labels) for labels in (inputs, kernel, output))
        known = set(output) <= set(inputs + kernel) and set(kernel) <= set(inputs + output)
        # The batch stands first: left of an ellipsis is at least its label.
        if (left, right) == (left_out, right_out) and not (left and right) and once and known:
            return inputs, kernel, output, "left" if left else "right" if right else ""
    raise ValueError(
        f'{name}: equation = {equation!r}: expected one such as "ab,bc->ac", "...ab,bc->...ac" or "ab...,bc->ac...", '
        "each label once in a part, the kernel's in the input or the output, the output's in the input or the kernel"
    )
