"""Masks travel from the layers that make them, through those that support them, to losses and metrics."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd import models
from tomograd.engine import Tensor, functions, grad, layers, losses, no_grad
from tomograd.engine.masks import checked_mask, mask_of, with_mask
from tomograd.models.metrics.base import Metric, to_array

L = layers
MASK = np.array([[True, True, False], [True, False, False]])


def masked(*shape, seed=0, mask=MASK):
    values = np.random.default_rng(seed).standard_normal((*mask.shape, *shape)).astype(np.float32)
    return with_mask(Tensor(values), mask)


def of(tensor):
    mask = mask_of(tensor)
    return None if mask is None else mask.numpy().tolist()


# ---------------------------------------------------------------------------------------------------- on tensors


def test_a_mask_is_put_on_a_tensor_of_the_same_memory_and_history_and_the_first_stays_as_it_was():
    x = Tensor(np.ones((2, 3, 1), np.float32), requires_grad=True)
    for factor, source in ((1, x), (2, x * 2)):
        y = with_mask(source, MASK)
        assert of(source) is None and of(y) == MASK.tolist()
        assert np.shares_memory(y.array, source.array)
        (gradient,) = grad(functions.sum(y * y), [x])
        np.testing.assert_allclose(gradient.numpy(), 2 * factor**2 * x.numpy())
    assert of(y.detach()) == MASK.tolist()
    assert of(y + 1) is None, "functions know nothing of masks"
    assert of(with_mask(y, None)) is None
    assert of(with_mask(y, MASK.astype(np.int8) * 3)) == MASK.tolist(), "numbers count where they are not 0"


def test_masks_of_wrong_shapes_and_kinds_are_refused():
    x = masked(4)
    with pytest.raises(ValueError, match=r"LSTM: a mask of shape \(3, 2\).*\(2, 3\)"):
        checked_mask(MASK.T, x, 2, "LSTM")
    with pytest.raises(ValueError, match="does not fit"):
        checked_mask(np.ones((2, 3, 4)), x, 2, "LSTM")
    with pytest.raises(TypeError, match="mask = 'all'"):
        with_mask(x, "all")
    np.testing.assert_array_equal(checked_mask([True, False], x, 2, "").numpy(), [[True] * 3, [False] * 3])


# --------------------------------------------------------------------------------------------------- who makes them


def test_masking_masks_steps_whose_values_are_all_the_mask_value_and_sets_them_to_0():
    x = np.array([[[1, 7], [7, 7], [0, 0]]], np.float32)
    y = L.Masking(mask_value=7)(x)
    assert of(y) == [[True, False, True]]
    np.testing.assert_array_equal(y.numpy(), [[[1, 7], [0, 0], [0, 0]]])
    assert of(L.Masking()(x)) == [[True, True, False]]
    missing = np.where(x == 7, np.nan, x)
    assert of(L.Masking(mask_value=float("nan"))(missing)) == [[True, False, True]]
    with pytest.raises(TypeError, match="mask_value"):
        L.Masking(mask_value="0")
    with pytest.raises(ValueError, match="2 dimensions"):
        L.Masking()(np.zeros(3, np.float32))


def test_masking_takes_steps_of_several_axes():
    x = np.ones((2, 3, 4, 5, 1), np.float32)
    x[0, 1:] = x[1, 0, 0] = 0
    y = L.Masking(step_axes=3)(x)
    assert of(y) == [[True, False, False], [True, True, True]]
    np.testing.assert_array_equal(y.numpy(), x)
    with pytest.raises(ValueError, match="4 dimensions"):
        L.Masking(step_axes=3)(x[0, 0])
    with pytest.raises(ValueError, match="step_axes"):
        L.Masking(step_axes=0)


def test_embedding_begins_with_the_table_that_it_is_given():
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    for weights in (table, [table]):
        layer = L.Embedding(4, 2, weights=weights)
        np.testing.assert_array_equal(layer(np.array([3, 0])).numpy(), table[[3, 0]])
        assert "weights" not in layer.get_config()
    with pytest.raises(ValueError, match="shape"):
        L.Embedding(4, 3, weights=table)


def test_embedding_masks_index_0_only_when_asked_to():
    indices = np.array([[3, 0, 1], [0, 0, 2]])
    assert of(L.Embedding(4, 2, mask_zero=True)(indices)) == (indices != 0).tolist()
    assert of(L.Embedding(4, 2)(indices)) is None
    assert L.Embedding(4, 2, mask_zero=True).supports_masking and not L.Embedding(4, 2).supports_masking


# ------------------------------------------------------------------------------------------------- who hands them on

KEEP = {
    "Dense": lambda: L.Dense(2), "Activation": lambda: L.Activation("tanh"), "ReLU": lambda: L.ReLU(),
    "LeakyReLU": lambda: L.LeakyReLU(), "ELU": lambda: L.ELU(), "PReLU": lambda: L.PReLU(),
    "Softmax": lambda: L.Softmax(), "Dropout": lambda: L.Dropout(0.5),
    "SpatialDropout1D": lambda: L.SpatialDropout1D(0.5),
    "Identity": lambda: L.Identity(), "Rescaling": lambda: L.Rescaling(2.0),
    "BatchNormalization": lambda: L.BatchNormalization(), "LayerNormalization": lambda: L.LayerNormalization(),
    "GroupNormalization": lambda: L.GroupNormalization(2),
}  # fmt: skip
LOSE = {
    "Flatten": lambda: L.Flatten(), "Reshape": lambda: L.Reshape((12,)), "Permute": lambda: L.Permute((2, 1)),
    "Conv1D": lambda: L.Conv1D(2, 2), "MaxPooling1D": lambda: L.MaxPooling1D(1),
    "UpSampling1D": lambda: L.UpSampling1D(),
    "GlobalMaxPooling1D": lambda: L.GlobalMaxPooling1D(), "ZeroPadding1D": lambda: L.ZeroPadding1D(),
}  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", KEEP)
def test_layers_that_support_masks_hand_them_on(name, training):
    x = masked(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = KEEP[name]()(x, training=training)
    assert of(y) == MASK.tolist()
    without = KEEP[name]()(x.numpy(), training=training)
    assert of(without) is None


@pytest.mark.parametrize("name", LOSE)
def test_layers_that_do_not_support_masks_warn_and_compute_without(name):
    x, layer = masked(4), LOSE[name]()
    with pytest.warns(UserWarning, match=f"{layer.name}.*does not support"):
        y = layer(x)
    assert of(y) is None
    np.testing.assert_array_equal(y.numpy(), layer(x.numpy()).numpy())


def test_a_mask_survives_the_conversion_to_the_layers_type():
    assert of(L.Dense(2, dtype="float64")(masked(4))) == MASK.tolist()


def test_merging_layers_count_a_step_that_counts_in_any_input():
    other = np.array([[True, False, False], [True, True, False]])
    a, b = masked(4), masked(4, mask=other)
    for layer in (L.Add(), L.Subtract(), L.Multiply(), L.Average(), L.Maximum(), L.Minimum(), L.Concatenate()):
        assert of(layer([a, b])) == (MASK | other).tolist(), layer
    for layer in (L.Add(), L.Maximum()):
        assert of(layer([a, b.numpy()])) is None, "an input without mask: as in Keras, none is left"
    assert of(L.Concatenate()([a, b.numpy()])) == np.ones((2, 3), bool).tolist()
    assert of(L.Concatenate(axis=1)([a, b.numpy(), b])) == np.hstack([MASK, np.ones((2, 3), bool), other]).tolist()
    assert of(L.Concatenate()([a.numpy(), b.numpy()])) is None
    with pytest.raises(ValueError, match="list of 2 masks"):
        L.Add().compute_mask([a, b], MASK)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5))
def test_the_mean_over_a_sequence_leaves_masked_steps_out(seed, n, steps):
    rng = np.random.default_rng(seed)
    mask = rng.random((n, steps)) < 0.5
    mask[:, rng.integers(steps)] = True
    x = with_mask(Tensor(rng.standard_normal((n, steps, 2)), requires_grad=True), mask)
    y = L.GlobalAveragePooling1D(dtype="float64")(x)
    np.testing.assert_allclose(y.numpy(), [row[m].mean(0) for row, m in zip(x.numpy(), mask, strict=True)])
    assert of(y) is None
    empty = np.zeros_like(mask)
    with pytest.raises(ValueError, match="leaves no step"):
        L.GlobalAveragePooling1D()(with_mask(x, empty))


def test_batch_normalization_takes_its_statistics_from_what_the_mask_leaves():
    x = masked(2, seed=3)
    layer, plain = L.BatchNormalization(momentum=0.5), L.BatchNormalization(momentum=0.5)
    y = layer(x, training=True)
    left = x.numpy()[MASK]
    np.testing.assert_allclose(y.numpy()[MASK], plain(left, training=True).numpy(), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), plain.moving_variance.numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean.numpy(), plain.moving_mean.numpy(), rtol=1e-6)
    before = layer.moving_mean.numpy().copy()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x.numpy()).numpy())
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before)
    with pytest.raises(ValueError, match="leaves no position"):
        layer(with_mask(x, MASK & False), training=True)


def test_gradients_go_through_masked_statistics():
    from tomograd.testing import gradcheck

    layer = L.BatchNormalization(dtype="float64", activation="tanh")
    layer.build((None, None, 2))
    layer.gamma.assign([0.5, -2.0])
    x = np.random.default_rng(0).standard_normal((2, 3, 2))
    gradcheck(lambda x: layer(with_mask(x, MASK), training=True), [x])


def test_softmax_takes_a_mask_of_its_inputs_shape_and_hands_on_that_of_steps():
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    y = L.Softmax()(x, mask=MASK).numpy()
    np.testing.assert_allclose(y[0], [*np.exp(x[0, :2]) / np.exp(x[0, :2]).sum(), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(y[1], [1, 0, 0])
    np.testing.assert_array_equal(L.Softmax()(x, mask=MASK & False).numpy(), np.zeros((2, 3)))
    steps = masked(4)
    np.testing.assert_array_equal(L.Softmax()(steps).numpy(), L.Softmax()(steps.numpy()).numpy())


# ---------------------------------------------------------------------------------------------- layers of a user's own


class Shift(L.Layer):
    """One step less: its mask is another than its input's."""

    def call(self, inputs):
        return inputs[:, 1:]

    def compute_mask(self, inputs, previous_mask=None):
        return None if previous_mask is None else previous_mask[:, 1:]


