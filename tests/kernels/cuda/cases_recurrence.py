"""Recurrent cells on the GPU against the reference in double precision: groups of sequences that are not full, units
that are no whole warp, chunks, masks, states, activations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent_cells import FUNCTIONS, GATES, Cells, left_out
from same_bits import require_the_same_bits

from tomograd.kernels import RECURRENT_ACTIVATIONS, reference
from tomograd.kernels.cuda import recurrence
from tomograd.testing.strategies import LAYOUTS, seeds


@given(
    cell=st.sampled_from(list(GATES)),
    shape=st.tuples(st.sampled_from([0, 1, 3, 4, 5, 9]), st.integers(0, 3), st.sampled_from([1, 3, 31, 33])),
    dtype=st.sampled_from([np.float32, np.float64]),
    layout=st.sampled_from(LAYOUTS),
    masked=st.booleans(),
    starts=st.booleans(),
    seed=seeds,
)
@settings(max_examples=30)
def test_cells_equal_the_reference(cuda, cell, shape, dtype, layout, masked, starts, seed):
    Cells(cuda, shape, dtype, layout=layout, masked=masked, starts=starts, seed=seed).check(cell)


@pytest.mark.parametrize("name", RECURRENT_ACTIVATIONS)
def test_every_activation_in_either_place(cuda, name):
    for cell, functions in [("lstm", (name, "sigmoid")), ("gru", ("tanh", name)), ("simple_rnn", (name, ""))]:
        Cells(cuda, (2, 2, 5), np.float32, seed=3).check(cell, functions)


@pytest.mark.parametrize("cell", GATES)
def test_more_units_than_threads_and_chunks(cuda, cell):
    units = recurrence.MOST_THREADS + 3
    assert units > 2 * recurrence.CHUNK
    Cells(cuda, (2, 2, units), np.float32, masked=True, starts=True).check(cell)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_that_are_left_out_may_hold_anything(cuda, dtype):
    result, expected = left_out(cuda, dtype), left_out(reference, dtype)
    assert not result.h[1].any() and not result.c[1].any() and not result.dz[~result.mask].any()
    for name in ("h", "c", "dz", "dh0", "dc0"):
        np.testing.assert_allclose(getattr(result, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("after", [True, False])
def test_the_same_bits_every_time(cuda, on_gpu, after):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((9, 3, 3 * 35)).astype(np.float32), rng.standard_normal((35, 105)) / 6
    weight, dh = weight.astype(np.float32), rng.standard_normal((9, 3, 35)).astype(np.float32)

    def run():
        z = x.copy()
        h, inner = cuda.gru(z, weight, None, None, None, *FUNCTIONS, after)
        results = cuda.gru_gradient(dh, h, z, inner, weight, None, None, *FUNCTIONS)
        return h, z, *[array for array in results if array is not None]

    require_the_same_bits(run, on_gpu)
