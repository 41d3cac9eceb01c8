"""Moving between devices, with a stand-in for CuPy where there is none: NumPy's arrays, each said to be on a GPU."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tomograd.engine import Tensor, as_tensor, grad
from tomograd.engine import functional as F


class Array:
    __module__ = "cupy"
    base, flags = None, SimpleNamespace(c_contiguous=True)

    def __init__(self, numbers, gpu):
        self.numbers, self.device = numbers, SimpleNamespace(id=gpu)
        self.shape, self.dtype, self.size, self.ndim = numbers.shape, numbers.dtype, numbers.size, numbers.ndim

    def get(self):
        return self.numbers.copy()


class Device:
    current = 2

    def __init__(self, number=None):
        self.id = Device.current if number is None else number

    def __enter__(self):
        self.before, Device.current = Device.current, self.id

    def __exit__(self, *exception):
        Device.current = self.before


def asarray(array):
    return Array(array.get() if isinstance(array, Array) else array.copy(), Device.current)


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    module = SimpleNamespace(asarray=asarray, cuda=SimpleNamespace(Device=Device))
    monkeypatch.setitem(sys.modules, "cupy", module)


def test_there_and_back():
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = F.to_device(x, "cuda:1")
    z = F.to_device(y, "cuda:0")
    assert (y.device, z.device) == ("cuda:1", "cuda:0")
    np.testing.assert_array_equal(z.array.get(), x.array)
    cotangent = np.array([5.0, 7.0, 11.0])
    found = grad(z, [x, y], as_tensor(Array(cotangent, 0)))
    assert [each.device for each in found] == ["cpu", "cuda:1"]
    np.testing.assert_array_equal(found[0].array, cotangent)
    np.testing.assert_array_equal(F.to_device(z, "cpu").array, x.array)


def test_cuda_is_the_current_gpu_or_the_one_where_it_is():
    x = Tensor(np.ones(2))
    assert F.to_device(x, "cuda").device == "cuda:2"
    y = F.to_device(x, "cuda:0")
    assert F.to_device(y, "cuda") is y and F.to_device(y, "cuda:0") is y and F.to_device(x, "cpu") is x
    assert Device.current == 2


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "gpu:1", "cuda1", ""])
def test_other_names(device):
    with pytest.raises(ValueError, match="expected"):
        F.to_device(np.ones(2), device)
