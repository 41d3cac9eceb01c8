"""The simple recurrent cell and LSTM over whole sequences: a thread takes a group of sequences through all steps,
without a barrier. (GRU: gated_recurrence.)

A step is a product, gates · H² multiply-adds for each sequence, and some 30 operations for each gate of each unit.
Two things bound it from below:

- multiply-adds: a core does 2 · lanes in a cycle, so 2 · N · T · gates · H² flops at the peak;
- the weights, gates · H² numbers, which every group reads anew in every step, from the second-level cache as a rule: a
  cache line in a cycle or two. A tile of 6 rows uses each of them for six multiply-adds, so that this is below the
  first bound from four sequences on; a batch of one is bound by it.

So a tile's columns are the gates of the same units: its sums go through the first-level cache into the gates' functions
and on to the states, and nothing but gates and states is written. Backwards, the slopes of the gates come first, then a
product with the transposed weights, whose sums are added to what else comes back to the state before.
"""

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import recurrence as reference
from .bodies import helper, kernel, scratch, unpack
from .copying import contiguous
from .elementwise import apply
from .recurrent_products import ALL_SLOTS, ROOM, VECTORS, get, packed_back, packed_gates, part_of, put
from .recurrent_steps import (
    ACTIVATIONS,
    GROUPS,
    MASKED,
    ROWS,
    SEQUENCES,
    STEPS,
    UNITS,
    Batch,
    in_turn,
    multiply_back,
    product_of_states,
    state_before,
)
from .simd import lanes, load, pointer_at, splat

# ---- the simple cell -------------------------------------------------------------------------------------------------


