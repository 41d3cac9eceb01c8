"""Hypothesis strategies for arrays and for the geometries of convolution and pooling.

Sizes are small, odd and prime ones, ones and empty batches among them, because kernels fail at edges. Array values
come from a drawn seed: fast, and still the same for the same example. `values="integers"` gives small integers as
floats: sums of their products are exact in float32, so two correct kernels must agree to the last bit, whatever the
order in which they add.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tomograd.kernels import geometry

float_types = st.sampled_from([np.float32, np.float64])
dimensions = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)
LAYOUTS = ("contiguous", "fortran", "strided", "reversed", "read-only")


def random_array(rng: np.random.Generator, shape, dtype, values: str = "normal") -> np.ndarray:
    """An array of standard normal numbers, of the integers −4 … 4, or of integers of which no two are equal."""
    if values == "normal":
        return rng.standard_normal(shape).astype(dtype)
    if values == "integers":
        return rng.integers(-4, 5, shape).astype(dtype)
    if values == "distinct":
        size = int(np.prod(shape))
        return (rng.permutation(size) - size // 2).reshape(shape).astype(dtype)
    raise ValueError(f"values = {values!r}: expected 'normal', 'integers' or 'distinct'")


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another memory layout: one of `LAYOUTS`."""
    if layout == "contiguous":
        return np.ascontiguousarray(array)
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided":  # every second element of an array twice as large in each dimension
        larger = np.full(tuple(2 * n for n in array.shape), np.nan, array.dtype)
        view = larger[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    if layout == "reversed":  # negative strides in each dimension
        flip = (slice(None, None, -1),) * array.ndim
        return array[flip].copy()[flip]
    if layout == "read-only":
        frozen = array.copy()
        frozen.flags.writeable = False
        return frozen
    raise ValueError(f"layout = {layout!r}: expected one of {LAYOUTS}")


@st.composite
def arrays(draw, shape, dtype=None, values="normal", layouts=LAYOUTS):
    """An array of the given shape (a tuple or a strategy for one), in one of the layouts; dtype None draws the type."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    dtype = draw(float_types) if dtype is None else dtype
    array = random_array(np.random.default_rng(draw(seeds)), shape, dtype, values)
    return laid_out(array, draw(st.sampled_from(layouts)))


@st.composite
def shapes(draw, min_dims=1, max_dims=4, min_side=0, max_side=7):
    """A shape with sides from 0 (by default) to max_side."""
    return tuple(draw(st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims)))


@dataclass(frozen=True)
class Windows:
    """The geometry of a sliding window, normalised as kernels take it: one entry for each spatial dimension."""

    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation_rate: tuple[int, ...]

    @property
    def output_size(self) -> tuple[int, ...]:
        return geometry.conv_output_size(
            self.input_size, self.kernel_size, self.strides, self.padding, self.dilation_rate
        )


@st.composite
def windows(draw, max_output=5, max_kernel=4, max_stride=3, max_dilation=3, max_padding=3, dims=dimensions):
    """Windows in 1 to 3 dimensions (smaller ones in 3) that fit their padded input; strides may leave a remainder."""
    d = draw(dims)
    if d == 3:
        max_output, max_kernel = min(max_output, 3), min(max_kernel, 3)

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel, strides, dilation = each(1, max_kernel), each(1, max_stride), each(1, max_dilation)
    output, padding = each(1, max_output), [each(0, max_padding) for _ in range(2)]
    sizes, pairs = [], []
    for k, s, r, o, before, after in zip(kernel, strides, dilation, output, *padding, strict=True):
        remainder = draw(st.integers(0, s - 1))
        needed = (o - 1) * s + (k - 1) * r + 1 + remainder - before - after
        sizes.append(max(needed, 1))
        pairs.append((before, after))
    return Windows(tuple(sizes), kernel, strides, tuple(pairs), dilation)


@st.composite
def pool_windows(draw, dilated=True, **limits):
    """Windows of which each holds a position of the input, as pooling needs."""

    def holds_input(w):
        try:
            geometry.reject_windows_of_padding(w.input_size, w.kernel_size, w.strides, w.padding, w.dilation_rate)
        except ValueError:
            return False
        return True

    return draw(windows(max_dilation=3 if dilated else 1, **limits).filter(holds_input))


@dataclass(frozen=True)
class ConvCase:
    """All arguments of one convolution, and a cotangent dy of its output."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    dy: np.ndarray
    windows: Windows
    groups: int

    @property
    def geometry(self):
        """(strides, padding, dilation_rate, groups), as the convolution kernels take them at the end."""
        return self.windows.strides, self.windows.padding, self.windows.dilation_rate, self.groups


@st.composite
def conv_cases(
    draw, values="integers", dtype=None, max_batch=2, max_channels=3, max_groups=3, layouts=LAYOUTS, **limits
):
    """A convolution in 1 to 3 dimensions: any stride, padding, dilation, groups, layout; empty batches among them."""
    w = draw(windows(**limits))
    dtype = draw(float_types) if dtype is None else dtype
    rng = np.random.default_rng(draw(seeds))
    n, groups = draw(st.integers(0, max_batch)), draw(st.integers(1, max_groups))
    c_in, c_out = groups * draw(st.integers(1, max_channels)), groups * draw(st.integers(1, max_channels))

    def array(*shape):
        return laid_out(random_array(rng, shape, dtype, values), draw(st.sampled_from(layouts)))

    x = array(n, *w.input_size, c_in)
    weight = array(*w.kernel_size, c_in // groups, c_out)
    bias = array(c_out) if draw(st.booleans()) else None
    dy = array(n, *w.output_size, c_out)
    return ConvCase(x, weight, bias, dy, w, groups)


@dataclass(frozen=True)
class PoolCase:
    """The arguments of one pooling, and a cotangent dy of its output."""

    x: np.ndarray
    dy: np.ndarray
    windows: Windows

    @property
    def geometry(self):
        """(pool_size, strides, padding, dilation_rate), as the max pooling kernels take them at the end."""
        w = self.windows
        return w.kernel_size, w.strides, w.padding, w.dilation_rate


@st.composite
def pool_cases(
    draw, values="integers", dtype=None, dilated=True, max_batch=2, max_channels=3, layouts=LAYOUTS, **limits
):
    """A pooling in 1 to 3 dimensions; `values="integers"` is full of ties."""
    w = draw(pool_windows(dilated=dilated, **limits))
    dtype = draw(float_types) if dtype is None else dtype
    rng = np.random.default_rng(draw(seeds))
    n, c = draw(st.integers(0, max_batch)), draw(st.integers(1, max_channels))
    x, dy = (
        laid_out(random_array(rng, (n, *size, c), dtype, v), draw(st.sampled_from(layouts)))
        for size, v in ((w.input_size, values), (w.output_size, "integers"))
    )
    return PoolCase(x, dy, w)
