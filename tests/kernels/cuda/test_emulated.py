"""The cases of the CUDA kernels, executed on the CPU under the address sanitizer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("cases_*.py"))


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation is built with g++")
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem.removeprefix("cases_"))
def test_cases(cases):
    environment = os.environ | {"LD_PRELOAD": _sanitizer(), "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parents[2])
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout[-2000:]


def _sanitizer() -> str:
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
