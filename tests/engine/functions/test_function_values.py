"""Values against NumPy; kinks, extremes and statistics beyond those of the registry."""

import numpy as np
import pytest
from both_gradients import fused_and_recorded
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd import kernels
from tomograd.engine import GradientError, Tensor, Variable, grad
from tomograd.engine import functional as F
from tomograd.engine.functions import rarer_activations
from tomograd.engine.functions.activations import split_activation
from tomograd.engine.functions.linear_algebra import matmul_transposed
from tomograd.engine.random import Generator

rng = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def on_backend(backend):
    with kernels.using(backend.__name__.rpartition(".")[2]):
        yield


def both_gradients(function, *arrays, cotangent=None):
    """The gradients by the fused kernels and by the recorded composition, which must agree."""
    fused, recorded = fused_and_recorded(function, *arrays, cotangent=cotangent)
    for one, other in zip(recorded, fused, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return fused[0] if len(arrays) == 1 else fused


class TestKinks:
    @pytest.mark.parametrize(
        ("function", "at_zero"),
        [
            (F.leaky_relu, 0.2),
            (lambda x: F.leaky_relu(x, 0.5), 0.5),
            (F.elu, 1.0),
            (lambda x: F.elu(x, 0.3), 0.3),
            (F.softplus, 0.5),
            (F.gelu, 0.5),
            (lambda x: F.gelu(x, True), 0.5),
            (F.silu, 0.5),
            (F.sigmoid, 0.25),
            (F.tanh, 1.0),
            (lambda x: F.prelu(x, np.array(0.1)), 0.1),
        ],
    )
    @pytest.mark.parametrize("zero", [0.0, -0.0])
    def test_derivative_at_zero_fused_and_recorded(self, function, at_zero, zero):
        assert both_gradients(function, np.array([zero]))[0] == pytest.approx(at_zero, abs=1e-15, rel=1e-12)

    def test_relu_after_a_product_that_is_exactly_zero(self):
        gx, gw = both_gradients(lambda x, w: F.relu(F.dense(x, w)), np.zeros((1, 3, 1)), np.ones((1, 2)))
        assert not gx.any() and not gw.any()

    def test_clip_to_one_number(self):
        x = np.array([-1.0, 2.0, 3.0])
        assert F.clip(x, 2, 2).array.tolist() == [2, 2, 2]
        assert both_gradients(lambda x: F.clip(x, 2, 2), x).tolist() == [0, 1, 0]

    def test_probabilities_beyond_the_clip_have_no_gradient(self):
        p = np.array([[0.0, 1.0], [0.5, 0.5]])
        g = both_gradients(lambda p: F.binary_cross_entropy(p, np.ones((2, 2)), from_logits=False), p)
        np.testing.assert_array_equal(g, [[0, 0], [-2, -2]])

    def test_derivatives_of_a_third_power_at_zero(self):
        x = Tensor(np.array([0.0]), requires_grad=True)
        y = x * x * x
        for expected in (0, 0, 6, 0):
            y = grad(y.sum(), x, create_graph=True, allow_unused=True)
            assert y.array == [expected]
            if not y.requires_grad:
                break

    def test_exponents_that_are_zero(self):
        """The slope of x⁰ in x is 0 for every x, but grows with the exponent as 1/x: so say both mixed derivatives."""
        x, y = (Tensor(np.array(numbers), requires_grad=True) for numbers in ([0.0, 0.5, 4.0], [0.0, 0.0, 0.0]))
        dx, dy = grad(F.power(x, y), [x, y], np.ones(3), create_graph=True)
        assert dx.array.tolist() == [0, 0, 0]
        np.testing.assert_allclose(dy.array, [0, np.log(0.5), np.log(4)])
        assert grad(dx, y, np.ones(3)).array.tolist() == grad(dy, x, np.ones(3)).array.tolist() == [0, 2, 0.25]
        assert both_gradients(lambda x: F.power(x, np.zeros(3)), np.array([-np.inf, -2, np.inf])).tolist() == [0, 0, 0]

    def test_empty_masks_agree_perfectly(self):
        p, t = np.zeros((1, 4, 2)), np.zeros((1, 4, 2))
        t[0, 0, 1] = 1
        np.testing.assert_array_equal(F.dice(p, t).array, [[1, 0]])
        g = both_gradients(lambda p: F.dice(p, t), p)
        assert not g[..., 0].any() and g[0, 0, 1] == 2
        p, t = Tensor(p, requires_grad=True), Tensor(t, requires_grad=True)
        slope = grad(F.dice(p, t).sum(), p, create_graph=True)
        for bend in grad(slope, [p, t], rng.standard_normal(slope.shape)):
            assert not bend.array[..., 0].any() and bend.array[..., 1].any()


def test_padding_never_wins_over_negative_numbers():
    y = F.max_pool(-np.ones((1, 3, 3, 1)), 3, 1, "same")
    np.testing.assert_array_equal(y.array, -np.ones((1, 3, 3, 1)))


class TestExtremes:
    """Nothing overflows: not the value, not the fused gradient, not the recorded one, in float32."""

    X = np.array([-1e4, -100, -1e-3, 0, 1e-3, 100, 1e4], np.float32)

    @pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "selu", "hard_sigmoid"])
    def test_activations(self, name):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            assert np.isfinite(getattr(F, name)(self.X).array).all()
            slopes = both_gradients(getattr(F, name), self.X)
        assert np.isfinite(slopes).all()
        right, left = {"sigmoid": (0, 0), "tanh": (0, 0), "hard_sigmoid": (0, 0)}.get(name, (1, 0))
        np.testing.assert_allclose(slopes[[-1, 0]], [1.0507 if name == "selu" else right, left], atol=1e-4)

    def test_second_derivatives_too(self):
        for function in (F.sigmoid, F.tanh, F.softplus, F.silu, F.gelu, lambda x: F.gelu(x, approximate=True)):
            x = Tensor(np.array([-np.inf, -1e30, *self.X, 1e30, np.inf], np.float32), requires_grad=True)
            slope = grad(function(x), x, np.ones(x.shape), create_graph=True)
            bend = grad(slope, x, np.ones(x.shape)).array
            assert np.isfinite(bend).all() and not bend[[0, 1, 2, -3, -2, -1]].any()

    @pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.logsumexp])
    def test_softmax(self, function):
        z = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 0]], np.float32)
        assert np.isfinite(function(z).array).all()
        assert np.isfinite(both_gradients(function, z)).all()

    def test_cross_entropies(self):
        z = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
        np.testing.assert_array_equal(F.sparse_cross_entropy(z, [0, 0]).array, [0, 2e4])
        np.testing.assert_array_equal(F.binary_cross_entropy(z, [[1.0, 0.0], [1.0, 0.0]]).array, [[0, 0], [1e4, 1e4]])
        g = both_gradients(lambda z: F.sparse_cross_entropy(z, [0, 0]), z)
        np.testing.assert_array_equal(g, [[0, 0], [-1, 1]])
        g = both_gradients(lambda z: F.binary_cross_entropy(z, [[1.0, 0.0], [1.0, 0.0]]), z)
        np.testing.assert_array_equal(g, [[0, 0], [-1, 1]])

    def test_logaddexp(self):
        x, y = np.array([1e4, -1e4, 0.0]), np.array([-1e4, -1e4, 1e4])
        np.testing.assert_allclose(F.logaddexp(x, y).array, np.logaddexp(x, y))
        gx, gy = both_gradients(F.logaddexp, x, y)
        np.testing.assert_allclose(gx, [1, 0.5, 0])
        np.testing.assert_allclose(gx + gy, 1)


