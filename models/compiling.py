"""What `compile` sets up: the loss over all outputs of a model, and the metrics of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import functions as F
from ..engine import losses
from ..engine.checks import in_range
from ..engine.config import as_plain, serialize
from ..engine.layers.symbolic import flatten, map_structure
from ..engine.masks import checked_mask, mask_of
from ..engine.tensor import Tensor, as_tensor
from . import metrics as metrics_module
from .metrics.base import Mean, Metric, to_array


def by_output(value: Any, names: Sequence[str], argument: str, outputs: Any = None) -> list[Any]:
    """`value` for each of a model's outputs `names`, in order; None for those that it leaves out.

    outputs: the outputs themselves, whose nesting `value` may have. Else it is given as it is for one output, and as a
    list in the outputs' order or a dict by their names for several (a list of one for one output, too).

    Raises ValueError for another number of entries, or an unknown name.
    """
    if value is None:
        return [None] * len(names)
    if isinstance(outputs, (list, tuple, dict)):
        along = _along(outputs, value)
        if along is not None:
            return along
    if isinstance(value, dict) and set(value) <= set(names):
        return [value.get(name) for name in names]
    if len(names) == 1 and not isinstance(value, dict) and not isinstance(outputs, (list, tuple, dict)):
        return [value[0] if _stands_alone(value) else value]
    if isinstance(value, dict):
        raise ValueError(f"{argument} names {sorted(set(value) - set(names))}, but the outputs are {list(names)}")
    if isinstance(value, (list, tuple)) and len(value) == len(names):
        return list(value)
    if len(names) == 1:
        return [value]
    raise ValueError(f"{argument}: expected a list of {len(names)}, or a dict, for the outputs {list(names)}")


def _stands_alone(value: Any) -> bool:
    """Whether it is a list of one array or so, and not of one number."""
    return isinstance(value, (list, tuple)) and len(value) == 1 and not isinstance(value[0], (int, float, np.number))


def _along(outputs: Any, value: Any) -> list[Any] | None:
    """What `value` holds at the place of each output; None if it is not nested as they are. A dict may leave out keys,
    None stands for everything within."""
    if not isinstance(outputs, (list, tuple, dict)):
        return [value]
    if value is None:
        return [None] * len(flatten(outputs))
    if isinstance(outputs, dict):
        if not isinstance(value, dict) or not set(value) <= set(outputs):
            return None
        parts = [_along(entry, value.get(key)) for key, entry in outputs.items()]
    else:
        if not isinstance(value, (list, tuple)) or len(value) != len(outputs):
            return None
        parts = [_along(entry, own) for entry, own in zip(outputs, value, strict=True)]
    return None if any(part is None for part in parts) else [leaf for part in parts for leaf in part or []]


def weights_by_output(sample_weight: Any, names: Sequence[str], outputs: Any = None) -> list[Any]:
    """The sample weights for each output: one array, with one weight for each sample, holds for all of them.

    Raises ValueError for one array of another shape beside several outputs.
    """
    if len(names) > 1 and sample_weight is not None and not isinstance(sample_weight, (list, tuple, dict)):
        shape = np.shape(sample_weight)
        if len(shape) > 2 or shape[1:] not in ((), (1,)):
            raise ValueError(
                f"sample_weight of shape {shape} beside {len(names)} outputs: one array for all of them has one weight "
                "for each sample; give a list or dict with an array for each output"
            )
        return [sample_weight] * len(names)
    return by_output(sample_weight, names, "sample_weight", outputs)


def output_names(y_pred: Any, names: Sequence[str] | None) -> list[str]:
    """The names of a model's outputs: a dict's keys, those that the model knows, or output_1, output_2, …"""
    count = len(flatten(y_pred))
    if is_flat_dict(y_pred):
        return list(y_pred)
    if names is not None and len(names) == count:
        return list(names)
    return [f"output_{index + 1}" for index in range(count)]


def is_flat_dict(outputs: Any) -> bool:
    """Whether the outputs are a dict of single ones, whose keys name them."""
    return isinstance(outputs, dict) and not any(isinstance(entry, (list, tuple, dict)) for entry in outputs.values())


class CompiledLoss:
    """Σ over outputs of weight · loss(y_true, y_pred): a scalar Tensor.

    loss: a name, a Loss or a function (y_true, y_pred) → Tensor of values to be averaged. For several outputs one of
    them for all, or a list or dict of them, in which None leaves an output out; a list of targets may leave those out
    too. loss_weights: a number for each, in the same form; TypeError for what is no number, as a metric is none.
    "crossentropy" and "ce" are binary, sparse or categorical cross-entropy by the shapes.

    Where there are several losses, `trackers` holds the running mean of each, without its weight, as "NAME_loss".
    """

    def __init__(self, loss: Any, loss_weights: Any = None) -> None:
        self.loss = _map_specification(_get_loss, loss)
        self.loss_weights = _checked_weights(loss_weights)
        self.trackers: dict[str, Mean] = {}
        self.values: dict[str, Tensor] = {}  # of the last call, where there are several losses, not tracked yet

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any, names: Sequence[str]) -> Tensor:
        functions = self.functions(names, y_pred)
        weights = weights_by_output(sample_weight, names, y_pred)
        factors = self._factors(names, y_pred)
        truths = self.truths(y_true, functions, names, y_pred)
        total: Any = None
        values: dict[str, Tensor] = {}
        for index, (function, prediction) in enumerate(zip(functions, flatten(y_pred), strict=True)):
            if function is None:
                continue
            if truths[index] is None:
                raise ValueError(f"the output {names[index]!r} has a loss, but no target")
            value = function(truths[index], prediction, weights[index])
            values[f"{names[index]}_loss"] = value.detach()
            value = value if factors[index] is None else value * float(factors[index])
            total = value if total is None else total + value
        if total is None:
            raise ValueError("compile was given no loss for any of the outputs")
        self.values = values if len(values) > 1 else {}
        return total

    def functions(self, names: Sequence[str], outputs: Any = None) -> list[Any]:
        """The loss of each output, or None."""
        if not isinstance(self.loss, (list, dict)):
            return [self.loss] * len(names)
        if isinstance(self.loss, list) and len(self.loss) == len(names) == 1:
            return list(self.loss)
        return by_output(self.loss, names, "loss", outputs)

    def _factors(self, names: Sequence[str], outputs: Any) -> list[Any]:
        factors = by_output(self.loss_weights, names, "loss_weights", outputs)
        factors = [factor[0] if isinstance(factor, list) and len(factor) == 1 else factor for factor in factors]
        if any(isinstance(factor, (list, dict)) for factor in factors):
            raise ValueError(f"loss_weights = {self.loss_weights!r}: expected a number for each of {list(names)}")
        return factors

    def truths(self, y_true: Any, functions: list[Any], names: Sequence[str], outputs: Any) -> list[Any]:
        """The targets of each output; a list of as many as there are losses belongs to those outputs."""
        given = [index for index, function in enumerate(functions) if function is not None]
        if len(given) < len(names) and isinstance(y_true, (list, tuple)) and len(y_true) == len(given):
            truths: list[Any] = [None] * len(names)
            for index, truth in zip(given, y_true, strict=True):
                truths[index] = truth
            return truths
        if len(names) > len(given) == 1 and not isinstance(y_true, (list, tuple, dict)):
            return [y_true if index in given else None for index in range(len(names))]
        return by_output(y_true, names, "y", outputs)

    def track(self, samples: int) -> None:
        """Add the losses of the last call to their running means."""
        for name, value in self.values.items():
            self.trackers.setdefault(name, Mean(name)).update_state(float(value.item()), samples)
        self.values = {}

    def reset(self) -> None:
        self.values = {}
        for tracker in self.trackers.values():
            tracker.reset_state()

    def state(self) -> dict[str, Any]:
        """What the running means have added up."""
        return {name: tracker.state() for name, tracker in self.trackers.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, own in state.items():
            self.trackers.setdefault(name, Mean(name)).load_state(own)

    def get_config(self) -> dict[str, Any]:
        return {
            "loss": _map_specification(_serialize_loss, self.loss),
            "loss_weights": as_plain(self.loss_weights),
        }


class AnyCrossentropy:
    """Cross-entropy of probabilities, by the shapes: binary for one column of predictions, else sparse categorical for
    class indices and categorical for one-hot rows. What Keras's "crossentropy" stands for."""

    from_logits = False

    def __call__(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        return self.chosen(y_true, y_pred)(y_true, y_pred, sample_weight)

    def chosen(self, y_true: Any, y_pred: Any) -> Any:
        """The loss that fits."""
        truth, classes = np.shape(y_true), y_pred.shape[-1] if y_pred.ndim else 1
        if classes == 1:
            return losses.BinaryCrossentropy()
        if len(truth) < y_pred.ndim or truth[-1] == 1:
            return losses.SparseCategoricalCrossentropy()
        return losses.CategoricalCrossentropy()


class FunctionLoss:
    """A function (y_true, y_pred) → values, averaged; with weights (N,) the samples' values are weighed, and a mask
    that travels with y_pred leaves values out of the average."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        self.function = function

    def __call__(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None) -> Tensor:
        values = as_tensor(self.function(y_true, y_pred))
        left, mask = values.size, mask_of(y_pred)
        if mask is not None:
            mask = checked_mask(mask, values, values.ndim, "y_pred's mask, and the loss function's values")
            values, left = F.where(mask, values, 0.0), int(mask.array.sum())
        if sample_weight is not None:
            weights = F.astype(as_tensor(sample_weight), values.dtype).to(values.device)
            if weights.shape != values.shape[: weights.ndim]:
                raise ValueError(
                    f"sample_weight has shape {weights.shape}, but the loss function gave values of shape "
                    f"{values.shape}: it must return one value for each sample to be weighed"
                )
            values = values * F.reshape(weights, weights.shape + (1,) * (values.ndim - weights.ndim))
        if mask is not None:
            return F.sum(values) * (1.0 / left if left else 0.0)
        return F.mean(values) if values.ndim else values


def _checked_weights(given: Any) -> Any:
    """Weights of losses: None, a finite number, or lists and dicts of them. TypeError, ValueError for anything else."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, dict):
        return {name: _checked_weights(entry) for name, entry in given.items()}
    if isinstance(given, (list, tuple)):
        return [_checked_weights(entry) for entry in given]
    if given is None:
        return None
    try:
        return in_range("compile", "loss_weights", given)
    except TypeError as error:
        raise TypeError(
            f"{error} for each output. It is the third argument, as in Keras; metrics are the fourth: give metrics=…"
        ) from None


def _get_loss(loss: Any) -> Any:
    if loss is None or isinstance(loss, (losses.Loss, FunctionLoss, AnyCrossentropy)):
        return loss
    if isinstance(loss, str) and loss.lower() in ("crossentropy", "ce"):
        return AnyCrossentropy()
    if callable(loss) and not isinstance(loss, type):
        return FunctionLoss(loss)
    return losses.get(loss)


def _serialize_loss(loss: Any) -> Any:
    if isinstance(loss, FunctionLoss):
        raise NotImplementedError("a loss that is a function cannot be written into a file")
    if isinstance(loss, AnyCrossentropy):
        return "crossentropy"
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

    @property
    def waiting(self) -> bool:
        """Whether there are some that are made with the first batch."""
        return self._slots is None and bool(self.given or self.weighted)

    def update(self, y_true: Any, y_pred: Any, sample_weight: Any, names: Sequence[str]) -> None:
        """Add a batch of arrays."""
        if not self.given and not self.weighted:
            return
        predictions = [to_array(leaf) for leaf in flatten(y_pred)]
        masks = [mask_of(leaf) for leaf in flatten(y_pred)]
        if self.loss is not None:
            truths = self.loss.truths(y_true, self.loss.functions(names, y_pred), names, y_pred)
        else:
            truths = by_output(y_true, names, "y", y_pred)
        if self._slots is None:
            self._make(truths, predictions, names, y_pred)
        weights = weights_by_output(sample_weight, names, y_pred)
        for slots, truth, prediction, weight, mask in zip(
            self._slots or [], truths, predictions, weights, masks, strict=True
        ):
            if slots and mask is not None:  # what is masked may be no label, and no number
                truth, prediction = _zero_where_masked(truth, mask), _zero_where_masked(prediction, mask)
            for metric, weighted in slots:
                metric.update_state(truth, prediction, _masked_weight(weight if weighted else None, mask))

    def _make(self, truths: list[Any], predictions: list[Any], names: Sequence[str], outputs: Any) -> None:
        self._shapes = {
            "names": list(names),
            "outputs": map_structure(lambda _: 0, outputs),
            "truths": [None if truth is None else list(np.shape(to_array(truth))) for truth in truths],
            "predictions": [list(prediction.shape) for prediction in predictions],
        }
        self._slots = [[] for _ in names]
        for specification, weighted in ((self.given, False), (self.weighted, True)):
            if not specification:
                continue
            functions = [None] * len(names) if self.loss is None else self.loss.functions(names, outputs)
            for index, entry in enumerate(_metrics_by_output(specification, names, outputs)):
                prefix = f"{names[index]}_" if len(names) > 1 else ""
                for identifier in entry:
                    if truths[index] is None:
                        raise ValueError(f"the output {names[index]!r} has metrics, but no target")
                    metric = _get_metric(identifier, truths[index], predictions[index], functions[index])
                    self._slots[index].append((metric, weighted))
                    self.named[self._free_name(prefix, metric.name, weighted)] = metric

    def _free_name(self, prefix: str, name: str, weighted: bool) -> str:
        """PREFIX_NAME; where that is taken, PREFIX_weighted_NAME for a weighted metric, then with a number."""
        taken = {*self.named, "loss"}
        if weighted and prefix + name in taken:
            name = f"weighted_{name}"
        numbered = (f"{prefix}{name}_{number}" for number in range(1, len(taken) + 2))
        first = prefix + name
        return first if first not in taken else next(candidate for candidate in numbered if candidate not in taken)

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
                [None if shape is None else np.broadcast_to(np.float32(0), shape) for shape in state[key]]
                for key in ("truths", "predictions")
            )
            self._make(truths, predictions, state["names"], state["outputs"])
        for metric, own in zip(self.named.values(), state["metrics"], strict=True):
            metric.load_state(own)

    def get_config(self) -> dict[str, Any]:
        return {
            "metrics": _map_specification(_serialize_metric, self.given),
            "weighted_metrics": _map_specification(_serialize_metric, self.weighted),
        }


