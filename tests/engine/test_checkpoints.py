"""Checkpoints: files that are whole or not there, clear errors for damaged ones, and a broken run that ends with the
very numbers of an unbroken one."""

import errno
import json
import os
import struct
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd import engine
from tomograd.engine import checkpoints, functional, grad, layers, losses, optimizers
from tomograd.engine.checkpoints import CheckpointError

ARRAYS = {
    "weights/a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float64),
    "mask": np.array([True, False]),
    "turned": np.arange(6.0).reshape(2, 3).T,
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoints.save(path, ARRAYS, {"epoch": "3", "note": "ü"})
    return path


# -------------------------------------------------------------------------------------------------------------- files


def test_what_was_saved_is_loaded(file):
    arrays, metadata = checkpoints.load(file)
    assert metadata == {"epoch": "3", "note": "ü"}
    assert checkpoints.read_metadata(file) == metadata
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
        arrays[name][...] = 0  # they are the caller's own
    assert os.listdir(file.parent) == [file.name]


types = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_, ">f8"])


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)
any_arrays = types.flatmap(lambda dtype: hnp.arrays(dtype, shapes))
names = st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__")


@given(st.dictionaries(names, any_arrays, max_size=4))
def test_any_arrays(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("any") / "x"
    checkpoints.save(path, arrays)
    loaded, metadata = checkpoints.load(path)
    assert metadata == {}
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_the_file_is_a_safetensors_file(file):
    raw = file.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    assert header["weights/a"]["dtype"] == "F32"
    assert header["__metadata__"]["epoch"] == "3"


def test_every_truncation_is_a_clear_error(file, tmp_path):
    raw = file.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(len(raw)):
        cut.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"cut\.safetensors: ") as caught:
            checkpoints.load(cut)
        assert "\n" not in str(caught.value)
        with pytest.raises(CheckpointError):
            checkpoints.read_metadata(cut)


@given(st.data())
def test_damaged_headers_give_an_error_or_arrays(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "x.safetensors"
    checkpoints.save(path, ARRAYS, {"epoch": "3"})
    raw = bytearray(path.read_bytes())
    (size,) = struct.unpack("<Q", raw[:8])
    position = data.draw(st.integers(0, 8 + size - 1))
    raw[position] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        arrays, _ = checkpoints.load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"1234", "4 bytes"),
        (b"DICM" * 100, "truncated, or not a safetensors file"),
        (struct.pack("<Q", 2) + b"{]", "not a whole safetensors file"),
        (struct.pack("<Q", 2**62) + b"{}", "truncated, or not a safetensors file"),
        (b"\x80\x04\x95" + b"\x00" * 100, "not a"),
    ],
)
def test_foreign_files(tmp_path, content, reason):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        checkpoints.load(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone: there is no such file"):
        checkpoints.load(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="not a file"):
        checkpoints.load(tmp_path)


def test_bytes_after_the_end_are_refused(file):
    with open(file, "ab") as opened:
        opened.write(b"more")
    with pytest.raises(CheckpointError):
        checkpoints.load(file)


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(file, monkeypatch, step):
    before = file.read_bytes()

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(OSError, match=r"No space left on device.*left as it was.*state\.safetensors") as caught:
            checkpoints.save(file, {"a": np.zeros(1000)})
    assert caught.value.errno == errno.ENOSPC
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_the_file_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    events = []
    to_disk, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append(("sync", os.fstat(handle))), to_disk(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("rename", b)), replace(a, b)))
    checkpoints.save(tmp_path / "x", {"a": np.zeros(3)})
    assert [event for event, _ in events] == ["sync", "rename", "sync"]
    assert events[0][1].st_ino == (tmp_path / "x").stat().st_ino
    assert events[2][1].st_ino == tmp_path.stat().st_ino


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*no: "):
        checkpoints.save(tmp_path / "no" / "x", {"a": np.zeros(1)})
    with pytest.raises(IsADirectoryError, match="is a folder"):
        checkpoints.save(tmp_path, {"a": np.zeros(1)})
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="no folder"):
        checkpoints.save(tmp_path / "file" / "x", {"a": np.zeros(1)})


def test_every_flipped_bit_is_refused(file, tmp_path):
    raw = file.read_bytes()
    name = checkpoints.DIGEST.encode()
    unseen = range(raw.index(name), raw.index(name) + len(name))  # then the file looks as if it had no digest
    flipped = tmp_path / "flipped.safetensors"
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        flipped.write_bytes(changed)
        if place in unseen:
            assert checkpoints.DIGEST not in checkpoints.read_metadata(file)
        else:
            with pytest.raises(CheckpointError, match=r"flipped\.safetensors: "):
                checkpoints.load(flipped)
        with pytest.raises(CheckpointError, match=r"flipped\.safetensors: "):
            checkpoints.load(flipped, needs_digest=True)


