"""Event files, read by a reader that was written from their specification (tests/helpers/event_reader.py)."""

import json
import struct
import zlib

import event_reader
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd.engine import layers
from tomograd.models import Input, Model, Sequential, callbacks
from tomograd.models.callbacks import event_files


def data(samples=12):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((samples, 3)).astype(np.float32)
    return x, x[:, :2] * 0.5


def new_model():
    model = Sequential([Input((3,)), layers.Dense(4, name="first"), layers.Dense(2, name="last")], name="small")
    model.compile("adam", "mse", metrics=["mae"])
    return model


def read(folder):
    """{tag: [(step, value)]}, and {tag: (plugin, class of data)}, of the only file in a folder."""
    (path,) = folder.iterdir()
    assert "tfevents" in path.name
    values, kinds = {}, {}
    for step, tag, plugin, data_class, value in event_reader.events(path):
        values.setdefault(tag, []).append((step, value))
        assert kinds.setdefault(tag, (plugin, data_class)) == (plugin, data_class)
    return values, kinds


def numbers(values):
    return [(step, float(value)) for step, value in values]


def test_epochs_and_validations_are_written_under_keras_names(tmp_path):
    x, y = data()
    model = new_model()
    history = model.fit(
        x, y, batch_size=4, epochs=3, verbose=0, validation_data=(x, y), callbacks=[callbacks.TensorBoard(tmp_path)]
    ).history
    train, kinds = read(tmp_path / "train")
    assert sorted(train) == ["epoch_learning_rate", "epoch_loss", "epoch_mae", "keras"]
    validation, _ = read(tmp_path / "validation")
    assert sorted(validation) == [
        "epoch_loss", "epoch_mae", "evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations",
    ]  # fmt: skip
    assert kinds["epoch_loss"] == ("scalars", 1)
    for found, name, expected in (
        (train, "epoch_loss", history["loss"]),
        (train, "epoch_mae", history["mae"]),
        (train, "epoch_learning_rate", [0.001] * 3),
        (validation, "epoch_loss", history["val_loss"]),
        (validation, "epoch_mae", history["val_mae"]),
    ):
        assert numbers(found[name]) == list(enumerate(map(float, np.float32(expected))))
    vs_steps = zip([3, 6, 9], map(float, np.float32(history["val_loss"])), strict=True)
    assert numbers(validation["evaluation_loss_vs_iterations"]) == list(vs_steps)


@pytest.mark.parametrize(("update_freq", "steps"), [("batch", range(1, 7)), (1, range(1, 7)), (4, [4])])
def test_steps_are_written_as_often_as_asked(tmp_path, update_freq, steps):
    x, y = data()
    logs = []
    note = callbacks.LambdaCallback(on_train_batch_end=lambda batch, given: logs.append(given["loss"]))
    board = callbacks.TensorBoard(str(tmp_path), update_freq=update_freq, write_steps_per_second=True)
    new_model().fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[note, board])
    values, _ = read(tmp_path / "train")
    assert numbers(values["batch_loss"]) == [(step, float(np.float32(logs[step - 1]))) for step in steps]
    assert [step for step, _ in values["batch_steps_per_second"]] == list(steps)
    assert all(value > 0 for _, value in values["batch_steps_per_second"] + values["epoch_steps_per_second"])
    assert not (tmp_path / "validation").exists()


def test_an_evaluation_by_itself(tmp_path):
    x, y = data()
    model = new_model()
    model.fit(x, y, batch_size=4, verbose=0)
    logs = model.evaluate(x, y, verbose=0, return_dict=True, callbacks=[callbacks.TensorBoard(tmp_path)])
    values, _ = read(tmp_path / "validation")
    assert numbers(values["evaluation_loss_vs_iterations"]) == [(3, float(np.float32(logs["loss"])))]
    assert not (tmp_path / "train").exists()