class UnmadeMetrics:
    """The compiled metrics before the first batch, whose shapes they wait for, as one: what a step of one's own that
    goes over `model.metrics` feeds then. Its value is a dict of theirs."""

    name = "compile_metrics"

    def __init__(self, metrics: CompiledMetrics, names: Sequence[str] | None) -> None:
        self.metrics, self.output_names = metrics, names

    @property
    def updates(self) -> int:
        return sum(metric.updates for metric in self.metrics.named.values())

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.metrics.update(y_true, y_pred, sample_weight, output_names(y_pred, self.output_names))

    def result(self) -> dict[str, Any]:
        return {name: metric.result() for name, metric in self.metrics.named.items()}

    def reset_state(self) -> None:
        self.metrics.reset()


def _zero_where_masked(values: Any, mask: Tensor) -> Any:
    """An array with zeros where the mask of its leading axes is False."""
    if values is None or np.shape(to_array(values))[: mask.ndim] != mask.shape:
        return values
    values = to_array(values)
    return np.where(mask.numpy().reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values, 0)


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


def _metrics_by_output(specification: Any, names: Sequence[str], outputs: Any) -> list[list[Any]]:
    if len(names) == 1 and (not isinstance(specification, dict) or "class_name" in specification):
        entries = [specification]
    else:
        entries = by_output(specification, names, "metrics", outputs)
    return [_as_list(entry) for entry in entries]