@kernel
def _simple_rnn(begin, end, arguments):
    vector, mask, f, z, packed, h0, h, kernels, layout = unpack(arguments)
    slots, room = scratch(layout, ALL_SLOTS), scratch(z, ROOM)
    steps, units, width = layout[STEPS], layout[UNITS], VECTORS * lanes(vector)
    for group in range(begin, end):
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        tiles = -(-(last - first) // layout[ROWS])
        for t in range(steps):
            blocks = -(-units // width)
            for number in range(blocks):
                block = in_turn(number, blocks, t)
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        for j in range(0, min(width, units - block * width), lanes(vector)):
                            u = block * width + j
                            count = units - u
                            if not layout[MASKED] or mask[at]:
                                s = get(vector, z, at * units + u, count) + load(vector, room, r * width + j)
                                put(vector, h, at * units + u, apply(f, (s,)), count)
                            else:
                                kept = state_before(vector, h, h0, layout, n + r, t, u, count)
                                put(vector, h, at * units + u, kept, count)


@twin_of(reference.simple_rnn)
def simple_rnn(
    z: np.ndarray, weight: np.ndarray, h0: np.ndarray | None, mask: np.ndarray | None, activation: str
) -> np.ndarray:
    h = empty(z.shape, z.dtype)
    if h.size:
        batch = Batch(h, 1, mask, h0 is not None)
        packed = packed_gates(contiguous(weight), 0, 1)
        arguments = contiguous(z), packed, batch.state(h0), h, *batch.kernels(VECTORS)
        batch.run(_simple_rnn, ACTIVATIONS[activation][0], *arguments)
    return h


@kernel
def _simple_rnn_gradient(begin, end, arguments):
    vector, mask, slope, dh, h, packed, dz, carried, kernels, layout = unpack(arguments)
    slots, room = scratch(layout, ALL_SLOTS), scratch(dz, ROOM)
    steps, units, width = layout[STEPS], layout[UNITS], VECTORS * lanes(vector)
    for group in range(begin, end):
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        for t in range(steps - 1, -1, -1):
            for n in range(first, last):
                at = (n * steps + t) * units
                taken = not layout[MASKED] or mask[n * steps + t]
                for u in range(0, units, lanes(vector)):
                    count = units - u
                    total = get(vector, dh, at + u, count) + get(vector, carried, n * units + u, count)
                    ds = total * apply(slope, (get(vector, h, at + u, count),))
                    put(vector, dz, at + u, ds if taken else splat(vector, 0), count)
                    put(vector, carried, n * units + u, splat(vector, 0) if taken else total, count)
            multiply_back(
                *(vector, kernels, slots, layout, first, last, t, dz, units, units, packed, room, width),
                *(mask, carried),
            )


@twin_of(reference.simple_rnn_gradient)
def simple_rnn_gradient(
    dh: np.ndarray, h: np.ndarray, weight: np.ndarray, mask: np.ndarray | None, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    batch, dz = Batch(h, 1, mask, False), empty(h.shape, h.dtype)
    carried = batch.start(None)
    if h.size:
        packed = packed_back(contiguous(weight), 0, h.shape[2])
        arguments = contiguous(dh), contiguous(h), packed, dz, carried, *batch.kernels(VECTORS)
        batch.run(_simple_rnn_gradient, ACTIVATIONS[activation][1], *arguments)
    return dz, carried


# ---- LSTM ------------------------------------------------------------------------------------------------------------


@helper
def _lstm_units(vector, f, g, z, sums, before, gates, count):
    """The gates of a vector of units, which take the place of z, and their next states, c and h."""
    width = lanes(vector)
    i = apply(g, (get(vector, z, 0, count) + load(vector, sums, 0),))
    forget = apply(g, (get(vector, z, gates, count) + load(vector, sums, width),))
    candidate = apply(f, (get(vector, z, 2 * gates, count) + load(vector, sums, 2 * width),))
    o = apply(g, (get(vector, z, 3 * gates, count) + load(vector, sums, 3 * width),))
    put(vector, z, 0, i, count)
    put(vector, z, gates, forget, count)
    put(vector, z, 2 * gates, candidate, count)
    put(vector, z, 3 * gates, o, count)
    c = forget * before + i * candidate
    return c, o * apply(f, (c,))


@kernel
def _lstm(begin, end, arguments):
    vector, mask, f, g, z, packed, h0, c0, h, c, kernels, layout = unpack(arguments)
    slots, room = scratch(layout, ALL_SLOTS), scratch(z, ROOM)
    steps, units, width = layout[STEPS], layout[UNITS], 4 * lanes(vector)
    for group in range(begin, end):
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        tiles = -(-(last - first) // layout[ROWS])
        for t in range(steps):
            blocks = -(-units // lanes(vector))
            for number in range(blocks):
                block = in_turn(number, blocks, t)
                u = block * lanes(vector)
                count = units - u
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        before = state_before(vector, c, c0, layout, n + r, t, u, count)
                        own, sums = pointer_at(z, at * 4 * units + u), pointer_at(room, r * width)
                        cell, state = _lstm_units(vector, f, g, own, sums, before, units, count)
                        if layout[MASKED] and not mask[at]:
                            cell, state = before, state_before(vector, h, h0, layout, n + r, t, u, count)
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
        packed = packed_gates(contiguous(weight), 0, 4)
        batch.run(_lstm, *functions, z, packed, batch.state(h0), batch.state(c0), h, c, *batch.kernels(4))
    return h, c


@helper
def _lstm_slopes(vector, f, f_slope, g_slope, gates, units, count, cell, before, dstate, dcell):
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


@kernel
def _lstm_gradient(begin, end, arguments):
    (vector, mask, f, f_slope, g_slope, dh, gates, c, c0, packed, dz, dstates, dcells, kernels, layout) = unpack(
        arguments
    )
    slots, room = scratch(layout, ALL_SLOTS), scratch(dz, ROOM)
    steps, units, width = layout[STEPS], layout[UNITS], VECTORS * lanes(vector)
    zero = splat(vector, 0)
    for group in range(begin, end):
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        for t in range(steps - 1, -1, -1):
            for n in range(first, last):
                at = n * steps + t
                taken = not layout[MASKED] or mask[at]
                for u in range(0, units, lanes(vector)):
                    count, own = units - u, n * units + u
                    dstate = get(vector, dh, at * units + u, count) + get(vector, dstates, own, count)
                    target = pointer_at(dz, at * 4 * units + u)
                    if not taken:
                        for gate in range(4):
                            put(vector, target, gate * units, zero, count)
                        put(vector, dstates, own, dstate, count)
                        continue
                    cell = get(vector, c, at * units + u, count)
                    before = state_before(vector, c, c0, layout, n, t, u, count)
                    d = _lstm_slopes(
                        *(vector, f, f_slope, g_slope, pointer_at(gates, at * 4 * units + u), units, count),
                        *(cell, before, dstate, get(vector, dcells, own, count)),
                    )
                    put(vector, target, 0, d[0], count)
                    put(vector, target, units, d[1], count)
                    put(vector, target, 2 * units, d[2], count)
                    put(vector, target, 3 * units, d[3], count)
                    put(vector, dcells, own, d[4], count)
                    put(vector, dstates, own, zero, count)
            multiply_back(
                *(vector, kernels, slots, layout, first, last, t, dz, 4 * units, 4 * units, packed, room),
                *(width, mask, dstates),
            )


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
        arrays = contiguous(dh), contiguous(gates), contiguous(c), batch.state(c0), packed, dz, dstates, dcells
        batch.run(_lstm_gradient, *functions, *arrays, *batch.kernels(VECTORS))
    return dz, dstates, dcells
