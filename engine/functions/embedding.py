"""From integers to vectors: embedding and one-hot encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import computing_beside
from ..tensor import Tensor, beside, from_array
from .arguments import floating, integer_array, require_in_range
from .indexing import Index


def embedding(indices: Any, weight: Any) -> Tensor:
    """Rows of a table: indices (…) integers in 0 … V − 1, weight (V, D) → (…, D).

    A row that is looked up several times gets the sum of its gradients, always added in the same order.
    Raises ValueError for an index outside 0 … V − 1.
    """
    (weight,) = floating("embedding", weight=weight)
    indices = beside(integer_array("embedding", "indices", indices), weight.array)
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight has shape {weight.shape}: expected (V, D)")
    require_in_range("embedding", "the index", indices, weight.shape[0], "rows in weight")
    return Index()(weight, index=(indices,))  # as `take`, whose look at the indices is done


def one_hot(labels: Any, classes: int, dtype: Any = np.float32) -> Tensor:
    """labels (…) integers in 0 … classes − 1 → (…, classes): 1 at the label, 0 elsewhere. Not differentiable.

    Raises ValueError for a label outside 0 … classes − 1.
    """
    labels = integer_array("one_hot", "labels", labels)
    with computing_beside(labels):
        require_in_range("one_hot", "the class index", labels, classes, "classes")
        encoded = np.zeros_like(labels, dtype=dtype, shape=(*labels.shape, classes))
        np.put_along_axis(encoded, labels[..., None], 1, -1)
        return from_array(encoded)
