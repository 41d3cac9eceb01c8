"""The reference normalisations: what they promise of mean and variance, and their gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerics import assert_close

from tomograd.kernels.reference import (
    batch_norm,
    batch_norm_gradient,
    batch_norm_inference,
    batch_norm_inference_gradient,
    group_norm,
    group_norm_gradient,
)
from tomograd.testing import array_function, gradcheck
from tomograd.testing.strategies import arrays, seeds, shapes

EPSILON = 1e-3
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


def affine(rng, channels, dtype=np.float64):
    return rng.uniform(0.5, 2, channels).astype(dtype), rng.standard_normal(channels).astype(dtype)


@given(arrays(shapes(min_dims=2, min_side=1)), seeds)
def test_batch_norm_gives_each_channel_its_mean_and_variance(x, seed):
    gamma, beta = affine(np.random.default_rng(seed), x.shape[-1], x.dtype)
    y, mean, variance = batch_norm(x, gamma, beta, EPSILON)
    assert y.dtype == mean.dtype == variance.dtype == x.dtype
    for c in range(x.shape[-1]):
        values = [float(v) for v in x[..., c].ravel()]
        mu = sum(values) / len(values)
        sigma2 = sum((v - mu) ** 2 for v in values) / len(values)
        assert_close(mean[c], np.float64(mu), scale=1)
        assert_close(variance[c], np.float64(sigma2), scale=1)
        expected = (x[..., c] - mu) / np.sqrt(sigma2 + EPSILON) * float(gamma[c]) + float(beta[c])
        assert_close(y[..., c], expected, ulps=512, scale=10)


@given(arrays(shapes(min_dims=2, min_side=1)), seeds)
def test_relu_is_fused_by_cutting(x, seed):
    gamma, beta = affine(np.random.default_rng(seed), x.shape[-1], x.dtype)
    plain, mean, variance = batch_norm(x, gamma, beta, EPSILON)
    fused, *_ = batch_norm(x, gamma, beta, EPSILON, "relu")
    np.testing.assert_array_equal(fused, np.maximum(plain, 0))
    np.testing.assert_array_equal(plain, batch_norm_inference(x, gamma, beta, mean, variance, EPSILON))
    np.testing.assert_array_equal(fused, batch_norm_inference(x, gamma, beta, mean, variance, EPSILON, "relu"))


def test_inference_by_hand():
    x, one = np.array([[3.0], [7.0], [-1.0]]), np.ones(1)
    y = batch_norm_inference(x, 10 * one, 5 * one, 3 * one, 3 * one, 1.0)
    np.testing.assert_array_equal(y, [[5], [25], [-15]])


def test_float32_with_a_large_mean():
    x = (1e4 + np.random.default_rng(0).standard_normal((64, 64, 64, 3))).astype(np.float32)
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    y, mean, variance = batch_norm(x, one, zero, 1e-5)
    truth = x.astype(np.float64)
    assert_close(mean, truth.mean((0, 1, 2)), ulps=1)
    np.testing.assert_allclose(variance, truth.var((0, 1, 2)), rtol=1e-5)
    # the mean is given in float32: half a unit in its last place, 5e-4, is what y may be off by
    np.testing.assert_allclose(y, (truth - truth.mean((0, 1, 2))) / truth.std((0, 1, 2)), atol=1e-3)
    y, mean, variance = group_norm(x, 3, one, zero, 1e-5)
    np.testing.assert_allclose(mean, truth.mean((1, 2)), rtol=1e-7)
    np.testing.assert_allclose(variance, truth.var((1, 2)), rtol=1e-5)


@settings(max_examples=20)
@given(shapes(min_dims=2, max_dims=4, min_side=1, max_side=3), seeds, st.sampled_from([None, "relu"]))
def test_gradients_of_batch_norm(shape, seed, activation):
    rng = np.random.default_rng(seed)
    x, (gamma, beta) = rng.standard_normal(shape), affine(rng, shape[-1])

    def backward(dy, x, gamma, beta):
        _, mean, variance = batch_norm(x, gamma, beta, 0.1)
        return batch_norm_gradient(dy, x, gamma, beta, mean, variance, 0.1, activation)

    pair = array_function(lambda *a: batch_norm(*a, 0.1, activation)[0], backward)
    gradcheck(pair, [x, gamma, beta], linear=() if activation else (1, 2), method="elements")


@pytest.mark.parametrize("activation", [None, "relu"])
def test_gradients_with_given_statistics(activation):
    rng = np.random.default_rng(0)
    x, mean, variance = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal(5), rng.uniform(0.5, 2, 5)
    pair = array_function(
        lambda *a: batch_norm_inference(*a, mean, variance, 0.1, activation),
        lambda dy, *a: batch_norm_inference_gradient(dy, *a, mean, variance, 0.1, activation),
    )
    gradcheck(pair, [x, *affine(rng, 5)], linear=() if activation else (0, 1, 2), method="elements")


group_shapes = st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 3))


@given(group_shapes, seeds)
def test_group_norm_normalises_each_group_of_each_example(sizes, seed):
    (n, *spatial), groups, width = sizes
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *spatial, groups * width))
    gamma, beta = affine(rng, groups * width)
    y, mean, variance = group_norm(x, groups, gamma, beta, EPSILON)
    assert mean.shape == variance.shape == (n, groups)
    for i in range(n):
        for g in range(groups):
            channels = slice(g * width, (g + 1) * width)
            part = x[i][..., channels]
            np.testing.assert_allclose(mean[i, g], part.mean())
            np.testing.assert_allclose(variance[i, g], part.var(), atol=1e-12)
            expected = (part - part.mean()) / np.sqrt(part.var() + EPSILON) * gamma[channels] + beta[channels]
            np.testing.assert_allclose(y[i][..., channels], expected, atol=1e-10)


@settings(max_examples=20)
@given(group_shapes, seeds)
def test_gradients_of_group_norm(sizes, seed):
    (n, *spatial), groups, width = sizes
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *spatial, groups * width))

    def backward(dy, x, gamma, beta):
        _, mean, variance = group_norm(x, groups, gamma, beta, 0.1)
        return group_norm_gradient(dy, x, groups, gamma, mean, variance, 0.1)

    pair = array_function(lambda x, gamma, beta: group_norm(x, groups, gamma, beta, 0.1)[0], backward)
    gradcheck(pair, [x, *affine(rng, groups * width)], linear=(1, 2), method="elements")


def test_instance_norm_is_batch_norm_of_one_example():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 5, 6))
    gamma, beta = affine(rng, 6)
    y, _, _ = group_norm(x, 6, gamma, beta, EPSILON)
    for i in range(3):
        np.testing.assert_allclose(y[i : i + 1], batch_norm(x[i : i + 1], gamma, beta, EPSILON)[0], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    x = np.arange(24).reshape(2, 3, 4).astype(dtype)
    gamma, beta = np.ones(4, dtype), np.zeros(4, dtype)
    y, mean, variance = batch_norm(x, gamma, beta, EPSILON)
    results = [y, mean, variance, *batch_norm_gradient(x, x, gamma, beta, mean, variance, EPSILON, "relu")]
    y, mean, variance = group_norm(x, 2, gamma, beta, EPSILON)
    results += [y, mean, variance, *group_norm_gradient(x, x, 2, gamma, mean, variance, EPSILON)]
    assert {r.dtype for r in results} == {np.dtype(dtype)}


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_batches_and_no_channels(shape):
    x, gamma, beta = np.zeros(shape), np.ones(shape[-1]), np.zeros(shape[-1])
    y, mean, variance = batch_norm(x, gamma, beta, EPSILON)
    assert y.shape == shape
    assert np.isnan(mean).all()
    assert np.isnan(variance).all()
    dx, dgamma, dbeta = batch_norm_gradient(x, x, gamma, beta, mean, variance, EPSILON, "relu")
    assert dx.shape == shape
    assert not dgamma.any()
    assert not dbeta.any()
    y, mean, variance = group_norm(x, 2, gamma, beta, EPSILON)
    assert y.shape == shape
    assert mean.shape == (shape[0], 2)
    dx, dgamma, dbeta = group_norm_gradient(x, x, 2, gamma, mean, variance, EPSILON)
    assert dx.shape == shape
    assert not dgamma.any()
    assert not dbeta.any()
