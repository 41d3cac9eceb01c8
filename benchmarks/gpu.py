"""What is different on a GPU: batches that fill it, arrays that lie there, waiting for it, and its ceilings.

The shapes are the suite's, with more examples a batch: a GPU is measured when it is full. cuBLAS, through CuPy, gives
the ceiling of multiply-adds, with a product of large matrices in the precision that is measured; the driver's copy that
of bandwidth. `OnGPU` is how CuPy times (timing.py).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from .convolutions import ITEM, Convolution
from .networks import Classifier, Network, Segmenter
from .operations import Dense, Operation
from .recurrences import Recurrence
from .timing import bytes_to_write

CUDA = "cuda"  # a variant of every engine: its arrays lie on the GPU
FULL = 256 * 2**20  # bytes that a kernel moves at least
MOST = 4096  # times the batch, at most
MOST_STEPS = 64  # times that of a recurrent layer, whose steps wait for each other
NUMBERS_OF_INPUT = 2**20  # that a network's batch has at least: seven engines hold their activations at a time
SIDE = 8192  # of the square matrices whose product is the ceiling of multiply-adds
EXACT, TF32, BFLOAT16, FLOAT16 = PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
_COMPUTE = {EXACT: 68, TF32: 77, BFLOAT16: 68, FLOAT16: 68}  # cublasComputeType_t: _32F, and with TF32 products
_FACTORS = {EXACT: np.float32, TF32: np.float32, BFLOAT16: np.uint16, FLOAT16: np.float16}  # bfloat16 by its bits


def enlarged(case: Any) -> Any:
    """The case with its batch doubled until it fills a GPU."""
    most = MOST_STEPS if isinstance(case, Recurrence) else MOST
    for _ in range(most.bit_length() - 1):
        if _is_full(case):
            break
        case = _doubled(case)
    return case


def _is_full(case: Any) -> bool:
    if isinstance(case, Classifier | Segmenter):
        return case.batch * prod(case.input_shape) >= NUMBERS_OF_INPUT
    return case.bytes(case.passes[0]) >= FULL


def _doubled(case: Any) -> Any:
    if isinstance(case, Convolution | Classifier | Segmenter | Recurrence):
        return replace(case, batch=2 * case.batch)
    if isinstance(case, Dense):
        return replace(case, rows=2 * case.rows)
    return replace(case, shape=(2 * case.shape[0], *case.shape[1:])) if isinstance(case, Operation) else case


_drawn: dict[str, Any] = {"case": None, "arrays": {}}


def drawn(case: Any) -> dict[str, np.ndarray]:
    """The arrays of a case in main memory, drawn once for all its passes, which come one after another."""
    if _drawn["case"] is not case:
        _drawn.update(case=case, arrays=case.arrays())
    return _drawn["arrays"]


def placed(arrays: dict[str, np.ndarray], dtype: Any = None) -> dict[str, Any]:
    """The arrays on the GPU, as they are or in another type."""
    import cupy

    return {name: cupy.asarray(array, dtype) for name, array in arrays.items()}


def fetched(result: Any) -> np.ndarray:
    """A result in main memory."""
    return result if isinstance(result, np.ndarray) else result.get()


class OnGPU:
    """CuPy's queue of work, as timing.Queue."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._over: Any = None  # made when it is needed: steps do without

    def event(self) -> Any:
        mark = self._cupy.cuda.Event()
        mark.record(self._cupy.cuda.get_current_stream())
        return mark

    def seconds(self, first: Any, last: Any) -> float:
        return self._cupy.cuda.get_elapsed_time(first, last) / 1e3

    def wait(self) -> None:
        self._cupy.cuda.Device().synchronize()

    def write_over_cache(self) -> None:
        if self._over is None:
            properties = self._cupy.cuda.runtime.getDeviceProperties(self._cupy.cuda.Device().id)
            self._over = self._cupy.empty(bytes_to_write(properties["l2CacheSize"]) // ITEM, self._cupy.float32)
        self._over.fill(0)


def held() -> int:
    """Bytes of the GPU's memory that are taken, by whomever."""
    import cupy

    free, total = cupy.cuda.runtime.memGetInfo()
    return total - free


def release() -> None:
    """Give back the memory that CuPy's pool keeps."""
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()


def facts() -> dict[str, Any]:
    """What a report says of the GPU."""
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    version = cupy.cuda.runtime.driverGetVersion()
    return {
        "gpu": properties["name"].decode(),
        "processors": properties["multiProcessorCount"],
        "memory": properties["totalGlobalMem"],
        "L2 cache": properties["l2CacheSize"],
        "CUDA of the driver": f"{version // 1000}.{version % 1000 // 10}",
        "cupy": cupy.__version__,
        **_told_by_the_driver(),
    }


_ASKED = {
    "driver": "driver_version",
    "highest clock of the multiprocessors": "clocks.max.sm",
    "power limit": "power.limit",
}


def _told_by_the_driver() -> dict[str, str]:
    """What nvidia-smi says of the first GPU; nothing where it is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED.values())}", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    values = [value.strip() for value in (told.stdout.splitlines() or [""])[0].split(",")]
    return dict(zip(_ASKED, values, strict=True)) if told.returncode == 0 and len(values) == len(_ASKED) else {}


def peak(precision: str = EXACT) -> tuple[Callable[[], Any], int]:
    """(run, operations of one run): a product of large matrices of random numbers by cuBLAS. float32 numbers are
    multiplied as they are, or rounded to TF32; those of bfloat16 and float16 are of that type, with float32 sums."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    runtime, handle = cupy.cuda.runtime, cupy.cuda.device.get_cublas_handle()
    kind = {BFLOAT16: runtime.CUDA_R_16BF, FLOAT16: runtime.CUDA_R_16F}.get(precision, runtime.CUDA_R_32F)
    a, b = (cupy.asarray(_factor(precision, seed)) for seed in (0, 1))
    c, one, zero = cupy.empty(a.shape, a.dtype), np.ones(1, np.float32), np.zeros(1, np.float32)
    matrices = [(each.data.ptr, kind, SIDE) for each in (a, b, c)]

    def run() -> Any:
        factors = one.ctypes.data, *matrices[0], *matrices[1], zero.ctypes.data, *matrices[2]
        cublas.gemmEx(handle, 0, 0, SIDE, SIDE, SIDE, *factors, _COMPUTE[precision], -1)
        return a, b, c  # which so live as long as the run

    return run, 2 * SIDE**3


def _factor(precision: str, seed: int) -> np.ndarray:
    """A square matrix of random numbers: a GPU multiplies zeros faster."""
    numbers = 2 * np.random.default_rng(seed).random((SIDE, SIDE), np.float32) - 1
    if precision == BFLOAT16:  # the upper half of a float32's bits
        return (numbers.view(np.uint32) >> 16).astype(np.uint16)
    return numbers.astype(_FACTORS[precision])


def copies(size: int) -> tuple[dict[str, Callable[[], Any]], int]:
    """({"copy": run}, bytes moved by one run): half of about `size` bytes read, half written."""
    import cupy

    x = cupy.arange(max(1, size // 2 // ITEM), dtype=cupy.float32)
    y = cupy.empty_like(x)
    return {
        "copy": lambda: y.data.copy_from_device_async(x.data, x.nbytes, cupy.cuda.get_current_stream())
    }, 2 * x.nbytes


def network_arrays(case: Network) -> tuple[Any, Any]:
    """A batch of a network on the GPU."""
    x, y = case.batch_arrays()
    there = placed({"x": x, "y": y})
    return there["x"], there["y"]
