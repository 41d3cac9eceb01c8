"""The benchmarks on a pretended device: small cases, and a worker's process that has the device and, as the peer,
PyTorch on the CPU in the place of the GPU, or where PyTorch is missing a stand-in for its engine.

    python pretended_bench.py ENGINE SECTION        in the place of `python -m tomograd.benchmarks.worker`
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from pretended_cupy import standing_in
from pretended_device import reference_device

from tomograd.benchmarks import catalogue, gpu, suite, timing, worker
from tomograd.benchmarks.answers import reason
from tomograd.benchmarks.convolutions import Convolution
from tomograd.benchmarks.networks import Classifier, Segmenter
from tomograd.benchmarks.operations import Dense, Operation
from tomograd.benchmarks.recurrences import Recurrence

COMMAND = [__file__]
STAND_IN = "TOMOGRAD_TEST_STAND_IN"  # in the environment: the stand-in even where PyTorch is there
ENGINE = "tomograd.benchmarks.engine_torch"
TAKEN = 3 * 2**20  # bytes that the peer says it took

SMALL: dict[Any, dict[str, Any]] = {
    catalogue: {
        "CONVOLUTIONS": [Convolution.of("1,4,6,5→8,3,p1", "made up")],
        "OPERATIONS": [Operation("activation", (2, 4, 4, 8), {"name": "relu"}, "made up")],
        "DENSES": [Dense(4, 8, 3, "made up")],
        "RECURRENCES": [Recurrence("simple_rnn", 2, 3, 4, 4, "made up")],
        "NETWORKS": [
            Segmenter("U-Net base 16", 1, (4, 4, 1), 2, 1),
            Classifier("S3 CNN", 2, (6, 6, 1), 3, (2,), 3, pool_last=True),
            Classifier("S1 CNN", 2, (6, 6, 1), 1, (2,), 3, pool_last=True),
        ],
    },
    gpu: {"FULL": 4000, "NUMBERS_OF_INPUT": 200, "SIDE": 16},
    timing: {"LEAST": 2**12, "CACHES": 1},
    worker: {"WARM_UP": 0.0},
    suite: {"BUDGET": {"kernels": 1e-3, "steps": 1e-3}, "CEILING_BUDGET": 1e-3, "PAUSE": 0.0},
}


@contextmanager
def made_small(with_torch: bool) -> Iterator[None]:
    """Within the `with` block there are the small cases instead of the suite's, and the peer."""
    with ExitStack() as stack:
        for module, values in SMALL.items():
            stack.enter_context(mock.patch.multiple(module, **values))
        for each in torch_on_cpu() if with_torch else [standing_in({ENGINE: stand_in()})]:
            stack.enter_context(each)
        yield


class InProcess:
    """A processes.Worker without a process."""

    def __init__(self, engine: str, section: str, threads: int):
        self._engine = worker.Engine(engine, section)
        self.facts = self._engine.module.facts(self._engine.variants)

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        try:
            return json.loads(json.dumps(getattr(self._engine, do)(**request)))
        except Exception as error:
            return {"failed": reason(error)}

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


def stand_in() -> ModuleType:
    """An engine that is called as PyTorch's is, and computes as ours: on the device, in both layouts."""
    from tomograd.benchmarks import engine_tomograd
    from tomograd.benchmarks.built import NotApplicable

    module = ModuleType(ENGINE)

    def build(case: Any, which: str, variants: list[str]) -> Any:
        kernel = not isinstance(case, Classifier | Segmenter)
        if kernel and "channels_last" in variants and not getattr(case, "has_layout", True):
            raise NotApplicable("the same in both layouts")
        return engine_tomograd.build(case, which, [v for v in variants if v == "cuda" or v in gpu.PRECISIONS])

    module.build, module.on_gpu, module.release = build, lambda variants: gpu.OnGPU(), gpu.release
    module.facts, module.taken = lambda variants: {"gpu": "pretended", "cuDNN": 0}, lambda: TAKEN
    return module


class Event:
    """torch.cuda.Event."""

    def __init__(self, enable_timing: bool = False):
        assert enable_timing

    def record(self) -> None:
        self.time = time.perf_counter()

    def elapsed_time(self, other: Event) -> float:
        return 1e3 * (other.time - self.time)


def torch_on_cpu() -> list[Any]:
    """What makes PyTorch's CPU the GPU that our side asks it for."""
    import torch

    from tomograd.benchmarks import engine_torch_gpu

    adam = importlib.import_module("torch.optim.adam")  # which is no attribute of its package
    nothing = lambda *arguments: None  # noqa: E731
    stream = SimpleNamespace(wait_stream=nothing)
    pretended = {
        "Event": Event,
        "synchronize": nothing,
        "empty_cache": nothing,
        "reset_peak_memory_stats": nothing,
        "memory_reserved": lambda: 0,
        "max_memory_reserved": lambda: TAKEN,
        "get_device_name": lambda: "pretended",
        "get_device_properties": lambda device: SimpleNamespace(L2_cache_size=2**12),
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda which: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=nothing),
        "graph": lambda graph: nullcontext(),
    }
    return [
        mock.patch.multiple(torch.cuda, **pretended),
        mock.patch.multiple(engine_torch_gpu, DEVICE="cpu"),
        mock.patch.object(torch, "compile", lambda function, **options: function),
        mock.patch.object(adam, "_get_capturable_supported_devices", lambda *arguments, **options: ["cpu"]),
    ]


def main(engine: str, section: str) -> None:
    with_torch = STAND_IN not in os.environ and importlib.util.find_spec("torch") is not None
    with reference_device(), made_small(with_torch and engine.startswith("torch")):
        worker.main(engine, section)


if __name__ == "__main__":
    main(*sys.argv[1:])
