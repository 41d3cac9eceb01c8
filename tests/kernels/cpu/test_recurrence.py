"""The CPU's recurrent cells against the reference: sizes around tiles and vectors, masks, states, activations."""

import contextlib
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrent_cells import FUNCTIONS, GATES, Cells, left_out

from tomograd.kernels import RECURRENT_ACTIVATIONS, cpu, reference
from tomograd.kernels.cpu import recurrent_walk, simd
from tomograd.kernels.cpu.launch import threads, using_threads
from tomograd.testing.strategies import LAYOUTS, seeds

TYPES = st.sampled_from([np.float32, np.float64])


def divided(division):
    """Within it, batches are cut into so many groups and shares; None: as ever."""
    if division is None:
        return contextlib.nullcontext()
    groups, shares = division
    return mock.patch.object(recurrent_walk, "division", lambda sequences, *_: (min(groups, sequences), shares))


@given(
    cell=st.sampled_from(list(GATES)),
    shape=st.tuples(st.sampled_from([0, 1, 2, 5, 7, 13, 31]), st.integers(0, 4), st.sampled_from([1, 3, 16, 33, 70])),
    dtype=TYPES,
    layout=st.sampled_from(LAYOUTS),
    masked=st.booleans(),
    starts=st.booleans(),
    division=st.sampled_from([None, None, (3, 1), (1, 2), (2, 3), (1, 9)]),
    seed=seeds,
)
def test_cells_equal_the_reference(cell, shape, dtype, layout, masked, starts, division, seed):
    with divided(division):
        Cells(cpu, shape, dtype, layout=layout, masked=masked, starts=starts, seed=seed).check(cell)


@pytest.mark.parametrize("name", RECURRENT_ACTIVATIONS)
@pytest.mark.parametrize("cell", GATES)
def test_every_activation_in_either_place(cell, name):
    """The same name in both: all functions are compiled, in as few bodies as can be."""
    Cells(cpu, (3, 2, 5), np.float32, seed=3).check(cell, (name, name))


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("shape", [(50, 20, 64), (1, 30, 300)], ids=str)
def test_sizes_that_are_worth_several_threads(cell, shape):
    columns = GATES[cell] * shape[2]
    groups, shares = recurrent_walk.division(*shape, columns, np.dtype(np.float32), threads(), simd.level())
    assert groups * shares > 1 or threads() == 1
    Cells(cpu, shape, np.float32, masked=True, starts=True).check(cell)


def results_of(cell, shape, number, division):
    """All that a cell and its gradient compute, on so many threads, and of a batch that is cut like this."""
    cells, everything = Cells(cpu, shape, np.float32, masked=True, starts=True), []
    compared = cells.both

    def both(name, *arguments):
        results = compared(name, *arguments)
        everything.extend(array.copy() for array in (arguments[0], *results) if array is not None)
        return results

    cells.both = both
    with using_threads(number), divided(division):
        cells.check(cell)
    return everything


@pytest.mark.parametrize("cell", GATES)
def test_results_do_not_depend_on_how_the_batch_is_cut(cell):
    expected = results_of(cell, (13, 12, 80), 1, (1, 1))
    for division in [(2, 1), (1, 2), (2, 2), (1, 5)]:
        for one, other in zip(expected, results_of(cell, (13, 12, 80), threads(), division), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("given", ["h0", "c0"])
def test_one_state_without_the_other(given):
    rng = np.random.default_rng(1)
    z, weight, state = rng.standard_normal((3, 2, 12)), rng.standard_normal((3, 12)), rng.standard_normal((3, 3))
    states = (state, None) if given == "h0" else (None, state)
    zeros = [np.zeros((3, 3)) if each is None else each for each in states]
    for one, other in zip(
        cpu.lstm(z.copy(), weight, *states, None, *FUNCTIONS),
        reference.lstm(z.copy(), weight, *zeros, None, *FUNCTIONS),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("level", ["avx2", "scalar"])
def test_cells_on_narrower_registers(level):
    with simd.using_level(level):
        Cells(cpu, (5, 3, 13), np.float32, masked=True, starts=True).check("lstm")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_far_from_zero_are_exact(dtype):
    """With forget = 1 and i = 0 the cell is carried on to the bit; nothing overflows."""
    z = np.zeros((1, 2, 4 * 3), dtype)
    z[..., :3], z[..., 3:6], z[..., 6:9], z[..., 9:] = -1e30, 1e30, 1e30, 1e30
    c0 = np.array([[0.3, -2.0, 1e30]], dtype)
    h, c = cpu.lstm(z, np.zeros((3, 12), dtype), np.zeros((1, 3), dtype), c0, None, *FUNCTIONS)
    np.testing.assert_array_equal(c, np.stack([c0, c0], 1))
    np.testing.assert_allclose(h, np.tanh(c), rtol=4 * np.finfo(dtype).eps)
    dz, dh0, dc0 = cpu.lstm_gradient(np.ones_like(h), None, z, c, np.zeros((3, 12), dtype), c0, None, *FUNCTIONS)
    assert np.isfinite(dz).all() and not dh0.any() and np.isfinite(dc0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_that_are_left_out_may_hold_anything(dtype):
    result, expected = left_out(cpu, dtype), left_out(reference, dtype)
    assert not result.h[1].any() and not result.c[1].any() and not result.dz[~result.mask].any()
    np.testing.assert_allclose(result.dh0[1], result.dh[1].sum(0), rtol=1e-5)
    for name in ("h", "c", "dz", "dh0", "dc0"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", GATES)
def test_nan_comes_through(cell):
    """From the step on where it is, in its own sequence alone."""
    z = np.zeros((3, 4, GATES[cell] * 5), np.float32)
    z[1, 2] = np.nan
    weight = np.full((5, GATES[cell] * 5), 0.1, np.float32)
    if cell == "simple_rnn":
        h = cpu.simple_rnn(z, weight, None, None, "relu")
    elif cell == "lstm":
        h, _ = cpu.lstm(z, weight, None, None, None, "relu", "hard_sigmoid")
    else:
        h, _ = cpu.gru(z, weight, None, None, None, "relu", "hard_sigmoid", cell == "gru")
    assert np.isnan(h[1, 2:]).all() and np.isfinite(h[[0, 2]]).all() and np.isfinite(h[1, :2]).all()
