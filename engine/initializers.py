"""First values of weights: constants, and random values scaled by the number of a weight's inputs and outputs.

Classes and strings have Keras's names and defaults; all of its initializers but STFT are here. A random initializer
without a seed draws from the generator that `random.seed` sets, new values at every call; with an integer seed it gives
the same values at every call. (In Keras an initializer object without a seed repeats itself too, so that two layers
sharing it start equal; here they do not.)

Sources: Glorot & Bengio 2010 (glorot), He et al. 2015 (he), LeCun et al. 1998 (lecun), Saxe et al. 2014 (orthogonal).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import random
from .absent import absent
from .config import Configurable, make, serialize

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

# Standard deviation of a standard normal distribution cut off at ±2 (the draws outside are drawn again).
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


def compute_fans(
    shape: Sequence[int], input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of this shape: the product of its sizes in `input_axes`, and in `output_axes`.

    Where these are not given:

    A vector (n,): n and n. A matrix (C_in, C_out): C_in and C_out. A convolution's (*kernel, C_in/groups, C_out):
    the product of the kernel's sizes (the receptive field) times the last axis but one, and times the last axis. A
    transposed convolution's weight (*kernel, C_out, C_in) is read by the same rule, as in Keras.
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        for axis in (*input_axes, *output_axes):
            if not -len(shape) <= axis < len(shape):
                raise ValueError(f"axis {axis} of input_axes or output_axes: a weight of shape {shape} has none such")
        return math.prod(shape[axis] for axis in input_axes), math.prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    receptive_field = math.prod(shape[:-2])
    return shape[-2] * receptive_field, shape[-1] * receptive_field


class Initializer(Configurable):
    """Base class: a callable from (shape, dtype) to an array."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(shape, dtype)")

    def clone(self) -> Initializer:
        """Another one with the same arguments."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.zeros(tuple(shape), dtype or np.float32)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.ones(tuple(shape), dtype or np.float32)


class Constant(Initializer):
    """All `value`: a number, or an array that broadcasts to the weight's shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        value = np.asarray(self.value)
        try:
            return np.array(np.broadcast_to(value, tuple(shape)), dtype or np.float32)
        except ValueError:
            raise ValueError(
                f"Constant: a value of shape {value.shape} does not broadcast to a weight of shape {tuple(shape)}"
            ) from None


