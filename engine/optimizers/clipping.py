"""Gradients held within bounds before a step. NaN stays NaN: no comparison lets one pass as small.

Norms are added up in float64: of float32 gradients all are in range, of float64 gradients those up to 1e154."""

from __future__ import annotations

import math

import numpy as np

from ... import kernels
from ..tensor import Array, library_of
from .groups import alike


def clipped(
    gradients: list[Array], clipnorm: float | None, clipvalue: float | None, global_clipnorm: float | None
) -> list[Array]:
    """The gradients with no norm above `clipnorm`, no absolute value above `clipvalue`, or a norm of all of them
    together of at most `global_clipnorm`: whichever is not None."""
    if clipvalue is not None:
        return [library_of(gradient).asarray(gradient.clip(-clipvalue, clipvalue)) for gradient in gradients]
    if clipnorm is not None:
        norms = [kernels.of(gradient).squared_norm([gradient]) for gradient in gradients]
        return [_scaled(gradient, clipnorm, norm) for gradient, norm in zip(gradients, norms, strict=True)]
    if global_clipnorm is not None:
        total = sum(kernels.of(group[0]).squared_norm(group) for (group,) in alike(gradients))
        return [_scaled(gradient, global_clipnorm, total) for gradient in gradients]
    return gradients


def _scaled(gradient: Array, largest: float, squared_norm: float) -> Array:
    """The gradient times min(1, largest / norm), and NaN where the norm is NaN or infinite."""
    norm = math.sqrt(squared_norm)
    if norm <= largest:
        return gradient
    factor = largest / norm if math.isfinite(norm) else math.nan
    if factor < np.finfo(gradient.dtype).tiny:  # the largest gradients: in their type it would be rounded
        return library_of(gradient).asarray((gradient.astype(np.float64) * factor).astype(gradient.dtype))
    # NumPy makes a number of a scalar's product.
    return library_of(gradient).asarray(gradient * gradient.dtype.type(factor))
