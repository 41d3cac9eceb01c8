"""Inference without Python between the kernels: a model's launches are recorded, and later calls repeat them.

A small network takes longer to walk through its layers in Python than to compute. In inference the walk is the same at
each call with inputs of one shape, so that at the third such call the model's kernel launches are recorded
(`kernels/cpu/recording.py`), and from then on repeated, in memory that stays the model's.

What is repeated is what the layers would compute, bit for bit:

- only layers of our own whose work is kernels alone, with activations of our own, are recorded;
- a new recording has to give what the layers give for other, random numbers, with all memory in between overwritten:
  else something was computed outside the kernels, and the model goes on layer by layer;
- a recording ends as soon as a weight or an attribute of a layer changes, or with other settings of the kernels.

A model whose recording would hold more than ROOM bytes takes milliseconds a call, in which Python does not count: it is
not recorded. `TOMOGRAD_REPLAY=0` in the environment, or `with using_replay(False)`, turns all of this off.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import kernels
from ..engine import layers
from ..engine.functions.activations import BY_NAME
from ..engine.layers.augmentation import RandomLayer
from ..engine.layers.base import Layer, is_told
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.masks import mask_of
from ..engine.tensor import Tensor, from_array
from ..engine.variable import Variable
from .folding import Folded, computes_as

PLAIN_CALLS = 2  # before a recording is made: who asks once or twice gets his answer soonest without
ROOM = 64 * 1024**2  # bytes that a recording may hold
MOST = 4  # recordings of a model, for different inputs

# Layers whose work in inference is kernels alone. (Those that turn out not to be, for some arguments, are found out.)
# Not those that make masks, not those of cells of whatever kind, and not a Lambda, whose function may do other things
# another time.
_OTHERS = (Layer, layers.Embedding, layers.Lambda, layers.Masking, layers.Operation, layers.RNN, layers.StackedRNNCells)
_LAYERS = {
    cls for cls in vars(layers).values() if isinstance(cls, type) and issubclass(cls, Layer) and cls not in _OTHERS
}
_ACTIVATIONS = set(BY_NAME.values())

_enabled = os.environ.get("TOMOGRAD_REPLAY", "1") != "0"


@contextmanager
def using_replay(enabled: bool) -> Iterator[None]:
    """Within it, models of the whole process may repeat recorded launches, or compute layer by layer."""
    global _enabled
    before, _enabled = _enabled, enabled
    try:
        yield
    finally:
        _enabled = before


class Replays:
    """What a model remembers of its calls in inference: recordings, by the kind of input."""

    def __init__(self, calls: Iterable[Any], further: Iterable[type] = ()) -> None:
        """`calls`: the layers that are called, in order; `further`: classes among them whose work is kernels alone."""
        self._calls, self._known = list(calls), _LAYERS | set(further)
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return Replays, (self._calls, self._known)  # copies record for themselves

    def answer(self, inputs: Any, compute: Callable[[Any], Any]) -> Any:
        """`compute(inputs)`, which calls the layers: by them, or by repeating what they did."""
        if not _enabled or not isinstance(inputs, Tensor) or type(inputs.array) is not np.ndarray or not inputs.size:
            return compute(inputs)
        if mask_of(inputs) is not None:  # masks are no work of kernels
            return compute(inputs)
        backend = kernels.of(inputs.array)
        if not backend.__name__.endswith(".cpu") or backend.recording.is_recording():  # (its import takes a second)
            return compute(inputs)
        key = (inputs.shape, inputs.dtype, *backend.recording.settings())
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self._calls, self._known)
            while len(self._entries) > MOST:
                self._entries.popitem(last=False)
        return entry.answer(inputs.array, compute)


class _Entry:
    """The calls with inputs of one kind."""

    recorded: _Recorded | None

    def __init__(self, calls: Iterable[Any], known: set[type]) -> None:
        parts = [(call.layer, call.norm) if isinstance(call, Folded) else (call,) for call in calls]
        self.layers = [layer for part in parts for outer in part for layer in outer.all_layers()]
        self.known = known
        self.lock = threading.Lock()  # a recording has one memory
        self.forget()

    def forget(self) -> None:
        self.plain_calls, self.recorded, self.verified = 0, None, False
        self.may_draw = any(isinstance(layer, RandomLayer) for layer in self.layers)
        self.refused = not all(_is_known(layer, self.known) for layer in self.layers)
        self.attributes = [layer.changes for layer in self.layers]
        self.weights = [weight for layer in self.layers for _, weight in layer._own(Variable)]
        self.versions = [weight.version[0] for weight in self.weights]

    def answer(self, x: np.ndarray, compute: Callable[[Any], Any]) -> Any:
        if self.may_draw and not is_told():  # that this is no training
            return compute(from_array(x))
        if not self.lock.acquire(blocking=False):  # another thread is at it
            return compute(from_array(x))
        try:
            self._notice_changes()
            if self.recorded is not None:
                return self.recorded.answer(x)
            if self.refused or self.plain_calls < PLAIN_CALLS:
                self.plain_calls += 1
                return compute(from_array(x))
            return self._record(x, compute)
        finally:
            self.lock.release()

    def _notice_changes(self) -> None:
        if [layer.changes for layer in self.layers] != self.attributes:
            self.forget()
        versions = [weight.version[0] for weight in self.weights]
        if versions != self.versions:
            self.plain_calls, self.recorded, self.versions = 0, None, versions

    def _record(self, x: np.ndarray, compute: Callable[[Any], Any]) -> Any:
        recorded = _Recorded(x, compute)
        result = recorded.copied()
        if recorded.recording.room.size > ROOM or not (self.verified or recorded.gives_what(compute)):
            self.refused = True
        else:
            self.recorded, self.verified = recorded, True
            recorded.recording.choose_threads()
        return result


def _is_known(layer: Any, known: set[type]) -> bool:
    """Whether a layer computes what its class says, and this with kernels alone, and adds nothing to the loss."""
    activations = [getattr(layer, name, None) for name in ("activation", "recurrent_activation")]
    plain = all(each is None or each in _ACTIVATIONS for each in activations) and layer.activity_regularizer is None
    return plain and computes_as(layer, known)


class _Recorded:
    """A recording with its input and its outputs."""

    def __init__(self, x: np.ndarray, compute: Callable[[Any], Any]) -> None:
        self.backend = kernels.backend("cpu")
        self.recording = self.backend.recording.Recording()
        self.x = self.recording.empty(x.shape, x.dtype)
        self.x[...] = x
        with self.recording:
            self.outputs = compute(from_array(self.x))

    def copied(self) -> Any:
        """The outputs, in memory of their own."""
        return map_structure(lambda output: from_array(self.backend.copy(output.array)), self.outputs)

    def answer(self, x: np.ndarray) -> Any:
        """The outputs for an input."""
        self.backend.copy(x, self.x)
        self.recording.run()
        return self.copied()

    def gives_what(self, compute: Callable[[Any], Any]) -> bool:
        """Whether the launches alone give what `compute` gives, to the bit, for numbers of which they know nothing."""
        other = np.random.default_rng(len(self.recording)).standard_normal(self.x.shape).astype(self.x.dtype)
        expected = flatten(compute(from_array(other)))
        self.recording.forget()
        for output in flatten(self.outputs):
            output.array.fill(np.nan)
        found = flatten(self.answer(other))
        return all(a.array.tobytes() == b.array.tobytes() for a, b in zip(expected, found, strict=True))
