"""Whether compare sees kernels that are wrong, and lets those pass whose sums are only taken in another order."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.kernels import memory
from tomograd.testing import CompareError, Difference, compare
from tomograd.testing.arrays import laid_out
from tomograd.testing.strategies import layouts, seeds

float_types = st.sampled_from([np.float32, np.float64])


def dot(a, b):
    return np.asarray((a * b).sum())


def one_by_one(a, b):
    """The sum from the first to the last: of all orders, the one with the longest chain."""
    return np.add.accumulate(a * b)[-1]


def identity(x):
    return x


# ---- the bound -------------------------------------------------------------------------------------------------------


@st.composite
def sums(draw):
    """(a, b) of which most of a·b cancels: terms of one size, or of sizes far apart, beside their negatives."""
    rng = np.random.default_rng(draw(seeds))
    n, dtype = draw(st.integers(1, 300)), draw(float_types)
    a = rng.standard_normal(n) * 10.0 ** rng.uniform(0, draw(st.integers(0, 6)), n)
    a = np.concatenate([a, -a, [1.0]])
    order = rng.permutation(len(a))
    return a[order].astype(dtype), np.ones(len(a), dtype)


@given(sums(), st.sampled_from(["forwards", "backwards", "sorted", "pairwise"]))
def test_every_order_of_a_cancelling_sum_passes(case, order):
    def kernel(a, b):
        terms = {"backwards": (a * b)[::-1], "sorted": np.sort(a * b)}.get(order, a * b)
        return terms.sum() if order == "pairwise" else np.add.accumulate(terms)[-1]

    difference = compare(kernel, dot, *case, terms=len(case[0]))
    assert difference.share <= 1


@given(n=st.integers(2, 400), dtype=float_types, seed=seeds)
def test_a_missing_last_term_of_a_cancelling_sum_is_seen(n, dtype, seed):
    a = np.random.default_rng(seed).uniform(0.5, 1, n)
    a = np.concatenate([a, -a, [1.0]]).astype(dtype)
    compare(one_by_one, dot, a, np.ones_like(a), terms=len(a))
    with pytest.raises(CompareError, match=r"result 0 at index \(\).* off by 1 .*condition of the sum"):
        compare(lambda a, b: one_by_one(a[:-1], b[:-1]), dot, a, np.ones_like(a), terms=len(a))


@given(n=st.integers(2, 5000), seed=seeds)
def test_in_long_sums_of_random_terms_their_roundings_cancel(n, seed):
    a = np.random.default_rng(seed).uniform(0.5, 1, n)
    a = np.random.default_rng(seed).permutation(np.concatenate([a, -a])).astype(np.float32)
    a = np.append(a, np.float32(1))
    compare(one_by_one, dot, a, np.ones_like(a), terms=len(a), random=True)
    with pytest.raises(CompareError, match="off by"):
        compare(lambda a, b: one_by_one(a[:-1], b[:-1]), dot, a, np.ones_like(a), terms=len(a), random=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_nothing_cancels_the_last_digits_must_be_right(dtype):
    x = np.random.default_rng(0).uniform(1, 2, 100).astype(dtype)
    eps = np.finfo(dtype).eps
    assert compare(lambda x: x * x, lambda x: x * x, x).ulps <= 0.5
    with pytest.raises(CompareError, match=r"expected .*: off by .* ulps"):
        compare(lambda x: x * x * dtype(1 + 8 * eps), lambda x: x * x, x)


def test_the_bound_grows_with_the_number_of_terms():
    x = np.ones(10, np.float32)
    bounds = [compare(identity, identity, x, terms=terms).bound for terms in (1, 10, 100)]
    np.testing.assert_allclose(bounds, np.array([2, 11, 101]) * np.finfo(np.float32).eps, rtol=1e-4)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_bounds_are_those_of_the_papers(factor):
    x, unit, smallest = np.full(3, 0.5, np.float32), 2.0**-24, 2.0**-149

    def bound(terms, random):
        return compare(
            identity, identity, x, magnitude=lambda x: 6 * x, terms=terms, random=random, factor=factor
        ).bound

    for n in (1, 10, 2**22):
        always = n * unit / (1 - n * unit)
        assert bound(n - 1, False) == pytest.approx(factor * (3 * always + n * smallest), rel=1e-14, abs=0)
        likely = np.sqrt(2 * np.log(2 * n / 1e-9))
        mostly = min(always, np.expm1(likely * np.sqrt(n) * unit + n * unit**2 / (1 - unit)))
        assert bound(n - 1, True) == pytest.approx(factor * (3 * mostly + n * smallest), rel=1e-13, abs=0)
        assert (mostly < always) == (n == 2**22)
    assert compare(identity, identity, x, magnitude=lambda x: 6 * x).condition == 6


def test_as_many_terms_as_leave_a_digit():
    x = np.ones(3, np.float16)
    assert compare(identity, identity, x, terms=2046).share == compare(identity, identity, x, terms=0).share == 0
    with pytest.raises(ValueError, match="terms = 2047: expected a number, 0 or more, that leaves sums in float16"):
        compare(identity, identity, x, terms=2047)


def test_float32_accumulation_of_float64_is_seen():
    x = np.random.default_rng(0).standard_normal((200, 3))
    with pytest.raises(CompareError, match="not the reference's"):
        compare(lambda x: x.sum(0, dtype="f4").astype("f8"), lambda x: x.sum(0), x, terms=200)


def test_functions_that_are_not_linear_need_a_magnitude():
    x = np.array([1.0, 2.0, 3.0], np.float32) + np.float32(1e3)

    def variance(x):
        return np.asarray(((x - x.mean()) ** 2).mean())

    with pytest.raises(CompareError):
        compare(lambda x: (x**2).mean() - x.mean() ** 2, variance, x, terms=3)
    compare(lambda x: (x**2).mean() - x.mean() ** 2, variance, x, terms=3, magnitude=lambda x: 2 * (x**2).mean())


def test_a_factor_for_methods_with_larger_constants():
    x, eps = np.ones(3, np.float32), np.finfo(np.float32).eps
    with pytest.raises(CompareError):
        compare(lambda x: x * (1 + 8 * eps), identity, x)
    assert 0.4 < compare(lambda x: x * (1 + 8 * eps), identity, x, factor=16).share < 0.6


def test_what_underflows_is_forgiven_and_no_more():
    tiny = np.float32(1e-30)
    x = np.full(4, tiny)
    compare(dot, dot, x, x, terms=4)
    with pytest.raises(CompareError, match=r"expected 4\.\d+e-60"):
        compare(lambda a, b: np.float32(1e-40), dot, x, x, terms=4)


@pytest.mark.parametrize("terms", [-1, 2**24])
def test_numbers_of_terms_for_which_there_is_no_bound(terms):
    with pytest.raises(ValueError, match=f"terms = {terms}: expected"):
        compare(identity, identity, np.ones(3, np.float32), terms=terms)


# ---- what is not finite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_value, wanted, passes", [
    (np.inf, np.inf, True),
    (-np.inf, np.inf, False),
    (1.0, np.inf, False),
    (np.inf, 1.0, False),
    (np.nan, np.nan, False),
    (np.nan, 1.0, False),
    (np.nan, np.inf, False),
    (1.0, np.nan, False),
    (-0.0, 0.0, True),
])  # fmt: skip
def test_infinities_must_be_where_they_are_and_nan_never_passes(given_value, wanted, passes):
    x = np.ones(3, np.float32)
    kernel = lambda x: np.array([1, given_value, 1], np.float32)  # noqa: E731
    reference = lambda x: np.array([1, wanted, 1])  # noqa: E731
    if passes:
        assert compare(kernel, reference, x).share == 0
    else:
        with pytest.raises(CompareError, match=r"at index \(1,\)"):
            compare(kernel, reference, x)


def test_a_result_that_overflows_is_infinite_in_the_kernel():
    x = np.full(2, 3e38, np.float32)
    with np.errstate(over="ignore"):
        assert compare(lambda x: x * 2, lambda x: x * 2, x).share == 0
    with pytest.raises(CompareError):
        compare(lambda x: x, lambda x: x * 2, x)


def test_an_infinite_magnitude_excuses_nothing():
    with pytest.raises(CompareError):
        compare(lambda x: x + 1, identity, np.ones(3), magnitude=lambda x: x * np.inf)


NUMBERS = [0.0, 5e-324, 1e-310, 1e-300, 1e-45, 1e-38, 1.0, 3e38, 1e300, 1.7e308, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("expected", NUMBERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_number_makes_its_own_arithmetic_warn_and_nan_never_passes(dtype, expected):
    for number, size in itertools.product(NUMBERS, NUMBERS):
        with np.errstate(all="ignore"):
            given = np.array([number]).astype(dtype)
            right = np.array_equal(given, np.array([expected]).astype(dtype))
        passed = True
        with np.errstate(all="raise"):
            try:
                results = [lambda x, y=y: np.array(y) for y in (given, [expected], [size])]
                str(compare(*results[:2], np.ones(1, dtype), magnitude=results[2]))
            except CompareError:
                passed = False
        assert passed or not right
        assert not passed or not np.isnan([number, expected]).any()


# ---- form ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel, message", [
    (lambda x: x[:2], r"result 0 has shape \(2,\), expected \(3,\)"),
    (lambda x: x.astype("f8"), "result 0 is float64, expected float32"),
    (lambda x: x.astype("i8"), "result 0 is int64, expected float"),
    (lambda x: (x, x), "the kernel has 2 results, its reference 1"),
])  # fmt: skip
def test_wrong_forms(kernel, message):
    with pytest.raises(CompareError, match=message):
        compare(kernel, identity, np.ones(3, np.float32))


def test_whole_numbers_must_be_equal():
    x = np.array([3.0, 1.0, 2.0], np.float32)
    assert compare(lambda x: (x, x.argmin()), lambda x: (x, x.argmin()), x).share == 0
    with pytest.raises(CompareError, match=r"result 1 at index \(\): 0, expected 1:"):
        compare(lambda x: (x, x.argmax()), lambda x: (x, x.argmin()), x, magnitude=lambda x: (x, 100))
    with pytest.raises(CompareError, match="result 0 is float32, expected int64"):
        compare(lambda x: x, lambda x: x.astype(np.int64), x)
    assert compare(np.add, np.add, np.arange(3), np.arange(3)) == Difference(0, (0,), 0, 0, 0.0, 0.0, 1.0, 0.0)
    with pytest.raises(CompareError, match=r"allowed 0 \(condition of the sum 1\)"):
        compare(lambda: np.arange(3), lambda: np.arange(3) + 5)


def test_large_whole_numbers_are_compared_with_all_their_digits():
    with pytest.raises(CompareError, match=r"9007199254740993, expected 9007199254740992: off by 1 \(1 ulps\)"):
        compare(lambda: np.array([5, 2**53 + 1]), lambda: np.array([5, 2**53]))
    with pytest.raises(CompareError, match="off by 1"):
        compare(lambda: np.array([2**64 - 1], np.uint64), lambda: np.array([0], np.uint64))
    with pytest.raises(CompareError, match=r"index \(1,\): 1, expected 0"):
        compare(lambda: np.array([True, True]), lambda: np.array([True, False]))


@pytest.mark.parametrize("found, message", [
    (np.array([1 + 5j]), "result 0 of the reference is complex128: expected an array of real numbers"),
    (None, "result 0 of the reference is object"),
    ({"y": np.ones(3)}, "result 0 of the reference is object"),
    (np.array(["one"]), "result 0 of the reference is <U3"),
    ((), "the reference returned no result"),
])  # fmt: skip
def test_what_cannot_be_compared_does_not_pass(found, message):
    with pytest.raises(TypeError, match=message):
        compare(lambda x: found, lambda x: found, np.ones(3))


def test_a_type_more_precise_than_the_reference_is_refused():
    with pytest.raises(TypeError, match="expected float64 at most, in which the reference computes"):
        compare(identity, identity, np.ones(3, np.longdouble))


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf])
def test_factors_that_are_none(factor):
    with pytest.raises(ValueError, match=f"factor = {factor}: expected a number above 0"):
        compare(identity, identity, np.ones(3), factor=factor)


def test_a_magnitude_of_another_shape():
    with pytest.raises(CompareError, match=r"the magnitude of result 0 has shape \(2,\), the result \(3,\)"):
        compare(identity, identity, np.ones(3), magnitude=lambda x: np.ones(2))
    with pytest.raises(CompareError, match=r"the magnitude of result 0 has shape \(2, 3\), the result \(3,\)"):
        compare(identity, identity, np.ones(3), magnitude=lambda x: np.ones((2, 3)))


def test_equal_infinities_are_off_by_nothing():
    assert "inf, expected inf: off by 0 " in str(compare(lambda: np.full(2, np.inf), lambda: np.full(2, np.inf)))


def test_the_worst_of_several_results_is_reported():
    x = np.ones(4, np.float32)
    worst = compare(lambda x: (x, x * np.float32(1 + 2e-7)), lambda x: (x, x), x)
    assert (worst.result, worst.ulps > 1) == (1, True)


def test_empty_results():
    difference = compare(identity, identity, np.ones((0, 3), np.float32))
    assert difference == Difference(0, None, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0) and str(difference) == "result 0 is empty"


# ---- arguments -------------------------------------------------------------------------------------------------------


@given(layout=layouts, dtype=float_types)
def test_arguments_come_in_their_layout_and_the_reference_in_float64(layout, dtype):
    x, seen = laid_out(np.ones((2, 3), dtype), layout), []
    compare(lambda x: x * 2, lambda x: seen.append(x.dtype) or x * 2, x)
    assert seen == [np.float64, np.float64]
    strides = []
    compare(lambda x: strides.append(x.strides) or x * 2, lambda x: x * 2, x)
    assert strides == [x.strides]


def test_arrays_in_lists_and_parameters_are_widened_and_watched():
    x, y = np.array([1.0, -2.0], np.float32), np.array([-1.0, 2.0], np.float32)

    def total(arrays, scale=1, bias=None):
        return sum(arrays) * scale + bias

    difference = compare(total, total, [x, y], scale=np.float32(2), bias=y, terms=3)
    assert difference.share <= 1

    def spoils(arrays, bias):
        found = sum(arrays) + bias
        (arrays[1] if spoils.which == 0 else bias)[...] = 0
        return found

    for spoils.which, name in enumerate(["argument 0", "argument 'bias'"]):
        with pytest.raises(CompareError, match=f"the kernel changed its {name}"):
            compare(spoils, total, [x, y.copy()], bias=y.copy(), terms=3)


class Pair(NamedTuple):
    first: np.ndarray
    second: np.ndarray


def test_named_tuples_stay_what_they_are():
    def difference(pair):
        return pair.first - pair.second

    pair = Pair(np.array([3.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32))
    assert compare(difference, difference, pair, magnitude=lambda pair: pair.first + pair.second, terms=2).share == 0


def test_a_reference_that_changes_its_arguments_does_not_change_the_kernels():
    def reference(x, index):
        y = x[index]
        x[...], index[...] = 7, 0
        return y

    assert compare(lambda x, index: x[index], reference, np.array([1.0, 2.0]), np.array([1, 0])).share == 0


def test_a_kernel_that_changes_an_argument():
    def kernel(x, y):
        y += 1
        return x

    with pytest.raises(CompareError, match="the kernel changed its argument 1"):
        compare(kernel, lambda x, y: x, np.ones(3), np.ones(3))


@pytest.mark.parametrize("shape, empty", [((3, 3), np.empty), ((30, 30), memory.empty), ((300, 300), memory.empty)])
def test_what_a_kernel_does_not_write_is_not_a_number(shape, empty):
    def kernel(x):
        y = empty(x.shape, x.dtype)
        y[:-1] = x[:-1]
        return y

    last = shape[0] - 1
    with pytest.raises(CompareError, match=rf"at index \({last}, 0\): nan, expected 0.0"):
        compare(kernel, identity, np.zeros(shape, np.float32))


def test_whole_numbers_that_a_kernel_does_not_write_are_not_zeros():
    with pytest.raises(CompareError, match="-1, expected 0"):
        compare(
            lambda x: np.empty(x.shape, np.int64), lambda x: np.zeros(x.shape, np.int64), np.ones((3, 3), np.float32)
        )
