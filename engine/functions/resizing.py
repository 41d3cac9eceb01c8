"""Resizing of images and volumes; half-pixel centres, no antialias. Linear: its gradient is its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import kernels
from ...kernels import geometry
from ..tape import Function
from ..tensor import Array, Tensor
from .arguments import floating
from .convolution import spatial_rank

METHODS = ("nearest", "bilinear")


class Resize(Function):
    def forward(self, x: Array, output_size: tuple[int, ...], method: str) -> Array:
        self.input_size, self.method = x.shape[1:-1], method
        return kernels.of(x).resize(x, output_size, method)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        return (ResizeGradient()(cotangent, input_size=self.input_size, method=self.method),)


class ResizeGradient(Function):
    """The transpose of Resize."""

    def forward(self, dy: Array, input_size: tuple[int, ...], method: str) -> Array:
        self.output_size, self.method = dy.shape[1:-1], method
        return kernels.of(dy).resize_gradient(dy, input_size, method)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        return (Resize()(cotangent, output_size=self.output_size, method=self.method),)


def resize(x: Any, size: int | Sequence[int], method: str = "bilinear") -> Tensor:
    """x (N, *spatial, C) → (N, *size, C), in one to three dimensions by x's rank.

    method: "nearest", or "bilinear" (linear in one dimension, trilinear in three), in which what is not finite shows
    where it has a share, and an image resized to its own size is the image (in PyTorch 0·∞ makes neighbours NaN).
    Raises ValueError for another method, a size below 1, or an empty image.
    """
    (x,) = floating("resize", x=x)
    output_size = geometry.per_dimension(size, spatial_rank("resize", x), "size")
    if method not in METHODS:
        raise ValueError(f"resize: method = {method!r}: expected one of {', '.join(map(repr, METHODS))}")
    if 0 in x.shape[1:-1]:
        raise ValueError(f"resize: x has shape {x.shape}: there are no pixels to resize")
    return Resize()(x, output_size=output_size, method=method)
