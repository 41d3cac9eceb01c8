"""What all metrics share: the state that batches add up in, weights, and the checks of what comes in.

A metric is fed batch by batch (`update_state`), asked for its value over all of them (`result`) and emptied
(`reset_state`). It works on NumPy arrays in float64 and never touches the tape; Tensors are accepted and read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine import initializers
from ...engine.config import Configurable
from .variables import MetricVariable


def to_array(value: Any) -> np.ndarray:
    """`value` (Tensor, array or nested list) as a NumPy array; a Tensor on another device is copied to the host."""
    return value.numpy() if hasattr(value, "numpy") else np.asarray(value)


def snake_case(name: str) -> str:
    """A class's or function's name as Keras names its objects: "MeanIoU" → "mean_io_u", "AUC" → "auc", "<lambda>" →
    "lambda"."""
    parted = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", parted).lower()


class Metric(Configurable):
    """A number (or one for each class) over all samples seen since the last `reset_state`.

    Subclasses write `update_state` and `compute`, and name what they add up in `clear`, as entries of
    `self.totals`: arrays, so that a training run can be checkpointed within an epoch. Every constructor argument is
    kept in the attribute of the same name: `get_config` reads them there.
    As in Keras they may instead make variables of them, in the constructor, by `add_variable`, and write `result`;
    `reset_state` sets these back to 0.

    name: what it is logged under; None: the class's name, as `snake_case` gives it. dtype: the type that results are
    rounded to, "float32" or "float64"; sums are always float64, and so are results if it is None.

    Raises ValueError from `result` when nothing was seen: a metric over no samples has no value.
    """

    running = True
    """Cheap enough to be shown after every step (an AUC, which sorts all scores, is not)."""

    additive = False
    """Whether the totals of two sets of samples, added up, are those of both."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Metrics of others need not count their updates: Keras's have none to count."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
            if "update_state" in vars(cls):
                cls.update_state = _counting(cls.update_state)  # type: ignore[method-assign]
            if "reset_state" in vars(cls):
                cls.reset_state = _forgetting(cls.reset_state)  # type: ignore[method-assign]

    def __init__(self, dtype: Any = None, name: str | None = None):
        try:
            known = dtype is None or np.dtype(dtype) in (np.float32, np.float64)
        except TypeError:
            known = False
        if not known:
            raise ValueError(f'{name}: dtype = {dtype!r}: expected None, "float32" or "float64"')
        self.name = name or snake_case(type(self).__name__)
        self.dtype = None if dtype is None else str(np.dtype(dtype))
        self.totals: dict[str, Any] = {}
        self.updates = 0
        self.variables: list[MetricVariable] = []
        self.clear()  # and not reset_state: a subclass's own needs the variables that it makes after this

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any,
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> MetricVariable:
        """A new entry of the totals, as something that `assign` writes. dtype: float64 unless given. aggregation: only
        "sum"; how several machines would put their values together, of which there is one."""
        if aggregation != "sum":
            raise ValueError(f"metric {self.name!r}: aggregation = {aggregation!r} is not supported: expected 'sum'")
        name = name or f"variable_{len(self.variables)}"
        if name in self.totals:
            raise self.fail(f"it has a variable {name!r} already")
        self.totals[name] = np.asarray(initializers.get(initializer)(tuple(shape), dtype or np.float64))
        self.variables.append(MetricVariable(self, name))
        return self.variables[-1]

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> MetricVariable:
        """`add_variable` under its older name; of zeros unless an initializer is given."""
        return self.add_variable(shape, "zeros" if initializer is None else initializer, dtype, name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch. `sample_weight` has the shape of the leading axes of `y_true`: (N,), or one for each element."""
        raise NotImplementedError(f"{type(self).__name__} lacks update_state")

    def compute(self) -> Any:
        """The value over `self.totals`, which hold at least one batch."""
        raise NotImplementedError(f"{type(self).__name__} lacks compute")

    def clear(self) -> None:
        """Set `self.totals` to what they are before any batch."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def reset_state(self) -> None:
        """Forget all batches."""
        self.updates = 0
        self.clear()

    def result(self) -> Any:
        """The value over all batches since `reset_state`: a float, or an array with one entry for each class."""
        if not self.updates:
            raise ValueError(f"metric {self.name!r} has seen no samples: call update_state before result")
        value = np.asarray(self.compute(), self.dtype or np.float64)
        return float(value) if value.ndim == 0 else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that was added up, for a checkpoint."""
        return {"updates": np.asarray(self.updates)} | {key: np.array(value) for key, value in self.totals.items()}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state()` gave."""
        self.updates = int(state["updates"])
        self.totals = {key: np.array(value) for key, value in state.items() if key != "updates"}

    def fail(self, problem: str) -> ValueError:
        return ValueError(f"metric {self.name!r}: {problem}")


def _counting(update_state: Callable[..., Any]) -> Callable[..., Any]:
    """An `update_state`, after which an update is counted if it has counted none."""

    @functools.wraps(update_state)
    def update_and_count(self: Metric, *args: Any, **kwargs: Any) -> Any:
        before = self.updates
        found = update_state(self, *args, **kwargs)
        self.updates = max(self.updates, before + 1)
        return found

    return update_and_count


def _forgetting(reset_state: Callable[..., Any]) -> Callable[..., Any]:
    """A `reset_state`, after which no update is counted."""

    @functools.wraps(reset_state)
    def reset_and_forget(self: Metric) -> Any:
        found = reset_state(self)
        self.updates = 0
        return found

    return reset_and_forget


class WeightedMean(Metric):
    """Σ wᵢ vᵢ / Σ wᵢ of values that `values(y_true, y_pred)` gives. NaN where all weights seen are 0."""

    additive = True

    def clear(self) -> None:
        self.totals = {"total": 0.0, "weight": 0.0}

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """One value for each element (or each sample)."""
        raise NotImplementedError(f"{type(self).__name__} lacks values")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.add(self.values(to_array(y_true), finite_scores(self, y_pred)), sample_weight)

    def add(self, values: np.ndarray, sample_weight: Any = None) -> None:
        if values.size == 0:
            return
        if sample_weight is None:
            total, weight = values.sum(dtype=np.float64), values.size
        else:
            weights = spread_weight(self, sample_weight, values.shape)
            total, weight = (values * weights).sum(), weights.sum()
        self.totals["total"] += total
        self.totals["weight"] += weight
        self.updates += 1

    def compute(self) -> float:
        return ratio(self.totals["total"], self.totals["weight"], empty=np.nan)


class Mean(WeightedMean):
    """The weighted mean of the values themselves: `update_state(values, sample_weight=None)`."""

    def __init__(self, name: str = "mean", dtype: Any = None):
        super().__init__(dtype, name)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        self.add(to_array(values), sample_weight)


class Sum(Mean):
    """The weighted sum of the values themselves: `update_state(values, sample_weight=None)`."""

    def __init__(self, name: str = "sum", dtype: Any = None):
        super().__init__(name, dtype)

    def compute(self) -> float:
        return self.totals["total"]


def ratio(numerator: Any, denominator: Any, empty: float) -> Any:
    """numerator / denominator, elementwise, and `empty` where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, empty, numerator / safe)


def finite_scores(metric: Metric, y_pred: Any) -> np.ndarray:
    """`y_pred` as an array; ValueError if it holds NaN, which every comparison would count as a plain "no"."""
    scores = to_array(y_pred)
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise metric.fail(f"y_pred holds {int(np.isnan(scores).sum())} NaN among {scores.size} values")
    return scores


def same_shape(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays in y_pred's shape: a last axis of size 1 may be missing in either. ValueError for other shapes."""
    if y_true.shape != y_pred.shape:
        if y_true.shape + (1,) == y_pred.shape or y_pred.shape + (1,) == y_true.shape:
            return y_true.reshape(y_pred.shape), y_pred
        raise metric.fail(f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected equal shapes")
    return y_true, y_pred


def as_binary(metric: Metric, y_true: np.ndarray) -> np.ndarray:
    """The truth as bool. ValueError if it holds anything but 0 and 1 (a mask of 0 and 255, say)."""
    if y_true.dtype == bool:
        return y_true
    positive = y_true == 1
    if np.count_nonzero(positive) + np.count_nonzero(y_true == 0) != y_true.size:
        odd = y_true[~positive & (y_true != 0)].flat[0]
        raise metric.fail(f"y_true must hold only 0 and 1, but holds {odd}")
    return positive


def check_threshold(owner: str, threshold: Any, from_logits: bool) -> float:
    """What scores are compared with: the threshold t, or its logit log(t / (1 − t)) where the scores are logits.

    σ(z) > t is z > log(t / (1 − t)): no sigmoid is computed, and large logits do not saturate. Raises ValueError for a
    threshold outside [0, 1], or, with logits, outside (0, 1).
    """
    value = float(threshold)
    if not 0 <= value <= 1 or (from_logits and value in (0.0, 1.0)):
        interval = "(0, 1)" if from_logits else "[0, 1]"
        raise ValueError(f"{owner}: threshold {threshold!r} must lie in {interval}")
    return float(np.log(value / (1 - value))) if from_logits else value


def spread_weight(metric: Metric, sample_weight: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The weights broadcast to `shape`: they match its leading axes, ending in ones where they are fewer."""
    weights = to_array(sample_weight).astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise metric.fail("sample_weight must be finite and not negative")
    if weights.ndim > len(shape) and weights.shape[len(shape) :] == (1,) * (weights.ndim - len(shape)):
        weights = weights.reshape(weights.shape[: len(shape)])
    padded = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    try:
        return np.broadcast_to(padded, shape)
    except ValueError:
        raise metric.fail(
            f"sample_weight has shape {weights.shape}: expected the leading axes of the targets' shape {shape}"
        ) from None


def class_labels(metric: Metric, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """The true class of each sample, shape y_pred.shape[:-1], from labels or one-hot rows.

    Labels have y_pred's shape without its last axis, or with a last axis of 1; one-hot rows have y_pred's shape.
    ValueError for other shapes, for labels that are no whole numbers, and for a class index out of range.
    """
    leading, classes = y_pred.shape[:-1], y_pred.shape[-1]
    if y_true.shape == y_pred.shape and classes > 1:
        return y_true.argmax(axis=-1)
    if y_true.shape not in (leading, leading + (1,)):
        raise metric.fail(
            f"y_true has shape {y_true.shape}: expected class indices {leading} or one-hot rows {y_pred.shape}"
        )
    labels = y_true.reshape(leading)
    if labels.dtype.kind not in "iub" and (labels != np.floor(labels)).any():
        raise metric.fail("y_true must hold whole class indices")
    check_range(metric, labels, classes, "y_true")
    return labels.astype(np.int64)


def check_range(metric: Metric, labels: np.ndarray, classes: int, argument: str) -> None:
    """ValueError if a class index lies outside 0 … classes − 1."""
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise metric.fail(f"{argument} holds class index {labels[wrong].flat[0]}: expected 0 to {classes - 1}")
