"""Whether every strategy gives what it says, and shrinks to something that can be read."""

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from tomograd.engine import functional as F
from tomograd.kernels import geometry
from tomograd.testing import strategies as s
from tomograd.testing.strategies import LAYOUTS

float_types = [np.float32, np.float64]
some_settings = settings(max_examples=2000, database=None, derandomize=True)


def minimal(strategy, condition=lambda example: True):
    """The example to which those that satisfy the condition shrink."""
    return find(strategy, condition, settings=some_settings)


def properties(strategy, *of, examples=150):
    """What each function finds in some examples, as sets."""
    found = [set() for _ in of]

    @settings(max_examples=examples, database=None, derandomize=True, phases=[Phase.generate])
    @given(example=strategy)
    def look(example):
        for values, function in zip(found, of, strict=True):
            values.add(function(example))

    look()
    return found


def layout_of(array):
    """Which of LAYOUTS an array of several elements in each dimension has."""
    if not array.flags.writeable:
        return "read-only"
    if array.flags.c_contiguous:
        return "contiguous"
    if array.flags.f_contiguous:
        return "transposed"
    return "reversed" if array.strides[0] < 0 else "strided"


# ---- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", float_types)
def test_arrays_come_in_every_layout_and_type(layout, dtype):
    found = minimal(s.arrays((2, 3)), lambda a: layout_of(a) == layout and a.dtype == dtype)
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 6]])


def test_arrays_have_sides_of_zero():
    assert minimal(s.arrays(s.shapes()), lambda a: a.size == 0).shape == (0,)
    assert minimal(s.shapes(), lambda shape: len(shape) == 3 and 0 not in shape) == (1, 1, 1)


@given(shape=s.shapes(min_dims=2, max_dims=3, min_side=1, max_side=5))
def test_shapes_stay_within_their_limits(shape):
    assert 2 <= len(shape) <= 3 and min(shape) >= 1 and max(shape) <= 5


@given(array=s.arrays((4, 4), np.float32, "integers", layouts=("reversed", "strided")))
def test_arrays_of_chosen_types_values_and_layouts(array):
    assert array.dtype == np.float32 and layout_of(array) in ("reversed", "strided")
    assert set(array.ravel()) <= set(range(-4, 5))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hard_values_come_in_every_layout_too(layout):
    assert not minimal(s.in_layouts(s.extremes((2, 2))), lambda a: layout_of(a) == layout).any()


def test_arrays_of_random_numbers_differ():
    assert minimal(s.arrays((3, 3)), lambda a: a[0, 0] < 0).dtype == np.float32


# ---- windows ---------------------------------------------------------------------------------------------------------


@given(w=s.windows())
def test_windows_fit_their_padded_input(w):
    assert len(w.input_size) == len(w.kernel_size) == len(w.strides) == len(w.padding) == len(w.dilation_rate) <= 3
    assert min(w.output_size) >= 1


@given(w=s.pool_windows() | s.pool_windows(max_padding=9, max_kernel=2))
def test_each_pooling_window_holds_something_of_the_input(w):
    geometry.reject_windows_of_padding(w.input_size, w.kernel_size, w.strides, w.padding, w.dilation_rate)


@given(w=s.pool_windows(dilated=False, dims=st.just(2)), v=s.windows(max_padding=0, max_stride=1, max_dilation=1))
def test_limits_of_windows(w, v):
    assert w.dilation_rate == (1, 1)
    assert set(v.strides) == {1} and set(v.dilation_rate) == {1} and set(v.padding) == {(0, 0)}


UNIT = s.Windows((1,), (1,), (1,), ((0, 0),), (1,))


def test_windows_shrink_to_one_position_of_one_dimension():
    assert minimal(s.windows()) == minimal(s.pool_windows()) == UNIT
    assert minimal(s.windows(), lambda w: w.strides[-1] == 2) == s.Windows((1,), (1,), (2,), ((0, 0),), (1,))
    assert minimal(s.windows(), lambda w: len(w.input_size) == 2 and w.padding[1][1]).padding == ((0, 0), (0, 1))
    assert minimal(s.pool_windows(), lambda w: w.padding[0][0] and w.kernel_size[0] > 1).input_size == (1,)


@pytest.mark.parametrize("strategy", [s.windows(), s.pool_windows()])
def test_windows_of_every_kind_are_among_them(strategy):
    def leaves_a_rest(w):
        extent = geometry.dilated_size(w.kernel_size, w.dilation_rate)[0]
        return (w.input_size[0] + sum(w.padding[0]) - extent) % w.strides[0]

    found = properties(
        strategy,
        lambda w: len(w.input_size) == 3,
        lambda w: leaves_a_rest(w) > 0,
        lambda w: w.strides[0] > w.kernel_size[0],
        lambda w: w.padding[0][0] != w.padding[0][1],
        lambda w: w.dilation_rate[0] > 1 and w.kernel_size[0] > 1,
        lambda w: w.kernel_size[0] > w.input_size[0],
    )
    assert found == [{True, False}] * 6