class TestJoining:
    @pytest.mark.parametrize("axis", [0, 1, 2, -1])
    @pytest.mark.parametrize("sizes", [(2, 3), (1, 0, 4), (5,), (24, 40, 7)])
    def test_concatenate_gives_each_its_part_of_the_gradient(self, sizes, axis):
        shape = np.array([3, 31, 29, 6])
        arrays = []
        for size in sizes:
            shape[axis] = size
            arrays.append(rng.standard_normal(shape))
        cotangent = rng.standard_normal(np.concatenate(arrays, axis).shape)
        tensors = [Tensor(array, requires_grad=True) for array in arrays]
        y = F.concatenate(tensors, axis)
        np.testing.assert_array_equal(y.array, np.concatenate(arrays, axis))
        parts = np.split(cotangent, np.cumsum(sizes)[:-1], axis)
        for wanted in (tensors, tensors[-1:]):
            for create_graph in (True, False):
                gradients = grad(y, wanted, cotangent, create_graph=create_graph, retain_graph=True)
                for gradient, part in zip(gradients, parts[-len(wanted) :], strict=True):
                    np.testing.assert_array_equal(gradient.array, part)

    @pytest.mark.parametrize(
        "index",
        [(slice(None), 2), (slice(None, None, -2), ..., None), (0, 1, 2), (-1,), np.int64(2), (True,),
         (slice(1, 3), slice(0, 0)), (np.array([True, False, True, False]),), ([0, 3],), ([],)],
    )  # fmt: skip
    def test_the_gradient_of_a_part_is_zero_elsewhere(self, index):
        x = Tensor(rng.standard_normal((4, 5, 70)), requires_grad=True)
        y = x[index]
        cotangent = rng.standard_normal(y.shape)
        expected = np.zeros(x.shape)
        expected[index] = cotangent
        np.testing.assert_array_equal(grad(y, x, cotangent).array, expected)

    def test_a_large_border(self):
        x = Tensor(rng.standard_normal((2, 130, 131, 3)), requires_grad=True)
        widths = [(0, 0), (1, 2), (3, 0), (0, 1)]
        y = F.pad(x, widths, constant_values=2.0)
        np.testing.assert_array_equal(y.array, np.pad(x.array, widths, constant_values=2.0))
        cotangent = rng.standard_normal(y.shape)
        np.testing.assert_array_equal(grad(y, x, cotangent).array, cotangent[:, 1:-2, 3:, :-1])


