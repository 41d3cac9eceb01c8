"""Models in files: they come back bit for bit, and files that are none of ours are told so."""

import json

import numpy as np
import pytest

from tomograd.engine import checkpoints, layers, losses, optimizers, random
from tomograd.engine.checkpoints import CheckpointError
from tomograd.models import (
    CNN,
    Input,
    Model,
    Sequential,
    UNet,
    clone_model,
    load_model,
    metrics,
    read_metadata,
    register,
)


@register
class Registered(Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = [layers.Dense(units, activation="relu"), layers.BatchNormalization()]
        self.last = layers.Dense(1)

    def call(self, x):
        for layer in self.hidden:
            x = layer(x)
        return self.last(x)


class Bare(Model):
    """A constructor that knows nothing of names."""

    def __init__(self, units=3):
        super().__init__()
        self.units = units
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def branched():
    a, b = Input((5,), name="a"), Input((5,), name="b")
    shared = layers.Dense(4, kernel_initializer="he_normal", kernel_regularizer="l2", activation="relu")
    joined = layers.Concatenate()([shared(a), shared(b)])
    return Model({"a": a, "b": b}, [layers.Dense(1)(joined), layers.Dropout(0.5)(joined)], name="branched")


def nested():
    inner = Sequential([Input((5,)), layers.Dense(4, activation="gelu")])
    inputs = Input((5,))
    return Model(inputs, layers.Dense(2)(inner(inputs)))


def around_a_unet():
    inputs = Input((6, 6, 1))
    x = UNet((6, 6, 1), 2, base_filters=2, depth=1, name="trunk")(inputs)
    return Model(inputs, layers.GlobalAveragePooling2D()(x))


MODELS = {
    "around": around_a_unet,
    "sequential": lambda: Sequential([Input((5,)), layers.Dense(3, activation="tanh"), layers.Dense(2)], name="row"),
    "late": lambda: Sequential([layers.Dense(3), layers.LayerNormalization()]),
    "branched": branched,
    "nested": nested,
    "registered": lambda: Registered(4, name="mine"),
    "cnn": lambda: CNN(
        (6, 6, 1), 3, filters=(2, 3), dense=4, padding="same", kernel_regularizer="l2", normalization="batch"
    ),
    "unet": lambda: UNet((None, 6, 1), 2, base_filters=2, depth=2, upsampling="resize", dropout=0.1),
    "float64": lambda: Sequential([Input((5,), dtype="float64"), layers.Dense(2, dtype="float64")]),
}


def example(name, generator):
    if name in ("cnn", "unet", "around"):
        return generator.standard_normal((2, 6, 6, 1))
    x = generator.standard_normal((3, 5))
    return {"a": x, "b": x[::-1].copy()} if name == "branched" else x


def equal(first, second):
    first, second = (value if isinstance(value, list) else [value] for value in (first, second))
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_bit_for_bit(name, tmp_path):
    model, x = MODELS[name](), example(name, np.random.default_rng(0))
    before = model.predict(x)
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    model.save(tmp_path / "m.safetensors")
    state = random.state()
    again = load_model(tmp_path / "m.safetensors")
    assert random.state() == state
    assert type(again) is type(model)
    assert (again.name, again.dtype) == (model.name, model.dtype)
    assert equal(again.predict(x), model.predict(x))
    assert not equal(again.predict(x), before)
    assert equal(again.get_weights(), model.get_weights())
    json.dumps(again.get_config())
    again.save(tmp_path / "n.safetensors")
    assert equal(load_model(tmp_path / "n.safetensors").predict(x), model.predict(x))


def test_compile_settings_come_back(tmp_path):
    model = MODELS["sequential"]()
    model.compile(
        optimizers.SGD(0.3, momentum=0.5),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", metrics.Precision(average="macro")],
    )
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert isinstance(again.optimizer, optimizers.SGD)
    assert (again.optimizer.learning_rate, again.optimizer.momentum) == (0.3, 0.5)
    x, y = np.random.default_rng(0).standard_normal((8, 5)), np.arange(8) % 2
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert again.fit(x, y, shuffle=False, verbose=0).history == model.fit(x, y, shuffle=False, verbose=0).history
    assert not load_model(tmp_path / "m.safetensors", compile=False).compiled
    model.compile("adam", lambda t, p: p)
    model.save(tmp_path / "m.safetensors")
    assert not load_model(tmp_path / "m.safetensors").compiled


def test_metadata(tmp_path):
    model = MODELS["sequential"]()
    model.save(tmp_path / "m.safetensors", metadata={"window": "-600 1500", "classes": "nodule"})
    assert read_metadata(tmp_path / "m.safetensors") == {"window": "-600 1500", "classes": "nodule"}
    with pytest.raises(ValueError, match=r"tomograd\."):
        model.save(tmp_path / "x.safetensors", metadata={"tomograd.config": "{}"})
    assert not (tmp_path / "x.safetensors").exists()


def test_weights_alone(tmp_path):
    model, other = MODELS["registered"](), MODELS["registered"]()
    x = np.ones((2, 5))
    assert not equal(model.predict(x), other.predict(x))
    model.save_weights(tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    assert equal(model.predict(x), other.predict(x))
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="of another model"):
        MODELS["sequential"]().load_weights(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="no model's description"):
        load_model(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="not built"):
        Bare().save_weights(tmp_path / "b.safetensors")


def test_classes_that_are_not_known(tmp_path):
    model = Bare()
    model.predict(np.ones((1, 2)))
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors.*'Bare' is not known.*register"):
        load_model(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", custom_objects={"Bare": Bare})
    assert equal(again.predict(np.ones((1, 2))), model.predict(np.ones((1, 2))))
    with pytest.raises(TypeError, match="subclass"):
        register(dict)
    with pytest.raises(ValueError, match="known already"):
        register(type("Dense", (layers.Layer,), {}))


def _rewritten(path, **changes):
    arrays, metadata = checkpoints.load(path)
    checkpoints.save(path, arrays, metadata | {f"tomograd.{key}": value for key, value in changes.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": "{"}, "cannot be made"),
        ({"config": "{}"}, "cannot be made"),
        ({"class_name": "Popen"}, "'Popen' is not known"),
        ({"class_name": "CNN"}, "cannot be made"),
        ({"format": "tomograd model 99"}, "format is 'tomograd model 99'"),
    ],
)
def test_damaged_descriptions(changes, message, tmp_path):
    path = tmp_path / "m.safetensors"
    MODELS["sequential"]().save(path)
    _rewritten(path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "m.safetensors" in str(caught.value)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(CheckpointError, match="no such file"):
        load_model(path)
    MODELS["sequential"]().save(path)
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            load_model(path)
    path.write_bytes(b"DICM" * 100)
    with pytest.raises(CheckpointError, match=r"m\.safetensors"):
        load_model(path)
    path.write_bytes(whole)
    other = Sequential([Input((5,)), layers.Dense(7)])
    other.save(tmp_path / "other.safetensors")
    arrays, _ = checkpoints.load(tmp_path / "other.safetensors")
    _, metadata = checkpoints.load(path)
    checkpoints.save(path, arrays, metadata)
    with pytest.raises(CheckpointError, match="of another model"):
        load_model(path)


def test_what_cannot_be_saved_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="not built"):
        Bare().save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_model_is_refused_wherever_the_damage_is(tmp_path):
    path = tmp_path / "model"
    nested().save(path)
    raw = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(raw), 30):
        changed = bytearray(raw)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match="model"):
            load_model(path)


def test_a_layer_at_several_places_is_one_layer_again(tmp_path):
    shared = layers.Dense(3)
    model = Sequential([Input((3,)), shared, layers.ReLU(), shared])
    model.save(tmp_path / "m.safetensors")
    for again in (load_model(tmp_path / "m.safetensors"), clone_model(model)):
        assert len(again.weights) == 2
        again.set_weights(model.get_weights())
        x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
        np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_model_of_lists_of_one_comes_back(tmp_path):
    inputs = Input((3,))
    model = Model(inputs=[inputs], outputs=[layers.Dense(2)(inputs)])
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert again.predict(x).shape == (5, 2)
    np.testing.assert_array_equal(again.predict([x]), model.predict(x))


def trained(epochs, first=0, model=None):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((12, 3)).astype(np.float32)
    if model is None:
        random.seed(1)
        model = Sequential([Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
        model.compile(optimizers.Adam(0.05, clipnorm=1.0), "mse", metrics=["mae"])
    model.fit(x, x[:, :1], batch_size=5, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0)
    return model


def test_training_goes_on_with_the_optimizers_state(tmp_path):
    whole, half = trained(4), trained(2)
    half.save(tmp_path / "m.safetensors")
    half.save(tmp_path / "small.safetensors", include_optimizer=False)
    again = load_model(tmp_path / "m.safetensors")
    assert again.optimizer.iterations == half.optimizer.iterations == 6
    for one, other in zip(trained(4, 2, again).get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    anew = load_model(tmp_path / "small.safetensors")
    assert anew.optimizer.iterations == 0
    assert not np.array_equal(trained(4, 2, anew).get_weights()[0], whole.get_weights()[0])
    assert load_model(tmp_path / "m.safetensors", compile=False).optimizer is None


def test_weights_are_read_from_a_file_that_holds_an_optimizer(tmp_path):
    model = trained(1)
    model.save(tmp_path / "m.safetensors")
    for how in ({}, {"by_name": True}, {"skip_mismatch": True}):
        other = clone_model(model)
        other.load_weights(tmp_path / "m.safetensors", **how)
        np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_an_optimizer_of_other_weights_begins_anew(tmp_path):
    model = trained(1)
    model.layers[0].trainable = False
    model.save(tmp_path / "m.safetensors")
    with pytest.warns(UserWarning, match="the optimizer begins anew"):
        again = load_model(tmp_path / "m.safetensors")
    assert again.optimizer.iterations == 0
    assert again.optimizer.clipnorm == 1.0
    trained(1, 0, again)
