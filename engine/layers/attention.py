"""Attention layers: Attention (Luong), AdditiveAttention (Bahdanau) and MultiHeadAttention (Vaswani).

Masks hold True where something may be seen. Where they hide all keys from a query, its weights and so its mean of the
values are 0 (Keras's large number subtracted from the scores gives the mean of what is hidden).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import constraints, initializers, regularizers
from .. import functions as F
from ..capture import constant
from ..checks import not_supported
from ..functions.attention import visible
from ..functions.linear_algebra import matmul_transposed
from ..masks import mask_of, with_mask
from ..tensor import Array, Tensor, as_tensor, beside
from .base import Layer
from .core import positive
from .einsum_dense import EinsumDense
from .regularization import Dropout

__all__ = ["AdditiveAttention", "Attention", "MultiHeadAttention"]


class _Attention(Layer):
    """Attention of one head; what `Attention` and `AdditiveAttention` share. They differ in the scores."""

    supports_masking = True
    casts_integers = True

    def __init__(self, use_scale: bool, dropout: float, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_scale = bool(use_scale)
        self.dropout, self.seed = dropout, seed
        self._dropout_layer = Dropout(dropout, seed=seed, name="dropout", dtype=self.dtype)

    def call(
        self,
        inputs: Sequence[Tensor],
        mask: Sequence[Any] | None = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value, key = _three(inputs)
        query_mask, value_mask = self._masks(mask)
        scores = self._scores(query, key)
        if value_mask is not None:
            value_mask = _boolean(value_mask, scores)[..., np.newaxis, :]
        weights = F.masked_softmax(scores, visible(value_mask, scores, use_causal_mask))
        weights = self._dropout_layer(weights, training=training)
        outputs = F.matmul(weights, value)
        if query_mask is not None:
            outputs = F.where(_boolean(query_mask, outputs)[..., np.newaxis], outputs, 0.0)
        return (outputs, weights) if return_attention_scores else outputs

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        """How well each key answers each query: (N, T, S)."""
        raise NotImplementedError

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The query's mask."""
        return self._masks(previous_mask)[0]

    def _masks(self, mask: Any) -> tuple[Any, Any]:
        if mask is None:
            return None, None
        if not isinstance(mask, (list, tuple)) or not 2 <= len(mask) <= 3:
            raise ValueError(f"{self.name}: mask must be a list [query_mask, value_mask], not {mask!r}")
        return mask[0], mask[1]

    def compute_output_shape(self, input_shape: Any) -> Any:
        query, value, _ = _three(input_shape)
        return (*query[:-1], value[-1])

    def _shapes_of_call(self, input_shape: Any, arguments: dict[str, Any]) -> Any:
        query, value, _ = _three(input_shape)
        outputs = self.compute_output_shape(input_shape)
        return (outputs, (*query[:-1], value[-2])) if arguments.get("return_attention_scores") else outputs

    def _check_input_shape(self, shape: Any) -> None:
        if not isinstance(shape, (list, tuple)) or not 2 <= len(shape) <= 3 or not isinstance(shape[0], (list, tuple)):
            raise ValueError(f"{self.name}: expected a list [query, value] or [query, value, key], got shape {shape}")
        query, value, key = _three(shape)
        known = [axes for axes in ((query[-1], key[-1]), (value[-2], key[-2])) if None not in axes]
        if min(map(len, (query, value, key))) < 3 or any(a != b for a, b in known):
            raise ValueError(
                f"{self.name}: expected query (N, T, C), value (N, S, D) and key (N, S, C), got shapes {query}, "
                f"{value} and {key}"
            )


