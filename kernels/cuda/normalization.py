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
from .lines import Lines, launch_columns, launch_lines, lines_to_map, lines_to_sum, numbers_at_once, partial_sums
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
    """x as (samples, positions, channels), its channels in groups."""

    x: Array
    samples: int
    positions: int
    channels: int
    groups: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.samples, self.positions, self.channels

    @cached_property
    def n(self) -> int:
        """Numbers that a thread has side by side."""
        return numbers_at_once(*self.sizes, self.x)

    @cached_property
    def lines(self) -> Lines:
        return lines_to_sum(*self.sizes, self.n)

    def kernel(self, name: str) -> Function:
        """A kernel that takes n numbers at once."""
        return SOURCE(name, c_type(self.x.dtype), self.n)

    def small_kernel(self, name: str) -> Function:
        return SOURCE(name, c_type(self.x.dtype))


def _one_sample(x: Array) -> _Samples:
    """As batch normalisation has it."""
    x = contiguous(x)
    return _Samples(x, 1, math.prod(x.shape[:-1]), x.shape[-1], x.shape[-1])


def _statistics(s: _Samples) -> tuple[Array, Array]:
    """Mean and variance (samples, groups)."""
    mean, variance = (empty((s.samples, s.groups), s.x.dtype) for _ in range(2))
    partials = partial_sums(s.kernel("statistics"), s.lines, 2, s.n, (s.x,))
    arguments = partials, mean, variance, s.groups, s.lines
    launch_columns(s.small_kernel("merge_statistics"), s.samples, s.groups, arguments)
    return mean, variance


def _known(s: _Samples, gamma: Array, beta: Array | None, mean: Array, variance: Array, epsilon: float):
    """What kernels know of samples, groups and channels, as their argument. The arrays must outlive it."""
    real = ctypes.c_double if s.x.dtype == np.float64 else ctypes.c_float

    class Known(ctypes.Structure):
        _fields_ = [
            *[(name, ctypes.c_void_p) for name in ("gamma", "beta", "mean", "variance")],
            ("epsilon", real),
            ("groups", ctypes.c_longlong),
        ]

    return Known(*[as_argument(each) for each in (gamma, beta, mean, variance)], epsilon, s.groups)


def _normalize(s: _Samples, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, relu: bool):
    y = empty(s.x.shape, s.x.dtype)
    known = _known(s, gamma, beta, mean, variance, epsilon)
    kernel = s.kernel("normalize")
    launch_lines(kernel, lines_to_map(kernel, *s.sizes, s.n), (s.x, y, known, relu))
    return y


def _gradient(
    s: _Samples, dy: Array, gamma: Array, beta: Array | None, mean: Array, variance: Array, epsilon: float, relu: bool
) -> tuple[Array, Array, Array]:
    """dx, dgamma, dbeta: sums over chunks; over samples, and over the channels of a group; then dx."""
    dx = empty(s.x.shape, s.x.dtype)
    known = _known(s, gamma, beta, mean, variance, epsilon)
    partials = partial_sums(s.kernel("gradient_sums"), s.lines, 2, s.n, (dy, s.x, known, relu, None))
    totals, slopes = _totals(s, partials, known)
    if s.channels != s.groups:
        launch(s.small_kernel("group_slopes"), (totals, known, slopes, s.lines), s.samples * s.groups * 32)
    kernel = s.kernel("normalization_gradient")
    launch_lines(kernel, lines_to_map(kernel, *s.sizes, s.n), (dy, s.x, known, relu, slopes, dx))
    return dx, *_added_up(s, totals, s.samples if s.positions else 0)


def _totals(s: _Samples, partials: Array, known: ctypes.Structure) -> tuple[Array, Array]:
    """The sums of chunks added up: totals (samples, 2, channels), undefined without positions; and the slopes of
    groups, if these are of one channel."""
    totals = empty((s.samples, 2, s.channels), np.dtype(np.float64))
    slopes = empty((s.samples, s.groups, 2), s.x.dtype)
    arguments = partials, known, totals, slopes if s.channels == s.groups else None, s.lines
    launch_columns(s.small_kernel("gradient_totals"), s.samples, s.channels, arguments)
    return totals, slopes