class TestBatchNorm:
    def test_moving_averages_follow_keras(self):
        x = rng.standard_normal((6, 4, 3)).astype(np.float32)
        mean, variance = (Variable(np.full(3, v, np.float32), trainable=False) for v in (1.0, 2.0))
        y = F.batch_norm(x, moving_mean=mean, moving_variance=variance, momentum=0.9)
        np.testing.assert_allclose(mean.array, 0.9 * 1 + 0.1 * x.mean((0, 1)), rtol=1e-5)
        np.testing.assert_allclose(variance.array, 0.9 * 2 + 0.1 * x.var((0, 1)), rtol=1e-5)
        np.testing.assert_allclose(y.array, (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-3), atol=1e-5)

    def test_a_hundredth_of_the_batch_enters_them_by_default(self):
        x, (mean, variance) = rng.standard_normal((6, 3)), (Tensor(np.full(3, v)) for v in (1.0, 2.0))
        F.batch_norm(x, moving_mean=mean, moving_variance=variance)
        np.testing.assert_allclose(mean.array, 0.99 + 0.01 * x.mean(0))
        np.testing.assert_allclose(variance.array, 1.98 + 0.01 * x.var(0))

    def test_inference_uses_them_and_leaves_them(self):
        x = rng.standard_normal((2, 3))
        mean, variance = Tensor(np.array([0.0, 1.0, 2.0])), Tensor(np.array([1.0, 4.0, 9.0]))
        y = F.batch_norm(x, None, None, mean, variance, training=False, epsilon=0.0)
        np.testing.assert_allclose(y.array, (x - [0, 1, 2]) / [1, 2, 3])
        assert mean.version == [0]

    @pytest.mark.parametrize("activation", [None, "relu"])
    def test_inference_has_a_gradient_kernel_that_is_its_compositions_gradient(self, activation):
        x, cotangent = rng.standard_normal((2, 3, 5, 4, 7))
        gamma, beta, mean = rng.standard_normal((3, 7))
        variance = rng.uniform(0.5, 2, 7)

        def inference(x, gamma, beta, mean=mean, variance=variance):
            return F.batch_norm(x, gamma, beta, mean, variance, training=False, activation=activation)

        dx, dgamma, dbeta = both_gradients(inference, x, gamma, beta, cotangent=cotangent)
        through = cotangent * (inference(x, gamma, beta).array > 0) if activation else cotangent
        np.testing.assert_allclose(dx, through * gamma / np.sqrt(variance + 1e-3))
        np.testing.assert_allclose(dbeta, through.sum((0, 1, 2)))
        np.testing.assert_allclose(dgamma, (through * (x - mean) / np.sqrt(variance + 1e-3)).sum((0, 1, 2)))
        # A gradient in the statistics themselves is the composition's.
        both_gradients(inference, x, gamma, beta, mean, variance, cotangent=cotangent)

    def test_training_after_a_recorded_inference_pass_is_noticed(self):
        x = Tensor(rng.standard_normal((4, 2)), requires_grad=True)
        mean, variance = Tensor(np.zeros(2)), Tensor(np.ones(2))
        y = F.batch_norm(x, None, None, mean, variance, training=False)
        F.batch_norm(x, None, None, mean, variance)
        with pytest.raises(RuntimeError, match=r"BatchNormInference needs its argument .* changed in place"):
            y.sum().backward()

    def test_a_far_mean_in_float32(self):
        x = (rng.standard_normal((1000, 1)) + 1e4).astype(np.float32)
        y = F.batch_norm(x).array
        exact = x.astype(np.float64)
        np.testing.assert_allclose(y, (exact - exact.mean()) / np.sqrt(exact.var() + 1e-3), atol=2e-3)


