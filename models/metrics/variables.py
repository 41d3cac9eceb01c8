"""A number, or an array of them, that a metric adds up in: what Keras programs ask `add_variable` for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class MetricVariable(NDArrayOperatorsMixin):
    """An entry of a metric's totals, by name: read as an array, written by `assign`. Checkpoints hold it."""

    def __init__(self, metric: Any, name: str):
        self.metric, self.name = metric, name

    def numpy(self) -> np.ndarray:
        return np.asarray(self.metric.totals[self.name])

    def assign(self, value: Any) -> None:
        """Replace the numbers by others of their shape. Raises ValueError for another shape."""
        own = self.numpy()
        given = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        if given.shape != own.shape:
            raise ValueError(
                f"variable {self.name!r} has shape {own.shape}: a value of shape {given.shape} was assigned"
            )
        self.metric.totals[self.name] = given.astype(own.dtype)

    def assign_add(self, value: Any) -> None:
        self.assign(self.numpy() + np.asarray(value.numpy() if hasattr(value, "numpy") else value))

    def assign_sub(self, value: Any) -> None:
        self.assign(self.numpy() - np.asarray(value.numpy() if hasattr(value, "numpy") else value))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.numpy().shape

    @property
    def dtype(self) -> np.dtype:
        return self.numpy().dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [value.numpy() if isinstance(value, MetricVariable) else value for value in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def __float__(self) -> float:
        return float(self.numpy())

    def __repr__(self) -> str:
        return f"MetricVariable({self.name!r}, {self.numpy()!r})"
