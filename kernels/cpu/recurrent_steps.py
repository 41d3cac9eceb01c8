"""What recurrent cells do in a step: activations with their slopes, the states that a step begins with, and products of
states, forward and back, whose sums a cell takes on vector by vector."""

from .bodies import helper, value
from .elementwise import Formula, apply, formula
from .mathematics import like
from .mathematics import sigmoid as sigmoid_of
from .mathematics import tanh as tanh_of
from .recurrent_products import MOST, VECTORS, get, multiply, part_of, put
from .simd import lanes, load, maximum, minimum, pointer_at, select, splat

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

# ---- where a step is ------------------------------------------------------------------------------------------------

# What stands where in the layout.
SEQUENCES, STEPS, UNITS, GROUPS, SHARES, STAGES, PHASES, STARTS, MASKED = range(9)

# What a step is told in the tuple `place`: (vector, mask, layout, slots, room, forth, share, first, last). It is to
# compute that share of the units, for the sequences first … last, with the blocks of weights from the first on (forth)
# or back from the last; slots and room are for its products.


@helper
def is_taken(place, n, t):
    """Whether a step is not left out."""
    mask, layout = place[1], place[2]
    return not layout[MASKED] or mask[n * layout[STEPS] + t] != 0


@helper
def state_before(place, sequence, start, n, t, u):
    """The state that step t begins with, a vector of units from u on: the one that the step before left in `sequence`,
    the given one, or 0."""
    vector, layout = place[0], place[2]
    units = layout[UNITS]
    if t > 0:
        return get(vector, sequence, (n * layout[STEPS] + t - 1) * units + u, units - u)
    if layout[STARTS]:
        return get(vector, start, n * units + u, units - u)
    return splat(vector, 0)


@helper
def _blocks_of(place, wide):
    """The share's blocks of `wide` units, from the first to the one after the last."""
    layout, share = place[2], place[6]
    blocks = -(-layout[UNITS] // wide)
    return part_of(blocks, layout[SHARES], share), part_of(blocks, layout[SHARES], share + 1)


# ---- products --------------------------------------------------------------------------------------------------------


@helper
def each_sum(cell, t, place, kernels, x, step, packed, depth, width, wide, given):
    """cell(n, t, u, sums, place, given) for each sequence n and each vector of the share's units, from u on: `sums` are
    those of `depth` numbers x[n · step :] with their columns of the packed weights, in the first vector of a tile's row
    of `width` numbers, which has `wide` units.

    Blocks go forth, and back in the next step, so that what the caches hold of weights that are larger than they are is
    what the next step begins with."""
    vector, _, layout, slots, room, forth, _, first, last = place
    units, tiles = layout[UNITS], -(-(last - first) // kernels[MOST])
    begin, end = _blocks_of(place, wide)
    for number in range(begin, end):
        block = number if forth else begin + end - 1 - number
        weights = pointer_at(packed, block * depth * width)
        for tile in range(tiles):
            n = first + part_of(last - first, tiles, tile)
            rows = first + part_of(last - first, tiles, tile + 1) - n
            multiply(kernels, slots, rows, pointer_at(x, n * step), step, weights, room, depth, width)
            for r in range(rows):
                for j in range(0, min(wide, units - block * wide), lanes(vector)):
                    apply(cell, (n + r, t, block * wide + j, pointer_at(room, r * width + j), place, given))


@helper
def each_state_sum(cell, t, place, kernels, gates, h, h0, packed, given):
    """`each_sum` of the states that step t begins with: in a row of a tile there is one vector of each gate, or VECTORS
    of the only one."""
    vector, layout = place[0], place[2]
    width = lanes(vector) * (VECTORS if gates == 1 else gates)
    steps, units = layout[STEPS], layout[UNITS]
    if t > 0:
        x, step = pointer_at(h, (t - 1) * units), steps * units
    else:
        x, step = pointer_at(h0, 0), units
    depth = units if t > 0 or layout[STARTS] else 0
    each_sum(cell, t, place, kernels, x, step, packed, depth, width, width // gates, given)


@formula
def add_back(n, t, u, sums, place, given):
    """dh (N, H) += what comes back through the product, but for steps left out. Given: dh."""
    vector, units, dh = place[0], place[2][UNITS], given[0]
    if is_taken(place, n, t):
        at = n * units + u
        put(vector, dh, at, get(vector, dh, at, units - u) + load(vector, sums, 0), units - u)


@helper
def multiply_back(t, place, add, kernels, gradient, columns, depth, packed, dh):
    """dh (N, H) += gradient[:, t, :depth] (of N, T, columns) times the packed transposed weights; `add`
    is `add_back`."""
    width, steps = VECTORS * lanes(place[0]), place[2][STEPS]
    x = pointer_at(gradient, t * columns)
    each_sum(add, t, place, kernels, x, steps * columns, packed, depth, width, width, (dh,))


@helper
def each_slope(slopes, t, place, given):
    """slopes(n, t, u, place, given) for each sequence n and each vector of the share's units, from u on."""
    vector, layout, first, last = place[0], place[2], place[7], place[8]
    width = VECTORS * lanes(vector)
    begin, end = _blocks_of(place, width)
    for n in range(first, last):
        for u in range(begin * width, min(end * width, layout[UNITS]), lanes(vector)):
            apply(slopes, (n, t, u, place, given))


# ---- stages ----------------------------------------------------------------------------------------------------------
#
# A walk through the steps is a row of stages, each of which reads what the whole of the one before has written. What is
# `given` to a stage begins with what is named here, and goes on with what the cell's function wants.


@formula
def forward(t, place, given):
    """Stage t: step t of a cell with one product."""
    h, kernels, cell, gates, h0, packed = given[:6]
    each_state_sum(cell, t, place, kernels, value(gates), h, h0, packed, given)


@formula
def backward(stage, place, given):
    """Stage T − 1 − t: what comes back through the product in step t + 1, and with it the slopes of step t, from the
    last step on; and one more stage, for the state before the first step."""
    gradient, kernels, slopes, add, gates, packed, dh = given[:7]
    layout = place[2]
    columns, t = value(gates) * layout[UNITS], layout[STEPS] - 1 - stage
    if stage > 0:
        multiply_back(t + 1, place, add, kernels, gradient, columns, columns, packed, dh)
    if t >= 0:
        each_slope(slopes, t, place, given)
