"""Optimizers: one step of the weights along their gradients, with Keras 3's names, defaults and formulas.

    optimizer = AdamW(learning_rate=1e-3)
    optimizer.apply(gradients, variables)

A step is: clip the gradients, shrink the weights (`weight_decay`, decoupled from the gradient), update, and hold the
weights to their constraints. It runs in place, one launch of one kernel for all weights of a type. Gradients that are
NaN or infinite are passed on as they are: whoever's training diverges is to see it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import kernels
from . import schedules
from .absent import absent
from .config import Configurable, as_plain, make
from .device import move
from .schedules import LearningRateSchedule
from .tensor import Array, Tensor, library_of
from .variable import Variable

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]

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
        arrays = self._clipped(arrays)
        rate = self.learning_rate
        self.iterations += 1
        slots = [self._arrays[self._index[id(variable)]] for variable in variables]
        for like_gradients, like_variables, like_slots in _alike(arrays, variables, slots):
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

    def _clipped(self, gradients: list[Array]) -> list[Array]:
        """The gradients, clipped as asked for. NaN stays NaN: no comparison lets one pass as small."""
        if self.clipvalue is not None:
            low, high = -self.clipvalue, self.clipvalue
            return [library_of(gradient).asarray(gradient.clip(low, high)) for gradient in gradients]
        if self.clipnorm is not None:
            norms = [kernels.of(gradient).squared_norm([gradient]) for gradient in gradients]
            return [_scaled(gradient, self.clipnorm, norm) for gradient, norm in zip(gradients, norms, strict=True)]
        if self.global_clipnorm is not None:
            total = sum(kernels.of(group[0]).squared_norm(group) for (group,) in _alike(gradients))
            return [_scaled(gradient, self.global_clipnorm, total) for gradient in gradients]
        return gradients

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


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum μ and Nesterov's correction: see `kernels.reference.sgd_step`.

    w ← w − η·g; with momentum v ← μ·v − η·g, w ← w + v; with nesterov w ← w + μ·v − η·g.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.nesterov = bool(nesterov)

    def used_slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        velocities = [own["velocity"] for own in slots] if self.momentum else None
        kernels.of(weights[0]).sgd_step(
            weights, gradients, velocities, learning_rate, self.momentum, self.nesterov, self.weight_decay or 0.0
        )


class Adam(Optimizer):
    """Adam (Kingma & Ba 2014): see `kernels.reference.adam_step`. amsgrad is not supported: True is a ValueError."""

    slots = ("first_moment", "second_moment")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, amsgrad=amsgrad, **kwargs
        )
        self.amsgrad = False
        self.beta_1 = in_range(self.name, "beta_1", beta_1, least=0.0, below=1.0)
        self.beta_2 = in_range(self.name, "beta_2", beta_2, least=0.0, below=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        kernels.of(weights[0]).adam_step(
            weights,
            gradients,
            [own["first_moment"] for own in slots],
            [own["second_moment"] for own in slots],
            self.iterations,
            learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            self.weight_decay or 0.0,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017): Adam whose `weight_decay` is 0.004 by default."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue, global_clipnorm, name,
            **kwargs,
        )  # fmt: skip
        if weight_decay is None:
            raise ValueError(f"{self.name}: weight_decay = None: expected a number; Adam goes without")


class RMSprop(Optimizer):
    """RMSprop (Hinton, lecture 6e of 2012), with Keras's formula: see `kernels.reference.rmsprop_step`.

    v ← ρ·v + (1 − ρ)·g²,  u = η·g / sqrt(v + ε),  or with `centered` u = η·g / sqrt(v − a² + ε), a ← ρ·a + (1 − ρ)·g;
    w ← w − u, or with momentum μ: m ← μ·m + u, w ← w − m.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, **kwargs)
        self.rho = in_range(self.name, "rho", rho, least=0.0, below=1.0)
        self.momentum = in_range(self.name, "momentum", momentum, least=0.0, most=1.0)
        self.epsilon = in_range(self.name, "epsilon", epsilon, least=0.0)
        self.centered = bool(centered)

    def used_slots(self) -> tuple[str, ...]:
        return ("velocity", *(("momentum",) if self.momentum else ()), *(("average",) if self.centered else ()))

    def update_steps(
        self,
        gradients: Sequence[Array],
        variables: Sequence[Variable],
        slots: Sequence[dict[str, Array]],
        learning_rate: float,
    ) -> None:
        weights = [variable.array for variable in variables]
        kernels.of(weights[0]).rmsprop_step(
            weights,
            gradients,
            [own["velocity"] for own in slots],
            [own["momentum"] for own in slots] if self.momentum else None,
            [own["average"] for own in slots] if self.centered else None,
            learning_rate,
            self.rho,
            self.momentum,
            self.epsilon,
            self.weight_decay or 0.0,
        )


_NAMES: dict[str, type[Optimizer]] = {
    **{cls.__name__: cls for cls in (SGD, Adam, AdamW, RMSprop)},
    **{cls.__name__.lower(): cls for cls in (SGD, Adam, AdamW, RMSprop)},
}


def get(identifier: Any) -> Optimizer:
    """The optimizer for a name ("adam", "SGD", …), an Optimizer, or its configuration.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    return make(identifier, Optimizer, _NAMES, "optimizer")


# ------------------------------------------------------------------------------------------------------------ helpers


def in_range(
    name: str,
    argument: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """`value` as a float, if it is a finite number with least ≤ value ≤ most and above < value < below.

    Raises TypeError for what is not a number, ValueError for one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: {argument} = {value!r}: expected a number")
    if not (math.isfinite(value) and least <= value <= most and above < value < below):
        bounds = [f"at least {least}"] * (least > -math.inf) + [f"more than {above}"] * (above > -math.inf)
        bounds += [f"at most {most}"] * (most < math.inf) + [f"less than {below}"] * (below < math.inf)
        raise ValueError(f"{name}: {argument} = {value!r}: expected a finite number, {' and '.join(bounds)}")
    return float(value)


def _alike(arrays: Sequence[Array], *others: Sequence[Any]) -> list[tuple[list[Any], ...]]:
    """The arrays, and with them the entries of the other sequences, in groups of one type and one place."""
    groups: dict[Any, tuple[list[Any], ...]] = {}
    for entries in zip(arrays, *others, strict=True):
        array = entries[0]
        place = array.dtype if isinstance(array, np.ndarray) else (array.dtype, array.device.id)
        group = groups.setdefault(place, tuple([] for _ in entries))
        for gathered, entry in zip(group, entries, strict=True):
            gathered.append(entry)
    return list(groups.values())


def _scaled(gradient: Array, largest: float, squared_norm: float) -> Array:
    """The gradient times min(1, largest / norm), and NaN where the norm is NaN or infinite."""
    norm = math.sqrt(squared_norm)
    if norm <= largest:
        return gradient
    factor = gradient.dtype.type(largest / norm if math.isfinite(norm) else math.nan)
    return library_of(gradient).asarray(gradient * factor)  # NumPy makes a number of a scalar's product


__getattr__ = absent("optimizers", __name__)
