"""What all optimizers share: the learning rate, a step from checked gradients, gradients gathered over several steps,
averages of weights, state that is saved and resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ... import kernels
from .. import schedules
from ..capture import capturing, each_launch, require_no_graph
from ..checks import in_range, whole_number
from ..config import Configurable, as_plain
from ..device import computing_beside
from ..schedules import LearningRateSchedule
from ..tape import no_grad
from ..tensor import Array, Tensor, as_tensor, library_of
from ..variable import Variable
from .clipping import clipped
from .groups import Group, alike, place
from .slots import Slots

SUM, AVERAGE = "gradient_sum", "weights_average"  # slots of any optimizer that gathers gradients, averages weights


class Optimizer(Configurable):
    """Base class of the optimizers.

    learning_rate: a number, a schedule from the count of steps to a number, or a callable without arguments.
    weight_decay: the fraction λ by which a step first shrinks each weight, w ← w − learning_rate·λ·w; None for none.
    clipnorm: the largest norm of each weight's gradient; global_clipnorm: of all gradients together; clipvalue: the
    largest absolute value of a gradient's element. At most one of the three.
    use_ema: keep a running average of each weight, a ← ema_momentum·a + (1 − ema_momentum)·w after each step, which
    starts as the weight after the first one. Every `ema_overwrite_frequency` steps (None: never) the weights become
    their averages; at the end of `fit` (see `finalize_variable_values`) they do in any case.
    loss_scale_factor: what `scale_loss` multiplies the loss by, and a step divides the gradients by.
    gradient_accumulation_steps: k calls of `apply` make one step, along the mean of their gradients; what is counted in
    `iterations` are steps, but a schedule of the learning rate is given the number of calls, as in Keras. A weight
    without a gradient in some of the calls has gradients of 0 there. (Keras moves averages, and overwrites weights with
    them, in the calls between steps too, and forgets the gradients of a weight that has none in the last call. Here
    both belong to the steps, and no gradient is forgotten.)

    A subclass names its `slots` (arrays of each weight's shape, which start as zeros) and defines `update_step` for one
    weight, or `update_group` for all of a type at once. `numbers` names attributes that steps change.

    Raises TypeError for an unknown argument, ValueError for a value out of range.
    """

    slots: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    _rate = 0.0  # of the step that is being made

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self.name = name or type(self).__name__.lower()
        if unknown:
            raise TypeError(f"{self.name}: unknown argument {next(iter(unknown))!r}")
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [argument for argument, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{self.name}: at most one of {', '.join(clips)} can be given, got {', '.join(given)}")
        for argument in given:
            in_range(self.name, argument, clips[argument], above=0.0)
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        if weight_decay is not None:
            in_range(self.name, "weight_decay", weight_decay, least=0.0)
        if loss_scale_factor is not None:
            in_range(self.name, "loss_scale_factor", loss_scale_factor, above=0.0)
        self.weight_decay, self.loss_scale_factor = weight_decay, loss_scale_factor
        self.use_ema = bool(use_ema)
        self.ema_momentum = in_range(self.name, "ema_momentum", ema_momentum, least=0.0, most=1.0)
        self.ema_overwrite_frequency = whole_number(self.name, "ema_overwrite_frequency", ema_overwrite_frequency, 1)
        self.gradient_accumulation_steps = whole_number(
            self.name, "gradient_accumulation_steps", gradient_accumulation_steps, 2
        )
        self._learning_rate = self._checked_rate(learning_rate)
        self._calls = 0  # of `apply`
        self._slots: Slots | None = None
        self._index: dict[int, int] = {}
        self._gathered: set[int] = set()  # the weights (by index) that had a gradient since the last step
        self._spared: tuple[list[Variable], list[str]] = ([], [])  # from weight decay: variables, parts of names
        self._undecayed: set[int] = set()  # the same once the variables are known, by index
        self._pending: dict[str, np.ndarray] | None = None

    # --------------------------------------------------------------------------------------------------- learning rate

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step. Setting it replaces a number; a schedule cannot become a number."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self._learning_rate(self._calls))
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

    @property
    def iterations(self) -> int:
        """The number of steps made."""
        return self._calls // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, steps: int) -> None:
        self._calls = steps * (self.gradient_accumulation_steps or 1)

    # --------------------------------------------------------------------------------------------------------- weights

    @property
    def built(self) -> bool:
        return self._slots is not None

    def build(self, variables: Sequence[Variable]) -> None:
        """Say which weights will be trained, and make their slots. Called by the first step."""
        if self.built:
            raise ValueError(f"{self.name} is built already: make a new optimizer for other variables")
        for variable in variables:
            if not variable.array.flags.c_contiguous:
                raise ValueError(f"{self.name}: variable {variable.name!r} is not C-contiguous")
        self._slots = Slots(variables, self.used_slots())
        self._index = {id(variable): index for index, variable in enumerate(variables)}
        spared, parts = self._spared
        identities = {id(variable) for variable in spared}
        self._undecayed = {
            index
            for index, variable in enumerate(variables)
            if id(variable) in identities or any(part in variable.name.rpartition("/")[2] for part in parts)
        }
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._fill(pending, self._calls)

    @property
    def _variables(self) -> list[Variable]:
        return [] if self._slots is None else self._slots.variables

    def arrays(self) -> list[Array]:
        """All that is kept beside the weights; none before `build`."""
        return [] if self._slots is None else self._slots.all()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """For copies, whose variables are others: they are counted by themselves again."""
        vars(self).update(state)
        self._index = {id(variable): index for index, variable in enumerate(self._variables)}

    def follow(self) -> None:
        """Take the slots to where the variables lie, after these were moved."""
        if self._slots is not None:
            self._slots.follow()

    def own_slots(self) -> Mapping[str, float | None]:
        """The slots that the optimizer's formula needs with its arguments, and what each is filled with at the start
        (None: the weight)."""
        return dict.fromkeys(self.slots, 0.0)

    def used_slots(self) -> Mapping[str, float | None]:
        """All slots."""
        gathered = {SUM: 0.0} if self.gradient_accumulation_steps else {}
        return {**self.own_slots(), **gathered, **({AVERAGE: 0.0} if self.use_ema else {})}

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Spare these variables, and those in whose own names one of `var_names` appears, from weight decay. A layer's
        name is no part of it, as in Keras: "bias" spares "dense/bias", and not "bias_head/kernel".

        As part of the state it is saved with backups. Raises ValueError once the optimizer is built.
        """
        if self.built:
            raise ValueError(f"{self.name}: exclude_from_weight_decay must be called before the first step")
        self._spared = list(var_list or ()), list(var_names or ())

    def decay_of(self, variable: Variable) -> float:
        """The weight decay of one weight."""
        return 0.0 if self._index[id(variable)] in self._undecayed else self.weight_decay or 0.0

    # ---------------------------------------------------------------------------------------------------------- steps

    def scale_loss(self, loss: Any) -> Any:
        """The loss whose gradients `apply` takes: loss_scale_factor·loss. `fit` does it."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

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
        with computing_beside(variables[0].array):
            if not self.built:
                self.build(variables)
            arrays, variables = self._present(gradients, variables)
            if self.gradient_accumulation_steps:
                arrays, variables = self._gather(arrays, variables, self.gradient_accumulation_steps)
            each_launch(self._count)
            if variables:
                self._step(arrays, variables)

    def apply_gradients(self, gradients_and_variables: Iterable[tuple[Any, Variable]]) -> int:
        """One step, from (gradient, variable) pairs; the number of calls so far."""
        pairs = list(gradients_and_variables)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._calls

    @property
    def next_call_steps(self) -> bool:
        """Whether the next call of `apply` makes a step: with gradient_accumulation_steps one in so many does."""
        return (self._calls + 1) % (self.gradient_accumulation_steps or 1) == 0

    def _count(self) -> None:
        """Count a call, and take the learning rate of its step, if it makes one."""
        self._rate = self.learning_rate if self.next_call_steps else 0.0
        self._calls += 1

    def _step(self, gradients: list[Array], variables: Sequence[Variable]) -> None:
        """Clip, update, average, constrain. `iterations` counts this step already."""
        gradients = clipped(gradients, self.clipnorm, self.clipvalue, self.global_clipnorm)
        groups = self._groups(gradients, variables)
        each_launch(lambda: self._update(groups))
        if self.use_ema:
            each_launch(self._average)
        for variable in variables:
            if variable.constraint is not None:
                self._constrain(variable)

    def _update(self, groups: Sequence[Group]) -> None:
        """Move all weights of a step."""
        self.begin_step()
        for group in groups:
            self.update_group(replace(group, learning_rate=self._rate))
        for group in groups:
            for variable in group.variables:
                variable.changed()

    def _constrain(self, variable: Variable) -> None:
        """Hold a weight to its constraint; in a graph only where its loss is finite, as `blend` does."""
        if not capturing():
            variable.constrain()
            return
        with no_grad():
            values = as_tensor(variable.constraint(variable), variable.dtype).array  # type: ignore[misc]
        each_launch(lambda: kernels.of(values).blend([variable.array], [values], 0.0, 1.0))

    def _groups(self, gradients: Sequence[Array], variables: Sequence[Variable]) -> Sequence[Group]:
        """What one launch each can take."""
        groups: dict[Any, Group] = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            decay, kept = self.decay_of(variable), self._slots_of(variable)
            key = place(gradient), decay
            if key not in groups:
                groups[key] = Group([], [], {name: [] for name in kept}, self._rate, decay)
            group = groups[key]
            group.variables.append(variable)
            group.gradients.append(gradient)
            for name, array in kept.items():
                group.kept[name].append(array)
        return list(groups.values())

    def begin_step(self) -> None:
        """What a step does once, before the groups' updates."""

    def update_group(self, group: Group) -> None:
        """Shrink the group's weights by its weight decay, and change them and what is kept of them in place."""
        for index, (gradient, variable) in enumerate(zip(group.gradients, group.variables, strict=True)):
            if group.weight_decay:
                variable.array[...] -= group.learning_rate * group.weight_decay * variable.array
            own = {name: arrays[index] for name, arrays in group.kept.items()}
            self.update_step(gradient, variable, own, group.learning_rate)

    def update_step(self, gradient: Array, variable: Variable, slots: dict[str, Array], learning_rate: float) -> None:
        """Change the variable's array and its slots in place. `iterations` counts this step already."""
        raise NotImplementedError(f"{type(self).__name__} defines no update_step")

    def _slots_of(self, variable: Variable) -> dict[str, Array]:
        assert self._slots is not None
        return self._slots.of(self._index[id(variable)])

    def _present(self, gradients: list[Any], variables: Sequence[Variable]) -> tuple[list[Array], list[Variable]]:
        """The gradients that exist, of the unscaled loss, as arrays of their variables' types, with their variables."""
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
            array = gradient.array if isinstance(gradient, Tensor) else library_of(variable.array).asarray(gradient)
            if array.shape != variable.shape:
                raise ValueError(
                    f"{self.name}: variable {variable.name!r} has shape {variable.shape}, its gradient {array.shape}"
                )
            array = array.astype(variable.dtype, copy=False)
            if self.loss_scale_factor is not None:
                array = library_of(array).asarray(array / variable.dtype.type(self.loss_scale_factor))
            arrays.append(array)
            present.append(variable)
        if not present:
            raise ValueError(f"{self.name}: no variable has a gradient: {', '.join(missing)}")
        if missing:
            warnings.warn(f"{self.name}: no gradient for {', '.join(missing)}: left as they are", stacklevel=3)
        return arrays, present

    # ----------------------------------------------------------------------------- over several calls, and of weights

    def _gather(
        self, gradients: list[Array], variables: list[Variable], calls: int
    ) -> tuple[list[Array], list[Variable]]:
        """Adds up gradients: nothing until the last of so many calls, then the means and the weights that have one."""
        indices = [self._index[id(variable)] for variable in variables]
        totals = [self._slots_of(variable)[SUM] for variable in variables]
        each_launch(lambda: self._add_up(indices, totals, gradients))
        if not self.next_call_steps:
            return [], []
        gathered = sorted(self._gathered)
        each_launch(lambda: self._take(gathered))
        present = [self._variables[index] for index in gathered]
        sums = [self._slots_of(variable)[SUM] for variable in present]
        return [library_of(total).asarray(total / total.dtype.type(calls)) for total in sums], present

    def _add_up(self, indices: list[int], totals: list[Array], gradients: list[Array]) -> None:
        """Add gradients of weights to those of the step's calls so far. What the last step has left in `totals` is no
        part of the sum, and may be NaN."""
        known = [index in self._gathered for index in indices]
        if len(set(known)) > 1:
            require_no_graph("some weights, not all, had a gradient in the calls before")
        for keep in (False, True):
            chosen = [number for number, had_one in enumerate(known) if had_one is keep]
            for sums, others in alike([totals[number] for number in chosen], [gradients[number] for number in chosen]):
                kernels.of(sums[0]).blend(sums, others, float(keep), 1.0)
        self._gathered.update(indices)

    def _take(self, gathered: list[int]) -> None:
        """Begin anew to gather gradients, after those of these weights."""
        if gathered != sorted(self._gathered):
            require_no_graph("other weights had a gradient in the calls before")
        self._gathered.clear()

    def _average(self) -> None:
        """Moves the averages of all weights, and at times the weights to them."""
        averages = [self._slots_of(variable)[AVERAGE] for variable in self._variables]
        if self.iterations == 1:
            require_no_graph("the averages begin as the weights")
            for average, variable in zip(averages, self._variables, strict=True):
                average[...] = variable.array
        else:
            for targets, weights in alike(averages, [variable.array for variable in self._variables]):
                kernels.of(targets[0]).blend(targets, weights, self.ema_momentum, 1 - self.ema_momentum)
        if self.ema_overwrite_frequency and self.iterations % self.ema_overwrite_frequency == 0:
            require_no_graph("the weights become their averages")
            self.finalize_variable_values(self._variables)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With use_ema, give these weights the values of their averages; `fit` does it when it ends.

        Nothing before the first step. Raises ValueError for a variable that this optimizer does not know.
        """
        if not self.use_ema or not self.iterations or not self.built:
            return
        for variable in var_list:
            if id(variable) not in self._index:
                raise ValueError(f"{self.name}: variable {variable.name!r} is not one that it was built with")
            variable.assign(self._slots_of(variable)[AVERAGE])

    def swap_averages(self) -> None:
        """With use_ema, exchange all weights with their averages; twice is as never. Nothing before the first step.

        Raises ValueError without use_ema.
        """
        if not self.use_ema:
            raise ValueError(f"{self.name}: keeps no averages of the weights: use_ema=True makes it")
        if not self.iterations or not self.built:
            return
        for variable in self._variables:
            average = self._slots_of(variable)[AVERAGE]
            weights = variable.array.copy()
            variable.assign(average)
            average[...] = weights

    # --------------------------------------------------------------------------------------- steps that a graph repeats

    def why_not_repeated(self) -> str | None:
        """Why a CUDA graph cannot repeat its steps; None if it can. What a class of the user's own does with the
        learning rate and the count of steps is not known: a graph would go on with the first ones."""
        if type(self).__module__.rpartition(".")[0] != __package__:
            return f"{type(self).__name__} is an optimizer of your own"
        return None

    def counters(self) -> dict[str, Any]:
        """What the part of a step changes that is main memory's."""
        return {name: getattr(self, name) for name in ("_calls", *self.numbers)} | {"_gathered": set(self._gathered)}

    def go_back(self, counters: Mapping[str, Any]) -> None:
        """To what `counters` gave, as if the steps since had not been made."""
        for name, value in counters.items():
            setattr(self, name, value)

    def settings(self) -> tuple[Any, ...]:
        """All that decides what a step launches, beside the weights: two steps of equal settings differ in numbers."""
        changing = {"_calls", "_rate", "_learning_rate", *self.numbers}
        own = ((name, value) for name, value in vars(self).items() if name not in changing)
        plain = (pair for pair in own if isinstance(pair[1], (int, float, str, type(None))))
        return (*plain, *(array.data.ptr for array in self.arrays()), *sorted(self._undecayed))

    # ---------------------------------------------------------------------------------------------------------- state

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all that the next step depends on, beside the arguments: "iterations" (the calls of `apply`),
        "learning_rate" if it is a number, and "INDEX.SLOT" for every weight (counted in the order of `build`) and slot;
        and where they are not empty "gathered" (the weights that had a gradient since the last step) and "undecayed"
        (those spared from weight decay), and the optimizer's `numbers`."""
        state = {"iterations": np.array(self._calls, np.int64)}
        if not callable(self._learning_rate):
            state["learning_rate"] = np.array(self._learning_rate, np.float64)
        if self._pending is not None:
            return state | {key: array.copy() for key, array in self._pending.items()}
        if self._slots is not None:
            state |= self._slots.state()
            state |= {name: np.array(getattr(self, name), np.float64) for name in self.numbers}
            for name, indices in (("gathered", self._gathered), ("undecayed", self._undecayed)):
                state |= {name: np.array(sorted(indices), np.int64)} if indices else {}
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave. An optimizer that is not built yet takes the slots when it is.

        Raises ValueError if a part is missing, unknown, or of another shape than the weight it belongs to; then nothing
        is changed.
        """
        arrays = {key: np.asarray(value) for key, value in state.items()}
        if "iterations" not in arrays:
            raise ValueError(f"{self.name}: the state has no 'iterations'")
        calls = int(arrays.pop("iterations"))
        rate = arrays.pop("learning_rate", None)
        if (rate is None) != callable(self._learning_rate):
            raise ValueError(f"{self.name}: the state {'has no' if rate is None else 'has a fixed'} learning rate")
        if self.built:
            self._fill(arrays, calls)
        else:
            self._pending = {key: array.copy() for key, array in arrays.items()} if arrays else None
        self._calls = calls
        if rate is not None:
            self._learning_rate = float(rate)

    def _fill(self, arrays: Mapping[str, np.ndarray], calls: int) -> None:
        """Take slots, numbers and sets of weights after so many calls; before the first there need be none."""
        assert self._slots is not None
        slots = {key: array for key, array in arrays.items() if "." in key}
        known = (*self.numbers, "gathered", "undecayed")
        if unknown := sorted(arrays.keys() - slots.keys() - set(known)):
            raise ValueError(f"{self.name}: the state holds unknown parts: {', '.join(unknown)}")
        begun = bool(arrays) or calls > 0
        if missing := [name for name in self.numbers if begun and name not in arrays]:
            raise ValueError(f"{self.name}: the state has no {', '.join(missing)}")
        if begun:
            try:
                self._slots.load(slots)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
        else:
            self._slots.reset()
        for name in self.numbers:
            setattr(self, name, float(arrays[name]) if begun else getattr(type(self), name))
        self._gathered = set(arrays["gathered"].tolist()) if "gathered" in arrays else set()
        if "undecayed" in arrays:
            self._undecayed = set(arrays["undecayed"].tolist())

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self._learning_rate, LearningRateSchedule):
            config["learning_rate"] = as_plain(self._learning_rate)
        elif callable(self._learning_rate):
            raise NotImplementedError(f"{self.name}: a learning rate that is a function cannot be written down")
        variables, names = self._spared
        if variables:
            raise NotImplementedError(
                f"{self.name}: variables excluded from weight decay one by one cannot be written down; exclude them by "
                "their names"
            )
        return config | ({"exclude_from_weight_decay": names} if names else {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        arguments = dict(config)
        names = arguments.pop("exclude_from_weight_decay", None)
        made = cls(**arguments)
        if names:
            made.exclude_from_weight_decay(var_names=names)
        return made
