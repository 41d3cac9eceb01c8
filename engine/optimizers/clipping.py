"""Gradients held within bounds before a step. NaN stays NaN: no comparison lets one pass as small.

Norms are added up in float64: of float32 gradients all are in range, of float64 gradients those up to 1e154. None is
read: on a GPU it stays where it was added up.
"""

from __future__ import annotations

from ... import kernels
from ..device import device_of, move
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
        return [_limited([gradient], [_squared_norm([gradient])], clipnorm)[0] for gradient in gradients]
    if global_clipnorm is not None:
        groups = alike(gradients, range(len(gradients)))
        norms, limited = [_squared_norm(group) for group, _ in groups], dict[int, Array]()
        for group, places in groups:
            limited |= zip(places, _limited(group, norms, global_clipnorm), strict=True)
        return [limited[place] for place in range(len(gradients))]
    return gradients


def _squared_norm(gradients: list[Array]) -> Array:
    return kernels.of(gradients[0]).squared_norm(gradients)


def _limited(gradients: list[Array], squared_norms: list[Array], largest: float) -> list[Array]:
    """Gradients of one type in one place, made smaller by what would make the norm of all the largest one."""
    first, *others = (move(norm, device_of(gradients[0])) for norm in squared_norms)
    return kernels.of(gradients[0]).limit_norm(gradients, sum(others, first), largest)
