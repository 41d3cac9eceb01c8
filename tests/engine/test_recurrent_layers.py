"""Recurrent layers: fused and step by step, states, dropout, masks, cells of one's own; and layers around layers."""

import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd import engine, models
from tomograd.engine import Tensor, functions, grad, initializers, layers, no_grad, optimizers
from tomograd.engine.masks import mask_of, with_mask
from tomograd.testing import gradgradcheck

L = layers
LAYERS = {"SimpleRNN": (L.SimpleRNN, L.SimpleRNNCell), "LSTM": (L.LSTM, L.LSTMCell), "GRU": (L.GRU, L.GRUCell)}
every_layer = pytest.mark.parametrize("name", LAYERS)


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaves(outputs):
    return [output.numpy() for output in layers.symbolic.flatten(outputs)]


def built(layer, x):
    """The layer with random weights, biases too."""
    layer(x)
    layer.set_weights([normal(*weight.shape, seed=i) * 0.5 for i, weight in enumerate(layer.weights)])
    return layer


# --------------------------------------------------------------------------------------- at once, and step by step


def by_steps(cell_class):
    """The cell as a class whose `call` is its own, so that RNN goes step by step."""

    class Steps(cell_class):
        def call(self, inputs, states, training=False):
            self.steps = getattr(self, "steps", 0) + 1
            return super().call(inputs, states, training)

    return Steps


@every_layer
@settings(max_examples=20)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 3)),
    units=st.integers(1, 3),
    masked=st.booleans(),
    seed=st.integers(0, 1000),
    options=st.fixed_dictionaries(
        {key: st.booleans() for key in ("return_sequences", "go_backwards", "zero_output_for_mask")}
    ),
)
def test_a_layer_gives_what_its_cell_gives_step_by_step(name, shape, units, masked, seed, options):
    layer_class, cell_class = LAYERS[name]
    x, mask = normal(*shape, seed=seed, dtype=np.float64), None
    if masked:
        mask = np.random.default_rng(seed).random(shape[:2]) < 0.6
    layer = built(layer_class(units, return_state=True, dtype="float64", **options), x)
    steps = L.RNN(by_steps(cell_class)(units, dtype="float64"), return_state=True, **options)
    steps(x)
    steps.set_weights(layer.get_weights())
    inputs = [Tensor(x, requires_grad=True) for _ in range(2)]
    outputs = [leaves_of(each(tensor, mask=mask)) for each, tensor in zip((layer, steps), inputs, strict=True)]
    assert steps.cell.steps == 2 * shape[1]
    gradients = []
    for each, tensor, ys in zip((layer, steps), inputs, outputs, strict=True):
        total = sum(functions.sum(y * normal(*y.shape, seed=i, dtype=np.float64)) for i, y in enumerate(ys))
        found = grad(total, [tensor, *each.weights], allow_unused=True)
        gradients.append([np.zeros(1) if g is None else g.numpy() for g in found])
    for fused, stepwise in zip(*outputs, strict=True):
        np.testing.assert_allclose(fused.numpy(), stepwise.numpy(), atol=1e-12)
    for fused, stepwise in zip(*gradients, strict=True):
        np.testing.assert_allclose(fused, stepwise + np.zeros_like(fused), atol=1e-12)


def leaves_of(outputs):
    return layers.symbolic.flatten(outputs)


@every_layer
def test_a_cell_is_one_step_of_its_layer(name):
    layer_class, cell_class = LAYERS[name]
    x = normal(2, 1, 3)
    layer = built(layer_class(2, return_state=True), x)
    cell = cell_class(2)
    cell(x[:, 0], cell.get_initial_state(2))
    cell.set_weights(layer.get_weights())
    states = [normal(2, 2, seed=i) for i in range(cell.states)]
    output, after = cell(x[:, 0], states)
    expected = leaves(layer(x, initial_state=states))
    for a, b in zip([output, *after], expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-6)
    assert cell.state_size == ([2, 2] if name == "LSTM" else 2) and cell.output_size == 2
    if cell.states == 1:  # a state need not stand in a list
        output, after = cell(x[:, 0], states[0])
        np.testing.assert_array_equal(output.numpy(), after.numpy())