def test_weights_are_written_as_histograms(tmp_path):
    x, y = data()
    model = new_model()
    weights = []
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    board = callbacks.TensorBoard(tmp_path, histogram_freq=2, write_graph=False)
    model.fit(x, y, epochs=4, verbose=0, callbacks=[note, board])
    values, kinds = read(tmp_path / "train")
    tags = ["first/kernel/histogram", "first/bias/histogram", "last/kernel/histogram", "last/bias/histogram"]
    assert [tag for tag in values if "histogram" in tag] == tags
    assert "keras" not in values
    for index, tag in enumerate(tags):
        assert kinds[tag] == ("histograms", 2)
        assert [step for step, _ in values[tag]] == [0, 2]
        for step, rows in values[tag]:
            weight = weights[step][index]
            assert rows.shape == (30, 3)
            assert rows[:, 2].sum() == weight.size
            assert (rows[0, 0], rows[-1, 1]) == (weight.min(), weight.max())
            np.testing.assert_array_equal(rows[1:, 0], rows[:-1, 1])


def pixels(png):
    """A grey PNG without filters, read from the specification."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + content)
        chunks[kind], at = content, at + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_weights_are_written_as_pictures(tmp_path):
    model = Sequential(
        [Input((5, 5, 2)), layers.Conv2D(3, 2, name="conv"), layers.Flatten(), layers.Dense(4, name="d")]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((4, 5, 5, 2)).astype(np.float32)
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    model.fit(x, np.ones((4, 4)), verbose=0, callbacks=[board])
    values, kinds = read(tmp_path / "train")
    assert kinds["conv/kernel/image"] == ("images", 3)
    ((step, (width, height, png)),) = values["conv/kernel/image"]
    picture, kernel = pixels(png), model.layers[0].kernel.numpy()
    assert (step, picture.shape) == (0, (int(height), int(width)))
    assert picture.shape == (2 * 3 - 1, 3 * 3 - 1)
    scaled = np.round((kernel - kernel.min()) / (kernel.max() - kernel.min()) * 255)
    for row in range(2):
        for column in range(3):
            tile = picture[3 * row : 3 * row + 2, 3 * column : 3 * column + 2]
            np.testing.assert_allclose(tile, scaled[:, :, row, column], atol=1)
    assert (picture[2] == 128).all()
    assert pixels(values["d/kernel/image"][0][1][2]).shape == (4, 48)
    assert pixels(values["d/bias/image"][0][1][2]).shape == (1, 4)
    with pytest.warns(UserWarning, match="set histogram_freq"):
        callbacks.TensorBoard(tmp_path, write_images=True)


@pytest.mark.parametrize(
    ("weight", "picture"),
    [
        (np.zeros(3), [[0, 0, 0]]),
        (np.array([[1.0], [3.0], [2.0]]), [[0, 255, 128]]),
        (np.array([0.0, np.nan, np.inf, -np.inf, 1.0]), [[0, 128, 255, 0, 255]]),
        (np.zeros((2, 2, 2, 1, 1)), None),
        (np.zeros((0, 3)), None),
    ],
)
def test_pictures_of_odd_weights(weight, picture):
    from tomograd.models.callbacks.tensorboard import _picture

    found = _picture(weight)
    assert (found is None) if picture is None else found.tolist() == picture


def test_numbers_for_each_class_stand_one_by_one(tmp_path):
    x, y = data()
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(dice=np.array([0.25, 0.5])))
    new_model().fit(x, y, verbose=0, callbacks=[add, callbacks.TensorBoard(tmp_path)])
    values, _ = read(tmp_path / "train")
    assert numbers(values["epoch_dice_0"]) == [(0, 0.25)]
    assert numbers(values["epoch_dice_1"]) == [(0, 0.5)]


def test_the_graph_names_layers_and_what_they_take(tmp_path):
    x, y = data()
    new_model().fit(x, y, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])
    values, kinds = read(tmp_path / "train")
    assert kinds["keras"] == ("graph_keras_model", 3)
    ((step, text),) = values["keras"]
    graph = json.loads(text)
    assert step == 0
    assert graph["class_name"] == "Sequential"
    assert [(layer["class_name"], layer["config"]["name"]) for layer in graph["config"]["layers"]] == [
        ("Dense", "first"),
        ("Dense", "last"),
    ]


def test_the_graph_of_a_model_with_branches_and_a_layer_called_twice():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    shared = layers.Dense(2, name="shared")
    added = layers.Add(name="added")([shared(a), shared(b)])
    graph = event_files.keras_graph(Model([a, b], [added, shared(b)], name="branches"))
    takes = {
        layer["config"]["name"]: [
            argument["config"]["keras_history"] for node in layer["inbound_nodes"] for argument in node["args"]
        ]
        for layer in graph["config"]["layers"]
    }
    assert takes["a"] == takes["b"] == []
    calls = sorted(name for name in takes if name.startswith("shared"))
    assert calls == ["shared", "shared'", "shared''"]
    assert sorted(takes[name][0][0] for name in calls) == ["a", "b", "b"]
    of_a = next(name for name in calls if takes[name] == [["a", 0, 0]])
    assert takes["added"][0] == [of_a, 0, 0]
    assert graph["config"]["input_layers"] == [["a", 0, 0], ["b", 0, 0]]
    assert graph["config"]["output_layers"][0] == ["added", 0, 0]

    class Subclass(Model):
        pass

    assert event_files.keras_graph(Subclass()) is None


def test_two_trainings_have_two_files(tmp_path):
    x, y = data()
    board = callbacks.TensorBoard(tmp_path)
    for _ in range(2):
        new_model().fit(x, y, verbose=0, callbacks=[board])
    assert len(list((tmp_path / "train").iterdir())) == 2


@pytest.mark.parametrize(
    "argument",
    [{"profile_batch": 2}, {"embeddings_freq": 1}, {"embeddings_metadata": "words.tsv"}],
    ids=str,
)
def test_what_is_not_supported_says_so(argument):
    with pytest.raises(ValueError, match=f"TensorBoard: {next(iter(argument))} = .*is not supported"):
        callbacks.TensorBoard(**argument)


@pytest.mark.parametrize("argument", [{"update_freq": 0}, {"update_freq": "step"}, {"histogram_freq": -1}], ids=str)
def test_values_that_make_no_sense_are_errors(argument):
    with pytest.raises(ValueError, match=f"TensorBoard: {next(iter(argument))}"):
        callbacks.TensorBoard(**argument)


# -------------------------------------------------------------------------------------------------------- the format


def test_checksums_are_those_of_rfc_3720():
    for content, crc in (
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ):
        assert event_reader.crc32c(content) == crc
        assert event_reader.unmasked(event_files.masked_crc(content)) == crc


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.tuples(st.text(max_size=300), st.floats(width=32)), max_size=3),
)
def test_any_step_names_and_numbers(tmp_path_factory, step, scalars):
    path = tmp_path_factory.mktemp("events") / "x"
    values = [event_files.scalar(tag, number) for tag, number in scalars]
    messages = [event_files.first_event(2e9), event_files.event(2e9, step, values), event_files.event(2e9, 1, values)]
    path.write_bytes(b"".join(map(event_files.record, messages)))
    if not scalars:
        return
    events = event_reader.events(path)
    assert [event[0] for event in events] == [step] * len(scalars) + [1] * len(scalars)
    for (tag, number), event in zip(scalars, events, strict=False):
        assert event[1] == tag
        np.testing.assert_array_equal(event[4], np.float32(number))


@example(np.array([1.0, 1.0 + 2**-52]))
@example(np.array([-1.7e308, 1.7e308, 0.0]))
@example(np.array([0.0, 5e-324]))
@given(hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(min_side=0, max_dims=3)))
def test_histograms_count_every_finite_number_once(numbers):
    message = event_reader.fields(event_files.histogram("tag", numbers))
    rows = event_reader.tensor(message[8][0])
    finite = numbers[np.isfinite(numbers)].astype(np.float64)
    if not finite.size:
        assert rows.shape == (0, 3)
        return
    assert rows.shape == (30, 3)
    assert rows[:, 2].sum() == finite.size
    assert (rows[0, 0], rows[-1, 1]) == (finite.min(), finite.max())
    assert (np.diff(np.append(rows[:, 0], rows[-1, 1])) >= 0).all()


def test_parts_hold_what_lies_between_their_edges():
    numbers = np.random.default_rng(0).standard_normal(1000)
    rows = event_reader.tensor(event_reader.fields(event_files.histogram("tag", numbers))[8][0])
    np.testing.assert_array_equal(rows[:, 2], np.histogram(numbers, 30)[0])
    np.testing.assert_allclose(rows[:, 1], np.histogram(numbers, 30)[1][1:], rtol=1e-12, atol=1e-12)


def test_equal_numbers_stand_in_the_last_part():
    rows = event_reader.tensor(event_reader.fields(event_files.histogram("tag", np.full(7, 2.5)))[8][0])
    assert rows[:, 2].tolist() == [0] * 29 + [7]
    assert (rows[:, :2] == 2.5).all()
