"""Tensors stored as float16 and bfloat16: what a device computes with them, and what is refused, by name.

The device is pretended; its kernels compute halves as the CUDA kernels do, which `tests/kernels/cuda/cases_halves.py`
runs.
"""

import sys

import ml_dtypes
import numpy as np
import pytest
from halves import BFLOAT16, HALVES
from pretended_device import reference_device

import tomograd as tg
from tomograd.engine import checkpoints, grad
from tomograd.kernels.half_precision import is_floating, is_half, same_kind

F = tg.functional
halves = pytest.mark.parametrize("dtype", HALVES, ids=str)


@pytest.fixture
def cupy():
    with reference_device() as module:
        yield module


def tensor(shape, dtype, device="cuda", seed=0):
    array = np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)
    return tg.Tensor(array).to(device)


def test_which_types_are_halves_and_floating():
    others = [np.dtype(t) for t in (np.float32, np.float64, np.int16, np.bool_, "V2", [("a", np.float16)])]
    assert [is_half(t) for t in (*HALVES, *others)] == [True] * 2 + [False] * 6
    assert [is_floating(t) for t in (*HALVES, *others)] == [True] * 4 + [False] * 4
    assert same_kind(BFLOAT16, np.dtype(np.float64)) and not same_kind(BFLOAT16, np.dtype(np.int64))


# ---- what a device computes ------------------------------------------------------------------------------------------


@halves
@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: F.conv(x, w, padding="same", activation="relu"),
        lambda x, w: F.conv_transpose(x, w, strides=2),
        lambda x, w: F.dense(x, w[0, 0], activation="relu"),
        lambda x, w: F.relu(x.reshape(-1, 3) @ w[1, 2]),
    ],
    ids=["conv", "conv_transpose", "dense", "matmul"],
)
def test_values_gradients_and_gradients_of_these_are_of_the_type(cupy, dtype, function):
    def run(dtype, device):
        x, w = tensor((2, 4, 5, 3), dtype, device), tensor((3, 3, 3, 3), dtype, device, 1)
        x.requires_grad = w.requires_grad = True
        y = function(x, w)
        first = grad(y, [x, w], tensor(y.shape, dtype, device, 2), create_graph=True)
        again = grad(first, [x, w], [tensor(g.shape, dtype, device, 3) for g in first])
        return [y, *first, *again]

    found, expected = run(dtype, "cuda"), run(np.float64, "cpu")
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype and one.device == "cuda:0"
        size = np.abs(other.numpy()).max()
        np.testing.assert_allclose(
            one.numpy().astype(float), other.numpy(), rtol=0, atol=4 * float(ml_dtypes.finfo(dtype).eps) * size
        )


@halves
def test_gradients_that_meet_are_added_in_the_type(cupy, dtype):
    x, w = tensor((1, 4, 3), dtype), tensor((1, 3, 3), dtype)
    x.requires_grad = True
    y = F.conv(x, w) + F.conv(x, w) + F.conv(x, w)
    cotangent = tensor(y.shape, dtype, seed=2)
    y.backward(cotangent)
    assert x.grad.dtype == dtype
    expected = 3 * cotangent.numpy().astype(float) @ w.numpy()[0].astype(float).T
    np.testing.assert_array_equal(x.grad.numpy().astype(float), expected)


@halves
def test_losses_of_halves_are_computed_in_float32(cupy, dtype):
    prediction = tensor((50, 4), dtype)
    prediction.requires_grad = True
    loss = tg.losses.MeanSquaredError()(tensor((50, 4), np.float32, seed=1), prediction)
    assert loss.dtype == np.float32
    loss.backward()
    assert prediction.grad.dtype == dtype


@halves
def test_types_that_meet(cupy, dtype):
    x = tensor((2, 3), dtype)
    for other in (2, 0.5, True, [1, 2, 3], tensor((3,), np.int64)):
        assert (x * other).dtype == (other + x).dtype == dtype
    assert (x / 2).dtype == (x**2).dtype == (x / (tensor((3,), dtype) + 5)).dtype == dtype
    assert (x + tensor((3,), np.float32)).dtype == np.float32
    one, other = (tensor((2, 3), each) for each in HALVES)
    assert (one + other).dtype == np.float32
    y = x.astype(np.float32).astype(dtype)
    assert y.dtype == dtype and bool((x == y).array.all())
    np.testing.assert_array_equal(F.maximum(x, -y).numpy(), np.abs(x.numpy()))


