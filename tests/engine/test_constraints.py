"""Constraints: what they leave of a weight, that every optimizer's step ends with them, and that they are kept."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tomograd as tg
from tomograd import constraints, initializers, layers, regularizers
from tomograd.engine import config, optimizers


def norms(array, axis):
    return np.sqrt(np.sum(np.asarray(array, np.float64) ** 2, axis=axis, keepdims=True))


@given(
    axis=st.sampled_from([0, 1, -1, [0, 1], [0, 2], (0, 1, 2)]),
    limits=st.tuples(st.floats(0.1, 2.0), st.floats(2.0, 9.0)),
    exponent=st.integers(-30, 15),
    seed=st.integers(0, 2**32 - 1),
)
def test_norms_lie_in_what_is_allowed_whatever_the_size_of_the_weights(axis, limits, exponent, seed):
    values = (np.random.default_rng(seed).standard_normal((3, 2, 4)) * 10.0**exponent).astype(np.float32)
    weight = tg.Tensor(values)
    axes = axis if isinstance(axis, int) else tuple(axis)
    before = norms(values, axes)
    low, high = limits
    expected = {
        constraints.MaxNorm(high, axis): np.minimum(before, high),
        constraints.UnitNorm(axis): np.ones_like(before),
        constraints.MinMaxNorm(low, high, 1.0, axis): np.clip(before, low, high),
        constraints.MinMaxNorm(low, high, 0.25, axis): 0.25 * np.clip(before, low, high) + 0.75 * before,
    }
    for constraint, after in expected.items():
        left = constraint(weight).numpy()
        assert left.dtype == np.float32
        np.testing.assert_allclose(left, values * (after / before), rtol=3e-6)


def test_what_is_allowed_is_left_to_the_last_bit():
    values = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    once = constraints.MaxNorm(1.0)(tg.Tensor(values))
    allowed = norms(values, 0)[0] < 1.0
    assert np.array_equal(once.numpy()[:, allowed], values[:, allowed])
    weight = tg.Tensor(values * 0.01)
    for _ in range(100):
        weight = constraints.MinMaxNorm(0.0, 1.0, 0.5)(weight)
    assert np.array_equal(weight.numpy(), values * np.float32(0.01))


@pytest.mark.parametrize("name", ["MaxNorm", "UnitNorm", "MinMaxNorm", "NonNeg"])
def test_zeros_stay_and_nan_does_not_hide(name):
    constraint = constraints.get(name)
    assert np.array_equal(constraint(tg.Tensor(np.zeros((3, 2)))).numpy(), np.zeros((3, 2)))
    left = constraint(tg.Tensor(np.array([[np.nan, 1.0], [2.0, 0.5]]))).numpy()
    assert np.isnan(left[0, 0])
    assert np.isfinite(left[:, 1]).all()


@pytest.mark.parametrize("name", ["max_norm", "non_neg", "unit_norm", "min_max_norm", "constraint"])
def test_names_aliases_and_configurations(name):
    constraint = constraints.get(name)
    again = constraints.get(constraints.serialize(constraint))
    assert type(again) is type(constraint)
    assert again.get_config() == constraint.get_config()
    assert type(constraints.get(type(constraint).__name__)) is type(constraint)
    assert type(constraints.deserialize(constraints.serialize(constraint))) is type(constraint)
    if name != "constraint":
        assert getattr(constraints, name) is type(constraint)


def test_what_get_takes():
    def halve(weight):
        return weight * 0.5

    assert constraints.get(None) is None
    assert constraints.get(halve) is halve
    assert isinstance(constraints.get(constraints.NonNeg), constraints.NonNeg)
    with pytest.raises(ValueError, match="constraint 'max' is not known"):
        constraints.get("max")
    with pytest.raises(TypeError, match="constraint = 3"):
        constraints.get(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constraints.MaxNorm(-1.0), "max_value = -1.0"),
        (lambda: constraints.MaxNorm(float("inf")), "max_value = inf"),
        (lambda: constraints.MinMaxNorm(2.0, 1.0), "min_value = 2.0 is larger"),
        (lambda: constraints.MinMaxNorm(rate=1.5), "rate = 1.5"),
        (lambda: constraints.MinMaxNorm(rate="fast"), "rate = 'fast'"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------------------------- in training

LAYERS = {
    "dense": (layers.Dense, {"units": 3}, ("kernel", "bias"), (4, 5)),
    "conv": (layers.Conv2D, {"filters": 3, "kernel_size": 2}, ("kernel", "bias"), (4, 5, 5, 2)),
    "transpose": (layers.Conv2DTranspose, {"filters": 3, "kernel_size": 2}, ("kernel", "bias"), (4, 3, 3, 2)),
    "depthwise": (layers.DepthwiseConv2D, {"kernel_size": 2}, ("depthwise", "bias"), (4, 5, 5, 2)),
    "batch norm": (layers.BatchNormalization, {}, ("gamma", "beta"), (4, 5)),
    "layer norm": (layers.LayerNormalization, {}, ("gamma", "beta"), (4, 5)),
    "group norm": (layers.GroupNormalization, {"groups": 1}, ("gamma", "beta"), (4, 5)),
    "prelu": (layers.PReLU, {}, ("alpha",), (4, 5)),
}


@pytest.mark.parametrize("which", LAYERS)
def test_each_weight_of_each_layer_is_held_to_its_constraint(which):
    cls, arguments, weights, shape = LAYERS[which]
    rng = np.random.default_rng(3)
    for weight in weights:
        layer = cls(**arguments, **{f"{weight}_constraint": "non_neg", f"{weight}_initializer": "random_normal"})
        x = tg.Tensor(rng.standard_normal(shape))
        attribute = "kernel" if weight == "depthwise" else weight
        for _ in range(3):
            y = layer(x, training=True)
            loss = tg.functional.sum(y * tg.Tensor(rng.standard_normal(y.shape).astype(np.float32)))
            gradients = tg.grad(loss, layer.trainable_weights)
            optimizers.SGD(10.0).apply(gradients, layer.trainable_weights)
            held = getattr(layer, attribute).numpy()
            assert (held >= 0.0).all()
        assert [w.constraint is None for w in layer.trainable_weights] == [w != weight for w in weights]
        written = layer.get_config()
        assert written[f"{weight}_constraint"] == {"class_name": "NonNeg", "config": {}}
        assert isinstance(getattr(cls.from_config(written), f"{weight}_constraint"), constraints.NonNeg)


def test_embeddings_are_held_to_their_constraint():
    layer = layers.Embedding(4, 3, embeddings_constraint=constraints.UnitNorm(axis=1))
    loss = tg.functional.sum(layer(np.array([[0, 2, 2]])) ** 2)
    optimizers.Adam(0.1).apply(tg.grad(loss, layer.trainable_weights), layer.trainable_weights)
    np.testing.assert_allclose(norms(layer.embeddings.numpy(), 1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_a_step_is_the_plain_step_and_then_the_constraint(optimizer):
    rng = np.random.default_rng(1)
    values, gradient = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    limit = constraints.MaxNorm(0.7)
    held, free = tg.Variable(values, constraint=limit), tg.Variable(values)
    one, other = optimizers.get(optimizer), optimizers.get(optimizer)
    for _ in range(3):
        one.apply([gradient], [held])
        other.apply([gradient], [free])
        free.assign(limit(free))
        assert np.array_equal(held.numpy(), free.numpy())


def test_a_constraint_records_no_gradient_and_counts_as_a_change():
    weight = tg.Variable([[3.0, 4.0]], constraint=constraints.UnitNorm(1))
    version = weight.version[0]
    weight.constrain()
    np.testing.assert_allclose(weight.numpy(), [[0.6, 0.8]])
    assert weight.node is None
    assert weight.version[0] > version


def test_a_callable_of_ones_own():
    seen = []

    def clip(weight):
        seen.append(weight.shape)
        return weight.numpy().clip(-0.1, 0.1)

    layer = layers.Dense(3, kernel_constraint=clip)
    model = tg.Sequential([layers.Input((4,)), layer])
    model.compile(optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.random((8, 4)), rng.random((8, 3)), batch_size=4, epochs=1, verbose=0)
    assert seen == [(4, 3), (4, 3)]
    assert np.abs(layer.kernel.numpy()).max() <= np.float32(0.1)
    with pytest.raises(NotImplementedError, match="cannot be written"):
        layer.get_config()


def test_a_callable_that_gives_another_shape_is_an_error():
    weight = tg.Variable(np.ones((2, 3)), constraint=lambda weight: tg.functional.sum(weight, axis=0))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        optimizers.SGD(0.1).apply([np.ones((2, 3))], [weight])


def test_frozen_weights_are_left_as_they_are():
    layer = layers.Dense(2, kernel_constraint=constraints.MaxNorm(0.001))
    model = tg.Sequential([layers.Input((3,)), layer, layers.Dense(1)])
    layer.trainable = False
    model.compile("sgd", "mse")
    before = layer.kernel.numpy().copy()
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert np.array_equal(layer.kernel.numpy(), before)


def test_copies_and_saved_models_keep_them(tmp_path):
    model = tg.Sequential([layers.Input((3,)), layers.Dense(2, kernel_constraint=constraints.MaxNorm(0.5))])
    model.compile(optimizers.SGD(1.0), "mse")
    model.save(tmp_path / "model.safetensors")
    for again in (copy.deepcopy(model), tg.models.load_model(tmp_path / "model.safetensors")):
        again.train_on_batch(np.full((4, 3), 5.0), np.full((4, 2), 9.0))
        assert norms(again.layers[0].kernel.numpy(), 0).max() <= 0.5 * (1 + 1e-6)


def test_classes_of_ones_own_are_loaded_by_name(tmp_path):
    class Clip(constraints.Constraint):
        def __init__(self, limit=1.0):
            self.limit = limit

        def __call__(self, w):
            return tg.functional.clip(w, -self.limit, self.limit)

    class Weighed(regularizers.Regularizer):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, weight):
            return tg.functional.sum(weight**4) * self.factor

    class Halves(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 0.5, dtype)

    layer = layers.Dense(2, kernel_constraint=Clip(0.4), kernel_regularizer=Weighed(0.1), bias_initializer=Halves())
    model = tg.Sequential([layers.Input((3,)), layer])
    model.compile(optimizers.SGD(0.1), "mse")
    model.save(path := tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"'(Halves|Weighed|Clip)' is not known.*models\.register"):
        tg.models.load_model(path)
    own = {"Clip": Clip, "Weighed": Weighed, "Halves": Halves}
    for again in (tg.models.load_model(path, custom_objects=own), _registered_and_loaded(path, own)):
        dense = again.layers[0]
        assert (dense.kernel_constraint.limit, dense.kernel_regularizer.factor) == (0.4, 0.1)
        again.train_on_batch(np.ones((4, 3)), np.full((4, 2), 99.0))
        assert np.abs(dense.kernel.numpy()).max() <= np.float32(0.4)
    with pytest.raises(ValueError, match="'MaxNorm' is known already"):
        tg.models.register(type("MaxNorm", (constraints.Constraint,), {}))
    wrong = {**own, "Clip": Weighed}  # not a constraint
    with pytest.raises(ValueError, match="'Clip' is not known"):
        tg.models.load_model(path, custom_objects=wrong)


def _registered_and_loaded(path, classes):
    try:
        for cls in classes.values():
            assert tg.models.register(cls) is cls
        return tg.models.load_model(path)
    finally:
        for name in classes:
            del config.registered[name]
