"""CUDA C to machine code without a GPU, by NVRTC: what each kernel takes of a multiprocessor.

`python tests/emulation/compiling.py > docs/cuda-registers.md` writes the table of all kernels.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cuda.bindings import nvrtc

from tomograd.kernels.cuda import SOURCES
from tomograd.kernels.cuda.functions import FOLDER, OPTIONS, Source

ARCHITECTURES = ("sm_80", "sm_90")
# What CuPy adds to any options (cupy.cuda.compiler): float32 numbers below 2⁻¹²⁶ become zeros.
CUPYS_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")
_USAGE = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)


class Usage(NamedTuple):
    """Of a thread: registers; bytes of arrays that are not in registers; bytes of spilled registers, there and back."""

    registers: int
    stack: int
    spilled: int


def compiled(source: Source, architecture: str) -> dict[str, Usage]:
    """What each instance of a source takes, by its name expression. Raises AssertionError, with the compiler's
    messages, where the source does not compile."""
    options = [*OPTIONS, *CUPYS_OPTIONS, f"--gpu-architecture={architecture}", "--ptxas-options=-v"]
    program = _checked(nvrtc.nvrtcCreateProgram((FOLDER / source.file).read_bytes(), source.file.encode(), 0, [], []))
    expressions = [function.expression for function in source]
    for expression in expressions:
        _checked(nvrtc.nvrtcAddNameExpression(program, expression.encode()))
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    log = bytes(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
    _checked(nvrtc.nvrtcGetProgramLog(program, log))
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()
    usage = {
        name: Usage(int(registers), int(stack), int(stores) + int(loads))
        for name, stack, stores, loads, registers in _USAGE.findall(log.decode())
    }
    lowered = {each: _checked(nvrtc.nvrtcGetLoweredName(program, each.encode())).decode() for each in expressions}
    _checked(nvrtc.nvrtcDestroyProgram(program))
    return {expression: usage[name] for expression, name in lowered.items()}


def _checked(answer: tuple) -> Any:
    status, *values = answer
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, status
    return values[0] if values else None


def page() -> str:
    """The table of all kernels."""
    version = ".".join(map(str, nvrtc.nvrtcVersion()[1:]))
    lines = [
        "# What CUDA kernels take",
        "",
        f"Registers of a thread, as NVRTC {version} gives them out; a multiprocessor has 65,536. None is spilled.",
        "Written by `python tests/emulation/compiling.py > docs/cuda-registers.md`.",
        "",
        f"| source | kernel | {' | '.join(ARCHITECTURES)} |",
        "| --- | --- |" + " --- |" * len(ARCHITECTURES),
    ]
    for source in sorted(SOURCES, key=lambda source: source.file):
        of_each = [compiled(source, architecture) for architecture in ARCHITECTURES]
        for expression in of_each[0]:
            counts = " | ".join(str(usage[expression].registers) for usage in of_each)
            lines.append(f"| `{source.file}` | `{expression}` | {counts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
