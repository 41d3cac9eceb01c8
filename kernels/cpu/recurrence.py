"""Recurrent cells over whole sequences: a thread takes a group of sequences through all steps, without a barrier.

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
from ..memory import empty, empty_like, zeros
from ..reference import recurrence as reference
from .bodies import helper, kernel, scratch, unpack
from .copying import contiguous
from .elementwise import Formula, apply, formula
from .launch import run
from .mathematics import like
from .mathematics import sigmoid as sigmoid_of
from .mathematics import tanh as tanh_of
from .recurrent_products import (
    ALL_SLOTS,
    ROOM,
    VECTORS,
    get,
    groups_of,
    kernels_for,
    multiply,
    packed_back,
    packed_gates,
    part_of,
    put,
)
from .simd import lanes, load, maximum, minimum, pointer_at, select, splat, store, vector_of

# ---- activations, and their slopes as functions of their values ------------------------------------------------------


@formula
def linear(x):
    return x


@formula
def linear_slope(y):
    return like(y, 1.0)


@formula
def relu(x):
    return maximum(like(x, 0.0), x)  # NaN stays


@formula
def relu_slope(y):
    return select(y > 0, like(y, 1.0), like(y, 0.0))


@formula
def tanh(x):
    return tanh_of(x)


@formula
def tanh_slope(y):
    return like(y, 1.0) - y * y


@formula
def sigmoid(x):
    return sigmoid_of(x)


@formula
def sigmoid_slope(y):
    return y * (like(y, 1.0) - y)


@formula
def hard_sigmoid(x):
    return minimum(like(x, 6.0), maximum(like(x, 0.0), x + like(x, 3.0))) / like(x, 6.0)


@formula
def hard_sigmoid_slope(y):
    return select((y > 0) & (y < 1), like(y, 1 / 6), like(y, 0.0))


ACTIVATIONS: dict[str, tuple[Formula, Formula]] = {
    "linear": (linear, linear_slope),
    "relu": (relu, relu_slope),
    "tanh": (tanh, tanh_slope),
    "sigmoid": (sigmoid, sigmoid_slope),
    "hard_sigmoid": (hard_sigmoid, hard_sigmoid_slope),
}

# ---- what bodies share -----------------------------------------------------------------------------------------------

# What the bodies find where in the layout.
SEQUENCES, STEPS, UNITS, GROUPS, ROWS, STARTS, MASKED = range(7)


@helper
def _in_turn(number, blocks, t):
    """Which block comes as this number in step t: from the first to the last, and back in the next step, so that what
    the caches hold of weights that are larger than they are is what the next step begins with."""
    return number if t % 2 == 0 else blocks - 1 - number


@helper
def _before(vector, sequence, start, layout, n, t, u, count):
    """The state that step t begins with: the one that the step before left in `sequence`, the given one, or 0."""
    if t > 0:
        return get(vector, sequence, (n * layout[STEPS] + t - 1) * layout[UNITS] + u, count)
    if layout[STARTS]:
        return get(vector, start, n * layout[UNITS] + u, count)
    return splat(vector, 0)


@helper
def _product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width):
    """room (rows, width) = h_{t−1} of the sequences n … n + rows times a block of the packed weights; 0 before the
    first step, unless a state was given."""
    units = layout[UNITS]
    weights = pointer_at(packed, block * units * width)
    if t > 0:
        states = pointer_at(h, (n * layout[STEPS] + t - 1) * units)
        multiply(kernels, slots, rows, states, layout[STEPS] * units, weights, room, units, width)
    elif layout[STARTS]:
        multiply(kernels, slots, rows, pointer_at(h0, n * units), units, weights, room, units, width)
    else:
        for j in range(0, rows * width, lanes(vector)):
            store(room, j, splat(vector, 0))


@helper
def _add_back(vector, mask, layout, n, rows, t, room, block, width, dh):
    """dh (N, H) += room (rows, width), a block of what comes back through the product, but for steps left out."""
    units = layout[UNITS]
    for r in range(rows):
        if not layout[MASKED] or mask[(n + r) * layout[STEPS] + t]:
            for j in range(0, min(width, units - block * width), lanes(vector)):
                u = block * width + j
                count, at = units - u, (n + r) * units + u
                put(vector, dh, at, get(vector, dh, at, count) + load(vector, room, r * width + j), count)


@helper
def _back(vector, kernels, slots, layout, first, last, t, gradient, columns, depth, packed, room, width, mask, dh):
    """dh (N, H) += gradient[:, t, :depth] (of N, T, columns) times the packed transposed weights, for the sequences
    first … last."""
    units, step = layout[UNITS], layout[STEPS] * columns
    tiles = -(-(last - first) // layout[ROWS])
    blocks = -(-units // width)
    for number in range(blocks):
        block = _in_turn(number, blocks, t)
        weights = pointer_at(packed, block * depth * width)
        for tile in range(tiles):
            n = first + part_of(last - first, tiles, tile)
            rows = first + part_of(last - first, tiles, tile + 1) - n
            x = pointer_at(gradient, n * step + t * columns)
            multiply(kernels, slots, rows, x, step, weights, room, depth, width)
            _add_back(vector, mask, layout, n, rows, t, room, block, width, dh)


class _Batch:
    """What the launchers share: the layout, the mask, and how the batch is cut."""

    def __init__(self, h: np.ndarray, gates: int, mask: np.ndarray | None, starts: bool):
        self.shape, self.dtype = h.shape, h.dtype
        n, steps, units = h.shape
        self.groups = groups_of(n, steps, units, gates * units, h.dtype)
        self.vector, self.starts = vector_of(h.dtype), starts
        self.masked = mask is not None
        self.mask = np.zeros(1, np.bool_) if mask is None else np.ascontiguousarray(mask)

    def kernels(self, vectors: int) -> tuple[np.ndarray, np.ndarray]:
        """(addresses of tile kernels by rows, layout) for tiles with so many vectors in a row."""
        n, steps, units = self.shape
        addresses, most = kernels_for(self.dtype, vectors, n, self.groups)
        return addresses, np.array([n, steps, units, self.groups, most, self.starts, self.masked], np.int64)

    def run(self, body, *arguments) -> None:
        """Runs a body over the groups."""
        run(body, self.groups, 1, self.vector, self.mask, *arguments)

    def state(self, given: np.ndarray | None) -> np.ndarray:
        """A state (N, H) before the first step; if none is given, zeros, or something that is not read."""
        if given is not None:
            return contiguous(given)
        return zeros((self.shape[0], self.shape[2]), self.dtype) if self.starts else empty((1,), self.dtype)

    def start(self, given: np.ndarray | None) -> np.ndarray:
        """A state's gradient, an array of its own to go on from."""
        carried = zeros((self.shape[0], self.shape[2]), self.dtype)
        if given is not None:
            carried[...] = given
        return carried


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
                block = _in_turn(number, blocks, t)
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    _product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        for j in range(0, min(width, units - block * width), lanes(vector)):
                            u = block * width + j
                            count = units - u
                            if not layout[MASKED] or mask[at]:
                                s = get(vector, z, at * units + u, count) + load(vector, room, r * width + j)
                                put(vector, h, at * units + u, apply(f, (s,)), count)
                            else:
                                kept = _before(vector, h, h0, layout, n + r, t, u, count)
                                put(vector, h, at * units + u, kept, count)


