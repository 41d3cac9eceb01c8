"""The matrix product on the GPU: on its tensor cores where `precision` allows it, else on its ordinary units."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from ..half_precision import is_half
from ..interface import twin_of
from ..precision import chosen_precision
from ..reference import dense as reference
from .copying import contiguous
from .functions import Source, c_type, instances
from .launching import BYTES_AT_ONCE, empty, launch, launch_blocks
from .runtime import Array, current

TILE_M, THREADS = 128, 128  # as in matrix_tiles.cuh
TILE_N, WIDE_N = 64, 128  # columns of a tile; on the tensor cores there are wide ones
STEP_BYTES = 128  # of k that a block takes at a time
STEPS = 3  # of both operands, in shared memory
LONGEST = 4096  # sum of one block, in whose order rounding errors pile up
LARGEST_SUMS = 1 << 26  # numbers in the buffer of split sums that are worth avoiding that
BLOCKS = 256  # are enough for the largest of GPUs; not its own number, so that results do not depend on it
FEWEST_STEPS = 4  # that are worth a block of their own

_LAYOUTS = ("true, false", "true, true", "false, false")  # of a and b: whether k is last
# On the tensor cores: float32 rounded as `precision` says, and numbers of 16 bits as they are.
ROUNDED = {"tf32": "TF32", "bfloat16": "BF16"}
OF_HALVES = {"float16": "Halves", "bfloat16": "BFloats"}
_EXACT, _ON_TENSOR_CORES = ("Exact<float>", "Exact<double>"), (*ROUNDED.values(), *OF_HALVES.values())
SOURCE = Source(
    "dense.cu",
    matmul=instances(_EXACT, (TILE_N,), _LAYOUTS) + instances(_ON_TENSOR_CORES, (TILE_N, WIDE_N), _LAYOUTS),
    add_splits=("float, float", "double, double", "Half, float", "BFloat16, float"),
)


class Product(ctypes.Structure):
    """Sizes and strides, as `matmul` takes them."""

    _fields_ = [
        (name, ctypes.c_longlong)
        for name in ("m", "n", "k", "a_stride", "b_stride", "a_batch", "b_batch", "splits", "depth", "aligned", "relu")
    ]


@dataclass(frozen=True)
class Operand:
    """A matrix, or a batch of them: the array, whether k is its last axis, and its strides in numbers."""

    array: Array
    k_last: bool
    stride: int
    batch_stride: int

    @property
    def aligned(self) -> bool:
        """Whether every row begins at a multiple of 16 bytes."""
        each = current().address(self.array), self.stride * self.itemsize, self.batch_stride * self.itemsize
        return all(bytes_ % BYTES_AT_ONCE == 0 for bytes_ in each)

    @property
    def itemsize(self) -> int:
        return self.array.dtype.itemsize


@twin_of(reference.matmul)
def matmul(
    a: Array,
    b: Array,
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Array | None = None,
    activation: str | None = None,
) -> Array:
    if activation not in (None, "relu"):
        raise ValueError(f'activation = {activation!r}: expected None or "relu"')
    m, k = (a.shape[-1], a.shape[-2]) if transpose_a else a.shape[-2:]
    n = b.shape[-2] if transpose_b else b.shape[-1]
    batch = len(a) if a.ndim == 3 else 1
    c = empty((*a.shape[:-2], m, n), a.dtype)
    if c.size == 0:
        return c
    left, right = _operand(a, not transpose_a), _operand(b, bool(transpose_b))
    if right.k_last and not left.k_last:  # of this kind there is no kernel
        a = contiguous(a.swapaxes(-1, -2) if transpose_a else a)
        left = Operand(a, True, k, m * k)
    arithmetic = _arithmetic(c.dtype)
    tile_n = WIDE_N if arithmetic in _ON_TENSOR_CORES and (n - 1) % WIDE_N + 1 - TILE_N > 0 else TILE_N
    tiles = batch * -(-m // TILE_M) * -(-n // tile_n)
    splits, depth = splits_of(k, tiles, c.size, c.dtype.itemsize)
    sums = c if splits == 1 else empty((batch, splits, m, n), sum_type(c.dtype))
    if bias is not None:
        bias = contiguous(bias)
    product = Product(
        m, n, k, left.stride, right.stride, left.batch_stride, right.batch_stride, splits, depth,
        left.aligned and right.aligned, activation == "relu",
    )  # fmt: skip
    launch_blocks(
        SOURCE("matmul", arithmetic, tile_n, left.k_last, right.k_last),
        (left.array, right.array, bias, c, sums, product),
        (tiles * splits, 1, 1),
        (THREADS, 1, 1),
        STEPS * (TILE_M + tile_n) * STEP_BYTES,
    )
    if splits > 1:
        add_splits(sums, bias, c, activation == "relu")
    return c


def _arithmetic(dtype: np.dtype) -> str:
    """How matrices of a type are multiplied. Raises TypeError for types that are not."""
    if is_half(dtype):
        return OF_HALVES[dtype.name]
    if dtype not in (np.float32, np.float64):
        raise TypeError(
            f"no CUDA kernel multiplies matrices of {dtype}: expected float16, bfloat16, float32 or float64"
        )
    return (ROUNDED.get(chosen_precision()) if dtype == np.float32 else None) or f"Exact<{c_type(dtype)}>"


def _operand(x: Array, k_last: bool) -> Operand:
    """x as kernels read it: with neighbours in memory in one of its last two axes. Another x is copied."""
    rows, columns = x.shape[-2:]
    strides = [stride // x.dtype.itemsize for stride in x.strides]
    batch = strides[0] if x.ndim == 3 else 0
    if (strides[-1] == 1 and columns > 1) or x.size == 0:
        return Operand(x, k_last, strides[-2], batch)
    if strides[-2] == 1 or rows == 1:
        return Operand(x, not k_last, strides[-1], batch)
    if columns == 1:
        return Operand(x, k_last, strides[-2], batch)
    return _operand(contiguous(x), k_last)


def splits_of(k: int, blocks: int, numbers: int, itemsize: int) -> tuple[int, int]:
    """(In how many parts to split sums of k terms, the length of each), if they are `numbers` results of `blocks`
    blocks: so that a GPU has enough of these, and none a sum that is too long. Follows from the sizes alone."""
    step = STEP_BYTES // itemsize
    steps = -(-k // step)
    wanted = max(1, min(BLOCKS // max(1, blocks), steps // FEWEST_STEPS))
    if numbers * -(-k // LONGEST) <= LARGEST_SUMS:
        wanted = max(wanted, -(-k // LONGEST))
    depth = max(1, -(-steps // wanted)) * step
    return max(1, -(-k // depth)), depth


def sum_type(dtype: np.dtype) -> np.dtype:
    """The type in which numbers of a type are summed."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def add_splits(sums: Array, bias: Array | None, y: Array, relu: bool) -> None:
    """y (B, …, n) = f(Σ sums + bias), from sums (B, splits, …, n)."""
    function = SOURCE("add_splits", c_type(y.dtype), c_type(sums.dtype))
    launch(function, (sums, bias, y, y.size // len(sums), y.shape[-1], sums.shape[1], y.size, relu), y.size)
