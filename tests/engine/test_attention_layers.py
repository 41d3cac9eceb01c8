"""Attention layers: what masks hide, however they come; shapes of graphs; fans; errors."""

import numpy as np
import pytest

import tomograd as tg
from tomograd.engine import layers as L
from tomograd.engine.masks import mask_of

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


QUERY, VALUE = normal(2, 3, 4), normal(2, 5, 4)
QUERY_MASK = np.array([[True, False, True], [True, True, True]])
VALUE_MASK = np.array([[True, False, True, True, False], [False] * 5])


class TestMasks:
    @pytest.mark.parametrize("make", [L.Attention, L.AdditiveAttention, lambda: L.MultiHeadAttention(2, 3)])
    def test_a_query_that_sees_nothing_gives_the_biases_alone(self, make):
        layer = make()
        masks = {"value_mask": VALUE_MASK} if layer.name.startswith("multi") else {"mask": [None, VALUE_MASK]}
        y, weights = layer([QUERY, VALUE], return_attention_scores=True, **masks)
        assert not y.numpy()[1].any() and not weights.numpy()[1].any()
        assert y.numpy()[0].all()
        assert not weights.numpy()[0][..., ~VALUE_MASK[0]].any()

    @pytest.mark.parametrize("kind", ["Attention", "MultiHeadAttention"])
    def test_masks_that_travel_with_the_inputs_count_as_those_that_are_given(self, kind):
        embedding = L.Embedding(6, 4, mask_zero=True)
        queries, values = np.array([[1, 0, 2], [3, 4, 5]]), np.array([[5, 4, 0], [2, 0, 0]])
        q, v = embedding(queries), embedding(values)
        if kind == "Attention":
            layer = L.Attention()
            given = layer([np.array(q.array), np.array(v.array)], mask=[queries != 0, values != 0])
            found = layer([q, v])
        else:
            layer = L.MultiHeadAttention(2, 3)
            given = layer(np.array(q.array), np.array(v.array), query_mask=queries != 0, value_mask=values != 0)
            found = layer(q, v)
        np.testing.assert_array_equal(found.numpy(), given.numpy())
        np.testing.assert_array_equal(mask_of(found).numpy(), queries != 0)

    def test_an_explicit_query_mask_counts(self):
        layer = L.MultiHeadAttention(1, 2)
        _, weights = layer(QUERY, VALUE, query_mask=QUERY_MASK, return_attention_scores=True)
        assert not weights.numpy()[0, 0, 1].any()
        np.testing.assert_allclose(weights.numpy()[0, 0, [0, 2]].sum(-1), 1, rtol=1e-6)

    def test_causal_masks_and_windows_go_along_the_attention_axis(self):
        x = normal(2, 2, 4, 3)
        layer = L.MultiHeadAttention(1, 2, attention_axes=2, sliding_window=3)
        _, weights = layer(x, x, use_causal_mask=True, return_attention_scores=True)
        distance = np.arange(4)[:, None] - np.arange(4)
        np.testing.assert_array_equal(
            weights.numpy() > 0, np.broadcast_to((distance >= 0) & (distance < 3), (2, 2, 1, 4, 4))
        )

    def test_masks_of_the_wrong_shape(self):
        layer = L.MultiHeadAttention(1, 2)
        with pytest.raises(ValueError, match=r"a mask has shape \(2, 5\), expected \(2, 3\)"):
            layer(QUERY, VALUE, query_mask=VALUE_MASK)
        with pytest.raises(ValueError, match=r"attention_mask has shape \(5,\), expected 2 to 4 dimensions"):
            layer(QUERY, VALUE, attention_mask=VALUE_MASK[0])
        with pytest.raises(ValueError, match="mask must be a list"):
            L.Attention()([QUERY, VALUE], mask=VALUE_MASK[:1])


class TestGraphs:
    def test_scores_are_a_second_output_with_the_right_shape(self):
        q, v = L.Input((None, 4)), L.Input((5, 4))
        for layer, scores in ((L.Attention(), (None, None, 5)), (L.MultiHeadAttention(3, 2), (None, 3, None, 5))):
            outputs = layer([q, v], return_attention_scores=True)
            assert [symbol.shape for symbol in outputs] == [(None, None, 4), scores]
            model = tg.models.Model([q, v], list(outputs))
            y, weights = model([QUERY, VALUE])
            assert y.shape == (2, 3, 4) and weights.shape == tuple(
                2 if s is None and i == 0 else 3 if s is None else s for i, s in enumerate(scores)
            )

    def test_a_model_with_attention_trains_and_is_saved(self, tmp_path):
        tg.random.seed(1)
        x = L.Input((4, 3))
        y = L.MultiHeadAttention(2, 3, dropout=0.1, seed=1)(x, x)
        model = tg.models.Model(x, L.Dense(1)(L.GlobalAveragePooling1D()(y)))
        model.compile("adam", "mse")
        data = normal(32, 4, 3)
        first = model.train_on_batch(data, data[:, 0, :1])
        for _ in range(40):
            last = model.train_on_batch(data, data[:, 0, :1])
        assert last < 0.9 * first
        model.save(tmp_path / "m.safetensors")
        again = tg.models.load_model(tmp_path / "m.safetensors")
        np.testing.assert_array_equal(again(data).numpy(), model(data).numpy())

    def test_new_weights_are_noticed_by_models_that_repeat_their_launches(self):
        x = L.Input((4, 3))
        layer = L.MultiHeadAttention(2, 3)
        model = tg.models.Model(x, layer(x, x))
        data = normal(2, 4, 3)
        before = [model(data).numpy() for _ in range(6)][-1]
        layer.weights[0].assign(layer.weights[0].array * 2)
        assert (model(data).numpy() != before).any()


