"""Hypothesis strategies: arrays, their layouts, hard values, and the windows of convolution and pooling.

    from tomograd.testing import strategies

    @given(strategies.conv_cases())
    def test_my_convolution(case):
        assert_equal(mine(case.x, case.weight, case.bias, *case.geometry), …)

Sizes are small, odd and prime ones, ones and empty batches among them, because kernels fail at edges. Array values
come from a drawn seed: fast, and still the same for the same example; a failing example shrinks to seed 0, at which the
values count 1, 2, 3 … and can be read. `values="integers"` gives small integers as floats: sums of their products are
exact in float32, so two correct kernels must agree to the last bit, whatever the order in which they add.

`windows`, `pool_windows`, `conv_cases` and `pool_cases` are always valid, `wrong_windows`, `wrong_pool_windows` never.

Needs Hypothesis: `pip install "tomograd[testing]"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as numpy_strategies
except ImportError as error:
    raise ImportError('tomograd.testing.strategies needs Hypothesis: pip install "tomograd[testing]"') from error

from ..kernels import geometry
from .arrays import LAYOUTS, counting_array, extreme_numbers, laid_out, random_array

float_types = st.sampled_from([np.float32, np.float64])
dimensions = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(LAYOUTS)


def _values(seed: int, number: int, shape, dtype, values: str) -> np.ndarray:
    """Array number `number` of an example; readable at seed 0."""
    if seed == 0:
        return counting_array(shape, dtype, values)
    return random_array(np.random.default_rng([seed, number]), shape, dtype, values)


@st.composite
def arrays(draw, shape, dtype=None, values="normal", layouts=LAYOUTS):
    """An array of the given shape (a tuple or a strategy for one), in one of the layouts; dtype None draws the type."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    dtype = draw(float_types) if dtype is None else dtype
    return laid_out(_values(draw(seeds), 0, shape, dtype, values), draw(st.sampled_from(layouts)))


@st.composite
def in_layouts(draw, arrays, layouts=LAYOUTS):
    """The arrays of another strategy, such as one of hard values below, in one of the layouts."""
    return laid_out(draw(arrays), draw(st.sampled_from(layouts)))


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
    return _windows(draw, _as_drawn, max_output, max_kernel, max_stride, max_dilation, max_padding, dims)


@st.composite
def pool_windows(
    draw, dilated=True, max_output=5, max_kernel=4, max_stride=3, max_dilation=3, max_padding=3, dims=dimensions
):
    """Windows of which each holds a position of the input, as pooling needs."""
    max_dilation = max_dilation if dilated else 1
    return _windows(draw, _holding_input, max_output, max_kernel, max_stride, max_dilation, max_padding, dims)


def _windows(draw, fitted, max_output, max_kernel, max_stride, max_dilation, max_padding, dims) -> Windows:
    """Windows of drawn sizes; `fitted` gives the input's size and the padding of one dimension."""
    d = draw(dims)
    if d == 3:
        max_output, max_kernel = min(max_output, 3), min(max_kernel, 3)

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel, strides, dilation = each(1, max_kernel), each(1, max_stride), each(1, max_dilation)
    output, before, after = each(1, max_output), each(0, max_padding), each(0, max_padding)
    fits = [
        fitted(k, s, r, (o - 1) * s + (k - 1) * r + 1 + draw(st.integers(0, s - 1)), pair)
        for k, s, r, o, pair in zip(kernel, strides, dilation, output, zip(before, after, strict=True), strict=True)
    ]
    return Windows(tuple(i for i, _ in fits), kernel, strides, tuple(pair for _, pair in fits), dilation)


def _as_drawn(kernel, stride, dilation, padded, pair):
    """(size of the input, its padding) for a padded input of at least the size `padded`."""
    return max(padded - sum(pair), 1), pair


def _holding_input(kernel, stride, dilation, padded, pair):
    """The same, with as much less padding as it takes for each window to hold something of the input."""
    while True:
        size, pair = _as_drawn(kernel, stride, dilation, padded, pair)
        try:
            geometry.reject_windows_of_padding((size,), (kernel,), (stride,), (pair,), (dilation,))
            return size, pair
        except ValueError:  # never without padding
            pair = (max(pair[0] - 1, 0), max(pair[1] - 1, 0))


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
    seed, made = draw(seeds), iter(range(4))
    n, groups = draw(st.integers(0, max_batch)), draw(st.integers(1, max_groups))
    c_in, c_out = groups * draw(st.integers(1, max_channels)), groups * draw(st.integers(1, max_channels))

    def array(*shape):
        return laid_out(_values(seed, next(made), shape, dtype, values), draw(st.sampled_from(layouts)))

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
    seed = draw(seeds)
    n, c = draw(st.integers(0, max_batch)), draw(st.integers(1, max_channels))
    x, dy = (
        laid_out(_values(seed, number, (n, *size, c), dtype, v), draw(st.sampled_from(layouts)))
        for number, (size, v) in enumerate([(w.input_size, values), (w.output_size, "integers")])
    )
    return PoolCase(x, dy, w)


# ---- windows that are always wrong -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongWindows:
    """Arguments of a convolution or pooling of which one cannot be, and what its error must name."""

    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    strides: object
    padding: object
    dilation_rate: object
    argument: str


