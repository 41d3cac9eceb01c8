"""Batch and group normalisation on the CPU against the reference: few and many channels, small and large samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_arguments import gamma_and_beta, wide
from numerics import assert_close

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import launch, normalization
from tomograd.testing import compare
from tomograd.testing.strategies import LAYOUTS, laid_out

dtypes = st.sampled_from([np.float32, np.float64])
layouts = st.sampled_from(LAYOUTS)
BATCHES = [(2, 7, 5, 3), (2, 64, 66, 16), (3, 50, 1), (2, 9, 400), (1, 200, 201, 1), (30000, 2), (1, 1, 4), (5, 6, 0),
           (3, 40, 41, 17), (300, 1001), (2, 31, 33, 64), (700, 96), (5, 2100)]  # fmt: skip


def close(actual, expected, dtype, ulps=64, scale=None):
    assert actual.dtype == dtype
    assert_close(actual, expected, ulps, scale)


def require_statistics_of_a_batch(x, gamma, beta):
    """Mean and variance as exact as sums of random numbers can be: the variance's terms are squared distances."""

    def statistics(kernels):
        return lambda *arguments: kernels.batch_norm(*arguments)[1:]

    def magnitude(x, *_):
        variance = reference.batch_norm(x, gamma, beta, 1e-3)[2]
        return reference.batch_norm(np.abs(x), gamma, beta, 1e-3)[1], variance

    positions = int(np.prod(x.shape[:-1]))
    compare(statistics(cpu), statistics(reference), x, gamma, beta, 1e-3, terms=positions, magnitude=magnitude,
            random=True)  # fmt: skip


@given(shape=st.sampled_from(BATCHES), dtype=dtypes, layout=layouts, activation=st.sampled_from([None, "relu"]))
def test_batch_norm_and_its_gradient(shape, dtype, layout, activation):
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 3 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    gamma, beta = gamma_and_beta(rng, shape[-1], dtype)
    results = cpu.batch_norm(x, gamma, beta, 1e-3, activation)
    close(results[0], reference.batch_norm(*wide(x, gamma, beta), 1e-3, activation)[0], dtype)
    require_statistics_of_a_batch(x, gamma, beta)
    known = (gamma, beta, *results[1:])
    gradients = cpu.batch_norm_gradient(dy, x, *known, 1e-3, activation)
    expected_gradients = reference.batch_norm_gradient(*wide(dy, x, *known), 1e-3, activation)
    positions = max(int(np.prod(shape[:-1])), 1)
    slope = np.abs(gamma / np.sqrt(results[2] + 1e-3)).max(initial=1)  # what dy is multiplied by before terms cancel
    for gradient, expected, scale in zip(gradients, expected_gradients, (slope, positions, positions), strict=True):
        close(gradient, expected, dtype, scale=scale)


@given(shape=st.sampled_from(BATCHES), dtype=dtypes, layout=layouts, activation=st.sampled_from([None, "relu"]))
def test_batch_norm_with_given_statistics_and_its_gradient(shape, dtype, layout, activation):
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 3 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    variance = rng.uniform(0.5, 9, shape[-1]).astype(dtype)
    known = (*gamma_and_beta(rng, shape[-1], dtype), rng.standard_normal(shape[-1]).astype(dtype), variance)
    inference = cpu.batch_norm_inference(x, *known, 1e-3, activation)
    close(inference, reference.batch_norm_inference(*wide(x, *known), 1e-3, activation), dtype)
    gradients = cpu.batch_norm_inference_gradient(dy, x, *known, 1e-3, activation)
    expected = reference.batch_norm_inference_gradient(*wide(dy, x, *known), 1e-3, activation)
    positions = max(int(np.prod(shape[:-1])), 1)
    for gradient, wanted, scale in zip(gradients, expected, (None, positions, positions), strict=True):
        close(gradient, wanted, dtype, scale=scale)


