"""Optimizer steps on the CPU against the reference: many parameters at once, in place, over several steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_arguments import optimizer_states
from numerics import assert_all_close
from optimizer_cases import (
    STEPS,
    require_norms_to_be_limited,
    require_the_references_steps,
    require_what_is_not_finite_to_stay,
)

from tomograd.kernels import cpu, reference
from tomograd.kernels.cpu import optimizers
from tomograd.kernels.cpu.launch import using_threads
from tomograd.testing.strategies import LAYOUTS, laid_out, shapes

dtypes = st.sampled_from([np.float32, np.float64])
several = st.lists(shapes(), min_size=1, max_size=5)
decays = st.sampled_from([0.0, 0.1])


@pytest.mark.parametrize("name", STEPS)
@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS), decay=decays)
def test_steps(name, shapes, dtype, layout, decay):
    require_the_references_steps(cpu, name, shapes, dtype, layout, decay)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", STEPS)
def test_what_is_not_finite_stays_in_its_element(name, dtype):
    require_what_is_not_finite_to_stay(cpu, name, dtype)


@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS))
def test_squared_norm(shapes, dtype, layout):
    (arrays,), _ = optimizer_states(shapes, dtype, 1)
    arrays = [laid_out(array, layout) for array in arrays]
    expected = reference.squared_norm(arrays)
    assert cpu.squared_norm(arrays) == pytest.approx(expected, rel=1e-12)
    assert reference.squared_norm([]) == cpu.squared_norm([]) == 0.0


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_squared_norm_shows_what_is_not_finite(number):
    arrays = [np.ones(40_000, np.float32), np.array([1.0, number], np.float32)]
    for kernels in (cpu, reference):
        np.testing.assert_equal(kernels.squared_norm(arrays), number)
    assert cpu.squared_norm([np.full(3, 1e30, np.float32)]) == pytest.approx(3e60)  # too large for float32


@given(shapes=several, dtype=dtypes, layout=st.sampled_from(LAYOUTS), largest=st.floats(0.1, 4.0))
def test_limit_norm(shapes, dtype, layout, largest):
    require_norms_to_be_limited(cpu, shapes, dtype, layout, largest)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
def test_what_a_blend_does_not_keep_may_be_nan(kernels):
    targets, sources = [np.full(3, np.nan)], [np.array([1.0, -0.0, np.inf])]
    kernels.blend(targets, sources, 0.0, 1.0)
    np.testing.assert_array_equal(targets, sources)
    assert np.signbit(targets[0][1])


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
def test_lamb_steps_by_the_rate_where_there_is_no_length_to_keep_to(kernels):
    """The ratio of norms is 1 where one of them is 0: parameters that are 0 move, those without a gradient stay."""
    zeros, ones = np.zeros(2), np.ones(2)
    for p, g, expected in [(zeros, [3.0, -4.0], [-0.1, 0.1]), (ones, [0.0, 0.0], ones), (zeros, [0.0, 0.0], zeros)]:
        parameter = p.copy()
        kernels.lamb_step([parameter], [np.array(g)], [np.zeros(2)], [np.zeros(2)], 1, 0.1, 0.9, 0.999, 1e-12, 0.0)
        np.testing.assert_allclose(parameter, expected, rtol=1e-9)


@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
def test_lion_stays_where_it_has_no_direction(kernels):
    parameter, momentum = np.array([2.0, 2.0, 2.0]), np.array([0.0, 0.5, -9.0])
    kernels.lion_step([parameter], [np.array([0.0, -0.5, 0.0])], [momentum], 0.25, 0.5, 0.75, 0.0)
    np.testing.assert_array_equal(parameter, [2.0, 2.0, 2.25])


@pytest.mark.parametrize("step", ["adam_step", "lamb_step"])
def test_parts_begin_and_end_within_arrays(monkeypatch, step):
    """Many parts over arrays of all sizes, as for threads: each element is updated once."""
    monkeypatch.setattr(optimizers, "GRAIN", 1)
    monkeypatch.setattr(optimizers, "PIECE", 64)
    sizes = [0, 1, 13, 0, 5, 64, 0, 300, 0]
    (parameters, gradients, first, second), (p, g, m, v) = optimizer_states([(size,) for size in sizes], np.float64, 4)
    second, v = [np.abs(x) for x in second], [np.abs(x) for x in v]
    getattr(cpu, step)(parameters, gradients, first, second, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    getattr(reference, step)(p, g, m, v, 1, 0.01, 0.9, 0.999, 1e-7, 0.1)
    assert_all_close(parameters, p, scale=16)
    several_parts = cpu.squared_norm(parameters)
    with using_threads(1):
        assert cpu.squared_norm(parameters) == pytest.approx(several_parts, rel=1e-14)


def test_norms_are_shared_by_as_many_threads_as_they_are_worth(monkeypatch):
    run, parts, grain = optimizers.run, [], optimizers.GRAIN

    def note(body, items, *arguments):
        parts.append(items)
        run(body, items, *arguments)

    monkeypatch.setattr(optimizers, "run", note)
    monkeypatch.setattr(optimizers, "threads", lambda: 4)
    for size in (1, 2 * grain - 1, 2 * grain, 5 * grain):
        assert cpu.squared_norm([np.ones(size, np.float32)]) == size
    assert parts == [1, 1, 2, 4]


def test_steps_return_nothing_and_keep_float32():
    parameter, gradient = np.ones((2, 100), np.float32)
    assert cpu.sgd_step([parameter], [gradient], None, 0.5, 0.0, False, 0.0) is None
    np.testing.assert_array_equal(parameter, np.full(100, 0.5, np.float32))


def test_no_parameters():
    cpu.sgd_step([], [], None, 0.1, 0.0, False, 0.0)
    cpu.adam_step([], [], [], [], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    cpu.rmsprop_step([], [], [], None, None, 0.1, 0.9, 0.0, 1e-7, 0.0)
    cpu.lamb_step([], [], [], [], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)
    empty = np.zeros((0, 3))
    cpu.lamb_step([empty], [empty], [empty.copy()], [empty.copy()], 1, 0.1, 0.9, 0.999, 1e-7, 0.0)


def test_lamb_adds_up_the_same_with_any_number_of_threads():
    def step():
        (parameters, gradients, first, second), _ = optimizer_states([(50_000,), (3,), (20_001,)], np.float32, 4)
        second = [np.abs(x) for x in second]
        cpu.lamb_step(parameters, gradients, first, second, 2, 0.01, 0.9, 0.999, 1e-7, 0.1)
        return parameters

    several_threads = step()
    with using_threads(1):
        for one, other in zip(step(), several_threads, strict=True):
            np.testing.assert_array_equal(one, other)


def test_arrays_that_an_address_cannot_stand_for_are_refused():
    parameter, other = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    with pytest.raises(TypeError, match="not C-contiguous"):
        cpu.sgd_step([parameter[:, ::2]], [other[:, ::2]], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(TypeError, match="not C-contiguous"):
        cpu.sgd_step([parameter], [other], [np.asfortranarray(other)], 0.1, 0.9, False, 0.0)
    with pytest.raises(ValueError, match="float64"):
        cpu.sgd_step([parameter], [other.astype(float)], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        cpu.sgd_step([parameter], [other[:2]], None, 0.1, 0.0, False, 0.0)
    with pytest.raises(ValueError, match="argument 2 is longer"):
        cpu.sgd_step([parameter, other], [other], None, 0.1, 0.0, False, 0.0)
