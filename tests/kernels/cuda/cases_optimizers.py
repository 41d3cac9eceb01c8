"""Optimizer steps on the GPU against the reference: many parameters at once, in place, over several steps; and sums of
squares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_arguments import optimizer_states
from numerics import assert_all_close
from same_bits import require_the_same_bits

from tomograd.kernels import reference
from tomograd.testing.strategies import LAYOUTS, laid_out, shapes

dtypes = st.sampled_from([np.float32, np.float64])
several = st.lists(shapes(), min_size=1, max_size=5)
decays = st.sampled_from([0.0, 0.1])


@given(
    shapes=several,
    dtype=dtypes,
    layout=st.sampled_from(LAYOUTS),
    kind=st.sampled_from(["plain", "momentum", "nesterov"]),
    decay=decays,
)
def test_sgd(cuda, shapes, dtype, layout, kind, decay):
    (parameters, gradients, velocities), (p, g, v) = optimizer_states(shapes, dtype, 3)
    gradients = [laid_out(gradient, layout) for gradient in gradients]
    if kind == "plain":
        velocities = v = None
    for _ in range(3):
        cuda.sgd_step(parameters, gradients, velocities, 0.1, 0.9, kind == "nesterov", decay)
        reference.sgd_step(p, g, v, 0.1, 0.9, kind == "nesterov", decay)
    assert_all_close(parameters, p, scale=4)
    if velocities is not None:
        assert_all_close(velocities, v, scale=4)


@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS), decay=decays)
def test_adam(cuda, shapes, dtype, layout, decay):
    (parameters, gradients, first, second), (p, g, m, v) = optimizer_states(shapes, dtype, 4)
    for arrays in (second, v):
        for array in arrays:
            array *= array
    gradients = [laid_out(gradient, layout) for gradient in gradients]
    before = [gradient.copy() for gradient in gradients]
    for step in range(1, 4):
        cuda.adam_step(parameters, gradients, first, second, step, 0.01, 0.9, 0.999, 1e-7, decay)
        reference.adam_step(p, g, m, v, step, 0.01, 0.9, 0.999, 1e-7, decay)
    for ours, expected in ((parameters, p), (first, m), (second, v)):
        assert_all_close(ours, expected, scale=16)
    for gradient, as_before in zip(gradients, before, strict=True):
        np.testing.assert_array_equal(gradient, as_before)


@given(
    shapes=several,
    dtype=dtypes,
    layout=st.sampled_from(LAYOUTS),
    momentum=st.sampled_from([None, 0.9]),
    centered=st.booleans(),
    decay=decays,
)
def test_rmsprop(cuda, shapes, dtype, layout, momentum, centered, decay):
    (parameters, gradients), (p, g) = optimizer_states(shapes, dtype, 2)
    gradients = [laid_out(gradient, layout) for gradient in gradients]
    ours, theirs = ([[np.zeros_like(array) for array in arrays] for _ in range(3)] for arrays in (parameters, p))
    for slots in (ours, theirs):
        slots[1] = slots[1] if momentum else None
        slots[2] = slots[2] if centered else None
    for step in range(3):
        factor = 1 + step  # gradients that change: with equal ones the centered variance goes to 0
        cuda.rmsprop_step(parameters, [factor * x for x in gradients], *ours, 0.01, 0.5, momentum or 0.0, 0.5, decay)
        reference.rmsprop_step(p, [factor * x for x in g], *theirs, 0.01, 0.5, momentum or 0.0, 0.5, decay)
    assert_all_close(parameters, p, scale=16)
    for slots, expected in zip(ours, theirs, strict=True):
        assert (slots is None) == (expected is None)
        if slots is not None:
            assert_all_close(slots, expected, scale=16)


def many(dtype):
    """More parameters than a launch takes, of many sizes: empty, a few, some whole pieces, a piece and one element; and
    some that begin in the middle of 16 bytes."""
    sizes = [0, 1, 13, 4096, 5, 4097, 0, 8192, 9000, 0] + [3 + n for n in range(66)] + [0]
    (parameters, gradients, first, second), _ = optimizer_states([(size + 3,) for size in sizes], dtype, 4)
    cut = [[x[n % 4 : n % 4 + size] for n, (x, size) in enumerate(zip(arrays, sizes, strict=True))] for arrays in
           (parameters, gradients, first, second)]  # fmt: skip
    cut[3] = [np.abs(x) for x in cut[3]]
    return cut


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_parameters_than_a_launch_takes(cuda, dtype):
    parameters, gradients, first, second = many(dtype)
    p, g, m, v = ([x.astype(np.float64) for x in arrays] for arrays in (parameters, gradients, first, second))
    expected = reference.squared_norm(g)
    assert cuda.squared_norm(gradients) == pytest.approx(expected, rel=1e-13)
    cuda.adam_step(parameters, gradients, first, second, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    reference.adam_step(p, g, m, v, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    for ours, theirs in ((parameters, p), (first, m), (second, v)):
        assert_all_close(ours, theirs, scale=16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_stays_in_its_element(cuda, dtype):
    values = [np.inf, -np.inf, np.nan, 1e30, 0.0, -0.0, 1.0]
    p, g, m, v = (np.array(values * 2 + [value], dtype) for value in (1, 2, 3, 4))
    g, v = np.roll(g, 3), np.abs(np.roll(v, 5))
    ours, theirs = ([x.copy() for x in (p, m, v)] for _ in range(2))
    with np.errstate(all="ignore"):
        for kernels, (p_, m_, v_) in ((cuda, ours), (reference, theirs)):
            kernels.adam_step([p_], [g], [m_], [v_], 2, 0.01, 0.9, 0.999, 1e-7, 0.1)
            kernels.sgd_step([p_], [g], [m_], 0.01, 0.9, True, 0.1)
            kernels.rmsprop_step([p_], [g], [v_], [m_], None, 0.01, 0.9, 0.9, 1e-7, 0.0)
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, its, rtol=16 * np.finfo(dtype).eps)


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
        return *parameters, np.array([cuda.squared_norm(gradients), cuda.squared_norm(parameters)])

    require_the_same_bits(run, on_gpu)
