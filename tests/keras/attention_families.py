"""The cases of attention, and of the layer that its projections are: defaults, then each argument at another value."""

from __future__ import annotations

from typing import Any

import keras
import torch
from keras_family import KerasFamily


class OfList(keras.layers.Layer):
    """An attention layer called on a list, with each mask an argument of its own."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(dtype="float64")
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        pass

    def call(
        self,
        inputs: Any,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        options = {
            "training": training,
            "return_attention_scores": return_attention_scores,
            "use_causal_mask": use_causal_mask,
        }
        if not isinstance(self.layer, keras.layers.MultiHeadAttention):
            mask = None if query_mask is value_mask is None else [query_mask, value_mask]
            return self.layer(inputs, mask=mask, **options)
        if query_mask is not None:  # the layer replaces its argument by what hangs on the query
            query = inputs[0] * 1
            query._keras_mask = query_mask
            inputs = [query, *inputs[1:]]
        return self.layer(*inputs, value_mask=value_mask, key_mask=key_mask, attention_mask=attention_mask, **options)


def attention() -> KerasFamily:
    family = KerasFamily("attention", seed=211)
    query, value, key = family.normal(2, 3, 2), family.normal(2, 5, 3), family.normal(2, 5, 2)
    same = [family.normal(2, 3, 2), family.normal(2, 3, 2)]
    query_mask = torch.tensor([[True, False, True], [True, True, True]])
    value_mask = torch.tensor([[True, True, False, True, False], [False, True, True, True, True]])

    def add(case: str, cls: str, config: dict[str, Any], inputs: Any, masks: Any = None, **call: Any) -> None:
        layer = getattr(keras.layers, cls)(**config, dtype="float64")
        family.layer(case, cls, config, inputs, call=call, masks=masks, make=lambda: OfList(layer))

    three = [query, value, key]
    masks = {"query_mask": query_mask, "value_mask": value_mask}
    for cls, configs in {
        "Attention": [{"use_scale": True}, {"score_mode": "concat"}, {"score_mode": "concat", "use_scale": True}],
        "AdditiveAttention": [{"use_scale": False}],
    }.items():
        add(cls, cls, {}, same)
        for config in configs:
            add(f"{cls} {config}", cls, config, three)
        add(f"{cls} with masks", cls, {}, three, masks)
        add(f"{cls} with a value's mask", cls, {}, three, {"value_mask": value_mask})
        add(f"{cls} causal", cls, {}, same, use_causal_mask=True, return_attention_scores=True)
        add(f"{cls}, dropout in inference", cls, {"dropout": 0.5}, three, return_attention_scores=True)

    cls, small = "MultiHeadAttention", {"num_heads": 2, "key_dim": 1}
    add(cls, cls, small, same)
    add(f"{cls} of three", cls, {**small, "value_dim": 4}, three, return_attention_scores=True)
    add(f"{cls} without bias", cls, {**small, "use_bias": False, "output_shape": 5}, three)
    add(f"{cls} to a plane", cls, {**small, "output_shape": (2, 3), "dropout": 0.4}, three)
    add(f"{cls} with a gate", cls, {**small, "use_gate": True, "value_dim": 2}, three)
    add(f"{cls}, a window", cls, {**small, "sliding_window": 2}, same, return_attention_scores=True)
    add(f"{cls}, causal", cls, small, same, use_causal_mask=True)
    add(f"{cls}, causal with scores", cls, small, same, use_causal_mask=True, return_attention_scores=True)
    pairs = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(3)) < 0.6
    pairs[..., 0] = True
    add(f"{cls}, a mask of pairs", cls, small, three, {"attention_mask": pairs})
    heads = torch.stack([pairs, pairs.flip(-2)], 1)
    add(f"{cls}, a mask of heads", cls, small, three, {"attention_mask": heads}, return_attention_scores=True)
    add(f"{cls}, a value's mask", cls, small, three, {"value_mask": value_mask})
    add(f"{cls}, a key's mask", cls, small, three, {"key_mask": value_mask}, return_attention_scores=True)
    add(f"{cls}, all masks", cls, small, three, {**masks, "attention_mask": pairs}, return_attention_scores=True)
    planes = [family.normal(1, 2, 3, 2), family.normal(1, 2, 3, 2)]
    for axes in (None, 1, 2, -2, (1, 2), (2, 1)):
        add(f"{cls}, axes {axes}", cls, {**small, "attention_axes": axes}, planes, return_attention_scores=True)
    return family


def einsum_dense() -> KerasFamily:
    family = KerasFamily("einsum_dense", seed=212)
    x, rows, planes = family.normal(3, 4), family.normal(2, 3, 4), family.normal(2, 3, 2, 4)
    for equation, output_shape, bias_axes, inputs in [
        ("ab,bc->ac", 5, None, x),
        ("ab,bc->ac", 5, "c", x),
        ("abc,cd->abd", (None, 2), "d", rows),
        ("abc,cd->abd", (3, 2), "bd", rows),
        ("abc,cde->abde", (None, 2, 3), "de", rows),
        ("abc,cde->abde", (None, 2, 3), "d", rows),
        ("abcd,cde->abe", (None, 5), "e", planes),
        ("...x,xy->...y", 5, "y", planes),
        ("...xy,yz->...xz", (2, 3), "xz", planes),
        ("ab...,bc->ac...", 5, "c", planes),
        ("abc,bd->adc", (2, 4), "c", rows),
        ("abc,bcd->abd", (3, 2), "b", rows),
        ("abc,cb->ab", 3, None, rows),
    ]:
        config = {"equation": equation, "output_shape": output_shape, "bias_axes": bias_axes}
        family.layer(f"{equation} to {output_shape}, bias {bias_axes}", "EinsumDense", config, inputs)
    config = {"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}
    for activation in ("relu", "tanh"):
        family.layer(f"with {activation}", "EinsumDense", {**config, "activation": activation}, x)
    return family


FAMILIES = [attention, einsum_dense]