@pytest.mark.parametrize(
    ("function", "shared"),
    [(F.batch_norm, (0, 1)), (lambda x: F.group_norm(x, 1), (1, 2)), (F.instance_norm, 1), (F.layer_norm, 2)],
    ids=["batch_norm", "group_norm", "instance_norm", "layer_norm"],
)
def test_normalisations_add_a_thousandth_to_the_variance_by_default(function, shared):
    x = rng.standard_normal((3, 4, 5)) * 1e-3  # numbers so small that it decides
    expected = (x - x.mean(shared, keepdims=True)) / np.sqrt(x.var(shared, keepdims=True) + 1e-3)
    np.testing.assert_allclose(function(x).array, expected, rtol=1e-9)


HALVES = np.full((2, 3), 0.5)
WITH_GRADIENT_KERNELS = {
    "sparse_cross_entropy": lambda p: F.sparse_cross_entropy(p, [0, 2]),
    "sparse_cross_entropy_from_probabilities": lambda p: F.sparse_cross_entropy(p, [0, 2], from_logits=False),
    "cross_entropy": lambda p, t=HALVES: F.cross_entropy(p, t),
    "cross_entropy_from_probabilities": lambda p, t=HALVES: F.cross_entropy(p, t, from_logits=False),
    "binary_cross_entropy": lambda p, t=HALVES: F.binary_cross_entropy(p, t),
    "binary_cross_entropy_from_probabilities": lambda p, t=HALVES: F.binary_cross_entropy(p, t, from_logits=False),
    "dice": lambda p, t=HALVES: F.dice(p, t),
    "batch_norm_inference": lambda x, c=HALVES[0]: F.batch_norm(x, x[0], x[1], c, HALVES[1], training=False),
}


