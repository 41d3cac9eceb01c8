"""The process behind `alternate.Worker`: builds one case, then answers each number n with the seconds of a run."""

import importlib
import json
import sys
import time

from . import cases


def build(engine: str, section: str, case: int, which: str):
    """The callable that one run calls. `engine` is "tomograd" or "torch:LAYOUT"."""
    name, _, layout = engine.partition(":")
    module = importlib.import_module(f".engine_{name}", __package__)  # only the engine that is asked for
    extra = [layout] if layout else []
    if section == "kernels":
        return module.convolution(cases.CONVOLUTIONS[case], which, *extra)
    return getattr(module, which)(cases.NETWORKS[case], *extra)


def main(engine: str, section: str, case: str, which: str) -> None:
    run = build(engine, section, int(case), which)
    for _ in range(3):
        run()
    print(0.0, flush=True)
    for line in sys.stdin:
        count = int(line)
        start = time.perf_counter()
        for _ in range(count):
            run()
        print(json.dumps((time.perf_counter() - start) / count), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
