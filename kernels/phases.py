"""The phases of a transposed convolution along one dimension: output positions a stride apart, that share their taps.

Pure Python on ints: what the kernels of every processor sum up. Each phase is a convolution with stride 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd


@dataclass(frozen=True)
class Phase:
    """One dimension of one output phase of a transposed convolution: the positions `first`, first + stride, …

    Position j of it is Σ over its taps n = 0, 1, … of w[tap + n·tap_step] · x[j + n·dilation − before]."""

    first: int
    count: int
    taps: int
    tap: int  # the kernel's tap that comes first, and the step to the next
    tap_step: int
    dilation: int
    before: int


def phases_of_transpose(
    output_size: int, kernel_size: int, stride: int, dilation: int, before: int, begin: int = 0
) -> list[Phase]:
    """Position i = j·stride + first of the transpose's output meets input position o through tap t where

        o·stride + t·dilation − before = i,   so   t·dilation ≡ first + before  (mod stride):

    every (stride / gcd)th tap from the first such one, o falling by dilation / gcd from each to the next. Read
    backwards, this is a convolution with stride 1 and dilation rate dilation / gcd. `begin`: the first position of
    interest."""
    common = gcd(stride, dilation)
    phases = []
    for first in range(begin, min(begin + stride, output_size)):
        matching = [t for t in range(min(kernel_size, stride)) if (first + before - t * dilation) % stride == 0]
        start = matching[0] if matching else kernel_size
        taps = -(-(kernel_size - start) // (stride // common))
        nearest = (first + before - start * dilation) // stride  # o − j at the first tap
        phases.append(
            Phase(
                first,
                -(-(output_size - first) // stride),
                taps,
                start + (taps - 1) * (stride // common),
                -(stride // common),
                dilation // common,
                (taps - 1) * (dilation // common) - nearest,
            )
        )
    return phases