@every_layer
def test_unroll_changes_nothing(name):
    x = normal(2, 3, 2)
    plain = built(LAYERS[name][0](2), x)
    unrolled = built(LAYERS[name][0](2, unroll=True), x)
    np.testing.assert_array_equal(plain(x).numpy(), unrolled(x).numpy())


@every_layer
def test_second_derivatives(name):
    x = normal(1, 2, 2, dtype=np.float64)
    layer = built(LAYERS[name][0](2, dtype="float64", return_sequences=True), x)
    gradgradcheck(layer, [x])


# ----------------------------------------------------------------------------------------------------- first weights


def test_first_weights_are_keras():
    x = normal(1, 2, 3)
    for layer_class, _ in LAYERS.values():
        layer = layer_class(4)
        layer(x)
        u = layer.cell.recurrent_kernel.numpy()
        np.testing.assert_allclose(u @ u.T, np.eye(4), atol=1e-5)
        assert np.abs(layer.cell.kernel.numpy()).max() <= np.sqrt(6 / (3 + layer.cell.kernel.shape[1]))
    lstm = L.LSTM(2)
    lstm(x)
    np.testing.assert_array_equal(lstm.cell.bias.numpy(), [0, 0, 1, 1, 0, 0, 0, 0])
    lstm = L.LSTM(2, unit_forget_bias=False, bias_initializer="ones")
    lstm(x)
    np.testing.assert_array_equal(lstm.cell.bias.numpy(), np.ones(8))
    assert L.GRUCell(2)(x[:, 0], normal(1, 2))[0].shape == (1, 2)
    shapes = {reset: built(L.GRU(2, reset_after=reset), x).cell.bias.shape for reset in (True, False)}
    assert shapes == {True: (2, 6), False: (6,)}
    assert built(L.GRU(2, use_bias=False), x).cell.bias is None


def test_penalties_and_constraints_of_the_cells_weights_are_the_layers():
    x = normal(2, 3, 2)
    layer = L.LSTM(
        2, kernel_regularizer="l2", recurrent_regularizer="l1", bias_regularizer="l2", kernel_constraint="non_neg",
        recurrent_constraint="non_neg", bias_constraint="unit_norm", activity_regularizer="l2",
    )  # fmt: skip
    y = layer(x, training=True)
    assert len(layer.losses) == 4
    weights = layer.cell.kernel.numpy(), layer.cell.recurrent_kernel.numpy(), layer.cell.bias.numpy()
    expected = 0.01 * ((weights[0] ** 2).sum() + np.abs(weights[1]).sum() + (weights[2] ** 2).sum())
    expected += 0.01 * (y.numpy() ** 2).sum() / 2
    np.testing.assert_allclose(sum(loss.item() for loss in layer.losses), expected, rtol=1e-5)
    optimizer = optimizers.get("sgd")
    optimizer.apply(grad(functions.sum(y), layer.trainable_weights), layer.trainable_weights)
    assert (layer.cell.kernel.numpy() >= 0).all() and (layer.cell.recurrent_kernel.numpy() >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(layer.cell.bias.numpy()), 1, rtol=1e-5)


# ----------------------------------------------------------------------------------------------------------- dropout


def identity(cell_class=L.SimpleRNNCell, **options):
    """h ← x + h, 4 units."""
    identical = {"kernel_initializer": "identity", "recurrent_initializer": "identity"}
    return L.RNN(cell_class(4, "linear", use_bias=False, **identical, **options), return_sequences=True)