@pytest.mark.parametrize("name", WITH_GRADIENT_KERNELS)
def test_a_gradient_comes_from_its_kernel_if_all_that_is_wanted_does(name, backend, monkeypatch):
    function, asked = WITH_GRADIENT_KERNELS[name], []
    kernel = getattr(backend, f"{name}_gradient")
    monkeypatch.setattr(backend, f"{name}_gradient", lambda *a, **more: asked.append(name) or kernel(*a, **more))
    x = Tensor(rng.uniform(0.1, 0.9, (2, 3)), requires_grad=True)
    grad(function(x).sum(), x)
    assert asked == [name]
    grad(function(x).sum(), x, create_graph=True)
    if "sparse" not in name:  # else there is nothing more to want
        grad(function(x, x[0] if "norm" in name else x).sum(), x)
    assert asked == [name]


class TestDropout:
    def test_keeps_the_mean_and_drops_the_share(self):
        y = F.dropout(np.ones(20_000, np.float32), 0.25, generator=Generator(0)).array
        assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
        assert abs((y == 0).mean() - 0.25) < 0.01

    def test_gradient_is_the_same_mask(self):
        x = Tensor(np.ones(100), requires_grad=True)
        y = F.dropout(x, 0.5, generator=Generator(1))
        np.testing.assert_array_equal(grad(y, x, np.ones(100)).array, y.array)

    def test_identity_when_not_training_or_rate_zero(self):
        x = Tensor(np.ones(3))
        assert F.dropout(x, 0.5, training=False) is x and F.dropout(x, 0.0) is x

    def test_a_number_drawn_that_is_the_rate_is_kept(self):
        class Drawn:
            def uniform(self, shape):
                return np.array([0.0, 0.25, 0.5, 0.75]).reshape(shape)

        assert F.dropout(np.ones(4), 0.5, generator=Drawn()).array.tolist() == [0, 0, 2, 2]

    def test_noise_shape_drops_whole_slices(self):
        y = F.dropout(np.ones((50, 4, 3)), 0.5, noise_shape=(None, 1, None), generator=Generator(2)).array
        assert (y == y[:, :1]).all() and 0 < y.mean() < 2

    def test_seeded_by_the_engine_s_generator(self):
        from tomograd.engine import random

        draws = []
        for _ in range(2):
            random.seed(3)
            draws.append(F.dropout(np.ones(50), 0.5).array)
        np.testing.assert_array_equal(*draws)

    def test_infinities_that_are_dropped_are_gone(self):
        y = F.dropout(np.full(64, np.inf), 0.5, generator=Generator(4)).array
        assert set(np.unique(y)) == {0.0, np.inf}


matmul_shapes = hnp.mutually_broadcastable_shapes(
    signature="(m?,n),(n,p?)->(m?,p?)", max_dims=3, min_side=0, max_side=4
)


@given(matmul_shapes, st.sampled_from([np.float32, np.float64, np.int64]))
def test_matmul_as_numpy(shapes, dtype):
    a, b = (np.random.default_rng(0).integers(-3, 4, s).astype(dtype) for s in shapes.input_shapes)
    c = F.matmul(a, b)
    assert c.shape == shapes.result_shape and c.dtype == dtype
    np.testing.assert_array_equal(c.array, a @ b)


def test_a_stack_of_matrices_times_one_is_one_product(backend, monkeypatch):
    kernel, asked = backend.matmul, []
    monkeypatch.setattr(backend, "matmul", lambda a, b, *more: asked.append((a.shape, b.shape)) or kernel(a, b, *more))
    assert F.matmul(np.ones((2, 3, 4)), np.ones((4, 5))).shape == (2, 3, 5)
    assert asked == [((6, 4), (4, 5))]


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)], ids=str)
def test_a_dense_layer_has_the_gradients_that_are_wanted(wanted):
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in [(4, 3), (3, 2), (2,), (4, 2)])
    expected = dy @ weight.T, x.T @ dy, dy.sum(0)
    tensors = [Tensor(array, requires_grad=i in wanted) for i, array in enumerate((x, weight, bias))]
    F.dense(*tensors).backward(dy)
    for i, tensor in enumerate(tensors):
        if i in wanted:
            np.testing.assert_allclose(tensor.grad.array, expected[i], rtol=1e-12, atol=1e-14)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize(
    ("shape", "other"), [((2, 3), (4, 3)), ((5, 2, 3), (4, 3)), ((5, 1, 2, 3), (6, 4, 3)), ((1, 3), (5, 6, 1, 3))]
)
def test_matmul_transposed_takes_each_row_times_each_row(shape, other):
    a, b = rng.standard_normal(shape), rng.standard_normal(other)
    expected = np.einsum("...mk,...nk->...mn", a, b)
    c = matmul_transposed(Tensor(a), Tensor(b))
    assert c.shape == expected.shape
    np.testing.assert_allclose(c.array, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axis", [0, -1, (2, 0), (0, 1, 2), None, (1,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_over_any_axes(axis, keepdims):
    x = rng.standard_normal((2, 3, 4))
    expected = np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))
    y = F.logsumexp(x, axis, keepdims)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.array, expected, rtol=1e-12)