@twin_of(reference.simple_rnn)
def simple_rnn(
    z: np.ndarray, weight: np.ndarray, h0: np.ndarray | None, mask: np.ndarray | None, activation: str
) -> np.ndarray:
    h = empty(z.shape, z.dtype)
    if h.size:
        batch = _Batch(h, 1, mask, h0 is not None)
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
            _back(
                *(vector, kernels, slots, layout, first, last, t, dz, units, units, packed, room, width),
                *(mask, carried),
            )


@twin_of(reference.simple_rnn_gradient)
def simple_rnn_gradient(
    dh: np.ndarray, h: np.ndarray, weight: np.ndarray, mask: np.ndarray | None, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    batch, dz = _Batch(h, 1, mask, False), empty(h.shape, h.dtype)
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
                block = _in_turn(number, blocks, t)
                u = block * lanes(vector)
                count = units - u
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    _product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        before = _before(vector, c, c0, layout, n + r, t, u, count)
                        own, sums = pointer_at(z, at * 4 * units + u), pointer_at(room, r * width)
                        cell, state = _lstm_units(vector, f, g, own, sums, before, units, count)
                        if layout[MASKED] and not mask[at]:
                            cell, state = before, _before(vector, h, h0, layout, n + r, t, u, count)
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
        batch = _Batch(h, 4, mask, h0 is not None or c0 is not None)
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
                    before = _before(vector, c, c0, layout, n, t, u, count)
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
            _back(
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
    batch, dz = _Batch(c, 4, mask, c0 is not None), empty(gates.shape, gates.dtype)
    dstates, dcells = batch.start(None), batch.start(dc)
    if c.size:
        functions = *ACTIVATIONS[activation], ACTIVATIONS[recurrent_activation][1]
        packed = packed_back(contiguous(weight), 0, 4 * c.shape[2])
        arrays = contiguous(dh), contiguous(gates), contiguous(c), batch.state(c0), packed, dz, dstates, dcells
        batch.run(_lstm_gradient, *functions, *arrays, *batch.kernels(VECTORS))
    return dz, dstates, dcells


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
                block = _in_turn(number, blocks, t)
                u = block * lanes(vector)
                count = units - u
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    _product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        at = (n + r) * steps + t
                        before = _before(vector, h, h0, layout, n + r, t, u, count)
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
                    before = _before(vector, h, h0, layout, n, t, u, count)
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
            _back(
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
                block = _in_turn(number, blocks, t)
                u = block * lanes(vector)
                count = units - u
                for tile in range(tiles):
                    n = first + part_of(last - first, tiles, tile)
                    rows = first + part_of(last - first, tiles, tile + 1) - n
                    _product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width)
                    for r in range(rows):
                        before = _before(vector, h, h0, layout, n + r, t, u, count)
                        place = ((n + r) * steps + t) * 3 * units + u
                        m_update, m_reset = load(vector, room, r * width), load(vector, room, r * width + lanes(vector))
                        reset = apply(g, (get(vector, z, place + units, count) + m_reset,))
                        put(vector, z, place, apply(g, (get(vector, z, place, count) + m_update,)), count)
                        put(vector, z, place + units, reset, count)
                        put(vector, kept, (n + r) * units + u, reset * before, count)
            blocks = -(-units // wide)
            for number in range(blocks):
                block = _in_turn(number, blocks, t)
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
                            before = _before(vector, h, h0, layout, n + r, t, u, count)
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
        block = _in_turn(number, blocks, t)
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
                    before = _before(vector, h, h0, layout, n + r, t, u, count)
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
                    before = _before(vector, h, h0, layout, n, t, u, count)
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
            _back(
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
        batch, weight = _Batch(h, 3, mask, h0 is not None), contiguous(weight)
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
    batch, weight = _Batch(h, 3, mask, h0 is not None), contiguous(weight)
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
