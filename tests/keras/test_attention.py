"""Attention gives Keras's values and gradients, with all its masks; also the layer that its projections are."""

import keras_oracle
import pytest

import tomograd as tg

DTYPES = ["float32", "float64"]


class OfList(tg.layers.Layer):
    """An attention layer called on a list, with each mask an argument of its own, as the cases have it."""

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype)
        self.layer = layer

    def call(self, inputs, query_mask=None, value_mask=None, **arguments):
        if isinstance(self.layer, tg.layers.MultiHeadAttention):
            return self.layer(inputs, query_mask=query_mask, value_mask=value_mask, **arguments)
        mask = None if query_mask is value_mask is None else [query_mask, value_mask]
        return self.layer(inputs, mask=mask, **arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("attention"), ids=str)
def test_attention(case, dtype):
    # A bias of all keys shifts all of a query's scores: its gradient is 0 but for rounding, so errors count from 1.
    keras_oracle.check_layer(case, dtype, OfList(keras_oracle.made(case, dtype)), least=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", keras_oracle.cases("einsum_dense"), ids=str)
def test_einsum_dense(case, dtype):
    keras_oracle.check_layer(case, dtype)
