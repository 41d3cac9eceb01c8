"""Sums of whole numbers against Python's: exact wherever no partial sum is too long for the type, in float64 with
numbers of which float32 could not hold the products, and in sums of a million terms.

The expected values come from integers and fractions, through loops of their own over windows and positions: from no
other kernel.
"""

import itertools
import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tomograd import kernels
from tomograd.engine import Tensor, grad
from tomograd.engine import functional as F
from tomograd.kernels.cpu.winograd_tiles import using_winograd

FLOATS = [np.float32, np.float64]
# Whole numbers up to these: sums of some thousand products are whole numbers that the type can hold, also where
# Winograd's method for tiles of 2×2 outputs (sums of four numbers, quarters) makes them longer by a few bits.
LARGEST = {np.float32: 4, np.float64: 2**18}
MILLION = 10**6


def whole(rng, shape, dtype):
    """Whole numbers as int64."""
    return rng.integers(-LARGEST[dtype], LARGEST[dtype] + 1, shape)


def nearest(fraction, dtype):
    """A fraction rounded once."""
    return dtype(np.longdouble(fraction.numerator) / np.longdouble(fraction.denominator))


def ulps(actual, fraction):
    """How far a number is from a fraction, in units in the last place of the fraction."""
    if not fraction:
        return 0.0 if actual == 0 else math.inf
    spacing = Fraction(float(np.spacing(np.abs(nearest(fraction, type(actual))))))
    return float(abs(Fraction(float(actual)) - fraction) / spacing)


# ---- convolution -----------------------------------------------------------------------------------------------------