# ---- in main memory --------------------------------------------------------------------------------------------------


def test_a_tensor_of_bfloat16():
    x = tg.Tensor([[1.0, 2.5], [1 + 2**-9, 1e38]], dtype="bfloat16", requires_grad=True)
    assert x.dtype == BFLOAT16 and x.tolist() == [[1, 2.5], [1, float(ml_dtypes.bfloat16(1e38))]]
    assert x[0, 1].item() == 2.5 and f"{x[0, 1]:.2f}" == "2.50" and "bfloat16" in repr(x)
    (x.astype("float32") * 2).backward(np.ones((2, 2), np.float32))
    assert x.grad.dtype == BFLOAT16 and x.grad.tolist() == [[2, 2], [2, 2]]
    y = tg.Tensor(np.zeros(2))
    y.assign(x[0].detach())
    assert y.tolist() == [1, 2.5]
    with pytest.raises(TypeError, match="cannot assign values of type bfloat16 to a tensor of type int64"):
        tg.Tensor(np.zeros(2, np.int64)).assign(x[0].detach())
    with pytest.raises(TypeError, match="not float8_e4m3fn"):
        tg.Tensor(np.zeros(2, ml_dtypes.float8_e4m3fn))


def test_sums_and_means_of_bfloat16_keep_their_digits():
    x = tg.Tensor(np.ones((1000, 3)), dtype="bfloat16")
    assert x.sum(axis=0).tolist() == [1000] * 3
    assert x.mean().item() == 1 and x.var().item() == 0
    assert x.sum().dtype == x.mean().dtype == BFLOAT16
    row = tg.Tensor(np.ones(3), dtype="bfloat16", requires_grad=True)
    (x * row).backward(np.ones((1000, 3), BFLOAT16))
    assert row.grad.tolist() == [1000] * 3


def test_bfloat16_without_its_package(monkeypatch, tmp_path):
    path = tmp_path / "weights.safetensors"
    checkpoints.save(path, {"x": np.ones(2, BFLOAT16)})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for attempt in (
        lambda: tg.Tensor([1.0], dtype="bfloat16"),
        lambda: tg.Tensor([1.0]).astype("bfloat16"),
        lambda: checkpoints.load(path),
    ):
        with pytest.raises(ImportError, match="bfloat16 needs ml_dtypes: pip install ml_dtypes"):
            attempt()


# ---- what is refused -------------------------------------------------------------------------------------------------


@halves
@pytest.mark.parametrize("name", ["conv", "conv_transpose", "dense", "matmul", "relu"])
def test_main_memory_has_no_kernels_for_halves(name, dtype):
    shapes = {"conv": ((1, 4, 2), (2, 2, 2)), "conv_transpose": ((1, 4, 2), (2, 2, 2)), "relu": ((3,),)}
    arguments = [tensor(shape, dtype, "cpu") for shape in shapes.get(name, ((3, 2), (2, 2)))]
    with pytest.raises(
        TypeError, match=rf"{name}: in main memory x must .*, not {dtype}; .*\.astype, or move it to a GPU"
    ):
        getattr(F, name)(*arguments)


@halves
def test_functions_without_a_kernel_for_halves_say_so(cupy, dtype):
    x, weight, row = tensor((2, 4, 6), dtype), tensor((2, 6, 6), dtype), tensor((6,), dtype)
    for name, call in {
        "softmax": lambda: F.softmax(x),
        "max_pool": lambda: F.max_pool(x, 2),
        "average_pool": lambda: F.average_pool(x, 2),
        "gelu": lambda: F.conv(x, weight, activation="gelu"),
        "layer_norm": lambda: F.layer_norm(x, row, row),
        "resize": lambda: F.resize(x, (8,)),
    }.items():
        with pytest.raises(TypeError, match=f"{name}: .* must be float32 or float64, not {dtype}; convert it"):
            call()


@halves
def test_arguments_of_two_types(cupy, dtype):
    x, other = tensor((2, 4, 6), dtype), next(each for each in HALVES if each != dtype)
    for wrong in (np.dtype(np.float32), other):
        with pytest.raises(TypeError, match=f"conv: weight is {wrong} but x is {dtype}; convert one of them"):
            F.conv(x, tensor((2, 6, 6), wrong))
    with pytest.raises(TypeError, match="conv: x must be float32 or float64, not int64"):
        F.conv(tensor((2, 4, 6), np.int64), tensor((2, 6, 6), dtype))
