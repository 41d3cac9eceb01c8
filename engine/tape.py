"""The tape: every differentiable function remembers its inputs, and gradients walk back over these memories.

A `Function` is one application of one differentiable function. It stands on the tape as soon as one of its inputs
requires a gradient, and holds

- edges: for each input that requires a gradient, the function that made it, or the tensor itself if it is a leaf;
- what `save` declared: the arrays that the gradient needs, each with the version at which it was saved.

A function is always made after the functions that made its inputs, so the number under which it was made is a
topological order: a backward pass collects the functions that it can reach, sorts them by that number and visits
them from the last to the first. Nothing recurses: a graph may be as deep as memory allows.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ContextDecorator
from contextvars import ContextVar, Token
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from .arrays import add, filled
from .device import computing_beside, device_of, say_how_full
from .tensor import Array, Tensor, as_tensor, from_array

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_made = itertools.count()
_leaf_lock = threading.Lock()


def _renew_leaf_lock() -> None:
    """In a forked child: a thread that exists no more may have held the lock."""
    global _leaf_lock
    _leaf_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_leaf_lock)


class GradientError(RuntimeError):
    """A gradient that cannot be computed: the message names the function and the argument."""


# ---------------------------------------------------------------------------------------------------- recording modes


def recording() -> bool:
    """Whether functions are recorded on the tape in this thread now."""
    return _recording.get()


class _Mode(ContextDecorator):
    """A context manager, and a decorator, that sets whether functions are recorded: in this thread only."""

    enabled: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> _Mode:
        return type(self)()

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self.enabled))

    def __exit__(self, *exception: object) -> None:
        _recording.reset(self._tokens.pop())


class no_grad(_Mode):
    """`with no_grad():` — functions are not recorded, their results require no gradient. Also a decorator."""

    enabled = False


class enable_grad(_Mode):
    """`with enable_grad():` — functions are recorded again inside a `no_grad`. Also a decorator."""

    enabled = True


# ---------------------------------------------------------------------------------------------------------- functions


class Function:
    """One application of a differentiable function: forward and backward stand together in its subclass.

        class Multiply(Function):
            def forward(self, x, y):                       # arrays in, array out
                self.save(x, y)                            # what the gradient needs, inputs and outputs included
                return x * y

            def backward(self, cotangent):                 # tensors in, one tensor for each input out
                x, y = self.saved
                return cotangent * y, cotangent * x        # written in differentiable functions

        z = Multiply()(x, y)

    Inputs are tensors, or None for an input left out; keyword arguments go to `forward` as they are and stay in
    `self.parameters`. A function has one result. An instance is called once.

    In `backward`, `self.needs[i]` tells whether input i's gradient is wanted: return None in its place if not. Since
    `backward` is written in differentiable functions, gradients of gradients need nothing more.
    """

    view = False  # whether the result may share the memory of input 0: then they share the count of changes too

    parameters: dict[str, Any]
    edges: tuple[Function | Tensor | None, ...] | None  # None: freed
    needs: tuple[bool, ...]
    order: int
    shape: tuple[int, ...]
    dtype: np.dtype
    _declared: tuple[Array, ...] = ()
    _saved: tuple[tuple[int | None, Any, list[int] | None, int], ...] = ()

    def forward(self, *arrays: Any, **parameters: Any) -> Array:
        """The result's array from the inputs' arrays."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """For each input, the gradient of ⟨cotangent, result⟩ in it; None where `self.needs` says it is not wanted."""
        raise GradientError(f"{type(self).__name__} has no gradient: its class defines no backward")

    def used_by(self, function: Function, result: Tensor) -> None:
        """Called when `function` has been recorded with this one's result as an input: a function that keeps its result
        only for some of those that take it learns of them here."""

    def save(self, *arrays: Array) -> None:
        """Declare in `forward` what `backward` needs: inputs, the result, or any other array, in any order."""
        self._declared = arrays

    @property
    def saved(self) -> tuple[Any, ...]:
        """What `save` declared: inputs and the result as tensors that stand on the tape, others as they were.

        Raises GradientError if one of them was changed in place since.
        """
        return tuple([self._unpack(*entry) for entry in self._saved])

    def __call__(self, *inputs: Tensor | None, **parameters: Any) -> Tensor:
        self.parameters = parameters
        arrays = [None if tensor is None else tensor.array for tensor in inputs]
        try:
            if type(arrays[0]) is np.ndarray:
                output = from_array(self.forward(*arrays, **parameters))
            else:
                with self._one_place(arrays):
                    output = from_array(self.forward(*arrays, **parameters))
        except MemoryError as error:
            say_how_full(error, f"{type(self).__name__} of {_shapes_of(arrays)}")
            raise
        if self.view and (first := inputs[0]) is not None and np.may_share_memory(output.array, first.array):
            output.version = first.version
        if _recording.get():
            for tensor in inputs:
                if tensor is not None and tensor._requires_grad:
                    self._record(inputs, output)
                    break
        return output

    def _one_place(self, arrays: Sequence[Array | None]) -> AbstractContextManager[Any]:
        """What makes the GPU on which the arrays lie the current one. Raises TypeError if one that is no number lies
        elsewhere than the first."""
        first = arrays[0]
        for place, array in enumerate(arrays):
            if first is None:
                first = array
            elif array is not None and array.ndim and array is not first and device_of(array) != device_of(first):
                raise TypeError(
                    f"{type(self).__name__}: input {place}, of shape {array.shape}, lies {_where(array)}, input 0 "
                    f'{_where(first)}: move one of them with .to("{device_of(first)}") or .to("{device_of(array)}")'
                )
        return computing_beside(arrays[0] if first is None else first)

    def _record(self, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        """Put this function on the tape."""
        edges: list[Function | Tensor | None] = []
        for tensor in inputs:
            if tensor is None or not tensor._requires_grad:
                edges.append(None)
            elif (maker := tensor.node) is None:
                edges.append(tensor)
            else:
                maker.used_by(self, tensor)
                edges.append(maker)
        self.edges = tuple(edges)
        self.order = next(_made)
        array = output.array
        self.shape, self.dtype = array.shape, array.dtype
        if self._declared:
            self._pack(inputs, output)
        output.node = self
        output._requires_grad = True

    def _pack(self, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
        """Turn the declared arrays into (input's position or None, what is kept, its count of changes, that count now).

        Keeping the result itself would tie a knot (result → function → result) that only the garbage collector could
        open: its array alone is kept.
        """
        saved: list[tuple[int | None, Any, list[int] | None, int]] = []
        for array in self._declared:
            for position, tensor in enumerate(inputs):
                if tensor is not None and tensor.array is array:
                    saved.append((position, tensor, tensor.version, tensor.version[0]))
                    break
            else:
                version = output.version if array is output.array else None
                saved.append((None, array, version, version[0] if version else 0))
        self._saved = tuple(saved)
        self._declared = ()

    def _unpack(self, position: int | None, kept: Any, version: list[int] | None, version_then: int) -> Any:
        if version is None:
            return kept
        if version[0] != version_then:
            what = "its result" if position is None else f"its argument {self.argument(position)!r}"
            raise GradientError(
                f"{type(self).__name__} needs {what} for its gradient, but that tensor was changed in place "
                f"{version[0] - version_then} time(s) after it was saved; change a copy, or change it after backward"
            )
        if position is not None:
            return kept
        output = from_array(kept)
        output.version, output.node, output._requires_grad = version, self, True
        return output

    @classmethod
    def argument(cls, position: int) -> str:
        """The name of input number `position`, as `forward` calls it."""
        code = cls.forward.__code__
        if position + 1 < code.co_argcount:
            return code.co_varnames[position + 1]
        first_variadic = code.co_argcount - 1
        return f"{code.co_varnames[code.co_argcount + code.co_kwonlyargcount]}[{position - first_variadic}]"

    def _free(self) -> None:
        self.edges = None
        self._saved = ()

    def _freed(self) -> GradientError:
        return GradientError(
            f"the graph through {type(self).__name__} was freed by an earlier backward pass over it; "
            "pass retain_graph=True to that one to go over it twice"
        )


class Alias(Function):
    """The same tensor under a second name on the tape: y = x."""

    view = True

    def forward(self, x: Array) -> Array:
        return x.view()

    def backward(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return (cotangent,)


class Fused(Function):
    """A function computed by one kernel, and its gradient by another, with its formula beside them.

    A subclass gives

    - forward(…): the kernel. It saves its inputs first, in their order, then whatever else the gradient needs;
    - gradient(cotangent, *saved): the gradient's kernel, arrays in and out, one for each of the first `covers` inputs
      (None: all of them). covers = 0: there is no such kernel;
    - composition(…): the same function of the same arguments, written in differentiable functions.

    A gradient that is itself to be differentiated, or that the kernel does not cover, is the gradient of the
    composition, computed again from the saved inputs.
    """

    covers: int | None = None

    def gradient(self, cotangent: Array, *saved: Array) -> tuple[Array | None, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no gradient kernel")

    def composition(self, *inputs: Any, **parameters: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} states no composition")

    def backward(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        needs, saved = self.needs, self.saved
        if _recording.get() or (self.covers is not None and any(needs[self.covers :])):
            return self._backward_of_composition(cotangent, saved[: len(needs)])
        arrays = [item.array if isinstance(item, Tensor) else item for item in saved]
        found = self.gradient(filled(cotangent.array), *arrays)
        pairs = zip(needs, (*found, *[None] * (len(needs) - len(found))), strict=True)
        # One kernel may give more gradients than are wanted.
        return tuple([from_array(array) if need and array is not None else None for need, array in pairs])

    def _backward_of_composition(self, cotangent: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        # Each wanted input goes in under a name of its own: were one input computed from another, or given twice,
        # the gradient in the one must not take in the path through the other.
        with enable_grad():
            names = [Alias()(x) if need else x for x, need in zip(inputs, self.needs, strict=True)]
            output = self.composition(*names, **self.parameters)
        wanted = [x for x, need in zip(names, self.needs, strict=True) if need]
        gradients = iter(grad(output, wanted, cotangent, create_graph=_recording.get()))
        return tuple([next(gradients) if need else None for need in self.needs])


def _where(array: Array) -> str:
    return "in main memory" if isinstance(array, np.ndarray) else f"on GPU {array.device.id}"


# ------------------------------------------------------------------------------------------------------ backward pass


Place: TypeAlias = Function | Tensor  # where gradients gather: a function (for its result), or a leaf


def _place_of(tensor: Tensor) -> Place:
    return tensor.node or tensor


class _Cotangents:
    """The gradients gathered so far for each place.

    A sum of two contributions is memory of this table's own, and so is an array that a function made for nobody else:
    into these, further contributions are added in place. Everything else may be seen by others and is never written.
    """

    def __init__(self, create_graph: bool) -> None:
        self.create_graph = create_graph
        self.table: dict[Place, Tensor] = {}
        self.owned: set[Place] = set()

    def add(self, place: Place, gradient: Tensor, owned: bool = False) -> None:
        so_far = self.table.get(place)
        if so_far is None:
            total = gradient
        elif self.create_graph:
            total = so_far + gradient
        elif place in self.owned:
            add(so_far.array, gradient.array, so_far.array)
            return
        elif owned:
            total = gradient
            add(so_far.array, gradient.array, gradient.array)
        else:
            total, owned = from_array(add(so_far.array, gradient.array)), True
        self.table[place] = total
        if owned:
            self.owned.add(place)

    def deliver(self, function: Function, gradients: tuple[Tensor | None, ...], cotangent: Tensor) -> None:
        """Check what `function.backward(cotangent)` returned and add it where it belongs."""
        edges, needs = function.edges or (), function.needs
        if type(gradients) is not tuple or len(gradients) != len(needs):
            raise GradientError(
                f"{type(function).__name__}.backward must return a tuple of {len(needs)} gradients, one for each "
                f"input, but returned {_describe(gradients)}"
            )
        for position, (place, need, gradient) in enumerate(zip(edges, needs, gradients, strict=True)):
            if place is None or not need:
                continue
            if (
                not isinstance(gradient, Tensor)
                or gradient.array.shape != place.shape
                or gradient.array.dtype != place.dtype
            ):
                raise _wrong_gradient(function, position, gradient, place)
            self.add(place, gradient, not self.create_graph and _made_for_us(gradient, gradients, cotangent, function))


def _made_for_us(gradient: Tensor, siblings: tuple[Tensor | None, ...], cotangent: Tensor, function: Function) -> bool:
    """Whether a gradient's memory is seen by nobody else: the array is whole, not the cotangent, nothing saved, and no
    sibling is the same array or a view of it."""
    array = gradient.array
    if isinstance(array.base, type(array)) or array is cotangent.array:
        return False
    flags = array.flags
    if not flags.c_contiguous or (isinstance(array, np.ndarray) and not flags.writeable):
        return False
    seen = 0
    for sibling in siblings:
        if sibling is not None and (sibling.array is array or sibling.array.base is array):
            seen += 1
    for _, kept, _, _ in function._saved:
        if kept is array or (isinstance(kept, Tensor) and kept.array is array):
            seen += 1
    return seen == 1


def _wrong_gradient(function: Function, position: int, gradient: Any, place: Place) -> GradientError:
    name, argument = type(function).__name__, function.argument(position)
    if gradient is None:
        return GradientError(f"missing gradient: {name}.backward returned None for its argument {argument!r}")
    return GradientError(
        f"wrong gradient: {name}.backward returned {_describe(gradient)} for its argument {argument!r}, "
        f"which has shape {place.shape} and type {place.dtype}"
    )


def _shapes_of(arrays: Sequence[Array | None]) -> str:
    """For errors."""
    return "arrays of shapes " + ", ".join(str(array.shape) for array in arrays if array is not None)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"shape {value.shape} and type {value.dtype}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"a {type(value).__name__}"


def _reachable(places: Iterable[Place], targets: set[Place] | None) -> list[Function]:
    """The functions that gradients can reach from `places`, in the order in which they were made.

    A function made before every target cannot lead to one: it is left out, freed or not.
    """
    earliest = min([target.order if isinstance(target, Function) else -1 for target in targets or ()], default=-1)
    seen: set[Function] = set()
    stack = [place for place in places if isinstance(place, Function)]
    while stack:
        function = stack.pop()
        if function in seen or function.order < earliest:
            continue
        seen.add(function)
        if function.edges is None:
            if targets is None or function not in targets:
                raise function._freed()
            continue
        stack.extend([edge for edge in function.edges if isinstance(edge, Function)])
    return sorted(seen, key=attrgetter("order"))


def _leading_to(targets: set[Place], functions: list[Function]) -> set[Place]:
    """The targets, and those of `functions` (in the order in which they were made) that depend on one."""
    leading = set(targets)
    for function in functions:
        if function.edges is not None and not leading.isdisjoint(function.edges):
            leading.add(function)
    return leading


def _backward_pass(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    inputs: Sequence[Tensor] | None,
    create_graph: bool,
    retain_graph: bool,
) -> _Cotangents:
    """Walk back from the outputs; `inputs` None: to all leaves. Returns the cotangents of the inputs or leaves."""
    places = [_place_of(output) for output in outputs]
    targets = None if inputs is None else {_place_of(tensor) for tensor in inputs}
    functions = _reachable(places, targets)
    leading = None if targets is None else _leading_to(targets, functions)
    cotangents = _Cotangents(create_graph)
    for place, gradient in zip(places, gradients, strict=True):
        cotangents.add(place, gradient)
    with enable_grad() if create_graph else no_grad():
        while functions:
            function = functions.pop()
            cotangent = cotangents.table.get(function)
            if cotangent is None:  # does not lead to an input
                continue
            if targets is None or function not in targets:
                del cotangents.table[function]
            edges = function.edges
            if edges is None:  # a freed function that is itself an input
                continue
            function.needs = tuple([edge is not None and (leading is None or edge in leading) for edge in edges])
            if not any(function.needs):
                continue
            with computing_beside(cotangent.array):
                gradients_of_inputs = function.backward(cotangent)
            cotangents.deliver(function, gradients_of_inputs, cotangent)
            if not retain_graph:
                function._free()
    return cotangents


def _initial_gradient(output: Tensor, gradient: Any, argument: str) -> Tensor:
    """The cotangent of an output: ones for a single number, else what the caller gave, checked."""
    if gradient is None:
        if output.size != 1:
            raise GradientError(
                f"an output of shape {output.shape} is not a single number: give {argument}, an array of that shape"
            )
        with computing_beside(output.array):
            return from_array(np.ones_like(output.array))
    gradient = as_tensor(gradient, dtype=None if isinstance(gradient, Tensor) else output.dtype)
    if gradient.shape != output.shape or gradient.dtype != output.dtype:
        raise ValueError(
            f"{argument} has shape {gradient.shape} and type {gradient.dtype}, "
            f"but the output has shape {output.shape} and type {output.dtype}"
        )
    return gradient


def _require_recorded(output: Tensor, argument: str) -> None:
    if not isinstance(output, Tensor):
        raise TypeError(f"{argument} must be a Tensor, not a {type(output).__name__}")
    if not output._requires_grad:
        raise GradientError(
            f"{argument} requires no gradient: it was computed under no_grad, or from tensors that require none"
        )


def backward(
    output: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add the gradient of ⟨gradient, output⟩ to `.grad` of every leaf that requires one. See Tensor.backward."""
    _require_recorded(output, "the tensor")
    retain_graph = create_graph if retain_graph is None else retain_graph
    start = _initial_gradient(output, gradient, "gradient")
    cotangents = _backward_pass([output], [start], None, create_graph, retain_graph)
    for leaf, total in cotangents.table.items():
        if isinstance(leaf, Tensor):
            _deposit(leaf, total, create_graph, owned=leaf in cotangents.owned)


def _deposit(leaf: Tensor, gradient: Tensor, create_graph: bool, owned: bool) -> None:
    """Add to a leaf's .grad, which is C-contiguous memory of its own (unless it stands on the tape itself)."""
    with _leaf_lock:
        if create_graph:
            leaf._grad = gradient if leaf._grad is None else leaf._grad + gradient
        elif leaf._grad is not None:
            leaf._grad = from_array(np.add(leaf._grad.array, gradient.array, order="C"))
        else:
            leaf._grad = gradient if owned else gradient.copy()


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """The gradients of Σ ⟨grad_output, output⟩ in the inputs; no tensor's `.grad` is touched.

    outputs, inputs: a tensor or a sequence of tensors; inputs may be leaves or results of other functions.
    grad_outputs: an array of each output's shape (one array if outputs is one tensor); may be left out for outputs of
        a single number, where it is 1.
    create_graph: record the gradients themselves on the tape, so that they can be differentiated again.
    retain_graph: keep the graph for another pass; as create_graph unless given.
    allow_unused: give None for an input on which no output depends, where otherwise GradientError is raised.

    Returns one gradient if inputs is one tensor, else a tuple. Only what the inputs need is computed.
    """
    input_list = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if isinstance(outputs, Tensor):
        outputs, grad_outputs = [outputs], None if grad_outputs is None else [grad_outputs]
    outputs = list(outputs)
    given = [None] * len(outputs) if grad_outputs is None else list(grad_outputs)
    if len(given) != len(outputs):
        raise ValueError(f"grad_outputs has {len(given)} entries for {len(outputs)} outputs")
    for position, output in enumerate(outputs):
        _require_recorded(output, f"outputs[{position}]")
    for position, tensor in enumerate(input_list):
        _require_recorded(tensor, f"inputs[{position}]")
    starts = [
        _initial_gradient(output, start, f"grad_outputs[{position}]")
        for position, (output, start) in enumerate(zip(outputs, given, strict=True))
    ]
    retain_graph = create_graph if retain_graph is None else retain_graph
    cotangents = _backward_pass(outputs, starts, input_list, create_graph, retain_graph)
    gradients: list[Tensor | None] = []
    for position, tensor in enumerate(input_list):
        place = _place_of(tensor)
        gradient = cotangents.table.get(place)
        if gradient is None and not allow_unused:
            raise GradientError(
                f"inputs[{position}] (shape {tensor.shape}) was not used to compute the outputs; "
                "allow_unused=True gives None for it"
            )
        if not (gradient is None or create_graph or place in cotangents.owned):
            gradient = gradient.copy()
        gradients.append(gradient)
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)