class Convolution:
    """y[n, o, k] = Σ x[n, o·s + t·d − before, c] · w[t, c, k] as a list of (slices of x, of w, of y), one for each tap
    and group, in exact integers."""

    def __init__(self, name, n, size, kernel, strides, padding, dilation, groups, c, k):
        self.name, self.n, self.size, self.kernel, self.groups = name, n, size, kernel, groups
        self.geometry = strides, padding, dilation, groups
        self.x_shape, self.w_shape = (n, *size, c), (*kernel, c // groups, k)
        extent = [(a - 1) * d + 1 for a, d in zip(kernel, dilation, strict=True)]
        padded = [i + sum(p) for i, p in zip(size, padding, strict=True)]
        self.output = tuple((i - e) // s + 1 for i, e, s in zip(padded, extent, strides, strict=True))
        self.y_shape = (n, *self.output, k)
        self.padding, self.padded_shape = [(0, 0), *padding, (0, 0)], (n, *padded, c)
        self.inside = tuple(slice(b, b + i) for (b, _), i in zip(self.padding, self.x_shape, strict=True))
        self.terms = []
        for tap, group in itertools.product(np.ndindex(*kernel), range(groups)):
            starts = [t * d for t, d in zip(tap, dilation, strict=True)]
            rows = [slice(a, a + (o - 1) * s + 1, s) for a, o, s in zip(starts, self.output, strides, strict=True)]
            channels = slice(group * (c // groups), (group + 1) * (c // groups))
            filters = slice(group * (k // groups), (group + 1) * (k // groups))
            self.terms.append(((slice(None), *rows, channels), (*tap, slice(None), filters), (..., filters)))

    def forward(self, x, w):
        x, y = np.pad(x, self.padding), np.zeros(self.y_shape, np.int64)
        for of_x, of_w, of_y in self.terms:
            y[of_y] += x[of_x] @ w[of_w]
        return y

    def in_input(self, dy, w):
        dx = np.zeros(self.padded_shape, np.int64)
        for of_x, of_w, of_y in self.terms:
            dx[of_x] += dy[of_y] @ w[of_w].T
        return dx[self.inside]

    def in_weight(self, x, dy):
        x, dw = np.pad(x, self.padding), np.zeros(self.w_shape, np.int64)
        for of_x, of_w, of_y in self.terms:
            dw[of_w] += np.tensordot(x[of_x], dy[of_y], (range(x.ndim - 1),) * 2)
        return dw

    def __str__(self):
        return self.name


P1 = ((1, 1), (1, 1))
CONVOLUTIONS = [
    Convolution("3×3", 2, (16, 18), (3, 3), (1, 1), P1, (1, 1), 1, 32, 32),
    Convolution("narrow", 1, (8, 21), (3, 3), (1, 1), P1, (1, 1), 1, 3, 5),
    Convolution("uneven", 1, (9, 14), (3, 2), (2, 3), ((0, 1), (2, 1)), (1, 2), 1, 17, 2),
    Convolution("1×1", 2, (8, 9), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 20, 1),
    Convolution("depthwise", 1, (11, 13), (3, 3), (1, 1), P1, (1, 1), 19, 19, 19),
    Convolution("groups", 1, (11, 13), (3, 3), (2, 2), P1, (1, 1), 6, 12, 12),
    Convolution("line", 1, (40,), (5,), (1,), ((2, 2),), (2,), 4, 4, 8),
    Convolution("volume", 1, (5, 6, 7), (2, 3, 2), (1, 2, 1), ((0, 1), (1, 1), (1, 0)), (1, 1, 2), 1, 2, 18),
]


@cache
def numbers_and_results(case, dtype):
    """x, w, dy and bias of a convolution, and its results and gradients: all in exact integers."""
    rng = np.random.default_rng(3)
    x, w, dy, bias = (whole(rng, s, dtype) for s in (case.x_shape, case.w_shape, case.y_shape, case.y_shape[-1:]))
    bias_gradient = dy.sum(tuple(range(dy.ndim - 1)))
    return (x, w, dy, bias), (case.forward(x, w) + bias, case.in_input(dy, w), case.in_weight(x, dy), bias_gradient)


def convolved(backend, case, dtype):
    """The results and gradients by a backend."""
    x, w, dy, bias = (array.astype(dtype) for array in numbers_and_results(case, dtype)[0])
    found = (
        backend.conv(x, w, bias, *case.geometry),
        backend.conv_transpose(dy, w, None, case.size, *case.geometry),
        backend.conv_weight_gradient(x, dy, case.kernel, *case.geometry),
        backend.channel_sum(dy),
    )
    assert all(array.dtype == dtype for array in found)
    return found


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_and_its_gradients(backend, case, dtype):
    with using_winograd(0):
        found = convolved(backend, case, dtype)
    for actual, exact in zip(found, numbers_and_results(case, dtype)[1], strict=True):
        np.testing.assert_array_equal(actual, exact)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outputs", [2, 4])
def test_convolution_by_winograds_method(outputs, dtype):
    """Tiles of 2×2 outputs are exact here; those of 4×4 round, within 64·u·T, T the sum of the products of the largest
    |x| and |w|, or |dy|."""
    case = CONVOLUTIONS[0]
    with using_winograd(outputs):
        found = convolved(kernels.cpu, case, dtype)
    allowed = 64 * np.finfo(dtype).eps / 2 * float(LARGEST[dtype]) ** 2 if outputs == 4 else 0
    channels, pixels = case.y_shape[-1], np.prod(case.y_shape[:-1])
    exact = numbers_and_results(case, dtype)[1]
    for actual, expected, terms in zip(found, exact, (9 * channels, 9 * channels, pixels, 0), strict=True):
        assert np.abs(actual - expected.astype(np.longdouble)).max() <= allowed * terms


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("m", "k", "n"), [(13, 37, 19), (1, 3000, 70), (3, 1200, 1), (70, 1, 5), (130, 257, 66)])
def test_products_of_matrices(backend, m, k, n, dtype):
    rng = np.random.default_rng(m)
    a, b, bias = whole(rng, (m, k), dtype), whole(rng, (k, n), dtype), whole(rng, n, dtype)
    exact, (fa, fb, fbias) = a @ b, [array.astype(dtype) for array in (a, b, bias)]
    np.testing.assert_array_equal(backend.matmul(fa, fb, bias=fbias), exact + bias)
    np.testing.assert_array_equal(backend.matmul(fa.T.copy(), fb, transpose_a=True), exact)
    np.testing.assert_array_equal(backend.matmul(fa, fb.T.copy(), transpose_b=True), exact)
    np.testing.assert_array_equal(backend.matmul(fa, fb, activation="relu"), np.maximum(exact, 0))


# ---- averages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 2), (0, 1))])
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pooling_and_its_gradient(backend, dtype, padding, count_include_pad):
    rng = np.random.default_rng(5)
    x = whole(rng, (2, 8, 9, 5), dtype)
    (p, q), (s, t), size, unit = (3, 3), (2, 1), x.shape[1:3], Fraction(float(np.finfo(dtype).eps)) / 2
    y = backend.average_pool(x.astype(dtype), (p, q), (s, t), padding, count_include_pad)
    dy = whole(rng, y.shape, dtype)
    dx = backend.average_pool_gradient(dy.astype(dtype), size, (p, q), (s, t), padding, count_include_pad)
    exact_dx = np.full(x.shape, Fraction(0), object)
    for i, j in np.ndindex(*y.shape[1:3]):
        rows = slice(max(i * s - padding[0][0], 0), min(i * s - padding[0][0] + p, size[0]))
        columns = slice(max(j * t - padding[1][0], 0), min(j * t - padding[1][0] + q, size[1]))
        window = x[:, rows, columns]
        count = p * q if count_include_pad else window.shape[1] * window.shape[2]
        for index in np.ndindex(2, 5):
            n, c = index
            exact, terms = (Fraction(int(a[n, :, :, c].sum()), count) for a in (window, np.abs(window)))
            assert abs(Fraction(float(y[n, i, j, c])) - exact) <= (p * q + 2) * unit * terms
            exact_dx[n, rows, columns, c] += Fraction(int(dy[n, i, j, c]), count)
    bound = 9 * np.finfo(dtype).eps * LARGEST[dtype]  # at most nine windows hold a pixel
    for index in np.ndindex(*x.shape):
        assert abs(Fraction(float(dx[index])) - exact_dx[index]) <= bound


def exact_statistics(columns):
    """Mean and biased variance of whole numbers."""
    numbers = [int(number) for number in columns]
    mean = Fraction(sum(numbers), len(numbers))
    return mean, Fraction(sum(number * number for number in numbers), len(numbers)) - mean * mean


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 7, 11, 5), (1000, 3), (2, 40, 41, 16)])
def test_statistics_of_batches(backend, shape, dtype):
    """Added up in double precision at least: float32 is as good as rounded once or twice."""
    x = whole(np.random.default_rng(7), shape, dtype) + 7 * LARGEST[dtype]
    ones = np.ones(shape[-1], dtype)
    _, mean, variance = backend.batch_norm(x.astype(dtype), ones, ones, 1e-3)
    for channel in range(shape[-1]):
        exact_mean, exact_variance = exact_statistics(x[..., channel].ravel())
        assert ulps(mean[channel], exact_mean) <= (2 if dtype is np.float32 else 8)
        assert ulps(variance[channel], exact_variance) <= (2 if dtype is np.float32 else 64)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_means_and_variances(backend, dtype):
    x = whole(np.random.default_rng(9), (6, 35, 8), dtype)
    with kernels.using(backend.__name__.rpartition(".")[2]):
        for axis in (None, 0, 1, 2, (0, 2), (1, 2), (0, 1)):
            given = x.astype(dtype)
            total = np.asarray(x.sum(axis))
            count = x.size // total.size
            np.testing.assert_array_equal(F.sum(given, axis).numpy(), total)
            means = np.vectorize(lambda s, count=count: nearest(Fraction(int(s), count), dtype))(total)
            np.testing.assert_array_max_ulp(F.mean(given, axis).numpy(), means.astype(dtype), 1)
            squares = np.asarray((x.astype(object) ** 2).sum(axis))
            for index in np.ndindex(*total.shape):
                exact = Fraction(int(squares[index]), count) - Fraction(int(total[index]), count) ** 2
                assert ulps(np.asarray(F.var(given, axis).numpy())[index], exact) <= 16


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_losses(backend, dtype):
    rng = np.random.default_rng(11)
    a, b = whole(rng, (3, 501, 5), dtype), whole(rng, (3, 501, 5), dtype)
    np.testing.assert_array_equal(backend.squared_error(a.astype(dtype), b.astype(dtype)), (a - b) ** 2)
    assert backend.squared_norm([a.astype(dtype), b.astype(dtype)]) == int((a * a).sum() + (b * b).sum())
    p, t = np.abs(a), rng.integers(0, 2, a.shape)
    found = backend.dice(p.astype(dtype), t.astype(dtype), 1.0)
    for n, c in np.ndindex(3, 5):
        both, of_p, of_t = (int(v[n, :, c].sum()) for v in (p * t, p, t))
        assert ulps(found[n, c], Fraction(2 * both + 1, of_p + of_t + 1)) <= 2
    # Of equal logits in two classes every loss is ln 2, and in float64 the mean of 501 · 3 of them is.
    losses = backend.sparse_cross_entropy(np.zeros((1503, 2), dtype), rng.integers(0, 2, 1503))
    assert ulps(losses.mean(dtype=dtype), Fraction(math.log(2))) <= 4


# ---- a million terms -------------------------------------------------------------------------------------------------


def long_column(dtype):
    """Numbers around 10⁴ (float32) or 10¹² (float64), of which a plain running sum in their own type loses digits."""
    rng = np.random.default_rng(13)
    return 10 ** (4 if dtype is np.float32 else 12) + rng.integers(-3, 4, MILLION)


def plain_sum(x):
    """Number after number, in the type of x: what must not be done."""
    return np.cumsum(x)[-1]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 3, 200])
