"""Variable: a named tensor that lives on and is changed in place, a weight or a state of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .device import is_on, move
from .tape import no_grad
from .tensor import Array, Tensor


class Variable(Tensor):
    """A leaf tensor with a name: a trainable weight (it requires a gradient) or a state (such as a moving average).

    data: its first value, copied. name: what summaries and checkpoints call it. trainable: whether it is trained;
    True only for floating types. dtype: the type to convert to. constraint: what each step of an optimizer replaces the
    values by, a function of the variable (see `constraints`), or None.
    """

    __slots__ = ("constraint", "name")

    def __init__(
        self,
        data: Any,
        name: str = "variable",
        trainable: bool = True,
        dtype: Any = None,
        constraint: Callable[[Tensor], Any] | None = None,
    ) -> None:
        super().__init__(data, requires_grad=trainable, dtype=dtype)
        self.name = name
        self.constraint = constraint

    def constrain(self) -> None:
        """Replace the values by what the constraint, if there is one, leaves of them.

        Raises ValueError if it gives another shape.
        """
        if self.constraint is not None:
            with no_grad():
                self.assign(self.constraint(self))

    @property
    def value(self) -> Variable:
        """The variable itself: in Keras the tensor that it holds, whose `grad` a step of one's own reads."""
        return self

    @property
    def path(self) -> str:
        """Its name, such as "dense/kernel": Keras's `path`, without the names of the models around the layer."""
        return self.name

    def assign_add(self, value: Any) -> None:
        """Add to the values in place; a gradient stays what it was. `value` is a number, or has this shape."""
        with no_grad():
            self.assign(self + value)

    def assign_sub(self, value: Any) -> None:
        """Take off the values in place; see `assign_add`."""
        with no_grad():
            self.assign(self - value)

    def move(self, device: str) -> None:
        """Take the values, and the gradient if there is one, to a device: the variable stays the same object."""
        if not is_on(self.array, device):
            self.array = move(self.array, device)
            if self.grad is not None:
                self.grad = self.grad.detach().to(device)
            self.changed()

    @property
    def trainable(self) -> bool:
        return self._requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = value

    def __repr__(self) -> str:
        return f"<Variable {self.name}: shape {self.shape}, {self.dtype}{'' if self.trainable else ', not trainable'}>"

    def _made_of(self, array: Array) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (array, self.name, self._requires_grad, None, self.constraint)
