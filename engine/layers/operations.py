"""Operation: a function of tg.functional as a layer, which a call of the function on symbols makes a node of.

    x = Input((4,))
    y = F.relu(x * 2 - 1)         # three operations: multiply, subtract, relu

The node keeps the call's arguments as they were given, symbols among them; what else is in them is plain data
(numbers, strings, slices, constant arrays), so that the graph can be written down (`models.functional`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functions as F
from ..functions.activations import BY_NAME
from ..tape import no_grad
from ..tensor import Tensor, as_tensor, is_array
from .base import Layer
from .names import auto_name
from .symbolic import Node, Shape, Symbol, flatten, has_symbols, map_structure

__all__ = ["Operation"]

# Functions that work element by element, or whose result has the shape to which their arguments broadcast.
_BROADCASTING = set(BY_NAME) & set(F.__all__) - {"glu"} | {
    *("abs", "add", "ceil", "clip", "cos", "divide", "exp", "expm1", "floor", "floor_divide", "log", "log1p"),
    *("logaddexp", "maximum", "minimum", "multiply", "negative", "ones_like", "power", "prelu", "remainder", "round"),
    *("sign", "sin", "sqrt", "square", "subtract", "tan", "threshold", "where", "zeros_like"),
}

# Sizes that stand for an open one, of the batch and of other axes, where an output's shape is found by trying: what
# changes with them is open. The second pair of pairs is for functions that need more.
_TRIALS = (((4, 24), (6, 36)), ((60, 60), (120, 120)))


class Operation(Layer):
    """A function of tg.functional, by name; it has no weights.

    Called with a list of the function's positional arguments (or its one argument) and its keyword arguments. Symbols,
    also in lists and tuples, make it note a node. Arrays and tensors beside symbols are constants of the graph, copied
    when it is drawn.

    Raises ValueError for a name that is none, or for one of a function that has no place in a graph (of
    `functions.NOT_OF_SYMBOLS`); TypeError for a Variable beside symbols: nobody would train or save it.
    """

    def __init__(self, function: str, *, name: str | None = None, **kwargs: Any) -> None:
        if function not in F.__all__ or function in F.NOT_OF_SYMBOLS:
            raise ValueError(f"Operation: function = {function!r}: expected the name of a function of tg.functional")
        super().__init__(name=name or auto_name(function), **kwargs)
        self.function = function
        self.built = True

    def __call__(self, inputs: Any, *further: Any, training: bool | None = None, **arguments: Any) -> Any:
        if further:
            raise TypeError(f"{self.name}: give the arguments of {self.function} in one list")
        if has_symbols((inputs, arguments)):
            return self._note(list(inputs) if isinstance(inputs, (list, tuple)) else [inputs], arguments)
        return self._call(inputs, training, arguments)

    def call(self, inputs: Any, **arguments: Any) -> Any:
        positional = inputs if isinstance(inputs, list) else [inputs]
        tensors = [leaf for leaf in flatten((positional, arguments)) if isinstance(leaf, Tensor)]
        elsewhere = [tensor.device for tensor in tensors if not isinstance(tensor.array, np.ndarray)]
        if elsewhere:  # the graph's constants lie in main memory

            def beside(leaf: Any) -> Any:
                return leaf.to(elsewhere[0]) if isinstance(leaf, Tensor) else leaf

            positional, arguments = map_structure(beside, positional), map_structure(beside, arguments)
        return getattr(F, self.function)(*positional, **arguments)

    def _warn_of_lost_mask(self) -> None:
        """Nothing: functions drop masks, in a graph as on tensors."""

    def _note(self, inputs: list[Any], arguments: dict[str, Any]) -> Any:
        inputs, arguments = map_structure(self._constant, inputs), map_structure(self._constant, arguments)
        outputs = self._outputs(inputs, arguments)
        self._notes.nodes.append(Node(self, inputs, arguments, outputs))
        return outputs

    def _constant(self, leaf: Any) -> Any:
        """One argument as the graph keeps it."""
        if isinstance(leaf, Tensor) and leaf.requires_grad:
            raise TypeError(
                f"{self.name}: {leaf!r} beside a symbol would be neither trained nor saved: give a layer the weight "
                "(add_weight), or take its detach()"
            )
        if isinstance(leaf, np.generic):
            return leaf.item()
        return Tensor(leaf) if isinstance(leaf, Tensor) or is_array(leaf) else leaf

    # ------------------------------------------------------------------------------------- what the function will give

    def output_shapes(self, node: Node, shape_of: Callable[[Symbol], Shape]) -> Any:
        def reshaped(leaf: Any) -> Any:
            return Symbol(shape_of(leaf), leaf.dtype) if isinstance(leaf, Symbol) else leaf

        outputs = self._outputs(map_structure(reshaped, node.inputs), map_structure(reshaped, node.arguments))
        return map_structure(lambda symbol: symbol.shape, outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """For an input alone. Shapes of a call with more arguments are its node's."""
        return self._outputs([Symbol(input_shape, self.dtype)], {}).shape

    def _outputs(self, inputs: list[Any], arguments: dict[str, Any]) -> Any:
        """Symbols for what the function will give for these arguments."""
        if self.function in _BROADCASTING and (operands := _operands(inputs, arguments)) is not None:
            inputs, arguments = map_structure(_corner, inputs), map_structure(_corner, arguments)
            tiny = self._tried(inputs, arguments, lambda symbol: (1,) * symbol.ndim)
            return Symbol(self._broadcast(operands), tiny.dtype, self.name)
        failure: Exception | None = None
        for trial in _TRIALS:
            try:
                small, large = (self._tried(inputs, arguments, _sized(*sizes)) for sizes in trial)
                return _between(small, large, self.name)
            except (ValueError, IndexError) as error:
                failure = failure or error
        shapes = [leaf.shape for leaf in flatten((inputs, arguments)) if isinstance(leaf, Symbol)]
        raise ValueError(f"{self.name}: {self.function} of symbols of shapes {shapes}: {failure}") from failure

    def _tried(self, inputs: list[Any], arguments: dict[str, Any], shape_of: Callable[[Symbol], Any]) -> Any:
        """What the function gives where ones (of integers, zeros: they may be indices) stand for the symbols."""

        def tried(leaf: Any) -> Any:
            if isinstance(leaf, Symbol):
                return as_tensor(np.full(shape_of(leaf), 0 if leaf.dtype.kind in "iu" else 1, leaf.dtype))
            return leaf

        with no_grad(), np.errstate(all="ignore"):
            return self.call(map_structure(tried, inputs), **map_structure(tried, arguments))

    def _broadcast(self, operands: list[Shape]) -> Shape:
        """The shape to which these broadcast; an open size gives way to one that is known, unless that is 1."""
        sizes: list[int | None] = []
        for axis in itertools.zip_longest(*(reversed(shape) for shape in operands), fillvalue=1):
            known = {size for size in axis if size not in (None, 1)}
            if len(known) > 1:
                raise ValueError(f"{self.name}: shapes {operands} do not broadcast against each other")
            sizes.append(known.pop() if known else None if None in axis else 1)
        return tuple(sizes[::-1])


