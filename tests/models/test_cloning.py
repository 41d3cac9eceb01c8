"""Models made again from what they are: clone_model, to_json, configurations; parts of weights by the layers' names."""

import json

import numpy as np
import pytest

from tomograd.engine import layers, optimizers, random
from tomograd.engine.checkpoints import CheckpointError
from tomograd.models import (
    Functional,
    Input,
    Model,
    Sequential,
    UNet,
    callbacks,
    clone_model,
    load_model,
    model_from_json,
    register,
    save_model,
)


@register
class TwoRows(Model):
    def __init__(self, units=3, **arguments):
        super().__init__(**arguments)
        self.units = units
        self.first, self.second = layers.Dense(units, name="first"), layers.Dense(2, name="second")

    def call(self, x):
        return self.second(self.first(x))


def graph():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    shared = layers.Dense(4, activation="tanh", name="shared")
    inner = Sequential([Input((4,)), layers.Dense(4, name="within")], name="inner")
    joined = layers.Concatenate(name="joined")([shared(a), inner(shared(b))])
    return Model({"a": a, "b": b}, [layers.Dense(1, name="head")(joined), joined], name="graph")


def row():
    return Sequential(
        [Input((3,)), layers.Dense(4, activation="tanh", name="one"), layers.Dense(2, name="two")], name="row"
    )


FORMS = {
    "graph": graph,
    "row": row,
    "late row": lambda: Sequential([layers.Dense(2), layers.Dense(1)]),
    "subclass": TwoRows,
}


def example():
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    return x, {"a": x, "b": x[::-1].copy()}


def answers(model):
    x, both = example()
    given = model.predict(both if isinstance(model, Functional) else x)
    return given if isinstance(given, list) else [given]


def same(first, second):
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_clones_are_alike_and_share_nothing(form):
    model = FORMS[form]()
    before = answers(model)
    again = clone_model(model)
    assert type(again) is type(model)
    assert not same(answers(again), before)
    again.set_weights(model.get_weights())
    assert same(answers(again), before)
    again.set_weights([weight + 1 for weight in again.get_weights()])
    assert same(answers(model), before)
    if form != "late row":
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("form", FORMS)
def test_json_and_back(form):
    model = FORMS[form]()
    text = model.to_json(indent=2)
    assert "\n  " in text
    unbuilt = model_from_json(text)
    assert unbuilt.built == model.built
    before = answers(model)
    model.compile(optimizers.SGD(0.25), "mse", metrics=["mae"])
    again = model_from_json(model.to_json())
    assert again.built and again.compiled and again.optimizer.learning_rate == 0.25
    again.set_weights(model.get_weights())
    assert same(answers(again), before)
    with pytest.raises(ValueError, match="not the description of a model"):
        model_from_json(json.dumps({"class_name": "Dense"}))
    with pytest.raises(ValueError, match="not the description of a model"):
        model_from_json("no json")


def test_clone_and_call_functions():
    doubled = []

    def wider(layer):
        config = layer.get_config()
        if "units" in config and layer.name != "within":
            config["units"] *= 2
        return type(layer).from_config(config)

    def twice(layer, *inputs, **arguments):
        doubled.append(layer.name)
        outputs = layer(*inputs, **arguments)
        return layers.Activation("relu")(outputs) if layer.name == "head" else outputs

    model = row()
    assert [layer.units for layer in clone_model(model, clone_function=wider).layers] == [8, 4]
    model = graph()
    same_layers = clone_model(model, clone_function=lambda layer: layer, call_function=twice)
    assert sorted(doubled) == ["head", "inner", "joined", "shared", "shared"]
    both = example()[1]
    np.testing.assert_array_equal(same_layers.predict(both)[0], np.maximum(model.predict(both)[0], 0))
    inside = clone_model(
        model,
        clone_function=lambda layer: (
            wider(layer) if layer.name == "head" else type(layer).from_config(layer.get_config())
        ),
        recursive=True,
    )
    assert inside.get_layer("inner") is not model.get_layer("inner")
    assert inside.get_layer("head").units == 2


def test_clones_on_other_inputs():
    given = Input((3,), name="mine")
    again = clone_model(row(), input_tensors=given)
    assert again.input is given
    a, b = Input((3,), name="x"), Input((3,), name="y")
    copy = clone_model(graph(), input_tensors=[a, b])
    assert copy.inputs == [a, b]
    unet = UNet((8, 8, 1), 1, base_filters=2, depth=1)
    assert type(clone_model(unet)) is UNet
    plain = clone_model(unet, clone_function=lambda layer: type(layer).from_config(layer.get_config()))
    assert plain.count_params() == unet.count_params()


