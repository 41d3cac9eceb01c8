"""Variable: a named tensor that lives on and is changed in place, a weight or a state of a model."""

from __future__ import annotations

from typing import Any

from .device import is_on, move
from .tensor import Tensor


class Variable(Tensor):
    """A leaf tensor with a name: a trainable weight (it requires a gradient) or a state (such as a moving average).

    data: its first value, copied. name: what summaries and checkpoints call it. trainable: whether it is trained;
    True only for floating types. dtype: the type to convert to.
    """

    __slots__ = ("name",)

    def __init__(self, data: Any, name: str = "variable", trainable: bool = True, dtype: Any = None) -> None:
        super().__init__(data, requires_grad=trainable, dtype=dtype)
        self.name = name

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

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._on_cpu(), self.name, self._requires_grad)
