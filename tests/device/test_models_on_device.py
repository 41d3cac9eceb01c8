"""Models on a device: training, inference, checkpoints and the errors of machines without one.

The device is pretended: CuPy's stand-in with the reference's kernels. The same run on the CPU, with the same kernels,
must give the same numbers.
"""

import copy
import gc
import importlib.util
import pickle
import re

import numpy as np
import pretended_cupy
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd import kernels, layers

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.standard_normal((12, 8, 8, 1)).astype(np.float32)
LABELS = GENERATOR.integers(0, 3, 12)


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def classifier(optimizer="adam"):
    tg.random.seed(1)
    model = tg.models.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, metrics=["accuracy"])
    return model


def trained(model, device):
    tg.random.seed(2)
    history = model.fit(IMAGES, LABELS, batch_size=5, epochs=3, verbose=0, validation_split=0.25, device=device)
    return history.history


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "adam", "rmsprop", "adadelta", "adagrad", "adamax", "ftrl", "lamb", "lion", "nadam", "schedulefreeadamw"],
)
def test_a_model_trains_on_the_device_as_in_main_memory(cupy, optimizer):
    with kernels.using("reference"):
        here = classifier(optimizer)
        expected = trained(here, None)
    there = classifier(optimizer)
    found = trained(there, "cuda:1")  # which is not the current one
    assert {weight.device for weight in there.weights} == {"cuda:1"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-5, atol=1e-6, err_msg=name)
    predicted = there.predict(IMAGES)
    assert type(predicted) is np.ndarray
    with kernels.using("reference"):
        np.testing.assert_allclose(predicted, here.predict(IMAGES), rtol=1e-4, atol=1e-5)


