"""Optimizers: one step of the weights along their gradients, with Keras 3's names, defaults and formulas.

    optimizer = AdamW(learning_rate=1e-3)
    optimizer.apply(gradients, variables)

A step is: clip the gradients, shrink the weights (`weight_decay`, decoupled from the gradient), update, and hold the
weights to their constraints. It runs in place, one launch of one kernel for all weights of a type. Gradients that are
NaN or infinite are passed on as they are: whoever's training diverges is to see it.
"""

from __future__ import annotations

from typing import Any

from .. import schedules
from ..absent import absent
from ..config import make
from .adam import Adam, AdamW
from .base import Optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]

_CLASSES = (SGD, Adam, AdamW, RMSprop)
_NAMES: dict[str, type[Optimizer]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{cls.__name__.lower(): cls for cls in _CLASSES},
}


def get(identifier: Any) -> Optimizer:
    """The optimizer for a name ("adam", "SGD", …), an Optimizer, or its configuration.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    return make(identifier, Optimizer, _NAMES, "optimizer")


__getattr__ = absent("optimizers", __name__)
