"""The gated recurrent unit over whole sequences, with the state reset after its product or before it: like the other
cells (see recurrence), a group of sequences for a thread. Reset before, a step is two products, one after the other."""

import numpy as np

from ..interface import twin_of
from ..memory import empty, empty_like
from ..reference import recurrence as reference
from .bodies import helper, kernel, scratch, unpack
from .copying import contiguous
from .elementwise import apply
from .mathematics import like
from .recurrent_products import ALL_SLOTS, ROOM, VECTORS, get, multiply, packed_back, packed_gates, part_of, put
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

# ---- GRU: reset after the product ------------------------------------------------------------------------------------


@helper
def _gru_units(vector, f, g, z, sums, bias, inner, before, units, count):
    """The gates of a vector of units, which take the place of z, and their next state; m_h goes into `inner`."""
    width = lanes(vector)
    m_update = load(vector, sums, 0) + get(vector, bias, 0, count)
    m_reset = load(vector, sums, width) + get(vector, bias, units, count)
    m_candidate = load(vector, sums, 2 * width) + get(vector, bias, 2 * units, count)
    update = apply(g, (get(vector, z, 0, count) + m_update,))
    reset = apply(g, (get(vector, z, units, count) + m_reset,))
    candidate = apply(f, (get(vector, z, 2 * units, count) + reset * m_candidate,))
    put(vector, z, 0, update, count)
    put(vector, z, units, reset, count)
    put(vector, z, 2 * units, candidate, count)
    put(vector, inner, 0, m_candidate, count)
    return update * before + (like(update, 1.0) - update) * candidate


@kernel
def _gru(begin, end, arguments):
    vector, mask, f, g, z, packed, bias, h0, h, inner, kernels, layout = unpack(arguments)
    slots, room = scratch(layout, ALL_SLOTS), scratch(z, ROOM)
    steps, units, width = layout[STEPS], layout[UNITS], 3 * lanes(vector)
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
                        before = state_before(vector, h, h0, layout, n + r, t, u, count)
                        own, sums = pointer_at(z, at * 3 * units + u), pointer_at(room, r * width)
                        kept = pointer_at(inner, at * units + u)
                        state = _gru_units(vector, f, g, own, sums, pointer_at(bias, u), kept, before, units, count)
                        if layout[MASKED] and not mask[at]:
                            state = before
                        put(vector, h, at * units + u, state, count)


