"""Optimizer steps on the GPU against the reference: many parameters at once, in place, over several steps; and sums of
squares, norms that are limited; and the steps that a CUDA graph repeats."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_arguments import optimizer_states
from numerics import assert_all_close
from optimizer_cases import (
    STEPS,
    require_norms_to_be_limited,
    require_the_references_steps,
    require_what_is_not_finite_to_stay,
)
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.kernels.repeated import DifferentStepError, Numbers, captured_with, renewed
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
    assert (norm.shape, norm.dtype) == ((), np.float64)
    assert norm == pytest.approx(reference.squared_norm(arrays), rel=1e-12)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_squared_norm_shows_what_is_not_finite(cuda, number):
    arrays = [np.ones(40_000, np.float32), np.array([1.0, number], np.float32)]
    np.testing.assert_equal(cuda.squared_norm(arrays), number)
    assert cuda.squared_norm([np.full(3, 1e30, np.float32)]) == pytest.approx(3e60)  # too large for float32


@settings(max_examples=12)
@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS), largest=st.floats(0.1, 4.0))
def test_limit_norm(cuda, shapes, dtype, layout, largest):
    require_norms_to_be_limited(cuda, shapes, dtype, layout, largest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_of_more_arrays_than_a_launch_takes_are_limited(cuda, dtype):
    arrays = many(dtype)[1]
    squared = cuda.squared_norm(arrays)
    for mine, its in zip(
        cuda.limit_norm(arrays, squared, 0.7), reference.limit_norm(arrays, squared, 0.7), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


@pytest.fixture
def there(on_gpu):
    """What takes numbers to where the kernels read them."""
    if on_gpu:
        import cupy

        return cupy.asarray
    return np.asarray


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("loss", [1.0, np.nan, -np.inf])
def test_a_step_of_a_graph_reads_its_numbers_and_the_loss(cuda, there, name, dtype, loss):
    """Launched for step 1 with the numbers of step 2 in memory: the same bits as step 2; or nothing at all."""
    step = STEPS[name]
    ours, _ = step.lists([(13,), (5000,), (0,)], dtype)
    theirs, tried, before = ([arrays and [x.copy() for x in arrays] for arrays in ours] for _ in range(3))
    numbers = Numbers(there(np.full(16, np.nan)), there(np.array(np.nan)))
    with captured_with(numbers):
        step(cuda, tried, 1, 0.1)
    with renewed(numbers):
        step(cuda, tried, 2, 0.1)
    require_equal(tried, before)
    with captured_with(Numbers(there(numbers.values), there(np.array(loss)))):
        step(cuda, ours, 1, 0.1)
    step(cuda, theirs, 2, 0.1)
    require_equal(ours, theirs if np.isfinite(loss) else before)


def require_equal(ours, theirs):
    for mine, its in zip(ours, theirs, strict=True):
        for x, y in zip(mine or [], its or [], strict=True):
            np.testing.assert_array_equal(x, y)


def test_only_the_steps_that_were_captured_have_new_numbers(cuda, there):
    parameter, gradient, velocity = np.ones((3, 100))
    numbers = Numbers(there(np.zeros(5)), there(np.array(np.nan)))

    def step(nesterov=True, times=1):
        for _ in range(times):
            cuda.sgd_step([parameter], [gradient], [velocity], 0.5, 0.25, nesterov, 0.0)

    with captured_with(numbers):
        step()
        with pytest.raises(RuntimeError, match="more than 5 numbers"):
            step()
    for other in ((False, 1), (True, 2), (True, 0)):
        with pytest.raises(DifferentStepError, match="another one"), renewed(numbers):
            step(*other)
    with renewed(numbers):
        step()
    assert numbers.values.tolist() == [0.5, 0.25, 0, 0, 0]


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
