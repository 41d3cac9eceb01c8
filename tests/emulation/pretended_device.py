"""A pretended GPU for the engine: CuPy's stand-in, with the reference's kernels or the emulated CUDA kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pretended_cupy

from tomograd import kernels
from tomograd.kernels import reference, repeated
from tomograd.kernels.half_precision import is_half
from tomograd.kernels.interface import CONVOLUTION, DENSE, OPTIMIZERS

TAKE_HALVES = (*CONVOLUTION, *DENSE, "activation", "activation_gradient")  # on a GPU


@contextmanager
def reference_device() -> Iterator[Any]:
    """Within the `with` block there is a device, whose kernels are the reference's. Yields the module `cupy`."""
    backend = SimpleNamespace(**{name: _on_device(getattr(reference, name)) for name in kernels.INTERFACE})
    with pretended_cupy.installed() as cupy, mock.patch.dict(kernels._loaded, {"cuda": backend}):
        yield cupy


def _on_device(kernel):
    """A kernel of arrays on the device, which takes no others."""
    compute = _of_halves(kernel) if kernel.__name__ in TAKE_HALVES else kernel

    def call(*arguments: Any, **options: Any) -> Any:
        return pretended_cupy._call(compute, arguments, options)

    def step(*arguments: Any) -> None:
        numbers = repeated.current()
        if numbers is None:
            return call(*arguments)
        kinds = [type(each) for each in arguments]
        own = [place for place, kind in enumerate(kinds) if kind in (int, float)]
        place = numbers.take((kernel.__name__, len(arguments[0])), [arguments[each] for each in own])
        if place is not None:
            held, place, loss = (pretended_cupy._held(each) for each in (list(arguments), place, numbers.loss))
            pretended_cupy._capturing.note(functools.partial(_repeat, kernel, held, own, kinds, place, loss))
        return None

    return step if kernel.__name__ in OPTIMIZERS and "norm" not in kernel.__name__ else call


def _repeat(kernel, arguments, own, kinds, numbers, loss):
    """A step of a graph, with the numbers that lie on the device now, if the loss is finite."""
    if np.isfinite(loss):
        for place, number in zip(own, numbers, strict=True):
            arguments[place] = kinds[place](number)
        kernel(*arguments)


def _of_halves(kernel):
    """The kernel, which computes with halves as float32 and rounds at the end, as the CUDA kernels do."""

    def compute(*arguments: Any, **options: Any) -> Any:
        dtype = next(each.dtype for each in arguments if isinstance(each, np.ndarray))
        if not is_half(dtype):
            return kernel(*arguments, **options)
        wide = [_widened(each) for each in arguments]
        return kernel(*wide, **{name: _widened(each) for name, each in options.items()}).astype(dtype)

    return compute


def _widened(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) else value


@contextmanager
def emulated_device() -> Iterator[Any]:
    """Within the `with` block there is a device, whose kernels are the emulated CUDA kernels. Yields the runtime."""
    import emulated

    import tomograd.kernels.cuda as cuda
    from tomograd.kernels.cuda import runtime

    class Runtime(emulated.Emulated):
        """Emulated, with arrays that say they lie on a device."""

        def empty(self, shape, dtype):
            array = super().empty(shape, dtype)
            if pretended_cupy._capturing.active:
                pretended_cupy._capturing.keep(array)
            return pretended_cupy.ndarray(array)

        def launch(self, *launched):
            run = functools.partial(super().launch, *launched)
            if pretended_cupy._capturing.active:
                pretended_cupy._capturing.note(run)
            else:
                run()

        def address(self, array):
            return array.data.ptr

        def host(self, array):
            return array.get()

    loaded = mock.patch.dict(kernels._loaded, {"cuda": cuda})
    with pretended_cupy.installed(), loaded, runtime.use(Runtime()) as chosen:
        yield chosen
