"""Tensors of random numbers under the names and arguments of `keras.random`; `tg.random`.

`seed`: None draws from the engine's generator, which `tg.random.seed` seeds; a number gives the same numbers at every
call; a SeedGenerator draws on. dtype: float32 unless given. Within a model on a GPU, the numbers go there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import functions as F
from .device import device_of_weights
from .initializers import truncated_standard_normal
from .random import Generator, generator
from .tensor import Tensor, as_tensor, from_array

__all__ = ["SeedGenerator", "dropout", "normal", "randint", "shuffle", "truncated_normal", "uniform"]


class SeedGenerator(Generator):
    """A stream of random numbers for a layer of one's own: kept as an attribute, it is part of a run's backups.

    seed: None draws one from the engine's generator. name: told to nobody, as in Keras.
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(int(generator().integers(0, 2**63 - 1)) if seed is None else seed)
        self.name = name


def _source(seed: Any) -> Generator:
    if isinstance(seed, Generator):
        return seed
    return generator() if seed is None else Generator(seed)


def _placed(values: np.ndarray) -> Tensor:
    """Where the model computes in whose call this is."""
    device = device_of_weights()
    return from_array(values) if device is None else from_array(values).to(device)


def _floating(dtype: Any) -> Any:
    found = np.dtype("float32" if dtype is None else dtype)
    if found.kind != "f":
        raise ValueError(f"dtype = {dtype!r}: expected a floating type")
    return found


def normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of this shape from the normal distribution"""
    return _placed(_source(seed).normal(mean, stddev, tuple(shape), _floating(dtype)))


def truncated_normal(shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of this shape from the normal distribution, none further from the mean than two deviations"""
    draws = truncated_standard_normal(_source(seed).numpy, tuple(shape))
    return _placed(np.asarray(mean + stddev * draws, _floating(dtype)))


def uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Tensor:
    """Numbers of this shape, evenly from [minval, maxval); whole ones for an integer type"""
    if np.dtype(dtype or "float32").kind in "iu":
        return randint(shape, int(minval), int(maxval), dtype, seed)
    return _placed(_source(seed).uniform(minval, maxval, tuple(shape), _floating(dtype)))


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Tensor:
    """Whole numbers of this shape, evenly from minval … maxval − 1"""
    return _placed(np.asarray(_source(seed).integers(minval, maxval, tuple(shape)), dtype))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Tensor:
    """x with its parts along an axis in random order"""
    x = as_tensor(x)
    return F.take(x, _source(seed).permutation(x.shape[axis]), axis)


def dropout(inputs: Any, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None) -> Tensor:
    """Each element 0 with probability `rate`, the others divided by 1 − rate; see `tg.functional.dropout`"""
    return F.dropout(inputs, rate, True, noise_shape, _source(seed))