class TestWeights:
    def test_names_and_shapes_are_keras(self):
        layer = L.MultiHeadAttention(2, 3, value_dim=5, output_shape=(6,))
        layer(QUERY, VALUE)
        assert [(weight.name, weight.shape) for weight in layer.weights] == [
            ("query/kernel", (4, 2, 3)),
            ("query/bias", (2, 3)),
            ("key/kernel", (4, 2, 3)),
            ("key/bias", (2, 3)),
            ("value/kernel", (4, 2, 5)),
            ("value/bias", (2, 5)),
            ("attention_output/kernel", (2, 5, 6)),
            ("attention_output/bias", (6,)),
        ]

    def test_it_is_built_from_shapes_as_in_keras(self):
        layer = L.MultiHeadAttention(2, 3)
        layer.build((None, 5, 4), (None, None, 6))
        assert layer.built and layer.value_dense.kernel.shape == (6, 2, 3)
        assert layer.compute_output_shape((None, 5, 4), (None, None, 6)) == (None, 5, 4)
        assert layer.compute_output_shape([(None, 5, 4), (None, 7, 6)]) == (None, 5, 4)
        assert layer(QUERY, normal(2, 7, 6)).shape == (2, 3, 4)

    def test_fans_are_those_of_the_dense_layer_that_a_projection_is(self):
        layer = L.EinsumDense("abc,cde->abde", (None, 30, 20))
        layer.build((None, 5, 50))
        limit = np.sqrt(6 / (50 + 600))
        assert 0.99 * limit < np.abs(layer.kernel.array).max() <= limit

    def test_a_layer_that_is_not_trainable_makes_weights_that_are_not(self):
        layer = L.MultiHeadAttention(2, 3, trainable=False)
        layer(QUERY, VALUE)
        assert not layer.trainable_weights


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: L.Attention(score_mode="cosine"), "score_mode = 'cosine'"),
            (lambda: L.Attention()(QUERY), "expected a list"),
            (lambda: L.Attention()([QUERY]), "expected a list"),
            (lambda: L.Attention()([QUERY, VALUE[..., :2]]), r"expected query \(N, T, C\)"),
            (lambda: L.MultiHeadAttention(0, 2), "num_heads = 0"),
            (lambda: L.MultiHeadAttention(1, 2, flash_attention=True), "flash_attention = True is not supported"),
            (lambda: L.MultiHeadAttention(1, 2, sliding_window=0), "sliding_window = 0"),
            (lambda: L.MultiHeadAttention(1, 2)(QUERY, VALUE, VALUE[:, 1:]), r"expected query \(N, T, C\)"),
            (lambda: L.MultiHeadAttention(1, 2, attention_axes=2)(QUERY, VALUE), "attention_axes = "),
            (
                lambda: L.MultiHeadAttention(1, 2, attention_axes=1)(normal(1, 3, 2, 4), normal(1, 3, 5, 4)),
                "must agree",
            ),
            (lambda: L.MultiHeadAttention(1, 2)(*[normal(1, 2, 3, 4)] * 2, use_causal_mask=True), "need one attention"),
            (lambda: L.EinsumDense("ab,bc", 3), "expected one such as"),
            (lambda: L.EinsumDense("ab,cd->ad", 3), "expected one such as"),
            (lambda: L.EinsumDense("ab,bc->ac", 3, bias_axes="b"), "bias_axes = 'b'"),
            (lambda: L.EinsumDense("ab,bc->ac", (3, 4))(normal(2, 3)), r"output_shape = \(3, 4\) does not fit"),
            (lambda: L.EinsumDense("ab,bc->ac", 3)(QUERY), "names 2 axes"),
            (lambda: L.EinsumDense("abc,cd->abd", (2, 3))(QUERY), "along 'b'"),
            (lambda: L.EinsumDense("abc,bd->adc", 3)(L.Input((None, 2))), "does not fit|must be known"),
        ],
    )
    def test_what_does_not_fit(self, call, message):
        with pytest.raises(ValueError, match=message):
            call()

    def test_multi_head_attention_needs_a_value(self):
        with pytest.raises(TypeError, match="expected a query and a value"):
            L.MultiHeadAttention(1, 2)(QUERY)
