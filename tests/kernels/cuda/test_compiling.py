"""Every instance of every CUDA source becomes machine code for the GPUs of two generations, and none keeps
anything in the memory that stands in for registers."""

import re
import sys
from functools import cache
from pathlib import Path

import probes
import pytest

from tomograd.kernels.cuda import SOURCES
from tomograd.kernels.cuda.functions import FOLDER

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="the compiler comes with the extra `test`")

ARCHITECTURES = ("sm_80", "sm_90")
SOURCE_OF = {source.file: source for source in (*SOURCES, probes.SOURCE)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", sorted(SOURCE_OF), ids=lambda file: Path(file).name)
def test_a_source_compiles_and_spills_nothing(file, architecture):
    usage = compiled(file, architecture)
    assert len(usage) == len(list(SOURCE_OF[file]))
    assert {name: use for name, use in usage.items() if use["spilled"] or use["stack"]} == {}
    assert all(0 < use["registers"] <= 255 for use in usage.values())


def test_every_file_is_some_source():
    assert {path.name for path in FOLDER.glob("*.cu")} == {source.file for source in SOURCES}


@cache
def compiled(file: str, architecture: str) -> dict[str, dict[str, int]]:
    """Registers, bytes spilled and bytes of arrays that are not in registers, of each instance of a source, by its
    lowered name."""
    include = [f"-I{path}" for path in (FOLDER, *_toolkit_headers())]
    options = [f"--gpu-architecture={architecture}", "-std=c++17", "--ptxas-options=-v", *include]
    program = _checked(nvrtc.nvrtcCreateProgram((FOLDER / file).read_bytes(), file.encode(), 0, [], []))
    for function in SOURCE_OF[file]:
        _checked(nvrtc.nvrtcAddNameExpression(program, function.expression.encode()))
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    log = bytearray(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
    text = bytes(log)
    _checked(nvrtc.nvrtcGetProgramLog(program, text))
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, text.decode()
    found = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r".*?Used (\d+) registers",
        text.decode(),
        re.DOTALL,
    )
    return {name: {"stack": int(a), "spilled": int(b) + int(c), "registers": int(d)} for name, a, b, c, d in found}


def _toolkit_headers() -> list[Path]:
    """Where cuda_fp16.h and its kin lie, if their wheel is installed."""
    return [path for place in sys.path for path in Path(place).glob("nvidia/*/include")]


def _checked(answer):
    status, *values = answer
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, status
    return values[0] if values else None