@pytest.mark.parametrize("cell_class", [L.SimpleRNNCell, by_steps(L.SimpleRNNCell)])
def test_dropout_of_inputs_is_the_same_at_all_steps_of_a_sequence(cell_class):
    layer, x = identity(cell_class, dropout=0.5, seed=3), np.ones((50, 3, 4), np.float32)
    steps = np.diff(layer(x, training=True).numpy(), axis=1, prepend=0)
    assert set(np.unique(steps)) == {0, 2}
    assert (steps == steps[:, :1]).all()
    assert not (steps == steps[:1]).all(), "another draw for each sequence"
    assert not np.array_equal(steps, np.diff(layer(x, training=True).numpy(), axis=1, prepend=0)), "and each call"
    np.testing.assert_array_equal(layer(x).numpy(), np.cumsum(x, 1))


@pytest.mark.parametrize("cell_class", [L.SimpleRNNCell, by_steps(L.SimpleRNNCell)])
def test_dropout_of_states_is_the_same_at_all_steps_of_a_sequence(cell_class):
    layer, x = identity(cell_class, recurrent_dropout=0.5, seed=3), np.zeros((50, 2, 4), np.float32)
    y = layer(x, initial_state=np.ones((50, 4), np.float32), training=True).numpy()
    assert set(np.unique(y[:, 0])) == {0, 2}
    np.testing.assert_array_equal(y[:, 1], y[:, 0] ** 2)
    np.testing.assert_array_equal(layer(x, initial_state=np.ones((50, 4), np.float32)).numpy(), 1)


@every_layer
def test_dropout_repeats_with_its_seed_and_draws_from_the_engine_without(name):
    x = normal(4, 3, 5)
    layer_class = LAYERS[name][0]
    options = {"dropout": 0.4, "recurrent_dropout": 0.3}
    first, second = (built(layer_class(3, seed=5, **options), x) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(first(x, training=True).numpy(), second(x, training=True).numpy())
    state = [generator.state() for generator in first.generators()]
    again = first(x, training=True).numpy()
    for generator, kept in zip(first.generators(), state, strict=True):
        generator.set_state(kept)
    np.testing.assert_array_equal(first(x, training=True).numpy(), again)
    free = built(layer_class(3, **options), x)
    engine.random.seed(1)
    drawn = free(x, training=True).numpy()
    engine.random.seed(1)
    np.testing.assert_array_equal(free(x, training=True).numpy(), drawn)


def test_all_of_the_input_can_be_dropped_and_rates_are_checked():
    layer = identity(dropout=1.0)
    assert not layer(np.ones((2, 2, 4), np.float32), training=True).numpy().any()
    for argument in ("dropout", "recurrent_dropout"):
        for rate in (-0.1, 1.5, True, "half"):
            with pytest.raises(ValueError, match=f"{argument} = "):
                L.LSTM(2, **{argument: rate})


# ------------------------------------------------------------------------------------------------------------ states


@every_layer
def test_a_stateful_layer_goes_on_where_the_batch_before_ended(name):
    x = normal(2, 6, 3)
    plain = built(LAYERS[name][0](2, return_sequences=True), x)
    stateful = LAYERS[name][0](2, return_sequences=True, stateful=True)
    stateful(x[:, :2])
    stateful.cell.set_weights(plain.cell.get_weights())
    for _ in range(2):
        stateful.reset_state()
        parts = [stateful(part).numpy() for part in (x[:, :2], x[:, 2:5], x[:, 5:])]
        np.testing.assert_allclose(np.concatenate(parts, 1), plain(x).numpy(), atol=1e-6)
    stateful.reset_states()
    assert not np.concatenate([state.numpy() for state in leaves_of(stateful.states)]).any()
    with pytest.raises(ValueError, match="batches of 2 sequences, got 3"):
        stateful(normal(3, 2, 3))


def test_a_stateful_layer_trains_and_keeps_its_states_in_files(tmp_path):
    model = models.Sequential([L.Input(batch_shape=(2, 3, 2)), L.LSTM(2, stateful=True), L.Dense(1)])
    model.compile("sgd", "mse")
    x, y = normal(4, 3, 2), normal(4, 1)
    model.fit(x, y, batch_size=2, epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "m.safetensors")
    again = models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x, batch_size=2), model.predict(x, batch_size=2))
    with pytest.raises(ValueError, match="batch_shape"):
        L.LSTM(2, stateful=True)(L.Input((3, 2)))