@given(st.data())
def test_shaping_as_numpy(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    x = np.arange(float(np.prod(shape))).reshape(shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    widths = [tuple(data.draw(st.integers(0, 3)) for _ in range(2)) for _ in shape]
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    counts = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    for ours, theirs in (
        (F.transpose(x, axes), np.transpose(x, axes)),
        (F.transpose(x), x.T),
        (F.moveaxis(x, axis, 0), np.moveaxis(x, axis, 0)),
        (F.swapaxes(x, axis, 0), np.swapaxes(x, axis, 0)),
        (F.expand_dims(x, axis), np.expand_dims(x, axis)),
        (F.squeeze(x), np.squeeze(x)),
        (F.flip(x, axis), np.flip(x, axis)),
        (F.flip(x), np.flip(x)),
        (F.pad(x, widths, mode), np.pad(x, widths, mode)),
        (F.tile(x, counts), np.tile(x, counts)),
        (F.repeat(x, 3, axis), np.repeat(x, 3, axis)),
        (F.repeat(x, 2), np.repeat(x, 2)),
        (F.concatenate([x, x], axis), np.concatenate([x, x], axis)),
        (F.concatenate([x, -x]), np.concatenate([x, -x])),
        (F.stack([x, -x], axis), np.stack([x, -x], axis)),
        (F.stack([x, -x]), np.stack([x, -x])),
        (F.argmax(-x, axis), np.argmax(-x, axis)),
    ):
        np.testing.assert_array_equal(ours.array, theirs)
    for ours, theirs in (
        (F.split(x, [1, 2], axis), np.split(x, [1, 2], axis)),
        (F.split(x, 1, axis), [x]),
        (F.split(x, [1]), np.split(x, [1])),
    ):
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our.array, their)


@pytest.mark.parametrize("types", [(np.float32, np.float64), (np.float64, np.float32)])
def test_the_gradient_of_another_type_is_of_the_first(types):
    x = Tensor(rng.standard_normal(5), requires_grad=True, dtype=types[0])
    y = F.astype(x, types[1])
    cotangent = rng.standard_normal(5).astype(types[1])
    np.testing.assert_array_equal(y.array, x.array.astype(types[1]), strict=True)
    np.testing.assert_array_equal(grad(y, x, cotangent).array, cotangent.astype(types[0]), strict=True)


def test_elementwise_as_numpy():
    x = rng.standard_normal((3, 4)) * 3
    for name in ("exp", "expm1", "sin", "cos", "tan", "sign", "floor", "ceil", "abs", "square"):
        np.testing.assert_array_equal(getattr(F, name)(x).array, getattr(np, name)(x))
    for name in ("log", "log1p", "sqrt"):
        np.testing.assert_array_equal(getattr(F, name)(abs(x)).array, getattr(np, name)(abs(x)))
    np.testing.assert_array_equal(F.round([0.5, 1.5, -2.5]).array, [0, 2, -2])
    assert F.exp([1, 2]).dtype == np.float32 and F.abs(np.array([-3])).dtype == np.int64


def test_arithmetic_of_integers_that_gives_fractions():
    x = Tensor(np.array([4, 9]))
    for y, expected in ((x / 8, [0.5, 1.125]), (8 / x, [2, 8 / 9]), (x**0.5, [2, 3]), (F.divide([1], [4]), [0.25])):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.array, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: F.broadcast_to(x, (2, 3, 4)),
        lambda x: F.reshape(x, (4, 3)),
        lambda x: F.transpose(x),
        lambda x: x[1:, ::2],
        lambda x: F.flip(x, 1),
    ],
)
def test_what_shares_memory_is_changed_with_it(view):
    x = Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    y = view(x)
    assert np.shares_memory(y.array, x.array) and y.version is x.version
    z = y * y
    x.detach().assign(np.zeros((3, 4)))
    with pytest.raises(GradientError, match="changed in place"):
        z.sum().backward()


