"""Vectors of every length that a type holds: lengths, directions, their gradients, and what is made of them, are those
of the same vectors at length 1."""

import numpy as np
import pytest
from numerics import assert_close

import tomograd as tg
from tomograd.engine import constraints, layers, regularizers
from tomograd.engine import functions as F
from tomograd.engine.lengths import scaled, unit_length
from tomograd.engine.optimizers.clipping import clipped
from tomograd.testing import gradcheck

SIZES = {np.float32: (1e-35, 1e-25, 1e-19, 1e19, 1e25, 1e37), np.float64: (1e-300, 1e-170, 1e170, 1e307)}
sizes = pytest.mark.parametrize(
    ("dtype", "size"), [(dtype, size) for dtype, each in SIZES.items() for size in each], ids=str
)
RNG = np.random.default_rng(0)
X = RNG.uniform(0.1, 0.9, (4, 3, 5)) * RNG.choice([-1, 1], (4, 3, 5))


def of_size(size, dtype, x=X):
    return tg.Tensor((x * size).astype(dtype), requires_grad=True)


@sizes
def test_directions_and_their_gradients(dtype, size):
    x, weights = of_size(size, dtype), RNG.standard_normal(X.shape)
    expected = X / np.sqrt((X**2).sum((0, 2), keepdims=True))
    y = unit_length(x, (0, 2))
    assert_close(y.numpy(), expected.astype(dtype), scale=8)
    (slope,) = tg.grad(F.sum(y * weights.astype(dtype)), [x])
    at_one = of_size(1.0, dtype)
    (wanted,) = tg.grad(F.sum(unit_length(at_one, (0, 2)) * weights.astype(dtype)), [at_one])
    np.testing.assert_allclose(slope.numpy() * dtype(size), wanted.numpy(), rtol=1e-4, atol=1e-5)
    largest, rest, length, empty = scaled(x, -1)
    assert not empty.any()
    norms = largest / dtype(size) * length.numpy()
    np.testing.assert_allclose(norms[..., 0], np.linalg.norm(X, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(rest.numpy() * largest, x.numpy(), rtol=1e-6)


def test_gradients_of_directions():
    x = RNG.standard_normal((3, 4))
    gradcheck(lambda x: unit_length(x), [x])
    gradcheck(lambda x: unit_length(x, 0, least=100.0), [x])


def test_zeros_short_vectors_and_none():
    x = tg.Tensor(np.array([[0.0, 0.0], [3e-13, 4e-13], [3e-12, 4e-12]]), requires_grad=True)
    y = unit_length(x, least=1e-12)
    np.testing.assert_allclose(y.numpy(), [[0, 0], [0.3, 0.4], [0.6, 0.8]], rtol=1e-12)
    (slope,) = tg.grad(F.sum(y * np.array([4.0, -3.0])), [x])
    np.testing.assert_allclose(slope.numpy(), [[0, 0], [4e12, -3e12], [8e11, -6e11]], rtol=1e-9)
    assert unit_length(tg.Tensor(np.zeros((3, 0)))).shape == (3, 0)
    for wrong in (np.nan, np.inf):
        with np.errstate(invalid="ignore"):
            assert np.isnan(unit_length(tg.Tensor(np.array([1.0, wrong]))).numpy()).any()


@sizes
def test_constraints(dtype, size):
    w = of_size(size, dtype)
    norms = np.linalg.norm(X, axis=0)
    np.testing.assert_allclose(constraints.UnitNorm()(w).numpy(), X / norms, rtol=1e-5)
    for bound in (0.5 * size, 1.1 * size):
        wanted = X * np.minimum(1.0, bound / size / norms)
        np.testing.assert_allclose(constraints.MaxNorm(bound)(w).numpy() / dtype(size), wanted, rtol=1e-5)
    stays = constraints.MaxNorm(1.1 * size * norms.max())(w)
    np.testing.assert_array_equal(stays.numpy(), w.numpy())


def test_the_smallest_numbers_have_a_direction():
    w = tg.Tensor(np.array([[3e-45], [0.0]], np.float32))
    np.testing.assert_array_equal(constraints.UnitNorm()(w).numpy(), [[1.0], [0.0]])
    huge = tg.Tensor(np.full((9, 1), 3e38, np.float32))  # whose norm float32 does not hold
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(constraints.UnitNorm()(huge).numpy(), 1 / 3, rtol=1e-6)
        np.testing.assert_allclose(constraints.MaxNorm(3.0)(huge).numpy(), 1.0, rtol=1e-6)


@sizes
def test_layers_of_long_vectors(dtype, size):
    x, name = of_size(size, dtype), np.dtype(dtype).name
    unit = X / np.linalg.norm(X, axis=-1, keepdims=True)
    if size > 1e-11:  # shorter ones stay short, as Keras has it
        np.testing.assert_allclose(layers.UnitNormalization(dtype=name)(x).numpy(), unit, rtol=1e-5)
        cosines = layers.Dot(-1, normalize=True, dtype=name)([x[:, 0], x[:, 1]])
        np.testing.assert_allclose(cosines.numpy()[:, 0], (unit[:, 0] * unit[:, 1]).sum(-1), rtol=1e-4, atol=1e-5)
    layer = layers.SpectralNormalization(layers.Dense(5, use_bias=False, dtype=name), power_iterations=60)
    layer.build((None, 12))
    layer.layer.kernel.assign(x.numpy().reshape(12, 5))
    layer(np.ones((1, 12), dtype), training=True)
    matrix = X.reshape(12, 5)
    np.testing.assert_allclose(layer.layer.kernel.numpy(), matrix / np.linalg.norm(matrix, 2), rtol=1e-4)


@sizes
def test_regularizer_metrics_and_normalize(dtype, size):
    matrix, at_one = of_size(size, dtype)[0], of_size(1.0, dtype)[0]
    penalty = regularizers.OrthogonalRegularizer(1.0)
    np.testing.assert_allclose(penalty(matrix).item(), penalty(at_one).item(), rtol=1e-5)
    for cls in (tg.metrics.PearsonCorrelation, tg.metrics.ConcordanceCorrelation, tg.metrics.CosineSimilarity):
        found = []
        for x in (matrix.numpy(), at_one.numpy()):
            metric = cls()
            metric.update_state(x[:2], x[1:])
            found.append(metric.result())
        np.testing.assert_allclose(*found, rtol=1e-5)
    for order in (1, 2, 3, np.inf):
        wanted = X / np.linalg.norm(X, order, 1, keepdims=True)
        np.testing.assert_allclose(tg.utils.normalize((X * size).astype(dtype), 1, order), wanted, rtol=1e-5)


@pytest.mark.parametrize("size", SIZES[np.float32])
def test_clipped_gradients(size):
    gradients = [(part * size).astype(np.float32) for part in X]
    whole, each = np.linalg.norm(X), [np.linalg.norm(part) for part in X]
    for bound in (size * 1e-6, size):
        if bound < 1e-36:
            continue
        for found, part, norm in zip(clipped(gradients, bound, None, None), X, each, strict=True):
            np.testing.assert_allclose(found, part * size * min(1.0, bound / size / norm), rtol=1e-4)
        for found, part in zip(clipped(gradients, None, None, bound), X, strict=True):
            np.testing.assert_allclose(found, part * size * min(1.0, bound / size / whole), rtol=1e-4)


def test_the_largest_gradients_are_clipped_to_small_norms():
    gradient = np.full(10_000, 3e38, np.float32)
    np.testing.assert_allclose(clipped([gradient], 1e-3, None, None)[0], 1e-5, rtol=1e-4)
