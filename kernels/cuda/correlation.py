"""The geometry of one sliding-window sum, as every convolution kernel on the GPU takes it: the launchers' side of
`convolution.cuh`, which has the formula.

A convolution is one `Correlation`. A transposed convolution gathers: in each dimension the output positions a stride
apart are reached by the same taps, a phase, and all phases are computed in one launch (in several, where a stride is
larger than PHASES). One and two dimensions are three with leading ones.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from typing import Any

from ..geometry import Pairs, Sizes
from ..phases import phases_of_transpose

PHASES = 8  # of one dimension, in one launch


class Along(ctypes.Structure):
    """One phase of one dimension. Its steps through x and w are positions until `_correlation` makes them elements."""

    _fields_ = [
        (name, ctypes.c_int) for name in ("inputs", "outputs", "taps", "step", "dilation", "before", "first", "apart")
    ] + [(name, ctypes.c_longlong) for name in ("input_step", "first_weight", "weight_step")]


class Correlation(ctypes.Structure):
    """All that a kernel knows of a convolution but its arrays. Read-only: instances are shared."""

    _fields_ = [
        ("batch", ctypes.c_longlong),
        ("x_strides", ctypes.c_longlong * 4),
        ("y_strides", ctypes.c_longlong * 4),
        ("w_strides", ctypes.c_longlong * 3),
        ("c_in", ctypes.c_int),
        ("c_out", ctypes.c_int),
        ("groups", ctypes.c_int),
        ("phases", ctypes.c_int * 3),
        ("along", Along * PHASES * 3),
    ]

    @cached_property
    def most_pixels(self) -> int:
        """Pixels of the largest phase, the first, in the whole batch."""
        return self.batch * prod(self.along[axis][0].outputs for axis in range(3))

    @cached_property
    def most_terms(self) -> int:
        """The most (tap, input channel) pairs that are summed in a phase."""
        taps = [max(phase.taps for phase in row[:count]) for row, count in zip(self.along, self.phases, strict=True)]
        return prod(taps) * self.c_in

    @cached_property
    def all_phases(self) -> int:
        return prod(self.phases)


@lru_cache(maxsize=1024)
def of_convolution(
    batch: int,
    input_size: Sizes,
    output_size: Sizes,
    kernel_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
    channels_in: int,
    channels_out: int,
) -> Correlation:
    """The sum that `conv` is, on contiguous arrays; channels are those of all groups together."""
    inputs, outputs, kernel = _three(input_size, 1), _three(output_size, 1), _three(kernel_size, 1)
    before = _three([pair[0] for pair in padding], 0)
    sizes = zip(inputs, outputs, kernel, _three(strides, 1), _three(dilation, 1), before, strict=True)
    along = [
        [Along(i, o, k, s, d, p, first=0, apart=1, input_step=d, first_weight=0, weight_step=1)]
        for i, o, k, s, d, p in sizes
    ]
    c, k = channels_in // groups, channels_out // groups
    weights = (*_strides(kernel, c * channels_out)[1:], channels_out, 1, k)
    return _correlation(batch, inputs, outputs, (c, k, groups), weights, along)


@lru_cache(maxsize=1024)
def of_transpose(
    batch: int,
    input_size: Sizes,
    output_size: Sizes,
    kernel_size: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
    channels_in: int,
    channels_out: int,
) -> tuple[Correlation, ...]:
    """The sums that `conv_transpose` is, on contiguous arrays: one, but for strides larger than PHASES."""
    inputs, outputs, kernel = _three(input_size, 1), _three(output_size, 1), _three(kernel_size, 1)
    before = _three([pair[0] for pair in padding], 0)
    sizes = zip(inputs, outputs, kernel, _three(strides, 1), _three(dilation, 1), before, strict=True)
    along = [_phases(*each) for each in sizes]
    c, k = channels_in // groups, channels_out // groups
    weights = (*_strides(kernel, k * channels_in)[1:], 1, channels_in, c)
    parts = [[phases[at : at + PHASES] for at in range(0, len(phases), PHASES)] for phases in along]
    return tuple(_correlation(batch, inputs, outputs, (c, k, groups), weights, part) for part in product(*parts))


def _phases(inputs: int, outputs: int, kernel: int, stride: int, dilation: int, before: int) -> list[Along]:
    """`phases_of_transpose`, as the kernels take them."""
    return [
        Along(
            inputs=inputs,
            outputs=phase.count,
            taps=phase.taps,
            step=1,
            dilation=phase.dilation,
            before=phase.before,
            first=phase.first,
            apart=stride,
            input_step=phase.dilation,
            first_weight=phase.tap,
            weight_step=phase.tap_step,
        )
        for phase in phases_of_transpose(outputs, kernel, stride, dilation, before)
    ]


def _correlation(
    batch: int,
    inputs: Sizes,
    outputs: Sizes,
    channels: tuple[int, int, int],
    weight_strides: Sequence[int],
    along: Sequence[Sequence[Along]],
) -> Correlation:
    """`weight_strides`: of the three dimensions of a tap, an input channel, an output channel, a group."""
    c, k, groups = channels
    result = Correlation(batch=batch, c_in=c, c_out=k, groups=groups)
    result.x_strides[:], result.y_strides[:] = _strides(inputs, c * groups), _strides(outputs, k * groups)
    result.w_strides[:] = weight_strides[3:]
    for axis, phases in enumerate(along):
        result.phases[axis] = len(phases)
        for number, phase in enumerate(phases):
            result.along[axis][number] = phase
            here = result.along[axis][number]
            here.input_step *= result.x_strides[axis + 1]
            here.first_weight *= weight_strides[axis]
            here.weight_step *= weight_strides[axis]
    return result


def _strides(sizes: Sizes, channels: int) -> tuple[int, int, int, int]:
    """Strides of (n, d, h, w) in a contiguous array (N, D, H, W, channels)."""
    w = channels
    h = w * sizes[2]
    d = h * sizes[1]
    return d * sizes[0], d, h, w


def _three(values: Sequence[int], fill: int) -> tuple[Any, ...]:
    return (fill,) * (3 - len(values)) + tuple(values)
