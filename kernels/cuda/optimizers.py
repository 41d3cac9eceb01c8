"""Optimizer steps on the GPU: a few launches for all parameters, one pass over parameters, gradients and state, in
place; and the sum of squares by which gradients are clipped, and the clipping."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from ..interface import twin_of
from ..optimizer_steps import Steps
from ..reference import optimizers as reference
from ..repeated import current as current_numbers
from .copying import contiguous
from .functions import REAL, Function, Source, c_type, instances
from .launching import THREADS, empty, is_contiguous, launch_blocks
from .runtime import Array, current

MOST, KINDS, CHUNK = 64, 5, 4096  # as in optimizers.cu
ROOM = THREADS // 32 * 8  # bytes of shared memory for a sum: a double for each warp
BOTH = (False, True)
SOURCE = Source(
    "optimizers.cu",
    sgd=(*instances(REAL, (False,), (False,)), *instances(REAL, (True,), BOTH)),
    adam=instances(REAL, BOTH),
    adamax=REAL,
    nadam=REAL,
    schedule_free=REAL,
    adagrad=REAL,
    adadelta=REAL,
    rmsprop=instances(REAL, BOTH, BOTH),
    lion=REAL,
    ftrl=instances(REAL, BOTH),
    blend=REAL,
    lamb_moments=REAL,
    lamb_update=REAL,
    squares=REAL,
    limit_norm=REAL,
    sum_of_sums=("double",),
)


class Parameters(ctypes.Structure):
    """The addresses of the arrays of up to MOST parameters, as the kernels take them."""

    _fields_ = [
        ("arrays", ctypes.c_void_p * MOST * KINDS),
        ("sizes", ctypes.c_longlong * MOST),
        ("chunks", ctypes.c_longlong * (MOST + 1)),
    ]


class Repeated(ctypes.Structure):
    """Where the launches of a graph find the step's numbers, and the loss; null where a launch is made once."""

    _fields_ = [("numbers", ctypes.c_void_p), ("loss", ctypes.c_void_p)]


def _tables(parameters: Sequence[Array], *others: Sequence[Array] | None) -> Iterator[tuple[Parameters, int, int]]:
    """(table, parameters in it, their pieces) until all parameters had their turn; each of the others has one array for
    each parameter, or is None. Empty arrays are left out.

    Raises ValueError for arrays of different sizes or types, TypeError for one that is not C-contiguous: a kernel knows
    nothing but addresses.
    """
    for sequence in (parameters, *others):
        _reject_other_arrays(parameters, sequence)
    some = [place for place, parameter in enumerate(parameters) if parameter.size]
    for begin in range(0, len(some), MOST):
        places = some[begin : begin + MOST]
        table, sizes = Parameters(), [parameters[place].size for place in places]
        for kind, sequence in enumerate((parameters, *others)):
            if sequence is not None:
                table.arrays[kind][: len(places)] = [current().address(sequence[place]) for place in places]
        bounds = [0, *accumulate(-(-size // CHUNK) for size in sizes)]
        table.sizes[: len(places)], table.chunks[: len(bounds)] = sizes, bounds
        yield table, len(places), bounds[-1]


def _reject_other_arrays(parameters: Sequence[Array], sequence: Sequence[Array] | None) -> None:
    """Raise for arrays that are not of their parameter's size, of the first one's type, and contiguous."""
    for array, parameter in zip(sequence if sequence is not None else parameters, parameters, strict=True):
        if array.size != parameter.size or array.dtype != parameters[0].dtype:
            raise ValueError(
                f"an optimizer's array has shape {array.shape} and type {array.dtype}; its parameter has shape "
                f"{parameter.shape}, the first parameter type {parameters[0].dtype}"
            )
        if not is_contiguous(array):
            raise TypeError(f"an optimizer's array of shape {array.shape} is not C-contiguous")


def _launch(function: Function, blocks: int, arguments: tuple, shared: int = 0) -> None:
    """At most `blocks` blocks, and no more than the device holds."""
    blocks = min(blocks, current().resident_blocks(function, THREADS, shared))
    launch_blocks(function, arguments, (blocks, 1, 1), (THREADS, 1, 1), shared)


def _run(
    name: str,
    kinds: tuple[bool, ...],
    parameters: Sequence[Array],
    gradients: Sequence[Array],
    kept: tuple[Sequence[Array] | None, ...],
    numbers: tuple[float, ...],
) -> None:
    """One step for all parameters: see `optimizer_steps`."""
    if not parameters:
        return
    dtype, repeated = parameters[0].dtype, Repeated()
    captured = current_numbers()
    if captured is not None:
        place = captured.take((name, kinds, dtype, len(parameters)), numbers)
        if place is None:
            return
        repeated = Repeated(current().address(place), current().address(captured.loss))
    gradients = [contiguous(gradient) for gradient in gradients]  # kept until the kernels are queued
    settings = ((ctypes.c_double if dtype == np.float64 else ctypes.c_float) * len(numbers))(*numbers)
    for table, count, chunks in _tables(parameters, gradients, *kept):
        arguments = table, ctypes.c_int(count), settings, repeated
        if name == "lamb":
            sums = empty((2 * chunks,), np.dtype(np.float64))
            for part in ("lamb_moments", "lamb_update"):
                _launch(SOURCE(part, c_type(dtype)), chunks, (*arguments, sums), ROOM)
        else:
            _launch(SOURCE(name, c_type(dtype), *kinds), chunks, arguments)


_STEPS = Steps(_run)
sgd_step = _STEPS.sgd_step
adam_step = _STEPS.adam_step
adamax_step = _STEPS.adamax_step
nadam_step = _STEPS.nadam_step
lamb_step = _STEPS.lamb_step
schedule_free_step = _STEPS.schedule_free_step
adagrad_step = _STEPS.adagrad_step
adadelta_step = _STEPS.adadelta_step
rmsprop_step = _STEPS.rmsprop_step
lion_step = _STEPS.lion_step
ftrl_step = _STEPS.ftrl_step
blend = _STEPS.blend


@twin_of(reference.squared_norm)
def squared_norm(arrays: Sequence[Array]) -> Array:
    arrays = [contiguous(array) for array in arrays]
    pieces = sum(-(-array.size // CHUNK) for array in arrays)
    sums, done = empty((pieces + 1,), np.dtype(np.float64)), 0
    for table, count, chunks in _tables(arrays):
        arguments = table, ctypes.c_int(count), sums[done : done + chunks]
        _launch(SOURCE("squares", c_type(arrays[0].dtype)), chunks, arguments, ROOM)
        done += chunks
    _launch(SOURCE("sum_of_sums", "double"), 1, (sums, sums[pieces:], pieces), ROOM)
    return sums[pieces:].reshape(())


@twin_of(reference.limit_norm)
def limit_norm(arrays: Sequence[Array], squared_norm: Array, largest: float) -> list[Array]:
    arrays = [contiguous(array) for array in arrays]
    limited = [empty(array.shape, array.dtype) for array in arrays]
    for table, count, chunks in _tables(arrays, limited):
        arguments = table, ctypes.c_int(count), squared_norm, float(largest)
        _launch(SOURCE("limit_norm", c_type(arrays[0].dtype)), chunks, arguments)
    return limited
