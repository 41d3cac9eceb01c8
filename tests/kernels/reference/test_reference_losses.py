"""The reference losses against the definitions in exact or SciPy's arithmetic, at extremes, and their gradients."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close

from tomograd.kernels.reference import (
    binary_cross_entropy,
    binary_cross_entropy_from_probabilities,
    binary_cross_entropy_from_probabilities_gradient,
    binary_cross_entropy_gradient,
    cross_entropy,
    cross_entropy_from_probabilities,
    cross_entropy_from_probabilities_gradient,
    cross_entropy_gradient,
    dice,
    dice_gradient,
    sparse_cross_entropy,
    sparse_cross_entropy_from_probabilities,
    sparse_cross_entropy_from_probabilities_gradient,
    sparse_cross_entropy_gradient,
    squared_error,
    squared_error_gradient,
)
from tomograd.testing import array_function, gradcheck
from tomograd.testing.strategies import float_types, seeds

row_counts, class_counts = st.integers(0, 5), st.integers(1, 6)


def drawn(rows, classes, seed, dtype=np.float64):
    """Logits, labels and targets that do not sum to 1, and a cotangent of the loss."""
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((rows, classes))).astype(dtype)
    targets = (rng.random((rows, classes)) * (rng.random((rows, classes)) < 0.7)).astype(dtype)
    return logits, rng.integers(0, classes, rows), targets, rng.standard_normal(rows).astype(dtype)


def check(loss, gradient, x, *others):
    """A loss's gradient in its first argument."""
    gradcheck(array_function(lambda x: loss(x, *others), lambda dy, x: gradient(dy, x, *others)), x, method="elements")


@given(row_counts, class_counts, seeds, float_types)
def test_cross_entropies_are_their_definitions(rows, classes, seed, dtype):
    logits, labels, targets, _ = drawn(rows, classes, seed, dtype)
    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
    sparse = sparse_cross_entropy(logits, labels)
    assert sparse.dtype == dtype
    assert_close(sparse, -log_p[np.arange(rows), labels], scale=10)
    assert_close(cross_entropy(logits, targets), -(targets * log_p).sum(-1), scale=10)
    one_hot = np.eye(classes, dtype=dtype)[labels]
    assert_close(cross_entropy(logits, one_hot), sparse.astype(np.float64), scale=10)


@given(row_counts, class_counts, seeds)
def test_gradients_of_cross_entropies(rows, classes, seed):
    logits, labels, targets, _ = drawn(rows, classes, seed)
    check(sparse_cross_entropy, sparse_cross_entropy_gradient, logits, labels)
    check(cross_entropy, cross_entropy_gradient, logits, targets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_at_extreme_logits(dtype):
    logits = np.array([[1e4, -1e4], [1e4, -1e4], [-1e4, -1e4]], dtype)
    labels = np.array([0, 1, 0])
    assert_close(sparse_cross_entropy(logits, labels), np.array([0, 2e4, math.log(2)]), ulps=2)
    gradient = sparse_cross_entropy_gradient(np.ones(3, dtype), logits, labels)
    np.testing.assert_array_equal(gradient, [[0, 0], [1, -1], [-0.5, 0.5]])
    one_hot = np.eye(2, dtype=dtype)[labels]
    np.testing.assert_array_equal(cross_entropy(logits, one_hot), sparse_cross_entropy(logits, labels))
    np.testing.assert_array_equal(cross_entropy_gradient(np.ones(3, dtype), logits, one_hot), gradient)


def test_a_target_of_zero_counts_nothing_at_a_logit_of_minus_infinity():
    logits, targets = np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]])
    np.testing.assert_array_equal(cross_entropy(logits, targets), [0])
    np.testing.assert_array_equal(cross_entropy_gradient(np.ones(1), logits, targets), [[0, 0]])
    np.testing.assert_array_equal(cross_entropy(logits, targets[:, ::-1]), [np.inf])