@pytest.mark.parametrize("channels", [1, 3, 64])
def test_a_large_mean_costs_no_digits_of_the_variance(channels):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 128, 130, channels)) + 1e4).astype(np.float32)
    _, mean, variance = cpu.batch_norm(x, *gamma_and_beta(rng, channels, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var((0, 1, 2), dtype=np.float64), rtol=1e-5)


def test_a_black_border_costs_no_digits_either():
    """The first rows of each chunk say nothing about the rest: −1000 HU of air around tissue."""
    x = np.full((1, 256, 256, 1), -1000, np.float32)
    x[0, 40:216, 40:216] = np.random.default_rng(0).standard_normal((176, 176, 1)) + 40
    _, mean, variance = cpu.batch_norm(x, np.ones(1, np.float32), np.zeros(1, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean(dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 64, 300])
def test_a_center_guessed_badly_costs_no_digits(channels):
    """Those positions of a chunk from which its center is guessed are a thousand standard deviations off the others:
    more than sums of squares around such a center can bear."""
    lines = normalization._one_sample(np.empty((40_000, channels), np.float32))
    x = np.random.default_rng(0).standard_normal((40_000, channels)).astype(np.float32) + 5
    for start in range(0, len(x), lines.chunk_rows):
        rows = min(lines.chunk_rows, len(x) - start)
        if rows < lines.chunk_rows:  # too few to be sure that the guess is far off
            continue
        places = [start + k * rows // normalization.GUESSED for k in range(normalization.GUESSED)]
        x[places] += 1000
    _, mean, variance = cpu.batch_norm(x, *gamma_and_beta(np.random.default_rng(0), channels, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(0, dtype=np.float64), rtol=1e-5)


def test_an_infinity_or_nan_stays_in_its_channel():
    x = np.random.default_rng(0).standard_normal((2, 70, 71, 5)).astype(np.float32)
    x[1, 3, 4, 1], x[0, 60, 5, 3] = np.inf, np.nan
    ones = np.ones(5, np.float32)
    y, mean, variance = cpu.batch_norm(x, ones, ones, 1e-3, "relu")
    dx, dgamma, dbeta = cpu.batch_norm_gradient(x, x, ones, ones, mean, variance, 1e-3)
    for result in (y, variance, dx, dgamma):
        finite = np.isfinite(result).reshape(-1, 5)
        assert finite[:, [0, 2, 4]].all() and not finite[:, [1, 3]].any()
    assert np.isfinite(dbeta[[0, 2, 4]]).all()


def test_a_constant_channel_has_no_variance():
    x = np.full((3, 100, 100, 4), 0.1, np.float32)
    x[..., 2] = -1e6 / 3
    _, mean, variance = cpu.batch_norm(x, *gamma_and_beta(np.random.default_rng(0), 4, np.float32), 1e-3)
    np.testing.assert_allclose(mean, x[0, 0, 0], rtol=1e-7)
    assert (variance <= (1e-6 * x[0, 0, 0]) ** 2).all() and (variance >= 0).all()


def test_relu_is_cut_in_the_gradient_where_it_was_cut_in_the_result():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 40, 40, 5)).astype(np.float32)
    gamma, beta = gamma_and_beta(rng, 5, np.float32)
    gamma[1] = 0
    y, mean, variance = cpu.batch_norm(x, gamma, beta, 1e-3, "relu")
    ones = np.ones_like(x)
    _, _, dbeta = cpu.batch_norm_gradient(ones, x, gamma, beta, mean, variance, 1e-3, "relu")
    np.testing.assert_array_equal(dbeta, (y > 0).sum((0, 1, 2)))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3)])
def test_an_empty_batch_has_no_mean(shape):
    x, one = np.zeros(shape, np.float32), np.ones(3, np.float32)
    y, mean, variance = cpu.batch_norm(x, one, one, 1e-3)
    assert y.shape == shape and np.isnan(mean).all() and np.isnan(variance).all()
    dx, dgamma, dbeta = cpu.batch_norm_gradient(x, x, one, one, mean, variance, 1e-3)
    assert dx.shape == shape and not dgamma.any() and not dbeta.any()


def test_unknown_activation():
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="gelu"):
        cpu.batch_norm(x, x[0], x[0], 1e-3, "gelu")


GROUPS = [((5, 16), 1), ((70, 300), 1), ((2, 40, 40, 12), 3), ((2, 70, 70, 12), 12), ((2, 5, 5, 12), 12),
          ((2, 5, 5, 12), 4), ((3, 5000), 1), ((0, 5), 1), ((2, 33, 1), 1), ((1, 1, 1), 1), ((300, 96), 1),
          ((2, 20000), 1), ((7, 1), 1), ((40, 1, 64), 1), ((70, 4, 6), 2)]  # fmt: skip


@given(case=st.sampled_from(GROUPS), dtype=dtypes, layout=layouts)
def test_group_norm_and_its_gradient(case, dtype, layout):
    shape, groups = case
    rng = np.random.default_rng(0)
    x = laid_out((rng.standard_normal(shape) * 2 + 1).astype(dtype), layout)
    dy = laid_out(rng.standard_normal(shape).astype(dtype), layout)
    gamma, beta = gamma_and_beta(rng, shape[-1], dtype)
    results = cpu.group_norm(x, groups, gamma, beta, 1e-3)
    for result, expected in zip(results, reference.group_norm(*wide(x), groups, *wide(gamma, beta), 1e-3), strict=True):
        close(result, expected, dtype)
    mean, variance = results[1:]
    gradients = cpu.group_norm_gradient(dy, x, groups, gamma, mean, variance, 1e-3)
    expected_gradients = reference.group_norm_gradient(*wide(dy, x), groups, *wide(gamma, mean, variance), 1e-3)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        close(gradient, expected, dtype, scale=10 * np.abs(expected).max(initial=1))


@pytest.mark.parametrize(
    ("shape", "groups"), [((40, 17), 1), ((40, 70), 1), ((3, 5000), 1), ((2, 50, 60, 12), 3), ((2, 50, 60, 12), 12)]
)
def test_a_large_mean_costs_no_digits_of_a_groups_variance(shape, groups):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) + 1e4).astype(np.float32)
    _, mean, variance = cpu.group_norm(x, groups, *gamma_and_beta(rng, shape[-1], np.float32), 1e-3)
    of_groups = x.reshape(len(x), -1, groups, shape[-1] // groups).astype(np.float64)
    np.testing.assert_allclose(mean, of_groups.mean((1, 3)), rtol=2e-7)
    np.testing.assert_allclose(variance, of_groups.var((1, 3)), rtol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 96, 97, 24)).astype(np.float32)
    gamma, beta = gamma_and_beta(rng, 24, np.float32)

    def results():
        y, mean, variance = cpu.batch_norm(x, gamma, beta, 1e-3)
        return y, mean, variance, *cpu.batch_norm_gradient(dy, x, gamma, beta, mean, variance, 1e-3)

    with launch.using_threads(1):
        serial = results()
    for one, other in zip(serial, results(), strict=True):
        np.testing.assert_array_equal(one, other)
