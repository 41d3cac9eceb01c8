"""What the bodies of recurrent cells share: activations with their slopes, the states that a step begins with, products
of states forward and back, and how a batch is laid out for them."""

import numpy as np

from ..memory import empty, zeros
from .bodies import helper
from .copying import contiguous
from .elementwise import Formula, formula
from .launch import run
from .mathematics import like
from .mathematics import sigmoid as sigmoid_of
from .mathematics import tanh as tanh_of
from .recurrent_products import get, groups_of, kernels_for, multiply, part_of, put
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
def in_turn(number, blocks, t):
    """Which block comes as this number in step t: from the first to the last, and back in the next step, so that what
    the caches hold of weights that are larger than they are is what the next step begins with."""
    return number if t % 2 == 0 else blocks - 1 - number


@helper
def state_before(vector, sequence, start, layout, n, t, u, count):
    """The state that step t begins with: the one that the step before left in `sequence`, the given one, or 0."""
    if t > 0:
        return get(vector, sequence, (n * layout[STEPS] + t - 1) * layout[UNITS] + u, count)
    if layout[STARTS]:
        return get(vector, start, n * layout[UNITS] + u, count)
    return splat(vector, 0)


@helper
def product_of_states(vector, kernels, slots, layout, h, h0, n, rows, t, packed, block, room, width):
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
def multiply_back(
    vector, kernels, slots, layout, first, last, t, gradient, columns, depth, packed, room, width, mask, dh
):
    """dh (N, H) += gradient[:, t, :depth] (of N, T, columns) times the packed transposed weights, for the sequences
    first … last."""
    units, step = layout[UNITS], layout[STEPS] * columns
    tiles = -(-(last - first) // layout[ROWS])
    blocks = -(-units // width)
    for number in range(blocks):
        block = in_turn(number, blocks, t)
        weights = pointer_at(packed, block * depth * width)
        for tile in range(tiles):
            n = first + part_of(last - first, tiles, tile)
            rows = first + part_of(last - first, tiles, tile + 1) - n
            x = pointer_at(gradient, n * step + t * columns)
            multiply(kernels, slots, rows, x, step, weights, room, depth, width)
            _add_back(vector, mask, layout, n, rows, t, room, block, width, dh)


class Batch:
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
