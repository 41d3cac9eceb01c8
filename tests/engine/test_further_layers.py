"""Noise, normalisation by data, sizes of images, adaptive windows, Dot, RepeatVector, Lambda: what is theirs alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomograd as tg
from tomograd import engine
from tomograd.engine import Tensor, grad
from tomograd.engine import layers as L
from tomograd.engine.layers.adaptive_pooling import windows

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------- noise


class TestNoise:
    @pytest.mark.parametrize(
        ("layer", "mean", "variance"),
        [
            (L.GaussianNoise(0.5, seed=1), 2.0, 0.25),
            (L.GaussianDropout(0.2, seed=1), 2.0, 4 * 0.25),
        ],
    )
    def test_mean_and_variance_are_those_of_the_formula(self, layer, mean, variance):
        y = layer(np.full((200, 500), 2.0, np.float32), training=True).numpy().astype(np.float64)
        assert abs(y.mean() - mean) < 6 * math.sqrt(variance / y.size)
        assert abs(y.var() / variance - 1) < 6 * math.sqrt(2 / y.size)

    def test_alpha_dropout_keeps_mean_0_and_variance_1(self):
        x = normal(400, 500)
        y = L.AlphaDropout(0.3, seed=1)(x, training=True).numpy().astype(np.float64)
        assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03
        dropped = np.unique(y, return_counts=True)[1].max()  # all have one value
        assert abs(dropped / y.size - 0.3) < 6 * math.sqrt(0.21 / y.size)

    def test_alpha_dropout_shares_draws_along_a_noise_shape(self):
        y = L.AlphaDropout(0.5, (None, 1), seed=1)(np.zeros((50, 4), np.float32), training=True).numpy()
        assert (y == y[:, :1]).all() and len(np.unique(y)) == 2

    @pytest.mark.parametrize("make", [L.GaussianNoise, L.GaussianDropout, L.AlphaDropout])
    def test_a_seed_repeats_itself_and_the_engines_generator_is_taken_without(self, make):
        x = normal(3, 4)
        assert (make(0.5, seed=2)(x, training=True).numpy() == make(0.5, seed=2)(x, training=True).numpy()).all()
        results = []
        for _ in range(2):
            engine.random.seed(5)
            results.append(make(0.5)(x, training=True).numpy())
        np.testing.assert_array_equal(*results)
        assert (make(0.5)(x).numpy() == x).all()
        assert len(make(0.5, seed=2).generators()) == 1

    @pytest.mark.parametrize(("make", "wrong"), [(L.GaussianNoise, 2), (L.GaussianDropout, 1), (L.AlphaDropout, 1.0)])
    def test_rates_out_of_range(self, make, wrong):
        for value in (wrong, -0.1, "0.5", True):
            with pytest.raises(ValueError, match=r"expected a number"):
                make(value)


# -------------------------------------------------------------------------------------------------------- normalization


class TestNormalization:
    @given(cuts=st.lists(st.integers(0, 30), max_size=3), axis=st.sampled_from([-1, None, 1, (1, 2)]))
    def test_batches_do_not_matter(self, cuts, axis):
        data = np.random.default_rng(3).standard_normal((30, 3, 2)) * 5 + 100
        whole, cut = (L.Normalization(axis=axis, dtype="float64") for _ in range(2))
        whole.adapt(data)
        cut.adapt(np.split(data, sorted(cuts)))
        for name in ("mean", "variance"):
            np.testing.assert_allclose(getattr(cut, name).numpy(), getattr(whole, name).numpy(), rtol=1e-12)
        others = tuple(a for a in range(3) if axis is None or a not in {1: {1}, -1: {2}, (1, 2): {1, 2}}[axis])
        np.testing.assert_allclose(whole.mean.numpy(), data.mean(axis=others), rtol=1e-12)
        np.testing.assert_allclose(whole.variance.numpy(), data.var(axis=others), rtol=1e-11)

    def test_a_large_array_is_looked_at_in_parts(self, monkeypatch):
        from tomograd.engine.layers import preprocessing

        data = normal(50, 3, 2)
        whole, parts = L.Normalization(), L.Normalization()
        whole.adapt(data)
        monkeypatch.setattr(preprocessing, "_TOGETHER", 20)  # three rows
        assert [len(part) for part in preprocessing._batches(data, [-1], "")][-2:] == [3, 2]
        assert [len(part) for part in preprocessing._batches(data, [-3], "")] == [50]
        parts.adapt(data)
        np.testing.assert_allclose(parts.variance.numpy(), whole.variance.numpy(), rtol=1e-6)
        assert parts.count.numpy() == 150

    def test_images_of_bytes_and_pairs_with_labels_and_a_second_adapt(self):
        images = RNG.integers(0, 256, (6, 4, 4, 3)).astype(np.uint8)
        layer = L.Normalization()
        layer.adapt([(images[:2], None)])
        layer.adapt((images[i : i + 2], i) for i in (0, 2, 4))
        np.testing.assert_allclose(layer.mean.numpy(), images.mean((0, 1, 2)), rtol=1e-6)
        assert layer.count.numpy() == 6 * 16
        y = layer(images).numpy()
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-5)

    def test_what_was_adapted_is_saved_with_a_model(self, tmp_path):
        layer = L.Normalization()
        layer.adapt(normal(20, 3) * 4 + 2)
        model = tg.models.Sequential([L.Input((3,)), layer, L.Dense(2)])
        model.save(tmp_path / "m.safetensors")
        x = normal(4, 3)
        np.testing.assert_array_equal(tg.models.load_model(tmp_path / "m.safetensors")(x).numpy(), model(x).numpy())

    def test_errors(self):
        for call, message in (
            (lambda: L.Normalization(mean=1.0), "give both mean and variance"),
            (lambda: L.Normalization(mean=[1.0, 2.0], variance=1.0), "must agree"),
            (lambda: L.Normalization(mean=1.0, variance=1.0).adapt(normal(2, 2)), "nothing to adapt"),
            (lambda: L.Normalization(mean=[1.0] * 3, variance=[1.0] * 3)(normal(2, 2)), "do not broadcast"),
            (lambda: L.Normalization().adapt(normal(0, 2)), "there are no data"),
            (lambda: L.Normalization().adapt([]), "there are no data"),
            (lambda: L.Normalization().adapt([normal(2, 2), normal(2, 3)]), "built for sizes"),
            (lambda: L.Normalization(axis=3)(normal(2, 2)), "axis = 3 does not fit"),
            (lambda: L.Normalization(axis=1)(L.Input((None, 2))), "must be known"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        with pytest.raises(TypeError, match="expected batches that are arrays, got int"):
            L.Normalization().adapt([1, 2])


def test_zeros_have_no_direction_and_no_gradient():
    x = Tensor(np.array([[0.0, 0.0], [3.0, 4.0]], np.float32), requires_grad=True)
    y = L.UnitNormalization()(x)
    np.testing.assert_allclose(y.numpy(), [[0, 0], [0.6, 0.8]], rtol=1e-6)
    (gradient,) = grad(y, [x], np.ones((2, 2), np.float32))
    assert not gradient.numpy()[0].any() and np.isfinite(gradient.numpy()).all()


# --------------------------------------------------------------------------------------------------------------- images


class TestImages:
    def test_an_odd_pixel_of_padding_comes_after(self):
        y = L.Resizing(2, 5, "nearest", pad_to_aspect_ratio=True, fill_value=-1.0)(np.ones((1, 2, 2, 1), np.float32))
        assert y.numpy()[0, 0, :, 0].tolist() == [-1, 1, 1, -1, -1]

    def test_what_is_not_supported_says_so(self):
        for arguments in ({"interpolation": "bicubic"}, {"antialias": True}, {"fill_mode": "edge"}):
            with pytest.raises(ValueError, match=f"{next(iter(arguments))} = .* is not supported"):
                L.Resizing(2, 2, **arguments)
        with pytest.raises(ValueError, match="give one of"):
            L.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
        with pytest.raises(ValueError, match="expected images"):
            L.CenterCrop(2, 2)(normal(2, 2))

    def test_sizes_may_be_open(self):
        x = L.Input((None, None, 3))
        model = tg.models.Model(x, L.Resizing(4, 5)(x))
        assert model(normal(2, 7, 3, 3)).shape == (2, 4, 5, 3)


@given(size=st.integers(1, 12), out=st.integers(1, 12))
def test_adaptive_windows_cover_all_and_differ_by_one_at_most(size, out):
    starts, ends = windows(size, out)
    assert starts[0] == 0 and ends[-1] == size
    assert (ends > starts).all() and (starts[1:] <= ends[:-1]).all()
    assert np.ptp(ends - starts) <= 1
    x = np.random.default_rng(size).standard_normal((1, size, 2))
    for make, function in ((L.AdaptiveAveragePooling1D, np.mean), (L.AdaptiveMaxPooling1D, np.max)):
        expected = [function(x[:, a:b], axis=1) for a, b in zip(starts, ends, strict=True)]
        found = make(out, dtype="float64")(x).numpy()
        np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-12, atol=1e-15)


def test_the_gradient_of_adaptive_maxima_goes_to_the_first():
    x = Tensor(np.zeros((1, 3, 3, 1)), requires_grad=True)
    y = L.AdaptiveMaxPooling2D(2, dtype="float64")(x)
    (gradient,) = grad(y, [x], np.array([[1.0, 2.0], [4.0, 8.0]]).reshape(1, 2, 2, 1))
    assert gradient.numpy()[0, :, :, 0].tolist() == [[1, 2, 0], [4, 8, 0], [0, 0, 0]]


# --------------------------------------------------------------------------------------------------- Dot, Lambda, Input


def test_dot_refuses_what_does_not_fit():
    for axes, shapes in ((0, [(2, 3)] * 2), (2, [(2, 3)] * 2), ((1, 2), [(2, 3), (2, 3, 4)])):
        with pytest.raises(ValueError, match="axes"):
            L.Dot(axes)([np.zeros(shape, np.float32) for shape in shapes])
    with pytest.raises(TypeError, match="expected an integer, or one for each"):
        L.Dot((1, 2, 3))
    assert L.dot([normal(2, 3), normal(2, 3)], axes=1).shape == (2, 1)


class TestLambda:
    def test_it_applies_a_function_with_its_arguments(self):
        layer = L.Lambda(lambda x, factor, training: x * factor if training else x, arguments={"factor": 3.0})
        x = normal(2, 3)
        np.testing.assert_array_equal(layer(x, training=True).numpy(), x * 3)
        np.testing.assert_array_equal(layer(x).numpy(), x)

    def test_shapes_are_given_or_found(self):
        x = L.Input((4, 3))
        assert L.Lambda(lambda x: x[:, 0])(x).shape == (None, 3)
        assert L.Lambda(lambda x: x[:, 0], output_shape=(3,))(L.Input((None, 3))).shape == (None, 3)
        assert L.Lambda(lambda x: x, output_shape=lambda shape: shape)(L.Input((None, 3))).shape == (None, None, 3)

    def test_models_with_it_train_but_are_not_saved(self, tmp_path):
        model = tg.models.Sequential([L.Input((3,)), L.Lambda(lambda x: x * x), L.Dense(1)])
        model.compile("sgd", "mse")
        model.train_on_batch(normal(4, 3), normal(4, 1))
        with pytest.raises(NotImplementedError, match="a Lambda holds code"):
            model.save(tmp_path / "m.safetensors")

    def test_its_function_is_called_in_every_inference(self):
        x = normal(4, 3)
        functions = {True: tg.functional.relu, False: tg.functional.sigmoid}
        chosen = True
        model = tg.models.Sequential([L.Input((3,)), L.Dense(2), L.Lambda(lambda x: functions[chosen](x))])
        for _ in range(6):
            before = model.predict(x, verbose=0)
        chosen = False
        assert (model.predict(x, verbose=0) != before).all()

    def test_what_is_no_function(self):
        with pytest.raises(TypeError, match="expected a function"):
            L.Lambda(3)


@pytest.mark.parametrize("argument", ["sparse", "ragged", "optional", "tensor"])
def test_inputs_that_are_not_supported(argument):
    with pytest.raises(ValueError, match=f"{argument} = True is not supported"):
        L.Input((3,), **{argument: True})


class TestSpectralNormalization:
    def test_the_largest_singular_value_becomes_1(self):
        layer = L.SpectralNormalization(L.Dense(5, use_bias=False, kernel_initializer="random_normal"), 30)
        x = normal(2, 7)
        layer(x)
        layer.kernel.assign(layer.kernel.array * 10)
        layer(x, training=True)
        assert abs(np.linalg.norm(layer.kernel.numpy(), 2) - 1) < 1e-3

    def test_embeddings_are_divided_too(self):
        layer = L.SpectralNormalization(L.Embedding(4, 3), 20)
        y = layer(np.array([[0, 3]]), training=True)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.numpy()[0], layer.layer.embeddings.numpy()[[0, 3]])
        assert abs(np.linalg.norm(layer.kernel.numpy(), 2) - 1) < 1e-2

    def test_zeros_stay_zeros(self):
        layer = L.SpectralNormalization(L.Dense(2, kernel_initializer="zeros"))
        before = layer(normal(2, 3)).numpy() * 0
        np.testing.assert_array_equal(layer(normal(2, 3), training=True).numpy(), before)

    def test_it_is_saved_with_a_model_and_frozen_with_it(self, tmp_path):
        model = tg.models.Sequential([L.Input((3,)), L.SpectralNormalization(L.Dense(2))])
        model.compile("sgd", "mse")
        model.train_on_batch(normal(4, 3), normal(4, 2))
        assert len(model.weights) == 3 and len(model.trainable_weights) == 2
        model.save(tmp_path / "m.safetensors")
        x = normal(4, 3)
        np.testing.assert_array_equal(tg.models.load_model(tmp_path / "m.safetensors")(x).numpy(), model(x).numpy())
        model.trainable = False
        assert not model.trainable_weights
        model.trainable = True
        assert len(model.trainable_weights) == 2

    def test_errors(self):
        with pytest.raises(ValueError, match="neither a kernel nor embeddings"):
            L.SpectralNormalization(L.Flatten())(normal(2, 3))
        with pytest.raises(ValueError, match="power_iterations = 0"):
            L.SpectralNormalization(L.Dense(2), 0)
        with pytest.raises(TypeError, match="expected a layer"):
            L.SpectralNormalization(3)