def test_other_programs_files_have_no_digest_and_are_read(tmp_path):
    from safetensors.numpy import load_file, save_file

    save_file({"a": np.arange(3.0)}, str(tmp_path / "theirs"), metadata={"epoch": "3"})
    arrays, metadata = checkpoints.load(tmp_path / "theirs")
    assert arrays["a"].tolist() == [0, 1, 2]
    assert metadata == {"epoch": "3"}
    with pytest.raises(CheckpointError, match="theirs: has no digest"):
        checkpoints.load(tmp_path / "theirs", needs_digest=True)
    checkpoints.save(tmp_path / "ours", ARRAYS)
    theirs = load_file(str(tmp_path / "ours"))
    assert theirs.keys() == ARRAYS.keys()
    assert all(np.array_equal(theirs[name], ARRAYS[name]) for name in ARRAYS)


def test_arrays_of_bfloat16(tmp_path):
    from safetensors.numpy import load_file, save_file

    array = np.array([[1, -2.5, 3e38], [0, np.inf, 1e-40]], ml_dtypes.bfloat16)
    arrays = {"x": array, "part": array[:, ::2], "none": array[:0], "y": np.ones(3)}
    checkpoints.save(tmp_path / "ours", arrays)
    save_file({"x": array}, str(tmp_path / "theirs"))
    assert b'"dtype":"BF16"' in (tmp_path / "ours").read_bytes()
    for found in (checkpoints.load(tmp_path / "ours")[0], load_file(str(tmp_path / "ours"))):
        assert {name: (x.dtype, x.tobytes()) for name, x in found.items()} == {
            name: (x.dtype, x.tobytes()) for name, x in arrays.items()
        }
    theirs = checkpoints.load(tmp_path / "theirs")[0]["x"]
    assert theirs.dtype == array.dtype and theirs.tobytes() == array.tobytes()


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    metadata = {name: name for name in "zyxabc"}
    checkpoints.save(tmp_path / "a", ARRAYS, metadata)
    checkpoints.save(tmp_path / "b", dict(reversed(ARRAYS.items())), metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@given(st.dictionaries(names, any_arrays, max_size=4))
def test_numbers_start_at_multiples_of_their_size(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("aligned") / "x"
    checkpoints.save(path, arrays)
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    assert size % 8 == 0
    header = json.loads(raw[8 : 8 + size])
    for name, array in arrays.items():
        assert header[name]["data_offsets"][0] % array.dtype.itemsize == 0


@pytest.mark.parametrize(
    ("arrays", "metadata"),
    [
        ({"a": np.array(["text"])}, None),
        ({"a": np.array([object()])}, None),
        ({"a": np.zeros(2, complex)}, None),
        ({1: np.zeros(1)}, None),
        ({"a": np.zeros(1)}, {"epoch": 3}),
        ({"a": np.zeros(1)}, {3: "epoch"}),
        ({"a": np.zeros(1, np.longdouble)}, None),
        ({"__metadata__": np.zeros(1)}, None),
        ({"a": np.zeros(1)}, {checkpoints.DIGEST: "1"}),
    ],
)
def test_what_cannot_be_saved(tmp_path, arrays, metadata):
    with pytest.raises((TypeError, ValueError)):
        checkpoints.save(tmp_path / "x", arrays, metadata)
    assert os.listdir(tmp_path) == []


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "x")
    checkpoints.save(link, {"a": np.ones(1)})
    assert link.is_symlink()
    assert checkpoints.load(tmp_path / "real" / "x")[0]["a"].tolist() == [1.0]


# ------------------------------------------------------------------------------------------------- state of a training


class Net(layers.Layer):
    def __init__(self):
        super().__init__()
        self.steps = [layers.Conv2D(3, 3, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3, seed=1)]
        self.head = layers.Dense(2)
        self.noise = layers.Dropout(0.2)

    def call(self, inputs):
        x = inputs
        for layer in self.steps:
            x = layer(x)
        return self.head(self.noise(functional.mean(x, (1, 2))))


class Run:
    """A training that draws everything that it does from the engine's generator."""

    def __init__(self, optimizer="adam"):
        engine.random.seed(0)
        self.net, self.optimizer, self.step = Net(), optimizers.get(optimizer), 0
        self.net(np.zeros((1, 5, 5, 1), np.float32))

    def go_on(self, steps):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        for _ in range(steps):
            images = engine.random.generator().normal(shape=(4, 5, 5, 1))
            value = loss(np.array([0, 1, 0, 1]), self.net(images, training=True))
            self.optimizer.apply(grad(value, self.net.trainable_weights), self.net.trainable_weights)
            self.step += 1

    def save(self, path):
        checkpoints.save(path, *checkpoints.collect_state(self.net, self.optimizer, {"step": self.step}))

    def restore(self, path):
        arrays, metadata = checkpoints.load(path)
        self.step = checkpoints.restore_state(arrays, metadata, self.net, self.optimizer, source=str(path))["step"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adamw"])
def test_a_broken_run_ends_with_the_numbers_of_an_unbroken_one(tmp_path, optimizer):
    unbroken = Run(optimizer)
    unbroken.go_on(6)

    broken = Run(optimizer)
    broken.go_on(2)
    broken.save(tmp_path / "x")
    broken.go_on(3)  # these steps are lost

    resumed = Run(optimizer)
    resumed.restore(tmp_path / "x")
    assert resumed.step == 2
    resumed.go_on(4)
    for name, weight in unbroken.net.named_weights().items():
        np.testing.assert_array_equal(resumed.net.named_weights()[name].numpy(), weight.numpy(), err_msg=name)
    assert unbroken.step == resumed.step == 6


KILLED = """
import os, sys
import numpy as np
from tomograd.engine import checkpoints
path, number = sys.argv[1], int(sys.argv[2])
checkpoints.save(path, {"a": np.zeros(4)})
moments = {"count": 0}
def die(event, arguments):
    ours = str(arguments[0]).startswith(os.path.dirname(path)) if arguments else False
    if ours and event in ("open", "os.scandir", "os.rename", "os.remove"):
        moments["count"] += 1
        if moments["count"] == number:
            os._exit(9)
sys.addaudithook(die)
checkpoints.save(path, {"a": np.ones(4)})
"""


@pytest.mark.parametrize("moment", range(1, 5))
def test_a_process_killed_while_saving_leaves_a_whole_file(tmp_path, moment):
    path = tmp_path / "x.safetensors"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), str(moment)], check=False, cwd="/")
    assert ended.returncode == 9, "it was not killed"
    value = checkpoints.load(path)[0]["a"]
    assert value.tolist() in ([0.0] * 4, [1.0] * 4)