def test_a_million_numbers_in_columns(backend, columns, dtype):
    x = long_column(dtype)[: MILLION // columns * columns].reshape(-1, columns)
    given, exact = x.astype(dtype), [sum(map(int, x[:, c])) for c in range(min(columns, 3))]
    rows = len(x)
    allowed = 4 if dtype is np.float32 else 256  # there is nothing wider to add up float64 in
    if columns == 1 and dtype is np.float32:
        assert ulps(plain_sum(given[:, 0]), Fraction(exact[0])) > 100
    ones = np.ones(columns, dtype)
    with kernels.using(backend.__name__.rpartition(".")[2]):
        _, mean, variance = backend.batch_norm(given, ones, ones, 1e-3)
        sums = backend.channel_sum(given), F.sum(given, 0).numpy(), F.sum(given.reshape(1, rows, -1), (0, 1)).numpy()
        means = mean, F.mean(given, 0).numpy()
        variances = variance, F.var(given, 0).numpy()
    for c in range(min(columns, 3)):
        exact_mean, exact_variance = exact_statistics(x[:, c])
        for total in sums:
            assert ulps(total[c], Fraction(exact[c])) <= allowed
        for found in means:
            assert ulps(found[c], exact_mean) <= allowed
        for found in variances:
            assert abs(Fraction(float(found[c])) - exact_variance) <= exact_variance / 1000


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_million_numbers_in_one_sum(backend, dtype):
    x = long_column(dtype)
    given, (exact_mean, exact_variance) = x.astype(dtype), exact_statistics(x)
    with kernels.using(backend.__name__.rpartition(".")[2]):
        for array in (given, given.reshape(1000, 1000), given.reshape(10, -1, 10)):
            assert ulps(F.sum(array).numpy()[()], exact_mean * MILLION) <= 16
            assert ulps(F.mean(array).numpy()[()], exact_mean) <= 16
            assert abs(Fraction(float(F.var(array).item())) - exact_variance) <= exact_variance / 1000


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_of_weights_and_biases_over_a_million_pixels(backend, dtype):
    """Whole numbers whose sums the type can hold: not a bit may be lost."""
    rng = np.random.default_rng(17)
    x, dy = (rng.integers(-3, 4, (1, 1000, 1000, c)) for c in (1, 2))
    w = Tensor(np.ones((1, 1, 1, 2), dtype), requires_grad=True)
    b = Tensor(np.zeros(2, dtype), requires_grad=True)
    with kernels.using(backend.__name__.rpartition(".")[2]):
        dw, db = grad(F.conv(x.astype(dtype), w, b), [w, b], dy.astype(dtype))
    np.testing.assert_array_equal(dw.numpy().ravel(), (x * dy).sum((0, 1, 2)))
    np.testing.assert_array_equal(db.numpy(), dy.sum((0, 1, 2)))
