"""What an optimizer keeps beside the weights: arrays of each weight's shape, such as moments, by name."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..device import computing_beside, move, say_how_full
from ..tensor import Array, library_of
from ..variable import Variable


class Slots:
    """The arrays of some variables; each has all names, and starts filled with the name's initial value (None: as a
    copy of the weight)."""

    def __init__(self, variables: Sequence[Variable], initial: Mapping[str, float | None]) -> None:
        self.variables, self.initial = list(variables), dict(initial)
        try:
            self._arrays = [
                {name: _started(v.array, value) for name, value in self.initial.items()} for v in self.variables
            ]
        except MemoryError as error:
            say_how_full(error, f"making the arrays {', '.join(initial)} for {len(variables)} weights")
            raise

    def of(self, index: int) -> dict[str, Array]:
        """Those of one variable, counted as they were given."""
        return self._arrays[index]

    def all(self) -> list[Array]:
        """Those of all variables."""
        return [array for arrays in self._arrays for array in arrays.values()]

    def __getstate__(self) -> dict[str, Any]:
        """For pickles, which are for main memory as the variables' are."""
        return vars(self) | {"_arrays": [{name: move(a, "cpu") for name, a in own.items()} for own in self._arrays]}

    def __deepcopy__(self, memo: dict[int, Any]) -> Slots:
        """Where they lie."""
        made = memo[id(self)] = object.__new__(Slots)
        made.variables, made.initial = copy.deepcopy(self.variables, memo), dict(self.initial)
        made._arrays = [{name: array.copy() for name, array in own.items()} for own in self._arrays]
        return made

    def follow(self) -> None:
        """Take them to where the variables lie, after these were moved."""
        for variable, arrays in zip(self.variables, self._arrays, strict=True):
            for name, array in arrays.items():
                arrays[name] = move(array, variable.device)

    def reset(self) -> None:
        """Fill them with the initial values again."""
        for variable, arrays in zip(self.variables, self._arrays, strict=True):
            for name, array in arrays.items():
                array[...] = _started(variable.array, self.initial[name])

    def state(self) -> dict[str, np.ndarray]:
        """Copies, as "INDEX.NAME"."""
        return {
            f"{index}.{name}": np.array(array if isinstance(array, np.ndarray) else array.get())
            for index, arrays in enumerate(self._arrays)
            for name, array in arrays.items()
        }

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the values of such a state. Raises ValueError, and changes nothing, unless names and shapes agree."""
        own = {f"{index}.{name}": array for index, arrays in enumerate(self._arrays) for name, array in arrays.items()}
        if state.keys() != own.keys():
            different = ", ".join(sorted(state.keys() ^ own.keys())[:5])
            raise ValueError(f"the state does not fit {len(self.variables)} variables: {different}")
        for key, array in own.items():
            if state[key].shape != array.shape:
                index, _, name = key.partition(".")
                raise ValueError(
                    f"{name} of variable {self.variables[int(index)].name!r} has shape {array.shape}, "
                    f"the state's has shape {state[key].shape}"
                )
        for key, array in own.items():
            array[...] = library_of(array).asarray(state[key])


def _started(weight: Array, value: float | None) -> Array:
    with computing_beside(weight):
        return weight.copy() if value is None else library_of(weight).full_like(weight, value)
