"""Arrays that one launch of a kernel can take: of one type, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ... import kernels
from ..tensor import Array
from ..variable import Variable


@dataclass(frozen=True)
class Group:
    """Weights of one type in one place and with one weight decay, with all that a step of them takes.

    kept: for each of the optimizer's slots the arrays of all weights.
    """

    variables: list[Variable]
    gradients: list[Array]
    kept: dict[str, list[Array]]
    learning_rate: float
    weight_decay: float

    @property
    def weights(self) -> list[Array]:
        return [variable.array for variable in self.variables]

    @property
    def kernels(self) -> ModuleType:
        """The kernels for where they lie."""
        return kernels.of(self.gradients[0])


def alike(arrays: Sequence[Array], *others: Sequence[Any]) -> list[tuple[list[Any], ...]]:
    """The arrays, and with them the entries of the other sequences, in groups of one type and one place."""
    groups: dict[Any, tuple[list[Any], ...]] = {}
    for entries in zip(arrays, *others, strict=True):
        group = groups.setdefault(place(entries[0]), tuple([] for _ in entries))
        for gathered, entry in zip(group, entries, strict=True):
            gathered.append(entry)
    return list(groups.values())


def place(array: Array) -> Any:
    """What arrays of one group have in common."""
    return array.dtype if isinstance(array, np.ndarray) else (array.dtype, array.device.id)
