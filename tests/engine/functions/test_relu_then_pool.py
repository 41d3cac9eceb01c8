"""Max pooling after a relu: relu's result is not kept, and all gradients are those of a relu that keeps it."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomograd.engine import GradientError, Tensor, grad
from tomograd.engine import functional as F
from tomograd.engine.functions.activations import applied_relu
from tomograd.testing import gradcheck, gradgradcheck
from tomograd.testing.strategies import seeds

WINDOWS = [
    {"pool_size": 2},
    {"pool_size": 3, "strides": 2, "padding": "same"},
    {"pool_size": 3, "strides": 1},
    {"pool_size": 2, "strides": 1, "dilation_rate": 2},
]
kinds = st.sampled_from(["relu", "conv"])


def rectified(kind, z):
    """relu(z), from relu itself or out of the kernel of a convolution that changes nothing."""
    if kind == "relu":
        return F.relu(z)
    return F.conv(z, np.eye(z.shape[-1], dtype=z.dtype)[None, None], activation="relu")


def plain(z):
    """relu(z) from functions that know nothing of relu, with the gradient 0 at 0."""
    return F.where(z.array > 0, z, 0.0 * z)


def numbers(seed, dtype=np.float64, zeros=True):
    """(2, 7, 5, 3) with ties, zeros and windows of zeros among them."""
    rng = np.random.default_rng(seed)
    if not zeros:
        return (rng.permutation(210) - 105.5).reshape(2, 7, 5, 3).astype(dtype)
    z = rng.integers(-3, 4, (2, 7, 5, 3)).astype(dtype)
    z[:, :4, :3] = -np.abs(z[:, :4, :3])
    return z


def cotangent(seed, shape, dtype=np.float64):
    return np.random.default_rng(seed + 1).standard_normal(shape).astype(dtype)


@settings(deadline=None, max_examples=40)
@given(seeds, kinds, st.sampled_from(WINDOWS), st.sampled_from([np.float32, np.float64]), st.booleans(), st.booleans())
def test_gradient_with_the_result_held_or_not(seed, kind, windows, dtype, held, create_graph):
    z = Tensor(numbers(seed, dtype), requires_grad=True)
    y = rectified(kind, z)
    pooled = F.max_pool(y, **windows)
    dy = cotangent(seed, pooled.shape, dtype)
    if not held:
        del y
    actual = grad(pooled, z, dy, create_graph=create_graph)
    np.testing.assert_array_equal(actual.array, grad(F.max_pool(plain(z), **windows), z, dy).array)


OTHERS = {
    "a product": lambda y, windows: (y * 3.0).sum(),
    "a sum": lambda y, windows: y.sum(),
    "a view": lambda y, windows: (y.reshape(-1) + 1.0).sum(),
    "a pooling more": lambda y, windows: (F.max_pool(y, 3) * 2.0).sum(),
    "a mean of windows": lambda y, windows: F.average_pool(y, 2).sum(),
}


@settings(deadline=None, max_examples=40)
@given(seeds, kinds, st.sampled_from(WINDOWS), st.sampled_from(list(OTHERS)), st.booleans(), st.booleans())
def test_gradient_with_another_consumer(seed, kind, windows, name, first, create_graph):
    def total(y):
        if first:
            other = OTHERS[name](y, windows)
        pooled = F.max_pool(y, **windows)
        weighted = (pooled * cotangent(seed, pooled.shape)).sum()
        return weighted + (other if first else OTHERS[name](y, windows))

    z = Tensor(numbers(seed), requires_grad=True)
    actual = grad(total(rectified(kind, z)), z, create_graph=create_graph)
    np.testing.assert_allclose(actual.array, grad(total(plain(z)), z).array, rtol=1e-14, atol=1e-14)


@settings(deadline=None, max_examples=20)
@given(seeds, kinds, st.sampled_from(WINDOWS))
def test_gradient_in_the_result_itself(seed, kind, windows):
    """Grad-CAM asks for it: also in a window of zeros the first place has the gradient."""
    z = Tensor(numbers(seed), requires_grad=True)
    y = rectified(kind, z)
    pooled = F.max_pool(y, **windows)
    dy = cotangent(seed, pooled.shape)
    leaf = Tensor(y.array, requires_grad=True)
    expected = grad(F.max_pool(leaf, **windows), leaf, dy)
    in_y, in_z = grad(pooled, [y, z], dy)
    np.testing.assert_array_equal(in_y.array, expected.array)
    np.testing.assert_array_equal(in_z.array, np.where(z.array > 0, expected.array, 0))


@pytest.mark.parametrize("kind", ["relu", "conv"])
def test_the_result_as_an_output_too(kind):
    z = Tensor(numbers(0), requires_grad=True)
    y = rectified(kind, z)
    pooled = F.max_pool(y, 2)
    dy, dpooled = cotangent(1, y.shape), cotangent(2, pooled.shape)
    actual = grad([y, pooled], z, [dy, dpooled])
    other = plain(z)
    expected = grad([other, F.max_pool(other, 2)], z, [dy, dpooled])
    np.testing.assert_allclose(actual.array, expected.array, rtol=1e-14)


@pytest.mark.parametrize("kind", ["relu", "conv"])
@pytest.mark.parametrize("windows", WINDOWS)
def test_derivatives_to_second_order(kind, windows):
    z = numbers(3, zeros=False) / 50
    for function in (
        lambda z: F.max_pool(rectified(kind, z), **windows) ** 3,
        lambda z: (lambda y: F.max_pool(y, 2) * F.sum(y * y))(rectified(kind, z)),
    ):
        gradcheck(function, [z], method="elements")
        gradgradcheck(function, [z], method="directions")


@pytest.mark.parametrize("kind", ["relu", "conv"])
def test_nan_and_infinity(kind):
    z = Tensor(numbers(4), requires_grad=True)
    z.assign(np.where(np.abs(z.array) == 3, np.copysign(np.inf, z.array), np.where(z.array == 1, np.nan, z.array)))
    dy = cotangent(4, (2, 3, 2, 3))
    y = F.relu(z)
    held = grad(F.max_pool(y, 2), z, dy)
    np.testing.assert_array_equal(grad(F.max_pool(F.relu(z), 2), z, dy).array, held.array)


@pytest.mark.parametrize("kind", ["relu", "conv"])
def test_what_lives_how_long(kind):
    """Nobody but the caller has relu's result; whoever else takes it keeps it until the gradient has been computed."""
    gc.disable()
    try:
        z = Tensor(numbers(5), requires_grad=True)
        y = rectified(kind, z)
        pooled = F.max_pool(y, 2)
        values = weakref.ref(y.array)
        del y
        assert values() is None
        pooled.sum().backward()
        y = rectified(kind, z)
        pooled, total = F.max_pool(y, 2), y.sum()
        values = weakref.ref(y.array)
        del y
        assert values() is not None
        (pooled.sum() + total).backward()
        assert values() is None
    finally:
        gc.enable()


def test_relu_out_of_a_kernel_is_not_computed_once_more():
    y = Tensor(numbers(8), requires_grad=True)
    assert applied_relu(y).array is y.array


def test_several_passes_over_a_retained_graph():
    z = Tensor(numbers(6), requires_grad=True)
    y = F.relu(z)
    pooled = F.max_pool(y, 2)
    dy = cotangent(6, pooled.shape)
    first = grad(pooled, z, dy, retain_graph=True)
    del y
    np.testing.assert_array_equal(grad(pooled, z, dy, retain_graph=True).array, first.array)
    np.testing.assert_array_equal(grad(pooled, z, dy).array, first.array)
    with pytest.raises(GradientError, match="was freed"):
        grad(pooled, z, dy)


def test_a_result_that_was_changed_is_an_error():
    z = Tensor(numbers(7), requires_grad=True)
    y = F.relu(z)
    pooled = F.max_pool(y, 2)
    y.detach().assign(np.ones(y.shape))
    with pytest.raises(GradientError, match="ReLU needs its result"):
        grad(pooled, z, cotangent(7, pooled.shape))
