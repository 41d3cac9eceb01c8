"""What `compile` sets up: the loss over all outputs of a model, and the metrics of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import functions as F
from ..engine import losses
from ..engine.config import as_plain, serialize
from ..engine.layers.symbolic import flatten
from ..engine.masks import checked_mask, mask_of
from ..engine.tensor import Tensor, as_tensor
from . import metrics as metrics_module
from .metrics.base import Metric, to_array


def by_output(value: Any, names: Sequence[str], argument: str) -> list[Any]:
    """`value` for each of a model's outputs `names`: given as it is for one output, as a list or a dict for several.

    A name that a dict leaves out gets None. Raises ValueError for another number of entries, or an unknown name.
    """
    if isinstance(value, dict):
        unknown = set(value) - set(names)
        if unknown:
            raise ValueError(f"{argument} names {sorted(unknown)}, but the outputs are {list(names)}")
        return [value.get(name) for name in names]
    if len(names) == 1:
        return [value]
    if value is None:
        return [None] * len(names)
    if isinstance(value, (list, tuple)) and len(value) == len(names):
        return list(value)
    raise ValueError(f"{argument}: expected a list of {len(names)}, or a dict, for the outputs {list(names)}")


def weights_by_output(sample_weight: Any, names: Sequence[str]) -> list[Any]:
    """The sample weights for each output: one array holds for all of them."""
    if len(names) > 1 and not isinstance(sample_weight, (list, tuple, dict)):
        return [sample_weight] * len(names)
    return by_output(sample_weight, names, "sample_weight")


def output_names(y_pred: Any, names: Sequence[str] | None) -> list[str]:
    """The names of a model's outputs: a dict's keys, those that the model knows, or output_1, output_2, …"""
    if isinstance(y_pred, dict):
        return list(y_pred)
    count = len(flatten(y_pred))
    if names is not None and len(names) == count:
        return list(names)
    return [f"output_{index + 1}" for index in range(count)]


class CompiledLoss:
    """Σ over outputs of weight · loss(y_true, y_pred): a scalar Tensor.

    loss: a name, a Loss or a function (y_true, y_pred) → Tensor of values to be averaged; for several outputs a list or
    dict of them, in which None leaves an output out. loss_weights: a number for each, in the same form.
    """

    def __init__(self, loss: Any, loss_weights: Any = None) -> None:
        self.loss = _map_specification(_get_loss, loss)
        self.loss_weights = loss_weights

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any, names: Sequence[str]) -> Tensor:
        predictions = flatten(y_pred)
        functions = by_output(self.loss, names, "loss")
        truths = by_output(y_true, names, "y")
        weights = weights_by_output(sample_weight, names)
        factors = by_output(self.loss_weights, names, "loss_weights")
        total: Any = None
        for function, truth, prediction, weight, factor in zip(
            functions, truths, predictions, weights, factors, strict=True
        ):
            if function is not None:
                value = function(truth, prediction, weight)
                value = value if factor is None else value * float(factor)
                total = value if total is None else total + value
        if total is None:
            raise ValueError("compile was given no loss for any of the outputs")
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            "loss": _map_specification(_serialize_loss, self.loss),
            "loss_weights": as_plain(self.loss_weights),
        }


class FunctionLoss:
    """A function (y_true, y_pred) → values, averaged; with weights (N,) the samples' values are weighed, and a mask
    that travels with y_pred leaves values out of the average."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        self.function = function

    def __call__(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        values = as_tensor(self.function(y_true, y_pred))
        left, mask = values.size, mask_of(y_pred)
        if mask is not None:
            mask = checked_mask(mask, values, values.ndim, "the loss function's values")
            values, left = F.where(mask, values, 0.0), int(mask.array.sum())
        if sample_weight is not None:
            weights = to_array(sample_weight).astype(values.dtype)
            if weights.shape != values.shape[: weights.ndim]:
                raise ValueError(
                    f"sample_weight has shape {weights.shape}, but the loss function gave values of shape "
                    f"{values.shape}: it must return one value for each sample to be weighed"
                )
            values = values * weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))
        if mask is not None:
            return F.sum(values) * (1.0 / left if left else 0.0)
        return F.mean(values) if values.ndim else values


def _get_loss(loss: Any) -> Any:
    if loss is None or isinstance(loss, (losses.Loss, FunctionLoss)):
        return loss
    if callable(loss) and not isinstance(loss, type):
        return FunctionLoss(loss)
    return losses.get(loss)


def _serialize_loss(loss: Any) -> Any:
    if isinstance(loss, FunctionLoss):
        raise NotImplementedError("a loss that is a function cannot be written into a file")
    return None if loss is None else serialize(loss)


def _map_specification(function: Callable[[Any], Any], value: Any) -> Any:
    """Over a list or dict of specifications; a dict {"class_name": …} is one itself."""
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _map_specification(function, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_specification(function, entry) for entry in value]
    return function(value)


