"""Huge, tiny, infinite and missing numbers; empty batches, single pixels, windows that do not fit: no NaN where
mathematics has a number, not in the value, not in the gradient, not in the gradient that is recorded."""

import numpy as np
import pytest
import scipy.special
from both_gradients import fused_and_recorded

from tomograd import kernels
from tomograd.engine import Tensor, grad, layers, losses
from tomograd.engine import functional as F
from tomograd.models import CNN

INF, NAN = np.inf, np.nan
FLOATS = [np.float32, np.float64]


@pytest.fixture(autouse=True)
def on_backend(backend):
    with kernels.using(backend.__name__.rpartition(".")[2]):
        yield


def hard_numbers(dtype):
    """Numbers at which squares, exponentials or reciprocals leave the type; all finite."""
    limits = np.finfo(dtype)
    sizes = [0.0, limits.smallest_subnormal, limits.tiny, limits.tiny * 1e6, 1e-3, 1.0, 30.0, 100.0, 800.0, 1e4]
    sizes += [limits.max ** dtype(0.4), limits.max ** dtype(0.6), limits.max / 4, limits.max]
    return np.array([sign * size for size in sizes for sign in (1, -1)], dtype)


# ---- one number in, one out ------------------------------------------------------------------------------------------


def sigma(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def bell(x):
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi, dtype=x.dtype)


def normal_cdf(x):
    return scipy.special.ndtr(x.astype(np.float64)).astype(x.dtype)


def twice_u(x):
    """2u of gelu's formula with tanh."""
    return np.sqrt(8 / np.pi) * (x + 0.044715 * x**3)


def gelu_tanh_slope(x):
    s = sigma(twice_u(x))
    return s + x * s * sigma(-twice_u(x)) * np.sqrt(8 / np.pi) * (1 + 3 * 0.044715 * x**2)


def elu_slope(x):
    return np.where(x > 0, 1, np.exp(np.minimum(x, 0)))


def soft_plus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def mish_slope(x):
    t = np.tanh(soft_plus(x))
    return t + x * (1 - t) * (1 + t) * sigma(x)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

