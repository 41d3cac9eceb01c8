"""Every instance of every CUDA source becomes machine code for the GPUs of two generations, and none keeps
anything in the memory that stands in for registers."""

from pathlib import Path

import probes
import pytest

from tomograd.kernels.cuda import SOURCES
from tomograd.kernels.cuda.functions import FOLDER

pytest.importorskip("cuda.bindings.nvrtc", reason="the compiler comes with the extra `test`")

from compiling import ARCHITECTURES, compiled

SOURCE_OF = {source.file: source for source in (*SOURCES, probes.SOURCE)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", sorted(SOURCE_OF), ids=lambda file: Path(file).name)
def test_a_source_compiles_and_spills_nothing(file, architecture):
    usage = compiled(SOURCE_OF[file], architecture)
    assert list(usage) == [function.expression for function in SOURCE_OF[file]]
    assert {name: use for name, use in usage.items() if use.spilled or use.stack} == {}
    assert all(0 < use.registers <= 255 for use in usage.values())


def test_every_file_is_some_source():
    assert {path.name for path in FOLDER.glob("*.cu")} == {source.file for source in SOURCES}