def test_another_model_is_refused_and_nothing_changes(tmp_path):
    run = Run()
    run.go_on(1)
    arrays, metadata = checkpoints.collect_state(run.net, run.optimizer, {"step": 1})
    before = {name: weight.numpy().copy() for name, weight in run.net.named_weights().items()}
    wrong = [
        ({k: v for k, v in arrays.items() if k != "weights/head.kernel"}, r"it lacks 1 weights \(head\.kernel\)"),
        ({**arrays, "weights/tail": np.zeros(1)}, r"has unknown 1 weights \(tail\)"),
        ({**arrays, "weights/head.bias": np.zeros(3)}, r"head\.bias has shape \(3,\) there, \(2,\) here"),
        ({**arrays, "weights/head.bias": np.zeros(2, int)}, "of type int64 there, float32 here"),
        ({**arrays, "optimizer/0.first_moment": np.zeros(1)}, "first_moment"),
        ({k: v for k, v in arrays.items() if k.startswith("weights")}, "holds no state of an optimizer"),
    ]
    for state, reason in wrong:
        with pytest.raises(CheckpointError, match="file: .*" + reason):
            checkpoints.restore_state(state, metadata, run.net, run.optimizer, source="file")
    for changed, reason in (
        ({"format": "other"}, "holds no training state"),
        ({"random": "{"}, "damaged"),
        ({"random": "{}"}, "damaged"),
        ({"generators": "[]"}, "has 0 random generators of layers, the model has 1"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            checkpoints.restore_state(arrays, {**metadata, **changed}, run.net, run.optimizer)
    with pytest.raises(CheckpointError, match="holds state of an optimizer"):
        checkpoints.restore_state(arrays, metadata, run.net)
    for name, weight in run.net.named_weights().items():
        np.testing.assert_array_equal(weight.numpy(), before[name])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_weights_stored_in_16_bits_are_a_float32_models(tmp_path, dtype):
    net = Run().net
    stored = {name: weight.numpy().astype(dtype) for name, weight in net.named_weights().items()}
    checkpoints.save(tmp_path / "weights", stored)
    weights, _ = checkpoints.load(tmp_path / "weights")
    checkpoints.check_weights(weights, net, "weights")
    checkpoints.assign_weights(weights, net)
    for name, weight in net.named_weights().items():
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight.numpy(), stored[name].astype(np.float32))


def test_a_state_without_an_optimizer():
    run = Run()
    arrays, metadata = checkpoints.collect_state(run.net)
    run.net.head.bias.assign(np.ones(2))
    assert checkpoints.restore_state(arrays, metadata, run.net) == {}
    assert run.net.head.bias.tolist() == [0.0, 0.0]
