"""Functions of one tensor, element by element."""

from __future__ import annotations

import numpy as np

from .entries import Entry, kink, not_a_number, sample
from .values import positive, spread


def _smooth(name: str) -> Entry:
    draw = positive if name in ("log", "log1p") else spread
    return Entry(name, samples=(sample(f"{name}(x)", x=draw(2, 3)),), errors=(not_a_number(f"{name}('text')"),))


def _step(name: str, jumps: list[float], shift: float = 0.0) -> Entry:
    return Entry(
        name,
        samples=(sample(f"{name}(x)", x=spread(2, 3, shift=shift)),),
        errors=(not_a_number(f"{name}('text')"),),
        kinks=(
            kink(
                "0, at the jumps too",
                f"{name}(x)",
                x=jumps,
                cotangent=np.arange(2, 2 + len(jumps)),
                gradients=[np.zeros(len(jumps))],
            ),
        ),
    )


def _constant(name: str) -> Entry:
    return Entry(
        name,
        samples=(sample(f"{name}(x)", x=spread(3)),),
        errors=(not_a_number(f"{name}('text')"),),
        constant="its numbers do not depend on x",
    )


ENTRIES = [
    *[_smooth(name) for name in ("exp", "expm1", "log", "log1p", "square", "sin", "cos", "tan")],
    Entry(
        "sqrt",
        samples=(sample("sqrt(x)", x=positive(2, 3)),),
        errors=(not_a_number("sqrt('text')"),),
        kinks=(kink("infinite at 0", "sqrt(x)", x=[0], value=[0], cotangent=[2], gradients=[[np.inf]]),),
    ),
    Entry(
        "abs",
        samples=(sample("abs(x)", x=spread(2, 3)),),
        errors=(not_a_number("abs('text')"),),
        kinks=(kink("0 at 0", "abs(x)", x=[0.0, -0.0], value=[0, 0], cotangent=[2, 3], gradients=[[0, 0]]),),
    ),
    _step("sign", [0.0, -0.0]),
    _step("floor", [-1, 0, 2]),
    _step("ceil", [-1, 0, 2]),
    _step("round", [-1.5, -0.5, 0.5, 1.5], shift=0.11),
    _constant("zeros_like"),
    _constant("ones_like"),
]
