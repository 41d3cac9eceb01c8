"""Every kernel on processors with narrower registers than this one's, in processes whose Numba is told that the
processor has no more; and which instruction set is chosen at import, from what the processor has."""

import itertools
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tomograd.kernels.cpu import simd

HELPERS = Path(__file__).parents[2] / "helpers"
SSE = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cmov,+cx8,+cx16,+fxsr,+mmx,+64bit"
AVX2 = f"{SSE},+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe,+xsave"
PROCESSORS = {"avx2": ("haswell", AVX2), "sse": ("nehalem", SSE), "scalar": ("nehalem", SSE)}

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="names x86's processors and features"
)


def on(processor: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A Python process whose kernels are compiled for another processor."""
    name, features = PROCESSORS[processor]
    capped = {"TOMOGRAD_SIMD": "scalar"} if processor == "scalar" else {}
    kept = {key: value for key, value in os.environ.items() if key != "TOMOGRAD_SIMD"}
    variables = {**kept, **capped, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, **environment}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=900, env=variables, cwd=HELPERS
    )


# Compiling every kernel takes a minute: the default run has one processor and type, the slow run all.
BY_DEFAULT = ("avx2", "float32")
RUNS = [
    pytest.param(*run, marks=[] if run == BY_DEFAULT else [pytest.mark.slow])
    for run in itertools.product(PROCESSORS, ("float32", "float64"))
]


@pytest.mark.parametrize("processor, dtype", RUNS)
def test_every_kernel_is_right_and_keeps_to_the_processor(processor, dtype):
    if simd.host_level().bytes < simd.LEVELS[processor].bytes:
        pytest.skip(f"this machine has no {processor}")
    result = on(processor, "every_kernel.py", processor, dtype)
    assert result.returncode == 0, f"exit status {result.returncode}: {result.stderr[-3000:]}"
    assert result.stdout.strip().endswith(f"kernels on {processor}")


PRINT_LEVEL = "from tomograd.kernels.cpu import simd; print(simd.level().name, simd.host_level().name)"


@pytest.mark.parametrize("processor, host", [("avx2", "avx2"), ("sse", "sse")])
def test_the_level_is_chosen_at_import_from_the_processor(processor, host):
    result = on(processor, "-c", PRINT_LEVEL)
    assert result.stdout.split() == [host, host], result.stderr[-2000:]


def test_no_level_beyond_the_processor_is_chosen_even_if_asked_for():
    result = on("sse", "-c", PRINT_LEVEL, TOMOGRAD_SIMD="avx512")
    assert result.stdout.split() == ["sse", "sse"], result.stderr[-2000:]


def test_without_avx512s_extensions_its_registers_are_not_used():
    result = on("avx2", "-c", PRINT_LEVEL, NUMBA_CPU_FEATURES=f"{AVX2},+avx512f")
    assert result.stdout.split() == ["avx2", "avx2"], result.stderr[-2000:]
