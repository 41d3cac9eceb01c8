"""What kernels are predicted to need on a GPU before they have run there: something to hold what is measured against.

    python -m tomograd.benchmarks.predictions > docs/cuda-predictions.md

Two floors bound every kernel: the bytes that must move over the bandwidth, and the operations over the rate of the
units that do them. No kernel is faster; the larger floor says what it is made of. The prediction says by how much the
kernel that is there falls short of them:

- Bytes: what it moves beside what must move (a second pass over x, partial sums written and read).
- Operations: what a block computes for rows and columns that nobody has (`tile`), what of the GPU idles in the last
  round of blocks (`rounds`), and what feeds the units (`fed`). On the tensor cores this is the smallest of: mma.sync,
  which reaches 62% of Hopper's peak, the rest being wgmma's (Luo et al. 2024, arXiv:2402.13499); shared memory, 128
  bytes a cycle of a multiprocessor, through which every number of a and b goes in once, and out once for each warp that
  has its row or column; and the second-level cache, from which a block takes its rows and columns of a and b for each
  k (cp.async.cg passes the first-level cache by). On the ordinary units: 128 bytes a cycle of shared memory for the
  numbers that a thread multiplies, and the other instructions.

Launches are not guessed: the launchers are run, and their tiles noted (recording.py). The data sheet's ceilings are
leads; a report has measured ones.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from . import engine_tomograd, gpu
from .catalogue import KERNELS, Entry, entries
from .convolutions import FORWARD, INPUT_GRADIENT, Convolution
from .operations import GRADIENT, Dense, Operation
from .recording import Launch, launches_of
from .results import geometric_mean
from .tables import escaped, number, percent

STREAMING = 0.92  # of the bandwidth that kernels which only move memory are to reach
ISSUED = 0.85  # of the ordinary units' instructions that multiply and add, the rest being loads, addresses, loops
MMA_SYNC = 0.62  # of the tensor cores' peak
SHARED = 128  # bytes of shared memory that a multiprocessor moves in a cycle
OF_A_THREAD = {"correlate_few_inputs": 4, "correlate_few_outputs": 16, "correlate_channels": 4}  # see `_fed_units`
REGISTERS, SHARED_OF_ONE, RESERVED = 65536, 228 * 1024, 1024  # of a multiprocessor; reserved: of each block's
REGISTERS_PAGE = Path(__file__).resolve().parents[1] / "docs" / "cuda-registers.md"  # what kernels take, in a checkout
TENSOR_CORES = {"TF32": (gpu.TF32, 4), "BF16": (gpu.BFLOAT16, 4), "Halves": (gpu.FLOAT16, 2)}  # bytes of a number
WARP_ROWS, WARPS = 64, 4  # of a tile on the tensor cores


@dataclass(frozen=True)
class Chip:
    """A GPU by its data sheet: bytes, and multiplications and additions, a second."""

    name: str
    bandwidth: float
    rates: dict[str, float]
    processors: int
    clock: float
    cache: float  # bytes a second out of the second-level cache: no data sheet has it; microbenchmarks of others

    def a_cycle(self, precision: str) -> float:
        """Products that a multiprocessor adds in a cycle."""
        return self.rates[precision] / 2 / self.processors / self.clock


_RATES = {gpu.EXACT: 66.9e12, gpu.TF32: 494.7e12, gpu.BFLOAT16: 989.4e12, gpu.FLOAT16: 989.4e12}
H100 = Chip("H100 SXM", 3.35e12, _RATES, 132, 1.83e9, 5.5e12)
H200 = Chip("H200 SXM", 4.8e12, _RATES, 132, 1.83e9, 5.5e12)


@dataclass(frozen=True)
class Prediction:
    """Seconds of a kernel, by bytes and by operations: the floors, and what is predicted; and the shares that make the
    difference."""

    kernel: str
    memory_floor: float
    arithmetic_floor: float
    memory: float
    arithmetic: float
    tile: float = 1.0
    rounds: float = 1.0
    fed: float = 1.0
    by: str = ""  # what feeds the units least
    blocks: int = 0  # that a multiprocessor holds

    @property
    def floor(self) -> float:
        return max(self.memory_floor, self.arithmetic_floor)

    @property
    def seconds(self) -> float:
        return max(self.memory, self.arithmetic)

    @property
    def bound(self) -> str:
        """What the prediction is made of."""
        return "bytes" if self.memory >= self.arithmetic else f"operations: {self.by}"


def predict(entry: Entry, precision: str = gpu.EXACT, chip: Chip = H100) -> Prediction | None:
    """The prediction for a row of the suite; None for recurrent cells, whose steps wait for each other."""
    if isinstance(entry.case, Operation):
        return _of_operation(entry.case, entry.which, chip)
    if isinstance(entry.case, Convolution | Dense):
        return _of_product(entry.case, entry.which, precision, chip)
    return None


# ---- kernels that move memory ----------------------------------------------------------------------------------------

# What is read again: the sources' heads say why. (Optimizers, pooling, activations, losses: nothing.)
AGAIN = {
    ("batch_norm", FORWARD): ("x",),
    ("batch_norm", GRADIENT): ("dy", "x"),
    ("group_norm", FORWARD): ("x",),
    ("group_norm", GRADIENT): ("dy", "x"),
    ("layer_norm", GRADIENT): ("dy", "x"),
    ("dice", GRADIENT): ("t",),
}


def _of_operation(case: Operation, which: str, chip: Chip) -> Prediction:
    must, sizes = case.bytes(which), case.sizes()
    moved = must + sum(sizes[name] for name in AGAIN.get((case.kind, which), ()))
    arithmetic = case.operations(which) / chip.rates[gpu.EXACT]
    return Prediction(
        case.kind, must / chip.bandwidth, arithmetic, moved / chip.bandwidth / STREAMING, arithmetic / ISSUED,
        by="instructions",
    )  # fmt: skip


# ---- products --------------------------------------------------------------------------------------------------------


def _of_product(case: Convolution | Dense, which: str, precision: str, chip: Chip) -> Prediction:
    item = 2 if precision == gpu.FLOAT16 else 4
    arrays = {name: np.empty(shape, f"f{item}") for name, shape in _shapes(case).items()}
    rounded = precision if precision in (gpu.TF32, gpu.BFLOAT16) else gpu.EXACT
    launches, allocated = launches_of(lambda: engine_tomograd.run_of(case, which, arrays), rounded)
    result = _result(case, which)
    main = launches[0]
    operations, must = case.operations(which), case.bytes(which) * item // 4
    unit = TENSOR_CORES.get(main.arguments[0], (gpu.EXACT, 4))[0]
    tile, rounds = _tile_share(main, result), _rounds_share(main, chip)
    fed, by = _fed(main, chip)
    memory_floor, arithmetic_floor = must / chip.bandwidth, operations / chip.rates[precision]
    moved = must + 2 * (allocated - result * item)  # partial sums are written and read
    arithmetic = operations / chip.rates[unit] / (tile * rounds * fed)
    memory = moved / chip.bandwidth / STREAMING
    kernel = f"{main.function.file.removesuffix('.cu')}: {main.function.expression}"
    blocks = _resident(main)
    return Prediction(kernel, memory_floor, arithmetic_floor, memory, arithmetic, tile, rounds, fed, by, blocks)


def _shapes(case: Convolution | Dense) -> dict[str, tuple[int, ...]]:
    if isinstance(case, Convolution):
        shapes = case.operands()
        return shapes | {"dy": shapes["y"]}
    return {
        "x": (case.rows, case.inputs),
        "weight": (case.inputs, case.units),
        "bias": (case.units,),
        "dy": (case.rows, case.units),
    }


def _result(case: Convolution | Dense, which: str) -> int:
    """How many numbers a pass gives."""
    shapes = _shapes(case)
    name = "dy" if which == FORWARD else "x" if which == INPUT_GRADIENT else "weight"
    return math.prod(shapes[name])


def _tile_sides(launch: Launch) -> tuple[int, int] | None:
    """Rows and columns of a block's tile; None for kernels without."""
    kinds = launch.arguments
    if launch.function.file == "dense.cu":
        return 128, int(kinds[1])
    if kinds[0] in TENSOR_CORES or launch.kernel == "correlate":
        return int(kinds[1]), int(kinds[2])
    return (int(kinds[1]), int(kinds[2])) if launch.kernel == "correlate_weights" else None