class CompiledMetrics:
    """The metrics of all outputs, made from names as soon as the first outputs tell their shapes.

    "accuracy" becomes binary, categorical or sparse categorical accuracy by the shapes and the loss, and metrics made
    from names are told when the loss takes logits (in Keras they are not, and compare logits with 0.5).

    A mask that travels with an output counts as sample weights of 0 and 1 for all its metrics (in Keras only for those
    that are means of a function).
    """

    def __init__(self, given: Any, weighted: Any, loss: CompiledLoss | None) -> None:
        self.given, self.weighted, self.loss = given, weighted, loss
        self.named: dict[str, Metric] = {}  # under the names that they are logged by
        self._slots: list[list[tuple[Metric, bool]]] | None = None  # for each output: (metric, whether it is weighted)
        self._shapes: dict[str, Any] = {}  # what the metrics were made for

    def update(self, y_true: Any, y_pred: Any, sample_weight: Any, names: Sequence[str]) -> None:
        """Add a batch of arrays."""
        if not self.given and not self.weighted:
            return
        predictions = [to_array(leaf) for leaf in flatten(y_pred)]
        masks = [mask_of(leaf) for leaf in flatten(y_pred)]
        truths = by_output(y_true, names, "y")
        if self._slots is None:
            self._make(truths, predictions, names)
        weights = weights_by_output(sample_weight, names)
        for slots, truth, prediction, weight, mask in zip(
            self._slots or [], truths, predictions, weights, masks, strict=True
        ):
            for metric, weighted in slots:
                metric.update_state(truth, prediction, _masked_weight(weight if weighted else None, mask))

    def _make(self, truths: list[Any], predictions: list[np.ndarray], names: Sequence[str]) -> None:
        self._shapes = {
            "names": list(names),
            "truths": [list(np.shape(to_array(truth))) for truth in truths],
            "predictions": [list(prediction.shape) for prediction in predictions],
        }
        self._slots = [[] for _ in names]
        for specification, weighted in ((self.given, False), (self.weighted, True)):
            if not specification:
                continue
            for index, entry in enumerate(_metrics_by_output(specification, names)):
                for identifier in entry:
                    metric = _get_metric(identifier, truths[index], predictions[index], self._loss(index, names))
                    name = f"{names[index]}_{metric.name}" if len(names) > 1 else metric.name
                    self._slots[index].append((metric, weighted))
                    self.named[self._free_name(name)] = metric

    def _loss(self, index: int, names: Sequence[str]) -> Any:
        return None if self.loss is None else by_output(self.loss.loss, names, "loss")[index]

    def _free_name(self, name: str) -> str:
        taken = {*self.named, "loss"}
        numbered = (f"{name}_{number}" for number in range(1, len(taken) + 2))
        return name if name not in taken else next(candidate for candidate in numbered if candidate not in taken)

    def reset(self) -> None:
        for metric in self.named.values():
            metric.reset_state()

    def state(self) -> dict[str, Any] | None:
        """What each metric has added up, and the shapes that they were made for; None before the first batch."""
        if self._slots is None:
            return None
        return self._shapes | {"metrics": [metric.state() for metric in self.named.values()]}

    def load_state(self, state: dict[str, Any] | None) -> None:
        """Go on from what `state` gave."""
        if state is None:
            return
        if self._slots is None:
            truths, predictions = (
                [np.broadcast_to(np.float32(0), shape) for shape in state[key]] for key in ("truths", "predictions")
            )
            self._make(truths, predictions, state["names"])
        for metric, own in zip(self.named.values(), state["metrics"], strict=True):
            metric.load_state(own)

    def get_config(self) -> dict[str, Any]:
        return {
            "metrics": _map_specification(_serialize_metric, self.given),
            "weighted_metrics": _map_specification(_serialize_metric, self.weighted),
        }


def _masked_weight(weight: Any, mask: Tensor | None) -> Any:
    """Sample weights that are 0 where the mask is False; the axes of both are leading axes of the prediction."""
    if mask is None:
        return weight
    kept = mask.numpy()
    if weight is None:
        return kept.astype(np.float64)
    weight = to_array(weight)
    if weight.ndim > kept.ndim and weight.shape[kept.ndim :] == (1,) * (weight.ndim - kept.ndim):
        weight = weight.reshape(weight.shape[: kept.ndim])
    axes = max(weight.ndim, kept.ndim)
    kept, weight = (one.reshape(one.shape + (1,) * (axes - one.ndim)) for one in (kept, weight))
    return kept * weight


def _metrics_by_output(specification: Any, names: Sequence[str]) -> list[list[Any]]:
    if len(names) == 1 and not isinstance(specification, dict):
        entries = [specification]
    else:
        entries = by_output(specification, names, "metrics")
    return [[] if entry is None else list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in entries]


def _get_metric(identifier: Any, truth: Any, prediction: np.ndarray, loss: Any) -> Metric:
    from_logits = bool(getattr(loss, "from_logits", False))
    if identifier not in ("accuracy", "acc"):
        return metrics_module.get(identifier, from_logits)
    name, truth = identifier, to_array(truth)
    if prediction.ndim < 2 or prediction.shape[-1] == 1 or isinstance(loss, losses.BinaryCrossentropy):
        return metrics_module.BinaryAccuracy(name, from_logits=from_logits)
    if truth.ndim < prediction.ndim or (truth.shape[-1] == 1 and prediction.shape[-1] > 1):
        return metrics_module.SparseCategoricalAccuracy(name)
    return metrics_module.CategoricalAccuracy(name)


def _serialize_metric(metric: Any) -> Any:
    if metric is None or isinstance(metric, str):
        return metric
    if isinstance(metric, Metric) and not isinstance(metric, metrics_module.MeanMetricWrapper):
        return serialize(metric)
    raise NotImplementedError("a metric that is a function cannot be written into a file")
