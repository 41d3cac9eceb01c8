"""Batch and group normalisation on the GPU against the reference: few and many channels, small and large samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_arguments import gamma_and_beta, wide
from numerics import assert_close
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out

dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(LAYOUTS)
# One channel to more than a line of 1024 has room for; positions in one chunk and in several; a rest of one number.
BATCHES = [(2, 7, 5, 3), (2, 44, 46, 16), (3, 50, 1), (2, 9, 400), (1, 150, 201, 1), (9000, 2), (1, 1, 4), (5, 6, 0),
           (3, 30, 31, 17), (20, 1031), (2, 11, 33, 64), (200, 96), (3, 2100)]  # fmt: skip


def close(actual, expected, dtype, ulps=64, scale=None):
    assert actual.dtype == dtype and actual.flags.c_contiguous
    assert_close(actual, expected, ulps, scale)


@given(shape=st.sampled_from(BATCHES), dtype=dtypes, layout=layouts, activation=st.sampled_from([None, "relu"]))
def test_batch_norm_and_its_gradient(cuda, shape, dtype, layout, activation):
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 3 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    gamma, beta = gamma_and_beta(rng, shape[-1], dtype)
    results = cuda.batch_norm(x, gamma, beta, 1e-3, activation)
    for result, expected in zip(results, reference.batch_norm(*wide(x, gamma, beta), 1e-3, activation), strict=True):
        close(result, expected, dtype, ulps=16 if dtype == np.float32 else 128)  # the reference errs too
    known = (gamma, beta, *results[1:])
    gradients = cuda.batch_norm_gradient(dy, x, *known, 1e-3, activation)
    expected_gradients = reference.batch_norm_gradient(*wide(dy, x, *known), 1e-3, activation)
    positions = max(int(np.prod(shape[:-1])), 1)
    slope = np.abs(gamma / np.sqrt(results[2] + 1e-3)).max(initial=1)  # what dy is multiplied by before terms cancel
    scales = slope, np.sqrt(positions), np.sqrt(positions)
    for gradient, expected, scale in zip(gradients, expected_gradients, scales, strict=True):
        close(gradient, expected, dtype, scale=scale)


@given(shape=st.sampled_from(BATCHES), dtype=dtypes, layout=layouts, activation=st.sampled_from([None, "relu"]))
def test_batch_norm_with_given_statistics_and_its_gradient(cuda, shape, dtype, layout, activation):
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 3 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    variance = rng.uniform(0.5, 9, shape[-1]).astype(dtype)
    known = (*gamma_and_beta(rng, shape[-1], dtype), rng.standard_normal(shape[-1]).astype(dtype), variance)
    inference = cuda.batch_norm_inference(x, *known, 1e-3, activation)
    close(inference, reference.batch_norm_inference(*wide(x, *known), 1e-3, activation), dtype)
    gradients = cuda.batch_norm_inference_gradient(dy, x, *known, 1e-3, activation)
    expected = reference.batch_norm_inference_gradient(*wide(dy, x, *known), 1e-3, activation)
    positions = np.sqrt(max(int(np.prod(shape[:-1])), 1))
    for gradient, wanted, scale in zip(gradients, expected, (None, 3 * positions, positions), strict=True):
        close(gradient, wanted, dtype, scale=scale)


@pytest.mark.parametrize("channels", [1, 3, 64])
def test_a_large_mean_costs_no_digits_of_the_variance(cuda, channels):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 64, 30, channels)) + 1e4).astype(np.float32)
    _, mean, variance = cuda.batch_norm(x, *gamma_and_beta(rng, channels, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var((0, 1, 2), dtype=np.float64), rtol=1e-6)


def test_a_black_border_costs_no_digits_either(cuda):
    """The first rows of each chunk say nothing about the rest: −1000 HU of air around tissue."""
    x = np.full((1, 256, 256, 1), -1000, np.float32)
    x[0, 40:216, 40:216] = np.random.default_rng(0).standard_normal((176, 176, 1)) + 40
    _, mean, variance = cuda.batch_norm(x, np.ones(1, np.float32), np.zeros(1, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean(dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 64, 300])
def test_a_center_far_from_all_others_costs_no_digits(cuda, channels):
    """The first number of every channel, which the others are taken relative to, is a thousand deviations off."""
    x = np.random.default_rng(0).standard_normal((700, channels)).astype(np.float32) + 5
    x[0] += 1000
    _, mean, variance = cuda.batch_norm(x, *gamma_and_beta(np.random.default_rng(0), channels, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=2e-5)
    np.testing.assert_allclose(variance, x.var(0, dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("first", [0, 1])
def test_an_infinity_or_nan_stays_in_its_channel(cuda, first):
    x = np.random.default_rng(0).standard_normal((2, 40, 31, 5)).astype(np.float32)
    x[1 - first, 3 - 3 * first, 4 - 4 * first, 1], x[0, 30, 5, 3] = np.inf, np.nan
    ones = np.ones(5, np.float32)
    y, mean, variance = cuda.batch_norm(x, ones, ones, 1e-3, "relu")
    assert mean[1] == np.inf and np.isnan(mean[3])
    dx, dgamma, dbeta = cuda.batch_norm_gradient(x, x, ones, ones, mean, variance, 1e-3)
    for result in (y, variance, dx, dgamma):
        finite = np.isfinite(result).reshape(-1, 5)
        assert finite[:, [0, 2, 4]].all() and not finite[:, [1, 3]].any()
    assert np.isfinite(dbeta[[0, 2, 4]]).all()


def test_a_constant_channel_has_no_variance(cuda):
    x = np.full((3, 50, 60, 4), 0.1, np.float32)
    x[..., 2] = -1e6 / 3
    _, mean, variance = cuda.batch_norm(x, *gamma_and_beta(np.random.default_rng(0), 4, np.float32), 1e-3)
    np.testing.assert_array_equal(mean, x[0, 0, 0])
    np.testing.assert_array_equal(variance, 0)


def test_relu_is_cut_in_the_gradient_where_it_was_cut_in_the_result(cuda):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 20, 20, 5)).astype(np.float32)
    gamma, beta = gamma_and_beta(rng, 5, np.float32)
    gamma[1] = 0
    y, mean, variance = cuda.batch_norm(x, gamma, beta, 1e-3, "relu")
    ones = np.ones_like(x)
    _, _, dbeta = cuda.batch_norm_gradient(ones, x, gamma, beta, mean, variance, 1e-3, "relu")
    np.testing.assert_array_equal(dbeta, (y > 0).sum((0, 1, 2)))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3)])
def test_an_empty_batch_has_no_mean(cuda, shape):
    x, one = np.zeros(shape, np.float32), np.ones(3, np.float32)
    y, mean, variance = cuda.batch_norm(x, one, one, 1e-3)
    assert y.shape == shape and np.isnan(mean).all() and np.isnan(variance).all()
    dx, dgamma, dbeta = cuda.batch_norm_gradient(x, x, one, one, mean, variance, 1e-3)
    assert dx.shape == shape and not dgamma.any() and not dbeta.any()
    y, mean, variance = cuda.group_norm(x, 1, one, one, 1e-3)
    assert y.shape == shape and mean.shape == (shape[0], 1) and np.isnan(mean).all() and np.isnan(variance).all()
    dx, dgamma, dbeta = cuda.group_norm_gradient(x, x, 1, one, mean, variance, 1e-3)
    assert dx.shape == shape and not dgamma.any() and not dbeta.any()


def test_unknown_activation(cuda):
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="activation = 'gelu': expected None or \"relu\""):
        cuda.batch_norm(x, x[0], x[0], 1e-3, "gelu")


# Rows for a few lanes and for a block, in one group and in several; examples that begin anywhere; instances.
GROUPS = [((5, 16), 1), ((20, 300), 1), ((2, 20, 20, 12), 3), ((2, 40, 40, 12), 12), ((2, 5, 5, 12), 12),
          ((2, 5, 5, 12), 4), ((2, 2500), 1), ((0, 5), 1), ((2, 33, 1), 1), ((1, 1, 1), 1), ((70, 96), 1),
          ((7, 1), 1), ((40, 1, 64), 1), ((9, 60), 4), ((3, 1031), 1), ((2, 3, 7), 7), ((2, 1400), 2)]  # fmt: skip


@given(case=st.sampled_from(GROUPS), dtype=dtypes, layout=layouts)
def test_group_norm_and_its_gradient(cuda, case, dtype, layout):
    shape, groups = case
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 2 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    gamma, beta = gamma_and_beta(rng, shape[-1], dtype)
    results = cuda.group_norm(x, groups, gamma, beta, 1e-3)
    for result, expected in zip(results, reference.group_norm(*wide(x), groups, *wide(gamma, beta), 1e-3), strict=True):
        close(result, expected, dtype)
    mean, variance = results[1:]
    gradients = cuda.group_norm_gradient(dy, x, groups, gamma, mean, variance, 1e-3)
    expected_gradients = reference.group_norm_gradient(*wide(dy, x), groups, *wide(gamma, mean, variance), 1e-3)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        close(gradient, expected, dtype, scale=10 * np.abs(expected).max(initial=1))


def test_many_lines_in_a_chunk(cuda, monkeypatch):
    monkeypatch.setattr("tomograd.kernels.cuda.lines.SHARES", 1)
    case = (5000, 5), np.float32, "contiguous", "relu"
    test_batch_norm_and_its_gradient.hypothesis.inner_test(cuda, *case)


def test_rows_too_long_for_a_block(cuda, monkeypatch):
    monkeypatch.setattr("tomograd.kernels.cuda.normalization.LONGEST", 100)
    test_group_norm_and_its_gradient.hypothesis.inner_test(cuda, ((3, 300), 1), np.float32, "contiguous")
    test_group_norm_and_its_gradient.hypothesis.inner_test(cuda, ((3, 300), 2), np.float64, "contiguous")


@pytest.mark.parametrize("shape", [(4, 16), (4, 500), (2, 5, 40, 3)])
def test_a_group_far_from_zero_keeps_its_digits(cuda, shape):
    x = (np.random.default_rng(0).standard_normal(shape) + 1e4).astype(np.float32)
    _, mean, variance = cuda.group_norm(x, 1, *gamma_and_beta(np.random.default_rng(0), shape[-1], np.float32), 1e-3)
    axes = tuple(range(1, x.ndim))
    np.testing.assert_allclose(mean[:, 0], x.mean(axes, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance[:, 0], x.var(axes, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 1, 4])
def test_arrays_that_begin_in_the_middle_of_sixteen_bytes(cuda, offset):
    x = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    dy = np.random.default_rng(1).standard_normal(3 * 8 + offset).astype(np.float32)[offset:].reshape(3, 8)
    gamma, beta, mean, variance = np.ones((4, 9), np.float32)[:, 1:]
    gradients = cuda.batch_norm_gradient(dy, x, gamma, beta, mean, variance, 1e-3)
    expected = reference.batch_norm_gradient(*wide(dy, x, gamma, beta, mean, variance), 1e-3)
    of_groups = mean[:6].reshape(3, 2), variance[:6].reshape(3, 2)
    gradients += cuda.group_norm_gradient(dy, x, 2, gamma, *of_groups, 1e-3)
    expected += reference.group_norm_gradient(*wide(dy, x), 2, *wide(gamma, *of_groups), 1e-3)
    for gradient, wanted in zip(gradients, expected, strict=True):
        close(gradient, wanted, np.float32)


def test_the_same_bits_in_every_order(cuda, on_gpu):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 60, 49, 6)).astype(np.float32)
    gamma, beta = gamma_and_beta(rng, 6, np.float32)

    def run():
        y, mean, variance = cuda.batch_norm(x, gamma, beta, 1e-3, "relu")
        gradients = cuda.batch_norm_gradient(dy, x, gamma, beta, mean, variance, 1e-3, "relu")
        z, *of_groups = cuda.group_norm(x, 2, gamma, beta, 1e-3)
        return y, mean, variance, *gradients, z, *cuda.group_norm_gradient(dy, x, 2, gamma, *of_groups, 1e-3)

    require_the_same_bits(run, on_gpu)
