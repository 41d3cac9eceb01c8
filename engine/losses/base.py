"""Loss: from what is right and what was predicted to one number; shapes that must fit, weights, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.half_precision import is_half
from .. import functions as F
from ..capture import check_input
from ..config import Configurable
from ..device import computing_beside
from ..masks import checked_mask, mask_of
from ..tensor import Array, Tensor, as_tensor, beside, from_array, is_array

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss(Configurable):
    """Base class. A subclass defines `call(y_true, y_pred)`, which gives the loss of each example or position.

    reduction: "sum_over_batch_size" or "mean", the sum of the weighted values over their number; "sum";
    "mean_with_sample_weight", the sum of the weighted values over the sum of the weights; "none" or None, the weighted
    values themselves. dtype: the type that predictions are converted to; None leaves floating ones as they are.

    Raises ValueError for another reduction.
    """

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction = {reduction!r}: expected one of {', '.join(map(repr, REDUCTIONS))}")
        if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f'dtype = {dtype!r}: expected None, "float32" or "float64"')
        self.name = name or type(self).__name__
        self.reduction = reduction
        self.dtype = None if dtype is None else str(np.dtype(dtype))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example (N,), or of each of its positions (N, …)."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(y_true, y_pred)")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The loss, a scalar (or, with reduction None, the values).

        y_true: what is right; y_pred: what was predicted; tensors or arrays. sample_weight: a number, one weight for
        each example (N,), or one for each position: its leading axes are matched with those of the values, and a size
        of 1 stands for all.

        A mask that travels with y_pred (see `engine.masks`) leaves values out, of a sum and of what a mean divides by,
        as in Keras; its axes are matched with the leading ones of the values.

        Predictions of 16 bits are taken as float32. Raises ValueError for shapes that do not fit and for a mean over
        nothing.
        """
        y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
        with computing_beside(y_pred.array):
            return self._of(y_true, y_pred, sample_weight)

    def _of(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any) -> Tensor:
        """The loss, where y_pred lies."""
        if (mask := mask_of(y_pred)) is not None:
            y_true = _beside(y_true, y_pred)
            y_true, y_pred = _zero_where_masked(y_true, mask), _zero_where_masked(y_pred, mask)
        if y_pred.dtype.kind != "f" or is_half(y_pred.dtype) or self.dtype not in (None, str(y_pred.dtype)):
            y_pred = F.astype(y_pred, self.dtype or np.float32)
        y_true, y_pred = self.aligned(_beside(y_true, y_pred), y_pred)
        values, valid = self.call(y_true, y_pred), self.valid(y_true, y_pred)
        if mask is not None:
            mask = checked_mask(mask, values, values.ndim, f"{self.name}: y_pred's mask, and the loss's values")
            values = F.where(mask, values, 0.0)
            valid = mask.array if valid is None else mask.array & valid
        return self._reduced(values, valid, sample_weight)

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        """Both in the shapes that `call` takes, or ValueError. Here as they are: what fits, a subclass knows."""
        return y_true, y_pred

    def valid(self, y_true: Tensor, y_pred: Tensor) -> Array | None:
        """Which values count (bool, in the values' shape); None if all do."""
        return None

    def _reduced(self, values: Tensor, valid: Array | None, sample_weight: Any) -> Tensor:
        weights = None if sample_weight is None else _expanded_weights(self.name, sample_weight, values)
        if weights is not None:
            values = values * weights
        if self.reduction in ("none", None):
            return values
        total = F.sum(values)
        if self.reduction == "sum":
            return total
        if not values.size:
            raise ValueError(f"{self.name}: a mean over no values: y_pred is empty")
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            counted = weights.array if valid is None else weights.array * valid
            divisor = counted.sum(dtype=np.float64) * (values.size / counted.size)
        else:
            divisor = values.size if valid is None else np.count_nonzero(valid)
        return total * _reciprocal(divisor, total)


