"""The machine's own limits, measured by kernels of ours on the same threads: multiply-adds, and copying.

A kernel cannot compute faster than vectors that stay in registers are multiplied and added, nor move its operands
faster than a plain copy moves as many bytes. Copies are made in both ways that there are, through the caches and past
them (streaming stores); the faster one is the limit.
"""

# mypy: disable-error-code="var-annotated"
# Numba, not Python, types what the bodies unpack.

# mypy: disable-error-code="call-arg"
# (Kernel bodies are Numba's language: the types of its intrinsics are known to its compiler alone.)

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tomograd.kernels.cpu import launch, simd
from tomograd.kernels.cpu.bodies import Constant, kernel, unpack, value
from tomograd.kernels.cpu.simd import lanes, load, store, vector_of
from tomograd.kernels.memory import empty

FLOAT = np.dtype(np.float32)
ROUNDS = 10_000  # multiply-adds of each accumulator in one item: some 30 µs
ITEMS = 256
LINE = 64  # bytes: a cache line, and the widest vector
GRAIN = 16  # KiB of a copy that are worth a thread
# The cache of compiled kernels knows the sources of the kernels; what stands here is told to it by this argument.
_SOURCE = Constant(int(hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12], 16))


@intrinsic
def multiply_adds(typing, vector, accumulators, factor, addend, rounds):
    """The sum of `accumulators` (a Constant) vectors, after each became a·factor + addend `rounds` times: a loop of
    independent multiply-adds between registers."""
    result = simd.VectorType(vector.element, vector.lanes)
    count = accumulators.number

    def generate(context, builder, signature, arguments):
        _, _, factor, addend, rounds = arguments
        kind = simd.llvm_vector(result)
        starts = [ir.Constant(kind, [float(number)] * result.lanes) for number in range(1, count + 1)]
        factors, addends = (simd.splat_value(builder, number, result.lanes) for number in (factor, addend))
        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        left = builder.phi(simd.INT64)
        sums = [builder.phi(kind) for _ in range(count)]
        remaining = builder.sub(left, ir.Constant(simd.INT64, 1))
        left.add_incoming(rounds, before)
        left.add_incoming(remaining, loop)
        products = [simd.fma_value(builder, a, factors, addends) for a in sums]
        for phi, start, product in zip(sums, starts, products, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(product, loop)
        builder.cbranch(builder.icmp_signed(">", remaining, ir.Constant(simd.INT64, 0)), loop, after)
        builder.position_at_end(after)
        total = products[0]
        for product in products[1:]:
            total = builder.fadd(total, product)
        return total

    return result(vector, accumulators, types.float32, types.float32, types.intp), generate


@intrinsic
def stream(typing, pointer, index, value):
    """pointer[index : index + lanes] = value, past the caches; the address must be a multiple of the vector's size."""

    def generate(context, builder, signature, arguments):
        kind = arguments[2].type
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), kind.as_pointer())
        stored = builder.store(arguments[2], address)
        stored.align = kind.count * FLOAT.itemsize
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(simd.INT32, 1)]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), generate


@kernel
def _multiply_add_items(begin, end, arguments):
    vector, accumulators, _source, factor, addend, rounds, sums = unpack(arguments)
    for item in range(begin, end):
        store(sums, item * lanes(vector), multiply_adds(vector, accumulators, factor, addend, rounds))


@kernel
def _copy_lines(begin, end, arguments):
    vector, numbers, _source, x, y = unpack(arguments)
    for i in range(begin * value(numbers), end * value(numbers), lanes(vector)):
        store(y, i, load(vector, x, i))


@kernel
def _stream_lines(begin, end, arguments):
    vector, numbers, _source, x, y = unpack(arguments)
    for i in range(begin * value(numbers), end * value(numbers), lanes(vector)):
        stream(y, i, load(vector, x, i))


def accumulators(level: simd.Level) -> int:
    """Three quarters of the registers: enough to hide the latency of a multiply-add, and none is spilled."""
    return 3 * level.registers // 4


def peak() -> tuple[Callable[[], None], int]:
    """(run, operations of one run): multiply-adds in registers, on all threads that kernels use now."""
    vector, count = vector_of(FLOAT), accumulators(simd.level())
    sums = empty((ITEMS, vector.lanes), FLOAT)
    arguments = (vector, Constant(count), _SOURCE, np.float32(0.5), np.float32(1.0), ROUNDS, sums)
    operations = 2 * ITEMS * ROUNDS * count * vector.lanes
    return lambda: launch.run(_multiply_add_items, ITEMS, 1, *arguments), operations


def copies(size: int) -> tuple[dict[str, Callable[[], None]], int]:
    """({"copy": run, "streaming copy": run}, bytes moved by one run): half of about `size` bytes read, half written."""
    lines = max(1, round(size / 2 / LINE))
    numbers, vector = LINE // FLOAT.itemsize, vector_of(FLOAT)
    x, y = aligned(lines * numbers), aligned(lines * numbers)
    x[...], y[...] = 1, 0
    arguments = (vector, Constant(numbers), _SOURCE, x, y)
    grain = GRAIN * 1024 // LINE

    def run(body: Callable) -> Callable[[], None]:
        return lambda: launch.run(body, lines, grain, *arguments)

    return {"copy": run(_copy_lines), "streaming copy": run(_stream_lines)}, 2 * LINE * lines


def aligned(count: int) -> np.ndarray:
    """`count` float32 that begin at a cache line."""
    room = empty(count + LINE // FLOAT.itemsize, FLOAT)
    return room[-room.ctypes.data % LINE // FLOAT.itemsize :][:count]