class Asks(L.Layer):
    def call(self, inputs, other=None, mask=None, other_mask=None):
        self.seen = mask, other_mask
        return inputs


def test_a_layer_says_with_compute_mask_what_its_outputs_mask_is():
    assert Shift.supports_masking and Shift().supports_masking
    assert of(Shift()(masked(4))) == MASK[:, 1:].tolist()
    assert of(Shift()(masked(4).numpy())) is None


def test_call_is_given_the_masks_that_it_asks_for():
    layer, other = Asks(), masked(1, mask=~MASK)
    layer(masked(4), other=other)
    assert [mask.numpy().tolist() for mask in layer.seen] == [MASK.tolist(), (~MASK).tolist()]
    layer(masked(4), other)
    assert layer.seen[1].numpy().tolist() == (~MASK).tolist()
    layer(masked(4), mask=~MASK)
    np.testing.assert_array_equal(layer.seen[0], ~MASK)
    layer(masked(4).numpy())
    assert layer.seen == (None, None)


def test_supports_masking_may_be_set_in_the_constructor_as_in_keras():
    class Doubles(L.Layer):
        def __init__(self):
            super().__init__()
            self.supports_masking = True

        def call(self, inputs):
            return inputs * 2

    assert of(Doubles()(masked(4))) == MASK.tolist()


