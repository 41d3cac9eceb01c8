"""How exactly GPU kernels multiply float32 numbers.

The tensor cores of a GPU multiply several times faster than its other units, but not float32: they round the factors
first. That is for the user to allow. Sums are in float32 in any case, and float64 arrays are never rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

PRECISIONS = ("float32", "tf32", "bfloat16")

_chosen: ContextVar[str] = ContextVar("precision of products", default="float32")


@contextmanager
def precision(name: str) -> Iterator[str]:
    """Within the `with` block, convolutions and matrix products of float32 arrays on the GPU use this precision:

    - "float32", the default: exact products on the ordinary units;
    - "tf32": the tensor cores, factors rounded to 10 binary digits after the point, all exponents of float32;
    - "bfloat16": the tensor cores, factors rounded to 7 digits: about twice as fast as "tf32", where kernels are not
      bound by memory.

    To train on the tensor cores, put `with tg.kernels.precision("tf32"):` around `fit`, or around both the forward and
    the backward pass. Other backends than "cuda" do not round. The choice holds for the thread (more exactly, the
    context) that made it; blocks nest. Yields the name. Raises ValueError for another name.

    >>> with precision("tf32"):
    ...     chosen_precision()
    'tf32'
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision {name!r}: expected one of {', '.join(map(repr, PRECISIONS))}")
    token = _chosen.set(name)
    try:
        yield name
    finally:
        _chosen.reset(token)


def chosen_precision() -> str:
    """The precision of the enclosing `with precision(…)`, or "float32"."""
    return _chosen.get()