_ONE_TOO_MANY = "one too many"

# Which argument is wrong, and in what. (One draw for all of it: of two examples, Hypothesis takes that with fewer draws
# for the simpler one.)
_FAULTS = [
    *[("strides", wrong) for wrong in (0, -1, -2, _ONE_TOO_MANY)],
    *[("dilation_rate", wrong) for wrong in (0, -1, -2, _ONE_TOO_MANY)],
    *[("padding", wrong) for wrong in ((-1, 0), (0, -1), _ONE_TOO_MANY)],
    *[("window", larger) for larger in (1, 2, 3)],
]


@st.composite
def wrong_windows(draw, dims=dimensions):
    """Right windows with one thing made wrong: a stride, a dilation or a padding that cannot be, one too many of them,
    or a kernel that is larger than the padded input. Neither convolution nor pooling takes them."""
    w = draw(windows(dims=dims))
    argument, wrong = draw(st.sampled_from(_FAULTS))
    at = draw(st.integers(0, len(w.input_size) - 1))
    parts = {"strides": w.strides, "dilation_rate": w.dilation_rate, "padding": w.padding}
    sizes = {"input_size": w.input_size, "kernel_size": w.kernel_size}
    if argument == "window":
        room = w.input_size[at] + sum(w.padding[at])
        sizes["kernel_size"] = _replaced(w.kernel_size, at, room + wrong)
    elif wrong is _ONE_TOO_MANY:
        parts[argument] = (*parts[argument], parts[argument][0])
    else:
        parts[argument] = _replaced(parts[argument], at, wrong)
    return WrongWindows(**sizes, **parts, argument=argument)


@st.composite
def wrong_pool_windows(draw, dims=dimensions):
    """Windows that a convolution would take, and pooling must not: one of them holds nothing but padding."""
    w = draw(windows(dims=dims))
    at = draw(st.integers(0, len(w.input_size) - 1))
    extent = (w.kernel_size[at] - 1) * w.dilation_rate[at] + 1
    before, after = w.padding[at]
    more = draw(st.integers(0, 2))
    # A first window that ends before the input, or a last one, up to a step from the end, that begins behind it.
    pair = (extent + more, after) if draw(st.booleans()) else (before, extent + w.strides[at] - 1 + more)
    padding = _replaced(w.padding, at, pair)
    return WrongWindows(w.input_size, w.kernel_size, w.strides, padding, w.dilation_rate, "padding")


def _replaced(entries: tuple, at: int, entry) -> tuple:
    return (*entries[:at], entry, *entries[at + 1 :])


# ---- hard values -----------------------------------------------------------------------------------------------------

# These are drawn number by number, and shrink number by number: for small arrays.


def _elements(shape, dtype, numbers):
    """Arrays of some of the numbers, each rounded to the type."""
    choices = st.sampled_from([float(np.dtype(dtype).type(number)) for number in numbers])
    return numpy_strategies.arrays(dtype, shape, elements=choices, fill=st.nothing())


def away_from(points: Sequence[float], shape, dtype=np.float64, margin=0.125, largest=4.0):
    """Multiples of margin / 2, of at most the size `largest`, that are at least `margin` away from each of the points,
    a function's kinks: a small step does not reach them."""
    step = margin / 2
    numbers = sorted((n * step for n in range(int(-largest / step), int(largest / step) + 1)), key=abs)
    allowed = [x for x in numbers if all(abs(x - point) >= margin for point in points)]
    if not allowed:
        raise ValueError(f"no number up to ±{largest} is {margin} away from all of {list(points)}")
    return _elements(shape, dtype, allowed)


def at_kinks(points: Sequence[float], shape, dtype=np.float64):
    """Numbers of which many lie at the points, or as close beside them as the type allows; both zeros among them."""
    number = np.dtype(dtype).type
    near = [np.nextafter(number(p), number(s)) for p in points for s in (-np.inf, np.inf)]
    zeros = [0.0, -0.0] if 0 in points else []
    return _elements(shape, dtype, [*points, *zeros, *near, 1.0, -1.0, 7.5, -7.5])


def ties(shape, dtype=np.float64):
    """Two or three different numbers only: nearly all maxima are shared."""
    return _elements(shape, dtype, [0.0, 1.0, -1.0])


@st.composite
def without_ties(draw, shape, dtype=np.float64, gap=0.5):
    """Numbers of which no two are closer than `gap`, none closer than gap / 4 to 0."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    size = int(np.prod(shape))
    order = draw(st.permutations(range(size)))
    return ((np.array(order, dtype) - size // 2) * gap + gap / 4).reshape(shape).astype(dtype)


def extremes(shape, dtype=np.float64, infinite=False, nan=False):
    """The largest and smallest numbers of a type, both zeros, subnormal ones; infinities and NaN if asked for."""
    special = [np.inf, -np.inf] * infinite + [np.nan] * nan
    return _elements(shape, dtype, [*extreme_numbers(dtype), *special])


def logits(shape, dtype=np.float64):
    """±10⁴ among small ones: exp of them overflows, and all but one of their softmax underflow."""
    return _elements(shape, dtype, [0.0, 1.0, -1.0, 30.0, -30.0, 1e4, -1e4])