def test_what_cannot_be_cloned_so_is_an_error():
    for arguments, message in (
        ({"clone_function": lambda layer: layer}, "clone_function: only for"),
        ({"input_tensors": Input((3,))}, "input_tensors: only for"),
        ({"call_function": lambda layer, x: x}, "call_function: only for"),
    ):
        with pytest.raises(ValueError, match=message):
            clone_model(TwoRows(), **arguments)
    with pytest.raises(ValueError, match="not for a Sequential"):
        clone_model(row(), call_function=lambda layer, x: x)
    with pytest.raises(ValueError, match="expected a layer"):
        clone_model(row(), clone_function=lambda layer: None)
    with pytest.raises(ValueError, match="expected 2 symbols"):
        clone_model(graph(), input_tensors=[Input((3,))])
    with pytest.raises(ValueError, match="expected a model"):
        clone_model(layers.Dense(2))


# ------------------------------------------------------------------------------------------------- names of files


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.weights.h5", "M.H5", "m.pt", "m.pkl"])
def test_endings_of_other_formats_are_errors_that_say_what_to_write(name, tmp_path):
    model = row()
    for save in (model.save, model.save_weights, lambda path: save_model(model, path)):
        with pytest.raises(ValueError, match=r"[mM]\.safetensors"):
            save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    (tmp_path / name).write_bytes(b"PK" * 100)
    with pytest.raises(CheckpointError, match="by its name it is"):
        load_model(tmp_path / name)
    with pytest.raises(CheckpointError, match="by its name it is"):
        model.load_weights(tmp_path / name)


def test_a_checkpoint_with_such_an_ending_fails_before_the_training():
    with pytest.raises(ValueError, match=r"best-\{epoch\}\.safetensors"):
        callbacks.ModelCheckpoint("best-{epoch}.keras")


def test_files_that_are_there(tmp_path):
    model, path = row(), tmp_path / "m.safetensors"
    model.save(path)
    model.save(path)
    for save in (model.save, model.save_weights):
        with pytest.raises(FileExistsError, match="exists already"):
            save(path, overwrite=False)
    with pytest.raises(ValueError, match="zipped = True"):
        model.save(path, zipped=True)
    with pytest.raises(ValueError, match="max_shard_size"):
        model.save_weights(path, max_shard_size=0.5)
    assert same(load_model(path, safe_mode=False).get_weights(), model.get_weights())


def test_a_full_disk_leaves_the_old_model(tmp_path, monkeypatch):
    import errno
    import os

    model, path = row(), tmp_path / "m.safetensors"
    model.save(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with pytest.raises(OSError, match=r"m\.safetensors"):
        model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    with pytest.raises(OSError, match="no folder"):
        model.save(tmp_path / "none" / "m.safetensors")


# ------------------------------------------------------------------------------------------- weights for a part


def test_weights_by_the_names_of_layers(tmp_path):
    random.seed(1)
    old, path = graph(), tmp_path / "w.safetensors"
    inputs = Input((3,))
    x = layers.Dense(4, name="shared")(inputs)
    x = Sequential([Input((4,)), layers.Dense(4, name="other name")], name="inner")(x)
    new = Model(inputs, layers.Dense(7, name="top")(x))
    top = new.get_layer("top").get_weights()
    for save in (old.save, old.save_weights):
        save(path)
        new.set_weights([0 * weight + 1 if weight.shape[-1] == 4 else weight for weight in new.get_weights()])
        new.load_weights(path, by_name=True)
        for name in ("shared", "inner"):
            assert same(new.get_layer(name).get_weights(), old.get_layer(name).get_weights())
        assert same(new.get_layer("top").get_weights(), top)


def test_layers_that_do_not_fit_are_errors_or_left(tmp_path):
    old, path = row(), tmp_path / "w.safetensors"
    old.save_weights(path)
    new = Sequential([Input((3,)), layers.Dense(4, name="one"), layers.Dense(3, name="two")])
    before = new.get_weights()
    with pytest.raises(CheckpointError, match="another model"):
        new.load_weights(path)
    with pytest.raises(CheckpointError, match=r"'two' has a weight kernel of shape \(4, 3\) here, \(4, 2\) there"):
        new.load_weights(path, by_name=True)
    assert same(new.get_weights(), before)
    for by_name in (True, False):
        with pytest.warns(UserWarning, match="'two' has a weight kernel of shape.*left as it is"):
            new.load_weights(path, skip_mismatch=True, by_name=by_name)
        assert same(new.layers[0].get_weights(), old.layers[0].get_weights())
        assert same(new.layers[1].get_weights(), before[2:])
    stranger = Sequential([Input((9,)), layers.Dense(5, name="stranger")])
    with pytest.raises(CheckpointError, match="none of its layers"):
        stranger.load_weights(path, by_name=True)
    bare = Sequential([Input((3,)), layers.Dense(4, name="one", use_bias=False)])
    with pytest.raises(CheckpointError, match=r"'one' has the weights \['kernel'\] here, \['bias', 'kernel'\] there"):
        bare.load_weights(path, by_name=True)
    with pytest.raises(ValueError, match="not built"):
        Sequential([layers.Dense(2)]).load_weights(path)