def test_a_convolution_shrinks_to_numbers_that_count():
    case = minimal(s.conv_cases(), lambda c: len(c.x) and c.windows.kernel_size[0] == 2)
    assert case.windows == s.Windows((2,), (2,), (1,), ((0, 0),), (1,))
    assert case.groups == 1 and case.bias is None and layout_of(case.x) == "contiguous"
    assert [a.tolist() for a in (case.x, case.weight, case.dy)] == [[[[1], [2]]], [[[1]], [[2]]], [[[1]]]]
    case = minimal(s.conv_cases(), lambda c: c.bias is not None and c.groups == 2 and c.x.size)
    assert case.x.tolist() == [[[1, 2]]] and case.weight.tolist() == [[[1, 2]]] and case.bias.tolist() == [1, 2]


def test_a_pooling_shrinks_to_numbers_that_count():
    case = minimal(s.pool_cases(), lambda c: c.x.size and c.windows.kernel_size == (2, 2))
    assert case.x[0, ..., 0].tolist() == [[1, 2], [3, 4]] and case.dy.tolist() == [[[[1]]]]


@given(case=s.conv_cases())
@settings(max_examples=20)
def test_convolutions_are_valid(case):
    strides, padding, dilation, groups = case.geometry
    y = F.conv(case.x, case.weight, case.bias, strides, padding, dilation, groups)
    assert y.shape == case.dy.shape and y.dtype == case.dy.dtype == case.x.dtype


@given(case=s.pool_cases())
@settings(max_examples=20)
def test_poolings_are_valid(case):
    assert F.max_pool(case.x, *case.geometry).shape == case.dy.shape


@pytest.mark.parametrize("strategy", [s.conv_cases(dims=st.just(1)), s.pool_cases(dims=st.just(1))])
def test_empty_batches_both_types_and_every_layout_are_among_them(strategy):
    batches, types = properties(strategy, lambda c: len(c.x), lambda c: c.x.dtype.name)
    assert (batches, types) == ({0, 1, 2}, {"float32", "float64"})
    for layout in LAYOUTS:
        minimal(strategy, lambda c, layout=layout: min(c.x.shape) > 1 and layout_of(c.x) == layout)


# ---- windows that are wrong ------------------------------------------------------------------------------------------


def run(function, w, channels=(1, 1)):
    """A convolution or pooling of ones with these windows."""
    x, weight = np.ones((1, *w.input_size, 1), np.float32), np.ones((*w.kernel_size, *channels), np.float32)
    if function is F.conv:
        return F.conv(x, weight, None, w.strides, w.padding, w.dilation_rate)
    return function(x, w.kernel_size, w.strides, w.padding, w.dilation_rate)


@pytest.mark.parametrize("function", [F.conv, F.max_pool])
@given(w=s.wrong_windows())
def test_wrong_windows_are_errors_that_name_the_argument(function, w):
    with pytest.raises((ValueError, TypeError), match=w.argument):
        run(function, w)


@given(w=s.wrong_windows())
def test_wrong_windows_are_errors_of_the_geometry(w):
    d, kernel = len(w.input_size), w.kernel_size
    with pytest.raises((ValueError, TypeError), match=w.argument):
        strides = geometry.per_dimension(w.strides, d, "strides")
        dilation = geometry.per_dimension(w.dilation_rate, d, "dilation_rate")
        padding = geometry.resolve_padding(w.padding, w.input_size, kernel, strides, dilation)
        geometry.conv_output_size(w.input_size, kernel, strides, padding, dilation)


@given(w=s.wrong_pool_windows())
def test_windows_of_padding_alone_are_right_for_convolutions_and_wrong_for_pooling(w):
    run(F.conv, w)
    with pytest.raises(ValueError, match=r"padding \(\d+, \d+\) in spatial dimension \d: pooling window"):
        run(F.max_pool, w)
    if set(w.dilation_rate) == {1}:
        with pytest.raises(ValueError, match=r"padding \(\d+, \d+\) in spatial dimension"):
            F.average_pool(np.ones((1, *w.input_size, 1)), w.kernel_size, w.strides, w.padding)


@pytest.mark.parametrize("argument", ["strides", "dilation_rate", "padding", "window"])
def test_every_argument_is_wrong_in_some(argument):
    w = minimal(s.wrong_windows(), lambda w: w.argument == argument)
    assert len(w.input_size) == 1
    assert (w.kernel_size, w.strides, w.padding, w.dilation_rate)[
        {"window": 0, "strides": 1, "padding": 2, "dilation_rate": 3}[argument]
    ] != {"window": (1,), "padding": ((0, 0),)}.get(argument, (1,))


