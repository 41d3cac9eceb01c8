"""A runtime of CUDA kernels that executes them on the CPU: each source built as C++ against `emulation.h`.

A source is built once, with all instances of its templates, into a shared library that is kept under a hash of what it
is made of. Arrays are NumPy's. Where the process runs under the address sanitizer (see `test_emulated.py`), the library
is built with it, and each access beyond an array's end is an error.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np

from tomograd.kernels.cuda.functions import FOLDER, Function

HERE = Path(__file__).parent
MOST_SHARED = 163 * 1024  # bytes for a block of an A100, the smaller of the GPUs that kernels are compiled for
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-shared", "-w", "-ffp-contract=fast", "-DTOMOGRAD_EMULATION"]
SANITIZER = ["-fsanitize=address,alignment", "-fno-sanitize-recover=alignment", "-fno-omit-frame-pointer", "-g1"]


class EmulationError(RuntimeError):
    """A kernel did what a GPU leaves undefined: a barrier that not all reach, a copy that is not waited for."""


class Dimensions(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


class Emulated:
    """The runtime. `order` is that of a block's threads (0: forward, 1: backward, more: shuffled; odd: warp by warp,
    each as far ahead as it can; None: another one in each launch); `device_blocks` how many blocks the device holds,
    few, so that kernels have to go round their loops.
    """

    def __init__(self, order: int | None = None, device_blocks: int = 3):
        self.orders = cycle([0, 1, 2, 3] if order is None else [order])
        self.device_blocks = device_blocks
        self.launched: list[Function] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8).fill(0xFF)  # NaN, or −1
        return array

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        shared: int,
        arguments: Sequence,
    ) -> None:
        library, entries = built(function.file)
        launch = getattr(library, f"launch_{entries[function.expression]}")
        launch.restype = ctypes.c_char_p
        if max(grid[1:]) > 65535 or grid[0] >= 1 << 31 or np.prod(block) > 1024 or shared > MOST_SHARED:
            raise EmulationError(f"{function.expression}: no GPU takes grid {grid}, block {block}, {shared} bytes")
        places = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(each) for each in arguments])
        sizes = Dimensions(*grid), Dimensions(*block), ctypes.c_longlong(shared)
        failure = launch(*sizes, places, ctypes.c_int(len(arguments)), ctypes.c_int(next(self.orders)))
        self.launched.append(function)
        if failure:
            raise EmulationError(f"{function.expression}: {failure.decode()}")

    def resident_blocks(self, function: Function, threads: int, shared: int) -> int:
        return self.device_blocks

    def host(self, array: np.ndarray) -> np.ndarray:
        return array.copy()


def sources() -> dict[str, list[Function]]:
    """Every source with its instances, that of the tests among them."""
    import probes

    from tomograd.kernels.cuda import SOURCES

    return {source.file: list(source) for source in (*SOURCES, probes.SOURCE)}


@cache
def built(file: str) -> tuple[ctypes.CDLL, dict[str, int]]:
    """The library of a source, and the number of each instance's entry."""
    expressions = [function.expression for function in sources()[file]]
    code = f'#include "{file}"\n' + "".join(
        f'extern "C" const char *launch_{number}(dim3 grid, dim3 block, long long shared, void **arguments, int count, '
        f"int order) {{ return emulation::launch(::{expression}, grid, block, shared, arguments, count, order, "
        f"{str(flushes(expression)).lower()}); }}\n"
        for number, expression in enumerate(expressions)
    )
    flags = [*FLAGS, *fused(), *(SANITIZER if SANITIZED else []), f"-I{FOLDER}", f"-I{HERE}"]
    path = _folder() / f"{Path(file).stem}-{_hash(code, *flags)}.so"
    if not path.exists():
        _build(code, flags, path)
    return ctypes.CDLL(str(path)), {expression: number for number, expression in enumerate(expressions)}


def flushes(expression: str) -> bool:
    """Whether an instance computes in float32, where CuPy has the compiler make zeros of numbers below 2⁻¹²⁶."""
    return "double" not in expression


@cache
def fused() -> list[str]:
    """Flags for multiplications and additions in one operation, as a GPU has them; none where this processor has no
    such operation."""
    if platform.machine() in ("aarch64", "arm64"):
        return ["-fexpensive-optimizations"]  # without which -O1 joins nothing
    information = Path("/proc/cpuinfo")
    has_it = information.exists() and " fma " in information.read_text(encoding="utf-8", errors="replace")
    return ["-mfma", "-fexpensive-optimizations"] if has_it else []


def _build(code: str, flags: Sequence[str], path: Path) -> None:
    """Compile to another name, then rename: several processes may build at once."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, result = Path(folder) / "source.cpp", Path(folder) / "result.so"
        source.write_text(code, encoding="utf-8")
        command = ["g++", *flags, "-o", str(result), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[:4000]}")
        result.replace(path)


def _hash(*texts: str) -> str:
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in sorted([*FOLDER.iterdir(), *HERE.glob("*.h"), *HERE.glob("*.cu")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _folder() -> Path:
    folder = Path(os.environ.get("TOMOGRAD_CACHE") or Path.home() / ".cache" / "tomograd") / "emulated"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
