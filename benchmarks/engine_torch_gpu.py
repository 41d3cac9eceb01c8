"""PyTorch on a GPU: how it is set up, timed, captured into CUDA graphs, and how much memory it took.

All that asks for `torch.cuda` is here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from . import gpu
from .timing import bytes_to_write

DEVICE = "cuda"
WARM_UP = 3  # runs on a side stream before a capture: PyTorch's documentation asks for some
# What arrays of a precision are; float32 numbers are rounded to TF32 inside products, if at all.
TYPES = {gpu.BFLOAT16: torch.bfloat16, gpu.FLOAT16: torch.float16}


def set_up(variants: list[str]) -> None:
    """New tensors lie on the GPU; cuDNN tries its algorithms and keeps the fastest; TF32 where the variants say so."""
    torch.set_default_device(DEVICE)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = gpu.TF32 in variants


def facts() -> dict[str, Any]:
    """What a report says of PyTorch there."""
    return {
        "gpu": torch.cuda.get_device_name(),
        "CUDA": torch.version.cuda or "none",
        "cuDNN": torch.backends.cudnn.version(),
    }


class OnGPU:
    """PyTorch's queue of work, as timing.Queue."""

    def __init__(self) -> None:
        self._over: torch.Tensor | None = None  # made when it is needed: steps do without

    def event(self) -> Any:
        mark = torch.cuda.Event(enable_timing=True)
        mark.record()
        return mark

    def seconds(self, first: Any, last: Any) -> float:
        return first.elapsed_time(last) / 1e3

    def wait(self) -> None:
        torch.cuda.synchronize()

    def write_over_cache(self) -> None:
        if self._over is None:
            cache = getattr(torch.cuda.get_device_properties(DEVICE), "L2_cache_size", 0)
            self._over = torch.empty(bytes_to_write(cache), dtype=torch.uint8, device=DEVICE)
        self._over.zero_()


def release() -> None:
    """Give back the memory that its pool keeps, and count from here."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    _before["reserved"] = torch.cuda.memory_reserved()


_before = {"reserved": 0}


def taken() -> int:
    """Bytes that its pool took from the GPU since `release`, at most."""
    return torch.cuda.max_memory_reserved() - _before["reserved"]


def autocast(variants: list[str]) -> AbstractContextManager:
    """Within it, products are of bfloat16 numbers, where the variants say so."""
    return torch.autocast(DEVICE, torch.bfloat16) if gpu.BFLOAT16 in variants else nullcontext()


def captured(function: Callable[[], Any], between: Callable[[], Any] = lambda: None) -> Callable[[], Any]:
    """function() as a CUDA graph, written as PyTorch's documentation does; each call launches it and gives the tensors
    that it gave when it was captured, filled anew. between() is called before the capture."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(side)
    between()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()

    def launch() -> Any:
        graph.replay()
        return result

    return launch
