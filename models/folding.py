"""Batch normalisation after a convolution, in inference: one convolution with other weights.

With the moving averages μ and σ² both are linear, and so is their composition:

    ((x ∗ w + b) − μ)·s + β = x ∗ (w·s) + ((b − μ)·s + β),    s = γ/√(σ² + ε)

which saves a pass over memory (Jacob et al., arXiv:1712.05877, section 3.2). Done where no gradient is recorded and
nobody trains: in `predict`, `evaluate` and under `no_grad`. Results differ from those of the two layers by rounding.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import layers
from ..engine.layers.base import is_training
from ..engine.masks import mask_of
from ..engine.tape import recording
from ..engine.tensor import Tensor, as_tensor

# The axis of the kernel that counts output channels; for DepthwiseConv its last two do.
_OUTPUT_AXES: dict[type, tuple[int, ...]] = {
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense), (-1,)),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), (-2,)),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), (-2, -1)),
}


def is_inference() -> bool:
    """Whether what is computed now is inference: no gradient is recorded, and this is no step of training."""
    return not recording() and not is_training()


def computes_as(layer: Any, classes: Container[type]) -> bool:
    """Whether a layer computes what one of these classes says: a subclass, or an object with a `call` of its own, may
    compute something else."""
    return type(layer) in classes and "call" not in vars(layer)


def can_fold(layer: Any, norm: Any) -> bool:
    """Whether a layer and the batch normalisation of its output are one linear map."""
    return (
        computes_as(layer, _OUTPUT_AXES)
        and computes_as(norm, (layers.BatchNormalization,))
        and layer.activation is as_tensor
        and layer.dtype == norm.dtype
        and layer.activity_regularizer is None
        and norm.activity_regularizer is None
    )


class Row:
    """Layers in a row as inference calls them: each convolution joined with the batch normalisation after it."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.calls: list[Any] = []
        for layer in layers:
            if self.calls and can_fold(self.calls[-1], layer):
                self.calls[-1] = Folded(self.calls[-1], layer)
            else:
                self.calls.append(layer)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.calls)

    def __call__(self, inputs: Any) -> Any:
        for call in self.calls:
            inputs = call(inputs)
        return inputs


class Folded:
    """A layer and the batch normalisation after it, as one layer. Weights are folded again when one of them changed."""

    def __init__(self, layer: Any, norm: Any) -> None:
        self.layer, self.norm = layer, norm
        # Of what it was made, the tensors themselves (no other can have their ids as long as they live), kernel, bias.
        self._folded: tuple[Any, Any, Tensor, Tensor] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Folded, (self.layer, self.norm)  # copies fold their own weights

    def __call__(self, inputs: Any) -> Tensor:
        # Somebody gave the layer an activation since, or a mask is to be handed on.
        if not can_fold(self.layer, self.norm) or mask_of(inputs) is not None:
            return self.norm(self.layer(inputs))
        kernel, bias = self._weights()
        return self.layer.apply(self.layer.accepted(inputs), kernel, bias, self.norm.activation)

    def _weights(self) -> tuple[Tensor, Tensor]:
        layer, norm = self.layer, self.norm
        tensors = layer.kernel, layer.bias, norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance
        made_of = [(id(tensor), 0 if tensor is None else tensor.version[0]) for tensor in tensors]
        key = (*made_of, norm.epsilon)
        if self._folded is None or self._folded[0] != key:
            self._folded = (key, tensors, *_fold(layer, norm))
        return self._folded[2:]


def _fold(layer: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """(kernel, bias) of the composition."""
    scale = 1 / np.sqrt(norm.moving_variance.array + norm.dtype.type(norm.epsilon))
    if norm.gamma is not None:
        scale = scale * norm.gamma.array
    bias = -norm.moving_mean.array if layer.bias is None else layer.bias.array - norm.moving_mean.array
    bias = bias * scale
    if norm.beta is not None:
        bias = bias + norm.beta.array
    kernel, axes = layer.kernel.array, _OUTPUT_AXES[type(layer)]
    sizes = [size if axis - kernel.ndim in axes else 1 for axis, size in enumerate(kernel.shape)]
    return as_tensor(kernel * scale.reshape(sizes)), as_tensor(bias)