def test_initial_states_are_checked():
    x = normal(2, 3, 2)
    for layer, wrong in [
        (L.LSTM(2), normal(2, 2)),
        (L.LSTM(2), [normal(2, 2), normal(2, 3)]),
        (L.GRU(2), [normal(2, 2), normal(2, 2)]),
        (L.GRU(2), normal(3, 2)),
    ]:
        with pytest.raises(ValueError, match="initial_state has shapes"):
            layer(x, initial_state=wrong)
    with pytest.raises(ValueError, match="as many states"):
        L.Bidirectional(L.GRU(2))(x, initial_state=[normal(2, 2)])


def test_a_decoder_begins_with_the_encoders_states_and_masks_are_heeded(tmp_path):
    """Keras drops the decoder's mask as soon as it is given states."""
    words, started = L.Input((None,), dtype="int64"), L.Input((None,), dtype="int64")
    embedding = L.Embedding(6, 3, mask_zero=True)
    _, h, c = L.LSTM(4, return_state=True)(embedding(words))
    decoder = L.LSTM(4)
    model = models.Model([words, started], L.Dense(2)(decoder(embedding(started), initial_state=[h, c])))
    ends = [np.array([[1, 2, 3, 0], [4, 0, 0, 0]]), np.array([[5, 1, 0], [2, 3, 4]])]
    short = [ends[0][:, :3], ends[1][:1, :2]]
    np.testing.assert_allclose(
        model(ends).numpy()[:1], model([short[0][:1], short[1]]).numpy(), rtol=1e-5, err_msg="zeros change nothing"
    )
    model.compile("adam", "mse")
    before = model.evaluate(ends, normal(2, 2), verbose=0)
    model.fit(ends, normal(2, 2), epochs=20, verbose=0)
    assert model.evaluate(ends, normal(2, 2), verbose=0) < before
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(models.load_model(tmp_path / "m.safetensors").predict(ends), model.predict(ends))


# ------------------------------------------------------------------------------------------------- cells of one's own


