"""Arrays in, arrays out: the numerical kernels, without state and without autograd, once for each backend.

- `kernels.reference`: NumPy, any float type: the mathematics as written;
- `kernels.cpu`: Numba, explicit SIMD, threads;
- `kernels.cuda`: CUDA C through CuPy (the `cuda` extra).

All backends have the functions named in `INTERFACE`, with equal signatures. `of(*arrays)` finds the backend by where
the arrays live, and `with using("reference"):` overrides the choice, for one call or for a whole model. A backend is
imported when it is first asked for: importing tomograd compiles nothing. `with precision("tf32"):` lets a GPU multiply
on its tensor cores.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from .interface import ACTIVATION_NAMES, INTERFACE, RECURRENT_ACTIVATIONS, twin_of
from .precision import PRECISIONS, precision

BACKENDS = ("reference", "cpu", "cuda")

__all__ = [
    "ACTIVATION_NAMES",
    "BACKENDS",
    "INTERFACE",
    "PRECISIONS",
    "RECURRENT_ACTIVATIONS",
    "backend",
    "of",
    "precision",
    "twin_of",
    "using",
]

_chosen: ContextVar[ModuleType | None] = ContextVar("chosen kernel backend", default=None)
_loaded: dict[str, ModuleType] = {}


def backend(name: str) -> ModuleType:
    """The backend module called `name`, imported if it was not yet.

    Raises ValueError for a name that is not in `BACKENDS`, ImportError when the backend's packages are not installed.
    """
    module = _loaded.get(name)
    if module is None:
        if name not in BACKENDS:
            raise ValueError(f"kernel backend {name!r}: expected one of {', '.join(map(repr, BACKENDS))}")
        if name == "cuda":
            _require_cuda()
        module = _loaded[name] = importlib.import_module(f".{name}", __name__)
    return module


def of(*arrays: Any) -> ModuleType:
    """The backend for `arrays`: that of the enclosing `using`, else cuda for CuPy arrays and cpu for all others.

    None among the arrays (an absent bias) is passed over. Raises TypeError when some arrays live on the GPU and some
    do not.
    """
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    on_host = on_device = False
    for array in arrays:
        if type(array) is np.ndarray:
            on_host = True
        elif array is not None:
            device = hasattr(array, "__cuda_array_interface__")
            on_device, on_host = on_device or device, on_host or not device
    if on_device and on_host:
        raise TypeError("the arrays of one operation live in different places: some are NumPy's, some are on the GPU")
    return backend("cuda" if on_device else "cpu")


@contextmanager
def using(name: str) -> Iterator[ModuleType]:
    """Within the `with` block every kernel is that of the backend `name`: "reference", "cpu" or "cuda".

    The choice holds for the thread (more exactly, the context) that made it; blocks nest. Yields the backend module.
    Raises ValueError for an unknown name and ImportError for a backend that is not installed.

    >>> with using("reference") as kernels:
    ...     kernels.matmul(np.ones((1, 2)), np.ones((2, 1)))
    array([[2.]])
    """
    token = _chosen.set(backend(name))
    try:
        yield _chosen.get()  # type: ignore[misc]
    finally:
        _chosen.reset(token)


def _require_cuda() -> None:
    """Raise ImportError, saying what to install, unless CuPy is there."""
    if importlib.util.find_spec("cupy") is None:
        raise ImportError(
            'the "cuda" kernels need CuPy, which is not installed: pip install "tomograd[cuda]" (CUDA 13) '
            'or "tomograd[cuda12]" (CUDA 12)'
        )


def __getattr__(name: str) -> ModuleType:
    """`kernels.reference`, `kernels.cpu` and `kernels.cuda` as attributes, imported at first use."""
    if name in BACKENDS:
        return backend(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
