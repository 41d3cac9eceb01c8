"""The gated recurrent unit over whole sequences, with the state reset after its product or before it: like the other
cells (see recurrence). Reset before, a step is two products, one after the other, and so two stages."""

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import recurrence as reference
from .copying import contiguous
from .elementwise import apply, formula
from .mathematics import like
from .recurrent_products import VECTORS, get, packed_back, packed_gates, put
from .recurrent_steps import (
    ACTIVATIONS,
    STEPS,
    UNITS,
    add_back,
    each_slope,
    each_state_sum,
    each_sum,
    is_taken,
    multiply_back,
    state_before,
)
from .recurrent_walk import Batch
from .simd import lanes, load, pointer_at, splat

# ---- reset after the product -----------------------------------------------------------------------------------------


@formula
def _unit(n, t, u, sums, place, given):
    """The gates of a vector of units, which take the place of z, and their next state; m_h goes into `inner`."""
    vector, units = place[0], place[2][UNITS]
    h, _, _, _, h0, _, f, g, z, bias, inner = given
    count, at, width = units - u, n * place[2][STEPS] + t, lanes(vector)
    own = pointer_at(z, at * 3 * units + u)
    m_update = load(vector, sums, 0) + get(vector, bias, u, count)
    m_reset = load(vector, sums, width) + get(vector, bias, units + u, count)
    m_candidate = load(vector, sums, 2 * width) + get(vector, bias, 2 * units + u, count)
    update = apply(g, (get(vector, own, 0, count) + m_update,))
    reset = apply(g, (get(vector, own, units, count) + m_reset,))
    candidate = apply(f, (get(vector, own, 2 * units, count) + reset * m_candidate,))
    put(vector, own, 0, update, count)
    put(vector, own, units, reset, count)
    put(vector, own, 2 * units, candidate, count)
    put(vector, inner, at * units + u, m_candidate, count)
    before = state_before(place, h, h0, n, t, u)
    state = update * before + (like(update, 1.0) - update) * candidate
    put(vector, h, at * units + u, state if is_taken(place, n, t) else before, count)


@formula
def _slope(n, t, u, place, given):
    vector, units = place[0], place[2][UNITS]
    dm, _, _, _, _, _, carried, f_slope, g_slope, dh, h, gates, inner, h0, dz = given
    at, taken, zero = n * place[2][STEPS] + t, is_taken(place, n, t), splat(vector, 0)
    count, own, first = units - u, n * units + u, at * 3 * units + u
    total = get(vector, dh, at * units + u, count) + get(vector, carried, own, count)
    update, reset = get(vector, gates, first, count), get(vector, gates, first + units, count)
    candidate, before = get(vector, gates, first + 2 * units, count), state_before(place, h, h0, n, t, u)
    dcandidate = total * (like(update, 1.0) - update) * apply(f_slope, (candidate,))
    dupdate = total * (before - candidate) * apply(g_slope, (update,))
    dreset = dcandidate * get(vector, inner, at * units + u, count) * apply(g_slope, (reset,))
    put(vector, dz, first, dupdate if taken else zero, count)
    put(vector, dm, first, dupdate if taken else zero, count)
    put(vector, dz, first + units, dreset if taken else zero, count)
    put(vector, dm, first + units, dreset if taken else zero, count)
    put(vector, dz, first + 2 * units, dcandidate if taken else zero, count)
    put(vector, dm, first + 2 * units, dcandidate * reset if taken else zero, count)
    put(vector, carried, own, total * update if taken else total, count)


# ---- reset before the product ----------------------------------------------------------------------------------------


@formula
def _gates_of(n, t, u, sums, place, given):
    """Both gates of a vector of units, which take the place of z, and the state that is kept for the candidate."""
    vector, units = place[0], place[2][UNITS]
    h, _, _, _, h0, _, _, _, kept, z, _, g = given
    count, first = units - u, (n * place[2][STEPS] + t) * 3 * units + u
    m_update, m_reset = load(vector, sums, 0), load(vector, sums, lanes(vector))
    reset = apply(g, (get(vector, z, first + units, count) + m_reset,))
    put(vector, z, first, apply(g, (get(vector, z, first, count) + m_update,)), count)
    put(vector, z, first + units, reset, count)
    put(vector, kept, n * units + u, reset * state_before(place, h, h0, n, t, u), count)


@formula
def _candidate(n, t, u, sums, place, given):
    """The candidates of a vector of units, which take the place of z, and the next state."""
    vector, units = place[0], place[2][UNITS]
    h, _, _, _, h0, _, _, _, _, z, f, _ = given
    count, at = units - u, n * place[2][STEPS] + t
    first, before = at * 3 * units + u, state_before(place, h, h0, n, t, u)
    update = get(vector, z, first, count)
    candidate = apply(f, (get(vector, z, first + 2 * units, count) + load(vector, sums, 0),))
    put(vector, z, first + 2 * units, candidate, count)
    state = update * before + (like(update, 1.0) - update) * candidate
    put(vector, h, at * units + u, state if is_taken(place, n, t) else before, count)


@formula
def _reset_before(stage, place, given):
    """Stage 2t: the gates of step t, and what they keep of the state; stage 2t + 1: candidates, and the next state."""
    h, kernels, gates_of, candidate, h0, packed, wide_kernels, of_candidate, kept, _, _, _ = given
    t, units, width = stage // 2, place[2][UNITS], VECTORS * lanes(place[0])
    if stage % 2 == 0:
        each_state_sum(gates_of, t, place, kernels, 2, h, h0, packed, given)
    else:
        each_sum(candidate, t, place, wide_kernels, kept, units, of_candidate, units, width, width, given)


