"""Attention against its formula written with NumPy, and what masks hide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import kernels
from tomograd.engine import Tensor, grad
from tomograd.engine import functional as F

RNG = np.random.default_rng(0)


def plain_weights(query, key, mask, scale):
    """Row by row, over the keys that are seen alone."""
    stack = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    rows, columns = query.shape[-2], key.shape[-2]
    query = np.broadcast_to(query, (*stack, *query.shape[-2:]))
    key = np.broadcast_to(key, (*stack, *key.shape[-2:]))
    mask = np.broadcast_to(mask, (*stack, rows, columns))
    weights = np.zeros(mask.shape)
    for place in np.ndindex(mask.shape[:-1]):
        seen = mask[place]
        scores = key[place[:-1]][seen] @ query[place] * scale
        powers = np.exp(scores - scores.max(initial=-np.inf))
        weights[place][seen] = powers / powers.sum()
    return weights


@settings(max_examples=40)
@given(data=st.data())
def test_it_is_the_formula(data):
    def sizes(label):
        return data.draw(st.integers(0 if label == "rows" else 1, 4), label)

    rows, columns, depth, out = sizes("rows"), sizes("columns"), sizes("depth"), sizes("out")
    batch = data.draw(st.sampled_from([((), ()), ((2,), (2,)), ((2, 3), (1, 3)), ((), (2,))]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    query, key = rng.standard_normal((*batch[0], rows, depth)), rng.standard_normal((*batch[1], columns, depth))
    value = rng.standard_normal((*batch[1], columns, out))
    causal, scale = data.draw(st.booleans()), data.draw(st.sampled_from([None, 1.0, -0.7]))
    mask = data.draw(st.sampled_from([None, rng.random((rows, columns)) < 0.5, rng.random((1, columns)) < 0.3]))
    shown = np.ones((rows, columns), bool) if mask is None else np.broadcast_to(mask, (rows, columns))
    shown = shown & (np.tri(rows, columns, dtype=bool) if causal else True)
    weights = plain_weights(query, key, shown, 1 / np.sqrt(depth) if scale is None else scale)
    found = F.attention_weights(query, key, mask, causal, scale).array
    np.testing.assert_allclose(found, weights, rtol=1e-12, atol=1e-15)
    assert not found[weights == 0].any()
    y = F.scaled_dot_product_attention(query, key, value, mask, causal, scale).array
    np.testing.assert_allclose(y, weights @ value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_that_sees_nothing_gives_0_and_gets_no_gradient(backend, dtype):
    tensors = [Tensor(RNG.standard_normal((2, 3, 4)).astype(dtype), requires_grad=True) for _ in range(3)]
    mask = np.array([[True, False, True], [False] * 3, [True] * 3])
    with kernels.using(backend):
        y = F.scaled_dot_product_attention(*tensors, mask=mask)
        gradients = grad(y, tensors, RNG.standard_normal(y.shape).astype(dtype))
    assert not y.array[:, 1].any() and y.array[:, 0].all()
    assert not gradients[0].array[:, 1].any() and gradients[0].array[:, 2].all()
    assert all(np.isfinite(gradient.array).all() for gradient in gradients)


def test_hidden_scores_count_for_nothing_however_large_they_are():
    x = np.array([[3e38, 1.0, 2.0, -3e38]], np.float32)
    mask = np.array([[False, True, True, False]])
    y = F.masked_softmax(x, mask).array
    assert y[0, 0] == y[0, 3] == 0
    np.testing.assert_array_equal(y[:, 1:3], F.softmax(x[:, 1:3]).array)


def test_of_no_keys_the_mean_is_0():
    y = F.scaled_dot_product_attention(np.ones((2, 3)), np.ones((0, 3)), np.ones((0, 4)))
    np.testing.assert_array_equal(y.array, np.zeros((2, 4)))


def test_keys_without_numbers_are_all_alike():
    np.testing.assert_array_equal(F.attention_weights(np.ones((3, 0)), np.ones((4, 0))).array, np.full((3, 4), 0.25))


def test_a_query_sees_all_keys_unless_told_otherwise():
    x = RNG.standard_normal((3, 2))
    assert F.attention_weights(x, x).array.all()
    seen = F.attention_weights(x, x, is_causal=True)
    np.testing.assert_array_equal(seen.array > 0, np.tri(3, dtype=bool))
    y = F.scaled_dot_product_attention(x, x, np.eye(3))
    np.testing.assert_array_equal(y.array, F.attention_weights(x, x).array)


def test_what_a_causal_query_sees_does_not_depend_on_what_comes_later():
    x = RNG.standard_normal((5, 3))
    changed = np.concatenate([x[:3], RNG.standard_normal((2, 3))])
    before, after = (F.scaled_dot_product_attention(a, a, a, is_causal=True).array for a in (x, changed))
    np.testing.assert_array_equal(before[:3], after[:3])
    assert (before[3:] != after[3:]).all()