@given(row_counts, class_counts, seeds)
def test_binary_cross_entropy_is_its_definition(rows, classes, seed):
    logits, _, targets, _ = drawn(rows, classes, seed)
    p = scipy.special.expit(logits)
    expected = -targets * np.log(p) - (1 - targets) * np.log1p(-p)
    np.testing.assert_allclose(binary_cross_entropy(logits, targets), expected, rtol=1e-9, atol=1e-12)
    check(binary_cross_entropy, binary_cross_entropy_gradient, logits, targets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_at_extreme_logits(dtype):
    logits = np.array([1e4, 1e4, -1e4, -1e4, 0], dtype)
    targets = np.array([1, 0, 1, 0, 0.5], dtype)
    assert_close(binary_cross_entropy(logits, targets), np.array([0, 1e4, 1e4, 0, math.log(2)]), ulps=1)
    gradient = binary_cross_entropy_gradient(np.ones(5, dtype), logits, targets)
    np.testing.assert_array_equal(gradient, [0, 1, -1, 0, 0])


@given(row_counts, class_counts, seeds)
def test_losses_from_probabilities_are_their_definitions(rows, classes, seed):
    logits, labels, targets, _ = drawn(rows, classes, seed)
    p, eps = scipy.special.expit(logits), 1e-7  # no row sums to 1: the rows are taken as they are

    sparse = sparse_cross_entropy_from_probabilities(p, labels, eps)
    np.testing.assert_allclose(sparse, [-math.log(p[i, c]) for i, c in enumerate(labels)], rtol=1e-12)
    expected = [-sum(t * math.log(q) for q, t in zip(*row, strict=True)) for row in zip(p, targets, strict=True)]
    np.testing.assert_allclose(cross_entropy_from_probabilities(p, targets, eps), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        binary_cross_entropy_from_probabilities(p, targets, eps), binary_cross_entropy(logits, targets), rtol=1e-9
    )

    p = np.clip(p, 0.01, 0.99)  # a step must not reach 0 or 1
    check(sparse_cross_entropy_from_probabilities, sparse_cross_entropy_from_probabilities_gradient, p, labels, eps)
    check(cross_entropy_from_probabilities, cross_entropy_from_probabilities_gradient, p, targets, eps)
    check(binary_cross_entropy_from_probabilities, binary_cross_entropy_from_probabilities_gradient, p, targets, eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_clipped_and_their_gradient_is_zero_there(dtype):
    eps = 2.0**-20  # 1 − ε is exact in float32
    p = np.array([[0, 1], [1, 0], [eps, 1 - eps]], dtype)
    targets, labels = np.array([[1, 0]] * 3, dtype), np.zeros(3, np.int64)
    ones, low, high = np.ones(3, dtype), -math.log(eps), -math.log1p(-eps)
    assert_close(sparse_cross_entropy_from_probabilities(p, labels, eps), np.array([low, high, low]))
    assert_close(cross_entropy_from_probabilities(p, targets, eps), np.array([low, high, low]))
    expected = np.array([[low, low], [high, high], [low, low]])
    assert_close(binary_cross_entropy_from_probabilities(p, targets, eps), expected)
    gradient = sparse_cross_entropy_from_probabilities_gradient(ones, p, labels, eps)
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [-1 / eps, 0]])
    np.testing.assert_array_equal(cross_entropy_from_probabilities_gradient(ones, p, targets, eps), gradient)
    gradient = binary_cross_entropy_from_probabilities_gradient(np.ones_like(p), p, targets, eps)
    np.testing.assert_array_equal(gradient, [[0, 0], [0, 0], [-1 / eps, 1 / eps]])


@given(row_counts, class_counts, seeds)
def test_squared_error(rows, classes, seed):
    prediction, _, target, _ = drawn(rows, classes, seed)
    expected = [[(p - t) ** 2 for p, t in zip(*row, strict=True)] for row in zip(prediction, target, strict=True)]
    np.testing.assert_allclose(squared_error(prediction, target), np.reshape(expected, prediction.shape), rtol=1e-15)
    check(squared_error, squared_error_gradient, prediction, target)


def test_dice_of_masks_by_hand():
    p = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], float)[..., None]
    t = np.array([[1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], float)[..., None]
    np.testing.assert_allclose(dice(p, t, 0.0), [[2 * 2 / 6], [0], [1], [1]])  # third: empty against empty
    np.testing.assert_allclose(dice(p, t, 1.0), [[5 / 7], [1 / 5], [1], [1]])


@given(st.integers(0, 3), st.integers(0, 6), st.integers(0, 3), seeds, st.sampled_from([0.0, 1e-3, 1.0]))
def test_gradient_of_dice(n, s, c, seed, smooth):
    rng = np.random.default_rng(seed)
    p, t = rng.uniform(0.1, 1, (n, s, c)), rng.random((n, s, c))
    assert dice(p, t, smooth).shape == (n, c)
    check(dice, dice_gradient, p, t, smooth)


def test_dice_of_empty_against_empty_is_one_with_no_gradient():
    empty = np.zeros((2, 5, 3), np.float32)
    np.testing.assert_array_equal(dice(empty, empty, 0.0), np.ones((2, 3)))
    np.testing.assert_array_equal(dice_gradient(np.ones((2, 3), np.float32), empty, empty, 0.0), empty)
    np.testing.assert_array_equal(dice(empty[:, :0], empty[:, :0], 0.0), np.ones((2, 3)))  # no pixels at all


def test_nan_is_not_hidden():
    p, t = np.full((1, 2, 1), np.nan), np.ones((1, 2, 1))
    assert np.isnan(dice(p, t, 0.0)).all()
    assert np.isnan(sparse_cross_entropy(np.array([[np.nan, 0.0]]), np.array([1]))).all()
    assert np.isnan(binary_cross_entropy_from_probabilities(p, t, 1e-7)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_any_float_type_stays_itself(dtype):
    p, labels, ones = np.full((2, 3), 0.25, dtype), np.array([0, 2]), np.ones(2, dtype)
    elementwise, volume = np.ones_like(p), np.full((2, 4, 3), 0.5, dtype)
    results = [
        sparse_cross_entropy(p, labels),
        sparse_cross_entropy_gradient(ones, p, labels),
        cross_entropy(p, p),
        cross_entropy_gradient(ones, p, p),
        binary_cross_entropy(p, p),
        binary_cross_entropy_gradient(elementwise, p, p),
        sparse_cross_entropy_from_probabilities(p, labels, 1e-3),
        sparse_cross_entropy_from_probabilities_gradient(ones, p, labels, 1e-3),
        cross_entropy_from_probabilities(p, p, 1e-3),
        cross_entropy_from_probabilities_gradient(ones, p, p, 1e-3),
        binary_cross_entropy_from_probabilities(p, p, 1e-3),
        binary_cross_entropy_from_probabilities_gradient(elementwise, p, p, 1e-3),
        squared_error(p, p),
        squared_error_gradient(elementwise, p, p),
        dice(volume, volume, 1.0),
        dice_gradient(elementwise, volume, volume, 1.0),
    ]
    assert {r.dtype for r in results} == {np.dtype(dtype)}
