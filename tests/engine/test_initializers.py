"""Initializers: fans, bounds and variances by formula, seeds, strings and configurations."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd import engine
from tomograd.engine import config, initializers
from tomograd.engine.initializers import compute_fans

CLASSES = initializers._CLASSES
SCALED = {  # variance · n, and the fan n
    "glorot_uniform": (1.0, "avg"),
    "glorot_normal": (1.0, "avg"),
    "he_uniform": (2.0, "in"),
    "he_normal": (2.0, "in"),
    "lecun_uniform": (1.0, "in"),
    "lecun_normal": (1.0, "in"),
}


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 5), (3, 5)),
        ((4, 3, 5), (12, 20)),
        ((3, 3, 16, 32), (144, 288)),
        ((2, 3, 5, 1, 4), (30, 120)),
    ],
)
def test_fans(shape, fans):
    assert compute_fans(shape) == fans


@pytest.mark.parametrize("name", SCALED)
def test_variance_and_bounds(name):
    engine.random.seed(1)
    shape = (3, 3, 40, 60)
    values = initializers.get(name)(shape, "float64")
    gain, mode = SCALED[name]
    fan_in, fan_out = 360, 540
    variance = gain / (fan_in if mode == "in" else (fan_in + fan_out) / 2)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    # A uniform distribution ends at √3 standard deviations, the truncated normal at 2 of the untruncated one's.
    bound = math.sqrt(3 * variance) if "uniform" in name else 2 * math.sqrt(variance) / 0.87962566103423978
    assert 0.99 * bound < np.abs(values).max() <= bound


def test_the_truncated_normal_has_the_standard_deviation_that_the_correction_divides_by():
    draws = initializers.TruncatedNormal(0.0, 1.0, seed=0)((400_000,), "float64")
    assert np.abs(draws).max() <= 2.0
    assert draws.std() == pytest.approx(initializers.TRUNCATED_STANDARD_DEVIATION, rel=0.005)


def test_constants():
    assert initializers.get("zeros")((2, 3)).tolist() == [[0, 0, 0]] * 2
    assert initializers.get("ones")((2,)).dtype == np.float32
    assert initializers.Constant(2.5)((2, 1), "float64").tolist() == [[2.5], [2.5]]
    assert initializers.Constant([1, 2])((2, 2)).tolist() == [[1, 2], [1, 2]]
    with pytest.raises(ValueError, match=r"\(3,\) does not broadcast to a weight of shape \(2,\)"):
        initializers.Constant([1, 2, 3])((2,))
    assert initializers.Identity(2.0)((2, 3)).tolist() == [[2, 0, 0], [0, 2, 0]]
    with pytest.raises(ValueError, match="two dimensions"):
        initializers.Identity()((2, 2, 2))


def test_normal_and_uniform():
    normal = initializers.RandomNormal(1.0, 0.5, seed=0)((100_000,), "float64")
    assert (normal.mean(), normal.std()) == (pytest.approx(1.0, abs=0.01), pytest.approx(0.5, abs=0.01))
    uniform = initializers.RandomUniform(-1.0, 3.0, seed=0)((100_000,), "float64")
    assert uniform.min() >= -1.0
    assert uniform.max() < 3.0
    assert uniform.mean() == pytest.approx(1.0, abs=0.02)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 100))
def test_orthogonal_rows_or_columns(shape, seed):
    matrix = initializers.Orthogonal(gain=3.0, seed=seed)(shape, "float64").reshape(-1, shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, 9.0 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_needs_two_dimensions():
    with pytest.raises(ValueError, match="at least two"):
        initializers.Orthogonal()((3,))


@pytest.mark.parametrize("name", [*SCALED, "random_normal", "random_uniform", "truncated_normal", "orthogonal"])
def test_seeds(name):
    made = initializers.get(name)
    engine.random.seed(5)
    first, second = made((4, 4)), made((4, 4))
    assert (first != second).any(), "without a seed every call draws anew"
    engine.random.seed(5)
    np.testing.assert_array_equal(made((4, 4)), first)
    seeded = type(made)(seed=3)
    np.testing.assert_array_equal(seeded((4, 4)), seeded((4, 4)))
    assert seeded((4, 4)).dtype == np.float32


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(ValueError, match="seed"):
        initializers.HeNormal(seed=seed)


@pytest.mark.parametrize("cls", CLASSES)
def test_configurations(cls):
    made = cls()
    written = json.loads(json.dumps(config.serialize(made)))
    again = initializers.get(written)
    assert type(again) is cls
    assert config.serialize(again) == written
    assert type(initializers.get(cls.__name__)) is cls
    assert type(initializers.get(cls)) is cls


def test_every_class_is_found_under_its_snake_case_name():
    assert type(initializers.get("glorot_uniform")) is initializers.GlorotUniform
    assert type(initializers.get("variance_scaling")) is initializers.VarianceScaling
    assert len(CLASSES) == 15
    assert initializers.he_normal(seed=1).seed == 1


def test_a_function_is_an_initializer():
    def halves(shape, dtype=None):
        return np.full(shape, 0.5, dtype)

    assert initializers.get(halves) is halves


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"scale": 0.0}, "scale"),
        ({"mode": "fan_sum"}, "mode"),
        ({"distribution": "cauchy"}, "distribution"),
    ],
)
def test_variance_scaling_refuses(arguments, error):
    with pytest.raises(ValueError, match=error):
        initializers.VarianceScaling(**arguments)


def test_what_is_none_is_refused():
    with pytest.raises(ValueError, match=r"initializer .xavier. is not known; known are: .*glorot_uniform"):
        initializers.get("xavier")
    with pytest.raises(TypeError, match="initializer = 3"):
        initializers.get(3)
    with pytest.raises(ValueError, match="stddev"):
        initializers.RandomNormal(stddev=-1.0)
    with pytest.raises(ValueError, match="minval"):
        initializers.RandomUniform(1.0, 0.0)


# ------------------------------------------------------------------------------------------- further names, and axes


def test_axes_of_inputs_and_outputs():
    assert compute_fans((2, 3, 5, 7), [0, 1], [-1]) == (6, 7)
    assert compute_fans((2, 3), (1,), (0,)) == (3, 2)
    with pytest.raises(ValueError, match=r"axis 2 of input_axes or output_axes: a weight of shape \(2, 3\)"):
        compute_fans((2, 3), [2], [0])
    with pytest.raises(ValueError, match="give both or none"):
        initializers.HeNormal(input_axes=[0])


@pytest.mark.parametrize("name", SCALED)
def test_the_variance_goes_by_the_axes_that_are_given(name):
    shape, axes = (40, 30, 3, 20), {"input_axes": [0, 2], "output_axes": [1, 3]}
    made = type(initializers.get(name))(seed=3, **axes)
    gain, mode = SCALED[name]
    variance = gain / (120 if mode == "in" else (120 + 600) / 2)
    assert made(shape, "float64").var() == pytest.approx(variance, rel=0.03)
    again = initializers.deserialize(json.loads(json.dumps(initializers.serialize(made))))
    np.testing.assert_array_equal(again(shape), made(shape))
    np.testing.assert_array_equal(made.clone()(shape), made(shape))


@given(
    distribution=st.sampled_from(["truncated_normal", "untruncated_normal", "uniform", "normal"]),
    mode=st.sampled_from(["fan_in", "fan_out", "fan_avg"]),
    scale=st.floats(0.1, 10.0),
    seed=st.integers(0, 1000),
)
def test_variance_scaling_by_its_moments(distribution, mode, scale, seed):
    fan = {"fan_in": 100, "fan_out": 300, "fan_avg": 200}[mode]
    values = initializers.VarianceScaling(scale, mode, distribution, seed)((100, 300), "float64")
    variance = scale / fan
    assert values.var() == pytest.approx(variance, rel=0.06)
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    # kurtosis: 1.8 of a uniform distribution, 3 of a normal one, 2.37 of one that is cut off at two deviations
    kurtosis = ((values / values.std()) ** 4).mean()
    expected = {"uniform": 1.8, "untruncated_normal": 3.0}.get(distribution, 2.367)
    assert kurtosis == pytest.approx(expected, rel=0.06)


def test_second_names():
    assert initializers.IdentityInitializer is initializers.Identity
    assert initializers.OrthogonalInitializer is initializers.Orthogonal
    assert type(initializers.get("OrthogonalInitializer")) is initializers.Orthogonal
    assert type(initializers.get("IdentityInitializer")) is initializers.Identity
    with pytest.raises(ValueError, match="'stft' is not known"):
        initializers.get("stft")
