"""Optimizer steps on the GPU against the reference: many parameters at once, in place, over several steps; and sums of
squares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_arguments import optimizer_states
from numerics import assert_all_close
from optimizer_cases import STEPS, require_the_references_steps, require_what_is_not_finite_to_stay
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out, shapes

dtypes = st.sampled_from([np.float32, np.float64])
several = st.lists(shapes(), min_size=1, max_size=5)
decays = st.sampled_from([0.0, 0.1])


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=12)
@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS), decay=decays)
def test_steps(cuda, name, shapes, dtype, layout, decay):
    require_the_references_steps(cuda, name, shapes, dtype, layout, decay)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STEPS)
def test_what_is_not_finite_stays_in_its_element(cuda, name, dtype):
    require_what_is_not_finite_to_stay(cuda, name, dtype)


def many(dtype):
    """More parameters than a launch takes, of many sizes: empty, a few, some whole pieces, a piece and one element; and
    some that begin in the middle of 16 bytes."""
    sizes = [0, 1, 13, 4096, 5, 4097, 0, 8192, 9000, 0] + [3 + n for n in range(66)] + [0]
    (parameters, gradients, first, second), _ = optimizer_states([(size + 3,) for size in sizes], dtype, 4)
    cut = [[x[n % 4 : n % 4 + size] for n, (x, size) in enumerate(zip(arrays, sizes, strict=True))] for arrays in
           (parameters, gradients, first, second)]  # fmt: skip
    cut[3] = [np.abs(x) for x in cut[3]]
    return cut


@pytest.mark.parametrize("step", ["adam_step", "lamb_step"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_parameters_than_a_launch_takes(cuda, step, dtype):
    parameters, gradients, first, second = many(dtype)
    p, g, m, v = ([x.astype(np.float64) for x in arrays] for arrays in (parameters, gradients, first, second))
    expected = reference.squared_norm(g)
    assert cuda.squared_norm(gradients) == pytest.approx(expected, rel=1e-13)
    getattr(cuda, step)(parameters, gradients, first, second, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    getattr(reference, step)(p, g, m, v, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    for ours, theirs in ((parameters, p), (first, m), (second, v)):
        assert_all_close(ours, theirs, scale=16)


@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS))
def test_squared_norm(cuda, shapes, dtype, layout):
    (arrays,), _ = optimizer_states(shapes, dtype, 1)
    arrays = [laid_out(array, layout) for array in arrays]
    norm = cuda.squared_norm(arrays)
    assert isinstance(norm, float)
    assert norm == pytest.approx(reference.squared_norm(arrays), rel=1e-12)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_squared_norm_shows_what_is_not_finite(cuda, number):
    arrays = [np.ones(40_000, np.float32), np.array([1.0, number], np.float32)]
    np.testing.assert_equal(cuda.squared_norm(arrays), number)
    assert cuda.squared_norm([np.full(3, 1e30, np.float32)]) == pytest.approx(3e60)  # too large for float32


def test_steps_return_nothing_and_keep_float32(cuda):
    parameter, gradient = np.ones((2, 100), np.float32)
    assert cuda.sgd_step([parameter], [gradient], None, 0.5, 0.0, False, 0.0) is None
    np.testing.assert_array_equal(parameter, np.full(100, 0.5, np.float32))


def test_no_parameters(cuda):
    cuda.sgd_step([], [], None, 0.1, 0.0, False, 0.0)
    cuda.adam_step([], [], [], [], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    cuda.rmsprop_step([], [], [], None, None, 0.1, 0.9, 0.0, 1e-7, 0.0)
    cuda.lamb_step([], [], [], [], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    empty = np.zeros((0, 3))
    cuda.sgd_step([empty], [empty], [empty.copy()], 0.1, 0.9, False, 0.0)
    assert cuda.squared_norm([]) == cuda.squared_norm([empty]) == 0.0


def test_arrays_that_an_address_cannot_stand_for_are_refused(cuda):
    parameter, other = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    with pytest.raises(TypeError, match="not C-contiguous"):
        cuda.sgd_step([parameter[:, ::2]], [other[:, ::2]], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(TypeError, match="not C-contiguous"):
        cuda.sgd_step([parameter], [other], [np.asfortranarray(other)], 0.1, 0.9, False, 0.0)
    with pytest.raises(ValueError, match="float64"):
        cuda.sgd_step([parameter], [other.astype(float)], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        cuda.sgd_step([parameter], [other[:2]], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        cuda.sgd_step([parameter, other], [other], None, 0.1, 0.0, False, 0.0)


def test_the_same_bits_in_every_order(cuda, on_gpu):
    def run():
        parameters, gradients, first, second = many(np.float32)
        cuda.adam_step(parameters, gradients, first, second, 3, 0.01, 0.9, 0.999, 1e-7, 0.1)
        cuda.lamb_step(parameters, gradients, first, second, 3, 0.01, 0.9, 0.999, 1e-7, 0.1)
        return *parameters, np.array([cuda.squared_norm(gradients), cuda.squared_norm(parameters)])

    require_the_same_bits(run, on_gpu)
