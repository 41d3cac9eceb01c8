"""Training steps on a GPU by CUDA graphs: what `compile(…, jit_compile=True)` asks for.

Captured are the forward pass, the loss and the gradients, by far the most launches of a step. The loss is then looked
at, and the optimizer's few launches are made as always: they take the learning rate of the step, and nothing is changed
where the loss is not finite. The numbers are those of steps that are not captured, bit for bit.

A graph is for batches of one shape. The first step of a shape runs as it is written, which compiles what it launches;
the second is captured. A step that cannot be captured runs as it is written, always; a warning says why.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..engine.capture import CaptureError, Graph
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.tensor import Tensor, from_array
from ..kernels.precision import chosen_precision

if TYPE_CHECKING:
    from .model import Model

MOST = 4  # graphs of a model: an epoch has two shapes of batches, and each graph holds all memory of its step


class CapturedSteps:
    """The graphs of a model's training steps."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.reason: str | None = None  # why steps are not captured
        self._graphs: dict[Any, _CapturedStep | None] = {}  # None: it ran once

    def __getstate__(self) -> dict[str, Any]:
        """For copies of the model, which capture their own."""
        return vars(self) | {"_graphs": {}}

    def step(self, x: Any, y: Any, sample_weight: Any) -> tuple[Tensor, Any, list[Any]] | None:
        """(loss, y_pred, gradients of the trained weights) of a batch; None where the step must run as it is
        written."""
        if self.reason is not None:
            return None
        if self.model.device == "cpu":
            self._give_up("on the CPU it changes nothing")
            return None
        leaves = flatten((x, y, sample_weight))
        key = self._key(x, y, sample_weight)
        if key not in self._graphs:
            if len(self._graphs) == MOST:
                self._give_up(f"there are batches of more than {MOST} shapes")
                return None
            self._graphs[key] = None
            return None
        graph = self._graphs[key]
        if graph is None:
            try:
                graph = self._graphs[key] = _CapturedStep(self.model, x, y, sample_weight)
            except CaptureError as error:
                self._give_up(str(error))
                return None
        return graph.run([None if leaf is None else self.model._on_device(leaf) for leaf in leaves], leaves)

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        self._graphs.clear()
        warnings.warn(
            f"{self.model.name}: jit_compile = True: the training step is not captured into a CUDA graph, and runs as "
            f"it is written: {reason}",
            stacklevel=4,
        )

    def _key(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """What a graph is captured for: the shapes, the weights' addresses, and how kernels compute."""
        shapes = map_structure(lambda leaf: None if leaf is None else (leaf.shape, leaf.dtype), (x, y, sample_weight))
        trained = {id(weight) for weight in self.model._trained.weights(self.model)}
        weights = [(weight.array.data.ptr, id(weight) in trained) for weight in self.model.weights]
        return repr(shapes), tuple(weights), chosen_precision(), self.model.optimizer.loss_scale_factor


class _CapturedStep:
    """The graph for batches of one shape."""

    def __init__(self, model: Model, x: Any, y: Any, sample_weight: Any) -> None:
        def room_for(leaf: Any) -> Tensor | None:
            return None if leaf is None else from_array(model._on_device(leaf).array.copy())

        batch = map_structure(room_for, (x, y, sample_weight))
        variables = model._trained.weights(model)

        def passes() -> tuple[Tensor, Any, list[Tensor | None]]:
            y_pred, loss = model._forward(*batch)
            gradients = model._gradients(loss, variables)
            return loss.detach(), map_structure(Tensor.detach, y_pred), gradients

        self._batch = flatten(batch)
        self._graph = Graph(passes, [room.array for room in self._batch if room is not None])

    def run(self, sent: list[Tensor | None], leaves: list[Any]) -> tuple[Tensor, Any, list[Any]]:
        for room, tensor in zip(self._batch, sent, strict=True):
            if room is not None and tensor is not None:
                room.array[...] = tensor.array
        self._graph.launch([leaf for leaf in leaves if leaf is not None])
        return self._graph.result
