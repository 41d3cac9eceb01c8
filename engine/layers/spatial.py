"""What layers over (N, *spatial, C) share: a fixed number of spatial dimensions, and one output size for each of them.

A layer is written once for any number of dimensions; its 1-D, 2-D and 3-D classes only set `dimensions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Layer

__all__ = ["Sizes", "SpatialLayer", "channels_last", "one_dimension", "require_spatial"]

Sizes = int | Sequence[int]


class SpatialLayer(Layer):
    """Base class. data_format: None or "channels_last"; ValueError for anything else, all arrays are channels-last."""

    dimensions: int

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = channels_last(data_format, self.name)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(N, *sizes, C); a spatial size that is open in the input is open in the output."""
        try:
            sizes = [None if size is None else self._output_size(a, size) for a, size in enumerate(input_shape[1:-1])]
        except ValueError as error:
            raise ValueError(f"{self.name}: an input of shape {tuple(input_shape)}: {error}") from None
        return (input_shape[0], *sizes, self._output_channels(input_shape))

    def _output_size(self, axis: int, size: int) -> int:
        """The output's size in one spatial dimension, from the input's."""
        raise NotImplementedError

    def _output_channels(self, input_shape: Any) -> int | None:
        return input_shape[-1]

    def _check_input_shape(self, shape: Any) -> None:
        require_spatial(shape, self.dimensions, self.name)


def channels_last(data_format: Any, name: str) -> str | None:
    """`data_format` if it is None or "channels_last"; ValueError for anything else."""
    if data_format not in (None, "channels_last"):
        raise ValueError(f'{name}: data_format = {data_format!r} is not supported; arrays here are "channels_last"')
    return data_format


def require_spatial(shape: Any, dimensions: int, name: str) -> None:
    """Raise ValueError unless an input of this shape is (N, *spatial, C) with so many spatial dimensions."""
    if len(shape) != dimensions + 2:
        raise ValueError(
            f"{name}: expected an input of {dimensions + 2} dimensions (N, *spatial, C), got shape {tuple(shape)}"
        )


def one_dimension(padding: Any, axis: int) -> Any:
    """What a padding (or output padding) for all spatial dimensions says for one of them."""
    return padding if isinstance(padding, (str, int)) else [padding[axis]]
