"""Masks: which steps of a sequence count. A mask is a boolean tensor that travels with another one.

A mask has the leading axes of the tensor that it belongs to, (N, T) for sequences (N, T, C): True where a step counts,
False where it only fills up. `Embedding(mask_zero=True)` and `Masking` make masks, layers hand them on (see
`layers.base`), recurrent layers skip what is masked, and losses and metrics leave it out. Functions know nothing of
masks: what they give has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .tape import Alias
from .tensor import Tensor, as_tensor, beside, from_array, is_array

__all__ = ["as_mask", "checked_mask", "mask_of", "with_mask"]


def mask_of(x: Any) -> Tensor | None:
    """The mask that travels with a tensor; None if there is none."""
    return getattr(x, "_mask", None)


def with_mask(x: Tensor, mask: Any) -> Tensor:
    """The same tensor, of the same memory and history, with this mask (a tensor or array; None: without one)."""
    if mask is mask_of(x):
        return x
    if x._requires_grad and x.node is None:
        masked = Alias()(x)
    else:
        masked = from_array(x.array)
        masked.version, masked.node, masked._requires_grad = x.version, x.node, x._requires_grad
    masked._mask = None if mask is None else as_mask(mask, x)
    return masked


def as_mask(mask: Any, x: Tensor) -> Tensor:
    """A mask as a boolean tensor that lies where x does; numbers count as True where they are not 0."""
    if not isinstance(mask, Tensor) and not is_array(mask) and not isinstance(mask, (list, tuple)):
        raise TypeError(f"mask = {mask!r}: expected a tensor or an array of booleans")
    array = beside(as_tensor(mask).array, x.array)
    return from_array(array if array.dtype == np.bool_ else array != 0)


def checked_mask(mask: Any, x: Tensor, axes: int, owner: str) -> Tensor:
    """The mask of the first `axes` axes of x. One of fewer axes stands for all that follows them.

    Raises ValueError, in the name of `owner`, for a mask whose axes are not the leading ones of x.
    """
    mask = as_mask(mask, x)
    wanted = x.shape[:axes]
    if not mask.ndim or mask.ndim > axes or any(m not in (1, n) for m, n in zip(mask.shape, wanted, strict=False)):
        raise ValueError(
            f"{owner}: a mask of shape {mask.shape} does not fit an input of shape {x.shape}: expected {wanted}"
        )
    if mask.shape == wanted:
        return mask
    array = mask.array.reshape(mask.shape + (1,) * (axes - mask.ndim))
    return from_array(np.broadcast_to(array, wanted) if isinstance(array, np.ndarray) else _spread(array, wanted))


def _spread(array: Any, shape: tuple[int, ...]) -> Any:
    """np.broadcast_to for an array on a GPU, written out."""
    spread = np.empty_like(array, shape=shape)
    spread[...] = array
    return spread
