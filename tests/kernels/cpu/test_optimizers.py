"""Optimizer steps on the CPU against the reference, in place, over several steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import assert_close
from strategies import LAYOUTS, laid_out, shapes

from tomograd.kernels import cpu, reference

dtypes = st.sampled_from([np.float32, np.float64])


def states(shape, dtype, number):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for _ in range(number)]
    return arrays, [a.astype(np.float64) for a in arrays]


@given(
    shape=shapes(),
    dtype=dtypes,
    layout=st.sampled_from(LAYOUTS),
    kind=st.sampled_from(["plain", "momentum", "nesterov"]),
    decay=st.sampled_from([0.0, 0.1]),
)
def test_sgd(shape, dtype, layout, kind, decay):
    (parameter, gradient, velocity), (p, g, v) = states(shape, dtype, 3)
    gradient = laid_out(gradient, layout)
    if kind == "plain":
        velocity = v = None
    for _ in range(3):
        cpu.sgd_step(parameter, gradient, velocity, 0.1, 0.9, kind == "nesterov", decay)
        reference.sgd_step(p, g, v, 0.1, 0.9, kind == "nesterov", decay)
    assert_close(parameter, p, scale=4)
    if velocity is not None:
        assert_close(velocity, v, scale=4)


@given(shape=shapes(), dtype=dtypes, layout=st.sampled_from(LAYOUTS), decay=st.sampled_from([0.0, 0.1]))
def test_adam(shape, dtype, layout, decay):
    (parameter, gradient, first, second), (p, g, m, v) = states(shape, dtype, 4)
    second *= second
    v *= v
    gradient = laid_out(gradient, layout)
    before = gradient.copy()
    for step in range(1, 4):
        cpu.adam_step(parameter, gradient, first, second, step, 0.01, 0.9, 0.999, 1e-7, decay)
        reference.adam_step(p, g, m, v, step, 0.01, 0.9, 0.999, 1e-7, decay)
    for ours, expected in ((parameter, p), (first, m), (second, v)):
        assert_close(ours, expected, scale=16)
    np.testing.assert_array_equal(gradient, before)


def test_steps_return_nothing_and_keep_float32():
    parameter, gradient = np.ones((2, 100), np.float32)
    assert cpu.sgd_step(parameter, gradient, None, 0.5, 0.0, False, 0.0) is None
    np.testing.assert_array_equal(parameter, np.full(100, 0.5, np.float32))


def test_a_parameter_that_is_not_contiguous_is_refused():
    parameter = np.ones((4, 4), np.float32)[:, ::2]
    with pytest.raises(TypeError, match="C-contiguous"):
        cpu.sgd_step(parameter, parameter, None, 0.1, 0.0, False, 0.0)