# name: (function, value, derivative, (value, derivative) at −∞, the same at ∞). Both in a wider type.
ONE_TO_ONE = {
    "relu": (F.relu, lambda x: np.maximum(x, 0), lambda x: x > 0, (0, 0), (INF, 1)),
    "leaky_relu": (
        lambda x: F.leaky_relu(x, 0.25), lambda x: np.where(x > 0, x, x / 4), lambda x: np.where(x > 0, 1, 0.25),
        (-INF, 0.25), (INF, 1),
    ),
    "elu": (F.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), elu_slope, (-1, 0), (INF, 1)),
    "selu": (
        F.selu, lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x: SELU_SCALE * np.where(x > 0, 1, SELU_ALPHA * np.exp(np.minimum(x, 0))),
        (-SELU_SCALE * SELU_ALPHA, 0), (INF, SELU_SCALE),
    ),
    "gelu": (F.gelu, lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * bell(x), (0, 0), (INF, 1)),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate=True), lambda x: x * sigma(twice_u(x)), gelu_tanh_slope, (0, 0), (INF, 1)
    ),
    "silu": (F.silu, lambda x: x * sigma(x), lambda x: sigma(x) * (1 + x * sigma(-x)), (0, 0), (INF, 1)),
    "sigmoid": (F.sigmoid, sigma, lambda x: sigma(x) * sigma(-x), (0, 0), (1, 0)),
    "tanh": (F.tanh, np.tanh, lambda x: 4 * sigma(2 * x) * sigma(-2 * x), (-1, 0), (1, 0)),
    "softplus": (F.softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), sigma, (0, 0), (INF, 1)),
    "relu6": (F.relu6, lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x <= 6), (0, 0), (6, 0)),
    "hard_sigmoid": (
        F.hard_sigmoid, lambda x: np.clip(x + 3, 0, 6) / 6, lambda x: ((x > -3) & (x <= 3)) / 6, (0, 0), (1, 0)
    ),
    "celu": (
        lambda x: F.celu(x, 2), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)),
        lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0) / 2)), (-2, 0), (INF, 1),
    ),
    "hard_shrink": (
        F.hard_shrink, lambda x: np.where(np.abs(x) > 0.5, x, 0), lambda x: np.abs(x) > 0.5, (-INF, 1), (INF, 1)
    ),
    "hard_silu": (
        F.hard_silu, lambda x: np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6),
        lambda x: np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6)), (0, 0), (INF, 1),
    ),
    "hard_tanh": (F.hard_tanh, lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) <= 1, (-1, 0), (1, 0)),
    "log_sigmoid": (
        F.log_sigmoid, lambda x: -np.maximum(-x, 0) - np.log1p(np.exp(-np.abs(x))), lambda x: sigma(-x), (-INF, 1),
        (0, 0),
    ),
    "mish": (F.mish, lambda x: x * np.tanh(soft_plus(x)), mish_slope, (0, 0), (INF, 1)),
    "soft_shrink": (
        F.soft_shrink, lambda x: np.maximum(x - 0.5, 0) - np.maximum(-x - 0.5, 0), lambda x: np.abs(x) > 0.5,
        (-INF, 1), (INF, 1),
    ),
    "sparse_plus": (
        F.sparse_plus, lambda x: np.where(x > 1, x, (np.clip(x, -1, 1) + 1) ** 2 / 4),
        lambda x: (np.clip(x, -1, 1) + 1) / 2, (0, 0), (INF, 1),
    ),
    "sparse_sigmoid": (
        F.sparse_sigmoid, lambda x: (np.clip(x, -1, 1) + 1) / 2, lambda x: (np.abs(x) <= 1) / 2, (0, 0), (1, 0)
    ),
    "squareplus": (
        F.squareplus, lambda x: np.where(x < 0, 2 / (np.hypot(x, 2) + np.abs(x)), (x + np.hypot(x, 2)) / 2),
        lambda x: np.where(x < 0, 2 / (np.hypot(x, 2) + np.abs(x)), (x + np.hypot(x, 2)) / 2) / np.hypot(x, 2),
        (0, 0), (INF, 1),
    ),
    "threshold": (
        lambda x: F.threshold(x, 0.25, 9), lambda x: np.where(x > 0.25, x, 9), lambda x: x > 0.25, (9, 0), (INF, 1)
    ),
    "abs": (F.abs, np.abs, np.sign, (INF, -1), (INF, 1)),
    "sign": (F.sign, np.sign, np.zeros_like, (-1, 0), (1, 0)),
    "floor": (F.floor, np.floor, np.zeros_like, (-INF, 0), (INF, 0)),
    "round": (F.round, np.rint, np.zeros_like, (-INF, 0), (INF, 0)),
    "negative": (F.negative, lambda x: -x, lambda x: -np.ones_like(x), (INF, -1), (-INF, -1)),
    "exp": (F.exp, np.exp, np.exp, (0, 0), (INF, INF)),
    "expm1": (F.expm1, np.expm1, np.exp, (-1, 0), (INF, INF)),
    "square": (F.square, np.square, lambda x: 2 * x, (INF, -INF), (INF, INF)),
    "softsign": (F.softsign, lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2, None, None),
    "clip": (
        lambda x: F.clip(x, -2, 2), lambda x: np.clip(x, -2, 2), lambda x: np.abs(x) <= 2, (-2, 0), (2, 0)
    ),
    "maximum": (lambda x: F.maximum(x, 2), lambda x: np.maximum(x, 2), lambda x: x >= 2, (2, 0), (INF, 1)),
    "where": (lambda x: F.where(x < 1, x, 5), lambda x: np.where(x < 1, x, 5), lambda x: x < 1, (-INF, 1), (5, 0)),
    "logaddexp": (
        lambda x: F.logaddexp(x, 0), lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), sigma, (0, 0), (INF, 1)
    ),
}  # fmt: skip
# And of positive numbers.
POSITIVE = {
    "log": (F.log, np.log, lambda x: 1 / x),
    "log1p": (F.log1p, np.log1p, lambda x: 1 / (1 + x)),
    "sqrt": (F.sqrt, np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "1/x": (lambda x: 1 / x, lambda x: 1 / x, lambda x: -1 / x**2),
    "power": (lambda x: x**0.25, lambda x: x ** np.longdouble(0.25), lambda x: x ** np.longdouble(-0.75) / 4),
}


def require_close(actual, exact, what, atol=0.0):
    """Equal but for some rounding; infinite where the type cannot hold the number."""
    limits = np.finfo(actual.dtype)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.broadcast_to(exact, actual.shape).astype(actual.dtype)
    # A subnormal sigmoid of few bits may be multiplied by 100; at a tail's end 300 epsilons are lost.
    tolerance = {"rtol": 1000 * limits.eps, "atol": max(1000 * float(limits.smallest_subnormal), atol)}
    np.testing.assert_allclose(actual, expected, **tolerance, err_msg=what)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*ONE_TO_ONE, *POSITIVE])
