"""Sizes and paddings: the rules of Keras and PyTorch, and that a transposed convolution leads back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import geometry
from tomograd.testing.strategies import windows

small = st.integers(1, 9)


def count_windows(i, k, s, pair, d):
    """The number of window positions, by trying them all."""
    first, last = -pair[0], i + pair[1] - 1
    return sum(1 for start in range(first, last + 1, s) if start + (k - 1) * d <= last)


@given(windows())
def test_output_size_counts_the_windows_that_fit(w):
    expected = map(count_windows, w.input_size, w.kernel_size, w.strides, w.padding, w.dilation_rate)
    assert w.output_size == tuple(expected)


@given(i=small, k=small, s=small, d=small)
def test_same_padding_gives_one_output_for_each_stride(i, k, s, d):
    pairs = geometry.resolve_padding("same", (i,), (k,), (s,), (d,))
    before, after = pairs[0]
    assert 0 <= after - before <= 1  # the odd one comes after
    assert geometry.conv_output_size((i,), (k,), (s,), pairs, (d,)) == (-(-i // s),)
    if before + after > 0:  # and it is the least padding that does
        with_less = (before + after - 1 + i - (k - 1) * d - 1) // s + 1
        assert with_less < -(-i // s)


@pytest.mark.parametrize(
    ("i", "k", "s", "d", "expected"),
    [(5, 3, 1, 1, (1, 1)), (4, 2, 1, 1, (0, 1)), (8, 3, 2, 1, (0, 1)), (7, 3, 2, 1, (1, 1)), (5, 3, 1, 2, (2, 2))],
)
def test_same_padding_of_tensorflow(i, k, s, d, expected):
    assert geometry.resolve_padding("same", (i,), (k,), (s,), (d,)) == (expected,)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("VALID", ((0, 0), (0, 0))),
        (2, ((2, 2), (2, 2))),
        (np.int64(2), ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 0], ((1, 1), (0, 0))),
        (((1, 2), (0, 3)), ((1, 2), (0, 3))),
        (np.array([[1, 2], [0, 3]]), ((1, 2), (0, 3))),
    ],
)
def test_padding_in_every_notation(padding, expected):
    assert geometry.resolve_padding(padding, (5, 6), (3, 3), (1, 1), (1, 1)) == expected


@pytest.mark.parametrize(
    ("padding", "error"),
    [
        ("full", ValueError),
        (-1, ValueError),
        ((1, -1), ValueError),
        ((1, 2, 3), ValueError),
        (((1, 2),), ValueError),
        (((1, 2), 3), ValueError),
        (((1, 2), (3, 4, 5)), ValueError),
        (((1, -2), (3, 4)), ValueError),
        (1.5, TypeError),
        (True, TypeError),
        (None, TypeError),
        ({"before": 1}, TypeError),
    ],
)
def test_bad_padding_is_named(padding, error):
    with pytest.raises(error, match="padding"):
        geometry.resolve_padding(padding, (5, 6), (3, 3), (1, 1), (1, 1))


def test_per_dimension_repeats_an_int_and_checks_a_sequence():
    assert geometry.per_dimension(3, 2, "strides") == (3, 3)
    assert geometry.per_dimension([1, 2, 3], 3, "strides") == (1, 2, 3)
    assert geometry.per_dimension(np.int32(2), 1, "strides") == (2,)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0, ValueError, "pool_size = 0.*positive"),
        ((2, -1), ValueError, "pool_size.*positive"),
        ((1, 2, 3), ValueError, "2 integers, got 3"),
        ((), ValueError, "2 integers, got 0"),
        (2.0, TypeError, "pool_size = 2.0"),
        ("22", TypeError, "pool_size = '22'"),
        (None, TypeError, "pool_size = None"),
        ((True, 2), TypeError, "pool_size"),
    ],
)
def test_per_dimension_names_the_argument(value, error, words):
    with pytest.raises(error, match=words):
        geometry.per_dimension(value, 2, "pool_size")


def test_a_window_larger_than_the_padded_input_is_refused():
    with pytest.raises(
        ValueError, match=r"window of size \(5,\) is larger than the padded input of size \(4,\) \(input"
    ):
        geometry.conv_output_size((2,), (5,), (1,), ((1, 1),), (1,))
    with pytest.raises(ValueError, match=r"size \(2, 5\) is larger"):
        geometry.conv_output_size((4, 4), (2, 5), (1, 1), ((0, 0), (0, 0)), (1, 1))
    with pytest.raises(ValueError, match=r"dilation_rate \(3,\): \(7,\)"):
        geometry.conv_output_size((6,), (3,), (1,), ((0, 0),), (3,))


@pytest.mark.parametrize("wrong", range(5))
def test_sizes_of_other_dimensions_are_refused(wrong):
    sizes = [(4, 4), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)]
    sizes[wrong] = sizes[wrong][:1]
    with pytest.raises(ValueError, match="zip"):
        geometry.conv_output_size(*sizes)
    with pytest.raises(ValueError, match="zip"):
        geometry.reject_windows_of_padding(*sizes)
    with pytest.raises(ValueError, match="zip"):
        geometry.conv_output_size((4, 4), (3, 3), (1, 1), ((1, 1),) * 3, (1, 1))
    with pytest.raises(ValueError, match="zip"):
        geometry.dilated_size((3, 3), (1, 1, 1))


@pytest.mark.parametrize("wrong", range(4))
@pytest.mark.parametrize(("padding", "output_padding"), [("same", None), ("same", 0), ("valid", None), (1, 0)])
def test_transposed_sizes_of_other_dimensions_are_refused(padding, output_padding, wrong):
    sizes = [(4, 4), (3, 3), (1, 1), (1, 1)]
    sizes[wrong] = sizes[wrong][:1]
    input_size, kernel_size, strides, dilation_rate = sizes
    with pytest.raises(ValueError, match="zip"):
        geometry.conv_transpose_geometry(input_size, kernel_size, strides, padding, output_padding, dilation_rate)


@given(
    i=small,
    k=small,
    s=small,
    d=st.integers(1, 3),
    padding=st.one_of(
        st.sampled_from(["valid", "same"]), st.integers(0, 3), st.tuples(st.integers(0, 3), st.integers(0, 3))
    ),
    output_padding=st.one_of(st.none(), st.integers(0, 8)),
)
def test_the_convolution_back_from_a_transposed_one_gives_the_input_size(i, k, s, d, padding, output_padding):
    if output_padding is not None:
        output_padding %= s
    padding = (padding,) if isinstance(padding, tuple) else padding
    try:
        output_size, pairs = geometry.conv_transpose_geometry((i,), (k,), (s,), padding, output_padding, (d,))
    except ValueError as error:
        assert "at least 1" in str(error)
        return
    assert geometry.conv_output_size(output_size, (k,), (s,), pairs, (d,)) == (i,)
    k_eff = (k - 1) * d + 1
    if padding == "same":
        expected = i * s if output_padding is None else (i - 1) * s + k_eff % 2 + output_padding
    elif padding == "valid":
        expected = (i - 1) * s + (max(k_eff, s) if output_padding is None else k_eff + output_padding)
    else:
        expected = (i - 1) * s + k_eff - sum(pairs[0]) + (output_padding or 0)
    assert output_size == (expected,)


@given(i=small, k=small, s=small, d=st.integers(1, 3))
def test_transposed_same_is_the_transpose_of_same(i, k, s, d):
    output_size, pairs = geometry.conv_transpose_geometry((i,), (k,), (s,), "same", None, (d,))
    assert pairs == geometry.resolve_padding("same", output_size, (k,), (s,), (d,))


@pytest.mark.parametrize("output_padding", [2, -1, (1, 5)])
def test_output_padding_is_less_than_the_stride(output_padding):
    with pytest.raises(ValueError, match="output_padding"):
        geometry.conv_transpose_geometry((4, 4), (3, 3), (2, 2), "same", output_padding, (1, 1))


def test_an_empty_transposed_output_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        geometry.conv_transpose_geometry((1,), (3,), (1,), 2, None, (1,))
    with pytest.raises(ValueError, match=r"output of size \(0, 4\)"):
        geometry.conv_transpose_geometry((2, 6), (3, 3), (1, 1), 2, None, (1, 1))


def test_transposed_same_with_an_output_padding_by_hand():
    assert geometry.conv_transpose_geometry((5,), (5,), (2,), "same", 1, (1,)) == ((10,), ((1, 2),))


def test_windows_of_padding_only_are_refused():
    geometry.reject_windows_of_padding((4,), (3,), (1,), ((2, 2),), (1,))
    with pytest.raises(ValueError, match="window 0"):
        geometry.reject_windows_of_padding((4,), (2,), (1,), ((2, 0),), (1,))
    with pytest.raises(ValueError, match=r"dimension 1: pooling window 4 "):
        geometry.reject_windows_of_padding((4, 4), (2, 2), (1, 1), ((1, 1), (0, 2)), (1, 1))
    # between windows that reach the image at its ends, one whose two taps step over it
    with pytest.raises(ValueError, match="window 1"):
        geometry.reject_windows_of_padding((3,), (2,), (1,), ((3, 3),), (5,))
    with pytest.raises(ValueError, match="window 1"):
        geometry.reject_windows_of_padding((1,), (2,), (1,), ((2, 2),), (2,))
    # one pixel, and two taps three apart that straddle it
    with pytest.raises(ValueError, match="window 0"):
        geometry.reject_windows_of_padding((1,), (2,), (1,), ((1, 2),), (3,))


@given(windows(max_padding=5))
def test_windows_of_padding_are_found_by_trying_all(w):
    def holds_input(i, k, s, pair, d, o):
        return all(any(0 <= n * s - pair[0] + t * d < i for t in range(k)) for n in range(o))

    try:
        geometry.reject_windows_of_padding(w.input_size, w.kernel_size, w.strides, w.padding, w.dilation_rate)
        accepted = True
    except ValueError:
        accepted = False
    sizes = (w.input_size, w.kernel_size, w.strides, w.padding, w.dilation_rate, w.output_size)
    assert accepted == all(map(holds_input, *sizes))
