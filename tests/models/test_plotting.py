"""plot_model and summary: what they show of a model, and that boxes and edges stand where they can be seen."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tomograd.engine import functions as F
from tomograd.engine import layers
from tomograd.models import Input, Model, Sequential, UNet
from tomograd.models.plotting import Box, Picture, Shown, _laid_out, plot_model

SVG = "{http://www.w3.org/2000/svg}"


def branches():
    inner = Sequential([Input((4,)), layers.Dense(3, name="d1", activation="relu"), layers.Dense(4)], name="inner")
    a = Input((4,), name="a")
    added = layers.Add(name="added")([inner(a), a])
    frozen = layers.Dense(2, name="frozen<&>", trainable=False)
    return Model(a, [frozen(added), layers.Dense(3, name="side")(a)], name="branches")


def texts(path):
    return [text.text for text in ElementTree.parse(path).iter(f"{SVG}text")]


def all_shown(**changes):
    names = dict.fromkeys(("shapes", "dtype", "names", "activations", "trainable", "nested"), True)
    return Shown(**names | changes)


def test_what_is_asked_for_is_shown(tmp_path):
    model, path = branches(), tmp_path / "m.svg"
    plot = plot_model(model, path)
    assert plot.path == path
    assert plot._repr_svg_() == path.read_text(encoding="utf-8")
    assert len(repr(plot)) < 300
    assert texts(path) == ["InputLayer", "Sequential", "Dense", "Add", "Dense"]
    plot_model(model, path, show_layer_names=True, expand_nested=True)
    assert "frozen<&> (Dense)" in texts(path)
    assert {"inner", "d1 (Dense)"} <= set(texts(path))
    plot_model(model, path, True, True, show_layer_activations=True, show_trainable=True, expand_nested=True)
    shown = texts(path)
    for line in ("input: (None, 4), (None, 4)", "output: (None, 2)", "dtype: float32", "activation: relu",
                 "activation: linear", "Trainable", "Non-trainable"):  # fmt: skip
        assert line in shown
    assert [file.name for file in tmp_path.iterdir()] == ["m.svg"]


def test_functions_of_symbols_are_shown_by_their_names(tmp_path):
    a = Input((3,))
    plot_model(Model(a, F.relu(a * 2.0 - 1.0)), tmp_path / "m.svg", show_shapes=True)
    shown = [text for text in texts(tmp_path / "m.svg") if ":" not in text]
    assert shown == ["InputLayer", "multiply", "subtract", "relu"]


def size(path):
    root = ElementTree.parse(path).getroot()
    return float(root.get("width")), float(root.get("height"))


def test_direction_size_and_edges(tmp_path):
    model, path = UNet((8, 8, 1), 1, base_filters=2, depth=2), tmp_path / "m.svg"
    plot_model(model, path)
    width, height = size(path)
    assert height > width
    plot_model(model, path, dpi=100)
    assert size(path) == pytest.approx((width / 2, height / 2), abs=0.1)
    plot_model(model, path, rankdir="LR")
    assert size(path)[0] > size(path)[1]
    for splines, letters in (("ortho", "ML"), ("line", "ML"), ("curved", "MC")):
        plot_model(model, path, splines=splines)
        paths = [path.get("d") for path in ElementTree.parse(path).iter(f"{SVG}path")][1:]
        assert {letter for path in paths for letter in path if letter.isalpha()} <= set(letters)
        count = sum(len(set(map(id, node.input_symbols()))) for node in model._graph.nodes)
        assert len(paths) == count


@pytest.mark.parametrize("direction", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("make", [branches, lambda: UNet((8, 8, 1), 1, base_filters=2, depth=3)])
def test_boxes_stand_apart_and_edges_go_one_way(direction, make):
    picture = _laid_out(make(), all_shown(), direction)
    check(picture)


def check(picture: Picture):
    boxes = list(picture.boxes())
    for box in boxes:
        assert 0 <= box.x <= box.x + box.width <= picture.width + 1e-6
        assert 0 <= box.y <= box.y + box.height <= picture.height + 1e-6
        if box.inner is not None:
            assert box.inner.width <= box.width + 1e-6
            check(box.inner)
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert not overlap(one, other)
    for chain in picture.edges:
        along = [box.x if picture.sideways else box.y for box in chain]
        assert along == sorted(along, reverse=picture.rankdir in ("BT", "RL"))


def overlap(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return across > 1e-6 and down > 1e-6


def test_a_row_is_straight_and_a_subclass_one_box(tmp_path):
    picture = _laid_out(Sequential([Input((3,)), layers.Dense(2), layers.Dense(30)]), all_shown(), "TB")
    middles = {round(box.x + box.width / 2, 6) for box in picture.boxes()}
    assert len(middles) == 1

    class Own(Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    with pytest.raises(ValueError, match="not built"):
        plot_model(model, tmp_path / "m.svg")
    model.predict(np.ones((1, 2)))
    plot_model(model, tmp_path / "m.svg", show_layer_names=True, show_shapes=True)
    assert texts(tmp_path / "m.svg") == ["own (Own)", "output: ?"]


def test_wrong_arguments_write_nothing(tmp_path):
    model = branches()
    for arguments, message in (
        ({"to_file": tmp_path / "m.png"}, "ends in .svg"),
        ({"rankdir": "XY"}, "rankdir"),
        ({"splines": "wavy"}, "splines"),
        ({"dpi": 0}, "dpi"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_model(model, **{"to_file": tmp_path / "m.svg"} | arguments)
    with pytest.raises(OSError, match="no folder"):
        plot_model(model, tmp_path / "none" / "m.svg")
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------------- summary


def lines(model, **arguments):
    found = []
    model.summary(print_fn=found.append, **arguments)
    return found


def test_the_table_of_a_graph_and_of_a_row():
    model = branches()
    table = lines(model, line_length=100)
    assert table[0] == 'Model: "branches"'
    assert {len(line) for line in table[1:-3]} == {100}
    (added,) = [line for line in table if "added (Add)" in line]
    assert [cell.strip() for cell in added.strip("│").split("│")] == [
        "added (Add)", "(None, 4)", "0", "inner[0][0], a[0][0]",
    ]  # fmt: skip
    assert not any("d1" in line for line in table)
    total = model.count_params()
    assert table[-3:] == [
        f" Total params: {total} ({4 * total:.2f} B)",
        f" Trainable params: {total - 10} ({4 * (total - 10):.2f} B)",
        " Non-trainable params: 10 (40.00 B)",
    ]
    row = lines(Sequential([Input((4,)), layers.Dense(1000)]), line_length=60)
    assert "Connected to" not in "".join(row)
    assert row[-3] == " Total params: 5,000 (19.53 KB)"


def test_nested_layers_what_is_trained_and_ranges():
    model = branches()
    table = lines(model, expand_nested=True, show_trainable=True, line_length=140)
    nested = [line for line in table if "└ d1 (Dense)" in line]
    assert len(nested) == 1 and nested[0].rstrip("│ ").endswith("Y")
    assert any("frozen" in line and line.rstrip("│ ").endswith("N") for line in table)
    assert any("added" in line and line.rstrip("│ ").endswith("-") for line in table)
    names = [line for line in lines(model, layer_range=["inner", "add.*"], line_length=100) if "(None" in line]
    assert len(names) == 2
    for wrong in (["x", "y"], ["inner"], [1, 2], "ab"):
        with pytest.raises(ValueError, match="layer_range"):
            lines(model, layer_range=wrong)


def test_columns_and_the_optimizers_own():
    model = Sequential([Input((3,)), layers.Dense(2, name="dense with a name that is too long for its column")])
    wide = lines(model, line_length=60, positions=[0.5, 0.8, 1.0])
    assert wide == lines(model, line_length=60, positions=[30, 48, 60])
    assert wide[1].index("┳") > 25
    assert len(wide) > 9  # the name goes on in further lines
    with pytest.raises(ValueError, match="expected 3 ends"):
        lines(model, positions=[0.5, 1.0])
    with pytest.raises(ValueError, match="too narrow"):
        lines(model, line_length=10)
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)))
    assert lines(model)[-1] == " Optimizer params: 16 (64.00 B)"
    late = Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not built"):
        lines(late)
