"""Images seen through affine maps. Linear in the image: the gradient is the transpose. The map itself is a constant."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import kernels
from ..capture import Later, placed
from ..tape import Function
from ..tensor import Array, Tensor, as_tensor, beside
from .arguments import floating
from .shaping import reshape

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("constant", "nearest", "reflect", "wrap")
FARTHEST = 2.0**31  # pixels that a map may lead away from the image


class AffineTransform(Function):
    def forward(
        self, x: Array, rows: Array, columns: Array, interpolation: str, fill_mode: str, fill_value: float
    ) -> Array:
        self.size = x.shape[1:3]
        return kernels.of(x).affine_transform(x, rows, columns, interpolation, fill_mode, fill_value)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        same = {name: self.parameters[name] for name in ("rows", "columns", "interpolation", "fill_mode")}
        return (AffineTranspose()(cotangent, input_size=self.size, **same),)


class AffineTranspose(Function):
    """The transpose of AffineTransform (but for the constant that it fills in)."""

    def forward(
        self, dy: Array, rows: Array, columns: Array, input_size: tuple[int, int], interpolation: str, fill_mode: str
    ) -> Array:
        return kernels.of(dy).affine_transform_gradient(dy, rows, columns, input_size, interpolation, fill_mode)

    def backward(self, cotangent: Tensor) -> tuple[Tensor]:
        same = {name: self.parameters[name] for name in ("rows", "columns", "interpolation", "fill_mode")}
        return (AffineTransform()(cotangent, fill_value=0.0, **same),)


def affine_transform(
    x: Any, transform: Any, interpolation: str = "bilinear", fill_mode: str = "constant", fill_value: float = 0.0
) -> Tensor:
    """Images (N, H, W, C), or one (H, W, C), rotated, zoomed, shifted or sheared, in the same size.

    transform: (8,), or (N, 8) for a map of each image: [a0, a1, a2, b0, b1, b2, 0, 0] (the two zeros may be left out).
    The output's pixel in column j and row i shows the place a0·j + a1·i + a2 along the rows and b0·j + b1·i + b2 down
    the columns of the input, in pixels, whose centres have whole numbers. interpolation: "bilinear" or "nearest".
    fill_mode: what lies beyond the edges of a row a b c d: "constant" (fill_value), "nearest" (a a | a b c d | d d),
    "reflect" (b a | a b c d | d c) or "wrap" (c d | a b c d | a b).

    Raises ValueError for another shape, an unknown name, a map that is not finite or leads farther than 2³¹ pixels,
    and for a projective one (its last two numbers not 0); TypeError for a map that requires a gradient.
    """
    (x,) = floating("affine_transform", x=x)
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"affine_transform: interpolation = {interpolation!r}: expected {_listed(INTERPOLATIONS)}")
    if fill_mode not in FILL_MODES:
        raise ValueError(f"affine_transform: fill_mode = {fill_mode!r}: expected {_listed(FILL_MODES)}")
    if x.ndim not in (3, 4):
        raise ValueError(f"affine_transform: x has shape {x.shape}, expected (N, H, W, C) or (H, W, C)")
    images = x if x.ndim == 4 else reshape(x, (1, *x.shape))
    if 0 in images.shape[1:3]:
        raise ValueError(f"affine_transform: x has shape {x.shape}: there are no pixels to see")
    rows, columns = _seen_places(transform, images)
    y = AffineTransform()(
        images,
        rows=rows,
        columns=columns,
        interpolation=interpolation,
        fill_mode=fill_mode,
        fill_value=float(fill_value),
    )
    return y if x.ndim == 4 else reshape(y, x.shape)


def _seen_places(transform: Any, images: Tensor) -> tuple[Array, Array]:
    """(rows, columns) for the kernels, where the images lie."""
    count, height, width, _ = images.shape
    x = images.array
    if isinstance(transform, Later):  # in a graph
        return (
            placed(transform, lambda maps: _places(_maps(maps, count), height, width)[0], x),
            placed(transform, lambda maps: _places(_maps(maps, count), height, width)[1], x),
        )
    rows, columns = _places(_maps(transform, count), height, width)
    return beside(rows, x), beside(columns, x)


def _maps(transform: Any, images: int) -> np.ndarray:
    """The six numbers of each image's map, checked, in main memory."""
    given = as_tensor(np.array(transform, np.float64) if isinstance(transform, list | tuple) else transform)
    if given.requires_grad:
        raise TypeError("affine_transform: transform requires a gradient, and gets none here: take its detach()")
    maps = given.numpy().astype(np.float64)
    if maps.ndim not in (1, 2) or maps.shape[-1] not in (6, 8) or (maps.ndim == 2 and len(maps) != images):
        raise ValueError(f"affine_transform: transform has shape {maps.shape}, expected (8,) or ({images}, 8)")
    maps = np.broadcast_to(maps, (images, maps.shape[-1]))
    if not np.isfinite(maps).all():
        raise ValueError("affine_transform: transform holds numbers that are NaN or infinite")
    if maps[:, 6:].any():
        raise ValueError("affine_transform: the last two numbers of transform must be 0: projective maps are not here")
    return maps


def _places(maps: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) as the kernels take them: (vertical, horizontal) terms of where each row and column looks."""
    a0, a1, a2, b0, b1, b2 = (maps[:, None, number] for number in range(6))
    i, j = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    rows, columns = np.stack([b1 * i + b2, a1 * i + a2], -1), np.stack([b0 * j, a0 * j], -1)
    if np.abs(rows).max(initial=0) + np.abs(columns).max(initial=0) > FARTHEST:
        raise ValueError(f"affine_transform: transform leads farther than {FARTHEST:.0f} pixels away")
    return rows, columns


def _listed(names: tuple[str, ...]) -> str:
    return "one of " + ", ".join(map(repr, names))
