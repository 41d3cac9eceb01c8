"""Losses that are NaN or infinite: the error, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.layers.symbolic import flatten
from ..kernels.half_precision import is_floating
from .metrics.base import to_array

if TYPE_CHECKING:
    from .data import Batch
    from .model import Model


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite. The message says where that came from.

    The step changed no trained weight; the moving averages of a batch normalisation have seen its batch.
    """


def blame(model: Model, x: Any, y_pred: Any, data: Batch) -> str:
    """Where the first numbers that are not finite stand."""
    for what, arrays in (
        ("the inputs hold", x),
        ("the targets hold", data[1]),
        ("the sample weights hold", data[2]),
    ):
        if _not_finite(arrays):
            return f"{what} {_not_finite(arrays)} values that are NaN or infinite"
    for name, weight in model.named_weights().items():
        if weight.trainable and _not_finite(weight):  # not moving averages, which this batch has changed
            count = _not_finite(weight)
            return f"the weight {name} holds {count} values that are NaN or infinite; lower the learning rate"
    if _not_finite(y_pred):
        return "weights and inputs are finite, but the model's output is not: it overflows; scale the inputs"
    return "weights, inputs and outputs are finite: the loss itself overflows or is undefined for these targets"


def _not_finite(structure: Any) -> int:
    """How many values in floating arrays are NaN or infinite."""
    arrays = [to_array(leaf) for leaf in flatten(structure) if leaf is not None]
    floating = [array for array in arrays if is_floating(array.dtype)]
    return sum(int(array.size - np.isfinite(array).sum()) for array in floating)
