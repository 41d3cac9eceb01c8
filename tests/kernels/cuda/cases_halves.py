"""float16 and bfloat16 through the engine on the CUDA kernels: values and gradients are those of float64, rounded once
to the type of storage."""

import numpy as np
import pytest
from halves import HALVES, require_one_rounding

import tomograd as tg

F = tg.functional


@pytest.fixture
def device(on_gpu):
    """The GPU, or a pretended one on which the CUDA sources are emulated."""
    if on_gpu:
        yield "cuda"
        return
    from pretended_device import emulated_device

    with emulated_device():
        yield "cuda"


def results(function, arrays, cotangent, device):
    """The value and all gradients, as NumPy's arrays."""
    tensors = [tg.Tensor(array).to(device) for array in arrays]
    for tensor in tensors:
        tensor.requires_grad = True
    y = function(*tensors)
    y.backward(tg.Tensor(cotangent(y.shape)).to(device))
    return [y.numpy(), *[tensor.grad.numpy() for tensor in tensors]]


CASES = {
    "conv": (lambda x, w, b: F.conv(x, w, b, (2, 1), "same"), ((2, 5, 6, 5), (3, 3, 5, 7), (7,))),
    "dilated conv in groups": (
        lambda x, w, b: F.conv(x, w, b, 1, 2, dilation_rate=2, groups=2),
        ((1, 9, 8), (3, 4, 12), (12,)),
    ),
    "conv of a volume": (lambda x, w: F.conv(x, w, padding=1), ((1, 3, 4, 3, 8), (3, 1, 3, 8, 8))),
    "depthwise conv": (lambda x, w: F.conv(x, w, groups=3, padding="same"), ((2, 5, 4, 3), (3, 3, 1, 3))),
    "conv_transpose": (
        lambda x, w, b: F.conv_transpose(x, w, b, 2, "same"),
        ((2, 3, 4, 6), (3, 3, 5, 6), (5,)),
    ),
    "dense": (F.dense, ((4, 3, 9), (9, 5), (5,))),
    "matmul": (lambda a, b: F.matmul(a, b.swapaxes(1, 2)), ((3, 4, 7), (3, 5, 7))),
}


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(device, name, dtype):
    function, shapes = CASES[name]
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    cotangents = {}

    def cotangent(shape):
        return cotangents.setdefault(shape, rng.standard_normal(shape).astype(dtype))

    found = results(function, arrays, cotangent, device)
    wide = [array.astype(np.float64) for array in arrays]
    expected = results(function, wide, lambda shape: cotangents[shape].astype(np.float64), "cpu")
    sizes = results(function, [np.abs(x) for x in wide], lambda shape: np.abs(cotangents[shape].astype(float)), "cpu")
    for actual, exact, size in zip(found, expected, sizes, strict=True):
        require_one_rounding(actual, exact, size, dtype, 100)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_net_with_relu_learns(device, dtype):
    """Weights are kept in float32, and stored in 16 bits for what is computed with them."""
    rng = np.random.default_rng(2)
    weights = [rng.standard_normal(shape) * 0.3 for shape in ((3, 3, 1, 8), (8,), (3, 3, 8, 8), (8,), (32, 1), (1,))]
    weights = [tg.Tensor(weight.astype(np.float32)).to(device) for weight in weights]
    x = tg.Tensor(rng.standard_normal((6, 8, 8, 1)).astype(dtype)).to(device)
    y = tg.Tensor(np.ones((6, 1), np.float32)).to(device)
    losses = []
    for _ in range(3):
        for weight in weights:
            weight.requires_grad, weight.grad = True, None
        w = [weight.astype(dtype) for weight in weights]
        features = F.conv(F.conv(x, w[0], w[1], 2, 1, activation="relu"), w[2], w[3], 2, 1, activation="relu")
        prediction = F.dense(features.reshape(6, 32), w[4], w[5])
        assert prediction.dtype == dtype
        loss = tg.losses.MeanSquaredError()(y, prediction)
        assert loss.dtype == np.float32
        loss.backward()
        for weight in weights:
            assert weight.grad.dtype == np.float32
            weight.assign((weight - 0.02 * weight.grad).detach())
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert losses == sorted(losses, reverse=True)
