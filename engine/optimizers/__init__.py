"""Optimizers: one step of the weights along their gradients, with Keras 3's names, defaults and formulas.

    optimizer = AdamW(learning_rate=1e-3)
    optimizer.apply(gradients, variables)

A step is: clip the gradients, shrink the weights (`weight_decay`, decoupled from the gradient), update, move the
weights' averages, and hold the weights to their constraints. It runs in place, one launch of one kernel for all weights
of a type. Gradients that are NaN or infinite are passed on as they are: whoever's training diverges is to see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import schedules
from ..absent import absent
from ..config import make, serialize
from .adagrad import Adadelta, Adagrad, RMSprop
from .adam import Adam, Adamax, AdamW, Lamb, Nadam, ScheduleFreeAdamW
from .base import Optimizer
from .ftrl import Ftrl
from .lion import Lion
from .sgd import SGD

_CLASSES = (SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, RMSprop, ScheduleFreeAdamW)
_NAMES: dict[str, type[Optimizer]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{cls.__name__.lower(): cls for cls in _CLASSES},
}

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]


def get(identifier: Any) -> Optimizer:
    """The optimizer for a name ("adam", "SGD", … in letters of any size), an Optimizer, or its configuration.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, str) and identifier.lower() in _NAMES:
        identifier = identifier.lower()
    return make(identifier, Optimizer, _NAMES, "optimizer")


def deserialize(config: Any, custom_objects: Mapping[str, type[Optimizer]] | None = None) -> Optimizer:
    """The optimizer for what `serialize` gave; custom_objects: further classes, by name.

    Raises ValueError for an unknown class.
    """
    return make(config, Optimizer, {**_NAMES, **(custom_objects or {})}, "optimizer")


__getattr__ = absent("optimizers", __name__)