def _tiles(launch: Launch) -> int:
    """All blocks' tiles, one for each part of the terms that a sum is cut in."""
    if _tile_sides(launch) and "splits" not in launch.fields:  # whose blocks may go on to the next tile
        return math.prod(launch.numbers[:3]) * launch.fields["groups"] * launch.fields["phases"]  # down, across, parts
    return launch.blocks


def _tile_share(launch: Launch, result: int) -> float:
    """How much of what the tiles compute is asked for."""
    sides = _tile_sides(launch)
    if sides is None:
        return 1.0
    parts = launch.fields.get("splits") or launch.numbers[2]
    return result / (_tiles(launch) // parts * sides[0] * sides[1])


def _rounds_share(launch: Launch, chip: Chip) -> float:
    """How much of the GPU is at work, if all blocks take as long: the last round is not full."""
    rounds = _tiles(launch) / (chip.processors * _resident(launch))
    return rounds / math.ceil(rounds) if _tile_sides(launch) else 1.0


def _resident(launch: Launch) -> int:
    """Blocks that a multiprocessor holds."""
    registers = registers_of(REGISTERS_PAGE).get((launch.function.file, launch.function.expression))
    by_registers = REGISTERS // (-(-registers // 8) * 8 * launch.threads) if registers else 32
    return max(1, min(2048 // launch.threads, SHARED_OF_ONE // (launch.shared + RESERVED), by_registers, 32))


def _fed(launch: Launch, chip: Chip) -> tuple[float, str]:
    """The share of the units' peak at which they are fed, and by what."""
    kind = launch.arguments[0]
    if kind in TENSOR_CORES:
        return _fed_tensor_cores(launch, kind, chip)
    return _fed_units(launch)


def _fed_tensor_cores(launch: Launch, kind: str, chip: Chip) -> tuple[float, str]:
    precision, item = TENSOR_CORES[kind]
    rows, columns = _tile_sides(launch) or (0, 0)
    products, in_a_cycle = rows * columns, chip.a_cycle(precision)  # for each k
    warp_columns = products // WARPS // WARP_ROWS
    through_shared = (rows + columns + WARPS * (WARP_ROWS + warp_columns)) * item
    from_cache = (rows + columns) * item
    of_one = chip.cache / chip.processors / chip.clock  # bytes in a cycle
    return min(
        (MMA_SYNC, "mma.sync"),
        (products / (through_shared / SHARED) / in_a_cycle, "shared memory"),
        (products / (from_cache / of_one) / in_a_cycle, "second-level cache"),
    )


def _fed_units(launch: Launch) -> tuple[float, str]:
    """A thread that has a · b sums reads a + b numbers for a · b products: those of 32 lanes take a + b cycles of
    shared memory, the products a · b / 4 of the units. Kernels without tiles are the same: pixels times channels, for
    the few outputs pixels and packs of four channels."""
    if launch.function.file == "dense.cu":
        a, b = 8, 8
    elif _tile_sides(launch):
        a, b = (int(side) for side in launch.arguments[3:5])
    else:
        a = OF_A_THREAD.get(launch.kernel, 4)
        b = int(launch.arguments[1]) if launch.kernel != "correlate_channels" else 1
    products, reads = a * b / 4, a + b
    if reads > products:
        return ISSUED * products / reads, "reads of a thread"
    return ISSUED, "instructions"


@cache
def registers_of(page: Path) -> dict[tuple[str, str], int]:
    """Registers of a thread of each kernel on sm_90; nothing where the page is missing, as where no checkout is."""
    if not page.exists():
        return {}
    rows = re.findall(r"^\| `(\S+)` \| `(.+)` \| \d+ \| (\d+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {(file, expression): int(count) for file, expression, count in rows}


# ---- the page --------------------------------------------------------------------------------------------------------

_PRECISIONS = {
    gpu.EXACT: "float32: all kernels",
    gpu.TF32: "TF32: kernels with products",
    gpu.FLOAT16: "float16: convolutions and dense layers",
}
_HEAD = """# What is predicted of the CUDA kernels

Written by `python -m tomograd.benchmarks.predictions > docs/cuda-predictions.md`; `benchmarks/predictions.py` says how.
**Nothing here is measured.** Batches are those of `tomograd bench kernels --device cuda`, the ceilings those of the
data sheet of an {chip}: {bandwidth:.2f} TB/s, {rates} TF/s. A report of a run has the
measured time beside its prediction.

- *bytes*, *operations*: the two floors, in milliseconds; *predicted*: what this kernel is expected to take, in
  milliseconds, and *of floor*, what of it the larger floor is.
- *tile*, *rounds*, *fed*: shares of the units' peak that are left by tiles that are not full, by the last round of
  blocks, and by what feeds the units; *blocks*: that a multiprocessor holds; *bound*: what the prediction is made of.
"""


def page(chip: Chip = H100) -> str:
    """All predictions as Markdown."""
    rates = ", ".join(f"{name} {rate / 1e12:.0f}" for name, rate in chip.rates.items())
    parts = [_HEAD.format(chip=chip.name, bandwidth=chip.bandwidth / 1e12, rates=rates)]
    parts += ["## By family\n", *families(chip), ""]
    for precision, heading in _PRECISIONS.items():
        parts += [f"## {heading}\n", *rows(precision, chip), ""]
    return "\n".join(parts)


def families(chip: Chip) -> Iterator[str]:
    """What share of their floor the kernels of each family are predicted to reach, and what bounds how many of them."""
    found: dict[tuple[str, str], list[Prediction]] = {}
    for precision in _PRECISIONS:
        for entry in entries(KERNELS, True):
            one = predict(entry, precision, chip) if _has_row(entry, precision) else None
            if one is not None:
                family = one.kernel.partition(":")[0] if _is_product(entry) else entry.group
                found.setdefault((family, precision), []).append(one)
    yield "| family | precision | rows | of floor: least | geometric mean | most | bound by | measured |"
    yield "|" + " --- |" * 8
    for (family, precision), several in sorted(found.items()):
        shares = sorted(one.floor / one.seconds for one in several)
        bounds = Counter(one.bound for one in several).most_common()
        said = "; ".join(f"{bound} ({count})" for bound, count in bounds)
        means = percent(shares[0]), percent(geometric_mean(shares)), percent(shares[-1])
        yield f"| `{family}` | {precision} | {len(several)} | {' | '.join(means)} | {said} | open |"


def _is_product(entry: Entry) -> bool:
    return isinstance(entry.case, Convolution | Dense)


def _has_row(entry: Entry, precision: str) -> bool:
    return precision == gpu.EXACT or _is_product(entry)


def rows(precision: str, chip: Chip) -> Iterator[str]:
    """The table of a precision."""
    heads = [
        "row",
        "kernel",
        "bytes",
        "operations",
        "predicted",
        "of floor",
        "tile",
        "rounds",
        "fed",
        "blocks",
        "bound",
    ]
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    for entry in entries(KERNELS, True):
        one = predict(entry, precision, chip) if _has_row(entry, precision) else None
        if one is None:
            continue
        product = _is_product(entry)
        shares = (
            [percent(each) for each in (one.tile, one.rounds, one.fed)] + [str(one.blocks)] if product else ["–"] * 4
        )
        times = [number(1e3 * each) for each in (one.memory_floor, one.arithmetic_floor, one.seconds)]
        cells = [escaped(entry.label), f"`{one.kernel}`", *times, percent(one.floor / one.seconds), *shares, one.bound]
        yield f"| {' | '.join(cells)} |"


def of_suite(precision: str, gpu_name: str) -> tuple[Chip, dict[str, Prediction]]:
    """The predictions for a GPU by the labels of its rows; those of an H100 for one that is neither it nor an H200."""
    chip = H200 if "H200" in gpu_name else H100
    found = {entry.label: predict(entry, precision, chip) for entry in entries(KERNELS, True)}
    return chip, {label: one for label, one in found.items() if one is not None}


if __name__ == "__main__":
    print(page(), end="")
