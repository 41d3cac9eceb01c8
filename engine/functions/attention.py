"""Attention: a weighted mean of values, the weights a softmax of how well each key answers a query.

    weights = softmax(Q·Kᵀ·scale), over the keys that the mask shows;  y = weights·V

A mask holds booleans, True where a query may see a key. A hidden key's weight is exactly 0, whatever its score (a large
number subtracted from the score, as is common elsewhere, is not a mask where all of a query's keys are hidden: it gives
the mean of what must not be seen). Decided here: a query that may see no key has weights 0, the value 0 and the
gradient 0. Hidden values must be finite all the same: 0 · ∞ is not a number.

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..capture import constant
from ..device import computing_beside
from ..tensor import Array, Tensor, beside, from_array
from .activations import softmax
from .arguments import constant_array, floating, normalize_axes
from .arithmetic import where
from .linear_algebra import matmul, matmul_transposed


def masked_softmax(x: Any, mask: Any = None, axis: int | Sequence[int] = -1) -> Tensor:
    """eˣ / Σ eˣ over what the mask shows, along an axis or over several; 0 elsewhere, and where it shows nothing.

    mask: booleans that broadcast to x's shape, True for the elements that count; None for all.
    Raises TypeError for a mask that does not hold booleans, ValueError for one that does not broadcast.
    """
    (x,) = floating("masked_softmax", x=x)
    if mask is None:
        return softmax(x, axis)
    shown = _boolean("masked_softmax", mask, x)
    with computing_beside(x.array):
        any_shown = shown.any(axis=normalize_axes(axis, x.ndim), keepdims=True)
        hidden = np.where(any_shown, x.dtype.type(-np.inf), x.dtype.type(0.0))
    return where(shown, softmax(where(shown, x, from_array(hidden)), axis), 0.0)


def attention_weights(
    query: Any, key: Any, mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(Q·Kᵀ·scale + mask): query (…, T, D), key (…, S, D) → (…, T, S); the axes before broadcast.

    mask, is_causal, scale: as in `scaled_dot_product_attention`.
    Raises ValueError for shapes that do not fit, TypeError for differing or non-floating types.
    """
    query, key = floating("attention_weights", query=query, key=key)
    if query.ndim < 2 or key.ndim < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"attention_weights: query has shape {query.shape}, key has shape {key.shape}: expected (…, T, D) and "
            "(…, S, D)"
        )
    if scale is None:
        scale = 1 / math.sqrt(max(query.shape[-1], 1))
    scores = matmul_transposed(query * float(scale), key)
    return masked_softmax(scores, visible(mask, scores, is_causal))


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(Q·Kᵀ·scale + mask)·V: query (…, T, D), key (…, S, D), value (…, S, E) → (…, T, E).

    The axes before the last two broadcast: batch, heads.
    mask: booleans that broadcast to (…, T, S), True where a query sees a key; None for everywhere. A query that sees no
        key gives 0.
    is_causal: query t sees only the keys 0 … t; together with a mask, only what both show.
    scale: of the scores; 1/√D unless given.
    Raises ValueError for shapes that do not fit, TypeError for differing or non-floating types and for a mask that
    does not hold booleans.

    Source: Vaswani et al., arXiv:1706.03762.
    """
    query, key, value = floating("scaled_dot_product_attention", query=query, key=key, value=value)
    if value.ndim < 2 or key.ndim < 2 or value.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: value has shape {value.shape}, key has shape {key.shape}: expected "
            "(…, S, E) and (…, S, D)"
        )
    return matmul(attention_weights(query, key, mask, is_causal, scale), value)


def visible(mask: Any, scores: Tensor, is_causal: bool) -> Array | None:
    """The mask for scores (…, T, S): the one that is given, what is_causal leaves of it, or None for all."""
    if not is_causal:
        return mask
    queries, keys = scores.shape[-2:]
    earlier = constant(np.arange(keys) <= np.arange(queries)[:, np.newaxis], scores.array)
    with computing_beside(scores.array):
        return earlier if mask is None else earlier & _boolean("attention_weights", mask, scores)


def _boolean(function: str, mask: Any, x: Tensor) -> Array:
    """The mask where x lies, with as many axes as x has."""
    shown = constant_array(mask)
    if shown.dtype.kind != "b":
        raise TypeError(f"{function}: mask must hold booleans, not {shown.dtype}")
    fits = shown.ndim <= x.ndim and all(m in (1, n) for m, n in zip(shown.shape[::-1], x.shape[::-1], strict=False))
    if not fits:
        raise ValueError(f"{function}: mask has shape {shown.shape}, which does not broadcast to {x.shape}")
    return beside(shown, x.array).reshape((1,) * (x.ndim - shown.ndim) + shown.shape)