def _as_list(entry: Any) -> list[Any]:
    if isinstance(entry, (list, tuple)):
        return [identifier for part in entry for identifier in _as_list(part)]
    return [] if entry is None else [entry]


def _get_metric(identifier: Any, truth: Any, prediction: np.ndarray, loss: Any) -> Metric:
    from_logits = bool(getattr(loss, "from_logits", False))
    if identifier not in ("accuracy", "acc", "crossentropy", "ce"):
        return metrics_module.get(identifier, from_logits)
    name, truth = identifier, to_array(truth)
    if identifier in ("crossentropy", "ce"):
        return _crossentropy(name, truth, prediction, loss, from_logits)
    if prediction.ndim < 2 or prediction.shape[-1] == 1 or isinstance(loss, losses.BinaryCrossentropy):
        return metrics_module.BinaryAccuracy(name, from_logits=from_logits)
    if truth.ndim < prediction.ndim or (truth.shape[-1] == 1 and prediction.shape[-1] > 1):
        return metrics_module.SparseCategoricalAccuracy(name)
    return metrics_module.CategoricalAccuracy(name)


def _crossentropy(name: str, truth: np.ndarray, prediction: np.ndarray, loss: Any, from_logits: bool) -> Metric:
    if prediction.ndim < 2 or prediction.shape[-1] == 1 or isinstance(loss, losses.BinaryCrossentropy):
        return metrics_module.BinaryCrossentropy(name, from_logits=from_logits)
    if truth.ndim < prediction.ndim or truth.shape[-1] == 1:
        return metrics_module.SparseCategoricalCrossentropy(name, from_logits=from_logits)
    return metrics_module.CategoricalCrossentropy(name, from_logits=from_logits)


def _serialize_metric(metric: Any) -> Any:
    if metric is None or isinstance(metric, str):
        return metric
    if isinstance(metric, Metric):
        return serialize(metric)
    raise NotImplementedError("a metric that is a function cannot be written into a file")
