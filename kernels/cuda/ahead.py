"""Compiles all CUDA kernels ahead, in several processes at a time: CuPy keeps the machine code on disk, and who
launches a kernel later finds it there. Needs the GPU, whose architecture they are compiled for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator

from .functions import Function

MOST = 16  # processes: each holds a context on the GPU, of some hundred MiB


def functions() -> list[Function]:
    """Every instance of every kernel, those of the largest sources first: they take longest."""
    from . import SOURCES

    found = [function for source in SOURCES for function in source]
    return sorted(found, key=lambda function: -function.path.stat().st_size)


def compile_all(
    processes: int | None = None, compiler: Callable[[Function], str | None] | None = None
) -> Iterator[tuple[Function, str | None]]:
    """Each function as it is done, with why it could not be compiled (None: it was). processes: None for as many as the
    machine has processors; 1 compiles in this one."""
    wanted, compiler = functions(), compiler or compile_one
    count = min(MOST, os.cpu_count() or 1) if processes is None else processes
    if count == 1:
        yield from zip(wanted, map(compiler, wanted), strict=True)
        return
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        waiting = [(function, pool.apply_async(compiler, (function,))) for function in wanted]
        for function, answer in waiting:
            yield function, answer.get()


def compile_one(function: Function) -> str | None:
    """Compile for the current GPU. Gives what the compiler says where it fails."""
    try:
        from . import device

        device.compile(function)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
