"""Output shapes found by trying, for layers that do not say them: the layer is called on zeros."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from ..masks import with_mask
from ..tape import no_grad
from ..tensor import Tensor, as_tensor
from .shapes import all_shapes, map_shapes
from .symbolic import flatten, map_structure

if TYPE_CHECKING:
    from .base import Layer

# What stands for an open batch and for other open sizes: few divisors that strides might have make both the same.
SMALL, LARGE = (3, 16), (2, 48)


def shapes_by_trying(layer: Layer, input_shape: Any) -> Any:
    """The shapes that the layer's `call` gives for zeros of this shape, or structure of shapes.

    Where sizes besides the batch are open, it is called for two choices of them: sizes of the output that differ then
    are open too. Raises NotImplementedError if it cannot be called with both.
    """
    shapes = all_shapes(input_shape)
    open_batch = any(shape[:1] == (None,) for shape in shapes)
    if not any(size is None for shape in shapes for size in shape[1:]):
        outputs = _tried(layer, input_shape, SMALL)

        def shape_of(output: Tensor) -> Any:
            return (None, *output.shape[1:]) if open_batch and output.shape[:1] == SMALL[:1] else output.shape

        return map_structure(shape_of, outputs)
    try:
        small, large = (_tried(layer, input_shape, sizes) for sizes in (SMALL, LARGE))
        others = iter(flatten(large))
        return map_structure(lambda output: _between(output.shape, next(others).shape), small)
    except Exception as error:
        raise NotImplementedError(
            f"{type(layer).__name__} defines no compute_output_shape, and it cannot be found by trying for the open "
            f"sizes in {input_shape}: {error}"
        ) from error


def _tried(layer: Layer, input_shape: Any, sizes: tuple[int, int]) -> Any:
    """What the layer gives for zeros. If it cannot do without the mask that its `call` asks for, all steps count."""
    batch, other = sizes

    def zeros(shape: Any) -> Tensor:
        known = [(other if axis else batch) if size is None else size for axis, size in enumerate(shape)]
        return as_tensor(np.zeros(known, layer.dtype))

    inputs = map_shapes(zeros, input_shape)
    with no_grad():
        try:
            return layer._call_aside(inputs)
        except Exception:
            if "mask" not in inspect.signature(layer.call).parameters:
                raise
            return layer._call_aside(map_structure(_all_counting, inputs))


def _all_counting(x: Tensor) -> Tensor:
    return with_mask(x, np.ones(x.shape[:-1], bool))


def _between(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[int | None, ...]:
    return tuple(one if one == other else None for one, other in zip(small, large, strict=True))
