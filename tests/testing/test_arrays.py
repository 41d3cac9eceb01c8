"""Arrays to test with: their values, and their layouts."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tomograd.testing.arrays import LAYOUTS, counting_array, extreme_numbers, laid_out, random_array

TYPES = ["float32", "float64", "int64", "bool"]
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(shape=shapes, dtype=st.sampled_from(TYPES), layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 9))
def test_a_layout_keeps_values_shape_and_type_and_is_a_copy(shape, dtype, layout, seed):
    array = random_array(np.random.default_rng(seed), shape, dtype, "integers")
    found = laid_out(array, layout)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(found, array)
    assert not np.may_share_memory(found, array)
    assert found.flags.writeable == (layout != "read-only")


@pytest.mark.parametrize("layout, strides", [
    ("contiguous", (96, 32, 8)),
    ("transposed", (8, 16, 48)),
    ("strided", (768, 128, 16)),
    ("reversed", (-96, -32, -8)),
    ("read-only", (96, 32, 8)),
])  # fmt: skip
@pytest.mark.parametrize("was", LAYOUTS)
def test_layouts_are_what_they_say_from_any_other(layout, strides, was):
    array = laid_out(np.arange(24.0).reshape(2, 3, 4), was)
    assert laid_out(array, layout).strides == strides


def test_between_the_elements_of_a_strided_array_is_nothing_that_passes_for_one():
    strided = laid_out(np.zeros((2, 3)), "strided")
    assert np.isnan(strided.base).sum() == strided.base.size - strided.size
    assert laid_out(np.zeros((2, 3), np.int64), "strided").base.sum() == 24 - 6


def test_wrong_names():
    with pytest.raises(ValueError, match="layout = 'fortran': expected one of"):
        laid_out(np.zeros(3), "fortran")
    with pytest.raises(ValueError, match="values = 'nice'"):
        random_array(np.random.default_rng(0), 3, float, "nice")


def test_values():
    rng = np.random.default_rng(0)
    assert set(random_array(rng, (30, 30), np.float32, "integers").ravel()) == set(range(-4, 5))
    distinct = random_array(rng, (5, 7), np.float32, "distinct")
    assert sorted(distinct.ravel()) == list(range(-17, 18))
    assert random_array(rng, (2, 0), np.float32).shape == (2, 0)


def test_counting():
    np.testing.assert_array_equal(counting_array((2, 2), np.float32), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(counting_array(11, np.float32, "integers"), [1, 2, 3, 4, -4, -3, -2, -1, 0, 1, 2])
    np.testing.assert_array_equal(counting_array(3, np.float64, "distinct"), [0, 1, 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_numbers(dtype):
    limits, numbers = np.finfo(dtype), extreme_numbers(dtype)
    assert {limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, 0.0} <= set(numbers)
    assert np.signbit(numbers).sum() == len(numbers) // 2
    assert np.isfinite(np.array(numbers, dtype)).all() and np.array(numbers, dtype).tolist() == numbers


def run(script):
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd="/")
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.strip()


def test_importing_it_is_light():
    script = (
        "import sys, tomograd.testing; print(sorted(set(sys.modules) & {'numba', 'hypothesis', 'scipy', 'pytest'}))"
    )
    assert run(script) == "[]"


def test_without_hypothesis_the_strategies_say_what_to_install():
    script = """
import sys
sys.modules["hypothesis"] = None
import tomograd.testing
try:
    tomograd.testing.strategies
except ImportError as error:
    print(error)
"""
    assert run(script) == 'tomograd.testing.strategies needs Hypothesis: pip install "tomograd[testing]"'


def test_public_names_are_there_and_documented():
    from tomograd import testing

    for name in testing.__all__:
        assert getattr(testing, name).__doc__, name
        assert name in testing.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018
