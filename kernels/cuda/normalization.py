"""Batch and group normalisation on the GPU, with ReLU on the way, and their gradients.

Batch normalisation is group normalisation of one sample that has all positions, with a group for each channel: both
run through the same kernels. Samples of one position are rows, and have kernels of their own.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..interface import twin_of
from ..reference import normalization as reference
from .copying import contiguous
from .functions import REAL, Function, Source, c_type
from .launching import empty, launch
from .layer_normalization import LONGEST, normalize_rows, rows_gradient
from .lines import Lines, Sizes, launch_columns, launch_lines, lines_to_map, lines_to_sum, numbers_at_once, partial_sums
from .rows import WARP
from .runtime import Array, as_argument

_PACKS = ("float, 1", "float, 4", "double, 1", "double, 2")
SOURCE = Source(
    "normalization.cu",
    statistics=_PACKS,
    merge_statistics=REAL,
    normalize=_PACKS,
    gradient_sums=_PACKS,
    gradient_totals=REAL,
    add_tables=REAL,
    group_slopes=REAL,
    normalization_gradient=_PACKS,
)


@dataclass(frozen=True)
class _Samples:
    """x, in C order, as (samples, positions, channels), its channels in groups; a thread has n numbers side by side."""

    x: Array
    sizes: Sizes
    groups: int
    n: int

    @property
    def samples(self) -> int:
        return self.sizes[0]

    @property
    def positions(self) -> int:
        return self.sizes[1]

    @property
    def channels(self) -> int:
        return self.sizes[2]

    @cached_property
    def lines(self) -> Lines:
        return lines_to_sum(self.sizes, self.n)

    def kernel(self, name: str) -> Function:
        """A kernel that takes n numbers at once."""
        return SOURCE(name, c_type(self.x.dtype), self.n)

    def small_kernel(self, name: str) -> Function:
        return SOURCE(name, c_type(self.x.dtype))


def _one_sample(x: Array, *others: Array) -> _Samples:
    """As batch normalisation has it; `others` are read along with x."""
    sizes = 1, math.prod(x.shape[:-1]), x.shape[-1]
    return _Samples(x, sizes, x.shape[-1], numbers_at_once(sizes, x, *others))


def _examples(groups: int, x: Array, *others: Array) -> _Samples:
    """As group normalisation has it."""
    sizes = len(x), math.prod(x.shape[1:-1]), x.shape[-1]
    return _Samples(x, sizes, groups, numbers_at_once(sizes, x, *others))


_POINTERS = [(name, ctypes.c_void_p) for name in ("gamma", "beta", "mean", "variance")]


class _Known32(ctypes.Structure):
    """What kernels know of samples, groups and channels; None is a null pointer."""

    _fields_ = [*_POINTERS, ("epsilon", ctypes.c_float), ("groups", ctypes.c_longlong)]
    arrays: list[Array]  # keeps them alive


class _Known64(ctypes.Structure):
    _fields_ = [*_POINTERS, ("epsilon", ctypes.c_double), ("groups", ctypes.c_longlong)]
    arrays: list[Array]


_Known = _Known32 | _Known64


def _known(s: _Samples, epsilon: float, gamma: Array, beta: Array | None, mean: Array, variance: Array) -> _Known:
    arrays = [None if each is None else contiguous(each) for each in (gamma, beta, mean, variance)]
    kind = _Known64 if s.x.dtype == np.float64 else _Known32
    known = kind(*[as_argument(each) for each in arrays], epsilon, s.groups)
    known.arrays = arrays
    return known


def _statistics(s: _Samples) -> tuple[Array, Array]:
    """Mean and variance (samples, groups)."""
    mean, variance = (empty((s.samples, s.groups), s.x.dtype) for _ in range(2))
    partials = partial_sums(s.kernel("statistics"), s.lines, 2, s.n, (s.x,))
    arguments = partials, mean, variance, s.groups, s.lines
    launch_columns(s.small_kernel("merge_statistics"), s.samples, s.groups, arguments)
    return mean, variance


def _normalize(s: _Samples, known: _Known, relu: bool) -> Array:
    y = empty(s.x.shape, s.x.dtype)
    launch_lines(s.kernel("normalize"), lines_to_map(s.sizes, s.n), (s.x, y, known, relu))
    return y


def _gradient(s: _Samples, dy: Array, known: _Known, relu: bool) -> tuple[Array, Array, Array]:
    """dx, dgamma, dbeta: sums over chunks; over samples, and over the channels of a group; then dx."""
    dx = empty(s.x.shape, s.x.dtype)
    partials = partial_sums(s.kernel("gradient_sums"), s.lines, 2, s.n, (dy, s.x, known, relu, None))
    slopes, totals, *channels = _totals(s, partials, known)
    if s.channels != s.groups:
        launch(s.small_kernel("group_slopes"), (totals, known, slopes, s.lines), s.samples * s.groups * WARP)
    arguments = dy, s.x, known, relu, slopes, dx
    launch_lines(s.kernel("normalization_gradient"), lines_to_map(s.sizes, s.n), arguments)
    return dx, *_of_channels(s, totals, *channels)


def _totals(s: _Samples, partials: Array, known: _Known) -> tuple[Array, Array, Array, Array]:
    """The sums of chunks added up: the slopes of groups, if these are of one channel; totals (samples, 2, channels);
    dgamma and dbeta, if there is one sample."""
    slopes = empty((s.samples, s.groups, 2), s.x.dtype)
    totals = empty((s.samples, 2, s.channels), np.dtype(np.float64))
    dgamma, dbeta = (empty((s.channels,), s.x.dtype) for _ in range(2))
    of_groups = slopes if s.channels == s.groups else None
    of_channels = (dgamma, dbeta) if s.samples == 1 else (None, None)
    arguments = partials, known, totals, of_groups, *of_channels, s.lines
    launch_columns(s.small_kernel("gradient_totals"), s.samples, s.channels, arguments)
    return slopes, totals, dgamma, dbeta


def _of_channels(s: _Samples, totals: Array, dgamma: Array, dbeta: Array) -> tuple[Array, Array]:
    """dgamma and dbeta, where there are more samples than one."""
    if s.samples != 1:
        _add_tables(s, totals, s.samples, dgamma, dbeta)
    return dgamma, dbeta


def _add_tables(s: _Samples, tables: Array, count: int, dgamma: Array, dbeta: Array) -> None:
    arguments = tables, dgamma, dbeta, count, s.channels
    launch_columns(s.small_kernel("add_tables"), 1, s.channels, arguments)


def _is_relu(activation: str | None) -> bool:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    return activation == "relu"


# ---- batch normalisation ---------------------------------------------------------------------------------------------


@twin_of(reference.batch_norm)
def batch_norm(
    x: Array, gamma: Array, beta: Array, epsilon: float, activation: str | None = None
) -> tuple[Array, Array, Array]:
    relu, s = _is_relu(activation), _one_sample(contiguous(x))
    mean, variance = _statistics(s)
    return _normalize(s, _known(s, epsilon, gamma, beta, mean, variance), relu), mean[0], variance[0]


@twin_of(reference.batch_norm_gradient)
def batch_norm_gradient(
    dy: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    activation: str | None = None,
) -> tuple[Array, Array, Array]:
    relu, dy = _is_relu(activation), contiguous(dy)
    s = _one_sample(contiguous(x), dy)
    return _gradient(s, dy, _known(s, epsilon, gamma, beta, mean, variance), relu)


@twin_of(reference.batch_norm_inference)
def batch_norm_inference(
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    activation: str | None = None,
) -> Array:
    relu, s = _is_relu(activation), _one_sample(contiguous(x))
    return _normalize(s, _known(s, epsilon, gamma, beta, mean, variance), relu)


@twin_of(reference.batch_norm_inference_gradient)
def batch_norm_inference_gradient(
    dy: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
    activation: str | None = None,
) -> tuple[Array, Array, Array]:
    relu, dy = _is_relu(activation), contiguous(dy)
    s = _one_sample(contiguous(x), dy)
    known = _known(s, epsilon, gamma, beta, mean, variance)
    dx = empty(s.x.shape, s.x.dtype)
    partials = partial_sums(s.kernel("gradient_sums"), s.lines, 2, s.n, (dy, s.x, known, relu, dx))
    _, _, dgamma, dbeta = _totals(s, partials, known)
    return dx, dgamma, dbeta


# ---- group normalisation ---------------------------------------------------------------------------------------------


def _are_rows(s: _Samples) -> bool:
    """Whether each group of an example lies in one piece, to be normalised by a few lanes or a block."""
    return s.positions == 1 and s.channels // s.groups <= LONGEST


@twin_of(reference.group_norm)
def group_norm(x: Array, groups: int, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    s = _examples(groups, contiguous(x))
    if _are_rows(s):
        rows = s.x.reshape(s.samples, s.channels)
        y, mean, variance = normalize_rows(rows, groups, contiguous(gamma), contiguous(beta), epsilon)
        return y.reshape(x.shape), mean, variance
    mean, variance = _statistics(s)
    return _normalize(s, _known(s, epsilon, gamma, beta, mean, variance), False), mean, variance


@twin_of(reference.group_norm_gradient)
def group_norm_gradient(
    dy: Array, x: Array, groups: int, gamma: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    dy = contiguous(dy)
    s = _examples(groups, contiguous(x), dy)
    if not _are_rows(s):
        return _gradient(s, dy, _known(s, epsilon, gamma, None, mean, variance), False)
    slopes, rows = (each.reshape(s.samples, s.channels) for each in (dy, s.x))
    known = contiguous(gamma), contiguous(mean), contiguous(variance)
    dx, partials, lines = rows_gradient(slopes, rows, groups, *known, epsilon=epsilon)
    dgamma, dbeta = (empty((s.channels,), s.x.dtype) for _ in range(2))
    _add_tables(s, partials, lines.chunks, dgamma, dbeta)
    return dx.reshape(x.shape), dgamma, dbeta
