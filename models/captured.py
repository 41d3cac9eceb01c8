"""Training steps on a GPU by CUDA graphs: what `compile(…, jit_compile=True)` asks for.

Captured is the whole step: the forward pass, the loss, the gradients, and the optimizer's step with its clipping. The
optimizer's launches look at the loss, and change nothing where it is not finite; what they are told anew at each step
(learning rates, corrections) lies in an array that is filled before each launch. The loss is read when all is queued.
The numbers are those of steps that are not captured, bit for bit.

A graph is for batches of one shape, and for one way of the optimizer: with gradient_accumulation_steps, calls that make
a step and calls that do not have a graph each. The first step of a shape runs as it is written, which compiles what it
launches; the second is captured. A step that goes another way by itself (an average begins, weights are overwritten by
it) runs as it is written. Where the optimizer cannot be captured, its steps follow the graph's launches; and a step
that cannot be captured at all runs as it is written, always. Then a warning says why.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..engine.capture import CaptureError, DifferentStepError, Graph, steps_if_finite
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.tensor import Tensor, from_array
from ..kernels.precision import chosen_precision

if TYPE_CHECKING:
    from .model import Model

MOST = 4  # shapes of batches: an epoch has two, and each graph holds all memory of its step
Passed = tuple[float, Any, list[Any] | None]


class CapturedSteps:
    """The graphs of a model's training steps."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.reason: str | None = None  # why steps are not captured
        self.left_out: str | None = None  # why the optimizer's steps are not
        self._settings: Any = None  # for which all graphs were captured; the last part None for no optimizer's slots
        self._graphs: dict[Any, _CapturedStep | None] = {}  # None: it ran once

    def __getstate__(self) -> dict[str, Any]:
        """For copies of the model, which capture their own."""
        return vars(self) | {"_settings": None, "_graphs": {}}

    def step(self, x: Any, y: Any, sample_weight: Any) -> Passed | None:
        """(loss, y_pred, gradients of the trained weights) of a batch; None for the gradients where the optimizer has
        made its step. None where the step must run as it is written."""
        if self.reason is not None:
            return None
        if self.model.device == "cpu":
            self._give_up("on the CPU it changes nothing")
            return None
        self._forget_others()
        key = self._key(x, y, sample_weight)
        if key not in self._graphs:
            if len({key[0], *(shapes for shapes, _ in self._graphs)}) > MOST:
                self._give_up(f"there are batches of more than {MOST} shapes")
                return None
            self._graphs[key] = None
            return None
        leaves = flatten((x, y, sample_weight))
        try:
            graph = self._graphs[key]
            if graph is None:
                graph = self._graphs[key] = self._captured(x, y, sample_weight)
            return graph.run([None if leaf is None else self.model._on_device(leaf) for leaf in leaves], leaves)
        except CaptureError as error:
            self._give_up(str(error))
        except DifferentStepError:
            pass
        return None

    def _captured(self, x: Any, y: Any, sample_weight: Any) -> _CapturedStep:
        """With the optimizer's step, if that can be. Raises CaptureError."""
        if self.left_out is None:
            reason = self.model.optimizer.why_not_repeated()
            try:
                if reason is None:
                    return _CapturedStep(self.model, x, y, sample_weight, whole=True)
            except CaptureError as error:
                reason = str(error)
            passes = _CapturedStep(self.model, x, y, sample_weight, whole=False)
            self.left_out = reason
            self._warn("the optimizer's step is left out of the CUDA graph of the training step", reason)
            return passes
        return _CapturedStep(self.model, x, y, sample_weight, whole=False)

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._graphs.clear()
        self._warn("the training step is not captured into a CUDA graph, and runs as it is written", reason)

    def _warn(self, what: str, reason: str | None) -> None:
        warnings.warn(f"{self.model.name}: jit_compile = True: {what}: {reason}", stacklevel=5)

    def _key(self, x: Any, y: Any, sample_weight: Any) -> tuple[str, bool]:
        """The shapes of a batch, and whether the optimizer makes a step."""
        shapes = map_structure(lambda leaf: None if leaf is None else (leaf.shape, leaf.dtype), (x, y, sample_weight))
        return repr(shapes), self.model.optimizer.next_call_steps

    def _forget_others(self) -> None:
        """Forget graphs that were captured for other weights (their addresses count), another optimizer, or other ways
        of kernels to compute."""
        trained = {id(weight) for weight in self.model._trained.weights(self.model)}
        weights = [(weight.array.data.ptr, id(weight) in trained) for weight in self.model.weights]
        optimizer = self.model.optimizer
        settings = weights, chosen_precision(), id(optimizer), optimizer.settings() if optimizer.built else None
        before, self._settings = self._settings, settings
        if before is not None and (before[:-1] != settings[:-1] or before[-1] not in (None, settings[-1])):
            self._graphs.clear()


class _CapturedStep:
    """The graph for batches of one shape. whole: with the optimizer's step.

    Raises CaptureError, or DifferentStepError for a step of the optimizer that is no example of those to come.
    """

    def __init__(self, model: Model, x: Any, y: Any, sample_weight: Any, whole: bool) -> None:
        def room_for(leaf: Any) -> Tensor | None:
            return None if leaf is None else from_array(model._on_device(leaf).array.copy())

        batch = map_structure(room_for, (x, y, sample_weight))
        variables = model._trained.weights(model)
        if variables and not model.optimizer.built:
            raise DifferentStepError("the optimizer has made no step yet")

        def passes() -> tuple[Tensor, Any, list[Tensor | None] | None, dict[str, Tensor]]:
            y_pred, loss = model._forward(*batch)
            losses = {} if model._loss is None else model._loss.values
            gradients = model._gradients(loss, variables)
            if whole and variables:
                with steps_if_finite(loss.array):
                    model.optimizer.apply(gradients, variables)
            return loss.detach(), map_structure(Tensor.detach, y_pred), None if whole else gradients, losses

        self._model, self._batch = model, flatten(batch)
        inputs = [room.array for room in self._batch if room is not None]
        self._graph = self._undone(lambda: Graph(passes, inputs))

    def _undone(self, do: Callable[[], Any], unless: Callable[[Any], bool] = lambda result: False) -> Any:
        """do(); then the optimizer's counters are as before, unless its result is as it says."""
        optimizer = self._model.optimizer
        before, kept = optimizer.counters(), False
        try:
            result = do()
            kept = unless(result)
            return result
        finally:
            if not kept:
                optimizer.go_back(before)

    def run(self, sent: list[Tensor | None], leaves: list[Any]) -> Passed:
        """Launch it: what `CapturedSteps.step` gives. Raises DifferentStepError, and has done nothing, where the
        optimizer's step is another one."""
        for room, tensor in zip(self._batch, sent, strict=True):
            if room is not None and tensor is not None:
                room.array[...] = tensor.array
        return self._undone(lambda: self._launched(leaves), unless=lambda passed: math.isfinite(passed[0]))

    def _launched(self, leaves: list[Any]) -> Passed:
        self._graph.launch([leaf for leaf in leaves if leaf is not None])
        loss, y_pred, gradients, losses = self._graph.result
        if self._model._loss is not None:
            self._model._loss.values = losses
        return float(loss.item()), y_pred, gradients