@models.register
class Leaky(L.Layer):
    """Keras's example of a cell, with another state size than output size."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = units + 1

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), "glorot_uniform", name="kernel")
        self.out = L.Dense(self.units + 1)

    def call(self, inputs, states, training=False):
        state = 0.5 * states[0] + functions.matmul(inputs, self.kernel) if isinstance(states, list) else None
        state = 0.5 * states + functions.matmul(inputs, self.kernel) if state is None else state
        return self.out(state), [state]


class Counter:
    """A cell that is no layer: adds its inputs up, and counts."""

    state_size = (3, 1)

    def call(self, inputs, states):
        total, count = states
        return total + inputs, [total + inputs, count + 1.0]


def test_cells_of_ones_own_go_step_by_step():
    x = normal(2, 4, 3)
    total, last, count = L.RNN(Counter(), return_state=True)(x)
    np.testing.assert_allclose(total.numpy(), x.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(count.numpy(), [[4], [4]])
    mask = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], bool)
    total, last, count = L.RNN(Counter(), return_state=True, return_sequences=True)(x, mask=mask)
    np.testing.assert_array_equal(count.numpy(), [[2], [0]])
    np.testing.assert_allclose(last.numpy(), (x * mask[..., None]).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(total.numpy()[0, 1], x[0, 0])
    assert not total.numpy()[1].any()
    empty = L.RNN(Counter(), return_sequences=True)(x[:, :0])
    assert empty.shape == (2, 0, 3)


def test_a_model_with_a_cell_of_ones_own_is_saved_and_loaded(tmp_path):
    for cells in (Leaky(3), [L.GRUCell(2), Leaky(3)]):
        model = models.Sequential([L.Input((None, 2)), L.Bidirectional(L.RNN(cells)), L.Dense(1)])
        assert model.layers[0].output.shape == (None, 8)
        model.compile("adam", "mse")
        model.fit(normal(4, 3, 2), normal(4, 1), verbose=0)
        model.save(tmp_path / "m.safetensors")
        again = models.load_model(tmp_path / "m.safetensors")
        np.testing.assert_array_equal(again.predict(normal(4, 3, 2)), model.predict(normal(4, 3, 2)))


def test_custom_objects_reach_layers_within_layers(tmp_path):
    class Twice(L.Layer):
        def call(self, inputs):
            return inputs * 2

    inner = models.Model(inputs := L.Input((2,)), Twice()(inputs))
    model = models.Sequential([L.Input((3, 2)), L.TimeDistributed(inner), L.TimeDistributed(Twice())])
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="Twice"):
        models.load_model(tmp_path / "m.safetensors")
    again = models.load_model(tmp_path / "m.safetensors", custom_objects={"Twice": Twice})
    np.testing.assert_array_equal(again.predict(np.ones((1, 3, 2), np.float32)), 4)


def test_cells_in_a_row_have_the_states_of_each():
    row = L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(2)])
    assert row.state_size == [[3, 3], 2] and row.output_size == 2
    x = normal(2, 4, 5)
    layer = built(L.RNN(row, return_state=True), x)
    output, (h, c), state = layer(x)
    np.testing.assert_array_equal(output.numpy(), state.numpy())
    assert h.shape == c.shape == (2, 3)
    first, second = L.LSTM(3, return_sequences=True), L.GRU(2)
    second(first(x))
    first.set_weights(layer.get_weights()[:3])
    second.set_weights(layer.get_weights()[3:])
    np.testing.assert_allclose(second(first(x)).numpy(), output.numpy(), atol=1e-6)
    begun = layer(x, initial_state=[[h, c], state])[0]
    single = L.RNN(L.StackedRNNCells([L.LSTMCell(3)]))
    assert single(x).shape == (2, 3)
    assert not np.allclose(begun.numpy(), output.numpy())
    stateful = L.RNN([L.LSTMCell(2), L.GRUCell(2)], stateful=True)
    assert not np.allclose(stateful(x).numpy(), stateful(x).numpy())
    step, after = row(x[:, 0], row.get_initial_state(2))
    assert step.shape == (2, 2) and [len(after), len(after[0])] == [2, 2]


def test_what_is_no_cell_is_refused():
    with pytest.raises(ValueError, match="no 'state_size'"):
        L.RNN(L.Dense(2))
    with pytest.raises(ValueError, match="no 'call'"):
        L.RNN(object())
    with pytest.raises(ValueError, match="at least one cell"):
        L.StackedRNNCells([])
    bad = Counter()
    bad.state_size = "three"
    with pytest.raises(ValueError, match="state_size = 'three'"):
        L.RNN(bad)


# ---------------------------------------------------------------------------------------------------------- arguments


@every_layer
def test_wrong_arguments_and_inputs_are_refused(name):
    layer_class = LAYERS[name][0]
    with pytest.raises(ValueError, match="units = 0"):
        layer_class(0)
    with pytest.raises(ValueError, match=r"\(N, T, C\)"):
        layer_class(2)(normal(2, 3))
    with pytest.raises(ValueError, match="channels"):
        layer_class(2)(L.Input((3, None)))
    with pytest.raises(ValueError, match="no steps"):
        layer_class(2)(normal(2, 0, 3))
    assert layer_class(2, return_sequences=True)(normal(2, 0, 3)).shape == (2, 0, 2)
    layer = built(layer_class(2), normal(2, 3, 4))
    with pytest.raises(ValueError, match="expected 4 channels"):
        layer(normal(2, 3, 5))
    with pytest.raises(ValueError, match=r"mask of shape \(3, 2\)"):
        layer(normal(2, 3, 4), mask=np.ones((3, 2), bool))
    if name != "SimpleRNN":
        with pytest.raises(ValueError, match="use_cudnn = True is not supported"):
            layer_class(2, use_cudnn=True)
        assert layer_class(2, use_cudnn=False).get_config()["use_cudnn"] is False


# -------------------------------------------------------------------------------------------------------------- masks


def test_the_mask_stays_with_all_outputs_and_is_turned_round_with_them():
    mask = np.array([[True, False, False], [True, True, False]])
    x = with_mask(Tensor(normal(2, 3, 2)), mask)
    assert mask_of(L.LSTM(2)(x)) is None
    np.testing.assert_array_equal(mask_of(L.LSTM(2, return_sequences=True)(x)).numpy(), mask)
    y, h = L.GRU(2, return_sequences=True, return_state=True, go_backwards=True)(x)
    np.testing.assert_array_equal(mask_of(y).numpy(), mask[:, ::-1])
    assert mask_of(h) is None
    np.testing.assert_array_equal(mask_of(L.Bidirectional(L.LSTM(2, return_sequences=True))(x)).numpy(), mask)
    both = L.Bidirectional(L.LSTM(2, return_sequences=True, return_state=True), merge_mode=None)(x)
    assert [mask_of(one) is not None for one in both] == [True, True, False, False, False, False]
    assert mask_of(L.Bidirectional(L.LSTM(2))(x)) is None
    whole = L.LSTM(2)
    short = [whole(x.numpy()[i : i + 1, : i + 1]).numpy() for i in range(2)]
    np.testing.assert_allclose(whole(x).numpy(), np.concatenate(short), rtol=1e-6)


def test_a_mask_of_whole_sequences_stands_for_all_their_steps():
    x = normal(2, 3, 2)
    for backwards in (False, True):
        layer = L.GRU(2, return_sequences=True, go_backwards=backwards)
        y = layer(x, mask=np.array([True, False]))
        assert y.numpy()[0].all() and not y.numpy()[1].any()
        np.testing.assert_array_equal(mask_of(y).numpy(), [True, False])


def test_what_is_masked_may_be_anything():
    x, mask = normal(2, 4, 3), np.array([[0, 1, 0, 1], [1, 0, 0, 0]], bool)
    wrong = np.where(mask[..., None], x, np.nan).astype(np.float32)
    for cell in (L.SimpleRNNCell(2), L.LSTMCell(2), L.GRUCell(2), by_steps(L.GRUCell)(2), Leaky(2)):
        layer = L.RNN(cell, return_sequences=True, return_state=True)
        first, second = (layer(each, mask=mask) for each in (wrong, x))
        gradients = [grad(functions.sum(y[0]), layer.trainable_weights) for y in (first, second)]
        pairs = [*zip(leaves(first), leaves(second), strict=True), *zip(*gradients, strict=True)]
        for found, expected in pairs:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


# ------------------------------------------------------------------------------------------------------ Bidirectional


def test_bidirectional_is_a_layer_of_its_own_from_each_end():
    x = normal(2, 3, 2)
    inner = built(L.GRU(2, name="gru_here", return_sequences=True), x)
    layer = L.Bidirectional(inner)
    y = layer(x).numpy()
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_gru_here", "backward_gru_here")
    assert not any(weight is own for weight in layer.weights for own in inner.weights)
    assert layer.layer is layer.forward_layer
    np.testing.assert_array_equal(y[..., :2], layer.forward_layer(x).numpy())
    np.testing.assert_array_equal(y[..., 2:], layer.backward_layer(x).numpy()[:, ::-1])
    same = L.Bidirectional(inner, weights=layer.get_weights())
    np.testing.assert_array_equal(same(x).numpy(), y)
    assert len(layer.weights) == 6


def test_bidirectional_layers_have_to_go_together():
    for arguments, error in [
        ({"layer": L.LSTM(2), "merge_mode": "max"}, "merge_mode = 'max'"),
        ({"layer": L.LSTM(2), "backward_layer": L.LSTM(2)}, "both have go_backwards = False"),
        ({"layer": L.LSTM(2, go_backwards=True)}, "both have go_backwards = True"),
        (
            {"layer": L.LSTM(2), "backward_layer": L.LSTM(2, go_backwards=True, return_sequences=True)},
            "return_sequences = False, backward_layer the opposite",
        ),
        ({"layer": L.Dense(2)}, "expected a recurrent layer"),
    ]:
        with pytest.raises(ValueError, match=error):
            L.Bidirectional(**arguments)
    with pytest.raises(TypeError, match="expected a layer"):
        L.Bidirectional("lstm")
    with pytest.raises(ValueError, match=r"\(N, T, C\)"):
        L.Bidirectional(L.LSTM(2))(normal(2, 3))


def test_bidirectional_states_are_kept_and_reset():
    x = normal(2, 3, 2)
    layer = L.Bidirectional(L.GRU(2, stateful=True, seed=1))
    assert layer.states is None
    first = layer(x).numpy()
    assert len(layer.states) == 2
    assert not np.allclose(layer(x).numpy(), first)
    layer.reset_state()
    np.testing.assert_array_equal(layer(x).numpy(), first)
    with pytest.raises(AttributeError, match="not stateful"):
        L.Bidirectional(L.GRU(2)).reset_states()


def test_bidirectional_writes_down_both_layers():
    layer = L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(2, go_backwards=True), merge_mode="ave")
    config = json.loads(json.dumps(layers.serialize(layer)))
    again = layers.deserialize(config)
    assert type(again.backward_layer) is L.GRU and again.merge_mode == "ave"
    assert json.loads(json.dumps(layers.serialize(again))) == config


# ---------------------------------------------------------------------------------------------------- TimeDistributed


def test_time_distributed_calls_the_layer_once_on_all_steps():
    x = normal(2, 3, 4, 4, 1)
    model = models.Sequential([L.Conv2D(2, 3), L.BatchNormalization(), L.Flatten(), L.Dense(3)])
    layer = L.TimeDistributed(model)
    y = layer(x)
    assert y.shape == (2, 3, 3)
    np.testing.assert_allclose(y.numpy().reshape(6, 3), model(x.reshape(6, 4, 4, 1)).numpy(), rtol=1e-6)
    norm = model.layers[1]
    before = norm.moving_mean.numpy().copy()
    layer(x)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    layer(x, training=True)
    assert not np.array_equal(norm.moving_mean.numpy(), before), "the training flag gets in"
    symbol = L.TimeDistributed(model)(L.Input((None, 4, 4, 1)))
    assert symbol.shape == (None, None, 3)
    several = models.Model(inputs := L.Input((4,)), [L.Dense(2)(inputs), L.Dense(3)(inputs)])
    assert [one.shape for one in L.TimeDistributed(several)(normal(2, 3, 4))] == [(2, 3, 2), (2, 3, 3)]
    assert L.TimeDistributed(L.Embedding(5, 2))(np.ones((2, 3, 4), np.int64)).shape == (2, 3, 4, 2)


def test_time_distributed_checks_its_layer_and_its_input():
    with pytest.raises(TypeError, match="expected a layer"):
        L.TimeDistributed(3)
    with pytest.raises(ValueError, match="3 dimensions"):
        L.TimeDistributed(L.Dense(2))(normal(2, 3))
    for mask in (np.ones((2,), bool), np.ones((3, 2), bool)):
        with pytest.raises(ValueError, match="does not fit"):
            L.TimeDistributed(L.Dense(2))(normal(2, 3, 4), mask=mask)


def test_masks_go_around_and_into_layers_in_time():
    steps = np.array([[True, True, False], [True, False, False]])
    x = with_mask(Tensor(normal(2, 3, 4, 2)), steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = L.TimeDistributed(L.Flatten())(x)
        np.testing.assert_array_equal(mask_of(y).numpy(), steps)
        y = L.TimeDistributed(models.Sequential([L.Conv1D(2, 2), L.GlobalMaxPooling1D()]))(x)
        np.testing.assert_array_equal(mask_of(y).numpy(), steps)
    norm = L.BatchNormalization(momentum=0.0)
    L.TimeDistributed(norm)(x, training=True)
    np.testing.assert_allclose(norm.moving_mean.numpy(), x.numpy()[steps].mean((0, 1)), rtol=1e-5)

    words = np.zeros((2, 3, 4), np.int64)
    words[0, 0, :2], words[0, 1, 0], words[1, 0] = 1, 2, 3
    embedded = L.Embedding(5, 2, mask_zero=True)(words)
    lstm = L.LSTM(2)
    sentences = L.TimeDistributed(lstm)(embedded)
    np.testing.assert_array_equal(mask_of(sentences).numpy(), (words != 0).any(-1))
    np.testing.assert_allclose(sentences.numpy()[0, 1], lstm(embedded.numpy()[0, 1:2, :1]).numpy()[0], rtol=1e-5)
    within = L.TimeDistributed(models.Sequential([L.Embedding(5, 2, mask_zero=True)]))(words)
    np.testing.assert_array_equal(mask_of(within).numpy(), words != 0)


# ------------------------------------------------------------------------------------------------------ other places


def test_inference_that_is_repeated_gives_the_same():
    x = normal(3, 4, 2)
    for layer in (L.LSTM(2), L.Bidirectional(L.GRU(2)), L.TimeDistributed(L.Dense(2)), L.RNN(L.SimpleRNNCell(2))):
        model = models.Sequential([L.Input((4, 2)), layer, L.Dense(1)])
        found = [model.predict(x) for _ in range(4)]
        recorded = [entry.recorded is not None for entry in model._replays._entries.values()]
        assert recorded == [type(layer) is not L.RNN], "launches are repeated, but for cells of whatever kind"
        model.layers[0].set_weights([weight * 2 for weight in model.layers[0].get_weights()])
        other = model.predict(x)
        assert all(np.array_equal(one, found[0]) for one in found) and not np.array_equal(other, found[0])
        with_tape = model(Tensor(x)).numpy()
        np.testing.assert_allclose(other, with_tape, rtol=1e-6)


def test_layers_whose_results_depend_on_the_calls_before_are_not_repeated():
    model = models.Sequential([L.Input(batch_shape=(2, 3, 2)), L.GRU(2, stateful=True)])
    x = normal(2, 3, 2)
    found = [model.predict(x, batch_size=2) for _ in range(5)]
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(found))
    masked = models.Sequential([L.Input((3, 2)), L.LSTM(2)])
    for _ in range(5):
        masked.predict(x)
    with no_grad():
        whole, short = masked(x), masked(x, mask=np.array([[1, 0, 0], [1, 0, 0]], bool))
        np.testing.assert_allclose(short.numpy(), masked.layers[0](x[:, :1]).numpy(), rtol=1e-6)
        assert not np.allclose(whole.numpy(), short.numpy())


def test_cells_take_the_type_and_trainability_of_their_layer():
    layer = L.LSTM(2, dtype="float64", trainable=False)
    layer(normal(1, 2, 2))
    assert layer.cell.kernel.dtype == np.float64 and not layer.trainable_weights
    layer.trainable = True
    assert len(layer.trainable_weights) == 3
    outer = L.RNN(L.GRUCell(2), dtype="float64", return_state=True)
    assert [one.dtype for one in outer(normal(1, 2, 2))] == [np.float64] * 2
    assert L.RNN(L.GRUCell(2, dtype="float64")).dtype == np.float64
    assert L.Bidirectional(L.GRU(2, dtype="float64")).dtype == np.float64
    assert isinstance(layer.kernel_initializer, initializers.GlorotUniform)