class Identity(Initializer):
    """`gain` times the identity matrix; for weights of two dimensions only."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity: expected a weight of two dimensions, got shape {tuple(shape)}")
        return (self.gain * np.eye(shape[0], shape[1])).astype(dtype or np.float32)


class RandomInitializer(Initializer):
    """Base of the initializers that draw: `seed` None draws from the global generator, an int repeats itself."""

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0):
            raise ValueError(f"seed = {seed!r}: expected None or a non-negative integer")
        self.seed = seed

    def generator(self) -> np.random.Generator:
        """The generator that one call draws from."""
        return (random.generator() if self.seed is None else random.Generator(self.seed)).numpy


class RandomNormal(RandomInitializer):
    """Normal distribution with this `mean` and standard deviation `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, _not_negative("stddev", stddev)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return self.generator().normal(self.mean, self.stddev, tuple(shape)).astype(dtype or np.float32)


class RandomUniform(RandomInitializer):
    """Uniform distribution over [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not minval <= maxval:
            raise ValueError(f"RandomUniform: expected minval ≤ maxval, got {minval!r} and {maxval!r}")
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return self.generator().uniform(self.minval, self.maxval, tuple(shape)).astype(dtype or np.float32)


class TruncatedNormal(RandomInitializer):
    """Normal distribution with `mean` and `stddev`, in which what falls outside mean ± 2·stddev is drawn again."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, _not_negative("stddev", stddev)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        draws = truncated_standard_normal(self.generator(), tuple(shape))
        return (self.mean + self.stddev * draws).astype(dtype or np.float32)


class VarianceScaling(RandomInitializer):
    """Random values of mean 0 and variance scale / n.

    n is fan_in, fan_out or their mean ("fan_avg"), as `mode` says. `distribution` is "truncated_normal" (or "normal",
    the same; its standard deviation is corrected for what is cut off), "untruncated_normal" or "uniform" (over
    ±sqrt(3·scale/n)).

    input_axes, output_axes: which axes of the weight count its inputs and its outputs, where these are not as
    `compute_fans` says. Either both are given or none (Keras ignores one of them alone), else ValueError.
    """

    MODES = ("fan_in", "fan_out", "fan_avg")
    DISTRIBUTIONS = ("normal", "truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        if not scale > 0.0:
            raise ValueError(f"scale = {scale!r}: expected a positive number")
        if mode not in self.MODES:
            raise ValueError(f"mode = {mode!r}: expected one of {', '.join(self.MODES)}")
        if distribution not in self.DISTRIBUTIONS:
            raise ValueError(f"distribution = {distribution!r}: expected one of {', '.join(self.DISTRIBUTIONS)}")
        if (input_axes is None) != (output_axes is None):
            raise ValueError(f"input_axes = {input_axes!r}, output_axes = {output_axes!r}: give both or none")
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes = None if input_axes is None else list(input_axes)
        self.output_axes = None if output_axes is None else list(output_axes)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        shape = tuple(shape)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        generator = self.generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            values = generator.uniform(-limit, limit, shape)
        elif self.distribution == "untruncated_normal":
            values = generator.normal(0.0, math.sqrt(variance), shape)
        else:
            stddev = math.sqrt(variance) / TRUNCATED_STANDARD_DEVIATION
            values = stddev * truncated_standard_normal(generator, shape)
        return values.astype(dtype or np.float32)


Axes = Sequence[int] | None


class GlorotUniform(VarianceScaling):
    """Uniform over ±sqrt(6 / (fan_in + fan_out)): the default for kernels."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
    """Truncated normal with standard deviation sqrt(2 / (fan_in + fan_out))."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Uniform over ±sqrt(6 / fan_in)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Truncated normal with standard deviation sqrt(2 / fan_in), for layers before a ReLU."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Uniform over ±sqrt(3 / fan_in)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Truncated normal with standard deviation sqrt(1 / fan_in)."""

    def __init__(self, seed: int | None = None, input_axes: Axes = None, output_axes: Axes = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class Orthogonal(RandomInitializer):
    """`gain` times a random matrix with orthonormal rows or columns, whichever are fewer.

    The weight is seen as a matrix of its last axis against all others. The matrix is Q of the QR decomposition of
    normal draws, with the signs that make it uniformly distributed (those of R's diagonal).
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        shape = tuple(shape)
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a weight of at least two dimensions, got shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        draws = self.generator().normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(draws)
        q = q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix.reshape(shape)).astype(dtype or np.float32)


# Keras's second names: initializers.he_normal(seed=1)
constant, identity, ones, orthogonal, zeros = Constant, Identity, Ones, Orthogonal, Zeros
glorot_normal, glorot_uniform, he_normal, he_uniform = GlorotNormal, GlorotUniform, HeNormal, HeUniform
lecun_normal, lecun_uniform, variance_scaling = LecunNormal, LecunUniform, VarianceScaling
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal

_CLASSES = (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)


_NAMES: dict[str, type[Initializer]] = {
    **{cls.__name__: cls for cls in _CLASSES},
    **{name: member for name, member in list(globals().items()) if member in _CLASSES},
    "zero": Zeros,
    "one": Ones,
    "normal": RandomNormal,
    "uniform": RandomUniform,
}


def get(identifier: Any) -> Any:
    """The initializer for a name ("glorot_uniform", "HeNormal", …), an Initializer, its configuration, or a callable
    from (shape, dtype) to an array.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    return make(identifier, Initializer, _NAMES, "initializer")


def deserialize(config: Any, custom_objects: Mapping[str, type[Initializer]] | None = None) -> Initializer:
    """The initializer for what `serialize` gave; custom_objects: further classes, by name.

    Raises ValueError for an unknown class.
    """
    return make(config, Initializer, {**_NAMES, **(custom_objects or {})}, "initializer")


def truncated_standard_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal draws; those beyond ±2 are drawn again."""
    draws = np.asarray(generator.standard_normal(shape))
    outside = np.abs(draws) > 2.0
    while outside.any():
        draws[outside] = generator.standard_normal(int(outside.sum()))
        outside = np.abs(draws) > 2.0
    return draws


def _not_negative(argument: str, value: float) -> float:
    if not value >= 0.0:
        raise ValueError(f"{argument} = {value!r}: expected a number of at least 0")
    return value


__getattr__ = absent("initializers", __name__)