@kernel
def _gru_gradient(begin, end, arguments):
    (vector, mask, f_slope, g_slope, dh, h, gates, inner, h0, packed, dz, dm, carried, kernels, layout) = unpack(
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
                    count, own, place = units - u, n * units + u, at * 3 * units + u
                    total = get(vector, dh, at * units + u, count) + get(vector, carried, own, count)
                    before = state_before(vector, h, h0, layout, n, t, u, count)
                    update, reset = get(vector, gates, place, count), get(vector, gates, place + units, count)
                    candidate = get(vector, gates, place + 2 * units, count)
                    dcandidate = total * (like(update, 1.0) - update) * apply(f_slope, (candidate,))
                    dupdate = total * (before - candidate) * apply(g_slope, (update,))
                    dreset = dcandidate * get(vector, inner, at * units + u, count) * apply(g_slope, (reset,))
                    put(vector, dz, place, dupdate if taken else zero, count)
                    put(vector, dm, place, dupdate if taken else zero, count)
                    put(vector, dz, place + units, dreset if taken else zero, count)
                    put(vector, dm, place + units, dreset if taken else zero, count)
                    put(vector, dz, place + 2 * units, dcandidate if taken else zero, count)
                    put(vector, dm, place + 2 * units, dcandidate * reset if taken else zero, count)
                    put(vector, carried, own, total * update if taken else total, count)
            multiply_back(
                *(vector, kernels, slots, layout, first, last, t, dm, 3 * units, 3 * units, packed, room),
                *(width, mask, carried),
            )


# ---- GRU: reset before the product -----------------------------------------------------------------------------------


@kernel
def _gru_reset_before(begin, end, arguments):
    vector, mask, f, g, z, packed, of_candidate, h0, h, kept, kernels, layout, wide_kernels, wide_layout = unpack(
        arguments
    )
    slots, room = scratch(layout, ALL_SLOTS), scratch(z, ROOM)
    steps, units, width, wide = layout[STEPS], layout[UNITS], 2 * lanes(vector), VECTORS * lanes(vector)
    for group in range(begin, end):
        first = part_of(layout[SEQUENCES], layout[GROUPS], group)
        last = part_of(layout[SEQUENCES], layout[GROUPS], group + 1)
        tiles, wide_tiles = -(-(last - first) // layout[ROWS]), -(-(last - first) // wide_layout[ROWS])
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
                        before = state_before(vector, h, h0, layout, n + r, t, u, count)
                        place = ((n + r) * steps + t) * 3 * units + u
                        m_update, m_reset = load(vector, room, r * width), load(vector, room, r * width + lanes(vector))
                        reset = apply(g, (get(vector, z, place + units, count) + m_reset,))
                        put(vector, z, place, apply(g, (get(vector, z, place, count) + m_update,)), count)
                        put(vector, z, place + units, reset, count)
                        put(vector, kept, (n + r) * units + u, reset * before, count)
            blocks = -(-units // wide)
            for number in range(blocks):
                block = in_turn(number, blocks, t)
                weights = pointer_at(of_candidate, block * units * wide)
                for tile in range(wide_tiles):
                    n = first + part_of(last - first, wide_tiles, tile)
                    rows = first + part_of(last - first, wide_tiles, tile + 1) - n
                    multiply(wide_kernels, slots, rows, pointer_at(kept, n * units), units, weights, room, units, wide)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        for j in range(0, min(wide, units - block * wide), lanes(vector)):
                            u = block * wide + j
                            count, place = units - u, at * 3 * units + u
                            before = state_before(vector, h, h0, layout, n + r, t, u, count)
                            update = get(vector, z, place, count)
                            s = get(vector, z, place + 2 * units, count) + load(vector, room, r * wide + j)
                            candidate = apply(f, (s,))
                            put(vector, z, place + 2 * units, candidate, count)
                            state = update * before + (like(update, 1.0) - update) * candidate
                            if layout[MASKED] and not mask[at]:
                                state = before
                            put(vector, h, at * units + u, state, count)


@helper
def _through_reset(
    vector,
    mask,
    g_slope,
    kernels,
    slots,
    layout,
    first,
    last,
    t,
    h,
    h0,
    gates,
    dz,
    packed,
    room,
    width,
    carried,
):
    """From dz_h: q = dz_h·U_hᵀ, dz_r = g′·q·h_{t−1}, and q·r is added to what comes back to the state."""
    steps, units = layout[STEPS], layout[UNITS]
    tiles = -(-(last - first) // layout[ROWS])
    blocks = -(-units // width)
    for number in range(blocks):
        block = in_turn(number, blocks, t)
        weights = pointer_at(packed, block * units * width)
        for tile in range(tiles):
            n = first + part_of(last - first, tiles, tile)
            rows = first + part_of(last - first, tiles, tile + 1) - n
            x = pointer_at(dz, (n * steps + t) * 3 * units + 2 * units)
            multiply(kernels, slots, rows, x, steps * 3 * units, weights, room, units, width)
            for r in range(rows):
                at = (n + r) * steps + t
                taken = not layout[MASKED] or mask[at]
                for j in range(0, min(width, units - block * width), lanes(vector)):
                    u = block * width + j
                    count, own, place = units - u, (n + r) * units + u, (at * 3 + 1) * units + u
                    if not taken:
                        put(vector, dz, place, splat(vector, 0), count)
                        continue
                    q, reset = load(vector, room, r * width + j), get(vector, gates, place, count)
                    before = state_before(vector, h, h0, layout, n + r, t, u, count)
                    put(vector, dz, place, q * before * apply(g_slope, (reset,)), count)
                    put(vector, carried, own, get(vector, carried, own, count) + q * reset, count)


@kernel
def _gru_reset_before_gradient(begin, end, arguments):
    (vector, mask, f_slope, g_slope, dh, h, gates, h0, packed, of_candidate, dz, carried, kernels, layout) = unpack(
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
                    count, own, place = units - u, n * units + u, at * 3 * units + u
                    total = get(vector, dh, at * units + u, count) + get(vector, carried, own, count)
                    before = state_before(vector, h, h0, layout, n, t, u, count)
                    update, candidate = get(vector, gates, place, count), get(vector, gates, place + 2 * units, count)
                    dcandidate = total * (like(update, 1.0) - update) * apply(f_slope, (candidate,))
                    dupdate = total * (before - candidate) * apply(g_slope, (update,))
                    put(vector, dz, place, dupdate if taken else zero, count)
                    put(vector, dz, place + 2 * units, dcandidate if taken else zero, count)
                    put(vector, carried, own, total * update if taken else total, count)
            _through_reset(
                *(vector, mask, g_slope, kernels, slots, layout, first, last, t, h, h0, gates, dz),
                *(of_candidate, room, width, carried),
            )
            multiply_back(
                *(vector, kernels, slots, layout, first, last, t, dz, 3 * units, 2 * units, packed, room),
                *(width, mask, carried),
            )


# ---- GRU -------------------------------------------------------------------------------------------------------------


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
        functions, start = (ACTIVATIONS[activation][0], ACTIVATIONS[recurrent_activation][0]), batch.state(h0)
        if inner is not None:
            bias = np.zeros(3 * units, z.dtype) if recurrent_bias is None else contiguous(recurrent_bias)
            arrays = z, packed_gates(weight, 0, 3), bias, start, h, inner
            batch.run(_gru, *functions, *arrays, *batch.kernels(3))
        else:
            kept = empty((h.shape[0], units), z.dtype)
            arrays = z, packed_gates(weight, 0, 2), packed_gates(weight, 2 * units, 1), start, h, kept
            batch.run(_gru_reset_before, *functions, *arrays, *batch.kernels(2), *batch.kernels(VECTORS))
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
            arrays = *given, contiguous(inner), batch.state(h0), packed_back(weight, 0, 3 * units), dz, dm, carried
            batch.run(_gru_gradient, *slopes, *arrays, *batch.kernels(VECTORS))
        else:
            packed = packed_back(weight, 0, 2 * units), packed_back(weight, 2 * units, units)
            arrays = *given, batch.state(h0), *packed, dz, carried
            batch.run(_gru_reset_before_gradient, *slopes, *arrays, *batch.kernels(VECTORS))
    return dz, dm, carried