def _operands(inputs: list[Any], arguments: dict[str, Any]) -> list[Shape] | None:
    """The shapes of a broadcasting function's operands; None where one is a list or tuple, which has to be tried."""
    values = [*inputs, *arguments.values()]
    if any(isinstance(value, (list, tuple)) for value in values):
        return None
    return [value.shape for value in values if isinstance(value, (Symbol, Tensor))]


def _corner(leaf: Any) -> Any:
    """A constant's first element along each axis: enough to see what type it makes of the result."""
    return F.index(leaf, (slice(0, 1),) * leaf.ndim) if isinstance(leaf, Tensor) else leaf


def _sized(batch: int, other: int) -> Callable[[Symbol], tuple[int, ...]]:
    """A shape for a symbol, with these for open sizes."""

    def shape_of(symbol: Symbol) -> tuple[int, ...]:
        return tuple((other if axis else batch) if size is None else size for axis, size in enumerate(symbol.shape))

    return shape_of


def _between(small: Any, large: Any, name: str) -> Any:
    """Symbols for two results of a function: of the sizes in which they agree, open where they do not."""
    if isinstance(small, (list, tuple)):
        return type(small)(_between(one, other, name) for one, other in zip(small, large, strict=True))
    shape = [one if one == other else None for one, other in zip(small.shape, large.shape, strict=True)]
    return Symbol(shape, small.dtype, name)