class MeanLoss(Loss):
    """A loss that is the mean, over the last axis, of an elementwise one."""

    def aligned(self, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
        return of_one_shape(self.name, y_true, y_pred)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        raise NotImplementedError

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        values = self.elementwise(y_true, y_pred)
        return F.squeeze(values, -1) if values.shape[-1] == 1 else F.mean(values, -1)


# ------------------------------------------------------------------------------------------------------ shared checks


def require_examples(name: str, y_true: Tensor, y_pred: Tensor) -> None:
    if not y_true.ndim or not y_pred.ndim:
        raise ValueError(
            f"{name}: expected arrays of examples, got y_true of shape {y_true.shape}, y_pred of {y_pred.shape}"
        )


def of_one_shape(name: str, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape and type, with a last axis for the values that belong together; (N,) becomes (N, 1).

    Keras squeezes the longer of the two instead, and then takes the mean over another axis than it says; the reduced
    loss is the same unless there are weights, where ours follows the documentation.
    """
    require_examples(name, y_true, y_pred)
    if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        y_true = F.expand_dims(y_true, -1)
    elif y_pred.ndim == y_true.ndim - 1 and y_true.shape[-1] == 1:
        y_pred = F.expand_dims(y_pred, -1)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"{name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected the same, or one more axis of "
            "size 1 at the end of one of them"
        )
    if y_pred.ndim == 1:
        y_true, y_pred = F.expand_dims(y_true, -1), F.expand_dims(y_pred, -1)
    return F.astype(y_true, y_pred.dtype), y_pred


def same_classes(name: str, y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Both as they are, for a loss over classes, where a last axis of size 1 says nothing."""
    if y_true.shape != y_pred.shape or y_pred.ndim < 2:
        raise ValueError(
            f"{name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}: expected (N, …, C) for both; for class "
            "indices take SparseCategoricalCrossentropy"
        )
    if y_pred.shape[-1] < 2:
        raise ValueError(
            f"{name}: y_pred of shape {y_pred.shape} has one class only, for which the loss says nothing; for two "
            "classes in one value take BinaryCrossentropy"
        )
    return F.astype(y_true, y_pred.dtype), y_pred


def checked_axis(name: str, axis: Any) -> int:
    """An axis as a configuration gives it. Raises ValueError for anything but a whole number."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise ValueError(f"{name}: axis = {axis!r}: expected an integer")
    return int(axis)


def axis_last(name: str, axis: int, x: Tensor) -> Tensor:
    """x with its axis `axis` moved to the end. Raises ValueError where x has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name}: axis = {axis} is out of range for y_pred of shape {x.shape}")
    return x if axis in (-1, x.ndim - 1) else F.moveaxis(x, axis, -1)


def require_fractions(name: str, targets: Tensor) -> None:
    """Raise ValueError for targets outside 0 … 1: a mask of 0 and 255 would train on nonsense, silently in Keras."""
    array = targets.array
    if check_input(array, lambda host: require_fractions(name, as_tensor(host))):
        return
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"{name}: y_true holds values from {float(array.min()):g} to {float(array.max()):g}: expected 0 to 1"
        )


def _reciprocal(divisor: Any, total: Tensor) -> Any:
    """1/divisor in double precision, then in the total's type: not read where it was counted on a GPU. 0 where nothing
    counts (every label is the ignored class, or every weight is 0), as in Keras."""
    if not is_array(divisor) or isinstance(divisor, np.ndarray):
        return 1.0 / float(divisor) if divisor else 0.0
    nothing = divisor == 0
    return from_array(((1.0 - nothing) / (divisor + nothing)).astype(total.dtype))


def _beside(given: Tensor, prediction: Tensor) -> Tensor:
    """What is right, or a weight, where the prediction lies: on its GPU, if it has to go there and no gradient does."""
    array = beside(given.array, prediction.array)
    return given if array is given.array or given.requires_grad else from_array(array)


def _zero_where_masked(x: Tensor, mask: Tensor) -> Tensor:
    """x with zeros where its mask is False: no label there is refused, and no NaN has a gradient."""
    if x.shape[: mask.ndim] != mask.shape:
        return x
    return F.where(F.reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim)), x, 0)


def _expanded_weights(name: str, sample_weight: Any, values: Tensor) -> Tensor:
    """The weights with as many axes as the values, which they broadcast to: the leading axes are matched.

    Keras lines up the last axes instead, so that weights (N,) fail against values (N, H, W), or, where W = N, weigh
    columns; its documentation means what is done here.
    """
    weights = F.astype(_beside(as_tensor(sample_weight), values), values.dtype)
    shape = weights.shape
    if len(shape) == values.ndim + 1 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > values.ndim or any(m not in (1, n) for m, n in zip(shape, values.shape, strict=False)):
        raise ValueError(
            f"{name}: sample_weight of shape {weights.shape} does not fit values of shape {values.shape}: expected a "
            "number, or one weight for each example or position"
        )
    return F.reshape(weights, (*shape, *(1,) * (values.ndim - len(shape))))