def test_finite_numbers(name, dtype):
    function, value, derivative, *_ = {**ONE_TO_ONE, **POSITIVE}[name]
    x = hard_numbers(dtype)
    x = x[x > 0] if name in POSITIVE else x
    wide = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        exact, slope = (np.asarray(f(wide), np.longdouble) for f in (value, derivative))
        # Nothing may overflow on the way where neither the value nor the derivative does.
        fits = (np.abs(exact) <= np.finfo(dtype).max) & (np.abs(slope) <= np.finfo(dtype).max)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        require_close(function(Tensor(x[fits])).numpy(), exact[fits], f"{name}")
        tensor = Tensor(x[fits], requires_grad=True)
        fused = grad(function(tensor), tensor, np.ones_like(x[fits])).numpy()
    cancels = np.finfo(dtype).eps  # 1 − tanh², eˣ = (eˣ − 1) + 1
    require_close(fused, slope[fits], f"{name}, gradient", cancels)
    with np.errstate(all="ignore"):
        require_close(function(Tensor(x)).numpy(), exact, f"{name}, with overflow")
        (fused,), (recorded,) = fused_and_recorded(function, x)
    require_close(fused, slope, f"{name}, gradient with overflow", cancels)
    require_close(recorded[fits], slope[fits], f"{name}, recorded gradient", 4 * cancels)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ONE_TO_ONE)
def test_infinities_and_nan(name, dtype):
    function, _, _, *limits = ONE_TO_ONE[name]
    with np.errstate(all="ignore"):
        assert np.isnan(function(Tensor(np.full(3, NAN, dtype))).numpy()).all() or name == "where"
        if limits == [None, None]:  # ∞/∞, as NumPy has it
            assert np.isnan(function(Tensor(np.array([INF], dtype))).numpy()).all()
            return
        x = np.array([-INF, INF], dtype)
        (fused,), (recorded,) = fused_and_recorded(function, x)
        values = function(Tensor(x)).numpy()
    np.testing.assert_allclose(values, [value for value, _ in limits], rtol=4 * np.finfo(dtype).eps)
    for found in (fused, recorded):
        np.testing.assert_allclose(
            found, [slope for _, slope in limits], rtol=4 * np.finfo(dtype).eps, atol=8 * float(np.finfo(dtype).tiny)
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_stays_where_it_is(dtype):
    """In arrays of several vectors, one NaN spoils one element."""
    x = np.linspace(-2, 2, 77).astype(dtype)
    x[13] = NAN
    for name, (function, *_) in ONE_TO_ONE.items():
        with np.errstate(invalid="ignore"):  # NumPy's logaddexp tells of NaN
            y = function(Tensor(x)).numpy()
        assert np.flatnonzero(np.isnan(y)).tolist() == ([] if name == "where" else [13]), name


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("function", "kink", "slope"),
    [(F.relu6, 0, 0), (F.relu6, 6, 1), (F.hard_sigmoid, -3, 0), (F.hard_sigmoid, 3, 1 / 6), (F.softsign, 0, 1)],
)
def test_kinks_away_from_zero(function, kink, slope, dtype):
    """relu's slope at its kink is 0; a minimum that ties with a bound passes all of the gradient on, as clip does."""
    for (found,) in fused_and_recorded(function, np.full(40, kink, dtype)):
        np.testing.assert_array_equal(found, np.full(40, slope, dtype))


# ---- rows ------------------------------------------------------------------------------------------------------------


def logits(dtype):
    """Rows of which a row's numbers lie so far apart that all but the largest have no probability."""
    big = float(np.finfo(dtype).max) / 4
    return np.array(
        [[1e4, -1e4, 0], [big, -big, 0], [-big, -big, -big], [big, big, -big], [0, -INF, -INF], [1e-30, -1e4, -INF]],
        dtype,
    )