def test_gathered_gradients_and_averages_of_weights_are_there_as_well(cupy):
    options = {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
    options |= {"loss_scale_factor": 8.0, "clipnorm": 1.0, "weight_decay": 0.1, "amsgrad": True}

    def run(device):
        optimizer = tg.optimizers.Adam(0.01, **options)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model = classifier(optimizer)
        return trained(model, device), model.get_weights(), optimizer.state()

    with kernels.using("reference"):
        history, weights, state = run(None)
    found, there, kept = run("cuda")
    np.testing.assert_allclose(found["loss"], history["loss"], rtol=2e-5)
    for ours, theirs in zip(there, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert kept.keys() == state.keys()
    assert all(type(array) is np.ndarray for array in kept.values())


def test_a_unet_with_sample_weights_trains_there(cupy):
    def run(device):
        tg.random.seed(3)
        model = tg.models.UNet((16, 16, 1), 1, base_filters=4, depth=2)
        model.compile("adam", loss=tg.losses.BinaryCrossentropy(from_logits=True))
        x = np.random.default_rng(0).standard_normal((4, 16, 16, 1)).astype(np.float32)
        return model.fit(
            x, (x > 0) * 1.0, epochs=2, verbose=0, sample_weight=np.array([1.0, 2.0, 0.0, 1.0]), device=device
        ).history["loss"]

    with kernels.using("reference"):
        expected = run(None)
    np.testing.assert_allclose(run("cuda"), expected, rtol=1e-4)


def test_a_loss_that_is_a_function_weighs_its_samples_there(cupy):
    def run(device):
        tg.random.seed(3)
        model = tg.models.Sequential([layers.Input((3,)), layers.Dense(1)])
        model.compile("sgd", lambda y, z: tg.functional.mean((z - y) ** 2, -1))
        x, y = IMAGES.reshape(-1, 3)[:6], np.arange(6.0)[:, None]
        return model.fit(x, y, sample_weight=np.arange(6), verbose=0, device=device).history["loss"]

    with kernels.using("reference"):
        expected = run(None)
    np.testing.assert_allclose(run("cuda"), expected, rtol=1e-5)


def test_a_model_goes_there_and_back_with_its_optimizer(cupy, tmp_path):
    model = classifier()
    trained(model, "cuda")
    expected = model.predict(IMAGES)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        tg.models.load_model(tmp_path / "model.safetensors").to("cuda").predict(IMAGES), expected
    )
    assert model.to("cpu") is model
    assert (model.device, {weight.device for weight in model.weights}) == ("cpu", {"cpu"})
    with kernels.using("reference"):
        np.testing.assert_allclose(model.predict(IMAGES), expected, rtol=1e-5)
        model.fit(IMAGES, LABELS, verbose=0)
    state = model.to("cuda").optimizer.state()
    assert all(type(array) is np.ndarray for array in state.values())
    model.optimizer.load_state(state)
    model.fit(IMAGES, LABELS, verbose=0)


def test_weights_of_a_subclass_are_made_there(cupy):
    class Net(tg.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Net().to("cuda")
    y = model(np.ones((2, 4), np.float32))
    assert (y.device, model.dense.kernel.device) == ("cuda:0", "cuda:0")


def test_a_loss_that_is_not_finite_is_explained_there_too(cupy):
    model = classifier()
    images = IMAGES.copy()
    images[3, 2, 2] = np.nan
    with pytest.raises(ValueError, match="the inputs hold 1 values that are NaN"):
        model.fit(images, LABELS, verbose=0, device="cuda")


class Stop(tg.callbacks.Callback):
    """Ends the run after an epoch, as a user does."""

    epoch = 1

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_run_goes_on_from_a_backup(cupy, tmp_path):
    expected = trained(classifier(), "cuda")["loss"]

    def run(callback):
        model = classifier()
        tg.random.seed(2)
        backup = tg.callbacks.BackupAndRestore(tmp_path / "run")
        options = {"batch_size": 5, "epochs": 3, "verbose": 0, "validation_split": 0.25, "device": "cuda"}
        return model.fit(IMAGES, LABELS, callbacks=[backup, callback], **options).history["loss"]

    stop, never = Stop(), Stop()
    never.epoch = -1
    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert run(never)[-1] == expected[-1]


class TestFullGPU:
    """CuPy's errors say how much was asked for; ours say for what, and how full the GPU is; a smaller batch runs."""

    @pytest.mark.parametrize(
        ("do", "what"),
        [
            (lambda x: x + x, r"add of arrays of shapes \(100, 100\), \(100, 100\)"),
            (lambda x: tg.functional.exp(x), r"exp of arrays of shapes \(100, 100\)"),
            (lambda x: tg.functional.sum(x, 0, keepdims=True) * x, r"multiply of arrays of shapes \(1, 100\), "),
            (lambda x: tg.functional.relu(x), r"ReLU of arrays of shapes \(100, 100\)"),
            (lambda x: x[[2, 1, 0] * 50], r"Index of arrays of shapes \(100, 100\)"),
            (lambda x: tg.optimizers.Adam().build([x]), "making the arrays first_moment, second_moment for 1 weights"),
            (lambda x: tg.Tensor(x.numpy()).to("cuda"), r"copying an array of shape \(100, 100\), 40,000 bytes"),
        ],
    )
    def test_every_way_to_fill_it_is_explained(self, cupy, do, what):
        x = tg.Variable(np.ones((100, 100), np.float32))
        x.move("cuda")
        do(x)
        with pretended_cupy.room_for(39_000), pytest.raises(MemoryError) as caught:
            do(x)
        full = (
            r": the GPU has no room for it. Out of memory allocating \d\d,000 bytes \(allocated so far: [\d,]+ bytes\)."
        )
        full += r" \d+,\d+ of its [\d,]+ bytes are free, arrays of this process hold [\d,]+; use a smaller batch"
        assert re.fullmatch(what + ".*" + full, str(caught.value)), str(caught.value)
        do(x)

    def test_the_process_lives_and_trains_on_smaller_batches(self, cupy):
        model = classifier()
        model.fit(IMAGES, LABELS, batch_size=2, verbose=0, device="cuda")
        with pretended_cupy.room_for(20_000):
            with pytest.raises(MemoryError, match=r"of arrays of shapes .* use a smaller batch"):
                model.fit(IMAGES, LABELS, batch_size=12, verbose=0, device="cuda")
            gc.collect()  # what the error's frames held
            model.fit(IMAGES, LABELS, batch_size=2, verbose=0, device="cuda")


class TestWithoutGPU:
    @pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
    def test_without_cupy_the_extra_is_named(self):
        model = classifier()
        with pytest.raises(ImportError, match=r'device "cuda" needs CuPy: pip install "tomograd\[cuda\]"'):
            model.to("cuda")
        assert model.device == "cpu"
        model.fit(IMAGES, LABELS, verbose=0)

    def test_the_drivers_complaint_is_passed_on(self, cupy, monkeypatch):
        def complain():
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
        with pytest.raises(tg.engine.DeviceError, match="the CUDA driver says: cudaErrorInsufficientDriver"):
            classifier().fit(IMAGES, LABELS, device="cuda")

    def test_a_gpu_that_is_not_there(self, cupy):
        with pytest.raises(tg.engine.DeviceError, match='there is no device "cuda:7": this machine has 3 GPUs'):
            classifier().to("cuda:7")

    def test_another_name(self):
        with pytest.raises(ValueError, match="device = 'tpu'"):
            classifier().to("tpu")


def trained_there():
    model = tg.models.Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(1)])
    model.compile(tg.optimizers.Adam(0.1), "mse")
    model.to("cuda").train_on_batch(np.ones((2, 4)), np.ones((2, 1)))
    return model


def test_a_deep_copy_lies_where_the_model_does(cupy):
    model = trained_there()
    other = copy.deepcopy(model)
    assert {weight.device for weight in other.weights} == {"cuda:0"}
    assert other.device == "cuda:0"
    for own, copied in zip(model.optimizer.arrays(), other.optimizer.arrays(), strict=True):
        assert own.data.ptr != copied.data.ptr
        np.testing.assert_array_equal(own.get(), copied.get())
    assert not any(a.array.data.ptr == b.array.data.ptr for a, b in zip(model.weights, other.weights, strict=True))
    for step in range(3):
        x, y = np.full((2, 4), float(step)), np.ones((2, 1))
        assert other.train_on_batch(x, y) == model.train_on_batch(x, y)
    tensor = copy.deepcopy(tg.Tensor([1.0, 2.0], requires_grad=True).to("cuda").detach())
    assert (tensor.device, tensor.numpy().tolist()) == ("cuda:0", [1.0, 2.0])


def test_a_pickle_is_for_main_memory(cupy):
    model, x = trained_there(), np.ones((2, 4))
    other = pickle.loads(pickle.dumps(model))
    assert {weight.device for weight in other.weights} == {other.device} == {"cpu"}
    assert all(isinstance(array, np.ndarray) for array in other.optimizer.arrays())
    with kernels.using("reference"):
        np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
        other.train_on_batch(x, np.ones((2, 1)))