def test_nan_reaches_maxima():
    x = np.array([[1.0, np.nan, 2.0]])
    assert np.isnan(F.max(Tensor(x, requires_grad=True)).array) and np.isnan(F.max(x).array)
    assert np.isnan(F.maximum(x, 0.0).array).tolist() == [[False, True, False]]
    assert np.isnan(F.minimum(0.0, x).array).tolist() == [[False, True, False]]


def test_einsum_as_numpy():
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 5))
    np.testing.assert_allclose(F.einsum("bij, bjk -> bik", a, b).array, a @ b)
    np.testing.assert_allclose(F.einsum("bij->jb", a).array, a.sum(1).T)


def test_conv_transpose_is_the_transpose_of_conv():
    """⟨conv(x), g⟩ = ⟨x, conv_transpose(g)⟩ with one weight array, which Keras's and our layouts allow."""
    x, w = rng.standard_normal((2, 9, 7, 4)), rng.standard_normal((3, 2, 2, 6))
    options = {"strides": (2, 1), "padding": 1, "groups": 2}
    y = F.conv(x, w, **options)
    g = rng.standard_normal(y.shape)
    back = F.conv_transpose(g, w, **options)
    assert back.shape == x.shape
    np.testing.assert_allclose((y.array * g).sum(), (x * back.array).sum())


