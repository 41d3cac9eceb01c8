"""Work on each channel of channels-last arrays (N, positions, C), with full SIMD lanes however few channels there are.

A run of whole positions is one line of numbers in which the channels repeat: c, c + C, c + 2C … Lines of `lanes`
numbers, a multiple of C and if possible of a given length (that of some vector registers), are worked on elementwise;
what is known of a channel (its mean, a sum) is repeated along a line likewise. A chunk is a fixed number of positions
of one sample, small enough for the second-level cache. Each chunk has its own sums, which are then added in the order
of the chunks in double precision: the result depends neither on the number of threads nor on who was first.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from ..memory import empty
from .bodies import scratch
from .mathematics import function
from .simd import Vector, load_part, splat, store, to_float64, vector_of
from .simd import lanes as width_of

LINE = 256  # numbers, of which the length of a line is a multiple unless something else is asked for
LONGEST = 2048  # numbers in a line that repeats its channels, at most
CACHE_LINE = 64  # bytes
CHUNK = 32768  # numbers in a chunk, about
STRIP = 4  # vector registers worked on together: so many that sums and constants stay in registers too
PLACES = 64  # numbers: more than a vector has
LEAST_LINES = 32  # lines in a chunk, at least: what is kept of a chunk must be small beside it


@cache
def _strip(dtype: np.dtype, lanes: int) -> Vector:
    return Vector(dtype, STRIP * lanes)


def strip_of(dtype: np.dtype) -> Vector:
    """STRIP vector registers as one vector."""
    return _strip(dtype, vector_of(dtype).lanes)


@dataclass(frozen=True)
class Lines:
    """How an array (samples, positions, channels) is cut into lines and chunks."""

    samples: int
    positions: int
    channels: int
    dtype: np.dtype
    multiple: int = LINE

    @cached_property
    def repeats(self) -> int:
        """Positions in a line: so many that it is a multiple of `multiple`, or else of a register, or else one."""
        for length in (self.multiple, 16):
            repeats = length // math.gcd(self.channels, length)
            if self.channels * repeats <= LONGEST:
                return repeats
        return 1

    @cached_property
    def lanes(self) -> int:
        """Numbers in a line."""
        return self.repeats * self.channels

    @cached_property
    def aligned(self) -> bool:
        """Whether all lines begin at a cache line, in an array that does."""
        numbers = (self.lanes, 0 if self.samples == 1 else self.positions * self.channels)
        return all(number * self.dtype.itemsize % CACHE_LINE == 0 for number in numbers)

    @cached_property
    def chunk_rows(self) -> int:
        """Positions in a chunk."""
        return self.repeats * max(LEAST_LINES, CHUNK // max(self.lanes, 1))

    @cached_property
    def chunks(self) -> int:
        """Chunks in a sample."""
        return -(-self.positions // self.chunk_rows) if self.channels else 0

    @cached_property
    def count(self) -> int:
        """Chunks altogether."""
        return self.samples * self.chunks

    @cached_property
    def grain(self) -> int:
        """How many chunks are worth a thread."""
        return max(1, CHUNK // 2 // max(min(self.positions, self.chunk_rows) * self.channels, 1))

    @cached_property
    def arguments(self) -> tuple[int, int, int, int, int]:
        """What the bodies are told: lanes, chunk_rows, chunks, positions, channels."""
        return self.lanes, self.chunk_rows, self.chunks, self.positions, self.channels

    def repeated(self, *per_channel: np.ndarray) -> np.ndarray:
        """Arrays (samples, channels), each repeated along a line: (samples, how many arrays, lanes), in the lines'
        type."""
        repeated = empty((self.samples, len(per_channel), self.repeats, self.channels), self.dtype)
        for position, array in enumerate(per_channel):
            repeated[:, position] = array[:, None]
        return repeated.reshape(self.samples, len(per_channel), self.lanes)


lines_of = lru_cache(maxsize=1024)(Lines)  # the same few arrays come back in every step of a training


@function
def chunk_at(chunk, chunk_rows, chunks, positions, channels):
    """(the sample that a chunk belongs to, where the chunk begins in the array, its positions)"""
    sample, place = chunk // chunks, (chunk % chunks) * chunk_rows
    return sample, (sample * positions + place) * channels, min(chunk_rows, positions - place)


@function
def add_chunks(vector, lanes, chunks, channels, quantities, sums, sample, totals):
    """totals[n, q, c] = the sum of sums[k, q, j] over the chunks k of sample n and the places j of channel c, for one
    n and all q, c: place by place, some at a time, then over the places of a channel."""
    room, pitch = scratch(totals, PLACES), quantities * lanes
    for quantity in range(quantities):
        total = (sample * quantities + quantity) * channels
        for c in range(total, total + channels):
            totals[c] = 0
        c = 0
        for j in range(0, lanes, width_of(vector)):
            at, number = sample * chunks * pitch + quantity * lanes + j, lanes - j
            place = to_float64(splat(vector, 0))
            for _ in range(chunks):
                place = place + to_float64(load_part(vector, sums, at, number))
                at += pitch
            store(room, 0, place)
            for k in range(min(number, width_of(vector))):
                totals[total + c] += room[k]
                c = c + 1 if c + 1 < channels else 0
