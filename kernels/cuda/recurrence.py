"""Recurrent cells over whole sequences on the GPU: a block takes a few sequences through all steps."""

from __future__ import annotations

import ctypes
from typing import Any

from ..interface import RECURRENT_ACTIVATIONS, twin_of
from ..reference import recurrence as reference
from .copying import contiguous
from .functions import REAL, Source, c_type
from .launching import empty, launch_blocks
from .runtime import Array, current

SOURCE = Source(
    "recurrence.cu",
    simple_rnn=REAL,
    simple_rnn_gradient=REAL,
    lstm=REAL,
    lstm_gradient=REAL,
    gru=REAL,
    gru_gradient=REAL,
    gru_reset_before=REAL,
    gru_reset_before_gradient=REAL,
)
ROWS, CHUNK = 4, 128  # sequences of a block, and how many numbers of each it fetches at once, as in recurrence.cu
WARP, MOST_THREADS = 32, 256


class Batch(ctypes.Structure):
    """Sizes, mask and activations, as the kernels take them."""

    _fields_ = [
        *((name, ctypes.c_longlong) for name in ("sequences", "steps", "units")),
        ("mask", ctypes.c_void_p),
        *((name, ctypes.c_int) for name in ("f", "g")),
    ]


def _launch(name: str, h: Array, mask: Array | None, functions: tuple[str, ...], *arguments: Any) -> None:
    """Run a kernel on arguments and the batch; h has the states' shape."""
    sequences, steps, units = h.shape
    mask = None if mask is None else contiguous(mask)
    numbers = [RECURRENT_ACTIVATIONS.index(function) for function in functions]
    address = 0 if mask is None else current().address(mask)
    batch = Batch(sequences, steps, units, address, numbers[0], numbers[-1])
    threads = min(-(-units // WARP) * WARP, MOST_THREADS)
    blocks = -(-sequences // ROWS) if units else 0
    shared = ROWS * CHUNK * h.dtype.itemsize
    function = SOURCE(name, c_type(h.dtype))
    launch_blocks(function, (*arguments, batch), (blocks, 1, 1), (threads, 1, 1), shared)


def _given(state: Array | None) -> Array | None:
    return None if state is None else contiguous(state)


def _back(weight: Array) -> Array:
    """The weights as gradients come back through them: (gates · H, H)."""
    return contiguous(weight.swapaxes(0, 1))


@twin_of(reference.simple_rnn)
def simple_rnn(z: Array, weight: Array, h0: Array | None, mask: Array | None, activation: str) -> Array:
    h = empty(z.shape, z.dtype)
    _launch("simple_rnn", h, mask, (activation,), contiguous(z), contiguous(weight), _given(h0), h)
    return h


@twin_of(reference.simple_rnn_gradient)
def simple_rnn_gradient(dh: Array, h: Array, weight: Array, mask: Array | None, activation: str) -> tuple[Array, Array]:
    dz, dstate = empty(h.shape, h.dtype), empty((h.shape[0], h.shape[2]), h.dtype)
    given = contiguous(dh), contiguous(h), _back(weight)
    _launch("simple_rnn_gradient", h, mask, (activation,), *given, dz, dstate)
    return dz, dstate


@twin_of(reference.lstm)
def lstm(
    z: Array,
    weight: Array,
    h0: Array | None,
    c0: Array | None,
    mask: Array | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[Array, Array]:
    shape = (*z.shape[:2], weight.shape[0])
    h, c = empty(shape, z.dtype), empty(shape, z.dtype)
    functions = activation, recurrent_activation
    _launch("lstm", h, mask, functions, z, contiguous(weight), _given(h0), _given(c0), h, c)
    return h, c


@twin_of(reference.lstm_gradient)
def lstm_gradient(
    dh: Array,
    dc: Array | None,
    gates: Array,
    c: Array,
    weight: Array,
    c0: Array | None,
    mask: Array | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[Array, Array, Array]:
    dz, (dstate, dcell) = empty(gates.shape, c.dtype), (empty((c.shape[0], c.shape[2]), c.dtype) for _ in range(2))
    given = contiguous(dh), _given(dc), contiguous(gates), contiguous(c), _given(c0), _back(weight)
    _launch("lstm_gradient", c, mask, (activation, recurrent_activation), *given, dz, dstate, dcell)
    return dz, dstate, dcell


@twin_of(reference.gru)
def gru(
    z: Array,
    weight: Array,
    recurrent_bias: Array | None,
    h0: Array | None,
    mask: Array | None,
    activation: str,
    recurrent_activation: str,
    reset_after: bool,
) -> tuple[Array, Array | None]:
    units, functions = weight.shape[0], (activation, recurrent_activation)
    h, start, weight = empty((*z.shape[:2], units), z.dtype), _given(h0), contiguous(weight)
    if reset_after:
        inner = empty(h.shape, z.dtype)
        _launch("gru", h, mask, functions, z, weight, _given(recurrent_bias), start, h, inner)
        return h, inner
    kept = empty((z.shape[0], units), z.dtype)
    _launch("gru_reset_before", h, mask, functions, z, weight, start, h, kept)
    return h, None


@twin_of(reference.gru_gradient)
def gru_gradient(
    dh: Array,
    h: Array,
    gates: Array,
    inner: Array | None,
    weight: Array,
    h0: Array | None,
    mask: Array | None,
    activation: str,
    recurrent_activation: str,
) -> tuple[Array, Array | None, Array]:
    functions, dz = (activation, recurrent_activation), empty(gates.shape, h.dtype)
    dstate, back, start = empty((h.shape[0], h.shape[2]), h.dtype), _back(weight), _given(h0)
    given = contiguous(dh), contiguous(h), contiguous(gates)
    if inner is None:
        _launch("gru_reset_before_gradient", h, mask, functions, *given, start, back, dz, dstate)
        return dz, None, dstate
    dm = empty(gates.shape, h.dtype)
    _launch("gru_gradient", h, mask, functions, *given, contiguous(inner), start, back, dz, dm, dstate)
    return dz, dm, dstate