@pytest.mark.parametrize("argument, wrong", [
    ("strides", {"strides": (0,)}),
    ("dilation_rate", {"dilation_rate": (0,)}),
    ("padding", {"padding": ((-1, 0),)}),
    ("window", {"kernel_size": (2,)}),
])  # fmt: skip
def test_wrong_windows_shrink_to_the_unit_window_with_one_fault(argument, wrong):
    parts = {"input_size": (1,), "kernel_size": (1,), "strides": (1,), "padding": ((0, 0),), "dilation_rate": (1,)}
    assert minimal(s.wrong_windows(), lambda w: w.argument == argument) == s.WrongWindows(
        **(parts | wrong), argument=argument
    )


def test_wrong_windows_have_every_fault_and_any_failure_shrinks_to_the_first():
    assert minimal(s.wrong_windows()).strides == (0,)
    (lengths,) = properties(
        s.wrong_windows(), lambda w: (w.argument, len(getattr(w, w.argument, ())) > len(w.input_size))
    )
    assert lengths == {(name, more) for name in ("strides", "dilation_rate", "padding") for more in (True, False)} | {
        ("window", False)
    }


def test_padding_alone_before_and_behind():
    strategy = s.wrong_pool_windows(dims=st.just(1))
    first, last = (minimal(strategy, lambda w, side=side: not w.padding[0][side]) for side in (1, 0))
    assert (first.padding, last.padding) == (((1, 0),), ((0, 1),))


# ---- hard values -----------------------------------------------------------------------------------------------------

shape = (3,)
KINKS = [0.0, 6.0, 0.1]


@pytest.mark.parametrize("dtype", float_types)
@given(data=st.data())
def test_values_away_from_kinks(dtype, data):
    x = data.draw(s.away_from(KINKS, shape, dtype, margin=0.1, largest=8))
    assert x.dtype == dtype and x.shape == shape and np.abs(x).max() <= 8
    assert np.abs(x[:, None] - np.array(KINKS)).min() >= 0.1 * (1 - 1e-6)


def test_no_value_is_away_from_points_that_are_everywhere():
    with pytest.raises(ValueError, match=r"no number up to ±0\.25 is 1\.0 away"):
        s.away_from([0.0], shape, margin=1.0, largest=0.25)


@pytest.mark.parametrize("dtype", float_types)
def test_values_at_kinks_and_as_close_as_can_be(dtype):
    strategy = s.at_kinks(KINKS, (1,), dtype)
    for point in np.array(KINKS, dtype):
        for x in (point, np.nextafter(point, dtype(np.inf)), np.nextafter(point, dtype(-np.inf))):
            assert minimal(strategy, lambda a, x=x: a[0] == x).dtype == dtype
    assert np.signbit(minimal(strategy, lambda a: a[0] == 0 and np.signbit(a[0])))


@given(x=s.ties((4, 4)))
def test_values_that_tie(x):
    assert len(np.unique(x)) <= 3 and (x.max() == x).sum() >= 1


def test_ties_shrink_to_zeros():
    assert not minimal(s.ties((2, 2))).any()
    assert minimal(s.ties((2, 2)), lambda x: x.max() > 0).ravel().tolist().count(1) == 1


@pytest.mark.parametrize("dtype", float_types)
@given(data=st.data())
def test_values_without_ties(dtype, data):
    x = np.sort(data.draw(s.without_ties(s.shapes(max_dims=2, max_side=4), dtype, gap=0.25)).ravel())
    assert x.dtype == dtype and (np.diff(x) >= 0.25).all() and (np.abs(x) >= 0.0625).all()


def test_values_without_ties_shrink_to_a_row_in_order():
    assert minimal(s.without_ties((4,))).tolist() == [-0.875, -0.375, 0.125, 0.625]


@pytest.mark.parametrize("dtype", float_types)
def test_extremes_are_the_limits_of_the_type(dtype):
    limits = np.finfo(dtype)
    for number in (limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal):
        minimal(s.extremes((1,), dtype), lambda x, number=number: x[0] == number)
    for number in (np.inf, -np.inf):
        minimal(s.extremes((1,), dtype, infinite=True), lambda x, number=number: x[0] == number)
    assert np.isnan(minimal(s.extremes((2,), dtype, nan=True), lambda x: np.isnan(x[1])))[1]
    assert not minimal(s.extremes((2, 2), dtype)).any()


@given(x=s.extremes((5,), np.float32))
def test_extremes_are_finite_unless_asked_for(x):
    assert np.isfinite(x).all() and x.dtype == np.float32


@pytest.mark.parametrize("dtype", float_types)
def test_logits_are_as_large_as_they_get(dtype):
    x = minimal(s.logits((2, 3), dtype), lambda x: x.max() == 1e4 and x.min() == -1e4)
    assert x.dtype == dtype and np.count_nonzero(x) == 2
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        np.exp(x)