def test_worked_examples():
    """The numbers a student checks by hand."""
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    kernel = np.array([[0.0, 1.0], [1.0, 0.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(F.conv(x, kernel).array.reshape(2, 2), [[6, 8], [12, 14]])
    x = np.arange(1.0, 17).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(F.max_pool(x, 2).array.ravel(), [6, 8, 14, 16])
    np.testing.assert_array_equal(F.relu([-1.0, 0.0, 2.0]).array, [0, 0, 2])


def test_activations_by_name():
    x = rng.standard_normal((2, 3))
    w = np.eye(3)
    for name in ("relu", "swish", "softmax", "linear", "exponential", "hard_sigmoid"):
        np.testing.assert_allclose(F.dense(x, w, activation=name).array, F.activation_function(name)(x).array)
    np.testing.assert_allclose(F.dense(x, w, activation=F.relu).array, np.maximum(x, 0))
    assert split_activation("relu") == split_activation(F.relu) == ("relu", None)  # a kernel's own
    np.testing.assert_allclose(F.dense(x, w, activation=lambda y: y * 2).array, 2 * x)
    np.testing.assert_allclose(F.dense(x, w, activation=None).array, x)


def test_names_of_the_rarer_activations():
    for name in rarer_activations.__all__:
        if name != "threshold":  # it has no threshold by itself
            assert F.activation_function(name) is getattr(F, name)
    assert F.activation_function("hard_swish") is F.hard_silu


def test_losses_of_more_dimensions_are_those_of_their_rows():
    z, labels = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 5, (2, 3, 4))
    loss = F.sparse_cross_entropy(z, labels)
    expected = -np.take_along_axis(z - np.log(np.exp(z).sum(-1, keepdims=True)), labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss.array, expected)
    np.testing.assert_allclose(F.cross_entropy(z, F.one_hot(labels, 5)).array, expected)
    assert F.sparse_cross_entropy(z, labels.astype(np.uint8)).shape == (2, 3, 4)


ROWS_AND_REPEATS = [
    ([1, 1, 0],),
    ([1, 1, 0], [2, 2, 0]),
    ([1, 1, 0], [2, 2, 0], slice(None)),
    (slice(None), [2, 2, 0], slice(None)),
    (..., [3, 3, 0]),
    ([1, 1], ..., 2),
    (None, [1, 1], slice(None), None),
    (np.array([[1, 1], [0, 1]]), slice(1, None)),
    (np.array([[True, False, True], [False, True, False]]), [3, 3, 0]),
    (np.array([False, True]), [2, 2, 2], [3, 3, 0]),
]


@pytest.mark.parametrize("index", ROWS_AND_REPEATS, ids=str)
def test_gradients_add_up_where_an_index_repeats(index):
    x = rng.standard_normal((2, 3, 4))
    dy = rng.standard_normal(x[index].shape)
    expected = np.zeros_like(x)
    np.add.at(expected, index, dy)
    for (found,) in fused_and_recorded(lambda x: x[index], x, cotangent=dy):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (([1, 1, 0],), (3, 12)),
        (([1, 1], [2, 0], slice(None)), (2, 4)),
        ((None, [1, 1], slice(None), None), (6, 4)),
        ((True, [1, 1]), (2, 12)),
        ((np.array([False, True]), [2, 2]), (2, 4)),
        ((slice(None), 1, [3, 3]), (4, 1)),
    ],
    ids=str,
)
def test_gradients_add_up_by_rows_as_long_as_the_index_leaves_them_whole(index, rows, backend, monkeypatch):
    x, (kernel, asked) = Tensor(np.ones((2, 3, 4)), requires_grad=True), (backend.add_rows, [])
    monkeypatch.setattr(backend, "add_rows", lambda x, *more: asked.append(x.shape) or kernel(x, *more))
    x[index].backward(np.ones(x[index].shape))
    assert asked == [rows]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
@pytest.mark.parametrize(("axis", "shape"), [(0, (1, 5)), (0, (2, 5)), (0, (70, 5)), (1, (100, 2)), (1, (100, 9))])
def test_gradients_add_up_where_indices_along_an_axis_repeat(axis, shape, dtype):
    x = rng.standard_normal((100, 5))
    indices = rng.integers(0, x.shape[axis], shape)
    indices[-1] = indices[0]
    dy = rng.standard_normal(shape)
    expected = np.zeros_like(x)
    grid = list(np.ogrid[: shape[0], : shape[1]])
    grid[axis] = indices
    np.add.at(expected, tuple(grid), dy)
    for (found,) in fused_and_recorded(lambda x: F.take_along_axis(x, indices.astype(dtype), axis), x, cotangent=dy):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[0],
        lambda x: x[:, ::2],
        lambda x: F.reshape(x, (12,)),
        lambda x: F.transpose(x, (1, 0)),
        lambda x: F.broadcast_to(x, (2, 3, 4)),
    ],
    ids=["row", "columns", "reshape", "transpose", "broadcast_to"],
)
def test_a_change_in_place_is_noticed_through_a_view(view):
    x = Tensor(rng.standard_normal((3, 4)), requires_grad=True)
    seen = view(x)
    y = seen * Tensor(np.ones(seen.shape), requires_grad=True)
    x.detach()[0] = 5.0
    with pytest.raises(GradientError, match="Multiply needs its argument 'x'"):
        y.backward(np.ones(y.shape))


def test_embedding_adds_up_repeated_rows():
    weight = Tensor(np.zeros((4, 2)), requires_grad=True)
    y = F.embedding([[1, 1], [3, 1]], weight)
    assert y.shape == (2, 2, 2)
    y.backward(np.arange(8.0).reshape(2, 2, 2))
    np.testing.assert_array_equal(weight.grad.array, [[0, 0], [0 + 2 + 6, 1 + 3 + 7], [0, 0], [4, 5]])