class Attention(_Attention):
    """Dot-product attention (Luong et al. 2015): weights = softmax(scores), y = weights · value.

    scores = query · keyᵀ, times a learned number if `use_scale` (there is no 1/√C); with score_mode="concat" the sum
    over C of tanh(query + key), times a learned number, and with `use_scale` another within the tanh.
    dropout: the rate at which weights are dropped in training; seed: see `Dropout`.

    Inputs: a list [query (N, T, C), value (N, S, D)] or [query, value, key (N, S, C)]; key is value if it is not given;
    the output is (N, T, D). In a call, mask: a list [query_mask (N, T), value_mask (N, S)], booleans or None: where
    query_mask is False the output is 0, where value_mask is False a value is not seen. return_attention_scores: the
    weights (N, T, S), after softmax and dropout, as a second output. use_causal_mask: position t sees the values 0 … t.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(use_scale, dropout, seed, **kwargs)
        if score_mode not in ("dot", "concat"):
            raise ValueError(f'{self.name}: score_mode = {score_mode!r}: expected "dot" or "concat"')
        self.score_mode = score_mode

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((), "ones", name="scale") if self.use_scale else None
        self.concat_score_weight = None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.score_mode == "dot":
            scaled = query if self.scale is None else query * self.scale
            return matmul_transposed(scaled, key)
        sums = _pairs(query, key)
        return self.concat_score_weight * F.sum(F.tanh(sums if self.scale is None else self.scale * sums), axis=-1)


class AdditiveAttention(_Attention):
    """Additive attention (Bahdanau et al. 2015): scores = Σ_c scale_c · tanh(query + key)_c, scale learned, or 1 if not
    `use_scale`.

    Everything else is as in `Attention`.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(use_scale, dropout, seed, **kwargs)

    def build(self, input_shape: Any) -> None:
        self.scale = None
        if self.use_scale:
            channels = input_shape[0][-1]
            if channels is None:
                raise ValueError(f"{self.name}: the query's channels must be known, got shape {input_shape[0]}")
            self.scale = self.add_weight((channels,), "glorot_uniform", name="scale")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        activity = F.tanh(_pairs(query, key))
        return F.sum(activity if self.scale is None else self.scale * activity, axis=-1)


