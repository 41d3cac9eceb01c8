"""RecurrentClassifier: what it is made of, that it learns what needs the order of frames, files, resumed runs."""

import numpy as np
import pytest

from tomograd import imaging, kernels
from tomograd.engine import layers, losses, optimizers, random
from tomograd.models import RecurrentClassifier, Sequential, callbacks, load_model


def compiled(model, rate=0.01):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def moving_spots(count, seed, steps=4, size=8):
    """A spot that goes to the right (class 1) or to the left, round the edge, on noise: no frame alone tells which."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 0.1, (count, steps, size, size, 1)).astype(np.float32)
    y, row, column = (generator.integers(high, size=count) for high in (2, size, size))
    for step in range(steps):
        x[np.arange(count), step, row, (column + step * (2 * y - 1)) % size] += 1
    return x, y


# ---------------------------------------------------------------------------------------------------- what it is


def test_frames_go_through_a_cnn_each_and_then_one_after_the_other():
    model = RecurrentClassifier(
        (None, 12, 10, 2), 3, "gru", units=(5, 4), bidirectional=True, filters=(3, 4), features=7, dense=6, dropout=0.2,
        mask_value=0.0,
    )  # fmt: skip
    assert [type(layer).__name__ for layer in model.layers] == [
        "Masking", "TimeDistributed", "Bidirectional", "Dropout", "Bidirectional", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    assert model.output_shape == (None, 3)
    assert model.layers[1].layer.output_shape == (None, 7)
    assert model.layers[1].layer.count_params() == 3 * 19 + 4 * 28 + 7 * (1 * 1 * 4 * 1 + 1)
    assert [layer.output.shape for layer in model.layers[1:5:3]] == [(None, None, 7), (None, 8)]


@pytest.mark.parametrize(("cell", "layer"), [("simple_rnn", "SimpleRNN"), ("lstm", "LSTM"), ("gru", "GRU")])
def test_sequences_of_vectors_go_straight_into_the_recurrent_layer(cell, layer):
    model = RecurrentClassifier((4, 3), cell=cell, units=5, activation="sigmoid", kernel_initializer="he_normal")
    assert [type(each).__name__ for each in model.layers] == [layer, "Dense"]
    assert model.predict(np.zeros((2, 4, 3))).shape == (2, 1)
    assert type(model.layers[0].kernel_initializer).__name__ == "HeNormal"


def test_wrong_arguments_are_refused():
    for arguments, error in [
        ({"input_shape": (4,)}, "steps, channels"),
        ({"input_shape": (4, None, 3)}, "all but the steps known"),
        ({"input_shape": (4, 3), "cell": "rnn"}, "cell 'rnn'"),
        ({"input_shape": (4, 3), "units": ()}, "units is empty"),
        ({"input_shape": (4, 3, 3, 1)}, "too small"),
        ({"input_shape": (4, 8, 8, 1), "normalization": "layer"}, "normalization"),
    ]:
        with pytest.raises(ValueError, match=error):
            RecurrentClassifier(**arguments)


def test_steps_that_fill_up_are_skipped():
    for shape in ((6, 3), (6, 6, 5, 1)):
        random.seed(0)
        model = RecurrentClassifier(shape, 2, units=4, filters=2, features=3, mask_value=0.0)
        x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
        x[0, 4:] = x[1, 2:] = 0
        short = RecurrentClassifier((None, *shape[1:]), 2, units=4, filters=2, features=3)
        short.set_weights(model.get_weights())
        expected = np.concatenate([short.predict(x[i : i + 1, :n]) for i, n in enumerate((4, 2, 6))])
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", False), ("gru", True)])
def test_it_learns_in_which_direction_a_spot_moves(cell, bidirectional):
    with kernels.using("cpu"):
        model = RecurrentClassifier(
            (4, 8, 8, 1), 2, cell, units=12, bidirectional=bidirectional, filters=6, features=16, padding="same"
        )
        compiled(model).fit(*moving_spots(600, 1), epochs=12, verbose=0)
        _, accuracy = model.evaluate(*moving_spots(200, 2), verbose=0)
    assert accuracy > 0.95


def test_a_simple_net_learns_which_of_two_marks_came_first():
    generator = np.random.default_rng(0)
    x = generator.normal(0, 0.2, (400, 8, 3)).astype(np.float32)
    first, second = np.sort(np.argsort(generator.random((400, 8)), 1)[:, :2], 1).T
    y = generator.integers(2, size=400)
    x[np.arange(400), first, y] += 2
    x[np.arange(400), second, 1 - y] += 2
    model = compiled(RecurrentClassifier((8, 3), 2, "simple_rnn", units=16))
    model.fit(x[:300], y[:300], epochs=25, verbose=0)
    assert model.evaluate(x[300:], y[300:], verbose=0)[1] > 0.95


def small_model(cell):
    random.seed(3)
    model = RecurrentClassifier(
        (4, 8, 8, 1), 2, cell, units=(3, 2), bidirectional=True, filters=2, features=3, dropout=0.3, mask_value=0.0,
        normalization="batch", kernel_regularizer="l2",
    )  # fmt: skip
    model.layers[2].forward_layer.cell.dropout = 0.4  # drawn from the engine's generator
    model.layers[2].forward_layer.cell.recurrent_dropout = 0.4
    return compiled(model)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_saved_model_predicts_and_trains_as_before(cell, tmp_path):
    model, (x, y) = small_model(cell), moving_spots(20, 3)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert type(again) is RecurrentClassifier
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.fit(x, y, verbose=0)


class Killed(Exception):
    pass


class KillAt(callbacks.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.training_run.steps == self.step:
            raise Killed


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_run_that_was_killed_ends_as_an_unbroken_one(cell, tmp_path):
    x, y = moving_spots(20, 4)

    def run(folder, step):
        model = small_model(cell)
        backup = callbacks.BackupAndRestore(tmp_path / folder, save_freq=1)
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[backup, KillAt(step)])
        return history.history, model.get_weights()

    history, weights = run("unbroken", None)
    with pytest.raises(Killed):
        run("broken", 5)
    random.seed(99)
    resumed, found = run("broken", None)
    assert resumed == history
    for a, b in zip(found, weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_killed_run_of_a_stateful_layer_goes_on_with_its_states(tmp_path):
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((16, 3, 2)), generator.integers(2, size=16)

    def run(folder, step):
        random.seed(1)
        model = Sequential(
            [
                layers.Input(batch_shape=(4, 3, 2)),
                layers.GRU(3, stateful=True, return_sequences=True, dropout=0.3, recurrent_dropout=0.2, seed=2),
                layers.RNN([layers.LSTMCell(2), layers.SimpleRNNCell(2)], stateful=True),
                layers.Dense(2),
            ]
        )
        backup = callbacks.BackupAndRestore(tmp_path / folder, save_freq=1)
        compiled(model).fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[backup, KillAt(step)])
        return model.get_weights()

    weights = run("unbroken", None)
    with pytest.raises(Killed):
        run("broken", 6)
    for a, b in zip(run("broken", None), weights, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------------- real data


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_reads_digits_row_by_row(cell, data_folder):
    folder = data_folder / "mnist"
    images, labels = (
        imaging.read_idx(folder / f"train-{name}.gz") for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    test_images, test_labels = (
        imaging.read_idx(folder / f"t10k-{name}.gz") for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    with kernels.using("cpu"):
        model = compiled(RecurrentClassifier((28, 28), 10, cell, units=64), 0.003)
        model.fit(images[:24000] / np.float32(255), labels[:24000], batch_size=64, epochs=4, verbose=0)
        _, accuracy = model.evaluate(test_images / np.float32(255), test_labels, batch_size=500, verbose=0)
    assert accuracy > 0.95, "softmax regression has 0.92"


def test_frames_may_be_volumes_and_lines():
    for shape in ((2, 6, 6, 6, 1), (3, 9, 2)):
        model = RecurrentClassifier(shape, 2, units=2, filters=2, features=2, dtype="float64")
        assert model.predict(np.zeros((2, *shape))).shape == (2, 2)
        assert isinstance(model.layers[0], layers.TimeDistributed)
        assert all(weight.dtype == np.float64 for weight in model.weights)
