"""Graphs of layers before there is data: a `Symbol` stands for a tensor whose shape alone is known.

    x = Input(shape=(28, 28, 1))            # Symbol of shape (None, 28, 28, 1): None is the batch
    y = Dense(10)(Flatten()(x))             # layers called on symbols compute nothing: each call is noted as a `Node`
    z = F.relu(1 - y[:, :3] / 2)            # so are operators and the functions of tg.functional (see `operations`)

Each symbol knows the node that made it, and each node the layer, its inputs and its outputs: walking back from an
output gives the whole graph. `Model(inputs, outputs)` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..deferred import Deferred

if TYPE_CHECKING:
    from .base import Layer

__all__ = ["Input", "Node", "Shape", "Symbol", "flatten", "has_symbols", "map_structure"]

Shape = tuple[int | None, ...]


class Symbol(Deferred):
    """A tensor to come: `shape` (None where the size is open), `dtype`, `name` and the `node` that makes it.

    `index` is the symbol's place among the outputs of that node. Arithmetic with symbols, tensors, arrays and numbers
    gives symbols. Symbols are not compared by value: == says whether two are the same.
    """

    __array_ufunc__ = None  # so that array + symbol is left to the symbol

    def __init__(self, shape: Sequence[int | None], dtype: Any = "float32", name: str | None = None) -> None:
        self.shape: Shape = tuple(None if size is None else int(size) for size in shape)
        self.dtype = np.dtype(dtype)
        self.name = name
        self.node: Any = None  # the Node that makes it, from the moment that there is one
        self.index = 0

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        made_by = f", made by {self.node.layer.name}" if self.node is not None else ""
        return f"<Symbol {self.name or ''} shape={self.shape} dtype={self.dtype}{made_by}>"

    def __array__(self, *arguments: Any, **keywords: Any) -> np.ndarray:
        raise TypeError(
            f"{self!r} holds no values: apply layers to it (such as Add, Multiply, Activation, Concatenate), then "
            "make a Model(inputs, outputs)"
        )

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self!r} holds no values to go through: take parts of it by index, or tg.functional.split")

    # ---------------------------------------------------------------------------------------------------- arithmetic

    def note(self, function: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        from .operations import Operation

        return Operation(function)(list(arguments), **keywords)

    def __add__(self, other: Any) -> Any:
        return self.note("add", (self, other), {})

    def __radd__(self, other: Any) -> Any:
        return self.note("add", (other, self), {})

    def __sub__(self, other: Any) -> Any:
        return self.note("subtract", (self, other), {})

    def __rsub__(self, other: Any) -> Any:
        return self.note("subtract", (other, self), {})

    def __mul__(self, other: Any) -> Any:
        return self.note("multiply", (self, other), {})

    def __rmul__(self, other: Any) -> Any:
        return self.note("multiply", (other, self), {})

    def __truediv__(self, other: Any) -> Any:
        return self.note("divide", (self, other), {})

    def __rtruediv__(self, other: Any) -> Any:
        return self.note("divide", (other, self), {})

    def __floordiv__(self, other: Any) -> Any:
        return self.note("floor_divide", (self, other), {})

    def __rfloordiv__(self, other: Any) -> Any:
        return self.note("floor_divide", (other, self), {})

    def __mod__(self, other: Any) -> Any:
        return self.note("remainder", (self, other), {})

    def __rmod__(self, other: Any) -> Any:
        return self.note("remainder", (other, self), {})

    def __pow__(self, other: Any) -> Any:
        return self.note("power", (self, other), {})

    def __rpow__(self, other: Any) -> Any:
        return self.note("power", (other, self), {})

    def __matmul__(self, other: Any) -> Any:
        return self.note("matmul", (self, other), {})

    def __rmatmul__(self, other: Any) -> Any:
        return self.note("matmul", (other, self), {})

    def __neg__(self) -> Any:
        return self.note("negative", (self,), {})

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Any:
        return self.note("abs", (self,), {})

    def __getitem__(self, index: Any) -> Any:
        return self.note("index", (self, index), {})


class Node:
    """One call of a layer on symbols.

    layer: the layer; inputs: what it was called on (a symbol, or a list, tuple or dict of symbols and tensors);
    arguments: the call's keyword arguments; outputs: the symbol or symbols that it gave, in the same kinds of
    structure. Symbols among the keyword arguments count as inputs too.
    """

    def __init__(self, layer: Layer, inputs: Any, arguments: dict[str, Any], outputs: Any) -> None:
        self.layer = layer
        self.inputs = inputs
        self.arguments = arguments
        self.outputs = outputs
        for index, symbol in enumerate(self.output_symbols()):
            symbol.node, symbol.index = self, index

    def input_symbols(self) -> list[Symbol]:
        """The symbols that this call reads, in order."""
        return [leaf for leaf in flatten((self.inputs, self.arguments)) if isinstance(leaf, Symbol)]

    def output_symbols(self) -> list[Symbol]:
        """The symbols that this call made, in order."""
        return [leaf for leaf in flatten(self.outputs) if isinstance(leaf, Symbol)]

    def __repr__(self) -> str:
        return f"<Node {self.layer.name}: {self.input_symbols()} → {self.output_symbols()}>"


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
) -> Symbol:
    """The symbol where a graph begins.

    shape: the shape of one example, without the batch; None for a size that may vary. batch_size: the size of the
    batch, None for any. batch_shape: both at once, in place of `shape`. dtype: "float32" unless given.
    Keras's sparse, ragged, tensor and optional are not supported.

    Raises ValueError if neither or both of shape and batch_shape are given, or for sizes that are not positive.
    """
    from .core import InputLayer

    return InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, input_tensor=tensor, optional=optional, name=name
    ).output


def flatten(structure: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dicts, in order."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        return [leaf for entry in structure for leaf in flatten(entry)]
    return [structure]


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same nesting of lists, tuples and dicts with `function` applied to every leaf."""
    if isinstance(structure, dict):
        return {key: map_structure(function, entry) for key, entry in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(map_structure(function, entry) for entry in structure)
    return function(structure)


def has_symbols(structure: Any) -> bool:
    """Whether a symbol is among the leaves."""
    return any(isinstance(leaf, Symbol) for leaf in flatten(structure))
