"""What all optimizers share: the learning rate, a step from checked gradients, state that is saved and resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import schedules
from ..config import Configurable, as_plain
from ..device import move
from ..schedules import LearningRateSchedule
from ..tensor import Array, Tensor, library_of
from ..variable import Variable
from .checks import in_range
from .clipping import alike, clipped

# Arguments of Keras's optimizers that we do not have, with the one value of each that says "without it".
_ONLY_WITHOUT: dict[str, Any] = {
    "amsgrad": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
    "use_ema": False,
}


class Optimizer(Configurable):
    """Base class of the optimizers.

    learning_rate: a number, a schedule from the count of steps to a number, or a callable without arguments.
    weight_decay: the fraction λ by which a step first shrinks each weight, w ← w − learning_rate·λ·w; None for none.
    clipnorm: the largest norm of each weight's gradient; global_clipnorm: of all gradients together; clipvalue: the
    largest absolute value of a gradient's element. At most one of the three.

    A subclass names its `slots` (arrays of each weight's shape, which start as zeros) and defines `update_step` for one
    weight, or `update_steps` for all of them at once.

    Raises TypeError for an unknown argument, ValueError for a value out of range or an argument of Keras's that is not
    supported.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **unsupported: Any,
    ) -> None:
        self.name = name or type(self).__name__.lower()
        for argument, value in unsupported.items():
            if argument not in _ONLY_WITHOUT:
                raise TypeError(f"{self.name}: unknown argument {argument!r}")
            if value != _ONLY_WITHOUT[argument]:
                raise ValueError(f"{self.name}: {argument} = {value!r} is not supported; leave it out")
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [argument for argument, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{self.name}: at most one of {', '.join(clips)} can be given, got {', '.join(given)}")
        for argument in given:
            in_range(self.name, argument, clips[argument], above=0.0)
        if weight_decay is not None:
            in_range(self.name, "weight_decay", weight_decay, least=0.0)
        self.weight_decay, self.clipnorm, self.clipvalue, self.global_clipnorm = (
            weight_decay, clipnorm, clipvalue, global_clipnorm,
        )  # fmt: skip
        self._learning_rate = self._checked_rate(learning_rate)
        self.iterations = 0
        self._variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._arrays: list[dict[str, Array]] = []
        self._pending: dict[str, np.ndarray] | None = None

    # --------------------------------------------------------------------------------------------------- learning rate

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it replaces a number; a schedule cannot become a number."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self._learning_rate(self.iterations))
        return float(self._learning_rate()) if callable(self._learning_rate) else self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        new = self._checked_rate(value)
        if isinstance(self._learning_rate, LearningRateSchedule) and not callable(new):
            raise TypeError(f"{self.name}: the learning rate follows a schedule and cannot be set to {value!r}")
        self._learning_rate = new

    def _checked_rate(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return schedules.get(value)
        if callable(value):
            return value
        if isinstance(value, (Tensor, np.ndarray)):
            value = value.item()
        return in_range(self.name, "learning_rate", value, least=0.0)

    # ---------------------------------------------------------------------------------------------------------- steps

    @property
    def built(self) -> bool:
        return bool(self._variables)

    def build(self, variables: Sequence[Variable]) -> None:
        """Say which weights will be trained, and make their slots. Called by the first step."""
        if self.built:
            raise ValueError(f"{self.name} is built already: make a new optimizer for other variables")
        self._variables = list(variables)
        self._index = {id(variable): index for index, variable in enumerate(self._variables)}
        for variable in self._variables:
            if not variable.array.flags.c_contiguous:
                raise ValueError(f"{self.name}: variable {variable.name!r} is not C-contiguous")
        self._arrays = [
            {slot: library_of(variable.array).zeros_like(variable.array) for slot in self.used_slots()}
            for variable in self._variables
        ]
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._fill_slots(pending, self.iterations)

    def follow(self) -> None:
        """Take the slots to where the variables lie, after these were moved."""
        for variable, slots in zip(self._variables, self._arrays, strict=True):
            for slot, array in slots.items():
                slots[slot] = move(array, variable.device)

    def used_slots(self) -> tuple[str, ...]:
        """The slots that this optimizer needs with its arguments."""
        return self.slots

    def apply(self, gradients: Sequence[Any], variables: Sequence[Variable] | None = None) -> None:
        """One step. gradients: one tensor or array for each variable, None where there is none.

        variables: the weights; may be left out after the first step. As in Keras, variables without a gradient are left
        as they are with a warning that names them, and if none has one that is an error.

        Raises ValueError for lists of different lengths, an unknown variable, or a gradient of another shape.
        """
        gradients = list(gradients)
        if variables is None and not self.built:
            raise ValueError(f"{self.name}: give the variables, or call build(variables) first")
        variables = self._variables if variables is None else list(variables)
        if len(gradients) != len(variables):
            raise ValueError(f"{self.name}: got {len(gradients)} gradients for {len(variables)} variables")
        if not variables:
            return
        if not self.built:
            self.build(variables)
        arrays, variables = self._present(gradients, variables)
        arrays = clipped(arrays, self.clipnorm, self.clipvalue, self.global_clipnorm)
        rate = self.learning_rate
        self.iterations += 1
        slots = [self._arrays[self._index[id(variable)]] for variable in variables]
        for like_gradients, like_variables, like_slots in alike(arrays, variables, slots):
            self.update_steps(like_gradients, like_variables, like_slots, rate)
        for variable in variables:
            variable.changed()
            variable.constrain()

    def apply_gradients(self, gradients_and_variables: Iterable[tuple[Any, Variable]]) -> int:
        """One step, from (gradient, variable) pairs; the number of steps so far."""
        pairs = list(gradients_and_variables)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self.iterations

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        """Change the arrays of variables of one type, and their slots, in place."""
        for gradient, variable, own in zip(gradients, variables, slots, strict=True):
            self.update_step(gradient, variable, own, learning_rate)

    def update_step(self, gradient: Array, variable: Variable, slots: dict[str, Array], learning_rate: float) -> None:
        """Change the variable's array and its slots in place. `iterations` counts this step already."""
        raise NotImplementedError(f"{type(self).__name__} defines no update_step")

    def _present(self, gradients: list[Any], variables: Sequence[Variable]) -> tuple[list[Array], list[Variable]]:
        """The gradients that exist, as arrays of their variables' types, with their variables."""
        arrays, present, missing = [], [], []
        for gradient, variable in zip(gradients, variables, strict=True):
            if id(variable) not in self._index:
                raise ValueError(
                    f"{self.name}: variable {variable.name!r} is not one that this optimizer was built with; "
                    "make a new optimizer for other variables"
                )
            if gradient is None:
                missing.append(variable.name)
                continue
            array = gradient.array if isinstance(gradient, Tensor) else np.asarray(gradient)
            if array.shape != variable.shape:
                raise ValueError(
                    f"{self.name}: variable {variable.name!r} has shape {variable.shape}, its gradient {array.shape}"
                )
            arrays.append(array.astype(variable.dtype, copy=False))
            present.append(variable)
        if not present:
            raise ValueError(f"{self.name}: no variable has a gradient: {', '.join(missing)}")
        if missing:
            warnings.warn(f"{self.name}: no gradient for {', '.join(missing)}: left as they are", stacklevel=3)
        return arrays, present

    # ---------------------------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all that the next step depends on, beside the arguments: "iterations", "learning_rate" if it is a
        number, and "INDEX.SLOT" for every weight (counted in the order of `build`) and slot."""
        state = {"iterations": np.array(self.iterations, np.int64)}
        if not callable(self._learning_rate):
            state["learning_rate"] = np.array(self._learning_rate, np.float64)
        if self._pending is not None:
            state.update({key: array.copy() for key, array in self._pending.items()})
        for index, arrays in enumerate(self._arrays):
            for slot, array in arrays.items():
                state[f"{index}.{slot}"] = np.array(array if isinstance(array, np.ndarray) else array.get())
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. An optimizer that is not built yet takes the slots when it is.

        Raises ValueError if a part is missing, unknown, or of another shape than the weight it belongs to; then nothing
        is changed.
        """
        arrays = {key: np.asarray(value) for key, value in state.items()}
        if "iterations" not in arrays:
            raise ValueError(f"{self.name}: the state has no 'iterations'")
        iterations = int(arrays.pop("iterations"))
        rate = arrays.pop("learning_rate", None)
        if (rate is None) != callable(self._learning_rate):
            raise ValueError(f"{self.name}: the state {'has no' if rate is None else 'has a fixed'} learning rate")
        if self.built:
            self._fill_slots(arrays, iterations)
        else:
            self._pending = {key: array.copy() for key, array in arrays.items()} if arrays else None
        self.iterations = iterations
        if rate is not None:
            self._learning_rate = float(rate)

    def _fill_slots(self, arrays: dict[str, np.ndarray], iterations: int) -> None:
        if not arrays and not iterations:  # the state of an optimizer before its first step, which had no slots
            for slots in self._arrays:
                for array in slots.values():
                    array[...] = 0
            return
        expected = {f"{index}.{slot}" for index in range(len(self._variables)) for slot in self.used_slots()}
        if arrays.keys() != expected:
            different = ", ".join(sorted(arrays.keys() ^ expected)[:5])
            raise ValueError(f"{self.name}: the state does not fit {len(self._variables)} variables: {different}")
        places = [(index, slot, array) for index, slots in enumerate(self._arrays) for slot, array in slots.items()]
        for index, slot, array in places:
            given = arrays[f"{index}.{slot}"]
            if given.shape != array.shape:
                raise ValueError(
                    f"{self.name}: {slot} of variable {self._variables[index].name!r} has shape {array.shape}, "
                    f"the state's has shape {given.shape}"
                )
        for index, slot, array in places:
            array[...] = library_of(array).asarray(arrays[f"{index}.{slot}"])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self._learning_rate, LearningRateSchedule):
            config["learning_rate"] = as_plain(self._learning_rate)
        elif callable(self._learning_rate):
            raise NotImplementedError(f"{self.name}: a learning rate that is a function cannot be written down")
        return config
