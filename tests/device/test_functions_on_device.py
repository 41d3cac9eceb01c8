"""The engine on a device: values and gradients of every function are those of main memory, and stay on the device."""

import numpy as np
import pytest
from pretended_device import reference_device

import tomograd as tg
from tomograd.engine import Tensor, grad
from tomograd.testing.registry import ENTRIES, checks

SAMPLES = [
    pytest.param(sample, bool(entry.constant or entry.once_only), id=sample.label)
    for entry in ENTRIES.values()
    for sample in entry.samples
    if "MOVING_" not in sample.label and entry.name != "to_device"  # arrays in main memory belong to them
]


@pytest.fixture
def cupy():
    """CuPy's stand-in, installed."""
    with reference_device() as module:
        yield module


def results_of(result):
    return [each for each in (result if isinstance(result, tuple | list) else [result]) if isinstance(each, Tensor)]


def derivatives(sample, arrays, move, once):
    """The results, the gradients by kernels and recorded, and the gradients of these, all on the device of `arrays`."""
    generator = np.random.default_rng(0)
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    found = results_of(sample.function(*tensors))
    results = [each for each in found if each.requires_grad]
    if not results:
        return found
    cotangents = [Tensor(move(generator.standard_normal(each.shape).astype(each.dtype))) for each in results]
    found += grad(results, tensors, cotangents, retain_graph=True)
    if not once:
        first = grad(results, tensors, cotangents, create_graph=True)
        found += first
        reached = [each for each in first if each is not None and each.requires_grad]
        if reached:
            again = [Tensor(move(generator.standard_normal(each.shape).astype(each.dtype))) for each in reached]
            found += grad(reached, tensors, again, allow_unused=True)
    return found


@pytest.mark.parametrize(("sample", "once"), SAMPLES)
def test_every_function_and_its_derivatives(cupy, sample, once):
    """On a GPU that is not the current one, and need not be."""

    def move(array):
        with cupy.cuda.Device(1):
            return cupy.asarray(array)

    here = derivatives(sample, sample.arrays, lambda array: array, once)
    there = derivatives(sample, [move(array) for array in sample.arrays], move, once)
    assert len(here) == len(there)
    for one, other in zip(here, there, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert other.device == "cuda:1"
            assert one.dtype == other.dtype and one.shape == other.shape
            np.testing.assert_allclose(other.array.get(), one.array, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["maximum", "conv", "dropout", "std", "cross_entropy"])
def test_the_registrys_checks_run_on_the_device(cupy, name):
    outcome = checks.run(ENTRIES[name], "cuda")
    assert outcome.failures == () and outcome.checks > 0


def test_the_device_is_among_the_backends_only_where_it_works(cupy, monkeypatch):
    assert checks.present_backends() == ["reference", "cpu", "cuda"]

    def complain():
        raise RuntimeError("cudaErrorNoDevice")

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", complain)
    assert checks.present_backends() == ["reference", "cpu"]


class TestTwoPlaces:
    def test_tensors_in_two_places_are_refused(self, cupy):
        here, there = Tensor(np.ones((2, 3))), Tensor(cupy.asarray(np.ones((2, 3))))
        with pytest.raises(TypeError, match=r"Add: input 1, of shape \(2, 3\), lies in main memory, input 0 on GPU 0"):
            there + here
        with pytest.raises(TypeError, match="lies in main memory, another operand on a GPU"):
            here + there
        with pytest.raises(TypeError, match="lies in main memory"):
            _ = there > here

    def test_numbers_and_lists_go_where_they_are_wanted(self, cupy):
        x = Tensor(cupy.asarray(np.array([1.0, 2.0, 3.0], np.float32)))
        for result in (x + 1, 2.5 * x, x + [1, 2, 3], [1, 2, 3] * x, x > 2, x == [1, 2, 4], x**2, x / np.float64(2)):
            assert result.device == "cuda:0"
        assert (x + [1, 2, 3]).to("cpu").tolist() == [2, 4, 6]
        assert (x == [1, 2, 4]).to("cpu").tolist() == [True, True, False]
        assert (x * np.float64(2)).dtype == np.float32

    def test_a_tensor_goes_there_and_back_with_its_gradient(self, cupy):
        x = Tensor(np.arange(3.0), requires_grad=True)
        y = x.to("cuda")
        assert (y.device, y.to("cuda") is y, y.to("cuda:0") is y, x.to("cpu") is x) == ("cuda:0", True, True, True)
        (y * y).to("cpu").backward(np.array([1.0, 10.0, 100.0]))
        assert x.grad.device == "cpu"
        assert x.grad.tolist() == [0, 20, 400]

    def test_between_gpus_and_back(self, cupy):
        x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
        y = x.to("cuda:1")
        z = y.to("cuda:0")
        assert (y.device, z.device) == ("cuda:1", "cuda:0")
        np.testing.assert_array_equal(z.array.get(), x.array)
        cotangent = np.array([5.0, 7.0, 11.0])
        found = grad(z, [x, y], Tensor(cotangent).to("cuda:0"))
        assert [each.device for each in found] == ["cpu", "cuda:1"]
        np.testing.assert_array_equal(found[0].array, cotangent)
        np.testing.assert_array_equal(z.to("cpu").array, x.array)

    def test_cuda_is_the_current_gpu_or_the_one_where_it_is(self, cupy):
        x = Tensor(np.ones(2))
        with cupy.cuda.Device(2):
            assert x.to("cuda").device == "cuda:2"
            y = x.to("cuda:0")
            assert y.to("cuda") is y
            assert cupy.cuda.Device().id == 2

    @pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "gpu:1", "cuda1", ""])
    def test_a_place_that_is_unknown(self, cupy, device):
        with pytest.raises(ValueError, match='expected "cpu", "cuda" or "cuda:N"'):
            Tensor([1.0]).to(device)

    def test_indices_masks_and_labels_follow_the_tensor(self, cupy):
        x = Tensor(cupy.asarray(np.arange(6.0).reshape(2, 3)))
        assert x[np.array([1, 0])].to("cpu").tolist() == [[3, 4, 5], [0, 1, 2]]
        assert x[:, [2, 0]].device == "cuda:0"
        assert x[np.array([True, False])].to("cpu").tolist() == [[0, 1, 2]]

    def test_indices_out_of_range(self, cupy):
        x = Tensor(cupy.asarray(np.arange(6.0).reshape(2, 3)))
        wrong = (np.array([0, 2]), [[-3, 0]], (slice(None), [1, 3]), (..., [-4]), (None, [0], [5]), Tensor([2]))
        for index in (*wrong, Tensor(cupy.asarray(np.array([1, 2])))):
            with pytest.raises(IndexError, match=r"index -?\d is out of bounds for axis \d with size \d"):
                x[index]
            with pytest.raises(IndexError, match="is out of bounds for axis"):
                x[index] = 0.0
        with pytest.raises(IndexError, match="index 3 is out of bounds for axis 1 with size 3"):
            tg.functional.take(x, [[3, 0]], 1)
        assert x.to("cpu").tolist() == [[0, 1, 2], [3, 4, 5]]

    def test_parts_are_overwritten_there(self, cupy):
        x = Tensor(cupy.asarray(np.zeros((2, 3))))
        x[[-1]], x[:, np.array([True, False, False])], x[..., Tensor([2, 2])] = 1.0, 2.0, 3.0
        assert x.to("cpu").tolist() == [[2, 0, 3], [2, 1, 3]]
        x[np.int64(0), np.int64(-1)] = 4.0
        assert x[np.int64(0)].to("cpu").tolist() == [2, 0, 4]
