"""A process that starts, does one thing and ends, telling of each stage as it is reached. Run as a file of its own, so
that nothing is imported before the clock of its parent has seen Python start:

    probe.py startup ENGINE          the import, the first inference and the first training step of a CNN
    probe.py memory ENGINE NUMBER    training steps of a network, and the peak of resident memory

Each stage is a line of JSON on the standard output; whoever started the process looks at the clock when it arrives.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

MEMORY_STEPS = 3  # the first makes the optimizer's slots, the next meets them


def engine_of(name: str) -> tuple[ModuleType, list[str]]:
    """The engine's module, and the variant of it that is asked for."""
    engine, *variants = name.split(":")
    return importlib.import_module(f"tomograd.benchmarks.engine_{engine}"), variants


def startup(name: str) -> None:
    """From nothing to a trained step, stage by stage."""
    print('{"stage": "Python itself"}', flush=True)
    importlib.import_module(name.partition(":")[0])
    print('{"stage": "import"}', flush=True)
    from tomograd.benchmarks.networks import INFERENCE, S3, TRAINING

    module, variants = engine_of(name)
    module.build(S3, INFERENCE, variants).run()
    print('{"stage": "first inference"}', flush=True)
    module.build(S3, TRAINING, variants).run()
    print('{"stage": "first training step"}', flush=True)


def memory(tell: Callable[[dict[str, Any]], None], name: str, number: str) -> None:
    """What training steps take beyond what the engine's import took."""
    from tomograd.benchmarks.catalogue import MEMORY, entries

    module, variants = engine_of(name)
    entry = entries(MEMORY)[int(number)]
    baseline = peak_resident()
    built = module.build(entry.case, entry.which, variants)
    for _ in range(MEMORY_STEPS):
        built.run()
    answer = {"bytes": peak_resident() - baseline, "baseline": baseline, "parameters": built.parameters}
    if name == "tomograd":
        allocator = importlib.import_module("tomograd.memory")
        answer["allocator"] = str(allocator.summary())
    tell(answer)


def peak_resident() -> int:
    """The most bytes of memory that this process has had so far.

    Read from /proc where there is one: ru_maxrss also counts what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(kind: str, *arguments: str) -> None:
    if kind == "startup":
        return startup(*arguments)  # its failures are tracebacks: the parent reads the last line of them
    from tomograd.benchmarks.answers import private_output, reason

    tell = private_output()
    try:
        memory(tell, *arguments)
    except Exception as error:
        tell({"failed": reason(error)})
    return None


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