@formula
def _slope_before(n, t, u, place, given):
    """The slopes of the update gate and of the candidate."""
    vector, units = place[0], place[2][UNITS]
    dz, _, _, _, _, _, _, carried, f_slope, g_slope, dh, h, gates, h0 = given
    at, taken, zero = n * place[2][STEPS] + t, is_taken(place, n, t), splat(vector, 0)
    count, own, first = units - u, n * units + u, at * 3 * units + u
    total = get(vector, dh, at * units + u, count) + get(vector, carried, own, count)
    before = state_before(place, h, h0, n, t, u)
    update, candidate = get(vector, gates, first, count), get(vector, gates, first + 2 * units, count)
    dcandidate = total * (like(update, 1.0) - update) * apply(f_slope, (candidate,))
    dupdate = total * (before - candidate) * apply(g_slope, (update,))
    put(vector, dz, first, dupdate if taken else zero, count)
    put(vector, dz, first + 2 * units, dcandidate if taken else zero, count)
    put(vector, carried, own, total * update if taken else total, count)


@formula
def _reset_slope(n, t, u, sums, place, given):
    """From q = dz_h·U_hᵀ: dz_r = g′·q·h_{t−1}, and q·r is added to what comes back to the state."""
    vector, units = place[0], place[2][UNITS]
    dz, _, _, _, _, _, _, carried, _, g_slope, _, h, gates, h0 = given
    count, own, at = units - u, n * units + u, ((n * place[2][STEPS] + t) * 3 + 1) * units + u
    if is_taken(place, n, t):
        q, reset = load(vector, sums, 0), get(vector, gates, at, count)
        put(vector, dz, at, q * state_before(place, h, h0, n, t, u) * apply(g_slope, (reset,)), count)
        put(vector, carried, own, get(vector, carried, own, count) + q * reset, count)
    else:
        put(vector, dz, at, splat(vector, 0), count)


@formula
def _reset_before_backward(stage, place, given):
    """From the last step on: a stage for what comes back through the gates' product in step t + 1, and the slopes of
    step t that depend on nothing else; and one for those that come through the candidate's product. At the end one
    more, for the state before the first step."""
    dz, kernels, slope, add, reset_slope, packed, of_candidate, carried = given[:8]
    units, width = place[2][UNITS], VECTORS * lanes(place[0])
    columns, t = 3 * units, place[2][STEPS] - 1 - stage // 2
    if stage % 2:
        x, step = pointer_at(dz, t * columns + 2 * units), place[2][STEPS] * columns
        each_sum(reset_slope, t, place, kernels, x, step, of_candidate, units, width, width, given)
        return
    if stage > 0:
        multiply_back(t + 1, place, add, kernels, dz, columns, 2 * units, packed, carried)
    if t >= 0:
        each_slope(slope, t, place, given)


# ---- the functions ---------------------------------------------------------------------------------------------------


@twin_of(reference.gru)
def gru(
    z: np.ndarray,
    weight: np.ndarray,
    recurrent_bias: np.ndarray | None,
    h0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
    reset_after: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    units = len(weight)
    h = empty((*z.shape[:2], units), z.dtype)
    inner = empty_like(h) if reset_after else None
    if h.size:
        batch, weight = Batch(h, 3, mask, h0 is not None), contiguous(weight)
        f, g = ACTIVATIONS[activation][0], ACTIVATIONS[recurrent_activation][0]
        if inner is not None:
            bias = np.zeros(3 * units, z.dtype) if recurrent_bias is None else contiguous(recurrent_bias)
            batch.forward(_unit, h, h0, packed_gates(weight, 0, 3), f, g, z, bias, inner)
        else:
            kept = empty((h.shape[0], units), z.dtype)
            cells, of_gates = (_gates_of, _candidate), packed_gates(weight, 0, 2)
            of_candidate = batch.kernels(VECTORS), packed_gates(weight, 2 * units, 1), kept
            arrays = h, batch.kernels(2), *cells, batch.state(h0), of_gates, *of_candidate, z
            batch.run(_reset_before, 2 * h.shape[1], 2, *arrays, f, g)
    return h, inner


@twin_of(reference.gru_gradient)
def gru_gradient(
    dh: np.ndarray,
    h: np.ndarray,
    gates: np.ndarray,
    inner: np.ndarray | None,
    weight: np.ndarray,
    h0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    units, dz = h.shape[2], empty(gates.shape, gates.dtype)
    dm = None if inner is None else empty_like(dz)
    batch, weight = Batch(h, 3, mask, h0 is not None), contiguous(weight)
    carried, slopes = batch.start(None), (ACTIVATIONS[activation][1], ACTIVATIONS[recurrent_activation][1])
    if h.size:
        given = contiguous(dh), contiguous(h), contiguous(gates)
        if inner is not None and dm is not None:
            arrays = *given, contiguous(inner), batch.state(h0), dz
            batch.backward(_slope, dm, packed_back(weight, 0, 3 * units), carried, *slopes, *arrays)
        else:
            cells = _slope_before, add_back, _reset_slope
            packed = packed_back(weight, 0, 2 * units), packed_back(weight, 2 * units, units)
            arrays = dz, batch.kernels(VECTORS), *cells, *packed, carried, *slopes, *given, batch.state(h0)
            batch.run(_reset_before_backward, 2 * h.shape[1] + 1, 2, *arrays)
    return dz, dm, carried
