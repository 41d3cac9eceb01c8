"""Linear maps along the spatial axes that are sparse and separable: average pooling, resizing, and their transposes.

Along an axis, output o is a weighted sum of a few inputs i; in several dimensions the weights multiply:

    y[n, o, c] = Σ w₀[o₀, i₀] · w₁[o₁, i₁] · w₂[o₂, i₂] · x[n, i, c]

A map along an axis is a table of its entries (o, i, w), sorted by o. The transposed map, which the gradient needs, is
the same entries sorted by i: so gradients are gathered as well, each written once, by whoever owns it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..memory import contiguous, empty
from .launch import kernel, run, unpack
from .mathematics import function
from .simd import Vector, lanes, load, splat, store, vector_of


@dataclass(frozen=True)
class Axis:
    """The entries of a map along one axis: entry e adds weight[e] · x[source[e]] to y[target[e]]."""

    outputs: int
    inputs: int
    target: np.ndarray
    source: np.ndarray
    weight: np.ndarray

    def transposed(self) -> "Axis":
        return Axis(self.inputs, self.outputs, self.source, self.target, self.weight)

    def sorted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """starts (outputs + 1,): where the entries of each output begin; their sources and weights, in order."""
        order = np.argsort(self.target, kind="stable")
        starts = np.searchsorted(self.target[order], np.arange(self.outputs + 1))
        return starts, self.source[order], self.weight[order]


IDENTITY = Axis(1, 1, np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1))


def tables(axes: Sequence[Axis]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sorted entries of three axes, one after the other: starts, sources (int64), weights (float64)."""
    starts, sources, weights, before = [], [], [], 0
    for axis in axes:
        start, source, weight = axis.sorted()
        starts.append(start + before)
        sources.append(source)
        weights.append(weight)
        before += len(source)
    return (np.concatenate(starts).astype(np.int64), np.concatenate(sources).astype(np.int64), np.concatenate(weights))


# ---- vectors of channels --------------------------------------------------------------------------------------------


@cache
def vector_for(dtype: np.dtype, channels: int) -> Vector:
    """The widest vectors that this machine has and that the channels fill: one, two, four … lanes."""
    return Vector(dtype, min(vector_of(dtype).lanes, 1 << (channels.bit_length() - 1)))


@function
def block_start(vector, block, channels):
    """The first channel of a vector: the last vector overlaps the one before rather than be cut."""
    return min(block, channels - lanes(vector))


# ---- the map --------------------------------------------------------------------------------------------------------


@kernel
def _separable(begin, end, arguments):
    vector, i0, i1, i2, o0, o1, o2, channels, starts, sources, weights, x, y = unpack(arguments)
    for row in range(begin, end):  # row = (n · o0 + p) · o1 + q
        q, p, sample = row % o1, (row // o1) % o0, row // (o1 * o0)
        for r in range(o2):
            first, last = starts[o0 + o1 + 2 + r], starts[o0 + o1 + 3 + r]
            for block in range(0, channels, lanes(vector)):
                c = block_start(vector, block, channels)
                total = splat(vector, 0)
                for a in range(starts[p], starts[p + 1]):
                    plane = sample * i0 + sources[a]
                    for b in range(starts[o0 + 1 + q], starts[o0 + 2 + q]):
                        line, weight = (plane * i1 + sources[b]) * i2, weights[a] * weights[b]
                        for e in range(first, last):
                            here = load(vector, x, (line + sources[e]) * channels + c)
                            total = total + here * (weight * weights[e])
                store(y, (row * o2 + r) * channels + c, total)


def apply(axes: Sequence[Axis], x: np.ndarray) -> np.ndarray:
    """The map along one to three spatial axes of x (N, *spatial, C)."""
    x = contiguous(x)
    padded = (*(IDENTITY,) * (3 - len(axes)), *axes)
    outputs, inputs = (tuple(getattr(axis, side) for axis in padded) for side in ("outputs", "inputs"))
    starts, sources, weights = tables(padded)
    y = empty((x.shape[0], *outputs[3 - len(axes) :], x.shape[-1]), x.dtype)
    if y.size:
        rows = x.shape[0] * outputs[0] * outputs[1]
        entries = math.prod(max(1, len(axis.source) // axis.outputs) for axis in padded)
        grain = max(1, 16384 // (outputs[2] * x.shape[-1] * entries))
        arguments = (*inputs, *outputs, x.shape[-1], starts, sources, weights.astype(x.dtype), x, y)
        run(_separable, rows, grain, vector_for(x.dtype, x.shape[-1]), *arguments)
    return y