SHARES = np.array([[1, 0, 0], [1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0], [1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_prelu_of_infinity(dtype):
    x = Tensor(np.array([INF, -2, 0, 3], dtype), requires_grad=True)
    alpha = Tensor(np.full(4, 0.5, dtype), requires_grad=True)
    np.testing.assert_array_equal(F.prelu(x, alpha).array, [INF, -1, 0, 3])
    dx, dalpha = grad(F.prelu(x, alpha), [x, alpha], np.array([2, 3, 5, 7], dtype))
    np.testing.assert_array_equal(dx.array, [2, 1.5, 2.5, 7])
    np.testing.assert_array_equal(dalpha.array, [0, -6, 0, 0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_softmax_and_its_kin(dtype):
    z = logits(dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        np.testing.assert_allclose(F.softmax(z).numpy(), SHARES, rtol=4 * np.finfo(dtype).eps)
        largest = z.max(1)
        np.testing.assert_allclose(F.logsumexp(z).numpy(), largest - np.log(SHARES.max(1)), rtol=1e-6, atol=1e-29)
    with np.errstate(divide="ignore"):
        y = F.log_softmax(z).numpy()
    np.testing.assert_allclose(y[:2], [[0, -2e4, -1e4], [0, -2 * z[1, 0], -z[1, 0]]], rtol=1e-6)
    np.testing.assert_allclose(y[2:4], [[-np.log(3)] * 3, [-np.log(2), -np.log(2), -2 * z[3, 0]]], rtol=1e-6)
    np.testing.assert_array_equal(y[4], [0, -INF, -INF])
    for function in (F.softmax, F.log_softmax):
        cotangent = np.tile(np.array([1, -2, 0.5], dtype), (len(z), 1))
        share = SHARES * cotangent
        exact = share - SHARES * share.sum(1, keepdims=True) if function is F.softmax else cotangent + SHARES * 0.5
        for (found,) in fused_and_recorded(function, z, cotangent=cotangent):
            np.testing.assert_allclose(found, exact, atol=1e-6)
    for (found,) in fused_and_recorded(F.logsumexp, z):
        np.testing.assert_allclose(found, SHARES, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sparsemax_far_from_zero(dtype):
    """Also where it would do to add another number to all, but for rounding; a NaN spoils its row alone."""
    far = 1 / np.finfo(dtype).eps / 2
    rows = [[far + 0.5, far], [-far - 0.5, -far], [0.5, -4 * far], [0.5, 0], [0, -INF], [NAN, 1]]
    y = F.sparsemax(Tensor(np.array(rows, dtype))).numpy()
    np.testing.assert_array_equal(y, [[0.75, 0.25], [0.25, 0.75], [1, 0], [0.75, 0.25], [1, 0], [NAN, NAN]])
    y = F.sparsemax(Tensor(np.array([[0.5, 0, -4 * far]], dtype))).numpy()
    np.testing.assert_array_equal(y, [[0.75, 0.25, 0]])


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropies(dtype):
    z, big = logits(dtype), float(logits(dtype)[1, 0])
    labels, targets = (
        np.array([1, 1, 2, 0, 0, 0]),
        np.array([[0, 1, 0], [0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]] + [[1, 0, 0]] * 2),
    )
    exact = np.array([2e4, 2 * big, np.log(3), np.log(2), 0, 0])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for loss in (F.sparse_cross_entropy(z, labels), F.cross_entropy(z, targets)):
            np.testing.assert_allclose(loss.numpy(), exact, rtol=1e-6, atol=1e-29)
        for (found,) in fused_and_recorded(lambda z: F.sparse_cross_entropy(z, labels), z):
            np.testing.assert_allclose(found, SHARES - np.eye(3)[labels], atol=1e-6)
        with np.errstate(invalid="ignore"):  # the formula computes 0·∞ for a value that nobody asks for
            both = fused_and_recorded(lambda z: F.cross_entropy(z, targets), z)
        for (found,) in both:
            np.testing.assert_allclose(found, SHARES - targets, atol=1e-6)
        z, t = np.array([1e4, 1e4, -1e4, -1e4, big, -big, 0], dtype), np.array([0, 1, 0, 1, 0, 1, 0.5], dtype)
        loss = F.binary_cross_entropy(z, t).numpy()
        np.testing.assert_allclose(loss, [1e4, 0, 0, 1e4, big, big, np.log(2)], rtol=1e-6)
        for (found,) in fused_and_recorded(lambda z: F.binary_cross_entropy(z, t), z):
            np.testing.assert_allclose(found, [1, 0, 0, -1, 1, -1, 0], atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_probabilities_at_their_ends(dtype):
    """Clipped to [1e-7, 1 − 1e-7]: no logarithm is infinite, and there is no gradient beyond."""
    limits = np.finfo(dtype)
    p = np.array([0, limits.smallest_subnormal, limits.tiny, 1e-30, 1, 0.5], dtype)
    bound = -np.log(1e-7)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for t, exact in ((np.ones(6), [bound] * 4 + [0, np.log(2)]), (np.zeros(6), [0] * 4 + [bound, np.log(2)])):
            loss = F.binary_cross_entropy(p, t.astype(dtype), from_logits=False).numpy()
            np.testing.assert_allclose(loss, exact, rtol=0.02, atol=2e-7)
            for (found,) in fused_and_recorded(lambda p, t=t: F.binary_cross_entropy(p, t, from_logits=False), p):
                np.testing.assert_allclose(found, [0] * 5 + [2 - 4 * t[0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_dice_of_next_to_nothing(dtype, target):
    """All but empty predictions, of a network that is very sure: their sum is so small that its reciprocal overflows.
    Against an empty mask the coefficient is 0 and stays 0; against another its slope is 2 over the mask's size."""
    p = np.full((1, 8, 2), np.finfo(dtype).smallest_subnormal, dtype)
    t = np.full_like(p, target)
    tensor = Tensor(p, requires_grad=True)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = F.dice(tensor, t)
        found = grad(y, tensor, np.ones((1, 2), dtype)).numpy()
    np.testing.assert_allclose(y.numpy(), np.zeros((1, 2)), atol=1e-30)
    np.testing.assert_allclose(found, np.full(p.shape, 2 * target / 8), rtol=1e-6)


# ---- statistics ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), (0, 2)])
@pytest.mark.parametrize("shape", [(50_000, 3, 1), (300, 300, 1), (2, 1500, 150)])
def test_variances_of_far_means(shape, axis, order, dtype):
    """A mean 10⁴ (in float64 10¹⁰) times the deviation costs no digits: no mean of squares less a squared mean, and no
    mean of numbers that were added up one after the other."""
    rng, far = np.random.default_rng(2), 1e4 if dtype is np.float32 else 1e10
    x = (rng.standard_normal(shape) + far).astype(dtype, order=order)
    wide = x.astype(np.longdouble)
    exact = wide.var(axis)
    np.testing.assert_allclose(F.var(x, axis).numpy(), exact.astype(dtype), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(F.std(x, axis).numpy() ** 2, exact.astype(dtype), rtol=2e-3, atol=1e-5)
    cotangent = np.ones(exact.shape, dtype)
    count = x.size // exact.size
    for (found,) in fused_and_recorded(lambda x: F.var(x, axis), x, cotangent=cotangent):
        np.testing.assert_allclose(
            found * count / 2, (wide - wide.mean(axis, keepdims=True)).astype(dtype), atol=0.02, rtol=2e-3
        )


@pytest.mark.parametrize("name", ["mean", "var", "std"])
def test_statistics_of_half_precision_are_computed_in_single(name):
    """Of numbers whose sum is beyond the largest of them."""
    x = np.random.default_rng(5).uniform(80, 120, (3000, 2)).astype(np.float16)
    found, exact = getattr(F, name)(x, 0).numpy(), getattr(np, name)(x.astype(np.float64), 0)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, exact, rtol=np.finfo(np.float16).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("function", "axes"),
    [
        (lambda x: F.batch_norm(x, epsilon=1e-6), (0, 1, 2)),
        (lambda x: F.layer_norm(x, epsilon=1e-6), (3,)),
        (lambda x: F.group_norm(x, 2, epsilon=1e-6), None),
        (lambda x: F.instance_norm(x, epsilon=1e-6), (1, 2)),
    ],
    ids=["batch", "layer", "group", "instance"],
)
def test_normalisation_of_far_means(function, axes, dtype):
    rng, far = np.random.default_rng(3), 1e4 if dtype is np.float32 else 1e10
    x = (rng.standard_normal((4, 21, 22, 40)) + far).astype(dtype)
    wide, cotangent = x.astype(np.longdouble), rng.standard_normal(x.shape).astype(dtype)
    if axes is None:
        wide, axes = wide.reshape(4, 21, 22, 2, 20), (1, 2, 4)
    scale = 1 / np.sqrt(wide.var(axes, keepdims=True) + 1e-6)
    normalized = (wide - wide.mean(axes, keepdims=True)) * scale
    np.testing.assert_allclose(function(x).numpy().reshape(wide.shape), normalized.astype(dtype), atol=5e-3)
    h = cotangent.astype(np.longdouble).reshape(wide.shape)
    slope = h - h.mean(axes, keepdims=True) - normalized * (h * normalized).mean(axes, keepdims=True)
    for (found,) in fused_and_recorded(function, x, cotangent=cotangent):
        np.testing.assert_allclose(found.reshape(wide.shape), (slope * scale).astype(dtype), atol=5e-3)


@pytest.mark.parametrize("dtype", FLOATS)
def test_normalisation_of_equal_numbers(dtype):
    """No deviation at all: the result is 0 and finite, however large the number."""
    for number in (0.0, 2.0**-100, 12345.5, 2.0**100):  # of which 30 add up exactly
        x = np.full((2, 3, 5, 4), number, dtype)
        for function in (F.batch_norm, F.layer_norm, lambda x: F.group_norm(x, 2), F.instance_norm):
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                np.testing.assert_array_equal(function(x).numpy(), np.zeros_like(x))
                for (found,) in fused_and_recorded(function, x):
                    np.testing.assert_allclose(found, np.zeros_like(x), atol=256 * np.finfo(dtype).eps)


# ---- nothing, and next to nothing ------------------------------------------------------------------------------------

W2, W3 = np.ones((3, 3, 2, 4)), np.ones((2, 2, 2, 2, 4))
LABELS = np.zeros((0, 5), np.int64)
# (function, shape of the empty batch, shape of the result)
EMPTY = {
    "conv": (lambda x, w=W2: F.conv(x, w, np.ones(4), 2, "same", activation="relu"), (0, 5, 6, 2), (0, 3, 3, 4)),
    "conv in 3-D": (lambda x, w=W3: F.conv(x, w), (0, 5, 6, 7, 2), (0, 4, 5, 6, 4)),
    "conv_transpose": (lambda x, w=W2: F.conv_transpose(x, w, strides=2), (0, 5, 6, 4), (0, 11, 13, 2)),
    "max_pool": (lambda x: F.max_pool(x, 3, 2, "same"), (0, 5, 6, 2), (0, 3, 3, 2)),
    "average_pool": (lambda x: F.average_pool(x, 2), (0, 5, 6, 2), (0, 2, 3, 2)),
    "resize": (lambda x: F.resize(x, (7, 4)), (0, 5, 6, 2), (0, 7, 4, 2)),
    "dense": (lambda x: F.dense(x, np.ones((3, 2)), np.ones(2), activation="tanh"), (0, 3), (0, 2)),
    "matmul": (lambda x: F.matmul(x, np.ones((4, 3, 2))), (0, 4, 5, 3), (0, 4, 5, 2)),
    "softmax": (F.softmax, (0, 3), (0, 3)),
    "log_softmax": (lambda x: F.log_softmax(x, 1), (0, 3, 2), (0, 3, 2)),
    "logsumexp": (F.logsumexp, (0, 3), (0,)),
    "batch_norm": (
        lambda x: F.batch_norm(x, moving_mean=Tensor(np.zeros(3)), moving_variance=Tensor(np.ones(3)), training=False),
        (0, 4, 3), (0, 4, 3),
    ),
    "layer_norm": (F.layer_norm, (0, 4), (0, 4)),
    "group_norm": (lambda x: F.group_norm(x, 2), (0, 5, 4), (0, 5, 4)),
    "instance_norm": (F.instance_norm, (0, 5, 4), (0, 5, 4)),
    "sparse_cross_entropy": (lambda x: F.sparse_cross_entropy(x, LABELS), (0, 5, 3), (0, 5)),
    "cross_entropy": (lambda x: F.cross_entropy(x, np.ones((0, 3))), (0, 3), (0,)),
    "cross_entropy of probabilities": (lambda x: F.cross_entropy(x, np.ones((0, 3)), from_logits=False), (0, 3), (0,)),
    "binary_cross_entropy": (lambda x: F.binary_cross_entropy(x, np.ones((0, 3))), (0, 3), (0, 3)),
    "squared_error": (lambda x: F.squared_error(x, np.ones((0, 3))), (0, 3), (0, 3)),
    "dice": (lambda x: F.dice(x, np.ones((0, 5, 5, 2))), (0, 5, 5, 2), (0, 2)),
    "channel_sum": (F.channel_sum, (0, 5, 3), (3,)),
    "dropout": (lambda x: F.dropout(x, 0.5), (0, 3), (0, 3)),
    "gelu": (F.gelu, (0, 3), (0, 3)),
    "prelu": (lambda x: F.prelu(x, np.ones(3)), (0, 3), (0, 3)),
    "var": (lambda x: F.var(x, 1), (0, 3), (0,)),
    "max": (lambda x: F.max(x, 1), (0, 3), (0,)),
    "prod": (lambda x: F.prod(x, 0), (0, 3), (3,)),
    "pad": (lambda x: F.pad(x, ((0, 0), (1, 2))), (0, 3), (0, 6)),
    "concatenate": (lambda x: F.concatenate([x, x], 1), (0, 3), (0, 6)),
    "split": (lambda x: F.split(x, 3, 1)[1], (0, 3), (0, 1)),
    "index": (lambda x: x[:, [0, 2]], (0, 3), (0, 2)),
    "einsum": (lambda x: F.einsum("bi,ij->bj", x, np.ones((3, 2))), (0, 3), (0, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch(name):
    function, shape, result = EMPTY[name]
    assert function(np.zeros(shape)).shape == result
    for (found,) in fused_and_recorded(function, np.zeros(shape)):
        assert found.shape == shape


def test_an_empty_batch_gives_weights_no_gradient():
    x, b = np.zeros((0, 5, 6, 2)), np.ones(4)
    for dw, db in fused_and_recorded(lambda w, b: F.conv(x, w, b, padding="same"), W2, b):
        assert not dw.any() and dw.shape == W2.shape and not db.any()
    for dw, db in fused_and_recorded(lambda w, b: F.dense(x, w, b), np.ones((2, 4)), b):
        assert not dw.any() and dw.shape == (2, 4) and not db.any()
    for (dw,) in fused_and_recorded(lambda w: F.embedding(np.zeros((0, 3), int), w), np.ones((7, 2))):
        assert not dw.any() and dw.shape == (7, 2)


def test_a_product_of_nothing_is_one():
    (dx,) = fused_and_recorded(lambda x: F.prod(x, 2), np.zeros((2, 3, 0)))[0]
    assert dx.shape == (2, 3, 0)
    for requires_grad in (False, True):
        y = F.prod(Tensor(np.zeros((2, 3, 0)), requires_grad=requires_grad), 2)
        np.testing.assert_array_equal(y.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize("loss", [losses.MeanSquaredError(), losses.BinaryCrossentropy(), losses.Dice(axis=1)])
def test_a_mean_of_no_losses_is_an_error(loss):
    with pytest.raises(ValueError, match="no values"):
        loss(np.zeros((0, 3)), np.zeros((0, 3)))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_single_pixel(dimensions):
    """Of a window only the middle meets it; a mean, a maximum and another size of it are the pixel itself."""
    rng = np.random.default_rng(dimensions)
    x, one = rng.standard_normal((2, *(1,) * dimensions, 3)), (1,) * dimensions
    w, middle = rng.standard_normal((*(3,) * dimensions, 3, 4)), (1,) * dimensions
    product = x @ w[middle]
    np.testing.assert_allclose(F.conv(x, w, padding="same").numpy(), product)
    np.testing.assert_allclose(F.conv(x, w, padding=1, strides=2).numpy(), product)
    np.testing.assert_allclose(F.conv(x, w[middle].reshape(*one, 3, 4)).numpy(), product)
    spread = F.conv_transpose(x, w.swapaxes(-1, -2)).numpy()
    assert spread.shape == (2, *(3,) * dimensions, 4)
    np.testing.assert_allclose(spread[(slice(None), *middle)], product[(slice(None), *(0,) * dimensions)])
    for function in (
        lambda x: F.max_pool(x, 1),
        lambda x: F.max_pool(x, 3, 1, "same"),
        lambda x: F.average_pool(x, 3, 2, "same"),
        lambda x: F.resize(x, (1,) * dimensions),
    ):
        np.testing.assert_array_equal(function(x).numpy(), x)
        cotangent = rng.standard_normal(x.shape)
        for (found,) in fused_and_recorded(function, x, cotangent=cotangent):
            np.testing.assert_array_equal(found, cotangent)
    for method in ("nearest", "bilinear"):
        np.testing.assert_array_equal(
            F.resize(x, (3,) * dimensions, method).numpy(), np.broadcast_to(x, (2, *(3,) * dimensions, 3))
        )
    for function in (F.instance_norm, lambda x: F.batch_norm(x[:1])):
        assert not function(x).numpy().any()
    dw = fused_and_recorded(lambda w: F.conv(x, w, padding="same"), w, cotangent=np.ones(product.shape))[0][0].copy()
    dw[middle] -= x.sum(tuple(range(dimensions + 1)))[:, None]
    np.testing.assert_allclose(dw, np.zeros_like(w), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_images_one_pixel_wide(shape):
    """Are lines: the same as in one dimension, with the middle of the kernel."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, *shape, 3)), rng.standard_normal((3, 3, 3, 4))
    line, kernel = x.reshape(2, 9, 3), w[1] if shape[0] == 1 else w[:, 1]
    for strides in (1, 2):
        flat = F.conv(line, kernel, strides=strides, padding="same").numpy()
        np.testing.assert_allclose(F.conv(x, w, strides=strides, padding="same").numpy().reshape(flat.shape), flat)
        for pool in (F.max_pool, F.average_pool):
            flat = pool(line, 3, strides, "same").numpy()
            np.testing.assert_allclose(pool(x, 3, strides, "same").numpy().reshape(flat.shape), flat)


# ---- windows that do not fit -----------------------------------------------------------------------------------------


def zeros(*shape):
    return np.zeros(shape, np.float32)


TOO_LARGE = {
    "conv 1-D": (lambda: F.conv(zeros(1, 4, 2), zeros(5, 2, 3)), r"\(5,\)", r"\(4,\)"),
    "conv 2-D, padded": (lambda: F.conv(zeros(1, 4, 9, 2), zeros(7, 3, 2, 3), padding=1), r"\(7, 3\)", r"\(6, 11\)"),
    "conv 3-D": (lambda: F.conv(zeros(1, 4, 9, 9, 2), zeros(5, 1, 1, 2, 3)), r"\(5, 1, 1\)", r"\(4, 9, 9\)"),
    "dilated": (lambda: F.conv(zeros(1, 6, 2), zeros(3, 2, 3), dilation_rate=3), r"\(3,\).*\(7,\)", r"\(6,\)"),
    "depthwise": (lambda: F.conv(zeros(1, 4, 4, 2), zeros(5, 5, 1, 2), groups=2), r"\(5, 5\)", r"\(4, 4\)"),
    "max_pool": (lambda: F.max_pool(zeros(1, 3, 5, 2), (4, 2)), r"\(4, 2\)", r"\(3, 5\)"),
    "average_pool": (lambda: F.average_pool(zeros(1, 3, 2), 4), r"\(4,\)", r"\(3,\)"),
    "no pixels": (lambda: F.max_pool(zeros(1, 0, 2), 2), r"\(2,\)", r"\(0,\)"),
    **{
        name: ((lambda layer=layer, shape=shape: layer(zeros(*shape))), kernel, size)
        for name, layer, shape, kernel, size in [
            ("Conv1D", layers.Conv1D(3, 5), (1, 4, 2), r"\(5,\)", r"\(4,\)"),
            ("Conv2D", layers.Conv2D(3, 5), (1, 4, 9, 2), r"\(5, 5\)", r"\(4, 9\)"),
            ("Conv3D", layers.Conv3D(3, (1, 3, 1)), (1, 4, 2, 9, 2), r"\(1, 3, 1\)", r"\(4, 2, 9\)"),
            ("DepthwiseConv2D", layers.DepthwiseConv2D(5), (1, 4, 4, 2), r"\(5, 5\)", r"\(4, 4\)"),
            ("MaxPooling1D", layers.MaxPooling1D(5), (1, 4, 2), r"\(5,\)", r"\(4,\)"),
            ("MaxPooling2D", layers.MaxPooling2D(5), (1, 4, 4, 2), r"\(5, 5\)", r"\(4, 4\)"),
            ("AveragePooling2D", layers.AveragePooling2D((2, 5)), (1, 4, 4, 2), r"\(2, 5\)", r"\(4, 4\)"),
            ("AveragePooling3D", layers.AveragePooling3D(2), (1, 4, 1, 4, 2), r"\(2, 2, 2\)", r"\(4, 1, 4\)"),
        ]
    },
    **{
        f"{name} of a shape": ((lambda layer=layer, shape=shape: layer(layers.Input(shape))), kernel, size)
        for name, layer, shape, kernel, size in [
            ("Conv2D", layers.Conv2D(3, 5), (4, 9, 2), r"\(5,\)", r"\(4,\)"),
            ("MaxPooling1D", layers.MaxPooling1D(5), (4, 2), r"\(5,\)", r"\(4,\)"),
        ]
    },
    "CNN": (lambda: CNN((9, 9, 1), filters=(2, 2, 2)), r"\(2,\)", r"\(1,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_window_larger_than_the_padded_input_is_named_with_both_sizes(name):
    call, window, size = TOO_LARGE[name]
    with pytest.raises(ValueError, match=f"window of size {window}.* is larger than the padded input of size {size}"):
        call()


@pytest.mark.parametrize(
    ("function", "second", "third"),
    [(F.softplus, 0.25, 0.0), (F.sigmoid, 0.0, -0.125), (F.tanh, 0.0, -2.0), (F.log_sigmoid, -0.25, 0.0)],
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_higher_derivatives_at_0_where_a_logarithm_of_a_sum_has_equal_terms(function, second, third, zero):
    x = Tensor(np.array([zero]), requires_grad=True)
    derivative = function(x)
    for expected in (None, second, third):
        (derivative,) = grad(derivative, [x], np.ones(1), create_graph=True)
        if expected is not None:
            np.testing.assert_allclose(derivative.numpy(), expected, atol=1e-15)


@pytest.mark.parametrize(("x", "y"), [(np.inf, np.inf), (-np.inf, -np.inf), (np.inf, 1.0), (-np.inf, 1.0)])
def test_infinite_terms_share_the_gradient_as_their_limits_do(x, y):
    tensors = [Tensor(np.array([value]), requires_grad=True) for value in (x, y)]
    with np.errstate(all="ignore"):
        gradients = [gradient.item() for gradient in grad(F.logaddexp(*tensors), tensors, np.ones(1))]
    assert gradients == ([0.5, 0.5] if x == y else [1.0, 0.0] if x > y else [0.0, 1.0])