def _added_up(s: _Samples, tables: Array, count: int) -> tuple[Array, Array]:
    """dgamma and dbeta: the sum of some tables (2, channels)."""
    dgamma, dbeta = (empty((s.channels,), s.x.dtype) for _ in range(2))
    launch_columns(s.small_kernel("add_tables"), 1, s.channels, (tables, dgamma, dbeta, count, s.channels))
    return dgamma, dbeta


def _is_relu(activation: str | None) -> bool:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    return activation == "relu"


# ---- batch normalisation ---------------------------------------------------------------------------------------------


@twin_of(reference.batch_norm)
def batch_norm(
    x: Array, gamma: Array, beta: Array, epsilon: float, activation: str | None = None
) -> tuple[Array, Array, Array]:
    relu, s, gamma, beta = _is_relu(activation), _one_sample(x), contiguous(gamma), contiguous(beta)
    mean, variance = _statistics(s)
    return _normalize(s, gamma, beta, mean, variance, epsilon, relu), mean[0], variance[0]


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
    relu, s, dy = _is_relu(activation), _one_sample(x), contiguous(dy)
    known = [contiguous(each) for each in (gamma, beta, mean, variance)]
    return _gradient(s, dy, *known, epsilon, relu)


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
    relu, s = _is_relu(activation), _one_sample(x)
    known = [contiguous(each) for each in (gamma, beta, mean, variance)]
    return _normalize(s, *known, epsilon, relu)


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
    relu, s, dy = _is_relu(activation), _one_sample(x), contiguous(dy)
    gamma, beta, mean, variance = (contiguous(each) for each in (gamma, beta, mean, variance))
    known = _known(s, gamma, beta, mean, variance, epsilon)
    dx = empty(s.x.shape, s.x.dtype)
    partials = partial_sums(s.kernel("gradient_sums"), s.lines, 2, s.n, (dy, s.x, known, relu, dx))
    totals, _ = _totals(s, partials, known)
    return dx, *_added_up(s, totals, s.samples if s.positions else 0)


# ---- group normalisation ---------------------------------------------------------------------------------------------


def _samples(x: Array, groups: int) -> _Samples:
    x = contiguous(x)
    return _Samples(x, len(x), math.prod(x.shape[1:-1]), x.shape[-1], groups)


def _are_rows(s: _Samples) -> bool:
    """Whether each group of an example lies in one piece, to be normalised by a few lanes or a block."""
    return s.positions == 1 and s.channels // s.groups <= LONGEST


@twin_of(reference.group_norm)
def group_norm(x: Array, groups: int, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
    s, gamma, beta = _samples(x, groups), contiguous(gamma), contiguous(beta)
    if _are_rows(s):
        y, mean, variance = normalize_rows(s.x.reshape(s.samples, s.channels), groups, gamma, beta, epsilon)
        return y.reshape(x.shape), mean, variance
    mean, variance = _statistics(s)
    return _normalize(s, gamma, beta, mean, variance, epsilon, False), mean, variance


@twin_of(reference.group_norm_gradient)
def group_norm_gradient(
    dy: Array, x: Array, groups: int, gamma: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array, Array]:
    s, dy = _samples(x, groups), contiguous(dy)
    gamma, mean, variance = (contiguous(each) for each in (gamma, mean, variance))
    if not _are_rows(s):
        return _gradient(s, dy, gamma, None, mean, variance, epsilon, False)
    rows = (each.reshape(s.samples, s.channels) for each in (dy, s.x))
    dx, partials, lines = rows_gradient(*rows, groups, gamma, mean, variance, epsilon)
    return dx.reshape(x.shape), *_added_up(s, partials, lines.chunks)
