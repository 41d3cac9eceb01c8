"""Maps along the last spatial axis in full SIMD lanes, where there are fewer channels than lanes.

Along an axis, output o reads a few inputs i (an `Axis`: windows of pooling, neighbours of resizing). A row of an array
(…, W, C) is one line of W · C numbers, and an output vector is a run of such numbers, from several positions. Its lanes
read scattered numbers, but close together: they are picked out of a window of two registers by a shuffle, whose pattern
is made beforehand. Patterns repeat (after a few vectors in pooling, or resizing by a whole factor), so those in use are
few and stay in the cache. At stride 1 the lanes read runs of numbers, without a shuffle.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..memory import empty
from .mathematics import function
from .simd import (
    INT32,
    Vector,
    VectorType,
    call_intrinsic,
    lanes,
    llvm_element,
    llvm_vector,
    load,
    load_part,
    load_value,
    splat,
    store,
    store_part,
    suffix,
)

# ---- the map ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Axis:
    """The entries of a map along one axis: entry e takes value[e] · x[source[e]] to y[target[e]]."""

    outputs: int
    inputs: int
    target: np.ndarray
    source: np.ndarray
    value: np.ndarray

    @cached_property
    def transposed(self) -> "Axis":
        return Axis(self.inputs, self.outputs, self.source, self.target, self.value)

    @cached_property
    def sorted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """starts (outputs + 1,): where the entries of each output begin; their sources and values, in order."""
        order = np.argsort(self.target, kind="stable")
        starts = np.searchsorted(self.target[order], np.arange(self.outputs + 1))
        return starts.astype(np.int64), self.source[order].astype(np.int64), self.value[order]


IDENTITY = Axis(1, 1, np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1))


@dataclass(frozen=True)
class Steps:
    """Steps in which a row is made, one after the other: step s reads the numbers read[0][s] … read[1][s] of a row and
    writes the numbers written[0][s] … written[1][s]. It has degrees[s] entries, or 0 if it is not a regular one."""

    read: tuple[np.ndarray, np.ndarray]
    written: tuple[np.ndarray, np.ndarray]
    degrees: np.ndarray


# ---- the map in lanes ------------------------------------------------------------------------------------------------

# The columns of `LaneMap.vectors`: the first number that a vector writes, how many, and its first entry.
OUT, COUNT, FIRST, VECTOR_COLUMNS = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class LaneMap:
    """An axis for the bodies, in vectors: vector v writes a run of numbers of the output row, from its entries.

    An entry is a base (a number of the input row) and a pattern (where it begins): lane l reads base + indices[pattern
    + l] and weighs it by values[pattern + l]; a lane with the value `missing` reads nothing.
    """

    vectors: np.ndarray  # (vectors + 1, VECTOR_COLUMNS)
    entries: np.ndarray  # (entries, 2): base, pattern
    indices: np.ndarray  # (patterns · lanes,)
    values: np.ndarray  # (patterns · lanes,)
    full: np.ndarray  # (entries,) whether all lanes read, and
    runs: np.ndarray  # (entries,) whether they read a run of numbers
    inputs: int  # numbers in an input row
    lanes: int

    @property
    def count(self) -> int:
        return len(self.vectors) - 1

    @property
    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the bodies are told."""
        return self.vectors, self.entries, self.indices, self.values

    @property
    def steps(self) -> Steps:
        """The vectors as steps. Regular ones are full, with entries that are, at the same distance from each other."""
        starts, out = self.vectors[:, FIRST], self.vectors[:-1, OUT].astype(np.int64)
        count, of_vector = self.vectors[:-1, COUNT], np.repeat(np.arange(self.count), np.diff(starts))
        base = self.entries[:, 0].astype(np.int64)
        end = base + self.indices.reshape(-1, self.lanes).max(1)[self.entries[:, 1] // self.lanes] + 1
        read = np.full(self.count, self.inputs), np.zeros(self.count, np.int64)
        np.minimum.at(read[0], of_vector, base)
        np.maximum.at(read[1], of_vector, end)
        irregular = (np.diff(out, append=-1) != count) | (count != count.max(initial=0))
        irregular[of_vector[~self.full]] = True
        return Steps(read, (out, out + count), np.where(irregular, 0, np.diff(starts)))


def _runs(axis: Axis, channels: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs of numbers that the vectors write, first and length: so that what they read mostly lies in a window."""
    size = axis.outputs * channels
    starts, sources, _ = axis.sorted
    some = starts[:-1] < starts[1:]
    step = int(np.diff(sources[starts[:-1][some]]).max(initial=1))
    boundaries = -(-(width - 1) // channels)  # between positions, in a vector
    if boundaries * (step - 1) * channels <= width:
        run = width
    else:
        run = channels * max(1, min(width // channels, (2 * width - channels) // (step * channels) + 1))
    first = np.arange(0, size, run)
    return first, np.minimum(run, size - first)


def _entries(axis: Axis, channels: int, width: int, first: np.ndarray, count: np.ndarray, missing):
    """Each as one array over all entries: vector, base, offset and value of each lane."""
    starts, sources, values = axis.sorted
    flat = np.minimum(first[:, None] + np.arange(width), axis.outputs * channels - 1)
    start, degree = starts[flat // channels], np.diff(starts)[flat // channels]
    idle = np.arange(width) >= count[:, None]
    degree = np.where(idle, 0, degree)
    found = []
    for tap in range(degree.max(initial=0)):
        wanted = degree > tap
        entry = np.minimum(start + tap, len(sources) - 1)
        source = sources[entry] * channels + flat % channels
        while wanted.any():
            rows = np.flatnonzero(wanted.any(1))
            want, here = wanted[rows], source[rows]
            base = np.where(want, here, np.iinfo(np.int64).max).min(1)
            # A shuffle that begins at a multiple of the lanes loads what was stored at once.
            run = (~want | (here - base[:, None] == np.arange(width))).all(1)
            below = base - base % width
            fits = (~want | (here - below[:, None] < 2 * width)).all(1)
            base = np.where(fits & ~run, below, base)
            offset = here - base[:, None]
            taken = want & (offset < 2 * width)
            offsets = np.where(taken, offset, 0)
            found.append(
                (rows, base, offsets, np.where(taken, values[entry[rows]], missing), (taken | idle[rows]).all(1))
            )
            wanted[rows] &= ~taken
    if not found:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, width), int), np.zeros((0, width)), np.zeros(0, bool)
    vector, *others = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(vector, kind="stable")
    return vector[order], *(column[order] for column in others)


@lru_cache(maxsize=256)
def lane_map(axis: Axis, channels: int, vector: Vector, missing: float | int = 0) -> LaneMap:
    """The map along `axis` of rows with `channels` channels, for vectors like `vector`. Weights have its type; values
    that are whole numbers are as wide as its elements."""
    whole = np.dtype(f"i{vector.dtype.itemsize}")
    kind = vector.dtype if axis.value.dtype.kind == "f" else whole
    first, count = _runs(axis, channels, vector.lanes)
    of_vector, base, offsets, values, full = _entries(axis, channels, vector.lanes, first, count, missing)
    offsets, values = np.ascontiguousarray(offsets, whole), np.ascontiguousarray(values, kind)
    bits = np.concatenate([offsets, values.view(whole)], axis=1)
    _, chosen, pattern = np.unique(
        bits.view(np.dtype((np.void, bits.strides[0]))).ravel(), return_index=True, return_inverse=True
    )
    narrow = np.int32 if max(axis.inputs * channels, axis.outputs * channels, bits.size) < 2**31 else np.int64
    vectors = np.zeros((len(first) + 1, VECTOR_COLUMNS), narrow)
    vectors[:-1, OUT], vectors[:-1, COUNT] = first, count
    vectors[:, FIRST] = np.searchsorted(of_vector, np.arange(len(first) + 1))
    entries = np.stack([base, pattern * vector.lanes], axis=1).astype(narrow)
    runs = full & (offsets == np.arange(vector.lanes)).all(1)
    tables = (np.ascontiguousarray(table[chosen]).ravel() for table in (offsets, values))
    return LaneMap(vectors, entries, *tables, full, runs, axis.inputs * channels, vector.lanes)


def padded(array: np.ndarray, vector: Vector) -> np.ndarray:
    """`array`, or a copy with zeros behind it where it is shorter than a window of two registers."""
    if array.size >= 2 * vector.lanes:
        return array
    room = empty(2 * vector.lanes, array.dtype)
    room[: array.size], room[array.size :] = array.ravel(), 0
    return room


# ---- in a body -------------------------------------------------------------------------------------------------------


def _in_lanes(builder, loaded, element: types.Type, result: VectorType):
    """Whole numbers as wide as the lanes; others as they are."""
    kind = llvm_vector(result)
    if loaded.type == kind:
        return loaded
    return builder.sext(loaded, kind) if element.signed else builder.zext(loaded, kind)


def _lanes_of(vector, element: types.Type) -> VectorType:
    if isinstance(element, types.Float):
        return VectorType(element, vector.lanes)
    return VectorType({32: types.int32, 64: types.int64}[vector.element.bitwidth], vector.lanes)


@intrinsic
def _widened(typing, vector, numbers):
    result = _lanes_of(vector, numbers.element)

    def generate(context, builder, signature, arguments):
        return _in_lanes(builder, arguments[1], numbers.element, result)

    return result(vector, numbers), generate


@intrinsic
def _window(typing, vector, pointer, start, indices):
    """Lane l is pointer[start + indices[l] mod 2 · lanes]: one shuffle where the machine can shuffle two registers."""
    result = _lanes_of(vector, pointer.dtype)
    count, element = result.lanes, llvm_element(pointer.dtype)

    def shuffle(builder, first, second, offsets):
        name = {"v16f32": "ps", "v8f64": "pd", "v16i32": "d", "v8i64": "q"}[suffix(first.type)]
        operation = f"llvm.x86.avx512.vpermi2var.{name}.512"
        return call_intrinsic(builder, operation, first.type, [first, offsets, second])

    def generate(context, builder, signature, arguments):
        at, offsets = builder.gep(arguments[1], [arguments[2]]), arguments[3]
        kind = ir.VectorType(element, count)
        if count * result.element.bitwidth == 512:
            halves = (load_value(builder, builder.gep(at, [ir.Constant(INT32, i)]), kind) for i in (0, count))
            return shuffle(builder, *(_in_lanes(builder, half, pointer.dtype, result) for half in halves), offsets)
        every = ir.Constant(offsets.type, [2 * count - 1] * count)
        offsets, loaded = builder.and_(offsets, every), ir.Constant(kind, ir.Undefined)
        for lane in range(count):
            place = ir.Constant(INT32, lane)
            here = builder.load(builder.gep(at, [builder.extract_element(offsets, place)]))
            loaded = builder.insert_element(loaded, here, place)
        return _in_lanes(builder, loaded, pointer.dtype, result)

    return result(vector, pointer, types.intp, indices), generate


@function
def pick(vector, pointer, size, base, indices):
    """Lane l is pointer[base + indices[l]], 0 ≤ indices < 2 · lanes, where that lies in the array of `size` numbers; a
    lane for which it does not gets any number of the array. `size` is at least 2 · lanes."""
    start = min(max(base, 0), size - 2 * lanes(vector))
    if start != base:
        indices = indices + splat(indices, base - start)
    return _window(vector, pointer, start, indices)


@function
def pick_inside(vector, pointer, base, indices):
    """The same for a window of two registers that lies in the array altogether."""
    return _window(vector, pointer, base, indices)


@function
def get(vector, row, at, v, vectors):
    """What vector v reads or has written of a row of outputs that begins at `at`."""
    at, count = at + vectors[v * VECTOR_COLUMNS + OUT], vectors[v * VECTOR_COLUMNS + COUNT]
    if count == lanes(vector):
        return _widened(vector, load(vector, row, at))
    return _widened(vector, load_part(vector, row, at, count))


@function
def put(vector, row, at, v, vectors, numbers):
    """Writes vector v of the row of outputs that begins at `at`."""
    at, count = at + vectors[v * VECTOR_COLUMNS + OUT], vectors[v * VECTOR_COLUMNS + COUNT]
    if count == lanes(vector):
        store(row, at, numbers)
    else:
        store_part(row, at, numbers, count)
