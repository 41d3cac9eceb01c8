"""The simple recurrent cell and LSTM over whole sequences. (GRU: gated_recurrence.)

A step is a product, gates · H² multiply-adds for each sequence, and some 30 operations for each gate of each unit.
Two things bound it from below:

- multiply-adds: a core does 2 · lanes in a cycle, so 2 · N · T · gates · H² flops at the peak;
- the weights, gates · H² numbers, which every group of sequences reads anew in every step, from the second-level cache
  as a rule: a cache line in a cycle or two. A tile of 6 rows uses each of them for six multiply-adds, so that this is
  below the first bound from four sequences on; a batch of one is bound by it.

So a tile's columns are the gates of the same units: its sums go through the first-level cache into the gates' functions
and on to the states, and nothing but gates and states is written. Backwards, the slopes of the gates come first, then a
product with the transposed weights, whose sums are added to what else comes back to the state before. How several
threads take part in it: recurrent_walk.
"""

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import recurrence as reference
from .bodies import helper
from .copying import contiguous
from .elementwise import apply, formula
from .recurrent_products import get, packed_back, packed_gates, put
from .recurrent_steps import ACTIVATIONS, STEPS, UNITS, is_taken, state_before
from .recurrent_walk import Batch
from .simd import lanes, load, pointer_at, splat

# ---- the simple cell -------------------------------------------------------------------------------------------------


@formula
def _simple_unit(n, t, u, sums, place, given):
    vector, units = place[0], place[2][UNITS]
    h, _, _, _, h0, _, f, z = given
    count, at = units - u, (n * place[2][STEPS] + t) * units + u
    if is_taken(place, n, t):
        put(vector, h, at, apply(f, (get(vector, z, at, count) + load(vector, sums, 0),)), count)
    else:
        put(vector, h, at, state_before(place, h, h0, n, t, u), count)


@twin_of(reference.simple_rnn)
def simple_rnn(
    z: np.ndarray, weight: np.ndarray, h0: np.ndarray | None, mask: np.ndarray | None, activation: str
) -> np.ndarray:
    h = empty(z.shape, z.dtype)
    if h.size:
        batch = Batch(h, 1, mask, h0 is not None)
        packed = packed_gates(contiguous(weight), 0, 1)
        batch.forward(_simple_unit, h, h0, packed, ACTIVATIONS[activation][0], contiguous(z))
    return h


@formula
def _simple_slope(n, t, u, place, given):
    vector, units = place[0], place[2][UNITS]
    dz, _, _, _, _, _, carried, slope, dh, h = given
    count, own, at = units - u, n * units + u, (n * place[2][STEPS] + t) * units + u
    taken, zero = is_taken(place, n, t), splat(vector, 0)
    total = get(vector, dh, at, count) + get(vector, carried, own, count)
    ds = total * apply(slope, (get(vector, h, at, count),))
    put(vector, dz, at, ds if taken else zero, count)
    put(vector, carried, own, zero if taken else total, count)