# ------------------------------------------------------------------------------------------------------------ models


def mean_of_words(model):
    indices = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    model(indices)
    table = next(layer for layer in model.all_layers() if isinstance(layer, L.Embedding)).embeddings.numpy()
    with no_grad():
        found = [model(indices).numpy() for _ in range(5)] + [model.predict(indices)]
    for output in found:  # several calls: masks are not lost once launches could be repeated
        np.testing.assert_allclose(output, [table[[1, 2]].mean(0), table[3]], rtol=1e-6)


def test_masks_go_through_sequential_functional_subclassed_and_nested_models():
    def row():
        return [L.Embedding(5, 3, mask_zero=True), L.GlobalAveragePooling1D()]

    mean_of_words(models.Sequential(row()))
    mean_of_words(models.Sequential([L.Input((None,), dtype="int64"), *row()]))
    inputs, (embedding, pooling) = L.Input((None,), dtype="int64"), row()
    mean_of_words(models.Model(inputs, pooling(embedding(inputs))))
    head = models.Sequential([L.Dropout(0.5), models.Sequential([L.GlobalAveragePooling1D()])])
    inputs, embedding = L.Input((None,), dtype="int64"), L.Embedding(5, 3, mask_zero=True)
    mean_of_words(models.Model(inputs, head(embedding(inputs))))

    class Words(models.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.pooling = row()

        def call(self, inputs):
            return self.pooling(self.embedding(inputs))

    class WordsByHand(Words):
        def call(self, inputs):
            return self.pooling(self.embedding(inputs).copy(), mask=self.embedding.compute_mask(inputs))

    for model in (Words(), WordsByHand()):
        mean_of_words(model)


def test_masks_are_computed_in_graphs_as_on_tensors(tmp_path):
    indices, x = L.Input((None,), dtype="int64"), L.Input((None, 2))
    embedding, masking = L.Embedding(5, 2, mask_zero=True), L.Masking(1.5)
    added = L.Add()([embedding(indices), x])
    makers = ((embedding, indices), (masking, x))
    pooled = [L.GlobalAveragePooling1D()(x, mask=layer.compute_mask(of)) for layer, of in makers]
    model = models.Model([indices, x], [*pooled, added])
    data = [np.array([[1, 0, 2], [0, 0, 3]]), np.array(masked(2).numpy())]
    data[1][0, 2] = 1.5
    model.save(tmp_path / "m.safetensors")
    for each in (model, models.load_model(tmp_path / "m.safetensors")):
        first, second, _ = each(data)
        np.testing.assert_allclose(first.numpy(), [data[1][0, ::2].mean(0), data[1][1, 2]], rtol=1e-6)
        np.testing.assert_allclose(second.numpy(), [data[1][0, :2].mean(0), data[1][1].mean(0)], rtol=1e-6)


def test_a_model_takes_a_mask_for_its_inputs():
    inputs = L.Input((None, 4))
    pooling = L.GlobalAveragePooling1D()
    x = masked(4)
    for model in (models.Model(inputs, pooling(inputs)), models.Sequential([inputs, pooling])):
        np.testing.assert_allclose(model(x.numpy(), mask=MASK).numpy(), model(x).numpy())
        assert not np.allclose(model(x.numpy()).numpy(), model(x).numpy())
    two = [L.Input((None, 4)), L.Input((None, 4))]
    model = models.Model(two, L.Add()([pooling(one) for one in two]))
    both = model([x.numpy(), x.numpy()], mask=[MASK, None])
    np.testing.assert_allclose(both.numpy(), pooling(x).numpy() + pooling(x.numpy()).numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="expected 2 masks"):
        model([x.numpy(), x.numpy()], mask=[MASK])


def test_a_convolution_and_its_batch_normalisation_are_not_folded_where_a_mask_is_to_be_handed_on():
    model = models.Sequential([L.Masking(), L.Dense(2), L.BatchNormalization()])
    x = masked(4).numpy().copy()
    x[~MASK] = 0
    with no_grad():
        assert of(model(x)) == MASK.tolist()


# ------------------------------------------------------------------------------------------------- losses and metrics


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_leave_masked_values_out(reduction, weighted):
    y_pred, y_true = masked(2), np.zeros((2, 3, 2), np.float32)
    weights = np.array([[1.0, 2.0, 3.0], [0.5, 1.0, 1.0]], np.float32) if weighted else None
    loss = losses.MeanSquaredError(reduction=reduction)
    values = (y_pred.numpy() ** 2).mean(-1) * (1 if weights is None else weights)
    if reduction is None:
        expected = values * MASK
    elif reduction == "sum":
        expected = values[MASK].sum()
    elif reduction == "mean_with_sample_weight" and weighted:
        expected = values[MASK].sum() / weights[MASK].sum()
    else:
        expected = values[MASK].sum() / MASK.sum()
    np.testing.assert_allclose(loss(y_true, y_pred, weights).numpy(), expected, rtol=1e-6)


def test_a_masked_loss_has_no_gradient_in_what_is_masked_whatever_stands_there():
    scores = masked(3).numpy().copy()
    scores[~MASK] = np.nan
    x = Tensor(scores, requires_grad=True)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
    labels = np.array([[0, 2, -1], [1, 7, -1]])
    value = loss(labels, with_mask(x, MASK))
    (gradient,) = grad(value, [x])
    assert np.isfinite(value.item())
    assert not gradient.numpy()[~MASK].any() and gradient.numpy()[0, 0].any() and not gradient.numpy()[0, 1].any()
    log_softmax = functions.log_softmax(Tensor(np.stack([scores[0, 0], scores[1, 0]]))).numpy()
    np.testing.assert_allclose(value.item(), -(log_softmax[0, 0] + log_softmax[1, 1]) / 2, rtol=1e-6)


def test_a_loss_over_nothing_but_masked_values_is_0():
    assert losses.MeanSquaredError()(np.zeros((2, 3, 1)), masked(1, mask=MASK & False)).item() == 0


def test_masks_of_sequences_of_images_match_the_leading_axes_of_the_values():
    y_pred = masked(3, 4, 4, 1)
    value = losses.MeanSquaredError()(np.zeros((2, 3, 3, 4, 4, 1)), y_pred)
    np.testing.assert_allclose(value.item(), (y_pred.numpy()[MASK] ** 2).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="does not fit"):
        losses.MeanSquaredError()(np.zeros((2, 3)), masked())


class Scores(Metric):
    """A metric that is no mean of a function: keeps the weights that it is given."""

    def clear(self):
        self.totals = {"weights": np.zeros(0)}

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.totals["weights"] = to_array(sample_weight)
        self.updates += 1

    def compute(self):
        return 1.0


def test_training_evaluation_and_metrics_leave_masked_steps_out():
    x = masked(4).numpy().copy()
    x[~MASK] = 0
    y = np.ones((2, 3, 2), np.float32)
    spy, weighted_spy = Scores(name="spy"), Scores(name="weighted_spy")
    model = models.Sequential([L.Masking(), L.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae", spy], weighted_metrics=[weighted_spy])
    output = model(x).numpy()[MASK]
    weight = np.array([2.0, 4.0], np.float32)
    logs = model.test_on_batch(x, y, sample_weight=weight, return_dict=True)
    np.testing.assert_allclose(logs["mae"], np.abs(output - 1).mean(), rtol=1e-5)
    np.testing.assert_array_equal(spy.totals["weights"], MASK)
    np.testing.assert_array_equal(weighted_spy.totals["weights"], MASK * weight[:, None])
    expected = (((model(x).numpy() - 1) ** 2).mean(-1) * MASK * weight[:, None]).sum() / MASK.sum()
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(model.train_on_batch(x, y, sample_weight=weight)[0], expected, rtol=1e-5)
    model.compile("sgd", lambda y_true, y_pred: functions.mean((y_true - y_pred) ** 2, -1))
    np.testing.assert_allclose(
        model.test_on_batch(x, y), (((model(x).numpy() - 1) ** 2).mean(-1))[MASK].mean(), rtol=1e-5
    )


class TemporalSoftmax(L.Layer):
    """The example of a layer that takes a mask in Keras's guide: it says nothing of its output's shape."""

    def call(self, inputs, mask=None):
        exponentials = functions.exp(inputs) * functions.expand_dims(functions.astype(mask, inputs.dtype), -1)
        return exponentials / functions.sum(exponentials, axis=1, keepdims=True)


def test_a_layer_that_cannot_do_without_a_mask_stands_in_a_graph_of_open_sizes():
    indices = L.Input((None,), dtype="int64")
    outputs = TemporalSoftmax()(L.Dense(2)(L.Embedding(5, 3, mask_zero=True)(indices)))
    assert outputs.shape == (None, None, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = models.Model(indices, outputs)(np.array([[1, 2, 0], [3, 0, 0]])).numpy()
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    assert not y[0, 2].any() and not y[1, 1:].any()


def test_labels_of_masked_steps_may_be_no_labels():
    x, y = masked(4).numpy().copy(), np.array([[0, 1, -1], [1, -1, -1]])
    x[~MASK] = 0
    model = models.Sequential([L.Masking(), L.Dense(2)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    logs = model.test_on_batch(x, y, return_dict=True)
    right = (model(x).numpy().argmax(-1) == y)[MASK]
    np.testing.assert_allclose(logs["accuracy"], right.mean())
    np.testing.assert_allclose(logs["loss"], loss(y[MASK], model(x).numpy()[MASK]).item(), rtol=1e-6)