class MultiHeadAttention(Layer):
    """Attention by several heads (Vaswani et al. 2017): each head has its own projections of query, key and value,

        head_i = softmax((Q·W_q + b_q)(K·W_k + b_k)ᵀ / √key_dim) (V·W_v + b_v),   y = Σ_i head_i · W_o,i + b_o

    Called as layer(query, value, key=None) with query (N, T, C), value (N, S, D), key (N, S, E) (value if not given);
    or on the list of them. The output is (N, T, C), or (N, T, *output_shape).

    num_heads; key_dim, value_dim: the size of a head's keys and queries, and of its values (key_dim if not given).
    dropout: the rate at which weights are dropped in training; seed: see `Dropout`.
    attention_axes: the axes over which positions see one another, all between the batch and the channels if not given:
        with inputs (N, A, T, C) and attention_axes=2, each of the A rows by itself.
    sliding_window: w for only the positions less than w apart. use_gate: each head's result is multiplied with a
        sigmoid of a projection of the query.
    flash_attention: None and False; True is not supported. activity_regularizer: as in Keras, a penalty of what each
    of the projections gives, and of the output.

    In a call: query_mask (N, T), value_mask and key_mask (N, S) hide positions; attention_mask (N, T, S), or (N, heads,
    T, S), hides pairs; use_causal_mask hides later positions; all must show what is seen. Masks that are not given are
    those that travel with the inputs, and the query's travels on with the output. What sees nothing has weights 0, so
    that only b_o comes out. return_attention_scores: the weights (N, heads, T, S), before dropout, as a second output.

    Keras 3.15 ignores the argument query_mask, and takes axis 1 for time in causal masks whatever attention_axes says;
    here both hold.
    Raises ValueError for sizes and axes that do not fit, and for causal masks and windows over several attention axes,
    among which there is no order.
    """

    supports_masking = True
    casts_integers = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.projections_regularizer = regularizers.get(activity_regularizer)
        self.num_heads = positive(num_heads, "num_heads", self.name)
        self.key_dim = positive(key_dim, "key_dim", self.name)
        self.value_dim = self.key_dim if value_dim is None else positive(value_dim, "value_dim", self.name)
        self.dropout, self.seed = dropout, seed
        self.use_bias, self.use_gate = bool(use_bias), bool(use_gate)
        sizes = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape or ())
        self._output_sizes = tuple(positive(size, "output_shape", self.name) for size in sizes)
        self.attention_axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        not_supported(self.name, "flash_attention", flash_attention, None, False)
        self.flash_attention = flash_attention
        self.sliding_window = None
        if sliding_window is not None:
            self.sliding_window = positive(sliding_window, "sliding_window", self.name)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self._dropout_layer = Dropout(dropout, seed=seed, name="dropout", dtype=self.dtype)

    def __call__(  # type: ignore[override]  # as in Keras: query, value and key are arguments of their own
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        *further: Any,
        training: bool | None = None,
        **arguments: Any,
    ) -> Any:
        if value is None and (key is not None or not isinstance(query, (list, tuple))):
            raise TypeError(f"{self.name}: expected a query and a value, or a list of them")
        return super().__call__(_listed(query, value, key), *further, training=training, **arguments)

    # ------------------------------------------------------------------------------------------------------ its weights

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        """From the shapes of query, value and perhaps key, or from a list of them."""
        query, value, key = _three(_listed(query_shape, value_shape, key_shape))
        self.query_dense = self._projection("query", query, self.key_dim)
        self.key_dense = self._projection("key", key, self.key_dim)
        if self.use_gate:
            self.gate_dense = self._projection("gate", query, self.value_dim, activation="sigmoid")
        self.value_dense = self._projection("value", value, self.value_dim)
        outputs = self._output_sizes or (query[-1],)
        heads = (*query[:-1], self.num_heads, self.value_dim)
        self.output_dense = self._dense("attention_output", heads, 2, outputs)

    def _projection(self, name: str, shape: Any, size: int, activation: Any = None) -> EinsumDense:
        """(…, C) → (…, heads, size)"""
        return self._dense(name, shape, 1, (self.num_heads, size), activation)

    def _dense(self, name: str, shape: Any, summed: int, sizes: Sequence[int], activation: Any = None) -> EinsumDense:
        """The layer, built, that replaces the last `summed` axes of inputs of this shape by axes of the given sizes."""
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        free, bound, new = (
            "".join(next(letters) for _ in range(count)) for count in (len(shape) - summed, summed, len(sizes))
        )
        layer = EinsumDense(
            f"{free}{bound},{bound}{new}->{free}{new}",
            (*(None,) * (len(shape) - summed - 1), *sizes),
            activation=activation,
            bias_axes=new if self.use_bias else None,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.projections_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            name=name,
            trainable=self._trainable,
            dtype=self.dtype,
        )
        layer.build(shape)
        return layer

    # ----------------------------------------------------------------------------------------------------- what it does

    def call(
        self,
        inputs: Sequence[Tensor],
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value, key = _three(inputs)
        if query_mask is None:
            query_mask = mask_of(query)
        if value_mask is None:
            value_mask = mask_of(value)
        if key_mask is None:
            key_mask = mask_of(key)
        query, value, key = (with_mask(x, None) for x in (query, value, key))  # projections know nothing of masks
        axes = self._axes(query.ndim)
        if len(axes) > 1 and (use_causal_mask or self.sliding_window):
            raise ValueError(f"{self.name}: causal masks and windows need one attention axis, not {axes}")
        queries = self._by_heads(self.query_dense(query), axes)
        keys = self._by_heads(self.key_dense(key), axes)
        values = self._by_heads(self.value_dense(value), axes)
        sizes = [query.shape[axis] for axis in axes], [key.shape[axis] for axis in axes]
        masks = [
            self._of_positions(query_mask, query, axes, -1),
            self._of_positions(value_mask, value, axes, -2),
            self._of_positions(key_mask, key, axes, -2),
            self._of_pairs(attention_mask, query, sizes),
            self._window(query, *sizes),
        ]
        weights = F.attention_weights(queries, keys, _all_of(masks), is_causal=use_causal_mask)
        heads = F.matmul(self._dropout_layer(weights, training=training), values)
        outputs = self._by_positions(heads, query, axes)
        if self.use_gate:
            outputs = outputs * self.gate_dense(query)
        outputs = self.output_dense(outputs)
        if not return_attention_scores:
            return outputs
        return outputs, F.reshape(weights, (*weights.shape[:-2], *sizes[0], *sizes[1]))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The query's mask."""
        return mask_of(inputs[0])

    def _axes(self, rank: int) -> tuple[int, ...]:
        """The attention axes of inputs with so many dimensions, counted from the front."""
        if self.attention_axes is None:
            return tuple(range(1, rank - 1))
        axes = tuple(axis + rank if axis < 0 else axis for axis in self.attention_axes)
        if len(set(axes)) < len(axes) or not all(1 <= axis < rank - 1 for axis in axes):
            raise ValueError(
                f"{self.name}: attention_axes = {self.attention_axes}: expected axes between the batch and the "
                f"channels of inputs with {rank} dimensions"
            )
        return axes

    def _order(self, rank: int, axes: tuple[int, ...]) -> tuple[int, ...]:
        """The axes of (N, …, heads, channels): those that are no attention axes, heads, attention axes, channels."""
        return (*[axis for axis in range(rank) if axis not in axes], *axes)

    def _by_heads(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """(N, …, heads, channels) → (N, others …, heads, positions, channels)"""
        moved = F.transpose(x, (*self._order(x.ndim - 1, axes), x.ndim - 1))
        kept = moved.ndim - len(axes) - 1
        return F.reshape(moved, (*moved.shape[:kept], math.prod(moved.shape[kept:-1]), moved.shape[-1]))

    def _by_positions(self, heads: Tensor, query: Tensor, axes: tuple[int, ...]) -> Tensor:
        """What `_by_heads` does, undone: the query's positions, with heads and channels after them."""
        order = (*self._order(query.ndim, axes), query.ndim)
        sizes = [*query.shape[:-1], self.num_heads, heads.shape[-1]]
        return F.transpose(F.reshape(heads, tuple(sizes[axis] for axis in order)), tuple(np.argsort(order).tolist()))

    # ------------------------------------------------------------------------------------------------------------ masks

    def _of_positions(self, mask: Any, x: Tensor, axes: tuple[int, ...], new: int) -> Array | None:
        """A mask (N, …) of x's positions, for weights (N, others …, heads, T, S): along T if the `new` axis is −1, the
        last; along S if it is −2."""
        if mask is None:
            return None
        shown = _boolean(mask, x)
        if shown.shape != x.shape[:-1]:
            raise ValueError(f"{self.name}: a mask has shape {shown.shape}, expected {x.shape[:-1]}")
        others = [axis for axis in range(x.ndim - 1) if axis not in axes]
        shown = shown.transpose((*others, *axes)).reshape([x.shape[axis] for axis in others] + [1, -1])
        return shown[..., np.newaxis] if new == -1 else shown[..., np.newaxis, :]

    def _of_pairs(self, mask: Any, x: Tensor, sizes: tuple[list[int], list[int]]) -> Array | None:
        """A mask of pairs of positions, its axes before those of the positions filled up: (…, heads, T, S)."""
        if mask is None:
            return None
        shown = _boolean(mask, x)
        pairs, rank = 2 * len(sizes[0]), x.ndim + len(sizes[0])  # of weights whose positions are not flattened
        if not pairs <= shown.ndim <= rank:
            raise ValueError(
                f"{self.name}: attention_mask has shape {shown.shape}, expected {pairs} to {rank} dimensions"
            )
        before = shown.shape[: shown.ndim - pairs]
        if pairs > 2:  # sizes of 1 must be written out before positions can be flattened
            shown = np.broadcast_to(shown, (*before, *sizes[0], *sizes[1]))
            shown = shown.reshape((*before, math.prod(sizes[0]), math.prod(sizes[1])))
        return shown.reshape((*before, *(1,) * (rank - pairs - len(before)), *shown.shape[-2:]))

    def _window(self, x: Tensor, queries: list[int], keys: list[int]) -> Array | None:
        if self.sliding_window is None:
            return None
        distance = np.abs(np.arange(queries[0])[:, np.newaxis] - np.arange(keys[0]))
        return constant(distance < self.sliding_window, x.array)

    # ----------------------------------------------------------------------------------------------------------- shapes

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        query, _, _ = _three(_listed(query_shape, value_shape, key_shape))
        return (*query[:-1], *self._output_sizes) if self._output_sizes else tuple(query)

    def _shapes_of_call(self, input_shape: Any, arguments: dict[str, Any]) -> Any:
        outputs = self.compute_output_shape(input_shape)
        if not arguments.get("return_attention_scores"):
            return outputs
        query, _, key = _three(input_shape)
        axes = self._axes(len(query))
        others = [query[axis] for axis in range(len(query) - 1) if axis not in axes]
        return outputs, (*others, self.num_heads, *[query[axis] for axis in axes], *[key[axis] for axis in axes])

    def _check_input_shape(self, shape: Any) -> None:
        if not isinstance(shape, (list, tuple)) or not 2 <= len(shape) <= 3:
            raise ValueError(f"{self.name}: expected query, value and perhaps a key, got shape {shape}")
        query, value, key = _three(shape)
        axes = self._axes(len(query))
        ranks = {len(query), len(value), len(key)}
        if len(query) < 3 or len(ranks) > 1 or not _agree(value[:-1], key[:-1]):
            raise ValueError(
                f"{self.name}: expected query (N, T, C), value (N, S, D) and key (N, S, E), got shapes {query}, "
                f"{value} and {key}"
            )
        others = [axis for axis in range(len(query) - 1) if axis not in axes]
        if not _agree([query[axis] for axis in others], [key[axis] for axis in others]):
            raise ValueError(
                f"{self.name}: query of shape {query} and value of shape {value} must agree but in the attention axes "
                f"{axes} and the channels"
            )

    def get_config(self) -> dict[str, Any]:
        penalty = self.projections_regularizer
        return {
            **super().get_config(),
            "output_shape": list(self._output_sizes) or None,
            "activity_regularizer": None if penalty is None else self._plain("activity_regularizer", penalty),
        }


# -------------------------------------------------------------------------------------------------------------- helpers


def _listed(query: Any, value: Any, key: Any) -> list[Any]:
    """Them as a list, without those that are None; `query` may be that list already."""
    if value is None:
        return list(query)
    return [query, value] if key is None else [query, value, key]


def _three(inputs: Any) -> tuple[Any, Any, Any]:
    """query, value, key of a list of two or three (tensors, or shapes)."""
    query, value, *key = inputs
    return query, value, key[0] if key else value


def _pairs(query: Tensor, key: Tensor) -> Tensor:
    """query + key for each pair of positions: (N, T, S, C)."""
    return F.expand_dims(query, -2) + F.expand_dims(key, -3)


def _boolean(mask: Any, x: Tensor) -> Array:
    """A mask where x lies; numbers other than 0 are True, as in Keras."""
    array = as_tensor(mask).array
    return beside(array if array.dtype.kind == "b" else array != 0, x.array)


def _all_of(masks: list[Any]) -> Any:
    """What all the masks show that are given; None if none is."""
    shown = None
    for mask in masks:
        shown = mask if shown is None else shown if mask is None else shown & mask
    return shown


def _agree(a: Sequence[int | None], b: Sequence[int | None]) -> bool:
    return len(a) == len(b) and all(m == n or None in (m, n) for m, n in zip(a, b, strict=True))