@twin_of(reference.simple_rnn_gradient)
def simple_rnn_gradient(
    dh: np.ndarray, h: np.ndarray, weight: np.ndarray, mask: np.ndarray | None, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    batch, dz = Batch(h, 1, mask, False), empty(h.shape, h.dtype)
    carried = batch.start(None)
    if h.size:
        packed = packed_back(contiguous(weight), 0, h.shape[2])
        given = ACTIVATIONS[activation][1], contiguous(dh), contiguous(h)
        batch.backward(_simple_slope, dz, packed, carried, *given)
    return dz, carried


# ---- LSTM ------------------------------------------------------------------------------------------------------------


@formula
def _lstm_unit(n, t, u, sums, place, given):
    """The gates of a vector of units, which take the place of z, and their next states, c and h."""
    vector, units = place[0], place[2][UNITS]
    h, _, _, _, h0, _, f, g, z, c, c0 = given
    count, at, width = units - u, n * place[2][STEPS] + t, lanes(vector)
    own = pointer_at(z, at * 4 * units + u)
    i = apply(g, (get(vector, own, 0, count) + load(vector, sums, 0),))
    forget = apply(g, (get(vector, own, units, count) + load(vector, sums, width),))
    candidate = apply(f, (get(vector, own, 2 * units, count) + load(vector, sums, 2 * width),))
    o = apply(g, (get(vector, own, 3 * units, count) + load(vector, sums, 3 * width),))
    put(vector, own, 0, i, count)
    put(vector, own, units, forget, count)
    put(vector, own, 2 * units, candidate, count)
    put(vector, own, 3 * units, o, count)
    before = state_before(place, c, c0, n, t, u)
    cell = forget * before + i * candidate
    state = o * apply(f, (cell,))
    if not is_taken(place, n, t):
        cell, state = before, state_before(place, h, h0, n, t, u)
    put(vector, c, at * units + u, cell, count)
    put(vector, h, at * units + u, state, count)


@twin_of(reference.lstm)
def lstm(
    z: np.ndarray,
    weight: np.ndarray,
    h0: np.ndarray | None,
    c0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray]:
    h = empty((*z.shape[:2], len(weight)), z.dtype)
    c = empty_like(h)
    if h.size:
        batch = Batch(h, 4, mask, h0 is not None or c0 is not None)
        functions = ACTIVATIONS[activation][0], ACTIVATIONS[recurrent_activation][0]
        batch.forward(_lstm_unit, h, h0, packed_gates(contiguous(weight), 0, 4), *functions, z, c, batch.state(c0))
    return h, c


@helper
def _of_gates(vector, f, f_slope, g_slope, gates, units, count, cell, before, dstate, dcell):
    """ds of a vector of units in all four gates, and what c_{t−1} gets."""
    i, forget = get(vector, gates, 0, count), get(vector, gates, units, count)
    candidate, o = get(vector, gates, 2 * units, count), get(vector, gates, 3 * units, count)
    of_cell = apply(f, (cell,))
    dcell = dcell + dstate * o * apply(f_slope, (of_cell,))
    return (
        dcell * candidate * apply(g_slope, (i,)),
        dcell * before * apply(g_slope, (forget,)),
        dcell * i * apply(f_slope, (candidate,)),
        dstate * of_cell * apply(g_slope, (o,)),
        dcell * forget,
    )


@formula
def _lstm_slope(n, t, u, place, given):
    vector, units, zero = place[0], place[2][UNITS], splat(place[0], 0)
    dz, _, _, _, _, _, dstates, f, f_slope, g_slope, dh, gates, c, c0, dcells = given
    count, own, at = units - u, n * units + u, n * place[2][STEPS] + t
    dstate = get(vector, dh, at * units + u, count) + get(vector, dstates, own, count)
    target = pointer_at(dz, at * 4 * units + u)
    if is_taken(place, n, t):
        d = _of_gates(
            *(vector, f, f_slope, g_slope, pointer_at(gates, at * 4 * units + u), units, count),
            *(get(vector, c, at * units + u, count), state_before(place, c, c0, n, t, u)),
            *(dstate, get(vector, dcells, own, count)),
        )
        put(vector, target, 0, d[0], count)
        put(vector, target, units, d[1], count)
        put(vector, target, 2 * units, d[2], count)
        put(vector, target, 3 * units, d[3], count)
        put(vector, dcells, own, d[4], count)
        put(vector, dstates, own, zero, count)
    else:
        for gate in range(4):
            put(vector, target, gate * units, zero, count)
        put(vector, dstates, own, dstate, count)


@twin_of(reference.lstm_gradient)
def lstm_gradient(
    dh: np.ndarray,
    dc: np.ndarray | None,
    gates: np.ndarray,
    c: np.ndarray,
    weight: np.ndarray,
    c0: np.ndarray | None,
    mask: np.ndarray | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch, dz = Batch(c, 4, mask, c0 is not None), empty(gates.shape, gates.dtype)
    dstates, dcells = batch.start(None), batch.start(dc)
    if c.size:
        functions = *ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation][1]
        packed = packed_back(contiguous(weight), 0, 4 * c.shape[2])
        arrays = contiguous(dh), contiguous(gates), contiguous(c), batch.state(c0), dcells
        batch.backward(_lstm_slope, dz, packed, dstates, *functions, *arrays)
    return dz, dstates, dcells
