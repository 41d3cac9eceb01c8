"""What is different on a GPU: batches that fill it, arrays that lie there, waiting for it, and its ceilings.

The shapes are the suite's, with more examples a batch: a GPU is measured when it is full. cuBLAS, through CuPy, gives
the ceiling of multiply-adds (with TF32 products, the most that float32 arrays can have), the driver's copy that of
bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from .convolutions import ITEM, Convolution
from .networks import Classifier, Network, Segmenter
from .operations import Dense, Operation
from .recurrences import Recurrence

CUDA = "cuda"  # a variant of every engine: its arrays lie on the GPU
FULL = 256 * 2**20  # bytes that a kernel moves at least
MOST = 64  # times the batch, at most
NUMBERS_OF_INPUT = 2**22  # that a network's batch has at least
SIDE = 8192  # of the square matrices whose product is the ceiling of multiply-adds


def enlarged(case: Any) -> Any:
    """The case with its batch doubled until it fills a GPU."""
    for _ in range(MOST.bit_length() - 1):
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


def placed(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The arrays on the GPU."""
    import cupy

    return {name: cupy.asarray(array) for name, array in arrays.items()}


def fetched(result: Any) -> np.ndarray:
    """A result in main memory."""
    return result if isinstance(result, np.ndarray) else result.get()


def wait() -> None:
    """Until the GPU has done all it was asked for."""
    import cupy

    cupy.cuda.Device().synchronize()


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
        "driver": f"{version // 1000}.{version % 1000 // 10}",
        "cupy": cupy.__version__,
    }


def peak() -> tuple[Callable[[], Any], int]:
    """(run, operations of one run): a product of large matrices by cuBLAS."""
    import cupy

    a, b = (cupy.ones((SIDE, SIDE), cupy.float32) for _ in range(2))
    c = cupy.empty_like(a)
    return lambda: cupy.matmul(a, b, out=c), 2 * SIDE**3


def copies(size: int) -> tuple[dict[str, Callable[[], Any]], int]:
    """({"copy": run}, bytes moved by one run): half of about `size` bytes read, half written."""
    import cupy

    x = cupy.zeros(max(1, size // 2 // ITEM), cupy.float32)
    y = cupy.empty_like(x)
    return {
        "copy": lambda: y.data.copy_from_device_async(x.data, x.nbytes, cupy.cuda.get_current_stream())
    }, 2 * x.nbytes


def network_arrays(case: Network) -> tuple[Any, Any]:
    """A batch of a network on the GPU."""
    x, y = case.batch_arrays()
    there = placed({"x": x, "y": y})
    return there["x"], there["y"]
